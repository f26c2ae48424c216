//! `multiline on` of tail, the older form: a line that `parser_firstline` takes begins a record; what it does not take goes on with
//! the last value of the record before, or adds fields where a `parser_N` takes it.

use super::traces::{Content, Line, Traces};
use super::{Legacy, Mode, State};
use crate::parse::decode::text_of;
use crate::record::{Batch, Field};
use std::sync::Arc;

impl Traces {
    pub(super) fn take_legacy(&mut self, batch: &mut Batch, piece: Option<u64>) {
        let multiline = Arc::clone(&self.multiline);
        let (Mode::Legacy(legacy), Some(last)) = (&multiline.mode, batch.records.len().checked_sub(1)) else { return };
        let line = batch.records[last];
        if legacy.first.parse(batch, last).is_ok() {
            self.begin_legacy(batch, piece);
        } else if self.open.is_empty() {
            self.closed.extend(piece);
        } else if takes(legacy, batch, last) {
            self.add_fields(batch, piece);
        } else {
            batch.records[last] = line;
            if self.open[0].lines == 0 {
                self.hold_first(0, batch, Content::Text);
            }
            self.add(0, batch, line.text, piece);
        }
    }

    fn begin_legacy(&mut self, batch: &mut Batch, piece: Option<u64>) {
        let Some(line) = batch.records.pop() else { return };
        self.flush(batch);
        batch.records.push(line);
        let count = batch.fields_of(&line).len();
        let last = batch.fields_of(&line).last().map(|field| field.value);
        match last.and_then(|value| text_of(batch, value)) {
            Some(text) => {
                let line = Line { content: Content::Field(count - 1), text, told_by: text, group: None };
                self.begin(batch, Vec::new(), (0, State::default()), line, piece);
            }
            // No value that a line could go on with.
            None => self.closed.extend(piece),
        }
    }

    /// The fields of the last record of the batch become fields of the open one.
    fn add_fields(&mut self, batch: &mut Batch, piece: Option<u64>) {
        if self.open[0].lines == 0 {
            self.hold_first(0, batch, Content::Text);
        }
        let Some(line) = batch.records.pop() else { return };
        let fields: Vec<Field> = batch.fields_of(&line).to_vec();
        let last = fields.last().and_then(|field| text_of(batch, field.value));
        let trace = &mut self.open[0];
        if let Content::Field(at) = trace.content {
            trace.first.set_text(at, &trace.text);
        }
        fields.iter().for_each(|field| trace.first.add(batch, *field));
        let before = trace.text.len();
        if let Some(text) = last {
            trace.content = Content::Field(trace.first.field_count() - 1);
            trace.text.clear();
            trace.text.extend_from_slice(batch.bytes(text));
        }
        self.total.change(before, trace.text.len());
        trace.hold(batch, &line, piece);
        self.cut_if_over(0, batch);
    }
}

fn takes(legacy: &Legacy, batch: &mut Batch, record: usize) -> bool {
    legacy.others.iter().any(|parser| parser.parse(batch, record).is_ok())
}
