//! One look over a block of text for the places where a secret may be.
//!
//! ```text
//! @                      an address                e?re   of "secret" and "bearer", in capitals or not
//! eyJ                    a token                   A?IA   a key of AWS
//! -B                     of -----BEGIN             4+4+4 digits, maybe with one byte between them: a card
//! ```
//! A place is that of a byte of the secret. Each step looks at 32 bytes, whatever records they belong to: a search that begins anew for
//! every line costs more than the line.

use wide::u8x16;

/// Bytes of a step, and with those behind it that a pattern may reach.
const STEP: usize = 32;
const REACH: usize = STEP + 3;
/// Digits of the shortest card.
const CARD_DIGITS_MIN: usize = 13;

/// Adds the places where a secret may be, counted from `start`, where the text stands. They are in order but for the 32 bytes of a step.
pub(super) fn push_places(text: &[u8], start: u32, out: &mut Vec<u32>) {
    let mut digits = 0u64;
    let mut at = 0;
    // One step more than there is text: of cards only those are seen that begin in the step before.
    while at < text.len() + STEP {
        let mut padded = [0; REACH];
        let step = match text.get(at..).and_then(|rest| rest.first_chunk::<REACH>()) {
            Some(step) => step,
            None => {
                let rest = text.get(at..).unwrap_or_default();
                padded[..rest.len()].copy_from_slice(rest);
                &padded
            }
        };
        let (words_low, digits_low) = masks(step, 0);
        let (words_high, digits_high) = masks(step, STEP / 2);
        digits = digits >> STEP | u64::from(digits_low | digits_high << 16) << STEP;
        let cards = set_bits(cards(digits)).filter_map(|bit| Some(at.checked_sub(STEP)? + bit));
        out.extend(cards.filter(|place| is_card(text, *place)).map(|place| start + place as u32));
        let words = set_bits(words_low | words_high << 16).map(|bit| at + bit);
        out.extend(words.filter(|place| is_word(text, *place)).map(|place| start + place as u32));
        at += STEP;
    }
}

fn set_bits(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(bit)
    })
}

/// Which of 16 bytes may begin a word that is looked for, and which are digits.
#[inline]
fn masks(step: &[u8; REACH], from: usize) -> (u32, u32) {
    let behind = |by: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&step[from + by..from + by + 16]);
        u8x16::from(bytes)
    };
    let (first, second, third, fourth) = (behind(0), behind(1), behind(2), behind(3));
    let is = |bytes: u8x16, byte: u8| bytes.simd_eq(u8x16::splat(byte));
    let letter = |bytes: u8x16, byte: u8| is(bytes | u8x16::splat(0x20), byte);
    let words = is(first, b'@')
        | (letter(first, b'e') & letter(third, b'r') & letter(fourth, b'e'))
        | (is(second, b'y') & is(third, b'J'))
        | (is(first, b'A') & is(third, b'I') & is(fourth, b'A'))
        | (is(first, b'-') & is(second, b'B'));
    let value = first ^ u8x16::splat(b'0');
    let digits = value.min(u8x16::splat(9)).simd_eq(value);
    (words.to_bitmask(), digits.to_bitmask())
}

/// Where, in the first half, three times four digits stand, up to two bytes between them all.
#[inline]
fn cards(digits: u64) -> u32 {
    let two = digits & digits >> 1;
    let four = two & two >> 2;
    let second = four >> 4 | four >> 5;
    let third = four >> 8 | four >> 9 | four >> 10 | four >> 11 | four >> 12;
    (four & second & third) as u32
}

fn is_word(text: &[u8], place: usize) -> bool {
    match text.get(place..).unwrap_or_default() {
        [b'@', ..] | [b'e', b'y', b'J', ..] | [b'A', b'K' | b'S', b'I', b'A', ..] => true,
        [b'-', rest @ ..] => rest.starts_with(b"BEGIN "),
        [b'e' | b'E', b'c' | b'C' | b'a' | b'A', ..] => true,
        _ => false,
    }
}

/// Are there as many digits as a card has, with single blanks or dashes between them?
fn is_card(text: &[u8], place: usize) -> bool {
    let (mut digits, mut separators) = (0, 0);
    for byte in &text[place..] {
        match byte {
            b'0'..=b'9' => (digits, separators) = (digits + 1, 0),
            b' ' | b'-' if separators == 0 => separators += 1,
            _ => break,
        }
        if digits == CARD_DIGITS_MIN {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        push_places(text.as_bytes(), 0, &mut out);
        out
    }

    #[test]
    fn places_are_found_wherever_they_stand() {
        let hidden = ["a@b", "the SeCret", "a bearer", "eyJ", "AKIA", "ASIA", "-----BEGIN ", "4111 1111 1111 1111"];
        let begins = [1, 5, 3, 0, 0, 0, 4, 0];
        for (hidden, begin) in hidden.into_iter().zip(begins) {
            for before in 0..100 {
                let text = format!("{}{hidden}{}", ".".repeat(before), ".".repeat(100 - before));
                assert!(found(&text).contains(&(before as u32 + begin)), "{hidden} at {before}: {:?}", found(&text));
            }
        }
        assert!(found("").is_empty());
    }

    #[test]
    fn a_log_line_has_none() {
        for text in [
            "2026-11-21T02:51:27.043032009Z stdout F 2026-11-20 08:00:00,000 INFO [worker-6] com.example.Service seq=0000-00000000; 503",
            "where there were 123456789012 -B A_IA yJ 1234  5678  9012  3456",
        ] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
        assert_eq!(found("1234567890123"), [0]);
    }
}
