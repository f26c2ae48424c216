//! A multiline parser as a section describes it, or built in.
//!
//! ```text
//! [MULTILINE_PARSER]
//!     name          bracket
//!     type          regex
//!     flush_timeout 1000
//!     rule          "start_state" "/^\[\d{4}-/"     "cont"
//!     rule          "cont"        "/^(?!\[\d{4}-)/" "cont"
//! ```

use super::built_in::{END, MACHINES, Machine};
use super::rules::Rules;
use crate::config::{Duration, OptionValue, Report, Section};
use crate::parse::{self, Parser};
use std::sync::Arc;
use std::time::Duration as StdDuration;

crate::option_enum! {
    /// How a multiline parser tells lines.
    pub enum MultilineType {
        /// By the expressions of its rules.
        Regex = "regex",
        /// The last line ends with a text.
        EndsWith = "endswith",
        /// The last line is a text.
        Equal = "equal" | "eq",
    }
}

crate::options! {
    /// A multiline parser section.
    pub struct MultilineOptions {
        /// How lines are told: regex (by rules), endswith and equal (by the last line).
        kind: MultilineType, "type", required;
        /// With `type regex`: `"STATE" "EXPRESSION" "NEXT STATE"`; the first state is `start_state`. In YAML the list `rules`.
        rule: String, "rule", repeated;
        /// With `type endswith` and `equal`: what the last line ends with, or is.
        match_string: String, "match_string", optional;
        /// With `type endswith` and `equal`: the last line is the first one that does not.
        negate: bool, "negate", default "off";
        /// How long a record waits for its next line, in milliseconds.
        flush_timeout: Milliseconds, "flush_timeout", default "4000";
        /// A parser that each line goes through first.
        parser: String, "parser", optional;
        /// With `parser`: the field whose texts are joined.
        key_content: String, "key_content", optional;
        /// With `parser`: the field that lines are told by; without it that of `key_content`.
        key_pattern: String, "key_pattern", optional;
        /// With `parser`: the field that says which lines belong together, as the stream of a container's output.
        key_group: String, "key_group", optional;
    }
    deviations {
        "a record that waits for its next line": "waits as long as its source has more to read, and for each stream by itself; a tick that all share cuts no trace";
        "a trace that waits for its next line": "is kept over a stop and a crash, and goes on after them";
        "a trace over `multiline_buffer_limit`": "is sent in parts, marked `drave.truncated`; in Fluent Bit its rest is lost";
    }
}

/// Milliseconds where there is no unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Milliseconds(pub StdDuration);

impl OptionValue for Milliseconds {
    const KIND: &'static str = "milliseconds";
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(millis) => Ok(Self(StdDuration::from_millis(millis))),
            Err(_) => Duration::parse(text)
                .map(|time| Self(time.0))
                .map_err(|_| "expected milliseconds, or a time such as 2s".into()),
        }
    }
}

/// How lines are told.
#[derive(Debug)]
pub(super) enum Kind {
    Machine(Machine),
    Rules(Rules),
    /// Every line belongs to a record; the last one is told by a text.
    LastLine {
        text: Vec<u8>,
        equal: bool,
        negate: bool,
    },
}

/// Where a record is behind a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) number: usize,
    /// Nothing can follow.
    pub(super) is_end: bool,
}

/// One multiline parser.
pub(super) struct MultilineParser {
    kind: Kind,
    pub(super) flush_timeout: StdDuration,
    pub(super) parser: Option<Arc<dyn Parser>>,
    pub(super) key_content: Option<String>,
    pub(super) key_pattern: Option<String>,
    pub(super) key_group: Option<String>,
}

/// How long a record waits for its next line where nothing says.
const FLUSH_TIMEOUT: StdDuration = StdDuration::from_secs(4);

impl MultilineParser {
    fn plain(kind: Kind) -> Self {
        let (key_content, key_pattern, key_group) = (None, None, None);
        Self { kind, flush_timeout: FLUSH_TIMEOUT, parser: None, key_content, key_pattern, key_group }
    }

