//! Some entries of one file: read with all their fields, sorted by their source, and made into batches.
//!
//! ```text
//! entries  A B A C B …  ─▶  A A │ B B │ C     a batch for each source, in the order of the file
//! ```

use super::fields::{Keys, Slot, Slots};
use super::journal::{Entry, Item, JournalFile, Trouble};
use super::sources::Sources;
use crate::record::{Batch, Field, KeyNames, Reading, Record, Shape, Source, Span, Value, json};
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of fields after which a round is over.
pub(super) const ROUND_BYTES: usize = 512 << 10;
/// Bytes of the fields of one entry; what is more is left out and marked.
const ENTRY_BYTES_MAX: usize = 4 << 20;
/// A longer field is not kept for later entries.
const SLOT_BYTES_MAX: usize = 4 << 10;
/// A reference to a field that stands in the round alone.
const OWN: u32 = 1 << 31;

const UNIT: &[u8] = b"_SYSTEMD_UNIT";

/// A field that only one entry has.
#[derive(Debug, Clone)]
struct OwnField {
    text: Range<u32>,
    key_len: u32,
    key: u32,
}

/// An entry of a round.
#[derive(Debug, Clone)]
pub(super) struct RoundEntry {
    pub(super) entry: Entry,
    pub(super) source: u32,
    fields: Range<u32>,
    pub(super) bytes: u32,
    cut: bool,
}

/// What a round reads with: the lists of its file and of its section.
pub(super) struct Lists<'a> {
    pub(super) slots: &'a mut Slots,
    pub(super) keys: &'a mut Keys,
    pub(super) sources: &'a mut Sources,
    pub(super) fields_max: usize,
    /// The field that entries of drave's own log have.
    pub(super) own: Option<&'a [u8]>,
}

/// What records are made with.
pub(super) struct To<'a> {
    pub(super) slots: &'a mut Slots,
    pub(super) keys: &'a mut Keys,
    pub(super) now_ns: i64,
}

/// Some entries; its memory is used again and again.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) entries: Vec<RoundEntry>,
    /// Of all entries: a slot's number, or that of a field of its own.
    fields: Vec<u32>,
    own: Vec<OwnField>,
    text: Vec<u8>,
    hashes: Vec<u64>,
    pub(super) bytes: usize,
    /// Of entries of drave's own log, which were left out.
    pub(super) own_bytes: u64,
    /// Numbers batches and records, so that marks of earlier ones do not count.
    batch: u32,
    record: u32,
}

