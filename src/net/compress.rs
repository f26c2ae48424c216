//! gzip of whole bodies.
//!
//! A compressor holds 45 KiB (level 1) to 300 KiB, so the few that are in use at once are kept and lent out, whatever thread asks.
//! Bodies are given whole: the same text in pieces of 32 KiB costs almost twice the CPU.

use std::sync::{Mutex, PoisonError};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::deflate::Deflate;

/// Idle compressors that are kept: as many as the runtime has workers by default.
const IDLE_MAX: usize = 2;

/// zlib's largest window, 32 KiB.
const WINDOW_BITS: u8 = 15;

/// A gzip header (RFC 1952): deflate, no name, no time, quickest level, unknown system.
const HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 4, 255];

static IDLE: Mutex<Vec<Gzip>> = Mutex::new(Vec::new());

/// A compressor, with the level that it was made for.
struct Gzip {
    level: u32,
    state: State,
}

/// Level 1 is what almost everybody uses; zlib does the others.
enum State {
    Quick(Box<Deflate>),
    Zlib(Compress),
}

/// Appends `input` as one gzip member to `out`. Levels above 9 count as 9. The same input gives the same bytes.
pub fn gzip(level: u32, input: &[u8], out: &mut Vec<u8>) {
    let level = level.min(9);
    let mut gzip = borrow(level);
    // Logs shrink to a third or less; what does not is grown for.
    out.reserve(input.len() / 3 + 64);
    match &mut gzip.state {
        State::Quick(deflate) => append_quick(deflate, input, out),
        State::Zlib(zlib) => append_zlib(zlib, input, out),
    }
    give_back(gzip);
}

/// The same of pieces, one behind the other. At level 1 they are put together piece by piece, in memory that the processor has at hand.
pub fn gzip_pieces<'p>(level: u32, pieces: impl Iterator<Item = &'p [u8]>, out: &mut Vec<u8>) {
    if level != 1 {
        let mut input = Vec::new();
        pieces.for_each(|piece| input.extend_from_slice(piece));
        return gzip(level, &input, out);
    }
    let mut gzip = borrow(level);
    if let State::Quick(deflate) = &mut gzip.state {
        out.extend_from_slice(&HEADER);
        let mut crc = Crc::new();
        deflate.append_pieces(pieces, out, |piece| crc.update(piece));
        push_end(&crc, out);
    }
    give_back(gzip);
}

fn borrow(level: u32) -> Gzip {
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = idle.iter().position(|gzip| gzip.level == level) {
        return idle.swap_remove(found);
    }
    let state = match level {
        1 => State::Quick(Box::new(Deflate::new())),
        _ => State::Zlib(Compress::new_gzip(Compression::new(level), WINDOW_BITS)),
    };
    Gzip { level, state }
}

/// Keeps the newest, so that levels which are no longer asked for do not stay.
fn give_back(gzip: Gzip) {
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if idle.len() == IDLE_MAX {
        idle.remove(0);
    }
    idle.push(gzip);
}

fn append_quick(deflate: &mut Deflate, input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&HEADER);
    let mut crc = Crc::new();
    deflate.append(input, out, |piece| crc.update(piece));
    push_end(&crc, out);
}

fn push_end(crc: &Crc, out: &mut Vec<u8>) {
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
}

fn append_zlib(zlib: &mut Compress, input: &[u8], out: &mut Vec<u8>) {
    zlib.reset();
    loop {
        let taken = usize::try_from(zlib.total_in()).unwrap_or(usize::MAX);
        let rest = input.get(taken..).unwrap_or_default();
        match zlib.compress_vec(rest, out, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => return,
            Ok(Status::Ok | Status::BufError) => out.reserve(out.len() / 2 + 4096),
            // zlib's Z_STREAM_ERROR: only a stream that was misused, and going on would send broken bodies.
            Err(error) => unreachable!("a fresh stream cannot fail: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    fn round_trip(level: u32, input: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        gzip(level, input, &mut out);
        let mut back = Vec::new();
        GzDecoder::new(&out[6..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, input);
        out
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..bytes).map(|_| next()).collect()
    }

    #[test]
    fn what_is_compressed_comes_back_at_every_level_and_size() {
        let text = br#"{"level":"info","msg":"request done","path":"/api/v1/items","status":200}"#.repeat(3000);
        for level in [0, 1, 2, 6, 9, 12] {
            for input in [&b""[..], b"x", &text, &noise(300_000)] {
                round_trip(level, input);
            }
        }
    }

    #[test]
    fn pieces_come_back_as_one() {
        let text = br#"{"level":"info","msg":"request done","path":"/api/v1/items","status":200}"#.repeat(9000);
        for level in [1, 6] {
            for pieces in [&[][..], &[&b""[..]], &[b"a", &text, b"", &noise(250_000), &text[..70_001]]] {
                let (mut out, mut back) = (Vec::new(), Vec::new());
                gzip_pieces(level, pieces.iter().copied(), &mut out);
                GzDecoder::new(&out[..]).read_to_end(&mut back).unwrap();
                assert!(back == pieces.concat(), "level {level}, {} bytes", back.len());
            }
        }
    }

    #[test]
    fn a_compressor_that_was_used_before_gives_the_same_bytes() {
        let text = b"one two three ".repeat(1000);
        let first = round_trip(1, &text);
        round_trip(1, &noise(10_000));
        assert_eq!(round_trip(1, &text), first);
        assert!(first.len() < text.len() / 10);
    }
}
