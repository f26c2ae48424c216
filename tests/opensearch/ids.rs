//! `generate_id`: however often a record is sent, it is stored once.

use super::support::bulk::Bulk;
use super::support::sink::{Act, Sink};
use super::support::site::{Site, append, numbered};
use super::{json_site, lines, output};
use std::fs;

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

/// Lines that bring no time, and equal ones, survive; what a crash sends again is stored once, also of a file that was rotated
/// and compressed meanwhile.
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
