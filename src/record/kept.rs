//! A record that waits outside of any batch: its fields with their bytes, and all but its text.

use super::{Batch, Field, KeyNames, Record, Span, Value};

/// One record, without the bytes of its text.
#[derive(Debug)]
pub struct Kept {
    /// Its spans are in `bytes`.
    record: Record,
    fields: Vec<Field>,
    bytes: Vec<u8>,
    keys: &'static KeyNames,
}

impl Default for Kept {
    fn default() -> Self {
        Self { record: Record::default(), fields: Vec::new(), bytes: Vec::new(), keys: &KeyNames::CRI }
    }
}

impl Kept {
    /// Takes a record of the batch in; what was kept before is forgotten.
    pub fn hold(&mut self, batch: &Batch, record: usize) {
        self.fields.clear();
        self.bytes.clear();
        self.keys = batch.keys;
        self.record = Record { text: Span::default(), ..batch.records[record] };
        self.record.time_text = self.copy(batch, self.record.time_text);
        for field in batch.fields_of(&batch.records[record]) {
            self.add(batch, *field);
        }
    }

    /// Adds a field of the batch.
    pub fn add(&mut self, batch: &Batch, field: Field) {
        let key = self.copy(batch, field.key);
        let value = match field.value {
            Value::Json(span) => Value::Json(self.copy(batch, span)),
            Value::Text(span) => Value::Text(self.copy(batch, span)),
        };
        self.fields.push(Field { key, value });
    }

    /// How many fields it has.
    pub fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// Gives a field, by its number, another text.
    pub fn set_text(&mut self, field: usize, text: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        if let Some(field) = self.fields.get_mut(field) {
            field.value = Value::Text(Span::new(start, self.bytes.len()));
        }
    }

    /// Makes a record of the batch of it again, the last one, without a text.
    pub fn put(&self, batch: &mut Batch) {
        let time_text = batch.append(self.record.time_text.of(&self.bytes));
        let fields_start = batch.fields.len() as u32;
        for field in &self.fields {
            let key = batch.append(field.key.of(&self.bytes));
            let value = match field.value {
                Value::Json(span) => Value::Json(batch.append(span.of(&self.bytes))),
                Value::Text(span) => Value::Text(batch.append(span.of(&self.bytes))),
            };
            batch.fields.push(Field { key, value });
        }
        // The batch may hold no line of that format: nothing but what was kept.
        batch.keys = self.keys;
        let fields_end = batch.fields.len() as u32;
        batch.records.push(Record { time_text, fields_start, fields_end, ..self.record });
    }

    fn copy(&mut self, batch: &Batch, span: Span) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(batch.bytes(span));
        Span::new(start, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::json;

    #[test]
    fn what_is_kept_comes_back() {
        let mut batch = crate::record::accessor::tests::batch();
        let sent = |batch: &Batch, record: usize| {
            let mut out = Vec::new();
            json::push_members(&mut out, batch, &Record { text: Span::default(), ..batch.records[record] }, false);
            String::from_utf8_lossy(&out).into_owned()
        };
        let mut kept = Kept::default();
        kept.hold(&batch, 0);
        kept.put(&mut batch);
        let last = batch.records.len() - 1;
        assert_eq!(sent(&batch, last), sent(&batch, 0));
        assert_eq!(batch.records[last].time_ns, batch.records[0].time_ns);
    }
}
