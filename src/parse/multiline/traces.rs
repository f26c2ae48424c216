//! Records of several lines, of one source. A line outside of any costs a look; the first one of a trace is taken out of its
//! batch and comes back, with all lines, when the trace is over.
//!
//! ```text
//! line ─▶ goes on with the trace of its stream? ─▶ begins one? ─▶ stays where it is
//!                 │ held                              │ held, the one before is sent
//! ```
//! What is held is known by its byte ranges, as the pieces of a long line are, so that a restart reads it again.

use super::{Mode, Multiline, MultilineParser, State};
use crate::parse::decode::text_of;
use crate::parse::{OpenBytes, OpenPiece};
use crate::record::{Batch, Kept, Record, Shape, Span, Stream, Ticket, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Numbers of traces begin here: those of lines in pieces, which share the row of a position, are below.
const FIRST_ID: u64 = 1 << 63;

/// Open traces of one source: with `key_group`, one for each of its values.
const OPEN_MAX: usize = 1_000;

/// Memory of a trace up to which it is kept for the next one.
const SPARE_BYTES_MAX: usize = 4 << 10;

/// Which text of a record is joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Content {
    /// The record's text.
    #[default]
    Text,
    /// A field, by its number among those of the record.
    Field(usize),
}

#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) id: u64,
    pub(super) stream: Stream,
    /// The value of `key_group`.
    pub(super) group: Vec<u8>,
    pub(super) parser: usize,
    pub(super) state: Option<State>,
    pub(super) first: Kept,
    pub(super) content: Content,
    pub(super) text: Vec<u8>,
    /// None where all that there was is sent, because it was too long.
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) truncated: bool,
    /// Pieces that its lines were joined from.
    pub(super) pieces: Vec<u64>,
    /// Bytes in the file that the caller does not know of yet.
    pub(super) ranges: Vec<(u64, u64)>,
    /// The caller knows of some.
    pub(super) noted: bool,
    pub(super) touched: Option<Instant>,
    /// Of the batches that its lines came from, for who asked with [`Traces::hold_tickets`].
    tickets: Vec<Ticket>,
}

/// The open traces of one source.
#[derive(Debug)]
pub struct Traces {
    pub(super) multiline: Arc<Multiline>,
    pub(super) open: Vec<Trace>,
    pub(super) spare: Option<Trace>,
    pub(super) limit: usize,
    pub(super) next_id: u64,
    pub(super) total: OpenBytes,
    /// Traces, and pieces of their lines, that are over since the last look; the caller drains it.
    pub closed: Vec<u64>,
    /// Tickets of lines that are in records of the batch now; the caller drains it.
    pub released: Vec<Ticket>,
}

impl Traces {
    /// `limit`: bytes of a joined text, `multiline_buffer_limit`.
    pub fn new(multiline: Arc<Multiline>, limit: usize, total: &OpenBytes) -> Self {
        Self {
            multiline,
            open: Vec::new(),
            spare: None,
            limit,
            next_id: FIRST_ID,
            total: total.clone(),
            closed: Vec::new(),
            released: Vec::new(),
        }
    }

    /// Looks at the last record of the batch, a whole line: it stays, or is held. `piece` is what it was joined from, if it was.
    #[inline]
    pub fn take_last(&mut self, batch: &mut Batch, piece: Option<u64>) {
        match self.multiline.mode {
            Mode::Parsers => {
                if self.open.is_empty() || !self.take_next(batch, piece) {
                    self.take_first(batch, piece);
                }
            }
            Mode::Legacy(_) => self.take_legacy(batch, piece),
            Mode::Partial => self.take_partial(batch, piece),
        }
    }

    /// Does the line go on with an open trace of its stream?
    fn take_next(&mut self, batch: &mut Batch, piece: Option<u64>) -> bool {
        let Some(last) = batch.records.len().checked_sub(1) else { return true };
        let (before, stream) = (batch.records[last], self.stream_of(batch));
        // Traces of several groups have one parser more often than not: the line is read once for all of them.
        let mut looked: Option<(usize, Option<Line>)> = None;
        for at in 0..self.open.len() {
            let (trace, number) = (&self.open[at], self.open[at].parser);
            let parser = self.multiline.parsers.get(number);
            let Some((parser, state)) = parser.zip(trace.state).filter(|_| trace.stream == stream) else { continue };
            let line = match looked {
                Some((known, line)) if known == number => line,
                _ => {
                    batch.records[last] = before;
                    look(&self.multiline, parser, batch)
                }
            };
            looked = Some((number, line));
            let is_of_group = |line: &Line| match line.group {
                Some(group) => batch.bytes(group) == trace.group,
                None => trace.group.is_empty(),
            };
            let line = line.filter(is_of_group);
            let next = line.and_then(|line| Some((line, parser.go_on(state, batch.bytes(line.told_by))?)));
            if let Some((line, state)) = next {
                self.go_on(at, batch, state, line, piece);
                return true;
            }
        }
        batch.records[last] = before;
        false
    }

