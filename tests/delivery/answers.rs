//! The server answers, but not with 200.

use crate::support::sink::{Act, Sink};
use crate::support::site::{Running, SOON, Site, http};
use crate::{assert_exactly, retries};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn unavailable_for_a_while() {
    let sink = Sink::start();
    let mut failures = 0;
    sink.answer_with(move |_| {
        failures += 1;
        Act::status(if failures <= 3 { 503 } else { 200 })
    });
    let site = Site::new();
    site.write("a.log", 1, 0..500);
    let running = site.start(&[http(sink.address, &["alias: shop"])]);
    let metrics = running.wait_delivered("shop", 500);
    assert_exactly(&sink, 500);
    assert_eq!(retries(&metrics, "shop", "http_503"), 3);
    let of = ("output", "shop");
    assert_eq!(metrics.sum("drave_output_requests_total", of), sink.requests().len() as i64);
    assert_eq!(metrics.sum("drave_output_routed_records_total", of), 500);
}

/// Answers that begin with this one, and when each request came.
fn watch(sink: &Sink, first: Act) -> Arc<Mutex<Vec<Instant>>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    sink.answer_with(move |_| {
        let mut times = noted.lock().unwrap();
        times.push(Instant::now());
        if times.len() == 1 { first.clone() } else { Act::status(200) }
    });
    times
}

#[test]
fn retry_after_holds_for_every_request() {
    let sink = Sink::start();
    let times = watch(&sink, Act::status(429).with_header("retry-after", "2"));
    let site = Site::new();
    site.write("a.log", 1, 0..10);
    let running = site.start(&[http(sink.address, &[])]);
    assert!(sink.wait_for_requests(1, SOON));
    // A second request, which the server has not answered with 429.
    running.write("a.log", 1, 10..20);
    let metrics = running.wait_delivered("http.0", 20);
    assert_exactly(&sink, 20);
    assert_eq!(retries(&metrics, "http.0", "http_429"), 1);
    let times = times.lock().unwrap();
    for time in &times[1..] {
        let waited = time.duration_since(times[0]);
        assert!(waited >= Duration::from_millis(1990), "asked again after {waited:?}");
    }
}

#[test]
fn a_retry_after_of_nothing_is_no_invitation_to_hammer() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(429).with_header("retry-after", "0"));
    let site = Site::new();
    site.write("a.log", 1, 0..10);
    let _running = site.start(&[http(sink.address, &[])]);
    assert!(sink.wait_for_requests(1, SOON));
    sleep(Duration::from_secs(1));
    let requests = sink.requests().len();
    assert!(requests < 20, "{requests} requests in a second");
}

#[test]
fn too_large_a_body_is_split_and_a_record_that_cannot_be_is_refused() {
    let sink = Sink::start();
    sink.answer_with(|request| Act::status(if request.body.len() > 2000 { 413 } else { 200 }));
    let site = Site::new();
    site.write("a.log", 1, 0..100);
    let running = site.start(&[http(sink.address, &[])]);
    running.wait_delivered("http.0", 100);
    running.write_raw("a.log", format!("huge {}\n", "x".repeat(3000)).as_bytes());
    running.write("a.log", 1, 100..150);
    let metrics = running.wait_delivered("http.0", 150);
    assert_exactly(&sink, 150);
    assert_eq!(metrics.sum("drave_output_refused_records_total", ("reason", "too_large")), 1);
    assert_eq!(metrics.sum("drave_output_refused_bytes_total", ("reason", "too_large")), 3006);
    assert!(retries(&metrics, "http.0", "too_large") >= 3, "{metrics:#?}");
    assert!(running.agent.stderr().contains("one record is larger than the destination takes"));
}

/// Refuses everything with a status that only its administrator can change, who does.
fn keeps_until_it_is_allowed(status: u16, hint: &str) {
    let sink = Sink::start();
    let status = Arc::new(AtomicU16::new(status));
    let now = Arc::clone(&status);
    sink.answer_with(move |_| Act::status(now.load(Ordering::Relaxed)));
    let site = Site::new();
    site.write("a.log", 1, 0..100);
    let running = site.start(&[http(sink.address, &[])]);
    assert!(running.agent.wait_for_stderr(hint, SOON), "{}", running.agent.stderr());
    let line = running.agent.stderr().lines().find(|line| line.contains(hint)).map(str::to_owned).unwrap();
    assert!(line.contains("ERROR") && line.contains("the data is kept"), "{line}");
    assert_eq!(sink.requests().len(), 1, "it is asked seldom");
    let metrics = running.metrics();
    assert_eq!(metrics.sum("drave_output_pending_records", ("output", "http.0")), 100);
    status.store(200, Ordering::Relaxed);
    wait_long(&running, 100);
    assert_exactly(&sink, 100);
}

/// Half a minute passes before a request that was not allowed is tried again.
fn wait_long(running: &Running, records: i64) {
    let done = || {
        let metrics = running.metrics();
        metrics.sum("drave_output_delivered_records_total", ("output", "http.0")) == records
    };
    assert!(crate::support::agent::poll(Duration::from_secs(45), done), "{}", running.agent.stderr());
}

#[test]
fn unauthorized_keeps_the_data() {
    keeps_until_it_is_allowed(401, "hint: check the credentials");
}

#[test]
fn a_redirect_keeps_the_data_and_what_is_kept_goes_out_at_the_end() {
    let sink = Sink::start();
    sink.next(Act::status(302).with_header("location", "http://elsewhere.invalid/"));
    let site = Site::new();
    site.write("a.log", 1, 0..10);
    let mut running = site.start(&[http(sink.address, &[])]);
    assert!(running.agent.wait_for_stderr("redirects are not followed", SOON), "{}", running.agent.stderr());
    running.agent.signal(rustix::process::Signal::TERM);
    let status = running.agent.wait(SOON).expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert_exactly(&sink, 10);
}

#[test]
fn a_retry_limit_gives_up_and_counts_it() {
    let sink = Sink::start();
    (0..3).for_each(|_| sink.next(Act::status(500)));
    let site = Site::new();
    site.write("a.log", 1, 0..10);
    let running = site.start(&[http(sink.address, &["retry_limit: 2"])]);
    running.wait_for("the drop", |m| m.sum("drave_output_dropped_records_total", ("reason", "retry_limit")) == 10);
    running.write("a.log", 2, 0..10);
    let metrics = running.wait_delivered("http.0", 10);
    assert_eq!(sink.requests().len(), 4, "one attempt and two more; then the next records");
    assert_eq!(retries(&metrics, "http.0", "http_500"), 3);
    assert_exactly(&sink, 10);
    assert!(running.agent.stderr().contains("given up after retry_limit"));
}
