//! Writing JSON: strings, numbers, and whole records.

pub use super::escape::push_escaped;
use super::{Batch, Record, Shape, Shared, Stream, Value};

/// U+FFFD, what invalid UTF-8 becomes.
const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();

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

/// Writes a record's keys and values without the braces. A field hides a shared one of its key, or is hidden by it; the key of
/// the offset and `drave.truncated` stand there also where a field has that name, as does a date before them. With `comma` one stands in front of the first.
pub fn push_members(out: &mut Vec<u8>, batch: &Batch, record: &Record, comma: bool) {
    write_members::<false, false>(out, batch, record, comma);
}

/// The same without what its source shares with all records, where that stands behind all others as [`Source::shared_json`] says it:
/// then it is true.
///
/// [`Source::shared_json`]: super::Source::shared_json
pub fn push_own_members(out: &mut Vec<u8>, batch: &Batch, record: &Record, comma: bool) -> bool {
    write_members::<false, true>(out, batch, record, comma)
}

/// The same with `_` for each dot in a key, at every depth.
pub fn push_members_without_dots(out: &mut Vec<u8>, batch: &Batch, record: &Record, comma: bool) {
    write_members::<true, false>(out, batch, record, comma);
}

/// Was something left out?
#[inline]
fn write_members<const WITHOUT_DOTS: bool, const LEAVE_SHARED: bool>(
    out: &mut Vec<u8>,
    batch: &Batch,
    record: &Record,
    mut comma: bool,
) -> bool {
    let (before, start) = (comma, out.len());
    let mut sep = |out: &mut Vec<u8>| {
        if std::mem::replace(&mut comma, true) {
            out.push(b',');
        }
    };
    match record.shape {
        Shape::Fields => {}
        Shape::Line if record.text_gone => {}
        Shape::Line => {
            sep(out);
            match WITHOUT_DOTS {
                true => push_without_dots(out, &batch.source.text_key_json),
                false => out.extend_from_slice(&batch.source.text_key_json),
            }
            push_text(out, batch, batch.bytes(record.text));
        }
        Shape::Container => {
            sep(out);
            push_container(out, batch, record);
        }
    }
    if let Some(key) = batch.source.draft.offset_key.as_ref().filter(|_| !record.owns_place) {
        sep(out);
        let start = out.len();
        push_string(out, key.as_bytes());
        replace_dots::<WITHOUT_DOTS>(out, start);
        out.push(b':');
        push_u64(out, record.offset);
    }
    if record.truncated && !record.owns_place {
        sep(out);
        out.extend_from_slice(if WITHOUT_DOTS { b"\"drave_truncated\":true" } else { b"\"drave.truncated\":true" });
    }
    let (fields, shared) = (batch.fields_of(record), batch.shared_of(record));
    for field in fields {
        let key = batch.bytes(field.key);
        if shared.iter().any(|s| s.wins && s.key.as_bytes() == key) {
            continue;
        }
        sep(out);
        let start = out.len();
        push_text(out, batch, key);
        replace_dots::<WITHOUT_DOTS>(out, start);
        out.push(b':');
        match field.value {
            Value::Json(span) if WITHOUT_DOTS => push_without_dots(out, batch.bytes(span)),
            Value::Json(span) => out.extend_from_slice(batch.bytes(span)),
            Value::Text(span) => push_text(out, batch, batch.bytes(span)),
        }
    }
    let is_shown = |s: &&Shared| s.wins || !fields.iter().any(|f| batch.bytes(f.key) == s.key.as_bytes());
    let is_whole = LEAVE_SHARED && !shared.is_empty() && shared.iter().all(|s| is_shown(&s));
    // It begins with a comma.
    if is_whole && (before || out.len() > start) {
        return true;
    }
    for entry in shared.iter().filter(is_shown) {
        sep(out);
        out.extend_from_slice(if WITHOUT_DOTS { entry.json_without_dots() } else { &entry.json });
    }
    false
}

/// In a key that was written from `start` on.
#[inline]
fn replace_dots<const WITHOUT_DOTS: bool>(out: &mut [u8], start: usize) {
    if WITHOUT_DOTS {
        out[start..].iter_mut().filter(|byte| **byte == b'.').for_each(|byte| *byte = b'_');
    }
}

/// Writes JSON with `_` for each dot in a key. A key is a string with a colon behind it.
pub fn push_without_dots(out: &mut Vec<u8>, json: &[u8]) {
    if memchr::memchr2(b'.', b'\\', json).is_none() {
        return out.extend_from_slice(json);
    }
    let mut rest = json;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        let end = quote + 1 + string_len(&rest[quote + 1..]);
        let start = out.len() + quote;
        out.extend_from_slice(&rest[..end]);
        rest = &rest[end..];
        if rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':') {
            replace_dots::<true>(out, start);
            replace_escaped_dots(out, start);
        }
    }
    out.extend_from_slice(rest);
}

