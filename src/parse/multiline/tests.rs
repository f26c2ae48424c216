use super::*;
use crate::config::{Config, Environment, Syntax, load_text};
use crate::parse::OpenBytes;
use crate::record::{Batch, Record, Shape, Source, SourceDraft, Stream};
use std::time::Instant;

fn config(text: &str) -> Config {
    let mut report = Report::default();
    let config = load_text(text, Syntax::Yaml, &Environment::default(), &mut report);
    check_sections(defined(&config), &mut report);
    assert!(!report.has_errors(), "{report}");
    config
}

fn defined(config: &Config) -> Defined<'_> {
    Defined { parsers: &config.parsers, multiline_parsers: &config.multiline_parsers }
}

fn traces(names: &str, config: &str, limit: usize) -> Traces {
    let config = self::config(config);
    let multiline = Multiline::named(names.split(", "), defined(&config)).expect("they are there");
    Traces::new(Arc::new(multiline), limit, &OpenBytes::default())
}

fn batch() -> Batch {
    Batch::new(Arc::new(Source::new(SourceDraft { text_key: "log".into(), ..SourceDraft::default() }, Vec::new())))
}

/// Adds lines as the lines of a file, `2:` before those of stderr.
fn feed(traces: &mut Traces, batch: &mut Batch, offset: &mut u64, lines: &[&str]) {
    for line in lines {
        let (stream, text) = match line.strip_prefix("2:") {
            Some(text) => (Stream::Stderr, text),
            None => (Stream::Stdout, *line),
        };
        let bytes = text.len() as u32 + 1;
        let text = batch.append(text.as_bytes());
        let shape = Shape::Container;
        batch.records.push(Record { text, stream, bytes, shape, offset: *offset, ..Record::default() });
        *offset += u64::from(bytes);
        traces.take_last(batch, None);
    }
}

fn texts(batch: &Batch) -> Vec<String> {
    batch.records.iter().map(|r| String::from_utf8_lossy(batch.bytes(r.text)).into_owned()).collect()
}

fn check(names: &str, config: &str, lines: &[&str], expect: &[&str]) {
    let (mut traces, mut batch, mut offset) = (traces(names, config, 1000), batch(), 0);
    feed(&mut traces, &mut batch, &mut offset, lines);
    traces.flush(&mut batch);
    assert_eq!(texts(&batch), expect);
    assert_eq!((batch.counts.open, batch.counts.open_bytes), (0, 0));
    assert_eq!(batch.counts.joined as usize, lines.len() - expect.len());
    assert_eq!(batch.records.iter().map(|r| u64::from(r.bytes)).sum::<u64>(), offset);
}

#[test]
fn streams_have_traces_of_their_own() {
    check(
        "go, java, python",
        "{}",
        &[
            "2:a.BException: x",
            "GET /",
            "2:\tat c.d(E.java:1)",
            "Traceback (most recent call last):",
            "2:end",
            "  File",
        ],
        &["GET /", "a.BException: x\n\tat c.d(E.java:1)", "end", "Traceback (most recent call last):\n  File"],
    );
}

#[test]
fn the_next_trace_ends_the_one_before() {
    check(
        "java, python",
        "{}",
        &["a.BException: x", "Traceback (most recent call last):", "  File", "c.DError: y", "e.FError: z", "\tat g"],
        &["a.BException: x", "Traceback (most recent call last):\n  File\nc.DError: y", "e.FError: z\n\tat g"],
    );
}

#[test]
fn blank_lines_stay() {
    check(
        "go",
        "{}",
        &["panic: x", "", "goroutine 1 [running]:", "main.main()", "\tm.go:1", "", "done"],
        &["panic: x\n\ngoroutine 1 [running]:\nmain.main()\n\tm.go:1\n\n", "done"],
    );
}

#[test]
fn the_last_line_tells() {
    let config = "multiline_parsers: [{name: semi, type: endswith, match_string: ';'}, \
                  {name: back, type: endswith, match_string: '\\', negate: on}, {name: end, type: equal, match_string: END}]";
    check("semi", config, &["a", "b;", "c;", "d"], &["a\nb;", "c;", "d"]);
    check("back", config, &["a \\", "b", "c"], &["a \\\nb", "c"]);
    check("end", config, &["a", "END of", "END", "b"], &["a\nEND of\nEND", "b"]);
}

