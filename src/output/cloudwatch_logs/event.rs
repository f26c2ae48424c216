//! A record as CloudWatch Logs takes it: one event, or several where its message is too long for one.
//!
//! ```text
//! {"timestamp":1709287200123,"message":"{\"log\":\"GET /\",\"kubernetes\":{…}}"}     as it stands in a body, with a comma before all but the first
//! ```
//! The message is the record as JSON, or the value under `log_key`: text as it is, anything else as JSON. A record without
//! it becomes nothing, one with an empty text a blank, which is left out: CloudWatch takes no empty message.

use super::super::Filled;
use crate::record::{Accessor, Batch, Found, json};
use std::cell::RefCell;

/// What CloudWatch adds for each event when it counts the bytes of a put.
pub(super) const EVENT_OVERHEAD: usize = 26;
/// Stands behind a message that was cut; Fluent Bit's words.
const CUT_MARK: &[u8] = b"[Truncated...]";
/// A message shorter than this could not even say that it was cut.
pub(super) const EVENT_BYTES_MIN: usize = 64;

/// A piece of a record with an empty text.
pub(super) const BLANK: &[u8] = b" ";

/// What every event begins with, and nothing within one: quotes in a message are escaped.
pub(super) const HEAD: &[u8] = br#"{"timestamp":"#;
pub(super) const MESSAGE: &[u8] = br#","message":"#;

crate::option_enum! {
    /// What becomes of a message that is too long for one event.
    pub enum OnLongEvent {
        /// Several events of the same time.
        Split = "split",
        /// One, with a mark at its end.
        Truncate = "truncate",
    }
}

thread_local! {
    /// A record as JSON, before it is escaped as a message: kept, so that records cost no memory of their own.
    static PLAIN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Capacity above which the thread's buffer is not kept.
const PLAIN_KEPT_MAX: usize = 1 << 20;

/// Makes events of records.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) log_key: Option<Accessor>,
    /// Bytes of a message at most.
    pub(super) bytes_max: usize,
    pub(super) on_long: OnLongEvent,
}

impl Events {
    /// Appends the events of a record, and says what CloudWatch counts of them.
    pub(super) fn push(&self, batch: &Batch, record: usize, out: &mut Vec<u8>) -> Filled {
        let time = batch.records[record].time_ns.div_euclid(1_000_000).max(0).unsigned_abs();
        let Some(key) = &self.log_key else { return self.push_record(batch, record, time, out) };
        match key.find(batch, record) {
            None => Filled::default(),
            Some(Found::Text(b"") | Found::Json(b"\"\"" | b"{}" | b"[]")) => blank(out),
            // A JSON string needs no more than to be put into its place.
            Some(Found::Json(string @ [b'"', inner @ .., b'"'])) if inner.len() <= self.bytes_max => {
                let bytes = unescaped_len(inner);
                push_event(out, time, |out| out.extend_from_slice(string));
                one(bytes, time)
            }
            Some(Found::Json(json)) if json[0] != b'"' => self.push_text(json, time, out),
            Some(Found::Text(text)) if batch.utf8 => self.push_text(text, time, out),
            Some(found) => {
                let mut text = String::new();
                found.push_text(&mut text);
                self.push_text(text.as_bytes(), time, out)
            }
        }
    }

    fn push_record(&self, batch: &Batch, record: usize, time: u64, out: &mut Vec<u8>) -> Filled {
        PLAIN.with_borrow_mut(|plain| {
            plain.clear();
            plain.push(b'{');
            json::push_members(plain, batch, &batch.records[record], false);
            plain.push(b'}');
            let filled = if plain.len() > 2 { self.push_text(plain, time, out) } else { blank(out) };
            plain.shrink_to(PLAIN_KEPT_MAX);
            filled
        })
    }

