//! `drave replay FILE --output NAME -c CONFIG`: sends refused records again, once what kept them from arriving is mended.
//!
//! ```text
//! $ drave replay dead.jsonl --output http.0 -c drave.yaml
//! delivered 118, refused again 2, of other outputs 0, not readable 0
//! what did not arrive is in dead.jsonl.left
//! ```
//! Exit 0 when every letter of the output arrived and every line is a letter, else 1. The file is not changed.

use super::run::Given;
use super::{colour, exit, logging, quick::Quick};
use crate::agent::{self, Replayed};
use crate::config::{Environment, Report, ServiceOptions};
use clap::Args;
use std::path::{Path, PathBuf};

/// What to send, and through which output.
#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// The dead-letter file
    file: PathBuf,
    /// The output whose letters are sent: its alias, or its name and number, as in http.0
    #[arg(short, long, value_name = "NAME")]
    output: String,
    /// The configuration that has the output
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn replay(arguments: ReplayArguments, environment: Environment) -> u8 {
    let ReplayArguments { file, output, config } = arguments;
    let given = Given { file: Some(config), quick: Quick::default(), environment };
    let mut report = Report::default();
    let (config, Some(plan)) = given.plan(&mut report) else {
        colour::say(&report.to_string(), &given.environment);
        return exit::USAGE;
    };
    // Who calls this wants to see it; the log is the agent's.
    let service = ServiceOptions { log_file: None, ..config.service };
    if let Err(message) = logging::start(&service, &config.folder, &given.environment) {
        colour::say(&format!("error: {message}\n"), &given.environment);
        return exit::USAGE;
    }
    match agent::replay(plan, &file, &output) {
        Ok(replayed) => {
            colour::say(&bad_lines(&file, &replayed), &given.environment);
            print!("{}", summary(&replayed));
            let all = replayed.refused + replayed.unsent == 0 && replayed.bad_lines.is_empty();
            if all { exit::OK } else { exit::UNFINISHED }
        }
        Err(error) => {
            let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
            colour::say(&format!("error: {error}{hint}\n"), &given.environment);
            if error.internal { exit::INTERNAL } else { exit::USAGE }
        }
    }
}

fn bad_lines(file: &Path, replayed: &Replayed) -> String {
    let say = |(number, why): &(u64, String)| {
        format!(
            "error: no dead letter: {why} ({}:{number})\n  hint: it was left out, the others were sent\n",
            file.display()
        )
    };
    replayed.bad_lines.iter().map(say).collect()
}

fn summary(replayed: &Replayed) -> String {
    let Replayed { delivered, refused, unsent, others, bad_lines, left_in } = replayed;
    let mut text = format!("delivered {delivered}, refused again {refused}");
    if *unsent > 0 {
        text += &format!(", not sent {unsent}");
    }
    text += &format!(", of other outputs {others}, not readable {}\n", bad_lines.len());
    if refused + unsent > 0 {
        text += &format!("what did not arrive is in {}\n", left_in.display());
    }
    text
}