    /// Does it begin one? Then what is open in its stream and group is over, as it is when the line is nothing of a trace.
    #[inline]
    fn take_first(&mut self, batch: &mut Batch, piece: Option<u64>) {
        let Some(last) = batch.records.len().checked_sub(1) else { return };
        for number in 0..self.multiline.parsers.len() {
            let parser = &self.multiline.parsers[number];
            // Only a parser of its own changes the record.
            let before = parser.parser.is_some().then(|| batch.records[last]);
            let line = look(&self.multiline, parser, batch);
            let first = line.and_then(|line| Some((line, parser.begin(batch.bytes(line.told_by))?)));
            let Some((line, state)) = first else {
                if let Some(before) = before {
                    batch.records[last] = before;
                }
                continue;
            };
            let group = line.group.map_or_else(Vec::new, |group| batch.bytes(group).to_vec());
            self.close_before_last(batch, Some(&group));
            self.bound_open(batch);
            if state.is_end {
                self.closed.extend(piece);
            } else {
                self.begin(batch, group, (number, state), line, piece);
            }
            return;
        }
        self.close_before_last(batch, None);
        self.closed.extend(piece);
    }

    /// Ends the traces of the last record's stream, of one group or of all; it stays the last one.
    fn close_before_last(&mut self, batch: &mut Batch, group: Option<&[u8]>) {
        if self.open.is_empty() {
            return;
        }
        let stream = self.stream_of(batch);
        let is_over =
            |trace: &Trace| trace.stream == stream && group.is_none_or(|group| group == trace.group.as_slice());
        if let Some(mut at) = self.open.iter().position(&is_over)
            && let Some(line) = batch.records.pop()
        {
            loop {
                self.close(at, batch, false);
                match self.open.iter().position(&is_over) {
                    Some(next) => at = next,
                    None => break,
                }
            }
            batch.records.push(line);
        }
    }

    /// A group may be anything, one of its own for each request: the oldest trace is over when there are too many.
    fn bound_open(&mut self, batch: &mut Batch) {
        if self.open.len() >= OPEN_MAX
            && let Some(line) = batch.records.pop()
        {
            self.close(0, batch, false);
            batch.records.push(line);
        }
    }

    /// The filter does not look at streams.
    pub(super) fn stream_of(&self, batch: &Batch) -> Stream {
        let stream = batch.records.last().map(|record| record.stream);
        stream.filter(|_| self.multiline.key_content.is_none()).unwrap_or_default()
    }

    /// Holds the last record of the batch as the first line of a trace.
    pub(super) fn begin(
        &mut self,
        batch: &mut Batch,
        group: Vec<u8>,
        (parser, state): (usize, State),
        line: Line,
        piece: Option<u64>,
    ) {
        if self.open.len() >= OPEN_MAX {
            self.close_oldest(batch);
        }
        let mut trace = self.spare.take().unwrap_or_default();
        self.next_id += 1;
        trace.id = self.next_id;
        (trace.group, trace.parser, trace.state) = (group, parser, Some(state));
        self.open.push(trace);
        let at = self.open.len() - 1;
        self.hold_first(at, batch, line.content);
        self.add(at, batch, line.text, piece);
    }

    /// Sends the one that was begun first, before the last record of the batch.
    fn close_oldest(&mut self, batch: &mut Batch) {
        let Some(line) = batch.records.pop() else { return };
        self.close(0, batch, false);
        batch.records.push(line);
    }

    pub(super) fn hold_first(&mut self, at: usize, batch: &Batch, content: Content) {
        let (last, stream) = (batch.records.len() - 1, self.stream_of(batch));
        let trace = &mut self.open[at];
        trace.stream = stream;
        trace.first.hold(batch, last);
        (trace.content, trace.truncated) = (content, false);
    }

    pub(super) fn go_on(&mut self, at: usize, batch: &mut Batch, state: State, line: Line, piece: Option<u64>) {
        if self.open[at].lines == 0 {
            self.hold_first(at, batch, line.content);
        }
        self.open[at].state = Some(state);
        self.add(at, batch, line.text, piece);
        if state.is_end {
            self.close(at, batch, false);
        }
    }

