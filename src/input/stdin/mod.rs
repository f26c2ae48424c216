//! Reads standard input: JSON objects, or lines for a parser.
//!
//! ```yaml
//! inputs:
//!   - name: stdin
//!     parser: nginx
//! ```
//! At its end drave ends too, when nothing else is to be read and all is delivered. While outputs have no room it is not read, so
//! that its writer waits. There are no positions: what was on its way in a crash is gone.

mod event;

use super::feed::{self, Feed, is_readable, push_object};
use super::settings::InputSettings;
use super::{Context, Input, InputContext, InputPlugin};
use crate::config::{Report, Section, Size};
use crate::parse::{self, Parser};
use crate::record::{Batch, DropReason, Record, Shape, Span};
use event::Next;
use rustix::io::Errno;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// How much is read at a time: as much as a pipe holds.
const READ_BYTES: usize = 64 << 10;
/// After the end was asked for so much is read that was written before: as much as a pipe may hold.
const LAST_BYTES_MAX: usize = 1 << 20;

crate::options! {
    /// How standard input is read.
    pub struct StdinOptions {
        /// A parser for each line: one of the `parsers`, or a built-in one. Without it JSON is expected: objects, or `[TIME, OBJECT]`.
        parser: String, "parser", optional;
        /// The longest line or object (16k in Fluent Bit).
        buffer_size: Size, "buffer_size", default "1Mi";
    }
    deviations {
        "what is no JSON, or no text for the parser": "is a record with its text under `log`; Fluent Bit leaves it out";
        "`buffer_size`": "is 1 MiB; a line that is longer is cut there and its record marked `drave.truncated`";
        "the end of standard input": "is the end of drave only where no other input reads on";
    }
}

pub(super) const PLUGIN: InputPlugin = InputPlugin {
    name: "stdin",
    about: "Reads standard input.",
    options: &[StdinOptions::OPTIONS],
    deviations: &[StdinOptions::DEVIATIONS],
    configure,
    state_folder: |_| None,
};

fn configure(sections: &[&Section], context: &InputContext<'_>, report: &mut Report) -> Option<Box<dyn Input>> {
    for again in sections.iter().skip(1) {
        let what = "standard input is read by another section already".to_owned();
        report.error(Some(&again.at), what, Some(format!("take one of them out; the other is at {}", sections[0].at)));
    }
    let (section, number) = sections.first().zip(context.numbers.first())?;
    let options = StdinOptions::from_section(section, report)?;
    let parser = match &options.parser {
        Some(name) => Some(parser(section, name, context, report)?),
        None => None,
    };
    let line_bytes_max = options.buffer_size.0.clamp(1, 64 << 20) as usize;
    Some(Box::new(Stdin { parser, line_bytes_max, feed: InputSettings::new(section, 0, *number, None)? }))
}

fn parser(section: &Section, name: &str, context: &InputContext<'_>, report: &mut Report) -> Option<Arc<dyn Parser>> {
    let parser = parse::parser(name, &context.config.parsers);
    if parser.is_none() {
        let at = section.get("parser").map(|entry| &entry.value_at);
        let hint = "define it under `parsers`; built-in ones are in the reference".to_owned();
        report.error(at, format!("the parser `{name}` cannot be used"), Some(hint));
    }
    parser
}

struct Stdin {
    parser: Option<Arc<dyn Parser>>,
    line_bytes_max: usize,
    feed: InputSettings,
}

impl Input for Stdin {
    fn run(self: Box<Self>, context: Context) {
        let feed = Feed::open(self.feed, &context, &feed::now_ns().to_le_bytes());
        let cutter = Cutter { parser: self.parser, line_bytes_max: self.line_bytes_max, skipping: false, offset: 0 };
        let mut reader = Reader { feed, cutter, rest: Vec::new(), is_over: false };
        let mut left = LAST_BYTES_MAX;
        while !reader.is_over && left > 0 && !feed::is_late(&context.stop) {
            context.pipe.beat();
            let is_stopping = context.stop.requested();
            let wait = if is_stopping { Duration::ZERO } else { feed::LOOK_AGAIN };
            if !reader.feed.has_room() {
                context.stop.wake.wait(feed::LOOK_AGAIN);
            } else if is_readable(rustix::stdio::stdin(), wait) {
                reader.read();
                left = left.saturating_sub(if is_stopping { READ_BYTES } else { 0 });
            } else if is_stopping {
                break;
            }
        }
        reader.end();
        feed::finish([&mut reader.feed], &context);
    }
}

struct Reader {
    feed: Feed,
    cutter: Cutter,
    /// What is not a whole record yet.
    rest: Vec<u8>,
    is_over: bool,
}

