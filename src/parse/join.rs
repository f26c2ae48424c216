//! Joins the pieces of a long line, per stream. The record has the time, the tag and the place of its first piece.
//!
//! ```text
//! P, P, F ─▶ one record          (stdout and stderr each have their own open record)
//! over the limit ─▶ what there is as a record, marked; the rest begins a new one
//! ```
//! Pieces that wait for their end are remembered by their byte ranges, so that a position can pass them and a restart can
//! read just them again.

use super::docker_mode::Framed;
use super::{Multiline, Piece, Traces};
use crate::record::{Batch, Field, KeyNames, Record, Shape, Span, Stream, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Bytes of memory that open records take, over all joiners of a thread.
#[derive(Debug, Clone, Default)]
pub struct OpenBytes(Arc<AtomicUsize>);

impl OpenBytes {
    /// How many there are.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn change(&self, before: usize, after: usize) {
        self.0.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }
}

/// A piece that was taken in and waits: the record that it belongs to and its bytes in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPiece {
    /// The open record.
    pub id: u64,
    /// First byte in the file.
    pub start: u64,
    /// Behind its last byte.
    pub end: u64,
}

#[derive(Debug)]
struct Open {
    id: u64,
    text: Vec<u8>,
    time_text: Vec<u8>,
    first: Record,
    /// What the format gives besides: keys, and values as JSON, of the first piece.
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The names of its keys: those of the format that its pieces are in.
    keys: &'static KeyNames,
    /// What stands around the text, in `docker_mode`: that of the last piece.
    frame: Option<(Vec<u8>, Vec<u8>)>,
    /// The last piece was the end of a line.
    complete: bool,
    pieces: u64,
    bytes: u64,
}

/// The open records of one chain of files.
#[derive(Debug)]
pub struct Joiner {
    open: [Option<Box<Open>>; 3],
    /// What whole lines are joined to.
    traces: Option<Traces>,
    /// The line that was joined last, while it is not known whether it goes on with others.
    joined: Option<u64>,
    limit: usize,
    next_id: u64,
    total: OpenBytes,
    opened: Vec<OpenPiece>,
    closed: Vec<u64>,
}

impl Joiner {
    /// `limit`: bytes of a joined text, `multiline_buffer_limit`.
    pub fn new(limit: usize) -> Self {
        let total = OpenBytes::default();
        let (opened, closed) = (Vec::new(), Vec::new());
        Self { open: [None, None, None], traces: None, joined: None, limit, next_id: 0, total, opened, closed }
    }

    /// Its open records count in `total` too.
    #[must_use]
    pub fn counted_in(mut self, total: &OpenBytes) -> Self {
        self.total = total.clone();
        self
    }

    /// Whole lines are joined further: traces, messages of several lines.
    #[must_use]
    pub fn with_traces(mut self, multiline: Option<&Arc<Multiline>>) -> Self {
        self.traces = multiline.map(|multiline| Traces::new(Arc::clone(multiline), self.limit, &self.total));
        self
    }

    /// From now on whole lines are joined like that. What is open was sent before.
    pub fn set_traces(&mut self, multiline: Option<&Arc<Multiline>>) {
        self.traces = multiline.map(|multiline| Traces::new(Arc::clone(multiline), self.limit, &self.total));
    }

    /// Are whole lines joined further?
    #[inline]
    pub fn has_traces(&self) -> bool {
        self.traces.is_some()
    }

    /// After each batch: pieces that were taken in and wait, and the records that were completed.
    pub fn take_notes(&mut self) -> (Vec<OpenPiece>, Vec<u64>) {
        if let Some(traces) = &mut self.traces {
            traces.note(&mut self.opened);
            self.closed.append(&mut traces.closed);
        }
        (std::mem::take(&mut self.opened), std::mem::take(&mut self.closed))
    }

    /// The last record of the batch is a whole line: it is looked at, and maybe held.
    #[inline]
    pub fn add_whole(&mut self, batch: &mut Batch) {
        let joined = self.joined.take();
        match &mut self.traces {
            Some(traces) => traces.take_last(batch, joined),
            None => self.closed.extend(joined),
        }
    }

