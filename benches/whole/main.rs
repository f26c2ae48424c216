//! The whole agent, measured from outside: `cargo bench --bench whole`.
//!
//! ```text
//! this process: writes lines, looks at /proc     drave: the release binary     sink: this program again, counts what arrives
//! ```
//! Everything is on the loopback interface, in a temporary folder (650 MB), and limited in time: about eight minutes. Rows can be named, and
//! `--quick` takes a tenth of the lines: `cargo bench --bench whole -- --quick null http`. On a machine where other work
//! runs compare rows of one run, and no others.
#![allow(clippy::unwrap_used, reason = "what a bench needs and cannot have ends it")]
#![allow(clippy::disallowed_methods, reason = "a bench has no config to read the environment for it")]

#[path = "../lines/mod.rs"]
mod lines;

#[path = "../../tests/support/mod.rs"]
mod support;

mod agent;
mod destinations;
mod journal;
mod logs;
mod rows;
mod sink;

use rows::Bench;

/// A row by its name on the command line.
type Row = fn(&Bench) -> Vec<String>;

const ROWS: &[(&str, Row)] = &[
    ("null", rows::null),
    ("filters", rows::filters),
    ("access", rows::access),
    ("traces", rows::traces),
    ("http", rows::http_row),
    ("kubernetes", destinations::kubernetes),
    ("opensearch", destinations::opensearch),
    ("loki", destinations::loki),
    ("cloudwatch_logs", destinations::cloudwatch_logs),
    ("away", rows::away),
    ("rate", rows::rate),
    ("latency", rows::latency),
    ("new-file", rows::new_file),
    ("journal", journal::all),
    ("journal-units", journal::units),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == sink::ARGUMENT) {
        return sink::run();
    }
    // `cargo test` builds and starts benches too, without this word.
    if !words.iter().any(|word| word == "--bench") {
        return println!("to measure: cargo bench --bench whole");
    }
    let asked: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with("--")).collect();
    if let Some(unknown) = asked.iter().find(|word| !ROWS.iter().any(|(name, _)| name == *word)) {
        let names: Vec<&str> = ROWS.iter().map(|(name, _)| *name).collect();
        eprintln!("there is no row `{unknown}`; rows: {}", names.join(", "));
        std::process::exit(64);
    }
    let bench = Bench::new(words.iter().any(|word| word == "--quick"));
    println!("{}\n", machine());
    println!("| work | median | of |\n|---|---|---|");
    for (name, row) in ROWS {
        if asked.is_empty() || asked.contains(name) {
            row(&bench).iter().for_each(|line| println!("{line}"));
        }
    }
}

/// What the figures were measured on.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown CPU");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{}, {cores} cores, Linux {}, load {load} before",
        model.trim_start_matches(['\t', ' ', ':']),
        kernel.trim()
    )
}