impl Reader {
    fn read(&mut self) {
        let batch = self.feed.begin();
        batch.text.append(&mut self.rest);
        let start = batch.text.len();
        batch.text.resize(start + READ_BYTES, 0);
        let got = match rustix::io::read(rustix::stdio::stdin(), &mut batch.text[start..]) {
            Ok(got) => {
                self.is_over = got == 0;
                got
            }
            Err(Errno::INTR | Errno::AGAIN) => 0,
            Err(error) => {
                tracing::error!("standard input cannot be read any further: {error}");
                self.is_over = true;
                0
            }
        };
        batch.text.truncate(start + got);
        self.cut();
    }

    /// What stands there without an end is a record too.
    fn end(&mut self) {
        let batch = self.feed.begin();
        batch.text.append(&mut self.rest);
        self.is_over = true;
        self.cut();
    }

    fn cut(&mut self) {
        let batch = self.feed.batch();
        let end = batch.text.len();
        let consumed = self.cutter.cut(batch, self.is_over);
        self.rest.extend_from_slice(&batch.text[consumed..end]);
        batch.unread = consumed..end;
        if consumed > 0 {
            self.feed.push();
        }
    }
}

/// Makes records of what was read.
struct Cutter {
    parser: Option<Arc<dyn Parser>>,
    line_bytes_max: usize,
    /// The rest of a line that was too long goes.
    skipping: bool,
    /// Of what comes next.
    offset: u64,
}

impl Cutter {
    /// Returns how much of the text it has passed.
    fn cut(&mut self, batch: &mut Batch, is_all: bool) -> usize {
        let (end, mut at) = (batch.text.len(), 0);
        while at < end {
            let passed = self.one(batch, at..end, is_all);
            if passed == 0 {
                break;
            }
            at += passed;
            self.offset += passed as u64;
        }
        at
    }

    /// The first of what stands there; 0 where that is not whole.
    fn one(&mut self, batch: &mut Batch, rest: Range<usize>, is_all: bool) -> usize {
        if self.skipping {
            return self.skip(batch, rest);
        }
        let text = &batch.text[rest.clone()];
        // Behind the limit nothing becomes whole any more.
        let is_all = is_all || text.len() > self.line_bytes_max;
        let next = if self.parser.is_some() { event::line(text, is_all) } else { event::next(text, is_all) };
        let span = |part: Range<usize>| Span::new(rest.start + part.start, rest.start + part.end);
        match next {
            Next::Object { time_ns, object, end } if object.len() <= self.line_bytes_max => {
                let time_ns = time_ns.unwrap_or(batch.reading.time_ns);
                push_object(batch, span(object), time_ns, self.offset, end);
                end
            }
            Next::Line { line, end } if line.len() <= self.line_bytes_max => {
                self.line(batch, span(line), end, false);
                end
            }
            Next::Object { .. } | Next::Line { .. } => self.long_line(batch, rest),
            Next::More => 0,
        }
    }

    fn line(&self, batch: &mut Batch, mut text: Span, bytes: usize, truncated: bool) {
        batch.counts.read += 1;
        batch.counts.read_bytes += bytes as u64;
        batch.counts.truncated += u64::from(truncated);
        if batch.bytes(text).last() == Some(&b'\r') {
            text.len -= 1;
        }
        if text.len == 0 {
            batch.counts.drop(DropReason::EmptyLine, 1, bytes as u64);
            return;
        }
        let fields = batch.fields.len() as u32;
        batch.records.push(Record {
            time_ns: batch.reading.time_ns,
            offset: self.offset,
            bytes: bytes as u32,
            text,
            fields_start: fields,
            fields_end: fields,
            shape: Shape::Line,
            truncated,
            ..Record::default()
        });
        if let Some(parser) = &self.parser {
            let record = batch.records.len() - 1;
            // A text that does not fit stays as it is.
            let _ = parser.parse(batch, record);
        }
    }

    /// The beginning of a line that is too long; its rest is passed over afterwards.
    fn long_line(&mut self, batch: &mut Batch, rest: Range<usize>) -> usize {
        let mut end = rest.start + self.line_bytes_max;
        // Not in the middle of a character.
        while end > rest.start + 1 && end + 4 > rest.start + self.line_bytes_max && batch.text[end] & 0xC0 == 0x80 {
            end -= 1;
        }
        self.skipping = true;
        self.line(batch, Span::new(rest.start, end), end - rest.start, true);
        end - rest.start
    }

