//! What must not be lost silently, nor come twice: files that are emptied, renamed, copied, damaged or gone, above all while drave
//! does not run.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::process::Signal;
use support::agent::{Agent, poll};
use support::node::{Node, PATIENCE, closed_while, numbers};

const NOBODY: u32 = 65_534;
/// Of a line of `numbers`.
const LINE_BYTES: u64 = 19;

/// An agent reads these lines of `logs/a.log` while the sink is away, and ends: nothing of it is settled.
fn read_and_not_settled(node: &Node, count: u32) {
    let closed = closed_while(&node.sink);
    node.append("logs/a.log", numbers(1, 0..count));
    let mut agent = node.start();
    assert!(node.sink.wait_for_requests(1, PATIENCE));
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    closed.store(false, Ordering::Release);
}

fn rename(node: &Node, from: &str, to: &str) {
    fs::rename(node.path(from), node.path(to)).unwrap();
}

fn lost_bytes(agent: &Agent) -> u64 {
    let stderr = agent.stderr();
    let found = stderr.split("lost_bytes=").skip(1);
    found.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn a_stop_after_a_truncation_waits_for_what_cannot_be_read_again() {
    let node = Node::plain();
    let closed = closed_while(&node.sink);
    node.append("logs/a.log", numbers(1, 0..100));
    let mut agent = node.start();
    assert!(node.sink.wait_for_requests(1, PATIENCE));
    fs::write(node.path("logs/a.log"), "").unwrap();
    assert!(agent.wait_for_stderr("truncated", PATIENCE));
    agent.signal(Signal::TERM);
    closed.store(false, Ordering::Release);
    assert_eq!(agent.wait(PATIENCE).and_then(|status| status.code()), Some(0));
    node.expect_exactly(100);
}

#[test]
fn a_file_that_was_deleted_while_drave_was_down_is_counted() {
    for others in [false, true] {
        let node = Node::plain().service("grace", "1");
        read_and_not_settled(&node, 10);
        fs::remove_file(node.path("logs/a.log")).unwrap();
        if others {
            node.append("logs/b.log", numbers(2, 0..10));
        }
        let mut agent = node.start();
        assert_eq!((lost_bytes(&agent), agent.stop()), (10 * LINE_BYTES, Some(0)), "{}", agent.stderr());
        let mut agent = node.start();
        assert_eq!((lost_bytes(&agent), agent.stop()), (0, Some(0)), "once: {}", agent.stderr());
    }
}

#[test]
fn the_rest_of_a_file_that_was_renamed_and_not_made_again_is_read() {
    for name in ["a.log.1", "a.log.old", "a.log.2024-11-20_10"] {
        let node = Node::plain();
        node.append("logs/a.log", numbers(1, 0..10));
        let agent = node.start();
        node.expect_once(agent, 10);
        node.append("logs/a.log", numbers(1, 10..20));
        rename(&node, "logs/a.log", &format!("logs/{name}"));
        let agent = node.start();
        node.expect_once(agent, 20);
        let agent = node.start();
        node.append("logs/a.log", numbers(1, 20..30));
        node.expect_once(agent, 30);
    }
}

#[test]
fn a_file_that_got_a_name_of_any_kind_while_drave_was_down_is_the_same_file() {
    for name in ["a.2024-11-20.log", "zz.log", "a.log.old", "a.log.2024-11-20_10", "a.log.2024-11-20T10"] {
        let node = Node::plain();
        node.append("logs/a.log", numbers(1, 0..10));
        let agent = node.start();
        node.expect_once(agent, 10);
        node.append("logs/a.log", numbers(1, 10..20));
        rename(&node, "logs/a.log", &format!("logs/{name}"));
        node.append("logs/a.log", numbers(2, 0..10));
        let agent = node.start();
        node.expect(30);
        assert_eq!(lost_bytes(&agent), 0, "{}", agent.stderr());
        node.expect_once(agent, 30);
        let agent = node.start();
        node.append("logs/a.log", numbers(2, 10..20));
        node.expect_once(agent, 40);
    }
}

#[test]
fn a_file_that_is_renamed_while_drave_runs_is_not_sent_again() {
    let node = Node::plain().tail("refresh_interval", "1");
    node.append("logs/a.log", numbers(1, 0..10));
    let agent = node.start();
    node.expect(10);
    rename(&node, "logs/a.log", "logs/b.log");
    // Longer than rotate_wait, and a scan.
    std::thread::sleep(Duration::from_millis(2500));
    node.append("logs/b.log", numbers(1, 10..20));
    node.expect_once(agent, 20);
}

#[test]
fn the_copy_of_a_copytruncate_while_drave_was_down_goes_on_where_the_file_was() {
    for count in [10, 1000] {
        let node = Node::plain();
        node.append("logs/a.log", numbers(1, 0..count));
        let agent = node.start();
        node.expect_once(agent, u64::from(count));
        node.append("logs/a.log", numbers(1, count..count + 10));
        fs::copy(node.path("logs/a.log"), node.path("logs/a.log.1")).unwrap();
        fs::write(node.path("logs/a.log"), numbers(2, 0..10)).unwrap();
        let agent = node.start();
        node.expect(u64::from(count) + 20);
        assert_eq!(lost_bytes(&agent), 0, "{}", agent.stderr());
        node.expect_once(agent, u64::from(count) + 20);
        let agent = node.start();
        node.append("logs/a.log", numbers(2, 10..20));
        node.expect_once(agent, u64::from(count) + 30);
    }
}

#[test]
fn a_file_that_cannot_be_opened_for_a_moment_keeps_its_position() {
    let node = Node::plain();
    node.append("logs/a.log", numbers(1, 0..10));
    let agent = node.start();
    node.expect_once(agent, 10);
    // For root every file can be opened.
    if !rustix::process::geteuid().is_root() {
        println!("needs root to become another user: skipped");
        return;
    }
    let mut files: Vec<_> = fs::read_dir(node.path("state")).unwrap().map(|e| e.unwrap().path()).collect();
    files.extend(["", "logs", "state"].map(|name| node.path(name)));
    files.iter().for_each(|path| chown(path, Some(NOBODY), Some(NOBODY)).unwrap());
    fs::set_permissions(node.path("logs/a.log"), fs::Permissions::from_mode(0o600)).unwrap();
    let Ok(mut agent) = Agent::start_as(NOBODY, &node.config()) else {
        println!("the binary is where another user cannot run it: skipped");
        return;
    };
    assert!(agent.wait_for_stderr("following files=0", PATIENCE), "{}", agent.stderr());
    assert_eq!((lost_bytes(&agent), agent.stop()), (0, Some(0)), "{}", agent.stderr());
    node.append("logs/a.log", numbers(1, 10..20));
    let agent = node.start();
    node.expect_once(agent, 20);
}

#[test]
fn another_file_with_the_inode_of_one_that_was_let_go_is_read() {
    let node = Node::plain();
    let closed = closed_while(&node.sink);
    node.append("logs/a.log", numbers(1, 0..10));
    let agent = node.start();
    assert!(node.sink.wait_for_requests(1, PATIENCE));
    rename(&node, "logs/a.log", "logs/elsewhere");
    // Longer than rotate_wait: it is let go, but not settled.
    std::thread::sleep(Duration::from_millis(1500));
    fs::write(node.path("logs/elsewhere"), numbers(2, 0..10)).unwrap();
    rename(&node, "logs/elsewhere", "logs/a.log");
    std::thread::sleep(Duration::from_millis(500));
    closed.store(false, Ordering::Release);
    node.expect_once(agent, 20);
}

#[test]
fn what_stands_before_the_damage_of_a_compressed_file_is_sent_and_the_rest_counted() {
    let node = Node::plain().service("grace", "1");
    read_and_not_settled(&node, 20_000);
    let plain = fs::read(node.path("logs/a.log")).unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&plain).unwrap();
    let compressed = encoder.finish().unwrap();
    fs::write(node.path("logs/a.log.1.gz"), &compressed[..compressed.len() / 2]).unwrap();
    fs::remove_file(node.path("logs/a.log")).unwrap();
    node.append("logs/a.log", numbers(2, 0..1));
    let mut agent = node.start();
    assert!(agent.wait_for_stderr("lost_bytes", PATIENCE), "{}", agent.stderr());
    node.expect(5000);
    assert_eq!(agent.stop(), Some(0));
    let (lost, counts) = (lost_bytes(&agent), node.sink.counts());
    let whole = (counts.distinct - 1) * LINE_BYTES;
    let rest = plain.len() as u64 - whole;
    assert!(lost <= rest && rest - lost < LINE_BYTES, "lost {lost} of {rest}: {}", agent.stderr());
    assert_eq!(counts.duplicates, 0);
}

