//! The admin pages of the real binary: probes, metrics, and what happens when the port is taken.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::agent::{Agent, poll};
use support::logs::ContainerLog;
use support::scrape::{Metrics, get};
use support::sink::{Act, Sink};
use support::site::{SOON, Site, free_address, http};

fn status(address: SocketAddr, path: &str) -> u16 {
    get(address, path).map_or(0, |page| page.status)
}

#[test]
fn every_path_answers_and_a_destination_that_is_away_changes_none() {
    let away = free_address();
    let site = Site::new();
    site.write("a.log", 1, 0..10);
    let running = site.start(&[http(away, &[])]);
    running.wait_for("an attempt", |m| m.sum("drave_output_retries_total", ("output", "http.0")) > 0);
    for path in ["/healthz", "/api/v1/health", "/api/v2/health", "/readyz", "/readyz?outputs=1"] {
        let page = get(running.admin, path).unwrap();
        assert_eq!((page.status, page.body.as_str()), (200, "ok\n"), "{path}");
    }
    let home = get(running.admin, "/").unwrap();
    assert_eq!((home.status, home.content_type.as_str()), (200, "application/json"));
    assert!(home.body.contains(concat!("\"version\":\"", env!("CARGO_PKG_VERSION"), "\"")), "{}", home.body);
    let metrics = get(running.admin, "/metrics").unwrap();
    assert!(
        metrics.content_type.starts_with("application/openmetrics-text; version=1.0.0"),
        "{}",
        metrics.content_type
    );
    let elsewhere = get(running.admin, "/nowhere").unwrap();
    assert_eq!(elsewhere.status, 404);
    assert!(elsewhere.body.contains("/metrics"), "{}", elsewhere.body);
}

/// An agent that listens as its configuration says.
fn listening(listen: &str, port: u16) -> Agent {
    Agent::start(&format!(
        "service:\n  http_server: on\n  http_listen: '{listen}'\n  http_port: {port}\npipeline:\n  inputs:\n    - name: tail\n      path: '*.log'\n  outputs:\n    - name: 'null'\n      match: '*'\n"
    ))
}

#[test]
fn ipv4_and_ipv6_are_both_served() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    for (listen, v4, v6) in
        [("", true, true), ("0.0.0.0", true, true), ("127.0.0.1", true, false), ("::1", false, true)]
    {
        let port = free_address().port();
        let agent = listening(listen, port);
        let (four, six) =
            (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
        let one = if v4 { four } else { six };
        assert!(poll(SOON, || status(one, "/healthz") == 200), "{listen}: {}", agent.stderr());
        assert_eq!(
            (status(four, "/healthz") == 200, status(six, "/healthz") == 200),
            (v4, v6),
            "http_listen `{listen}`"
        );
    }
}

#[test]
fn a_port_that_is_taken_is_said_with_the_remedy() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut agent = listening("127.0.0.1", taken.local_addr().unwrap().port());
    assert_eq!(agent.wait(SOON).expect("it ends").code(), Some(64));
    let stderr = agent.stderr();
    assert!(stderr.contains("cannot listen on 127.0.0.1:") && stderr.contains("`http_port`"), "{stderr}");
    assert_eq!(stderr.matches("cannot listen").count(), 1, "it is said once:\n{stderr}");
}

#[test]
fn it_is_ready_when_it_reads_and_alive_while_it_waits_for_its_folder() {
    let sink = Sink::start();
    let first = Site::new();
    let state = first.path("state");
    first.write("a.log", 1, 0..10);
    let mut first = first.start(&[http(sink.address, &[])]);
    first.wait_delivered("http.0", 10);
    let second = Site::new();
    let config = second
        .config(&[http(sink.address, &[])])
        .replace("state_dir: state", &format!("state_dir: {}", state.display()));
    let (admin, agent) = (second.admin, Agent::start(&config));
    assert!(agent.wait_for_stderr("owns the state folder", SOON), "{}", agent.stderr());
    assert_eq!((status(admin, "/healthz"), status(admin, "/readyz")), (200, 503));
    first.agent.signal(Signal::TERM);
    first.agent.wait(SOON).expect("it ends");
    assert!(poll(SOON, || status(admin, "/readyz") == 200), "{}", agent.stderr());
}

