//! Any text as a template: it is compiled or refused, and what stands between its accessors comes out as it is.
#![no_main]

use drave::record::{Batch, Record, Source, SourceDraft, Template};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|data: &str| {
    let draft = SourceDraft { tag: "kube.shop.web".into(), text_key: "log".into(), ..SourceDraft::default() };
    let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
    batch.records.push(Record::default());
    let Ok(template) = Template::parse(data) else { return };
    let mut out = String::new();
    template.render(&batch, 0, &mut out);
    if template.is_plain() {
        assert_eq!(out, data);
    }
});
