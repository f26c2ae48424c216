//! What is not delivered goes to disk, and comes back from there.

use crate::support::agent::poll;
use crate::support::scrape::Metrics;
use crate::support::sink::{Act, Setup, Sink};
use crate::support::site::{Running, SOON, Site, free_address, http};
use crate::{assert_exactly, segments, spooled, with_spool};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn sink_at(address: SocketAddr) -> Sink {
    Sink::with(Setup { address: Some(address), ..Setup::default() })
}

/// Says `drave positions` that everything that was read is settled?
fn is_settled(folder: &Path) -> bool {
    let mut run = Command::new(env!("CARGO_BIN_EXE_drave"));
    let run = run.arg("positions").arg(folder.join("state")).args(["--format", "json"]).output().unwrap();
    let Ok(serde_json::Value::Array(files)) = serde_json::from_slice(&run.stdout) else { return false };
    !files.is_empty() && files.iter().all(|file| file["lag"] == 0)
}

fn wait_settled(running: &Running) {
    assert!(poll(SOON, || is_settled(running.agent.folder())), "{}", running.agent.stderr());
}

fn wait_spooled(running: &Running, records: i64) -> Metrics {
    running.wait_for(&format!("{records} records in the spool"), |metrics| spooled(metrics, "http.0") == records)
}

#[test]
fn an_output_that_keeps_up_writes_nothing_to_disk() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(200).after(Duration::from_millis(30)));
    let site = Site::new().service(&with_spool(&["mem_limit: 3M"]));
    site.write("a.log", 1, 0..200_000);
    let running = site.start(&[http(sink.address, &["batch_bytes_max: 500k"])]);
    let mut written = Vec::new();
    let done = poll(SOON * 2, || {
        written.append(&mut segments(running.agent.folder(), "http.0"));
        sink.counts().distinct == 200_000
    });
    assert!(done, "{:?}", sink.counts());
    running.wait_delivered("http.0", 200_000);
    assert_exactly(&sink, 200_000);
    assert!(written.is_empty(), "{written:?}");
    let files: Vec<_> = std::fs::read_dir(running.agent.folder().join("spool/http.0")).unwrap().collect();
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn an_outage_goes_to_the_spool_and_the_files_are_no_longer_needed() {
    let address = free_address();
    let site = Site::new().service(&with_spool(&[]));
    site.write("a.log", 1, 0..20_000);
    let running = site.start(&[http(address, &["batch_bytes_max: 64k", "in_flight_max: 1"])]);
    wait_spooled(&running, 20_000);
    wait_settled(&running);
    let sink = sink_at(address);
    let running = running.restart(|folder| std::fs::remove_file(folder.join("logs/a.log")).unwrap());
    running.wait_delivered("http.0", 20_000);
    assert_exactly(&sink, 20_000);
    assert_eq!(sink.counts().disorder, 0, "oldest first");
    assert!(poll(SOON, || segments(running.agent.folder(), "http.0").is_empty()), "what is delivered is deleted");
}

#[test]
fn what_is_in_the_spool_is_not_read_again() {
    let address = free_address();
    let site = Site::new().service(&with_spool(&[]));
    site.write("a.log", 1, 0..2000);
    let running = site.start(&[http(address, &[])]);
    wait_spooled(&running, 2000);
    wait_settled(&running);
    let sink = sink_at(address);
    let running = running.restart(|_| {});
    running.wait_delivered("http.0", 2000);
    assert_exactly(&sink, 2000);
}

#[test]
fn a_backlog_does_not_hold_up_what_is_written_now() {
    let address = free_address();
    let site = Site::new().service(&with_spool(&[]));
    site.write("a.log", 1, 0..20_000);
    let running = site.start(&[http(address, &["batch_bytes_max: 8k", "in_flight_max: 1"])]);
    wait_spooled(&running, 20_000);
    let sink = sink_at(address);
    sink.answer_with(|_| Act::status(200).after(Duration::from_millis(50)));
    assert!(sink.wait_for(1000, SOON * 2), "{}", running.agent.stderr());
    running.write("b.log", 2, 0..10);
    let is_there = |request: &crate::support::sink::Request| request.body.windows(9).any(|w| w == b"seq=0002-");
    assert!(poll(SOON, || sink.requests().iter().any(is_there)), "{}", running.agent.stderr());
    assert!(sink.counts().distinct < 20_000, "it waited for the whole backlog");
    sink.answer_with(|_| Act::status(200));
    running.wait_delivered("http.0", 20_010);
    assert_exactly(&sink, 20_010);
    wait_spooled(&running, 0);
}

