//! Snappy of whole bodies, in the block format (not the framed one).
//!
//! A compressor has tables of 32 KiB, and it wants memory for the worst case, filled with something, which costs as much as a tenth of the
//! compressing: both are kept for the next body, for as many as are compressed at once.

use std::sync::{Mutex, PoisonError};

/// Idle compressors that are kept: as many as the runtime has workers by default.
const IDLE_MAX: usize = 2;
/// Memory that one huge body needed is not kept.
const KEPT_BYTES_MAX: usize = 4 << 20;

static IDLE: Mutex<Vec<Snappy>> = Mutex::new(Vec::new());

struct Snappy {
    encoder: snap::raw::Encoder,
    room: Vec<u8>,
}

/// Appends `input` as one Snappy block to `out`, which gets no more room than that takes.
pub fn snappy(input: &[u8], out: &mut Vec<u8>) {
    let mut snappy = idle().pop().unwrap_or_else(|| Snappy { encoder: snap::raw::Encoder::new(), room: Vec::new() });
    let room = snap::raw::max_compress_len(input.len());
    if snappy.room.len() < room {
        snappy.room.resize(room, 0);
    }
    // It fails only beyond 4 GiB, and requests are far smaller.
    let written = snappy.encoder.compress(input, &mut snappy.room).unwrap_or_default();
    out.reserve_exact(written);
    out.extend_from_slice(&snappy.room[..written]);
    if snappy.room.len() > KEPT_BYTES_MAX {
        snappy.room = Vec::new();
    }
    let mut idle = idle();
    if idle.len() < IDLE_MAX {
        idle.push(snappy);
    }
}

fn idle() -> std::sync::MutexGuard<'static, Vec<Snappy>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let large = b"a body that is not kept".repeat(KEPT_BYTES_MAX / 20);
        for input in [&b""[..], b"a", &b"again and ".repeat(1000), &large, b"small again"] {
            let mut out = b"before".to_vec();
            snappy(input, &mut out);
            assert_eq!(snap::raw::Decoder::new().decompress_vec(&out[6..]).unwrap(), input);
        }
    }
}
