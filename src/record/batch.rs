//! Some records of one source, in order, all their bytes in one arena.
//!
//! ```text
//! text:    |  the block as read() left it                      | new text: joined lines, unescaped values |
//! records:    ^text span   ^time span   offset in the file, bytes of the file that it stands for
//! fields:     ^key span    ^value span  (a record's fields are a range of this one vector)
//! ```
//! A batch belongs to the thread that reads: it is cleared and filled again, so that the fast path allocates nothing.

use super::{DropReason, Field, KeyNames, Shared, Source, Ticket};
use std::ops::Range;
use std::sync::Arc;

/// A piece of a batch's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// In bytes.
    pub len: u32,
}

impl Span {
    /// From `start` to before `end`. Arenas stay far below 4 GiB: a block and what is made of it.
    #[inline]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, len: (end - start) as u32 }
    }

    /// The bytes in `text`.
    #[inline]
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.start as usize + self.len as usize]
    }
}

/// Which output of the container wrote it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stream {
    /// Not a container's line.
    #[default]
    None,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// As container logs write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What a record consists of besides its fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// The text under the input's key, and the fields.
    #[default]
    Line,
    /// What the container format gives: text, stream, time, tag; and the fields.
    Container,
    /// The fields alone: a parser replaced the text.
    Fields,
}

/// One log entry.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record {
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// Where its first byte stands in the file.
    pub offset: u64,
    /// Bytes of the file that it stands for, line ends and headers included.
    pub bytes: u32,
    /// The message.
    pub text: Span,
    /// The time as the container format wrote it.
    pub time_text: Span,
    /// First of its fields in [`Batch::fields`].
    pub fields_start: u32,
    /// Behind the last of them.
    pub fields_end: u32,
    /// Standard output or error.
    pub stream: Stream,
    /// The first piece's CRI tag: `b'F'` or `b'P'`; 0 without one.
    pub tag: u8,
    /// Text, container line or parsed fields.
    pub shape: Shape,
    /// Cut at a limit.
    pub truncated: bool,
    /// What its source shares is among its own fields: [`Batch::own_shared`].
    pub owns_shared: bool,
    /// Its place in the file and the mark of a cut line are among its own fields: [`Batch::own_fields`].
    pub owns_place: bool,
    /// Its text is no member of it any more: what it said stands in the fields.
    pub text_gone: bool,
}

/// What reading a batch adds to the ledger.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// Lines cut.
    pub read: u64,
    /// Their bytes.
    pub read_bytes: u64,
    /// Pieces that went into another record.
    pub joined: u64,
    /// Change in pieces that wait for their end.
    pub open: i64,
    /// The same in bytes.
    pub open_bytes: i64,
    /// Records that came into being beside the lines (what was left of a line cut in two).
    pub made: u64,
    /// Records cut at a limit.
    pub truncated: u64,
    /// Left out while reading: reason, records, bytes.
    pub dropped: Vec<(DropReason, u64, u64)>,
}

impl Counts {
    /// Counts what is left out.
    pub fn drop(&mut self, reason: DropReason, records: u64, bytes: u64) {
        match self.dropped.iter_mut().find(|d| d.0 == reason) {
            Some(entry) => {
                entry.1 += records;
                entry.2 += bytes;
            }
            None => self.dropped.push((reason, records, bytes)),
        }
    }

    fn clear(&mut self) {
        let mut dropped = std::mem::take(&mut self.dropped);
        dropped.clear();
        *self = Self { dropped, ..Self::default() };
    }
}

/// What a record's place in its file is told apart by, beside its source: what a restart finds again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Hash of the file's first line, or of as much of it as a fingerprint covers. A compressed copy has the same.
    pub first_line: u64,
    /// How often the file was written anew since it is followed.
    pub rewritten: u32,
    /// When it was read, in nanoseconds since 1970: the time of records that bring none.
    pub time_ns: i64,
}

