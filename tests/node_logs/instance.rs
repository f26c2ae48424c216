//! The filter `aws` against a metadata service that misbehaves: records flow, and have what is known.

use super::PATIENCE;
use super::support::agent::{Agent, poll};
use super::support::instance::{Instance, Trouble};
use super::support::kubernetes::KubeApi;
use super::support::node::Node;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Who waits so long waits for good.
const PATIENT: &str = "imds_wait: 10m";
const ALL: &str = "ec2_instance_type: on, private_ip: on, vpc_id: on, ami_id: on, account_id: on, hostname: on";

fn node(options: &str) -> Node {
    let node = Node::plain().admin();
    node.append("logs/a.log", "first\n");
    let separator = if options.is_empty() { "" } else { ", " };
    node.more(&format!("  filters:\n    - {{name: aws, match: '*'{separator}{options}}}\n"))
}

fn start(node: &Node, instance: &Instance) -> Agent {
    let endpoint = instance.endpoint();
    Agent::start_with(&node.config(), &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint), ("NODE_NAME", "node-1")])
}

/// The record with this text, without its time, as soon as it is there.
#[track_caller]
fn record(node: &Node, agent: &Agent, text: &str) -> Value {
    let find = || node.sink.records().into_iter().find(|record| record["log"] == text);
    assert!(poll(PATIENCE, || find().is_some()), "`{text}` did not come: {}", agent.stderr());
    let mut found = find().unwrap();
    found.as_object_mut().unwrap().retain(|key, _| key != "date" && key != "log");
    found
}

/// Writes lines until one of them has this key.
#[track_caller]
fn until(node: &Node, agent: &Agent, key: &str) -> Value {
    let mut number = 0;
    let find = || node.sink.records().into_iter().find(|record| !record[key].is_null());
    let found = poll(PATIENCE, || {
        number += 1;
        node.append("logs/a.log", format!("again {number}\n"));
        std::thread::park_timeout(Duration::from_millis(50));
        find().is_some()
    });
    assert!(found, "{key} did not come: {}", agent.stderr());
    find().unwrap()
}

#[test]
fn the_first_records_have_all_that_the_instance_says() {
    let instance = Instance::start();
    instance.tag(&[("Name", "worker 1"), ("Team", "shop"), ("Secret", "x")]);
    let node = node(&format!("{ALL}, {PATIENT}, tags_enabled: on, tags_exclude: Secret"));
    let mut agent = start(&node, &instance);
    let expect = json!({
        "az": "eu-central-1a", "ec2_instance_id": "i-0123456789abcdef0", "ec2_instance_type": "m7g.large",
        "private_ip": "10.1.2.3", "vpc_id": "vpc-77", "ami_id": "ami-5", "account_id": "123456789012",
        "hostname": "ip-10-1-2-3.eu-central-1.compute.internal", "Name": "worker 1", "Team": "shop",
    });
    let found = record(&node, &agent, "first");
    assert_eq!(found, expect, "{}", agent.stderr());
    let order = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(order(&found), order(&expect));
    assert_eq!(instance.asked().iter().filter(|asked| asked.starts_with("PUT")).count(), 1);
    let asked = instance.asked().len();
    node.append("logs/b.log", "second\n");
    assert_eq!(record(&node, &agent, "second"), expect);
    assert_eq!((instance.asked().len(), agent.stop()), (asked, Some(0)), "it is asked once");
}

#[test]
fn tokens_may_come_to_their_end() {
    let instance = Instance::start();
    instance.misbehave(Trouble::ShortTokens);
    let node = node(PATIENT);
    let agent = start(&node, &instance);
    let expect = json!({"az": "eu-central-1a", "ec2_instance_id": "i-0123456789abcdef0"});
    assert_eq!(record(&node, &agent, "first"), expect);
    assert!(instance.asked().iter().filter(|asked| asked.starts_with("PUT")).count() >= 2, "{:?}", instance.asked());
}

#[test]
fn version_1_needs_no_token() {
    let instance = Instance::start();
    instance.allow_version_1();
    let node = node(&format!("imds_version: v1, az: off, tags_enabled: on, {PATIENT}"));
    let agent = start(&node, &instance);
    assert_eq!(record(&node, &agent, "first"), json!({"ec2_instance_id": "i-0123456789abcdef0"}));
    assert!(instance.asked().iter().all(|asked| asked.starts_with("GET")), "{:?}", instance.asked());
    assert!(agent.stderr().contains("shows no tags"), "{}", agent.stderr());
}

