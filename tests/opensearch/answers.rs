//! What becomes of each document, by its server's answer.

use super::support::bulk::{Bulk, Wrong};
use super::support::sink::{Act, Sink};
use super::support::site::{Running, SOON, Site};
use super::{json_site, lines, output};
use serde_json::Value;
use std::collections::HashSet;
use std::fs;

fn number(document: &Value) -> Option<u64> {
    document["n"].as_u64()
}

fn no_number(document: &Value) -> Option<Wrong> {
    let reason =
        || "failed to parse field [n] of type [date] in document with id 'x'. Preview of field's value: '7'".into();
    number(document).filter(|n| n % 10 == 7).map(|_| (400, "mapper_parsing_exception", reason()))
}

fn refused(running: &Running) -> i64 {
    running.metrics().sum("drave_output_refused_records_total", ("output", "opensearch.0"))
}

#[test]
fn every_item_is_accounted_for() {
    let bulk = Bulk::start(Sink::start());
    let mut busy = HashSet::new();
    bulk.judge(move |document| {
        let wrong = no_number(document);
        let is_busy = number(document).is_some_and(|n| n % 10 == 3 && busy.insert(n));
        wrong.or(is_busy.then(|| (429, "es_rejected_execution_exception", "queue is full".into())))
    });
    let site = json_site();
    fs::write(site.path("logs/a.log"), lines(1, 0..1000)).unwrap();
    let running =
        site.start(&[output("opensearch", bulk.sink.address, &["compress: gzip", "on_mapping_conflict: refuse"])]);
    running.wait_delivered("opensearch.0", 900);
    assert_eq!(refused(&running), 100);
    let counts = bulk.counts();
    assert_eq!((counts.distinct, counts.duplicates, counts.gaps[&1].len()), (900, 0, 100), "{counts:?}");
    assert_eq!(bulk.sink.requests()[0].head.header("content-encoding"), Some("gzip"));
    let letters = fs::read_to_string(running.agent.folder().join("dead.jsonl")).unwrap();
    assert_eq!(letters.lines().count(), 100);
    let letter: Value = serde_json::from_str(letters.lines().next().unwrap()).unwrap();
    assert_eq!(letter["reason"], "mapper_parsing_exception");
    assert_eq!(letter["message"], "failed to parse field [n] of type [date]");
}

#[test]
fn a_document_that_the_mapping_refuses_loses_its_fields_and_not_its_text() {
    let bulk = Bulk::start(Sink::start());
    bulk.judge(no_number);
    let site = json_site();
    fs::write(site.path("logs/a.log"), lines(1, 0..100)).unwrap();
    let running = site.start(&[output("opensearch", bulk.sink.address, &["generate_id: on"])]);
    running.wait_delivered("opensearch.0", 100);
    let counts = bulk.counts();
    assert_eq!((counts.distinct, counts.duplicates, refused(&running)), (100, 0, 0), "{counts:?}");
    let changed: Vec<Value> =
        bulk.documents().into_iter().map(|(_, d)| d).filter(|d| d["drave.conflict"] == "n").collect();
    assert_eq!(changed.len(), 10);
    for document in changed {
        assert!(document["@timestamp"].is_string() && document.get("n").is_none(), "{document}");
        let fields: Value = serde_json::from_str(document["drave.fields"].as_str().unwrap()).unwrap();
        assert_eq!(fields["n"].as_u64().map(|n| n % 10), Some(7), "{document}");
    }
}

#[test]
fn what_has_no_second_form_is_refused_after_all() {
    let bulk = Bulk::start(Sink::start());
    bulk.judge(|_| {
        Some((
            400,
            "strict_dynamic_mapping_exception",
            "dynamic introduction of [n] within [_doc] is not allowed".into(),
        ))
    });
    let site = json_site();
    fs::write(site.path("logs/a.log"), lines(1, 0..3)).unwrap();
    let running = site.start(&[output("es", bulk.sink.address, &[])]);
    running.wait_for("the refusals", |m| m.sum("drave_output_refused_records_total", ("output", "es.0")) == 3);
    let letters = fs::read_to_string(running.agent.folder().join("dead.jsonl")).unwrap();
    assert!(letters.lines().all(|letter| letter.contains("drave.conflict")), "{letters}");
    assert_eq!(bulk.documents().len(), 0);
}

