//! Records that a server refuses are found, counted and kept; the others arrive.

use crate::support::sink::{Act, Sink};
use crate::support::site::{Running, SOON, Site, http, numbered};
use crate::{assert_balanced, with_spool};
use std::time::Duration;

const DEAD_LETTER: [&str; 2] = ["flush: 100ms", "storage.dead_letter: dead.jsonl"];

/// Refuses each request that holds one of these records.
fn poisoned(sink: &Sink, numbers: &[u32]) {
    let marks: Vec<String> = numbers.iter().map(|n| format!("seq=0001-{n:08};")).collect();
    sink.answer_with(move |request| {
        let text = String::from_utf8_lossy(&request.body);
        let bad = marks.iter().any(|mark| text.contains(mark));
        Act::status(if bad { 400 } else { 200 }).with_body(if bad { "field `x` is no number" } else { "" })
    });
}

fn letters(running: &Running) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(running.agent.folder().join("dead.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn finds(service: &[&str], numbers: &[u32]) {
    let sink = Sink::start();
    poisoned(&sink, numbers);
    let site = Site::new().service(service);
    site.write("a.log", 1, 0..1000);
    let running = site.start(&[http(sink.address, &[])]);
    let refused = numbers.len() as i64;
    let metrics = running.wait_delivered("http.0", 1000 - refused);
    assert_balanced(&metrics, "http.0");
    assert_eq!(metrics.sum("drave_output_refused_records_total", ("reason", "http_400")), refused);
    let counts = sink.counts();
    assert_eq!((counts.distinct, counts.duplicates), (1000 - numbers.len() as u64, 0), "{counts:?}");
    let mut pieces: Vec<String> =
        letters(&running).iter().map(|letter| letter["piece"].as_str().unwrap().to_owned()).collect();
    pieces.sort();
    assert_eq!(pieces.len(), numbers.len());
    for (piece, number) in pieces.iter().zip(numbers) {
        assert!(piece.contains(&format!("seq=0001-{number:08};")), "{piece}");
    }
    let letter = &letters(&running)[0];
    assert_eq!((letter["output"].as_str(), letter["reason"].as_str()), (Some("http.0"), Some("http_400")));
    assert!(letter["message"].as_str().unwrap().contains("field `x` is no number"), "{letter}");
    assert!(letter["source"].as_str().unwrap().ends_with("a.log"), "{letter}");
}

#[test]
fn one_bad_record_among_a_thousand() {
    finds(&DEAD_LETTER, &[437]);
}

#[test]
fn bad_records_next_to_each_other_at_the_beginning() {
    finds(&DEAD_LETTER, &[0, 1, 999]);
}

#[test]
fn more_bad_ones_also_with_a_spool() {
    finds(&with_spool(&["storage.dead_letter: dead.jsonl"]), &[0, 1, 2, 3, 500]);
}

#[test]
fn a_bad_record_alone_is_found_when_another_one_arrives() {
    let sink = Sink::start();
    poisoned(&sink, &[0]);
    let site = Site::new().service(&DEAD_LETTER);
    site.write("a.log", 1, 0..1);
    let running = site.start(&[http(sink.address, &[])]);
    assert!(sink.wait_for_requests(1, SOON));
    running.write("a.log", 1, 1..10);
    running.wait_delivered("http.0", 9);
    assert_eq!(letters(&running).len(), 1);
}

#[test]
fn when_all_is_refused_it_is_not_the_records() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(400).with_body("no such stream"));
    let site = Site::new().service(&DEAD_LETTER);
    site.write("a.log", 1, 0..1000);
    let running = site.start(&[http(sink.address, &[])]);
    assert!(running.agent.wait_for_stderr("the data is kept", SOON), "{}", running.agent.stderr());
    let asked = sink.requests().len();
    assert!(asked <= 24, "{asked} requests");
    let metrics = running.metrics();
    assert_eq!(metrics.sum("drave_output_pending_records", ("output", "http.0")), 1000);
    let line =
        running.agent.stderr().lines().find(|line| line.contains("the data is kept")).map(str::to_owned).unwrap();
    assert!(line.contains("ERROR") && line.contains("no such stream") && line.contains("hint: "), "{line}");
    // Its administrator makes the stream.
    sink.answer_with(|_| Act::status(200));
    running.wait_delivered("http.0", 1000);
    crate::assert_exactly(&sink, 1000);
    assert!(letters(&running).is_empty());
}

#[test]
fn several_requests_that_are_all_refused_are_asked_seldom() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(400));
    let site = Site::new().service(&DEAD_LETTER);
    site.write("a.log", 1, 0..5000);
    let running = site.start(&[http(sink.address, &["batch_bytes_max: 64k", "in_flight_max: 8"])]);
    assert!(running.agent.wait_for_stderr("the data is kept", SOON), "{}", running.agent.stderr());
    assert!(!sink.wait_for_requests(70, Duration::from_secs(4)), "{} requests", sink.requests().len());
    sink.answer_with(|_| Act::status(200));
    running.wait_delivered("http.0", 5000);
    crate::assert_exactly(&sink, 5000);
}

#[test]
fn a_bad_record_does_not_stop_what_comes_behind_it() {
    let sink = Sink::start();
    poisoned(&sink, &[10, 1010, 2010]);
    let site = Site::new().service(&DEAD_LETTER);
    let running = site.start(&[http(sink.address, &[])]);
    for round in 0..30 {
        running.write_raw("a.log", &numbered(1, round * 100..round * 100 + 100));
    }
    running.wait_delivered("http.0", 2997);
    assert_eq!(letters(&running).len(), 3);
}
