//! One frame: encoded pieces of one key, as they were made, with what is needed to send and to count them.
//!
//! ```text
//!  0 magic      8      | 20 sequence     u64 | 48 records      u32 | then, without a gap:
//!  8 version    u8     | 28 time, ms     u64 | 52 source bytes u64 |   meta  numbers and texts (wire.rs):
//!  9 flags      u8     | 36 meta length  u32 | 60 body CRC32C  u32 |         key
//! 10 zero       u16    | 40 data length  u32 | 64 head CRC32C  u32 |         n, n × (input, source, pieces)
//! 12 salt       u64    | 44 bytes length u32 |                     |         n, n × (length, source bytes)
//!                                                                  |   data  the pieces' bytes; Snappy block with flag 1
//! ```
//! Fixed numbers are little-endian. The head's checksum covers the 64 bytes before it, the body's covers meta and data. The salt
//! is the segment's: a frame that stands in somebody's log text, or in a block that the disk used before, is none of its frames.
//! What a piece gets later (a group, a time) becomes a column behind the others in a version 2.
//!
//! Snappy because draining and spooling have to be cheaper than the sending: of the formats that need no C it was the quickest on log
//! texts (750 MB/s here, SNAPPY 470 to 640), and one is as small as the other (a quarter).

use std::sync::Arc;

use super::SpoolError;
use super::totals::{Amount, Totals};
use super::wire::{Taker, push_number, push_text};

/// The most bytes that the pieces of one frame have.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// The most pieces of one frame.
pub const FRAME_PIECES_MAX: usize = 1 << 18;
/// What is not the pieces' bytes: key, parts, lengths.
const META_BYTES_MAX: usize = 8 << 20;
/// The fixed part.
pub(super) const HEAD_BYTES: usize = 68;
/// What a frame begins with, and what is searched for behind a damaged one.
pub(super) const MAGIC: [u8; 8] = [0xf5, b'd', b'r', b'v', 0x1e, 0x9c, 0xc3, b'\n'];

const VERSION: u8 = 1;
const SNAPPY: u8 = 1;

/// Bytes of a number at most, as `wire.rs` writes it; lengths and source bytes are u32.
const NUMBER_BYTES_MAX: usize = 5;

// A frame's length is two u32 in its head, and its pieces end at a u32.
const _: () = assert!(FRAME_BYTES_MAX + META_BYTES_MAX + HEAD_BYTES < u32::MAX as usize);
// Half of meta is enough for the lengths of all pieces, so that the other half is left for names.
const _: () = assert!(FRAME_PIECES_MAX * 2 * NUMBER_BYTES_MAX <= META_BYTES_MAX / 2);

/// One encoded record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Behind its last byte in the frame's bytes.
    pub end: u32,
    /// Bytes of the source that it stands for.
    pub source_bytes: u32,
}

/// Where some pieces, one behind the other, come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The input's name, for the ledger.
    pub input: Arc<str>,
    /// The source's tag or path, for people.
    pub source: Arc<str>,
    /// How many pieces.
    pub pieces: u32,
}

/// A frame to be written: borrowed from the request.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// What must not share a request.
    pub key: &'a str,
    /// The first pieces are of the first part, and so on. Pieces behind the last part count for no input.
    pub parts: &'a [Part],
    /// Where each piece ends, ascending.
    pub pieces: &'a [Piece],
    /// The bytes of all pieces.
    pub bytes: &'a [u8],
}

/// A frame that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// As in [`Draft`].
    pub key: String,
    /// As in [`Draft`].
    pub parts: Vec<Part>,
    /// As in [`Draft`].
    pub pieces: Vec<Piece>,
    /// As in [`Draft`].
    pub bytes: Vec<u8>,
}

impl Frame {
    /// The same, to be written.
    pub fn draft(&self) -> Draft<'_> {
        Draft { key: &self.key, parts: &self.parts, pieces: &self.pieces, bytes: &self.bytes }
    }

    /// What it counts for.
    pub fn totals(&self) -> Totals {
        totals(&self.parts, &self.pieces)
    }
}

/// The fixed part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    flags: u8,
    pub(super) salt: u64,
    pub(super) sequence: u64,
    /// When it was appended, in milliseconds since 1970.
    pub(super) time_ms: u64,
    meta_len: u32,
    data_len: u32,
    bytes_len: u32,
    pub(super) records: u32,
    pub(super) source_bytes: u64,
    body_crc: u32,
}

/// Everything of a frame but its pieces' bytes.
#[derive(Debug)]
pub(super) struct Meta<'a> {
    key: &'a str,
    parts: Vec<Part>,
    pieces: Vec<Piece>,
}

