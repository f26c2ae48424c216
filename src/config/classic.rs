//! The classic syntax.
//!
//! ```text
//! line    = blanks ( "#" … | "[" word "]" | "@" word blanks text | key blanks value )
//! ```
//! A comment needs its line for itself, or a section's: in `key value # text` the rest belongs to the value. Indentation does
//! not count.

use super::draft::Draft;
use super::loader::{Loader, location};
use super::{Location, SectionKind, nearest};
use nom::branch::alt;
use nom::bytes::complete::take_till1;
use nom::character::complete::{char, space0};
use nom::combinator::{all_consuming, eof, map, rest};
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Offset, Parser};
use std::path::Path;
use std::sync::Arc;

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Nothing,
    Section(&'a str),
    Command { name: &'a str, argument: &'a str },
    Pair { key: &'a str, value: &'a str },
}

fn line(input: &str) -> IResult<&str, Line<'_>> {
    let word = || take_till1(|c: char| c.is_whitespace());
    let comment = || alt((eof, preceded(char('#'), rest)));
    let title = terminated(take_till1(|c| c == ']'), (char(']'), space0, comment()));
    let nothing = map(comment(), |_| Line::Nothing);
    let section = map(preceded(char('['), title), |title: &str| Line::Section(title.trim()));
    let command = map((preceded(char('@'), word()), rest), |(name, text): (&str, &str)| Line::Command {
        name,
        argument: text.trim_start(),
    });
    let pair = map((word(), rest), |(key, text): (&str, &str)| Line::Pair { key, value: text.trim_start() });
    all_consuming(delimited(space0, alt((nothing, section, command, pair)), eof)).parse(input)
}

/// Tells the loader what stands in a classic file.
pub(super) fn read(loader: &mut Loader, path: &Path, file: &Arc<str>, text: &str) {
    let mut reader = Reader { loader, path, file, number: 0, text: "", current: None };
    for text in text.lines() {
        reader.number += 1;
        reader.text = text.trim_end();
        reader.line();
    }
}

struct Reader<'r, 'l> {
    loader: &'r mut Loader<'l>,
    path: &'r Path,
    file: &'r Arc<str>,
    number: usize,
    text: &'r str,
    /// The section that keys belong to: an index into the loader's drafts.
    current: Option<usize>,
}

impl Reader<'_, '_> {
    fn line(&mut self) {
        match line(self.text) {
            Ok((_, Line::Section(title))) => self.section(title),
            Ok((_, Line::Command { name, argument })) => self.command(name, argument),
            Ok((_, Line::Pair { key, value })) => self.pair(key, value),
            Ok((_, Line::Nothing)) | Err(_) => {}
        }
    }

    /// Where a part of this line stands.
    fn at(&self, part: &str) -> Location {
        let before = self.text.get(..self.text.offset(part)).unwrap_or_default();
        location(self.file, self.number, before.chars().count() + 1)
    }

    fn section(&mut self, title: &str) {
        let at = self.at(title);
        let kind = self.kind(title, &at);
        self.current = Some(self.loader.drafts.len());
        self.loader.drafts.push(Draft { kind, at, entries: Vec::new(), processors: Vec::new() });
    }

    fn kind(&mut self, title: &str, at: &Location) -> Option<SectionKind> {
        let word = title.to_ascii_lowercase();
        match SECTIONS.iter().find(|(name, _)| *name == word) {
            Some((_, kind)) if self.loader.only_parsers && !kind.is_parser() => {
                let hint = "a parsers_file holds [PARSER] and [MULTILINE_PARSER] only";
                self.loader.report.error(Some(at), format!("section [{title}] cannot stand here"), Some(hint.into()));
                None
            }
            Some((_, kind)) => Some(*kind),
            None => {
                self.report_unknown(title, &word, at);
                None
            }
        }
    }

