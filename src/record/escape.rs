//! Escaping text for JSON, the hottest loop of all: logs are often JSON themselves, every tenth byte of them a quote.
//!
//! Eight bytes at once: which of them need a backslash is a number of eight bits, and a table says for each number how a shuffle of
//! the processor moves the bytes apart. No branch depends on the text, as long as it has no control characters.
//!
//! ```text
//! in:      { " l e v e l "   mask 0b1000_0010   and eight backslashes behind it
//! table:   0 8 1 2 3 4 5 6 8 7                  8 is the first of the backslashes
//! out:     { \ " l e v e l \ "                  ten bytes of sixteen; the next eight go over the rest
//! ```
//!
//! The one call in this file that is not safe asks the processor for an instruction which it was seen to have.

use wide::u8x16;

/// Bytes looked at in one step: a vector register.
pub(super) const STEP: usize = 16;
/// Text that is escaped at once; the room for it is filled with zeros first.
const ROOM: usize = 1024;
/// Bytes that one shuffle moves apart.
const HALF: usize = STEP / 2;

/// Writes UTF-8 with quotes, backslashes and control characters escaped.
#[inline]
pub fn push_escaped(out: &mut Vec<u8>, mut text: &[u8]) {
    if text.len() <= STEP {
        // A key, as a rule, and as it stands.
        let mut step = [b' '; STEP];
        step[..text.len()].copy_from_slice(text);
        if special_mask(&step) == 0 {
            return out.extend_from_slice(text);
        }
    }
    while !text.is_empty() {
        let done = push_some(out, text);
        text = &text[done..];
    }
}

/// Writes as much of the text as it makes room for, at most up to behind the step with the first control character; how much that is.
fn push_some(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let start = out.len();
    let text = &text[..text.len().min(ROOM)];
    // A byte becomes two at most, and the last step runs over.
    out.resize(start + 2 * text.len() + 4 * STEP, 0);
    let (read, written) = steps(text, &mut out[start..]);
    let last = &text[read..];
    if last.len() < STEP {
        // Filled up with what needs no escape.
        let mut step = [b' '; STEP];
        step[..last.len()].copy_from_slice(last);
        let (more_read, more_written) = steps(&step, &mut out[start + written..]);
        if more_read > 0 {
            out.truncate(start + written + more_written - (STEP - last.len()));
            return text.len();
        }
    }
    out.truncate(start + written);
    let step = &last[..last.len().min(STEP)];
    step.iter().for_each(|byte| push_byte(out, *byte));
    read + step.len()
}

/// Writes whole steps, up to the first one with a control character; how much was read and written.
fn steps(text: &[u8], out: &mut [u8]) -> (usize, usize) {
    #[cfg(target_arch = "x86_64")]
    let has_shuffle = std::arch::is_x86_feature_detected!("ssse3");
    #[cfg(target_arch = "aarch64")]
    let has_shuffle = std::arch::is_aarch64_feature_detected!("neon");
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if has_shuffle {
        // SAFETY: the processor has what the function is made for.
        #[allow(unsafe_code, reason = "there is no safe way to say what was just asked for")]
        return unsafe { shuffled(text, out) };
    }
    one_by_one(text, out)
}

/// How the bytes of each mask are moved apart.
static APART: [[u8; STEP]; 256] = apart();

const fn apart() -> [[u8; STEP]; 256] {
    let mut table = [[0; STEP]; 256];
    let mut mask = 0;
    while mask < table.len() {
        let (mut from, mut to) = (0, 0);
        while from < HALF {
            if mask >> from & 1 == 1 {
                table[mask][to] = HALF as u8;
                to += 1;
            }
            table[mask][to] = from as u8;
            to += 1;
            from += 1;
        }
        mask += 1;
    }
    table
}

/// How many bytes those of each mask become.
static LENGTHS: [u8; 256] = lengths();

const fn lengths() -> [u8; 256] {
    let mut table = [0; 256];
    let mut mask = 0;
    while mask < table.len() {
        table[mask] = (HALF as u32 + mask.count_ones()) as u8;
        mask += 1;
    }
    table
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "ssse3"))]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon"))]
fn shuffled(text: &[u8], out: &mut [u8]) -> (usize, usize) {
    let mut written = 0;
    for (number, step) in text.as_chunks::<STEP>().0.iter().enumerate() {
        let bytes = u8x16::from(*step);
        if controls(bytes).to_bitmask() != 0 {
            return (number * STEP, written);
        }
        let mask = quotes(bytes).to_bitmask() as usize;
        let whole = u128::from_le_bytes(*step);
        let (low, high) = (mask & 0xFF, mask >> 8 & 0xFF);
        out[written..written + STEP].copy_from_slice(&move_apart(whole as u64, low));
        written += usize::from(LENGTHS[low]);
        out[written..written + STEP].copy_from_slice(&move_apart((whole >> 64) as u64, high));
        written += usize::from(LENGTHS[high]);
    }
    (text.len() / STEP * STEP, written)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "ssse3")]
