//! Lines that belong together: traces, messages of several lines.
//!
//! ```text
//! multiline.parser docker, cri, java     pieces of long lines are joined first (join.rs), then the lines of a trace (traces.rs)
//! multiline on, parser_firstline first   the older form: what the parser does not take goes on with the record before
//! ```

mod built_in;
mod legacy;
mod partial;
mod rules;
mod section;
mod traces;

pub use section::{Milliseconds, MultilineOptions};
pub use traces::Traces;

use super::Parser;
use crate::config::{Report, Section, nearest};
use section::{MultilineParser, State};
use std::sync::Arc;
use std::time::Duration;

/// The multiline parsers that a text goes through, and where that text is.
pub struct Multiline {
    mode: Mode,
    parsers: Vec<MultilineParser>,
    /// The key whose text is looked at; without it that of the line.
    key_content: Option<String>,
    /// How long a record waits for its next line; without it as each parser says.
    flush_timeout: Option<Duration>,
}

/// How lines are told.
enum Mode {
    Parsers,
    Legacy(Legacy),
    Partial,
}

/// The older form of tail.
struct Legacy {
    first: Arc<dyn Parser>,
    /// What else a line of a record may be.
    others: Vec<Arc<dyn Parser>>,
}

impl std::fmt::Debug for Multiline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Multiline").field("parsers", &self.parsers.len()).finish_non_exhaustive()
    }
}

/// What a configuration defines.
#[derive(Debug, Clone, Copy)]
pub struct Defined<'a> {
    /// `parsers`.
    pub parsers: &'a [Section],
    /// `multiline_parsers`.
    pub multiline_parsers: &'a [Section],
}

impl Multiline {
    /// The multiline parsers of these names, which are tried in turn; sections come before what is built in.
    ///
    /// # Errors
    /// A name that is not known: it and the nearest one. A section with mistakes counts as known; they are reported by
    /// `check_sections`.
    pub fn named<'n>(
        names: impl Iterator<Item = &'n str>,
        defined: Defined<'_>,
    ) -> Result<Self, (String, Option<String>)> {
        let mut parsers = Vec::new();
        for name in names {
            let own = defined.multiline_parsers.iter().find(|section| section.name == name);
            let parser = match own {
                Some(section) => MultilineParser::from_section(section, defined.parsers, &mut Report::default()),
                None => Some(MultilineParser::built_in(name).ok_or_else(|| unknown(name, defined))?),
            };
            parsers.extend(parser);
        }
        Ok(Self { mode: Mode::Parsers, parsers, key_content: None, flush_timeout: None })
    }

    /// Is there nothing to be joined?
    pub fn is_empty(&self) -> bool {
        matches!(self.mode, Mode::Parsers) && self.parsers.is_empty()
    }

    /// Does it make fields of what lines say?
    pub fn parses(&self) -> bool {
        matches!(self.mode, Mode::Legacy(_)) || self.parsers.iter().any(|parser| parser.parser.is_some())
    }

    /// The older form: a record begins with a line that `first` takes.
    pub fn legacy(first: Arc<dyn Parser>, others: Vec<Arc<dyn Parser>>, flush_timeout: Duration) -> Self {
        let mode = Mode::Legacy(Legacy { first, others });
        Self { mode, parsers: Vec::new(), key_content: None, flush_timeout: Some(flush_timeout) }
    }

    /// Pieces of messages that say for themselves what belongs together.
    pub fn partial() -> Self {
        Self { mode: Mode::Partial, parsers: Vec::new(), key_content: None, flush_timeout: None }
    }

    /// The same for records whose text is under a key, as the filter sees them.
    #[must_use]
    pub fn of_key(self, key_content: String, flush_timeout: Duration) -> Self {
        Self { key_content: Some(key_content), flush_timeout: Some(flush_timeout), ..self }
    }
}

fn unknown(name: &str, defined: Defined<'_>) -> (String, Option<String>) {
    let own = defined.multiline_parsers.iter().map(|section| section.name.as_str());
    let near = nearest(name, own.chain(super::MULTILINE.iter().copied()));
    (name.to_owned(), near.map(str::to_owned))
}

/// Checks the sections; what is wrong is in the report.
pub(super) fn check_sections(defined: Defined<'_>, report: &mut Report) {
    let sections = defined.multiline_parsers;
    for (index, section) in sections.iter().enumerate() {
        if sections[..index].iter().any(|s| s.name == section.name) {
            let what = format!("multiline_parser {} is defined twice", section.name);
            report.error(Some(&section.at), what, Some("rename or remove one of them".into()));
        }
        let _ = MultilineParser::from_section(section, defined.parsers, report);
    }
}

#[cfg(test)]
mod tests;
