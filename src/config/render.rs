//! How a report looks:
//!
//! ```text
//! error: unknown option `pth` of input tail
//!   --> agent.conf:14:5
//! 14 |     pth /var/log/*.log
//!    |     ^^^
//!   hint: did you mean `path`?
//!
//! 1 error, 2 notes
//! ```

use super::secret::hide_line;
use super::{Location, Problem, Report, Severity};
use std::fmt;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.problems.is_empty() {
            return Ok(());
        }
        for problem in self.in_order().into_iter().take(SHOWN_MAX) {
            self.show(problem, f)?;
            writeln!(f)?;
        }
        if self.problems.len() > SHOWN_MAX {
            writeln!(f, "… and {} more\n", self.problems.len() - SHOWN_MAX)?;
        }
        writeln!(f, "{}", self.count())
    }
}

/// A file that is no configuration at all has a mistake on every line; nobody reads all of them.
const SHOWN_MAX: usize = 200;

impl Report {
    /// Every problem in the order of the files, secrets hidden.
    pub fn shown(&self) -> impl Iterator<Item = Problem> {
        let hide = |text: &String| self.secrets.hide(text);
        self.in_order().into_iter().cloned().map(move |problem| Problem {
            message: hide(&problem.message),
            hint: problem.hint.as_ref().map(hide),
            ..problem
        })
    }

    /// "3 errors, 1 note".
    fn count(&self) -> String {
        let of = |severity| self.problems.iter().filter(|p| p.severity == severity).count();
        let counts = [(of(Severity::Error), "error"), (of(Severity::Note), "note")];
        let shown = counts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| format!("{n} {word}{}", if *n == 1 { "" } else { "s" }));
        shown.collect::<Vec<_>>().join(", ")
    }

    /// What has no place first, then as a reader meets it in the files.
    fn in_order(&self) -> Vec<&Problem> {
        let mut problems: Vec<&Problem> = self.problems.iter().collect();
        problems.sort_by_key(|p| p.at.as_ref().map(|at| self.sources.order(at)));
        problems
    }

    fn show(&self, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hide = |text: &str| printable(&self.secrets.hide(text));
        writeln!(f, "{}: {}", problem.severity.word(), hide(&problem.message))?;
        let gutter = problem.at.as_ref().map_or(2, |at| at.line.to_string().len());
        if let Some(at) = &problem.at {
            writeln!(f, "{:gutter$}--> {at}", "")?;
            self.show_line(at, gutter, f)?;
        }
        match &problem.hint {
            Some(hint) => writeln!(f, "{:gutter$}hint: {}", "", hide(hint)),
            None => Ok(()),
        }
    }

    fn show_line(&self, at: &Location, gutter: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(line) = self.sources.line(at) else { return Ok(()) };
        let hide = |text: &str| printable(&self.secrets.hide(&hide_line(text)));
        let (whole, before) = (hide(line), hide(before_column(line, at.column)));
        match whole.strip_prefix(&before) {
            Some(after) => show_caret(at.line, gutter, &before, after, f),
            // The place is inside of something hidden.
            None => writeln!(f, "{:>gutter$} | {whole}", at.line),
        }
    }
}

fn show_caret(line: u32, gutter: usize, before: &str, after: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let before = window(before);
    let after: String = after.chars().take(CHARS_AFTER_MAX).collect();
    writeln!(f, "{line:>gutter$} | {}", format!("{before}{after}").trim_end())?;
    let blanks = before.chars().count();
    writeln!(f, "{:gutter$} | {:blanks$}{}", "", "", "^".repeat(word_chars(&after)))
}

/// Of a long line only so much is shown on either side of the caret.
const CHARS_BEFORE_MAX: usize = 80;
const CHARS_AFTER_MAX: usize = 120;

fn before_column(line: &str, column: u32) -> &str {
    let chars = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    let end = line.char_indices().nth(chars).map_or(line.len(), |(at, _)| at);
    &line[..end]
}

fn window(before: &str) -> String {
    match before.chars().count().saturating_sub(CHARS_BEFORE_MAX) {
        0 => before.into(),
        extra => std::iter::once('…').chain(before.chars().skip(extra)).collect(),
    }
}

/// Tabs as blanks, and nothing that a terminal would act upon.
fn printable(text: &str) -> String {
    let shown = |c: char| if c == '\t' { ' ' } else { '\u{FFFD}' };
    text.chars().map(|c| if c.is_control() && c != '\n' { shown(c) } else { c }).collect()
}

/// How many characters the word at the caret has; at least one.
fn word_chars(after: &str) -> usize {
    let word = after.split(char::is_whitespace).next().unwrap_or_default();
    word.trim_end_matches([':', ',', ']', '}']).chars().count().max(1)
}
