//! Any bytes as a text for parsers: what one takes becomes valid JSON, what it does not take stays as it was.
#![no_main]

use drave::parse::parser;
use drave::record::{Batch, Record, Shape, Source, SourceDraft, json};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|data: &[u8]| {
    let Some((which, text)) = data.split_first() else { return };
    let names = ["logfmt", "json", "nginx", "docker"];
    let parser = parser(names[usize::from(*which) % names.len()], &[]).expect("it is built in");
    let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
    let text = batch.append(text);
    batch.records.push(Record { text, ..Record::default() });
    if parser.parse(&mut batch, 0).is_err() {
        assert!(batch.fields.is_empty() && batch.records[0].shape == Shape::Line);
        return;
    }
    let mut out = b"{".to_vec();
    json::push_members(&mut out, &batch, &batch.records[0], false);
    out.push(b'}');
    serde_json::from_slice::<serde_json::Value>(&out).expect("the record is valid JSON");
});
