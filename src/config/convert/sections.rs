//! Sections as the loader reads them, in either syntax, become a document.

use super::super::draft::Draft;
use super::super::loader::{Aside, Loader};
use super::super::{Entry, Location, Opt, Page, Presence, Section, SectionKind, Use};
use super::comments::Comments;
use super::document::{Document, Item, Lines, Pair, Text, Value};
use super::finding::{self, Finding, Verdict};
use std::collections::HashMap;
use std::sync::Arc;

/// What was read, as a document, with what becomes of each directive.
pub(super) fn convert(mut loader: Loader<'_>, pages: &[Page]) -> (Document, Vec<Finding>) {
    let drafts = std::mem::take(&mut loader.drafts);
    let asides = std::mem::take(&mut loader.asides);
    let parser_files = read_parser_files(&drafts, &mut loader);
    let comments = Comments::new(&loader.report.sources);
    let main = loader.report.sources.all().first().map(|(file, _)| Arc::clone(file));
    let mut converter = Converter {
        loader,
        pages,
        comments,
        main,
        document: Document::default(),
        findings: Vec::new(),
        carried: Lines::new(),
        carried_to_parsers: Lines::new(),
        last: HashMap::new(),
        file: HashMap::new(),
        read: parser_files.iter().filter(|(_, read)| *read).map(|(at, _)| at.clone()).collect(),
    };
    if let Some(main) = &converter.main {
        converter.document.head = converter.comments.head(main);
    }
    converter.all(drafts, asides);
    let drafts = std::mem::take(&mut converter.loader.drafts);
    let carried = std::mem::take(&mut converter.carried_to_parsers);
    converter.carried.extend(carried);
    let asides = std::mem::take(&mut converter.loader.asides);
    converter.all(drafts, asides);
    converter.finish()
}

/// Reads the files of `parsers_file`, each where its name stands; those that are not there keep their entry.
fn read_parser_files(drafts: &[Draft], loader: &mut Loader<'_>) -> Vec<(Location, bool)> {
    loader.only_parsers = true;
    let of_service = drafts.iter().filter(|draft| draft.kind == Some(SectionKind::Service));
    let entries: Vec<&Entry> =
        of_service.flat_map(|draft| &draft.entries).filter(|e| e.key == "parsers_file").collect();
    let mut read = Vec::new();
    for entry in entries {
        let path = loader.folder.join(loader.variables.expand(&entry.value).text);
        read.push((entry.value_at.clone(), loader.read_file(&path, Some(&entry.value_at))));
    }
    read
}

/// Where something was put: a list of the document, and which of it.
#[derive(Clone, Copy)]
struct Place(SectionKind, usize);

struct Converter<'l, 'p> {
    loader: Loader<'l>,
    pages: &'p [Page],
    comments: Comments,
    main: Option<Arc<str>>,
    document: Document,
    findings: Vec<Finding>,
    /// Comments of what has no place of its own, for the next section.
    carried: Lines,
    /// The same for the first parser.
    carried_to_parsers: Lines,
    /// Of each file the last line that was used, and the section that it belongs to.
    last: HashMap<Arc<str>, (u32, Option<Place>)>,
    /// The file of the last section of a kind.
    file: HashMap<&'static str, Arc<str>>,
    /// Parser files whose sections are in the document.
    read: Vec<Location>,
}

impl Converter<'_, '_> {
    fn all(&mut self, drafts: Vec<Draft>, asides: Vec<(usize, Aside)>) {
        let mut asides = asides.into_iter().peekable();
        for (number, draft) in drafts.into_iter().enumerate() {
            while let Some((_, aside)) = asides.next_if(|(before, _)| *before <= number) {
                self.aside(aside);
            }
            self.draft(draft);
        }
        asides.for_each(|(_, aside)| self.aside(aside));
    }

