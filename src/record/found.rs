//! What looking into a record finds: a key's value, borrowed from the batch; nothing is copied until somebody writes it.

use super::{Batch, Record, Shape, Shared, Value, json, json_read};

/// A value of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// A JSON value as it stands in the text, valid and UTF-8.
    Json(&'a [u8]),
    /// Text, not escaped, maybe not UTF-8.
    Text(&'a [u8]),
    /// A whole number that stands nowhere as text: the place in the file.
    Number(u64),
}

impl<'a> Found<'a> {
    /// Writes it as JSON.
    pub fn push_json(self, out: &mut Vec<u8>) {
        match self {
            Self::Json(json) => out.extend_from_slice(json),
            Self::Text(text) => json::push_string(out, text),
            Self::Number(number) => json::push_u64(out, number),
        }
    }

    /// Writes it as text, as templates do: strings without quotes, floats with six decimals, maps and arrays as JSON.
    /// Invalid UTF-8 becomes U+FFFD.
    pub fn push_text(self, out: &mut String) {
        match self {
            Self::Json([b'"', inner @ .., b'"']) => push_unescaped(out, inner),
            Self::Json(json) => match float(json) {
                Some(float) => push_float(out, float),
                None => push_lossy(out, json),
            },
            Self::Text(text) => push_lossy(out, text),
            Self::Number(number) => out.push_str(&number.to_string()),
        }
    }

    /// The bytes of a string, its escapes resolved in `buffer`; `None` for all other values.
    pub fn string<'s>(self, buffer: &'s mut Vec<u8>) -> Option<&'s [u8]>
    where
        'a: 's,
    {
        match self {
            Self::Text(text) => Some(text),
            Self::Json([b'"', inner @ .., b'"']) if memchr::memchr(b'\\', inner).is_none() => Some(inner),
            Self::Json([b'"', inner @ .., b'"']) => {
                buffer.clear();
                json_read::unescape(inner, buffer)?;
                Some(buffer)
            }
            _ => None,
        }
    }

    /// Is it a string?
    pub fn is_string(self) -> bool {
        matches!(self, Self::Text(_) | Self::Json([b'"', ..]))
    }

    /// The value under a key of a map.
    pub(super) fn member(self, key: &[u8]) -> Option<Self> {
        let Self::Json(text) = self else { return None };
        let mut found = None;
        json_read::object(text, |member| {
            let own = &text[member.key.0..member.key.1];
            if if member.key_escaped { is_escape_of(own, key) } else { own == key } {
                found = Some(member.value);
            }
        });
        found.map(|(start, end)| Self::Json(&text[start..end]))
    }

    /// A value of an array, by its number from 0.
    pub(super) fn item(self, number: usize) -> Option<Self> {
        let Self::Json(text) = self else { return None };
        let (mut at, mut found) = (0, None);
        json_read::array(text, |value| {
            if at == number {
                found = Some(value);
            }
            at += 1;
        });
        found.map(|(start, end)| Self::Json(&text[start..end]))
    }

    pub(super) fn is_container(self) -> bool {
        matches!(self, Self::Json([b'{' | b'[', ..]))
    }
}

fn is_escape_of(escaped: &[u8], key: &[u8]) -> bool {
    let mut own = Vec::new();
    json_read::unescape(escaped, &mut own).is_some() && own == key
}

fn push_unescaped(out: &mut String, inner: &[u8]) {
    if !inner.contains(&b'\\') {
        return push_lossy(out, inner);
    }
    let mut text = Vec::new();
    if json_read::unescape(inner, &mut text).is_some() {
        push_lossy(out, &text);
    }
}

fn push_lossy(out: &mut String, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        out.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            out.push('\u{FFFD}');
        }
    }
}

/// A JSON number that is not a whole one, or too large for 64 bits.
pub fn float(json: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(json).ok()?;
    let first = json.first()?;
    let whole = text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok();
    if whole || !(first.is_ascii_digit() || *first == b'-') { None } else { text.parse().ok() }
}

/// Six decimals, as everywhere that a float becomes text.
pub fn push_float(out: &mut String, float: f64) {
    use std::fmt::Write;
    // Writing into a String cannot fail.
    let _ = write!(out, "{float:.6}");
}

