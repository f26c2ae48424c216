//! The parser format `json`: the members of an object become the record's fields.

use super::{ParseError, Parser};
use crate::config::{Report, Section};
use crate::record::json_read::{self, Member};
use crate::record::time::{civil_from_days, strptime};
use crate::record::{Batch, Field, Shape, Span, Value};
use std::time::{SystemTime, UNIX_EPOCH};

crate::options! {
    /// A parser section; of the formats, `json` is there.
    pub struct ParserOptions {
        /// What the text is: `json`.
        format: String, "format", required;
        /// The field that holds the record's time.
        time_key: String, "time_key", optional;
        /// How that time is written, in strptime's terms and `%L` for fractions of a second.
        time_format: String, "time_format", optional;
        /// Whether the field of the time stays in the record.
        time_keep: bool, "time_keep", default "off";
    }
    no_effect {
        "time_strict": "a time that does not fit stays in its field";
        "types": "values of JSON have types";
        "skip_empty_values": "values of JSON stay, empty ones too";
        "logfmt_no_bare_keys": "it is for logfmt";
    }
}

/// Options of Fluent Bit's that would change records and are not there yet: a parser with one of them cannot be used.
const NOT_THERE: &[&str] = &["decode_field", "decode_field_as", "time_offset", "time_zone", "time_system_timezone"];

/// Keys up to which a linear look for doubled keys is the quickest.
const FEW_KEYS: usize = 64;

/// Parses objects.
#[derive(Debug, Clone)]
pub struct JsonParser {
    time: Option<(String, String)>,
    time_keep: bool,
}

impl JsonParser {
    /// No time, all members.
    pub fn plain() -> Self {
        Self { time: None, time_keep: false }
    }

    /// All members of a line of Docker's, and its time.
    pub(super) fn docker() -> Self {
        Self { time: Some(("time".into(), "%Y-%m-%dT%H:%M:%S.%L%z".into())), time_keep: true }
    }

    /// From a `[PARSER]` section; what is wrong is in the report. A format that drave does not have is only a note here,
    /// since parser files define many that nobody uses; so is an option that it does not have.
    pub fn from_section(section: &Section, report: &mut Report) -> Option<Self> {
        let format = section.get("format");
        if let Some(format) = format.filter(|f| !f.value.eq_ignore_ascii_case("json")) {
            let what = format!("parser {} has the format `{}`, which is not there", section.name, format.value);
            report.note(Some(&format.value_at), what, Some(format!("formats: {}", super::FORMATS.join(", "))));
            return None;
        }
        if let Some(entry) = NOT_THERE.iter().find_map(|key| section.get(key)) {
            let what = format!("parser {} has the option `{}`, which is not there yet", section.name, entry.key);
            report.note(Some(&entry.key_at), what, Some("it can be defined, but not be used".into()));
            return None;
        }
        section.check_keys(&[ParserOptions::OPTIONS], report);
        let options = ParserOptions::from_section(section, report)?;
        let time = options.time_key.zip(options.time_format);
        Some(Self { time, time_keep: options.time_keep })
    }

    /// Takes the time out of its field, where it fits; a time that does not fit stays as a field.
    fn take_time(&self, batch: &mut Batch, record: usize, fields_start: usize) {
        let Some((key, format)) = &self.time else { return };
        let fields = &batch.fields[fields_start..];
        let Some(at) = fields.iter().position(|f| batch.bytes(f.key) == key.as_bytes()) else { return };
        let Some(time_ns) = field_time(batch, fields[at].value, format) else { return };
        if time_ns != 0 {
            batch.records[record].time_ns = time_ns;
            if !self.time_keep {
                batch.fields.remove(fields_start + at);
            }
        }
    }
}

fn field_time(batch: &Batch, value: Value, format: &str) -> Option<i64> {
    let text = match value {
        Value::Json(span) => batch.bytes(span).strip_prefix(b"\"")?.strip_suffix(b"\"")?,
        Value::Text(span) => batch.bytes(span),
    };
    strptime(std::str::from_utf8(text).ok()?, format, this_year())
}

fn this_year() -> i64 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    civil_from_days((seconds / 86_400) as i64).0
}

impl Parser for JsonParser {
    fn parse(&self, batch: &mut Batch, record: usize) -> Result<(), ParseError> {
        let span = batch.records[record].text;
        let start = span.start as usize;
        let fields_start = batch.fields.len();
        let mut rewritten = Vec::new();
        let fields = &mut batch.fields;
        let text = span.of(&batch.text);
        let is_object = json_read::object(text, |member| {
            if member.dirty || member.key_escaped {
                rewritten.push((fields.len(), member));
            }
            fields.push(Field {
                key: Span::new(start + member.key.0, start + member.key.1),
                value: Value::Json(Span::new(start + member.value.0, start + member.value.1)),
            });
        });
        if !is_object {
            batch.fields.truncate(fields_start);
            return Err(ParseError);
        }
        for (index, member) in rewritten {
            rewrite(batch, start, index, member);
        }
        keep_last_of_each_key(batch, fields_start);
        self.take_time(batch, record, fields_start);
        let end = batch.fields.len() as u32;
        let record = &mut batch.records[record];
        (record.fields_start, record.fields_end, record.shape) = (fields_start as u32, end, Shape::Fields);
        Ok(())
    }
}

