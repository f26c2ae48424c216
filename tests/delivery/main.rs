//! The real binary against servers that fail in all the ways that servers fail: nothing is lost, nothing comes twice that
//! need not, and every record can be accounted for.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod faults;
mod requests;
mod routes;
mod security;
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