#[test]
fn killed_in_the_middle_of_draining_it_goes_on_there() {
    let address = free_address();
    let site = Site::new().service(&with_spool(&[]));
    site.write("a.log", 1, 0..20_000);
    let running = site.start(&[http(address, &["batch_bytes_max: 16k", "in_flight_max: 2"])]);
    wait_spooled(&running, 20_000);
    wait_settled(&running);
    let sink = sink_at(address);
    // Some seconds; the cursor is stored each second.
    sink.answer_with(|_| Act::status(200).after(Duration::from_millis(200)));
    assert!(sink.wait_for(8000, SOON * 2), "{}", running.agent.stderr());
    let running = running.restart(|folder| std::fs::remove_file(folder.join("logs/a.log")).unwrap());
    sink.answer_with(|_| Act::status(200));
    assert!(sink.wait_for(20_000, SOON), "{:?}", sink.counts());
    running.wait_for("an empty spool", |metrics| spooled(metrics, "http.0") == 0);
    let counts = sink.counts();
    assert!(counts.gaps.is_empty() && counts.duplicates < 8000, "{counts:?}");
}

#[test]
fn a_full_memory_of_an_output_that_is_stuck_goes_to_the_spool() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(503));
    let site = Site::new().service(&with_spool(&["mem_limit: 200k"]));
    site.write("a.log", 1, 0..50_000);
    let running = site.start(&[http(sink.address, &["batch_bytes_max: 32k"])]);
    wait_spooled(&running, 50_000);
    sink.answer_with(|_| Act::status(200));
    running.wait_delivered("http.0", 50_000);
    assert_exactly(&sink, 50_000);
}

/// Stops while the server does nothing with requests; what comes of them at the next start.
fn stops(service: &[&str], act: Act) -> (Sink, Running) {
    let sink = Sink::start();
    sink.answer_with(move |_| act.clone());
    let site = Site::new().service(service);
    site.write("a.log", 1, 0..1000);
    let mut running = site.start(&[http(sink.address, &[])]);
    assert!(sink.wait_for_requests(1, SOON));
    assert_eq!(running.agent.stop(), Some(0), "{}", running.agent.stderr());
    (sink, running)
}

#[test]
fn a_stop_puts_what_is_in_memory_into_the_spool() {
    for act in [Act::status(503), Act::Hang] {
        let (sink, running) = stops(&with_spool(&[]), act);
        assert!(!segments(running.agent.folder(), "http.0").is_empty(), "{}", running.agent.stderr());
        assert!(is_settled(running.agent.folder()), "{}", running.agent.stderr());
        sink.answer_with(|_| Act::status(200));
        let running = running.restart(|folder| std::fs::remove_file(folder.join("logs/a.log")).unwrap());
        running.wait_delivered("http.0", 1000);
        assert_exactly(&sink, 1000);
    }
}

#[test]
fn a_stop_without_a_spool_leaves_the_positions_where_they_were() {
    let (sink, running) = stops(&["flush: 100ms", "grace: 1"], Act::Hang);
    assert!(running.agent.stderr().contains("their positions stay before them"), "{}", running.agent.stderr());
    sink.answer_with(|_| Act::status(200));
    let running = running.restart(|_| {});
    running.wait_delivered("http.0", 1000);
    assert_exactly(&sink, 1000);
}

#[test]
fn a_stop_stores_what_was_drained() {
    let address = free_address();
    let site = Site::new().service(&with_spool(&[]));
    site.write("a.log", 1, 0..500);
    let running = site.start(&[http(address, &[])]);
    wait_spooled(&running, 500);
    let sink = sink_at(address);
    let mut running = running;
    assert!(sink.wait_for(500, SOON * 2));
    running.agent.stop();
    let running = running.restart(|_| {});
    running.write("a.log", 1, 500..510);
    assert!(sink.wait_for(510, SOON));
    assert_exactly(&sink, 510);
}
