//! What both syntaxes share. The readers (`classic`, `yaml`) walk through a file and tell the
//! [`Loader`] of sections and keys; it replaces variables, follows includes and collects.

use super::draft::Draft;
use super::environment::Variables;
use super::files::{self, Files};
use super::load::Syntax;
use super::secret::is_secret_key;
use super::{Entry, Environment, Location, Report, classic, yaml};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Includes deeper than this are a mistake that the search for cycles did not see.
const DEPTH_MAX: usize = 32;
/// So are more files than this.
const FILES_MAX: usize = 2_000;

/// The only place but the configuration itself where a variable's value can be.
pub(super) const FILE_SCHEME: &str = "file://";

/// What stands between the sections. Only a conversion asks for it.
pub(super) enum Aside {
    /// `@SET`, a variable of `env`, with the value as written.
    Variable { name: String, value: String, at: Location },
    /// An include, as written. `read`: something was found.
    Include { name: String, at: Location, read: bool },
}

/// What the sections are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To run them here, or to check that.
    Run,
    /// To write them anew, maybe far from where they run: variables that are not set and files that are not there are no mistakes.
    Convert,
}

/// Collects what the readers find.
pub(super) struct Loader<'a> {
    files: &'a dyn Files,
    pub(super) report: &'a mut Report,
    pub(super) variables: Variables<'a>,
    pub(super) drafts: Vec<Draft>,
    /// Each with the number of drafts before it.
    pub(super) asides: Vec<(usize, Aside)>,
    purpose: Purpose,
    pub(super) folder: PathBuf,
    /// The file that is being read and those that include it.
    open: Vec<PathBuf>,
    files_read: usize,
    /// In a parsers_file nothing else may stand.
    pub(super) only_parsers: bool,
}

impl<'a> Loader<'a> {
    /// `folder` is that of the main file.
    pub(super) fn new(
        files: &'a dyn Files,
        folder: &Path,
        environment: &'a Environment,
        report: &'a mut Report,
    ) -> Self {
        let (variables, folder) = (Variables::new(environment), folder.to_owned());
        Self {
            files,
            report,
            variables,
            drafts: Vec::new(),
            asides: Vec::new(),
            purpose: Purpose::Run,
            folder,
            open: Vec::new(),
            files_read: 0,
            only_parsers: false,
        }
    }

    /// The same to write the configuration anew.
    pub(super) fn for_conversion(self) -> Self {
        Self { purpose: Purpose::Convert, ..self }
    }

    /// Reads what an include names, with variables in it: a path or a pattern, relative to the file that includes or else to the
    /// main file.
    pub(super) fn include(&mut self, written: &str, from: &Path, at: &Location) {
        let number = self.asides.len();
        self.asides.push((self.drafts.len(), Aside::Include { name: written.into(), at: at.clone(), read: false }));
        let name = self.expand(written, at);
        let near = from.parent().unwrap_or(Path::new("")).join(&name);
        let found = if files::is_pattern(&name) {
            self.include_pattern(&name, &near, at)
        } else if self.files.exists(&near) || !self.files.exists(&self.folder.join(&name)) {
            self.read_file(&near, Some(at))
        } else {
            self.read_file(&self.folder.join(&name), Some(at))
        };
        if let Some((_, Aside::Include { read, .. })) = self.asides.get_mut(number) {
            *read = found;
        }
    }

    fn include_pattern(&mut self, name: &str, pattern: &Path, at: &Location) -> bool {
        match files::matches(pattern, self.files) {
            Ok(found) if found.is_empty() && self.purpose == Purpose::Convert => false,
            Ok(found) if found.is_empty() => {
                self.report.note(Some(at), format!("no file matches `{name}`"), None);
                false
            }
            Ok(found) => found.iter().filter(|path| self.read_file(path, Some(at))).count() > 0,
            Err(error) => {
                self.report.error(Some(at), format!("`{name}` is no pattern of files"), Some(error));
                false
            }
        }
    }