    /// Moves the last record of the batch into a trace.
    pub(super) fn add(&mut self, at: usize, batch: &mut Batch, text: Span, piece: Option<u64>) {
        let Some(line) = batch.records.pop() else { return };
        let trace = &mut self.open[at];
        let (before, is_first) = (trace.text.len(), trace.lines == 0);
        match self.multiline.mode {
            Mode::Parsers => append_line(&mut trace.text, batch.bytes(text), is_first),
            Mode::Legacy(_) if !is_first => {
                trace.text.push(b'\n');
                trace.text.extend_from_slice(batch.bytes(text));
            }
            _ => trace.text.extend_from_slice(batch.bytes(text)),
        }
        self.total.change(before, trace.text.len());
        trace.hold(batch, &line, piece);
        self.cut_if_over(at, batch);
    }

    /// What is over the limit is sent, marked; the state stays, so that what follows is told as before.
    pub(super) fn cut_if_over(&mut self, at: usize, batch: &mut Batch) {
        if self.open[at].text.len() >= self.limit {
            self.send(at, batch, true);
        }
    }

    /// Ends a trace: what there is of it is sent.
    pub(super) fn close(&mut self, at: usize, batch: &mut Batch, truncated: bool) {
        self.send(at, batch, truncated);
        let mut trace = self.open.remove(at);
        trace.state = None;
        trace.group.clear();
        if trace.text.capacity() <= SPARE_BYTES_MAX {
            self.spare = Some(trace);
        }
    }

    /// Makes a record of the lines of a trace.
    fn send(&mut self, at: usize, batch: &mut Batch, truncated: bool) {
        let trace = &mut self.open[at];
        trace.touched = None;
        if trace.lines == 0 {
            return;
        }
        trace.first.put(batch);
        let joined = batch.append(&trace.text);
        let truncated = truncated || trace.truncated;
        if let Some(record) = batch.records.last_mut() {
            record.bytes = trace.bytes.min(u64::from(u32::MAX)) as u32;
            record.truncated = truncated;
            match trace.content {
                Content::Text => record.text = joined,
                Content::Field(at) => batch.fields[record.fields_start as usize + at].value = Value::Text(joined),
            }
        }
        batch.counts.open -= trace.lines as i64;
        batch.counts.open_bytes -= trace.bytes as i64;
        batch.counts.joined += trace.lines - 1;
        batch.counts.truncated += u64::from(truncated) - u64::from(trace.truncated);
        // A joined text may have been cut anywhere: look at it again.
        batch.utf8 = false;
        self.total.change(trace.text.len(), 0);
        self.closed.append(&mut trace.pieces);
        self.released.append(&mut trace.tickets);
        if std::mem::take(&mut trace.noted) {
            self.closed.push(trace.id);
        }
        trace.ranges.clear();
        trace.text.clear();
        (trace.lines, trace.bytes, trace.truncated) = (0, 0, false);
        self.next_id += 1;
        trace.id = self.next_id;
    }

    /// Makes records of all that is open.
    pub fn flush(&mut self, batch: &mut Batch) {
        while !self.open.is_empty() {
            self.close(0, batch, false);
        }
    }

    /// The same of what has waited for its next line as long as it may, or as long as `wait_max`.
    pub fn flush_idle(&mut self, batch: &mut Batch, now: Instant, wait_max: Option<Duration>) {
        while let Some(at) = self.open.iter().position(|trace| self.is_idle(trace, now, wait_max)) {
            self.close(at, batch, false);
        }
    }

    /// Has something waited as long as it may?
    pub fn has_idle(&self, now: Instant) -> bool {
        self.open.iter().any(|trace| self.is_idle(trace, now, None))
    }

    fn is_idle(&self, trace: &Trace, now: Instant, wait_max: Option<Duration>) -> bool {
        let of_parser = || self.multiline.parsers.get(trace.parser).map_or(Duration::ZERO, |p| p.flush_timeout);
        let wait = self.multiline.flush_timeout.unwrap_or_else(of_parser);
        let wait = wait_max.map_or(wait, |max| wait.min(max));
        trace.touched.is_some_and(|touched| now.duration_since(touched) >= wait)
    }

    /// Does anything wait for its next line?
    pub fn is_open(&self) -> bool {
        self.open.iter().any(|trace| trace.lines > 0)
    }

    /// Bytes of the texts that wait.
    pub fn held_bytes(&self) -> usize {
        self.open.iter().map(|trace| trace.text.len()).sum()
    }

