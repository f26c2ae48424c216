//! SHA-256 of several messages at once. Without instructions for it, one message is bound by latency: each round waits for the one
//! before. A word of eight messages side by side in a register are four times as many bytes in the same time.
//!
//! ```text
//! register a    message 0 │ 1 │ 2 │ 3 │ 4 │ 5 │ 6 │ 7      eight for the state, sixteen for the words that are mixed in
//! ```
//! All messages take the same steps, as far as the shortest goes; then those that are left. The calls in this file that are not safe ask
//! the processor for instructions which it was seen to have.

use super::{Hash, LANES, Message};
use sha2::block_api::compress256;
use std::arch::is_x86_feature_detected as has;
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_extract_epi64, _mm256_or_si256, _mm256_permute2x128_si256,
    _mm256_set1_epi32, _mm256_setr_epi32, _mm256_setr_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_slli_epi32, _mm256_srli_epi32, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32,
    _mm256_unpacklo_epi64, _mm256_xor_si256,
};

/// Of fewer messages, each is quicker alone.
pub(super) const LANES_MIN: usize = 3;
/// Bytes that are taken in at once.
pub(super) const BLOCK: usize = 64;

type State = [u32; 8];
/// A word of each message.
type Words = [u32; LANES];

// FIPS 180-4, 5.3.3 and 4.2.2.
const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
#[rustfmt::skip]
const CONSTANTS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// What lanes are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instructions {
    /// With rotations, and with any function of three values.
    Avx512,
    Avx2,
}

impl Instructions {
    /// None where one message alone is as quick.
    pub(super) fn of_processor() -> Option<Self> {
        if has!("sha") || !has!("avx2") {
            return None;
        }
        Some(if has!("avx512f") && has!("avx512vl") { Self::Avx512 } else { Self::Avx2 })
    }

    /// Takes in so many blocks of each lane.
    #[allow(unsafe_code, reason = "there is no safe way to say what was just asked for")]
    fn compress(self, state: &mut [Words; 8], lanes: &[&[u8]; LANES], blocks: usize) {
        match self {
            // SAFETY: whoever made the value has seen that the processor has them.
            Self::Avx512 => unsafe { compress_avx512(state, lanes, blocks) },
            // SAFETY: the same.
            Self::Avx2 => unsafe { compress_avx2(state, lanes, blocks) },
        }
    }
}

