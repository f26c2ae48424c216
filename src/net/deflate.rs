//! deflate (RFC 1951) at its quickest level, for bodies that are there as a whole, or that are put together for it alone.
//!
//! Level 1 takes most of the CPU of an output that compresses. A library has to take any text in any pieces; here the input is one slice, so
//! there is no window to copy and to slide, and one pass is enough: the codes of a block come from what was counted in the
//! blocks before it. On log texts that is a fifth quicker than zlib's level 1, with a fifth fewer bytes. What is put together from pieces
//! goes through a buffer that stays in the processor's second cache.
//!
//! ```text
//! body:   | 16 KiB, fixed codes | 512 KiB | 512 KiB | … | nothing |      the first 16 KiB of each block are counted
//! search: at every second place, where the same seven bytes were last seen, if their hash still knows it; the first match is taken,
//!         and begins up to eight bytes before the place where it was found
//! ```

use std::ops::Range;

use wide::u8x16;

use super::huffman::{Code, Codes, Counts, END, MATCH_MAX, distance_symbol, length_symbol};

/// Bits of a hash: a table of 8 KiB leaves the processor's first cache to the text.
const HASH_BITS: u32 = 12;
/// A hash is of so many bytes: short matches cost as much time as long ones and gain little.
const HASHED_BYTES: u32 = 7;
/// The shortest match that is taken.
const MATCH_MIN: u32 = 5;
/// The farthest match.
const WINDOW: u16 = 32 << 10;
/// Every second place is looked at: what a match misses so at its beginning is found by looking back.
const STEP: usize = 2;
/// Behind so many bytes without a match, numbers and ids mostly, every third.
const STEP_FAR: usize = 3;
const FAR: usize = 8;
/// The first block ends here: its codes are not made for the text.
const FIRST_BLOCK: usize = 16 << 10;
/// How often codes are made anew: that costs as much as compressing 2 KiB.
const BLOCK: usize = 512 << 10;
/// So much of each block is counted.
const COUNTED: usize = 16 << 10;
/// Input between two looks at the room for bits.
const SEGMENT: usize = 8 << 10;
/// Room for the bits of a segment.
const ROOM: usize = 32 << 10;
/// What a look ahead reads behind a position.
const LOOK_AHEAD: usize = STRIDE + 8;
/// What can be pointed at by 16 bits: two windows, of which the second is being read.
const SPAN: usize = 1 << 16;
/// Bytes that are compared at once in a long match.
const STRIDE: usize = 32;
/// What is compressed at once of pieces, with the window before it.
const BUFFER: usize = 192 << 10;

/// A block's header: is it the last, and its codes.
const HEADER_BITS: u32 = 3;
const LAST: u32 = 1;
const FIXED: u32 = 1 << 1;
const DYNAMIC: u32 = 2 << 1;

// A literal has 14 bits at most, a match of five bytes 46; the last match may leave the segment, by no more than a view.
const _: () = assert!(SEGMENT * 2 + SPAN / 64 + 16 <= ROOM);
const _: () = assert!(SEGMENT <= FIRST_BLOCK && COUNTED <= BLOCK);
const _: () = assert!(WINDOW as usize + SEGMENT <= BUFFER);

/// A span of the input, with room for looks ahead from its last byte: an index of 16 bits needs no check.
type View = [u8; SPAN + 2 * LOOK_AHEAD];

