//! From files to sections: what both syntaxes share. The readers ([`classic`](super::classic), [`yaml`](super::yaml)) walk through a file and tell the
//! [`Loader`] of sections and keys; it replaces variables, follows includes and collects.

use super::environment::Variables;
use super::files::{self, Disk, Files, NoFiles};
use super::secret::is_secret_key;
use super::{Entry, Environment, Location, Report, Section, SectionKind, ServiceOptions, classic, yaml};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration: the service's options, all others as sections that their plugins read.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// What holds for the whole process.
    pub service: ServiceOptions,
    /// In the order of the files, as are all that follow.
    pub inputs: Vec<Section>,
    /// The filters.
    pub filters: Vec<Section>,
    /// The outputs.
    pub outputs: Vec<Section>,
    /// Also those of the parser files, which come last.
    pub parsers: Vec<Section>,
    /// Also those of the parser files, which come last.
    pub multiline_parsers: Vec<Section>,
    /// The processors of inputs and outputs.
    pub processors: Vec<Processor>,
    /// Where the main file lies.
    pub folder: PathBuf,
}

/// A step that belongs to one input or one output.
#[derive(Debug, Clone)]
pub struct Processor {
    /// [`SectionKind::Input`] or [`SectionKind::Output`].
    pub of: SectionKind,
    /// Which one: an index into [`Config::inputs`] or [`Config::outputs`].
    pub index: usize,
    /// Its name and options. Nested values (`condition`) are JSON text.
    pub section: Section,
}

impl Config {
    /// The processors of one input or output, in order.
    pub fn processors_of(&self, kind: SectionKind, index: usize) -> impl Iterator<Item = &Section> {
        self.processors.iter().filter(move |p| p.of == kind && p.index == index).map(|p| &p.section)
    }
}

/// Which of the two languages a configuration is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// `pipeline:`, …
    Yaml,
    /// `[INPUT]`, …
    Classic,
}

impl Syntax {
    /// By the extension; else by the first line that says something: a classic file begins with `[` or `@`.
    fn of(path: &Path, text: &str) -> Self {
        let extension = path.extension().map(|e| e.to_ascii_lowercase());
        match extension.as_ref().and_then(|e| e.to_str()) {
            Some("yaml" | "yml") => Self::Yaml,
            Some("conf") => Self::Classic,
            _ => Self::of_text(text),
        }
    }

    fn of_text(text: &str) -> Self {
        let first = text.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with('#'));
        if first.is_some_and(|line| line.starts_with(['[', '@'])) { Self::Classic } else { Self::Yaml }
    }
}

/// Reads a configuration with everything that it includes. Never fails: what is wrong is in the report, and the rest is returned.
pub fn load(path: &Path, environment: &Environment, report: &mut Report) -> Config {
    let mut loader = Loader::new(&Disk, environment, report);
    loader.folder = path.parent().map(Path::to_owned).unwrap_or_default();
    loader.read_file(path, None);
    loader.finish()
}

/// The same without the file system: a text that can include nothing.
pub fn load_text(text: &str, syntax: Syntax, environment: &Environment, report: &mut Report) -> Config {
    let mut loader = Loader::new(&NoFiles, environment, report);
    loader.read_text(Path::new("<text>"), text, Some(syntax));
    loader.finish()
}

/// A section while its file is being read.
pub(super) struct Draft {
    /// `None`: it was reported; its keys are read and dropped.
    pub(super) kind: Option<SectionKind>,
    pub(super) at: Location,
    /// `name` among them.
    pub(super) entries: Vec<Entry>,
    pub(super) processors: Vec<Draft>,
}

/// Includes deeper than this are a mistake that the search for cycles did not see.
const DEPTH_MAX: usize = 32;
/// So are more files than this.
const FILES_MAX: usize = 2_000;

/// Collects what the readers find.
pub(super) struct Loader<'a> {
    files: &'a dyn Files,
    pub(super) report: &'a mut Report,
    pub(super) variables: Variables<'a>,
    pub(super) drafts: Vec<Draft>,
    folder: PathBuf,
    /// The file that is being read and those that include it.
    open: Vec<PathBuf>,
    files_read: usize,
    /// In a parsers_file nothing else may stand.
    pub(super) only_parsers: bool,
}

impl<'a> Loader<'a> {
    fn new(files: &'a dyn Files, environment: &'a Environment, report: &'a mut Report) -> Self {
        let (variables, folder) = (Variables::new(environment), PathBuf::new());
        Self { files, report, variables, drafts: Vec::new(), folder, open: Vec::new(), files_read: 0, only_parsers: false }
    }

    /// Reads what an include names: a path or a pattern, relative to the file that includes or else to the main file.
    pub(super) fn include(&mut self, name: &str, from: &Path, at: &Location) {
        let near = from.parent().unwrap_or(Path::new("")).join(name);
        if files::is_pattern(name) {
            self.include_pattern(name, &near, at);
        } else if self.files.exists(&near) || !self.files.exists(&self.folder.join(name)) {
            self.read_file(&near, Some(at));
        } else {
            self.read_file(&self.folder.join(name), Some(at));
        }
    }

    fn include_pattern(&mut self, name: &str, pattern: &Path, at: &Location) {
        match files::matches(pattern, self.files) {
            Ok(found) if found.is_empty() => self.report.note(Some(at), format!("no file matches `{name}`"), None),
            Ok(found) => found.iter().for_each(|path| self.read_file(path, Some(at))),
            Err(error) => self.report.error(Some(at), format!("`{name}` is no pattern of files"), Some(error)),
        }
    }

