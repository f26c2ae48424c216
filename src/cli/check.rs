//! `drave check FILE`: reads a configuration and says everything that is wrong with it, without side effects.

use super::exit;
use crate::agent::Plan;
use crate::config::{Environment, Report, load};
use std::path::Path;

pub(super) fn check(file: &Path) -> u8 {
    let environment = Environment::from_process();
    let mut report = Report::default();
    let config = load(file, &environment, &mut report);
    let plan = Plan::new(&config, &environment, &mut report);
    if !report.problems.is_empty() {
        eprint!("{report}");
    }
    if report.has_errors() || plan.is_none() {
        return exit::USAGE;
    }
    println!("{}: ok", file.display());
    exit::OK
}
