//! `decode_field` and `decode_field_as`: values that hold another format.
//!
//! ```text
//! decode_field    json log                 the members of the object in `log` become fields beside it
//! decode_field_as json log                 the object takes the place of the text
//! decode_field_as escaped log do_next      \n, \t, \" … become what they mean; then the next line of that field
//! decode_field_as escaped_utf8 log         the same; \u00e9 and \xc3 too
//! decode_field_as mysql_quoted log         'it\'s' without its quotes, and \0, \Z … as MySQL means them
//! ```
//! `do_next` goes on with the next one of the field after a success, `try_next` after a failure.

use crate::record::json_read;
use crate::record::{Batch, Field, Span, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decoder {
    Json,
    Escaped,
    EscapedUtf8,
    MysqlQuoted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Stop,
    DoNext,
    TryNext,
}

/// One line of a parser section.
#[derive(Debug, Clone)]
pub(super) struct Decoding {
    decoder: Decoder,
    key: Vec<u8>,
    then: Then,
    /// `decode_field`: what is decoded stands beside the field, not in its place.
    beside: bool,
}

impl Decoding {
    /// Reads `DECODER KEY [do_next|try_next]`.
    pub(super) fn parse(text: &str, beside: bool) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let decoder = match words.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "json" => Decoder::Json,
            "escaped" => Decoder::Escaped,
            "escaped_utf8" => Decoder::EscapedUtf8,
            "mysql_quoted" => Decoder::MysqlQuoted,
            other => {
                let all = "json, escaped, escaped_utf8 and mysql_quoted";
                return Err(format!("there is no decoder `{other}`; there are {all}"));
            }
        };
        let key = words.next().ok_or("the field is missing, as in `json log`")?;
        let then = match words.next().map(str::to_ascii_lowercase).as_deref() {
            None => Then::Stop,
            Some("do_next") => Then::DoNext,
            Some("try_next") => Then::TryNext,
            Some(other) => return Err(format!("expected do_next, try_next or nothing, not `{other}`")),
        };
        Ok(Self { decoder, key: key.into(), then, beside })
    }
}

/// Decodes the fields from `start` on, which are the last ones of the batch.
pub(super) fn decode(decodings: &[Decoding], batch: &mut Batch, start: usize) {
    let end = batch.fields.len();
    for at in start..end {
        for beside in [false, true] {
            decode_field(decodings, batch, at, beside);
        }
    }
}

fn decode_field(decodings: &[Decoding], batch: &mut Batch, at: usize, beside: bool) {
    let mut value = batch.fields[at].value;
    let mut decoded = false;
    for decoding in decodings {
        if decoding.beside != beside || decoding.key != batch.bytes(batch.fields[at].key) {
            continue;
        }
        let Some(text) = text_of(batch, value) else { break };
        match decoding.decoder.decode(batch, text) {
            Some(found) => {
                (value, decoded) = (found, true);
                if decoding.then != Then::DoNext {
                    break;
                }
            }
            None if decoding.then == Then::TryNext => {}
            None => break,
        }
    }
    match value {
        _ if !decoded => {}
        Value::Json(object) if beside => push_members(batch, object),
        _ if beside => {}
        value => batch.fields[at].value = value,
    }
}

impl Decoder {
    fn decode(self, batch: &mut Batch, text: Span) -> Option<Value> {
        match self {
            Self::Json => object(batch, text).map(Value::Json),
            Self::Escaped => Some(Value::Text(unescape(batch, text, |text, escape| push_escape(text, escape, false)))),
            Self::EscapedUtf8 => {
                Some(Value::Text(unescape(batch, text, |text, escape| push_escape(text, escape, true))))
            }
            Self::MysqlQuoted => {
                let ([quote @ (b'\'' | b'"'), .., end], true) = (batch.bytes(text), text.len >= 2) else { return None };
                let inner = Span { start: text.start + 1, len: text.len - 2 };
                (quote == end).then(|| Value::Text(unescape(batch, inner, push_mysql_escape)))
            }
        }
    }
}