impl Round {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.fields.clear();
        self.own.clear();
        self.text.clear();
        (self.bytes, self.own_bytes) = (0, 0);
    }

    /// Adds an entry with all its fields; one that is damaged, or of drave's own log, leaves nothing behind.
    pub(super) fn add(
        &mut self,
        file: &mut JournalFile,
        entry: Entry,
        items: &[Item],
        lists: &mut Lists<'_>,
    ) -> Result<(), Trouble> {
        let before = (self.fields.len(), self.own.len(), self.text.len());
        self.hashes.clear();
        let mut adding = Adding { begin: before.0, bytes: 0, cut: false, is_own: false, source: None };
        let read = items.iter().try_for_each(|item| self.add_field(file, *item, lists, &mut adding));
        if let Err(trouble) = read.and_then(|()| file.check_entry(&entry, items.len(), &self.hashes)) {
            self.truncate(before);
            return Err(trouble);
        }
        if adding.is_own {
            self.truncate(before);
            self.own_bytes += adding.bytes as u64;
            return Ok(());
        }
        let source = adding.source.unwrap_or_else(|| lists.sources.of(None));
        let fields = before.0 as u32..self.fields.len() as u32;
        self.bytes += adding.bytes;
        let (bytes, cut) = (adding.bytes as u32, adding.cut);
        self.entries.push(RoundEntry { entry, source, fields, bytes, cut });
        Ok(())
    }

    fn truncate(&mut self, (fields, own, text): (usize, usize, usize)) {
        self.fields.truncate(fields);
        self.own.truncate(own);
        self.text.truncate(text);
    }

    fn add_field(
        &mut self,
        file: &mut JournalFile,
        item: Item,
        lists: &mut Lists<'_>,
        adding: &mut Adding,
    ) -> Result<(), Trouble> {
        if adding.bytes > ENTRY_BYTES_MAX {
            adding.cut = true;
            return Ok(());
        }
        if let Some(number) = lists.slots.find(item.offset) {
            let slot = lists.slots.get(number);
            self.hashes.extend(slot.xor);
            adding.cut |= slot.cut;
            adding.source = slot.source.or(adding.source);
            adding.is_own |= slot.is_own;
            let bytes = lists.slots.len_of(number);
            self.push(number, bytes, lists.fields_max, adding);
            return Ok(());
        }
        let start = self.text.len();
        let data = file.data(item, &mut self.text)?;
        let text = &self.text[start..];
        self.hashes.extend(data.xor);
        adding.cut |= data.cut;
        let name = &text[..data.key_len];
        let source = (name == UNIT).then(|| lists.sources.of(Some(&text[data.key_len + 1..])));
        adding.source = source.or(adding.source);
        let is_own = lists.own == Some(text);
        adding.is_own |= is_own;
        let bytes = text.len();
        if name.is_empty() || self.fields.len() - adding.begin >= lists.fields_max {
            adding.cut |= !name.is_empty();
            self.text.truncate(start);
            return Ok(());
        }
        let reference = if data.entries > 1 && bytes <= SLOT_BYTES_MAX {
            let key = lists.keys.number(name);
            let mut slot = Slot::new(&data, key, source);
            slot.is_own = is_own;
            let number = lists.slots.put(item.offset, text, slot);
            self.text.truncate(start);
            number
        } else {
            let key = lists.keys.number(name);
            let text = start as u32..self.text.len() as u32;
            self.own.push(OwnField { text, key_len: data.key_len as u32, key });
            OWN | (self.own.len() as u32 - 1)
        };
        self.push(reference, bytes, lists.fields_max, adding);
        Ok(())
    }

    fn push(&mut self, reference: u32, bytes: usize, fields_max: usize, adding: &mut Adding) {
        if self.fields.len() - adding.begin >= fields_max {
            adding.cut = true;
            return;
        }
        self.fields.push(reference);
        adding.bytes += bytes;
    }

    /// The entries sorted by their source, each range of one source.
    pub(super) fn by_source(&mut self) -> Vec<Range<usize>> {
        self.entries.sort_by_key(|entry| entry.source);
        let mut groups: Vec<Range<usize>> = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            match groups.last_mut().filter(|group| self.entries[group.start].source == entry.source) {
                Some(group) => group.end = at + 1,
                None => groups.push(at..at + 1),
            }
        }
        groups
    }

    /// Makes records of some entries.
    pub(super) fn fill(
        &mut self,
        batch: &mut Batch,
        source: &Arc<Source>,
        entries: Range<usize>,
        file: &JournalFile,
        to: &mut To<'_>,
    ) {
        batch.reset(source, &KeyNames::CRI);
        // What an entry is told apart by: who numbered it, and its number.
        let first_line = xxh3_64(&file.header().seqnum_id.0);
        batch.reading = Reading { first_line, rewritten: 0, time_ns: to.now_ns };
        self.batch = self.batch.wrapping_add(1);
        for at in entries {
            let entry = self.entries[at].clone();
            self.record = self.record.wrapping_add(1);
            let fields_start = batch.fields.len() as u32;
            let mut is_repeated = false;
            for at in entry.fields {
                let field = self.field(self.fields[at as usize], batch, to.slots, to.keys);
                is_repeated |= field.1;
                batch.fields.push(field.0);
            }
            if is_repeated {
                make_lists(batch, fields_start as usize);
            }
            batch.records.push(Record {
                time_ns: i64::try_from(entry.entry.realtime.saturating_mul(1000)).unwrap_or(i64::MAX),
                offset: entry.entry.seqnum,
                bytes: entry.bytes,
                fields_start,
                fields_end: batch.fields.len() as u32,
                shape: Shape::Fields,
                truncated: entry.cut,
                ..Record::default()
            });
            batch.counts.read += 1;
            batch.counts.read_bytes += u64::from(entry.bytes);
            batch.counts.truncated += u64::from(entry.cut);
        }
    }

    /// A field of the batch, and whether its record has the key already.
    fn field(&self, reference: u32, batch: &mut Batch, slots: &mut Slots, keys: &mut Keys) -> (Field, bool) {
        let (number, value) = if reference & OWN == 0 {
            let slot = slots.get(reference);
            if slot.batch != self.batch {
                let slot = slot.clone();
                let span = batch.append(slots.text(&slot));
                let slot = slots.get(reference);
                (slot.batch, slot.value) = (self.batch, behind_key(span, slot.key_len));
            }
            let slot = slots.get(reference);
            (slot.key, slot.value)
        } else {
            let own = &self.own[(reference & !OWN) as usize];
            let span = batch.append(&self.text[own.text.start as usize..own.text.end as usize]);
            (own.key, behind_key(span, own.key_len))
        };
        let key = keys.get(number);
        if key.batch != self.batch {
            (key.batch, key.span) = (self.batch, batch.append(key.shown()));
        }
        let is_repeated = std::mem::replace(&mut key.record, self.record) == self.record;
        (Field { key: key.span, value: Value::Text(value) }, is_repeated)
    }
}

/// What is known of the entry that is being added.
struct Adding {
    /// Its first field.
    begin: usize,
    bytes: usize,
    cut: bool,
    is_own: bool,
    source: Option<u32>,
}

/// The value of `KEY=value`.
fn behind_key(span: Span, key_len: u32) -> Span {
    Span { start: span.start + key_len + 1, len: span.len - key_len - 1 }
}

/// Of fields with one key, one with a list of their values.
fn make_lists(batch: &mut Batch, from: usize) {
    let mut fields = batch.fields.split_off(from);
    while let Some(field) = fields.first().copied() {
        let is_same = |other: &Field| other.key == field.key;
        if fields[1..].iter().any(is_same) {
            let start = batch.text.len();
            batch.text.push(b'[');
            for same in fields.iter().filter(|other| is_same(other)) {
                if batch.text.len() > start + 1 {
                    batch.text.push(b',');
                }
                if let Value::Text(span) = same.value {
                    let value = span.of(&batch.text).to_vec();
                    json::push_string(&mut batch.text, &value);
                }
            }
            batch.text.push(b']');
            let value = Value::Json(Span::new(start, batch.text.len()));
            batch.fields.push(Field { key: field.key, value });
        } else {
            batch.fields.push(field);
        }
        fields.retain(|other| !is_same(other));
    }
}
