//! How a text is written as a YAML scalar, so that every reader of YAML takes it for that text.
//!
//! ```text
//! /var/log/*.log      nothing in it means anything
//! 'a: b # c'          a sign that would
//! "a\tb"              a character that cannot stand for itself
//! 'no'  '1e3'  '~'    it looks like something else than a text
//! |                   several lines
//! ```

use super::document::Text;
use std::fmt::Write;

/// A value. `indent` is where a text of several lines stands.
pub(super) fn value(text: &Text, indent: usize) -> String {
    match block(&text.text, indent) {
        Some(block) => block,
        None if text.bare && !is_null(&text.text) && may_be_plain(&text.text) => text.text.clone(),
        None => one_line(&text.text),
    }
}

/// A key.
pub(super) fn key(text: &str) -> String {
    one_line(text)
}

fn one_line(text: &str) -> String {
    if may_be_plain(text) && !looks_typed(text) {
        text.to_owned()
    } else if text.chars().all(is_printable) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        double_quoted(text)
    }
}

/// Does none of its characters mean anything to YAML where it stands?
fn may_be_plain(text: &str) -> bool {
    let first = |c: char| c.is_alphanumeric() || matches!(c, '/' | '$' | '^' | '(' | '.' | '_' | '+' | '\\' | '~');
    let number = text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    (text.starts_with(first) || number)
        && !text.starts_with("...")
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && text.chars().all(is_printable)
}

/// Can it stand for itself? Beyond these a reader may refuse it, or take it for a line's end.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}')
}

fn is_null(text: &str) -> bool {
    text == "~" || text.eq_ignore_ascii_case("null")
}

/// Would a reader of YAML 1.1 or 1.2 take it for a switch, a number, a date or nothing?
fn looks_typed(text: &str) -> bool {
    const WORDS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];
    let lower = text.to_ascii_lowercase();
    let unsigned = lower.trim_start_matches(['+', '-']);
    is_null(text)
        || WORDS.contains(&lower.as_str())
        || matches!(unsigned, ".inf" | ".nan")
        || (unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && is_numeric(unsigned))
}

/// `1_000`, `1e3`, `.5`, `0x1f`, `0o17`, `0b1`, `12:30:45` (of base 60), `2024-03-01`.
fn is_numeric(text: &str) -> bool {
    let digits = text.replace('_', "");
    let of = |prefix: &str, radix| {
        digits.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix)))
    };
    let parts = |separator: char, count: std::ops::RangeInclusive<usize>| {
        let number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
        count.contains(&digits.split(separator).count()) && digits.split(separator).all(number)
    };
    digits.parse::<f64>().is_ok()
        || of("0x", 16)
        || of("0o", 8)
        || of("0b", 2)
        || parts(':', 2..=9)
        || parts('-', 3..=3)
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_printable(c) => out.push(c),
            c => _ = write!(out, "\\u{:04X}", u32::from(c)),
        }
    }
    out.push('"');
    out
}

/// A text of several lines as a literal block, where that keeps every character.
fn block(text: &str, indent: usize) -> Option<String> {
    let (body, chomping) = match text.strip_suffix('\n') {
        Some(body) => (body, ""),
        None => (text, "-"),
    };
    let good =
        |line: &str| line.chars().all(|c| is_printable(c) || c == '\t') && (line.is_empty() || !line.trim().is_empty());
    let several =
        text.contains('\n') && !body.is_empty() && !body.starts_with([' ', '\t', '\n']) && !body.ends_with('\n');
    if !several || !body.split('\n').all(good) {
        return None;
    }
    let mut out = format!("|{chomping}");
    for line in body.split('\n') {
        let blanks = if line.is_empty() { 0 } else { indent };
        let _ = write!(out, "\n{:blanks$}{line}", "");
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, expect) in [
            ("/var/log/*.log", "/var/log/*.log"),
            ("a b", "a b"),
            ("127.0.0.1", "127.0.0.1"),
            ("5M", "5M"),
            ("$level ^(warn|error)$", "$level ^(warn|error)$"),
            ("^\\d+ \"x\"$", "^\\d+ \"x\"$"),
            ("http://a:1/b#c", "http://a:1/b#c"),
            ("it's", "it's"),
            ("*", "'*'"),
            ("a: b", "'a: b'"),
            ("a #b", "'a #b'"),
            ("'a' # it's", "'''a'' # it''s'"),
            ("", "''"),
            ("a\tb\u{7}\"\\", "\"a\\tb\\u0007\\\"\\\\\""),
            ("no", "'no'"),
            ("Off", "'Off'"),
            ("null", "'null'"),
            ("~", "'~'"),
            ("1e3", "'1e3'"),
            ("-0.5", "'-0.5'"),
            ("0x1F", "'0x1F'"),
            ("12:30", "'12:30'"),
            ("2024-03-01", "'2024-03-01'"),
            ("12a", "12a"),
            ("a\nb", "|-\n    a\n    b"),
            ("a\n\n  b\n", "|\n    a\n\n      b"),
            (" a\nb", "\" a\\nb\""),
            ("a\n\n", "\"a\\n\\n\""),
        ] {
            assert_eq!(value(&Text::of(text), 4), expect, "{text:?}");
        }
    }

    #[test]
    fn numbers_and_switches_stand_bare() {
        for (text, expect) in
            [("on", "on"), ("1e3", "1e3"), ("-1", "-1"), ("null", "'null'"), ("a: b", "'a: b'"), ("", "''")]
        {
            assert_eq!(value(&Text::bare(text), 0), expect, "{text:?}");
        }
    }
}