    fn aside(&mut self, aside: Aside) {
        let (Aside::Variable { at, .. } | Aside::Include { at, .. }) = &aside;
        self.end_of_section(&Location { column: TITLE_COLUMN, ..at.clone() });
        match aside {
            Aside::Variable { name, value, at } => {
                let comments = self.comments.right_above(&at);
                self.document.env.push(Pair { comments, ..Pair::new(&name, Value::One(Text::of(value))) });
                self.found(at, format!("variable {name}"), Verdict::Same, None);
            }
            Aside::Include { name, at, read: true } => {
                let comments = self.comments.right_above(&at);
                self.carried.extend(comments);
                self.found(
                    at,
                    format!("include {name}"),
                    Verdict::Same,
                    Some("its sections stand in its place".into()),
                );
            }
            Aside::Include { name, at, read: false } => {
                let comments = self.comments.right_above(&at);
                self.document.includes.push(Pair { comments, ..Pair::new(&name, Value::One(Text::of(name.as_str()))) });
                let why =
                    "it is not here and stays an include; drave reads both syntaxes, and its sections come first then";
                self.found(at, format!("include {name}"), Verdict::Near, Some(why.into()));
            }
        }
    }

    fn found(&mut self, at: Location, what: String, verdict: Verdict, detail: Option<String>) {
        self.findings.push(Finding { at, what, verdict, detail });
    }

    /// The comments above a place.
    fn above(&mut self, at: &Location) -> Lines {
        let (line, place) = self.last.get(&at.file).copied().unwrap_or_default();
        self.last.insert(Arc::clone(&at.file), (line.max(at.line), place));
        self.comments.before(at)
    }

    fn draft(&mut self, draft: Draft) {
        self.end_of_section(&draft.at);
        let comments = self.above(&draft.at);
        self.carried.extend(comments);
        let Some(kind) = draft.kind else { return };
        let Some((name, section)) = self.section(kind, &draft) else { return };
        let page = finding::page(kind, &section.name, self.pages);
        if kind != SectionKind::Service {
            let known: Vec<&str> = self.pages.iter().filter(|page| page.kind == kind).map(|page| page.name).collect();
            self.findings.push(finding::of_plugin(&section, page, &known));
        }
        let mut item = Item { comments: self.taken(kind, &draft.at), ..Item::default() };
        if let Some((name, entry)) = name {
            let comments = self.above(&entry.key_at);
            item.comments.extend(comments);
            item.pairs.push(Pair::new("name", Value::One(Text::of(name))));
        }
        self.entries(&section, page, &mut item);
        item.processors = draft.processors.into_iter().filter_map(|draft| self.processor(draft)).collect();
        self.put(kind, item, &draft.at);
    }

    /// What was carried to it; where the file changes, which one it is of.
    fn taken(&mut self, kind: SectionKind, at: &Location) -> Lines {
        let mut comments = std::mem::take(&mut self.carried);
        let before = self.file.insert(kind.word(), Arc::clone(&at.file));
        if before.as_ref() != Some(&at.file) && self.main.as_ref() != Some(&at.file) {
            let name = self.loader.folder.to_string_lossy();
            let shown = at.file.strip_prefix(&*name).unwrap_or(&at.file).trim_start_matches('/');
            comments.insert(0, format!("# {shown}"));
        }
        comments
    }

    /// Comments right below a section belong to it.
    fn end_of_section(&mut self, next: &Location) {
        let Some((end, Some(place))) = self.last.get(&next.file).copied() else { return };
        let tail = self.comments.tail(end, next);
        self.item(place).tail.extend(tail);
    }

    fn item(&mut self, Place(kind, index): Place) -> &mut Item {
        let list = match kind {
            SectionKind::Input => &mut self.document.inputs,
            SectionKind::Filter => &mut self.document.filters,
            SectionKind::Output => &mut self.document.outputs,
            SectionKind::Parser => &mut self.document.parsers,
            SectionKind::MultilineParser => &mut self.document.multiline_parsers,
            SectionKind::Service | SectionKind::Processor => return &mut self.document.service,
        };
        if index >= list.len() {
            list.push(Item::default());
        }
        let last = list.len() - 1;
        &mut list[index.min(last)]
    }

    fn put(&mut self, kind: SectionKind, item: Item, at: &Location) {
        let index = match kind {
            SectionKind::Input => self.document.inputs.len(),
            SectionKind::Filter => self.document.filters.len(),
            SectionKind::Output => self.document.outputs.len(),
            SectionKind::Parser => self.document.parsers.len(),
            SectionKind::MultilineParser => self.document.multiline_parsers.len(),
            SectionKind::Service | SectionKind::Processor => 0,
        };
        let place = Place(kind, index);
        if kind == SectionKind::Service {
            let service = &mut self.document.service;
            // Several sections are one; of a key that stands in both the last counts.
            let is_again = |pair: &Pair| item.pairs.iter().any(|new| new.key == pair.key) && pair.key != "parsers_file";
            service.pairs.retain(|pair| !is_again(pair));
            service.comments.extend(item.comments);
            service.pairs.extend(item.pairs);
        } else {
            *self.item(place) = item;
        }
        let line = self.last.get(&at.file).map_or(at.line, |(line, _)| *line);
        self.last.insert(Arc::clone(&at.file), (line, Some(place)));
    }

