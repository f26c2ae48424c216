//! The examples of `config/` are correct, and the one that README begins with prints what it says.
#![allow(clippy::unwrap_used, reason = "an example that is not there shall fail the test at once")]

mod support;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::agent::poll;

/// Files that other examples name; alone they are no configuration.
const PARTS: &[&str] = &["parsers.conf"];

/// Records of the samples: 12 and 3 lines, of which two are pieces that went into another.
const SAMPLE_RECORDS: usize = 13;

/// For a slow machine on which other tests run too.
const PATIENCE: Duration = Duration::from_secs(30);

fn config_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn drave() -> Command {
    Command::new(env!("CARGO_BIN_EXE_drave"))
}

#[test]
fn every_example_passes_the_check() {
    let files = fs::read_dir(config_folder()).unwrap().map(|entry| entry.unwrap().path());
    let is_example = |path: &PathBuf| path.is_file() && !PARTS.contains(&path.file_name().unwrap().to_str().unwrap());
    let examples: BTreeSet<PathBuf> = files.filter(is_example).collect();
    assert!(examples.len() >= 8, "{examples:?}");
    for example in examples {
        let checked = drave().arg("check").arg(&example).env("KUBERNETES_SERVICE_HOST", "10.0.0.1").output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{}: {:?}\n{said}", example.display(), checked.status);
        // A variable without a default, an option without effect, a pattern that matches nothing: no example shows those.
        let notes = said.lines().filter(|line| line.starts_with("note:"));
        let other: Vec<&str> = notes.filter(|note| !note.contains("positions are kept in")).collect();
        assert!(other.is_empty(), "{}: {other:?}", example.display());
    }
}

#[test]
fn outside_of_a_cluster_one_note_says_that_no_api_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut check = drave();
    check.arg("check").arg(config_folder().join("kubernetes.yaml")).env_clear().env("HOME", folder.path());
    let said = String::from_utf8(check.output().unwrap().stderr).unwrap();
    let notes: Vec<&str> = said.lines().filter(|line| line.contains("Kubernetes API")).collect();
    assert_eq!(
        notes,
        ["note: nothing says here where the Kubernetes API is: records get what their paths say, and no more"]
    );
}

#[test]
fn parts_are_named_by_an_example() {
    let classic = fs::read_to_string(config_folder().join("classic.conf")).unwrap();
    for part in PARTS {
        assert!(classic.contains(part), "{part}");
    }
}

#[test]
fn the_local_example_prints_the_samples_with_their_pods() {
    let folder = tempfile::tempdir().unwrap();
    let printed = folder.path().join("printed");
    let mut agent = drave()
        .arg("-c")
        .arg(config_folder().join("local.yaml"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(File::create(&printed).unwrap())
        .stderr(File::create(folder.path().join("said")).unwrap())
        .spawn()
        .unwrap();
    let lines = || fs::read_to_string(&printed).unwrap();
    let all_there = poll(PATIENCE, || lines().matches('\n').count() >= SAMPLE_RECORDS);
    kill_process(Pid::from_child(&agent), Signal::TERM).unwrap();
    let mut status = None;
    poll(PATIENCE, || {
        status = agent.try_wait().unwrap();
        status.is_some()
    });
    if status.is_none() {
        agent.kill().unwrap();
    }
    let said = fs::read_to_string(folder.path().join("said")).unwrap();
    assert!(all_there, "only:\n{}\n{said}", lines());
    assert!(status.is_some_and(|s| s.success()), "{status:?}\n{said}");

    let records: Vec<Value> = lines().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), SAMPLE_RECORDS);
    check_pods(&records);
    check_texts(&records);
}

fn check_pods(records: &[Value]) {
    let of_pod = |pod: &str| records.iter().filter(|r| r["kubernetes"]["pod_name"] == pod).count();
    assert_eq!((of_pod("web-6d5f7c9b8-k2x4q"), of_pod("ledger-0")), (10, 3));
    let ledger = records.iter().find(|r| r["kubernetes"]["pod_name"] == "ledger-0").unwrap();
    let expect = serde_json::json!({
        "pod_name": "ledger-0",
        "namespace_name": "payments",
        "container_name": "ledger",
        "pod_id": "b7d41e60-2c8f-4f39-8d15-0a9e6c3b7f12",
        "docker_id": "41e8b0c7d95f2a63184ec07f9ad2b56e30f7c8419d6b2e05fa83c1d7460b9e5a",
    });
    assert_eq!(ledger["kubernetes"], expect);
    assert_eq!(ledger["date"], "2025-11-20T08:00:01.250001Z");
    assert_eq!(ledger["time"], "2025-11-20T09:00:01.250001+01:00");
}

fn check_texts(records: &[Value]) {
    let with = |part: &str| records.iter().find(|r| r["log"].as_str().unwrap().contains(part)).unwrap();
    // Three pieces, with a line of the other stream between them, are one record, and the text in it is whole.
    let cart: Value = serde_json::from_str(with("cart")["log"].as_str().unwrap()).unwrap();
    assert_eq!(cart["items"].as_array().unwrap().len(), 3);
    assert_eq!(with("came between")["stream"], "stderr");
    assert_eq!(with("Orders.find")["log"], "\tat com.example.shop.Orders.find(Orders.java:87)");
    assert!(with("closed")["log"].as_str().unwrap().contains(r"C:\temp\ledger.db"));
}
