//! The parser format `ltsv`: `host:10.0.0.1<tab>status:200<tab>request:GET / HTTP/1.1`.
//!
//! A label is letters, digits, `_`, `.` and `-`. A text with anything else before a colon is none of the format.

use super::types::Types;
use crate::record::{Batch, Field, Span};

/// Adds the fields of a text; `false` where it has none, or not only such.
pub(super) fn read(batch: &mut Batch, text: Span, types: &Types) -> bool {
    let before = batch.fields.len();
    let (mut at, end) = (text.start as usize, (text.start + text.len) as usize);
    while at < end {
        let item_end = memchr::memchr(b'\t', &batch.text[at..end]).map_or(end, |len| at + len);
        if item_end > at {
            let Some(label) = label_len(&batch.text[at..item_end]) else { return false };
            let key = Span::new(at, at + label);
            let value = types.value(batch, key, Span::new(at + label + 1, item_end));
            batch.fields.push(Field { key, value });
        }
        at = item_end + 1;
    }
    batch.fields.len() > before
}

fn label_len(item: &[u8]) -> Option<usize> {
    let len = item.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')))?;
    (len > 0 && item[len] == b':').then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Shape, Source, SourceDraft, json};
    use std::sync::Arc;

    fn check(text: &str, expect: Option<&str>) {
        let types = Types::parse("status:integer").expect("types");
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let span = batch.append(text.as_bytes());
        let found = read(&mut batch, span, &types).then(|| {
            let fields_end = batch.fields.len() as u32;
            batch.records.push(Record { fields_end, shape: Shape::Fields, ..Record::default() });
            let mut out = Vec::new();
            json::push_members(&mut out, &batch, &batch.records[0], false);
            String::from_utf8_lossy(&out).into_owned()
        });
        assert_eq!(found.as_deref(), expect, "{text}");
    }

    #[test]
    fn lines() {
        check("a:1\tstatus:200\tb:", Some(r#""a":"1","status":200,"b":"""#));
        check("req:GET /a:b\tapp-name:x.y_1\t", Some(r#""req":"GET /a:b","app-name":"x.y_1""#));
        check("a:1\t\tb:2", Some(r#""a":"1","b":"2""#));
        for other in ["", "no label", ":x", "a:1\tno label", "a b:1", "\t"] {
            check(other, None);
        }
    }

    #[test]
    fn values_and_labels_are_all_of_the_text() {
        proptest::proptest!(|(items in proptest::collection::vec(("[a-z.]{1,5}", "[a-z: é]{0,6}"), 1..6))| {
            let text = items.iter().map(|(label, value)| format!("{label}:{value}")).collect::<Vec<_>>().join("\t");
            let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
            let span = batch.append(text.as_bytes());
            proptest::prop_assert!(read(&mut batch, span, &Types::default()));
            proptest::prop_assert_eq!(batch.fields.len(), items.len());
        });
    }
}
