//! A node that changes agents: Fluent Bit's database says where drave begins.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use support::agent::Agent;
use support::fluent_bit::{Database, Version, contents};
use support::node::{Node, PATIENCE};

/// `NAME-0` to `NAME-N`, a line each; all lines are as long.
fn lines(name: &str, numbers: std::ops::Range<u32>) -> String {
    texts(name, numbers).into_iter().map(|text| text + "\n").collect()
}

fn texts(name: &str, numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| format!("{name}-{n:02}")).collect()
}

/// Where line `number` of `lines("a", …)` begins.
fn at(number: u64) -> u64 {
    number * 5
}

/// A node that follows `logs/*.log`, and whose `db` is the one that Fluent Bit left.
fn node() -> Node {
    let node = Node::plain();
    let db = node.path("flb/tail.db").display().to_string();
    node.tail("db", &db)
}

fn database(node: &Node) -> Database {
    Database::create(&node.path("flb/tail.db"), Version::V4)
}

/// These texts come, in any order, and nothing more until a clean end.
#[track_caller]
fn expect_only(node: &Node, mut agent: Agent, mut expected: Vec<String>) -> String {
    support::agent::poll(PATIENCE, || node.texts().len() >= expected.len());
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    let mut found = node.texts();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{}", agent.stderr());
    agent.stderr()
}

fn gzip(path: &Path) {
    let compressed = PathBuf::from(format!("{}.gz", path.display()));
    let mut encoder = GzEncoder::new(fs::File::create(compressed).unwrap(), Compression::default());
    io::copy(&mut fs::File::open(path).unwrap(), &mut encoder).unwrap();
    encoder.finish().unwrap();
    fs::remove_file(path).unwrap();
}

#[test]
fn of_every_version_exactly_the_rest_is_sent_and_the_database_is_not_touched() {
    for version in Version::ALL {
        for journal_mode in ["WAL", "DELETE"] {
            for from_head in ["on", "off"] {
                let node = node().tail("read_from_head", from_head).service("state_dir", "own");
                node.append("logs/a.log", lines("a", 0..10));
                let mut flb = Database::create_with(&node.path("flb/tail.db"), version, journal_mode);
                flb.follow(&node.path("logs/a.log"), at(6));
                flb.end();
                let before = contents(&node.path("flb"));
                let agent = node.start();
                let said = expect_only(&node, agent, texts("a", 6..10));
                assert!(said.contains("took over positions from Fluent Bit") && said.contains("files=1"), "{said}");
                assert!(contents(&node.path("flb")) == before, "{version:?} {journal_mode}: it was written to");
            }
        }
    }
}

#[test]
fn it_happens_once() {
    let node = node();
    node.append("logs/a.log", lines("a", 0..4));
    let mut flb = database(&node);
    flb.follow(&node.path("logs/a.log"), at(2));
    flb.end();
    expect_only(&node, node.start(), texts("a", 2..4));
    let said = expect_only(&node, node.start(), texts("a", 2..4));
    assert!(!said.contains("took over"), "{said}");
    // All that drave knew of the file is gone, and a new one has the inode: what Fluent Bit had read was another.
    let positions = rusqlite::Connection::open(node.path("flb/drave.db")).unwrap();
    positions.execute("DELETE FROM positions", []).unwrap();
    drop(positions);
    let said = expect_only(&node, node.start(), [texts("a", 0..4), texts("a", 2..4)].concat());
    assert!(!said.contains("took over"), "{said}");
}

