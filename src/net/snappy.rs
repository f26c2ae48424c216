//! Snappy of bodies, in the block format (not the framed one).
//!
//! ```text
//! bytes before compression, as a varint │ elements of the first 64 KiB │ elements of the next 64 KiB │ …
//! ```
//! The encoder never looks back further than its block, so a body can be compressed while it is put together, in memory that the
//! processor has at hand. A compressor has tables of 32 KiB, and wants memory for the worst case, filled with something: all of it is
//! kept for the next body, for as many as are compressed at once.

use std::sync::{Mutex, PoisonError};

/// Idle compressors that are kept: as many as the runtime has workers by default.
const IDLE_MAX: usize = 2;
/// What the encoder takes apart by itself.
const BLOCK: usize = 64 << 10;
/// Texts from this length on stand for themselves: half of a block finds most of its repetitions.
const LONG: usize = BLOCK / 2;

static IDLE: Mutex<Vec<Compressor>> = Mutex::new(Vec::new());

struct Compressor {
    encoder: snap::raw::Encoder,
    /// Short texts that are not compressed yet.
    gathered: Vec<u8>,
    /// For the elements of one block.
    room: Vec<u8>,
}

impl Compressor {
    fn borrow() -> Self {
        let room = || vec![0; snap::raw::max_compress_len(BLOCK)];
        idle().pop().unwrap_or_else(|| Self { encoder: snap::raw::Encoder::new(), gathered: Vec::new(), room: room() })
    }

    fn give_back(self) {
        let mut idle = idle();
        if idle.len() < IDLE_MAX {
            idle.push(self);
        }
    }

    /// Appends the elements of at most one block.
    fn append(&mut self, block: &[u8], out: &mut Vec<u8>) {
        // It fails for want of room, and beyond 4 GiB.
        let written = self.encoder.compress(block, &mut self.room).unwrap_or_default();
        debug_assert!(written > 0, "there is room for a block");
        out.extend_from_slice(self.room[..written].get(varint_len(block.len())..).unwrap_or_default());
    }
}

/// A body that is compressed while it is put together.
pub struct Snappy<'o> {
    compressor: Compressor,
    out: &'o mut Vec<u8>,
    /// Bytes that are to come.
    left: usize,
}

impl<'o> Snappy<'o> {
    /// Appends to `out` a body of `bytes` before compression: as many have to be [written](Self::write) until its [end](Self::end).
    pub fn begin(bytes: usize, out: &'o mut Vec<u8>) -> Self {
        push_varint(bytes, out);
        // Logs shrink to a third or less; what does not is grown for.
        out.reserve(bytes / 3 + 64);
        Self { compressor: Compressor::borrow(), out, left: bytes }
    }

    /// What is next. Long texts are compressed where they stand, short ones are gathered.
    pub fn write(&mut self, text: &[u8]) {
        self.left = self.left.saturating_sub(text.len());
        let mut rest = text;
        while let Some((text, behind)) =
            rest.split_at_checked(BLOCK.min(rest.len())).filter(|(text, _)| text.len() >= LONG)
        {
            self.flush();
            self.compressor.append(text, self.out);
            rest = behind;
        }
        if self.compressor.gathered.len() + rest.len() > BLOCK {
            self.flush();
        }
        self.compressor.gathered.extend_from_slice(rest);
    }

    /// All of it is written.
    pub fn end(mut self) {
        self.flush();
        debug_assert_eq!(self.left, 0, "bytes that were announced");
        self.compressor.give_back();
    }

    fn flush(&mut self) {
        let gathered = std::mem::take(&mut self.compressor.gathered);
        self.compressor.append(&gathered, self.out);
        self.compressor.gathered = gathered;
        self.compressor.gathered.clear();
    }
}

/// Appends `input` as one Snappy block to `out`.
pub fn snappy(input: &[u8], out: &mut Vec<u8>) {
    let mut compressor = Compressor::borrow();
    push_varint(input.len(), out);
    out.reserve(input.len() / 3 + 64);
    input.chunks(BLOCK).for_each(|block| compressor.append(block, out));
    compressor.give_back();
}

fn idle() -> std::sync::MutexGuard<'static, Vec<Compressor>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seven bits a byte, the least significant first.
fn push_varint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint_len(number: usize) -> usize {
    (number | 1).ilog2() as usize / 7 + 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn inputs() -> Vec<Vec<u8>> {
        let noise = (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let lens = [0, 1, 3, LONG - 1, LONG, BLOCK - 1, BLOCK, BLOCK + 1, 10 * BLOCK + LONG];
        let words = lens.map(|len| b"again and ".iter().copied().cycle().take(len).collect());
        words.into_iter().chain([noise]).collect()
    }

    fn decoded(out: &[u8]) -> Vec<u8> {
        snap::raw::Decoder::new().decompress_vec(&out[6..]).unwrap()
    }

    #[test]
    fn what_is_compressed_comes_back() {
        for input in inputs() {
            let mut out = b"before".to_vec();
            snappy(&input, &mut out);
            assert!(decoded(&out) == input, "{} bytes", input.len());
        }
    }

    #[test]
    fn what_is_put_together_comes_back() {
        for input in inputs() {
            for some in [1, 700, LONG - 1, LONG, BLOCK, 3 * BLOCK - 1] {
                let mut out = b"before".to_vec();
                let mut snappy = Snappy::begin(input.len(), &mut out);
                input.chunks(some).for_each(|text| snappy.write(text));
                snappy.end();
                assert!(decoded(&out) == input, "{} bytes, {some} at once", input.len());
            }
        }
    }
}
