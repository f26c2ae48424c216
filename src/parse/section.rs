//! A parser as a section describes it: how a text becomes fields, which of them is the time, what is decoded further.
//!
//! ```text
//! [PARSER]
//!     name        app
//!     format      regex
//!     regex       ^(?<time>\S+ \S+) (?<level>[A-Z]+) (?<code>\d+) (?<message>.*)$
//!     time_key    time
//!     time_format %Y-%m-%d %H:%M:%S
//!     types       code:integer
//! ```

use super::decode::{self, Decoding};
use super::expression::Fields;
use super::logfmt::Logfmt;
use super::time_field::{TimeField, Zone};
use super::types::Types;
use super::{ParseError, Parser, json, ltsv};
use crate::config::{Report, Section};
use crate::record::{Batch, Shape};

crate::option_enum! {
    /// What a text is.
    pub enum Format {
        /// The named groups of an expression.
        Regex = "regex",
        /// The members of an object.
        Json = "json",
        /// `key=value` and `key="value"`.
        Logfmt = "logfmt",
        /// `label:value`, between tabs.
        Ltsv = "ltsv",
    }
}

crate::options! {
    /// A parser section.
    pub struct ParserOptions {
        /// What the text is: regex, json, logfmt, ltsv.
        format: Format, "format", required;
        /// With `format regex`: an expression as Ruby has them; its named groups are the fields.
        regex: String, "regex", optional;
        /// The field that holds the record's time; with a `time_format` it is `time` where nothing else is said.
        time_key: String, "time_key", optional;
        /// How that time is written, in strptime's terms and `%L` for fractions of a second. A year that is not said is this one.
        time_format: String, "time_format", optional;
        /// Whether the field of the time stays in the record.
        time_keep: bool, "time_keep", default "off";
        /// Off: of a time that does not fit as a whole, what fits counts.
        time_strict: bool, "time_strict", default "on";
        /// How far times that say no zone are from UTC: `+0200`, `-05:30`.
        time_offset: String, "time_offset", optional;
        /// The zone of times that say none, by its name: `Europe/Berlin`.
        time_zone: String, "time_zone", optional;
        /// Whether times that say no zone are in that of the machine.
        time_system_timezone: bool, "time_system_timezone", default "off";
        /// What fields are besides text: `key:type` items with the types integer, float, bool, hex and string. Not for json.
        types: String, "types", optional;
        /// With `format regex`: whether groups that are empty are left out.
        skip_empty_values: bool, "skip_empty_values", default "on";
        /// With `format logfmt`: a text with a word that has no `=` is none of the format.
        logfmt_no_bare_keys: bool, "logfmt_no_bare_keys", default "off";
        /// `json FIELD`: the members of the object in a field stand beside it. May be given several times.
        decode_field: String, "decode_field", repeated;
        /// `json|escaped|escaped_utf8|mysql_quoted FIELD [do_next|try_next]`: a field is replaced by what it holds. May be given several times.
        decode_field_as: String, "decode_field_as", repeated;
    }
    deviations {
        "a time that does not fit": "stays in its field; the `regex` of Fluent Bit loses it";
        "a JSON object with something behind it": "stays text as a whole, so that nothing of it is lost";
        "an expression with look-around or back references": "is given up for a text after 200,000 steps, or one that is longer than 64 KiB after a second, and then does not match; one that took long is not tried on texts as long for nineteen times that; counted (`drave_expression_given_up_total`)";
    }
}

#[derive(Debug)]
enum Reader {
    Regex(Box<Fields>),
    Json,
    Logfmt(Logfmt),
    Ltsv(Types),
}

/// A parser, ready to be used by any thread.
#[derive(Debug)]
pub struct TextParser {
    reader: Reader,
    time: Option<TimeField>,
    decodings: Vec<Decoding>,
}

impl TextParser {
    /// From a section; what is wrong is in the report. A format that drave does not have is only a note here, since parser files
    /// define many that nobody uses.
    pub fn from_section(section: &Section, report: &mut Report) -> Option<Self> {
        let format = section.get("format");
        if let Some(format) = format.filter(|f| !super::FORMATS.contains(&f.value.trim().to_ascii_lowercase().as_str()))
        {
            let what = format!("parser {} has the format `{}`, which is not there", section.name, format.value);
            report.note(Some(&format.value_at), what, Some(format!("formats: {}", super::FORMATS.join(", "))));
            return None;
        }
        section.check_keys(&[ParserOptions::OPTIONS], report);
        let options = ParserOptions::from_section(section, report)?;
        let types = match options.types.as_deref().map(Types::parse).transpose() {
            Ok(types) => types.unwrap_or_default(),
            Err(hint) => return wrong(section, "types", hint, report),
        };
        let reader = match options.format {
            Format::Json => Some(Reader::Json),
            Format::Ltsv => Some(Reader::Ltsv(types)),
            Format::Logfmt => Some(Reader::Logfmt(Logfmt { types, no_bare_keys: options.logfmt_no_bare_keys })),
            Format::Regex => expression(section, &options, &types, report),
        };
        let time = time_field(section, &options, report)?;
        let decodings = decodings(section, report)?;
        Some(Self { reader: reader?, time, decodings })
    }
}

