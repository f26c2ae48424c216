//! The crash test: containers write and kubelet rotates, while drave is killed again and again.
//!
//! `DRAVE_SEED` repeats a run, `DRAVE_ROUNDS` makes it longer.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use support::agent::Agent;
use support::logs::ContainerLog;
use support::node::{Node, number};
use support::random::{Random, from_environment, seed_of_run};

/// Lines that each container writes in a second, about.
const RATE: u64 = 2000;
const CONTAINERS: u32 = 4;
/// What can be unsettled when it is killed: commits are made each second, and each test machine is slow now and then.
const UNSETTLED_SECONDS: u64 = 2;

/// A container that prints whole lines, and lines in pieces, with a rotation now and then.
fn write(mut log: ContainerLog, file: u32, seed: u64, over: &AtomicBool, written: &AtomicU64) {
    // An agent that is killed before its first commit again and again falls behind: what it has not read must stay.
    log.files_max = 1000;
    let mut random = Random(seed);
    let mut at = 0;
    while !over.load(Ordering::Relaxed) {
        for _ in 0..RATE / 100 {
            let text = format!("{}{}", number(file, at), "x".repeat(random.below(200) as usize));
            match random.below(10) {
                0 => {
                    log.write_cri("stdout", "P", &text);
                    log.write_cri("stderr", "F", "no number");
                    log.write_cri("stdout", "F", "rest");
                }
                _ => log.write_cri("stdout", "F", &text),
            }
            at += 1;
            written.fetch_add(1, Ordering::Relaxed);
        }
        if random.below(150) == 0 {
            log.rotate();
            sleep(Duration::from_millis(random.below(20)));
            log.reopen();
        }
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn killed_at_any_moment_every_line_arrives() {
    run(seed_of_run(), from_environment("DRAVE_ROUNDS").unwrap_or(20));
}

/// Killed before its first commit, while a file that it knows as empty is rotated and compressed: the next file gets the same inode.
#[test]
fn an_inode_that_is_given_again_is_another_file() {
    run(517_118, 1);
}

fn run(seed: u64, rounds: u64) {
    let node = Node::new().tail("refresh_interval", "2");
    let (over, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut random = Random(seed);
    let logs: Vec<ContainerLog> = (0..CONTAINERS).map(|file| node.container(&format!("web-{file}"))).collect();
    // What was rotated before drave ever ran is not its business.
    assert_eq!(node.start().stop(), Some(0));
    std::thread::scope(|scope| {
        for (file, log) in (0..).zip(logs) {
            let (seed, over, written) = (random.seed(), &over, &written);
            scope.spawn(move || write(log, file, seed, over, written));
        }
        for round in 0..rounds {
            let mut agent = Agent::start(&node.config());
            sleep(Duration::from_millis(random.below(2000)));
            agent.kill();
            // Long enough for two rotations now and then, never for five.
            sleep(Duration::from_millis(random.below(if round % 5 == 0 { 1500 } else { 200 })));
        }
        over.store(true, Ordering::Relaxed);
    });
    let mut agent = Agent::start(&node.config());
    let written = written.into_inner();
    node.expect(written);
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    check(&node, written, rounds, seed);
}

fn check(node: &Node, written: u64, rounds: u64, seed: u64) {
    let counts = node.sink.counts();
    println!("{written} lines, {} came twice, {rounds} rounds, seed {seed}", counts.duplicates);
    assert!(counts.gaps.is_empty(), "seed {seed}: {:?}", counts.gaps);
    assert_eq!(counts.distinct, written, "seed {seed}");
    let bound = rounds * UNSETTLED_SECONDS * RATE * u64::from(CONTAINERS);
    assert!(counts.duplicates <= bound, "seed {seed}: {} duplicates, at most {bound}", counts.duplicates);
    whole_pieces(node);
}

/// No record has the beginning of one line and the rest of another.
fn whole_pieces(node: &Node) {
    for text in node.texts() {
        let numbers = text.matches("seq=").count();
        assert!(numbers <= 1 && (numbers == 1 || text == "no number"), "{text}");
    }
}
