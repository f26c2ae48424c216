//! The spool itself is in trouble: full, damaged, or on a disk without room.

use crate::support::sink::{Act, Setup, Sink};
use crate::support::site::{Running, SOON, Site, free_address, http};
use crate::{assert_balanced, assert_exactly, segments, spooled, with_spool};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

const RECORDS: u32 = 20_000;

/// Lines that do not compress to nothing.
fn noise(records: std::ops::Range<u32>) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut lines = Vec::new();
    for n in records {
        writeln!(lines, "seq=0001-{n:08}; {:016x}{:016x}{:016x}{:016x}", word(), word(), word(), word()).unwrap();
    }
    lines
}

fn read(running: &Running) -> i64 {
    running.metrics().sum("drave_input_read_records_total", ("input", "tail.0"))
}

#[test]
fn a_full_spool_makes_the_reading_wait() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(503));
    let site = Site::new().service(&with_spool(&["mem_limit: 200k"]));
    fs::write(site.path("logs/a.log"), noise(0..RECORDS)).unwrap();
    let options = ["batch_bytes_max: 16k", "storage.total_limit_size: 300k"];
    let running = site.start(&[http(sink.address, &options)]);
    assert!(running.agent.wait_for_stderr("spool: ", SOON), "{}", running.agent.stderr());
    let metrics = running.metrics();
    assert!(metrics.sum("drave_output_spool_bytes", ("output", "http.0")) <= 300_000, "{metrics:#?}");
    assert!(read(&running) < i64::from(RECORDS), "it reads on");
    sink.answer_with(|_| Act::status(200));
    running.wait_delivered("http.0", i64::from(RECORDS));
    assert_exactly(&sink, u64::from(RECORDS));
}

#[test]
fn a_full_spool_that_drops_the_oldest_counts_it() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(503));
    let site = Site::new().service(&with_spool(&["mem_limit: 200k", "storage.on_full: drop_oldest"]));
    fs::write(site.path("logs/a.log"), noise(0..RECORDS)).unwrap();
    let options = ["batch_bytes_max: 16k", "storage.total_limit_size: 300k"];
    let running = site.start(&[http(sink.address, &options)]);
    running.wait_for("all read", |metrics| {
        assert_balanced(metrics, "http.0");
        metrics.sum("drave_input_read_records_total", ("input", "tail.0")) == i64::from(RECORDS)
    });
    sink.answer_with(|_| Act::status(200));
    let metrics = running.wait_for("an empty output", |metrics| {
        assert_balanced(metrics, "http.0");
        metrics.sum("drave_output_pending_records", ("output", "http.0")) == 0
    });
    let dropped = metrics.sum("drave_output_dropped_records_total", ("reason", "spool_full"));
    assert!(dropped > 1000, "{metrics:#?}");
    let counts = sink.counts();
    assert_eq!((counts.distinct as i64 + dropped, counts.duplicates), (i64::from(RECORDS), 0));
    let last: Vec<u32> = counts.gaps.values().flatten().copied().filter(|n| *n > RECORDS - 1000).collect();
    assert!(last.is_empty(), "the newest are kept: {last:?}");
    assert!(running.agent.stderr().contains("drop_oldest"), "{}", running.agent.stderr());
}

#[test]
fn damage_costs_what_is_damaged() {
    let address = free_address();
    let site = Site::new().service(&with_spool(&[]));
    fs::write(site.path("logs/a.log"), noise(0..RECORDS)).unwrap();
    let options = ["batch_bytes_max: 16k", "storage.total_limit_size: 4M"];
    let running = site.start(&[http(address, &options)]);
    running.wait_for("all in the spool", |metrics| spooled(metrics, "http.0") == i64::from(RECORDS));
    let sink = Sink::with(Setup { address: Some(address), ..Setup::default() });
    let running = running.restart(|folder| {
        fs::remove_file(folder.join("logs/a.log")).unwrap();
        let segments = segments(folder, "http.0");
        assert!(segments.len() > 3, "{segments:?}");
        let first = File::options().write(true).open(&segments[0]).unwrap();
        first.write_all_at(b"flipped", first.metadata().unwrap().len() / 2).unwrap();
        let last = File::options().write(true).open(segments.last().unwrap()).unwrap();
        last.set_len(last.metadata().unwrap().len() - 100).unwrap();
    });
    let metrics = running.wait_for("the rest", |metrics| {
        assert_balanced(metrics, "http.0");
        spooled(metrics, "http.0") == 0
            && metrics.sum("drave_output_delivered_records_total", ("output", "http.0")) > 0
            && metrics.sum("drave_output_pending_records", ("output", "http.0")) == 0
    });
    let counts = sink.counts();
    let missing = u64::from(RECORDS) - counts.distinct;
    // A frame of 16 kB has about 130 records.
    assert!((1..1000).contains(&missing) && counts.duplicates == 0, "{missing} {}", counts.duplicates);
    let of = ("output", "http.0");
    assert!(metrics.sum("drave_output_spool_damaged_bytes_total", of) > 100, "{metrics:#?}");
    assert!(metrics.sum("drave_output_dropped_records_total", ("reason", "spool_damaged")) > 0, "{metrics:#?}");
}

#[test]
fn below_the_floor_of_the_disk_nothing_is_written() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(503));
    let service = ["flush: 100ms", "mem_limit: 200k", "storage.path: spool", "storage.type: filesystem"];
    let site = Site::new().service(&[&service[..], &["storage.min_free: 100%"]].concat());
    site.write("a.log", 1, 0..RECORDS);
    let running = site.start(&[http(sink.address, &["batch_bytes_max: 16k"])]);
    assert!(running.agent.wait_for_stderr("hint: make room, or change `storage.min_free`", SOON));
    assert!(segments(running.agent.folder(), "http.0").is_empty());
    assert!(read(&running) < i64::from(RECORDS), "it reads on");
    sink.answer_with(|_| Act::status(200));
    running.wait_delivered("http.0", i64::from(RECORDS));
    assert_exactly(&sink, u64::from(RECORDS));
}

#[test]
fn what_is_in_the_spool_goes_when_the_disk_has_too_little_room() {
    let address = free_address();
    let site = Site::new().service(&with_spool(&[]));
    site.write("a.log", 1, 0..1000);
    let running = site.start(&[http(address, &[])]);
    running.wait_for("all in the spool", |metrics| spooled(metrics, "http.0") == 1000);
    let running = running.restart(|folder| {
        fs::remove_file(folder.join("logs/a.log")).unwrap();
        let config = fs::read_to_string(folder.join("drave.yaml")).unwrap();
        fs::write(folder.join("drave.yaml"), config.replace("min_free: 0%", "min_free: 100%")).unwrap();
    });
    assert!(running.agent.wait_for_stderr("the oldest records are given up", SOON), "{}", running.agent.stderr());
    assert_balanced(&running.metrics(), "http.0");
}
