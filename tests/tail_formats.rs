//! Files in other encodings, and Docker's lines in `docker_mode`.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use support::agent::poll;
use support::node::{Node, PATIENCE};

fn little(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn big(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[test]
fn a_file_of_units_goes_on_at_its_byte_after_a_restart() {
    let node = Node::plain().tail("unicode.encoding", "auto").tail("offset_key", "at");
    node.append("logs/a.log", little("\u{feff}grüße\r\nઊ ਊ 😀\nhalf"));
    node.append("logs/b.log", big("\u{feff}zwei\n"));
    node.append("logs/c.log", "plain é\n");
    let mut agent = node.start();
    node.expect_texts(&["grüße", "ઊ ਊ 😀", "zwei", "plain é"]);
    assert_eq!(agent.stop(), Some(0));
    let sent = node.sink.records();
    let offsets = sent.iter().filter(|r| r["log"] == "ઊ ਊ 😀").map(|r| r["at"].as_u64());
    assert_eq!(offsets.collect::<Vec<_>>(), [Some(16)]);
    // The other half of a unit comes later.
    node.append("logs/a.log", &little(" line\n")[..5]);
    let agent = node.start();
    node.append("logs/a.log", &little(" line\n")[5..]);
    node.append("logs/b.log", big("drei\n"));
    node.expect_texts(&["grüße", "ઊ ਊ 😀", "zwei", "plain é", "half line", "drei"]);
    drop(agent);
}

#[test]
fn the_end_of_a_file_of_units_is_the_end_of_a_line() {
    let node = Node::plain().tail("unicode.encoding", "UTF-16LE").tail("read_from_head", "off");
    // The first byte of the last sign is that of a line end.
    node.append("logs/a.log", little("old\nbegun ਊ\u{10a}"));
    let agent = node.start();
    node.append("logs/a.log", little(" here\nnew\n"));
    node.expect_texts(&["begun ਊ\u{10a} here", "new"]);
    drop(agent);
}

#[test]
fn a_long_line_of_units_is_cut_between_two() {
    let node = Node::plain().tail("unicode.encoding", "UTF-16BE").tail("buffer_max_size", "65537");
    let node = node.tail("buffer_chunk_size", "4k");
    let agent = node.start();
    node.append("logs/a.log", big(&format!("{}\nnext\n", "é".repeat(100_001))));
    assert!(poll(PATIENCE, || node.texts().len() == 2), "{:?}", node.texts().len());
    assert_eq!(node.texts()[0].chars().count(), 32_768);
    assert_eq!(node.sink.records()[0]["drave.truncated"], true);
    assert_eq!(node.texts()[1], "next");
    drop(agent);
}

#[test]
fn older_encodings_are_decoded() {
    let node = Node::plain().tail("generic.encoding", "ShiftJIS");
    node.append("logs/a.log", b"\x92\x8d\x95\xb6\r\nbad \x92\nend\n");
    let agent = node.start();
    node.expect_texts(&["注文", "bad \u{FFFD}", "end"]);
    drop(agent);
}

const PARSER: &str =
    "\nparsers:\n  - name: lines\n    format: json\n    time_key: time\n    time_format: '%Y-%m-%dT%H:%M:%S.%L%z'\n";

fn docker(text: &str, stream: &str, second: u32) -> String {
    format!("{{\"log\":\"{text}\",\"stream\":\"{stream}\",\"time\":\"2024-03-01T10:00:{second:02}.5Z\"}}\n")
}

#[test]
fn pieces_are_joined_before_the_parser_sees_them() {
    let node = Node::plain().tail("docker_mode", "on").tail("parser", "lines").more(PARSER);
    node.append("logs/a.log", docker("one, ", "stdout", 1) + &docker("err\\n", "stderr", 2));
    let mut agent = node.start();
    node.expect_texts(&["err\n"]);
    assert_eq!(agent.stop(), Some(0));
    // The piece is read again.
    node.append("logs/a.log", docker("two\\n", "stdout", 3));
    let agent = node.start();
    node.expect_texts(&["err\n", "one, two\n"]);
    let joined = &node.sink.records()[1];
    assert_eq!((joined["date"].as_f64(), &joined["time"]), (Some(1_709_287_203.5), &serde_json::Value::Null));
    drop(agent);
}

#[test]
fn what_stays_open_goes_after_docker_mode_flush() {
    let node = Node::plain().tail("docker_mode", "on").tail("parser", "docker").tail("docker_mode_flush", "1");
    let agent = node.start();
    node.append("logs/a.log", docker("login: ", "stdout", 1));
    sleep(Duration::from_millis(300));
    assert!(node.texts().is_empty());
    node.expect_texts(&["login: "]);
    node.append("logs/a.log", docker("ok\\n", "stdout", 2));
    node.expect_texts(&["login: ", "ok\n"]);
    drop(agent);
}

#[test]
fn lines_that_begin_no_record_go_on_with_the_one_before() {
    let node = Node::plain().tail("docker_mode", "on").tail("parser", "lines").tail("docker_mode_flush", "1");
    let node = node.tail("docker_mode_parser", "lines").more(PARSER);
    let agent = node.start();
    node.append("logs/a.log", docker("a\\n", "stdout", 1) + &docker("b\\n", "stdout", 2));
    // Each line is one that the parser takes: the last waits until nothing more comes.
    node.expect_texts(&["a\n"]);
    node.expect_texts(&["a\n", "b\n"]);
    drop(agent);
}

#[test]
fn a_file_has_one_encoding() {
    let node = Node::plain().tail("unicode.encoding", "auto").tail("generic.encoding", "GBK");
    fs::write(node.path("drave.yaml"), node.config()).unwrap();
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_drave"))
        .args(["check".as_ref(), node.path("drave.yaml").as_os_str()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("hint: a file has one encoding"), "{said}");
}
