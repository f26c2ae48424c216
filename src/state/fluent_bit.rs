//! The positions that Fluent Bit keeps of the files that it follows, read for taking over from it.
//!
//! ```text
//! in_tail_files  id, name, offset, inode, created, rotated      since 1.x
//!                and offset_marker, offset_marker_size          since 5.0; not needed here
//! ```
//! `name` is the path as its glob found it, often a link; of a rotated file it is the real path. `offset` is the next byte to
//! read. An inode may have several rows: the one with the highest id counts. The database is copied first and never written.
//!
//! ```text
//! in_systemd_cursor  cursor, updated    one row: the last entry of the journal that was read, as `journalctl --show-cursor` writes it
//! ```

use rusqlite::OptionalExtension;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::place::{self, APPLICATION_ID};
use super::snapshot::Snapshot;
use super::{State, StateError};

/// One of the files that Fluent Bit followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FluentBitFile {
    /// As its glob found it; of a rotated file the real path.
    pub name: PathBuf,
    /// The next byte that it would have read.
    pub offset: u64,
    /// The file's inode number.
    pub inode: u64,
}

/// What a database of Fluent Bit's holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FluentBitPositions {
    /// The newest first.
    pub files: Vec<FluentBitFile>,
    /// When the database was last written: a file that was made later cannot be in it.
    pub written: Option<SystemTime>,
}

impl State {
    /// Reads the database at `path` if Fluent Bit wrote it; `None` when there is none, when it is empty, or ours. The copy is made in
    /// the state folder, or else in one of the system's folders for such files.
    ///
    /// # Errors
    /// It cannot be read or is damaged; [`StateError::NotOurs`] when it belongs to a third program.
    pub fn fluent_bit(&self, path: &Path) -> Result<Option<FluentBitPositions>, StateError> {
        let Some(scratch) = self.scratch_for(path)? else { return Ok(None) };
        let written = place::last_written(path);
        Ok(Some(FluentBitPositions { files: read(path, &paths(&scratch))?, written }))
    }

    /// The cursor of the journal in the database at `path`, if Fluent Bit wrote one; as [`State::fluent_bit`] otherwise.
    ///
    /// # Errors
    /// As those of [`State::fluent_bit`].
    pub fn fluent_bit_cursor(&self, path: &Path) -> Result<Option<String>, StateError> {
        let Some(scratch) = self.scratch_for(path)? else { return Ok(None) };
        let copy = Snapshot::take(path, &paths(&scratch))?;
        if !copy.has_table("in_systemd_cursor")? {
            let whose = "a database of another program than Fluent Bit (it has no table in_systemd_cursor)".to_owned();
            return Err(StateError::NotOurs { path: path.into(), whose });
        }
        cursor(&copy)
    }

    /// Where a copy of a database can be made; `None` when there is none of another program's.
    fn scratch_for(&self, path: &Path) -> Result<Option<Vec<PathBuf>>, StateError> {
        let folder = self.keeper().folder();
        let scratch = folder.into_iter().chain(SCRATCH.map(PathBuf::from)).collect();
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Ok(None),
            Ok(metadata) if metadata.len() == 0 && !place::has_leftovers(path) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(_) | Err(_) => {}
        }
        let is_own = place::marks(path)?.0 == APPLICATION_ID;
        Ok((!is_own).then_some(scratch))
    }
}

fn paths(folders: &[PathBuf]) -> Vec<&Path> {
    folders.iter().map(PathBuf::as_path).collect()
}

/// Where a copy can be made, in this order, when the state folder cannot take it.
const SCRATCH: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

fn cursor(copy: &Snapshot) -> Result<Option<String>, StateError> {
    let select = "SELECT cursor FROM in_systemd_cursor ORDER BY rowid DESC LIMIT 1";
    let found = copy.connection.query_row(select, [], |row| row.get::<_, Option<String>>(0)).optional();
    Ok(found.map_err(|e| copy.error(&e))?.flatten())
}

/// What a database holds: the files of one of `tail`, the cursor of one of `systemd`.
pub(super) fn read_all(path: &Path, scratch: &[&Path]) -> Result<(Vec<FluentBitFile>, Option<String>), StateError> {
    let copy = Snapshot::take(path, scratch)?;
    if !copy.has_table("in_systemd_cursor")? {
        return Ok((files(&copy, path)?, None));
    }
    let of_tail = if copy.has_table("in_tail_files")? { files(&copy, path)? } else { Vec::new() };
    Ok((of_tail, cursor(&copy)?))
}

/// All rows, the newest first.
fn read(path: &Path, scratch: &[&Path]) -> Result<Vec<FluentBitFile>, StateError> {
    files(&Snapshot::take(path, scratch)?, path)
}

fn files(copy: &Snapshot, path: &Path) -> Result<Vec<FluentBitFile>, StateError> {
    if !copy.has_table("in_tail_files")? {
        let whose = "a database of another program than Fluent Bit (it has no table in_tail_files)".to_owned();
        return Err(StateError::NotOurs { path: path.into(), whose });
    }
    let select = "SELECT name, offset, inode FROM in_tail_files ORDER BY id DESC";
    let read = || -> rusqlite::Result<Vec<FluentBitFile>> {
        let mut statement = copy.connection.prepare(select)?;
        let files = statement.query_map([], |row| {
            // Fluent Bit stores whatever bytes the path has as text.
            let name = row.get_ref(0)?.as_bytes().unwrap_or_default().to_vec();
            let number = |at: usize| row.get::<_, Option<i64>>(at).map(Option::unwrap_or_default);
            // Inodes are stored with their bits; an offset below zero is none.
            let (offset, inode) = (number(1)?.max(0).cast_unsigned(), number(2)?.cast_unsigned());
            Ok(FluentBitFile { name: OsString::from_vec(name).into(), offset, inode })
        })?;
        files.collect()
    };
    read().map_err(|e| copy.error(&e))
}
