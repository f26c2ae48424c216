//! Options that are regular expressions: read, or reported in one way.

use super::{Report, Section};
use regex::Regex;

/// Makes an expression of `pattern`, which option `key` asks for; `None` when it is none (reported). `example`: a text that shows
/// a backslash.
pub fn read_expression(
    section: &Section,
    key: &str,
    pattern: &str,
    example: &str,
    report: &mut Report,
) -> Option<Regex> {
    match Regex::new(pattern) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
            let what = format!("{key} of {} is no regular expression: {why}", section.title());
            let hint = format!("a character that stands for itself needs a backslash before it, as in {example}");
            report.error(section.get(key).map(|e| &e.value_at), what, Some(hint));
            None
        }
    }
}
