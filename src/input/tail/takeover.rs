//! Where reading begins when Fluent Bit followed the files before: a row of its database becomes a position.
//!
//! ```text
//! row: name, inode, offset         file of the chain                          begins
//! ─────────────────────────        ─────────────────────────────────────      ──────────────────────────────────────
//! inode agrees, name of the chain  0.log, or 0.log.TS: renamed meanwhile      at the offset, or where its line begins
//! offset behind the end            truncated meanwhile                        at 0
//! name agrees, inode is gone       0.log.TS.gz: compressed meanwhile          at 0: which bytes were read is not known
//! inode agrees, another name       another file that got the inode            as if there was no row
//! ```
//! What is newer than a file that has a row was not read by Fluent Bit; what is older was. It happens once per input.
//!
//! Inodes of deleted files are given out again at once. So a row says nothing of a file that was made after the database was last
//! written, nor of the current file when one of its rotations was written to since then.

use super::file::fingerprint;
use super::rotation::{is_name_of, strip_gz};
use super::settings::Settings;
use super::siblings::Sibling;
use crate::state::{FluentBitFile, Position, State, StateError};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How far back the beginning of the line is looked for that Fluent Bit had read a part of.
const LINE_START_BYTES_MAX: u64 = 64 << 10;

/// The rows of Fluent Bit's database, for one input.
#[derive(Debug)]
pub(super) struct Takeover {
    database: PathBuf,
    /// The newest first.
    by_inode: HashMap<u64, Vec<FluentBitFile>>,
    /// Inodes by the path behind the links: of rotated files, which Fluent Bit knows under their real names.
    by_path: HashMap<PathBuf, Vec<u64>>,
    written: Option<SystemTime>,
    taken: usize,
}

/// What the database of an input's `db` says.
pub(super) enum Found {
    /// There is none of Fluent Bit's, or it was taken over before.
    Nothing,
    /// Rows, maybe none that are of this input.
    Rows(Takeover),
    /// It is there and cannot be read: what Fluent Bit had read is not known.
    Unreadable,
}

impl Takeover {
    /// Reads the database that the input names as its `db`.
    pub(super) fn find(state: &State, settings: &Settings) -> Found {
        let Some(database) = settings.db.clone().filter(|_| !state.has_taken_over(&settings.name)) else {
            return Found::Nothing;
        };
        match state.fluent_bit(&database) {
            Ok(None) => Found::Nothing,
            Ok(Some(positions)) => {
                let (mut by_inode, mut by_path) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
                for file in positions.files {
                    by_path.entry(resolved(&file.name)).or_default().push(file.inode);
                    by_inode.entry(file.inode).or_default().push(file);
                }
                Found::Rows(Self { database, by_inode, by_path, written: positions.written, taken: 0 })
            }
            Err(error) => say(&database, &error),
        }
    }

    /// When Fluent Bit was last at work, as far as the database tells.
    pub(super) fn written(&self) -> Option<SystemTime> {
        self.written
    }

    /// Did Fluent Bit follow files for this input?
    pub(super) fn concerns(&self, settings: &Settings) -> bool {
        let mut names = self.by_inode.values().flatten().map(|file| &file.name);
        names.any(|name| name.is_relative() || settings.patterns.takes(name))
    }

    /// The positions of a chain. `link`: the current file as the glob found it, `live`: the path behind it.
    pub(super) fn positions(&mut self, siblings: &[Sibling], link: &Path, live: &Path) -> Vec<Position> {
        let plain: Vec<u64> = siblings.iter().filter(|s| !s.gzip).map(|s| s.inode).collect();
        let compressed = |s: &Sibling| s.gzip && self.was_followed(s, &plain);
        let is_later = |s: &Sibling| s.path != live && self.is_later(s.modified) && !compressed(s);
        let was_rotated = siblings.iter().any(is_later);
        let found = siblings.iter().filter_map(|sibling| {
            let settled = match sibling.gzip {
                true => compressed(sibling).then_some(0),
                false if was_rotated && sibling.path == live => None,
                false => self.offset(sibling, link, live),
            };
            settled.map(|settled| position(sibling, settled))
        });
        let found: Vec<Position> = found.collect();
        self.taken += found.len();
        found
    }

