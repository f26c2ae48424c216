//! `drave check FILE`: reads a configuration and says everything that is wrong with it, without side effects.
//!
//! `--format json` prints one object instead, for editors and pipelines:
//!
//! ```json
//! {"file": "agent.conf", "valid": false,
//!  "errors": [{"file": "agent.conf", "line": 14, "column": 5, "message": "unknown option …", "hint": "did you mean …?"}],
//!  "notes": []}
//! ```
//! What Fluent Bit left undelivered in `storage.path` is among the errors, too, and leaves the configuration valid.
//! What has no place has null for `file`, `line` and `column`; `hint` may be null too.

use super::run::Given;
use super::{colour, exit};
use crate::agent::Plan;
use crate::config::{Problem, Report, Severity};
use clap::ValueEnum;
use serde_json::{Value, json};

/// How the findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people: problems on stderr, each with its line
    Text,
    /// One JSON object on stdout
    Json,
}

pub(super) fn check(given: &Given, format: Format) -> u8 {
    let mut report = Report::default();
    let (_, plan) = given.plan(&mut report);
    let valid = plan.is_some();
    for leftover in plan.iter().flat_map(Plan::leftovers) {
        report.note(None, leftover.message(), Some(leftover.hint()));
    }
    // It is no mistake of the configuration, which stays valid.
    if let Some(chunks) = plan.as_ref().and_then(Plan::chunks) {
        report.error(None, chunks.message(), Some(chunks.hint().to_owned()));
    }
    match format {
        Format::Json => println!("{:#}", object(&given.name(), valid, &report)),
        Format::Text => {
            colour::say(&report.to_string(), &given.environment);
            if valid {
                println!("{}: ok", given.name());
            }
        }
    }
    if valid { exit::OK } else { exit::USAGE }
}

fn object(file: &str, valid: bool, report: &Report) -> Value {
    let (errors, notes): (Vec<Problem>, Vec<Problem>) = report.shown().partition(|p| p.severity == Severity::Error);
    let list = |problems: &[Problem]| problems.iter().map(entry).collect::<Vec<_>>();
    json!({ "file": file, "valid": valid, "errors": list(&errors), "notes": list(&notes) })
}

fn entry(problem: &Problem) -> Value {
    let at = problem.at.as_ref();
    json!({
        "file": at.map(|at| &*at.file),
        "line": at.map(|at| at.line),
        "column": at.map(|at| at.column),
        "message": problem.message,
        "hint": problem.hint,
    })
}
