//! Files that are rotated, compressed, emptied, deleted and made again, while drave runs and while it does not.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use support::node::{Node, closed_while, numbers, write_numbers};

/// As kubelet: a temporary name first, then the plain file goes.
fn gzip(path: &Path) -> PathBuf {
    let with = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let mut encoder = GzEncoder::new(fs::File::create(with(".tmp")).unwrap(), Compression::default());
    std::io::copy(&mut fs::File::open(path).unwrap(), &mut encoder).unwrap();
    encoder.finish().unwrap();
    fs::rename(with(".tmp"), with(".gz")).unwrap();
    fs::remove_file(path).unwrap();
    with(".gz")
}

#[test]
fn what_was_rotated_while_the_sink_was_away_arrives_when_it_is_back() {
    let node = Node::new().service("mem_limit", "256k").tail("buffer_chunk_size", "32k");
    let closed = closed_while(&node.sink);
    let mut log = node.container("web-1");
    let agent = node.start();
    for round in 0..8 {
        write_numbers(&mut log, 1, round * 2000..round * 2000 + 1900);
        log.rotate();
        write_numbers(&mut log, 1, round * 2000 + 1900..(round + 1) * 2000);
        log.reopen();
        // The rotation is seen; where nothing is read that is all that happens.
        std::thread::sleep(Duration::from_millis(150));
    }
    assert!(log.rotated().len() == 4, "the first four are gone from the disk");
    closed.store(false, Ordering::Release);
    node.expect_once(agent, 16_000);
}

#[test]
fn rotated_files_may_be_deleted_and_their_inodes_used_again_while_they_wait() {
    let node = Node::new();
    let closed = closed_while(&node.sink);
    let mut log = node.container("web-1");
    let agent = node.start();
    for round in 0..6 {
        write_numbers(&mut log, 1, round * 10..round * 10 + 10);
        let rotated = log.rename();
        log.reopen();
        // Longer than rotate_wait: the rotated file is read and let go, but not settled.
        std::thread::sleep(Duration::from_millis(1300));
        fs::remove_file(rotated).unwrap();
    }
    closed.store(false, Ordering::Release);
    node.expect_once(agent, 60);
}

#[test]
fn a_pod_that_lives_a_moment_is_read() {
    for refresh in ["1", "60"] {
        let node = Node::new().tail("refresh_interval", refresh);
        let agent = node.start();
        for pod in 0..5 {
            let mut log = node.container(&format!("job-{pod}"));
            write_numbers(&mut log, pod, 0..50);
            std::thread::sleep(Duration::from_millis(150));
            write_numbers(&mut log, pod, 50..100);
            std::thread::sleep(Duration::from_millis(50));
            log.delete();
        }
        node.expect_once(agent, 500);
    }
}

#[test]
fn a_pod_that_lives_a_moment_is_read_while_fifty_others_have_much_to_read() {
    let node = Node::new();
    for pod in 0..50 {
        let mut log = node.container(&format!("old-{pod}"));
        write_numbers(&mut log, pod, 0..6000);
    }
    let agent = node.start();
    let mut log = node.container("job");
    write_numbers(&mut log, 100, 0..100);
    std::thread::sleep(Duration::from_millis(200));
    log.delete();
    node.expect_once(agent, 300_100);
}

#[test]
fn an_inode_that_is_used_again_is_another_file() {
    let node = Node::plain();
    node.append("logs/a.log", numbers(1, 0..10));
    let agent = node.start();
    node.expect_once(agent, 10);
    // In place keeps the inode; the size is the same.
    fs::write(node.path("logs/a.log"), numbers(2, 0..10)).unwrap();
    let agent = node.start();
    node.expect_once(agent, 20);
}