    /// Takes a piece in, which stands at `offset` and is `bytes` long with its line end. Whole lines become records at once.
    #[inline]
    pub fn add(&mut self, batch: &mut Batch, piece: &Piece, offset: u64, bytes: u32, truncated: bool) {
        if !piece.partial && self.open[piece.stream as usize].is_none() {
            batch.counts.truncated += u64::from(truncated);
            batch.records.push(record(piece, offset, bytes, truncated));
            if self.traces.is_some() {
                self.add_whole(batch);
            }
        } else {
            self.add_part(batch, piece, offset, bytes, truncated);
            self.close_if_over(batch, piece, true);
        }
    }

    /// Takes a piece in that stands inside a line of JSON. The record is such a line too; `ends` says whether a whole line is the
    /// end of it, or further ones may follow.
    pub fn add_framed(&mut self, batch: &mut Batch, framed: &Framed, (offset, bytes): (u64, u32), ends: bool) {
        self.add_part(batch, &framed.piece, offset, bytes, false);
        let stream = framed.piece.stream as usize;
        if let Some(open) = &mut self.open[stream] {
            let (before, behind) = open.frame.get_or_insert_default();
            for (kept, new) in [(before, framed.before), (behind, framed.behind)] {
                kept.clear();
                kept.extend_from_slice(batch.bytes(new));
            }
        }
        self.close_if_over(batch, &framed.piece, ends);
    }

    /// Has the stream an open record whose last piece was the end of a line?
    pub fn is_complete(&self, stream: Stream) -> bool {
        self.open[stream as usize].as_ref().is_some_and(|open| open.complete)
    }

    /// Does the stream wait for more?
    pub fn is_open_in(&self, stream: Stream) -> bool {
        self.open[stream as usize].is_some()
    }

    /// Makes a record of what is open in a stream.
    pub fn flush_stream(&mut self, batch: &mut Batch, stream: Stream) {
        self.close(batch, stream, false);
    }

    fn add_part(&mut self, batch: &mut Batch, piece: &Piece, offset: u64, bytes: u32, truncated: bool) {
        let (next_id, batch_keys) = (&mut self.next_id, batch.keys);
        let open = self.open[piece.stream as usize].get_or_insert_with(|| {
            *next_id += 1;
            Box::new(Open {
                id: *next_id,
                text: Vec::new(),
                time_text: batch.bytes(piece.time_text).to_vec(),
                first: Record { bytes: 0, ..record(piece, offset, 0, false) },
                fields: fields_of(batch, piece),
                keys: batch_keys,
                frame: None,
                complete: false,
                pieces: 0,
                bytes: 0,
            })
        });
        let before = open.text.capacity();
        open.text.extend_from_slice(batch.bytes(piece.text));
        self.total.change(before, open.text.capacity());
        open.pieces += 1;
        open.bytes += u64::from(bytes);
        open.first.truncated |= truncated;
        open.complete = !piece.partial;
        batch.counts.open += 1;
        batch.counts.open_bytes += i64::from(bytes);
        self.opened.push(OpenPiece { id: open.id, start: offset, end: offset + u64::from(bytes) });
    }

    /// Closes a record that is as long as it may be, or at its end where a whole line `ends` it.
    fn close_if_over(&mut self, batch: &mut Batch, piece: &Piece, ends: bool) {
        let over = self.open[piece.stream as usize].as_ref().is_some_and(|open| open.text.len() >= self.limit);
        let at_its_end = ends && !piece.partial;
        if over || at_its_end {
            self.close(batch, piece.stream, over && !at_its_end);
        }
    }

    /// Makes a record of what is open, because nothing can follow any more: the file has ended.
    pub fn flush(&mut self, batch: &mut Batch) {
        for stream in [Stream::None, Stream::Stdout, Stream::Stderr] {
            self.close(batch, stream, false);
        }
        if let Some(traces) = &mut self.traces {
            traces.flush(batch);
        }
    }