#[test]
fn an_unfinished_write_ahead_log_counts_and_a_folder_without_write_access_is_left_alone() {
    let node = node().service("state_dir", "own");
    node.append("logs/a.log", lines("a", 0..10));
    let mut flb = database(&node);
    flb.follow(&node.path("logs/a.log"), at(7));
    flb.kill();
    let folder = node.path("flb");
    // Root writes all the same; so the files are compared too.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    let before = contents(&folder);
    assert!(before.contains_key(&node.path("flb/tail.db-wal")));
    expect_only(&node, node.start(), texts("a", 7..10));
    assert!(contents(&folder) == before, "the files are as they were");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn an_ordinary_user_keeps_positions_in_the_users_state_folder_where_that_of_db_is_read_only() {
    if !rustix::process::geteuid().is_root() {
        println!("only root can make a folder that drave cannot write to and become another user: skipped");
        return;
    }
    let node = node();
    node.append("logs/a.log", lines("a", 0..4));
    let mut flb = database(&node);
    flb.follow(&node.path("logs/a.log"), at(1));
    flb.kill();
    let config = node.path("drave.yaml");
    fs::write(&config, node.config().replace("read_from_head: 'on'", "read_from_head: 'on'\n      exit_on_eof: 'on'"))
        .unwrap();
    let state = node.path("state");
    fs::create_dir(&state).unwrap();
    for (folder, mode) in [(node.root(), 0o755), (&state, 0o777)] {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    }
    let before = contents(&node.path("flb"));
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
        command.arg("-c").arg(&config).env("XDG_STATE_HOME", &state).current_dir(node.root()).uid(65_534).gid(65_534);
        command.output()
    };
    let output = match run() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            println!("the binary is where another user cannot run it: skipped");
            return;
        }
        output => output.unwrap(),
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("cannot be written to: positions are kept in"), "{said}");
    assert!(state.join("drave/drave.db").exists(), "{said}");
    assert_eq!(node.texts(), texts("a", 1..4));
    run().unwrap();
    assert_eq!(node.texts(), texts("a", 1..4), "nothing comes again");
    assert!(contents(&node.path("flb")) == before);
}

/// A node with container logs, whose names in the database are links.
fn containers() -> Node {
    let node = Node::new();
    let db = node.path("flb/tail.db").display().to_string();
    node.tail("db", &db)
}

fn cri(name: &str, numbers: std::ops::Range<u32>) -> String {
    texts(name, numbers).iter().map(|text| format!("2026-11-20T08:00:00.1Z stdout F {text}\n")).collect()
}

/// Where line `number` of `cri("a", …)` begins.
fn cri_at(number: u64) -> u64 {
    number * cri("a", 0..1).len() as u64
}

#[test]
fn links_and_real_paths_name_the_same_file() {
    for by_link in [true, false] {
        let node = containers();
        let mut log = node.container("web-1");
        log.write_raw(cri("a", 0..10).as_bytes());
        let mut flb = database(&node);
        flb.follow(if by_link { &log.link } else { &log.path }, cri_at(3));
        flb.end();
        expect_only(&node, node.start(), texts("a", 3..10));
    }
}

#[test]
fn the_rest_of_a_file_that_was_rotated_while_no_agent_ran_comes_first() {
    let node = containers();
    let mut log = node.container("web-1");
    log.write_raw(cri("a", 0..10).as_bytes());
    let mut flb = database(&node);
    flb.follow(&log.link, cri_at(4));
    flb.end();
    log.rename();
    log.reopen();
    log.write_raw(cri("a", 10..20).as_bytes());
    let agent = node.start();
    node.expect_texts(&texts("a", 4..20).iter().map(String::as_str).collect::<Vec<_>>());
    expect_only(&node, agent, texts("a", 4..20));
}

/// A container whose file was rotated once, with the rotated one. Fluent Bit saw it, and read a part of each.
fn rotated_once() -> (Node, PathBuf) {
    let node = containers();
    let mut log = node.container("web-1");
    log.write_raw(cri("a", 0..10).as_bytes());
    let rotated = log.rename();
    log.reopen();
    log.write_raw(cri("a", 10..20).as_bytes());
    let mut flb = database(&node);
    flb.row(&rotated, fs::metadata(&rotated).unwrap().ino(), cri_at(8), true);
    flb.follow(&log.link, cri_at(5));
    flb.end();
    (node, rotated)
}