impl Parser for TextParser {
    fn parse(&self, batch: &mut Batch, record: usize) -> Result<(), ParseError> {
        let text = batch.records[record].text;
        let start = batch.fields.len();
        let fits = match &self.reader {
            Reader::Regex(fields) => fields.read(batch, text),
            Reader::Json => json::read(batch, text),
            Reader::Logfmt(logfmt) => logfmt.read(batch, text),
            Reader::Ltsv(types) => ltsv::read(batch, text, types),
        };
        if !fits {
            batch.fields.truncate(start);
            return Err(ParseError);
        }
        if let Some(time) = &self.time {
            time.take(batch, record, start, matches!(self.reader, Reader::Json));
        }
        if !self.decodings.is_empty() {
            decode::decode(&self.decodings, batch, start);
        }
        if !self.decodings.is_empty() || matches!(self.reader, Reader::Logfmt(_) | Reader::Ltsv(_)) {
            json::keep_last_of_each_key(batch, start);
        }
        let end = batch.fields.len() as u32;
        let record = &mut batch.records[record];
        (record.fields_start, record.fields_end, record.shape) = (start as u32, end, Shape::Fields);
        Ok(())
    }
}

fn wrong<T>(section: &Section, key: &str, hint: String, report: &mut Report) -> Option<T> {
    let entry = section.get(key);
    let shown = entry.map_or_else(String::new, crate::config::Entry::shown_value);
    let what = format!("option `{key}` of {} cannot be {shown}", section.title());
    report.error(entry.map(|e| &e.value_at), what, Some(hint));
    None
}

fn expression(section: &Section, options: &ParserOptions, types: &Types, report: &mut Report) -> Option<Reader> {
    let Some(regex) = &options.regex else {
        let what = format!("{} has the format regex and no `regex`", section.title());
        report.error(Some(&section.at), what, Some("add it: `regex ^(?<message>.*)$`".into()));
        return None;
    };
    match Fields::new(regex, types, options.skip_empty_values) {
        Ok(fields) => Some(Reader::Regex(Box::new(fields))),
        Err(why) => {
            let what = format!("regex of {} is no expression to parse with: {why}", section.title());
            let hint = r"a character that stands for itself needs a backslash before it, as in \[";
            report.error(section.get("regex").map(|e| &e.value_at), what, Some(hint.into()));
            None
        }
    }
}

/// `Some(None)`: the records keep their time.
#[allow(clippy::option_option, reason = "a mistake and nothing to do are two things")]
fn time_field(section: &Section, options: &ParserOptions, report: &mut Report) -> Option<Option<TimeField>> {
    let mut zone = Zone::Offset(0);
    if let Some(offset) = &options.time_offset {
        zone = match Zone::offset(offset.trim()) {
            Some(zone) => zone,
            None => return wrong(section, "time_offset", "expected an offset such as +0200".into(), report),
        };
    }
    if let Some(name) = &options.time_zone {
        zone = match Zone::named(name.trim()) {
            Some(zone) => zone,
            None => return wrong(section, "time_zone", "expected a name such as Europe/Berlin".into(), report),
        };
    }
    if options.time_system_timezone {
        zone = Zone::of_system();
    }
    let key = options.time_key.as_deref().unwrap_or("time");
    let field = |format: &String| TimeField::new(key, format, options.time_keep, options.time_strict, zone.clone());
    Some(options.time_format.as_ref().map(field))
}

fn decodings(section: &Section, report: &mut Report) -> Option<Vec<Decoding>> {
    let mut found = Vec::new();
    for entry in &section.entries {
        let beside = entry.key == "decode_field";
        if !beside && entry.key != "decode_field_as" {
            continue;
        }
        match Decoding::parse(&entry.value, beside) {
            Ok(decoding) => found.push(decoding),
            Err(hint) => {
                let what = format!("option `{}` of {} cannot be {}", entry.key, section.title(), entry.shown_value());
                report.error(Some(&entry.value_at), what, Some(hint));
                return None;
            }
        }
    }
    Some(found)
}
