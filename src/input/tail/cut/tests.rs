//! What is cut, wherever the blocks end.

use super::*;
use crate::input::tail::settings::Settings;
use crate::parse::encoding::Order;
use crate::record::{Counts, Source, SourceDraft};
use proptest::prelude::*;
use std::sync::Arc;

type Found = (u64, u32, bool, Vec<u8>);

/// Follows a file that grows by these sizes, as the follower does: blocks become larger until a line fits, what is left of a
/// block comes again with the next one, the rest of a line that is too long is passed over.
fn follow(settings: &Settings, file: &[u8], sizes: &[usize]) -> (Vec<Found>, Counts) {
    let (mut clock, mut joiner) =
        (Rfc3339::default(), Joiner::new(settings.joined_bytes_max).with_traces(settings.multiline.as_ref()));
    let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
    let source = Arc::clone(&batch.source);
    let limit = settings.line_bytes_max() + LINE_END_BYTES_MAX;
    let (mut found, mut sum) = (Vec::new(), Counts::default());
    let (mut at, mut end, mut skipping, mut sizes) = (0, 0, false, sizes.iter().cycle());
    loop {
        let is_last = end == file.len();
        let mut want = sizes.next().copied().unwrap_or(1);
        end = (end + want).min(file.len());
        loop {
            batch.reset(&source, key_names(settings));
            batch.text.extend_from_slice(&file[at..end.min(at + want)]);
            let got = batch.text.len();
            let charset = settings.charset.of_file(file.first_chunk().copied());
            let (clock, joiner) = (&mut clock, &mut joiner);
            let mut cutting = Cutting { settings, charset, clock, joiner, offset: at as u64, now_ns: 0 };
            let consumed = if skipping {
                let (skipped, is_over) = cutting.skip(&mut batch);
                skipping = !is_over;
                skipped
            } else {
                match cutting.lines(&mut batch) {
                    0 if got >= limit => {
                        skipping = true;
                        cutting.long_line(&mut batch)
                    }
                    0 if is_last && end == at + got => cutting.last_line(&mut batch, 0..got, false),
                    consumed => consumed,
                }
            };
            want = if consumed == 0 { (want * 2).min(limit).max(got + 1) } else { want };
            let nothing_more = consumed == 0 && end == at + got;
            at += consumed;
            add(&mut sum, &batch.counts);
            found.extend(batch.records.iter().map(|r| (r.offset, r.bytes, r.truncated, batch.bytes(r.text).to_vec())));
            if nothing_more || at == end {
                break;
            }
        }
        if is_last {
            break;
        }
    }
    batch.reset(&source, key_names(settings));
    flush_joiner(settings, &mut joiner, &mut batch);
    add(&mut sum, &batch.counts);
    found.extend(batch.records.iter().map(|r| (r.offset, r.bytes, r.truncated, batch.bytes(r.text).to_vec())));
    // Of a line that is passed over, half a unit at the end waits for its other half.
    assert!(at == file.len() || skipping && at + 1 == file.len(), "every byte is passed over");
    let dropped: (u64, u64) = sum.dropped.iter().fold((0, 0), |all, d| (all.0 + d.1, all.1 + d.2));
    let kept: u64 = found.iter().map(|f| u64::from(f.1)).sum();
    assert_eq!(sum.read_bytes, kept + dropped.1, "every byte is accounted for");
    assert_eq!(sum.read, found.len() as u64 + sum.joined + dropped.0);
    assert_eq!((sum.open, sum.open_bytes), (0, 0));
    (found, sum)
}

fn add(sum: &mut Counts, counts: &Counts) {
    sum.read += counts.read;
    sum.read_bytes += counts.read_bytes;
    sum.joined += counts.joined;
    sum.truncated += counts.truncated;
    sum.open += counts.open;
    sum.open_bytes += counts.open_bytes;
    counts.dropped.iter().for_each(|(reason, records, bytes)| sum.drop(*reason, *records, *bytes));
}

