//! `types` of a parser: which fields are numbers or booleans.
//!
//! ```text
//! types status:integer took:float ok:bool flags:hex name:string
//! ```
//! As in Fluent Bit: `12x` is the integer 12, and what is no number at all is 0. A boolean that is none stays text.

use crate::record::{Batch, Span, Value};
use std::io::Write;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Integer,
    Float,
    Bool,
    Hex,
    Text,
}

const TYPES: &[(&str, Type)] = &[
    ("integer", Type::Integer),
    ("int", Type::Integer),
    ("float", Type::Float),
    ("bool", Type::Bool),
    ("boolean", Type::Bool),
    ("hex", Type::Hex),
    ("string", Type::Text),
];

/// Keys with their types.
#[derive(Debug, Clone, Default)]
pub(super) struct Types(Vec<(Vec<u8>, Type)>);

impl Types {
    /// Reads `key:type` items, between blanks or commas.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(|c: char| c.is_whitespace() || c == ',').filter(|item| !item.is_empty());
        items.map(item).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of a key, a number to ask for its values with.
    pub(super) fn of(&self, key: &[u8]) -> Option<TypeOf> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, kind)| TypeOf(*kind))
    }

    /// The value of a field as its type says.
    #[inline]
    pub(super) fn value(&self, batch: &mut Batch, key: Span, text: Span) -> Value {
        match self.of(batch.bytes(key)) {
            Some(kind) => kind.value(batch, text),
            None => Value::Text(text),
        }
    }
}

/// The type of one key.
#[derive(Debug, Clone, Copy)]
pub(super) struct TypeOf(Type);

impl TypeOf {
    /// A text as a value of this type. What is JSON already stays where it is.
    #[inline]
    pub(super) fn value(self, batch: &mut Batch, span: Span) -> Value {
        let text = batch.bytes(span);
        let is_in_place = match self.0 {
            Type::Text => return Value::Text(span),
            Type::Integer => is_plain_integer(text),
            Type::Float => is_plain_float(text),
            Type::Bool | Type::Hex => false,
        };
        if is_in_place {
            return Value::Json(span);
        }
        let mut json = [0; NUMBER_BYTES_MAX];
        let mut rest = &mut json[..];
        match self.0 {
            Type::Integer => drop(write!(rest, "{}", integer(text))),
            Type::Float => drop(write!(rest, "{:?}", float(text))),
            Type::Hex => drop(write!(rest, "{}", hex(text))),
            Type::Bool => match boolean(text) {
                Some(value) => drop(write!(rest, "{value}")),
                None => return Value::Text(span),
            },
            Type::Text => {}
        }
        let len = NUMBER_BYTES_MAX - rest.len();
        Value::Json(batch.append(&json[..len]))
    }
}

/// The longest float: Rust writes those far from 1 with an exponent.
const NUMBER_BYTES_MAX: usize = 32;

fn item(item: &str) -> Result<(Vec<u8>, Type), String> {
    let found = item.rsplit_once(':').and_then(|(key, word)| {
        let kind = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word))?;
        Some((key.as_bytes().to_vec(), kind.1))
    });
    found.ok_or_else(|| format!("expected key:type, the type integer, float, bool, hex or string; not `{item}`"))
}

fn is_plain_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let leads_with_zero = digits.len() > 1 && digits[0] == b'0';
    (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) && !leads_with_zero && text != b"-0"
}

/// Digits on both sides of a point.
fn is_plain_float(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let Some(point) = memchr::memchr(b'.', digits) else { return false };
    let (whole, fraction) = (&digits[..point], &digits[point + 1..]);
    let all = |digits: &[u8]| !digits.is_empty() && digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit);
    all(whole) && all(fraction) && (whole.len() == 1 || whole[0] != b'0')
}

