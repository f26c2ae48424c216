//! The command line: one file per subcommand.

mod run;
mod quick;
mod check;
mod convert;
mod explain;
mod positions;
mod spool;
mod replay;
mod table;
pub mod help;
mod schema;
mod completions;
mod colour;
mod logging;

use crate::config::Environment;
use clap::error::{ContextKind, ContextValue};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};

/// Exit codes.
pub mod exit {
    /// All is well.
    pub const OK: u8 = 0;
    /// It ran, and something is left to do: records that were not delivered.
    pub const UNFINISHED: u8 = 1;
    /// The command line or the configuration is wrong.
    pub const USAGE: u8 = 64;
    /// drave itself failed.
    pub const INTERNAL: u8 = 70;
}

#[derive(Debug, Parser)]
#[command(name = "drave", version, about = "A log collection agent", disable_help_subcommand = true)]
#[command(args_conflicts_with_subcommands = true, override_usage = USAGE, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    run: run::RunArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

const USAGE: &str = "drave -c FILE
       drave -i NAME [-p KEY=VALUE]… [-F NAME …]… -o NAME [-p KEY=VALUE]…
       drave COMMAND";

const EXAMPLES: &str = "Examples:
  drave -c /etc/drave/drave.yaml
  drave -i tail -p 'path=/var/log/app/*.log' -p read_from_head=on -o stdout -p format=json_lines";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a configuration (the same without `run`)
    Run(run::RunArguments),
    /// Check a configuration: all mistakes at once, exit 64 if there are any
    Check {
        /// The configuration, YAML or classic
        file: PathBuf,
        /// How the findings are written
        #[arg(long, value_enum, default_value_t = check::Format::Text)]
        format: check::Format,
    },
    /// Turn a configuration of Fluent Bit or Promtail into YAML, and say what becomes of each directive; exit 1 if some is lost
    Convert(convert::ConvertArguments),
    /// Show what happens to records: which steps are done once per source, which per record, which read the text
    Explain {
        /// The configuration, YAML or classic
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Show how far each file is: inode, fingerprint, offset, size, lag
    Positions {
        /// The state folder, drave's database, or Fluent Bit's
        path: PathBuf,
        /// How they are shown
        #[arg(long, value_enum, default_value_t)]
        format: positions::Format,
    },
    /// Show what each output's spool holds: segments, bytes, records to be sent, age
    Spool {
        /// The folder that `storage.path` names
        folder: PathBuf,
        /// How they are shown
        #[arg(long, value_enum, default_value_t)]
        format: positions::Format,
        /// Read all of it and count damaged bytes
        #[arg(long)]
        check: bool,
    },
    /// Send the records of a dead-letter file again; exit 1 if some were not delivered
    Replay(replay::ReplayArguments),
    /// Print a script that completes this command line in a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
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
    let environment = Environment::from_process();
    match Arguments::try_parse() {
        // Where a panic goes that no thread of its own catches; its message is on stderr.
        Ok(arguments) => std::panic::catch_unwind(|| dispatch(arguments, environment)).unwrap_or(exit::INTERNAL),
        Err(error) if error.use_stderr() => {
            colour::say(&usage_error(&error), &environment);
            exit::USAGE
        }
        Err(help) => {
            let _ = help.print();
            exit::OK
        }
    }
}

/// In the words of all other messages. A file alone is what one types first.
fn usage_error(error: &clap::Error) -> String {
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) if Path::new(name).is_file() => format!(
            "error: `{name}` is a file, and no command\n  hint: drave -c {name} runs it, drave check {name} checks it\n"
        ),
        _ => error.render().to_string().replace("  tip: ", "  hint: "),
    }
}

fn dispatch(arguments: Arguments, environment: Environment) -> u8 {
    match arguments.command {
        None => run::run(arguments.run, environment),
        Some(Command::Run(arguments)) => run::run(arguments, environment),
        Some(Command::Check { file, format }) => {
            check::check(&run::Given { file: Some(file), quick: quick::Quick::default(), environment }, format)
        }
        Some(Command::Convert(arguments)) => convert::convert(&arguments, &environment),
        Some(Command::Explain { config }) => {
            explain::explain(&run::Given { file: Some(config), quick: quick::Quick::default(), environment })
        }
        Some(Command::Positions { path, format }) => positions::positions(&path, format),
        Some(Command::Spool { folder, format, check }) => spool::spool(&folder, format, check),
        Some(Command::Replay(arguments)) => replay::replay(arguments, environment),
        Some(Command::Help { topic }) => help::help(&topic),
        Some(Command::Schema) => schema::schema(),
        Some(Command::Completions { shell }) => completions::completions(shell),
    }
}
