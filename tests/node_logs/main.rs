//! What a node has besides the logs of containers: syslog files, the kernel's messages, what its instance says of itself; and the whole
//! configuration that is handed out for EKS.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod chunks;
mod idle;
mod inputs;
mod instance;
mod official;
mod published;
#[path = "../support/mod.rs"]
mod support;
mod syslog;

use std::fs;
use std::path::Path;
use std::time::Duration;
use support::agent::Agent;
use support::sink::Sink;

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// One input that goes to a sink, as lines of JSON.
fn config(sink: &Sink, input: &str, more: &str) -> String {
    let port = sink.address.port();
    format!(
        "service: {{flush: 50ms, http_server: on, http_listen: 127.0.0.1, http_port: 0}}\n\
         pipeline:\n  inputs:\n    - {{{input}}}\n\
         {more}  outputs:\n    - {{name: http, match: '*', port: {port}, format: json_lines, json_date_format: epoch_ms}}\n"
    )
}

/// A metric of the admin page, all its labels together.
fn metric(agent: &Agent, name: &str) -> u64 {
    let page = agent.page("/metrics");
    let lines = page.lines().filter(|line| line.starts_with(&format!("drave_{name}_total{{")));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// The files of a folder beside this file.
fn copy_folder(name: &str, to: &Path) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node_logs").join(name);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
