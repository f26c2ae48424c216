//! A document as YAML:
//!
//! ```yaml
//! env:
//!   STAGE: prod
//!
//! pipeline:
//!   inputs:
//!     # why
//!     - name: tail
//!       path: /var/log/*.log
//! ```

use super::document::{Document, Item, Lines, Pair, Text, Value};
use super::scalar;
use std::collections::HashSet;
use std::fmt::Write;

impl Document {
    /// The text of the file.
    pub(super) fn to_yaml(&self) -> String {
        let mut out = Writer { out: String::new() };
        out.lines(&self.head, 0);
        if !self.includes.is_empty() {
            out.title("includes", 0);
            self.includes.iter().for_each(|pair| out.include(pair));
        }
        out.env(&self.env);
        if !self.service.pairs.is_empty() || !self.service.tail.is_empty() {
            out.gap();
            out.lines(&self.service.comments, 0);
            out.line(0, "service:");
            self.service.pairs.iter().for_each(|pair| out.pair(pair, 2));
            out.lines(&self.service.tail, 2);
        }
        out.items("parsers", &self.parsers, 0);
        out.items("multiline_parsers", &self.multiline_parsers, 0);
        let parts = [("inputs", &self.inputs), ("filters", &self.filters), ("outputs", &self.outputs)];
        if parts.iter().any(|(_, items)| !items.is_empty()) {
            out.title("pipeline", 0);
            let mut before = false;
            for (name, items) in parts.into_iter().filter(|(_, items)| !items.is_empty()) {
                if before {
                    out.gap();
                }
                out.list(name, items, 2);
                before = true;
            }
        }
        if !self.tail.is_empty() {
            out.gap();
            out.lines(&self.tail, 0);
        }
        out.out
    }
}

struct Writer {
    out: String,
}

impl Writer {
    fn line(&mut self, indent: usize, text: &str) {
        let _ = writeln!(self.out, "{:indent$}{text}", "");
    }

    /// An empty line, but not at the beginning.
    fn gap(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    fn title(&mut self, name: &str, indent: usize) {
        self.gap();
        self.line(indent, &format!("{name}:"));
    }

    fn lines(&mut self, lines: &Lines, indent: usize) {
        for line in lines {
            self.line(if line.is_empty() { 0 } else { indent }, line);
        }
    }

    fn include(&mut self, pair: &Pair) {
        self.lines(&pair.comments, 2);
        self.line(2, &format!("- {}", scalar::key(&pair.key)));
    }

    /// As a mapping, or, where a name stands twice, as a list.
    fn env(&mut self, pairs: &[Pair]) {
        if pairs.is_empty() {
            return;
        }
        self.title("env", 0);
        let names: HashSet<&str> = pairs.iter().map(|pair| pair.key.as_str()).collect();
        for pair in pairs {
            let Value::One(text) = &pair.value else { continue };
            if names.len() == pairs.len() {
                self.pair(pair, 2);
                continue;
            }
            self.lines(&pair.comments, 2);
            self.line(2, &format!("- name: {}", scalar::key(&pair.key)));
            self.line(4, &format!("value: {}", scalar::value(text, 6)));
        }
    }

    fn items(&mut self, name: &str, items: &[Item], indent: usize) {
        if !items.is_empty() {
            self.gap();
            self.list(name, items, indent);
        }
    }

    fn list(&mut self, name: &str, items: &[Item], indent: usize) {
        self.line(indent, &format!("{name}:"));
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                self.gap();
            }
            self.item(item, indent + 2);
        }
    }

    fn item(&mut self, item: &Item, indent: usize) {
        self.lines(&item.comments, indent);
        let Some((first, others)) = item.pairs.split_first() else { return };
        self.lines(&first.comments, indent);
        let begin = self.out.len();
        self.value(&first.key, &first.value, indent + 2);
        // The dash takes the place of the first key's indentation.
        let dash = format!("{:indent$}- ", "");
        self.out.replace_range(begin..begin + indent + 2, &dash);
        others.iter().for_each(|pair| self.pair(pair, indent + 2));
        if !item.processors.is_empty() {
            self.line(indent + 2, "processors:");
            self.list("logs", &item.processors, indent + 4);
        }
        self.lines(&item.tail, indent + 2);
    }

    fn pair(&mut self, pair: &Pair, indent: usize) {
        self.lines(&pair.comments, indent);
        self.value(&pair.key, &pair.value, indent);
    }

    fn value(&mut self, key: &str, value: &Value, indent: usize) {
        let key = scalar::key(key);
        match value {
            Value::One(text) => self.line(indent, &format!("{key}: {}", scalar::value(text, indent + 2))),
            Value::Json(json) => self.line(indent, &format!("{key}: {json}")),
            Value::List(items) => {
                self.line(indent, &format!("{key}:"));
                for (comments, text) in items {
                    self.lines(comments, indent + 2);
                    self.line(indent + 2, &format!("- {}", scalar::value(text, indent + 4)));
                }
            }
            Value::Rules(rules) => {
                self.line(indent, "rules:");
                rules.iter().for_each(|(comments, parts)| self.rule(comments, parts, indent + 2));
            }
        }
    }

    fn rule(&mut self, comments: &Lines, [state, regex, next]: &[String; 3], indent: usize) {
        let scalar = |text: &String| scalar::value(&Text::of(text.as_str()), indent + 4);
        self.lines(comments, indent);
        self.line(indent, &format!("- state: {}", scalar(state)));
        self.line(indent + 2, &format!("regex: {}", scalar(regex)));
        self.line(indent + 2, &format!("next_state: {}", scalar(next)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Environment, Report, Syntax, load_text};
    use super::*;
    use proptest::prelude::*;

    /// Any text, with all that means something to YAML, and several lines.
    fn texts() -> impl Strategy<Value = Text> {
        let text =
            "([ \t\n:#'\"\\\\|>*&!%@`{}\\[\\],?~=<.-]|yes|null|1e3|0x1|ü|🦀|\u{7f}|\u{85}|\u{2028}|[a-z0-9]){0,24}";
        (text, any::<bool>()).prop_map(|(text, bare)| Text { text, bare })
    }

    proptest! {
        #[test]
        fn a_reader_finds_every_text(values in proptest::collection::vec(texts(), 1..5), items in proptest::collection::vec(texts(), 2..4)) {
            let mut item = Item::named("modify");
            for (number, text) in values.iter().enumerate() {
                item.set(&format!("key_{number}"), text.clone());
            }
            let list = items.iter().map(|text| (vec!["# why".to_owned()], text.clone())).collect();
            item.pairs.push(Pair::new("list", Value::List(list)));
            let document = Document { filters: vec![item], tail: vec!["# end".into()], ..Document::default() };
            let mut report = Report::default();
            let config = load_text(&document.to_yaml(), Syntax::Yaml, &Environment::default(), &mut report);
            prop_assert!(!report.has_errors(), "{report}\n{}", document.to_yaml());
            let read: Vec<&str> = config.filters[0].entries.iter().map(|entry| entry.value.as_str()).collect();
            let written: Vec<&str> = values.iter().chain(&items).map(|text| text.text.as_str()).collect();
            prop_assert_eq!(read, written, "\n{}", document.to_yaml());
        }
    }
}
