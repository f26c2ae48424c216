//! Records before and after merging.

use super::*;
use crate::parse;
use crate::record::{KeyNames, Source, SourceDraft, json};

fn merging(key: Option<&str>, keep_log: bool) -> Merging {
    Merging { key: key.map(|key| key.as_bytes().into()), trim: true, keep_log, parser: None }
}

/// A batch with one record of a container.
fn batch(text: &[u8]) -> Batch {
    let mut draft = SourceDraft { text_key: "log".into(), ..SourceDraft::default() };
    draft.share("kubernetes", serde_json::json!({ "pod_name": "p" }), true);
    let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
    batch.keys = &KeyNames::CRI;
    let time_text = batch.append(b"T");
    let text = batch.append(text);
    let record = Record { text, time_text, time_ns: 5, stream: Stream::Stdout, tag: b'F', ..Record::default() };
    batch.records.push(Record { shape: Shape::Container, ..record });
    batch.check_utf8();
    batch
}

fn sent(batch: &Batch) -> Vec<String> {
    let members = |record: &Record| {
        let mut out = vec![b'{'];
        json::push_members(&mut out, batch, record, false);
        out.push(b'}');
        let text = String::from_utf8(out).expect("JSON is UTF-8");
        let value: serde_json::Value = serde_json::from_str(&text).expect(&text);
        let count = value.as_object().map_or(0, serde_json::Map::len);
        let mut keys = Vec::new();
        json_read::object(text.as_bytes(), |member| keys.push(member.key));
        assert_eq!(keys.len(), count, "each key is sent once: {text}");
        text
    };
    batch.records.iter().map(members).collect()
}