/// A compressor; it keeps nothing from one body to the next but its memory, about 110 KiB, and 260 KiB more if it compressed pieces.
#[derive(Debug)]
pub(super) struct Deflate {
    /// Where each hash was last seen, from `base` on; 0 too for what lies before it.
    heads: Box<[u16; 1 << HASH_BITS]>,
    /// Where the view begins.
    base: usize,
    /// A view of the input's end, where it is shorter than a view.
    rest: Box<View>,
    rest_is_there: bool,
    bits: Bits,
    codes: Codes,
    counts: Counts,
    /// Of the block that is open: what it has, and what it may have at most.
    block_has: usize,
    block_max: usize,
    /// Pieces that are put together, with room for a view behind them; empty until it is needed.
    buffer: Vec<u8>,
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self {
            heads: Box::new([0; 1 << HASH_BITS]),
            base: 0,
            rest: Box::new([0; SPAN + 2 * LOOK_AHEAD]),
            rest_is_there: false,
            bits: Bits { waiting: 0, count: 0, written: 0, bytes: Box::new([0; ROOM]) },
            codes: Codes::fixed(),
            counts: Counts::new(),
            block_has: 0,
            block_max: 0,
            buffer: Vec::new(),
        }
    }

    /// Appends `input`, compressed. The same input gives the same bytes. `done` gets it in pieces that the processor still has at hand.
    pub(super) fn append(&mut self, input: &[u8], out: &mut Vec<u8>, mut done: impl FnMut(&[u8])) {
        self.begin();
        self.add(input, 0..input.len(), out, &mut done);
        self.end(out);
    }

    /// The same of pieces, one behind the other.
    pub(super) fn append_pieces<'p>(
        &mut self,
        pieces: impl Iterator<Item = &'p [u8]>,
        out: &mut Vec<u8>,
        mut done: impl FnMut(&[u8]),
    ) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(BUFFER + SPAN + 2 * LOOK_AHEAD, 0);
        self.begin();
        // What is compressed already, and what is there.
        let (mut from, mut len) = (0, 0);
        for mut piece in pieces {
            while piece.len() > BUFFER - len {
                let (part, rest) = piece.split_at(BUFFER - len);
                buffer[len..BUFFER].copy_from_slice(part);
                self.add(&buffer, from..BUFFER, out, &mut done);
                self.move_base(BUFFER - usize::from(WINDOW));
                buffer.copy_within(self.base..BUFFER, 0);
                self.base = 0;
                (from, len, piece) = (usize::from(WINDOW), usize::from(WINDOW), rest);
            }
            buffer[len..len + piece.len()].copy_from_slice(piece);
            len += piece.len();
        }
        self.add(&buffer, from..len, out, &mut done);
        self.end(out);
        self.buffer = buffer;
    }

    fn begin(&mut self) {
        self.heads.fill(0);
        (self.base, self.rest_is_there) = (0, false);
        self.codes = Codes::fixed();
        self.counts = Counts::new();
        self.bits.put(Code { bits: FIXED, len: HEADER_BITS });
        (self.block_has, self.block_max) = (0, FIRST_BLOCK);
    }

    /// Compresses a range of the input, which the window before it belongs to.
    fn add(&mut self, input: &[u8], range: Range<usize>, out: &mut Vec<u8>, done: &mut impl FnMut(&[u8])) {
        let mut at = range.start;
        while at < range.end {
            if self.block_has >= self.block_max {
                self.next_block();
            }
            let (start, counts) = (at, self.block_has < COUNTED);
            let stop = range.end.min(at + SEGMENT.min(self.block_max - self.block_has));
            self.slide(at);
            at = match counts {
                true => self.segment::<true>(input, at, stop, range.end),
                false => self.segment::<false>(input, at, stop, range.end),
            };
            self.block_has += at - start;
            self.bits.drain(out);
            done(&input[start..at]);
        }
    }

    fn next_block(&mut self) {
        self.bits.put(self.codes.literals[END]);
        self.bits.put(Code { bits: DYNAMIC, len: HEADER_BITS });
        self.codes = self.counts.codes(|code| self.bits.put(code));
        self.counts.age();
        (self.block_has, self.block_max) = (0, BLOCK);
    }

    /// Behind the last block stands one without text, since only that one is known to be the last.
    fn end(&mut self, out: &mut Vec<u8>) {
        self.bits.put(self.codes.literals[END]);
        self.bits.put(Code { bits: FIXED | LAST, len: HEADER_BITS });
        self.bits.put(Codes::fixed().literals[END]);
        self.bits.pad();
        self.bits.drain(out);
    }

    /// Moves the view, so that the segment from `at` on lies in it, and the window before it.
    fn slide(&mut self, at: usize) {
        if at + SEGMENT + LOOK_AHEAD <= self.base + SPAN {
            return;
        }
        self.move_base(at - usize::from(WINDOW));
    }

    fn move_base(&mut self, base: usize) {
        let by = (base - self.base).min(usize::from(u16::MAX)) as u16;
        self.heads.iter_mut().for_each(|head| *head = head.saturating_sub(by));
        (self.base, self.rest_is_there) = (base, false);
    }

    /// Writes the input from `at` to `stop`, or farther, but not over `end`, with the last match; where that is. The state is held
    /// in variables of its own, so that it stays in registers; inlined twice into its caller it would not (7 % slower).
    #[inline(never)]
    fn segment<const COUNT: bool>(&mut self, input: &[u8], at: usize, stop: usize, end: usize) -> usize {
        let Self { heads, base, rest, rest_is_there, bits, codes, counts, .. } = self;
        let behind = &input[*base..];
        let view = behind.first_chunk().unwrap_or_else(|| {
            if !*rest_is_there {
                rest[..behind.len()].copy_from_slice(behind);
                *rest_is_there = true;
            }
            &**rest
        });
        let (mut at, stop, end) = (at - *base, stop - *base, (end - *base).min(SPAN));
        let mut bits = bits.open();
        let safe = end.saturating_sub(LOOK_AHEAD).min(stop);
        while let Some(found) = search(heads, view, at, safe) {
            bits.literals::<COUNT>(&view[at..], found.at - at, codes, counts);
            let length = match_length(view, found.at, found.distance, end);
            bits.repeat::<COUNT>(length, found.distance, codes, counts);
            at = found.at + length;
            heads[hash(word(view, at - 1))] = (at - 1) as u16;
        }
        for byte in view.get(at..stop).unwrap_or_default() {
            bits.literal::<COUNT>(*byte, codes, counts);
        }
        bits.close();
        *base + at.max(stop)
    }
}