/// The hashes of up to [`LANES`] messages whose first parts fill whole blocks.
pub(super) fn sha256(messages: &[Message<'_>], instructions: Instructions) -> Vec<Hash> {
    let mut states = vec![INITIAL; messages.len()];
    let mut rest: Vec<&[u8]> = messages.iter().map(|[_, middle, _]| *middle).collect();
    for (state, [front, ..]) in states.iter_mut().zip(messages) {
        compress256(state, front.as_chunks().0);
    }
    loop {
        let active: Vec<usize> = (0..rest.len()).filter(|number| rest[*number].len() >= BLOCK).collect();
        if active.len() < LANES_MIN {
            break;
        }
        let blocks = active.iter().map(|number| rest[*number].len() / BLOCK).min().unwrap_or_default();
        // Lanes without a message take in one of the others, and nobody looks at what becomes of it.
        let in_lane = |lane: usize| active[lane.min(active.len() - 1)];
        let lanes: [&[u8]; LANES] = std::array::from_fn(|lane| rest[in_lane(lane)]);
        let mut words: [Words; 8] = std::array::from_fn(|word| std::array::from_fn(|lane| states[in_lane(lane)][word]));
        instructions.compress(&mut words, &lanes, blocks);
        for (lane, number) in active.iter().enumerate() {
            states[*number] = std::array::from_fn(|word| words[word][lane]);
            rest[*number] = &rest[*number][blocks * BLOCK..];
        }
    }
    let ends = states.into_iter().zip(rest).zip(messages);
    ends.map(|((state, rest), message)| end(state, rest, message)).collect()
}

/// The hash, when all but `rest` and the last part of a message is taken in.
fn end(mut state: State, rest: &[u8], message: &Message<'_>) -> Hash {
    let (blocks, rest) = rest.as_chunks();
    compress256(&mut state, blocks);
    let bytes: usize = message.iter().map(|part| part.len()).sum();
    let mut last = [rest, message[2], &[0x80]].concat();
    let full = (last.len() + size_of::<u64>()).next_multiple_of(BLOCK);
    last.resize(full - size_of::<u64>(), 0);
    last.extend_from_slice(&(bytes as u64 * 8).to_be_bytes());
    compress256(&mut state, last.as_chunks().0);
    let mut hash = [0; 32];
    hash.as_chunks_mut().0.iter_mut().zip(state).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
    hash
}

/// The same for both, so that each becomes the instructions that it may use. Its sixteen rounds are written one by one: a loop would
/// keep in memory what has to be in registers.
macro_rules! compress {
    ($name:ident, $features:literal, $($round:literal)*) => {
        #[target_feature(enable = $features)]
        fn $name(state: &mut [Words; 8], lanes: &[&[u8]; LANES], blocks: usize) {
            let lanes: [&[[u8; BLOCK]]; LANES] = std::array::from_fn(|lane| &lanes[lane].as_chunks().0[..blocks]);
            let mut s = [_mm256_setzero_si256(); 8];
            for (register, words) in s.iter_mut().zip(&*state) {
                *register = register_of(words);
            }
            let (first, others) = CONSTANTS.as_chunks::<16>().0.split_at(1);
            for block in 0..blocks {
                let mut w = [_mm256_setzero_si256(); 16];
                w[..8].copy_from_slice(&words(&lanes, block, 0));
                w[8..].copy_from_slice(&words(&lanes, block, 1));
                let before = s;
                $( round::<$round>(&mut s, w[$round], &first[0]); )*
                for constants in others {
                    $(
                        let word = next_word::<$round>(&mut w);
                        round::<$round>(&mut s, word, constants);
                    )*
                }
                for (register, before) in s.iter_mut().zip(before) {
                    *register = add(*register, before);
                }
            }
            for (words, register) in state.iter_mut().zip(s) {
                *words = words_of(register);
            }
        }
    };
}

compress!(compress_avx512, "avx512f,avx512vl", 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
compress!(compress_avx2, "avx2", 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

/// One round, with a word of each message. The registers change their names instead of what is in them.
#[target_feature(enable = "avx2")]
#[inline]
fn round<const I: usize>(s: &mut [__m256i; 8], word: __m256i, constants: &[u32; 16]) {
    let at = |name: usize| (name + 16 - I) % 8;
    let [a, b, c, d] = [s[at(0)], s[at(1)], s[at(2)], s[at(3)]];
    let [e, f, g, h] = [s[at(4)], s[at(5)], s[at(6)], s[at(7)]];
    let constant = _mm256_set1_epi32(constants[I].cast_signed());
    let sum1 = xor(rotate::<6, 26>(e), rotate::<11, 21>(e), rotate::<25, 7>(e));
    let choice = _mm256_xor_si256(g, _mm256_and_si256(e, _mm256_xor_si256(f, g)));
    let first = add(add(add(h, add(constant, word)), choice), sum1);
    let sum0 = xor(rotate::<2, 30>(a), rotate::<13, 19>(a), rotate::<22, 10>(a));
    let majority = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)));
    s[at(3)] = add(d, first);
    s[at(7)] = add(first, add(sum0, majority));
}

/// The word behind sixteen others, in the place of the first of them.
#[target_feature(enable = "avx2")]
#[inline]
fn next_word<const I: usize>(w: &mut [__m256i; 16]) -> __m256i {
    let (second, last_but_one) = (w[(I + 1) % 16], w[(I + 14) % 16]);
    let sigma0 = xor(rotate::<7, 25>(second), rotate::<18, 14>(second), _mm256_srli_epi32::<3>(second));
    let sigma1 =
        xor(rotate::<17, 15>(last_but_one), rotate::<19, 13>(last_but_one), _mm256_srli_epi32::<10>(last_but_one));
    w[I] = add(add(w[I], sigma0), add(w[(I + 9) % 16], sigma1));
    w[I]
}

/// To the right by the one, which is to the left by the other.
#[target_feature(enable = "avx2")]
#[inline]
fn rotate<const RIGHT: i32, const LEFT: i32>(v: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_srli_epi32::<RIGHT>(v), _mm256_slli_epi32::<LEFT>(v))
}

#[target_feature(enable = "avx2")]
#[inline]
fn xor(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
    _mm256_xor_si256(_mm256_xor_si256(a, b), c)
}

#[target_feature(enable = "avx2")]
#[inline]
fn add(a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi32(a, b)
}

/// Eight words of a block of each message, the first of all in one register, then the second of all.
#[target_feature(enable = "avx2")]
#[inline]
fn words(lanes: &[&[[u8; BLOCK]]; LANES], block: usize, half: usize) -> [__m256i; 8] {
    let row = |lane: usize| big_endian(&lanes[lane][block].as_chunks().0[half]);
    transpose([row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)])
}

