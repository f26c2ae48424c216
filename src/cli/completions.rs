//! `drave completions SHELL`: prints a script that completes drave's command line in that shell.
//!
//! ```sh
//! drave completions bash > /usr/share/bash-completion/completions/drave
//! ```

use super::{Arguments, exit};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::Write;

pub(super) fn completions(shell: Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "drave", &mut script);
    match std::io::stdout().write_all(&script) {
        Ok(()) => exit::OK,
        Err(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            exit::INTERNAL
        }
    }
}
