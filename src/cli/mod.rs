//! The command line: one file per subcommand.

mod check;
pub mod help;
mod logging;
mod run;
mod schema;

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
    /// Show the reference: drave help, drave help service, drave help input tail
    Help {
        /// A section, a plugin, or both: input tail
        topic: Vec<String>,
    },
    /// Print a JSON Schema of the YAML form, for editors
    Schema,
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
        (Some(Command::Help { topic }), _) => help::help(&topic),
        (Some(Command::Schema), _) => schema::schema(),
        (Some(Command::Run { config }), _) | (None, Some(config)) => run::run(&config),
        (None, None) => {
            eprintln!(
                "error: no configuration\n  hint: drave -c FILE runs one, drave check FILE checks it, drave --help shows more"
            );
            exit::USAGE
        }
    }
}
