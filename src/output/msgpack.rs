//! Records as MessagePack, in the form that Fluent Bit writes and reads: `[[time, {}], {…}]`, one after the other. The time is
//! the extension type 0 of the forward protocol: seconds and nanoseconds, 32 bits each.

use crate::record::{Batch, Found};
use rmp::encode;
use serde_json::Value;

/// Appends one record.
pub(super) fn push_record(out: &mut Vec<u8>, batch: &Batch, record: usize) {
    let time_ns = batch.records[record].time_ns.max(0) as u64;
    let (seconds, nanos) = ((time_ns / 1_000_000_000) as u32, (time_ns % 1_000_000_000) as u32);
    // Writing into a vector cannot fail.
    let _ = encode::write_array_len(out, 2);
    let _ = encode::write_array_len(out, 2);
    let _ = encode::write_ext_meta(out, 8, 0);
    out.extend_from_slice(&seconds.to_be_bytes());
    out.extend_from_slice(&nanos.to_be_bytes());
    let _ = encode::write_map_len(out, 0);
    let (mut members, mut count) = (Vec::new(), 0);
    batch.each_member(record, &mut |key, value| {
        push_text(&mut members, key);
        push_found(&mut members, value);
        count += 1;
    });
    let _ = encode::write_map_len(out, count);
    out.extend_from_slice(&members);
}

fn push_found(out: &mut Vec<u8>, value: Found<'_>) {
    match value {
        Found::Text(text) => push_text(out, text),
        Found::Number(number) => _ = encode::write_uint(out, number),
        Found::Json(json) => match serde_json::from_slice(json) {
            Ok(value) => push_value(out, &value),
            // Deeper than serde_json goes: its text is better than nothing.
            Err(_) => push_text(out, json),
        },
    }
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let _ = encode::write_str(out, &String::from_utf8_lossy(text));
}

fn push_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => _ = encode::write_nil(out),
        Value::Bool(value) => _ = encode::write_bool(out, *value),
        Value::String(text) => _ = encode::write_str(out, text),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => _ = encode::write_uint(out, number),
            (_, Some(number)) => _ = encode::write_sint(out, number),
            _ => _ = encode::write_f64(out, number.as_f64().unwrap_or_default()),
        },
        Value::Array(items) => {
            let _ = encode::write_array_len(out, items.len() as u32);
            items.iter().for_each(|item| push_value(out, item));
        }
        Value::Object(members) => {
            let _ = encode::write_map_len(out, members.len() as u32);
            for (key, value) in members {
                let _ = encode::write_str(out, key);
                push_value(out, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Shape, Source, SourceDraft};
    use std::sync::Arc;

    #[test]
    fn a_record_byte_by_byte() {
        let mut draft = SourceDraft::default();
        draft.share("a", serde_json::json!([1, -1, 1.5, null, true, {"k": "é"}]), false);
        let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
        batch.records.push(Record {
            time_ns: 0x0102_0304 * 1_000_000_000 + 5,
            shape: Shape::Fields,
            ..Record::default()
        });
        let mut out = Vec::new();
        push_record(&mut out, &batch, 0);
        let expect = [
            &[0x92, 0x92, 0xd7, 0x00, 1, 2, 3, 4, 0, 0, 0, 5, 0x80, 0x81, 0xa1, b'a', 0x96, 1, 0xff][..],
            &[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0, 0xc3, 0x81, 0xa1, b'k', 0xa2, 0xc3, 0xa9],
        ];
        assert_eq!(out, expect.concat());
    }
}
