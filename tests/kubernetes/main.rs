//! The filter `kubernetes` against an API that misbehaves: logs flow, metadata follows, and the API is asked as little as can be.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod api;
mod namespaces;
mod real;
mod records;
mod shared;
mod size;
mod wishes;
#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use std::time::Duration;
use support::agent::{Agent, poll};
use support::kubernetes::KubeApi;
use support::logs::ContainerLog;
use support::node::{Node, PATIENCE};

/// Longer than any test: who waits so long waits for good.
const FOR_GOOD: &str = "kube_wait: 10m";
/// So short that what is not known is soon given up.
const SOON: &str = "kube_wait: 200ms";

/// A node whose filter asks this API, with further options, a line each.
fn node(api: &KubeApi, options: &[&str]) -> Node {
    let url = format!("kube_url: http://{}", api.address);
    let mut lines = vec!["name: kubernetes", "match: 'kube.*'", &url];
    lines.extend(options);
    let node = Node::new();
    let prefix = node.path("containers").display().to_string().trim_matches('/').replace('/', ".");
    let prefix = format!("kube_tag_prefix: kube.{prefix}.");
    lines.push(&prefix);
    node.more(&format!("  filters:\n    - {}\n", lines.join("\n      ")))
}

fn start(node: &Node) -> Agent {
    start_with(node, &[("NODE_NAME", "node-1")])
}

fn start_with(node: &Node, variables: &[(&str, &str)]) -> Agent {
    let agent = Agent::start_with(&node.config(), variables);
    assert!(agent.wait_for_stderr("following files=", PATIENCE), "{}", agent.stderr());
    agent
}

/// The log of a container that just started.
fn log(node: &Node, pod: &str, uid: &str) -> ContainerLog {
    ContainerLog::create(node.root(), "shop", pod, uid, "app", 0)
}

/// The record with this text, as soon as it is there.
#[track_caller]
fn record(node: &Node, text: &str) -> Value {
    let find = || node.sink.records().into_iter().find(|record| record["log"] == text);
    assert!(poll(PATIENCE, || find().is_some()), "`{text}` did not come: {:?}", node.texts());
    find().unwrap()
}

/// Writes lines until one of them is enriched.
#[track_caller]
fn until_enriched(node: &Node, log: &mut ContainerLog) {
    let mut number = 0;
    let enriched = || node.sink.records().iter().any(|record| record["kubernetes"]["pod_ip"].is_string());
    let done = poll(PATIENCE, || {
        number += 1;
        log.write_cri("stdout", "F", &format!("again {number}"));
        std::thread::park_timeout(Duration::from_millis(50));
        enriched()
    });
    assert!(done, "{:?}", node.sink.records().last());
}

/// What of a record comes from the API.
fn is_enriched(record: &Value) -> bool {
    let pod = &record["kubernetes"];
    pod["pod_ip"] == "10.0.0.7"
        && pod["host"] == "node-1"
        && pod["labels"].is_object()
        && pod["annotations"].is_object()
}