/// A match: from where, and how far back the same bytes are.
struct Found {
    at: usize,
    distance: usize,
}

/// The next match that begins between `from` and `safe`.
#[inline]
fn search(heads: &mut [u16; 1 << HASH_BITS], view: &View, from: usize, safe: usize) -> Option<Found> {
    let mut at = from;
    while at < safe {
        let here = word(view, at);
        let head = &mut heads[hash(here)];
        let seen = usize::from(*head);
        *head = at as u16;
        let (distance, difference) = (at - seen, here ^ word(view, seen));
        // One branch for both.
        if (difference << (64 - 8 * MATCH_MIN) == 0) & (distance.wrapping_sub(1) < usize::from(WINDOW)) {
            return Some(Found { at: at - same_before(view, at, seen).min(at - from), distance });
        }
        at += if at - from < FAR { STEP } else { STEP_FAR };
    }
    None
}

/// How many of the eight bytes before `at` are those before `seen`.
#[inline]
fn same_before(view: &View, at: usize, seen: usize) -> usize {
    if seen < 8 {
        return 0;
    }
    let difference = word(view, at - 8) ^ word(view, seen - 8);
    (difference.leading_zeros() >> 3) as usize
}

#[inline]
fn word(view: &View, at: usize) -> u64 {
    let at = at & (SPAN - 1);
    view[at..at + 8].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[inline]
fn chunk(view: &View, at: usize) -> &[u8; STRIDE] {
    let at = at & (SPAN - 1);
    view[at..at + STRIDE].first_chunk().unwrap_or(&[0; STRIDE])
}

#[inline]
fn hash(word: u64) -> usize {
    // Fibonacci's hash: 2^64 divided by the golden ratio.
    ((word << (64 - 8 * HASHED_BYTES)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - HASH_BITS)) as usize
}

/// How many bytes at `at` are those `distance` before, up to `end`.
#[inline]
fn match_length(view: &View, at: usize, distance: usize, end: usize) -> usize {
    let same = same_mask(chunk(view, at), chunk(view, at - distance));
    if same == u32::MAX { long_match(view, at, distance, end) } else { same.trailing_ones() as usize }
}

/// The same for matches of a stride and more, such as what all records of a pod have in common.
#[inline(never)]
fn long_match(view: &View, at: usize, distance: usize, end: usize) -> usize {
    let mut length = STRIDE;
    while at + length + STRIDE <= end {
        let same = same_mask(chunk(view, at + length), chunk(view, at - distance + length));
        if same != u32::MAX {
            return length + same.trailing_ones() as usize;
        }
        length += STRIDE;
    }
    let (ours, theirs) = (&view[at + length..end], &view[at - distance + length..]);
    length + ours.iter().zip(theirs).take_while(|(our, their)| our == their).count()
}

/// A bit for each byte that is the same in both.
#[inline]
fn same_mask(ours: &[u8; STRIDE], theirs: &[u8; STRIDE]) -> u32 {
    let half = |chunk: &[u8; STRIDE], at: usize| u8x16::from(*chunk[at..].first_chunk::<16>().unwrap_or(&[0; 16]));
    let same = |at| half(ours, at).simd_eq(half(theirs, at)).to_bitmask();
    same(0) | same(16) << 16
}

/// Bits on their way into bytes.
#[derive(Debug)]
struct Bits {
    waiting: u64,
    count: u32,
    written: usize,
    bytes: Box<[u8; ROOM]>,
}

impl Bits {
    fn open(&mut self) -> OpenBits<'_> {
        OpenBits { waiting: self.waiting, count: self.count, written: self.written, of: self }
    }

    fn put(&mut self, code: Code) {
        let mut open = self.open();
        open.add(code);
        open.flush();
        open.close();
    }

    /// Fills the last byte.
    fn pad(&mut self) {
        self.put(Code { bits: 0, len: (8 - self.count) % 8 });
    }

    fn drain(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.written]);
        self.written = 0;
    }
}