    /// UTF-8.
    fn push_text(&self, text: &[u8], time: u64, out: &mut Vec<u8>) -> Filled {
        if text.len() <= self.bytes_max {
            push_event(out, time, |out| json::push_utf8(out, text));
            return one(text.len(), time);
        }
        match self.on_long {
            OnLongEvent::Truncate => {
                let kept = &text[..floor(text, self.bytes_max - CUT_MARK.len())];
                push_event(out, time, |out| {
                    out.push(b'"');
                    json::push_escaped(out, kept);
                    out.extend_from_slice(CUT_MARK);
                    out.push(b'"');
                });
                one(kept.len() + CUT_MARK.len(), time)
            }
            OnLongEvent::Split => self.push_parts(text, time, out),
        }
    }

    fn push_parts(&self, mut rest: &[u8], time: u64, out: &mut Vec<u8>) -> Filled {
        let mut filled = Filled { times: times(time), ..Filled::default() };
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(floor(rest, self.bytes_max));
            if filled.entries > 0 {
                out.push(b',');
            }
            push_event(out, time, |out| json::push_utf8(out, part));
            filled.bytes += part.len() + EVENT_OVERHEAD;
            filled.entries += 1;
            rest = behind;
        }
        filled
    }
}

#[cold]
fn blank(out: &mut Vec<u8>) -> Filled {
    out.extend_from_slice(BLANK);
    Filled::default()
}

fn one(message_bytes: usize, time: u64) -> Filled {
    Filled { bytes: message_bytes + EVENT_OVERHEAD, entries: 1, times: times(time), ..Filled::default() }
}

fn times(time: u64) -> Option<(i64, i64)> {
    let time = time.cast_signed();
    Some((time, time))
}

#[inline]
fn push_event(out: &mut Vec<u8>, time: u64, message: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(HEAD);
    json::push_u64(out, time);
    out.extend_from_slice(MESSAGE);
    message(out);
    out.push(b'}');
}

/// The last border of a character at or before `at`.
fn floor(text: &[u8], at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|at| text[*at] & 0xC0 != 0x80).unwrap_or(at)
}

/// How long the inside of a JSON string is as text.
pub(super) fn unescaped_len(inner: &[u8]) -> usize {
    let (mut len, mut at) = (inner.len(), 0);
    while let Some(found) = memchr::memchr(b'\\', inner.get(at..).unwrap_or_default()) {
        at += found;
        let (escape, text) = match inner.get(at + 1) {
            Some(b'u') => escaped_char(&inner[at..]),
            _ => (2, 1),
        };
        len = len.saturating_sub(escape - text);
        at += escape;
    }
    len
}

