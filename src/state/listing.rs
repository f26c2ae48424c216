//! What a database of positions holds, drave's own or Fluent Bit's, for people to look at: read from a copy, so that it can be
//! looked at while its agent runs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::database::Database;
use super::place::{self, APPLICATION_ID};
use super::{Fingerprint, StateError, fluent_bit};

/// A file and how far it is settled, or read by Fluent Bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The input's name in the database; Fluent Bit's has none.
    pub input: Option<String>,
    /// The file's path.
    pub path: PathBuf,
    /// The file's inode number.
    pub inode: u64,
    /// The file's beginning; not in Fluent Bit's.
    pub fingerprint: Option<Fingerprint>,
    /// Every byte before it is settled, but for those of `open`.
    pub offset: u64,
    /// How large the file is now; `None` when no file of this inode has this path.
    pub size: Option<u64>,
    /// Byte ranges `[start, end)` of pieces of records still open.
    pub open: Vec<(u64, u64)>,
}

impl Listed {
    /// Bytes not settled yet; `None` when the file is gone. A file that was truncated has all of its bytes to be read.
    pub fn lag(&self) -> Option<u64> {
        self.size.map(|size| size.checked_sub(self.offset).unwrap_or(size))
    }
}

/// How far a file of the journal is settled, or the whole journal read by Fluent Bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCursor {
    /// The input's name in the database; Fluent Bit's has none.
    pub input: Option<String>,
    /// The id of the file, in its header, 32 hexadecimal digits; Fluent Bit keeps one cursor for all.
    pub file: Option<String>,
    /// Of the last entry, as `journalctl --after-cursor` takes it.
    pub cursor: String,
}

/// All positions of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Of files.
    pub files: Vec<Listed>,
    /// Of journals.
    pub cursors: Vec<ListedCursor>,
}

/// The positions in `path`: a state folder, drave's database, or one of Fluent Bit's. It is copied into `scratch` and not written.
///
/// # Errors
/// It is not there, cannot be read, is damaged or of another program.
pub fn list(path: &Path, scratch: &Path) -> Result<Listing, StateError> {
    let file = if path.is_dir() { in_folder(path)? } else { path.to_path_buf() };
    if place::marks(&file)?.0 == APPLICATION_ID { list_own(&file, scratch) } else { list_fluent_bit(&file, scratch) }
}

fn in_folder(folder: &Path) -> Result<PathBuf, StateError> {
    let is_own = |path: &PathBuf| place::check_header(path).is_ok();
    let mut candidates = place::candidates(folder).into_iter();
    candidates.find(is_own).ok_or_else(|| StateError::Unavailable {
        path: folder.into(),
        cause: "there is no drave.db in this folder".into(),
    })
}

fn list_own(path: &Path, scratch: &Path) -> Result<Listing, StateError> {
    let (rows, cursors) = Database::read_copy(path, scratch)?;
    let listed = |(input, position): (String, super::Position)| Listed {
        input: Some(input),
        inode: position.inode,
        fingerprint: Some(position.fingerprint),
        offset: position.settled,
        size: size_of(&position.path, position.inode),
        open: position.open,
        path: position.path,
    };
    let of_journal = |(input, file, cursor)| ListedCursor { input: Some(input), file: Some(file), cursor };
    let cursors = cursors.into_iter().map(of_journal).collect();
    Ok(Listing { files: rows.into_iter().map(listed).collect(), cursors })
}

fn list_fluent_bit(path: &Path, scratch: &Path) -> Result<Listing, StateError> {
    let (mut files, cursor) = fluent_bit::read_all(path, &[scratch])?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let listed = |file: fluent_bit::FluentBitFile| Listed {
        input: None,
        inode: file.inode,
        fingerprint: None,
        offset: file.offset,
        size: size_of(&file.name, file.inode),
        open: Vec::new(),
        path: file.name,
    };
    let of_journal = |cursor| ListedCursor { input: None, file: None, cursor };
    Ok(Listing {
        files: files.into_iter().map(listed).collect(),
        cursors: cursor.into_iter().map(of_journal).collect(),
    })
}

fn size_of(path: &Path, inode: u64) -> Option<u64> {
    fs::metadata(path).ok().filter(|file| file.ino() == inode).map(|file| file.len())
}