#[test]
fn bodies_that_are_too_large_are_split() {
    let bulk = Bulk::start(Sink::start());
    bulk.takes_at_most(2000);
    let site = json_site();
    fs::write(site.path("logs/a.log"), lines(1, 0..200)).unwrap();
    let running = site.start(&[output("opensearch", bulk.sink.address, &[])]);
    running.wait_delivered("opensearch.0", 200);
    let counts = bulk.counts();
    assert_eq!((counts.distinct, counts.duplicates), (200, 0));
}

#[test]
fn a_block_keeps_the_data_and_says_what_is_likely() {
    let watermark = "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];";
    for (wrong, expect) in [
        ((429, "cluster_block_exception", watermark.to_owned()), "a disk there is nearly full"),
        ((404, "index_not_found_exception", "no such index [x]".to_owned()), "action.auto_create_index"),
        ((403, "security_exception", "no permissions for [indices:data/write/bulk[s]]".to_owned()), "rights to write"),
    ] {
        let bulk = Bulk::start(Sink::start());
        bulk.judge(move |_| Some(wrong.clone()));
        let site = json_site();
        fs::write(site.path("logs/a.log"), lines(1, 0..10)).unwrap();
        let running = site.start(&[output("opensearch", bulk.sink.address, &[])]);
        assert!(running.agent.wait_for_stderr(expect, SOON), "{}", running.agent.stderr());
        let metrics = running.metrics();
        assert_eq!(metrics.sum("drave_output_pending_records", ("output", "opensearch.0")), 10);
        assert_eq!(refused(&running), 0);
    }
}

#[test]
fn a_closed_index_holds_its_own_documents_only() {
    let bulk = Bulk::start(Sink::start());
    bulk.judge(|document| {
        let closed = document["team"] == "closed";
        closed.then(|| (400, "index_closed_exception", "closed".into()))
    });
    let site = json_site();
    let lines = |numbers: std::ops::Range<u32>| {
        let line =
            |n| format!("{{\"msg\":\"seq=0001-{n:08};\",\"team\":\"{}\"}}\n", ["open", "closed"][n as usize % 2]);
        numbers.map(line).collect::<String>().into_bytes()
    };
    fs::write(site.path("logs/a.log"), lines(0..10)).unwrap();
    let running = site.start(&[output("opensearch", bulk.sink.address, &["index: app-$team", "in_flight_max: 1"])]);
    // Each round has documents of both: those of the closed index would keep the only slot for half a minute.
    for round in 1..5 {
        running.wait_for("those of the open index", |m| {
            m.sum("drave_output_delivered_records_total", ("output", "opensearch.0")) == i64::from(round) * 5
        });
        running.write_raw("a.log", &lines(round * 10..round * 10 + 10));
    }
    assert!(running.agent.stderr().contains("open the index"), "{}", running.agent.stderr());
    assert_eq!(refused(&running), 0);
    assert!(bulk.documents().iter().all(|(index, _)| index == "app-open"));
}

#[test]
fn updates_need_an_id() {
    let bulk = Bulk::start(Sink::start());
    let site = json_site();
    let text =
        "{\"id\":\"A\",\"state\":\"new\"}\n{\"state\":\"lost\"}\n{\"id\":\"A\",\"state\":\"paid\"}\n{\"id\":7}\n";
    fs::write(site.path("logs/a.log"), text).unwrap();
    let running = site.start(&[output("opensearch", bulk.sink.address, &["write_operation: upsert", "id_key: id"])]);
    running.wait_delivered("opensearch.0", 2);
    running.wait_for("the refusals", |m| m.sum("drave_output_refused_records_total", ("reason", "no_id")) == 2);
    let documents = bulk.documents();
    assert_eq!(documents.len(), 1, "{documents:?}");
    assert_eq!(documents[0].1["state"], "paid");
}

#[test]
fn mistakes_of_a_whole_request_are_said() {
    for (status, body, expect) in [
        (401, "", "security is on there"),
        (404, "<html>", "is that OpenSearch"),
        (400, "{\"error\":{\"reason\":\"contains an unknown parameter [_type]\"}}", "suppress_type_name on"),
    ] {
        let sink = Sink::start();
        sink.answer_with(move |_| Act::status(status).with_body(body));
        let site = Site::new();
        site.write("a.log", 1, 0..10);
        let running = site.start(&[output("opensearch", sink.address, &[])]);
        assert!(running.agent.wait_for_stderr(expect, SOON), "{}", running.agent.stderr());
        assert_eq!(running.metrics().sum("drave_output_pending_records", ("output", "opensearch.0")), 10);
    }
}
