use super::*;
use crate::config::{Environment, Syntax, load_text};
use crate::record::{Record, Shape, Source, Stream};

fn pieces(list: &[&str]) -> Pieces {
    let mut pieces = Pieces::default();
    for text in list {
        pieces.bytes.extend_from_slice(text.as_bytes());
        pieces.add(1);
    }
    pieces
}

#[test]
fn a_container_line_becomes_a_put() {
    let section = "[OUTPUT]\n name cloudwatch_logs\n match *\n log_group_name /eks/other\n log_stream_prefix n1-\n log_group_template /eks/$kubernetes['namespace_name']\n";
    let (environment, mut report) = (Environment::default(), Report::default());
    let config = load_text(section, Syntax::Classic, &environment, &mut report);
    let start = configure(&config.outputs[0], &mut report).unwrap();
    let output =
        start(&OutputContext { service: &config.service, environment: &environment, terminal: false }).unwrap();
    let mut draft = SourceDraft { tag: "kube.web".into(), ..SourceDraft::default() };
    draft.share("kubernetes", serde_json::json!({ "pod_name": "web-1", "namespace_name": "shop" }), true);
    let mut key = String::new();
    output.key(&draft, &mut key);
    let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
    let (text, time_text) = (batch.append(b"say \"hi\""), batch.append(b"2024-03-01T10:00:00.5Z"));
    for time_ns in [1_709_287_201_000_000_000, 1_709_287_200_500_000_000] {
        let (shape, stream) = (Shape::Container, Stream::Stdout);
        batch.records.push(Record { text, time_text, time_ns, shape, stream, tag: b'F', ..Record::default() });
    }
    batch.check_utf8();
    let mut pieces = Pieces::default();
    assert_eq!(output.encode_some(&batch, 0..2, &mut pieces, &output.limits()), 2);
    assert_eq!(pieces.filled.times, Some((1_709_287_200_500, 1_709_287_201_000)));
    assert!(!output.sends_pieces(&pieces), "they have to be sorted");
    let mut body = Vec::new();
    output.body(&key, &pieces, &mut body);
    let puts = body::puts(&body.into(), None);
    insta::assert_snapshot!(String::from_utf8_lossy(&puts[0].body.concat()), @r#"{"logGroupName":"/eks/shop","logStreamName":"n1-kube.web","logEvents":[{"timestamp":1709287200500,"message":"{\"time\":\"2024-03-01T10:00:00.5Z\",\"stream\":\"stdout\",\"_p\":\"F\",\"log\":\"say \\\"hi\\\"\",\"kubernetes\":{\"pod_name\":\"web-1\",\"namespace_name\":\"shop\"}}"},{"timestamp":1709287201000,"message":"{\"time\":\"2024-03-01T10:00:00.5Z\",\"stream\":\"stdout\",\"_p\":\"F\",\"log\":\"say \\\"hi\\\"\",\"kubernetes\":{\"pod_name\":\"web-1\",\"namespace_name\":\"shop\"}}"}]}"#);
}

/// An output that sends the text of lines.
fn output_of_text() -> Arc<dyn Output> {
    let section = "pipeline: {outputs: [{name: cloudwatch_logs, match: '*', log_group_name: g, log_stream_name: s, log_key: log, event_size_max: 2000}]}";
    let (environment, mut report) = (Environment::default(), Report::default());
    let config = load_text(section, Syntax::Yaml, &environment, &mut report);
    let start = configure(&config.outputs[0], &mut report).unwrap();
    start(&OutputContext { service: &config.service, environment: &environment, terminal: false }).unwrap()
}

/// Lines of these seconds.
fn lines(list: &[(i64, &str)]) -> Batch {
    let draft = SourceDraft { text_key: "log".into(), ..SourceDraft::default() };
    let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
    for (seconds, text) in list {
        let text = batch.append(text.as_bytes());
        let time_ns = seconds * 1_000_000_000;
        batch.records.push(Record { text, time_ns, shape: Shape::Line, ..Record::default() });
    }
    batch.check_utf8();
    batch
}

/// The messages of all puts, in the order in which they are sent, and whether the pieces are sent as they stand.
fn messages(output: &Arc<dyn Output>, pieces: Pieces) -> (Vec<String>, bool) {
    let (pieces, mut body) = (Arc::new(pieces), Vec::new());
    let in_place = output.sends_pieces(&pieces);
    output.body("g\0s", &pieces, &mut body);
    let mut messages = Vec::new();
    for put in body::puts(&body.into(), Some(&pieces.whole()).filter(|_| in_place)) {
        let body: serde_json::Value = serde_json::from_slice(&put.body.concat()).unwrap();
        let events = body["logEvents"].as_array().unwrap();
        assert_eq!(events.len(), put.events);
        messages.extend(events.iter().map(|event| event["message"].as_str().unwrap().to_owned()));
    }
    (messages, in_place)
}

#[test]
fn pieces_whose_times_ascend_are_sent_as_they_stand() {
    let long = "x".repeat(3000);
    for (list, expect, in_place) in [
        (vec![(1, "a"), (1, "b"), (2, "c")], vec!["a", "b", "c"], true),
        (vec![(1, ""), (1, "a"), (2, ""), (3, "b"), (4, "")], vec!["a", "b"], true),
        (vec![(1, "a"), (2, long.as_str()), (3, "b")], vec!["a", &long[..2000], &long[2000..], "b"], true),
        (vec![(2, "a"), (1, ""), (3, "b")], vec!["a", "b"], true),
        (vec![(2, "a"), (1, "b"), (3, "c")], vec!["b", "a", "c"], false),
        (vec![(1, "a"), (86_402, "b")], vec!["a", "b"], false),
        (vec![(1, ""), (2, "")], vec![], false),
    ] {
        let (output, batch) = (output_of_text(), lines(&list));
        let mut pieces = Pieces::default();
        assert_eq!(output.encode_some(&batch, 0..list.len(), &mut pieces, &output.limits()), list.len());
        assert!((0..list.len()).all(|number| !body::piece(&pieces, number as u32).starts_with(b",")));
        assert_eq!(messages(&output, pieces), (expect.into_iter().map(str::to_owned).collect(), in_place), "{list:?}");
    }
}

#[test]
fn pieces_that_were_taken_out_of_a_request_are_sent_all_the_same() {
    let (output, batch) = (output_of_text(), lines(&[(1, "a"), (1, "b"), (2, "c")]));
    let mut whole = Pieces::default();
    output.encode_some(&batch, 0..3, &mut whole, &output.limits());
    let start = whole.list[0].end as usize;
    let text = str::from_utf8(&whole.bytes[start..]).unwrap();
    assert!(text.starts_with(','));
    assert_eq!(messages(&output, pieces(&[text])), (vec!["b".to_owned(), "c".to_owned()], false));
}

#[test]
fn what_a_full_request_will_need_is_known_early() {
    let (output, text) = (output_of_text(), "\"".repeat(1000));
    let batch = lines(&vec![(1, text.as_str()); 2000]);
    let mut pieces = Pieces::default();
    output.encode_some(&batch, 0..50, &mut pieces, &output.limits());
    assert_eq!(output.bytes_when_full(&pieces), usize::MAX, "it is too early");
    output.encode_some(&batch, 50..100, &mut pieces, &output.limits());
    let early = output.bytes_when_full(&pieces);
    output.encode_some(&batch, 100..2000, &mut pieces, &output.limits());
    assert!(pieces.filled.full && early >= pieces.bytes.len() && early < pieces.bytes.len() / 10 * 11);
}

#[test]
fn words_that_no_header_can_hold_are_found_before_the_start() {
    for (words, good) in [("of-the-test", true), ("a\\tb", true), ("a\\u0007b", false)] {
        let section = format!(
            "pipeline: {{outputs: [{{name: cloudwatch_logs, match: '*', log_group_name: g, log_stream_name: s, extra_user_agent: \"{words}\"}}]}}"
        );
        let mut report = Report::default();
        let config = load_text(&section, Syntax::Yaml, &Environment::default(), &mut report);
        assert_eq!(configure(&config.outputs[0], &mut report).is_some(), good, "{words}: {report}");
        assert_eq!(report.to_string().contains("`extra_user_agent`"), !good);
    }
}

#[test]
fn rejected_events_are_held_against_their_pieces() {
    let two = r#"{"timestamp":5,"message":"a"},{"timestamp":5,"message":"b"}"#;
    let pieces = pieces(&[r#"{"timestamp":9,"message":"new"}"#, "", two, r#"{"timestamp":1,"message":"old"}"#, " "]);
    assert_eq!(owners(&pieces), [3, 2, 2, 0]);
    let info = RejectedLogEventsInfo::builder()
        .too_old_log_event_end_index(1)
        .expired_log_event_end_index(0)
        .too_new_log_event_start_index(3)
        .build();
    let refused: Vec<_> = refusals(&info, 4).into_iter().map(|(events, refusal)| (events, refusal.reason)).collect();
    assert_eq!(refused, [(0..1, "too_old".to_owned()), (0..0, "expired".to_owned()), (3..4, "too_new".to_owned())]);
    let wild =
        RejectedLogEventsInfo::builder().too_old_log_event_end_index(99).too_new_log_event_start_index(-1).build();
    assert!(refusals(&wild, 4).iter().all(|(events, _)| *events == (0..4)), "no index leads out of the put");
    let (refused, empty) = without_event(&pieces);
    assert_eq!((refused.into_iter().map(|(number, _)| number).collect::<Vec<_>>(), empty), (vec![1], Box::from([4])));
}
