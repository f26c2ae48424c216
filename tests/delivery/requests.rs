//! What a request looks like, how many are under way, and how long they wait for company.

use crate::assert_exactly;
use crate::support::agent::poll;
use crate::support::sink::{Act, Request, Sink};
use crate::support::site::{SOON, Site, http};
use std::time::{Duration, Instant};

/// Sends some records with these options; the first request.
fn first_request(options: &[&str]) -> Request {
    let sink = Sink::start();
    let site = Site::new();
    site.write("a.log", 1, 0..1000);
    let running = site.start(&[http(sink.address, options)]);
    running.wait_delivered("http.0", 1000);
    assert_exactly(&sink, 1000);
    sink.requests().remove(0)
}

#[test]
fn gzip() {
    let request = first_request(&["compress: gzip", "uri: /in?a=b", "http_method: PUT"]);
    assert_eq!(request.head.header("content-encoding"), Some("gzip"));
    assert_eq!((request.head.method.as_str(), request.head.target.as_str()), ("PUT", "/in?a=b"));
    let length: usize = request.head.header("content-length").unwrap().parse().unwrap();
    assert!(length * 3 < request.body.len(), "{length} of {} bytes", request.body.len());
    assert!(request.body.split(|b| *b == b'\n').next().unwrap().starts_with(b"{\"date\":"));
}

#[test]
fn basic_authentication_and_own_headers() {
    let request = first_request(&["http_user: aladdin", "http_passwd: opensesame", "header: X-Team a shop"]);
    assert_eq!(request.head.header("authorization"), Some("Basic YWxhZGRpbjpvcGVuc2VzYW1l"));
    assert_eq!(request.head.header("x-team"), Some("a shop"));
    assert_eq!(request.head.header("content-type"), Some("application/x-ndjson"));
}

#[test]
fn a_bearer_token_and_headers_in_the_place_of_drave_s_own() {
    let request = first_request(&["bearer_token: t0ken", "format: json", "header: Content-Type text/x-log"]);
    assert_eq!(request.head.header("authorization"), Some("Bearer t0ken"));
    let types: Vec<&str> =
        request.head.headers.iter().filter(|(name, _)| name == "content-type").map(|(_, v)| v.as_str()).collect();
    assert_eq!(types, ["text/x-log"]);
    assert!(request.body.starts_with(b"[{") && request.body.ends_with(b"}]"));
}

#[test]
fn several_requests_are_under_way_and_no_more_than_allowed() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(200).after(Duration::from_millis(300)));
    let site = Site::new();
    site.write("a.log", 1, 0..500);
    let running = site.start(&[http(sink.address, &["batch_bytes_max: 2k", "in_flight_max: 3"])]);
    let mut most = 0;
    let all_there = || {
        let metrics = running.try_metrics();
        most = most.max(metrics.map_or(0, |m| m.sum("drave_output_requests_in_flight", ("output", "http.0"))));
        sink.counts().distinct == 500
    };
    assert!(poll(SOON, all_there), "{:?}", sink.counts());
    running.wait_delivered("http.0", 500);
    assert_exactly(&sink, 500);
    assert_eq!((most, sink.connections()), (3, 3));
}

/// How long a single line takes, written while nothing else happens.
fn waits(service: &[&str], output: &[&str], times: u32) -> Vec<Duration> {
    let sink = Sink::start();
    let site = Site::new().service(service);
    site.write("a.log", 0, 0..1);
    let running = site.start(&[http(sink.address, output)]);
    running.wait_delivered("http.0", 1);
    let wait = |number: u32| {
        let start = Instant::now();
        running.write("a.log", number, 0..1);
        assert!(sink.wait_for(u64::from(number) + 1, SOON));
        start.elapsed()
    };
    (1..=times).map(wait).collect()
}

#[test]
fn a_line_waits_for_company_as_long_as_flush_says() {
    let waits = waits(&["flush: 1s"], &[], 3);
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    // The best of three: this machine does other things too.
    assert!(*least <= Duration::from_millis(1250), "{waits:?}");
    assert!(*least >= Duration::from_millis(900), "it did not wait: {waits:?}");
    assert!(*most <= Duration::from_secs(3), "{waits:?}");
}

#[test]
fn linger_of_an_output_wins_over_flush() {
    let waits = waits(&["flush: 20s"], &["linger: 0"], 3);
    assert!(waits.iter().min().unwrap() <= &Duration::from_millis(250), "{waits:?}");
    assert!(waits.iter().max().unwrap() <= &Duration::from_secs(3), "{waits:?}");
}

#[test]
fn lines_of_one_flush_share_a_request() {
    let sink = Sink::start();
    let site = Site::new().service(&["flush: 2s"]);
    site.write("a.log", 0, 0..1);
    let running = site.start(&[http(sink.address, &[])]);
    running.wait_delivered("http.0", 1);
    for number in 0..8 {
        running.write("a.log", 1, number..number + 1);
        std::thread::sleep(Duration::from_millis(60));
    }
    running.wait_delivered("http.0", 9);
    // The first line, and the eight others; one more where the machine stood still for long.
    assert!((2..=3).contains(&sink.requests().len()), "{}", sink.requests().len());
}

#[test]
fn the_end_waits_for_no_linger() {
    let sink = Sink::start();
    let site = Site::new().service(&["flush: 60s", "grace: 20s"]);
    site.write("a.log", 1, 0..100);
    let mut running = site.start(&[http(sink.address, &[])]);
    running.wait_for("all lines read", |m| m.sum("drave_output_pending_records", ("output", "http.0")) == 100);
    assert_eq!(sink.requests().len(), 0);
    let start = Instant::now();
    running.agent.signal(rustix::process::Signal::TERM);
    assert_eq!(running.agent.wait(SOON).expect("it ends").code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_exactly(&sink, 100);
}
