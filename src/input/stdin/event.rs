//! What stands at the beginning of a text: an object, an event, a line.
//!
//! ```text
//! {"a": 1}                       a record of now; it may reach over several lines, and several may stand in one
//! [1700000000.5, {"a": 1}]       a record of that time
//! [[1700000000.5, {}], {"a": 1}] the same with metadata, which nobody sends
//! anything else                  a line of text
//! ```

use crate::record::json_read;
use std::ops::Range;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// An object and the time that stands with it; the next one begins at `end`.
    Object { time_ns: Option<i64>, object: Range<usize>, end: usize },
    /// A line without its end; the next one begins at `end`.
    Line { line: Range<usize>, end: usize },
    /// Nothing that is whole.
    More,
}

/// Looks at a text, which goes on unless `is_all`.
pub(super) fn next(text: &[u8], is_all: bool) -> Next {
    let line_end = memchr::memchr(b'\n', text);
    let first = text.iter().position(|byte| *byte == b'\n' || !byte.is_ascii_whitespace());
    if first == line_end && (is_all || line_end.is_some()) && !text.is_empty() {
        return Next::Line { line: 0..0, end: line_end.map_or(text.len(), |end| end + 1) };
    }
    if let Some(start) = first.filter(|start| matches!(text[*start], b'{' | b'[')) {
        if let Some(end) = line_end
            && let Some((time_ns, object)) = event(text, start..end)
        {
            return Next::Object { time_ns, object, end: end + 1 };
        }
        match within(text, start, is_all) {
            Some(Next::More) if is_all => {}
            Some(next) => return next,
            None => {}
        }
    }
    line(text, is_all)
}

/// The first line.
pub(super) fn line(text: &[u8], is_all: bool) -> Next {
    match memchr::memchr(b'\n', text) {
        Some(end) => Next::Line { line: 0..end, end: end + 1 },
        None if is_all && !text.is_empty() => Next::Line { line: 0..text.len(), end: text.len() },
        None => Next::More,
    }
}

/// A value that does not fill its line: the first of several, or one that goes on in the next. `None`: it is text.
fn within(text: &[u8], start: usize, is_all: bool) -> Option<Next> {
    let mut values = serde_json::Deserializer::from_slice(&text[start..]).into_iter::<serde_json::Value>();
    let value = values.next()?;
    let end = start + values.byte_offset();
    match value {
        Err(error) if error.is_eof() => Some(Next::More),
        Err(_) => None,
        Ok(_) => {
            let (time_ns, object) = event(text, start..end)?;
            let rest = &text[end..];
            let behind = rest.iter().position(|byte| *byte == b'\n' || !byte.is_ascii_whitespace());
            match behind.map(|at| (at, rest[at])) {
                Some((at, b'\n')) => Some(Next::Object { time_ns, object, end: end + at + 1 }),
                Some((_, b'{' | b'[')) | None => Some(Next::Object { time_ns, object, end }),
                // With something behind it, it is a text that begins with a value; its line may not be whole yet.
                Some(_) if is_all || rest.contains(&b'\n') => None,
                Some(_) => Some(Next::More),
            }
        }
    }
}

/// An object alone, or with its time in front of it.
fn event(text: &[u8], at: Range<usize>) -> Option<(Option<i64>, Range<usize>)> {
    if text[at.start] == b'{' {
        return json_read::object(&text[at.clone()], |_| ()).then_some((None, at));
    }
    let [time, object] = pair(text, at)?;
    let time = match text[time.start] {
        b'[' => pair(text, time)?[0].clone(),
        _ => time,
    };
    let is_object = json_read::object(&text[object.clone()], |_| ());
    Some((Some(nanoseconds(&text[time])?), object)).filter(|_| is_object)
}

fn pair(text: &[u8], at: Range<usize>) -> Option<[Range<usize>; 2]> {
    let mut parts = Vec::new();
    let is_array = json_read::array(&text[at.clone()], |(from, to)| parts.push(at.start + from..at.start + to));
    parts.try_into().ok().filter(|_| is_array)
}

