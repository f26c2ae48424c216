//! Any bytes as a JSON object. What strict JSON is, is taken, with the same members; what is taken beyond that is written as
//! valid JSON all the same.
#![no_main]

use drave::parse::parser;
use drave::record::{Batch, Record, Source, SourceDraft, json};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Deeper values, and longer numbers, are not taken for JSON; serde_json's limits are others.
fn is_beyond_limits(data: &[u8]) -> bool {
    let opened = data.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    let number = data.split(|byte| !byte.is_ascii_digit() && *byte != b'.').map(<[u8]>::len).max();
    opened > 100 || number >= Some(298)
}

fuzz_target!(|data: &[u8]| {
    let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
    let text = batch.append(data);
    batch.records.push(Record { text, ..Record::default() });
    let strict: Option<Map<String, Value>> = serde_json::from_slice(data).ok();
    if parser("json", &[]).expect("it is built in").parse(&mut batch, 0).is_err() {
        assert!(strict.is_none() || is_beyond_limits(data), "an object was not taken");
        assert!(batch.fields.is_empty(), "a text that is none leaves no fields");
        return;
    }
    let mut out = b"{".to_vec();
    json::push_members(&mut out, &batch, &batch.records[0], false);
    out.push(b'}');
    let written: Map<String, Value> = serde_json::from_slice(&out).expect("the record is valid JSON");
    if let Some(strict) = strict {
        assert_eq!(written, strict);
    }
});
