//! Deleted files that are held open until they are read.

use crate::support::agent::poll;
use crate::support::sink::{Act, Sink};
use crate::support::site::{Running, SOON, Site, http};
use std::fs;
use std::time::{Duration, SystemTime};

const RECORDS: u32 = 20_000;
/// Of a file.
const BYTES: i64 = 940_000;
const FILES: u32 = 4;

/// Reads from a destination that is away, so that most of each file stays unread, and deletes them all.
fn with_deleted_files(sink: &Sink, options: &[&str]) -> Running {
    sink.answer_with(|_| Act::status(503));
    let service = [&["flush: 100ms", "mem_limit: 100k"], options].concat();
    let site = Site::new().service(&service).inputs(&[("app", "logs/*.log", &["buffer_chunk_size: 16k"])]);
    let names: Vec<_> = (1..=FILES).map(|n| site.path(&format!("logs/{n}.log"))).collect();
    for (number, name) in (1..).zip(&names) {
        site.write(&format!("{number}.log"), number, 0..RECORDS);
        // The first is the oldest.
        let age = Duration::from_secs(u64::from(100 - number));
        fs::File::options().append(true).open(name).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }
    let running = site.start(&[http(sink.address, &[])]);
    running.wait_for("open files", |m| m.sum("drave_input_files_open", ("input", "tail.0")) == i64::from(FILES));
    names.iter().for_each(|name| fs::remove_file(name).unwrap());
    running
}

/// The deleted files that the process has open.
fn deleted_open(running: &Running) -> usize {
    let folder = format!("/proc/{}/fd", running.agent.pid().as_raw_nonzero());
    let links = fs::read_dir(folder).unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().ends_with(".log (deleted)")).count()
}

#[test]
fn the_oldest_are_given_up_and_the_newest_delivered() {
    let sink = Sink::start();
    let running = with_deleted_files(&sink, &["storage.held_limit: 2M"]);
    // Two files fit below the limit.
    assert!(poll(SOON, || deleted_open(&running) == 2), "{}", running.agent.stderr());
    let metrics =
        running.wait_for("lost bytes", |m| m.sum("drave_input_lost_bytes_total", ("reason", "held_limit")) > 0);
    let lost = metrics.sum("drave_input_lost_bytes_total", ("reason", "held_limit"));
    assert!((BYTES * 2 - 200_000..=BYTES * 2).contains(&lost), "{lost}");
    let said = running.agent.stderr();
    assert!(said.contains("ERROR") && said.contains("`storage.held_limit`"), "{said}");
    assert!(said.contains("1.log"), "{said}");

    sink.answer_with(|_| Act::status(200));
    let read = i64::from(FILES) * BYTES - lost;
    let metrics = running.wait_for("the others", |m| {
        let of = |name: &str| m.sum(name, ("output", "http.0"));
        of("drave_output_delivered_bytes_total") == read && of("drave_output_pending_records") == 0
    });
    assert_eq!(metrics.sum("drave_input_lost_bytes_total", ("reason", "held_limit")), lost);
    // Of the two newest, all.
    let newest = sink.records().iter().filter(|r| r["log"].as_str().unwrap() >= "seq=0003").count();
    assert_eq!(newest, 2 * RECORDS as usize);
}

#[test]
fn a_full_disk_is_a_reason_too() {
    let sink = Sink::start();
    // No disk has all of it free, so all of them go.
    let running = with_deleted_files(&sink, &["storage.min_free: 100%"]);
    running.wait_for("lost bytes", |m| m.sum("drave_input_lost_bytes_total", ("reason", "disk_full")) > 0);
    assert!(poll(SOON, || deleted_open(&running) == 0), "{}", running.agent.stderr());
    assert!(running.agent.stderr().contains("`storage.min_free`"), "{}", running.agent.stderr());
}
