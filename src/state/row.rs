//! A stored row and its checksum.
//!
//! SQLite keeps no checksums: a bit that flips in `settled` would skip logs without a word. So every row carries the xxh3-64 of
//! its other columns, and a row that does not agree with it sends its file again from the beginning.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::{Fingerprint, Position};

/// What a row is found by. Paths compare as bytes: `a//b` and `a/b` are the same to `Path`, not to the database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) input: String,
    pub(super) path: Vec<u8>,
    pub(super) inode: u64,
}

impl Key {
    pub(super) fn new(input: String, path: &Path, inode: u64) -> Key {
        Key { input, path: path.as_os_str().as_bytes().to_vec(), inode }
    }

    /// Sorts before every key of this input.
    pub(super) fn first(input: &str) -> Key {
        Key { input: input.to_owned(), path: Vec::new(), inode: 0 }
    }
}

/// What is kept of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) position: Position,
    /// When it was last put, in seconds of drave's own running time: see `rows.rs`.
    pub(super) touched: u64,
}

impl Row {
    /// Of the row as stored under `input`.
    pub(super) fn checksum(&self, input: &str) -> u64 {
        let position = &self.position;
        let path = position.path.as_os_str().as_bytes();
        let mut bytes = Vec::with_capacity(80 + input.len() + path.len() + 16 * position.open.len());
        let lengths = [input.len() as u64, path.len() as u64];
        let numbers = [
            position.device,
            position.inode,
            u64::from(position.fingerprint.len),
            position.fingerprint.hash,
            position.settled,
            position.size,
            u64::from(position.finished),
            self.touched,
        ];
        for number in lengths.iter().chain(&numbers) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(input.as_bytes());
        bytes.extend_from_slice(path);
        bytes.extend_from_slice(&ranges_to_bytes(&position.open));
        xxh3_64(&bytes)
    }

    /// What is left of a row that cannot be trusted: the file, to be read from its beginning.
    pub(super) fn begin_again(mut self) -> Row {
        let position = &mut self.position;
        position.fingerprint = Fingerprint::default();
        position.settled = 0;
        position.open.clear();
        position.finished = false;
        self
    }

    /// Reads the columns of `database.rs`'s SELECT. `Ok((_, _, false))` is a row to distrust.
    pub(super) fn read(columns: &rusqlite::Row<'_>) -> rusqlite::Result<(Key, Row, bool)> {
        let number = |at: usize| columns.get::<_, i64>(at).map(i64::cast_unsigned);
        let input: String = columns.get(0)?;
        let (ranges, ranges_whole) = ranges_from_bytes(columns.get_ref(8)?.as_blob()?);
        let fingerprint = Fingerprint { len: u32::try_from(number(4)?).unwrap_or(u32::MAX), hash: number(5)? };
        let position = Position {
            path: PathBuf::from(OsString::from_vec(columns.get(1)?)),
            inode: number(2)?,
            device: number(3)?,
            fingerprint,
            settled: number(6)?,
            size: number(7)?,
            open: ranges,
            finished: number(9)? != 0,
        };
        let row = Row { position, touched: number(10)? };
        let sound = ranges_whole && row.position.is_sound() && row.checksum(&input) == number(11)?;
        Ok((Key::new(input, &row.position.path, row.position.inode), row, sound))
    }
}

/// Each range as two little-endian u64.
pub(super) fn ranges_to_bytes(ranges: &[(u64, u64)]) -> Vec<u8> {
    ranges.iter().flat_map(|&(start, end)| [start.to_le_bytes(), end.to_le_bytes()]).flatten().collect()
}

/// The ranges, and whether no byte was left over.
fn ranges_from_bytes(bytes: &[u8]) -> (Vec<(u64, u64)>, bool) {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    let pairs = bytes.chunks_exact(16);
    let whole = pairs.remainder().is_empty();
    (pairs.map(|pair| (word(&pair[..8]), word(&pair[8..]))).collect(), whole)
}
