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
mod follow;
mod read;
mod settings;

use super::{Context, Input, InputContext, InputPlugin};
use crate::config::{Report, Section};
use settings::{Settings, SystemdOptions};
use std::path::{Path, PathBuf};

pub(super) const PLUGIN: InputPlugin = InputPlugin {
    name: "systemd",
    about: "Reads the systemd journal.",
    options: &[SystemdOptions::OPTIONS],
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
    settings::number_equal_names(&mut settings);
    Some(Box::new(Systemd { settings }))
}

/// Positions live in the folder of the first `db`.
fn state_folder(section: &Section) -> Option<PathBuf> {
    let db = section.get("db")?;
    section.resolve(&db.value).parent().map(Path::to_path_buf)
}

struct Systemd {
    settings: Vec<Settings>,
}

impl Input for Systemd {
    fn run(self: Box<Self>, context: Context) {
        follow::Follower::new(self.settings, context).run();
    }
}
