//! Starts, stops, the options that decide what is read, many files, and a positions database in trouble.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use support::agent::{Agent, poll};
use support::node::{Node, PATIENCE, closed_while, number, numbers, write_numbers};
use support::sink::{Act, Sink};

#[test]
fn reading_begins_at_the_end_only_of_what_is_there_at_the_first_start() {
    let node = Node::plain().tail("read_from_head", "off");
    node.append("logs/a.log", numbers(1, 0..10) + "half a ");
    let agent = node.start();
    // The first line after the start may be begun before it.
    node.append("logs/a.log", "line\n".to_owned() + &numbers(2, 0..10));
    node.append("logs/new.log", numbers(3, 0..10));
    node.expect_once(agent, 20);
    assert!(node.texts().contains(&"half a line".to_owned()));
    node.append("logs/a.log", numbers(2, 10..20));
    node.append("logs/while-down.log", numbers(4, 0..10));
    let agent = node.start();
    node.expect_once(agent, 40);
}

#[test]
fn what_appears_after_an_empty_first_run_is_read_from_its_beginning() {
    let node = Node::plain().tail("read_from_head", "off");
    let mut agent = node.start();
    // A second: its sign of life.
    sleep(Duration::from_millis(1200));
    assert_eq!(agent.stop(), Some(0));
    node.append("logs/a.log", numbers(1, 0..10));
    let agent = node.start();
    node.append("logs/a.log", numbers(1, 10..20));
    node.expect_once(agent, 20);
}

#[test]
fn excluded_files_are_not_read() {
    let node = Node::plain().tail("exclude_path", "*-secret.log, debug-*");
    for name in ["a-secret.log", "debug-1.log", "b.log"] {
        node.append(&format!("logs/{name}"), format!("{name}\n"));
    }
    let agent = node.start();
    node.append("logs/c-secret.log", "c-secret\n");
    node.append("logs/c.log", "c.log\n");
    node.expect_texts(&["b.log", "c.log"]);
    drop(agent);
}

#[test]
fn old_files_are_not_opened() {
    let node = Node::plain().tail("ignore_older", "60");
    node.append("logs/old.log", "old\n");
    let old = SystemTime::now() - Duration::from_secs(120);
    fs::File::options().append(true).open(node.path("logs/old.log")).unwrap().set_modified(old).unwrap();
    node.append("logs/new.log", "new\n");
    let agent = node.start();
    node.expect_texts(&["new"]);
    drop(agent);
}

#[test]
fn a_hangup_ends_nothing() {
    let node = Node::plain();
    node.append("logs/a.log", numbers(1, 0..10));
    let agent = node.start();
    agent.signal(Signal::HUP);
    assert!(agent.wait_for_stderr("SIGHUP is ignored", PATIENCE));
    node.append("logs/a.log", numbers(1, 10..20));
    node.expect_once(agent, 20);
}

#[test]
fn it_ends_by_itself_when_everything_is_read() {
    let node = Node::plain().tail("exit_on_eof", "on").tail("db", "");
    for file in 0..20 {
        node.append(&format!("logs/{file}.log"), numbers(file, 0..1000) + &number(file, 1000));
    }
    let mut agent = Agent::start(&node.config());
    let status = agent.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0));
    node.expect_exactly(20_020);
}

#[test]
fn it_ends_by_itself_with_the_pieces_and_half_lines_of_container_logs() {
    let node = Node::new().tail("exit_on_eof", "on").tail("db", "");
    let mut log = node.container("web-1");
    log.write_cri("stdout", "P", "a");
    log.write_cri("stdout", "P", "b");
    log.write_raw(b"2026-11-20T08:00:00Z stderr F half");
    let mut agent = Agent::start(&node.config());
    assert_eq!(agent.wait(PATIENCE).and_then(|s| s.code()), Some(0));
    let mut texts = node.texts();
    texts.sort();
    assert_eq!(texts, ["ab", "half"]);
}

#[test]
fn a_stop_delivers_what_is_written_and_the_next_start_sends_nothing_twice() {
    let node = Node::new().service("flush", "30");
    let mut log = node.container("web-1");
    for round in 0..4 {
        let mut agent = node.start();
        write_numbers(&mut log, 1, round * 5000..(round + 1) * 5000);
        if round % 2 == 1 {
            log.rotate();
            log.reopen();
        }
        assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
        node.expect_exactly(u64::from(round + 1) * 5000);
    }
}

