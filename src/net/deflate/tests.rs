use super::*;
use std::io::Read as _;

fn round_trip(input: &[u8]) -> usize {
    let mut out = Vec::new();
    Deflate::new().append(input, &mut out, |_| ());
    let mut back = Vec::new();
    flate2::read::DeflateDecoder::new(&out[..]).read_to_end(&mut back).expect("valid deflate");
    assert!(back == input, "{} bytes came back as {}", input.len(), back.len());
    out.len()
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn every_length_around_the_borders_comes_back() {
    let text = br#"{"level":"info","msg":"request done","path":"/api/v1/items","status":200}"#.repeat(15_000);
    for border in [
        0,
        LOOK_AHEAD,
        SEGMENT,
        FIRST_BLOCK,
        usize::from(WINDOW),
        1 << 16,
        FIRST_BLOCK + BLOCK,
        FIRST_BLOCK + 2 * BLOCK,
    ] {
        for length in border.saturating_sub(9)..border + 9 {
            round_trip(&text[..length]);
        }
    }
}

#[test]
fn what_cannot_be_compressed_grows_little() {
    let grown = round_trip(&noise(1 << 20));
    assert!(grown < (1 << 20) + (1 << 15), "{grown}");
    // Codes made for text, then other bytes: until the next block.
    let mut mixed = b"only text, ".repeat(20_000);
    mixed.extend_from_slice(&noise(1 << 20));
    assert!(round_trip(&mixed) < (1 << 20) + (1 << 18));
}

#[test]
fn runs_and_far_repetitions() {
    assert!(round_trip(&[b'a'; 1 << 20]) < 1 << 14);
    let block = noise(40_000);
    let mut far = block.clone();
    far.extend_from_slice(&block);
    round_trip(&far);
}

#[test]
fn anything_comes_back() {
    let parts = proptest::collection::vec((proptest::collection::vec(0_u8.., 0..40), 1_usize..2000), 0..60);
    proptest::proptest!(|(parts in parts)| {
        let input: Vec<u8> = parts.iter().flat_map(|(part, times)| part.repeat(*times % 50 + 1)).collect();
        round_trip(&input);
    });
}

#[test]
fn a_used_compressor_gives_the_same_bytes() {
    let text = b"the same text, again and again and not only once; ".repeat(900);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut deflate = Deflate::new();
    deflate.append(&text, &mut first, |_| ());
    deflate.append(&noise(1000), &mut Vec::new(), |_| ());
    deflate.append(&text, &mut second, |_| ());
    assert_eq!(first, second);
}
