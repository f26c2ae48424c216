//! The header of a file: what it is, how it is written, and where its first objects are.

use super::{Trouble, u32_at, u64_at};

const SIGNATURE: &[u8; 8] = b"LPKSHHRH";
/// Up to `n_data`, which was the first field to be added later.
const SIZE_MIN: u64 = 208;
/// What of it is read.
pub(super) const SIZE_READ: usize = 208;

const COMPRESSED_XZ: u32 = 1;
const COMPRESSED_LZ4: u32 = 1 << 1;
const KEYED_HASH: u32 = 1 << 2;
const COMPRESSED_ZSTD: u32 = 1 << 3;
const COMPACT: u32 = 1 << 4;
const KNOWN: u32 = COMPRESSED_XZ | COMPRESSED_LZ4 | KEYED_HASH | COMPRESSED_ZSTD | COMPACT;

const STATE_ARCHIVED: u8 = 2;

/// 128 random bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub [u8; 16]);

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl Id {
    /// Of 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(text, 16).ok())??;
        Some(Self(number.to_be_bytes()))
    }
}

/// The header, as it was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Hashes are keyed with `file_id`.
    pub keyed: bool,
    /// Offsets in entries and arrays have 32 bits.
    pub compact: bool,
    /// It was rotated: nothing will be written to it any more.
    pub archived: bool,
    /// Another one for each file.
    pub file_id: Id,
    /// Of the machine that wrote it.
    pub machine_id: Id,
    /// The boot of the last entry.
    pub tail_boot_id: Id,
    /// What numbers its entries: files of one journald have the same.
    pub seqnum_id: Id,
    /// In bytes.
    pub size: u64,
    /// Where the cells of the hash table over all fields begin.
    pub data_hash_table_offset: u64,
    /// In bytes.
    pub data_hash_table_size: u64,
    /// The last object: nothing behind it counts.
    pub tail_object_offset: u64,
    /// How many entries there are.
    pub entries: u64,
    /// Number of the last entry.
    pub tail_seqnum: u64,
    /// Number of the first entry.
    pub head_seqnum: u64,
    /// The first array of all entries; 0 while there is none.
    pub entry_array_offset: u64,
    /// Time of the first entry, in microseconds.
    pub head_realtime: u64,
    /// Time of the last entry, in microseconds.
    pub tail_realtime: u64,
    /// Time of the last entry since its boot, in microseconds.
    pub tail_monotonic: u64,
}

impl Header {
    /// Of the first bytes of a file.
    pub(super) fn parse(bytes: &[u8], file_len: u64) -> Result<Self, Trouble> {
        if bytes.len() < SIZE_READ {
            return Err(Trouble::Short);
        }
        if !bytes.starts_with(SIGNATURE) {
            return Err(Trouble::Damaged("it does not begin as a journal file"));
        }
        let flags = u32_at(bytes, 12);
        if flags & !KNOWN != 0 {
            return Err(Trouble::Unknown(flags & !KNOWN));
        }
        let id = |at: usize| Id(bytes[at..at + 16].try_into().unwrap_or_default());
        let word = |at| u64_at(bytes, at);
        let header = Self {
            keyed: flags & KEYED_HASH != 0,
            compact: flags & COMPACT != 0,
            archived: bytes[16] == STATE_ARCHIVED,
            file_id: id(24),
            machine_id: id(40),
            tail_boot_id: id(56),
            seqnum_id: id(72),
            size: word(88),
            data_hash_table_offset: word(104),
            data_hash_table_size: word(112),
            tail_object_offset: word(136),
            entries: word(152),
            tail_seqnum: word(160),
            head_seqnum: word(168),
            entry_array_offset: word(176),
            head_realtime: word(184),
            tail_realtime: word(192),
            tail_monotonic: word(200),
        };
        let is_sound = header.size >= SIZE_MIN && header.size.is_multiple_of(8) && header.size <= file_len;
        if is_sound { Ok(header) } else { Err(Trouble::Damaged("its header has an impossible size")) }
    }
}