impl Batch {
    /// The value under a key of a record: its own, else one that its source shares, as it would be sent.
    pub fn find(&self, record: usize, key: &[u8]) -> Option<Found<'_>> {
        let record = self.records.get(record)?;
        let shared = self.shared_of(record).iter().find(|s| s.key.as_bytes() == key);
        if let Some(shared) = shared.filter(|s| s.wins) {
            return Some(Found::Json(shared.value_json()));
        }
        let field = self.fields_of(record).iter().rev().find(|f| self.bytes(f.key) == key);
        let field = field.map(|f| self.found(f.value));
        field.or_else(|| shared.map(|s| Found::Json(s.value_json()))).or_else(|| self.virtual_value(record, key))
    }

    /// Has a record this key, as its own or as a shared one?
    pub fn has_key(&self, record: usize, key: &[u8]) -> bool {
        let Some(record) = self.records.get(record) else { return false };
        self.has_field(record, key)
            || self.shared_of(record).iter().any(|s| s.key.as_bytes() == key)
            || self.virtual_value(record, key).is_some()
    }

    /// May records of this batch have this key without a field of that name? A record that has shared fields of its own may anyway.
    pub fn may_have(&self, key: &[u8]) -> bool {
        let draft = &self.source.draft;
        let of_a_line = ["drave.truncated", &draft.text_key].into_iter().chain(draft.offset_key.as_deref());
        let of_a_container = ["time", "stream", self.keys.text].into_iter().chain(self.keys.tag);
        let shared = draft.shared.iter().map(|shared| shared.key.as_str());
        of_a_line.chain(of_a_container).chain(shared).any(|own| own.as_bytes() == key)
    }

    /// Has a record a field of this name?
    #[inline]
    pub fn has_field(&self, record: &Record, key: &[u8]) -> bool {
        self.fields_of(record).iter().any(|field| self.bytes(field.key) == key)
    }

    /// What the shape of a record gives beside its fields.
    fn virtual_value<'a>(&'a self, record: &'a Record, key: &[u8]) -> Option<Found<'a>> {
        let mut found = None;
        self.each_virtual(record, &mut |own, value| {
            if own == key {
                found = Some(value);
            }
        });
        found
    }

    /// The value of a field.
    pub fn found(&self, value: Value) -> Found<'_> {
        match value {
            Value::Json(span) => Found::Json(self.bytes(span)),
            Value::Text(span) => Found::Text(self.bytes(span)),
        }
    }

    /// Every key and value of a record, in the order in which they are sent, each key once.
    pub fn each_member<'a>(&'a self, record: usize, take: &mut impl FnMut(&'a [u8], Found<'a>)) {
        let Some(record) = self.records.get(record) else { return };
        self.each_virtual(record, take);
        let (fields, shared) = (self.fields_of(record), self.shared_of(record));
        for field in fields {
            let key = self.bytes(field.key);
            if !shared.iter().any(|s| s.wins && s.key.as_bytes() == key) {
                take(key, self.found(field.value));
            }
        }
        let hidden = |s: &&Shared| s.wins || !fields.iter().any(|f| self.bytes(f.key) == s.key.as_bytes());
        for entry in shared.iter().filter(hidden) {
            take(entry.key.as_bytes(), Found::Json(entry.value_json()));
        }
    }

    fn each_virtual<'a>(&'a self, record: &'a Record, take: &mut impl FnMut(&'a [u8], Found<'a>)) {
        let draft = &self.source.draft;
        match record.shape {
            Shape::Fields => {}
            Shape::Line if record.text_gone => {}
            Shape::Line => take(draft.text_key.as_bytes(), Found::Text(self.bytes(record.text))),
            Shape::Container => {
                take(b"time", Found::Text(self.bytes(record.time_text)));
                take(b"stream", Found::Text(record.stream.name().as_bytes()));
                if let Some(tag) = self.keys.tag {
                    take(tag.as_bytes(), Found::Text(std::slice::from_ref(&record.tag)));
                }
                if !record.text_gone {
                    take(self.keys.text.as_bytes(), Found::Text(self.bytes(record.text)));
                }
            }
        }
        if record.owns_place {
            return;
        }
        if let Some(key) = &draft.offset_key {
            take(key.as_bytes(), Found::Number(record.offset));
        }
        if record.truncated {
            take(b"drave.truncated", Found::Json(b"true"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_those_that_are_sent() {
        let mut batch = crate::record::accessor::tests::batch();
        let shapes = [
            (Shape::Container, true, false),
            (Shape::Container, false, true),
            (Shape::Line, false, false),
            (Shape::Line, false, true),
            (Shape::Fields, false, false),
        ];
        for (shape, truncated, text_gone) in shapes {
            batch.records[0].shape = shape;
            batch.records[0].truncated = truncated;
            batch.records[0].text_gone = text_gone;
            let mut sent = Vec::new();
            json::push_members(&mut sent, &batch, &batch.records[0], false);
            let mut members = Vec::new();
            batch.each_member(0, &mut |key, value| {
                if !members.is_empty() {
                    members.push(b',');
                }
                json::push_string(&mut members, key);
                members.push(b':');
                value.push_json(&mut members);
                assert!(batch.has_key(0, key));
                assert!(batch.may_have(key) || batch.has_field(&batch.records[0], key));
                assert_eq!(batch.find(0, key), Some(value), "{}", String::from_utf8_lossy(key));
            });
            assert_eq!(String::from_utf8_lossy(&members), String::from_utf8_lossy(&sent), "{shape:?}");
        }
    }

    #[test]
    fn values_as_text() {
        for (json, expect) in [
            (r#""say \"hi\"\n""#, "say \"hi\"\n"),
            ("12", "12"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
            ("1840.25", "1840.250000"),
            ("1e3", "1000.000000"),
            ("null", "null"),
            ("true", "true"),
            (r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        ] {
            let mut out = String::new();
            Found::Json(json.as_bytes()).push_text(&mut out);
            assert_eq!(out, expect, "{json}");
        }
        let mut out = String::new();
        Found::Text(b"caf\xe9").push_text(&mut out);
        assert_eq!(out, "caf\u{FFFD}");
    }
}
