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
mod tests {
    use super::*;
    use crate::input::tail::settings::Settings;
    use crate::parse::encoding::Order;
    use crate::record::{Counts, Source, SourceDraft};
    use proptest::prelude::*;
    use std::sync::Arc;

    type Found = (u64, u32, bool, Vec<u8>);

    /// Follows a file that grows by these sizes, as the follower does: blocks become larger until a line fits, what is left of a
    /// block comes again with the next one, the rest of a line that is too long is passed over.
    fn follow(settings: &Settings, file: &[u8], sizes: &[usize]) -> (Vec<Found>, Counts) {
        let (mut clock, mut joiner) =
            (Rfc3339::default(), Joiner::new(settings.joined_bytes_max).with_traces(settings.multiline.as_ref()));
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let source = Arc::clone(&batch.source);
        let limit = settings.line_bytes_max() + LINE_END_BYTES_MAX;
        let (mut found, mut sum) = (Vec::new(), Counts::default());
        let (mut at, mut end, mut skipping, mut sizes) = (0, 0, false, sizes.iter().cycle());
        loop {
            let is_last = end == file.len();
            let mut want = sizes.next().copied().unwrap_or(1);
            end = (end + want).min(file.len());
            loop {
                batch.reset(&source, key_names(settings));
                batch.text.extend_from_slice(&file[at..end.min(at + want)]);
                let got = batch.text.len();
                let charset = settings.charset.of_file(file.first_chunk().copied());
                let (clock, joiner) = (&mut clock, &mut joiner);
                let mut cutting = Cutting { settings, charset, clock, joiner, offset: at as u64, now_ns: 0 };
                let consumed = if skipping {
                    let (skipped, is_over) = cutting.skip(&mut batch);
                    skipping = !is_over;
                    skipped
                } else {
                    match cutting.lines(&mut batch) {
                        0 if got >= limit => {
                            skipping = true;
                            cutting.long_line(&mut batch)
                        }
                        0 if is_last && end == at + got => cutting.last_line(&mut batch, 0..got, false),
                        consumed => consumed,
                    }
                };
                want = if consumed == 0 { (want * 2).min(limit).max(got + 1) } else { want };
                let nothing_more = consumed == 0 && end == at + got;
                at += consumed;
                add(&mut sum, &batch.counts);
                found.extend(
                    batch.records.iter().map(|r| (r.offset, r.bytes, r.truncated, batch.bytes(r.text).to_vec())),
                );
                if nothing_more || at == end {
                    break;
                }
            }
            if is_last {
                break;
            }
        }
        batch.reset(&source, key_names(settings));
        flush_joiner(settings, &mut joiner, &mut batch);
        add(&mut sum, &batch.counts);
        found.extend(batch.records.iter().map(|r| (r.offset, r.bytes, r.truncated, batch.bytes(r.text).to_vec())));
        // Of a line that is passed over, half a unit at the end waits for its other half.
        assert!(at == file.len() || skipping && at + 1 == file.len(), "every byte is passed over");
        let dropped: (u64, u64) = sum.dropped.iter().fold((0, 0), |all, d| (all.0 + d.1, all.1 + d.2));
        let kept: u64 = found.iter().map(|f| u64::from(f.1)).sum();
        assert_eq!(sum.read_bytes, kept + dropped.1, "every byte is accounted for");
        assert_eq!(sum.read, found.len() as u64 + sum.joined + dropped.0);
        assert_eq!((sum.open, sum.open_bytes), (0, 0));
        (found, sum)
    }

    fn add(sum: &mut Counts, counts: &Counts) {
        sum.read += counts.read;
        sum.read_bytes += counts.read_bytes;
        sum.joined += counts.joined;
        sum.truncated += counts.truncated;
        sum.open += counts.open;
        sum.open_bytes += counts.open_bytes;
        counts.dropped.iter().for_each(|(reason, records, bytes)| sum.drop(*reason, *records, *bytes));
    }