    fn report_unknown(&mut self, title: &str, word: &str, at: &Location) {
        let report = &mut *self.loader.report;
        if word == "custom" || word == "customs" || word == "plugins" {
            return report.note(
                Some(at),
                format!("section [{title}] has no effect"),
                Some("it can be taken out".into()),
            );
        }
        let hint = match nearest(word, SECTIONS.iter().map(|(name, _)| *name)) {
            Some(name) => format!("did you mean [{}]?", name.to_ascii_uppercase()),
            None => "sections are [SERVICE], [INPUT], [FILTER], [OUTPUT], [PARSER] and [MULTILINE_PARSER]".into(),
        };
        report.error(Some(at), format!("unknown section [{title}]"), Some(hint));
    }

    fn command(&mut self, name: &str, argument: &str) {
        let at = self.at(name);
        match name.to_ascii_lowercase().as_str() {
            "include" if !argument.is_empty() => self.include(argument),
            "set" => self.set(argument, &at),
            "include" => {
                self.loader.report.error(Some(&at), "@INCLUDE names no file", Some("write @INCLUDE other.conf".into()))
            }
            _ => {
                let hint = "there are @INCLUDE file and @SET name=value";
                self.loader.report.error(Some(&at), format!("unknown command @{name}"), Some(hint.into()));
            }
        }
    }

    fn include(&mut self, name: &str) {
        let at = self.at(name);
        self.loader.include(name, self.path, &at);
    }

    fn set(&mut self, argument: &str, at: &Location) {
        match argument.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                let at = self.at(argument);
                self.loader.set_variable(name.trim(), value.trim(), &at);
            }
            _ => self.loader.report.error(Some(at), "@SET sets nothing", Some("write @SET name=value".into())),
        }
    }

    fn pair(&mut self, key: &str, value: &str) {
        let at = self.at(key);
        if key.starts_with('[') {
            let hint = Some("write the section's name in brackets, alone on its line: [INPUT]".into());
            return self.loader.report.error(Some(&at), "a bracket begins a section here", hint);
        }
        let Some(index) = self.current else {
            let hint = Some("begin a section above it: [SERVICE], [INPUT], [FILTER] or [OUTPUT]".into());
            return self.loader.report.error(Some(&at), format!("key `{key}` stands outside any section"), hint);
        };
        if value.is_empty() {
            return self.loader.report_empty(key, &at);
        }
        let entry = self.loader.entry(key, value, &at, &self.at(value));
        if let Some(draft) = self.loader.drafts.get_mut(index) {
            draft.entries.push(entry);
        }
    }
}

const SECTIONS: [(&str, SectionKind); 6] = [
    ("service", SectionKind::Service),
    ("input", SectionKind::Input),
    ("filter", SectionKind::Filter),
    ("output", SectionKind::Output),
    ("parser", SectionKind::Parser),
    ("multiline_parser", SectionKind::MultilineParser),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        for (text, expect) in [
            ("", Line::Nothing),
            ("   ", Line::Nothing),
            ("\t# a comment", Line::Nothing),
            ("[Input]", Line::Section("Input")),
            ("  [ output ]", Line::Section("output")),
            ("[FILTER]  # what it is for", Line::Section("FILTER")),
            ("@SET a=b c", Line::Command { name: "SET", argument: "a=b c" }),
            ("@INCLUDE", Line::Command { name: "INCLUDE", argument: "" }),
            ("path\t /a b", Line::Pair { key: "path", value: "/a b" }),
            ("  set dollar ${ # no comment", Line::Pair { key: "set", value: "dollar ${ # no comment" }),
            ("path", Line::Pair { key: "path", value: "" }),
            ("[input", Line::Pair { key: "[input", value: "" }),
            ("[input] x", Line::Pair { key: "[input]", value: "x" }),
            ("@", Line::Pair { key: "@", value: "" }),
        ] {
            assert_eq!(line(text), Ok(("", expect)), "{text:?}");
        }
    }
}