#[test]
fn the_rest_of_a_file_that_fluent_bit_saw_rotated_is_read() {
    let (node, _) = rotated_once();
    expect_only(&node, node.start(), [texts("a", 8..10), texts("a", 15..20)].concat());
}

#[test]
fn a_file_that_was_compressed_meanwhile_is_sent_whole() {
    let (node, rotated) = rotated_once();
    gzip(&rotated);
    expect_only(&node, node.start(), [texts("a", 0..10), texts("a", 15..20)].concat());
}

#[test]
fn a_file_that_was_rotated_twice_and_compressed_meanwhile_is_sent_whole() {
    let node = containers();
    let mut log = node.container("web-1");
    log.write_raw(cri("a", 0..10).as_bytes());
    let mut flb = database(&node);
    flb.follow(&log.link, cri_at(4));
    flb.end();
    wait_for_a_tick(&node);
    let first = log.rename();
    log.reopen();
    log.write_raw(cri("a", 10..20).as_bytes());
    log.rename();
    gzip(&first);
    log.reopen();
    log.write_raw(cri("a", 20..30).as_bytes());
    expect_only(&node, node.start(), texts("a", 0..30));
}

/// Until a file that is made now is younger than the database: the clocks of file systems are coarse.
fn wait_for_a_tick(node: &Node) {
    let modified = |name: &str| fs::metadata(node.path(name)).unwrap().modified().unwrap();
    assert!(support::agent::poll(PATIENCE, || {
        fs::write(node.path("tick"), "tick").unwrap();
        modified("tick") > modified("flb/tail.db")
    }));
}

#[test]
fn a_copy_that_was_made_meanwhile_says_that_the_file_was_truncated() {
    let node = node();
    node.append("logs/a.log", lines("a", 0..5));
    let mut flb = database(&node);
    flb.follow(&node.path("logs/a.log"), at(4));
    flb.end();
    wait_for_a_tick(&node);
    fs::copy(node.path("logs/a.log"), node.path("logs/a.log.1")).unwrap();
    fs::write(node.path("logs/a.log"), lines("a", 5..15)).unwrap();
    expect_only(&node, node.start(), texts("a", 0..15));
}

#[test]
fn a_file_that_was_truncated_is_read_from_its_beginning() {
    let node = node();
    node.append("logs/a.log", lines("a", 0..3));
    let mut flb = database(&node);
    flb.follow(&node.path("logs/a.log"), at(10));
    flb.end();
    expect_only(&node, node.start(), texts("a", 0..3));
}

#[test]
fn a_line_that_was_read_in_part_is_read_whole() {
    let node = node();
    node.append("logs/a.log", lines("a", 0..5));
    let mut flb = database(&node);
    flb.follow(&node.path("logs/a.log"), at(2) + 3);
    flb.end();
    expect_only(&node, node.start(), texts("a", 2..5));
}

#[test]
fn an_inode_that_another_file_got_says_nothing() {
    let node = node().tail("read_from_head", "off");
    node.append("logs/a.log", lines("a", 0..5));
    node.append("logs/b.log", lines("b", 0..5));
    let inode = |name: &str| fs::metadata(node.path(name)).unwrap().ino();
    let mut flb = database(&node);
    // The later row counts, as for Fluent Bit.
    flb.row(&node.path("logs/b.log"), inode("logs/b.log"), at(1), false);
    flb.row(&node.path("logs/b.log"), inode("logs/b.log"), at(4), false);
    flb.row(&node.path("logs/gone.log"), inode("logs/a.log"), at(4), false);
    flb.end();
    expect_only(&node, node.start(), [texts("a", 0..5), texts("b", 4..5)].concat());
}

