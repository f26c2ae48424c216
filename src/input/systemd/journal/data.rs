//! A field: `KEY=value`, as it is or compressed.
//!
//! ```text
//! 1      16    24               32                40            48                  56         64, 72 in compact files
//! │flags │hash │next_hash_offset│next_field_offset│entry_offset │entry_array_offset │n_entries │ payload
//! ```

use super::file::{OBJECT_DATA, OBJECT_HEAD};
use super::{Item, JournalFile, Trouble, hash, u64_at};
use std::io::{self, Read};

/// Before the payload, in files that are not compact.
const HEAD: usize = 64;
const COMPACT_HEAD: usize = 72;

const XZ: u8 = 1;
const LZ4: u8 = 1 << 1;
const ZSTD: u8 = 1 << 2;

/// Of one field, as much as goes on.
pub(super) const FIELD_BYTES_MAX: usize = 1 << 20;
/// What a compressed field may become in memory.
const UNPACKED_BYTES_MAX: usize = 16 << 20;
/// The longest name of a field. journald takes 64 bytes.
const KEY_BYTES_MAX: usize = 256;
/// For the dictionary of xz; journald's has 1 MiB.
const XZ_KIB_MAX: u32 = 32 << 10;
/// The window of zstd, as a power of two: 16 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;
/// From here on a payload is read without a window.
const LARGE: usize = 64 << 10;

/// What is known of a field besides its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data {
    /// Bytes of the key; 0 where the text has no `=`.
    pub key_len: usize,
    /// What it adds to an entry's XOR; not known of a field that was cut.
    pub xor: Option<u64>,
    /// In how many entries it is, so far.
    pub entries: u64,
    /// It was longer than 1 MiB.
    pub cut: bool,
}

/// Keeps what is costly to make.
#[derive(Default)]
pub(super) struct Decompressor {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    packed: Vec<u8>,
    unpacked: Vec<u8>,
}

impl JournalFile {
    /// Appends the text of a field to `payload`, checked against its hash.
    ///
    /// # Errors
    /// It is damaged; nothing was appended then.
    pub fn data(&mut self, item: Item, payload: &mut Vec<u8>) -> Result<Data, Trouble> {
        let begin = payload.len();
        let data = self.read_data(item, payload);
        if data.is_err() {
            payload.truncate(begin);
        }
        data
    }

    fn read_data(&mut self, item: Item, payload: &mut Vec<u8>) -> Result<Data, Trouble> {
        let head = if self.header().compact { COMPACT_HEAD } else { HEAD };
        let object = self.object(item.offset, OBJECT_DATA, head as u64 + 1)?;
        let words = self.bytes(item.offset + OBJECT_HEAD as u64, HEAD - OBJECT_HEAD)?;
        let (hash, entries) = (u64_at(words, 0), u64_at(words, 40));
        if item.hash.is_some_and(|expected| expected != hash) {
            return Err(Trouble::Damaged("an entry names another field"));
        }
        let (at, len) = (item.offset + head as u64, object.size - head as u64);
        let begin = payload.len();
        let is_whole = match object.flags {
            0 => self.read_plain(at, len, payload)?,
            flags => self.read_packed(flags, at, len, payload)?,
        };
        let text = &payload[begin..];
        let (mut xor, mut cut) = (None, !is_whole);
        if is_whole {
            let jenkins = hash::jenkins(text);
            let own = if self.header().keyed { hash::keyed(&self.header().file_id.0, text) } else { jenkins };
            if own != hash {
                return Err(Trouble::Damaged("a field does not fit its hash"));
            }
            xor = Some(jenkins);
            cut = text.len() > FIELD_BYTES_MAX;
        }
        let name = &text[..text.len().min(KEY_BYTES_MAX + 1)];
        let key_len = memchr::memchr(b'=', name).unwrap_or(0);
        payload.truncate(begin + FIELD_BYTES_MAX.min(payload.len() - begin));
        Ok(Data { key_len, xor, entries, cut })
    }

    /// `true` when all of it was read.
    fn read_plain(&mut self, at: u64, len: u64, payload: &mut Vec<u8>) -> Result<bool, Trouble> {
        let wanted = len.min(FIELD_BYTES_MAX as u64 + 1) as usize;
        if wanted < LARGE {
            payload.extend_from_slice(self.bytes(at, wanted)?);
        } else {
            let begin = payload.len();
            payload.resize(begin + wanted, 0);
            if self.storage.read_at(&mut payload[begin..], at)? < wanted {
                return Err(Trouble::Short);
            }
        }
        Ok(wanted as u64 == len)
    }

    fn read_packed(&mut self, flags: u8, at: u64, len: u64, payload: &mut Vec<u8>) -> Result<bool, Trouble> {
        if len > UNPACKED_BYTES_MAX as u64 {
            return Err(Trouble::Damaged("a compressed field is too large"));
        }
        let mut packed = std::mem::take(&mut self.decompressor.packed);
        packed.clear();
        packed.resize(len as usize, 0);
        let read = self.storage.read_at(&mut packed, at)?;
        let is_whole = if read < packed.len() {
            Err(Trouble::Short)
        } else {
            match flags {
                ZSTD => self.decompressor.zstd(&packed, payload),
                LZ4 => self.decompressor.lz4(&packed, payload),
                XZ => xz(&packed, payload),
                _ => Err(Trouble::Damaged("a field is compressed in no known way")),
            }
        };
        self.decompressor.packed = packed;
        is_whole
    }
}

const NOT_PACKED: Trouble = Trouble::Damaged("a compressed field cannot be read");

impl Decompressor {
    fn zstd(&mut self, packed: &[u8], payload: &mut Vec<u8>) -> Result<bool, Trouble> {
        let size = zstd::bulk::Decompressor::upper_bound(packed).filter(|size| *size <= UNPACKED_BYTES_MAX);
        let Some(size) = size else {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(|_| NOT_PACKED)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|_| NOT_PACKED)?;
            return read_some(decoder, payload);
        };
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(zstd::bulk::Decompressor::new()?),
        };
        // The capacity is the limit.
        self.unpacked.clear();
        self.unpacked.reserve(size);
        zstd.decompress_to_buffer(packed, &mut self.unpacked).map_err(|_| NOT_PACKED)?;
        payload.extend_from_slice(&self.unpacked);
        Ok(true)
    }

    /// The size stands in front.
    fn lz4(&mut self, packed: &[u8], payload: &mut Vec<u8>) -> Result<bool, Trouble> {
        let size = u64_at(packed, 0);
        if packed.len() <= 8 || size > UNPACKED_BYTES_MAX as u64 {
            return Err(NOT_PACKED);
        }
        self.unpacked.clear();
        self.unpacked.resize(size as usize, 0);
        let written = lz4_flex::block::decompress_into(&packed[8..], &mut self.unpacked).map_err(|_| NOT_PACKED)?;
        payload.extend_from_slice(&self.unpacked[..written]);
        Ok(true)
    }
}

fn xz(packed: &[u8], payload: &mut Vec<u8>) -> Result<bool, Trouble> {
    read_some(lzma_rust2::XzReader::new_mem_limit(packed, false, XZ_KIB_MAX), payload)
}

/// As much as may be in memory; `true` when that is all.
fn read_some(reader: impl Read, payload: &mut Vec<u8>) -> Result<bool, Trouble> {
    let read: io::Result<usize> = reader.take(UNPACKED_BYTES_MAX as u64 + 1).read_to_end(payload);
    Ok(read.map_err(|_| NOT_PACKED)? <= UNPACKED_BYTES_MAX)
}
