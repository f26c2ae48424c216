//! `drave -c FILE`, `drave -i tail …`: runs a configuration until it is told to stop, or until its inputs have ended.

use super::quick::Quick;
use super::{check, colour, exit, logging};
use crate::agent::{self, Plan, RunError};
use crate::config::{Config, Environment, LogLevel, Report, ServiceOptions, Severity, load_arguments};
use clap::Args;
use std::path::PathBuf;

/// What to run.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The configuration, YAML or classic
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check everything, run nothing
    #[arg(short = 'D', long)]
    dry_run: bool,
    /// Change to this folder first
    #[arg(short, long, value_name = "FOLDER")]
    workdir: Option<PathBuf>,
    #[command(flatten)]
    quick: Quick,
}

/// A configuration: a file, what the command line adds, or that alone.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) file: Option<PathBuf>,
    pub(super) quick: Quick,
    pub(super) environment: Environment,
}

impl Given {
    /// What to call it.
    pub(super) fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| "command line".into(), |file| file.display().to_string())
    }

    /// Reads and checks everything; no plan when something is wrong.
    pub(super) fn plan(&self, report: &mut Report) -> (Config, Option<Plan>) {
        let config = load_arguments(self.file.as_deref(), &self.quick.0, &self.environment, report);
        let plan = Plan::new(&config, &self.environment, report).filter(|_| !report.has_errors());
        (config, plan)
    }
}

pub(super) fn run(arguments: RunArguments, environment: Environment) -> u8 {
    if let Some(folder) = &arguments.workdir
        && let Err(error) = rustix::process::chdir(folder)
    {
        let hint = "check the path given with --workdir, and that drave may enter it";
        let text = format!("error: cannot change to {}: {error}\n  hint: {hint}\n", folder.display());
        colour::say(&text, &environment);
        return exit::USAGE;
    }
    let given = Given { file: arguments.config, quick: arguments.quick, environment };
    if given.file.is_none() && given.quick.0.is_empty() {
        colour::say(NOTHING, &given.environment);
        return exit::USAGE;
    }
    if arguments.dry_run { check::check(&given, check::Format::Text) } else { start(&given) }
}

const NOTHING: &str = "error: no configuration
  hint: drave -c FILE runs one, drave check FILE checks it, drave --help shows more
";

fn start(given: &Given) -> u8 {
    let mut report = Report::default();
    let (config, Some(plan)) = given.plan(&mut report) else {
        colour::say(&report.to_string(), &given.environment);
        return exit::USAGE;
    };
    let own_files = match logging::start(&config.service, &config.folder, &given.environment) {
        Ok(files) => files,
        Err(message) => {
            colour::say(&format!("error: {message}\n"), &given.environment);
            return exit::USAGE;
        }
    };
    for note in report.shown().filter(|p| p.severity == Severity::Note) {
        let at = note.at.as_ref().map_or_else(String::new, |at| format!(" ({at})"));
        let hint = note.hint.as_ref().map_or_else(String::new, |hint| format!("; hint: {hint}"));
        tracing::info!("{}{at}{hint}", note.message);
    }
    match agent::run(plan, &own_files) {
        Ok(()) => exit::OK,
        Err(error) => {
            say(&error, &config.service, &given.environment);
            if error.internal { exit::INTERNAL } else { exit::USAGE }
        }
    }
}

/// In the log, and on stderr where the log does not go there.
fn say(error: &RunError, service: &ServiceOptions, environment: &Environment) {
    let hint = |before: &str| error.hint.as_ref().map_or_else(String::new, |hint| format!("{before}hint: {hint}"));
    tracing::error!("{error}{}", hint("; "));
    if service.log_file.is_some() || service.log_level == LogLevel::Off {
        colour::say(&format!("error: {error}{}\n", hint("\n  ")), environment);
    }
}
