//! The only reader of the process environment, and the variables that a configuration adds to it.
//!
//! `@SET name=value` and the `env` section hide a variable of the process that has the same name. They hold for all files,
//! also for what stands before them; of two values the last counts.

use super::Secret;
use super::reference::{Piece, pieces};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// Variables by name.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The variables of this process, those that are no UTF-8 left out. As in Fluent Bit there always is a `HOSTNAME`.
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn from_process() -> Self {
        let texts =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut variables: HashMap<String, String> = texts.collect();
        if let (false, Some(name)) = (variables.contains_key("HOSTNAME"), hostname()) {
            variables.insert("HOSTNAME".into(), name);
        }
        Self(variables)
    }

    /// These variables and no others.
    pub fn of<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Where state is kept when nothing says where: `/var/lib/drave` where it can be written to, which root as a rule can, else the
    /// user's own: `$XDG_STATE_HOME/drave`, or `~/.local/state/drave`. `None` without a home.
    pub fn default_state_folder(&self) -> Option<PathBuf> {
        let system = PathBuf::from(SYSTEM_STATE);
        if rustix::process::geteuid().is_root() || is_writable(&system) {
            return Some(system);
        }
        // The specification: a path that is not absolute is ignored.
        let absolute = |name: &str| self.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || absolute("HOME").map(|home| home.join(".local/state"));
        absolute("XDG_STATE_HOME").or_else(home).map(|folder| folder.join("drave"))
    }

    /// Where files that live only a moment are made: `$TMPDIR`, or `/tmp`.
    pub fn scratch_folder(&self) -> PathBuf {
        self.get("TMPDIR").filter(|folder| !folder.is_empty()).unwrap_or("/tmp").into()
    }
}

const SYSTEM_STATE: &str = "/var/lib/drave";

/// Can files be made in this folder, or can it be made?
pub fn is_writable(folder: &Path) -> bool {
    // What is left of a relative path is the folder that this process is in.
    let or_here = |path| if path == Path::new("") { Path::new(".") } else { path };
    let there = folder.ancestors().map(or_here).find(|path| path.exists());
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    there.is_some_and(|folder| folder.is_dir() && rustix::fs::access(folder, access).is_ok())
}

fn hostname() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(text.trim().to_owned())
}

/// Names only: the values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The environment and what the configuration set so far.
pub(super) struct Variables<'a> {
    environment: &'a Environment,
    own: HashMap<String, String>,
    reported: HashSet<String>,
}

/// A text with its variables replaced.
pub(super) struct Expanded {
    pub(super) text: String,
    /// Variables that are not set, each named only the first time that anything asks for it.
    pub(super) missing: Vec<String>,
    /// Values that came from variables, with their names.
    pub(super) inserted: Vec<(String, String)>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        Self { environment, own: HashMap::new(), reported: HashSet::new() }
    }

    /// `@SET`, `env`.
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.own.insert(name.to_owned(), value);
    }

    /// Those that the configuration has set, by name.
    pub(super) fn own(&self) -> Vec<(String, Secret)> {
        let mut own: Vec<_> = self.own.iter().map(|(name, value)| (name.clone(), Secret(value.clone()))).collect();
        own.sort_by(|a, b| a.0.cmp(&b.0));
        own
    }

    /// Replaces `${NAME}` and `${NAME:-default}`. As in a shell the default also stands for an empty variable.
    pub(super) fn expand(&mut self, text: &str) -> Expanded {
        let mut expanded =
            Expanded { text: String::with_capacity(text.len()), missing: Vec::new(), inserted: Vec::new() };
        self.expand_into(text, &mut expanded);
        expanded
    }

    fn expand_into(&mut self, text: &str, expanded: &mut Expanded) {
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => expanded.text.push_str(text),
                Piece::Variable { name, default } => self.insert(name, default, expanded),
            }
        }
    }

    fn insert(&mut self, name: &str, default: Option<&str>, expanded: &mut Expanded) {
        match (self.get(name), default) {
            (None | Some(""), Some(default)) => self.expand_into(default, expanded),
            (Some(value), _) => {
                expanded.text.push_str(value);
                expanded.inserted.push((name.to_owned(), value.to_owned()));
            }
            (None, None) => {
                if self.reported.insert(name.to_owned()) {
                    expanded.missing.push(name.to_owned());
                }
            }
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.own.get(name).map(String::as_str).or_else(|| self.environment.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansion() {
        let environment = Environment::of([("STAGE", "prod"), ("EMPTY", ""), ("A.B-c", "dots")]);
        let mut variables = Variables::new(&environment);
        variables.set("app", "web".into());
        for (text, expect) in [
            ("plain", "plain"),
            ("${STAGE}-${app}/${STAGE}", "prod-web/prod"),
            ("x${A.B-c}x", "xdotsx"),
            ("${NONE}", ""),
            ("${NONE:-some thing}", "some thing"),
            ("${NONE:-}", ""),
            ("${NONE:-${STAGE}-${NO:-ne}}!", "prod-ne!"),
            ("${STAGE:-${NONE}}", "prod"),
            ("${NONE:-{x}", "{x"),
            ("${NONE:-${STAGE}", "${NONE:-prod"),
            ("${EMPTY}", ""),
            ("${EMPTY:-e}", "e"),
            ("${STAGE:-e}", "prod"),
            ("$5 $STAGE ${ {a} $${STAGE} ${}", "$5 $STAGE ${ {a} $prod ${}"),
            ("^\\d+${1,2}$", "^\\d+${1,2}$"),
            ("${STAGE", "${STAGE"),
        ] {
            assert_eq!(variables.expand(text).text, expect, "{text}");
        }
    }

    #[test]
    fn state_of_an_ordinary_user_is_in_the_users_folder() {
        let folder = |variables: &[(&str, &str)]| {
            Environment::of(variables.iter().copied()).default_state_folder().map(|f| f.display().to_string())
        };
        if rustix::process::geteuid().is_root() || is_writable(Path::new(SYSTEM_STATE)) {
            assert_eq!(folder(&[]).as_deref(), Some(SYSTEM_STATE));
            return;
        }
        assert_eq!(folder(&[("HOME", "/home/a")]).as_deref(), Some("/home/a/.local/state/drave"));
        assert_eq!(folder(&[("HOME", "/home/a"), ("XDG_STATE_HOME", "/state")]).as_deref(), Some("/state/drave"));
        assert_eq!(folder(&[("XDG_STATE_HOME", "state")]), None);
    }

    #[test]
    fn a_folder_is_writable_where_it_is_or_can_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(is_writable(folder.path()) && is_writable(&folder.path().join("to/be/made")));
        assert!(!is_writable(&file) && !is_writable(&file.join("below")));
        assert_eq!(is_writable(Path::new("")), is_writable(Path::new(".")));
        assert_eq!(is_writable(Path::new("to/be/made")), is_writable(Path::new(".")));
    }

    #[test]
    fn own_variables_hide_those_of_the_process_and_missing_ones_are_named_once() {
        let environment = Environment::of([("STAGE", "prod")]);
        let mut variables = Variables::new(&environment);
        variables.set("STAGE", "test".into());
        assert_eq!(variables.expand("${STAGE}").inserted, [("STAGE".to_owned(), "test".to_owned())]);
        assert_eq!(variables.expand("${A}${B}${A}").missing, ["A", "B"]);
        assert!(variables.expand("${A}").missing.is_empty());
    }
}