#[test]
fn the_node_answers_where_tokens_do_not_come_back() {
    let (instance, api) = (Instance::start(), KubeApi::start());
    instance.misbehave(Trouble::HopLimit);
    api.put_node(
        "node-1",
        Some(json!({
            "metadata": { "name": "node-1", "labels": { "node.kubernetes.io/instance-type": "m7g.large" } },
            "spec": { "providerID": "aws:///eu-central-1a/i-0123456789abcdef0" },
        })),
    );
    let node = node(&format!("{ALL}, {PATIENT}, retry_interval_s: 1, kube_url: 'http://{}'", api.address));
    let agent = start(&node, &instance);
    let by_node =
        json!({"az": "eu-central-1a", "ec2_instance_id": "i-0123456789abcdef0", "ec2_instance_type": "m7g.large"});
    assert_eq!(record(&node, &agent, "first"), by_node, "{}", agent.stderr());
    assert!(agent.stderr().contains("--http-put-response-hop-limit 2"), "{}", agent.stderr());
    instance.misbehave(Trouble::None);
    let whole = until(&node, &agent, "vpc_id");
    assert_eq!((&whole["az"], &whole["private_ip"]), (&"eu-central-1a".into(), &"10.1.2.3".into()));
    assert_eq!(api.requests(), ["/api/v1/nodes/node-1"], "it is asked once");
}

#[test]
fn a_node_that_may_not_be_read_is_said_once_and_records_go_without() {
    let (instance, api) = (Instance::start(), KubeApi::start());
    instance.misbehave(Trouble::Status(500));
    api.put_node("node-1", None);
    let node = node(&format!("retry_interval_s: 1, kube_url: 'http://{}'", api.address));
    let mut agent = start(&node, &instance);
    assert_eq!(record(&node, &agent, "first"), json!({}));
    assert!(poll(PATIENCE, || api.requests().len() >= 3), "it is tried again");
    assert_eq!(super::metric(&agent, "filter_aws_without_metadata_records"), 1);
    let said = agent.stderr();
    assert_eq!(said.matches("resources: [nodes], verbs: [get]").count(), 1, "{said}");
    assert_eq!(said.matches("the metadata service answered 500").count(), 1, "{said}");
    instance.misbehave(Trouble::None);
    assert_eq!(until(&node, &agent, "az")["ec2_instance_id"], "i-0123456789abcdef0");
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn an_instance_that_wants_tokens_says_so() {
    let instance = Instance::start();
    let node = node("imds_version: v1");
    let agent = start(&node, &instance);
    assert_eq!(record(&node, &agent, "first"), json!({}));
    assert!(
        agent.stderr().contains("answered 401") && agent.stderr().contains("set `imds_version v2`"),
        "{}",
        agent.stderr()
    );
}

#[test]
fn nobody_waits_long_for_a_service_that_is_not_there() {
    let instance = Instance::start();
    instance.misbehave(Trouble::HopLimit);
    let node = node("");
    let begun = Instant::now();
    let agent = start(&node, &instance);
    assert_eq!(record(&node, &agent, "first"), json!({}));
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}

#[test]
fn what_came_before_a_connection_was_closed_is_kept() {
    let instance = Instance::start();
    // The token and the zone.
    instance.misbehave(Trouble::ClosesAfter(2));
    let node = node("retry_interval_s: 1, imds_wait: 10m");
    let mut agent = start(&node, &instance);
    assert!(agent.wait_for_stderr("ended the connection", PATIENCE), "{}", agent.stderr());
    instance.misbehave(Trouble::None);
    let expect = json!({"az": "eu-central-1a", "ec2_instance_id": "i-0123456789abcdef0"});
    assert_eq!(record(&node, &agent, "first"), expect, "{}", agent.stderr());
    let zones = instance.asked().iter().filter(|asked| asked.ends_with("availability-zone")).count();
    assert_eq!((zones, agent.stop()), (1, Some(0)), "what is known is not asked again");
}

#[test]
fn filters_that_ask_for_the_same_ask_once() {
    let instance = Instance::start();
    let filter = "    - {name: aws, match: '*', private_ip: on, imds_wait: 10m}\n";
    let node = Node::plain().admin();
    node.append("logs/a.log", "first\n");
    let node = node.more(&format!("  filters:\n{}", filter.repeat(3)));
    let mut agent = start(&node, &instance);
    let expect = json!({"az": "eu-central-1a", "ec2_instance_id": "i-0123456789abcdef0", "private_ip": "10.1.2.3"});
    assert_eq!(record(&node, &agent, "first"), expect, "{}", agent.stderr());
    assert_eq!((instance.asked().len(), agent.stop()), (4, Some(0)), "{:?}", instance.asked());
}
