//! Reading JSON without a tree: one pass finds the members of an object and checks every byte of them.
//!
//! Values stay where they are. Only what may not be sent on as it stands (raw control characters, lone surrogates, invalid
//! UTF-8: Fluent Bit accepts all three) is written anew.

use super::escape::{STEP, special_mask};
use std::ops::Range;

/// How deep values may be nested; deeper ones are not taken for JSON.
const DEPTH_MAX: usize = 100;

/// A member of an object: byte ranges in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Of the key, inside its quotes.
    pub key: (usize, usize),
    /// The key has escapes.
    pub key_escaped: bool,
    /// Of the value, quotes and brackets included.
    pub value: (usize, usize),
    /// Key or value have bytes that JSON does not allow; see [`clean`].
    pub dirty: bool,
}

/// Reads one object and nothing behind it but white space; hands each member to `take`, in order. `false` when the text
/// is not an object (members may have been handed out before that shows).
#[inline]
pub fn object(text: &[u8], take: impl FnMut(Member)) -> bool {
    object_of(text, false, take)
}

/// The same of a text that is known to be UTF-8, if `known_utf8`.
#[inline]
pub fn object_of(text: &[u8], known_utf8: bool, take: impl FnMut(Member)) -> bool {
    let mut reader = Reader::new(text, known_utf8);
    reader.object(take).is_some_and(|end| reader.blanks(end) == text.len())
}

/// Reads one array and nothing behind it but white space; hands the byte range of each value to `take`, in order. `false`
/// when the text is not an array.
pub fn array(text: &[u8], take: impl FnMut((usize, usize))) -> bool {
    let mut reader = Reader::new(text, false);
    reader.array(take).is_some_and(|end| reader.blanks(end) == text.len())
}

/// Bytes that are looked at together: a bit each.
const BLOCK: usize = 64;

/// Reads from a place and says where the next thing begins; `None` where the text is no JSON.
struct Reader<'t> {
    text: &'t [u8],
    /// All of the text is UTF-8; where it is not, each string has to be asked.
    is_utf8: bool,
    /// Where the block begins whose bits these are.
    block: usize,
    /// Quotes, backslashes, control characters, and what is behind the end.
    special: u64,
    /// Since it was last set to false: there was an escape.
    escaped: bool,
    /// The same for bytes that JSON does not allow.
    dirty: bool,
}

impl<'t> Reader<'t> {
    #[inline]
    fn new(text: &'t [u8], known_utf8: bool) -> Self {
        let is_utf8 = known_utf8 || simdutf8::basic::from_utf8(text).is_ok();
        let mut reader = Reader { text, is_utf8, block: 0, special: 0, escaped: false, dirty: false };
        reader.look(0);
        reader
    }

