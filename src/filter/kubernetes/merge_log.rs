//! What a filter does with each record: leaves out what an annotation excludes, and merges the text under `log` into the record.
//!
//! ```text
//! log: {"level":"info","n":1}   →  level: "info", n: 1                          merge_log on
//!                               →  log_processed: {"level":"info","n":1}         with merge_log_key: the text as it stands
//! ```
//! JSON is checked and pointed to, never made into a tree. Only what may not be sent as it stands, or is to be trimmed, is
//! written anew.

mod json_object;
mod trim;

use super::annotations::Asked;
use crate::filter::Each;
use crate::parse::Parser;
use crate::record::json_read::{self, Member};
use crate::record::{Batch, Field, Record, Shape, Span, Stream, Value};
use json_object::push_object;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use trim::needs_trim;

/// The one key that is merged, as in Fluent Bit.
const LOG: &[u8] = b"log";
/// Keys up to which a look at all others for a doubled one is the quickest.
const FEW_KEYS: usize = 64;

/// How `log` is merged.
#[derive(Clone)]
pub(super) struct Merging {
    /// `merge_log_key`.
    pub(super) key: Option<Arc<[u8]>>,
    /// `merge_log_trim`.
    pub(super) trim: bool,
    /// `keep_log`.
    pub(super) keep_log: bool,
    /// `merge_parser`.
    pub(super) parser: Option<Arc<dyn Parser>>,
}

/// The part of the filter that looks at the records of one container.
pub(super) struct Look {
    pub(super) merging: Option<Merging>,
    pub(super) asked: Asked,
    /// Counts the records of a container of which nothing is known but its path.
    pub(super) unknown: Option<Arc<AtomicU64>>,
    scratch: Scratch,
}

/// Memory that stays from record to record.
#[derive(Default)]
struct Scratch {
    /// Members that cannot stay as they are, by the number of their field.
    odd: Vec<(usize, Member)>,
    text: Vec<u8>,
}

/// Where a record has its `log`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is the record's text.
    Text,
    /// A field of its own, by number.
    Field(usize),
}

impl Look {
    pub(super) fn new(merging: Option<Merging>, asked: Asked, unknown: Option<Arc<AtomicU64>>) -> Self {
        Self { merging, asked, unknown, scratch: Scratch::default() }
    }

    fn excludes(&self, batch: &Batch, record: usize) -> bool {
        match stream_of(batch, record) {
            Some(stream) => self.asked.exclude[stream],
            None => self.asked.excludes_all(),
        }
    }
}

impl Each for Look {
    fn owns_shared(&self) -> bool {
        false
    }

    fn parses(&self) -> bool {
        self.merging.is_some()
    }

    fn apply(&mut self, batch: &mut Batch) {
        if self.asked.exclude != [false, false] {
            batch.retain(|batch, record| !self.excludes(batch, record));
        }
        if let Some(unknown) = &self.unknown {
            unknown.fetch_add(batch.records.len() as u64, Ordering::Relaxed);
        }
        let Some(merging) = &self.merging else { return };
        let has_parsers = self.asked.parsers.iter().any(Option::is_some);
        let mut work = Merge { merging, batch, key: None, scratch: &mut self.scratch };
        for record in 0..work.batch.records.len() {
            let own = if has_parsers { stream_of(work.batch, record) } else { None };
            let own = own.and_then(|stream| self.asked.parsers[stream].as_deref());
            work.record(record, own.or(merging.parser.as_deref()));
        }
    }
}

/// 0 standard output, 1 standard error.
fn stream_of(batch: &Batch, record: usize) -> Option<usize> {
    match batch.records[record].stream {
        Stream::Stdout => Some(0),
        Stream::Stderr => Some(1),
        Stream::None => {
            // For escapes alone: as a rule nothing is allocated.
            let mut unescaped = Vec::new();
            match batch.find(record, b"stream")?.string(&mut unescaped)? {
                b"stdout" => Some(0),
                b"stderr" => Some(1),
                _ => None,
            }
        }
    }
}

struct Merge<'a> {
    merging: &'a Merging,
    batch: &'a mut Batch,
    /// Where `merge_log_key` stands in this batch.
    key: Option<Span>,
    scratch: &'a mut Scratch,
}