/// Some records of one source, in order.
#[derive(Debug)]
pub struct Batch {
    /// Tag, path and what all its records share.
    pub source: Arc<Source>,
    /// The names under which text, stream, time and tag appear.
    pub keys: &'static KeyNames,
    /// The arena.
    pub text: Vec<u8>,
    /// In order.
    pub records: Vec<Record>,
    /// Of all records.
    pub fields: Vec<Field>,
    /// Keys and constants in the arena: [`Batch::intern`].
    pub(super) interned: Vec<Span>,
    /// The part of `text` that no record points into: half a line at the end of a block, which comes again with the next one.
    pub unread: Range<usize>,
    /// The whole of `text` is known to be UTF-8, but for the unread part.
    pub utf8: bool,
    /// How much of it has been looked at.
    utf8_end: usize,
    /// Of which file, and when.
    pub reading: Reading,
    /// Settles the bytes that the batch was read from.
    pub ticket: Ticket,
    /// For the ledger.
    pub counts: Counts,
    /// Records that go on under another tag, and that tag. They have left `records`, and own all that they have.
    pub rerouted: Vec<(Arc<str>, Record)>,
}

impl Batch {
    /// An empty batch.
    pub fn new(source: Arc<Source>) -> Self {
        Self {
            source,
            keys: &KeyNames::CRI,
            text: Vec::new(),
            records: Vec::new(),
            fields: Vec::new(),
            interned: Vec::new(),
            unread: 0..0,
            utf8: false,
            utf8_end: 0,
            reading: Reading::default(),
            ticket: Ticket::default(),
            counts: Counts::default(),
            rerouted: Vec::new(),
        }
    }

    /// Empties it for another source; its memory stays.
    pub fn reset(&mut self, source: &Arc<Source>, keys: &'static KeyNames) {
        if !Arc::ptr_eq(&self.source, source) {
            self.source = Arc::clone(source);
        }
        self.keys = keys;
        self.text.clear();
        self.records.clear();
        self.fields.clear();
        self.interned.clear();
        self.unread = 0..0;
        self.utf8 = false;
        self.reading = Reading::default();
        self.ticket = Ticket::default();
        self.counts.clear();
        self.rerouted.clear();
    }

    /// Finds out whether it is UTF-8. A block ends in the middle of a character as often as not: what is behind its last line
    /// must not count.
    pub fn check_utf8(&mut self) {
        let is_utf8 = |text: Option<&[u8]>| text.is_some_and(|text| simdutf8::basic::from_utf8(text).is_ok());
        self.utf8 = is_utf8(self.text.get(..self.unread.start)) && is_utf8(self.text.get(self.unread.end..));
        self.utf8_end = self.text.len();
    }

    /// The same after filters: they have appended what stands from `from` on.
    pub fn check_appended(&mut self, from: usize) {
        self.utf8 = self.utf8 && simdutf8::basic::from_utf8(&self.text[from..]).is_ok();
        self.utf8_end = self.text.len();
    }

    /// Is this part of the text known to be UTF-8? Between two looks filters append what nobody has looked at.
    #[inline]
    pub fn is_known_utf8(&self, span: Span) -> bool {
        self.utf8 && (span.start + span.len) as usize <= self.utf8_end
    }

    /// The bytes of a span.
    #[inline]
    pub fn bytes(&self, span: Span) -> &[u8] {
        span.of(&self.text)
    }

    /// What a record shares with its source.
    #[inline]
    pub fn shared_of(&self, record: &Record) -> &[Shared] {
        if record.owns_shared { &[] } else { &self.source.draft.shared }
    }

    /// A record's fields.
    #[inline]
    pub fn fields_of(&self, record: &Record) -> &[Field] {
        &self.fields[record.fields_start as usize..record.fields_end as usize]
    }

    /// Appends new text to the arena.
    pub fn append(&mut self, text: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        Span::new(start, self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SourceDraft;

    #[test]
    fn half_a_line_at_the_end_of_a_block_does_not_count() {
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let mut check = |read: &[u8], unread: &[u8], new: &[u8], expect: bool| {
            batch.text = [read, unread, new].concat();
            batch.unread = read.len()..read.len() + unread.len();
            batch.check_utf8();
            assert_eq!(batch.utf8, expect, "{read:?} {unread:?} {new:?}");
        };
        check("日本\n".as_bytes(), &"語".as_bytes()[..2], "joined 語".as_bytes(), true);
        check("日本\n".as_bytes(), &"語".as_bytes()[..2], b"joined \xe8", false);
        check(b"\xe6\n", b"", b"", false);
        check(b"", b"", b"", true);
    }
}
