//! A page of the reference, made of declarations: for a terminal, or as Markdown.
//!
//! ```text
//! input tail
//! Follows files.
//!
//! Options
//!   path (list, required)
//!       Files to follow: …
//! Options of every input
//! Without effect
//! Not supported
//! Not as in Fluent Bit, on purpose
//! ```

use super::{Opt, Presence, SectionKind, Use};
use std::fmt::Write;

/// What a section may hold.
#[derive(Debug, Clone)]
pub struct Page {
    /// Input, filter, output, parser, service.
    pub kind: SectionKind,
    /// The plugin's name; empty where there is only one of the kind.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// The options of the plugin.
    pub own: Vec<Opt>,
    /// Those that every plugin of the kind has.
    pub shared: Vec<Opt>,
    /// What differs from Fluent Bit on purpose, and why.
    pub deviations: Vec<(&'static str, &'static str)>,
}

/// A part of a page.
struct Block {
    title: String,
    /// Are there types and defaults?
    typed: bool,
    rows: Vec<Row>,
}

struct Row {
    /// As Markdown.
    name: String,
    kind: String,
    /// A default as it is written, or `required`, `repeated`.
    presence: String,
    text: String,
}

impl Page {
    /// "input tail", "service".
    pub fn title(&self) -> String {
        if self.name.is_empty() { self.kind.word().into() } else { format!("{} {}", self.kind.word(), self.name) }
    }

    /// Every option.
    pub fn options(&self) -> impl Iterator<Item = &Opt> {
        self.own.iter().chain(&self.shared)
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n{}\n", self.title(), self.about);
        for block in self.blocks() {
            let _ = write!(out, "\n{}\n", block.title);
            block.rows.iter().for_each(|row| row.push_text(block.typed, &mut out));
        }
        out
    }

    /// For a repository, headings and tables.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n{}\n", self.title(), self.about);
        for block in self.blocks() {
            let head =
                if block.typed { "| option | type | default | |\n|---|---|---|---|" } else { "| | |\n|---|---|" };
            let _ = write!(out, "\n## {}\n\n{head}\n", block.title);
            block.rows.iter().for_each(|row| row.push_markdown(block.typed, &mut out));
        }
        out
    }

    fn blocks(&self) -> Vec<Block> {
        let typed = |title: String, options: &[Opt]| Block {
            title,
            typed: true,
            rows: options.iter().filter(|o| o.usage() == Use::Works).map(Row::of_option).collect(),
        };
        let told = |title: &str, rows: Vec<Row>| Block { title: title.into(), typed: false, rows };
        let idle = self.options().filter_map(|o| o.no_effect.map(|reason| Row::told(&format!("`{}`", o.name), reason)));
        let refused = self.options().filter_map(|o| o.refused.map(|_| Row::refused(o)));
        let deviations = self.deviations.iter().map(|(what, why)| Row::told(what, why));
        let blocks = [
            typed("Options".into(), &self.own),
            typed(format!("Options of every {}", self.kind.word()), &self.shared),
            told("Without effect", merged(idle)),
            told("Not supported", refused.collect()),
            told("Not as in Fluent Bit, on purpose", deviations.collect()),
        ];
        blocks.into_iter().filter(|block| !block.rows.is_empty()).collect()
    }
}

/// Neighbours of which the same is to be told share a row.
fn merged(rows: impl Iterator<Item = Row>) -> Vec<Row> {
    let mut merged: Vec<Row> = Vec::new();
    for row in rows {
        match merged.last_mut().filter(|last| last.text == row.text) {
            Some(last) => last.name = format!("{}, {}", last.name, row.name),
            None => merged.push(row),
        }
    }
    merged
}

impl Row {
    fn of_option(option: &Opt) -> Self {
        let presence = match option.presence {
            Presence::Required => "required".into(),
            Presence::Optional | Presence::Default("") => String::new(),
            Presence::Repeated => "several".into(),
            Presence::Default(text) => format!("`{text}`"),
        };
        Self { name: format!("`{}`", option.name), kind: option.kind.into(), presence, text: option.help_line() }
    }

    fn refused(option: &Opt) -> Self {
        let Some(refusal) = option.refused else { return Self::of_option(option) };
        let taken = refusal.unless.map_or_else(String::new, |unless| format!(" (`{unless}` is taken)"));
        Self { presence: taken, ..Self::told(&format!("`{}`", option.name), refusal.hint) }
    }

    fn told(name: &str, text: &str) -> Self {
        Self { name: name.into(), kind: String::new(), presence: String::new(), text: text.into() }
    }

    fn push_text(&self, typed: bool, out: &mut String) {
        let name = self.name.replace('`', "");
        let of_type = match self.presence.replace('`', "").as_str() {
            taken if !typed => taken.to_owned(),
            "" => format!(" ({})", self.kind),
            word @ ("required" | "several") => format!(" ({}, {word})", self.kind),
            default => format!(" ({}, default {default})", self.kind),
        };
        for line in wrapped(&format!("{name}{of_type}")) {
            let _ = writeln!(out, "  {line}");
        }
        for line in wrapped(&self.text) {
            let _ = writeln!(out, "      {line}");
        }
    }

    fn push_markdown(&self, typed: bool, out: &mut String) {
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = match typed {
            true => {
                let Self { kind, presence, text, .. } = self;
                writeln!(out, "| {} | {} | {} | {} |", cell(&self.name), cell(kind), cell(presence), cell(text))
            }
            false => writeln!(out, "| {}{} | {} |", cell(&self.name), cell(&self.presence), cell(&self.text)),
        };
    }
}

/// Characters of a line on a terminal, without what stands before it.
const LINE_CHARS_MAX: usize = 90;

fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        for (nth, part) in parts(word).into_iter().enumerate() {
            let blank = if nth == 0 { " " } else { "" };
            match lines.last_mut() {
                Some(line) if line.chars().count() + blank.len() + part.chars().count() <= LINE_CHARS_MAX => {
                    line.push_str(blank);
                    line.push_str(part);
                }
                _ => lines.push(part.into()),
            }
        }
    }
    lines
}

/// A list of choices may be longer than a line: it is broken behind a `|`.
fn parts(word: &str) -> Vec<&str> {
    if word.chars().count() > LINE_CHARS_MAX { word.split_inclusive('|').collect() } else { vec![word] }
}
