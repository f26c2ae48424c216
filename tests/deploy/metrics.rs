//! Dashboards and alerts name metrics that exist.

use super::support::agent::Agent;
use super::support::node::{Node, PATIENCE, number, write_numbers};
use super::support::scrape::Metrics;
use super::support::sink::{Act, Request};
use super::support::tools::tool;
use super::*;
use regex::Regex;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;

/// What the dashboards and alerts ask of drave.
fn asked() -> BTreeSet<String> {
    let mut text = read("deploy/helm/drave/alerts.yaml");
    let dashboards: Vec<PathBuf> =
        fs::read_dir(path("deploy/helm/drave/dashboards")).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(!dashboards.is_empty());
    for dashboard in dashboards {
        let json: Value = serde_json::from_str(&fs::read_to_string(dashboard).unwrap()).unwrap();
        text += &json["panels"].to_string();
        text += &json["templating"].to_string();
    }
    let name = Regex::new(r"drave_[a-z_]+[a-z]").unwrap();
    name.find_iter(&text).map(|found| found.as_str().to_owned()).collect()
}

/// The names that the agent declares, as literals beside what they mean; amounts are declared in records and also come in bytes.
fn declared(name: &str) -> bool {
    let list = read("src/admin/metrics.rs");
    let short = name.trim_start_matches("drave_").trim_end_matches("_total");
    let is_there = |name: &str| list.contains(&format!("\"{name}\""));
    is_there(short) || short.strip_suffix("_bytes").is_some_and(|amount| is_there(&format!("{amount}_records")))
}

/// A scrape of an agent that has something to say: records that are delivered, refused and left out, a spool, no API.
fn scrape() -> String {
    let filter = "  filters:\n    - name: kubernetes\n      match: '*'\n      kube_url: http://127.0.0.1:9\n      kube_wait: 100ms\n";
    let node = Node::new().admin().service("storage.path", "spool").service("storage.type", "filesystem").more(filter);
    let mut log = node.container("web-1");
    write_numbers(&mut log, 1, 0..10);
    let agent = Agent::start_with(&node.config(), &[("NODE_NAME", "node-1")]);
    node.expect(10);
    // One record among others that are taken: it is found, and refused.
    let is_wrong = |request: &Request| String::from_utf8_lossy(&request.body).contains(&number(1, 13));
    node.sink.answer_with(move |request| Act::status(if is_wrong(request) { 400 } else { 200 }));
    write_numbers(&mut log, 1, 10..20);
    let refused = || agent.page("/metrics").contains("drave_output_refused_records_total");
    assert!(support::agent::poll(PATIENCE, refused), "{}", agent.stderr());
    let answer = agent.page("/metrics");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn every_metric_that_is_asked_for_exists() {
    let asked = asked();
    assert!(asked.len() > 25, "{asked:?}");
    let unknown: Vec<&String> = asked.iter().filter(|name| !declared(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let scraped = Metrics::parse(&scrape()).unwrap();
    let names: BTreeSet<&str> = scraped.samples.iter().map(|sample| sample.name.as_str()).collect();
    // The declared list is complete, and most of what is asked for is there as it is written.
    assert!(names.iter().all(|name| declared(name)), "{names:?}");
    let absent: Vec<&String> = asked.iter().filter(|name| !names.contains(name.as_str())).collect();
    // These come with their first case.
    let later = [
        "drave_input_dropped_records_total",
        "drave_input_lost_bytes_total",
        "drave_input_lost_entries_total",
        "drave_output_changed_records_total",
        "drave_output_dropped_records_total",
        "drave_output_retries_total",
    ];
    assert!(absent.iter().all(|name| later.contains(&name.as_str())), "{absent:?}");
}

#[test]
fn the_alerts_come_when_they_should() {
    let Some(promtool) = tool("promtool") else { return };
    let folder = tempfile::tempdir().unwrap();
    for file in ["deploy/helm/drave/alerts.yaml", "tests/deploy/alerts_test.yaml"] {
        fs::copy(path(file), folder.path().join(path(file).file_name().unwrap())).unwrap();
    }
    output_of(Command::new(&promtool).args(["check", "rules"]).arg(folder.path().join("alerts.yaml")));
    output_of(Command::new(&promtool).args(["test", "rules"]).arg(folder.path().join("alerts_test.yaml")));
    // Each of them has a case.
    let cases = read("tests/deploy/alerts_test.yaml");
    for rule in documents(&read("deploy/helm/drave/alerts.yaml"))[0]["groups"][0]["rules"].as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        assert!(cases.contains(&format!("alertname: {name}\n        exp_alerts:")), "{name}");
    }
}

#[test]
fn a_scrape_passes_prometheuss_own_check() {
    let Some(promtool) = tool("promtool") else { return };
    let text = older_format(&scrape());
    let mut check = Command::new(&promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

/// promtool reads the older format, in which the name of a counter's family has its ending.
fn older_format(text: &str) -> String {
    let counters: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let rename = |line: &str| {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", what, name, rest] if counters.contains(name) && !name.ends_with("_total") => {
                format!("# {what} {name}_total {rest}\n")
            }
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(rename).collect()
}