/// Seconds since 1970 with a fraction, exact to the nanosecond where they are written without an exponent.
fn nanoseconds(number: &[u8]) -> Option<i64> {
    const SECOND_NS: i64 = 1_000_000_000;
    let text = std::str::from_utf8(number).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    if let (Ok(seconds), Ok(fraction)) = (seconds.parse::<i64>(), digits.parse::<i64>()) {
        return seconds.checked_mul(SECOND_NS)?.checked_add(if seconds < 0 { -fraction } else { fraction });
    }
    let seconds: f64 = text.parse().ok()?;
    let nanoseconds = seconds * SECOND_NS as f64;
    (nanoseconds.abs() < i64::MAX as f64).then_some(nanoseconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All that comes, as text.
    fn all(text: &str) -> Vec<String> {
        let (mut rest, mut found) = (text.as_bytes(), Vec::new());
        loop {
            let show = |range: Range<usize>| String::from_utf8_lossy(&rest[range]).into_owned();
            let end = match next(rest, true) {
                Next::Object { time_ns: None, object, end } => {
                    found.push(show(object));
                    end
                }
                Next::Object { time_ns: Some(time), object, end } => {
                    found.push(format!("{time} {}", show(object)));
                    end
                }
                Next::Line { line, end } => {
                    found.push(format!("text {}", show(line)));
                    end
                }
                Next::More => return found,
            };
            rest = &rest[end..];
        }
    }

    #[test]
    fn objects_events_and_lines() {
        for (text, expect) in [
            ("{\"a\":1}\n{\"b\":2}\n", vec!["{\"a\":1}", "{\"b\":2}"]),
            ("{\"a\":1}{\"b\":2} {\"c\":3}", vec!["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]),
            ("{\n \"a\":\n 1}\nx\n", vec!["{\n \"a\":\n 1}", "text x"]),
            ("[1.5,{\"a\":1}]\n", vec!["1500000000 {\"a\":1}"]),
            ("[[1700000000.123456789, {\"m\":1}], {}]\n", vec!["1700000000123456789 {}"]),
            ("[1e3,{}]\n[-1.5,{}]\n", vec!["1000000000000 {}", "-1500000000 {}"]),
            ("[2024-01-01] hello\n[1,2]\n[]\n", vec!["text [2024-01-01] hello", "text [1,2]", "text []"]),
            ("{\"a\":1} behind\n", vec!["text {\"a\":1} behind"]),
            ("{broken\n{\"a\":1}\n", vec!["text {broken", "{\"a\":1}"]),
            ("plain\n\n\"text\"\n12\n", vec!["text plain", "text ", "text \"text\"", "text 12"]),
            (" \t\r\n {}\n  ", vec!["text ", "{}", "text "]),
            ("{\"a\":\"raw\ttab\"}\n", vec!["{\"a\":\"raw\ttab\"}"]),
            ("{\"a\":", vec!["text {\"a\":"]),
            ("", vec![]),
        ] {
            assert_eq!(all(text), expect, "{text}");
        }
    }

    #[test]
    fn what_is_not_whole_waits() {
        for text in ["", "plain", "{\"a\":1} be", "{\"a\":", "{\"a\":\n1,\n", "[1,"] {
            assert_eq!(next(text.as_bytes(), false), Next::More, "{text}");
        }
        // A writer that never ends its line is not waited for.
        assert_eq!(next(b"{}", false), Next::Object { time_ns: None, object: 0..2, end: 2 });
    }

    #[test]
    fn no_byte_is_lost_and_no_text_panics() {
        proptest!(|(text in "[\\[\\]{}\":,1ea\n .-]{0,60}")| {
            let (mut at, text) = (0, text.as_bytes());
            while at < text.len() {
                match next(&text[at..], true) {
                    Next::Object { object, end, .. } => {
                        prop_assert!(object.end <= end && end <= text.len() - at);
                        at += end;
                    }
                    Next::Line { line, end } => {
                        let is_blank = text[at..at + end].trim_ascii().is_empty();
                        prop_assert!(line.start == 0 && end > 0 && (end - line.end <= 1 || line.is_empty() && is_blank));
                        at += end;
                    }
                    Next::More => prop_assert!(false, "{:?} waits for more", &text[at..]),
                }
            }
        });
    }
}
