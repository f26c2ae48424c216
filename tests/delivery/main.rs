//! The real binary against servers that fail in all the ways that servers fail: nothing is lost, nothing comes twice that
//! need not, and every record can be accounted for.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod bounds;
mod faults;
mod isolation;
mod refused;
mod requests;
mod routes;
mod security;
mod spool;
mod spool_trouble;
#[path = "../support/mod.rs"]
mod support;

use support::scrape::Metrics;
use support::sink::Sink;

/// Everything arrived, each record once.
fn assert_exactly(sink: &Sink, records: u64) {
    let counts = sink.counts();
    let seen = (counts.distinct, counts.duplicates, counts.gaps.len());
    assert_eq!(seen, (records, 0, 0), "records, duplicates, files with gaps: {counts:?}");
}

/// How often an output had to try again for this cause.
fn retries(metrics: &Metrics, output: &str, cause: &str) -> i64 {
    let of = |sample: &&support::scrape::Sample| {
        let has = |label: &str, value: &str| sample.labels.get(label).is_some_and(|v| v == value);
        sample.name == "drave_output_retries_total" && has("output", output) && has("cause", cause)
    };
    metrics.samples.iter().filter(of).map(|sample| sample.value as i64).sum()
}

/// A service section with a spool.
fn with_spool<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["flush: 100ms", "grace: 3", "storage.path: spool", "storage.type: filesystem"], more].concat()
}

/// The segments of an output's spool, oldest first.
fn segments(folder: &std::path::Path, output: &str) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.join("spool").join(output)) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    segments.sort();
    segments
}

/// `routed = delivered + refused + dropped + pending`.
fn assert_balanced(metrics: &Metrics, output: &str) {
    let of = ("output", output);
    for unit in ["records", "bytes"] {
        let get = |word: &str| metrics.sum(&format!("drave_output_{word}_{unit}_total"), of);
        let pending = metrics.sum(&format!("drave_output_pending_{unit}"), of);
        assert_eq!(get("routed"), get("delivered") + get("refused") + get("dropped") + pending, "{metrics:#?}");
        assert!(pending >= 0, "{metrics:#?}");
    }
}

fn spooled(metrics: &Metrics, output: &str) -> i64 {
    metrics.sum("drave_output_spool_records", ("output", output))
}
