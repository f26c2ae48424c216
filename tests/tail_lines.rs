//! Lines as they really are: long, half, in pieces, broken.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::agent::{Agent, poll};
use support::logs::ContainerLog;
use support::node::{Node, PATIENCE, number, numbers, write_numbers};

/// The value of a metric, with the labels as they stand there.
fn metric(agent: &Agent, name: &str) -> Option<f64> {
    let page = agent.page("/metrics");
    let line = page.lines().find(|line| line.starts_with(name))?;
    line.rsplit_once(' ')?.1.trim().parse().ok()
}

#[test]
fn a_line_longer_than_the_limit_is_cut_marked_and_counted() {
    let node = Node::plain().tail("buffer_max_size", "65536").tail("buffer_chunk_size", "8k");
    let node = node.service("http_server", "on").service("http_listen", "127.0.0.1").service("http_port", "0");
    let agent = node.start();
    let long = "y".repeat(300_000);
    node.append("logs/a.log", format!("{}{long}\n{}", numbers(1, 0..1), numbers(1, 1..2)));
    node.expect(2);
    let records = node.sink.records();
    assert_eq!(records.len(), 3);
    assert_eq!(records[1]["log"].as_str().unwrap().len(), 65_536);
    let marks: Vec<bool> = records.iter().map(|r| r["drave.truncated"] == true).collect();
    assert_eq!(marks, [false, true, false]);
    assert_eq!(metric(&agent, "drave_input_truncated_records_total"), Some(1.0));
    let dropped = metric(&agent, "drave_input_dropped_bytes_total{input=\"tail.0\",reason=\"long_line\"}");
    assert_eq!(dropped, Some(300_001.0 - 65_536.0), "{}", agent.page("/metrics"));
}

#[test]
fn a_line_longer_than_the_limit_can_be_left_out() {
    let node = Node::plain().tail("buffer_max_size", "65536").tail("skip_long_lines", "on");
    let node = node.service("http_server", "on").service("http_listen", "127.0.0.1").service("http_port", "0");
    let agent = node.start();
    for size in [65_536, 65_537, 1_000_000] {
        node.append("logs/a.log", "z".repeat(size) + "\n");
    }
    node.append("logs/a.log", numbers(1, 0..1));
    node.expect(1);
    let lengths: Vec<usize> = node.texts().iter().map(String::len).collect();
    assert_eq!(lengths, [65_536, 18]);
    let dropped = metric(&agent, "drave_input_dropped_bytes_total{input=\"tail.0\",reason=\"long_line\"}");
    assert_eq!(dropped, Some(1_065_539.0));
}

#[test]
fn a_long_line_that_is_written_in_small_parts_is_one_line() {
    let node = Node::plain().tail("buffer_chunk_size", "4k");
    let agent = node.start();
    for part in 0..20 {
        node.append("logs/a.log", format!("{part:01000}"));
        sleep(Duration::from_millis(20));
    }
    node.append("logs/a.log", "\n".to_owned() + &numbers(1, 0..1));
    node.expect_once(agent, 1);
    assert_eq!(node.texts()[0].len(), 20_000);
}

#[test]
fn pieces_without_end_keep_memory_bounded_and_lose_nothing() {
    let node = Node::new();
    let mut log = node.container("web-1");
    let agent = node.start();
    let text = "p".repeat(16 << 10);
    for n in 0..4096 {
        log.write_cri("stdout", "P", &(number(1, n) + &text));
    }
    log.write_cri("stdout", "F", &number(1, 4096));
    node.expect(4097);
    let peak = agent.peak_rss_bytes() >> 20;
    assert!(peak < 64, "{peak} MiB");
    let records = node.sink.records();
    assert!(records.iter().all(|r| r["log"].as_str().unwrap().len() < (2 << 20) + 20_000));
    let cut = records.iter().filter(|r| r["drave.truncated"] == true).count();
    assert_eq!(cut, records.len() - 1, "only the last one ends by itself");
    node.expect_once(agent, 4097);
}