#[test]
fn what_is_written_to_a_file_that_was_let_go_is_read() {
    let node = Node::plain().tail("refresh_interval", "1");
    node.append("logs/a.log", numbers(1, 0..10));
    let agent = node.start();
    node.expect(10);
    rename(&node, "logs/a.log", "logs/a.log.1");
    node.append("logs/a.log", numbers(2, 0..10));
    node.expect(20);
    std::thread::sleep(Duration::from_millis(1500));
    node.append("logs/a.log.1", numbers(1, 10..20));
    node.expect(30);
    std::thread::sleep(Duration::from_millis(1500));
    node.expect_once(agent, 30);
    node.append("logs/a.log.1", numbers(1, 20..30));
    let agent = node.start();
    node.expect_once(agent, 40);
}

#[test]
fn a_piece_without_a_line_end_is_not_forgotten_at_a_restart() {
    let node = Node::new();
    let mut log = node.container("web-1");
    log.write_cri("stdout", "F", "first");
    log.write_raw(b"2026-11-20T08:00:00Z stdout P half");
    let mut agent = node.start();
    node.expect_texts(&["first"]);
    log.rename();
    log.reopen();
    // Longer than rotate_wait: the half line is read as it is.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(agent.stop(), Some(0));
    let mut agent = node.start();
    log.write_cri("stdout", "F", "-end");
    node.expect_texts(&["first", "half-end"]);
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn an_input_that_got_another_name_goes_on_where_it_was() {
    let node = Node::plain().tail("read_from_head", "off").tail("alias", "one");
    let agent = node.start();
    node.append("logs/a.log", numbers(1, 0..10));
    node.expect_once(agent, 10);
    node.append("logs/a.log", numbers(1, 10..20));
    let node = node.tail("alias", "two");
    let agent = node.start();
    node.append("logs/a.log", numbers(1, 20..30));
    node.expect_once(agent, 30);
    let agent = node.start();
    node.expect_once(agent, 30);
}

#[test]
fn an_old_file_is_read_to_its_end_when_its_beginning_was() {
    let node = Node::plain().service("grace", "1").tail("ignore_older", "60");
    read_and_not_settled(&node, 10);
    let old = SystemTime::now() - Duration::from_secs(120);
    fs::File::options().append(true).open(node.path("logs/a.log")).unwrap().set_modified(old).unwrap();
    let agent = node.start();
    node.expect_once(agent, 10);
    let agent = node.start();
    assert!(!poll(Duration::from_millis(300), || lost_bytes(&agent) > 0), "{}", agent.stderr());
}
