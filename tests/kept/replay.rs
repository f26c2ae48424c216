//! Records that a destination refused are sent again by `drave replay`.

use crate::support::sink::{Act, Request, Sink};
use crate::support::site::{Running, Site, http};
use crate::{drave, text};
use std::fs;

const SERVICE: &[&str] = &["flush: 100ms", "storage.dead_letter: dead.jsonl"];

/// Refuses what has a record of file 2 in it.
fn refuse_file_2(request: &Request) -> Act {
    let refused = text(&request.body).contains("seq=0002-");
    Act::status(if refused { 400 } else { 200 }).with_body("no such field")
}

/// 5 records of file 2 were refused, those of file 1 arrived.
fn with_dead_letters(sink: &Sink, options: &[&str]) -> Running {
    sink.answer_with(refuse_file_2);
    let site = Site::new().service(SERVICE);
    site.write("a.log", 1, 0..20);
    site.write("b.log", 2, 0..5);
    let mut running = site.start(&[http(sink.address, options)]);
    running.wait_for("5 refusals", |m| m.sum("drave_output_refused_records_total", ("reason", "http_400")) == 5);
    let requests = sink.requests().len();
    assert!(requests < 60, "{requests} requests to find 5 records");
    assert_eq!(running.agent.stop(), Some(0));
    running
}

fn lines(running: &Running, file: &str) -> usize {
    fs::read_to_string(running.agent.folder().join(file)).map_or(0, |text| text.lines().count())
}

#[test]
fn what_was_refused_arrives_once_the_destination_takes_it() {
    let sink = Sink::start();
    let running = with_dead_letters(&sink, &["alias: shop"]);
    let folder = running.agent.folder();
    assert_eq!(lines(&running, "dead.jsonl"), 5);
    let before = fs::read(folder.join("dead.jsonl")).unwrap();

    let refused = drave(&["replay", "dead.jsonl", "--output", "shop", "-c", "drave.yaml"], folder);
    let said = text(&refused.stdout);
    assert_eq!(refused.status.code(), Some(1), "{said}{}", text(&refused.stderr));
    assert!(said.contains("delivered 0, refused again 5") && said.contains("dead.jsonl.left"), "{said}");
    assert_eq!(lines(&running, "dead.jsonl.left"), 5);
    assert_eq!(fs::read(folder.join("dead.jsonl")).unwrap(), before, "the file is not changed");

    sink.answer_with(|_| Act::status(200));
    let replayed = drave(&["replay", "dead.jsonl.left", "-o", "shop", "-c", "drave.yaml"], folder);
    assert_eq!(replayed.status.code(), Some(0), "{}", text(&replayed.stderr));
    assert!(text(&replayed.stdout).starts_with("delivered 5, refused again 0"), "{}", text(&replayed.stdout));
    assert_eq!(lines(&running, "dead.jsonl.left.left"), 0);
    let counts = sink.counts();
    assert_eq!((counts.distinct, counts.duplicates, counts.gaps.len()), (25, 0, 0), "{counts:?}");
}

#[test]
fn a_line_that_is_no_letter_is_said_and_the_others_are_sent() {
    let sink = Sink::start();
    let running = with_dead_letters(&sink, &[]);
    let path = running.agent.folder().join("dead.jsonl");
    let mut letters: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    letters.insert(1, "what is this?".into());
    letters[3] = letters[3].replace("\"http.0\"", "\"other\"");
    fs::write(&path, letters.join("\n")).unwrap();
    sink.answer_with(|_| Act::status(200));
    let replayed = drave(&["replay", "dead.jsonl", "--output", "http.0", "-c", "drave.yaml"], running.agent.folder());
    assert_eq!(replayed.status.code(), Some(1));
    let (said, errors) = (text(&replayed.stdout), text(&replayed.stderr));
    assert_eq!(said, "delivered 4, refused again 0, of other outputs 1, not readable 1\n", "{errors}");
    assert!(errors.contains("(dead.jsonl:2)"), "{errors}");
    assert_eq!(sink.counts().distinct, 24);
}

#[test]
fn what_is_given_up_is_kept() {
    let sink = Sink::start();
    let running = with_dead_letters(&sink, &["retry_limit: 1"]);
    sink.answer_with(|_| Act::status(503));
    let folder = running.agent.folder();
    let replayed = drave(&["replay", "dead.jsonl", "--output", "http.0", "-c", "drave.yaml"], folder);
    assert_eq!(replayed.status.code(), Some(1), "{}", text(&replayed.stderr));
    assert!(text(&replayed.stdout).contains("refused again 5"), "{}", text(&replayed.stdout));
    let left = fs::read_to_string(folder.join("dead.jsonl.left")).unwrap();
    assert_eq!(left.matches("\"reason\":\"retry_limit\"").count(), 5, "{left}");
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let sink = Sink::start();
    let site = Site::new();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("drave.yaml"), site.config(&[http(sink.address, &[])])).unwrap();
    let unread = drave(&["replay", "dead.jsonl", "--output", "http.0", "-c", "drave.yaml"], folder.path());
    assert_eq!(unread.status.code(), Some(64));
    assert!(text(&unread.stderr).contains("cannot read dead.jsonl"), "{}", text(&unread.stderr));
    let unknown = drave(&["replay", "dead.jsonl", "--output", "shop", "-c", "drave.yaml"], folder.path());
    assert_eq!(unknown.status.code(), Some(64));
    assert!(text(&unknown.stderr).contains("its outputs: http.0"), "{}", text(&unknown.stderr));
}