    /// The section without its name, and the name as it is written. Without one it is a mistake.
    fn section(&mut self, kind: SectionKind, draft: &Draft) -> Option<(Option<(String, Entry)>, Section)> {
        let (names, entries): (Vec<&Entry>, Vec<&Entry>) =
            draft.entries.iter().partition(|entry| entry.key == "name" && kind != SectionKind::Service);
        let entries = entries.into_iter().cloned().collect();
        let folder = self.loader.folder.clone();
        let mut section = Section { kind, name: String::new(), at: draft.at.clone(), entries, folder };
        if kind == SectionKind::Service {
            return Some((None, section));
        }
        let Some(entry) = names.last().filter(|entry| !entry.value.trim().is_empty()) else {
            self.loader.report_no_name(kind, &draft.at);
            return None;
        };
        let written = entry.value.trim();
        let name = if kind.is_parser() { written.to_owned() } else { written.to_ascii_lowercase() };
        section.name = self.loader.variables.expand(&name).text;
        Some((Some((name, (*entry).clone())), section))
    }

    fn processor(&mut self, draft: Draft) -> Option<Item> {
        let (name, section) = self.section(SectionKind::Processor, &draft)?;
        let page = finding::page(SectionKind::Processor, &section.name, self.pages);
        let known: Vec<&str> = self.pages.iter().filter(|p| p.kind == SectionKind::Processor).map(|p| p.name).collect();
        self.findings.push(finding::of_plugin(&section, page, &known));
        let mut item = Item { comments: self.above(&draft.at), ..Item::default() };
        item.pairs.extend(name.map(|(name, _)| Pair::new("name", Value::One(Text::of(name)))));
        self.entries(&section, page, &mut item);
        Some(item)
    }

    fn entries(&mut self, section: &Section, page: Option<&Page>, item: &mut Item) {
        for (number, entry) in section.entries.iter().enumerate() {
            let comments = self.above(&entry.key_at);
            let is_parsers_file = section.kind == SectionKind::Service && entry.key == "parsers_file";
            if is_parsers_file && self.read.contains(&entry.value_at) {
                self.carried_to_parsers.extend(comments);
                let why = "its parsers stand under `parsers` and `multiline_parsers`";
                self.found(entry.key_at.clone(), "service parsers_file".into(), Verdict::Same, Some(why.into()));
                continue;
            }
            let in_list = number > 0 && entry.is_of_one_list_with(&section.entries[number - 1]);
            if let Some(page) = page.filter(|_| !in_list) {
                let value = self.loader.variables.expand(&entry.value).text;
                self.findings.push(finding::of_entry(section, entry, page, &value));
            }
            let option = finding::option(page, &entry.key);
            let repeats = option.is_none_or(|option| option.presence == Presence::Repeated);
            let is_text = |option: &Opt| TEXTS.contains(&option.kind) && option.usage() == Use::Works;
            let bare = option.is_some_and(|option| !is_text(option));
            let text = Text { text: entry.value.clone(), bare };
            let value = Given { comments, text, in_list, repeats };
            self.add(section, entry, value, item);
        }
    }

