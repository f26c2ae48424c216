//! Cuts a block into lines and lines into records. The hot path: nothing is allocated per line.

use super::settings::Settings;
use crate::parse::{Joiner, LineFormat, Piece, cri, docker};
use crate::record::time::Rfc3339;
use crate::record::{Batch, DropReason, KeyNames, Record, Shape, Span};
use std::ops::Range;

/// What cutting a block needs to know.
pub(super) struct Cutting<'a> {
    pub(super) settings: &'a Settings,
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
        let leading = self.leading(batch);
        let mut at = leading;
        while let Some(len) = memchr::memchr(b'\n', &batch.text[at..end]) {
            self.line(batch, at, at + len, (len + 1) as u32);
            at += len + 1;
        }
        batch.counts.read_bytes += (at - leading) as u64;
        at
    }

    /// What stands behind the last line end is a line too, because nothing follows any more. Behind it is joined text.
    pub(super) fn last_line(&mut self, batch: &mut Batch, rest: Range<usize>, mark: bool) -> usize {
        let records = batch.records.len();
        if !rest.is_empty() {
            batch.counts.read_bytes += rest.len() as u64;
            self.line(batch, rest.start, rest.end, rest.len() as u32);
        }
        if let Some(record) = batch.records[records..].last_mut() {
            record.truncated |= mark;
            batch.counts.truncated += u64::from(mark);
        }
        rest.end
    }

    /// The beginning of a line that is longer than a line may be: cut, or left out. The rest is passed over afterwards.
    pub(super) fn long_line(&mut self, batch: &mut Batch) -> usize {
        let end = batch.text.len();
        batch.counts.read_bytes += end as u64;
        self.line(batch, 0, end, end as u32);
        end
    }

    /// NUL bytes in front (a truncated file that its writer went on with) and a byte order mark are no text.
    fn leading(&self, batch: &Batch) -> usize {
        let nul = batch.text.iter().take_while(|b| **b == 0).count();
        let bom = self.offset == 0 && batch.text[nul..].starts_with(b"\xef\xbb\xbf");
        nul + if bom { 3 } else { 0 }
    }

    #[inline]
    fn line(&mut self, batch: &mut Batch, start: usize, mut end: usize, bytes: u32) {
        batch.counts.read += 1;
        let offset = self.offset + start as u64;
        let mut truncated = false;
        if end - start > self.settings.line_bytes_max() {
            match self.shorten(batch, start, end, bytes) {
                Some(shorter) => (end, truncated) = (shorter, true),
                None => return,
            }
        }
        if end > start && batch.text[end - 1] == b'\r' {
            end -= 1;
        }
        let bytes = if truncated { (end - start) as u32 } else { bytes };
        match &self.settings.format {
            LineFormat::Container { cri, docker, join, .. } => {
                let (cri, docker, join) = (*cri, *docker, *join);
                self.container(batch, Span::new(start, end), (offset, bytes, truncated), (cri, docker, join));
            }
            _ if start == end && self.settings.options.skip_empty_lines => {
                batch.counts.drop(DropReason::EmptyLine, 1, u64::from(bytes));
            }
            _ => self.plain(batch, Span::new(start, end), offset, bytes, truncated),
        }
    }

    /// Where a long line is cut; `None` where it is left out. What goes is counted.
    #[cold]
    fn shorten(&self, batch: &mut Batch, start: usize, end: usize, bytes: u32) -> Option<usize> {
        if self.settings.options.skip_long_lines {
            batch.counts.drop(DropReason::LongLine, 1, u64::from(bytes));
            return None;
        }
        let mut cut = start + self.settings.line_bytes_max();
        // Not in the middle of a character.
        while cut > start + 1 && batch.text[cut] & 0xC0 == 0x80 && cut > start + self.settings.line_bytes_max() - 4 {
            cut -= 1;
        }
        debug_assert!(cut <= end);
        batch.counts.drop(DropReason::LongLine, 0, u64::from(bytes) - (cut - start) as u64);
        batch.counts.truncated += 1;
        Some(cut)
    }

    fn plain(&mut self, batch: &mut Batch, text: Span, offset: u64, bytes: u32, truncated: bool) {
        let fields = batch.fields.len() as u32;
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

/// The names of the keys in a section's records.
pub(super) fn key_names(settings: &Settings) -> &'static KeyNames {
    match &settings.format {
        LineFormat::Container { cri: true, cri_keys, .. } => cri_keys,
        _ => &KeyNames::DOCKER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::tail::settings::Settings;
    use crate::record::{Source, SourceDraft};
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Reads `file` in blocks of these sizes, as the follower does: what is left of a block comes again with the next one.
    fn records(settings: &Settings, file: &[u8], sizes: &[usize]) -> Vec<(u64, u32, Vec<u8>)> {
        let (mut clock, mut joiner) = (Rfc3339::default(), Joiner::new(1 << 20));
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let source = Arc::clone(&batch.source);
        let (mut at, mut found) = (0, Vec::new());
        let (mut end, mut sizes) = (0, sizes.iter().cycle());
        while end < file.len() {
            end = (end + sizes.next().copied().unwrap_or(1)).min(file.len());
            batch.reset(&source, key_names(settings));
            batch.text.extend_from_slice(&file[at..end]);
            let (clock, joiner) = (&mut clock, &mut joiner);
            let mut cutting = Cutting { settings, clock, joiner, offset: at as u64, now_ns: 0 };
            let mut consumed = cutting.lines(&mut batch);
            if end == file.len() {
                consumed = cutting.last_line(&mut batch, consumed..end - at, false);
            }
            at += consumed;
            found.extend(batch.records.iter().map(|r| (r.offset, r.bytes, batch.bytes(r.text).to_vec())));
        }
        assert_eq!(at, file.len(), "every byte is passed over");
        found
    }

    #[test]
    fn blocks_cut_anywhere_give_the_lines_of_the_file() {
        let settings = Settings::for_test("path: /x/*.log");
        // No NUL and no byte order mark in front of a line: these are left out.
        let byte = prop_oneof![3 => Just(b'\n'), 10 => 1..=0xee_u8];
        proptest!(|(file in prop::collection::vec(byte, 0..400), sizes in prop::collection::vec(1..50_usize, 1..8))| {
            let mut expect = Vec::new();
            let mut offset = 0;
            for line in file.split_inclusive(|b| *b == b'\n') {
                let text = line.strip_suffix(b"\n").unwrap_or(line);
                expect.push((offset, line.len() as u32, text.strip_suffix(b"\r").unwrap_or(text).to_vec()));
                offset += line.len() as u64;
            }
            prop_assert_eq!(records(&settings, &file, &sizes), expect);
        });
    }

    #[test]
    fn container_lines_cut_anywhere_give_the_same_records() {
        let settings = Settings::for_test("path: /x/*.log, multiline.parser: cri");
        let line = ("std(out|err)", "[PF]", "[a-z ]{0,30}")
            .prop_map(|(s, t, text)| format!("2026-01-01T00:00:00Z {s} {t} {text}\n"));
        proptest!(|(lines in prop::collection::vec(line, 0..20), sizes in prop::collection::vec(1..90_usize, 1..8))| {
            let file = lines.concat().into_bytes();
            let whole = records(&settings, &file, &[file.len().max(1)]);
            prop_assert_eq!(records(&settings, &file, &sizes), whole);
        });
    }
}