    #[inline]
    fn object(&mut self, mut take: impl FnMut(Member)) -> Option<usize> {
        let mut at = self.blanks(0);
        at = self.expect(at, b'{')?;
        at = self.blanks(at);
        if self.text.get(at) == Some(&b'}') {
            return Some(at + 1);
        }
        loop {
            (self.escaped, self.dirty) = (false, false);
            let start = self.expect(at, b'"')?;
            let end = self.string(start)?;
            let key_escaped = self.escaped;
            let colon = self.blanks(end);
            let from = self.expect(colon, b':')?;
            let from = self.blanks(from);
            at = self.value(from, 0)?;
            take(Member { key: (start, end - 1), key_escaped, value: (from, at), dirty: self.dirty });
            at = self.blanks(at);
            match self.text.get(at)? {
                b',' => at = self.blanks(at + 1),
                b'}' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    fn array(&mut self, mut take: impl FnMut((usize, usize))) -> Option<usize> {
        let mut at = self.blanks(0);
        at = self.expect(at, b'[')?;
        at = self.blanks(at);
        if self.text.get(at) == Some(&b']') {
            return Some(at + 1);
        }
        loop {
            let from = at;
            at = self.value(from, 0)?;
            take((from, at));
            at = self.blanks(at);
            match self.text.get(at)? {
                b',' => at = self.blanks(at + 1),
                b']' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    #[inline(always)]
    fn value(&mut self, at: usize, depth: usize) -> Option<usize> {
        match self.text.get(at)? {
            b'"' => self.string(at + 1),
            b'0'..=b'9' | b'-' => self.number(at),
            b'{' | b'[' if depth < DEPTH_MAX => self.container(at, depth + 1),
            b't' => self.word(at, b"true"),
            b'f' => self.word(at, b"false"),
            b'n' => self.word(at, b"null"),
            _ => None,
        }
    }

    fn container(&mut self, at: usize, depth: usize) -> Option<usize> {
        let close = self.text.get(at)? + 2;
        let mut at = self.blanks(at + 1);
        if *self.text.get(at)? == close {
            return Some(at + 1);
        }
        loop {
            if close == b'}' {
                at = self.expect(at, b'"')?;
                at = self.string(at)?;
                at = self.blanks(at);
                at = self.expect(at, b':')?;
                at = self.blanks(at);
            }
            at = self.value(at, depth)?;
            at = self.blanks(at);
            match *self.text.get(at)? {
                b',' => at = self.blanks(at + 1),
                byte if byte == close => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// A string, from behind its first quote to behind its last.
    #[inline(always)]
    fn string(&mut self, from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            let mut within = at - self.block;
            if within >= BLOCK {
                self.look(at);
                within = 0;
            }
            let special = self.special >> within;
            if special == 0 {
                at = self.block + BLOCK;
                continue;
            }
            at += special.trailing_zeros() as usize;
            if *self.text.get(at)? == b'"' {
                break;
            }
            at = self.odd(at)?;
        }
        if !self.is_utf8 {
            self.dirty |= simdutf8::basic::from_utf8(&self.text[from..at]).is_err();
        }
        Some(at + 1)
    }

    /// Takes the bits of the block that begins here.
    #[inline(never)]
    fn look(&mut self, from: usize) {
        let rest = self.text.get(from..).unwrap_or_default();
        let mut short = [0; BLOCK];
        let block = rest.first_chunk::<BLOCK>().unwrap_or_else(|| {
            short[..rest.len()].copy_from_slice(rest);
            &short
        });
        let [a, b, c, d] = [0, 1, 2, 3].map(|step| u64::from(special_mask(&block.as_chunks().0[step])));
        (self.block, self.special) = (from, a | b << STEP | c << (2 * STEP) | d << (3 * STEP));
    }

    /// An escape, or a control character.
    #[cold]
    #[inline(never)]
    fn odd(&mut self, at: usize) -> Option<usize> {
        if self.text[at] != b'\\' {
            self.dirty = true;
            return Some(at + 1);
        }
        self.escaped = true;
        match self.text.get(at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
            b'u' => self.unicode(at + 2),
            _ => None,
        }
    }

    fn unicode(&mut self, at: usize) -> Option<usize> {
        let code = self.hex(at)?;
        let end = at + 4;
        match code {
            0xD800..=0xDBFF if self.text[end..].starts_with(b"\\u") => {
                if matches!(self.hex(end + 2)?, 0xDC00..=0xDFFF) {
                    return Some(end + 6);
                }
                self.dirty = true;
            }
            0xD800..=0xDFFF => self.dirty = true,
            _ => {}
        }
        Some(end)
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 4)?;
        digits.iter().try_fold(0, |n, d| Some(n * 16 + char::from(*d).to_digit(16)?))
    }

    /// A number by the grammar, and one that a double can hold: `1e400` is none.
    #[inline]
    fn number(&self, start: usize) -> Option<usize> {
        let first = start + usize::from(self.text[start] == b'-');
        let mut at = self.digits(first);
        if at == first || at > first + 1 && self.text[first] == b'0' {
            return None;
        }
        if self.text.get(at) == Some(&b'.') {
            let from = at + 1;
            at = self.digits(from);
            if at == from {
                return None;
            }
        }
        if matches!(self.text.get(at), Some(b'e' | b'E')) {
            return self.exponent(start, at + 1);
        }
        (at - start < 300).then_some(at)
    }

    #[cold]
    fn exponent(&self, start: usize, at: usize) -> Option<usize> {
        let from = at + usize::from(matches!(self.text.get(at), Some(b'+' | b'-')));
        let end = self.digits(from);
        let number: f64 = std::str::from_utf8(&self.text[start..end]).ok()?.parse().ok()?;
        (end > from && number.is_finite()).then_some(end)
    }

    /// Behind the digits that stand here.
    #[inline(always)]
    fn digits(&self, mut at: usize) -> usize {
        while let Some(eight) = self.text.get(at..at + 8).and_then(|rest| rest.first_chunk::<8>()) {
            // A digit without the bits of '0' is below ten: adding 0x76 leaves its highest bit alone.
            let low = u64::from_le_bytes(*eight) ^ 0x3030_3030_3030_3030;
            let others = (((low & 0x7F7F_7F7F_7F7F_7F7F) + 0x7676_7676_7676_7676) | low) & 0x8080_8080_8080_8080;
            if others != 0 {
                return at + others.trailing_zeros() as usize / 8;
            }
            at += 8;
        }
        while self.text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    }

    #[inline]
    fn word(&self, at: usize, word: &[u8]) -> Option<usize> {
        self.text[at..].starts_with(word).then_some(at + word.len())
    }

    #[inline(always)]
    fn blanks(&self, at: usize) -> usize {
        match self.text.get(at) {
            Some(byte) if *byte <= b' ' => self.pass_blanks(at),
            _ => at,
        }
    }

    #[cold]
    #[inline(never)]
    fn pass_blanks(&self, mut at: usize) -> usize {
        while matches!(self.text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            at += 1;
        }
        at
    }

    #[inline(always)]
    fn expect(&self, at: usize, byte: u8) -> Option<usize> {
        (*self.text.get(at)? == byte).then_some(at + 1)
    }
}

/// Writes JSON text anew so that it is allowed: control characters in strings are escaped, lone surrogates and invalid UTF-8
/// become U+FFFD.
pub fn clean(text: &[u8], out: &mut Vec<u8>) {
    let lossy = String::from_utf8_lossy(text);
    let mut rest = lossy.as_ref();
    let mut in_string = false;
    while let Some(sign) = rest.chars().next() {
        let mut len = sign.len_utf8();
        match sign {
            '"' => in_string = !in_string,
            '\\' if in_string => {
                let (kept, consumed) = clean_escape(rest);
                out.extend_from_slice(kept.as_bytes());
                rest = &rest[consumed..];
                continue;
            }
            '\0'..'\u{20}' if in_string => {
                super::escape::push_escaped(out, &rest.as_bytes()[..1]);
                rest = &rest[1..];
                continue;
            }
            _ => {}
        }
        len = len.min(rest.len());
        out.extend_from_slice(&rest.as_bytes()[..len]);
        rest = &rest[len..];
    }
}

/// An escape as it may be sent, and how many bytes it took.
fn clean_escape(text: &str) -> (&str, usize) {
    let code = |at: usize| text.get(at..at + 4).and_then(|h| u32::from_str_radix(h, 16).ok());
    if !text.starts_with("\\u") {
        let len = 1 + text[1..].chars().next().map_or(0, char::len_utf8);
        return (&text[..len], len);
    }
    match code(2) {
        Some(0xD800..=0xDBFF) if text[6..].starts_with("\\u") && matches!(code(8), Some(0xDC00..=0xDFFF)) => {
            (&text[..12], 12)
        }
        Some(0xD800..=0xDFFF) => ("\u{FFFD}", 6),
        _ => (&text[..6.min(text.len())], 6.min(text.len())),
    }
}

/// The text of a JSON string without its quotes, escapes resolved. `None` when it is none.
pub fn unescape(inner: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let (sign, used) = escaped_char(&rest[at..])?;
        out.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[at + used..];
    }
    out.extend_from_slice(rest);
    Some(())
}

/// The same for a string that stands in `text` at `from`; its text goes to the end.
pub fn unescape_within(text: &mut Vec<u8>, from: Range<usize>) -> Option<()> {
    let mut at = from.start;
    while let Some(plain) = memchr::memchr(b'\\', &text[at..from.end]) {
        text.extend_from_within(at..at + plain);
        at += plain;
        let (sign, used) = escaped_char(&text[at..from.end])?;
        text.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
        at += used;
    }
    text.extend_from_within(at..from.end);
    Some(())
}

fn escaped_char(text: &[u8]) -> Option<(char, usize)> {
    let plain = match text.get(1)? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return unicode_escape(text),
        sign @ (b'"' | b'\\' | b'/') => char::from(*sign),
        _ => return None,
    };
    Some((plain, 2))
}

fn unicode_escape(text: &[u8]) -> Option<(char, usize)> {
    let code = |at: usize| u32::from_str_radix(std::str::from_utf8(text.get(at..at + 4)?).ok()?, 16).ok();
    let first = code(2)?;
    if let (0xD800..=0xDBFF, Some(b"\\u"), Some(second @ 0xDC00..=0xDFFF)) = (first, text.get(6..8), code(8)) {
        return Some((char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?, 12));
    }
    Some((char::from_u32(first).unwrap_or('\u{FFFD}'), 6))
}

#[cfg(test)]
mod tests;
