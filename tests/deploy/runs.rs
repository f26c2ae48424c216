//! The configurations that people start with, run against the servers of `support`, with nothing changed but where things are.

use super::chart::{configuration, render};
use super::support::agent::{Agent, poll};
use super::support::cloudwatch::{CloudWatch, KEYS};
use super::support::kubernetes::{KubeApi, pod};
use super::support::logs::ContainerLog;
use super::support::node::{Node, PATIENCE};
use super::support::sink::Sink;
use super::*;

/// The folders of a node and of a pod, below this one; ports that are free.
fn moved(node: &Node, config: &str) -> String {
    let below = |text: String, from: &str, to: &str| text.replace(from, &node.path(to).display().to_string());
    let text = below(config.to_owned(), "/var/log/containers", "containers");
    let text = below(text, "/var/log/app", "app");
    let text = below(text, "/etc/podinfo", "podinfo");
    let text = below(text, "/var/lib/drave", "drave");
    let text = text.replace("http_server: on", "http_server: on\n  http_port: 0\n  http_listen: 127.0.0.1");
    let text = text.replace("HTTP_Port     2020", "HTTP_Port     0\n    HTTP_Listen   127.0.0.1");
    text.replace(
        "HTTP_Server   On\n    Parsers",
        "HTTP_Server   On\n    HTTP_Port     0\n    HTTP_Listen   127.0.0.1\n    Parsers",
    )
}

/// A line of a pod that the API knows.
fn write_line(node: &Node, api: &KubeApi) -> ContainerLog {
    api.put(pod("web-1", "shop", "uid-1", &[("main", "c")]));
    let mut log = ContainerLog::create(node.root(), "shop", "web-1", "uid-1", "main", 0);
    log.write_cri("stdout", "F", "hello");
    log
}

fn start(file: &str, config: &str, more: &[(&str, &str)]) -> Agent {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), config).unwrap();
    let variables =
        [("NODE_NAME", "node-1"), ("POD_NAME", "web-1"), ("POD_NAMESPACE", "shop"), ("CLUSTER_NAME", "prod")];
    let variables: Vec<(&str, &str)> = variables.into_iter().chain(KEYS).chain(more.iter().copied()).collect();
    Agent::start_on(folder, file, &variables)
}

/// The record as CloudWatch got it, in the group of its namespace and the stream of its node.
#[track_caller]
fn event(cloud: &CloudWatch, agent: &Agent) -> Value {
    let find = || {
        let groups = cloud.groups();
        let stream = groups.get("/eks/prod/shop")?.streams.get("node-1")?;
        serde_json::from_str::<Value>(&stream.first()?.1).ok()
    };
    assert!(poll(PATIENCE, || find().is_some()), "{:?}\n{}", cloud.groups(), agent.stderr());
    find().unwrap()
}

#[test]
fn the_default_configuration_fills_a_log_group_for_each_namespace() {
    let (node, api, cloud) = (Node::new(), KubeApi::start(), CloudWatch::start());
    let config = moved(&node, &read("config/drave.yaml"));
    let endpoint = format!("auto_create_group: on\n      region: eu-central-1\n      endpoint: {}", cloud.endpoint());
    let config = config.replace("auto_create_group: on", &endpoint);
    let api_url = format!("name: kubernetes\n      kube_url: http://{}", api.address);
    let config = config.replace("name: kubernetes", &api_url);
    let _log = write_line(&node, &api);
    let mut agent = start("drave.yaml", &config, &[]);
    let event = event(&cloud, &agent);
    assert_eq!((&event["log"], &event["kubernetes"]["labels"]["app"]), (&"hello".into(), &"web-1".into()), "{event}");
    assert!(event["kubernetes"]["annotations"].is_null());
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    cloud.check();
    assert!(node.path("drave/state/drave.db").exists());
}

#[test]
fn the_charts_configuration_puts_cluster_and_environment_into_each_record() {
    let (node, api, cloud) = (Node::new(), KubeApi::start(), CloudWatch::start());
    let values = format!(
        "clusterName: prod\nenvironment: eu\nfilter:\n  extraFilters: Kube_URL http://{}\ncloudWatchLogs:\n  region: eu-central-1\n  endpoint: {}\n",
        api.address,
        cloud.endpoint()
    );
    let file = node.path("values.yaml");
    fs::write(&file, values).unwrap();
    let Some(objects) = render(&[&file.display().to_string()]) else { return };
    let (name, text, _) = configuration(&objects);
    let _log = write_line(&node, &api);
    let mut agent = start(&name, &moved(&node, &text), &[]);
    let event = event(&cloud, &agent);
    assert_eq!((&event["cluster"], &event["environment"]), (&"prod".into(), &"eu".into()), "{event}");
    assert_eq!(event["kubernetes"]["labels"]["app"], "web-1");
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    cloud.check();
}

#[test]
fn the_sidecars_configuration_sends_the_pods_labels() {
    let (node, sink) = (Node::new(), Sink::start());
    for folder in ["app", "podinfo"] {
        fs::create_dir(node.path(folder)).unwrap();
    }
    fs::write(node.path("podinfo/labels"), "app=\"shop\"\n").unwrap();
    fs::write(node.path("podinfo/annotations"), "note=\"x\"\n").unwrap();
    node.append("app/main.log", "{\"msg\":\"hello\"}\n");
    let tls = format!("tls: off\n      port: {}", sink.address.port());
    let config = moved(&node, &read("config/sidecar.yaml")).replace("tls: on", &tls);
    let mut agent = start("drave.yaml", &config, &[("LOGS_HOST", "127.0.0.1")]);
    assert!(poll(PATIENCE, || !sink.records().is_empty()), "{}", agent.stderr());
    let record = &sink.records()[0];
    assert_eq!((&record["msg"], &record["kubernetes"]["labels"]["app"]), (&"hello".into(), &"shop".into()), "{record}");
    assert_eq!((&record["kubernetes"]["pod_name"], &record["kubernetes"]["host"]), (&"web-1".into(), &"node-1".into()));
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
}

#[test]
fn the_image_runs_without_a_configuration_of_ones_own() {
    let (node, api) = (Node::new(), KubeApi::start());
    let config = moved(&node, &read("deploy/image/etc/fluent-bit.conf"));
    let config =
        config.replace("Name   kubernetes", &format!("Name   kubernetes\n    Kube_URL http://{}", api.address));
    let _log = write_line(&node, &api);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("fluent-bit.conf"), config).unwrap();
    fs::copy(path("deploy/image/etc/parsers.conf"), folder.path().join("parsers.conf")).unwrap();
    let mut agent = Agent::start_on(folder, "fluent-bit.conf", &[("HOST_NAME", "node-1"), ("NODE_NAME", "")]);
    assert!(poll(PATIENCE, || !agent.stdout().is_empty()), "{}", agent.stderr());
    let record: Value = serde_json::from_str(agent.stdout().lines().next().unwrap()).unwrap();
    assert_eq!(
        (&record["log"], &record["kubernetes"]["labels"]["app"]),
        (&"hello".into(), &"web-1".into()),
        "{record}"
    );
    assert_eq!(agent.stop(), Some(0));
}
