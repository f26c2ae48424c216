//! What an outage and a start may cost, however much there is to be delivered.

use crate::support::agent::poll;
use crate::support::sink::{Act, Setup, Sink};
use crate::support::site::{SOON, Site, append, free_address, http};
use crate::{segments, spooled, with_spool};
use std::fmt::Write;
use std::fs::File;
use std::time::Duration;

const FILES: u32 = 500;
const RECORDS: u32 = 1_000;
/// `mem_limit`, and half of it for the moment in which what was borrowed is wanted back.
const HELD_MAX: i64 = (24 << 20) * 3 / 2;
/// An output of which an eighth of its share waits gets no more.
const WAITING_MIN: i64 = (24 << 20) / 8;
/// 64 MB in a release build.
const RSS_MAX: u64 = 96 << 20;

#[test]
fn with_500_files_and_no_sink_memory_stays_bounded() {
    std::thread::scope(|scope| {
        for has_spool in [false, true] {
            scope.spawn(move || stays_bounded(has_spool));
        }
    });
}

fn stays_bounded(has_spool: bool) {
    let options = if has_spool { with_spool(&[]) } else { vec!["flush: 100ms", "grace: 1"] };
    let site = Site::new().service(&options);
    (0..FILES).for_each(|file| site.write(&format!("{file}.log"), file, 0..RECORDS));
    let running = site.start(&[http(free_address(), &[])]);
    let all = i64::from(FILES * RECORDS);
    // Some 30 MB of files are twice as much in requests: more than memory takes.
    running.wait_for("an end of the reading", |metrics| {
        let held = metrics.sum("drave_output_memory_bytes", ("output", "http.0"));
        assert!(held <= HELD_MAX, "{held} bytes");
        let rss = running.agent.peak_rss_bytes();
        assert!(rss <= RSS_MAX, "{rss} bytes, with a spool: {has_spool}");
        if has_spool { spooled(metrics, "http.0") == all } else { held > WAITING_MIN }
    });
    if has_spool {
        return;
    }
    std::thread::sleep(Duration::from_millis(500));
    let routed = running.metrics().sum("drave_output_routed_records_total", ("output", "http.0"));
    assert!(routed < all, "what has no room stays in the files");
    assert!(running.agent.peak_rss_bytes() <= RSS_MAX, "{} bytes", running.agent.peak_rss_bytes());
}

/// Records that cannot be compressed.
fn noise(records: u64) -> Vec<u8> {
    let mut text = String::new();
    for record in 0..records {
        for word in 0..60 {
            write!(text, "{:016x}", xxhash_rust::xxh3::xxh3_64(&[record.to_le_bytes(), [word; 8]].concat())).unwrap();
        }
        text.push('\n');
    }
    text.into_bytes()
}

#[test]
fn a_start_reads_a_fraction_of_the_backlog_before_it_sends() {
    const BACKLOG: u64 = 64 << 20;
    let address = free_address();
    let site = Site::new().service(&with_spool(&["mem_limit: 8M"]));
    append(&site.path("logs/a.log"), &noise(BACKLOG / 961));
    let running = site.start(&[http(address, &["batch_bytes_max: 1M", "in_flight_max: 1"])]);
    let all = (BACKLOG / 961) as i64;
    running.wait_for("all of it in the spool", |metrics| spooled(metrics, "http.0") == all);
    let sizes = segments(running.agent.folder(), "http.0");
    let on_disk: u64 = sizes.iter().map(|segment| segment.metadata().unwrap().len()).sum();
    assert!(on_disk > BACKLOG, "{on_disk} bytes in {} segments", sizes.len());
    let sink = Sink::with(Setup { address: Some(address), ..Setup::default() });
    sink.answer_with(|_| Act::status(200).after(Duration::from_secs(60)));
    let running = running.restart(|folder| std::fs::remove_file(folder.join("logs/a.log")).unwrap());
    assert!(sink.wait_for_requests(1, SOON), "{}", running.agent.stderr());
    let read = running.agent.read_bytes();
    assert!(read < BACKLOG / 3, "{read} bytes of {on_disk}");
}

#[test]
fn a_start_at_the_end_of_a_huge_file_reads_next_to_nothing_of_it() {
    let sink = Sink::start();
    let site = Site::new();
    File::create(site.path("logs/a.log")).unwrap().set_len(4 << 30).unwrap();
    let config = site.config(&[http(sink.address, &[])]).replace("read_from_head: on", "read_from_head: off");
    let running = site.start_on(&config);
    assert!(running.agent.wait_for_stderr("following files=", SOON), "{}", running.agent.stderr());
    running.write("a.log", 1, 0..10);
    assert!(poll(SOON, || sink.counts().distinct == 10), "{}", running.agent.stderr());
    assert!(running.agent.read_bytes() < 8 << 20, "{} bytes", running.agent.read_bytes());
}
