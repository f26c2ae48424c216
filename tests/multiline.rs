//! Traces in the logs of containers, while clocks tick, files are rotated and agents end or are killed.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;
use support::agent::poll;
use support::logs::ContainerLog;
use support::node::{Node, PATIENCE};

const HEAD: &str = "Exception in thread \"main\" java.lang.IllegalStateException: order 17";
const FRAME: &str = "\tat com.shop.order.OrderService.submit(OrderService.java:88)";
const CAUSE: &str = "Caused by: java.lang.NullPointerException";

fn java() -> Node {
    Node::new().tail("multiline.parser", "docker, cri, java")
}

fn write(log: &mut ContainerLog, stream: &str, lines: &[&str]) {
    lines.iter().for_each(|line| log.write_cri(stream, "F", line));
}

fn trace() -> String {
    [HEAD, FRAME, CAUSE, FRAME].join("\n")
}

#[test]
fn a_trace_is_not_cut_by_a_tick() {
    let node = java();
    let mut log = node.container("web-1");
    let agent = node.start();
    write(&mut log, "stderr", &[HEAD, FRAME]);
    // The other stream goes on, and clocks tick meanwhile.
    for n in 0..8 {
        sleep(Duration::from_millis(200));
        write(&mut log, "stdout", &[&format!("GET /{n}")]);
    }
    log.write_cri("stderr", "P", &CAUSE[..9]);
    sleep(Duration::from_millis(300));
    log.write_cri("stderr", "F", &CAUSE[9..]);
    write(&mut log, "stderr", &[FRAME]);
    // Nothing follows: it comes when it has waited long enough.
    assert!(poll(PATIENCE, || node.texts().len() == 9), "{:?}", node.texts());
    assert_eq!(node.texts()[8], trace());
    drop(agent);
}

#[test]
fn an_open_trace_goes_on_after_a_stop_a_kill_and_a_rotation() {
    let node = java();
    let mut log = node.container("web-1");
    let mut agent = node.start();
    write(&mut log, "stdout", &["up"]);
    write(&mut log, "stderr", &[HEAD]);
    node.expect_texts(&["up"]);
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    assert_eq!(node.texts(), ["up"], "what is open waits for the next start");
    let mut agent = node.start();
    write(&mut log, "stderr", &[FRAME]);
    write(&mut log, "stdout", &["alive"]);
    node.expect_texts(&["up", "alive"]);
    // Its row is written once a second.
    sleep(Duration::from_millis(1500));
    agent.signal(Signal::KILL);
    agent.wait(PATIENCE);
    log.rotate();
    log.reopen();
    write(&mut log, "stderr", &[CAUSE]);
    let agent = node.start();
    write(&mut log, "stderr", &[FRAME, "end"]);
    assert!(poll(PATIENCE, || node.texts().iter().any(|text| text == "end")), "{:?}", node.texts());
    let texts = node.texts();
    assert_eq!(texts.iter().filter(|text| text.contains("Exception")).collect::<Vec<_>>(), [&trace()], "{texts:?}");
    drop(agent);
}

/// Of what is noted of a batch, pieces come before the lines of traces; they are read again in the order of the file.
#[test]
fn an_open_trace_with_a_line_in_pieces_goes_on_after_a_stop() {
    let node = java();
    let mut log = node.container("web-1");
    write(&mut log, "stdout", &["up"]);
    write(&mut log, "stderr", &[HEAD]);
    log.write_cri("stderr", "P", &CAUSE[..9]);
    log.write_cri("stderr", "F", &CAUSE[9..]);
    write(&mut log, "stderr", &[FRAME]);
    let mut agent = node.start();
    node.expect_texts(&["up"]);
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    let agent = node.start();
    write(&mut log, "stderr", &["end"]);
    node.expect_texts(&["up", &[HEAD, CAUSE, FRAME].join("\n"), "end"]);
    drop(agent);
}

#[test]
fn a_trace_without_end_is_cut_marked_and_loses_nothing() {
    let node = java().service("multiline_buffer_limit", "10000");
    let mut log = node.container("web-1");
    let agent = node.start();
    let frames: Vec<String> = (0..1000).map(|n| format!("\tat com.shop.C{n:04}.run(C.java:1)")).collect();
    write(&mut log, "stderr", &[HEAD]);
    write(&mut log, "stderr", &frames.iter().map(String::as_str).collect::<Vec<_>>());
    write(&mut log, "stderr", &["end"]);
    assert!(poll(PATIENCE, || node.texts().iter().any(|text| text == "end")), "{:?}", node.texts().len());
    let records = node.sink.records();
    let (last, traces) = records.split_last().unwrap();
    assert_eq!(last["log"], "end");
    let marked = traces.iter().filter(|record| record["drave.truncated"] == true).count();
    assert_eq!(marked, traces.len() - 1, "only the last one ends by itself");
    let lines: Vec<String> = node.texts()[..traces.len()].iter().flat_map(|t| t.split('\n')).map(Into::into).collect();
    assert_eq!(lines[1..], frames);
    drop(agent);
}

#[test]
fn the_filter_sends_what_nothing_follows_and_loses_nothing_by_a_kill() {
    let filter =
        "  filters:\n    - name: multiline\n      match: '*'\n      multiline.parser: java\n      flush_ms: 500\n";
    let node = Node::new().more(filter);
    let mut log = node.container("web-1");
    let mut agent = node.start();
    write(&mut log, "stdout", &["up", HEAD, FRAME]);
    node.expect_texts(&["up", &[HEAD, FRAME].join("\n")]);
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    let mut agent = node.start();
    write(&mut log, "stdout", &[HEAD]);
    sleep(Duration::from_millis(200));
    agent.signal(Signal::KILL);
    agent.wait(PATIENCE);
    let agent = node.start();
    write(&mut log, "stdout", &["end"]);
    assert!(poll(PATIENCE, || node.texts().iter().any(|text| text == "end")), "{:?}", node.texts());
    assert!(node.texts()[2..].iter().any(|text| text == HEAD), "{:?}", node.texts());
    drop(agent);
}

#[test]
fn the_older_form_joins_over_a_restart() {
    let parser = "\nparsers:\n  - name: first\n    format: regex\n    regex: '^(?<level>[A-Z]+) (?<message>.*)'\n";
    let node = Node::plain().tail("multiline", "on").tail("parser_firstline", "first").tail("multiline_flush", "3");
    let node = node.more(parser);
    node.append("logs/a.log", "INFO up\nERROR failed\n  at a\n");
    let mut agent = node.start();
    let messages = || -> Vec<String> {
        node.sink.records().iter().map(|r| r["message"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert!(poll(PATIENCE, || messages() == ["up"]), "{:?}", messages());
    assert_eq!(agent.stop(), Some(0));
    node.append("logs/a.log", "\n  at b\nWARN last\n");
    let agent = node.start();
    assert!(poll(PATIENCE, || messages().len() == 3), "{:?}", messages());
    assert_eq!(messages(), ["up", "failed\n  at a\n\n  at b", "last"]);
    drop(agent);
}