/// Up to the quote that ends a string, and with it.
fn string_len(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    text.len()
}

/// A dot may be written as `\u002e`.
fn replace_escaped_dots(out: &mut Vec<u8>, start: usize) {
    const ESCAPE: &[u8] = b"\\u002e";
    let mut at = start;
    while let Some(escape) = out.get(at..at + ESCAPE.len()) {
        if escape.eq_ignore_ascii_case(ESCAPE) {
            out.splice(at..at + ESCAPE.len(), *b"_");
        } else if escape[0] == b'\\' {
            at += 1;
        }
        at += 1;
    }
}

fn push_container(out: &mut Vec<u8>, batch: &Batch, record: &Record) {
    push_container_head(out, batch, record);
    if record.text_gone {
        return;
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(batch.keys.text.as_bytes());
    out.extend_from_slice(b"\":");
    push_text(out, batch, batch.bytes(record.text));
}

/// Time, stream and tag. Put together by copies of a fixed length, each over the end of the one before, then appended at once.
fn push_container_head(out: &mut Vec<u8>, batch: &Batch, record: &Record) {
    const TIME_MAX: usize = 40;
    const BEFORE: &[u8; 8] = b"\"time\":\"";
    let mut head = [0; 128];
    let mut end = 0;
    let time = batch.bytes(record.time_text); // checked: digits and signs only
    match batch.text[record.time_text.start as usize..].first_chunk::<TIME_MAX>() {
        Some(more) if time.len() <= TIME_MAX => {
            head[..BEFORE.len()].copy_from_slice(BEFORE);
            head[BEFORE.len()..][..TIME_MAX].copy_from_slice(more);
            end = BEFORE.len() + time.len();
        }
        _ => {
            out.extend_from_slice(BEFORE);
            out.extend_from_slice(time);
        }
    }
    let mut put = |len: usize, bytes: &[u8]| {
        head[end..end + bytes.len()].copy_from_slice(bytes);
        end += len;
    };
    match record.stream {
        Stream::Stdout => put(19, b"\",\"stream\":\"stdout\""),
        Stream::Stderr => put(19, b"\",\"stream\":\"stderr\""),
        Stream::None => put(13, b"\",\"stream\":\"\""),
    }
    if let Some(tag) = batch.keys.tag {
        put(tag.len() + 5, batch.keys.before_tag);
        put(2, &[record.tag, b'"']);
    }
    out.extend_from_slice(&head[..end]);
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
        check(
            b"a text longer than a step of \"sixteen\" bytes\n",
            r#""a text longer than a step of \"sixteen\" bytes\n""#,
        );
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
    fn dots_of_keys_are_replaced() {
        for (json, expect) in [
            (r#"{"a.b":"c.d","e":[{"f.g.":1.5},"h.i"]}"#, r#"{"a_b":"c.d","e":[{"f_g_":1.5},"h.i"]}"#),
            (r#"{"a.b" : {"c.d":"\"x.y\":1"}}"#, r#"{"a_b" : {"c_d":"\"x.y\":1"}}"#),
            (r#"{"a\u002Eb\\u002e":"\u002e"}"#, r#"{"a_b\\u002e":"\u002e"}"#),
            (r#"{"a\"b.c":"."}"#, r#"{"a\"b_c":"."}"#),
            ("1.5", "1.5"),
            (r#""a.b""#, r#""a.b""#),
        ] {
            let mut out = Vec::new();
            push_without_dots(&mut out, json.as_bytes());
            assert_eq!(String::from_utf8_lossy(&out), expect);
        }
    }

    #[test]
    fn dots_are_replaced_as_in_a_tree() {
        let text = || "[ab.:\"\\\\{}]{0,6}";
        proptest::proptest!(|(keys in proptest::collection::vec(text(), 1..6), value in text())| {
            let mut tree = serde_json::Value::String(value);
            for key in keys {
                tree = serde_json::json!({ "x": [tree.clone()], key: tree });
            }
            let mut draft = crate::record::SourceDraft::default();
            draft.share("k.k", tree, false);
            let mut out = vec![b'{'];
            push_without_dots(&mut out, &draft.shared[0].json);
            out.push(b'}');
            let expect = [b"{", draft.shared[0].json_without_dots(), b"}"].concat();
            let read = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).expect("valid JSON");
            proptest::prop_assert_eq!(read(&out), read(&expect));
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