#[test]
fn a_stop_while_the_sink_is_away_ends_in_time_and_loses_nothing() {
    let node = Node::new().service("grace", "1");
    let closed = closed_while(&node.sink);
    let mut log = node.container("web-1");
    let mut agent = node.start();
    write_numbers(&mut log, 1, 0..1000);
    assert!(node.sink.wait_for_requests(1, PATIENCE));
    let begin = Instant::now();
    assert_eq!(agent.stop(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    closed.store(false, Ordering::Release);
    let agent = node.start();
    node.expect_once(agent, 1000);
}

#[test]
fn an_input_reads_no_more_than_its_limit_ahead() {
    let node = Node::new().tail("mem_buf_limit", "200k").tail("buffer_chunk_size", "32k").service("flush", "0.2");
    let closed = closed_while(&node.sink);
    let mut log = node.container("web-1");
    write_numbers(&mut log, 1, 0..20_000);
    let agent = node.start();
    assert!(node.sink.wait_for_requests(1, PATIENCE));
    sleep(Duration::from_millis(700));
    let largest: usize = node.sink.requests().iter().map(|r| r.body.len()).max().unwrap();
    assert!(largest < 600_000, "{largest}");
    assert!(agent.peak_rss_bytes() < 64 << 20);
    closed.store(false, Ordering::Release);
    node.expect_once(agent, 20_000);
}

#[test]
fn a_dead_output_does_not_stop_the_input_of_a_living_one() {
    let dead = Sink::start();
    dead.answer_with(|_| Act::status(503));
    let node = Node::plain().service("mem_limit", "1M");
    let more = format!(
        "    - name: http\n      match: other\n      port: {}\n      format: json_lines\n    - name: http\n      match: other\n      port: 1\n",
        dead.address.port()
    );
    let path = node.path("other/*.log").display().to_string();
    let other = format!("    - name: tail\n      path: {path}\n      tag: other\n      read_from_head: on\n");
    fs::create_dir(node.path("other")).unwrap();
    let config =
        node.config().replace("  outputs:", &(other + "  outputs:")).replace("match: '*'", "match: kube.*") + &more;
    node.append("other/b.log", numbers(2, 0..100_000));
    let mut agent = Agent::start(&config);
    assert!(dead.wait_for_requests(1, PATIENCE));
    for round in 0..10 {
        node.append("logs/a.log", numbers(1, round * 1000..(round + 1) * 1000));
        let begin = Instant::now();
        node.expect(u64::from(round + 1) * 1000);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
    agent.kill();
}

#[test]
fn a_noisy_file_does_not_delay_the_quiet_ones() {
    let node = Node::new();
    let mut quiet: Vec<_> = (1..=300).map(|n| node.container(&format!("quiet-{n}"))).collect();
    let mut noisy = node.container("noisy");
    let arrived = Arc::new(Mutex::new(HashSet::new()));
    let shared = Arc::clone(&arrived);
    node.sink.answer_with(move |request| {
        let at = memchr::memmem::find_iter(&request.body, b"quiet=");
        shared.lock().unwrap().extend(at.map(|at| request.body[at + 6..at + 9].to_vec()));
        Act::status(200)
    });
    let agent = node.start();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut at = 0;
            while !over.load(Ordering::Relaxed) && at < 3_000_000 {
                write_numbers(&mut noisy, 0, at..at + 2000);
                at += 2000;
            }
        });
        let mut waits = Vec::new();
        for (file, log) in (1..).zip(quiet.iter_mut()).step_by(15) {
            let begin = Instant::now();
            log.write_cri("stdout", "F", &format!("quiet={file:03};"));
            let wanted = format!("{file:03}").into_bytes();
            assert!(poll(PATIENCE, || arrived.lock().unwrap().contains(&wanted)));
            waits.push(begin.elapsed());
        }
        over.store(true, Ordering::Relaxed);
        assert_median(waits, Duration::from_secs(1));
    });
    drop(agent);
}

#[test]
fn a_new_file_among_a_thousand_is_picked_up_at_once() {
    let node = Node::new();
    let mut logs: Vec<_> = (0..1000).map(|n| node.container(&format!("old-{n}"))).collect();
    logs.iter_mut().zip(0..).for_each(|(log, n)| write_numbers(log, n, 0..1));
    let agent = node.start();
    node.expect(1000);
    let mut waits = Vec::new();
    for n in 0..10 {
        let begin = Instant::now();
        let mut log = node.container(&format!("new-{n}"));
        write_numbers(&mut log, 1000 + n, 0..1);
        node.expect(1001 + u64::from(n));
        waits.push(begin.elapsed());
    }
    // 250 ms, and the linger of 50 ms with its tick.
    assert_median(waits, Duration::from_millis(350));
    node.expect_once(agent, 1010);
}

#[test]
fn a_locked_database_stops_nothing() {
    let node = Node::plain();
    node.append("logs/a.log", numbers(1, 0..10));
    let agent = node.start();
    node.expect_once(agent, 10);
    let other = rusqlite::Connection::open(node.path("state/drave.db")).unwrap();
    let agent = node.start();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    node.append("logs/a.log", numbers(1, 10..20));
    node.expect(20);
    assert!(agent.wait_for_stderr("locked", PATIENCE));
    assert!(agent.stderr().contains("hint:"), "{}", agent.stderr());
    node.append("logs/a.log", numbers(1, 20..30));
    node.expect(30);
    other.execute_batch("COMMIT").unwrap();
    node.expect_once(agent, 30);
    let agent = node.start();
    node.append("logs/a.log", numbers(1, 30..40));
    node.expect_once(agent, 40);
}

