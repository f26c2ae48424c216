//! Snappy of whole bodies, in the block format (not the framed one).

/// Appends `input` as one Snappy block to `out`.
pub fn snappy(input: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + snap::raw::max_compress_len(input.len()), 0);
    // It fails only beyond 4 GiB, and requests are far smaller.
    let written = snap::raw::Encoder::new().compress(input, &mut out[start..]).unwrap_or_default();
    out.truncate(start + written);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        for input in [&b""[..], b"a", &b"again and ".repeat(1000)] {
            let mut out = b"before".to_vec();
            snappy(input, &mut out);
            assert_eq!(snap::raw::Decoder::new().decompress_vec(&out[6..]).unwrap(), input);
        }
    }
}
