//! Metadata of namespaces, over restarts and without the rights to them.

use super::support::kubernetes::{Trouble, pod};
use super::*;
use serde_json::json;

fn api() -> KubeApi {
    let api = KubeApi::start();
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    api.put_namespace("shop", json!({ "team": "a" }));
    api
}

#[test]
fn they_are_followed_where_they_are_asked_for_and_known_after_a_restart() {
    let api = api();
    let node = node(&api, &[FOR_GOOD, "namespace_labels: on"]);
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let mut agent = start(&node);
    let shop = json!({ "name": "shop", "labels": { "team": "a" } });
    let one = record(&node, "one");
    assert!(is_enriched(&one));
    assert_eq!(one["kubernetes_namespace"], shop);
    assert!(poll(PATIENCE, || (api.lists(), api.watches()) == (2, 2)), "{:?}", api.requests());
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    drop(api);
    log.write_cri("stdout", "F", "after");
    let _agent = start(&node);
    let after = record(&node, "after");
    assert!(is_enriched(&after));
    assert_eq!(after["kubernetes_namespace"], shop);
}

#[test]
fn without_the_rights_to_them_no_file_waits_and_the_hint_names_them() {
    let api = api();
    api.forbid(&["namespaces"]);
    let node = node(&api, &[FOR_GOOD, "namespace_labels: on"]).admin();
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let agent = start(&node);
    let one = record(&node, "one");
    assert!(is_enriched(&one), "{one}");
    assert_eq!(one["kubernetes_namespace"], json!({ "name": "shop" }));
    let hint = "hint: the service account needs the rights to list and to watch namespaces";
    assert!(agent.stderr().contains(hint), "{}", agent.stderr());
    let metrics = agent.page("/metrics");
    assert!(metrics.contains("reason=\"unknown_namespace\"} 1"), "{metrics}");
    assert!(metrics.contains("drave_filter_kubernetes_watch_live{filter=\"kubernetes.0\"} 1"), "{metrics}");
    // Another file does not wait either; when the rights are there, so are the labels.
    api.put(pod("web-2", "shop", "uid-2", &[("app", "c")]));
    let mut second = super::log(&node, "web-2", "uid-2");
    second.write_cri("stdout", "F", "two");
    assert!(is_enriched(&record(&node, "two")));
    api.forbid(&[]);
    let labelled = || node.sink.records().iter().any(|r| r["kubernetes_namespace"]["labels"]["team"] == "a");
    let mut number = 0;
    let done = poll(PATIENCE, || {
        number += 1;
        log.write_cri("stdout", "F", &format!("again {number}"));
        std::thread::park_timeout(Duration::from_millis(50));
        labelled()
    });
    assert!(done, "{:?}", node.sink.records().last());
}

#[test]
fn where_they_are_all_that_is_asked_for_their_watch_is_the_one_that_is_shown() {
    let api = api();
    let node = node(&api, &[FOR_GOOD, "namespace_labels: on", "namespace_metadata_only: on"]).admin();
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let agent = start(&node);
    let one = record(&node, "one");
    assert_eq!((&one["kubernetes_namespace"]["labels"]["team"], &one["kubernetes"]), (&json!("a"), &Value::Null));
    let is_live = |live: u8| {
        let line = format!("drave_filter_kubernetes_watch_live{{filter=\"kubernetes.0\"}} {live}");
        poll(PATIENCE, || agent.page("/metrics").contains(&line))
    };
    assert!(is_live(1), "{}", agent.page("/metrics"));
    assert!(api.requests().iter().all(|request| request.starts_with("/api/v1/namespaces?")), "{:?}", api.requests());
    api.misbehave(Trouble::Status(500));
    api.cut();
    assert!(is_live(0), "{}", agent.page("/metrics"));
}
