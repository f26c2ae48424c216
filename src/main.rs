//! Parses the command line, runs it, ends with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(drave::cli::main())
}
