//! An entry: when, and which fields.
//!
//! ```text
//! 16      24        32         40       56        64
//! │seqnum │realtime │monotonic │boot_id │xor_hash │ items: offset u64, hash u64   or, in compact files: offset u32
//! ```

use super::file::OBJECT_ENTRY;
use super::{Id, JournalFile, Trouble, u32_at, u64_at};

const HEAD: usize = 64;
/// Bytes of a whole entry. journald takes 1024 fields.
const SIZE_MAX: u64 = 256 << 10;
/// Times in microseconds have at most 55 bits.
const TIME_MAX: u64 = 1 << 55;

/// An entry without its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands in the file.
    pub offset: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Its number.
    pub seqnum: u64,
    /// Microseconds since 1970.
    pub realtime: u64,
    /// Microseconds since the boot.
    pub monotonic: u64,
    /// Which boot.
    pub boot_id: Id,
    /// XOR of the hashes of its fields.
    pub xor_hash: u64,
}

/// A field of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Where its object stands.
    pub offset: u64,
    /// The hash that the object must have; compact files do not say.
    pub hash: Option<u64>,
}

impl JournalFile {
    /// The entry at an offset; its fields go to the end of `items`.
    ///
    /// # Errors
    /// There is no sound entry.
    pub fn entry(&mut self, offset: u64, items: &mut Vec<Item>) -> Result<Entry, Trouble> {
        let object = self.object(offset, OBJECT_ENTRY, HEAD as u64)?;
        let item_bytes = if self.header().compact { 4 } else { 16 };
        let of_items = object.size - HEAD as u64;
        if object.size > SIZE_MAX || of_items == 0 || !of_items.is_multiple_of(item_bytes) {
            return Err(Trouble::Damaged("an entry has an impossible size"));
        }
        let bytes = self.entry_bytes(offset, object.size as usize)?;
        let entry = Entry {
            offset,
            size: object.size,
            seqnum: u64_at(bytes, 16),
            realtime: u64_at(bytes, 24),
            monotonic: u64_at(bytes, 32),
            boot_id: Id(bytes[40..56].try_into().unwrap_or_default()),
            xor_hash: u64_at(bytes, 56),
        };
        if entry.seqnum == 0 || entry.realtime == 0 || entry.realtime >= TIME_MAX || entry.monotonic >= TIME_MAX {
            return Err(Trouble::Damaged("an entry has no number or no time"));
        }
        let list = bytes[HEAD..].chunks_exact(item_bytes as usize);
        if item_bytes == 4 {
            items.extend(list.map(|item| Item { offset: u64::from(u32_at(item, 0)), hash: None }));
        } else {
            items.extend(list.map(|item| Item { offset: u64_at(item, 0), hash: Some(u64_at(item, 8)) }));
        }
        Ok(entry)
    }

    /// Are these the fields that the entry was written with? `hashes` are those that [`Data::xor`](super::Data::xor) gave.
    ///
    /// # Errors
    /// They are not.
    pub fn check_entry(&self, entry: &Entry, items: usize, hashes: &[u64]) -> Result<(), Trouble> {
        if hashes.len() < items {
            return Ok(());
        }
        let difference = hashes.iter().fold(entry.xor_hash, |all, hash| all ^ hash);
        // A field that was given twice is in the XOR twice and in the list once.
        let is_given_twice = || {
            let pair = |(at, one): (usize, &u64)| *one == difference || hashes[at + 1..].contains(&(one ^ difference));
            hashes.iter().enumerate().any(pair)
        };
        if difference == 0 || is_given_twice() { Ok(()) } else { Err(Trouble::Damaged("an entry has other fields")) }
    }
}