#[track_caller]
fn check(merging: &Merging, text: impl AsRef<[u8]>, expect: &str) {
    let mut batch = batch(text.as_ref());
    let read = batch.text.len();
    Look::new(Some(merging.clone()), Asked::default(), None).apply(&mut batch);
    batch.check_appended(read);
    let expect = format!(r#"{{"time":"T","stream":"stdout","_p":"F"{expect},"kubernetes":{{"pod_name":"p"}}}}"#);
    let equal = |a: &str, b: &str| {
        serde_json::from_str::<serde_json::Value>(a).ok() == serde_json::from_str::<serde_json::Value>(b).ok()
    };
    let found = &sent(&batch)[0];
    // Where a key of the container's is the JSON's now, the order is another.
    assert!(*found == expect || expect.matches("\"time\"").count() > 1 && equal(found, &expect), "{found}\n{expect}");
}

#[test]
fn an_object_is_spliced_as_it_stands() {
    let (keep, drop) = (merging(Some("data"), true), merging(Some("data"), false));
    check(&drop, r#"{"a":1,"b":{"c":[1.50,null]}}"#, r#","data":{"a":1,"b":{"c":[1.50,null]}}"#);
    check(&drop, r#"{"n":12345678901234567890123,"n":1}"#, r#","data":{"n":12345678901234567890123,"n":1}"#);
    check(&drop, r#"{"a":"\u00e9\/"} \n"#, r#","data":{"a":"\u00e9\/"}"#);
    check(&keep, r#"{"a":1}"#, r#","log":"{\"a\":1}","data":{"a":1}"#);
    check(&drop, r#"{"a":"x\n\n","b":"y\\n","c":{"d":"z\n"}}"#, r#","data":{"a":"x","b":"y","c":{"d":"z\n"}}"#);
    check(&drop, "{\"a\":\"tab\there\",\"k\\\"\":\"\\ud800\"}", r#","data":{"a":"tab\there","k\"":"�"}"#);
    check(&drop, b"{\"a\":\"caf\xe9\"}", ",\"data\":{\"a\":\"caf\u{FFFD}\"}");
    check(&drop, "{}", "");
    check(&keep, "{}", r#","log":"{}""#);
    for text in [r#"{"a":1} x"#, r#"{"a":1,}"#, "[1]", "text", "", "{", r#"{"a":1}{"b":2}"#] {
        let quoted = serde_json::to_string(text).expect("JSON");
        check(&drop, text, &format!(r#","log":{quoted}"#));
    }
}

#[test]
fn keys_are_lifted() {
    let (keep, drop) = (merging(None, true), merging(None, false));
    check(&drop, r#"{"a":1,"b":{"c":"x\n"},"d":"y\n"}"#, r#","a":1,"b":{"c":"x\n"},"d":"y""#);
    check(&keep, r#"{"a":1}"#, r#","log":"{\"a\":1}","a":1"#);
    check(&drop, r#"{"a":1,"b":2,"a":3}"#, r#","b":2,"a":3"#);
    check(&drop, r#"{"a\u0062":1,"ab":2}"#, r#","ab":2"#);
    check(&drop, r#"{"log":"inner"}"#, r#","log":"inner""#);
    check(&keep, r#"{"log":"inner"}"#, r#","log":"inner""#);
    check(&drop, r#"{"kubernetes":{"pod_name":"forged"},"a":1}"#, r#","a":1"#);
    check(&drop, "{}", "");
    check(&drop, "text", r#","log":"text""#);
    check(&drop, r#"{"time":"t2","stream":"topic","a":1}"#, r#","time":"t2","stream":"topic","a":1"#);
    let many: Vec<String> = (0..100).map(|i| format!("\"k{}\":{i}", i % 90)).collect();
    let last: Vec<String> = (10..100).map(|i| format!(",\"k{}\":{i}", i % 90)).collect();
    check(&drop, format!("{{{}}}", many.join(",")), &last.concat());
}

#[test]
fn a_key_that_the_record_has_is_replaced() {
    check(&merging(Some("stream"), false), r#"{"a":1}"#, r#","stream":{"a":1},"time":"T""#);
    check(&merging(Some("log"), true), r#"{"a":1}"#, r#","log":{"a":1},"time":"T""#);
    check(&merging(Some("log"), false), r#"{"a":1}"#, r#","log":{"a":1}"#);
}

#[test]
fn a_log_that_is_a_field_is_merged_as_well() {
    let parser = parse::parser("json", &[]).unwrap();
    for (line, key, keep, expect) in [
        (r#"{"log":"{\"a\":\"b\\n\"}\n","stream":"stderr"}"#, None, false, r#"{"stream":"stderr","a":"b""#),
        (r#"{"log":"{\"a\":1}"}"#, Some("d"), false, r#"{"d":{"a":1}"#),
        (r#"{"log":"{\"a\":1}","d":2}"#, Some("d"), true, r#"{"log":"{\"a\":1}","d":{"a":1}"#),
        (r#"{"log":{"a":"b\n"},"x":1}"#, None, false, r#"{"x":1,"a":"b\n""#),
        (r#"{"log":"text\n"}"#, None, false, r#"{"log":"text\n""#),
        (r#"{"log":7}"#, None, false, r#"{"log":7"#),
        (r#"{"x":"no log"}"#, None, false, r#"{"x":"no log""#),
    ] {
        let mut batch = batch(line.as_bytes());
        parser.parse(&mut batch, 0).expect("an object");
        Look::new(Some(merging(key, keep)), Asked::default(), None).apply(&mut batch);
        assert_eq!(sent(&batch), [format!(r#"{expect},"kubernetes":{{"pod_name":"p"}}}}"#)], "{line}");
    }
}

#[test]
fn a_parser_takes_the_place_of_json() {
    let parser: Arc<dyn Parser> = crate::parse::docker_lines();
    let with = |key| Merging { parser: Some(Arc::clone(&parser)), ..merging(key, false) };
    let line = r#"{"time":"2024-03-01T10:00:00.5Z","a":"b\n"}"#;
    let mut batch = batch(line.as_bytes());
    Look::new(Some(with(Some("d"))), Asked::default(), None).apply(&mut batch);
    assert_eq!(batch.records[0].time_ns, 1_709_287_200_500_000_000);
    let expect = r#"{"time":"T","stream":"stdout","_p":"F","d":{"time":"2024-03-01T10:00:00.5Z","a":"b"},"kubernetes":{"pod_name":"p"}}"#;
    assert_eq!(sent(&batch), [expect]);
    check(&with(None), r#"{"a":1}"#, r#","a":1"#);
    check(&with(None), "text", r#","log":"text""#);
}

#[test]
fn annotations_choose_the_parser_and_leave_out_by_stream() {
    let parser: Arc<dyn Parser> = parse::parser("json", &[]).unwrap();
    let asked = Asked { parsers: [None, Some(parser)], ..Asked::default() };
    let no_json: Arc<dyn Parser> = Arc::new(Never);
    let merging = Merging { parser: Some(no_json), ..merging(None, false) };
    for (stream, expect) in [(Stream::Stderr, r#""a":1"#), (Stream::Stdout, r#""log":"{\"a\":1}""#)] {
        let mut batch = batch(br#"{"a":1}"#);
        batch.records[0].stream = stream;
        Look::new(Some(merging.clone()), asked.clone(), None).apply(&mut batch);
        assert!(sent(&batch)[0].contains(expect), "{:?}", sent(&batch));
    }
    let unknown = Arc::new(AtomicU64::new(0));
    let asked = Asked { exclude: [true, false], ..Asked::default() };
    let mut batch = batch(b"out");
    let record = batch.records[0];
    batch.records.push(Record { stream: Stream::Stderr, ..record });
    batch.records.push(Record { stream: Stream::None, shape: Shape::Fields, ..record });
    Look::new(None, asked, Some(Arc::clone(&unknown))).apply(&mut batch);
    assert_eq!(batch.records.iter().map(|r| r.stream).collect::<Vec<_>>(), [Stream::Stderr, Stream::None]);
    assert_eq!(unknown.load(Ordering::Relaxed), 2);
}

/// Understands nothing.
struct Never;

impl Parser for Never {
    fn parse(&self, _: &mut Batch, _: usize) -> Result<(), crate::parse::ParseError> {
        Err(crate::parse::ParseError)
    }
}

#[test]
fn whatever_the_text_is_the_record_is_json() {
    proptest::proptest!(|(text in r#"(\{("[a-z\\"u0-9\n]{0,6}":?[-0-9.eE\[\]\{\}," a-z\\\x00-\x1f]{0,8},?){0,3}\})|\PC{0,20}"#, key: bool, keep: bool, trim: bool)| {
        let mut batch = batch(text.as_bytes());
        let read = batch.text.len();
        let merging = Merging { trim, ..merging(key.then_some("data"), keep) };
        Look::new(Some(merging), Asked::default(), None).apply(&mut batch);
        batch.check_appended(read);
        sent(&batch);
    });
}
