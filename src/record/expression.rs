//! Regular expressions as configurations have them: Ruby's (Onigmo).
//!
//! ```text
//! ^(?<level>\w+)\s(?<id>\h+)$      named groups, `\h`; `^` and `$` at every line
//! /begin (?<body>.*) end/mi        slashes with flags: i, m (`.` takes line ends too), x
//! (?<=\$)\d++(?!\.)                look-around, possessive, atomic, back references
//! ```
//! What needs no look-around is matched in linear time. The rest goes back and forth, and is given up after [`STEPS_MAX`]
//! steps, or on a long text after a second: then it does not match. `\d`, `\w` and `\s` are ASCII, as in Ruby.

mod ruby;
mod patience;

use patience::{Rest, SHORT_MAX};
use regex::bytes::{CaptureLocations, Regex, RegexBuilder};
use ruby::Translation;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Steps back after which an expression with look-around or back references is given up, for one text.
pub const STEPS_MAX: usize = 200_000;

/// Texts differ in whether a character can be more than a byte, and in whether `^` can match inside.
const VARIANTS: usize = 4;
const UNICODE: usize = 1;
const LINES: usize = 2;

/// Texts that were given up, by all expressions.
static ALL_GIVEN_UP: AtomicU64 = AtomicU64::new(0);

/// A compiled expression. Sharing one between threads costs nothing.
#[derive(Debug)]
pub struct Expression {
    translation: Translation,
    /// Compiled when a text first needs them: most texts are one line of ASCII.
    variants: Box<[OnceLock<Engine>; VARIANTS]>,
    given_up: AtomicU64,
    rest: Rest,
}

#[derive(Debug, Clone)]
enum Engine {
    Linear(Regex),
    Backtracking(fancy_regex::Regex),
}

/// Where the groups of the last match stand. Kept between calls, so that nothing is allocated.
#[derive(Debug, Default)]
pub struct Groups {
    locations: [Option<CaptureLocations>; VARIANTS],
    spans: Vec<Option<(usize, usize)>>,
}

impl Groups {
    /// The bytes of a group, 0 for the whole match; `None` when it took no part.
    pub fn get(&self, group: usize) -> Option<Range<usize>> {
        self.spans.get(group).copied().flatten().map(|(start, end)| start..end)
    }

    /// The last of several groups of one name that took part.
    pub fn last_of(&self, groups: &[usize]) -> Option<Range<usize>> {
        groups.iter().rev().find_map(|group| self.get(*group))
    }

    fn read(&mut self, at: usize, regex: &Regex, text: &[u8]) -> bool {
        let locations = self.locations[at].get_or_insert_with(|| regex.capture_locations());
        if regex.captures_read(locations, text).is_none() {
            return false;
        }
        self.spans.extend((0..locations.len()).map(|group| locations.get(group)));
        true
    }
}

