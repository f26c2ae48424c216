//! `drave -c FILE`: runs a configuration until it is told to stop.

use super::{exit, logging};
use crate::agent::{self, Plan, RunError};
use crate::config::{Environment, LogLevel, Report, ServiceOptions, Severity, load};
use std::path::Path;

pub(super) fn run(file: &Path) -> u8 {
    let environment = Environment::from_process();
    let mut report = Report::default();
    let config = load(file, &environment, &mut report);
    let plan = Plan::new(&config, &environment, &mut report);
    let Some(plan) = plan.filter(|_| !report.has_errors()) else {
        eprint!("{report}");
        return exit::USAGE;
    };
    let own_files = match logging::start(&config.service, &config.folder) {
        Ok(files) => files,
        Err(message) => {
            eprintln!("error: {message}");
            return exit::USAGE;
        }
    };
    for note in report.problems.iter().filter(|p| p.severity == Severity::Note) {
        let at = note.at.as_ref().map_or_else(String::new, |at| format!(" ({at})"));
        let hint = note.hint.as_ref().map_or_else(String::new, |hint| format!("; hint: {hint}"));
        tracing::info!("{}{at}{hint}", note.message);
    }
    match agent::run(plan, &own_files) {
        Ok(()) => exit::OK,
        Err(error) => {
            say(&error, &config.service);
            if error.internal { exit::INTERNAL } else { exit::USAGE }
        }
    }
}

/// In the log, and on stderr where the log does not go there.
fn say(error: &RunError, service: &ServiceOptions) {
    let hint = |before: &str| error.hint.as_ref().map_or_else(String::new, |hint| format!("{before}hint: {hint}"));
    tracing::error!("{error}{}", hint("; "));
    if service.log_file.is_some() || service.log_level == LogLevel::Off {
        eprintln!("error: {error}{}", hint("\n  "));
    }
}
