//! Writes what cannot be sent as it stands: bytes that JSON does not allow, strings to be trimmed, fields of a parser.

use super::trim::{needs_trim, trimmed};
use crate::record::json::push_string;
use crate::record::json_read::{self, clean, unescape};
use crate::record::{Batch, Value};

/// An object with its values cleaned and trimmed. `text` is one.
pub(super) fn push_object(out: &mut Vec<u8>, text: &[u8], trim: bool) {
    out.push(b'{');
    let first = out.len();
    json_read::object(text, |member| {
        if out.len() > first {
            out.push(b',');
        }
        out.push(b'"');
        clean_key(out, &text[member.key.0..member.key.1]);
        out.extend_from_slice(b"\":");
        push_value(out, &text[member.value.0..member.value.1], trim);
    });
    out.push(b'}');
}

/// `clean` knows strings by their quotes.
fn clean_key(out: &mut Vec<u8>, key: &[u8]) {
    let quoted = [b"\"", key, b"\""].concat();
    let start = out.len();
    clean(&quoted, out);
    out.remove(start);
    out.pop();
}

/// A value that may be sent.
pub(super) fn push_value(out: &mut Vec<u8>, json: &[u8], trim: bool) {
    if trim && needs_trim(json) {
        let mut text = Vec::new();
        if unescape(&json[1..json.len() - 1], &mut text).is_some() {
            let trimmed = trimmed(&text);
            if trimmed.len() < text.len() {
                return push_string(out, trimmed);
            }
        }
    }
    clean(json, out);
}

/// A key's text, without escapes.
pub(super) fn push_key(out: &mut Vec<u8>, key: &[u8]) {
    let start = out.len();
    if unescape(key, out).is_none() {
        out.truncate(start);
        out.extend_from_slice(key);
    }
}

/// The fields from `start` on as an object; of doubled keys the last is what readers take.
pub(super) fn push_fields(out: &mut Vec<u8>, batch: &Batch, start: usize) {
    out.push(b'{');
    for (number, field) in batch.fields[start..].iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        push_string(out, batch.bytes(field.key));
        out.push(b':');
        match field.value {
            Value::Json(span) => out.extend_from_slice(batch.bytes(span)),
            Value::Text(span) => push_string(out, batch.bytes(span)),
        }
    }
    out.push(b'}');
}
