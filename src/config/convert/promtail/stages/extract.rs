//! Stages that make fields of a text: `json`, `regex`, `logfmt`, and `timestamp`, which says which of them is the time.

use super::super::super::document::{Item, Text};
use super::super::super::finding::Verdict;
use super::{Converter, Node, Outcome, Read, Stream, Value, key_of, layout, near, pattern, root, same, unsupported};

impl Converter<'_, '_> {
    /// A name that no other parser has.
    pub(super) fn new_name(&mut self, name: &str) -> String {
        let all = self.document.parsers.iter().chain(&self.document.multiline_parsers);
        let taken: Vec<&str> = all
            .filter_map(|item| match &item.pairs.first()?.value {
                super::super::super::document::Value::One(text) => Some(text.text.as_str()),
                _ => None,
            })
            .collect();
        let mut new = name.to_owned();
        let mut number = 2;
        while taken.contains(&new.as_str()) {
            new = format!("{name}-{number}");
            number += 1;
        }
        new
    }

    pub(super) fn json(&mut self, node: &Node, stream: &mut Stream) -> Outcome {
        let mut lost = Vec::new();
        let mut found = Vec::new();
        for (key, value) in node.get("expressions").map(Read::pairs).unwrap_or_default() {
            let name = key.text().unwrap_or_default();
            let path = value.text().filter(|path| !value.is_null() && !path.is_empty()).unwrap_or(name);
            match pattern::accessor(path) {
                Some(accessor) => found.push((name.to_owned(), accessor)),
                None => lost.push(name),
            }
        }
        if let Err(outcome) = self.parse_by("json", node, Item::default(), &found, stream) {
            return outcome;
        }
        match (lost.is_empty(), node.get("drop_malformed").is_some_and(Read::is_on)) {
            (false, _) => {
                unsupported(format!("accessors such as $a['b'][0] are there; {} asks for more", lost.join(", ")))
            }
            (true, true) => near("`drop_malformed`: a line that is no JSON passes as it is; `grep` leaves it out"),
            (true, false) => same(),
        }
    }

    pub(super) fn logfmt(&mut self, node: &Node, stream: &mut Stream) -> Outcome {
        let pairs = node.get("mapping").map(Read::pairs).unwrap_or_default().iter();
        let named = pairs.map(|(key, value)| {
            let name = key.text().unwrap_or_default();
            (name, value.text().filter(|text| !value.is_null() && !text.is_empty()).unwrap_or(name))
        });
        let found: Vec<(String, String)> =
            named.filter_map(|(name, source)| Some((name.to_owned(), pattern::field(source)?))).collect();
        self.parse_by("logfmt", node, Item::default(), &found, stream).err().unwrap_or_else(same)
    }

    pub(super) fn regex(&mut self, node: &Node, stream: &mut Stream) -> Outcome {
        let Some(expression) = node.get_text("expression") else { return unsupported("`expression` is missing") };
        let names = pattern::groups(expression);
        if names.is_empty() {
            return unsupported("its expression has no named group, so it extracts nothing");
        }
        // A field that is there already would win over what is found.
        let of_container = |name: &str| stream.container.is_some() && name == "stream";
        let taken =
            |name: &str| stream.roots.contains(name) || matches!(name, "log" | "filename") || of_container(name);
        let own = |name: &str| {
            let mut key = name.to_owned();
            while taken(&key) {
                key.push('_');
            }
            key
        };
        let found: Vec<(String, String)> = names.iter().map(|name| (name.clone(), format!("${}", own(name)))).collect();
        let regex = pattern::ruby(expression, own);
        let options = Item::default().with("regex", regex);
        self.parse_by("regex", node, options, &found, stream).err().unwrap_or_else(same)
    }

    /// A parser for the stage, and a filter that uses it. `found`: names of Promtail's with what they are now.
    fn parse_by(
        &mut self,
        format: &'static str,
        node: &Node,
        options: Item,
        found: &[(String, String)],
        stream: &mut Stream,
    ) -> Result<(), Outcome> {
        let source = match node.get_text("source") {
            None => "log".to_owned(),
            Some(name) => match stream.named(name).as_ref().and_then(Value::as_field) {
                Some(field) => field.to_owned(),
                None => return Err(unsupported(format!("no stage that could be converted extracts {name}"))),
            },
        };
        let known = format!("{format} {source}");
        let number = match stream.parsers.get(&known).copied().filter(|_| format != "regex") {
            Some(number) => number,
            None => self.new_parser(format, &source, options, stream),
        };
        stream.parsers.insert(known, number);
        stream.is_open |= format != "regex";
        for (name, accessor) in found {
            stream.parsers.insert(accessor.clone(), number);
            stream.roots.insert(root(accessor).to_owned());
            stream.extracted.insert(name.clone(), Value::field(accessor.as_str()));
        }
        Ok(())
    }

    fn new_parser(&mut self, format: &str, source: &str, options: Item, stream: &mut Stream) -> usize {
        let first = !stream.filters.iter().any(|filter| filter.pairs.iter().any(|pair| pair.key == "key_name"));
        if stream.container.is_some() && first {
            // What the container's runtime says must not hide what the line says.
            let others = stream.filter("record_modifier").with_list("remove_key", ["time", "_p"].map(str::to_owned));
            stream.filters.push(others);
        }
        let name = self.new_name(&format!("{}-{format}", stream.tag));
        let mut parser = Item::named(&name).with_bare("format", format);
        parser.pairs.extend(options.pairs);
        self.document.parsers.push(parser);
        let filter = stream.filter("parser").with("key_name", source).with("parser", name);
        stream.filters.push(filter.with_bare("preserve_key", "on").with_bare("reserve_data", "on"));
        self.document.parsers.len() - 1
    }

    pub(super) fn timestamp(&mut self, node: &Node, stream: &mut Stream) -> Outcome {
        let source = node.get_text("source").unwrap_or_default();
        let Some(field) = stream.named(source).as_ref().and_then(Value::as_field).map(str::to_owned) else {
            return unsupported(format!("no stage that could be converted extracts {source}"));
        };
        let layout = node.get_text("format").unwrap_or_default();
        let Some(format) = layout::format(layout) else {
            return unsupported(format!(
                "`time_format` of a parser reads times by strptime; {layout} has no counterpart there"
            ));
        };
        let number = stream.parsers.get(&field).copied();
        if number < stream.in_match {
            return unsupported("within `match`: the parser is for the other records too, and so is its time");
        }
        let parser = number.and_then(|number| self.document.parsers.get_mut(number));
        let (Some(parser), Some(key)) = (parser, key_of(&field)) else {
            return unsupported("`time_key` of a parser names a field that it brings, and not inside a map");
        };
        if parser.pairs.iter().any(|pair| pair.key == "time_key") {
            return unsupported("a parser knows one time; the stage before this one set it");
        }
        parser.set("time_key", Text::of(key));
        parser.set("time_format", Text::of(format.format));
        parser.set("time_keep", Text::bare("on"));
        if !format.strict {
            parser.set("time_strict", Text::bare("off"));
        }
        if let Some(zone) = node.get_text("location") {
            parser.set("time_zone", Text::of(zone));
        }
        match (node.get("fallback_formats"), node.get_text("action_on_failure")) {
            (Some(_), _) => near("`fallback_formats`: a parser knows one format; list a second parser in the filter"),
            (None, Some("fudge")) => near("a time that does not fit is the time of reading"),
            (None, _) => (Verdict::Same, "`time_key` of the parser".into()),
        }
    }
}