#[test]
fn a_database_that_is_locked_at_the_start_makes_no_first_start() {
    let node = Node::plain().tail("read_from_head", "off");
    let mut agent = node.start();
    node.append("logs/a.log", numbers(1, 0..10));
    node.expect(10);
    assert_eq!(agent.stop(), Some(0));
    node.append("logs/a.log", numbers(1, 10..20));
    let other = rusqlite::Connection::open(node.path("state/drave.db")).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let agent = node.start();
    node.expect(20);
    assert!(agent.stderr().contains("hint:"), "{}", agent.stderr());
}

#[test]
fn a_corrupt_database_is_set_aside_and_nothing_is_lost() {
    for from_head in ["on", "off"] {
        let node = Node::plain().tail("read_from_head", from_head);
        let mut agent = node.start();
        node.append("logs/a.log", numbers(1, 0..10));
        node.expect(10);
        assert_eq!(agent.stop(), Some(0));
        let _ = fs::remove_file(node.path("state/drave.db-wal"));
        fs::write(node.path("state/drave.db"), "this is no database".repeat(1000)).unwrap();
        node.append("logs/a.log", numbers(1, 10..20));
        let mut agent = node.start();
        node.expect(20);
        let stderr = agent.stderr();
        assert!(stderr.contains("set aside") && stderr.contains("hint:"), "{stderr}");
        assert_eq!(agent.stop(), Some(0));
        let before = node.sink.counts().duplicates;
        node.append("logs/a.log", numbers(1, 20..30));
        let mut agent = node.start();
        node.expect(30);
        assert_eq!(agent.stop(), Some(0));
        assert_eq!(node.sink.counts().duplicates, before, "the new database is as good as the old one");
    }
}

#[test]
fn a_folder_in_the_place_of_the_database_stops_nothing() {
    let node = Node::plain();
    fs::create_dir_all(node.path("state/drave.db")).unwrap();
    node.append("logs/a.log", numbers(1, 0..10));
    let mut agent = node.start();
    node.expect(10);
    assert!(agent.stderr().contains("hint:"), "{}", agent.stderr());
    assert_eq!(agent.stop(), Some(0));
    fs::remove_dir(node.path("state/drave.db")).unwrap();
    node.append("logs/a.log", numbers(1, 10..20));
    let mut agent = node.start();
    node.expect(20);
    assert_eq!(agent.stop(), Some(0));
    assert_eq!(node.sink.counts().gaps.len(), 0);
}

#[test]
fn a_second_agent_on_a_state_folder_waits_for_the_first() {
    let node = Node::plain();
    let mut first = node.start();
    node.append("logs/a.log", numbers(1, 0..10));
    node.expect(10);
    let second = Agent::start(&node.config());
    let pid = format!("(pid {})", first.pid().as_raw_nonzero());
    assert!(second.wait_for_stderr(&pid, PATIENCE), "{}", second.stderr());
    node.append("logs/a.log", numbers(1, 10..20));
    node.expect(20);
    assert_eq!(first.stop(), Some(0));
    node.append("logs/a.log", numbers(1, 20..30));
    node.expect_once(second, 30);
}

#[test]
fn a_waiting_agent_ends_when_it_is_told_to() {
    let node = Node::plain();
    let _first = node.start();
    let mut second = Agent::start(&node.config());
    assert!(second.wait_for_stderr("waiting", PATIENCE));
    assert_eq!(second.stop(), Some(0));
}

#[test]
fn its_own_log_is_not_read() {
    for log_file in ["", "logs/own.log"] {
        let node = Node::plain().service("log_level", "debug");
        let path = [node.path("logs/*.log"), node.path("agent/*")].map(|p| p.display().to_string());
        let own = if log_file.is_empty() { String::new() } else { node.path(log_file).display().to_string() };
        let node = node.tail("path", &path.join(",")).service("log_file", &own);
        let folder = tempfile::Builder::new().prefix("agent").tempdir_in(node.root()).unwrap();
        let agent_path = folder.path().join("std*").display().to_string();
        let node = node.tail("path", &format!("{},{agent_path}", path[0]));
        let agent = Agent::start_in(folder, &node.config());
        node.append("logs/a.log", numbers(1, 0..10));
        node.expect(10);
        sleep(Duration::from_millis(500));
        assert_eq!(node.texts().len(), 10, "{:?}", node.texts());
        drop(agent);
    }
}

#[test]
fn the_log_of_its_own_pod_is_not_read() {
    let node = Node::new();
    let mut own = node.container("drave-abcde");
    write_numbers(&mut own, 1, 0..10);
    let mut other = node.container("drave-abcde-2");
    write_numbers(&mut other, 2, 0..10);
    let environment = [("HOSTNAME", "drave-abcde"), ("KUBERNETES_SERVICE_HOST", "10.0.0.1")];
    let mut agent = Agent::start_with(&node.config(), &environment);
    node.expect(10);
    assert_eq!(agent.stop(), Some(0));
    assert!(node.texts().iter().all(|text| text.contains("seq=0002")), "{:?}", node.texts());
}

/// Half of them took no longer; a machine that stood still for a moment is no reason to fail.
#[track_caller]
fn assert_median(mut waits: Vec<Duration>, most: Duration) {
    waits.sort_unstable();
    assert!(waits[waits.len() / 2] < most, "{waits:?}");
}