#[test]
fn lines_go_through_a_parser_first() {
    let config = "{parsers: [{name: j, format: json}], multiline_parsers: [{name: m, type: endswith, match_string: ';', \
                  parser: j, key_content: t, key_group: g}]}";
    let (mut traces, mut batch, mut offset) = (traces("m", config, 1000), batch(), 0);
    let lines = [
        r#"{"t":"a1","g":"a","n":1}"#,
        r#"{"t":"b1","g":"b"}"#,
        "other",
        r#"{"t":"c1","g":"a"}"#,
        r#"{"t":"c2;","g":"a"}"#,
    ];
    feed(&mut traces, &mut batch, &mut offset, &lines);
    traces.flush(&mut batch);
    let mut found = Vec::new();
    for record in &batch.records {
        let mut out = Vec::new();
        crate::record::json::push_members(
            &mut out,
            &batch,
            &Record { time_text: Default::default(), ..*record },
            false,
        );
        found.push(String::from_utf8_lossy(&out).into_owned());
    }
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!((found[0].as_str(), found[1].as_str()), (r#""t":"a1","g":"a","n":1"#, r#""t":"b1","g":"b""#));
    assert!(found[2].contains("other"), "{found:?}");
    assert_eq!(found[3], r#""t":"c1\nc2;","g":"a""#);
}

/// A group for each request, and no end of any: the oldest go on.
#[test]
fn only_so_many_groups_are_open_at_once() {
    let config = "{parsers: [{name: j, format: json}], multiline_parsers: [{name: m, type: endswith, match_string: ';', \
                  parser: j, key_content: t, key_group: g}]}";
    let (mut traces, mut batch, mut offset) = (traces("m", config, 1000), batch(), 0);
    let lines: Vec<String> = (0..1500).map(|n| format!(r#"{{"t":"a","g":"{n}"}}"#)).collect();
    feed(&mut traces, &mut batch, &mut offset, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((traces.open.len(), batch.records.len()), (1000, 500));
    feed(&mut traces, &mut batch, &mut offset, &[r#"{"t":"b;","g":"1400"}"#]);
    traces.flush(&mut batch);
    assert_eq!((batch.records.len(), batch.counts.open, batch.counts.joined), (1500, 0, 1));
}

#[test]
fn what_is_over_the_limit_is_sent_marked_and_the_rest_goes_on() {
    let (mut traces, mut batch, mut offset) = (traces("java", "{}", 20), batch(), 0);
    feed(&mut traces, &mut batch, &mut offset, &["a.BError: x", "\tat aaaaaaaa", "\tat b", "\tat c", "end"]);
    let found: Vec<_> = texts(&batch).into_iter().zip(batch.records.iter().map(|r| r.truncated)).collect();
    let expect = [("a.BError: x\n\tat aaaaaaaa", true), ("\tat b\n\tat c", false), ("end", false)];
    assert_eq!(found, expect.map(|(text, cut)| (text.to_owned(), cut)));
    assert_eq!((batch.counts.truncated, batch.counts.open), (1, 0));
}

#[test]
fn an_open_trace_is_known_by_its_ranges() {
    let (mut traces, mut batch, mut offset) = (traces("java", "{}", 1000), batch(), 0);
    feed(&mut traces, &mut batch, &mut offset, &["2:a.BError: x", "2:\tat a", "other", "2:\tat b"]);
    let mut opened = Vec::new();
    traces.note(&mut opened);
    assert_eq!(opened.iter().map(|o| (o.start, o.end)).collect::<Vec<_>>(), [(0, 18), (24, 30)]);
    assert!(traces.closed.is_empty() && traces.is_open());
    let now = Instant::now();
    assert!(!traces.has_idle(now) && traces.has_idle(now + Duration::from_secs(5)));
    traces.flush_idle(&mut batch, now + Duration::from_secs(5), None);
    assert_eq!(traces.closed, [opened[0].id]);
    assert_eq!(texts(&batch), ["other", "a.BError: x\n\tat a\n\tat b"]);
    // A trace that begins and ends in one batch is nothing to note.
    feed(&mut traces, &mut batch, &mut offset, &["a.BError: x", "\tat a", "end"]);
    traces.closed.clear();
    opened.clear();
    traces.note(&mut opened);
    assert!(opened.is_empty() && traces.closed.is_empty());
}

#[test]
fn messages_say_for_themselves_what_belongs_together() {
    let multiline = Multiline::partial().of_key("log".into(), Duration::from_secs(2));
    let mut traces = Traces::new(Arc::new(multiline), 1000, &OpenBytes::default());
    let (mut batch, parser) = (batch(), crate::parse::parser("json", &[]).expect("it is built in"));
    for line in [
        r#"{"log":"whole"}"#,
        r#"{"log":"one ","s":1,"partial_message":"true","partial_id":"a","partial_ordinal":"1","partial_last":"false"}"#,
        r#"{"log":"other","partial_message":"true","partial_id":"b","partial_ordinal":"1","partial_last":"true"}"#,
        r#"{"log":"two","s":2,"partial_message":"true","partial_id":"a","partial_ordinal":"2","partial_last":"true"}"#,
    ] {
        let text = batch.append(line.as_bytes());
        batch.records.push(Record { text, ..Record::default() });
        let last = batch.records.len() - 1;
        parser.parse(&mut batch, last).expect("an object");
        traces.take_last(&mut batch, None);
    }
    let mut out = Vec::new();
    batch.records.iter().for_each(|r| crate::record::json::push_members(&mut out, &batch, r, false));
    assert_eq!(String::from_utf8_lossy(&out), r#""log":"whole""log":"other""log":"one two","s":1"#);
    assert!(!traces.is_open());
}

#[test]
fn no_line_is_lost_or_made() {
    use proptest::prelude::*;
    let line = prop_oneof![
        Just("a.BError: x"),
        Just("\tat a"),
        Just("Traceback (most recent call last):"),
        Just("  File"),
        Just("panic: x"),
        Just(""),
        Just("end"),
        Just("2:a.BError: y"),
        Just("2:\tat b"),
        Just("2:"),
    ];
    proptest!(|(lines in prop::collection::vec(line, 0..40), limit in 5..60_usize)| {
        let (mut traces, mut batch, mut offset) = (traces("go, java, python", "{}", limit), batch(), 0);
        feed(&mut traces, &mut batch, &mut offset, &lines);
        traces.flush(&mut batch);
        let bytes: u64 = batch.records.iter().map(|r| u64::from(r.bytes)).sum();
        prop_assert_eq!(bytes, offset);
        prop_assert_eq!(batch.counts.joined + batch.records.len() as u64, lines.len() as u64);
        prop_assert_eq!((batch.counts.open, batch.counts.open_bytes, traces.held_bytes()), (0, 0, 0));
    });
}
