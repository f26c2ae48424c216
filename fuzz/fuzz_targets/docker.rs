//! Any bytes as a line of Docker's format: the parts lie within the arena, and the record that comes of them is valid JSON.
#![no_main]

use drave::parse::{Joiner, docker};
use drave::record::time::Rfc3339;
use drave::record::{Batch, KeyNames, Source, SourceDraft, Span, json};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|data: &[u8]| {
    let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
    batch.keys = &KeyNames::DOCKER;
    let line = batch.append(data);
    let Some(piece) = docker::piece(&mut batch, line, &mut Rfc3339::default()) else {
        assert!(batch.fields.is_empty(), "a line that is none leaves no fields");
        return;
    };
    let end = |span: Span| span.start as usize + span.len as usize;
    assert!(end(piece.time_text) <= data.len() && end(piece.text) <= batch.text.len());
    assert_eq!(piece.partial, !batch.bytes(piece.text).ends_with(b"\n"));
    let mut joiner = Joiner::new(1 << 20);
    joiner.add(&mut batch, &piece, 0, data.len() as u32, false);
    joiner.flush(&mut batch);
    let mut out = b"{".to_vec();
    json::push_members(&mut out, &batch, &batch.records[0], false);
    out.push(b'}');
    serde_json::from_slice::<serde_json::Value>(&out).expect("the record is valid JSON");
});
