//! A section as both syntaxes give it: a plugin name and keys with text values, each with its place.

use super::secret::{MASK, hide_line, is_secret_key};
use super::{List, Location, Opt, OptionValue, Presence, Report, Use};
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
    Processor,
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
            Self::Processor => "processor",
        }
    }

    /// Is it something that a parsers_file may hold?
    pub(super) fn is_parser(self) -> bool {
        matches!(self, Self::Parser | Self::MultilineParser)
    }
}

/// One `key value` of a section. A YAML list gives one entry per item.
#[derive(Clone, PartialEq, Eq)]
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

impl Entry {
    /// The value as messages may show it, as in "cannot be `x`": on one line, not long, and never a secret.
    pub fn shown_value(&self) -> String {
        match self.value.trim() {
            "" => "empty".into(),
            _ if is_secret_key(&self.key) => format!("`{MASK}`"),
            value => format!("`{}`", hide_line(&shortened(value))),
        }
    }

    /// Did both come from one YAML list?
    pub(super) fn is_of_one_list_with(&self, other: &Self) -> bool {
        self.key == other.key && self.key_at == other.key_at
    }
}

/// Without secrets.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} {}", self.key_at, self.key, self.shown_value())
    }
}

fn shortened(value: &str) -> String {
    let line = value.lines().next().unwrap_or_default();
    match line.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.len() < value.trim_end().len() => format!("{line}…"),
        None => line.into(),
    }
}

const VALUE_CHARS_MAX: usize = 60;

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

    /// Reports every key that none of the declarations knows (with the nearest name as a hint), every key that is refused or has
    /// no effect, and every list where one value is expected.
    pub fn check_keys(&self, declared: &[&[Opt]], report: &mut Report) {
        let known = || declared.iter().flat_map(|d| d.iter());
        for (index, entry) in self.entries.iter().enumerate() {
            let follows_in_list = index > 0 && entry.is_of_one_list_with(&self.entries[index - 1]);
            match known().find(|o| o.is_named(&entry.key)) {
                _ if follows_in_list => {}
                Some(option) => self.check_use(index, entry, option, report),
                None => self.report_unknown(entry, known().map(|o| o.name), report),
            }
        }
    }

    fn check_use(&self, index: usize, entry: &Entry, option: &Opt, report: &mut Report) {
        let items = self.entries.iter().skip(index).take_while(|e| e.is_of_one_list_with(entry)).count();
        match option.usage() {
            Use::NoEffect(reason) => {
                let what = format!("option `{}` of {} has no effect", entry.key, self.title());
                report.note(Some(&entry.key_at), what, Some(reason.into()));
            }
            Use::Refused(refusal) if refusal.is_for(&entry.value) => {
                let what = format!("option `{}` of {} is not supported", entry.key, self.title());
                report.error(Some(&entry.key_at), what, Some(refusal.hint.into()));
            }
            Use::Refused(_) => {}
            Use::Works if items > 1 && option.presence != Presence::Repeated && option.kind != List::KIND => {
                let what = format!("option `{}` of {} takes one value, not a list of {items}", entry.key, self.title());
                report.error(Some(&entry.key_at), what, Some(format!("give one value ({})", option.kind)));
            }
            Use::Works => self.check_once(index, entry, option, report),
        }
    }

    /// Of several values for one key the last counts.
    fn check_once(&self, index: usize, entry: &Entry, option: &Opt, report: &mut Report) {
        let again = self.entries.iter().skip(index).find(|e| e.key == entry.key && !e.is_of_one_list_with(entry));
        if let Some(again) = again.filter(|_| option.presence != Presence::Repeated) {
            let what = format!("option `{}` of {} stands here and again: the last counts", entry.key, self.title());
            report.note(
                Some(&entry.key_at),
                what,
                Some(format!("take one of them out; the other is at {}", again.key_at)),
            );
        }
    }

    fn report_unknown<'a>(&self, entry: &Entry, known: impl Iterator<Item = &'a str>, report: &mut Report) {
        let hint = match nearest(&entry.key, known) {
            Some(name) => format!("did you mean `{name}`?"),
            None if self.kind.is_parser() => format!("drave help {} lists the options", self.kind.word()),
            None => format!("drave help {} lists the options", self.title()),
        };
        report.error(Some(&entry.key_at), format!("unknown option `{}` of {}", entry.key, self.title()), Some(hint));
    }
}

/// The known name that looks most like `name`, if any looks like it at all.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .filter(|(distance, k)| *distance <= (name.len().max(k.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}
