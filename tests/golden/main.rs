//! What Fluent Bit 5.1.1 delivered for a configuration and its input, drave delivers too: one folder in `cases/` for each.
//!
//! ```text
//! cases/NAME/agent.conf    or agent.yaml; its first comment says what it is about, `# differs: …` where Fluent Bit does worse
//!            in/           the files that are read
//!            pods.json     what the Kubernetes API serves
//!            expect.json   what was delivered: stdout, requests, tcp, files
//! waiting.txt              cases that need what is not there yet, with what that is
//! ```
//! `GOLDEN="tail- stdout-json" cargo test --test golden` runs those whose names begin so.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod case;
mod items;
mod normal;
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod waiting;

use case::Outcome;
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use waiting::Waiting;

/// They wait for clocks most of the time.
const JOBS: usize = 12;

#[test]
fn every_case_delivers_what_it_shall() {
    let waiting = Waiting::read();
    let names = names();
    assert!(!names.is_empty(), "no case begins with what GOLDEN says");
    let outcomes = run_all(&names, &waiting);
    let mut complaints = String::new();
    for (name, outcome) in &outcomes {
        match (waiting.reason(name), outcome.complaint()) {
            (None, Some(complaint)) => writeln!(complaints, "\n{name} fails\n{complaint}").unwrap(),
            (Some(reason), None) => {
                writeln!(complaints, "\n{name} passes: take it off waiting.txt, where it waits for {reason}").unwrap();
            }
            _ => {}
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}

#[test]
fn what_waits_is_there() {
    let names = all_names();
    for name in Waiting::read().names() {
        assert!(names.iter().any(|known| known == name), "{name} in waiting.txt is no case");
    }
}

fn run_all(names: &[String], waiting: &Waiting) -> Vec<(String, Outcome)> {
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..JOBS.min(names.len()) {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = case::run(name, waiting.reason(name).is_some());
                    outcomes.lock().unwrap().push((name.clone(), outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by(|(a, _), (b, _)| a.cmp(b));
    outcomes
}

/// Those that the variable `GOLDEN` asks for, or all.
#[allow(clippy::disallowed_methods, reason = "that is how tests are chosen")]
fn names() -> Vec<String> {
    let asked = std::env::var("GOLDEN").unwrap_or_default();
    let asked: Vec<&str> = asked.split_whitespace().collect();
    let mut names = all_names();
    names.retain(|name| asked.is_empty() || asked.iter().any(|prefix| name.starts_with(prefix)));
    names
}

fn all_names() -> Vec<String> {
    let folder = std::fs::read_dir(cases()).unwrap();
    let mut names: Vec<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn cases() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/cases"))
}