    #[test]
    fn each_record_that_was_cut_counts_once() {
        let cri = |tag: &str, text: &str| format!("2026-01-01T00:00:00Z stdout {tag} {text}\n");
        let settings = Settings::for_test("path: /x/*.log, buffer_max_size: 40, multiline.parser: cri");
        let long = "x".repeat(60);
        let file = [cri("P", &long), cri("P", &long), cri("F", "end"), cri("F", &long), cri("F", "short")].concat();
        let (found, counts) = follow(&settings, file.as_bytes(), &[file.len()]);
        assert_eq!(found.iter().map(|f| f.2).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(counts.truncated, 2);
    }

    #[test]
    fn what_is_left_of_a_line_of_dockers_has_no_tag_of_cri() {
        let settings = Settings::for_test("path: /x/*.log, multiline.parser: 'docker, cri'");
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let source = Arc::clone(&batch.source);
        let mut joiner = Joiner::new(1000);
        let line = r#"{"log":"open","stream":"stdout","attrs":{"a":"b"},"time":"2026-01-01T00:00:00Z"}"#;
        batch.text.extend_from_slice(format!("{line}\n").as_bytes());
        let mut clock = Rfc3339::default();
        let charset = settings.charset.of_file(None);
        Cutting { settings: &settings, charset, clock: &mut clock, joiner: &mut joiner, offset: 0, now_ns: 0 }
            .lines(&mut batch);
        batch.reset(&source, key_names(&settings));
        flush_joiner(&settings, &mut joiner, &mut batch);
        assert_eq!(batch.keys, &KeyNames::DOCKER);
        let record = batch.records[0];
        let keys: Vec<&[u8]> = batch.fields_of(&record).iter().map(|f| batch.bytes(f.key)).collect();
        assert_eq!((batch.bytes(record.text), keys), (&b"open"[..], vec![&b"attrs"[..]]));
    }

    fn texts(settings: &Settings, file: &[u8]) -> Vec<(bool, String)> {
        let (found, _) = follow(settings, file, &[file.len().max(1)]);
        found.into_iter().map(|f| (f.2, String::from_utf8(f.3).expect("text"))).collect()
    }

    fn sizes() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(1..50_usize, 1..8)
    }

    #[test]
    fn blocks_cut_anywhere_give_the_lines_of_the_file() {
        let settings = Settings::for_test("path: /x/*.log");
        // No NUL and no byte order mark in front of a line: these are left out.
        let byte = prop_oneof![3 => Just(b'\n'), 10 => 1..=0xee_u8];
        proptest!(|(file in prop::collection::vec(byte, 0..400), sizes in sizes())| {
            let mut expect = Vec::new();
            let mut offset = 0;
            for line in file.split_inclusive(|b| *b == b'\n') {
                let text = line.strip_suffix(b"\n").unwrap_or(line);
                expect.push((offset, line.len() as u32, false, text.strip_suffix(b"\r").unwrap_or(text).to_vec()));
                offset += line.len() as u64;
            }
            prop_assert_eq!(follow(&settings, &file, &sizes).0, expect);
        });
    }