#[target_feature(enable = "avx2")]
#[inline]
fn big_endian(bytes: &[u8; 32]) -> __m256i {
    const LOW: i64 = 0x0405_0607_0001_0203;
    const HIGH: i64 = 0x0C0D_0E0F_0809_0A0B;
    let quarter = |number: usize| i64::from_le_bytes(bytes.as_chunks().0[number]);
    let loaded = _mm256_setr_epi64x(quarter(0), quarter(1), quarter(2), quarter(3));
    _mm256_shuffle_epi8(loaded, _mm256_setr_epi64x(LOW, HIGH, LOW, HIGH))
}

#[target_feature(enable = "avx2")]
#[inline]
fn transpose(r: [__m256i; 8]) -> [__m256i; 8] {
    let pairs = |a, b| [_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)];
    let fours = |a, b| [_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)];
    let ([a, b], [c, d], [e, f], [g, h]) = (pairs(r[0], r[1]), pairs(r[2], r[3]), pairs(r[4], r[5]), pairs(r[6], r[7]));
    let ([a, c], [b, d], [e, g], [f, h]) = (fours(a, c), fours(b, d), fours(e, g), fours(f, h));
    let low = |a, b| _mm256_permute2x128_si256::<0x20>(a, b);
    let high = |a, b| _mm256_permute2x128_si256::<0x31>(a, b);
    [low(a, e), low(c, g), low(b, f), low(d, h), high(a, e), high(c, g), high(b, f), high(d, h)]
}

#[target_feature(enable = "avx2")]
#[inline]
fn register_of(words: &Words) -> __m256i {
    let [a, b, c, d, e, f, g, h] = words.map(u32::cast_signed);
    _mm256_setr_epi32(a, b, c, d, e, f, g, h)
}

#[target_feature(enable = "avx2")]
#[inline]
fn words_of(v: __m256i) -> Words {
    let (low, high) = (
        (_mm256_extract_epi64::<0>(v), _mm256_extract_epi64::<1>(v)),
        (_mm256_extract_epi64::<2>(v), _mm256_extract_epi64::<3>(v)),
    );
    let quarters = [low.0, low.1, high.0, high.1];
    std::array::from_fn(|lane| (quarters[lane / 2] >> (lane % 2 * 32)) as u32)
}

#[cfg(test)]
mod tests {
    use super::super::{sha256 as alone, sha256_together};
    use super::*;

    /// All that this machine can do, whether it has something quicker or not.
    fn all() -> Vec<Instructions> {
        let mut all = Vec::new();
        all.extend(has!("avx2").then_some(Instructions::Avx2));
        all.extend((has!("avx512f") && has!("avx512vl")).then_some(Instructions::Avx512));
        all
    }

    /// In lanes is as one by one.
    fn check(messages: &[Message<'_>]) {
        let expect: Vec<Hash> = messages.iter().map(alone).collect();
        for instructions in all() {
            let hashes: Vec<Hash> = messages.chunks(LANES).flat_map(|m| sha256(m, instructions)).collect();
            assert_eq!(hashes, expect, "{instructions:?}");
        }
        assert_eq!(sha256_together(messages), expect);
    }

    #[test]
    fn known_hashes() {
        let hex = |hash: Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(alone(&[b"", b"ab", b"c"])), of_abc);
        assert!(sha256_together(&[[&b""[..], b"ab", b"c"]; LANES]).into_iter().all(|hash| hex(hash) == of_abc));
    }

    #[test]
    fn every_length() {
        let bytes: Vec<u8> = (0..300).map(|number: u32| (number * 7) as u8).collect();
        let messages: Vec<Message<'_>> = (0..=bytes.len()).map(|len| [&[][..], &bytes[..len], &[]]).collect();
        check(&messages);
        let fronts: Vec<Message<'_>> =
            (0..=bytes.len()).map(|len| [&bytes[..len / BLOCK * BLOCK], &bytes[len..], &bytes[..len % 5]]).collect();
        check(&fronts);
    }

    #[test]
    fn any_messages() {
        let part = || proptest::collection::vec(proptest::num::u8::ANY, 0..2000);
        let message = (0_usize..4, part(), 0_usize..200);
        proptest::proptest!(|(parts in proptest::collection::vec(message, 0..20))| {
            let front = [7; 4 * BLOCK];
            let all: Vec<Message<'_>> = parts
                .iter()
                .map(|(blocks, middle, back)| [&front[..blocks * BLOCK], &middle[..], &front[..*back]])
                .collect();
            check(&all);
        });
    }

    #[test]
    fn a_front_that_ends_within_a_block_is_hashed_too() {
        let messages = [[&b"abc"[..], b"def", b"g"]; 5];
        assert_eq!(sha256_together(&messages), [alone(&messages[0]); 5]);
    }
}
