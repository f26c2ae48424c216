//! Any bytes, some of them repeated, come back from the quick compressor as they were: another library decompresses them.
#![no_main]

use flate2::read::GzDecoder;
use libfuzzer_sys::fuzz_target;
use std::io::Read as _;

fuzz_target!(|data: &[u8]| {
    // The first two bytes say how often the rest is repeated: the interesting borders lie beyond what a fuzzer tries by itself.
    let Some(([low, high], rest)) = data.split_first_chunk() else { return };
    let times = usize::from(u16::from_le_bytes([*low, *high])) % (400_000 / rest.len().max(1) + 1);
    let mut input = rest.repeat(times);
    input.extend_from_slice(data);
    let mut compressed = Vec::new();
    drave::net::gzip(1, &input, &mut compressed);
    let mut back = Vec::new();
    GzDecoder::new(&compressed[..]).read_to_end(&mut back).expect("valid gzip");
    assert!(back == input);
});