    pub(super) fn built_in(name: &str) -> Option<Self> {
        let (_, machine) = MACHINES.iter().find(|(known, _)| *known == name)?;
        Some(Self::plain(Kind::Machine(*machine)))
    }

    /// From a section; what is wrong is in the report.
    pub(super) fn from_section(section: &Section, parsers: &[Section], report: &mut Report) -> Option<Self> {
        section.check_keys(&[MultilineOptions::OPTIONS], report);
        let options = MultilineOptions::from_section(section, report)?;
        let kind = match options.kind {
            MultilineType::Regex => Kind::Rules(rules(section, report)?),
            kind => last_line(section, &options, kind == MultilineType::Equal, report)?,
        };
        let parser = match &options.parser {
            Some(name) => Some(inner_parser(section, name, parsers, report)?),
            None => None,
        };
        let MultilineOptions { key_content, key_pattern, key_group, .. } = options;
        Some(Self {
            flush_timeout: options.flush_timeout.0,
            parser,
            key_content,
            key_pattern,
            key_group,
            ..Self::plain(kind)
        })
    }

    /// The state behind a line that begins a record.
    #[inline]
    pub(super) fn begin(&self, line: &[u8]) -> Option<State> {
        match &self.kind {
            Kind::Machine(machine) => machine(0, without_end(line)).map(of_machine),
            Kind::Rules(rules) => rules.begin(line).map(|state| of_rules(rules, state)),
            Kind::LastLine { .. } => self.go_on(State { number: 0, is_end: false }, line),
        }
    }

    /// The state behind a line that goes on with a record.
    pub(super) fn go_on(&self, state: State, line: &[u8]) -> Option<State> {
        match &self.kind {
            Kind::Machine(machine) => machine(state.number as u8, without_end(line)).map(of_machine),
            Kind::Rules(rules) => rules.go_on(state.number, line).map(|state| of_rules(rules, state)),
            Kind::LastLine { text, equal, negate } => {
                let line = if text.ends_with(b"\n") { line } else { without_end(line) };
                let fits = if *equal { line == text } else { line.ends_with(text) };
                Some(State { number: 0, is_end: fits != *negate })
            }
        }
    }
}

fn of_machine(number: u8) -> State {
    State { number: usize::from(number), is_end: number == END }
}

fn of_rules(rules: &Rules, number: usize) -> State {
    State { number, is_end: rules.is_end(number) }
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn rules(section: &Section, report: &mut Report) -> Option<Rules> {
    match Rules::parse(section.all("rule").map(|entry| entry.value.as_str())) {
        Ok(rules) => Some(rules),
        Err((number, hint)) => {
            let entry = section.all("rule").nth(number);
            let at = entry.map_or(&section.at, |entry| &entry.value_at);
            report.error(Some(at), format!("the rules of {} cannot be used", section.title()), Some(hint));
            None
        }
    }
}

fn last_line(section: &Section, options: &MultilineOptions, equal: bool, report: &mut Report) -> Option<Kind> {
    let Some(text) = options.match_string.as_ref().filter(|text| !text.is_empty()) else {
        let what = format!("{} needs `match_string`", section.title());
        report.error(Some(&section.at), what, Some("write what the last line ends with, or is".into()));
        return None;
    };
    Some(Kind::LastLine { text: text.clone().into_bytes(), equal, negate: options.negate })
}

fn inner_parser(section: &Section, name: &str, parsers: &[Section], report: &mut Report) -> Option<Arc<dyn Parser>> {
    let parser = parse::parser(name, parsers);
    if parser.is_none() {
        let at = section.get("parser").map(|e| &e.value_at);
        let what = format!("{} names the parser `{name}`, which cannot be used", section.title());
        report.error(at, what, Some("define it with `parsers`, or name a built-in one".into()));
    }
    parser
}
