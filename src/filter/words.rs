//! Values of options that consist of words: `rename old new`, `record "a key" a value`.

use crate::config::{Entry, Report, Section};

/// Splits a text at blanks. A word in quotes may have blanks in it, and `\"` stands for a quote. The last of `words_max` words
/// takes the rest as it stands.
fn split(text: &str, words_max: usize) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if words.len() + 1 == words_max {
            words.push(unquoted(rest));
            break;
        }
        let (word, behind) = first(rest);
        words.push(word);
        rest = behind.trim_start();
    }
    words
}

/// Splits a text at blanks, but for those in double quotes.
pub(super) fn words_in_double_quotes(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let plain = || (rest[..end].to_owned(), &rest[end..]);
        let (word, behind) = quoted(rest).filter(|_| rest.starts_with('"')).unwrap_or_else(plain);
        words.push(word);
        rest = behind.trim_start();
    }
    words
}

fn first(text: &str) -> (String, &str) {
    if let Some((word, behind)) = quoted(text) {
        return (word, behind);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (text[..end].to_owned(), &text[end..])
}

/// The whole text without the quotes around it, if there are any.
fn unquoted(text: &str) -> String {
    match quoted(text) {
        Some((word, "")) => word,
        _ => text.to_owned(),
    }
}

/// A word in quotes, and what stands behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|sign| matches!(sign, '"' | '\''))?;
    let mut word = String::new();
    let mut signs = text.char_indices().skip(1);
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' if text[at + 1..].starts_with(quote) => word.extend(signs.next().map(|(_, sign)| sign)),
            sign if sign == quote => {
                let behind = &text[at + quote.len_utf8()..];
                let ends = behind.is_empty() || behind.starts_with(char::is_whitespace);
                return ends.then_some((word, behind));
            }
            sign => word.push(sign),
        }
    }
    None
}

/// The first word, and the rest as it stands.
fn first_and_rest(text: &str) -> Vec<String> {
    let (first, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    [first, rest.trim_start()].into_iter().filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// How an option is split, as in Fluent Bit each in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// At blanks outside of quotes of both kinds; the last word takes the rest.
    Quoted,
    /// At blanks outside of double quotes.
    DoubleQuoted,
    /// At the first blank.
    Rest,
}

/// The words of an entry that needs so many of them; another number is reported.
pub(super) fn of_entry(
    section: &Section,
    entry: &Entry,
    (how, words): (Split, std::ops::RangeInclusive<usize>),
    shape: &str,
    report: &mut Report,
) -> Option<Vec<String>> {
    let found = match how {
        Split::Quoted => split(&entry.value, *words.end()),
        Split::DoubleQuoted => words_in_double_quotes(&entry.value),
        Split::Rest => first_and_rest(&entry.value),
    };
    if words.contains(&found.len()) {
        return Some(found);
    }
    let what = format!("option `{}` of {} cannot be {}", entry.key, section.title(), entry.shown_value());
    report.error(Some(&entry.value_at), what, Some(format!("write `{} {shape}`", entry.key)));
    None
}

/// Reports a value that is wrong in itself.
pub(super) fn report_wrong(section: &Section, entry: &Entry, why: &str, hint: &str, report: &mut Report) {
    let what = format!("{} of {} {why}", entry.key, section.title());
    report.error(Some(&entry.value_at), what, Some(hint.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_between_blanks_or_in_quotes() {
        for (text, words_max, expect) in [
            ("a b", 2, &["a", "b"][..]),
            ("  a\t b c ", 2, &["a", "b c"]),
            ("\"a b\" c", 2, &["a b", "c"]),
            ("a 'b c'", 2, &["a", "b c"]),
            (r#"a "b \" c" d"#, 3, &["a", "b \" c", "d"]),
            ("it's here", 3, &["it's", "here"]),
            ("\"open", 2, &["\"open"]),
            ("", 2, &[]),
        ] {
            assert_eq!(split(text, words_max), expect, "{text}");
        }
        assert_eq!(first_and_rest(r#" log  "a b" c "#), ["log", "\"a b\" c"]);
        assert_eq!(words_in_double_quotes(r#"a "b c" 'd e'"#), ["a", "b c", "'d", "e'"]);
    }
}
