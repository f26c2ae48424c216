//! The options of a systemd section, checked.

use super::journal::Matches;
use crate::config::{Config, Report, Section};
use crate::input::settings::{DbOptions, InputSettings};
use crate::state::Sync;
use std::path::PathBuf;

/// Where journald keeps its files, on disk and until the next boot.
const FOLDERS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

crate::option_enum! {
    /// How several filters go together.
    pub enum FilterType {
        /// Any of them.
        Or = "or",
        /// All of them.
        And = "and",
    }
}

crate::options! {
    /// What is special to the input.
    pub struct SystemdOptions {
        /// The folder of the journal: its files, and those of each machine below it. Without it /var/log/journal and /run/log/journal.
        path: String, "path", optional;
        /// Of entries with this field alone: `KEY=value`. May be given several times.
        systemd_filter: String, "systemd_filter", repeated;
        /// Whether any of several filters is enough, or all of them must hold; `or` without it.
        systemd_filter_type: FilterType, "systemd_filter_type", optional;
        /// Fields of a record; one that has more is marked `drave.truncated`.
        max_fields: u64, "max_fields", default "8000";
        /// Entries that are read of a file before others have their turn.
        max_entries: u64, "max_entries", default "5000";
        /// Whether reading begins with what comes from now on, in a journal of which no position is known.
        read_from_tail: bool, "read_from_tail", default "off";
        /// Whether keys are written in small letters.
        lowercase: bool, "lowercase", default "off";
        /// Whether a `_` in front of a key is left out.
        strip_underscores: bool, "strip_underscores", default "off";
        /// Ends when all that is there was read, as for journals that were copied from elsewhere.
        exit_on_eof: bool, "exit_on_eof", default "off";
    }
    deviations {
        "the cursor": "says what was delivered, not what was read, and there is one for each file: a crash loses nothing, what was on its way then may come twice";
        "compressed and compact files": "are read whatever the machine's systemd is: xz, lz4 and zstd are built in";
        "`path`": "without it the journals of all machines below both folders are read, not only that of the machine-id that drave sees, which in a container is another one";
        "a long value": "is cut at 1 MiB, and its record marked `drave.truncated`; Fluent Bit cuts compressed ones at 64 KiB";
        "entries that drave writes itself": "are left out where it is a systemd service, by their _SYSTEMD_INVOCATION_ID: sent, they would be written about again";
        "a damaged entry": "is left out and counted (`drave_input_lost_entries_total`); Fluent Bit begins at the head again, or stops";
    }
}

/// A section, ready to read its journals.
#[derive(Debug)]
pub(super) struct Settings {
    /// Its name is the alias, else `systemd` and the path as written. In the tag `*` is the unit.
    pub(super) input: InputSettings,
    pub(super) folders: Vec<PathBuf>,
    pub(super) matches: Matches,
    pub(super) db: Option<PathBuf>,
    pub(super) sync: Option<Sync>,
    /// Bytes that deleted files may hold.
    pub(super) held_bytes_max: u64,
    pub(super) options: SystemdOptions,
}

impl Settings {
    /// Checks a section; `index` counts the systemd sections, for the tag of one that has none.
    pub(super) fn new(
        section: &Section,
        index: usize,
        number: usize,
        config: &Config,
        report: &mut Report,
    ) -> Option<Self> {
        let options = SystemdOptions::from_section(section, report)?;
        let db = DbOptions::from_section(section, report)?;
        let path = options.path.as_deref();
        let unnamed = format!("systemd {}", path.unwrap_or_default()).trim_end().to_owned();
        let default = || FOLDERS.map(PathBuf::from).into();
        Some(Self {
            input: InputSettings::new(section, index, number, Some(unnamed))?,
            folders: path.map_or_else(default, |path| vec![section.resolve(path)]),
            matches: matches(section, &options, report)?,
            db: db.file(section),
            sync: db.db.is_some().then(|| db.sync()),
            held_bytes_max: config.service.storage_held_limit.0,
            options,
        })
    }

    /// Entries of a round.
    pub(super) fn entries_max(&self) -> usize {
        self.options.max_entries.clamp(1, 1 << 16) as usize
    }

    /// Fields of a record.
    pub(super) fn fields_max(&self) -> usize {
        self.options.max_fields.clamp(1, 1 << 16) as usize
    }
}

fn matches(section: &Section, options: &SystemdOptions, report: &mut Report) -> Option<Matches> {
    let mut is_good = true;
    for entry in section.all("systemd_filter") {
        let key = entry.value.split_once('=').map_or("", |(key, _)| key);
        let is_key = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if key.is_empty() || !key.bytes().all(is_key) {
            let hint = "write a field of the journal, as in _SYSTEMD_UNIT=kubelet.service";
            report.error(
                Some(&entry.value_at),
                format!("`{}` is no field with a value", entry.value),
                Some(hint.into()),
            );
            is_good = false;
        }
    }
    let fields = options.systemd_filter.iter().map(|field| field.trim().as_bytes().to_vec()).collect();
    is_good.then_some(Matches { fields, all: options.systemd_filter_type == Some(FilterType::And) })
}
