//! `drave explain -c FILE`: what happens to the records of each input on their way to the outputs.

use super::run::Given;
use super::{colour, exit};
use crate::agent;
use crate::config::Report;

pub(super) fn explain(given: &Given) -> u8 {
    let mut report = Report::default();
    let (config, plan) = given.plan(&mut report);
    let Some(plan) = plan else {
        colour::say(&report.to_string(), &given.environment);
        return exit::USAGE;
    };
    print!("{}", agent::explain(&config, plan));
    exit::OK
}
