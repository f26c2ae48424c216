//! Any text as a record accessor: it is compiled or refused with a place inside it, and looking it up never panics.
#![no_main]

use drave::record::{Accessor, Batch, Record, Source, SourceDraft};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|data: &str| {
    let mut draft = SourceDraft { tag: "kube.shop.web".into(), text_key: "log".into(), ..SourceDraft::default() };
    draft.share("a", serde_json::json!({"b": [1, {"c": "d"}], "e\"": null}), false);
    let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
    batch.records.push(Record::default());
    match Accessor::parse(data) {
        Ok(accessor) => {
            if let Some(found) = accessor.find(&batch, 0) {
                found.push_text(&mut String::new());
            }
        }
        Err(error) => assert!((1..=data.chars().count() + 1).contains(&error.column), "{error}"),
    }
});
