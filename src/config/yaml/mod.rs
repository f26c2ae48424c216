//! The YAML syntax.
//!
//! ```yaml
//! includes: [more/*.yaml]
//! env: { STAGE: prod, TOKEN: "file:///run/token" }      # or a list of { name: …, value: … or uri: … }
//! service: { flush: 1 }
//! parsers: [{ name: app, format: json }]
//! multiline_parsers: [{ name: trace, type: regex, rules: [{ state: start_state, regex: /x/, next_state: cont }] }]
//! pipeline:
//!   inputs: [{ name: tail, path: /var/log/*.log, processors: { logs: [{ name: grep, regex: level error }] } }]
//!   filters: []
//!   outputs: []
//! ```
//! A list as a value gives one entry per item. A rule becomes the entry `rule "state" "regex" "next"`, as the classic syntax
//! writes it. Inside processors a mapping (`condition`) becomes JSON text. Other mappings are mistakes. What stands at the top
//! under a name such as `x-shared` is not looked at: a place for anchors.

mod env;
mod json;
pub(super) mod tree;

use super::draft::Draft;
use super::loader::{Loader, location};
use super::{Entry, Location, SectionKind, nearest};
use std::path::Path;
use std::sync::Arc;
use tree::{Node, Value};

type Pairs = [(Node, Node)];

/// Tells the loader what stands in a YAML file.
pub(super) fn read(loader: &mut Loader, path: &Path, file: &Arc<str>, text: &str) {
    let mut reader = Reader { loader, path, file };
    match tree::parse(text) {
        Ok(Some(root)) => reader.root(&root),
        Ok(None) => {}
        Err(fault) => {
            let at = location(file, fault.line, fault.column);
            reader.loader.report.error(Some(&at), fault.message, Some(fault.hint.into()));
        }
    }
}

/// The keys at the top of a file and what reads them.
type Part = fn(&mut Reader, &Node, &Node);
const PARTS: [(&str, Part); 11] = [
    ("service", |r, _, node| r.service(node)),
    ("pipeline", |r, _, node| r.pipeline(node)),
    ("parsers", |r, _, node| r.sections("parsers", SectionKind::Parser, node)),
    ("multiline_parsers", |r, _, node| r.sections("multiline_parsers", SectionKind::MultilineParser, node)),
    ("includes", |r, _, node| r.includes(node)),
    // Read before the others.
    ("env", |_, _, _| {}),
    ("customs", |r, key, _| r.without_effect("customs", key)),
    ("plugins", |r, key, _| r.without_effect("plugins", key)),
    ("stream_processor", |r, key, _| r.unsupported("stream_processor", key)),
    ("upstream_servers", |r, key, _| r.unsupported("upstream_servers", key)),
    ("upstreams", |r, key, _| r.unsupported("upstreams", key)),
];
/// What a parsers_file may hold.
const PARTS_OF_PARSER_FILES: [&str; 4] = ["parsers", "multiline_parsers", "includes", "env"];

const PLUGINS: [(&str, SectionKind); 3] =
    [("inputs", SectionKind::Input), ("filters", SectionKind::Filter), ("outputs", SectionKind::Output)];

struct Reader<'r, 'l> {
    loader: &'r mut Loader<'l>,
    path: &'r Path,
    file: &'r Arc<str>,
}

impl Reader<'_, '_> {
    fn at(&self, node: &Node) -> Location {
        location(self.file, node.line, node.column)
    }

    fn error(&mut self, node: &Node, what: String, hint: &str) {
        let at = self.at(node);
        self.loader.report.error(Some(&at), what, (!hint.is_empty()).then(|| hint.to_owned()));
    }

