//! The only reader of the process environment, and the variables that a configuration adds to it.
//!
//! `@SET name=value` and the `env` section hide a variable of the process that has the same name. They hold for all files,
//! also for what stands before them; of two values the last counts.

use super::reference::{Piece, pieces};
use std::collections::{HashMap, HashSet};
use std::fmt;

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
    fn own_variables_hide_those_of_the_process_and_missing_ones_are_named_once() {
        let environment = Environment::of([("STAGE", "prod")]);
        let mut variables = Variables::new(&environment);
        variables.set("STAGE", "test".into());
        assert_eq!(variables.expand("${STAGE}").inserted, [("STAGE".to_owned(), "test".to_owned())]);
        assert_eq!(variables.expand("${A}${B}${A}").missing, ["A", "B"]);
        assert!(variables.expand("${A}").missing.is_empty());
    }
}