/// The same in registers.
struct OpenBits<'a> {
    waiting: u64,
    count: u32,
    written: usize,
    of: &'a mut Bits,
}

impl OpenBits<'_> {
    /// Between two flushes there is room for 57 bits.
    #[inline]
    fn add(&mut self, code: Code) {
        self.waiting |= u64::from(code.bits) << self.count;
        self.count += code.len;
    }

    #[inline]
    fn flush(&mut self) {
        if let Some(room) = self.of.bytes.get_mut(self.written..self.written + 8) {
            room.copy_from_slice(&self.waiting.to_le_bytes());
        }
        self.written += (self.count >> 3) as usize;
        self.waiting >>= self.count & 56;
        self.count &= 7;
    }

    #[inline]
    fn literal<const COUNT: bool>(&mut self, byte: u8, codes: &Codes, counts: &mut Counts) {
        self.add(codes.literals[usize::from(byte)]);
        self.flush();
        if COUNT {
            counts.literals[usize::from(byte)] += 1;
        }
    }

    /// Writes the first `count` bytes of `input`. Most runs are short, and a loop that ends anywhere costs more than the codes: four at
    /// once, of which those too many have no bits.
    #[inline]
    fn literals<const COUNT: bool>(&mut self, input: &[u8], count: usize, codes: &Codes, counts: &mut Counts) {
        let mut left = count;
        for four in input.as_chunks::<4>().0 {
            for (number, byte) in four.iter().enumerate() {
                self.add(codes.literals[usize::from(*byte)].only_if(number < left));
            }
            self.flush();
            if left <= four.len() {
                break;
            }
            left -= four.len();
        }
        if COUNT {
            for byte in &input[..count] {
                counts.literals[usize::from(*byte)] += 1;
            }
        }
    }

    /// Writes a match; one that is too long for a code as several at the same distance.
    #[inline]
    fn repeat<const COUNT: bool>(&mut self, mut length: usize, distance: usize, codes: &Codes, counts: &mut Counts) {
        let (symbol, extra, value) = distance_symbol(distance);
        let far = codes.distances[symbol & 31].followed_by(value, extra);
        while length > 0 {
            // The last one needs three bytes.
            let part = if length <= MATCH_MAX { length } else { MATCH_MAX.min(length - 3) };
            self.add(codes.lengths[part]);
            self.add(far);
            self.flush();
            if COUNT {
                counts.literals[length_symbol(part).0] += 1;
                counts.distances[symbol] += 1;
            }
            length -= part;
        }
    }

    fn close(self) {
        (self.of.waiting, self.of.count, self.of.written) = (self.waiting, self.count, self.written);
    }
}

#[cfg(test)]
mod tests;
