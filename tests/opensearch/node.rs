//! A real node of OpenSearch: what it takes, what it refuses, and that each record is in it once.

use super::support::agent::poll;
use super::support::site::{Running, Site, append, free_address};
use super::support::tally::{Counts, Tally};
use super::support::tools::tool;
use super::{lines, output};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;
use tempfile::TempDir;

/// A start takes ten seconds where nothing else runs, and minutes where much does.
const STARTED_WITHIN: Duration = Duration::from_secs(240);
/// What is blocked is tried again each 30 s.
const UNBLOCKED_WITHIN: Duration = Duration::from_secs(90);

/// Killed when dropped.
struct Node {
    program: PathBuf,
    child: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Node {
    fn start(program: PathBuf) -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let child = spawn(&program, &folder, address);
        let node = Self { program, child, folder, address };
        node.wait();
        node
    }

    /// As a node that loses its power; it comes back with its data.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.child = spawn(&self.program, &self.folder, self.address);
        self.wait();
    }

    fn wait(&self) {
        let is_up = || {
            self.try_ask("GET", "/_cluster/health", "").is_some_and(|h| h["status"] != "red" && h["status"].is_string())
        };
        let log = || fs::read_to_string(self.folder.path().join("log")).unwrap();
        assert!(poll(STARTED_WITHIN, is_up), "the node does not start:\n{}", log());
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.try_ask(method, path, &body).unwrap()
    }

    fn try_ask(&self, method: &str, path: &str, body: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n",
            self.address
        );
        stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// The documents of an index.
    fn documents(&self, index: &str) -> Vec<Value> {
        self.ask("POST", &format!("/{index}/_refresh"), &Value::Null);
        let found = self.ask("GET", &format!("/{index}/_search?size=10000"), &Value::Null);
        let hits = found["hits"]["hits"].as_array().unwrap_or_else(|| panic!("{index}: {found}"));
        hits.iter().map(|hit| hit["_source"].clone()).collect()
    }

    fn counts(&self, index: &str) -> (usize, Counts) {
        let documents = self.documents(index);
        let mut tally = Tally::default();
        documents.iter().for_each(|document| tally.add(document.to_string().as_bytes()));
        (documents.len(), tally.counts())
    }

    fn assert_once(&self, index: &str, records: u64) {
        let (documents, counts) = self.counts(index);
        let found = (documents as u64, counts.distinct, counts.duplicates);
        assert_eq!(found, (records, records, 0), "{index}: {counts:?}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &PathBuf, folder: &TempDir, address: SocketAddr) -> Child {
    let log = || File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
    let data = folder.path().join("node");
    let mut command = Command::new(program);
    command.arg(data).arg(address.port().to_string()).stdout(log()).stderr(log()).spawn().unwrap()
}

fn site(node: &Node) -> (Site, Vec<String>) {
    let site = Site::new();
    fs::write(
        site.path("parsers.conf"),
        "[PARSER]\n    Name json\n    Format json\n    Time_Key at\n    Time_Format %s\n",
    )
    .unwrap();
    let parser = ["parser: json"];
    let inputs = ["day", "stream", "conflict"].map(|tag| (tag, format!("logs/{tag}.log")));
    let inputs: Vec<(&str, &str, &[&str])> =
        inputs.iter().map(|(tag, path)| (*tag, path.as_str(), &parser[..])).collect();
    let site = site.service(&["flush: 100ms", "parsers_file: parsers.conf"]).inputs(&inputs);
    let of = |tag: &str, options: &[&str]| {
        let section = output("opensearch", node.address, &[&["generate_id: on", "compress: gzip"], options].concat());
        section.replace("match: '*'", &format!("match: {tag}\n      alias: {tag}"))
    };
    let outputs = vec![
        of("day", &["logstash_format: on", "logstash_prefix: Day"]),
        of("stream", &["index: logs-app-$TAG"]),
        of("conflict", &["index: conflict"]),
    ];
    (site, outputs)
}

fn delivered(running: &Running, output: &str, records: i64, within: Duration) {
    let is_there = || {
        let metrics = running.try_metrics();
        metrics.is_some_and(|m| m.sum("drave_output_delivered_records_total", ("output", output)) >= records)
    };
    assert!(poll(within, is_there), "{output}: {}", running.agent.stderr());
}

#[test]
fn a_node_has_each_record_once() {
    let Some(program) = tool("opensearch") else { return };
    let mut node = Node::start(program);
    node.ask("PUT", "/_index_template/logs", &json!({ "index_patterns": ["logs-*"], "data_stream": {} }));
    let long = json!({ "mappings": { "properties": { "n": { "type": "long" } } } });
    node.ask("PUT", "/conflict", &long);
    let (site, outputs) = site(&node);
    for (file, name) in ["day", "stream", "conflict"].into_iter().enumerate() {
        append(&site.path(&format!("logs/{name}.log")), &lines(file as u32, 0..1000));
    }
    append(
        &site.path("logs/conflict.log"),
        b"{\"at\":\"1709287200\",\"n\":\"no number\",\"msg\":\"seq=0002-00001000;\"}\n",
    );
    let mut running = site.start(&outputs);

    for (output, index, records) in
        [("day", "day-2024.03.01", 1000), ("stream", "logs-app-stream", 1000), ("conflict", "conflict", 1001)]
    {
        delivered(&running, output, records, STARTED_WITHIN);
        node.assert_once(index, records as u64);
    }
    let changed: Vec<Value> = node.documents("conflict").into_iter().filter(|d| d["drave.conflict"] == "n").collect();
    assert_eq!(changed.len(), 1);
    assert!(changed[0]["drave.fields"].as_str().unwrap().contains("no number"), "{changed:?}");

    let block = |on: Value| json!({ "index.blocks.read_only_allow_delete": on });
    node.ask("PUT", "/day-2024.03.01/_settings", &block(json!(true)));
    running.write_raw("day.log", &lines(0, 1000..1090));
    assert!(running.agent.wait_for_stderr("a disk there is nearly full", STARTED_WITHIN), "{}", running.agent.stderr());
    // After a while something that arrives tells the others that they need not wait.
    running.wait_for("a stall", |m| m.sum("drave_output_oldest_pending_seconds", ("output", "day")) > 6);
    node.ask("PUT", "/day-2024.03.01/_settings", &block(Value::Null));
    running.write_raw("day.log", &lines(0, 1090..1100));
    delivered(&running, "day", 1100, UNBLOCKED_WITHIN);
    node.assert_once("day-2024.03.01", 1100);

    node.kill();
    running.write_raw("day.log", &lines(0, 1100..1490));
    node.start_again();
    running.write_raw("day.log", &lines(0, 1490..1500));
    delivered(&running, "day", 1500, UNBLOCKED_WITHIN);
    node.assert_once("day-2024.03.01", 1500);

    // Killed in the middle, and its positions lost: it sends everything again.
    running.write_raw("day.log", &lines(0, 1500..3000));
    running.agent.kill();
    running = running.restart(|folder| fs::remove_dir_all(folder.join("state")).unwrap());
    for (output, index, records) in
        [("day", "day-2024.03.01", 3000), ("stream", "logs-app-stream", 1000), ("conflict", "conflict", 1001)]
    {
        delivered(&running, output, records, UNBLOCKED_WITHIN);
        node.assert_once(index, records as u64);
    }
}
