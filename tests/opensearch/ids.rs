//! `generate_id`: however often a record is sent, it is stored once.

use super::support::bulk::Bulk;
use super::support::logs::ContainerLog;
use super::support::node::number;
use super::support::sink::{Act, Sink};
use super::support::site::{Running, Site, append, numbered};
use super::{json_site, lines, output};
use std::fs;
use std::ops::Range;
use std::path::Path;

#[test]
fn lost_answers_store_nothing_twice() {
    let bulk = Bulk::start(Sink::start());
    for answer in [Act::Close, Act::ResetMidAnswer, Act::status(503)] {
        bulk.next(answer);
    }
    let site = json_site();
    fs::write(site.path("logs/a.log"), lines(1, 0..500)).unwrap();
    let running = site.start(&[output("opensearch", bulk.sink.address, &["generate_id: on"])]);
    running.wait_delivered("opensearch.0", 500);
    let counts = bulk.counts();
    assert_eq!((counts.distinct, counts.duplicates, bulk.documents().len()), (500, 0, 500), "{counts:?}");
    assert!(bulk.sink.requests().len() > 3, "else nothing was sent twice");
}

/// Lines that bring no time, and equal ones, survive; what a crash sends again is stored once.
#[test]
fn crashes_store_nothing_twice() {
    let bulk = Bulk::start(Sink::start());
    let site = Site::new();
    append(&site.path("logs/a.log"), &numbered(1, 0..300));
    append(&site.path("logs/a.log"), &b"equal\n".repeat(5));
    let output = output("opensearch", bulk.sink.address, &["generate_id: on"]);
    // No position is ever committed: each start sends all that it finds.
    let mut running = site.start(&[output]);
    for round in 1..4_u32 {
        running.wait_for("the first part", |m| {
            m.sum("drave_output_delivered_records_total", ("output", "opensearch.0")) >= 300
        });
        running.agent.kill();
        running = running.restart(|folder| {
            fs::remove_dir_all(folder.join("state")).unwrap();
            append(&folder.join("logs/a.log"), &numbered(1, 300 * round..300 * (round + 1)));
        });
    }
    let all = 1200 + 5;
    running.wait_delivered("opensearch.0", all);
    let counts = bulk.counts();
    assert_eq!((counts.distinct, counts.duplicates), (1200, 0), "{counts:?}");
    assert_eq!(bulk.documents().len() as i64, all);
    assert!(bulk.sink.counts().duplicates > 0, "else nothing was sent twice");
}

fn write(log: &mut ContainerLog, numbers: Range<u32>) {
    for n in numbers {
        let (begin, end) = (number(1, n), "the end of a long line");
        match n % 10 {
            0 => [("P", begin.as_str()), ("P", "and on"), ("F", end)]
                .iter()
                .for_each(|(tag, text)| log.write_cri("stdout", tag, text)),
            _ => log.write_cri("stderr", "F", &begin),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A container's log, read again from the place of an earlier commit: from a compressed copy, a rotated file and the current one.
#[test]
fn rotations_store_nothing_twice() {
    let bulk = Bulk::start(Sink::start());
    let site = Site::new().inputs(&[("kube.*", "containers/*.log", &["multiline.parser: cri"])]);
    let mut log = ContainerLog::create(&site.path(""), "shop", "web-1", "uid-1", "main", 0);
    let delivered = |running: &Running, records: i64| {
        running.wait_delivered("opensearch.0", records);
    };
    write(&mut log, 0..300);
    let options = ["generate_id: on", "logstash_format: on", "compress: gzip"];
    let mut running = site.start(&[output("opensearch", bulk.sink.address, &options)]);
    delivered(&running, 300);
    running.agent.stop();
    running = running.restart(|folder| {
        copy(&folder.join("state"), &folder.join("saved"));
        write(&mut log, 300..600);
        log.rotate();
        log.reopen();
        write(&mut log, 600..900);
    });
    delivered(&running, 600);
    running.agent.kill();
    running = running.restart(|folder| {
        fs::remove_dir_all(folder.join("state")).unwrap();
        copy(&folder.join("saved"), &folder.join("state"));
        log.rotate();
        log.reopen();
        write(&mut log, 900..1000);
    });
    delivered(&running, 700);
    let counts = bulk.counts();
    assert_eq!((counts.distinct, counts.duplicates, bulk.documents().len()), (1000, 0, 1000), "{counts:?}");
    assert_eq!(bulk.sink.counts().duplicates, 600, "else nothing was sent twice");
    assert!(log.rotated().iter().any(|path| path.extension().is_some_and(|end| end == "gz")), "{:?}", log.rotated());
}