    /// The same of what whole lines are joined to, alone.
    pub fn flush_traces(&mut self, batch: &mut Batch) {
        if let Some(traces) = &mut self.traces {
            traces.flush(batch);
        }
    }

    /// Does any record wait for its end?
    pub fn is_open(&self) -> bool {
        self.open.iter().any(Option::is_some) || self.traces.as_ref().is_some_and(Traces::is_open)
    }

    /// Has a trace waited for its next line as long as it may?
    pub fn has_idle(&self, now: Instant) -> bool {
        self.traces.as_ref().is_some_and(|traces| traces.has_idle(now))
    }

    /// Makes records of such traces.
    pub fn flush_idle(&mut self, batch: &mut Batch, now: Instant) {
        if let Some(traces) = &mut self.traces {
            traces.flush_idle(batch, now, None);
        }
    }

    /// Bytes of memory that the texts of its open records take.
    pub fn held_bytes(&self) -> usize {
        let traces = self.traces.as_ref().map_or(0, Traces::held_bytes);
        self.pieces_bytes() + traces
    }

    fn pieces_bytes(&self) -> usize {
        self.open.iter().flatten().map(|o| o.text.capacity()).sum()
    }

    /// Makes a record of the largest open one, marked: memory is short.
    pub fn cut_largest(&mut self, batch: &mut Batch) {
        let largest = self.open.iter().flatten().max_by_key(|open| open.text.capacity());
        let bytes = largest.map_or(0, |open| open.text.capacity());
        if let Some(traces) = self.traces.as_mut().filter(|traces| traces.largest() > bytes) {
            return traces.cut_largest(batch);
        }
        if let Some(stream) = largest.map(|open| open.first.stream) {
            self.close(batch, stream, true);
        }
    }

    fn close(&mut self, batch: &mut Batch, stream: Stream, truncated: bool) {
        let Some(open) = self.open[stream as usize].take() else { return };
        self.total.change(open.text.capacity(), 0);
        let text_start = batch.text.len();
        let (before, behind) = open.frame.as_ref().map_or((&[][..], &[][..]), |(before, behind)| (before, behind));
        [before, &open.text, behind].iter().for_each(|part| batch.text.extend_from_slice(part));
        let text = Span::new(text_start, batch.text.len());
        let shape = if open.frame.is_some() { Shape::Line } else { open.first.shape };
        let time_text = batch.append(&open.time_text);
        let truncated = truncated || open.first.truncated;
        let bytes = open.bytes.min(u64::from(u32::MAX)) as u32;
        let fields_start = batch.fields.len() as u32;
        for (key, value) in &open.fields {
            let field = Field { key: batch.append(key), value: Value::Json(batch.append(value)) };
            batch.fields.push(field);
        }
        let first = Record { fields_start, fields_end: batch.fields.len() as u32, shape, ..open.first };
        // The batch may hold no line of that format: nothing but what was open.
        batch.keys = open.keys;
        batch.records.push(Record { text, time_text, bytes, truncated, ..first });
        batch.counts.open -= open.pieces as i64;
        batch.counts.open_bytes -= open.bytes as i64;
        batch.counts.joined += open.pieces - 1;
        batch.counts.truncated += u64::from(truncated);
        // Joined text can be a character cut in two by a limit: look at it again.
        batch.utf8 = false;
        self.joined = Some(open.id);
        self.add_whole(batch);
    }
}

impl Drop for Joiner {
    fn drop(&mut self) {
        self.total.change(self.pieces_bytes(), 0);
    }
}

/// What the format gives besides text, stream and time.
fn fields_of(batch: &Batch, piece: &Piece) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (from, to) = piece.fields;
    let owned = |field: &Field| {
        let (Value::Json(value) | Value::Text(value)) = field.value;
        (batch.bytes(field.key).to_vec(), batch.bytes(value).to_vec())
    };
    batch.fields[from as usize..to as usize].iter().map(owned).collect()
}

