//! Reading of nodes whose shape nobody has checked: what is not there, or something else, is nothing.

use super::super::super::yaml::tree::{Node, Value};

pub(super) trait Read {
    /// The value of a key.
    fn get(&self, key: &str) -> Option<&Node>;
    /// The text of a key's value, unless it is nothing.
    fn get_text(&self, key: &str) -> Option<&str>;
    /// The pairs of a mapping.
    fn pairs(&self) -> &[(Node, Node)];
    /// The items of a list.
    fn items(&self) -> &[Node];
    /// Texts: of a list, or the one.
    fn texts(&self) -> Vec<&str>;
    /// `true`.
    fn is_on(&self) -> bool;
}

impl Read for Node {
    fn get(&self, key: &str) -> Option<&Node> {
        self.pairs().iter().rev().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    fn get_text(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|node| !node.is_null()).and_then(Node::text)
    }

    fn pairs(&self) -> &[(Node, Node)] {
        if let Value::Map(pairs) = &self.value { pairs } else { &[] }
    }

    fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    fn texts(&self) -> Vec<&str> {
        match self.text() {
            Some(text) => vec![text],
            None => self.items().iter().filter_map(Node::text).collect(),
        }
    }

    fn is_on(&self) -> bool {
        self.text().is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on"))
    }
}