fn integer(text: &[u8]) -> i64 {
    let (negative, digits) = sign(text);
    let digits = digits.iter().take_while(|d| d.is_ascii_digit());
    digits.fold(0_i64, |n, d| match negative {
        true => n.saturating_mul(10).saturating_sub(i64::from(d - b'0')),
        false => n.saturating_mul(10).saturating_add(i64::from(d - b'0')),
    })
}

fn hex(text: &[u8]) -> u64 {
    let (_, digits) = sign(text);
    let digits = digits.strip_prefix(b"0x").or(digits.strip_prefix(b"0X")).unwrap_or(digits);
    let digits = digits.iter().map_while(|d| char::from(*d).to_digit(16));
    digits.fold(0_u64, |n, d| n.checked_mul(16).map_or(u64::MAX, |n| n.saturating_add(u64::from(d))))
}

/// The longest beginning that is a number.
fn float(text: &[u8]) -> f64 {
    let text = text.trim_ascii_start();
    let len = text.iter().take_while(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')).count();
    let text = std::str::from_utf8(&text[..len.min(NUMBER_BYTES_MAX)]).unwrap_or("");
    let number = (0..=text.len()).rev().find_map(|end| text[..end].parse::<f64>().ok());
    number.filter(|n| n.is_finite()).unwrap_or(0.0)
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.trim_ascii_start() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

/// What begins like one of the words, in any case, is it.
fn boolean(text: &[u8]) -> Option<bool> {
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    if begins(b"true") {
        return Some(true);
    }
    begins(b"false").then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Source, SourceDraft};
    use std::sync::Arc;

    fn check(kind: &str, text: &str, expect: &str) {
        let types = Types::parse(&format!("a:string, k:{kind}")).expect("a type");
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let (key, span) = (batch.append(b"k"), batch.append(text.as_bytes()));
        let found = match types.value(&mut batch, key, span) {
            Value::Json(span) => String::from_utf8_lossy(batch.bytes(span)).into_owned(),
            Value::Text(span) => format!("{:?}", String::from_utf8_lossy(batch.bytes(span))),
        };
        assert_eq!(found, expect, "{text} as {kind}");
    }

    #[test]
    fn values() {
        for (kind, text, expect) in [
            ("integer", "42", "42"),
            ("integer", "-17", "-17"),
            ("integer", "007", "7"),
            ("integer", "12abc", "12"),
            ("integer", "+5", "5"),
            ("integer", "", "0"),
            ("integer", "99999999999999999999", "9223372036854775807"),
            ("integer", "-99999999999999999999", "-9223372036854775808"),
            ("float", "3.25", "3.25"),
            ("float", "-1e3", "-1000.0"),
            ("float", "1.5ms", "1.5"),
            ("float", ".5", "0.5"),
            ("float", "42", "42.0"),
            ("float", "1e999", "0.0"),
            ("float", "1e300", "1e300"),
            ("float", "abc", "0.0"),
            ("bool", "TRUE", "true"),
            ("bool", "false", "false"),
            ("bool", "truely", "true"),
            ("bool", "yes", "\"yes\""),
            ("hex", "0x1F", "31"),
            ("hex", "ff", "255"),
            ("hex", "zz", "0"),
            ("hex", "FFFFFFFFFFFFFFFFF", "18446744073709551615"),
            ("string", "08", "\"08\""),
        ] {
            check(kind, text, expect);
        }
        assert!(Types::parse("a:number").is_err() && Types::parse("a").is_err());
        assert!(Types::parse("").is_ok_and(|types| types.is_empty()));
    }

    #[test]
    fn every_number_is_json() {
        proptest::proptest!(|(text in "[-+0-9.eExf]{0,24}", kind in 0..2_usize)| {
            let kind = TypeOf([Type::Integer, Type::Float][kind]);
            let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
            let span = batch.append(text.as_bytes());
            let Value::Json(json) = kind.value(&mut batch, span) else { panic!("a number") };
            let json: Result<serde_json::Value, _> = serde_json::from_slice(batch.bytes(json));
            proptest::prop_assert!(json.is_ok_and(|json| json.is_number()), "{}", text);
        });
    }
}
