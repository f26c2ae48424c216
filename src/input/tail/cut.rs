//! Cuts a block into lines and lines into records. The hot path: nothing is allocated per line.

use super::settings::Settings;
use crate::parse::encoding::Charset;
use crate::parse::{DockerMode, Joiner, LineFormat, Piece, cri, docker, docker_mode};
use crate::record::time::Rfc3339;
use crate::record::{Batch, DropReason, KeyNames, Record, Shape, Span};
use std::ops::Range;

/// A line end of at most so many bytes: with a carriage return, in UTF-16.
pub(super) const LINE_END_BYTES_MAX: usize = 4;

/// What cutting a block needs to know.
pub(super) struct Cutting<'a> {
    pub(super) settings: &'a Settings,
    /// Of this file.
    pub(super) charset: Charset,
    pub(super) clock: &'a mut Rfc3339,
    pub(super) joiner: &'a mut Joiner,
    /// Where the block begins in its file.
    pub(super) offset: u64,
    /// The time of lines that bring none.
    pub(super) now_ns: i64,
}

impl Cutting<'_> {
    /// Cuts the whole lines of the block; returns how many bytes they are.
    pub(super) fn lines(&mut self, batch: &mut Batch) -> usize {
        let end = batch.text.len();
        let mut at = self.charset.leading(&batch.text, self.offset);
        if at > 0 {
            batch.counts.read_bytes += at as u64;
            batch.counts.drop(DropReason::NoText, 0, at as u64);
        }
        if self.charset != Charset::Utf8 {
            return self.encoded_lines(batch, at, end);
        }
        while let Some(len) = memchr::memchr(b'\n', &batch.text[at..end]) {
            self.line(batch, at, at + len, (len + 1) as u32);
            at += len + 1;
        }
        at
    }

    /// The same where text has to be decoded: behind the block.
    fn encoded_lines(&mut self, batch: &mut Batch, mut at: usize, end: usize) -> usize {
        while let Some(line_end) = self.charset.line_end(&batch.text[..end], at, self.offset) {
            self.encoded_line(batch, at, line_end.start, (line_end.end - at) as u32);
            at = line_end.end;
        }
        at
    }

    /// What stands behind the last line end is a line too, because nothing follows any more. Behind it is joined text.
    pub(super) fn last_line(&mut self, batch: &mut Batch, rest: Range<usize>, mark: bool) -> usize {
        let (records, offset) = (batch.records.len(), self.offset + rest.start as u64);
        if !rest.is_empty() {
            self.any_line(batch, rest.clone(), rest.len() as u32);
        }
        // It may be held, and what it ended be there instead.
        if let Some(record) = batch.records[records..].last_mut().filter(|record| record.offset == offset) {
            batch.counts.truncated += u64::from(mark && !record.truncated);
            record.truncated |= mark;
        }
        rest.end
    }

    /// The beginning of a line that is longer than a line may be: cut, or left out. The rest is passed over afterwards.
    pub(super) fn long_line(&mut self, batch: &mut Batch) -> usize {
        let end = self.charset.whole_units(batch.text.len(), self.offset);
        self.any_line(batch, 0..end, end as u32);
        end
    }

    /// The rest of a line that was too long: how much of the block it is, and whether it ends there.
    pub(super) fn skip(&self, batch: &mut Batch) -> (usize, bool) {
        let end = self.charset.line_end(&batch.text, 0, self.offset);
        let skipped = match &end {
            Some(end) => end.end,
            None => self.charset.whole_units(batch.text.len(), self.offset),
        };
        batch.counts.read_bytes += skipped as u64;
        batch.counts.drop(DropReason::LongLine, 0, skipped as u64);
        (skipped, end.is_some())
    }

    fn any_line(&mut self, batch: &mut Batch, line: Range<usize>, bytes: u32) {
        if self.charset == Charset::Utf8 {
            self.line(batch, line.start, line.end, bytes);
        } else {
            self.encoded_line(batch, line.start, line.end, bytes);
        }
    }

    #[inline]
    fn line(&mut self, batch: &mut Batch, start: usize, mut end: usize, bytes: u32) {
        batch.counts.read += 1;
        batch.counts.read_bytes += u64::from(bytes);
        let offset = self.offset + start as u64;
        let mut truncated = false;
        if end > start && batch.text[end - 1] == b'\r' {
            end -= 1;
        }
        if end - start > self.settings.line_bytes_max() {
            match self.shorten(batch, start, bytes) {
                Some(shorter) => (end, truncated) = (shorter, true),
                None => return,
            }
        }
        let bytes = if truncated { (end - start) as u32 } else { bytes };
        self.record(batch, Span::new(start, end), offset, bytes, truncated);
    }

    fn encoded_line(&mut self, batch: &mut Batch, start: usize, end: usize, bytes: u32) {
        batch.counts.read += 1;
        batch.counts.read_bytes += u64::from(bytes);
        let mut end = end - self.charset.return_len(&batch.text[start..end]);
        let mut truncated = false;
        if end - start > self.settings.line_bytes_max() {
            match self.shorten(batch, start, bytes) {
                Some(shorter) => (end, truncated) = (shorter, true),
                None => return,
            }
        }
        let bytes = if truncated { (end - start) as u32 } else { bytes };
        let text = batch.text.len();
        self.charset.decode_within(&mut batch.text, start..end, !truncated);
        let text = Span::new(text, batch.text.len());
        self.record(batch, text, self.offset + start as u64, bytes, truncated);
    }

    /// Where a long line is cut; `None` where it is left out. What goes is counted.
    #[cold]
    fn shorten(&self, batch: &mut Batch, start: usize, bytes: u32) -> Option<usize> {
        if self.settings.options.skip_long_lines {
            batch.counts.drop(DropReason::LongLine, 1, u64::from(bytes));
            return None;
        }
        let limit = self.settings.line_bytes_max();
        let mut cut = start + self.charset.whole_units(limit, 0);
        // Not in the middle of a character.
        while self.charset == Charset::Utf8
            && cut > start + 1
            && batch.text[cut] & 0xC0 == 0x80
            && cut > start + limit.saturating_sub(4)
        {
            cut -= 1;
        }
        batch.counts.drop(DropReason::LongLine, 0, u64::from(bytes) - (cut - start) as u64);
        Some(cut)
    }

    #[inline]
    fn record(&mut self, batch: &mut Batch, text: Span, offset: u64, bytes: u32, truncated: bool) {
        match &self.settings.format {
            LineFormat::Container { cri, docker, join, .. } => {
                let (cri, docker, join) = (*cri, *docker, *join);
                self.container(batch, text, (offset, bytes, truncated), (cri, docker, join));
            }
            _ if text.len == 0 && self.settings.options.skip_empty_lines => {
                batch.counts.drop(DropReason::EmptyLine, 1, u64::from(bytes));
            }
            LineFormat::DockerMode(mode) => self.docker_mode(batch, mode, text, (offset, bytes, truncated)),
            _ => self.plain(batch, text, offset, bytes, truncated),
        }
    }

    fn plain(&mut self, batch: &mut Batch, text: Span, offset: u64, bytes: u32, truncated: bool) {
        let fields = batch.fields.len() as u32;
        batch.counts.truncated += u64::from(truncated);
        let text = if self.settings.keeps_line_end { self.with_end(batch, text, bytes, truncated) } else { text };
        batch.records.push(Record {
            time_ns: self.now_ns,
            offset,
            bytes,
            text,
            fields_start: fields,
            fields_end: fields,
            shape: Shape::Line,
            truncated,
            ..Record::default()
        });
        if let LineFormat::Parsed(parser) = &self.settings.format {
            let record = batch.records.len() - 1;
            // A text that does not fit stays as it is.
            let _ = parser.parse(batch, record);
        }
        if self.joiner.has_traces() {
            self.joiner.add_whole(batch);
        }
    }

    /// A line with its end: where it stands in the block, it is a byte longer.
    fn with_end(&self, batch: &mut Batch, text: Span, bytes: u32, truncated: bool) -> Span {
        let is_in_block = self.charset == Charset::Utf8;
        match bytes.checked_sub(text.len) {
            _ if truncated => text,
            Some(0) if is_in_block => text,
            Some(1) if is_in_block => Span { len: text.len + 1, ..text },
            _ => {
                let start = batch.text.len();
                batch.text.extend_from_within(text.start as usize..(text.start + text.len) as usize);
                batch.text.push(b'\n');
                Span::new(start, batch.text.len())
            }
        }
    }

    fn docker_mode(
        &mut self,
        batch: &mut Batch,
        mode: &DockerMode,
        line: Span,
        (offset, bytes, truncated): (u64, u32, bool),
    ) {
        let first = batch.records.len();
        let framed = if truncated { None } else { docker_mode::framed(&batch.text, line, self.now_ns) };
        match framed {
            Some(framed) => {
                let (stream, is_one_line) = (framed.piece.stream, mode.first_line.is_none());
                if self.joiner.is_complete(stream) && mode.begins(batch, line) {
                    self.joiner.flush_stream(batch, stream);
                }
                if is_one_line && !framed.piece.partial && !self.joiner.is_open_in(stream) {
                    self.plain(batch, line, offset, bytes, truncated);
                } else {
                    self.joiner.add_framed(batch, &framed, (offset, bytes), is_one_line);
                }
            }
            // Nothing that could go on with what is open.
            None => {
                self.joiner.flush(batch);
                self.plain(batch, line, offset, bytes, truncated);
            }
        }
        parse_joined(self.settings, batch, first);
    }

    #[inline]
    fn container(
        &mut self,
        batch: &mut Batch,
        line: Span,
        (offset, bytes, truncated): (u64, u32, bool),
        (cri, docker, join): (bool, bool, bool),
    ) {
        let text = line.of(&batch.text);
        let piece = if docker && text.first() == Some(&b'{') {
            let piece = docker::piece(batch, line, self.clock);
            if piece.is_some() {
                batch.keys = &KeyNames::DOCKER;
            }
            piece
        } else if cri {
            cri::piece(text, line.start as usize, self.clock)
        } else {
            None
        };
        match piece {
            Some(piece) if join => self.joiner.add(batch, &piece, offset, bytes, truncated),
            Some(piece) => self.joiner.add(batch, &Piece { partial: false, ..piece }, offset, bytes, truncated),
            None => self.plain(batch, line, offset, bytes, truncated),
        }
    }
}

/// Makes records of all that is open, because nothing follows any more.
pub(super) fn flush_joiner(settings: &Settings, joiner: &mut Joiner, batch: &mut Batch) {
    let first = batch.records.len();
    joiner.flush(batch);
    parse_joined(settings, batch, first);
}

/// The same of the largest, because what is open takes too much memory.
pub(super) fn cut_largest(settings: &Settings, joiner: &mut Joiner, batch: &mut Batch) {
    let first = batch.records.len();
    joiner.cut_largest(batch);
    parse_joined(settings, batch, first);
}

/// In `docker_mode` a parser sees the records from `first` on once they are whole.
fn parse_joined(settings: &Settings, batch: &mut Batch, first: usize) {
    let LineFormat::DockerMode(DockerMode { parser: Some(parser), .. }) = &settings.format else { return };
    for record in first..batch.records.len() {
        // A text that does not fit stays as it is.
        let _ = parser.parse(batch, record);
    }
}

/// The names of the keys in a section's records.
pub(super) fn key_names(settings: &Settings) -> &'static KeyNames {
    match &settings.format {
        LineFormat::Container { cri: true, cri_keys, .. } => cri_keys,
        _ => &KeyNames::DOCKER,
    }
}

#[cfg(test)]
mod tests;