/// The bytes of `\uXXXX`, or of two that are one character, and those of the character.
fn escaped_char(escape: &[u8]) -> (usize, usize) {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    };
    match unit(0) {
        Some(0..0x80) => (6, 1),
        Some(0x80..0x800) => (6, 2),
        Some(0xD800..0xDC00) if unit(6).is_some_and(|low| (0xDC00..0xE000).contains(&low)) => (12, 4),
        _ => (6, 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Shape, Source, SourceDraft, Span};
    use std::sync::Arc;

    fn batch(text: &[u8]) -> Batch {
        let draft = SourceDraft { text_key: "log".into(), ..SourceDraft::default() };
        let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
        let text = batch.append(text);
        batch.records.push(Record {
            text,
            shape: Shape::Line,
            time_ns: 1_709_287_200_123_999_999,
            ..Record::default()
        });
        batch.check_utf8();
        batch
    }

    fn events(log_key: Option<&str>, bytes_max: usize, on_long: OnLongEvent) -> Events {
        Events { log_key: log_key.map(|key| Accessor::parse(key).unwrap()), bytes_max, on_long }
    }

    fn check(events: &Events, batch: &Batch, expect: &str) {
        let mut out = Vec::new();
        let filled = events.push(batch, 0, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expect);
        let messages: Vec<serde_json::Value> = serde_json::from_slice(&[b"[", &out[..], b"]"].concat()).unwrap();
        let bytes: usize = messages.iter().map(|event| event["message"].as_str().unwrap().len() + EVENT_OVERHEAD).sum();
        assert_eq!((filled.bytes, filled.entries), (bytes, messages.len()), "as CloudWatch counts");
    }

    #[test]
    fn records_become_events() {
        let whole = events(None, 1000, OnLongEvent::Split);
        check(
            &whole,
            &batch(b"say \"hi\"\n"),
            r#"{"timestamp":1709287200123,"message":"{\"log\":\"say \\\"hi\\\"\\n\"}"}"#,
        );
        let of_key = events(Some("log"), 1000, OnLongEvent::Split);
        check(&of_key, &batch("tab\tgrüße".as_bytes()), r#"{"timestamp":1709287200123,"message":"tab\tgrüße"}"#);
        check(&of_key, &batch(b"caf\xe9"), "{\"timestamp\":1709287200123,\"message\":\"caf\u{FFFD}\"}");
        let mut blank = Vec::new();
        assert_eq!((of_key.push(&batch(b""), 0, &mut blank), blank.as_slice()), (Filled::default(), BLANK));
        check(&events(Some("other"), 1000, OnLongEvent::Split), &batch(b"x"), "");
    }

    #[test]
    fn values_become_messages() {
        let of_key = events(Some("v"), 1000, OnLongEvent::Split);
        for (json, message) in [
            (r#""a \"b\" \u00e9\ud83d\ude80""#, r#""a \"b\" \u00e9\ud83d\ude80""#),
            ("12345", r#""12345""#),
            ("true", r#""true""#),
            ("[1,2]", r#""[1,2]""#),
            (r#"{"a":"b"}"#, r#""{\"a\":\"b\"}""#),
        ] {
            let mut batch = batch(b"x");
            let (key, value) = (batch.append(b"v"), batch.append(json.as_bytes()));
            batch.fields.push(crate::record::Field { key, value: crate::record::Value::Json(value) });
            batch.records[0].fields_end = 1;
            check(&of_key, &batch, &format!(r#"{{"timestamp":1709287200123,"message":{message}}}"#));
        }
    }

    #[test]
    fn a_long_message_is_split_or_cut_between_characters() {
        let text = "ü".repeat(70);
        let mut out = Vec::new();
        let filled = events(Some("log"), 65, OnLongEvent::Split).push(&batch(text.as_bytes()), 0, &mut out);
        assert_eq!((filled.entries, filled.bytes), (3, 140 + 3 * EVENT_OVERHEAD));
        let parts: Vec<serde_json::Value> = serde_json::from_slice(&[b"[", &out[..], b"]"].concat()).unwrap();
        let joined: String = parts.iter().map(|part| part["message"].as_str().unwrap()).collect();
        assert_eq!(joined, text);
        let cut = format!(r#"{{"timestamp":1709287200123,"message":"{}[Truncated...]"}}"#, "ü".repeat(25));
        check(&events(Some("log"), 65, OnLongEvent::Truncate), &batch(text.as_bytes()), &cut);
    }

    #[test]
    fn a_time_before_1970_is_none() {
        let mut batch = batch(b"x");
        batch.records[0].time_ns = -5;
        check(&events(Some("log"), 100, OnLongEvent::Split), &batch, r#"{"timestamp":0,"message":"x"}"#);
        batch.records[0].text = Span::default();
    }

    #[test]
    fn lengths_are_those_of_the_text() {
        proptest::proptest!(|(text in "\\PC*[\\x00-\\x7f]{0,40}\\PC*", ascii in proptest::bool::ANY)| {
            let json = if ascii {
                let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
                units.collect::<String>()
            } else {
                let mut out = Vec::new();
                json::push_escaped(&mut out, text.as_bytes());
                String::from_utf8(out).unwrap()
            };
            proptest::prop_assert_eq!(unescaped_len(json.as_bytes()), text.len());
        });
    }
}