#[test]
fn a_file_that_was_made_after_fluent_bit_had_ended_is_new_even_with_the_name_and_the_inode_of_an_old_one() {
    let node = node();
    node.append("logs/a.log", lines("a", 0..5));
    if fs::metadata(node.path("logs/a.log")).unwrap().created().is_err() {
        println!("this file system does not know when a file was made: skipped");
        return;
    }
    let mut flb = database(&node);
    flb.follow(&node.path("logs/a.log"), at(4));
    flb.end();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    for path in contents(&node.path("flb")).keys() {
        fs::File::options().append(true).open(path).unwrap().set_modified(hour_ago).unwrap();
    }
    expect_only(&node, node.start(), texts("a", 0..5));
}

#[test]
fn two_inputs_share_a_database_and_each_takes_its_own() {
    let node = node();
    fs::create_dir(node.path("other")).unwrap();
    node.append("logs/a.log", lines("a", 0..5));
    node.append("other/b.log", lines("b", 0..5));
    let mut flb = database(&node);
    flb.follow(&node.path("logs/a.log"), at(2));
    flb.follow(&node.path("other/b.log"), at(3));
    flb.end();
    let other = format!(
        "    - name: tail\n      path: {}\n      tag: other\n      db: {}\n",
        node.path("other/*.log").display(),
        node.path("flb/tail.db").display()
    );
    let config = node.config().replace("  outputs:", &(other + "  outputs:"));
    for _ in 0..2 {
        let agent = Agent::start(&config);
        assert!(agent.wait_for_stderr("following files=2", PATIENCE), "{}", agent.stderr());
        expect_only(&node, agent, [texts("a", 2..5), texts("b", 3..5)].concat());
    }
}

#[test]
fn files_that_an_empty_database_says_nothing_of_begin_as_read_from_head_says() {
    let node = node().tail("read_from_head", "off");
    node.append("logs/a.log", lines("a", 0..5));
    database(&node).end();
    let agent = node.start();
    node.append("logs/a.log", lines("a", 5..7));
    expect_only(&node, agent, texts("a", 5..7));
}