    /// The pairs of a mapping; anything else is reported, but for nothing at all, which is an empty one.
    fn map<'n>(&mut self, title: &str, node: &'n Node) -> &'n Pairs {
        match &node.value {
            Value::Map(pairs) => return pairs,
            _ if node.is_null() => {}
            _ => self.error(
                node,
                format!("{title} should be a mapping, not {}", node.what()),
                "write `key: value` lines below it",
            ),
        }
        &[]
    }

    fn list<'n>(&mut self, title: &str, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::List(items) => return items,
            _ if node.is_null() => {}
            _ => {
                self.error(node, format!("{title} should be a list, not {}", node.what()), "begin each item with `- `")
            }
        }
        &[]
    }

    /// The text of a key in lower case.
    fn key(&mut self, key: &Node) -> Option<String> {
        if key.text().is_none() {
            self.error(
                key,
                format!("a key should be a text, not {}", key.what()),
                "texts that begin with `{` or `[` need quotes",
            );
        }
        key.text().map(str::to_ascii_lowercase)
    }

    fn root(&mut self, root: &Node) {
        let pairs = self.map("the file", root);
        for (key, value) in pairs {
            if key.text().is_some_and(|key| key.eq_ignore_ascii_case("env")) {
                self.env(value);
            }
        }
        for (key, value) in pairs {
            self.part(key, value);
        }
    }

    fn part(&mut self, key: &Node, value: &Node) {
        let Some(word) = self.key(key) else { return };
        match PARTS.iter().find(|(name, _)| *name == word) {
            Some(_) if self.loader.only_parsers && !PARTS_OF_PARSER_FILES.contains(&word.as_str()) => {
                self.error(
                    key,
                    format!("section `{word}` cannot stand here"),
                    "a parsers_file holds parsers and multiline_parsers only",
                );
            }
            Some((_, read)) => read(self, key, value),
            None if word.starts_with("x-") => {}
            None => self.unknown("section", &word, key, PARTS.iter().map(|(name, _)| *name)),
        }
    }

    fn unknown<'a>(&mut self, what: &str, word: &str, key: &Node, known: impl Iterator<Item = &'a str> + Clone) {
        let hint = match nearest(word, known.clone()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.error(key, format!("unknown {what} `{word}`"), &hint);
    }

    fn without_effect(&mut self, name: &str, node: &Node) {
        let at = self.at(node);
        self.loader.report.note(
            Some(&at),
            format!("section `{name}` has no effect"),
            Some("it can be taken out".into()),
        );
    }

    fn unsupported(&mut self, name: &str, node: &Node) {
        self.error(
            node,
            format!("section `{name}` is not supported"),
            "take it out; without it less would be delivered than it says",
        );
    }

    fn includes(&mut self, node: &Node) {
        let one = std::slice::from_ref(node);
        let items = if node.text().is_some() && !node.is_null() { one } else { self.list("includes", node) };
        for item in items {
            match item.text() {
                Some(name) => self.include(name, item),
                None => self.error(item, format!("an include should be a file name, not {}", item.what()), ""),
            }
        }
    }

    fn include(&mut self, name: &str, node: &Node) {
        let at = self.at(node);
        self.loader.include(name, self.path, &at);
    }

    fn service(&mut self, node: &Node) {
        let pairs = self.map("service", node);
        let draft = self.draft(SectionKind::Service, node, pairs);
        self.loader.drafts.push(draft);
    }

    fn pipeline(&mut self, node: &Node) {
        for (key, value) in self.map("pipeline", node) {
            let Some(word) = self.key(key) else { continue };
            match PLUGINS.iter().find(|(name, _)| *name == word) {
                Some((name, kind)) => self.sections(name, *kind, value),
                None if word == "customs" => self.without_effect("customs", key),
                None => self.unknown("part of the pipeline", &word, key, PLUGINS.iter().map(|(name, _)| *name)),
            }
        }
    }

    fn sections(&mut self, title: &str, kind: SectionKind, node: &Node) {
        for item in self.list(title, node) {
            let pairs = self.map(&format!("each item of {title}"), item);
            if matches!(item.value, Value::Map(_)) || item.is_null() {
                let draft = self.draft(kind, item, pairs);
                self.loader.drafts.push(draft);
            }
        }
    }

    fn draft(&mut self, kind: SectionKind, node: &Node, pairs: &Pairs) -> Draft {
        let mut draft = Draft { kind: Some(kind), at: self.at(node), entries: Vec::new(), processors: Vec::new() };
        for (key, value) in pairs {
            let Some(word) = self.key(key) else { continue };
            match (kind, word.as_str()) {
                (SectionKind::Input | SectionKind::Output, "processors") => {
                    self.processors(value, &mut draft.processors)
                }
                (SectionKind::Input, "routes") => self.error(
                    key,
                    "`routes` of an input are not supported".into(),
                    "give the input a tag, and the outputs `match` or `match_regex`",
                ),
                (SectionKind::MultilineParser, "rules") => self.rules(key, value, &mut draft.entries),
                _ => self.values(kind, key, value, &mut draft.entries),
            }
        }
        draft
    }

    /// One entry per value.
    fn values(&mut self, kind: SectionKind, key: &Node, value: &Node, entries: &mut Vec<Entry>) {
        // There is an output of that name, and people do not quote it.
        let named_null = value.text() == Some("null") && key.text().is_some_and(|k| k.eq_ignore_ascii_case("name"));
        match &value.value {
            _ if value.is_null() && !named_null => self.empty(key),
            Value::Scalar { text, .. } => self.entry(key, text, value, entries),
            _ if kind == SectionKind::Processor && json::has_mapping(value) => {
                self.entry(key, &json::text(value), value, entries)
            }
            Value::List(items) => items.iter().for_each(|item| self.item(key, item, entries)),
            Value::Map(_) => self.not_a_text(key, value),
        }
    }

    fn item(&mut self, key: &Node, item: &Node, entries: &mut Vec<Entry>) {
        match &item.value {
            _ if item.is_null() => self.empty(key),
            Value::Scalar { text, .. } => self.entry(key, text, item, entries),
            _ => self.not_a_text(key, item),
        }
    }

    fn entry(&mut self, key: &Node, text: &str, value: &Node, entries: &mut Vec<Entry>) {
        let (key_at, value_at) = (self.at(key), self.at(value));
        entries.push(self.loader.entry(key.text().unwrap_or_default(), text, &key_at, &value_at));
    }

    fn empty(&mut self, key: &Node) {
        let at = self.at(key);
        self.loader.report_empty(key.text().unwrap_or_default(), &at);
    }

    fn not_a_text(&mut self, key: &Node, value: &Node) {
        let key = key.text().unwrap_or_default();
        let hint = format!(
            "write `{key}: text`, or a list with one text per item; texts that begin with `{{` or `[` need quotes"
        );
        self.error(value, format!("key `{key}` takes texts, not {}", value.what()), &hint);
    }

    fn processors(&mut self, node: &Node, drafts: &mut Vec<Draft>) {
        for (signal, list) in self.map("processors", node) {
            match self.key(signal).as_deref() {
                Some("logs") => self.processor_list(list, drafts),
                Some(name @ ("metrics" | "traces" | "profiles")) => {
                    self.without_effect(&format!("processors.{name}"), signal)
                }
                Some(name) => {
                    self.unknown("kind of processors", name, signal, ["logs", "metrics", "traces"].into_iter())
                }
                None => {}
            }
        }
    }

    fn processor_list(&mut self, list: &Node, drafts: &mut Vec<Draft>) {
        for item in self.list("processors.logs", list) {
            let pairs = self.map("each processor", item);
            if matches!(item.value, Value::Map(_)) {
                drafts.push(self.draft(SectionKind::Processor, item, pairs));
            }
        }
    }

    fn rules(&mut self, key: &Node, node: &Node, entries: &mut Vec<Entry>) {
        for item in self.list("rules", node) {
            let pairs = self.map("each rule", item);
            let part =
                |name: &str| pairs.iter().find(|(key, _)| key.text().is_some_and(|k| k.eq_ignore_ascii_case(name)));
            let texts = ["state", "regex", "next_state"].map(|name| part(name).and_then(|(_, value)| value.text()));
            match texts {
                _ if pairs.is_empty() => {}
                [Some(state), Some(regex), Some(next)] => self.rule(key, item, [state, regex, next], entries),
                _ => self.error(
                    item,
                    "a rule needs state, regex and next_state".into(),
                    "the first state is start_state",
                ),
            }
        }
    }

    fn rule(&mut self, key: &Node, item: &Node, parts: [&str; 3], entries: &mut Vec<Entry>) {
        let quoted = parts.map(|part| format!("\"{}\"", part.replace('"', "\\\"")));
        let (key_at, value_at) = (self.at(key), self.at(item));
        entries.push(self.loader.entry("rule", &quoted.join(" "), &key_at, &value_at));
    }
}
