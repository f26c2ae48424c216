//! The options of a systemd section, checked.

use super::journal::Matches;
use crate::config::{Config, InputShared, Report, Section};
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

crate::option_enum! {
    /// How surely positions are on disk.
    pub enum DbSync {
        /// As full, and the folder too.
        Extra = "extra",
        /// An fsync a commit.
        Full = "full",
        /// Now and then.
        Normal = "normal",
        /// Never.
        Off = "off",
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
        /// Keeps positions; the first one's folder is the state folder where the service sets no `state_dir`. The cursor that Fluent
        /// Bit left in a database there is taken over at the first start, and it is never written.
        db: String, "db", optional;
        /// How surely positions are on disk: extra, full, normal, off; `normal` without it.
        db_sync: DbSync, "db.sync", optional;
    }
    deviations {
        "the cursor": "says what was delivered, not what was read, and there is one for each file: a crash loses nothing, what was on its way then may come twice";
        "compressed and compact files": "are read whatever the machine's systemd is: xz, lz4 and zstd are built in";
        "`path`": "without it the journals of all machines below both folders are read, not only that of the machine-id that drave sees, which in a container is another one";
        "a long value": "is cut at 1 MiB, and its record marked `drave.truncated`; Fluent Bit cuts compressed ones at 64 KiB";
        "a damaged entry": "is left out and counted (`drave_input_lost_entries_total`); Fluent Bit begins at the head again, or stops";
    }
}

/// A section, ready to read its journals.
#[derive(Debug)]
pub(super) struct Settings {
    /// Number among the configuration's inputs.
    pub(super) number: usize,
    /// Names its positions: the alias, else `systemd` and the path as written; of several alike the later ones are numbered.
    pub(super) name: String,
    pub(super) folders: Vec<PathBuf>,
    pub(super) matches: Matches,
    /// `*` is the unit.
    pub(super) tag: String,
    /// The file named as `db`: that of Fluent Bit, maybe.
    pub(super) db: Option<PathBuf>,
    pub(super) mem_buf_limit: u64,
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
        let shared = InputShared::from_section(section, &mut Report::default())?;
        let path = options.path.as_deref();
        let default = || FOLDERS.map(PathBuf::from).into();
        Some(Self {
            number,
            name: shared.alias.unwrap_or_else(|| format!("systemd {}", path.unwrap_or_default()).trim_end().into()),
            folders: path.map_or_else(default, |path| vec![section.resolve(path)]),
            matches: matches(section, &options, report)?,
            tag: shared.tag.unwrap_or_else(|| format!("systemd.{index}")),
            db: options.db.as_deref().map(|db| section.resolve(db)),
            mem_buf_limit: shared.mem_buf_limit.map_or(0, |size| size.0),
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

    pub(super) fn sync(&self) -> Sync {
        match self.options.db_sync {
            Some(DbSync::Extra) => Sync::Extra,
            Some(DbSync::Full) => Sync::Full,
            Some(DbSync::Off) => Sync::Off,
            Some(DbSync::Normal) | None => Sync::Normal,
        }
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

/// Sections may read the same journal, with other tags and filters. Each has positions of its own.
pub(super) fn number_equal_names(sections: &mut [Settings]) {
    for at in 1..sections.len() {
        let (before, rest) = sections.split_at_mut(at);
        let name = &mut rest[0].name;
        let is_taken = |name: &str| before.iter().any(|s| s.name == name);
        if is_taken(name) {
            let numbered = (2..).map(|n| format!("{name} #{n}")).find(|numbered| !is_taken(numbered));
            *name = numbered.unwrap_or_default();
        }
    }
}
