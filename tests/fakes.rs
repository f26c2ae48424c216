//! The fakes themselves: a test is as true as they are.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::io::Read;
use std::path::Path;

use support::http::Head;
use support::logs::ContainerLog;
use support::loki::{Entry, Push};
use support::sink::Request;
use support::tally::Tally;

#[test]
fn a_tally_counts_what_came_twice_late_or_never() {
    let mut tally = Tally::default();
    tally.add(br#"{"log":"seq=0001-00000000; a"}{"log":"seq=0001-00000003; b"} seq=0002-00000000;"#);
    tally.add(b"seq=0001-00000001; seq=0001-00000003; seq=12 seq=0001-0000000x; seq=");
    let counts = tally.counts();
    assert_eq!((counts.distinct, counts.duplicates, counts.disorder), (4, 1, 1));
    assert_eq!(counts.gaps.into_iter().collect::<Vec<_>>(), [(1, vec![2])]);
}

#[test]
fn a_container_log_is_rotated_as_kubelet_does() {
    let root = tempfile::tempdir().unwrap();
    let mut log = ContainerLog::create(root.path(), "shop", "web-1", "uid", "main", 0);
    assert!(log.path.ends_with("pods/shop_web-1_uid/main/0.log"));
    assert_eq!(log.link.file_name().unwrap().len(), "web-1_shop_main-.log".len() + 64);
    for generation in 0..7 {
        log.write_cri("stdout", "F", &format!("generation {generation}"));
        log.rotate();
        log.write_cri("stdout", "F", &format!("late {generation}"));
        log.reopen();
    }
    let rotated = log.rotated();
    assert_eq!(rotated.len(), 4, "{rotated:?}");
    for (path, generation) in rotated.iter().zip(3..) {
        let text = text(path);
        let lines: Vec<&str> = text.lines().map(|line| line.split(" F ").nth(1).unwrap()).collect();
        assert_eq!(lines, [format!("generation {generation}"), format!("late {generation}")]);
        assert_eq!(path.extension().unwrap() == "gz", generation < 6, "{path:?}");
    }
    assert_eq!(fs::read(&log.link).unwrap(), b"");
}

#[test]
fn a_container_log_may_be_emptied_or_come_back() {
    let root = tempfile::tempdir().unwrap();
    let mut log = ContainerLog::create(root.path(), "shop", "web-1", "uid", "main", 2);
    log.write_raw(b"one\n");
    let rotated = log.rename();
    log.rename_back(&rotated);
    log.copytruncate();
    log.write_raw(b"two\n");
    assert_eq!(fs::read(&log.path).unwrap(), b"two\n");
    log.delete();
    assert!(!log.path.exists() && log.link.symlink_metadata().is_err());
}

/// A push of one stream with one entry, written by hand.
const PUSH: &[u8] =
    b"\x0a\x20\x0a\x09{a=\"\\\"b\"}\x12\x13\x0a\x05\x08\x02\x10\xac\x02\x12\x02hi\x1a\x06\x0a\x01k\x12\x01v";

fn push(content_type: &str, body: Vec<u8>) -> Result<Push, String> {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    let head = Head { method: "POST".into(), target: "/loki/api/v1/push".into(), headers };
    Push::read(&Request { head, body, connection: 0, sni: None, accepted: true })
}

#[test]
fn a_loki_reads_both_forms_and_nothing_else() {
    let snappy = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
    let json = br#"{"streams":[{"stream":{"a":"\"b"},"values":[["2000000300","hi",{"k":"v"}]]}]}"#;
    for (content_type, body) in [("application/x-protobuf", snappy(PUSH)), ("application/json", json.to_vec())] {
        let entries = push(content_type, body).unwrap().entries;
        let pair = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
        let expect =
            Entry { labels: pair("a", "\"b"), time_ns: 2_000_000_300, line: "hi".into(), metadata: pair("k", "v") };
        assert_eq!(entries, [expect], "{content_type}");
    }
    for (content_type, body) in [
        ("application/x-protobuf", PUSH.to_vec()),
        ("application/x-protobuf", snappy(&PUSH[..PUSH.len() - 1])),
        ("application/x-protobuf", snappy(b"\x0a\x07\x0a\x05{a=b}")),
        ("application/json", br#"{"streams":[{"stream":{"a":1},"values":[]}]}"#.to_vec()),
        ("text/plain", json.to_vec()),
    ] {
        assert!(push(content_type, body.clone()).is_err(), "{content_type} {body:?}");
    }
}

fn text(path: &Path) -> String {
    let file = fs::File::open(path).unwrap();
    let mut text = String::new();
    match path.extension().unwrap().to_str() {
        Some("gz") => flate2::read::GzDecoder::new(file).read_to_string(&mut text),
        _ => (&file).read_to_string(&mut text),
    }
    .unwrap();
    text
}
