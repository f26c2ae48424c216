//! Reading JSON without a tree: one pass finds the members of an object and checks every byte of them.
//!
//! Values stay where they are. Only what may not be sent on as it stands (raw control characters, lone surrogates, invalid
//! UTF-8: Fluent Bit accepts all three) is written anew.

use super::escape::{STEP, special_mask};
use std::ops::Range;
use wide::u8x16;

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
pub fn object(text: &[u8], mut take: impl FnMut(Member)) -> bool {
    let mut reader = Reader { text, at: 0, dirty: false, escaped: false };
    reader.object(&mut take).is_some() && {
        reader.blanks();
        reader.at == text.len()
    }
}

/// Reads one array and nothing behind it but white space; hands the byte range of each value to `take`, in order. `false`
/// when the text is not an array.
pub fn array(text: &[u8], mut take: impl FnMut((usize, usize))) -> bool {
    let mut reader = Reader { text, at: 0, dirty: false, escaped: false };
    reader.array(&mut take).is_some() && {
        reader.blanks();
        reader.at == text.len()
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    dirty: bool,
    escaped: bool,
}

impl Reader<'_> {
    fn object(&mut self, take: &mut impl FnMut(Member)) -> Option<()> {
        self.blanks();
        self.expect(b'{')?;
        self.blanks();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            take(self.member(0)?);
            match self.next()? {
                b',' => self.blanks(),
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    fn array(&mut self, take: &mut impl FnMut((usize, usize))) -> Option<()> {
        self.blanks();
        self.expect(b'[')?;
        self.blanks();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            let start = self.at;
            self.value(0)?;
            take((start, self.at));
            self.blanks();
            match self.next()? {
                b',' => self.blanks(),
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    fn member(&mut self, depth: usize) -> Option<Member> {
        self.dirty = false;
        let key = self.string()?;
        let key_escaped = self.escaped;
        self.blanks();
        self.expect(b':')?;
        self.blanks();
        let start = self.at;
        self.value(depth)?;
        let end = self.at;
        self.blanks();
        Some(Member { key: (key.0 + 1, key.1 - 1), key_escaped, value: (start, end), dirty: self.dirty })
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' | b'[' if depth < DEPTH_MAX => self.container(depth + 1),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn container(&mut self, depth: usize) -> Option<()> {
        let map = self.next()? == b'{';
        let close = if map { b'}' } else { b']' };
        self.blanks();
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            if map {
                self.string()?;
                self.blanks();
                self.expect(b':')?;
                self.blanks();
            }
            self.value(depth)?;
            self.blanks();
            match self.next()? {
                b',' => self.blanks(),
                byte if byte == close => return Some(()),
                _ => return None,
            }
        }
    }

    /// A string, quotes included.
    fn string(&mut self) -> Option<(usize, usize)> {
        let start = self.at;
        self.expect(b'"')?;
        self.escaped = false;
        let mut ascii = true;
        loop {
            ascii &= self.plain();
            match self.next()? {
                b'"' => break,
                b'\\' => self.escape()?,
                0..0x20 => self.dirty = true,
                0x80.. => ascii = false,
                _ => {}
            }
        }
        if !ascii && simdutf8::basic::from_utf8(&self.text[start..self.at]).is_err() {
            self.dirty = true;
        }
        Some((start, self.at))
    }

    /// Passes over text without quotes, backslashes and control characters, a register at a time; says whether it was ASCII.
    #[inline]
    fn plain(&mut self) -> bool {
        let mut high = 0;
        while let Some(step) = self.text[self.at..].first_chunk::<STEP>() {
            let special = special_mask(step);
            let all_high = u8x16::from(*step).to_bitmask();
            if special != 0 {
                let len = special.trailing_zeros();
                self.at += len as usize;
                return high | (all_high & ((1 << len) - 1)) == 0;
            }
            high |= all_high;
            self.at += STEP;
        }
        high == 0
    }

    fn escape(&mut self) -> Option<()> {
        self.escaped = true;
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let code = self.hex()?;
                match code {
                    0xD800..=0xDBFF if self.text[self.at..].starts_with(b"\\u") => {
                        let before = self.at;
                        self.at += 2;
                        if !matches!(self.hex()?, 0xDC00..=0xDFFF) {
                            self.dirty = true;
                            self.at = before;
                        }
                    }
                    0xD800..=0xDFFF => self.dirty = true,
                    _ => {}
                }
                Some(())
            }
            _ => None,
        }
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |n, d| Some(n * 16 + char::from(*d).to_digit(16)?))
    }

    /// A number by the grammar, and one that a double can hold: `1e400` is none.
    fn number(&mut self) -> Option<()> {
        let start = self.at;
        self.at += usize::from(self.peek()? == b'-');
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.some_digits()?;
            let number: f64 = std::str::from_utf8(&self.text[start..self.at]).ok()?.parse().ok()?;
            return number.is_finite().then_some(());
        }
        (self.at - start < 300).then_some(())
    }

    fn digits(&mut self) {
        self.at += self.text[self.at..].iter().take_while(|d| d.is_ascii_digit()).count();
    }

    fn some_digits(&mut self) -> Option<()> {
        let before = self.at;
        self.digits();
        (self.at > before).then_some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let fits = self.text[self.at..].starts_with(word);
        self.at += word.len();
        fits.then_some(())
    }

    #[inline(always)]
    fn blanks(&mut self) {
        if self.peek().is_none_or(|byte| byte <= b' ') {
            self.pass_blanks();
        }
    }

    #[inline(never)]
    fn pass_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
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
mod tests {
    use super::*;

    fn members(text: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        let slice = |(start, end): (usize, usize)| text[start..end].to_owned();
        object(text.as_bytes(), |m| found.push((slice(m.key), slice(m.value)))).then_some(found)
    }

    #[test]
    fn objects_give_their_members() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        for (text, expect) in [
            ("{}", Some(vec![])),
            (r#" { "a" : 1 } "#, Some(vec![pair("a", "1")])),
            (
                r#"{"a":"x\"y","b":[1,{"c":null}],"d":-1.5e3}"#,
                Some(vec![pair("a", r#""x\"y""#), pair("b", r#"[1,{"c":null}]"#), pair("d", "-1.5e3")]),
            ),
            (r#"{"a":01}"#, None),
            (r#"{"a":+1}"#, None),
            (r#"{"a":.5}"#, None),
            (r#"{"a":NaN}"#, None),
            (r#"{"a":1e400}"#, None),
            (r#"{"a":1,}"#, None),
            (r#"{"a":1} trailing"#, None),
            (r#"{"a":"\x"}"#, None),
            (r#"{"a":"open"#, None),
            ("[1]", None),
            ("", None),
        ] {
            assert_eq!(members(text), expect, "{text}");
        }
    }

    #[test]
    fn bytes_that_json_does_not_allow_are_written_anew() {
        for (text, expect) in [
            (&b"\"tab\there\""[..], r#""tab\there""#),
            (b"\"\\ud800 alone\"", "\"\u{FFFD} alone\""),
            (b"\"\\ud83d\\ude00\"", r#""\ud83d\ude00""#),
            (b"{\"a\\\"\":\"caf\xe9\"}", "{\"a\\\"\":\"caf\u{FFFD}\"}"),
        ] {
            let mut out = Vec::new();
            clean(text, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expect);
        }
    }

    #[test]
    fn what_serde_reads_is_read_and_the_other_way_round() {
        proptest::proptest!(|(text in r#"\{("[a-z\\"\\u0-9]{0,6}":?[-0-9.eE\[\]\{\}," a-z]{0,8},?){0,3}\}"#)| {
            let ours = object(text.as_bytes(), |_| {});
            let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok();
            // Lone surrogates are the one thing that is taken here and not there.
            if !text.contains("\\u") { proptest::prop_assert_eq!(ours, theirs, "{}", text); }
        });
    }

    #[test]
    fn escapes_resolve_as_serde_resolves_them() {
        proptest::proptest!(|(text in "\\PC{0,40}")| {
            let quoted = serde_json::to_string(&text).expect("serialises");
            let mut out = Vec::new();
            unescape(&quoted.as_bytes()[1..quoted.len() - 1], &mut out).expect("valid");
            proptest::prop_assert_eq!(&out, text.as_bytes());
            let mut arena = quoted.into_bytes();
            let end = arena.len();
            unescape_within(&mut arena, 1..end - 1).expect("valid");
            proptest::prop_assert_eq!(&arena[end..], text.as_bytes());
        });
    }
}
