//! The real binary as a sidecar: no node, no API, files that are gone with the pod.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use support::agent::{Agent, poll};
use support::bulk::Bulk;
use support::node::{Node, PATIENCE, closed_while, number, numbers};
use support::sink::Sink;

/// What kubelet sets in every pod.
const IN_A_POD: (&str, &str) = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");

/// A pod whose application writes into `logs`.
fn pod() -> Node {
    Node::plain().service("grace", "30")
}

fn start(node: &Node, environment: &[(&str, &str)]) -> Agent {
    let agent = Agent::start_with(&node.config(), environment);
    assert!(agent.wait_for_stderr("following files=", PATIENCE), "{}", agent.stderr());
    agent
}

#[test]
fn draining_reads_what_is_written_after_the_signal() {
    let node = pod().service("on_term", "drain");
    node.append("logs/a.log", numbers(1, 0..10));
    let mut agent = start(&node, &[]);
    agent.signal(Signal::TERM);
    assert!(agent.wait_for_stderr("drain=true", PATIENCE), "{}", agent.stderr());
    // Each waits for the one before to arrive: drave reads on, also in files that are new.
    node.append("logs/a.log", numbers(1, 10..20));
    node.expect(20);
    node.append("logs/b.log", numbers(2, 0..10));
    node.expect(30);
    // The last word of an application that is killed has no line end.
    node.append("logs/a.log", number(1, 20));
    let quiet = Instant::now();
    assert_eq!(agent.wait(PATIENCE).and_then(|status| status.code()), Some(0), "{}", agent.stderr());
    assert!(quiet.elapsed() >= Duration::from_secs(1), "it waits until the files are quiet: {:?}", quiet.elapsed());
    node.expect_exactly(31);
}

#[test]
fn draining_ends_before_the_grace_period_does() {
    // A spool would go with the pod, too: what comes late is sent, not put there.
    let node = pod().service("on_term", "drain").service("grace", "4");
    let node = node.service("storage.path", "spool").service("storage.type", "filesystem");
    node.append("logs/a.log", numbers(1, 0..10));
    let mut agent = start(&node, &[]);
    agent.signal(Signal::TERM);
    let (begin, mut next) = (Instant::now(), 10);
    // It writes and writes, and never pauses for long.
    while agent.wait(Duration::from_millis(20)).is_none() {
        assert!(begin.elapsed() < PATIENCE, "{}", agent.stderr());
        node.append("logs/a.log", numbers(1, next..next + 1));
        next += 1;
    }
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
    assert!(!agent.stderr().contains("not delivered"), "{}", agent.stderr());
    let counts = node.sink.counts();
    assert!(counts.distinct > 15 && counts.gaps.is_empty() && counts.duplicates == 0, "{counts:?}");
}

