//! Follows files: container logs first of all.
//!
//! ```yaml
//! inputs:
//!   - name: tail
//!     path: /var/log/containers/*.log
//!     multiline.parser: docker, cri
//!     tag: kube.*
//!     db: /var/lib/drave/positions.db
//! ```
//! One thread follows all files of all tail sections:
//!
//! ```text
//! directory events, scans ─▶ discover ─▶ chain of a file's rotations (rotation) ─▶ file: fstat, read a block
//!                                            │                                        ▼
//!                                            └─ positions ◀─ tickets of the pipeline ◀─ cut lines into records
//! ```
//! Growth is seen by one `fstat` per open file on a clock of 50 to 150 ms; there is no event per write.

mod chain;
mod cut;
mod discover;
mod end;
mod file;
mod find;
mod follow;
mod finish;
mod turns;
mod read;
mod left;
mod open;
mod joining;
mod held;
mod positions;
mod progress;
mod replace;
mod rotation;
mod settings;
mod siblings;
mod tag;
mod takeover;

use super::settings::{DbOptions, number_equal_names, state_folder};
use super::{Context, Input, InputContext, InputPlugin};
use crate::config::{Report, Section};
use settings::{Settings, TailOptions};

pub(super) const PLUGIN: InputPlugin = InputPlugin {
    name: "tail",
    about: "Follows files.",
    options: &[TailOptions::OPTIONS, DbOptions::OPTIONS],
    deviations: &[TailOptions::DEVIATIONS],
    configure,
    state_folder,
};

fn configure(sections: &[&Section], context: &InputContext<'_>, report: &mut Report) -> Option<Box<dyn Input>> {
    let settings: Vec<_> = sections
        .iter()
        .zip(&context.numbers)
        .enumerate()
        .map(|(index, (section, number))| Settings::new(section, index, *number, context.config, report))
        .collect();
    let mut settings: Vec<Settings> = settings.into_iter().collect::<Option<_>>()?;
    number_equal_names(settings.iter_mut().map(|section| &mut section.name));
    Some(Box::new(Tail { settings }))
}

struct Tail {
    settings: Vec<Settings>,
}

impl Input for Tail {
    fn run(self: Box<Self>, context: Context) {
        file::raise_open_files_limit();
        follow::Follower::new(self.settings, context).run();
    }
}
