//! Any bytes as frames of the spool, as they are and with checksums made to fit: they are read or skipped, and what is read is sound.
#![no_main]

use drave::spool::read_frames;
use libfuzzer_sys::fuzz_target;

/// As `src/spool/frame.rs` draws it.
const MAGIC: [u8; 8] = [0xf5, b'd', b'r', b'v', 0x1e, 0x9c, 0xc3, b'\n'];
const HEAD: usize = 68;

fn check(data: &[u8]) {
    let (frames, skipped) = read_frames(data);
    assert!(skipped <= data.len() as u64);
    for frame in frames {
        assert_eq!(frame.pieces.last().map_or(0, |piece| piece.end as usize), frame.bytes.len());
        assert!(frame.pieces.is_sorted_by_key(|piece| piece.end));
        assert_eq!(frame.totals().all.records, frame.pieces.len() as u64);
    }
}

/// Puts the checksums right: no fuzzer finds them, and what lies behind them is what must not fall.
fn seal(data: &mut [u8]) {
    data[..8].copy_from_slice(&MAGIC);
    data[8] = 1;
    let word = |at: usize| u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]) as usize;
    let end = HEAD.saturating_add(word(36)).saturating_add(word(40)).min(data.len());
    let body = crc32c::crc32c(&data[HEAD..end]);
    data[60..64].copy_from_slice(&body.to_le_bytes());
    let head = crc32c::crc32c(&data[..64]);
    data[64..HEAD].copy_from_slice(&head.to_le_bytes());
}

fuzz_target!(|data: &[u8]| {
    check(data);
    if data.len() >= HEAD {
        let mut sealed = data.to_vec();
        seal(&mut sealed);
        check(&sealed);
    }
});