#[test]
fn a_second_signal_ends_the_draining() {
    let node = pod().service("on_term", "drain").service("grace", "100");
    node.append("logs/a.log", numbers(1, 0..10));
    let mut agent = start(&node, &[]);
    node.expect(10);
    let begin = Instant::now();
    agent.signal(Signal::TERM);
    assert!(agent.wait_for_stderr("drain=true", PATIENCE), "{}", agent.stderr());
    agent.signal(Signal::TERM);
    assert!(agent.wait(PATIENCE).is_some_and(|status| status.success()), "{}", agent.stderr());
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

/// Nobody reads later what a sidecar has not read; what a node's agent has not read, the next start reads.
#[test]
fn sigterm_means_draining_in_a_pod_that_reads_no_container_logs() {
    for (paths, options, environment, expect) in [
        ("/var/log/app/*.log", "", &[IN_A_POD][..], "drain=true"),
        ("/var/log/app/*.log", "", &[], "drain=false"),
        ("/var/log/app/*.log", "on_term: stop", &[IN_A_POD], "drain=false"),
        ("/var/log/app/*.log", "on_term: drain", &[], "drain=true"),
        ("/var/log/messages, /var/log/containers/*.log", "", &[IN_A_POD], "drain=false"),
        ("/var/log/pods/*/*/*.log", "", &[IN_A_POD], "drain=false"),
        ("/var/lib/docker/containers/*/*.log", "", &[IN_A_POD], "drain=false"),
    ] {
        let config = format!(
            "service:\n  grace: 0\n  {options}\npipeline:\n  inputs:\n    - name: tail\n      path: {paths}\n      read_from_head: off\n  outputs:\n    - name: 'null'\n      match: '*'\n"
        );
        let mut agent = Agent::start_with(&config, environment);
        assert!(agent.wait_for_stderr("following files=", PATIENCE), "{}", agent.stderr());
        assert_eq!(agent.stop(), Some(0));
        assert!(agent.stderr().contains(expect), "{paths} {options}: {}", agent.stderr());
    }
}

#[test]
fn beside_a_job_it_ends_when_the_files_are_idle_and_delivered() {
    let node = pod().tail("exit_when_idle", "1");
    let closed = closed_while(&node.sink);
    let mut agent = start(&node, &[]);
    assert_eq!(agent.wait(Duration::from_secs(2)), None, "no file, no end");
    node.append("logs/a.log", numbers(1, 0..10) + &number(1, 10));
    assert!(node.sink.wait_for_requests(1, PATIENCE), "{}", agent.stderr());
    assert_eq!(agent.wait(Duration::from_secs(2)), None, "not delivered, no end");
    closed.store(false, Ordering::Release);
    assert_eq!(agent.wait(PATIENCE).and_then(|status| status.code()), Some(0), "{}", agent.stderr());
    node.expect_exactly(11);
}

#[test]
fn it_goes_on_while_the_files_grow() {
    let node = pod().tail("exit_when_idle", "3");
    let mut agent = start(&node, &[]);
    let begin = Instant::now();
    for n in 0..15 {
        node.append("logs/a.log", numbers(1, n..n + 1));
        assert_eq!(agent.wait(Duration::from_millis(300)), None, "after {n}: {}", agent.stderr());
    }
    assert!(begin.elapsed() > Duration::from_secs(3));
    assert!(agent.wait(PATIENCE).is_some_and(|status| status.success()), "{}", agent.stderr());
    node.expect_exactly(15);
}

/// As `/fluent-bit/bin/fluent-bit`, in the form that sidecars use today.
#[test]
fn the_command_line_of_a_sidecar_runs_under_the_other_name() {
    let bulk = Bulk::start(Sink::start());
    let folder = tempfile::tempdir().unwrap();
    let program = under_the_other_name(folder.path());
    fs::write(folder.path().join("app.log"), numbers(1, 0..10)).unwrap();
    let (host, port) = (bulk.sink.address.ip(), bulk.sink.address.port());
    let line = format!(
        "-i tail -p path=*.log -p Read_from_Head=On -t app -f 0.1 -o es -p Host={host} -p Port={port} -p Index=app -p Suppress_Type_Name=On -m app"
    );
    let mut agent = Agent::start_line(&program, folder, &line.split(' ').collect::<Vec<_>>(), &[]);
    assert!(poll(PATIENCE, || bulk.counts().distinct == 10), "{}", agent.stderr());
    assert_eq!(agent.stop(), Some(0));
}

/// Nobody waits for the next scan, which comes after a minute.
#[test]
fn files_of_a_relative_path_are_found_at_once() {
    for path in ["*.log", "later/*.log"] {
        let folder = tempfile::tempdir().unwrap();
        let program = under_the_other_name(folder.path());
        let line = format!("-i tail -p path={path} -p Read_from_Head=On -t app -f 0.1 -o stdout -p Format=json_lines");
        let mut agent = Agent::start_line(&program, folder, &line.split(' ').collect::<Vec<_>>(), &[]);
        assert!(agent.wait_for_stderr("following", PATIENCE), "{}", agent.stderr());
        let file = agent.folder().join(path.replace('*', "a"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        for round in 0..3 {
            fs::write(&file, numbers(1, round * 10..round * 10 + 10)).unwrap();
            let count = (round as usize + 1) * 10;
            assert!(poll(PATIENCE, || agent.stdout().lines().count() == count), "{round}: {}", agent.stderr());
            fs::rename(&file, file.with_extension("log.1")).unwrap();
        }
        assert_eq!(agent.stop(), Some(0));
    }
}

/// The arguments that the images of Fluent Bit and of AWS, and the chart of the former, give.
#[test]
fn the_arguments_of_other_images_and_charts_are_taken() {
    for line in [
        "-e /fluent-bit/firehose.so -e /fluent-bit/cloudwatch.so -e /fluent-bit/kinesis.so -c etc/fluent-bit.conf",
        "--workdir=etc --config=fluent-bit.conf",
        "-Y -c etc/fluent-bit.conf",
        "--enable-hot-reload --config=etc/fluent-bit.conf",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let program = under_the_other_name(folder.path());
        let etc = folder.path().join("etc");
        fs::create_dir(&etc).unwrap();
        fs::write(etc.join("app.log"), numbers(1, 0..10)).unwrap();
        fs::write(
            etc.join("fluent-bit.conf"),
            "[SERVICE]\n    Flush 0.1\n    Daemon off\n[INPUT]\n    Name tail\n    Path app.log\n    Read_from_Head On\n[OUTPUT]\n    Name stdout\n    Match *\n    Format json_lines\n",
        )
        .unwrap();
        let mut agent = Agent::start_line(&program, folder, &line.split(' ').collect::<Vec<_>>(), &[]);
        assert!(poll(PATIENCE, || agent.stdout().lines().count() == 10), "{line}: {}", agent.stderr());
        assert_eq!(agent.stop(), Some(0));
    }
}

/// `fluent-bit/bin/fluent-bit` in this folder.
fn under_the_other_name(folder: &Path) -> std::path::PathBuf {
    let bin = folder.join("fluent-bit/bin");
    fs::create_dir_all(&bin).unwrap();
    let program = bin.join("fluent-bit");
    symlink(env!("CARGO_BIN_EXE_drave"), &program).unwrap();
    program
}