#[inline]
fn move_apart(half: u64, mask: usize) -> [u8; STEP] {
    use std::arch::x86_64::{_mm_cvtsi128_si64, _mm_set_epi64x, _mm_shuffle_epi8, _mm_unpackhi_epi64};
    const BACKSLASHES: i64 = 0x5C5C_5C5C_5C5C_5C5C;
    let how = u128::from_le_bytes(APART[mask]);
    let how = _mm_set_epi64x((how >> 64) as i64, how as i64);
    let moved = _mm_shuffle_epi8(_mm_set_epi64x(BACKSLASHES, half as i64), how);
    let (low, high) = (_mm_cvtsi128_si64(moved), _mm_cvtsi128_si64(_mm_unpackhi_epi64(moved, moved)));
    (u128::from(low as u64) | u128::from(high as u64) << 64).to_le_bytes()
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
#[inline]
fn move_apart(half: u64, mask: usize) -> [u8; STEP] {
    use std::arch::aarch64::{vcombine_u8, vcreate_u8, vgetq_lane_u64, vqtbl1q_u8, vreinterpretq_u64_u8};
    const BACKSLASHES: u64 = 0x5C5C_5C5C_5C5C_5C5C;
    let how = u128::from_le_bytes(APART[mask]);
    let how = vcombine_u8(vcreate_u8(how as u64), vcreate_u8((how >> 64) as u64));
    let moved = vreinterpretq_u64_u8(vqtbl1q_u8(vcombine_u8(vcreate_u8(half), vcreate_u8(BACKSLASHES)), how));
    (u128::from(vgetq_lane_u64::<0>(moved)) | u128::from(vgetq_lane_u64::<1>(moved)) << 64).to_le_bytes()
}

/// The same without a shuffle.
fn one_by_one(text: &[u8], out: &mut [u8]) -> (usize, usize) {
    let mut written = 0;
    for (number, step) in text.as_chunks::<STEP>().0.iter().enumerate() {
        if controls(u8x16::from(*step)).to_bitmask() != 0 {
            return (number * STEP, written);
        }
        for byte in step {
            out[written] = b'\\';
            written += usize::from(matches!(byte, b'"' | b'\\'));
            out[written] = *byte;
            written += 1;
        }
    }
    (text.len() / STEP * STEP, written)
}

/// Writes a byte, or its escape.
fn push_byte(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0C => out.extend_from_slice(b"\\f"),
        0x00..0x20 => {
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]])
        }
        _ => out.push(byte),
    }
}

/// A bit for each byte that has to be escaped.
#[inline]
pub(super) fn special_mask(step: &[u8; STEP]) -> u32 {
    let bytes = u8x16::from(*step);
    (controls(bytes) | quotes(bytes)).to_bitmask()
}

#[inline]
fn controls(bytes: u8x16) -> u8x16 {
    bytes.min(u8x16::splat(0x1F)).simd_eq(bytes)
}

/// Quotes and backslashes.
#[inline]
fn quotes(bytes: u8x16) -> u8x16 {
    bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte by byte.
    fn plainly(text: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        text.iter().for_each(|byte| push_byte(&mut out, *byte));
        out
    }

    #[test]
    fn any_text_becomes_what_its_bytes_become() {
        let dense = proptest::collection::vec(proptest::sample::select(b"\"\\ab\x01\n\x1f \xc3".to_vec()), 0..120);
        let texts = proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120);
        proptest::proptest!(|(dense in dense, text in texts, times in 1_usize..40)| {
            for text in [&dense, &text, &text.repeat(times)] {
                let mut out = b"before".to_vec();
                push_escaped(&mut out, text);
                proptest::prop_assert_eq!(&out, &plainly(text));
            }
        });
    }

    #[test]
    fn both_ways_write_the_same() {
        let text: Vec<u8> =
            (0..4096).map(|n: u32| b"\"\\abcdefgh"[(n.wrapping_mul(2_654_435_761) >> 28) as usize % 10]).collect();
        let (mut one, mut other) = (vec![0; 3 * text.len()], vec![0; 3 * text.len()]);
        let (read, written) = one_by_one(&text, &mut one);
        assert_eq!((read, written), steps(&text, &mut other));
        assert_eq!(one[..written], other[..written]);
    }
}
