//! Values of one type as values of another.
//!
//! ```text
//! "12kb" → 12    "0x1F" as hex → 31    7.9 → 7    200 → "200"    -1 as uint → 18446744073709551615
//! ```

use crate::record::Found;
use std::io::Write;

/// A value that can be converted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'t> {
    Int(i64),
    Uint(u64),
    Float(f64),
    Bool(bool),
    Text(&'t [u8]),
}

impl<'t> Scalar<'t> {
    /// Maps, arrays and null are none. A text with escapes stands in `buffer`.
    pub(super) fn of<'b: 't>(found: Found<'b>, buffer: &'t mut Vec<u8>) -> Option<Self> {
        if let Some(text) = found.string(buffer) {
            return Some(Self::Text(text));
        }
        match found {
            Found::Number(number) => Some(Self::Uint(number)),
            Found::Json(b"true") => Some(Self::Bool(true)),
            Found::Json(b"false") => Some(Self::Bool(false)),
            Found::Json(json) => {
                let text = std::str::from_utf8(json).ok()?;
                let whole = text.parse().map(Self::Uint).or_else(|_| text.parse().map(Self::Int));
                whole.ok().or_else(|| text.parse().ok().map(Self::Float))
            }
            Found::Text(_) => None,
        }
    }

    /// Writes it as JSON. A number that JSON cannot write is null.
    pub(super) fn push_json(self, out: &mut Vec<u8>) {
        match self {
            Self::Float(number) if !number.is_finite() => out.extend_from_slice(b"null"),
            Self::Text(text) => crate::record::json::push_string(out, text),
            other => other.push_text(out),
        }
    }

    /// Writes it as text: floats with a point.
    pub(super) fn push_text(self, out: &mut Vec<u8>) {
        // Writing into a vector cannot fail.
        let _ = match self {
            Self::Int(number) => write!(out, "{number}"),
            Self::Uint(number) => write!(out, "{number}"),
            Self::Float(number) => write!(out, "{number:?}"),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Text(text) => out.write_all(text),
        };
    }

    /// As text, which stands in `buffer` if it was none.
    pub(super) fn text<'b>(self, buffer: &'b mut Vec<u8>) -> &'b [u8]
    where
        't: 'b,
    {
        if let Self::Text(text) = self {
            return text;
        }
        buffer.clear();
        self.push_text(buffer);
        buffer
    }

    /// As a number with a point.
    pub(super) fn float(self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(number as f64),
            Self::Uint(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            Self::Bool(_) => None,
            Self::Text(text) => leading_float(text),
        }
    }
}

/// The whole number that a text begins with, within the given limits.
pub(super) fn leading_whole(text: &[u8], min: i128, max: i128) -> Option<i128> {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    let count = digits.iter().take_while(|d| d.is_ascii_digit()).count();
    let number = digits[..count].iter().take(30).fold(0i128, |n, d| n * 10 + i128::from(d - b'0'));
    (count > 0).then(|| (sign * number).clamp(min, max))
}

/// The number that a text begins with.
pub(super) fn leading_float(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii_start();
    let end = text.iter().take_while(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')).count();
    let text = std::str::from_utf8(&text[..end]).ok()?;
    (1..=end).rev().find_map(|end| text[..end].parse().ok())
}

/// The hexadecimal number that a text begins with.
pub(super) fn leading_hex(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_start();
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X")).unwrap_or(text);
    let count = digits.iter().take_while(|d| d.is_ascii_hexdigit()).count().min(16);
    u64::from_str_radix(std::str::from_utf8(&digits[..count]).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_beginning_of_a_text() {
        let whole = |text: &str| leading_whole(text.as_bytes(), i128::from(i64::MIN), i128::from(i64::MAX));
        for (text, expect) in
            [("12kb", Some(12)), ("-3", Some(-3)), ("7.9", Some(7)), ("x", None), ("", None), ("0", Some(0))]
        {
            assert_eq!(whole(text), expect, "{text}");
        }
        assert_eq!(whole(&"9".repeat(40)), Some(i128::from(i64::MAX)));
        for (text, expect) in [(".5", Some(0.5)), ("1e-3x", Some(0.001)), ("1e", Some(1.0)), ("-", None), ("nan", None)]
        {
            assert_eq!(leading_float(text.as_bytes()), expect, "{text}");
        }
        for (text, expect) in [("0x1F", Some(31)), ("ff", Some(255)), ("xyz", None)] {
            assert_eq!(leading_hex(text.as_bytes()), expect, "{text}");
        }
    }
}
