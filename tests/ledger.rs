//! Every record can be accounted for at any moment: while servers fail, lines are cut, joined and left out, and at the end.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use support::scrape::Metrics;
use support::sink::{Act, Sink};
use support::site::{SOON, Site, append, http, numbered};

/// Inputs by number: container lines, plain lines with empty and long ones, long lines left out, and one without a route.
const INPUTS: [(&str, &str, &[&str]); 4] = [
    ("kube", "logs/cri.log", &["multiline.parser: cri", "buffer_chunk_size: 4k"]),
    ("plain", "logs/plain.log", &["skip_empty_lines: on", "buffer_chunk_size: 4k", "buffer_max_size: 2000"]),
    ("short", "logs/short.log", &["skip_long_lines: on", "buffer_chunk_size: 4k", "buffer_max_size: 2000"]),
    ("nowhere", "logs/nowhere.log", &[]),
];

/// What a round writes to each file.
struct Round {
    lines: [Vec<u8>; 4],
}

impl Round {
    fn new(number: u32) -> Self {
        let start = number * 20;
        let mut plain = numbered(1, start..start + 20);
        plain.extend_from_slice(b"\n\n\r\n");
        plain.extend_from_slice(format!("long {}\n", "é".repeat(1500 + number as usize)).as_bytes());
        plain.extend_from_slice(format!("very long {}\n", "x".repeat(20_000)).as_bytes());
        let mut short = numbered(2, start..start + 20);
        short.extend_from_slice(format!("left out {}\n", "x".repeat(3000)).as_bytes());
        short.extend_from_slice(format!("left out {}\n", "x".repeat(20_000)).as_bytes());
        Self { lines: [container(start), plain, short, numbered(3, start..start + 5)] }
    }
}

/// Whole lines, pieces of both streams that interleave, and pieces whose end comes with the next round.
fn container(start: u32) -> Vec<u8> {
    let mut lines = String::from("2026-11-20T08:00:00.5Z stderr F the end\n");
    for n in start..start + 20 {
        let time = "2026-11-20T08:00:00.123456789Z";
        lines += &match n % 4 {
            0 => format!("{time} stdout F seq=0000-{n:08}; whole\n"),
            1 => format!("{time} stdout P seq=0000-{n:08}; a {time}\n{time} stderr P x\n{time} stdout F b\n{time} stderr F y\n"),
            2 => format!("{time} stdout P seq=0000-{n:08}; \n{time} stdout P a\n{time} stdout F \n"),
            _ => format!("no container line seq=0000-{n:08};\n"),
        };
    }
    lines += "2026-11-20T08:00:00.5Z stderr P the begin, then \n";
    lines.into_bytes()
}

fn failing(sink: &Sink) {
    let mut requests = 0;
    sink.answer_with(move |request| {
        requests += 1;
        match requests % 3 {
            0 => Act::status(503),
            _ if request.body.len() > 6000 => Act::status(413),
            _ => Act::status(200),
        }
    });
}

/// `read + made = routed + joined + dropped + open`, and `routed = delivered + refused + dropped + pending`.
fn check(metrics: &Metrics) {
    for unit in ["records", "bytes"] {
        for input in ["tail.0", "tail.1", "tail.2", "tail.3"] {
            let get = |word: &str| metrics.sum(&format!("drave_input_{word}_{unit}_total"), ("input", input));
            let open = metrics.sum(&format!("drave_input_open_{unit}"), ("input", input));
            let left = get("read") + get("made");
            let right = get("routed") + get("joined") + get("dropped") + open;
            assert_eq!(left, right, "{unit} of {input}: {metrics:#?}");
        }
        for output in ["http.0", "http.1"] {
            let get = |word: &str| metrics.sum(&format!("drave_output_{word}_{unit}_total"), ("output", output));
            let pending = metrics.sum(&format!("drave_output_pending_{unit}"), ("output", output));
            let right = get("delivered") + get("refused") + get("dropped") + pending;
            assert_eq!(get("routed"), right, "{unit} of {output}: {metrics:#?}");
            assert!(pending >= 0, "{metrics:#?}");
        }
    }
}

fn written(rounds: &[Round], file: usize) -> (i64, i64) {
    let bytes = || rounds.iter().flat_map(|round| &round.lines[file]);
    (bytes().filter(|byte| **byte == b'\n').count() as i64, bytes().count() as i64)
}