    /// Reads a file; `at` is where it is named.
    fn read_file(&mut self, path: &Path, at: Option<&Location>) {
        if !self.may_open(path, at) {
            return;
        }
        match self.files.read(path) {
            Ok(bytes) => {
                self.open.push(self.files.identity(path));
                self.read_bytes(path, bytes);
                self.open.pop();
            }
            Err(error) => {
                let hint = "check the path, and that drave may read it; relative paths start at the file that names them";
                self.report.error(at, format!("cannot read {}: {error}", path.display()), Some(hint.into()));
            }
        }
    }

    fn may_open(&mut self, path: &Path, at: Option<&Location>) -> bool {
        self.files_read += 1;
        let shown = path.display();
        if self.open.contains(&self.files.identity(path)) {
            let hint = "take out one of the includes, or name the files one by one";
            self.report.error(at, format!("{shown} includes itself"), Some(hint.into()));
            return false;
        }
        if self.open.len() > DEPTH_MAX || self.files_read > FILES_MAX {
            self.report.error(at, format!("{shown} is not read: too many includes"), None);
            return false;
        }
        true
    }

    fn read_bytes(&mut self, path: &Path, bytes: Vec<u8>) {
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                self.report_encoding(path, &String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]));
                text
            }
        };
        self.read_text(path, &text, None);
    }

    fn report_encoding(&mut self, path: &Path, valid: &str) {
        let line = valid.matches('\n').count() + 1;
        let column = valid.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let at = location(&Arc::from(path.display().to_string()), line, column);
        self.report.error(Some(&at), "not UTF-8", Some("save the file as UTF-8".into()));
    }

    fn read_text(&mut self, path: &Path, text: &str, syntax: Option<Syntax>) {
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let file: Arc<str> = path.display().to_string().into();
        self.report.sources.add(&file, text);
        match syntax.unwrap_or_else(|| Syntax::of(path, text)) {
            Syntax::Yaml => yaml::read(self, path, &file, text),
            Syntax::Classic => classic::read(self, path, &file, text),
        }
    }

    /// Replaces the variables of a value, and learns which texts are secret.
    pub(super) fn expand(&mut self, text: &str, at: &Location) -> String {
        let expanded = self.variables.expand(text);
        for name in expanded.missing {
            let hint = format!("set it, or write ${{{name}:-something}} to say what holds without it");
            self.report.note(Some(at), format!("variable `{name}` is not set: its place stays empty"), Some(hint));
        }
        for (_, value) in expanded.inserted.iter().filter(|(name, _)| is_secret_key(name)) {
            self.report.secrets.add(value);
        }
        expanded.text
    }

    /// `@SET`, `env`.
    pub(super) fn set_variable(&mut self, name: &str, value: &str, at: &Location) {
        let value = self.expand(value, at);
        if is_secret_key(name) {
            self.report.secrets.add(&value);
        }
        self.variables.set(name, value);
    }

    /// A key and its value as an entry.
    pub(super) fn entry(&mut self, key: &str, value: &str, key_at: &Location, value_at: &Location) -> Entry {
        let (key, value) = (key.to_ascii_lowercase(), self.expand(value, value_at));
        if is_secret_key(&key) {
            self.report.secrets.add(&value);
        }
        Entry { key, value, key_at: key_at.clone(), value_at: value_at.clone() }
    }

    /// A key that has nothing behind it.
    pub(super) fn report_empty(&mut self, key: &str, at: &Location) {
        self.report.error(Some(at), format!("key `{key}` has no value"), Some("write a value, or take the key out".into()));
    }

    fn finish(mut self) -> Config {
        let mut config = Config { folder: self.folder.clone(), ..Config::default() };
        self.move_drafts(&mut config);
        let service = self.service(&mut config);
        self.only_parsers = true;
        for entry in service.all("parsers_file") {
            self.read_file(&service.resolve(&entry.value), Some(&entry.value_at));
        }
        self.move_drafts(&mut config);
        config
    }

    /// All service sections together are one.
    fn service(&mut self, config: &mut Config) -> Section {
        let drafts = std::mem::take(&mut self.drafts);
        let at = drafts.first().map_or_else(|| location(&"".into(), 1, 1), |draft| draft.at.clone());
        let entries = drafts.into_iter().flat_map(|draft| draft.entries).collect();
        let section = Section { kind: SectionKind::Service, name: String::new(), at, entries, folder: self.folder.clone() };
        section.check_keys(&[ServiceOptions::OPTIONS], self.report);
        config.service = ServiceOptions::from_section(&section, self.report).unwrap_or_default();
        if let (true, Some(entry)) = (config.service.daemon, section.get("daemon")) {
            self.report.note(Some(&entry.key_at), "drave stays in the foreground", Some("let the supervisor do it".into()));
        }
        section
    }

    /// Moves the sections to where they belong; those of the service stay.
    fn move_drafts(&mut self, config: &mut Config) {
        let (service, others) = std::mem::take(&mut self.drafts).into_iter().partition(|d| d.kind == Some(SectionKind::Service));
        self.drafts = service;
        for draft in others {
            self.move_draft(draft, config);
        }
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
            let hint = Some(format!("add `name`: which {} is it?", kind.word()));
            self.report.error(Some(&draft.at), format!("this {} has no name", kind.word()), hint);
            return None;
        };
        let name = if kind.is_parser() { name.to_owned() } else { name.to_ascii_lowercase() };
        Some(Section { kind, name, at: draft.at, entries, folder: self.folder.clone() })
    }
}

/// Lines and columns that do not fit are as good as any.
pub(super) fn location(file: &Arc<str>, line: usize, column: usize) -> Location {
    let fit = |n| u32::try_from(n).unwrap_or(u32::MAX);
    Location { file: Arc::clone(file), line: fit(line), column: fit(column) }
}
