//! Docker's partial messages, as records that say for themselves which pieces belong together.
//!
//! ```text
//! {"log":"one ","partial_message":"true","partial_id":"a","partial_ordinal":"1","partial_last":"false"}
//! {"log":"two", "partial_message":"true","partial_id":"a","partial_ordinal":"2","partial_last":"true"}
//! {"log":"one two"}      the other keys and the time are those of the first piece
//! ```

use super::State;
use super::traces::{Line, Traces, content};
use crate::parse::decode::text_of;
use crate::record::Batch;

const FLAG: &[u8] = b"partial_message";
const ID: &[u8] = b"partial_id";
const LAST: &[u8] = b"partial_last";
/// What a whole message does not have.
const KEYS: [&[u8]; 4] = [FLAG, ID, LAST, b"partial_ordinal"];

impl Traces {
    pub(super) fn take_partial(&mut self, batch: &mut Batch, piece: Option<u64>) {
        let Some(last) = batch.records.len().checked_sub(1) else { return };
        let key = self.multiline.key_content.as_deref().unwrap_or("log");
        let is_partial = is_true(batch, last, FLAG) && content(batch, last, Some(key)).is_some();
        if !is_partial {
            return self.closed.extend(piece);
        }
        let (id, ends) = (text(batch, last, ID), is_true(batch, last, LAST));
        for key in KEYS {
            if let Some(at) = batch.field_at(last, key) {
                batch.remove_field(last, at);
            }
        }
        let Some((content, text)) = content(batch, last, Some(key)) else { return };
        let state = State { is_end: ends, ..State::default() };
        let line = Line { content, text, told_by: text, group: None };
        match self.open.iter().position(|trace| trace.group == id) {
            Some(at) => self.go_on(at, batch, state, line, piece),
            None if ends => self.closed.extend(piece),
            None => self.begin(batch, id, (0, state), line, piece),
        }
    }
}

fn text(batch: &mut Batch, record: usize, key: &[u8]) -> Vec<u8> {
    let value = batch.field_at(record, key).map(|at| batch.fields[at].value);
    let text = value.and_then(|value| text_of(batch, value));
    text.map_or_else(Vec::new, |text| batch.bytes(text).to_vec())
}

fn is_true(batch: &Batch, record: usize, key: &[u8]) -> bool {
    use crate::record::Value;
    batch.field_at(record, key).is_some_and(|at| {
        let (Value::Json(span) | Value::Text(span)) = batch.fields[at].value;
        matches!(batch.bytes(span), b"true" | b"\"true\"")
    })
}
