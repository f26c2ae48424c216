//! One frame: encoded pieces of one key, as they were made, with what is needed to send and to count them.
//!
//! ```text
//!  0 magic      8      | 20 sequence     u64 | 48 records      u32 | then, without a gap:
//!  8 version    u8     | 28 time, ms     u64 | 52 source bytes u64 |   meta  numbers and texts (wire.rs):
//!  9 flags      u8     | 36 meta length  u32 | 60 body CRC32C  u32 |         [output, reason]  with flag 2
//! 10 zero       u16    | 40 data length  u32 | 64 head CRC32C  u32 |         key
//! 12 salt       u64    | 44 bytes length u32 |                     |         n, n × (input, source, pieces)
//!                                                                  |         n, n × (length, source bytes)
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
const LETTER: u8 = 2;

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

/// What makes a frame a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label<'a> {
    pub(super) output: &'a str,
    pub(super) reason: &'a str,
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
    pub(super) label: Option<Label<'a>>,
    key: &'a str,
    parts: Vec<Part>,
    pieces: Vec<Piece>,
}

impl Meta<'_> {
    pub(super) fn totals(&self) -> Totals {
        totals(&self.parts, &self.pieces)
    }
}

/// Writes a frame into `out`, in place of what was in it. It is whole once its head is put there: [`Head::stamp`].
pub(super) fn encode(out: &mut Vec<u8>, draft: &Draft<'_>, label: Option<Label<'_>>) -> Result<Head, SpoolError> {
    check(draft)?;
    out.clear();
    out.resize(HEAD_BYTES, 0);
    push_meta(out, draft, label);
    let data_at = out.len();
    if data_at - HEAD_BYTES > META_BYTES_MAX {
        return Err(SpoolError::TooLarge);
    }
    let packed = push_data(out, draft.bytes);
    Ok(Head {
        flags: if packed { SNAPPY } else { 0 } | if label.is_some() { LETTER } else { 0 },
        salt: 0,
        sequence: 0,
        time_ms: 0,
        meta_len: (data_at - HEAD_BYTES) as u32,
        data_len: (out.len() - data_at) as u32,
        bytes_len: draft.bytes.len() as u32,
        records: draft.pieces.len() as u32,
        source_bytes: draft.pieces.iter().map(|piece| u64::from(piece.source_bytes)).sum(),
        body_crc: crc32c::crc32c(&out[HEAD_BYTES..]),
    })
}

fn check(draft: &Draft<'_>) -> Result<(), SpoolError> {
    if draft.bytes.len() > FRAME_BYTES_MAX || draft.pieces.len() > FRAME_PIECES_MAX {
        return Err(SpoolError::TooLarge);
    }
    let last = draft.pieces.last().map_or(0, |piece| piece.end as usize);
    let sound = last == draft.bytes.len() && draft.pieces.is_sorted_by_key(|piece| piece.end);
    if sound { Ok(()) } else { Err(SpoolError::Unsound) }
}

fn push_meta(out: &mut Vec<u8>, draft: &Draft<'_>, label: Option<Label<'_>>) {
    if let Some(label) = label {
        push_text(out, label.output);
        push_text(out, label.reason);
    }
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

/// Appends the bytes, smaller if that is possible.
fn push_data(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let at = out.len();
    out.resize(at + snap::raw::max_compress_len(bytes.len()), 0);
    match snap::raw::Encoder::new().compress(bytes, &mut out[at..]) {
        Ok(packed) if packed < bytes.len() => {
            out.truncate(at + packed);
            true
        }
        _ => {
            out.truncate(at);
            out.extend_from_slice(bytes);
            false
        }
    }
}

impl Head {
    /// Puts the head into the frame that it was encoded with.
    pub(super) fn stamp(self, salt: u64, sequence: u64, time_ms: u64, frame: &mut [u8]) {
        let head = Head { salt, sequence, time_ms, ..self };
        frame[..HEAD_BYTES].copy_from_slice(&head.to_bytes());
    }

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
        if magic != MAGIC || version != VERSION || flags & !(SNAPPY | LETTER) != 0 {
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
        let letter = self.flags & LETTER != 0;
        let label = if letter { Some(Label { output: rest.text()?, reason: rest.text()? }) } else { None };
        let key = rest.text()?;
        let parts = take_parts(&mut rest)?;
        let pieces = self.take_pieces(&mut rest)?;
        Some(Meta { label, key, parts, pieces })
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
