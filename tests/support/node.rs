//! A node in small: a folder with logs, a sink, and agents that carry the logs there. The folder outlives the agents.
//!
//! ```text
//! let node = Node::new().tail("rotate_wait", "1");
//! let mut log = node.container("web-1");
//! let mut agent = node.start();
//! write_numbers(&mut log, 1, 0..100);
//! node.expect(100);
//! assert_eq!(agent.stop(), Some(0));
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::agent::{Agent, poll};
use super::logs::ContainerLog;
use super::sink::{Act, Sink};
use super::tally::Counts;

/// How long anything may take on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

type Options = BTreeMap<String, String>;

/// The folder, the sink and the configuration of the agents.
pub struct Node {
    root: TempDir,
    pub sink: Sink,
    service: Options,
    tail: Options,
    output: Options,
    more: String,
}

impl Node {
    /// Container logs are followed from their beginning; positions are kept in `state/drave.db`.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let sink = Sink::start();
        let path = |name: &str| root.path().join(name).display().to_string();
        let tail = [
            ("path", path("containers/*.log")),
            ("multiline.parser", "docker, cri".into()),
            ("tag", "kube.*".into()),
            ("db", path("state/drave.db")),
            ("read_from_head", "on".into()),
            ("rotate_wait", "1".into()),
        ];
        let tail = tail.map(|(key, value)| (key.to_owned(), value)).into();
        // How full the disk is shall mean nothing.
        let service = [("flush", "0.05"), ("storage.min_free", "0%")];
        let service = service.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let node = Self { root, sink, service, tail, output: Options::new(), more: String::new() };
        fs::create_dir_all(node.path("containers")).unwrap();
        node
    }

    /// Plain files in `logs`, a line a record.
    pub fn plain() -> Self {
        let mut node = Self::new();
        node.tail.remove("multiline.parser");
        fs::create_dir_all(node.path("logs")).unwrap();
        let path = node.path("logs/*.log").display().to_string();
        node.tail("path", &path)
    }

    /// Sets an option of the tail input; an empty value takes it away.
    pub fn tail(mut self, key: &str, value: &str) -> Self {
        set(&mut self.tail, key, value);
        self
    }

    /// Sets an option of the service.
    pub fn service(mut self, key: &str, value: &str) -> Self {
        set(&mut self.service, key, value);
        self
    }

    /// Admin pages on a port of its own: [`Agent::page`].
    pub fn admin(self) -> Self {
        self.service("http_server", "on").service("http_listen", "127.0.0.1").service("http_port", "0")
    }

    /// Sets an option of the output.
    pub fn output(mut self, key: &str, value: &str) -> Self {
        set(&mut self.output, key, value);
        self
    }

    /// Further lines of the configuration: outputs, then whatever comes behind them.
    pub fn more(mut self, yaml: &str) -> Self {
        self.more.push_str(yaml);
        self
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The log of a container that just started.
    pub fn container(&self, pod: &str) -> ContainerLog {
        ContainerLog::create(self.root(), "shop", pod, &format!("uid-{pod}"), "main", 0)
    }

    /// Appends to a file below the folder.
    pub fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut file = fs::File::options().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    pub fn config(&self) -> String {
        let mut text = "service:\n".to_owned();
        for (key, value) in &self.service {
            writeln!(text, "  {key}: '{value}'").unwrap();
        }
        text.push_str("pipeline:\n  inputs:\n    - name: tail\n");
        for (key, value) in &self.tail {
            writeln!(text, "      {key}: '{value}'").unwrap();
        }
        let port = self.sink.address.port();
        let output = ["name: http", "match: '*'", "format: json_lines"].join("\n      ");
        writeln!(text, "  outputs:\n    - {output}\n      port: {port}").unwrap();
        for (key, value) in &self.output {
            writeln!(text, "      {key}: '{value}'").unwrap();
        }
        text + &self.more
    }

    /// Starts an agent and waits until it follows what is there.
    pub fn start(&self) -> Agent {
        let agent = Agent::start(&self.config());
        let follows = || agent.stderr().contains("following files=");
        assert!(poll(PATIENCE, || follows() || agent.stderr().contains("error:")) && follows(), "{}", agent.stderr());
        agent
    }

    /// Waits until so many different numbers were accepted, and shows what is missing when they do not come.
    #[track_caller]
    pub fn expect(&self, distinct: u64) {
        assert!(self.sink.wait_for(distinct, PATIENCE), "not all {distinct} came: {:?}", summary(&self.sink.counts()));
    }

    /// Ends the agent cleanly; then every number came, once.
    #[track_caller]
    pub fn expect_once(&self, mut agent: Agent, distinct: u64) {
        self.expect(distinct);
        assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
        self.expect_exactly(distinct);
    }

    /// So many numbers came until now, none twice, none left out.
    #[track_caller]
    pub fn expect_exactly(&self, distinct: u64) {
        let counts = self.sink.counts();
        let found = (counts.distinct, counts.duplicates, counts.gaps.len());
        assert_eq!(found, (distinct, 0, 0), "distinct, duplicates, gaps: {:?}", summary(&counts));
    }

    /// The `log` of all records so far.
    pub fn texts(&self) -> Vec<String> {
        let text = |record: Value| record["log"].as_str().unwrap_or_default().to_owned();
        self.sink.records().into_iter().map(text).collect()
    }

    /// Waits for exactly these texts, in this order.
    #[track_caller]
    pub fn expect_texts(&self, texts: &[&str]) {
        poll(PATIENCE, || self.texts().len() >= texts.len());
        assert_eq!(self.texts(), texts);
    }
}

fn set(options: &mut Options, key: &str, value: &str) {
    match value {
        "" => drop(options.remove(key)),
        value => drop(options.insert(key.to_owned(), value.to_owned())),
    }
}

/// Gaps can be thousands.
fn summary(counts: &Counts) -> String {
    let gaps: Vec<_> = counts.gaps.iter().map(|(file, gap)| (file, gap.len(), gap.first(), gap.last())).collect();
    format!("distinct {} duplicates {} disorder {} gaps {gaps:?}", counts.distinct, counts.duplicates, counts.disorder)
}

/// `seq=0001-00000007;`
pub fn number(file: u32, number: u32) -> String {
    format!("seq={file:04}-{number:08};")
}

/// A CRI line for each number, in one write.
pub fn write_numbers(log: &mut ContainerLog, file: u32, numbers: Range<u32>) {
    let line =
        |n| format!("2026-11-20T08:00:00.{n:09}Z stdout F {} a line of usual length, more or less\n", number(file, n));
    log.write_raw(numbers.map(line).collect::<String>().as_bytes());
}

/// Plain lines.
pub fn numbers(file: u32, numbers: Range<u32>) -> String {
    numbers.map(|n| number(file, n) + "\n").collect()
}

/// The sink answers 503 as long as the switch is on, and wants to be asked again after a second.
pub fn closed_while(sink: &Sink) -> Arc<AtomicBool> {
    let closed = Arc::new(AtomicBool::new(true));
    let shared = Arc::clone(&closed);
    sink.answer_with(move |_| match shared.load(Ordering::Acquire) {
        true => Act::status(503).with_header("retry-after", "1"),
        false => Act::status(200),
    });
    closed
}