/// The text of a value, without the escapes of JSON; `None` for what is no text.
pub(super) fn text_of(batch: &mut Batch, value: Value) -> Option<Span> {
    let json = match value {
        Value::Text(span) => return Some(span),
        Value::Json(span) => span,
    };
    let [b'"', inner @ .., b'"'] = batch.bytes(json) else { return None };
    let (from, len) = (json.start as usize + 1, inner.len());
    if !inner.contains(&b'\\') {
        return Some(Span::new(from, from + len));
    }
    let start = batch.text.len();
    json_read::unescape_within(&mut batch.text, from..from + len)?;
    Some(Span::new(start, batch.text.len()))
}

/// An object, as it may be sent.
fn object(batch: &mut Batch, text: Span) -> Option<Span> {
    let mut dirty = false;
    let is_object = json_read::object(text.of(&batch.text), |member| dirty |= member.dirty);
    if !is_object {
        return None;
    }
    if !dirty {
        let (bytes, start) = (batch.bytes(text), text.start as usize);
        let blanks = bytes.len() - bytes.trim_ascii_start().len();
        let len = bytes.trim_ascii().len();
        return Some(Span::new(start + blanks, start + blanks + len));
    }
    let mut clean = Vec::new();
    json_read::clean(batch.bytes(text).trim_ascii(), &mut clean);
    Some(batch.append(&clean))
}

/// The members of an object become fields; they stand before those of the same name that there are.
fn push_members(batch: &mut Batch, object: Span) {
    let start = object.start as usize;
    let (fields, mut rewritten) = (&mut batch.fields, Vec::new());
    json_read::object(object.of(&batch.text), |member| {
        if member.key_escaped {
            rewritten.push((fields.len(), member));
        }
        fields.push(Field {
            key: Span::new(start + member.key.0, start + member.key.1),
            value: Value::Json(Span::new(start + member.value.0, start + member.value.1)),
        });
    });
    rewritten.into_iter().for_each(|(index, member)| super::json::rewrite(batch, start, index, member));
}

/// Escapes become what they mean, at the end of the arena.
fn unescape(
    batch: &mut Batch,
    span: Span,
    push_escape: impl Fn(&mut Vec<u8>, std::ops::Range<usize>) -> usize,
) -> Span {
    let (from, end) = (span.start as usize, (span.start + span.len) as usize);
    let start = batch.text.len();
    let mut at = from;
    while let Some(len) = memchr::memchr(b'\\', &batch.text[at..end]) {
        batch.text.extend_from_within(at..at + len);
        at += len;
        at += push_escape(&mut batch.text, at..end);
    }
    batch.text.extend_from_within(at..end);
    batch.utf8 = false;
    Span::new(start, batch.text.len())
}

/// The same by MySQL's rules; what is no escape of its stays as it is.
fn push_mysql_escape(text: &mut Vec<u8>, range: std::ops::Range<usize>) -> usize {
    let plain = match text[range].get(1) {
        Some(b'0') => 0,
        Some(b'b') => 8,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'Z') => 0x1a,
        Some(sign @ (b'\\' | b'"' | b'\'')) => *sign,
        _ => {
            text.push(b'\\');
            return 1;
        }
    };
    text.push(plain);
    2
}

/// Writes what the escape at the beginning of the range means; returns its length. What is none stays as it is.
fn push_escape(text: &mut Vec<u8>, range: std::ops::Range<usize>, utf8: bool) -> usize {
    let escape = &text[range.clone()];
    let plain = match escape.get(1) {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'a') => 7,
        Some(b'b') => 8,
        Some(b'v') => 11,
        Some(b'f') => 12,
        Some(sign @ (b'\\' | b'"' | b'\'' | b'/')) => *sign,
        Some(b'u' | b'U') if utf8 => return push_code(text, range),
        Some(b'x') if utf8 => match hex(escape.get(2..4)) {
            Some(byte) => {
                text.push(byte as u8);
                return 4;
            }
            None => b'\\',
        },
        _ => b'\\',
    };
    let used = if plain == b'\\' && escape.get(1) != Some(&b'\\') { 1 } else { 2 };
    text.push(plain);
    used
}

