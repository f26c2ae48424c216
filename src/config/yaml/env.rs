//! The `env` section: variables as a mapping, or as a list that may name where a value comes from.
//!
//! ```yaml
//! env:
//!   - { name: STAGE, value: prod }
//!   - { name: TOKEN, uri: "file:///run/secrets/token", refresh_interval: 60 }
//! ```

use super::super::loader::FILE_SCHEME;
use super::tree::{Node, Value};
use super::{Pairs, Reader};

const KEYS: [&str; 4] = ["name", "value", "uri", "refresh_interval"];

impl Reader<'_, '_> {
    pub(super) fn env(&mut self, node: &Node) {
        if let Value::List(items) = &node.value {
            return items.iter().for_each(|item| self.variable(item));
        }
        for (key, value) in self.map("env", node) {
            match (key.text(), value.text()) {
                (Some(name), Some(text)) => self.set(name, if value.is_null() { "" } else { text }, value),
                _ => self.error(value, "a variable should be a text".into(), "write `NAME: value`"),
            }
        }
    }

    /// One item of the list.
    fn variable(&mut self, item: &Node) {
        let pairs = self.map("each variable", item);
        for (key, _) in pairs {
            let Some(word) = self.key(key) else { continue };
            if !KEYS.contains(&&*word) {
                self.unknown("key of a variable", &word, key, KEYS.into_iter());
            }
        }
        let [name, value, uri, refresh_interval] = KEYS.map(|word| part(pairs, word));
        match (name.and_then(Node::text), value, uri) {
            _ if pairs.is_empty() => {}
            (None, ..) => self.error(item, "a variable needs a name".into(), "write `- name: STAGE`"),
            (Some(_), Some(_), Some(uri)) => {
                self.error(uri, "a variable has a `value` or a `uri`, not both".into(), "take one of them out");
            }
            (Some(name), Some(value), None) => self.set_text(name, value),
            (Some(name), None, Some(uri)) => self.set_uri(name, uri),
            (Some(name), None, None) => self.set(name, "", item),
        }
        if let Some(node) = refresh_interval {
            let at = self.at(node);
            let hint = "its file is read once, when the configuration is".to_owned();
            self.loader.report.note(Some(&at), "`refresh_interval` of a variable has no effect", Some(hint));
        }
    }

    fn set_text(&mut self, name: &str, value: &Node) {
        match value.text() {
            Some(text) => self.set(name, if value.is_null() { "" } else { text }, value),
            None => self.error(value, "a variable should be a text".into(), "write `value: text`"),
        }
    }

    fn set_uri(&mut self, name: &str, uri: &Node) {
        match uri.text() {
            Some(text) if text.starts_with(FILE_SCHEME) => self.set(name, text, uri),
            _ => self.error(uri, "a `uri` should name a file".into(), "write `uri: file:///run/secrets/token`"),
        }
    }

    fn set(&mut self, name: &str, text: &str, node: &Node) {
        let at = self.at(node);
        self.loader.set_variable(name, text, &at);
    }
}

/// The last value of that key.
fn part<'n>(pairs: &'n Pairs, word: &str) -> Option<&'n Node> {
    let is_it = |key: &Node| key.text().is_some_and(|text| text.eq_ignore_ascii_case(word));
    pairs.iter().rev().find(|(key, _)| is_it(key)).map(|(_, value)| value)
}
