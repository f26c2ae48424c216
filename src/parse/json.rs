//! The parser format `json`: the members of an object become the record's fields.

use crate::record::json_read::{self, Member};
use crate::record::{Batch, Field, Span, Value};
use std::ops::Range;

/// Keys up to which a linear look for doubled keys is the quickest.
const FEW_KEYS: usize = 64;

/// Adds the members of an object; `false` where the text is none.
pub(super) fn read(batch: &mut Batch, span: Span) -> bool {
    let start = span.start as usize;
    let fields_start = batch.fields.len();
    let mut rewritten = Vec::new();
    let known_utf8 = batch.is_known_utf8(span);
    let fields = &mut batch.fields;
    let text = span.of(&batch.text);
    let is_object = json_read::object_of(text, known_utf8, |member| {
        if member.dirty || member.key_escaped {
            rewritten.push((fields.len(), member));
        }
        fields.push(Field {
            key: Span::new(start + member.key.0, start + member.key.1),
            value: Value::Json(Span::new(start + member.value.0, start + member.value.1)),
        });
    });
    if !is_object {
        return false;
    }
    for (index, member) in rewritten {
        rewrite(batch, start, index, member);
    }
    keep_last_of_each_key(batch, fields_start);
    true
}

/// Where the same JSON stands without line breaks between its words: a record is sent as one line.
pub(super) fn on_one_line(batch: &mut Batch, text: Span) -> Span {
    if memchr::memchr2(b'\n', b'\r', text.of(&batch.text)).is_none() {
        return text;
    }
    let start = batch.text.len();
    let (mut in_string, mut escaped) = (false, false);
    for at in text.start as usize..(text.start + text.len) as usize {
        let byte = batch.text[at];
        if in_string || !byte.is_ascii_whitespace() {
            batch.text.push(byte);
        }
        in_string ^= byte == b'"' && !escaped;
        escaped = in_string && byte == b'\\' && !escaped;
    }
    Span::new(start, batch.text.len())
}

/// Where the objects stand of a text that is nothing but objects, one after the other.
pub(super) fn objects(text: &[u8]) -> Option<Vec<Range<usize>>> {
    let (mut objects, mut from) = (Vec::new(), 0);
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<serde_json::Value>();
    while let Some(value) = values.next() {
        let end = values.byte_offset();
        let start = from + text[from..end].iter().position(|byte| !byte.is_ascii_whitespace())?;
        (value.is_ok_and(|value| value.is_object()) && json_read::object(&text[start..end], |_| ())).then_some(())?;
        objects.push(start..end);
        from = end;
    }
    Some(objects)
}

/// Puts a member that cannot stay as it is into the arena, with its key unescaped.
pub(super) fn rewrite(batch: &mut Batch, start: usize, index: usize, member: Member) {
    let slice = |(from, to): (usize, usize)| batch.text[start + from..start + to].to_vec();
    let (mut key, value) = (slice(member.key), slice(member.value));
    if member.key_escaped {
        let mut plain = Vec::new();
        if json_read::unescape(&key, &mut plain).is_some() {
            key = plain;
        }
    }
    let mut clean = Vec::new();
    json_read::clean(&value, &mut clean);
    let key = batch.append(&key);
    let value = Value::Json(batch.append(&clean));
    batch.fields[index] = Field { key, value };
    batch.utf8 = false;
}

/// Readers of JSON take the last of doubled keys, so only that is kept.
pub(super) fn keep_last_of_each_key(batch: &mut Batch, from: usize) {
    let text = &batch.text;
    let keys = |fields: &[Field]| fields.iter().map(|f| f.key.of(text)).collect::<Vec<_>>();
    let count = batch.fields.len() - from;
    let mut doubled = vec![false; if count <= FEW_KEYS { 0 } else { count }];
    if count <= FEW_KEYS {
        let fields = &batch.fields[from..];
        let again = |i: usize| {
            fields[i + 1..].iter().any(|f| f.key.len == fields[i].key.len && f.key.of(text) == fields[i].key.of(text))
        };
        if (0..count).any(again) {
            doubled = (0..count).map(again).collect();
        }
    } else {
        let mut seen = std::collections::HashSet::new();
        let keys = keys(&batch.fields[from..]);
        (0..count).rev().for_each(|i| doubled[i] = !seen.insert(keys[i]));
    }
    if doubled.contains(&true) {
        let mut kept = batch.fields.split_off(from);
        let mut doubled = doubled.into_iter();
        kept.retain(|_| !doubled.next().unwrap_or(false));
        batch.fields.append(&mut kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Shape, Source, SourceDraft, json};
    use std::sync::Arc;

    fn check(text: &str, expect: Option<&str>) {
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let span = batch.append(text.as_bytes());
        let found = read(&mut batch, span).then(|| {
            let fields_end = batch.fields.len() as u32;
            batch.records.push(Record { fields_end, shape: Shape::Fields, ..Record::default() });
            let mut out = Vec::new();
            json::push_members(&mut out, &batch, &batch.records[0], false);
            String::from_utf8(out).expect("JSON is UTF-8")
        });
        assert_eq!(found.as_deref(), expect, "{text}");
    }

    #[test]
    fn an_object_of_several_lines_is_sent_as_one() {
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        for (text, expect) in [
            ("{\"a\": 1}", "{\"a\": 1}"),
            ("{\n \"a b\" :\r\n [1,\n2]}", "{\"a b\":[1,2]}"),
            (r#"{"a\\": "\" \\", "#, r#"{"a\\": "\" \\", "#),
            ("{\"a\\\\\":\n\"\\\" x\"}", "{\"a\\\\\":\"\\\" x\"}"),
        ] {
            let span = batch.append(text.as_bytes());
            let span = on_one_line(&mut batch, span);
            assert_eq!(String::from_utf8_lossy(span.of(&batch.text)), expect);
        }
    }

    #[test]
    fn members_become_fields() {
        check(r#"{"a":1,"b":{"c":[true,null]}}"#, Some(r#""a":1,"b":{"c":[true,null]}"#));
        check(r#"{"a":1,"b":2,"a":3}"#, Some(r#""b":2,"a":3"#));
        check(r#"{"a\"b":"x"}"#, Some(r#""a\"b":"x""#));
        check("{\"a\":\"raw\ttab\"}", Some(r#""a":"raw\ttab""#));
        check("{}", Some(""));
        check("not json", None);
        let many = (0..100).map(|i| format!("\"k{}\":{i}", i % 90)).collect::<Vec<_>>().join(",");
        let expect = (10..100).map(|i| format!("\"k{}\":{i}", i % 90)).collect::<Vec<_>>().join(",");
        check(&format!("{{{many}}}"), Some(&expect));
    }
}