    /// Adds a value: to the list that it stands in, to the values of its key, or in place of an earlier one.
    fn add(&mut self, section: &Section, entry: &Entry, value: Given, item: &mut Item) {
        let Given { comments, text, in_list, repeats } = value;
        let pair = |comments: Lines, value: Value| Pair { comments, repeats, ..Pair::new(&entry.key, value) };
        let rules = section.kind == SectionKind::MultilineParser && entry.key == "rule";
        if let Some(rule) = rules.then(|| rule_parts(&text.text)).flatten() {
            match item.pairs.last_mut() {
                Some(Pair { value: Value::Rules(list), .. }) => list.push((comments, rule)),
                _ => item.pairs.push(Pair::new("rules", Value::Rules(vec![(comments, rule)]))),
            }
            return;
        }
        if section.kind == SectionKind::Processor && is_nested(&text.text) {
            return item.pairs.push(pair(comments, Value::Json(text.text)));
        }
        let earlier = item.pairs.iter().rposition(|pair| pair.key == entry.key);
        match earlier {
            Some(at) if in_list || (repeats && item.may_join(at)) => item.pairs[at].join(comments, text),
            Some(at) if !repeats => {
                let mut lines = item.pairs.remove(at).comments;
                lines.extend(comments);
                item.pairs.push(pair(lines, Value::One(text)));
                self.overridden(&format!("{} {}", section.title(), entry.key), &entry.key_at);
            }
            Some(_) => {
                item.pairs.push(pair(comments, Value::One(text)));
                let why = "the key stands again, since the order counts of what stands between";
                self.findings.last_mut().into_iter().for_each(|finding| finding.detail = Some(why.into()));
            }
            None => item.pairs.push(pair(comments, Value::One(text))),
        }
    }

    /// Of a key with one value the last counts.
    fn overridden(&mut self, what: &str, again: &Location) {
        let earlier = self.findings.iter_mut().rev().find(|finding| finding.what == what && finding.at != *again);
        if let Some(finding) = earlier {
            finding.verdict = Verdict::NoEffect;
            finding.detail = Some(format!("it stands again at {again}, and the last counts"));
        }
    }

    /// Gives what is left of the comments a place.
    fn finish(mut self) -> (Document, Vec<Finding>) {
        for file in self.comments.files() {
            self.end_of_section(&Location { file: Arc::clone(&file), line: u32::MAX, column: TITLE_COLUMN });
            let rest = self.comments.rest(&file);
            match self.last.get(&file).copied() {
                Some((_, Some(place))) if Some(&file) != self.main.as_ref() => self.item(place).tail.extend(rest),
                _ => self.document.tail.extend(rest),
            }
        }
        let carried = std::mem::take(&mut self.carried);
        self.document.tail.extend(carried);
        (self.document, self.findings)
    }
}

/// Where the word of a title stands that is not indented.
const TITLE_COLUMN: u32 = 2;

/// Kinds of options whose values keep their quotes.
const TEXTS: [&str; 4] = ["string", "list", "path", "address"];

/// A value on its way into a section.
struct Given {
    comments: Lines,
    text: Text,
    /// It follows another one in a list of YAML.
    in_list: bool,
    /// The key may have several values.
    repeats: bool,
}

impl Item {
    /// May another value stand with those of the pair `at`? Where other keys that repeat stand between, their order counts, as in
    /// `modify`.
    fn may_join(&self, at: usize) -> bool {
        self.pairs[at + 1..].iter().all(|pair| !pair.repeats)
    }
}

impl Pair {
    fn join(&mut self, comments: Lines, text: Text) {
        let value = std::mem::replace(&mut self.value, Value::List(Vec::new()));
        let mut items = match value {
            Value::List(items) => items,
            Value::One(first) => vec![(Lines::new(), first)],
            other @ (Value::Rules(_) | Value::Json(_)) => {
                self.value = other;
                return;
            }
        };
        items.push((comments, text));
        self.value = Value::List(items);
    }
}

/// `"state" "expression" "next state"`, where nothing else stands between the quotes.
fn rule_parts(text: &str) -> Option<[String; 3]> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while let Some(inner) = rest.strip_prefix('"') {
        let (mut part, mut signs) = (String::new(), inner.char_indices().peekable());
        let end = loop {
            match signs.next()? {
                (_, '\\') if signs.peek().is_some_and(|(_, sign)| *sign == '"') => {
                    part.extend(signs.next().map(|(_, c)| c))
                }
                (at, '"') => break at + 1,
                (_, sign) => part.push(sign),
            }
        };
        parts.push(part);
        rest = inner[end..].trim_start();
    }
    let parts: [String; 3] = parts.try_into().ok().filter(|_| rest.is_empty())?;
    // Written anew, a backslash before a quote would come out as the quote alone.
    (!parts.iter().any(|part| part.ends_with('\\') || part.contains("\\\""))).then_some(parts)
}

/// What the YAML reader makes of a mapping in a processor.
fn is_nested(text: &str) -> bool {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return false };
    let written = value.to_string();
    (value.is_object() || value.is_array()) && written == text
}
