//! Reads a field with parsers: what they find takes the place of the record's fields, or comes to them.
//!
//! ```yaml
//! filters:
//!   - name: parser
//!     match: 'kube.*'
//!     key_name: log
//!     parser: [json, nginx]
//!     reserve_data: on
//! ```
//! The parsers are tried in order; a record that none of them understands passes as it is.

use super::{Each, Filter, FilterConfig, FilterPlugin, Plan};
use crate::config::{Report, Section};
use crate::parse::{self, Parser};
use crate::record::{Accessor, Batch, Found, SourceDraft, Span};
use std::ops::Range;
use std::sync::Arc;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "parser",
    about: "Reads a field with parsers and makes fields of what they find.",
    options: &[ParserFilterOptions::OPTIONS],
    deviations: &[],
    configure,
};

crate::options! {
    /// What is read, with what, and what stays.
    pub struct ParserFilterOptions {
        /// The field that is read: a key or a record accessor.
        key_name: String, "key_name", required;
        /// The name of a parser; several are tried in the order of the file.
        parser: String, "parser", repeated;
        /// The field that was read stays.
        preserve_key: bool, "preserve_key", default "off";
        /// The other fields stay; they win over what was found.
        reserve_data: bool, "reserve_data", default "off";
    }
    no_effect {
        "unescape_key": "parsers say with `decode_field` what is escaped";
    }
}

fn configure(section: &Section, config: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = ParserFilterOptions::from_section(section, report)?;
    let accessor = match Accessor::parse(options.key_name.trim()) {
        Ok(accessor) => accessor,
        Err(error) => {
            let what = format!("key_name of {} is no key: {error}", section.title());
            report.error(section.get("key_name").map(|e| &e.value_at), what, Some(error.hint().into()));
            return None;
        }
    };
    let mut parsers = Vec::new();
    for entry in section.all("parser") {
        let name = entry.value.trim();
        match parse::parser(name, config.parsers) {
            Some(parser) => parsers.push(parser),
            None => {
                let is_known = config.parsers.iter().any(|section| section.name == name);
                let (what, hint) = match is_known {
                    true => ("cannot be used", "the notes say what of it is not there"),
                    false => ("is not defined", "define it under `parsers`, or name its file with `parsers_file`"),
                };
                let what = format!("parser {name}, which {} asks for, {what}", section.title());
                report.error(Some(&entry.value_at), what, Some(hint.into()));
            }
        }
    }
    if section.get("parser").is_none() {
        let what = format!("{} needs the option `parser`", section.title());
        report.error(Some(&section.at), what, Some("add `parser: json`, or the name of one of yours".into()));
    }
    let steps = Steps { accessor, parsers, preserve_key: options.preserve_key, reserve_data: options.reserve_data };
    Some(Box::new(ParserFilter { steps: Arc::new(steps) }))
}

struct Steps {
    accessor: Accessor,
    parsers: Vec<Arc<dyn Parser>>,
    preserve_key: bool,
    reserve_data: bool,
}

struct ParserFilter {
    steps: Arc<Steps>,
}

impl Filter for ParserFilter {
    fn plan(&mut self, _: &mut SourceDraft) -> Plan {
        Plan::Each(Box::new(ParseEach { steps: Arc::clone(&self.steps), buffer: Vec::new() }))
    }
}

struct ParseEach {
    steps: Arc<Steps>,
    buffer: Vec<u8>,
}

impl ParseEach {
    /// The text to read, in the batch's arena.
    fn text(&mut self, batch: &mut Batch, record: usize) -> Option<Span> {
        let found = self.steps.accessor.find(batch, record)?;
        match found {
            Found::Text(text) | Found::Json([b'"', text @ .., b'"']) if !has_escape(found) => {
                // Borrowed from the arena, but for what the source shares.
                let start = (text.as_ptr() as usize).wrapping_sub(batch.text.as_ptr() as usize);
                let within = start.checked_add(text.len()).is_some_and(|end| end <= batch.text.len());
                if within {
                    return Some(Span::new(start, start + text.len()));
                }
                self.buffer.clear();
                self.buffer.extend_from_slice(text);
            }
            found => _ = found.string(&mut self.buffer)?,
        }
        Some(batch.append(&self.buffer))
    }

    fn apply_to(&mut self, batch: &mut Batch, record: usize) {
        let Some(text) = self.text(batch, record) else { return };
        let steps = Arc::clone(&self.steps);
        if steps.reserve_data {
            batch.own_fields(record);
        }
        // An empty text is nothing that could be read.
        let before = batch.records[record];
        batch.records[record].text = text;
        if text.len == 0 || !steps.parsers.iter().any(|parser| parser.parse(batch, record).is_ok()) {
            let time_ns = before.time_ns;
            batch.records[record] = before;
            batch.records[record].time_ns = time_ns;
            return;
        }
        batch.records[record].text = before.text;
        let key = steps.accessor.root_key().filter(|_| !steps.accessor.is_nested()).unwrap_or_default();
        let old = before.fields_start as usize..before.fields_end as usize;
        if steps.reserve_data {
            self.reserve(batch, record, old, key);
        } else {
            batch.records[record].owns_shared = true;
            batch.records[record].owns_place = true;
            if steps.preserve_key && !key.is_empty() {
                preserve(batch, record, key, text);
            }
        }
    }

    /// The fields that were there before follow what was found, and win over it.
    fn reserve(&self, batch: &mut Batch, record: usize, old: Range<usize>, key: &[u8]) {
        for at in old {
            let field = batch.fields[at];
            if self.steps.preserve_key || batch.bytes(field.key) != key {
                batch.set_field(record, field);
            }
        }
    }
}

fn has_escape(found: Found<'_>) -> bool {
    matches!(found, Found::Json(json) if memchr::memchr(b'\\', json).is_some())
}

fn preserve(batch: &mut Batch, record: usize, key: &[u8], text: Span) {
    let field = crate::record::Field { key: batch.intern(key), value: crate::record::Value::Text(text) };
    batch.set_field(record, field);
}

impl Each for ParseEach {
    fn apply(&mut self, batch: &mut Batch) {
        for record in 0..batch.records.len() {
            self.apply_to(batch, record);
        }
    }

    fn owns_shared(&self) -> bool {
        !self.steps.reserve_data
    }

    fn parses(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn what_is_found_takes_the_place_of_the_fields() {
        let text = r#"{"log":"{\"a\":1,\"b\":\"x\\ny\"}","b":2}"#;
        for (options, record, expect) in [
            ("{key_name: log, parser: json}", text, r#"{"a":1,"b":"x\ny"}"#),
            ("{key_name: log, parser: json, reserve_data: on}", text, r#"{"a":1,"b":2}"#),
            ("{key_name: log, parser: json}", r#"{"log":"{\"a\":1} no"}"#, r#"{"log":"{\"a\":1} no"}"#),
            ("{key_name: log, parser: json}", r#"{"log":5}"#, r#"{"log":5}"#),
            ("{key_name: log, parser: json}", r#"{"log":""}"#, r#"{"log":""}"#),
            (
                "{key_name: \"$m['log']\", parser: json, reserve_data: on}",
                r#"{"m":{"log":"{\"a\":1}"},"c":2}"#,
                r#"{"a":1,"m":{"log":"{\"a\":1}"},"c":2}"#,
            ),
            (
                "{key_name: l, parser: json, preserve_key: on}",
                r#"{"l":"{\"a\":1}","c":2}"#,
                r#"{"a":1,"l":"{\"a\":1}"}"#,
            ),
        ] {
            check("parser", options, record, expect);
        }
    }
}