#[test]
fn the_end_can_be_asked_for_while_it_waits_for_its_folder() {
    let sink = Sink::start();
    let first = Site::new();
    let state = first.path("state");
    let first = first.start(&[http(sink.address, &[])]);
    assert!(poll(SOON, || status(first.admin, "/readyz") == 200));
    let config = Site::new().config(&[http(sink.address, &[])]);
    let config = config.replace("state_dir: state", &format!("state_dir: {}", state.display()));
    let mut second = Agent::start(&config);
    assert!(second.wait_for_stderr("owns the state folder", SOON), "{}", second.stderr());
    let start = Instant::now();
    second.signal(Signal::TERM);
    assert_eq!(second.wait(SOON).expect("it ends").code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn gauges_of_a_namespace_go_with_its_last_file() {
    let sink = Sink::start();
    let site = Site::new();
    let root = site.path("var");
    let mut shop = ContainerLog::create(&root, "shop", "web-1", "uid-1", "main", 0);
    let mut bank = ContainerLog::create(&root, "bank", "web-2", "uid-2", "main", 0);
    shop.write_cri("stdout", "F", "seq=0001-00000000;");
    bank.write_cri("stdout", "F", "seq=0002-00000000;");
    let options = ["multiline.parser: cri", "rotate_wait: 200ms", "refresh_interval: 1s"];
    let running = site.inputs(&[("kube.*", "var/containers/*.log", &options)]).start(&[http(sink.address, &[])]);
    let open = |metrics: &Metrics, namespace: &str| metrics.sum("drave_input_files_open", ("namespace", namespace));
    running.wait_for("both namespaces", |m| open(m, "shop") == 1 && open(m, "bank") == 1);
    running.wait_delivered("http.0", 2);
    shop.delete();
    drop(shop);
    let metrics = running.wait_for("the end of the namespace", |m| !m.values_of("namespace").contains("shop"));
    assert_eq!(open(&metrics, "bank"), 1);
}

/// As Fluent Bit counts them, on its own pages.
#[test]
fn files_that_are_opened_closed_and_rotated_are_counted() {
    let sink = Sink::start();
    let site = Site::new().inputs(&[("app", "logs/*.log", &["rotate_wait: 200ms"])]);
    site.write("a.log", 1, 0..5);
    let logs = site.path("logs");
    let running = site.start(&[http(sink.address, &[])]);
    running.wait_delivered("http.0", 5);
    std::fs::rename(logs.join("a.log"), logs.join("a.log.1")).unwrap();
    running.write("a.log", 1, 5..10);
    running.wait_delivered("http.0", 10);
    let mut page = String::new();
    let has = |page: &str, event: &str, count: u64| {
        page.contains(&format!("fluentbit_input_files_{event}_total{{name=\"tail.0\"}} {count}\n"))
    };
    let counted = poll(SOON, || {
        page = get(running.admin, "/api/v2/metrics/prometheus").map(|page| page.body).unwrap_or_default();
        [("opened", 2), ("rotated", 1), ("closed", 1)].iter().all(|(event, count)| has(&page, event, *count))
    });
    assert!(counted, "{page}");
}

#[test]
fn metrics_are_openmetrics_while_everything_happens() {
    let sink = Sink::start();
    (0..3).for_each(|_| sink.next(Act::status(503)));
    let site = Site::new().inputs(&[("a \"quoted\\\" tag", "logs/*.log", &["alias: \"a \\\"b\\\" \\\\c\""])]);
    site.write("a.log", 1, 0..100);
    let running = site.start(&[http(sink.address, &["alias: Größe"])]);
    running.wait_delivered("Größe", 100);
    let metrics = running.wait_for("the look at files", |m| m.families.contains_key("drave_input_files_open"));
    assert!(metrics.values_of("input").contains("a \"b\" \\c"), "{:?}", metrics.values_of("input"));
    for (family, kind) in [
        ("drave_input_read_records", "counter"),
        ("drave_input_read_bytes", "counter"),
        ("drave_input_files_open", "gauge"),
        ("drave_output_pending_records", "gauge"),
        ("drave_output_retries", "counter"),
        ("drave_output_stalled", "gauge"),
        ("drave_expression_given_up", "counter"),
        ("drave_state_durable", "gauge"),
        ("drave_uptime_seconds", "gauge"),
    ] {
        assert_eq!(metrics.families.get(family).map(String::as_str), Some(kind), "{family}");
    }
}

#[test]
fn the_reader_of_metrics_is_strict() {
    assert!(Metrics::parse("# HELP a b\n# TYPE a counter\na_total{b=\"c\\n\"} 1\n# EOF\n").is_ok());
    for (bad, why) in [
        ("# TYPE a counter\na_total 1\n", "no end"),
        ("# TYPE a counter\na 1\n# EOF\n", "a counter without _total"),
        ("# TYPE a counter\na_total -1\n# EOF\n", "a counter below 0"),
        ("a 1\n# EOF\n", "no type"),
        ("# TYPE a gauge\na 1\na 2\n# EOF\n", "twice"),
        ("# TYPE a gauge\na{b=\"c\",} 1\n# EOF\n", "a comma too many"),
        ("# TYPE a gauge\na{b=c} 1\n# EOF\n", "no quotes"),
        ("# TYPE a gauge\na one\n# EOF\n", "no number"),
        ("# TYPE a gauge\n\na 1\n# EOF\n", "an empty line"),
        ("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\n# EOF\n", "torn apart"),
    ] {
        assert!(Metrics::parse(bad).is_err(), "{why}");
    }
}
