//! Sections while they are being read, and how a [`Config`] comes of them: names are checked, service sections joined, parser
//! files read.

use super::load::{Config, Processor};
use super::loader::{Loader, location};
use super::{Entry, Location, Section, SectionKind, ServiceOptions};
use std::collections::HashMap;

/// A section while its file is being read.
pub(super) struct Draft {
    /// `None`: it was reported; its keys are read and dropped.
    pub(super) kind: Option<SectionKind>,
    pub(super) at: Location,
    /// `name` among them.
    pub(super) entries: Vec<Entry>,
    pub(super) processors: Vec<Draft>,
}

impl Loader<'_> {
    /// Makes sections of what was read.
    pub(super) fn finish(mut self) -> Config {
        let mut config = Config { folder: self.folder.clone(), ..Config::default() };
        self.move_drafts(&mut config);
        let service = self.service(&mut config);
        self.only_parsers = true;
        for entry in service.all("parsers_file") {
            let path = service.resolve(&entry.value);
            if self.is_of_fluent_bit(&path) {
                let what = format!("{} is not there: the built-in parsers stand in for it", path.display());
                let hint = "they have the names of those that Fluent Bit brings in its file".to_owned();
                self.report.note(Some(&entry.value_at), what, Some(hint));
            } else {
                self.read_file(&path, Some(&entry.value_at));
            }
        }
        self.move_drafts(&mut config);
        self.number_aliases(&mut config.inputs);
        self.number_aliases(&mut config.outputs);
        config.variables = self.variables.own();
        config
    }

    /// Fluent Bit takes a name that stands twice, and its metrics show the last. Positions, spools and metrics are kept by name
    /// here, so the later ones get a number.
    fn number_aliases(&mut self, sections: &mut [Section]) {
        let mut names: HashMap<String, Location> = HashMap::new();
        for section in sections {
            let title = section.title();
            let Some(alias) = section.entries.iter_mut().rev().find(|entry| entry.key == "alias") else { continue };
            let Some(first) = names.get(&alias.value).cloned() else {
                names.insert(alias.value.clone(), alias.value_at.clone());
                continue;
            };
            let free = (2..).map(|number| format!("{}.{number}", alias.value)).find(|name| !names.contains_key(name));
            let Some(name) = free else { continue };
            let what = format!("{title} has the name `{}`, which another one has: it is called `{name}`", alias.value);
            let hint = format!("give it a name of its own; the other is at {first}");
            self.report.note(Some(&alias.value_at), what, Some(hint));
            names.insert(name.clone(), alias.value_at.clone());
            alias.value = name;
        }
    }

    /// All service sections together are one.
    fn service(&mut self, config: &mut Config) -> Section {
        let drafts = std::mem::take(&mut self.drafts);
        let at = drafts.first().map_or_else(|| location(&"".into(), 1, 1), |draft| draft.at.clone());
        let entries = drafts.into_iter().flat_map(|draft| draft.entries).collect();
        let section =
            Section { kind: SectionKind::Service, name: String::new(), at, entries, folder: self.folder.clone() };
        section.check_keys(&[ServiceOptions::OPTIONS], self.report);
        config.service = ServiceOptions::from_section(&section, self.report).unwrap_or_default();
        if let (true, Some(entry)) = (config.service.daemon, section.get("daemon")) {
            self.report.note(
                Some(&entry.key_at),
                "drave stays in the foreground",
                Some("let the supervisor do it".into()),
            );
        }
        section
    }

    /// Moves the sections to where they belong; those of the service stay.
    fn move_drafts(&mut self, config: &mut Config) {
        let mut drafts = std::mem::take(&mut self.drafts);
        drafts.iter_mut().for_each(|draft| self.expand_draft(draft));
        let (service, others) = drafts.into_iter().partition(|d| d.kind == Some(SectionKind::Service));
        self.drafts = service;
        for draft in others {
            self.move_draft(draft, config);
        }
    }

    fn expand_draft(&mut self, draft: &mut Draft) {
        draft.entries.iter_mut().for_each(|entry| self.expand_entry(entry));
        draft.processors.iter_mut().for_each(|processor| self.expand_draft(processor));
    }

    fn move_draft(&mut self, mut draft: Draft, config: &mut Config) {
        let processors = std::mem::take(&mut draft.processors);
        let Some(section) = self.section(draft) else { return };
        let of = section.kind;
        let list = match of {
            SectionKind::Input => &mut config.inputs,
            SectionKind::Filter => &mut config.filters,
            SectionKind::Output => &mut config.outputs,
            SectionKind::Parser => &mut config.parsers,
            SectionKind::MultilineParser => &mut config.multiline_parsers,
            SectionKind::Service | SectionKind::Processor => return,
        };
        let index = list.len();
        list.push(section);
        for draft in processors {
            config.processors.extend(self.section(draft).map(|section| Processor { of, index, section }));
        }
    }

    fn section(&mut self, draft: Draft) -> Option<Section> {
        let kind = draft.kind?;
        let (names, entries): (Vec<Entry>, Vec<Entry>) = draft.entries.into_iter().partition(|e| e.key == "name");
        let Some(name) = names.last().map(|e| e.value.trim()).filter(|name| !name.is_empty()) else {
            self.report_no_name(kind, &draft.at);
            return None;
        };
        let name = if kind.is_parser() { name.to_owned() } else { name.to_ascii_lowercase() };
        Some(Section { kind, name, at: draft.at, entries, folder: self.folder.clone() })
    }

    pub(super) fn report_no_name(&mut self, kind: SectionKind, at: &Location) {
        let hint = Some(format!("add `name`: which {} is it?", kind.word()));
        self.report.error(Some(at), format!("this {} has no name", kind.word()), hint);
    }
}