#[test]
fn accounts_balance_in_every_scrape_and_nothing_is_left_at_the_end() {
    let (first, second) = (Sink::start(), Sink::start());
    failing(&first);
    failing(&second);
    let site = Site::new().service(&["flush: 50ms", "mem_limit: 400k"]).inputs(&INPUTS);
    let logs = site.path("logs");
    let options = ["batch_bytes_max: 8k", "in_flight_max: 3"];
    let outputs = [
        http(first.address, &[&options[..], &["match_regex: kube|plain|short"]].concat()),
        http(second.address, &[&options[..], &["match_regex: kube|plain", "retry_limit: 1"]].concat()),
    ];
    let running = site.start(&outputs);
    let rounds: Vec<Round> = (0..60).map(Round::new).collect();
    let expect: Vec<(i64, i64)> = (0..4).map(|file| written(&rounds, file)).collect();
    let writer = spawn(move || {
        for round in &rounds {
            for (lines, (_, path, _)) in round.lines.iter().zip(INPUTS) {
                // In two writes, so that half lines are seen too.
                let (begin, end) = lines.split_at(lines.len() / 2);
                append(&logs.join(path.trim_start_matches("logs/")), begin);
                append(&logs.join(path.trim_start_matches("logs/")), end);
            }
            sleep(Duration::from_millis(50));
        }
    });
    let (until, mut scrapes) = (Instant::now() + SOON * 2, 0);
    let last = loop {
        assert!(Instant::now() < until, "{:#?}\n{}", running.metrics(), running.agent.stderr());
        sleep(Duration::from_millis(10));
        let Some(metrics) = running.try_metrics() else { continue };
        check(&metrics);
        scrapes += 1;
        let at_the_end = (0..4).all(|n| read(&metrics, n) == expect[n]) && left(&metrics) == 0;
        if writer.is_finished() && at_the_end {
            break metrics;
        }
    };
    assert!(scrapes > 50, "only {scrapes} scrapes");
    assert_counted(&last);
    // The last record of standard error waits for its end.
    assert_eq!(last.sum("drave_input_open_records", ("input", "tail.0")), 1);
    append(&running.agent.folder().join("logs/cri.log"), b"2026-11-20T08:00:00.5Z stderr F the end\n");
    let closed = running.wait_for("nothing open", |m| {
        m.sum("drave_input_open_records", ("input", "tail.0")) == 0 && left(m) == 0
    });
    check(&closed);
    assert_eq!(closed.sum("drave_input_open_bytes", ("input", "tail.0")), 0);
    let counts = first.counts();
    assert_eq!((counts.distinct, counts.duplicates), (3 * 60 * 20, 0));
}

fn read(metrics: &Metrics, input: usize) -> (i64, i64) {
    let name = format!("tail.{input}");
    let get = |unit: &str| metrics.sum(&format!("drave_input_read_{unit}_total"), ("input", &name));
    (get("records"), get("bytes"))
}

/// Records that outputs still have.
fn left(metrics: &Metrics) -> i64 {
    ["http.0", "http.1"].iter().map(|output| metrics.sum("drave_output_pending_records", ("output", output))).sum()
}

/// The faults were there, and each is in its own account.
fn assert_counted(metrics: &Metrics) {
    let dropped = |word: &str, reason: &str| {
        metrics.sum(&format!("drave_{word}_dropped_records_total"), ("reason", reason))
    };
    assert_eq!(dropped("input", "no_route"), 60 * 5);
    assert_eq!(dropped("input", "empty_line"), 60 * 3);
    assert_eq!(dropped("input", "long_line"), 60 * 2, "only those that are left out as a whole");
    assert!(metrics.sum("drave_input_dropped_bytes_total", ("reason", "long_line")) > 60 * 20_000);
    assert_eq!(metrics.sum("drave_input_truncated_records_total", ("input", "tail.1")), 60 * 2);
    assert!(dropped("output", "retry_limit") > 0, "{metrics:#?}");
    assert_eq!(metrics.sum("drave_output_dropped_records_total", ("output", "http.0")), 0);
    assert!(metrics.sum("drave_output_retries_total", ("cause", "http_503")) > 0);
}