    /// Where Fluent Bit stood in a file that it followed.
    fn offset(&self, sibling: &Sibling, link: &Path, live: &Path) -> Option<u64> {
        let meta = sibling.file.metadata().ok()?;
        let row = self.by_inode.get(&sibling.inode)?.iter().find(|row| is_of_chain(&row.name, link, live))?;
        let is_other = self.is_later(meta.created().ok()) || row.offset > meta.len();
        (!is_other).then(|| line_start(&sibling.file, row.offset))
    }

    /// Is that after Fluent Bit's end, as far as the database tells?
    fn is_later(&self, time: Option<SystemTime>) -> bool {
        time.zip(self.written).is_some_and(|(time, written)| time > written)
    }

    /// Is this the compressed copy of a file that Fluent Bit knew under this very name, and that is not there any more?
    fn was_followed(&self, sibling: &Sibling, plain: &[u64]) -> bool {
        let inodes = self.by_path.get(&strip_gz(&sibling.path));
        inodes.is_some_and(|inodes| inodes.iter().any(|inode| !plain.contains(inode)))
    }

    /// Says how many files it was.
    pub(super) fn report(&self, input: &str) {
        let database = self.database.display();
        tracing::info!(input, %database, files = self.taken, "took over positions from Fluent Bit; its database is not needed any more");
    }
}

fn say(database: &Path, error: &StateError) -> Found {
    let (path, reason) = (database.display(), error.reason());
    if matches!(error, StateError::NotOurs { .. }) {
        tracing::warn!(
            "`db` {path}: {reason}; it is left as it is, and no positions are taken from it; hint: name Fluent Bit's database, or a file that drave can make"
        );
        return Found::Nothing;
    }
    tracing::warn!(
        "the positions in `db` {path} cannot be taken over: {reason}; files that drave has no position of are read from their \
         beginning; hint: stop drave, repair or remove that file, and start again with an empty state folder"
    );
    Found::Unreadable
}

fn position(sibling: &Sibling, settled: u64) -> Position {
    Position {
        path: strip_gz(&sibling.path),
        device: sibling.device,
        inode: sibling.inode,
        fingerprint: fingerprint(&sibling.head),
        settled,
        size: settled,
        open: Vec::new(),
        finished: false,
    }
}

/// Is it a name of the current file, or of one of its rotations?
fn is_of_chain(name: &Path, link: &Path, live: &Path) -> bool {
    if name.is_relative() {
        // Relative to the folder in which Fluent Bit ran, which is not known.
        return link.ends_with(name) || live.ends_with(name);
    }
    let is_beside = |name: &Path, file: &Path| name.parent() == file.parent() && is_name_of(name, file);
    is_beside(name, link) || is_beside(name, live) || is_beside(&resolved(name), live)
}

/// The path behind the links, of a file that is there or whose folder is.
fn resolved(name: &Path) -> PathBuf {
    let of_folder = || Some(fs::canonicalize(name.parent()?).ok()?.join(name.file_name()?));
    fs::canonicalize(name).ok().or_else(of_folder).unwrap_or_else(|| name.to_path_buf())
}

/// The offset itself where a line begins there. A part of a line that was read and not sent is in nobody's hands any more, so the
/// line is read from its beginning.
fn line_start(file: &File, offset: u64) -> u64 {
    let from = offset.saturating_sub(LINE_START_BYTES_MAX);
    let mut before = Vec::new();
    let mut reader = file;
    let read = reader.seek(SeekFrom::Start(from)).and_then(|_| reader.take(offset - from).read_to_end(&mut before));
    // With NULs it is UTF-16, where a byte says nothing about a line.
    if read.is_err() || before.contains(&0) {
        return offset;
    }
    match memchr::memrchr(b'\n', &before) {
        Some(at) => from + at as u64 + 1,
        None if from == 0 => 0,
        None => offset,
    }
}