#[test]
fn each_record_that_was_cut_counts_once() {
    let cri = |tag: &str, text: &str| format!("2026-01-01T00:00:00Z stdout {tag} {text}\n");
    let settings = Settings::for_test("path: /x/*.log, buffer_max_size: 40, multiline.parser: cri");
    let long = "x".repeat(60);
    let file = [cri("P", &long), cri("P", &long), cri("F", "end"), cri("F", &long), cri("F", "short")].concat();
    let (found, counts) = follow(&settings, file.as_bytes(), &[file.len()]);
    assert_eq!(found.iter().map(|f| f.2).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(counts.truncated, 2);
}

#[test]
fn what_is_left_of_a_line_of_dockers_has_no_tag_of_cri() {
    let settings = Settings::for_test("path: /x/*.log, multiline.parser: 'docker, cri'");
    let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
    let source = Arc::clone(&batch.source);
    let mut joiner = Joiner::new(1000);
    let line = r#"{"log":"open","stream":"stdout","attrs":{"a":"b"},"time":"2026-01-01T00:00:00Z"}"#;
    batch.text.extend_from_slice(format!("{line}\n").as_bytes());
    let mut clock = Rfc3339::default();
    let charset = settings.charset.of_file(None);
    Cutting { settings: &settings, charset, clock: &mut clock, joiner: &mut joiner, offset: 0, now_ns: 0 }
        .lines(&mut batch);
    batch.reset(&source, key_names(&settings));
    flush_joiner(&settings, &mut joiner, &mut batch);
    assert_eq!(batch.keys, &KeyNames::DOCKER);
    let record = batch.records[0];
    let keys: Vec<&[u8]> = batch.fields_of(&record).iter().map(|f| batch.bytes(f.key)).collect();
    assert_eq!((batch.bytes(record.text), keys), (&b"open"[..], vec![&b"attrs"[..]]));
}

fn texts(settings: &Settings, file: &[u8]) -> Vec<(bool, String)> {
    let (found, _) = follow(settings, file, &[file.len().max(1)]);
    found.into_iter().map(|f| (f.2, String::from_utf8(f.3).expect("text"))).collect()
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..50_usize, 1..8)
}

#[test]
fn blocks_cut_anywhere_give_the_lines_of_the_file() {
    let settings = Settings::for_test("path: /x/*.log");
    // No NUL and no byte order mark in front of a line: these are left out.
    let byte = prop_oneof![3 => Just(b'\n'), 10 => 1..=0xee_u8];
    proptest!(|(file in prop::collection::vec(byte, 0..400), sizes in sizes())| {
        let mut expect = Vec::new();
        let mut offset = 0;
        for line in file.split_inclusive(|b| *b == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            expect.push((offset, line.len() as u32, false, text.strip_suffix(b"\r").unwrap_or(text).to_vec()));
            offset += line.len() as u64;
        }
        prop_assert_eq!(follow(&settings, &file, &sizes).0, expect);
    });
}

#[test]
fn limits_and_returns_do_not_depend_on_the_blocks() {
    let of = |options: &str| Settings::for_test(&format!("path: /x/*.log, buffer_max_size: 6, {options}"));
    let all = [of("key: a"), of("skip_long_lines: on"), of("skip_empty_lines: on"), of("generic.encoding: GBK")];
    let byte = prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), Just(0xc3), Just(0xa9)];
    proptest!(|(file in prop::collection::vec(byte, 0..80), sizes in sizes())| {
        for settings in &all {
            let (whole, counts) = follow(settings, &file, &[file.len().max(1)]);
            let (found, again) = follow(settings, &file, &sizes);
            prop_assert_eq!(found, whole);
            prop_assert_eq!(again.truncated, counts.truncated);
        }
    });
}

#[test]
fn lines_around_the_limit() {
    let settings = Settings::for_test("path: /x/*.log, buffer_max_size: 4");
    for (file, expect) in [
        ("abc\nabcd\nabcde\n", vec![(false, "abc"), (false, "abcd"), (true, "abcd")]),
        ("abc\r\nabcd\r\nabcde\r\n", vec![(false, "abc"), (false, "abcd"), (true, "abcd")]),
        ("abcéx\n", vec![(true, "abc")]),
        ("\0\0\0\0\0abcd\n\0x\n", vec![(false, "abcd"), (false, "\0x")]),
        ("abcdefghijklmnop\nx", vec![(true, "abcd"), (false, "x")]),
        ("\u{feff}abcd\n\n", vec![(false, "abcd"), (false, "")]),
    ] {
        let expect: Vec<_> = expect.into_iter().map(|(cut, text)| (cut, text.to_owned())).collect();
        assert_eq!(texts(&settings, file.as_bytes()), expect, "{file:?}");
    }
}

#[test]
fn lines_of_units_are_cut_by_units() {
    let settings = Settings::for_test("path: /x/*.log, buffer_max_size: 9, unicode.encoding: auto");
    let encode = |text: &str, order: Order| -> Vec<u8> {
        let unit = |u: u16| if order == Order::Little { u.to_le_bytes() } else { u.to_be_bytes() };
        format!("\u{feff}{text}").encode_utf16().flat_map(unit).collect()
    };
    for order in [Order::Little, Order::Big] {
        let found = texts(&settings, &encode("\0\0abcd\r\nabcde\nabc😀\nऊ\u{a0a}\u{10a}\n\n", order));
        let expect = [(false, "abcd"), (true, "abcd"), (true, "abc"), (false, "ऊ\u{a0a}\u{10a}"), (false, "")];
        assert_eq!(found, expect.map(|(cut, text)| (cut, text.to_owned())));
    }
    proptest!(|(text in "[ab\r\n\u{a0a}\u{10a}😀]{0,60}", big: bool, odd in prop::option::of(any::<u8>()), sizes in sizes())| {
        let mut file = encode(&text, if big { Order::Big } else { Order::Little });
        file.extend(odd);
        let (whole, _) = follow(&settings, &file, &[file.len()]);
        // A first byte alone says nothing of the other: the follower looks again when it is there.
        prop_assert_eq!(follow(&settings, &file, &sizes).0, whole);
    });
}