#[test]
fn another_device_number_is_the_same_file() {
    let node = Node::plain();
    node.append("logs/a.log", numbers(1, 0..10));
    let agent = node.start();
    node.expect_once(agent, 10);
    // As after a reboot. The row's checksum covers the device, so it goes through the state.
    {
        let state = drave::state::State::open(Some(&node.path("state")));
        let name = node.path("logs/*.log").display().to_string();
        let mut position = state.positions(&name).remove(0);
        position.device += 1;
        state.commit(vec![drave::state::Change::Put { input: name, position }]).unwrap();
    }
    node.append("logs/a.log", numbers(1, 10..20));
    let agent = node.start();
    node.expect_once(agent, 20);
}

#[test]
fn files_that_are_away_at_a_start_go_on_where_they_were() {
    let node = Node::plain();
    node.append("logs/a.log", numbers(1, 0..10));
    let agent = node.start();
    node.expect_once(agent, 10);
    fs::rename(node.path("logs"), node.path("elsewhere")).unwrap();
    let mut agent = node.start();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(agent.stop(), Some(0));
    let agent = node.start();
    fs::rename(node.path("elsewhere"), node.path("logs")).unwrap();
    node.append("logs/a.log", numbers(1, 10..20));
    node.expect_once(agent, 20);
}

#[test]
fn rotations_and_compressions_of_a_stopped_agent_are_read_once_and_in_order() {
    let node = Node::new();
    let mut log = node.container("web-1");
    let agent = node.start();
    write_numbers(&mut log, 1, 0..100);
    node.expect_once(agent, 100);
    for round in 1..4 {
        write_numbers(&mut log, 1, round * 100..round * 100 + 50);
        log.rotate();
        write_numbers(&mut log, 1, round * 100 + 50..(round + 1) * 100);
        log.reopen();
    }
    let names: Vec<bool> = log.rotated().iter().map(|p| p.extension().unwrap() == "gz").collect();
    assert_eq!(names, [true, true, false], "the file that was read at the stop is compressed too");
    let agent = node.start();
    node.expect_once(agent, 400);
    assert_eq!(node.sink.counts().disorder, 0);
    // And once more over the same chain, now with rows of several names.
    for round in 4..6 {
        write_numbers(&mut log, 1, round * 100..(round + 1) * 100);
        log.rotate();
        log.reopen();
        let agent = node.start();
        node.expect_once(agent, (u64::from(round) + 1) * 100);
    }
    assert_eq!(node.sink.counts().disorder, 0);
}

#[test]
fn a_file_that_was_read_is_not_sent_again_because_it_is_compressed() {
    let node = Node::new();
    let mut log = node.container("web-1");
    let mut agent = node.start();
    for round in 0..4 {
        write_numbers(&mut log, 1, round * 100..(round + 1) * 100);
        node.expect((u64::from(round) + 1) * 100);
        log.rotate();
        log.reopen();
        std::thread::sleep(Duration::from_millis(1200));
    }
    let newest = log.rotated().pop().unwrap();
    gzip(&newest);
    assert_eq!(agent.stop(), Some(0));
    let agent = node.start();
    node.expect_once(agent, 400);
    // Half a compression.
    let temporary = PathBuf::from(format!("{}.20261119-000000.tmp", log.path.display()));
    fs::write(&temporary, b"\x1f\x8b half of it").unwrap();
    let agent = node.start();
    write_numbers(&mut log, 1, 400..500);
    node.expect_once(agent, 500);
}

#[test]
fn a_finished_file_is_compressed_while_drave_is_down_and_is_not_sent_again() {
    let node = Node::new();
    let mut log = node.container("web-1");
    for round in 0..3 {
        let agent = node.start();
        write_numbers(&mut log, 1, round * 100..round * 100 + 50);
        node.expect(u64::from(round) * 100 + 50);
        let rotated = log.rename();
        log.reopen();
        write_numbers(&mut log, 1, round * 100 + 50..(round + 1) * 100);
        node.expect((u64::from(round) + 1) * 100);
        std::thread::sleep(Duration::from_millis(1300));
        node.expect_once(agent, (u64::from(round) + 1) * 100);
        gzip(&rotated);
    }
    let agent = node.start();
    write_numbers(&mut log, 1, 300..310);
    node.expect_once(agent, 310);
}