#[test]
fn pieces_far_apart_are_joined_per_stream() {
    let node = Node::new();
    let mut log = node.container("web-1");
    let agent = node.start();
    log.write_cri("stdout", "P", "a");
    log.write_cri("stderr", "P", "x");
    sleep(Duration::from_millis(300));
    log.write_cri("stdout", "P", "b");
    log.write_cri("stderr", "F", "y");
    node.expect_texts(&["xy"]);
    sleep(Duration::from_millis(1500));
    log.write_cri("stdout", "F", "c");
    node.expect_texts(&["xy", "abc"]);
    drop(agent);
}

#[test]
fn pieces_are_joined_over_a_rotation() {
    let node = Node::new();
    let mut log = node.container("web-1");
    let mut agent = node.start();
    log.write_cri("stdout", "P", "a");
    log.write_cri("stderr", "F", "other");
    log.rename();
    log.reopen();
    // The rotated file is let go meanwhile.
    sleep(Duration::from_millis(1500));
    log.write_cri("stdout", "F", "b");
    node.expect_texts(&["other", "ab"]);
    assert_eq!(agent.stop(), Some(0));
    let mut agent = node.start();
    log.write_cri("stdout", "F", "c");
    node.expect_texts(&["other", "ab", "c"]);
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn pieces_are_joined_over_a_restart() {
    let node = Node::new();
    let mut log = node.container("web-1");
    let mut agent = node.start();
    log.write_cri("stdout", "P", "a");
    log.write_cri("stdout", "P", "b");
    log.write_cri("stderr", "P", "x");
    log.write_cri("stdout", "F", "c");
    log.write_cri("stdout", "P", "d");
    node.expect_texts(&["abc"]);
    assert_eq!(agent.stop(), Some(0));
    let mut agent = node.start();
    log.write_cri("stderr", "F", "y");
    node.expect_texts(&["abc", "xy"]);
    assert_eq!(agent.stop(), Some(0));
    let mut agent = node.start();
    log.write_cri("stdout", "F", "e");
    node.expect_texts(&["abc", "xy", "de"]);
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn pieces_are_joined_over_a_rotation_and_a_restart() {
    for compressed in [false, true] {
        let node = Node::new();
        let mut log = node.container("web-1");
        let mut agent = node.start();
        log.write_cri("stdout", "F", "first");
        log.write_cri("stdout", "P", "a");
        node.expect_texts(&["first"]);
        assert_eq!(agent.stop(), Some(0));
        log.rotate();
        log.reopen();
        if compressed {
            log.write_cri("stderr", "F", "between");
            log.rotate();
            log.reopen();
        }
        let mut agent = node.start();
        if compressed {
            node.expect_texts(&["first", "between"]);
        }
        assert_eq!(agent.stop(), Some(0));
        let agent = node.start();
        log.write_cri("stdout", "F", "b");
        assert!(poll(PATIENCE, || node.texts().last().is_some_and(|t| t == "ab")), "{:?}", node.texts());
        assert_eq!(node.texts().len(), if compressed { 3 } else { 2 });
        drop(agent);
    }
}

#[test]
fn a_killed_agent_joins_again_what_was_not_delivered() {
    let node = Node::new();
    let mut log = node.container("web-1");
    node.sink.answer_with(|_| support::sink::Act::status(503));
    let mut agent = node.start();
    log.write_cri("stdout", "P", "a");
    // The piece is committed before its end is there.
    sleep(Duration::from_millis(1500));
    log.write_cri("stdout", "F", "b");
    assert!(node.sink.wait_for_requests(1, PATIENCE));
    sleep(Duration::from_millis(1500));
    agent.kill();
    node.sink.answer_with(|_| support::sink::Act::status(200));
    let agent = node.start();
    node.expect_texts(&["ab"]);
    drop(agent);
}

#[test]
fn the_pieces_of_a_pod_that_ended_are_sent_as_they_are() {
    let node = Node::new();
    let mut log = node.container("web-1");
    let agent = node.start();
    log.write_cri("stdout", "P", "never ends");
    log.write_raw(b"2026-11-20T08:00:00Z stdout F half a li");
    sleep(Duration::from_millis(300));
    log.delete();
    assert!(poll(PATIENCE, || node.texts().len() == 1), "{:?}", node.texts());
    assert_eq!(node.texts(), ["never endshalf a li"]);
    drop(agent);
}

#[test]
fn half_a_line_waits_for_its_end() {
    let node = Node::plain();
    let mut agent = node.start();
    node.append("logs/a.log", "one\nha");
    node.expect_texts(&["one"]);
    sleep(Duration::from_millis(1300));
    node.append("logs/a.log", "lf");
    sleep(Duration::from_millis(300));
    node.append("logs/a.log", "\ntwo\nanother ha");
    node.expect_texts(&["one", "half", "two"]);
    assert_eq!(agent.stop(), Some(0));
    let agent = node.start();
    node.append("logs/a.log", "lf\n");
    node.expect_texts(&["one", "half", "two", "another half"]);
    drop(agent);
}

#[test]
fn half_a_line_behind_joined_pieces_is_read_as_soon_as_it_is_whole() {
    let node = Node::new();
    let mut log = node.container("web-1");
    let agent = node.start();
    let piece = "p".repeat(2000);
    let line = |tag: &str, text: &str| format!("2026-11-20T08:00:00Z stdout {tag} {text}");
    log.write_raw(format!("{}\n{}\n{}", line("P", &piece), line("F", "end"), line("F", "ha")).as_bytes());
    assert!(poll(PATIENCE, || node.texts().len() == 1));
    log.write_raw(b"lf\n");
    node.expect_texts(&[&(piece + "end"), "half"]);
    drop(agent);
}

#[test]
fn half_a_line_of_a_file_that_is_gone_is_sent_with_a_mark() {
    let node = Node::plain();
    let agent = node.start();
    node.append("logs/a.log", "one\nha");
    node.expect_texts(&["one"]);
    fs::remove_file(node.path("logs/a.log")).unwrap();
    node.expect_texts(&["one", "ha"]);
    assert_eq!(node.sink.records()[1]["drave.truncated"], true);
    drop(agent);
}

#[test]
fn odd_bytes_pass_and_odd_files_do_not_block() {
    let node = Node::plain();
    fs::create_dir(node.path("logs/folder.log")).unwrap();
    mknodat(CWD, node.path("logs/fifo.log"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    node.append("logs/empty.log", "");
    node.append("logs/a.log", b"\xef\xbb\xbfbom\r\n\ncrlf\r\n\0\0\nin\0ner\nbad \xff\xfe utf8\nlast\n");
    let agent = node.start();
    let expect = ["bom", "", "crlf", "\0\0", "in\0ner", "bad \u{fffd}\u{fffd} utf8", "last"];
    node.expect_texts(&expect);
    node.append("logs/empty.log", "no longer\n");
    assert!(poll(PATIENCE, || node.texts().last().is_some_and(|t| t == "no longer")));
    drop(agent);
}

#[test]
fn a_hole_at_the_beginning_of_a_file_is_passed_over() {
    let node = Node::plain();
    let agent = node.start();
    node.append("logs/a.log", "one\n");
    node.expect_texts(&["one"]);
    // A writer without O_APPEND after copytruncate: its next write stands where it was before.
    let file = fs::File::create(node.path("logs/a.log")).unwrap();
    file.set_len(3 << 20).unwrap();
    node.append("logs/a.log", "two\nthree\n");
    node.expect_texts(&["one", "two", "three"]);
    drop(agent);
}

#[test]
fn empty_lines_can_be_left_out() {
    let node = Node::plain().tail("skip_empty_lines", "on");
    let agent = node.start();
    node.append("logs/a.log", "\n\none\n\r\n\ntwo\n");
    node.expect_texts(&["one", "two"]);
    drop(agent);
}

#[test]
fn lines_that_are_no_container_lines_stay_as_they_are() {
    let node = Node::new();
    let mut log: ContainerLog = node.container("web-1");
    let agent = node.start();
    log.write_raw(b"not a container's line\n");
    write_numbers(&mut log, 1, 0..1);
    node.expect(1);
    assert_eq!(node.texts()[0], "not a container's line");
    drop(agent);
}