    /// Bytes of the largest of them.
    pub fn largest(&self) -> usize {
        self.open.iter().map(|trace| trace.text.len()).max().unwrap_or(0)
    }

    /// Makes a record of the largest, marked: memory is short.
    pub fn cut_largest(&mut self, batch: &mut Batch) {
        let largest = (0..self.open.len()).max_by_key(|at| self.open[*at].text.len());
        if let Some(at) = largest {
            self.close(at, batch, true);
        }
    }

    /// After each batch: the lines that are held of it; from now on they wait.
    pub fn note(&mut self, opened: &mut Vec<OpenPiece>) {
        if self.open.is_empty() {
            return;
        }
        let now = Instant::now();
        // One that was cut waits too, though nothing of it is held.
        for trace in self.open.iter_mut().filter(|trace| trace.touched.is_none()) {
            trace.touched = Some(now);
            trace.noted |= !trace.ranges.is_empty();
            let id = trace.id;
            opened.extend(trace.ranges.drain(..).map(|(start, end)| OpenPiece { id, start, end }));
        }
    }

    /// After each batch, where no position knows of ranges: its ticket is not settled before the lines that are held of it.
    pub fn hold_tickets(&mut self, ticket: &Ticket) {
        let now = Instant::now();
        for trace in self.open.iter_mut().filter(|trace| trace.touched.is_none()) {
            trace.touched = Some(now);
            trace.ranges.clear();
            if trace.lines == 0 {
                continue;
            }
            ticket.add(1);
            trace.tickets.push(ticket.clone());
        }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        self.total.change(self.held_bytes(), 0);
    }
}

impl Trace {
    pub(super) fn hold(&mut self, batch: &mut Batch, line: &Record, piece: Option<u64>) {
        self.lines += 1;
        self.bytes += u64::from(line.bytes);
        self.truncated |= line.truncated;
        self.touched = None;
        batch.counts.open += 1;
        batch.counts.open_bytes += i64::from(line.bytes);
        if let Some(piece) = piece {
            self.pieces.push(piece);
            return;
        }
        let (start, end) = (line.offset, line.offset + u64::from(line.bytes));
        match self.ranges.last_mut().filter(|(_, before)| *before == start) {
            Some(range) => range.1 = end,
            None => self.ranges.push((start, end)),
        }
    }
}

/// Lines stand one below the other, whether they bring their ends along or not.
fn append_line(text: &mut Vec<u8>, line: &[u8], is_first: bool) {
    if !is_first && text.last().is_none_or(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text.extend_from_slice(line);
    if !is_first && line.is_empty() {
        text.push(b'\n');
    }
}

/// What is looked at of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) content: Content,
    pub(super) text: Span,
    pub(super) told_by: Span,
    pub(super) group: Option<Span>,
}

/// The last record as a parser sees it; its own parser, if it has one, makes fields of it.
#[inline]
fn look(multiline: &Multiline, parser: &MultilineParser, batch: &mut Batch) -> Option<Line> {
    let last = batch.records.len().checked_sub(1)?;
    let Some(inner) = &parser.parser else {
        let (content, text) = content(batch, last, multiline.key_content.as_deref())?;
        return Some(Line { content, text, told_by: text, group: None });
    };
    inner.parse(batch, last).ok()?;
    let key = parser.key_content.as_deref().or(multiline.key_content.as_deref()).unwrap_or("log");
    let (content, text) = content(batch, last, Some(key))?;
    let told_by = match &parser.key_pattern {
        Some(key) => self::content(batch, last, Some(key))?.1,
        None => text,
    };
    let group = parser.key_group.as_ref().and_then(|key| self::content(batch, last, Some(key)));
    Some(Line { content, text, told_by, group: group.map(|(_, group)| group) })
}

/// The text of a key; without one that of the line.
#[inline]
pub(super) fn content(batch: &mut Batch, record: usize, key: Option<&str>) -> Option<(Content, Span)> {
    let found = batch.records[record];
    let Some(key) = key else {
        return (found.shape != Shape::Fields).then_some((Content::Text, found.text));
    };
    let is_text = match found.shape {
        Shape::Line => batch.source.draft.text_key == key,
        Shape::Container => batch.keys.text == key,
        Shape::Fields => false,
    };
    if is_text {
        return Some((Content::Text, found.text));
    }
    let at = batch.field_at(record, key.as_bytes())?;
    let text = text_of(batch, batch.fields[at].value)?;
    Some((Content::Field(at - found.fields_start as usize), text))
}
