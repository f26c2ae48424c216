//! How many puts the events cost: CloudWatch counts calls for all clusters of an account together.

use super::support::cloudwatch::CloudWatch;
use super::support::site::{SOON, Site};
use super::{OUTPUT, start};
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

/// Of a put, as CloudWatch counts.
const BYTES_MAX: usize = 1_048_576;
const EVENTS_MAX: usize = 10_000;
const EVENT_OVERHEAD: usize = 26;

/// One stream for each file.
fn site() -> Site {
    Site::new().inputs(&[("app.*", "logs/*.log", &[])])
}

/// The fewest puts that can hold what every stream got.
fn fewest(cloud: &CloudWatch) -> usize {
    let of_stream = |events: &Vec<(i64, String)>| {
        let bytes: usize = events.iter().map(|(_, message)| message.len() + EVENT_OVERHEAD).sum();
        bytes.div_ceil(BYTES_MAX).max(events.len().div_ceil(EVENTS_MAX))
    };
    cloud.groups().values().flat_map(|group| group.streams.values()).map(of_stream).sum()
}

/// Ten files at once, of which no request may be closed before it is full: long lines, and such that ten thousand fill no put.
#[test]
fn a_backlog_costs_hardly_more_puts_than_the_limits_ask_for() {
    let cloud = CloudWatch::start();
    cloud.delay(Duration::from_millis(10));
    let site = site();
    let (files, lines) = (10, 40_000);
    for file in 0..files {
        let width = if file < 8 { 150 } else { 20 };
        let mut text = String::new();
        for number in 0..lines {
            writeln!(text, "seq={file:04}-{number:08}; {}", "x".repeat(width + number % 7)).unwrap();
        }
        fs::write(site.path(&format!("logs/{file}.log")), text).unwrap();
    }
    let running = start(site, &cloud, &["linger: 5s", "log_stream_prefix: n-"]);
    let (begin, all) = (Instant::now(), files as u64 * lines as u64);
    assert!(cloud.wait_for(all * 9 / 10, SOON * 3), "{:?}", cloud.counts().distinct);
    // On a machine that does not fill them in this time the linger closes some, too.
    let lingers = begin.elapsed().as_secs() as usize / 5;
    assert!(cloud.wait_for(all, SOON * 3), "{:?}", cloud.counts().distinct);
    running.wait_delivered(OUTPUT.1, files as i64 * lines as i64);
    cloud.check();
    let (fewest, puts) = (fewest(&cloud), cloud.call_counts()["PutLogEvents"]);
    let most = fewest * 105 / 100 + lingers * files;
    assert!(puts <= most, "{puts} puts, where {fewest} would do, in {lingers} times the linger");
}

/// 200 streams at five lines each linger, all of it five times as quick as with the defaults.
#[test]
fn thin_streams_cost_one_put_each_linger_and_no_other_call() {
    const STREAMS: u64 = 200;
    let cloud = CloudWatch::start();
    cloud.make("/test/app", "another");
    let site = site();
    let write = |write: &dyn Fn(&str, u32, std::ops::Range<u32>), number: u32| {
        (0..STREAMS as u32).for_each(|file| write(&format!("{file}.log"), file, number..number + 1));
    };
    write(&|name, file, numbers| site.write(name, file, numbers), 0);
    let running = start(site, &cloud, &["linger: 1s", "log_stream_prefix: n-"]);
    running.wait_delivered(OUTPUT.1, STREAMS as i64);
    assert_eq!(cloud.call_counts()["CreateLogStream"] as u64, STREAMS);
    cloud.forget_calls();
    let (begin, mut number) = (Instant::now(), 1);
    while begin.elapsed() < Duration::from_secs(5) {
        write(&|name, file, numbers| running.write(name, file, numbers), number);
        number += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    let seconds = begin.elapsed().as_secs_f64();
    let counts = cloud.call_counts();
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["PutLogEvents"]);
    // 45 a second with a linger of 5 s.
    let most = 225.0 * seconds;
    assert!((counts["PutLogEvents"] as f64) < most, "{counts:?} in {seconds} s");
    running.wait_delivered(OUTPUT.1, STREAMS as i64 * i64::from(number));
    cloud.check();
}
