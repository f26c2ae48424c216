//! What must hold for a record to be changed.

use super::super::words::{Split, of_entry, report_wrong};
use crate::config::{Entry, Report, Section, nearest};
use crate::record::{Accessor, Batch, Expression, Found};

#[derive(Debug)]
pub(super) struct Condition {
    test: Test,
    /// What it shall be.
    wanted: bool,
}

#[derive(Debug)]
enum Test {
    Exists(Accessor),
    AKeyMatches(Expression),
    Equals(Accessor, String),
    Matches(Accessor, Expression),
    AllMatch(Expression, Expression),
}

/// Their names, and how many words follow.
const NAMES: [(&str, usize); 10] = [
    ("key_exists", 1),
    ("key_does_not_exist", 1),
    ("a_key_matches", 1),
    ("no_key_matches", 1),
    ("key_value_equals", 2),
    ("key_value_does_not_equal", 2),
    ("key_value_matches", 2),
    ("key_value_does_not_match", 2),
    ("matching_keys_have_matching_values", 2),
    ("matching_keys_do_not_have_matching_values", 2),
];

impl Condition {
    pub(super) fn new(section: &Section, entry: &Entry, report: &mut Report) -> Option<Self> {
        let words = of_entry(section, entry, (Split::Quoted, 2..=3), "key_value_equals KEY TEXT", report)?;
        let name = words[0].to_ascii_lowercase();
        let Some((_, count)) = NAMES.iter().find(|(known, _)| *known == name) else {
            let hint = match nearest(&name, NAMES.iter().map(|(name, _)| *name)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => NAMES.map(|(name, _)| name).join(", "),
            };
            report_wrong(section, entry, &format!("cannot be `{}`", words[0]), &hint, report);
            return None;
        };
        if words.len() != count + 1 {
            let what = if *count == 1 { "one word" } else { "two words" };
            report_wrong(section, entry, &format!("needs {what} behind `{name}`"), "put blanks into quotes", report);
            return None;
        }
        let test = match Test::new(&name, &words[1], words.get(2).map_or("", String::as_str)) {
            Ok(test) => test,
            Err((why, hint)) => {
                report_wrong(section, entry, &why, hint, report);
                return None;
            }
        };
        let negated = ["key_does_not_exist", "no_key_matches", "matching_keys_do_not_have_matching_values"];
        let wanted = !negated.contains(&name.as_str()) && !name.starts_with("key_value_does_not");
        Some(Self { test, wanted })
    }

    pub(super) fn holds(&self, batch: &Batch, record: usize) -> bool {
        let mut buffer = Vec::new();
        match &self.test {
            Test::Exists(accessor) => accessor.find(batch, record).is_some() == self.wanted,
            Test::AKeyMatches(expression) => {
                let mut any = false;
                batch.each_member(record, &mut |key, _| any |= expression.is_match(key));
                any == self.wanted
            }
            // Of what is not there nothing holds, neither that it is so nor that it is not.
            Test::Equals(accessor, text) => accessor.find(batch, record).is_some_and(|found| {
                found.string(&mut buffer).is_some_and(|found| found == text.as_bytes()) == self.wanted
            }),
            Test::Matches(accessor, expression) => {
                accessor.find(batch, record).is_some_and(|found| matches(expression, found, &mut buffer) == self.wanted)
            }
            Test::AllMatch(keys, values) => {
                let mut all = true;
                batch.each_member(record, &mut |key, found| {
                    all &= !keys.is_match(key) || matches(values, found, &mut buffer);
                });
                all == self.wanted
            }
        }
    }
}

/// Strings, `true` and `false` can match.
fn matches(expression: &Expression, found: Found<'_>, buffer: &mut Vec<u8>) -> bool {
    match found {
        Found::Json(word @ (b"true" | b"false")) => expression.is_match(word),
        found => found.string(buffer).is_some_and(|text| expression.is_match(text)),
    }
}

impl Test {
    fn new(name: &str, first: &str, second: &str) -> Result<Self, (String, &'static str)> {
        let key = |text: &str| Accessor::parse(text).map_err(|e| (format!("has no key: {e}"), e.hint()));
        let expression = |text: &str| {
            let hint = "a character that stands for itself needs a backslash before it, as in app\\.log";
            Expression::new(text).map_err(|e| (format!("has no regular expression: {e}"), hint))
        };
        Ok(match name {
            "key_exists" | "key_does_not_exist" => Self::Exists(key(first)?),
            "a_key_matches" | "no_key_matches" => Self::AKeyMatches(expression(first)?),
            "key_value_equals" | "key_value_does_not_equal" => Self::Equals(key(first)?, second.to_owned()),
            "key_value_matches" | "key_value_does_not_match" => Self::Matches(key(first)?, expression(second)?),
            _ => Self::AllMatch(expression(first)?, expression(second)?),
        })
    }
}