/// Puts a member that cannot stay as it is into the arena, with its key unescaped.
pub(super) fn rewrite(batch: &mut Batch, start: usize, index: usize, member: Member) {
    let slice = |(from, to): (usize, usize)| batch.text[start + from..start + to].to_vec();
    let (mut key, value) = (slice(member.key), slice(member.value));
    if member.key_escaped {
        let mut plain = Vec::new();
        if json_read::unescape(&key, &mut plain).is_some() {
            key = plain;
        }
    }
    let mut clean = Vec::new();
    json_read::clean(&value, &mut clean);
    let key = batch.append(&key);
    let value = Value::Json(batch.append(&clean));
    batch.fields[index] = Field { key, value };
    batch.utf8 = false;
}

/// Readers of JSON take the last of doubled keys, so only that is kept.
fn keep_last_of_each_key(batch: &mut Batch, from: usize) {
    let text = &batch.text;
    let keys = |fields: &[Field]| fields.iter().map(|f| f.key.of(text)).collect::<Vec<_>>();
    let count = batch.fields.len() - from;
    let doubled: Vec<usize> = if count <= FEW_KEYS {
        let fields = &batch.fields[from..];
        let again = |i: &usize| {
            fields[i + 1..].iter().any(|f| f.key.len == fields[*i].key.len && f.key.of(text) == fields[*i].key.of(text))
        };
        (0..count).filter(again).collect()
    } else {
        let mut seen = std::collections::HashSet::new();
        let keys = keys(&batch.fields[from..]);
        (0..count).rev().filter(|i| !seen.insert(keys[*i])).collect()
    };
    if !doubled.is_empty() {
        let mut index = 0;
        let mut kept = batch.fields.split_off(from);
        kept.retain(|_| {
            index += 1;
            !doubled.contains(&(index - 1))
        });
        batch.fields.append(&mut kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Source, SourceDraft, json};
    use std::sync::Arc;

    fn check(parser: &JsonParser, text: &str, expect: Option<&str>) {
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let text_span = batch.append(text.as_bytes());
        batch.records.push(Record { text: text_span, time_ns: 5, ..Record::default() });
        let parsed = parser.parse(&mut batch, 0).is_ok();
        let mut out = format!("{}|", batch.records[0].time_ns).into_bytes();
        json::push_members(&mut out, &batch, &batch.records[0], false);
        let found = String::from_utf8(out).expect("JSON is UTF-8");
        assert_eq!(parsed.then_some(found.as_str()), expect, "{text}");
    }

    #[test]
    fn members_become_fields() {
        let plain = JsonParser::plain();
        check(&plain, r#"{"a":1,"b":{"c":[true,null]}}"#, Some(r#"5|"a":1,"b":{"c":[true,null]}"#));
        check(&plain, r#"{"a":1,"b":2,"a":3}"#, Some(r#"5|"b":2,"a":3"#));
        check(&plain, r#"{"a\"b":"x"}"#, Some(r#"5|"a\"b":"x""#));
        check(&plain, "{\"a\":\"raw\ttab\"}", Some(r#"5|"a":"raw\ttab""#));
        check(&plain, "{}", Some("5|"));
        check(&plain, "not json", None);
        let many = (0..100).map(|i| format!("\"k{}\":{i}", i % 90)).collect::<Vec<_>>().join(",");
        let expect = (10..100).map(|i| format!("\"k{}\":{i}", i % 90)).collect::<Vec<_>>().join(",");
        check(&plain, &format!("{{{many}}}"), Some(&format!("5|{expect}")));
    }

    #[test]
    fn the_time_comes_from_its_field() {
        let time = Some(("time".to_owned(), "%Y-%m-%dT%H:%M:%S.%L%z".to_owned()));
        let parser = JsonParser { time, time_keep: false };
        check(&parser, r#"{"time":"2024-03-01T10:00:00.5Z","a":1}"#, Some(r#"1709287200500000000|"a":1"#));
        check(&parser, r#"{"time":"yesterday","a":1}"#, Some(r#"5|"time":"yesterday","a":1"#));
        check(&parser, r#"{"time":1709287200,"a":1}"#, Some(r#"5|"time":1709287200,"a":1"#));
        let keeping = JsonParser { time_keep: true, ..parser };
        check(
            &keeping,
            r#"{"time":"2024-03-01T10:00:00.5Z"}"#,
            Some(r#"1709287200500000000|"time":"2024-03-01T10:00:00.5Z""#),
        );
    }
}
