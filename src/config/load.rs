//! The way in: a file with all that it includes, or a text, becomes a [`Config`].

use super::arguments::{self, Argument, COMMAND_LINE};
use super::files::{Disk, NoFiles};
use super::loader::Loader;
use super::{Environment, Report, Secret, Section, SectionKind, ServiceOptions};
use std::path::{Path, PathBuf};

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
    /// What `@SET` and `env` have set, by name.
    pub variables: Vec<(String, Secret)>,
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
    pub(super) fn of(path: &Path, text: &str) -> Self {
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
    load_arguments(Some(path), &[], environment, report)
}

/// The same with what the command line adds; without a file it is all there is. Relative paths of the command line start in the
/// current folder.
pub fn load_arguments(
    path: Option<&Path>,
    arguments: &[Argument],
    environment: &Environment,
    report: &mut Report,
) -> Config {
    let folder = path.and_then(Path::parent).unwrap_or(Path::new(""));
    let mut loader = Loader::new(&Disk, folder, environment, report);
    if let Some(path) = path {
        loader.read_file(path, None);
    }
    arguments::read(&mut loader, arguments);
    let mut config = loader.finish();
    let plugins = config.inputs.iter_mut().chain(&mut config.filters).chain(&mut config.outputs);
    for section in plugins.filter(|section| *section.at.file == *COMMAND_LINE) {
        section.folder = PathBuf::new();
    }
    if path.is_none() && config.outputs.is_empty() {
        report.error(None, "the command line has no output", Some("add one, as -o stdout".into()));
    }
    config
}

/// The same without the file system: a text that can include nothing.
pub fn load_text(text: &str, syntax: Syntax, environment: &Environment, report: &mut Report) -> Config {
    let mut loader = Loader::new(&NoFiles, Path::new(""), environment, report);
    loader.read_text(Path::new("<text>"), text, Some(syntax));
    loader.finish()
}
