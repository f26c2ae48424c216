//! The parser format `logfmt`: `level=info msg="it is \"up\"" ready`.
//!
//! A key without a value is `true`, a quoted nothing an empty text. What is neither a key nor a value is passed over.

use super::types::Types;
use crate::record::{Batch, Field, Span, Value, json_read};

/// How a line is read.
#[derive(Debug, Clone, Default)]
pub(super) struct Logfmt {
    pub(super) types: Types,
    /// `logfmt_no_bare_keys`: a word without `=` makes the line none of the format.
    pub(super) no_bare_keys: bool,
}

/// A key and its value in the text, relative to its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    key: (usize, usize),
    /// Empty where there is none.
    value: (usize, usize),
    /// There is no `=` behind the key.
    bare: bool,
    quoted: bool,
    escaped: bool,
}

impl Logfmt {
    /// Adds the fields of a text; `false` where it has none.
    pub(super) fn read(&self, batch: &mut Batch, text: Span) -> bool {
        let (start, before) = (text.start as usize, batch.fields.len());
        let mut at = 0;
        while let Some(pair) = next_pair(text.of(&batch.text), &mut at) {
            if pair.bare && self.no_bare_keys {
                return false;
            }
            let key = Span::new(start + pair.key.0, start + pair.key.1);
            let value = self.value(batch, start, key, pair);
            batch.fields.push(Field { key, value });
        }
        batch.fields.len() > before
    }

    fn value(&self, batch: &mut Batch, start: usize, key: Span, pair: Pair) -> Value {
        let is_empty = pair.value.0 == pair.value.1;
        if is_empty && !pair.quoted && self.types.is_empty() {
            return Value::Json(batch.intern(b"true"));
        }
        if is_empty {
            return Value::Text(Span::default());
        }
        let text = Span::new(start + pair.value.0, start + pair.value.1);
        let text = if pair.escaped { unescaped(batch, text) } else { text };
        self.types.value(batch, key, text)
    }
}

/// Escapes that JSON does not have leave the text as it is.
fn unescaped(batch: &mut Batch, text: Span) -> Span {
    let (from, end) = (text.start as usize, batch.text.len());
    match json_read::unescape_within(&mut batch.text, from..from + text.len as usize) {
        Some(()) => Span::new(end, batch.text.len()),
        None => {
            batch.text.truncate(end);
            text
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte > b' ' && byte != b'=' && byte != b'"'
}

fn word_end(text: &[u8], from: usize) -> usize {
    text[from..].iter().position(|b| !is_word(*b)).map_or(text.len(), |len| from + len)
}

/// The next key from `at` on with its value; `at` moves behind them.
fn next_pair(text: &[u8], at: &mut usize) -> Option<Pair> {
    let start = *at + text[*at..].iter().position(|b| is_word(*b))?;
    let end = word_end(text, start);
    *at = end;
    let pair = Pair { key: (start, end), value: (end, end), bare: true, quoted: false, escaped: false };
    if text.get(end) != Some(&b'=') {
        return Some(pair);
    }
    *at = end + 1;
    if text.get(end + 1) != Some(&b'"') {
        *at = word_end(text, end + 1);
        return Some(Pair { value: (end + 1, *at), bare: false, ..pair });
    }
    let (close, escaped) = quote_end(text, end + 2);
    *at = (close + 1).min(text.len());
    Some(Pair { value: (end + 2, close), bare: false, quoted: true, escaped, ..pair })
}

/// Where the closing quote stands, or the end of the text, and whether there are escapes before it.
fn quote_end(text: &[u8], from: usize) -> (usize, bool) {
    let (mut at, mut escaped) = (from, false);
    while let Some(len) = memchr::memchr2(b'"', b'\\', &text[at..]) {
        at += len;
        if text[at] == b'"' {
            return (at, escaped);
        }
        escaped = true;
        at = (at + 2).min(text.len());
    }
    (text.len(), escaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Shape, Source, SourceDraft, json};
    use std::sync::Arc;

    fn check(logfmt: &Logfmt, text: &[u8], expect: Option<&str>) {
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let span = batch.append(text);
        let found = logfmt.read(&mut batch, span).then(|| {
            let fields_end = batch.fields.len() as u32;
            batch.records.push(Record { fields_end, shape: Shape::Fields, ..Record::default() });
            let mut out = Vec::new();
            json::push_members(&mut out, &batch, &batch.records[0], false);
            String::from_utf8_lossy(&out).into_owned()
        });
        assert_eq!(found.as_deref(), expect, "{}", String::from_utf8_lossy(text));
    }

    #[test]
    fn lines() {
        let plain = Logfmt::default();
        for (text, expect) in [
            (r#"a=1 b="x \"y\" z" c"#, Some(r#""a":"1","b":"x \"y\" z","c":true"#)),
            (r#"a= b="" c="open"#, Some(r#""a":true,"b":"","c":"open""#)),
            ("path=/a=b", Some(r#""path":"/a","b":true"#)),
            (r#"a="\x" b"#, Some(r#""a":"\\x","b":true"#)),
            (r#"a="end\"#, Some(r#""a":"end\\""#)),
            ("ünïcode=grün", Some(r#""ünïcode":"grün""#)),
            ("   ", None),
            ("", None),
            ("==\"", None),
        ] {
            check(&plain, text.as_bytes(), expect);
        }
        let strict = Logfmt { no_bare_keys: true, ..Logfmt::default() };
        check(&strict, b"a=1 b= c=\"\"", Some(r#""a":"1","b":true,"c":"""#));
        check(&strict, b"a=1 bare", None);
        let typed = Logfmt { types: Types::parse("a:integer").expect("types"), ..Logfmt::default() };
        check(&typed, b"a=1 b= c", Some(r#""a":1,"b":"","c":"""#));
    }

    #[test]
    fn every_text_is_read_to_its_end() {
        proptest::proptest!(|(text in proptest::collection::vec(proptest::sample::select(b"ab=\"\\ \xc3\xa4n".to_vec()), 0..60))| {
            let mut at = 0;
            while let Some(pair) = next_pair(&text, &mut at) {
                proptest::prop_assert!(pair.key.0 < pair.key.1 && pair.key.1 <= at && at <= text.len());
                proptest::prop_assert!(pair.value.0 <= pair.value.1 && pair.value.1 <= text.len());
            }
        });
    }
}
