//! Docker's json-file format, one object a line:
//!
//! ```text
//! {"log":"the text\n","stream":"stdout","time":"2024-03-01T10:00:00.123456789Z"}
//! ```
//! A text without `\n` at its end is a piece; the `\n` stays in the record, as in Fluent Bit. Further keys (`attrs`) become
//! fields.

use super::Piece;
use super::json::rewrite;
use crate::record::json_read::{self, Member};
use crate::record::time::Rfc3339;
use crate::record::{Batch, Field, Span, Stream, Value};

#[derive(Default)]
struct Found {
    log: Option<Member>,
    stream: Stream,
    time: Option<(usize, usize)>,
}

/// Takes a line apart; the text goes, unescaped, to the end of the batch's arena. `None`: not Docker's, the line is plain
/// text.
pub fn piece(batch: &mut Batch, line: Span, clock: &mut Rfc3339) -> Option<Piece> {
    let start = line.start as usize;
    let fields_start = batch.fields.len();
    let mut found = Found::default();
    let text = line.of(&batch.text);
    let (fields, mut rewritten) = (&mut batch.fields, Vec::new());
    let is_object = json_read::object(text, |member| {
        let inner = (member.value.0 + 1, member.value.1.max(member.value.0 + 2) - 1);
        match &text[member.key.0..member.key.1] {
            b"log" if text[member.value.0] == b'"' => found.log = Some(member),
            b"stream" if text.get(inner.0..inner.1) == Some(b"stdout") => found.stream = Stream::Stdout,
            b"stream" if text.get(inner.0..inner.1) == Some(b"stderr") => found.stream = Stream::Stderr,
            b"time" => found.time = Some(inner),
            _ => {
                if member.dirty || member.key_escaped {
                    rewritten.push((fields.len(), member));
                }
                fields.push(Field {
                    key: Span::new(start + member.key.0, start + member.key.1),
                    value: Value::Json(Span::new(start + member.value.0, start + member.value.1)),
                });
            }
        }
    });
    if is_object {
        rewritten.into_iter().for_each(|(index, member)| rewrite(batch, start, index, member));
    }
    let piece = is_object.then(|| finish(batch, start, &found, clock)).flatten();
    match piece {
        Some(piece) => Some(Piece { fields: (fields_start as u32, batch.fields.len() as u32), ..piece }),
        None => {
            batch.fields.truncate(fields_start);
            None
        }
    }
}

fn finish(batch: &mut Batch, start: usize, found: &Found, clock: &mut Rfc3339) -> Option<Piece> {
    let (time, log) = (found.time?, found.log?);
    let time_text = Span::new(start + time.0, start + time.1);
    let time_ns = clock.parse(time_text.of(&batch.text))?;
    let text_start = batch.text.len();
    json_read::unescape_within(&mut batch.text, start + log.value.0 + 1..start + log.value.1 - 1)?;
    let whole = batch.text.ends_with(b"\n") && batch.text.len() > text_start;
    Some(Piece {
        time_ns,
        time_text,
        stream: found.stream,
        tag: if whole { b'F' } else { b'P' },
        partial: !whole,
        text: Span::new(text_start, batch.text.len()),
        fields: (0, 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Source, SourceDraft};
    use std::sync::Arc;

    fn check(line: &str, expect: Option<(&str, Stream, bool, usize)>) {
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let span = batch.append(line.as_bytes());
        let found = piece(&mut batch, span, &mut Rfc3339::default());
        let found = found.map(|p| {
            let text = String::from_utf8_lossy(batch.bytes(p.text)).into_owned();
            (text, p.stream, p.partial, (p.fields.1 - p.fields.0) as usize)
        });
        let found = found.as_ref().map(|(t, s, p, f)| (t.as_str(), *s, *p, *f));
        assert_eq!(found, expect, "{line}");
    }

    #[test]
    fn further_keys_are_kept_whatever_their_signs() {
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let line = b"{\"log\":\"a\",\"a\\\"b\":1,\"c\":\"\xff\",\"time\":\"2024-03-01T10:00:00Z\"}";
        let span = batch.append(line);
        let piece = piece(&mut batch, span, &mut Rfc3339::default()).expect("a line of Docker's");
        assert_eq!(batch.bytes(piece.text), b"a");
        let fields = &batch.fields[piece.fields.0 as usize..piece.fields.1 as usize];
        let found = fields.iter().map(|f| match f.value {
            Value::Json(value) | Value::Text(value) => (batch.bytes(f.key), batch.bytes(value)),
        });
        let expect = [(&b"a\"b"[..], &b"1"[..]), (b"c", "\"\u{fffd}\"".as_bytes())];
        assert_eq!(found.collect::<Vec<_>>(), expect);
    }

    #[test]
    fn lines() {
        let time = r#""time":"2024-03-01T10:00:00.1Z""#;
        check(&format!(r#"{{"log":"hi\n","stream":"stdout",{time}}}"#), Some(("hi\n", Stream::Stdout, false, 0)));
        check(&format!(r#"{{"log":"half","stream":"stderr",{time}}}"#), Some(("half", Stream::Stderr, true, 0)));
        check(
            &format!(r#"{{{time},"log":"\u00e9\"\n","attrs":{{"a":"b"}}}}"#),
            Some(("é\"\n", Stream::None, false, 1)),
        );
        check(&format!(r#"{{"log":"","stream":"stdout",{time}}}"#), Some(("", Stream::Stdout, true, 0)));
        check(r#"{"log":"no time\n","stream":"stdout"}"#, None);
        check(r#"{"log":"bad time\n","stream":"stdout","time":"today"}"#, None);
        check(&format!(r#"{{"log":7,"stream":"stdout",{time}}}"#), None);
        check(&format!(r#"{{"stream":"stdout",{time}}}"#), None);
        check(r#"{"time":1,"log":""}"#, None);
        check("{", None);
        check("plain", None);
    }
}