impl Expression {
    /// Compiles a text, with or without slashes around it.
    ///
    /// # Errors
    /// What is wrong with it, on one line.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut expression = Self {
            translation: Translation::new(text)?,
            variants: Box::new([const { OnceLock::new() }; VARIANTS]),
            given_up: AtomicU64::new(0),
            rest: Rest::default(),
        };
        let (first, engine) = match expression.build(0, STEPS_MAX) {
            Ok(engine) => (0, engine),
            Err(_) => (UNICODE, expression.build(UNICODE, STEPS_MAX)?),
        };
        if let (Engine::Backtracking(regex), true) = (&engine, expression.translation.keeps_names) {
            expression.translation.names = names_of(regex);
            expression.translation.groups = regex.captures_len() - 1;
        }
        expression.variants[first] = OnceLock::from(engine);
        Ok(expression)
    }

    /// Is there a match anywhere in the text?
    #[inline]
    pub fn is_match(&self, text: &[u8]) -> bool {
        let at = self.variant(text);
        match self.engine(at) {
            Engine::Linear(regex) => regex.is_match(text),
            Engine::Backtracking(regex) if text.len() > SHORT_MAX => self.look_around(at, regex, text).is_some(),
            Engine::Backtracking(regex) => regex.is_match(text).unwrap_or_else(|_| {
                self.give_up();
                false
            }),
        }
    }

    /// Looks for the first match and says where its groups stand.
    pub fn captures(&self, text: &[u8], groups: &mut Groups) -> bool {
        groups.spans.clear();
        let at = self.variant(text);
        match self.engine(at) {
            Engine::Linear(regex) => groups.read(at, regex, text),
            Engine::Backtracking(regex) => {
                let Some(captures) = self.look_around(at, regex, text) else { return false };
                let span = |group| captures.get(group).map(|found| (found.start(), found.end()));
                groups.spans.extend((0..captures.len()).map(span));
                true
            }
        }
    }

    /// Hands out where each match begins and ends, in order; empty ones are left out.
    pub fn each_match(&self, text: &[u8], take: &mut impl FnMut(usize, usize)) {
        let at = self.variant(text);
        match self.engine(at) {
            Engine::Linear(regex) => {
                regex
                    .find_iter(text)
                    .filter(|found| !found.is_empty())
                    .for_each(|found| take(found.start(), found.end()));
            }
            Engine::Backtracking(regex) => self.look_around_often(at, regex, text, take),
        }
    }

    /// The names of groups, in the order of the text, each with the numbers of its groups. Where there is one, groups without a
    /// name have no number.
    pub fn names(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.translation.names.iter().map(|(name, groups)| (name.as_str(), groups.as_slice()))
    }

    /// How many groups there are, without the whole match.
    pub fn group_count(&self) -> usize {
        self.translation.groups
    }

    /// How many texts were given up.
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    /// The same for all expressions of the process.
    pub fn all_given_up() -> u64 {
        ALL_GIVEN_UP.load(Ordering::Relaxed)
    }

    fn give_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
        ALL_GIVEN_UP.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            "an expression took more than {STEPS_MAX} steps, or too long on a long text, and was given up: {}",
            self.translation.pattern
        );
    }

    /// Text that is not UTF-8 is taken byte by byte: `.` matches each.
    #[inline]
    fn variant(&self, text: &[u8]) -> usize {
        let lines = self.translation.anchors && memchr::memchr(b'\n', text).is_some();
        let unicode = !text.is_ascii() && simdutf8::basic::from_utf8(text).is_ok();
        usize::from(lines) * LINES + usize::from(unicode) * UNICODE
    }

    #[inline]
    fn engine(&self, at: usize) -> &Engine {
        self.variants[at].get_or_init(|| {
            let built = self.build(at, STEPS_MAX).or_else(|_| self.build(at ^ UNICODE, STEPS_MAX)).ok();
            let compiled = || self.variants.iter().find_map(OnceLock::get).cloned();
            // One of them was compiled at the start.
            built.or_else(compiled).unwrap_or_else(|| unreachable!("an expression is checked when it is made"))
        })
    }

    /// Can it match at the beginning of a text only?
    fn begins_text(&self, at: usize) -> bool {
        let pattern = self.translation.pattern.as_str();
        let anchor = if at & LINES == 0 { pattern.strip_prefix('^') } else { None };
        let behind = anchor.or_else(|| pattern.strip_prefix("\\A"));
        let is_bound = behind.is_some_and(|behind| !behind.starts_with(['?', '*', '+', '{']));
        is_bound && !pattern.contains('|') && !self.translation.flags.extended
    }

    /// `steps` are for one that looks around.
    fn build(&self, at: usize, steps: usize) -> Result<Engine, String> {
        let Translation { pattern, flags, keeps_names, .. } = &self.translation;
        let (unicode, lines) = (at & UNICODE != 0, at & LINES != 0);
        if !keeps_names {
            let built = RegexBuilder::new(pattern)
                .unicode(unicode)
                .multi_line(lines)
                .dot_matches_new_line(flags.dot_takes_lines)
                .case_insensitive(flags.ignore_case)
                .ignore_whitespace(flags.extended)
                .build();
            return built.map(Engine::Linear).map_err(|error| last_line(&error.to_string()));
        }
        let mode = if unicode { fancy_regex::BytesMode::UnicodeBytes } else { fancy_regex::BytesMode::Ascii };
        let built = fancy_regex::RegexBuilder::new(pattern)
            .bytes_mode(mode)
            .multi_line(lines)
            .dot_matches_new_line(flags.dot_takes_lines)
            .case_insensitive(flags.ignore_case)
            .ignore_whitespace(flags.extended)
            .oniguruma_mode(true)
            .backtrack_limit(steps)
            .max_prog_size(PROGRAM_MAX)
            .build();
        built.map(Engine::Backtracking).map_err(|error| last_line(&error.to_string()))
    }
}

/// Instructions up to which an expression that calls itself may grow.
const PROGRAM_MAX: usize = 100_000;

fn names_of(regex: &fancy_regex::Regex) -> Vec<(String, Vec<usize>)> {
    let mut names: Vec<(String, Vec<usize>)> = Vec::new();
    for (group, name) in regex.capture_names().enumerate() {
        let Some(name) = name else { continue };
        match names.iter_mut().find(|(known, _)| known == name) {
            Some((_, groups)) => groups.push(group),
            None => names.push((name.to_owned(), vec![group])),
        }
    }
    names
}

fn last_line(error: &str) -> String {
    let line = error.lines().last().unwrap_or_default().trim();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests;
