//! Any text as a configuration in the classic syntax: reading it and showing what is wrong with it never panics.
#![no_main]

use drave::config::{Environment, Report, Syntax, load_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let environment = Environment::of([("NODE_NAME", "node-1"), ("API_TOKEN", "hunter2")]);
    let mut report = Report::default();
    load_text(text, Syntax::Classic, &environment, &mut report);
    let shown = report.to_string();
    assert!(shown.is_empty() == report.problems.is_empty());
});
