//! The command line: one file per subcommand.

mod check;
mod logging;
mod positions;
mod run;

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Exit codes.
pub mod exit {
    /// All is well.
    pub const OK: u8 = 0;
    /// The command line or the configuration is wrong.
    pub const USAGE: u8 = 64;
    /// drave itself failed.
    pub const INTERNAL: u8 = 70;
}

#[derive(Debug, Parser)]
#[command(name = "drave", version, about = "A log collection agent", disable_help_subcommand = true)]
struct Arguments {
    /// The configuration to run, YAML or classic
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a configuration (the same as drave -c FILE)
    Run {
        /// The configuration, YAML or classic
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration: all mistakes at once, exit 64 if there are any
    Check {
        /// The configuration, YAML or classic
        file: PathBuf,
    },
    /// Show how far each file is: inode, fingerprint, offset, size, lag
    Positions {
        /// The state folder, drave's database, or Fluent Bit's
        path: PathBuf,
        /// How they are shown
        #[arg(long, value_enum, default_value_t)]
        format: positions::Format,
    },
}

/// Parses the command line and runs it; the exit code.
pub fn main() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE } else { exit::OK };
        }
    };
    match (arguments.command, arguments.config) {
        (Some(Command::Check { file }), _) => check::check(&file),
        (Some(Command::Positions { path, format }), _) => positions::positions(&path, format),
        (Some(Command::Run { config }), _) | (None, Some(config)) => run::run(&config),
        (None, None) => {
            eprintln!(
                "error: no configuration\n  hint: drave -c FILE runs one, drave check FILE checks it, drave --help shows more"
            );
            exit::USAGE
        }
    }
}
