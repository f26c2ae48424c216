//! Programs that some tests need and that not every machine has.
#![allow(clippy::disallowed_methods, reason = "tests have no config to read the environment for them")]

use std::env;
use std::path::PathBuf;

/// The path of a program, from `DRAVE_TOOLS` (default `target/tools/bin`) or PATH; a test without it ends early:
/// `let Some(helm) = tool("helm") else { return };`. With `DRAVE_TESTS=all` a missing program is an error.
pub fn tool(name: &str) -> Option<PathBuf> {
    let own = env::var_os("DRAVE_TOOLS").map_or_else(default_folder, PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        std::iter::once(own).chain(env::split_paths(&path)).map(|folder| folder.join(name)).find(|p| p.is_file());
    if found.is_none() {
        let what = format!("{name} is missing (run tests/setup)");
        assert!(env::var_os("DRAVE_TESTS").is_none_or(|tests| tests != "all"), "{what}");
        println!("skipped: {what}");
    }
    found
}

fn default_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin")
}
