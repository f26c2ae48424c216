//! Writing JSON: strings, numbers, and whole records.

use super::{Batch, Record, Shape, Shared, Value};

/// U+FFFD, what invalid UTF-8 becomes.
const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();
/// Bytes looked at in one step; the compiler makes vector instructions of it.
const STEP: usize = 16;

/// Writes `text` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD.
pub fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        push_escaped(out, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(REPLACEMENT);
        }
    }
    out.push(b'"');
}

/// Writes UTF-8 as a JSON string with its quotes.
#[inline]
pub fn push_utf8(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Writes UTF-8 with quotes, backslashes and control characters escaped.
#[inline]
pub fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + text.len() / 8 + STEP);
    let mut plain = 0;
    let mut at = 0;
    while at + STEP <= text.len() {
        let mut mask = special_mask(&text[at..at + STEP]);
        while mask != 0 {
            let special = at + mask.trailing_zeros() as usize;
            out.extend_from_slice(&text[plain..special]);
            push_escape(out, text[special]);
            plain = special + 1;
            mask &= mask - 1;
        }
        at += STEP;
    }
    for special in at..text.len() {
        if is_special(text[special]) {
            out.extend_from_slice(&text[plain..special]);
            push_escape(out, text[special]);
            plain = special + 1;
        }
    }
    out.extend_from_slice(&text[plain..]);
}

#[inline]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// A bit for each byte that has to be escaped.
#[inline]
fn special_mask(step: &[u8]) -> u32 {
    let mut any = [0u8; STEP];
    for (flag, byte) in any.iter_mut().zip(step) {
        *flag = u8::from(is_special(*byte));
    }
    if any == [0; STEP] {
        return 0;
    }
    any.iter().enumerate().fold(0, |mask, (i, flag)| mask | u32::from(*flag) << i)
}

#[cold]
fn push_control(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    out.push(HEX[usize::from(byte >> 4)]);
    out.push(HEX[usize::from(byte & 15)]);
}

#[inline]
fn push_escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0C => out.extend_from_slice(b"\\f"),
        other => push_control(out, other),
    }
}

/// Writes a whole number.
pub fn push_u64(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// Writes text of a batch; quick where the batch is known to be UTF-8.
#[inline]
fn push_text(out: &mut Vec<u8>, batch: &Batch, text: &[u8]) {
    if batch.utf8 { push_utf8(out, text) } else { push_string(out, text) }
}

/// Writes a record's keys and values, each key once, without the braces. With `comma` one stands in front of the first.
pub fn push_members(out: &mut Vec<u8>, batch: &Batch, record: &Record, mut comma: bool) {
    let mut sep = |out: &mut Vec<u8>| {
        if std::mem::replace(&mut comma, true) {
            out.push(b',');
        }
    };
    match record.shape {
        Shape::Fields => {}
        Shape::Line => {
            sep(out);
            out.extend_from_slice(&batch.source.text_key_json);
            push_text(out, batch, batch.bytes(record.text));
        }
        Shape::Container => {
            sep(out);
            push_container(out, batch, record);
        }
    }
    if let Some(key) = &batch.source.draft.offset_key {
        sep(out);
        push_string(out, key.as_bytes());
        out.push(b':');
        push_u64(out, record.offset);
    }
    if record.truncated {
        sep(out);
        out.extend_from_slice(b"\"drave.truncated\":true");
    }
    let fields = batch.fields_of(record);
    if fields.is_empty() {
        let shared = &batch.source.shared_json;
        if !shared.is_empty() {
            sep(out);
            out.extend_from_slice(&shared[1..]);
        }
        return;
    }
    let shared = &batch.source.draft.shared;
    for field in fields {
        let key = batch.bytes(field.key);
        if shared.iter().any(|s| s.wins && s.key.as_bytes() == key) {
            continue;
        }
        sep(out);
        push_text(out, batch, key);
        out.push(b':');
        match field.value {
            Value::Json(span) => out.extend_from_slice(batch.bytes(span)),
            Value::Text(span) => push_text(out, batch, batch.bytes(span)),
        }
    }
    let hidden = |s: &&Shared| s.wins || !fields.iter().any(|f| batch.bytes(f.key) == s.key.as_bytes());
    for entry in shared.iter().filter(hidden) {
        sep(out);
        out.extend_from_slice(&entry.json);
    }
}

fn push_container(out: &mut Vec<u8>, batch: &Batch, record: &Record) {
    out.extend_from_slice(b"\"time\":\"");
    out.extend_from_slice(batch.bytes(record.time_text)); // checked: digits and signs only
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(record.stream.name().as_bytes());
    out.extend_from_slice(b"\",\"");
    if let Some(tag) = batch.keys.tag {
        out.extend_from_slice(tag.as_bytes());
        out.extend_from_slice(b"\":\"");
        out.push(record.tag);
        out.extend_from_slice(b"\",\"");
    }
    out.extend_from_slice(batch.keys.text.as_bytes());
    out.extend_from_slice(b"\":");
    push_text(out, batch, batch.bytes(record.text));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expect: &str) {
        let mut out = Vec::new();
        push_string(&mut out, input);
        assert_eq!(String::from_utf8_lossy(&out), expect);
    }

    #[test]
    fn strings_are_escaped() {
        check(b"", r#""""#);
        check(b"plain", r#""plain""#);
        check(br#"{"a":"b\c"}"#, r#""{\"a\":\"b\\c\"}""#);
        check(b"tab\there\nend\r\x08\x0c\x01\x1f", r#""tab\there\nend\r\b\f\u0001\u001f""#);
        check(b"a text longer than a step of \"sixteen\" bytes\n", r#""a text longer than a step of \"sixteen\" bytes\n""#);
        check("naïve 日本語".as_bytes(), "\"naïve 日本語\"");
    }

    #[test]
    fn each_invalid_sequence_is_one_replacement() {
        check(b"caf\xe9 au lait", "\"caf\u{FFFD} au lait\"");
        check(b"\xff\xfe", "\"\u{FFFD}\u{FFFD}\"");
        check(b"cut \xe6\x9d", "\"cut \u{FFFD}\"");
    }

    #[test]
    fn every_text_reads_back_the_same() {
        proptest::proptest!(|(text in "\\PC*[\\x00-\\x7f]{0,40}\\PC*")| {
            let mut out = Vec::new();
            push_utf8(&mut out, text.as_bytes());
            let back: String = serde_json::from_slice(&out).expect("valid JSON");
            proptest::prop_assert_eq!(back, text);
        });
    }

    #[test]
    fn numbers() {
        for (number, expect) in [(0, "0"), (7, "7"), (10, "10"), (u64::MAX, "18446744073709551615")] {
            let mut out = Vec::new();
            push_u64(&mut out, number);
            assert_eq!(out, expect.as_bytes());
        }
    }
}