#[test]
fn a_rename_that_is_taken_back_is_no_rotation() {
    let node = Node::new();
    let mut log = node.container("web-1");
    let agent = node.start();
    for round in 0..3 {
        write_numbers(&mut log, 1, round * 20..round * 20 + 10);
        let rotated = log.rename();
        write_numbers(&mut log, 1, round * 20 + 10..round * 20 + 15);
        std::thread::sleep(Duration::from_millis(if round == 1 { 1300 } else { 20 }));
        log.rename_back(&rotated);
        write_numbers(&mut log, 1, round * 20 + 15..round * 20 + 20);
    }
    node.expect_once(agent, 60);
}

#[test]
fn long_lines_of_a_compressed_file_are_whole() {
    let node = Node::plain().tail("buffer_chunk_size", "4k");
    node.append("logs/a.log", numbers(1, 0..1));
    let agent = node.start();
    node.expect_once(agent, 1);
    let lines: String = (1..40)
        .map(|n| format!("{}{}\n", "x".repeat(n * 1000), numbers(1, n as u32..n as u32 + 1).trim_end()))
        .collect();
    node.append("logs/a.log", lines);
    fs::rename(node.path("logs/a.log"), node.path("logs/a.log.1")).unwrap();
    gzip(&node.path("logs/a.log.1"));
    node.append("logs/a.log", numbers(1, 40..41));
    let agent = node.start();
    node.expect_once(agent, 41);
    let lengths: Vec<usize> = node.texts().iter().map(String::len).skip(1).take(39).collect();
    assert_eq!(lengths, (1..40).map(|n| n * 1000 + 18).collect::<Vec<_>>());
}

#[test]
fn joined_pieces_of_a_compressed_file_come_once() {
    let node = Node::new().tail("buffer_chunk_size", "4k");
    let mut log = node.container("web-1");
    write_numbers(&mut log, 1, 0..1);
    let agent = node.start();
    node.expect_once(agent, 1);
    for n in 1..100 {
        log.write_cri("stdout", "P", &support::node::number(1, n));
        log.write_cri("stdout", "F", "end");
    }
    log.rotate();
    log.reopen();
    log.rotate();
    log.reopen();
    let agent = node.start();
    node.expect_once(agent, 100);
    assert_eq!(node.texts().len(), 100);
    assert!(node.texts()[1..].iter().all(|text| text.len() == 21), "{:?}", node.texts());
}

#[test]
fn a_file_that_is_emptied_in_place_is_read_from_its_beginning() {
    let node = Node::plain();
    let agent = node.start();
    node.append("logs/a.log", numbers(1, 0..20));
    node.expect(20);
    // Shorter, as long as before, longer: each time another content.
    for (round, count) in [(2, 10), (3, 10), (4, 10), (5, 30)] {
        fs::write(node.path("logs/a.log"), numbers(round, 0..count)).unwrap();
        let expect = [20, 30, 40, 50, 80][round as usize - 1];
        node.expect(expect);
    }
    node.expect_once(agent, 80);
}

#[test]
fn copytruncate_leaves_a_copy_that_is_not_read() {
    let node = Node::new();
    let mut log = node.container("web-1");
    let agent = node.start();
    write_numbers(&mut log, 1, 0..100);
    node.expect(100);
    log.copytruncate();
    write_numbers(&mut log, 1, 100..200);
    node.expect_once(agent, 200);
    let agent = node.start();
    write_numbers(&mut log, 1, 200..210);
    node.expect_once(agent, 210);
}

#[test]
fn a_file_that_is_emptied_while_drave_is_down_is_read_from_its_beginning() {
    let node = Node::plain();
    // The same first kibibyte, so that only the size tells.
    let head = format!("{}\n", "banner ".repeat(200));
    node.append("logs/a.log", head.clone() + &numbers(1, 0..20));
    let agent = node.start();
    node.expect_once(agent, 20);
    fs::write(node.path("logs/a.log"), head + &numbers(2, 0..10)).unwrap();
    let agent = node.start();
    node.expect_once(agent, 30);
}

