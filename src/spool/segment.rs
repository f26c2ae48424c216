//! One file of the log: a header, then frames. Its name is the sequence number of its first frame, `00000000000000004711.seg`.
//!
//! ```text
//!  0 magic    8    | 16 salt             u64 | 40 totals length u32
//!  8 version  u32  | 24 first sequence   u64 | 44 totals of all that stands before it in the log
//! 12 CRC32C   u32  | 32 made, ms         u64 |  … CRC32C u32 of what stands from 16 on
//! ```
//! The first 16 bytes stay the same in every version: so a newer file is known from a damaged one. It is left alone.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::disk;
use super::totals::{TOTALS_BYTES_MAX, Totals};
use super::wire::Taker;

const MAGIC: [u8; 8] = [0xf5, b'd', b'r', b'v', 0x1d, b's', b'e', b'g'];
const VERSION: u32 = 1;
/// What stands before the totals.
const FIXED_BYTES: usize = 44;
/// The longest header.
const HEADER_BYTES_MAX: usize = FIXED_BYTES + TOTALS_BYTES_MAX + 4;

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) first: u64,
    pub(super) salt: u64,
    /// Milliseconds since 1970.
    pub(super) made_ms: u64,
    /// All that was appended before it, since the log began.
    pub(super) before: Totals,
    /// Where the frames begin.
    pub(super) len: u64,
}

/// What the beginning of a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Ours(Header),
    /// Its frames may be good all the same.
    Damaged,
    /// Of this later version.
    Newer(u32),
}

impl Header {
    /// Of a segment that begins now.
    pub(super) fn new(first: u64, before: Totals) -> Header {
        // Keys of the standard library's hash maps are random.
        let salt = RandomState::new().hash_one(first);
        Header { first, salt, made_ms: now_ms(), before, len: 0 }
    }

    /// As it stands in the file; sets [`Header::len`].
    pub(super) fn encode(&mut self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        for long in [self.salt, self.first, self.made_ms] {
            bytes.extend_from_slice(&long.to_le_bytes());
        }
        let mut totals = Vec::new();
        self.before.push_to(&mut totals);
        bytes.extend_from_slice(&(totals.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&totals);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes[16..]).to_le_bytes());
        self.len = bytes.len() as u64;
        bytes
    }
}

impl Kind {
    /// Reads the beginning of an open segment.
    pub(super) fn of(file: &File) -> io::Result<Kind> {
        let mut bytes = vec![0; HEADER_BYTES_MAX];
        let read = disk::read_at(file, &mut bytes, 0)?;
        Ok(Kind::read(&bytes[..read]))
    }

    pub(super) fn read(bytes: &[u8]) -> Kind {
        match version(bytes) {
            Some(VERSION) => header(bytes).map_or(Kind::Damaged, Kind::Ours),
            Some(newer) if newer > VERSION => Kind::Newer(newer),
            _ => Kind::Damaged,
        }
    }
}

fn version(bytes: &[u8]) -> Option<u32> {
    let mut rest = Taker(bytes);
    let (magic, version, crc) = (rest.array()?, rest.word()?, rest.word()?);
    (magic == MAGIC && crc == crc32c::crc32c(&bytes[..12])).then_some(version)
}

fn header(bytes: &[u8]) -> Option<Header> {
    let mut rest = Taker(bytes.get(16..)?);
    let (salt, first, made_ms, len) = (rest.long()?, rest.long()?, rest.long()?, rest.word()? as usize);
    let totals = rest.bytes(len)?;
    let end = FIXED_BYTES + len;
    if rest.word()? != crc32c::crc32c(&bytes[16..end]) {
        return None;
    }
    let before = Totals::take_from(&mut Taker(totals))?;
    Some(Header { first, salt, made_ms, before, len: (end + 4) as u64 })
}

/// Where the segment that begins with this sequence number is.
pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.seg"))
}

/// The sequence number in a file's name; `None` if the file is no segment.
pub(super) fn first(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}
