//! What is kept while a destination is away or refuses, how it is shown, and what is given up at last.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod health;
mod held;
mod replay;
mod spool;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Output};

fn drave(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drave")).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
