//! Any bytes as a file of the systemd journal, as they are and behind a header that is sound: it ends, nothing falls, and what is
//! read stands in the file.
#![no_main]

use drave::input::systemd::journal::read_all;
use libfuzzer_sys::fuzz_target;

const HEADER: usize = 272;

fn check(data: &[u8]) {
    if let Ok((entries, _)) = read_all(Box::new(data.to_vec())) {
        // An entry and its smallest field take that much, and no entry is read twice.
        assert!(entries.len() <= data.len() / 72);
        assert!(entries.iter().all(|entry| entry.cursor.seqnum > 0));
    }
}

/// A plain or a compact file, with a chain of entries that begins where the data says.
fn with_header(data: &[u8]) -> Vec<u8> {
    let mut file = vec![0; HEADER];
    file[..8].copy_from_slice(b"LPKSHHRH");
    file[12] = data[0] & 0x1f;
    file[16] = data[0] >> 5;
    file[88..96].copy_from_slice(&(HEADER as u64).to_le_bytes());
    file[136..144].copy_from_slice(&u64::MAX.to_le_bytes());
    let first = HEADER as u64 + u64::from(data[1]) * 8;
    file[176..184].copy_from_slice(&first.to_le_bytes());
    file.extend_from_slice(&data[2..]);
    file
}

fuzz_target!(|data: &[u8]| {
    check(data);
    if data.len() >= 2 {
        check(&with_header(data));
    }
});