#[inline]
fn record(piece: &Piece, offset: u64, bytes: u32, truncated: bool) -> Record {
    Record {
        time_ns: piece.time_ns,
        offset,
        bytes,
        text: piece.text,
        time_text: piece.time_text,
        fields_start: piece.fields.0,
        fields_end: piece.fields.1,
        stream: piece.stream,
        tag: piece.tag,
        shape: Shape::Container,
        truncated,
        owns_shared: false,
        owns_place: false,
        text_gone: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::time::Rfc3339;
    use crate::record::{Source, SourceDraft};

    fn join(limit: usize, lines: &[&str]) -> (Vec<(String, u8, bool)>, Joiner) {
        let mut joiner = Joiner::new(limit);
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let mut offset = 0;
        for line in lines {
            let line = format!("2024-03-01T10:00:00Z {line}");
            let span = batch.append(line.as_bytes());
            let piece = super::super::cri::piece(line.as_bytes(), span.start as usize, &mut Rfc3339::default());
            joiner.add(&mut batch, &piece.expect("a CRI line"), offset, line.len() as u32, false);
            offset += line.len() as u64;
        }
        let read = |r: &Record| (String::from_utf8_lossy(batch.bytes(r.text)).into_owned(), r.tag, r.truncated);
        (batch.records.iter().map(read).collect(), joiner)
    }

    #[test]
    fn streams_are_joined_each_for_itself() {
        let (records, joiner) =
            join(1000, &["stdout P a", "stderr P x", "stdout P b", "stderr F y", "stdout F c", "stdout F d"]);
        let expect = [("xy", b'P', false), ("abc", b'P', false), ("d", b'F', false)];
        assert_eq!(records, expect.map(|(t, tag, cut)| (t.to_owned(), tag, cut)));
        assert_eq!(joiner.closed, [2, 1]);
        assert!(!joiner.is_open());
    }

    #[test]
    fn a_record_without_end_is_cut_at_the_limit_and_nothing_is_lost() {
        let (records, joiner) = join(4, &["stdout P abc", "stdout P de", "stdout P f", "stdout F g"]);
        let expect = [("abcde", b'P', true), ("fg", b'P', false)];
        assert_eq!(records, expect.map(|(t, tag, cut)| (t.to_owned(), tag, cut)));
        assert!(!joiner.is_open());
    }

    #[test]
    fn what_is_open_counts_over_all_joiners_and_the_largest_is_cut() {
        let total = OpenBytes::default();
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let mut joiners = [1, 2].map(|_| Joiner::new(1000).counted_in(&total));
        for (joiner, line) in [(0, "stdout P aa"), (0, "stderr P bbbbbbbbbbbbbbbbbbbb"), (1, "stdout P c")] {
            let line = format!("2024-03-01T10:00:00Z {line}");
            let span = batch.append(line.as_bytes());
            let piece = super::super::cri::piece(line.as_bytes(), span.start as usize, &mut Rfc3339::default());
            joiners[joiner].add(&mut batch, &piece.expect("a CRI line"), 0, line.len() as u32, false);
        }
        assert_eq!(total.get(), joiners[0].held_bytes() + joiners[1].held_bytes());
        joiners[0].cut_largest(&mut batch);
        let record = batch.records[0];
        assert_eq!((batch.bytes(record.text), record.truncated), (&b"bbbbbbbbbbbbbbbbbbbb"[..], true));
        assert_eq!((batch.counts.truncated, batch.counts.open), (1, 2));
        assert_eq!(total.get(), joiners[0].held_bytes() + joiners[1].held_bytes());
        drop(joiners);
        assert_eq!(total.get(), 0);
    }

    #[test]
    fn an_open_record_is_known_by_its_ranges() {
        let (records, mut joiner) = join(1000, &["stdout F a", "stdout P b", "stderr F c"]);
        assert_eq!(records.len(), 2);
        assert_eq!(joiner.opened, [OpenPiece { id: 1, start: 31, end: 62 }]);
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        joiner.flush(&mut batch);
        assert_eq!(batch.bytes(batch.records[0].text), b"b");
        assert_eq!((batch.counts.open, batch.counts.joined), (-1, 0));
    }
}
