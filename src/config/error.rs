//! What is wrong with a configuration: all of it, each with its place and a remedy.

use super::secret::Secrets;
use super::source::Sources;
use std::fmt;
use std::sync::Arc;

/// A place in a configuration file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot run.
    Error,
    /// It runs, but not as one might think.
    Note,
}

/// One thing that is wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Error or note.
    pub severity: Severity,
    /// Where, when it stands in a file.
    pub at: Option<Location>,
    /// What.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
}

impl Severity {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Note => "note",
        }
    }
}

/// Without the line; [`Report`] shows that too.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity.word(), self.message)?;
        if let Some(at) = &self.at {
            write!(f, "\n  --> {at}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Everything found while reading a configuration. Collects; never stops at the first. Its `Display` shows every problem with
/// its line, in the order of the files, and a count at the end; secrets are hidden there.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order of finding.
    pub problems: Vec<Problem>,
    pub(super) sources: Sources,
    pub(super) secrets: Secrets,
}

impl Report {
    /// Adds an error. `hint` is the remedy.
    pub fn error(&mut self, at: Option<&Location>, message: impl Into<String>, hint: Option<String>) {
        self.add(Severity::Error, at, message.into(), hint);
    }

    /// Adds a note: the configuration runs all the same.
    pub fn note(&mut self, at: Option<&Location>, message: impl Into<String>, hint: Option<String>) {
        self.add(Severity::Note, at, message.into(), hint);
    }

    /// Is there anything that keeps the configuration from running?
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|p| p.severity == Severity::Error)
    }

    fn add(&mut self, severity: Severity, at: Option<&Location>, message: String, hint: Option<String>) {
        let hide = |text: String| shortened(self.secrets.hide(&text));
        let (message, hint) = (hide(message), hint.map(hide));
        self.problems.push(Problem { severity, at: at.cloned(), message, hint });
    }
}

/// A file that is no configuration may have a key of megabytes.
const MESSAGE_CHARS_MAX: usize = 1_000;

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MESSAGE_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}
