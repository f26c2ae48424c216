//! The command line as a third syntax: options in order make the same sections as a file does.
//!
//! ```text
//! -i tail -p path=/var/log/app/*.log -t app -o stdout -f 0.5
//!
//! [INPUT]   name tail, path /var/log/app/*.log, tag app
//! [OUTPUT]  name stdout, match *
//! [SERVICE] flush 0.5
//! ```
//! A property belongs to the plugin before it. Filters and outputs without a match get `*`. What the command line says of the
//! service holds against the files; its plugins come behind theirs. Each option is a line of a file called `command line`, so
//! that messages show it.

use super::draft::Draft;
use super::loader::{Loader, location};
use super::secret::is_secret_key;
use super::{Entry, Location, SectionKind};
use std::path::Path;
use std::sync::Arc;

/// One option of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// As it is typed: `-p`, `--trace`.
    pub flag: String,
    /// `None`: it takes none.
    pub value: Option<String>,
    /// What it says.
    pub meaning: Meaning,
}

/// What an option of the command line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The value is the plugin of a new section.
    Section(SectionKind),
    /// The same for a kind of plugin that does not exist here: why. What follows for it has no effect either.
    NoSection(&'static str),
    /// The value is `key=value` for the section before it.
    Property,
    /// The value is that of this key of the section before it.
    PropertyOf(&'static str),
    /// The value is that of this key of the service.
    Service(&'static str),
    /// The same; a relative path starts at the current folder.
    ServicePath(&'static str),
    /// This key of the service is set to this.
    ServiceIs(&'static str, &'static str),
    /// Taken, and nothing comes of it: why.
    NoEffect(&'static str),
    /// Not taken: what to do instead.
    Refused(&'static str),
}

/// What messages call the place.
pub(super) const COMMAND_LINE: &str = "command line";

impl Argument {
    /// On one line.
    fn shown(&self) -> String {
        let shown = self.value.as_ref().map_or_else(|| self.flag.clone(), |value| format!("{} {value}", self.flag));
        shown.replace(['\n', '\r'], " ")
    }

    fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }
}

/// Tells the loader what stands on the command line.
pub(super) fn read(loader: &mut Loader, arguments: &[Argument]) {
    let file: Arc<str> = COMMAND_LINE.into();
    let lines: Vec<String> = arguments.iter().map(Argument::shown).collect();
    loader.report.sources.add(&file, &lines.join("\n"));
    let mut reader = Reader { loader, file, number: 0, current: None };
    for argument in arguments {
        reader.number += 1;
        reader.argument(argument);
    }
    reader.end_section();
}

struct Reader<'r, 'l> {
    loader: &'r mut Loader<'l>,
    file: Arc<str>,
    number: usize,
    /// The section that properties belong to.
    current: Option<Draft>,
}

impl Reader<'_, '_> {
    fn argument(&mut self, argument: &Argument) {
        match argument.meaning {
            Meaning::Section(kind) => self.section(Some(kind), argument),
            Meaning::NoSection(reason) => {
                self.report_no_effect(argument, reason);
                self.section(None, argument);
            }
            Meaning::Property => self.property(argument),
            Meaning::PropertyOf(key) => self.property_of(key, argument),
            Meaning::Service(key) => self.service(key, argument.value(), argument),
            Meaning::ServicePath(key) => self.service(key, &self.absolute(argument.value()), argument),
            Meaning::ServiceIs(key, value) => self.service(key, value, argument),
            Meaning::NoEffect(reason) => self.report_no_effect(argument, reason),
            Meaning::Refused(hint) => self.refuse(argument, format!("drave has no `{}`", argument.flag), hint),
        }
    }

    fn flag_at(&self) -> Location {
        location(&self.file, self.number, 1)
    }

    /// Where the value stands, or a part of it that begins after so many characters.
    fn value_at(&self, argument: &Argument, chars: usize) -> Location {
        let before = if argument.value.is_some() { argument.flag.chars().count() + 1 } else { 0 };
        location(&self.file, self.number, before + chars + 1)
    }

    fn section(&mut self, kind: Option<SectionKind>, argument: &Argument) {
        self.end_section();
        let at = self.value_at(argument, 0);
        let name = self.loader.entry("name", argument.value(), &at, &at);
        self.current = Some(Draft { kind, at, entries: vec![name], processors: Vec::new() });
    }

    fn end_section(&mut self) {
        let Some(mut draft) = self.current.take() else { return };
        let routed = matches!(draft.kind, Some(SectionKind::Filter | SectionKind::Output));
        let has_match = |entry: &Entry| matches!(entry.key.as_str(), "match" | "match_regex");
        if routed && !draft.entries.iter().any(has_match) {
            draft.entries.push(self.loader.entry("match", "*", &draft.at, &draft.at));
        }
        self.loader.drafts.push(draft);
    }

    fn property(&mut self, argument: &Argument) {
        let Some((key, value)) = argument.value().split_once('=') else {
            let (flag, key) = (&argument.flag, argument.value());
            let hint = format!("write the value behind the key: {flag} {key}=VALUE");
            return self.refuse(argument, format!("`{flag} {key}` has no `=`"), &hint);
        };
        let (key_at, value_at) = (self.value_at(argument, 0), self.value_at(argument, key.chars().count() + 1));
        self.add(key.trim(), value, &key_at, &value_at, argument);
    }

    fn property_of(&mut self, key: &str, argument: &Argument) {
        if key == "match" && self.current.as_ref().is_some_and(|draft| draft.kind == Some(SectionKind::Input)) {
            return self.report_no_effect(argument, "an input has a tag (-t); filters and outputs match it");
        }
        let value_at = self.value_at(argument, 0);
        self.add(key, argument.value(), &self.flag_at(), &value_at, argument);
    }

    fn add(&mut self, key: &str, value: &str, key_at: &Location, value_at: &Location, argument: &Argument) {
        let Some(draft) = &mut self.current else {
            let hint = "put it behind the plugin that it belongs to: -i NAME, -F NAME or -o NAME";
            return self.refuse(argument, format!("`{}` stands before any plugin", argument.flag), hint);
        };
        if value.trim().is_empty() {
            return self.loader.report_empty(key, key_at);
        }
        let entry = self.loader.entry(key, value, key_at, value_at);
        // `header=Authorization Bearer …`, which on a line of its own would be the second word.
        if let Some((_, secret)) = entry.value.split_once(' ').filter(|(word, _)| is_secret_key(word)) {
            self.loader.report.secrets.add(secret);
        }
        draft.entries.push(entry);
    }

    fn service(&mut self, key: &str, value: &str, argument: &Argument) {
        let (key_at, value_at) = (self.flag_at(), self.value_at(argument, 0));
        if value.is_empty() {
            return self.loader.report_empty(key, &key_at);
        }
        let entries = vec![self.loader.entry(key, value, &key_at, &value_at)];
        self.loader.drafts.push(Draft {
            kind: Some(SectionKind::Service),
            at: key_at,
            entries,
            processors: Vec::new(),
        });
    }

    /// Paths of the service start in the folder of the main file, which is not where the command is typed.
    fn absolute(&self, path: &str) -> String {
        if self.loader.folder.as_os_str().is_empty() || path.is_empty() {
            return path.into();
        }
        std::path::absolute(Path::new(path)).map_or_else(|_| path.into(), |path| path.to_string_lossy().into_owned())
    }

    fn report_no_effect(&mut self, argument: &Argument, reason: &str) {
        let at = self.flag_at();
        self.loader.report.note(Some(&at), format!("`{}` has no effect", argument.flag), Some(reason.into()));
    }

    fn refuse(&mut self, argument: &Argument, message: String, hint: &str) {
        let at = if argument.meaning == Meaning::Property { self.value_at(argument, 0) } else { self.flag_at() };
        self.loader.report.error(Some(&at), message, Some(hint.into()));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Argument, Environment, Meaning, Report, Section, SectionKind, load_arguments};

    fn argument(flag: &str, value: &str, meaning: Meaning) -> Argument {
        Argument { flag: flag.into(), value: Some(value.into()), meaning }
    }

    fn prop(value: &str) -> Argument {
        argument("-p", value, Meaning::Property)
    }

    fn entries(section: &Section) -> Vec<(&str, &str, String)> {
        section.entries.iter().map(|e| (e.key.as_str(), e.value.as_str(), e.value_at.to_string())).collect()
    }

    #[test]
    fn properties_belong_to_the_plugin_before_them() {
        let arguments = [
            argument("-i", "Tail", Meaning::Section(SectionKind::Input)),
            prop("Path=/var/log/${APP}=1.log"),
            argument("-o", "http", Meaning::Section(SectionKind::Output)),
            prop("header=A b"),
            prop("header=C d"),
            argument("-f", "0.5", Meaning::Service("flush")),
            argument("-o", "stdout", Meaning::Section(SectionKind::Output)),
            argument("-m", "app.*", Meaning::PropertyOf("match")),
        ];
        let mut report = Report::default();
        let config = load_arguments(None, &arguments, &Environment::of([("APP", "web")]), &mut report);
        assert_eq!(report.to_string(), "");
        assert_eq!(config.inputs[0].name, "tail");
        assert_eq!(entries(&config.inputs[0]), [("path", "/var/log/web=1.log", "command line:2:9".into())]);
        let of_http = [
            ("header", "A b", "command line:4:11".into()),
            ("header", "C d", "command line:5:11".into()),
            ("match", "*", "command line:3:4".into()),
        ];
        assert_eq!(entries(&config.outputs[0]), of_http);
        assert_eq!(entries(&config.outputs[1]), [("match", "app.*", "command line:8:4".into())]);
        assert_eq!(config.service.flush.0.as_millis(), 500);
    }

    #[test]
    fn no_secret_is_shown() {
        let arguments = [
            argument("-o", "http", Meaning::Section(SectionKind::Output)),
            prop("header=Authorization Bearer hunter2"),
            prop("http_passwd=hunter3"),
            argument("-T", "hunter3 and Bearer hunter2", Meaning::Refused("leave it out")),
        ];
        let mut report = Report::default();
        let config = load_arguments(None, &arguments, &Environment::default(), &mut report);
        for section in config.outputs {
            section.check_keys(&[], &mut report);
        }
        let shown = report.to_string();
        assert!(shown.contains("unknown option `header`") && !shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn lines_that_cannot_be_shown_as_they_are() {
        let arguments = [prop(""), prop("="), prop("a\nb=c"), prop("=x"), prop("🦀=\u{1b}[2J")];
        let mut report = Report::default();
        load_arguments(None, &arguments, &Environment::default(), &mut report);
        let shown = report.to_string();
        assert!(shown.contains("3 | -p a b=c\n") && !shown.contains('\u{1b}'), "{shown}");
    }
}
