//! What sections of all inputs say alike, read in one place: which of them they are, what their records are called, and where positions
//! are kept.

use crate::config::{InputShared, Report, Section};
use crate::state::Sync;
use std::path::{Path, PathBuf};

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
    /// Of inputs that know positions in what they read.
    pub struct DbOptions {
        /// Keeps positions; the first one's folder is the state folder where the service sets no `state_dir`. What Fluent Bit left in
        /// a database there is taken over at the first start, and it is never written.
        db: String, "db", optional;
        /// How surely positions are on disk: extra, full, normal, off.
        db_sync: DbSync, "db.sync", default "normal";
    }
}

/// Who a section is.
#[derive(Debug, Clone)]
pub(super) struct InputSettings {
    /// Number among the configuration's inputs.
    pub(super) number: usize,
    /// Names its positions.
    pub(super) name: String,
    pub(super) tag: String,
    /// Bytes on their way; 0 has no limit.
    pub(super) mem_buf_limit: u64,
}

impl InputSettings {
    /// Of a section; `index` counts those of its plugin, for the tag of one that has none. Its name is the alias, else `unnamed`,
    /// else of plugin and index.
    pub(super) fn new(section: &Section, index: usize, number: usize, unnamed: Option<String>) -> Option<Self> {
        // What is wrong with these options is said where all inputs' are read.
        let shared = InputShared::from_section(section, &mut Report::default())?;
        let numbered = format!("{}.{index}", section.name);
        Some(Self {
            number,
            name: shared.alias.or(unnamed).unwrap_or_else(|| numbered.clone()),
            tag: shared.tag.unwrap_or(numbered),
            mem_buf_limit: shared.mem_buf_limit.map_or(0, |limit| limit.0),
        })
    }
}

/// The folder of `db`, for positions.
pub(super) fn state_folder(section: &Section) -> Option<PathBuf> {
    let db = section.get("db")?;
    section.resolve(&db.value).parent().map(Path::to_path_buf)
}

impl DbOptions {
    /// The file named as `db`: that of Fluent Bit, maybe.
    pub(super) fn file(&self, section: &Section) -> Option<PathBuf> {
        self.db.as_deref().map(|db| section.resolve(db))
    }

    pub(super) fn sync(&self) -> Sync {
        match self.db_sync {
            DbSync::Extra => Sync::Extra,
            DbSync::Full => Sync::Full,
            DbSync::Normal => Sync::Normal,
            DbSync::Off => Sync::Off,
        }
    }
}

/// Sections may read the same things, with other tags. Each has positions of its own: of several with one name the later ones are
/// numbered.
pub(super) fn number_equal_names<'a>(names: impl IntoIterator<Item = &'a mut String>) {
    let mut taken: Vec<String> = Vec::new();
    for name in names {
        if taken.contains(name) {
            let numbered = (2..).map(|number| format!("{name} #{number}")).find(|numbered| !taken.contains(numbered));
            *name = numbered.unwrap_or_default();
        }
        taken.push(name.clone());
    }
}
