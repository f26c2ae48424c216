//! The network, or the server, breaks.

use crate::support::sink::{Act, Setup, Sink};
use crate::support::site::{SOON, Site, free_address, http};
use crate::{assert_exactly, retries};
use std::time::{Duration, Instant};

/// Breaks the first request in one way; the next attempt succeeds.
fn survives(act: Act, cause: &str) {
    let sink = Sink::start();
    sink.next(act);
    let site = Site::new();
    site.write("a.log", 1, 0..200);
    let running = site.start(&[http(sink.address, &["http.response_timeout: 1s"])]);
    let metrics = running.wait_delivered("http.0", 200);
    assert_exactly(&sink, 200);
    assert_eq!(retries(&metrics, "http.0", cause), 1, "{metrics:#?}");
}

#[test]
fn a_reset_in_the_middle_of_a_body() {
    survives(Act::ResetMidBody, "reset");
}

#[test]
fn a_connection_closed_without_an_answer() {
    survives(Act::Close, "reset");
}

#[test]
fn an_answer_that_is_not_http() {
    survives(Act::Garbage, "protocol");
}

#[test]
fn a_server_that_does_not_read() {
    survives(Act::HangMidBody, "timeout");
}

#[test]
fn an_answer_that_breaks_off_is_no_answer() {
    let sink = Sink::start();
    sink.next(Act::ResetMidAnswer);
    let site = Site::new();
    site.write("a.log", 1, 0..50);
    let running = site.start(&[http(sink.address, &[])]);
    let metrics = running.wait_delivered("http.0", 50);
    assert_eq!(retries(&metrics, "http.0", "reset"), 1);
    assert_exactly(&sink, 50);
}

#[test]
fn a_server_that_hangs_holds_up_no_other_output() {
    let (hanging, quick) = (Sink::start(), Sink::start());
    hanging.next(Act::Hang);
    let site = Site::new();
    site.write("a.log", 1, 0..200);
    let slow = http(hanging.address, &["http.response_timeout: 3s"]);
    let running = site.start(&[slow, http(quick.address, &[])]);
    assert!(hanging.wait_for_requests(1, SOON), "{}", running.agent.stderr());
    let hung = Instant::now();
    running.write("a.log", 1, 200..300);
    running.wait_delivered("http.1", 300);
    let took = hung.elapsed();
    assert!(took < Duration::from_secs(3), "the other output waited too: {took:?}");
    assert_exactly(&quick, 300);
    let metrics = running.wait_delivered("http.0", 300);
    assert!(hung.elapsed() >= Duration::from_secs(3));
    assert_eq!(retries(&metrics, "http.0", "timeout"), 1);
    assert_exactly(&hanging, 300);
}

#[test]
fn a_name_that_cannot_be_resolved_costs_nothing() {
    let sink = Sink::start();
    let site = Site::new().service(&["flush: 100ms", "grace: 1"]);
    site.write("a.log", 1, 0..100);
    let named = http(sink.address, &[]).replace("host: 127.0.0.1", "host: no-such-host.invalid");
    assert!(named.contains("no-such-host"));
    let mut running = site.start(&[named]);
    running.wait_for("attempts", |metrics| retries(metrics, "http.0", "dns") >= 2);
    running.write("a.log", 1, 100..200);
    assert_eq!(running.agent.stop(), Some(0));
    assert!(running.agent.stderr().contains("no-such-host.invalid"), "{}", running.agent.stderr());
    let running = running.restart(|folder| {
        let path = folder.join("drave.yaml");
        let config = std::fs::read_to_string(&path).unwrap().replace("no-such-host.invalid", "127.0.0.1");
        std::fs::write(path, config).unwrap();
    });
    running.wait_delivered("http.0", 200);
    assert_exactly(&sink, 200);
}

#[test]
fn a_server_that_comes_up_late() {
    let address = free_address();
    let site = Site::new();
    site.write("a.log", 1, 0..100);
    let running = site.start(&[http(address, &[])]);
    running.wait_for("an attempt to connect", |metrics| retries(metrics, "http.0", "connect") > 0);
    let sink = Sink::with(Setup { address: Some(address), ..Setup::default() });
    let metrics = running.wait_delivered("http.0", 100);
    assert_exactly(&sink, 100);
    assert_eq!(metrics.sum("drave_output_memory_bytes", ("output", "http.0")), 0, "what was delivered holds no memory");
    assert_eq!(metrics.sum("drave_output_requests_in_flight", ("output", "http.0")), 0);
}

#[test]
fn a_full_output_stops_the_reading_and_not_the_others() {
    let (away, sink) = (Sink::start(), Sink::start());
    away.answer_with(|_| Act::status(503));
    let site = Site::new().service(&["flush: 100ms", "mem_limit: 200k"]).inputs(&[
        ("full", "logs/full.log", &["buffer_chunk_size: 16k"]),
        ("free", "logs/free.log", &["buffer_chunk_size: 16k"]),
    ]);
    site.write("full.log", 1, 0..20_000);
    site.write("free.log", 2, 0..20_000);
    let running = site.start(&[http(away.address, &["match: full"]), http(sink.address, &["match: free"])]);
    let metrics = running.wait_delivered("http.1", 20_000);
    assert_exactly(&sink, 20_000);
    let held = metrics.sum("drave_output_memory_bytes", ("output", "http.0"));
    // The share is 100 kB; a read may overdraw it by one block, whose pieces and body are larger than the block.
    assert!((50_000..300_000).contains(&held), "{held}");
    assert!(metrics.sum("drave_input_read_records_total", ("input", "tail.0")) < 10_000);
    away.answer_with(|_| Act::status(200));
    running.wait_delivered("http.0", 20_000);
    assert_exactly(&away, 20_000);
}