/// `\u00e9`, or two of them for a character beyond U+FFFF.
fn push_code(text: &mut Vec<u8>, range: std::ops::Range<usize>) -> usize {
    let escape = &text[range];
    let digits = if escape.get(1) == Some(&b'U') { 8 } else { 4 };
    let Some(code) = hex(escape.get(2..2 + digits)) else {
        text.push(b'\\');
        return 1;
    };
    let mut used = 2 + digits;
    let mut sign = char::from_u32(code);
    if (0xD800..0xDC00).contains(&code)
        && escape.get(used..used + 2) == Some(b"\\u")
        && let Some(low @ 0xDC00..0xE000) = hex(escape.get(used + 2..used + 6))
    {
        used += 6;
        sign = char::from_u32(0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00));
    }
    let sign = sign.unwrap_or(char::REPLACEMENT_CHARACTER);
    text.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
    used
}

fn hex(digits: Option<&[u8]>) -> Option<u32> {
    digits?.iter().try_fold(0, |n, digit| Some(n * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Shape, Source, SourceDraft, json};
    use std::sync::Arc;

    fn check(decodings: &[(&str, bool)], value: &str, expect: &str) {
        let decodings: Vec<Decoding> =
            decodings.iter().map(|(text, beside)| Decoding::parse(text, *beside).expect(text)).collect();
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let (key, value) = (batch.append(b"m"), Value::Text(batch.append(value.as_bytes())));
        batch.fields.push(Field { key, value });
        decode(&decodings, &mut batch, 0);
        let fields_end = batch.fields.len() as u32;
        batch.records.push(Record { fields_end, shape: Shape::Fields, ..Record::default() });
        let mut out = Vec::new();
        json::push_members(&mut out, &batch, &batch.records[0], false);
        assert_eq!(String::from_utf8_lossy(&out), expect);
    }

    #[test]
    fn values() {
        let object = r#"{"a":1,"b":{"c":"x"}} "#;
        check(&[("json m", false)], object, r#""m":{"a":1,"b":{"c":"x"}}"#);
        check(&[("json m", true)], object, r#""m":"{\"a\":1,\"b\":{\"c\":\"x\"}} ","a":1,"b":{"c":"x"}"#);
        check(&[("json m", false)], "[1]", r#""m":"[1]""#);
        check(&[("json other", false)], object.trim(), r#""m":"{\"a\":1,\"b\":{\"c\":\"x\"}}""#);
        check(&[("escaped m", false)], r#"a\tb\n\"q\" \\ \q \u00e9"#, r#""m":"a\tb\n\"q\" \\ \\q \\u00e9""#);
        check(&[("escaped_utf8 m", false)], r"caf\u00e9 \x41 \ud83d\ude00 \ud800 \uZZ", r#""m":"café A 😀 � \\uZZ""#);
        check(&[("escaped m do_next", false), ("json m", false)], r#"{\"a\":\"x\\ny\"}"#, r#""m":{"a":"x\ny"}"#);
        check(&[("json m try_next", false), ("escaped m", false)], r"a\tb", r#""m":"a\tb""#);
        check(&[("json m", false), ("escaped m", false)], r"a\tb", r#""m":"a\\tb""#);
        check(&[("mysql_quoted m", false)], r#"'it\'s\n\x \Z\'"#, r#""m":"it's\n\\x \u001a\\""#);
        check(&[("mysql_quoted m", false)], r#""a\"b""#, r#""m":"a\"b""#);
        for plain in ["'open", "plain", "'", ""] {
            check(&[("mysql_quoted m", false)], plain, &format!(r#""m":"{plain}""#));
        }
        for wrong in ["", "xml m", "json", "json m later"] {
            assert!(Decoding::parse(wrong, false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_escape_panics() {
        proptest::proptest!(|(text in "(\\\\[nuUx\\\\]?[0-9a-fdD]{0,8}|é){0,9}")| {
            let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
            let span = batch.append(text.as_bytes());
            let _ = unescape(&mut batch, span, |text, escape| push_escape(text, escape, false));
            let _ = unescape(&mut batch, span, |text, escape| push_escape(text, escape, true));
            let _ = unescape(&mut batch, span, push_mysql_escape);
        });
    }
}
