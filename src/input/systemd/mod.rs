//! Reads the systemd journal: the files themselves, without libsystemd.
//!
//! ```yaml
//! inputs:
//!   - name: systemd
//!     tag: host.*                                # * is the unit: host.kubelet.service
//!     systemd_filter: _SYSTEMD_UNIT=kubelet.service
//!     db: /var/lib/drave/positions.db
//! ```
//! One thread follows all files of all systemd sections. Entries are read in the order in which journalctl shows them:
//!
//! ```text
//! folders ─▶ discover ─▶ followed file: journal/ (header, entries, fields) ─▶ round: some entries of one file
//!                             ▲                                                 │ by unit: sources
//!                             └── cursor ◀── tickets of the round's batches ◀───┘ who may not be read now is held: offsets only
//! ```
//! A file's position is the cursor of its last entry of which all before it are settled.

pub mod journal;
mod fields;
mod round;
mod sources;
mod followed;
mod discover;
mod places;
mod copies;
mod follow;
mod missing;
mod read;
mod settings;

use super::settings::{DbOptions, number_equal_names, state_folder};
use super::{Context, Input, InputContext, InputPlugin};
use crate::config::{Report, Section};
use settings::{Settings, SystemdOptions};

pub(super) const PLUGIN: InputPlugin = InputPlugin {
    name: "systemd",
    about: "Reads the systemd journal.",
    options: &[SystemdOptions::OPTIONS, DbOptions::OPTIONS],
    deviations: &[SystemdOptions::DEVIATIONS],
    configure,
    state_folder,
};

fn configure(sections: &[&Section], context: &InputContext<'_>, report: &mut Report) -> Option<Box<dyn Input>> {
    let numbered = sections.iter().zip(&context.numbers).enumerate();
    let settings: Vec<_> = numbered
        .map(|(index, (section, number))| Settings::new(section, index, *number, context.config, report))
        .collect();
    let mut settings: Vec<Settings> = settings.into_iter().collect::<Option<_>>()?;
    number_equal_names(settings.iter_mut().map(|section| &mut section.input.name));
    Some(Box::new(Systemd { settings }))
}

struct Systemd {
    settings: Vec<Settings>,
}

impl Input for Systemd {
    fn run(self: Box<Self>, context: Context) {
        follow::Follower::new(self.settings, context).run();
    }
}
