//! A section as both syntaxes give it: a plugin name and keys with text values, each with its place.

use super::{Location, Opt, Report};
use std::path::{Path, PathBuf};

/// Which kind of section it is; the word that messages use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum SectionKind {
    Service,
    Input,
    Filter,
    Output,
    Parser,
    MultilineParser,
}

impl SectionKind {
    /// As in "unknown option `x` of input tail".
    pub fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Input => "input",
            Self::Filter => "filter",
            Self::Output => "output",
            Self::Parser => "parser",
            Self::MultilineParser => "multiline_parser",
        }
    }
}

/// One `key value` of a section. A YAML list gives one entry per item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In lower case.
    pub key: String,
    /// With `${VAR}` already replaced.
    pub value: String,
    /// Where the key stands.
    pub key_at: Location,
    /// Where the value stands.
    pub value_at: Location,
}

/// One section of a configuration.
#[derive(Debug, Clone)]
pub struct Section {
    /// Input, filter, output, …
    pub kind: SectionKind,
    /// The plugin's (or parser's) name; plugin names in lower case, empty for `service`.
    pub name: String,
    /// Where the section begins.
    pub at: Location,
    /// Everything but `name`, in the order of the file.
    pub entries: Vec<Entry>,
    /// The folder of the main configuration file: relative paths start here.
    pub folder: PathBuf,
}

impl Section {
    /// The entry that counts for `key`: the last.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|e| e.key == key)
    }

    /// Every entry of a repeated key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |e| e.key == key)
    }

    /// A path as the configuration means it: relative ones start at the configuration's folder.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.folder.join(Path::new(path))
    }

    /// "input tail", "service".
    pub fn title(&self) -> String {
        if self.name.is_empty() { self.kind.word().into() } else { format!("{} {}", self.kind.word(), self.name) }
    }

    /// Reports every key that none of the declarations knows, with the nearest name as a hint.
    pub fn check_keys(&self, declared: &[&[Opt]], report: &mut Report) {
        let known = || declared.iter().flat_map(|d| d.iter());
        for entry in &self.entries {
            if !known().any(|o| o.name == entry.key) {
                let hint = nearest(&entry.key, known().map(|o| o.name)).map(|n| format!("did you mean `{n}`?"));
                let what = format!("unknown option `{}` of {}", entry.key, self.title());
                report.error(Some(&entry.key_at), what, hint);
            }
        }
    }
}

/// The known name that looks most like `name`, if any looks like it at all.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .filter(|(distance, k)| *distance <= 1 + name.len().max(k.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}