impl Meta<'_> {
    pub(super) fn totals(&self) -> Totals {
        totals(&self.parts, &self.pieces)
    }
}

/// A buffer that one huge frame needed is not kept.
const KEPT_BYTES_MAX: usize = 6 << 20;

/// Writes frames, one in place of the other.
pub(super) struct Encoder {
    meta: Vec<u8>,
    /// It does not shrink between frames: what is filled with zeros again and again costs as much as a tenth of the compressing.
    frame: Vec<u8>,
    len: usize,
    snappy: snap::raw::Encoder,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self { meta: Vec::new(), frame: Vec::new(), len: 0, snappy: snap::raw::Encoder::new() }
    }

    /// Writes a frame. It is whole once its head is put there: [`Encoder::stamp`].
    pub(super) fn encode(&mut self, draft: &Draft<'_>) -> Result<Head, SpoolError> {
        check(draft)?;
        self.meta.clear();
        push_meta(&mut self.meta, draft);
        if self.meta.len() > META_BYTES_MAX {
            return Err(SpoolError::TooLarge);
        }
        let data_at = HEAD_BYTES + self.meta.len();
        let room = data_at + snap::raw::max_compress_len(draft.bytes.len());
        if self.frame.len() < room || self.frame.len() > KEPT_BYTES_MAX {
            self.frame.clear();
            self.frame.shrink_to(room.max(KEPT_BYTES_MAX));
            self.frame.resize(room, 0);
        }
        self.frame[HEAD_BYTES..data_at].copy_from_slice(&self.meta);
        let (data_len, packed) = self.put_data(data_at, draft.bytes);
        self.len = data_at + data_len;
        Ok(Head {
            flags: if packed { SNAPPY } else { 0 },
            salt: 0,
            sequence: 0,
            time_ms: 0,
            meta_len: self.meta.len() as u32,
            data_len: data_len as u32,
            bytes_len: draft.bytes.len() as u32,
            records: draft.pieces.len() as u32,
            source_bytes: draft.pieces.iter().map(|piece| u64::from(piece.source_bytes)).sum(),
            body_crc: crc32c::crc32c(&self.frame[HEAD_BYTES..self.len]),
        })
    }

    /// Puts the bytes there, smaller if that is possible; how many they are then.
    fn put_data(&mut self, at: usize, bytes: &[u8]) -> (usize, bool) {
        match self.snappy.compress(bytes, &mut self.frame[at..]) {
            Ok(len) if len < bytes.len() => (len, true),
            _ => {
                self.frame[at..at + bytes.len()].copy_from_slice(bytes);
                (bytes.len(), false)
            }
        }
    }

    /// Puts the head of the frame there.
    pub(super) fn stamp(&mut self, head: Head, salt: u64, sequence: u64, time_ms: u64) {
        let head = Head { salt, sequence, time_ms, ..head };
        self.frame[..HEAD_BYTES].copy_from_slice(&head.to_bytes());
    }

    /// The frame.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.frame[..self.len]
    }
}

fn check(draft: &Draft<'_>) -> Result<(), SpoolError> {
    if draft.bytes.len() > FRAME_BYTES_MAX || draft.pieces.len() > FRAME_PIECES_MAX {
        return Err(SpoolError::TooLarge);
    }
    let last = draft.pieces.last().map_or(0, |piece| piece.end as usize);
    let sound = last == draft.bytes.len() && draft.pieces.is_sorted_by_key(|piece| piece.end);
    if sound { Ok(()) } else { Err(SpoolError::Unsound) }
}

fn push_meta(out: &mut Vec<u8>, draft: &Draft<'_>) {
    push_text(out, draft.key);
    push_number(out, draft.parts.len() as u64);
    for part in draft.parts {
        push_text(out, &part.input);
        push_text(out, &part.source);
        push_number(out, u64::from(part.pieces));
    }
    push_number(out, draft.pieces.len() as u64);
    let mut from = 0;
    for piece in draft.pieces {
        push_number(out, u64::from(piece.end - from));
        push_number(out, u64::from(piece.source_bytes));
        from = piece.end;
    }
}

