//! Reads files of the systemd journal, without libsystemd, as <https://systemd.io/JOURNAL_FILE_FORMAT/> describes them.
//!
//! ```text
//! header │ hash tables │ DATA DATA FIELD ENTRY │ ENTRY_ARRAY │ DATA ENTRY │ …        all little-endian, aligned to 8 bytes
//!   │          │            ▲              │          │
//!   │          └─ index ────┘ KEY=value  ◀─┘ items    │
//!   └────────────────── chain of arrays ──────────────┘
//! ```
//! Plain and compact files, keyed and unkeyed hashes, xz, lz4 and zstd, sealed or not. Every offset and every size is checked before
//! it is used, and each field against its hash: what is damaged is an error, nothing is invented, and no chain is followed
//! backwards. A file may be written to meanwhile: what is not whole yet is an error now, and is there when it is read again.

mod array;
mod cursor;
mod data;
mod entry;
mod file;
mod hash;
mod header;
mod matching;
mod window;

use std::io;

pub use array::EntryList;
pub use cursor::Cursor;
pub use data::Data;
pub use entry::{Entry, Item};
pub use file::JournalFile;
pub use header::{Header, Id};
pub use matching::{Indexed, Matcher, Matches};
pub use window::Storage;

/// Why something of a file cannot be read.
#[derive(Debug)]
pub enum Trouble {
    /// It cannot be true of a journal.
    Damaged(&'static str),
    /// It lies behind the end of the file.
    Short,
    /// It needs a newer reader.
    Unknown(u32),
    /// The disk failed.
    Io(io::Error),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged(what) => f.write_str(what),
            Self::Short => f.write_str("it ends too early"),
            Self::Unknown(flags) => write!(f, "it uses features that this version does not know (flags {flags:#x})"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Little-endian words of a slice that is long enough.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// An entry with its fields, `KEY=value` each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Where it stands.
    pub cursor: Cursor,
    /// In the order of the file.
    pub fields: Vec<Vec<u8>>,
}

/// All entries of a file that are sound, and how many are not: for tests and fuzzing.
///
/// # Errors
/// It has no sound header.
pub fn read_all(storage: Box<dyn Storage>) -> Result<(Vec<Read>, u64), Trouble> {
    let mut file = JournalFile::open(storage)?;
    let mut list = EntryList::all();
    let (mut found, mut damaged) = (Vec::new(), 0);
    loop {
        match list.next(&mut file).and_then(|offset| offset.map(|o| read_one(&mut file, o)).transpose()) {
            Ok(Some(read)) => found.push(read),
            Ok(None) => return Ok((found, damaged)),
            Err(trouble @ Trouble::Io(_)) => return Err(trouble),
            Err(_) => damaged += 1,
        }
    }
}

fn read_one(file: &mut JournalFile, offset: u64) -> Result<Read, Trouble> {
    let mut items = Vec::new();
    let entry = file.entry(offset, &mut items)?;
    let (mut hashes, mut fields) = (Vec::new(), Vec::new());
    for item in &items {
        let mut payload = Vec::new();
        let data = file.data(*item, &mut payload)?;
        hashes.extend(data.xor);
        fields.push(payload);
    }
    file.check_entry(&entry, items.len(), &hashes)?;
    Ok(Read { cursor: file.cursor(&entry), fields })
}