#[test]
fn a_glob_that_takes_rotated_files_too_sends_each_line_once() {
    let node = Node::plain();
    let path = node.path("logs/*").display().to_string();
    let node = node.tail("path", &path);
    let rename = |from: &str, to: &str| fs::rename(node.path(from), node.path(to)).unwrap();
    node.append("logs/a.log.1", numbers(2, 0..10));
    node.append("logs/a.log", numbers(1, 0..10));
    let agent = node.start();
    node.expect(20);
    rename("logs/a.log.1", "logs/a.log.2");
    rename("logs/a.log", "logs/a.log.1");
    node.append("logs/a.log", numbers(1, 10..20));
    node.expect(30);
    std::thread::sleep(Duration::from_millis(1500));
    rename("logs/a.log.2", "logs/a.log.3");
    rename("logs/a.log.1", "logs/a.log.2");
    rename("logs/a.log", "logs/a.log.1");
    node.append("logs/a.log", numbers(1, 20..30));
    node.expect(40);
    std::thread::sleep(Duration::from_millis(1500));
    node.expect_once(agent, 40);
    let agent = node.start();
    node.append("logs/a.log", numbers(1, 30..40));
    node.expect_once(agent, 50);
}

#[test]
fn a_file_whose_name_begins_with_anothers_keeps_its_position() {
    let node = Node::plain();
    let path = node.path("logs/*").display().to_string();
    let node = node.tail("path", &path);
    let names = ["logs/a.log", "logs/a.log-debug", "logs/a.log.errors", "logs/a.log-2.log"];
    for (file, name) in (1..).zip(names) {
        node.append(name, numbers(file, 0..10));
    }
    let agent = node.start();
    node.expect_once(agent, 40);
    for (file, name) in (1..).zip(names) {
        node.append(name, numbers(file, 10..20));
    }
    let agent = node.start();
    node.expect_once(agent, 80);
    let agent = node.start();
    node.expect_once(agent, 80);
}

#[test]
fn old_rotations_are_not_read_because_the_file_is_made_anew() {
    let node = Node::plain();
    node.append("logs/a.log.1", numbers(9, 0..10));
    node.append("logs/a.log", numbers(1, 0..10));
    let mut agent = node.start();
    node.expect(10);
    fs::remove_file(node.path("logs/a.log")).unwrap();
    node.append("logs/a.log", numbers(1, 10..20));
    node.expect(20);
    assert_eq!(agent.stop(), Some(0));
    node.expect_exactly(20);
    fs::remove_file(node.path("logs/a.log")).unwrap();
    node.append("logs/a.log", numbers(1, 20..30));
    let agent = node.start();
    node.expect_once(agent, 30);
}

#[test]
fn a_folder_that_is_made_anew_is_watched_again() {
    let node = Node::plain();
    let agent = node.start();
    for round in 0..3 {
        node.append(&format!("logs/{round}.log"), numbers(round, 0..10));
        node.expect(u64::from(round + 1) * 10);
        fs::remove_dir_all(node.path("logs")).unwrap();
        fs::create_dir(node.path("logs")).unwrap();
        // Its events come first, so that the new folder must be watched to see the next file.
        std::thread::sleep(Duration::from_millis(300));
    }
    let begin = Instant::now();
    node.append("logs/last.log", numbers(9, 0..10));
    node.expect(40);
    assert!(begin.elapsed() < Duration::from_secs(10), "found by an event, not by a scan");
    node.expect_once(agent, 40);
}

#[test]
fn a_deep_glob_finds_folders_that_come_later() {
    let node = Node::plain();
    let path = node.path("apps/*/logs/*.log").display().to_string();
    let node = node.tail("path", &path);
    let agent = node.start();
    for app in 0..3 {
        fs::create_dir_all(node.path(format!("apps/app-{app}/logs"))).unwrap();
        node.append(&format!("apps/app-{app}/logs/a.log"), numbers(app, 0..10));
    }
    node.expect_once(agent, 30);
}