    #[test]
    fn limits_and_returns_do_not_depend_on_the_blocks() {
        let of = |options: &str| Settings::for_test(&format!("path: /x/*.log, buffer_max_size: 6, {options}"));
        let all = [of("key: a"), of("skip_long_lines: on"), of("skip_empty_lines: on"), of("generic.encoding: GBK")];
        let byte = prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), Just(0xc3), Just(0xa9)];
        proptest!(|(file in prop::collection::vec(byte, 0..80), sizes in sizes())| {
            for settings in &all {
                let (whole, counts) = follow(settings, &file, &[file.len().max(1)]);
                let (found, again) = follow(settings, &file, &sizes);
                prop_assert_eq!(found, whole);
                prop_assert_eq!(again.truncated, counts.truncated);
            }
        });
    }

    #[test]
    fn lines_around_the_limit() {
        let settings = Settings::for_test("path: /x/*.log, buffer_max_size: 4");
        for (file, expect) in [
            ("abc\nabcd\nabcde\n", vec![(false, "abc"), (false, "abcd"), (true, "abcd")]),
            ("abc\r\nabcd\r\nabcde\r\n", vec![(false, "abc"), (false, "abcd"), (true, "abcd")]),
            ("abcéx\n", vec![(true, "abc")]),
            ("\0\0\0\0\0abcd\n\0x\n", vec![(false, "abcd"), (false, "\0x")]),
            ("abcdefghijklmnop\nx", vec![(true, "abcd"), (false, "x")]),
            ("\u{feff}abcd\n\n", vec![(false, "abcd"), (false, "")]),
        ] {
            let expect: Vec<_> = expect.into_iter().map(|(cut, text)| (cut, text.to_owned())).collect();
            assert_eq!(texts(&settings, file.as_bytes()), expect, "{file:?}");
        }
    }

    #[test]
    fn lines_of_units_are_cut_by_units() {
        let settings = Settings::for_test("path: /x/*.log, buffer_max_size: 9, unicode.encoding: auto");
        let encode = |text: &str, order: Order| -> Vec<u8> {
            let unit = |u: u16| if order == Order::Little { u.to_le_bytes() } else { u.to_be_bytes() };
            format!("\u{feff}{text}").encode_utf16().flat_map(unit).collect()
        };
        for order in [Order::Little, Order::Big] {
            let found = texts(&settings, &encode("\0\0abcd\r\nabcde\nabc😀\nऊ\u{a0a}\u{10a}\n\n", order));
            let expect = [(false, "abcd"), (true, "abcd"), (true, "abc"), (false, "ऊ\u{a0a}\u{10a}"), (false, "")];
            assert_eq!(found, expect.map(|(cut, text)| (cut, text.to_owned())));
        }
        proptest!(|(text in "[ab\r\n\u{a0a}\u{10a}😀]{0,60}", big: bool, odd in prop::option::of(any::<u8>()), sizes in sizes())| {
            let mut file = encode(&text, if big { Order::Big } else { Order::Little });
            file.extend(odd);
            let (whole, _) = follow(&settings, &file, &[file.len()]);
            // A first byte alone says nothing of the other: the follower looks again when it is there.
            prop_assert_eq!(follow(&settings, &file, &sizes).0, whole);
        });
    }

    #[test]
    fn container_lines_cut_anywhere_give_the_same_records() {
        let cri = ("std(out|err)", "[PF]", "[a-z ]{0,30}")
            .prop_map(|(s, t, text)| format!("2026-01-01T00:00:00Z {s} {t} {text}\n"));
        let docker = ("[a-z ]{0,30}(\\\\n)?", "std(out|err)")
            .prop_map(|(t, s)| format!("{{\"log\":\"{t}\",\"stream\":\"{s}\",\"time\":\"2026-01-01T00:00:00Z\"}}\n"));
        let trace = ("std(out|err)", prop::sample::select(vec!["a.BError: x", "\tat c", "... 1 more", "panic: y", ""]))
            .prop_map(|(s, text)| format!("2026-01-01T00:00:00Z {s} F {text}\n"));
        let line = prop_oneof![4 => cri, 4 => docker, 4 => trace, 1 => "[{a-z]{0,9}\n"];
        let of = |options: &str| Settings::for_test(&format!("path: /x/*.log, buffer_max_size: 70, {options}"));
        let all = [
            of("multiline.parser: 'docker, cri'"),
            of("parser: cri"),
            of("multiline.parser: 'docker, cri, go, java'"),
            of("multiline.parser: java"),
            of("docker_mode: on"),
            of("docker_mode: on, docker_mode_parser: json, parser: docker"),
        ];
        proptest!(|(lines in prop::collection::vec(line, 0..20), sizes in prop::collection::vec(1..90_usize, 1..8))| {
            let file = lines.concat().into_bytes();
            for settings in &all {
                let whole = follow(settings, &file, &[file.len().max(1)]).0;
                prop_assert_eq!(follow(settings, &file, &sizes).0, whole);
            }
        });
    }

    #[test]
    fn pieces_are_joined_first_and_traces_then() {
        let cri = |stream: &str, tag: &str, text: &str| format!("2026-01-01T00:00:00Z {stream} {tag} {text}\n");
        let file = [
            cri("stderr", "F", "a.BError: x"),
            cri("stderr", "P", "\tat "),
            cri("stdout", "F", "GET /"),
            cri("stderr", "F", "c(D.java:1)"),
            cri("stderr", "F", "\t... 1 more"),
            cri("stderr", "F", "alive"),
        ];
        let settings = Settings::for_test("path: /x/*.log, multiline.parser: 'docker, cri, java'");
        let expect = ["GET /", "a.BError: x\n\tat c(D.java:1)\n\t... 1 more", "alive"];
        assert_eq!(texts(&settings, file.concat().as_bytes()), expect.map(|text| (false, text.to_owned())));
    }

    #[test]
    fn lines_of_files_keep_their_ends() {
        let settings = Settings::for_test("path: /x/*.log, multiline.parser: java");
        let expect = ["one\n", "a.BError: x\n\tat c\n", "two"];
        let found = texts(&settings, b"one\r\na.BError: x\n\tat c\ntwo");
        assert_eq!(found, expect.map(|text| (false, text.to_owned())));
    }

    #[test]
    fn pieces_are_joined_inside_their_json() {
        let line = |text: &str, stream: &str, n: u8| format!(r#"{{"log":"{text}","stream":"{stream}","n":{n}}}"#);
        let settings = Settings::for_test("path: /x/*.log, docker_mode: on");
        let lines = [
            line(r"whole\n", "stdout", 1),
            line(r"a\\", "stdout", 2),
            line(r"x\n", "stderr", 3),
            line(r"b\n", "stdout", 4),
            line("open", "stdout", 5),
            "no json".into(),
            line("last", "stdout", 6),
        ];
        let found = texts(&settings, lines.join("\n").as_bytes());
        let expect = [
            line(r"whole\n", "stdout", 1),
            line(r"x\n", "stderr", 3),
            line(r"a\\b\n", "stdout", 4),
            line("open", "stdout", 5),
            "no json".into(),
            line("last", "stdout", 6),
        ];
        assert_eq!(found, expect.map(|text| (false, text)));
    }
}