#[test]
fn a_damaged_database_is_said_and_everything_is_sent() {
    let node = node().tail("read_from_head", "off");
    node.append("logs/a.log", lines("a", 0..5));
    let mut flb = database(&node);
    (0..500).for_each(|n| flb.row(&node.path(format!("logs/{n}.log")), n, 5, false));
    flb.follow(&node.path("logs/a.log"), at(3));
    flb.end();
    let path = node.path("flb/tail.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    let said = expect_only(&node, node.start(), texts("a", 0..5));
    assert!(said.contains("cannot be taken over") && said.contains("hint:"), "{said}");
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn a_database_of_a_third_program_is_said_and_left_alone() {
    let node = node();
    node.append("logs/a.log", lines("a", 0..5));
    fs::create_dir(node.path("flb")).unwrap();
    let third = rusqlite::Connection::open(node.path("flb/tail.db")).unwrap();
    third.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(third);
    let before = contents(&node.path("flb"));
    let said = expect_only(&node, node.start(), texts("a", 0..5));
    assert!(said.contains("another program than Fluent Bit") && said.contains("hint:"), "{said}");
    assert_eq!(contents(&node.path("flb"))[&node.path("flb/tail.db")], before[&node.path("flb/tail.db")]);
}

fn positions(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_drave")).arg("positions").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn positions_are_shown_while_drave_runs() {
    let node = Node::plain().tail("alias", "app");
    node.append("logs/a.log", lines("a", 0..5));
    let agent = node.start();
    node.expect_texts(&texts("a", 0..5).iter().map(String::as_str).collect::<Vec<_>>());
    let real = fs::canonicalize(node.path("logs/a.log")).unwrap().display().to_string();
    let inode = fs::metadata(&real).unwrap().ino();
    for place in ["state", "state/drave.db"] {
        let place = node.path(place).display().to_string();
        let mut json = Value::Null;
        support::agent::poll(PATIENCE, || {
            json = serde_json::from_str(&positions(&[&place, "--format", "json"]).1).unwrap();
            json[0]["offset"] == 25
        });
        let file = &json[0];
        assert_eq!((&file["input"], &file["file"]), (&Value::from("app"), &Value::from(real.as_str())));
        assert_eq!((&file["inode"], &file["size"], &file["lag"]), (&inode.into(), &25.into(), &0.into()), "{json}");
        assert!(file["fingerprint"].as_str().unwrap().starts_with("25:") && file["open"] == serde_json::json!([]));
        let (code, table, _) = positions(&[&place]);
        assert_eq!((code, table.lines().count()), (Some(0), 2), "{table}");
        assert!(table.starts_with("INPUT  FILE") && table.contains(&real), "{table}");
    }
    drop(agent);
}

#[test]
fn positions_of_fluent_bit_are_shown_and_what_is_none_is_an_error() {
    let node = node();
    node.append("logs/a.log", lines("a", 0..5));
    let mut flb = database(&node);
    flb.follow(&node.path("logs/a.log"), at(3));
    flb.row(&node.path("logs/gone.log"), 1, 3, false);
    flb.kill();
    let before = contents(&node.path("flb"));
    let (code, json, _) = positions(&[&node.path("flb/tail.db").display().to_string(), "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (code, &json[0]["offset"], &json[0]["lag"], &json[0]["input"]),
        (Some(0), &15.into(), &10.into(), &Value::Null)
    );
    assert_eq!((&json[1]["size"], &json[1]["lag"]), (&Value::Null, &Value::Null));
    assert!(contents(&node.path("flb")) == before);
    fs::write(node.path("text"), "no database").unwrap();
    for (name, what) in [("nowhere", "No such file"), ("logs", "no drave.db"), ("text", "no SQLite header")] {
        let (code, out, error) = positions(&[&node.path(name).display().to_string()]);
        assert_eq!((code, out.as_str()), (Some(64), ""));
        assert!(error.contains(what) && error.contains("hint:"), "{error}");
    }
}

/// Bytes that nobody wants, as the metrics say.
fn skipped(agent: &Agent) -> bool {
    agent.page("/metrics").lines().any(|l| l.starts_with("drave_input_skipped_bytes_total") && l.ends_with(" 25"))
}

#[test]
fn with_read_from_head_auto_young_files_are_read_from_their_beginning_and_old_ones_from_their_end() {
    let node = Node::plain().tail("read_from_head", "auto").service("http_server", "on");
    let node = node.service("http_port", "0").service("http_listen", "127.0.0.1");
    node.append("logs/old.log", lines("o", 0..5));
    node.append("logs/young.log", lines("y", 0..5));
    let old = SystemTime::now() - Duration::from_secs(660);
    fs::File::options().append(true).open(node.path("logs/old.log")).unwrap().set_modified(old).unwrap();
    let agent = node.start();
    assert!(support::agent::poll(PATIENCE, || skipped(&agent)), "{}", agent.page("/metrics"));
    node.append("logs/old.log", lines("o", 5..7));
    expect_only(&node, agent, [texts("o", 5..7), texts("y", 0..5)].concat());
}

#[test]
fn files_found_later_begin_as_read_from_head_says_where_that_is_asked_for() {
    for (newly, expected) in [("on", 0), ("off", 5)] {
        let node = Node::plain().tail("read_from_head", "off").tail("read_newly_discovered_files_from_head", newly);
        let agent = node.start();
        node.append("new.part", lines("n", 0..5));
        fs::rename(node.path("new.part"), node.path("logs/new.log")).unwrap();
        // Seen before the next lines come, or those would be skipped too.
        assert!(support::agent::poll(PATIENCE, || is_open(&agent, &node.path("logs/new.log"))));
        node.append("logs/new.log", lines("n", 5..7));
        expect_only(&node, agent, texts("n", expected..7));
    }
}

fn is_open(agent: &Agent, path: &Path) -> bool {
    let folder = format!("/proc/{}/fd", agent.pid().as_raw_nonzero());
    fs::read_dir(folder).unwrap().any(|entry| fs::read_link(entry.unwrap().path()).is_ok_and(|link| link == path))
}