#[test]
fn container_lines_cut_anywhere_give_the_same_records() {
    let cri = ("std(out|err)", "[PF]", "[a-z ]{0,30}")
        .prop_map(|(s, t, text)| format!("2026-01-01T00:00:00Z {s} {t} {text}\n"));
    let docker = ("[a-z ]{0,30}(\\\\n)?", "std(out|err)")
        .prop_map(|(t, s)| format!("{{\"log\":\"{t}\",\"stream\":\"{s}\",\"time\":\"2026-01-01T00:00:00Z\"}}\n"));
    let trace = ("std(out|err)", prop::sample::select(vec!["a.BError: x", "\tat c", "... 1 more", "panic: y", ""]))
        .prop_map(|(s, text)| format!("2026-01-01T00:00:00Z {s} F {text}\n"));
    let line = prop_oneof![4 => cri, 4 => docker, 4 => trace, 1 => "[{a-z]{0,9}\n"];
    let of = |options: &str| Settings::for_test(&format!("path: /x/*.log, buffer_max_size: 70, {options}"));
    let all = [
        of("multiline.parser: 'docker, cri'"),
        of("parser: cri"),
        of("multiline.parser: 'docker, cri, go, java'"),
        of("multiline.parser: java"),
        of("docker_mode: on"),
        of("docker_mode: on, docker_mode_parser: json, parser: docker"),
    ];
    proptest!(|(lines in prop::collection::vec(line, 0..20), sizes in prop::collection::vec(1..90_usize, 1..8))| {
        let file = lines.concat().into_bytes();
        for settings in &all {
            let whole = follow(settings, &file, &[file.len().max(1)]).0;
            prop_assert_eq!(follow(settings, &file, &sizes).0, whole);
        }
    });
}

#[test]
fn pieces_are_joined_first_and_traces_then() {
    let cri = |stream: &str, tag: &str, text: &str| format!("2026-01-01T00:00:00Z {stream} {tag} {text}\n");
    let file = [
        cri("stderr", "F", "a.BError: x"),
        cri("stderr", "P", "\tat "),
        cri("stdout", "F", "GET /"),
        cri("stderr", "F", "c(D.java:1)"),
        cri("stderr", "F", "\t... 1 more"),
        cri("stderr", "F", "alive"),
    ];
    let settings = Settings::for_test("path: /x/*.log, multiline.parser: 'docker, cri, java'");
    let expect = ["GET /", "a.BError: x\n\tat c(D.java:1)\n\t... 1 more", "alive"];
    assert_eq!(texts(&settings, file.concat().as_bytes()), expect.map(|text| (false, text.to_owned())));
}

#[test]
fn lines_of_files_keep_their_ends() {
    let settings = Settings::for_test("path: /x/*.log, multiline.parser: java");
    let expect = ["one\n", "a.BError: x\n\tat c\n", "two"];
    let found = texts(&settings, b"one\r\na.BError: x\n\tat c\ntwo");
    assert_eq!(found, expect.map(|text| (false, text.to_owned())));
}

#[test]
fn pieces_are_joined_inside_their_json() {
    let line = |text: &str, stream: &str, n: u8| format!(r#"{{"log":"{text}","stream":"{stream}","n":{n}}}"#);
    let settings = Settings::for_test("path: /x/*.log, docker_mode: on");
    let lines = [
        line(r"whole\n", "stdout", 1),
        line(r"a\\", "stdout", 2),
        line(r"x\n", "stderr", 3),
        line(r"b\n", "stdout", 4),
        line("open", "stdout", 5),
        "no json".into(),
        line("last", "stdout", 6),
    ];
    let found = texts(&settings, lines.join("\n").as_bytes());
    let expect = [
        line(r"whole\n", "stdout", 1),
        line(r"x\n", "stderr", 3),
        line(r"a\\b\n", "stdout", 4),
        line("open", "stdout", 5),
        "no json".into(),
        line("last", "stdout", 6),
    ];
    assert_eq!(found, expect.map(|text| (false, text)));
}