    fn skip(&mut self, batch: &mut Batch, rest: Range<usize>) -> usize {
        let line_end = memchr::memchr(b'\n', &batch.text[rest.clone()]);
        self.skipping = line_end.is_none();
        let passed = line_end.map_or(rest.len(), |end| end + 1);
        batch.counts.read_bytes += passed as u64;
        batch.counts.drop(DropReason::LongLine, 0, passed as u64);
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Source, SourceDraft, json};
    use proptest::prelude::*;

    /// What comes of a text that is read in parts of these sizes, as JSON, with `TIME ` in front where it is not the present.
    fn read(parser: Option<&str>, line_bytes_max: usize, text: &[u8], sizes: &[usize]) -> Vec<String> {
        let parser = parser.map(|name| parse::parser(name, &[]).expect("a built-in parser"));
        let mut cutter = Cutter { parser, line_bytes_max, skipping: false, offset: 0 };
        let draft = SourceDraft { text_key: "log".into(), ..SourceDraft::default() };
        let source = Arc::new(Source::new(draft, Vec::new()));
        let mut batch = Batch::new(Arc::clone(&source));
        let (mut found, mut rest, mut at, mut sizes) = (Vec::new(), Vec::new(), 0, sizes.iter().cycle());
        let (mut read_bytes, mut kept) = (0, 0);
        loop {
            let end = text.len().min(at + sizes.next().copied().unwrap_or(1));
            let is_all = at == text.len();
            batch.reset(&source, &crate::record::KeyNames::DOCKER);
            batch.text.append(&mut rest);
            batch.text.extend_from_slice(&text[at..end]);
            let all = batch.text.len();
            let consumed = cutter.cut(&mut batch, is_all);
            rest = batch.text[consumed..all].to_vec();
            at = end;
            read_bytes += batch.counts.read_bytes;
            kept += batch.records.iter().map(|record| u64::from(record.bytes)).sum::<u64>();
            kept += batch.counts.dropped.iter().map(|(_, _, bytes)| bytes).sum::<u64>();
            for record in &batch.records {
                let mut line =
                    if record.time_ns == 0 { Vec::new() } else { format!("{} ", record.time_ns).into_bytes() };
                json::push_members(&mut line, &batch, record, false);
                found.push(String::from_utf8_lossy(&line).into_owned());
            }
            if is_all {
                break;
            }
        }
        assert_eq!(
            (read_bytes, kept, rest.len()),
            (text.len() as u64, text.len() as u64, 0),
            "every byte is accounted for"
        );
        found
    }

    #[test]
    fn lines_and_objects() {
        for (parser, text, expect) in [
            (
                None,
                "{\"a\":1}\r\nplain\r\n\n[2,{\"b\":{}}]",
                vec![r#""a":1"#, r#""log":"plain""#, r#"2000000000 "b":{}"#],
            ),
            (Some("logfmt"), "a=1 b=2\n\nc=3", vec![r#""a":"1","b":"2""#, r#""c":"3""#]),
            (Some("json"), "{\"a\":1}\nno\n", vec![r#""a":1"#, r#""log":"no""#]),
        ] {
            assert_eq!(read(parser, 100, text.as_bytes(), &[1000]), expect, "{text}");
        }
    }

    #[test]
    fn long_lines_are_cut_and_marked() {
        for (text, expect) in [
            ("abcdef\nx\n", vec![r#""log":"abcd","drave.truncated":true"#, r#""log":"x""#]),
            ("abc\u{e9}\nabcd\n", vec![r#""log":"abc","drave.truncated":true"#, r#""log":"abcd""#]),
            ("{\"a\":1}\n{}\n", vec![r#""log":"{\"a\"","drave.truncated":true"#, ""]),
        ] {
            for size in [1, 3, 1000] {
                assert_eq!(read(None, 4, text.as_bytes(), &[size]), expect, "{text} by {size}");
            }
        }
    }

    #[test]
    fn parts_of_any_size_give_the_same_lines() {
        proptest!(|(text in "[a{}\":1\n\r \u{e9}]{0,80}", sizes in prop::collection::vec(1..30_usize, 1..6))| {
            let whole = read(Some("logfmt"), 9, text.as_bytes(), &[1000]);
            prop_assert_eq!(read(Some("logfmt"), 9, text.as_bytes(), &sizes), whole);
        });
        let line =
            prop_oneof!["[a-z ]{0,9}", Just("{\"a\":{\"b\":[1,2]}}".to_owned()), Just("[1.5,{\"a\":1}]".to_owned())];
        proptest!(|(lines in prop::collection::vec(line, 0..8), sizes in prop::collection::vec(1..30_usize, 1..6))| {
            let text = lines.join("\n");
            let whole = read(None, 1000, text.as_bytes(), &[1000]);
            prop_assert_eq!(read(None, 1000, text.as_bytes(), &sizes), whole);
        });
    }
}
