//! Changing records in place. A record's fields are a range of one vector: a range that has to grow moves to the vector's end,
//! and what it leaves behind is forgotten with the batch.

use super::{Batch, DropReason, Field, Record, Shape, Span, Value};

impl Batch {
    /// Where a key or a constant stands in the arena; it is appended when it is not there yet. For what many records of a batch have.
    pub fn intern(&mut self, text: &[u8]) -> Span {
        if let Some(span) = self.interned.iter().find(|span| span.of(&self.text) == text) {
            return *span;
        }
        let span = self.append(text);
        self.interned.push(span);
        span
    }

    /// The same of several texts, which stand one after the other: the number of the first, for [`interned`](Self::interned). Told
    /// at once from the last time when they come again and again.
    pub fn intern_all<'k>(&mut self, texts: impl ExactSizeIterator<Item = &'k [u8]> + Clone) -> usize {
        let count = texts.len();
        let is_here = |batch: &Self, at: usize| {
            let spans = batch.interned.get(at..at + count);
            spans.is_some_and(|spans| spans.iter().zip(texts.clone()).all(|(span, text)| batch.bytes(*span) == text))
        };
        if let Some(at) = (0..self.interned.len()).find(|at| is_here(self, *at)) {
            return at;
        }
        let at = self.interned.len();
        for text in texts {
            let span = self.append(text);
            self.interned.push(span);
        }
        at
    }

    /// Takes back what was appended to the arena from `len` on.
    pub fn forget_text(&mut self, len: usize) {
        self.text.truncate(len);
        self.interned.retain(|span| (span.start + span.len) as usize <= len);
    }

    /// Where a text stands that was interned.
    pub fn interned(&self, number: usize) -> Span {
        self.interned[number]
    }

    /// Makes fields of its own of all that a record has.
    pub fn own(&mut self, record: usize) {
        self.own_fields(record);
        self.own_shared(record);
    }

    /// Makes fields of what the shape of a record gives (text, stream, time, tag) and of its place, in front of its other fields.
    pub fn own_fields(&mut self, record: usize) {
        let old = self.records[record];
        let start = self.fields.len() as u32;
        let has_place = !old.owns_place && (old.truncated || self.source.draft.offset_key.is_some());
        match old.shape {
            Shape::Fields if !has_place => return,
            Shape::Fields => {}
            Shape::Line if old.text_gone => {}
            Shape::Line => {
                let source = std::sync::Arc::clone(&self.source);
                self.push_virtual(source.draft.text_key.as_bytes(), old.text);
            }
            Shape::Container => {
                let keys = self.keys;
                self.push_virtual(b"time", old.time_text);
                let stream = self.intern(old.stream.name().as_bytes());
                self.push_virtual(b"stream", stream);
                if let Some(tag) = keys.tag {
                    let value = self.intern(&[old.tag]);
                    self.push_virtual(tag.as_bytes(), value);
                }
                if !old.text_gone {
                    self.push_virtual(keys.text.as_bytes(), old.text);
                }
            }
        }
        if has_place {
            self.push_place(old.offset, old.truncated);
        }
        self.fields.extend_from_within(old.fields_start as usize..old.fields_end as usize);
        let end = self.fields.len() as u32;
        let record = &mut self.records[record];
        (record.fields_start, record.fields_end, record.shape) = (start, end, Shape::Fields);
        record.owns_place = true;
    }

    fn push_place(&mut self, offset: u64, truncated: bool) {
        let source = std::sync::Arc::clone(&self.source);
        if let Some(key) = &source.draft.offset_key {
            let start = self.text.len();
            super::json::push_u64(&mut self.text, offset);
            let value = Value::Json(Span::new(start, self.text.len()));
            let key = self.intern(key.as_bytes());
            self.fields.push(Field { key, value });
        }
        if truncated {
            let field = Field { key: self.intern(b"drave.truncated"), value: Value::Json(self.intern(b"true")) };
            self.fields.push(field);
        }
    }

    fn push_virtual(&mut self, key: &[u8], value: Span) {
        let key = self.intern(key);
        self.fields.push(Field { key, value: Value::Text(value) });
    }

    /// Makes fields of its own of what a record shares with its source: it can be changed for this record alone.
    pub fn own_shared(&mut self, record: usize) {
        if std::mem::replace(&mut self.records[record].owns_shared, true) {
            return;
        }
        let source = std::sync::Arc::clone(&self.source);
        for shared in &source.draft.shared {
            let at = self.field_at(record, shared.key.as_bytes());
            let key = self.intern(shared.key.as_bytes());
            let value = Value::Json(self.intern(shared.value_json()));
            match at {
                Some(at) if shared.wins => self.fields[at].value = value,
                Some(_) => {}
                None => self.push_field(record, Field { key, value }),
            }
        }
    }

    /// Sends a record on under another tag, with all that it has; with `keep` a copy of it, else the caller takes it out.
    pub fn reroute(&mut self, record: usize, tag: std::sync::Arc<str>, keep: bool) {
        let before = self.records[record];
        self.own(record);
        let mut rerouted = self.records[record];
        if keep {
            // Fields are changed in place: two records must not have the same ones.
            let start = self.fields.len();
            self.fields.extend_from_within(rerouted.fields_start as usize..rerouted.fields_end as usize);
            (rerouted.fields_start, rerouted.fields_end) = (start as u32, self.fields.len() as u32);
            self.records[record] = before;
            self.counts.made += 1;
        }
        (rerouted.owns_shared, rerouted.owns_place) = (false, true);
        self.rerouted.push((tag, rerouted));
    }

    /// Gives all records fields of their own in place of those that they have: who changes them leaves the others as they were.
    pub fn copy_fields(&mut self) {
        for record in 0..self.records.len() {
            let Record { fields_start, fields_end, .. } = self.records[record];
            let start = self.fields.len() as u32;
            self.fields.extend_from_within(fields_start as usize..fields_end as usize);
            (self.records[record].fields_start, self.records[record].fields_end) = (start, self.fields.len() as u32);
        }
    }

    /// Number in [`Batch::fields`] of a record's own field.
    pub fn field_at(&self, record: usize, key: &[u8]) -> Option<usize> {
        let record = &self.records[record];
        let mut range = record.fields_start as usize..record.fields_end as usize;
        range.rfind(|at| self.bytes(self.fields[*at].key) == key)
    }

    /// Adds a field behind the others, whether there is one of its key or not.
    pub fn push_field(&mut self, record: usize, field: Field) {
        let (start, end) = (self.records[record].fields_start as usize, self.records[record].fields_end as usize);
        if end != self.fields.len() {
            self.records[record].fields_start = self.fields.len() as u32;
            self.fields.extend_from_within(start..end);
        }
        self.fields.push(field);
        self.records[record].fields_end = self.fields.len() as u32;
    }

    /// Gives a field another value, or adds it.
    pub fn set_field(&mut self, record: usize, field: Field) {
        match self.field_at(record, field.key.of(&self.text)) {
            Some(at) => self.fields[at].value = field.value,
            None => self.push_field(record, field),
        }
    }

    /// Takes out every field of a key; was there one?
    pub fn remove_key(&mut self, record: usize, key: &[u8]) -> bool {
        let mut found = false;
        while let Some(at) = self.field_at(record, key) {
            self.remove_field(record, at);
            found = true;
        }
        found
    }

    /// Keeps the fields of a record of which `keep` says so.
    pub fn retain_fields(&mut self, record: usize, mut keep: impl FnMut(&Self, Field) -> bool) {
        let range = self.records[record].fields_start as usize..self.records[record].fields_end as usize;
        let mut kept = range.start;
        for at in range {
            let field = self.fields[at];
            if keep(self, field) {
                self.fields[kept] = field;
                kept += 1;
            }
        }
        self.records[record].fields_end = kept as u32;
    }

    /// Takes out the field of this number ([`field_at`](Self::field_at)); the others keep their order.
    pub fn remove_field(&mut self, record: usize, at: usize) {
        let end = self.records[record].fields_end as usize;
        self.fields.copy_within(at + 1..end, at);
        self.records[record].fields_end -= 1;
    }

    /// Keeps the records of which `keep` says so; the others are counted as taken out by a filter.
    pub fn retain(&mut self, mut keep: impl FnMut(&Self, usize) -> bool) {
        let (mut kept, mut bytes) = (0, 0);
        for record in 0..self.records.len() {
            if keep(self, record) {
                self.records[kept] = self.records[record];
                kept += 1;
            } else {
                bytes += u64::from(self.records[record].bytes);
            }
        }
        let gone = self.records.len() - kept;
        self.records.truncate(kept);
        if gone > 0 {
            self.counts.drop(DropReason::Filter, gone as u64, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::json;

    fn sent(batch: &Batch) -> String {
        let mut out = Vec::new();
        json::push_members(&mut out, batch, &batch.records[0], false);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The same record is sent whether its members are fields of its own or not.
    #[test]
    fn owning_changes_nothing() {
        for shape in [Shape::Line, Shape::Container, Shape::Fields] {
            let mut batch = crate::record::accessor::tests::batch();
            batch.records[0].shape = shape;
            let read = |batch: &Batch| {
                let mut members: Vec<(String, String)> = Vec::new();
                batch.each_member(0, &mut |key, value| {
                    let mut json = Vec::new();
                    value.push_json(&mut json);
                    members.push((String::from_utf8_lossy(key).into(), String::from_utf8_lossy(&json).into()));
                });
                members.sort();
                members
            };
            let before = read(&batch);
            batch.own_fields(0);
            assert_eq!(read(&batch), before, "{shape:?}");
            batch.own_shared(0);
            assert_eq!(read(&batch), before, "{shape:?}");
            batch.own_fields(0);
            batch.own_shared(0);
            assert_eq!(read(&batch), before, "{shape:?}");
        }
    }

    #[test]
    fn fields_are_set_and_removed() {
        let mut batch = crate::record::accessor::tests::batch();
        batch.records[0].shape = Shape::Fields;
        batch.records[0].owns_shared = true;
        (batch.records[0].fields_start, batch.records[0].fields_end) = (0, 0);
        for (key, value) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
            let (key, value) = (batch.intern(key.as_bytes()), batch.append(value.as_bytes()));
            batch.set_field(0, Field { key, value: Value::Json(value) });
        }
        assert_eq!(sent(&batch), r#""a":3,"b":2,"c":4"#);
        let at = batch.field_at(0, b"b").expect("it is there");
        batch.remove_field(0, at);
        assert_eq!(sent(&batch), r#""a":3,"c":4"#);
        assert_eq!(batch.field_at(0, b"b"), None);
    }

    #[test]
    fn what_is_taken_out_is_counted() {
        let mut batch = crate::record::accessor::tests::batch();
        let record = batch.records[0];
        batch.records = (1..=5).map(|bytes| super::super::Record { bytes, ..record }).collect();
        batch.retain(|batch, at| batch.records[at].bytes % 2 == 1);
        assert_eq!(batch.records.iter().map(|r| r.bytes).collect::<Vec<_>>(), [1, 3, 5]);
        assert_eq!(batch.counts.dropped, [(DropReason::Filter, 2, 6)]);
    }
}