impl Merge<'_> {
    /// Merges a record's `log`; one that is not understood stays as it is.
    #[inline]
    fn record(&mut self, record: usize, parser: Option<&dyn Parser>) {
        let Some((place, value)) = self.log(record) else { return };
        let is_map = matches!(value, Value::Json(span) if self.batch.bytes(span).starts_with(b"{"));
        let Some(text) = self.text(value) else { return };
        match parser.filter(|_| !is_map) {
            Some(parser) => self.parse(record, place, text, parser),
            None => self.json(record, place, text, self.merging.trim && !is_map),
        }
    }

    fn log(&self, record: usize) -> Option<(Place, Value)> {
        let batch = &self.batch;
        if let Some(at) = batch.field_at(record, LOG) {
            return Some((Place::Field(at), batch.fields[at].value));
        }
        let record = &batch.records[record];
        let is_text = match record.shape {
            _ if record.text_gone => false,
            Shape::Container => batch.keys.text.as_bytes() == LOG,
            Shape::Line => batch.source.draft.text_key.as_bytes() == LOG,
            Shape::Fields => false,
        };
        is_text.then_some((Place::Text, Value::Text(record.text)))
    }

    /// A string's text, with its escapes resolved, or a map.
    fn text(&mut self, value: Value) -> Option<Span> {
        let span = match value {
            Value::Text(span) => return Some(span),
            Value::Json(span) => span,
        };
        match self.batch.bytes(span) {
            [b'"', inner @ .., b'"'] => {
                let (start, end) = (span.start as usize + 1, (span.start + span.len) as usize - 1);
                if memchr::memchr(b'\\', inner).is_none() {
                    return Some(Span::new(start, end));
                }
                let new = self.batch.text.len();
                json_read::unescape_within(&mut self.batch.text, start..end)?;
                Some(Span::new(new, self.batch.text.len()))
            }
            [b'{', ..] => Some(span),
            _ => None,
        }
    }

    /// An object in the text, and nothing behind it but blanks and literal line breaks.
    fn json(&mut self, record: usize, place: Place, text: Span, trim: bool) {
        let text = trim::object_of(&self.batch.text, text);
        let Some(text) = text else { return };
        match &self.merging.key {
            Some(_) => self.splice(record, place, text, trim),
            None => self.lift(record, place, text, trim),
        }
    }

    fn splice(&mut self, record: usize, place: Place, text: Span, trim: bool) {
        let (mut is_empty, mut is_odd) = (true, false);
        let bytes = text.of(&self.batch.text);
        let is_object = json_read::object_of(bytes, self.batch.is_known_utf8(text), |member| {
            is_empty = false;
            is_odd |= member.dirty || trim && needs_trim(&bytes[member.value.0..member.value.1]);
        });
        if !is_object {
            return;
        }
        let value = if is_odd {
            self.scratch.text.clear();
            push_object(&mut self.scratch.text, bytes, trim);
            self.batch.append(&self.scratch.text)
        } else {
            text
        };
        self.put_under_key(record, place, (!is_empty).then_some(value));
    }

    /// Puts an object under `merge_log_key`; `None` is an empty one.
    fn put_under_key(&mut self, record: usize, place: Place, value: Option<Span>) {
        let gone = !self.merging.keep_log;
        if gone {
            self.take_out(record, place);
        }
        let (Some(value), Some(name)) = (value, &self.merging.key) else { return };
        let key = *self.key.get_or_insert_with(|| self.batch.intern(name));
        let field = Field { key, value: Value::Json(value) };
        if self.is_virtual(record, name) {
            self.batch.own_fields(record);
        }
        self.batch.set_field(record, field);
    }

    fn take_out(&mut self, record: usize, place: Place) {
        match place {
            Place::Text => self.batch.records[record].text_gone = true,
            Place::Field(at) => self.batch.remove_field(record, at),
        }
    }

    /// Is it a key that the shape of the record gives?
    fn is_virtual(&self, record: usize, key: &[u8]) -> bool {
        let record = &self.batch.records[record];
        match record.shape {
            Shape::Fields => false,
            Shape::Line => !record.text_gone && key == self.batch.source.draft.text_key.as_bytes(),
            Shape::Container => {
                let keys = self.batch.keys;
                let text = !record.text_gone && key == keys.text.as_bytes();
                text || key == b"time" || key == b"stream" || keys.tag.is_some_and(|tag| key == tag.as_bytes())
            }
        }
    }

    fn lift(&mut self, record: usize, place: Place, text: Span, trim: bool) {
        let start = self.batch.fields.len();
        let known_utf8 = self.batch.is_known_utf8(text);
        let (batch, odd) = (&mut *self.batch, &mut self.scratch.odd);
        odd.clear();
        let (bytes, fields, offset) = (text.of(&batch.text), &mut batch.fields, text.start as usize);
        let is_object = json_read::object_of(bytes, known_utf8, |member| {
            if member.dirty || member.key_escaped || trim && needs_trim(&bytes[member.value.0..member.value.1]) {
                odd.push((fields.len(), member));
            }
            let span = |(from, to): (usize, usize)| Span::new(offset + from, offset + to);
            fields.push(Field { key: span(member.key), value: Value::Json(span(member.value)) });
        });
        if !is_object {
            batch.fields.truncate(start);
            return;
        }
        for at in 0..self.scratch.odd.len() {
            let (field, member) = self.scratch.odd[at];
            self.rewrite(field, member, offset, trim);
        }
        self.adopt(record, place, start);
    }

    /// Writes a member anew that cannot stay as it is.
    fn rewrite(&mut self, field: usize, member: Member, offset: usize, trim: bool) {
        let own = |(from, to): (usize, usize)| offset + from..offset + to;
        let scratch = &mut self.scratch.text;
        scratch.clear();
        json_object::push_value(scratch, &self.batch.text[own(member.value)], trim);
        let value = self.batch.append(scratch);
        scratch.clear();
        json_object::push_key(scratch, &self.batch.text[own(member.key)]);
        let key = self.batch.append(scratch);
        self.batch.fields[field] = Field { key, value: Value::Json(value) };
    }

    /// Gives a record the fields from `start` on; of doubled keys the last wins, and they win over what the record had.
    fn adopt(&mut self, record: usize, place: Place, start: usize) {
        let gone = !self.merging.keep_log;
        let batch = &mut *self.batch;
        let old = batch.records[record];
        if old.fields_start < old.fields_end {
            let end = batch.fields.len();
            let kept =
                (old.fields_start as usize..old.fields_end as usize).filter(|at| !gone || Place::Field(*at) != place);
            for at in kept {
                let field = batch.fields[at];
                batch.fields.push(field);
            }
            // What the record had stands in front.
            batch.fields[start..].rotate_left(end - start);
        }
        let new = &mut batch.records[record];
        new.text_gone |= gone && place == Place::Text;
        (new.fields_start, new.fields_end) = (start as u32, batch.fields.len() as u32);
        self.keep_last_of_each_key(record);
        let keys = start..self.batch.fields.len();
        if keys.into_iter().any(|at| self.is_virtual(record, self.batch.bytes(self.batch.fields[at].key))) {
            self.batch.own_fields(record);
            self.keep_last_of_each_key(record);
        }
    }

    /// The fields of the record are the last ones of the batch.
    fn keep_last_of_each_key(&mut self, record: usize) {
        let start = self.batch.records[record].fields_start as usize;
        let (fields, text) = (&mut self.batch.fields, &self.batch.text);
        let count = fields.len() - start;
        if count > FEW_KEYS {
            let mut seen = std::collections::HashSet::new();
            let mut kept: Vec<Field> =
                fields[start..].iter().rev().filter(|f| seen.insert(f.key.of(text))).copied().collect();
            kept.reverse();
            fields.truncate(start);
            fields.append(&mut kept);
        } else {
            let mut to = start;
            for at in start..fields.len() {
                let field = fields[at];
                let same = |other: &Field| other.key.len == field.key.len && other.key.of(text) == field.key.of(text);
                if !fields[at + 1..].iter().any(same) {
                    fields[to] = field;
                    to += 1;
                }
            }
            fields.truncate(to);
        }
        self.batch.records[record].fields_end = fields.len() as u32;
    }

    fn parse(&mut self, record: usize, place: Place, text: Span, parser: &dyn Parser) {
        // A record for a moment: the parser shall not touch what this one has.
        let time_ns = self.batch.records[record].time_ns;
        let last = self.batch.records.len();
        self.batch.records.push(Record { text, time_ns, ..Record::default() });
        let parsed = parser.parse(self.batch, last).is_ok();
        let Some(found) = self.batch.records.pop().filter(|_| parsed) else { return };
        self.batch.records[record].time_ns = found.time_ns;
        let start = self.batch.fields.len();
        self.batch.fields.extend_from_within(found.fields_start as usize..found.fields_end as usize);
        if self.merging.trim {
            self.trim_fields(start);
        }
        if self.merging.key.is_none() {
            return self.adopt(record, place, start);
        }
        let scratch = &mut self.scratch.text;
        scratch.clear();
        json_object::push_fields(scratch, self.batch, start);
        let is_empty = self.batch.fields.len() == start;
        self.batch.fields.truncate(start);
        let value = self.batch.append(scratch);
        self.put_under_key(record, place, (!is_empty).then_some(value));
    }

    fn trim_fields(&mut self, start: usize) {
        for at in start..self.batch.fields.len() {
            match self.batch.fields[at].value {
                Value::Text(span) => {
                    let len = trim::trimmed(self.batch.bytes(span)).len() as u32;
                    self.batch.fields[at].value = Value::Text(Span { len, ..span });
                }
                Value::Json(span) if needs_trim(self.batch.bytes(span)) => {
                    self.scratch.text.clear();
                    json_object::push_value(&mut self.scratch.text, span.of(&self.batch.text), true);
                    self.batch.fields[at].value = Value::Json(self.batch.append(&self.scratch.text));
                }
                Value::Json(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
