//! A private copy of a SQLite database that is not ours to open: opening one may write to it, or need its folder writable.
//!
//! Copied are the file, its write-ahead log and its rollback journal, so that what a killed program had committed is in the copy
//! and what it had not is rolled back there. The `-shm` is only an index over the log; SQLite makes a new one.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::StateError;
use super::place::with_suffix;

/// What makes the content of a database. The log comes first: what moves from it into the file meanwhile is then in both.
const PARTS: [&str; 3] = ["-wal", "-journal", ""];

/// Copies to make until none of the files changed meanwhile, and the pause between two.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// The copy, in a folder of its own; deleted when dropped.
#[derive(Debug)]
pub(super) struct Snapshot {
    folder: PathBuf,
    source: PathBuf,
    pub(super) connection: Connection,
}

impl Snapshot {
    /// Copies the database at `source` into a new folder within the first of the `scratch` folders that takes it. The source's
    /// files are only read.
    pub(super) fn take(source: &Path, scratch: &[&Path]) -> Result<Snapshot, StateError> {
        let fail = |e: io::Error| StateError::from_io(source, &e);
        // Says "no such file" of the right file.
        fs::File::open(source).map_err(fail)?;
        let folder = make_folder(scratch).map_err(fail)?;
        let connection = copy_steadily(source, &folder).and_then(|copy| open(source, &copy));
        if connection.is_err() {
            remove(&folder);
        }
        Ok(Snapshot { folder, source: source.into(), connection: connection? })
    }

    /// Has it a table of this name?
    pub(super) fn has_table(&self, name: &str) -> Result<bool, StateError> {
        let select = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?";
        let count: i64 = self.connection.query_row(select, [name], |row| row.get(0)).map_err(|e| self.error(&e))?;
        Ok(count > 0)
    }

    /// An error of SQLite, said of the source: nobody knows the copy.
    pub(super) fn error(&self, error: &rusqlite::Error) -> StateError {
        StateError::from_sqlite(&self.source, error)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::debug!("{} was not deleted: {error}", folder.display());
    }
}

fn make_folder(scratch: &[&Path]) -> io::Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut result = Err(io::ErrorKind::NotFound.into());
    for parent in scratch {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!(".drave-copy-{}-{number}", std::process::id()));
        // Never a folder that somebody else made: in /tmp that could be anyone.
        result = DirBuilder::new().mode(0o700).create(&folder).map(|()| folder);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Copies until nothing changed during a copy: its owner may be running.
fn copy_steadily(source: &Path, folder: &Path) -> Result<PathBuf, StateError> {
    let copy = folder.join("copy.db");
    for _ in 0..TRIES {
        let before = PARTS.map(|part| state_of(&with_suffix(source, part)));
        for part in PARTS {
            copy_part(&with_suffix(source, part), &with_suffix(&copy, part))
                .map_err(|e| StateError::from_io(source, &e))?;
        }
        if before == PARTS.map(|part| state_of(&with_suffix(source, part))) {
            return Ok(copy);
        }
        std::thread::sleep(PAUSE);
    }
    Err(StateError::Locked { path: source.into() })
}

/// What changes when a file is written to.
fn state_of(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

fn copy_part(from: &Path, to: &Path) -> io::Result<()> {
    let gone = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) };
    let mut source = match fs::File::open(from) {
        Ok(file) => file,
        // It was there in an earlier try, maybe.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return fs::remove_file(to).or_else(gone),
        Err(error) => return Err(error),
    };
    io::copy(&mut source, &mut fs::File::create(to)?)?;
    Ok(())
}

fn open(source: &Path, copy: &Path) -> Result<Connection, StateError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(copy, flags).map_err(|e| StateError::from_sqlite(source, &e))
}
