//! `docker_mode`: Docker's lines as a parser sees them, the pieces of a long line joined inside the JSON.
//!
//! ```text
//! {"log":"one, ","stream":"stdout","time":"T1"}   a piece: its text does not end with \n
//! {"log":"two\n","stream":"stdout","time":"T2"}   its end
//! {"log":"one, two\n","stream":"stdout","time":"T2"}   what the parser gets, and what stays where there is none
//! ```
//! As in Fluent Bit the last piece gives all but the text. Here each stream is joined for itself.

use super::{Parser, Piece};
use crate::record::json_read;
use crate::record::{Batch, Record, Span, Stream};
use std::sync::Arc;

/// What `docker_mode` does with lines.
#[derive(Clone, Default)]
pub struct DockerMode {
    /// Takes the joined line apart.
    pub parser: Option<Arc<dyn Parser>>,
    /// `docker_mode_parser`: a line that it takes begins a record; others go on with the one before.
    pub first_line: Option<Arc<dyn Parser>>,
}

impl DockerMode {
    /// Does this line begin a record of several lines?
    pub fn begins(&self, batch: &mut Batch, line: Span) -> bool {
        let Some(parser) = &self.first_line else { return true };
        let (fields, text) = (batch.fields.len(), batch.text.len());
        batch.records.push(Record { text: line, ..Record::default() });
        let begins = parser.parse(batch, batch.records.len() - 1).is_ok();
        batch.records.pop();
        batch.fields.truncate(fields);
        batch.forget_text(text);
        begins
    }
}

/// The text inside a line of JSON, still escaped, and what stands around it.
#[derive(Debug, Clone, Copy)]
pub struct Framed {
    /// Its text is what is joined.
    pub piece: Piece,
    /// Before the text.
    pub before: Span,
    /// Behind the text.
    pub behind: Span,
}

/// Takes a line apart; `None` where it is no object with a text under `log`.
pub fn framed(text: &[u8], line: Span, now_ns: i64) -> Option<Framed> {
    let start = line.start as usize;
    let json = line.of(text);
    let (mut log, mut stream) = (None, Stream::None);
    let is_object = json_read::object(json, |member| match &json[member.key.0..member.key.1] {
        b"log" if json[member.value.0] == b'"' => log = Some((member.value.0 + 1, member.value.1 - 1)),
        b"stream" if &json[member.value.0..member.value.1] == b"\"stdout\"" => stream = Stream::Stdout,
        b"stream" if &json[member.value.0..member.value.1] == b"\"stderr\"" => stream = Stream::Stderr,
        _ => {}
    });
    let (from, to) = log.filter(|_| is_object)?;
    let partial = !ends_with_newline(&json[from..to]);
    let piece = Piece {
        time_ns: now_ns,
        time_text: Span::default(),
        stream,
        tag: 0,
        partial,
        text: Span::new(start + from, start + to),
        fields: (0, 0),
    };
    let end = start + line.len as usize;
    Some(Framed { piece, before: Span::new(start, start + from), behind: Span::new(start + to, end) })
}

/// Is the last sign of a JSON string an escaped line end?
fn ends_with_newline(inner: &[u8]) -> bool {
    let before = match inner {
        [before @ .., b'n'] => before,
        [before @ .., b'u', b'0', b'0', b'0', b'a' | b'A'] => before,
        _ => return false,
    };
    before.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: Option<(&str, Stream, bool)>) {
        let found = framed(line.as_bytes(), Span::new(0, line.len()), 0).map(|f| {
            let slice = |s: Span| std::str::from_utf8(s.of(line.as_bytes())).expect("on a boundary");
            assert_eq!([slice(f.before), slice(f.piece.text), slice(f.behind)].concat(), line);
            (slice(f.piece.text), f.piece.stream, f.piece.partial)
        });
        assert_eq!(found, expect, "{line}");
    }

    #[test]
    fn lines() {
        check(r#"{"log":"a\n","stream":"stdout"}"#, Some((r"a\n", Stream::Stdout, false)));
        check(r#"{"log":"a","stream":"stderr"}"#, Some(("a", Stream::Stderr, true)));
        check(r#"{"log":"a\\n"}"#, Some((r"a\\n", Stream::None, true)));
        check(r#"{"log":"a\\\n"}"#, Some((r"a\\\n", Stream::None, false)));
        check(r#"{"log":"a\u000A"}"#, Some((r"a\u000A", Stream::None, false)));
        check(r#"{"log":"u000a"}"#, Some(("u000a", Stream::None, true)));
        check(r#"{"log":""}"#, Some(("", Stream::None, true)));
        check(r#"{ "x": {"log":"b"}, "log" : "c" }"#, Some(("c", Stream::None, true)));
        for other in [r#"{"log":1}"#, r#"{"text":"a\n"}"#, r#"{"log":"a""#, "plain", ""] {
            check(other, None);
        }
    }
}