    /// Reads a file; `at` is where it is named. Was it there?
    pub(super) fn read_file(&mut self, path: &Path, at: Option<&Location>) -> bool {
        if !self.may_open(path, at) {
            return false;
        }
        match self.files.read(path) {
            Ok(bytes) => {
                self.open.push(self.files.identity(path));
                self.read_bytes(path, bytes);
                self.open.pop();
                true
            }
            Err(_) if at.is_some() && self.purpose == Purpose::Convert => false,
            Err(error) => {
                let hint = "check the path, and that drave may read it";
                self.report.error(at, format!("cannot read {}: {error}", path.display()), Some(hint.into()));
                false
            }
        }
    }

    /// Is it a file that comes with Fluent Bit's images, and not here?
    pub(super) fn is_of_fluent_bit(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| name == "parsers.conf") && !self.files.exists(path)
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
                self.report_encoding(
                    path,
                    &String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]),
                );
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

    pub(super) fn read_text(&mut self, path: &Path, text: &str, syntax: Option<Syntax>) {
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
        let missing = if self.purpose == Purpose::Run { expanded.missing } else { Vec::new() };
        for name in missing {
            let hint = format!("set it, or write ${{{name}:-something}} to say what holds without it");
            self.report.note(Some(at), format!("variable `{name}` is not set: its place stays empty"), Some(hint));
        }
        for (_, value) in expanded.inserted.iter().filter(|(name, _)| is_secret_key(name)) {
            self.report.secrets.add(value);
        }
        expanded.text
    }

    /// `@SET`, `env`. A value such as `file:///run/secrets/token` stands for what is in that file.
    pub(super) fn set_variable(&mut self, name: &str, value: &str, at: &Location) {
        let aside = Aside::Variable { name: name.into(), value: value.into(), at: at.clone() };
        self.asides.push((self.drafts.len(), aside));
        let mut value = self.expand(value, at);
        let file = value.strip_prefix(FILE_SCHEME).filter(|path| !path.is_empty());
        if let Some(path) = file.filter(|_| self.purpose == Purpose::Run) {
            let path = self.folder.join(path);
            value = self.value_from_file(name, &path, at).unwrap_or_default();
            self.report.secrets.add(&value);
        }
        if is_secret_key(name) {
            self.report.secrets.add(&value);
        }
        self.variables.set(name, value);
    }

    /// The text of a file without the end of its last line.
    fn value_from_file(&mut self, name: &str, path: &Path, at: &Location) -> Option<String> {
        let shown = path.display();
        let read = self.files.read(path).and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
        let (what, hint) = match read {
            Ok(text) => match text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line)) {
                "" => (format!("variable `{name}`: {shown} is empty"), "write the value into the file"),
                value => return Some(value.to_owned()),
            },
            Err(error) => {
                let hint = "check the path, and that drave may read it";
                (format!("variable `{name}`: cannot read {shown}: {error}"), hint)
            }
        };
        self.report.error(Some(at), what, Some(hint.into()));
        None
    }

    /// A key and its value as an entry. Variables are replaced when all files are read: what is set later holds here too.
    pub(super) fn entry(&mut self, key: &str, value: &str, key_at: &Location, value_at: &Location) -> Entry {
        let (key, value) = (key.to_ascii_lowercase(), value.to_owned());
        Entry { key, value, key_at: key_at.clone(), value_at: value_at.clone() }
    }

    /// Replaces the variables of an entry.
    pub(super) fn expand_entry(&mut self, entry: &mut Entry) {
        entry.value = self.expand(&entry.value, &entry.value_at);
        if is_secret_key(&entry.key) {
            self.report.secrets.add(&entry.value);
        }
    }

    /// A key that has nothing behind it. That a section has no name is said anyway, later.
    pub(super) fn report_empty(&mut self, key: &str, at: &Location) {
        if key.eq_ignore_ascii_case("name") {
            return;
        }
        self.report.error(
            Some(at),
            format!("key `{key}` has no value"),
            Some("write a value, or take the key out".into()),
        );
    }
}

/// Lines and columns that do not fit are as good as any.
pub(super) fn location(file: &Arc<str>, line: usize, column: usize) -> Location {
    let fit = |n| u32::try_from(n).unwrap_or(u32::MAX);
    Location { file: Arc::clone(file), line: fit(line), column: fit(column) }
}