impl Head {
    fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MAGIC);
        put(&[VERSION, self.flags, 0, 0]);
        for long in [self.salt, self.sequence, self.time_ms] {
            put(&long.to_le_bytes());
        }
        for word in [self.meta_len, self.data_len, self.bytes_len, self.records] {
            put(&word.to_le_bytes());
        }
        put(&self.source_bytes.to_le_bytes());
        put(&self.body_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEAD_BYTES - 4]);
        bytes[HEAD_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` for what is no head of ours.
    pub(super) fn read(bytes: &[u8; HEAD_BYTES]) -> Option<Head> {
        let mut rest = Taker(bytes);
        let (magic, [version, flags, _, _]) = (rest.array()?, rest.array()?);
        if magic != MAGIC || version != VERSION || flags & !SNAPPY != 0 {
            return None;
        }
        let head = Head {
            flags,
            salt: rest.long()?,
            sequence: rest.long()?,
            time_ms: rest.long()?,
            meta_len: rest.word()?,
            data_len: rest.word()?,
            bytes_len: rest.word()?,
            records: rest.word()?,
            source_bytes: rest.long()?,
            body_crc: rest.word()?,
        };
        let whole = rest.word()? == crc32c::crc32c(&bytes[..HEAD_BYTES - 4]);
        (whole && head.is_sound()).then_some(head)
    }

    /// What it counts for, as far as it is known without the body.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals { frames: 1, ..Totals::default() };
        totals.all = Amount { records: u64::from(self.records), bytes: self.source_bytes };
        totals
    }

    /// Within the limits, whatever the checksum says: these numbers become capacities.
    fn is_sound(&self) -> bool {
        self.meta_len as usize <= META_BYTES_MAX
            && self.bytes_len as usize <= FRAME_BYTES_MAX
            && self.data_len <= self.bytes_len
            && self.records as usize <= FRAME_PIECES_MAX
    }

    /// Bytes on disk behind the head.
    pub(super) fn body_len(&self) -> usize {
        self.meta_len as usize + self.data_len as usize
    }

    /// Is this body the one that was written?
    pub(super) fn is_whole(&self, body: &[u8]) -> bool {
        body.len() == self.body_len() && crc32c::crc32c(body) == self.body_crc
    }

    /// Key, parts and pieces, out of a whole body.
    pub(super) fn meta<'a>(&self, body: &'a [u8]) -> Option<Meta<'a>> {
        let mut rest = Taker(body.get(..self.meta_len as usize)?);
        let key = rest.text()?;
        let parts = take_parts(&mut rest)?;
        let pieces = self.take_pieces(&mut rest)?;
        Some(Meta { key, parts, pieces })
    }

    fn take_pieces(&self, rest: &mut Taker<'_>) -> Option<Vec<Piece>> {
        if rest.number()? != u64::from(self.records) {
            return None;
        }
        let mut pieces = Vec::with_capacity(self.records as usize);
        let mut end: u32 = 0;
        for _ in 0..self.records {
            end = end.checked_add(u32::try_from(rest.number()?).ok()?)?;
            pieces.push(Piece { end, source_bytes: u32::try_from(rest.number()?).ok()? });
        }
        (end == self.bytes_len && rest.0.is_empty()).then_some(pieces)
    }

    /// The whole frame, out of a whole body.
    pub(super) fn frame(&self, body: &[u8]) -> Option<Frame> {
        let meta = self.meta(body)?;
        let data = body.get(self.meta_len as usize..)?;
        let bytes = self.unpack(data)?;
        Some(Frame { key: meta.key.to_owned(), parts: meta.parts, pieces: meta.pieces, bytes })
    }

    fn unpack(&self, data: &[u8]) -> Option<Vec<u8>> {
        if self.flags & SNAPPY == 0 {
            return (data.len() == self.bytes_len as usize).then(|| data.to_vec());
        }
        let mut bytes = vec![0; self.bytes_len as usize];
        let len = snap::raw::Decoder::new().decompress(data, &mut bytes).ok()?;
        (len == bytes.len()).then_some(bytes)
    }
}

fn take_parts(rest: &mut Taker<'_>) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    for _ in 0..rest.number()? {
        let (input, source) = (rest.text()?.into(), rest.text()?.into());
        parts.push(Part { input, source, pieces: u32::try_from(rest.number()?).ok()? });
    }
    Some(parts)
}

/// What a frame of these counts for.
pub(super) fn totals(parts: &[Part], pieces: &[Piece]) -> Totals {
    let mut totals = Totals { frames: 1, ..Totals::default() };
    let mut rest = pieces;
    for part in parts {
        let (of_part, behind) = rest.split_at(rest.len().min(part.pieces as usize));
        totals.count(&part.input, amount(of_part));
        rest = behind;
    }
    if !rest.is_empty() {
        totals.count(&"".into(), amount(rest));
    }
    totals
}

fn amount(pieces: &[Piece]) -> Amount {
    let bytes = pieces.iter().map(|piece| u64::from(piece.source_bytes)).sum();
    Amount { records: pieces.len() as u64, bytes }
}
