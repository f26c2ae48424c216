//! Writes values as another type, under the same key or another one.
//!
//! ```yaml
//! filters:
//!   - name: type_converter
//!     match: '*'
//!     str_key: [status status int, took took_ms float]
//!     int_key: id id string
//! ```
//! A value that cannot be converted stands under the new key as it is.

use super::convert::{Scalar, leading_float, leading_hex, leading_whole};
use super::words::{Split, of_entry, report_wrong};
use super::{Each, Filter, FilterConfig, FilterPlugin, Plan};
use crate::config::{Report, Section};
use crate::record::{Accessor, Batch, Field, SourceDraft, Value};
use std::ops::Range;
use std::sync::Arc;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "type_converter",
    about: "Writes values as another type, under the same key or another one.",
    options: &[TypeConverterOptions::OPTIONS],
    deviations: &[TypeConverterOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// `FROM TO TYPE`: a key or record accessor, the new key, and `string`, `int`, `uint`, `float`, `bool` or `hex`.
    pub struct TypeConverterOptions {
        /// Where the value is a whole number: `FROM TO TYPE`.
        int_key: String, "int_key", repeated;
        /// Where it is a whole number from 0: `FROM TO TYPE`.
        uint_key: String, "uint_key", repeated;
        /// Where it is a number with a point: `FROM TO TYPE`.
        float_key: String, "float_key", repeated;
        /// Where it is a string: `FROM TO TYPE`.
        str_key: String, "str_key", repeated;
    }
    deviations {
        "the text `0`": "is the number 0; in Fluent Bit it cannot be converted";
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Uint,
    Float,
    Text,
    Bool,
    Hex,
}

#[derive(Debug)]
struct Rule {
    from: Accessor,
    from_kind: Kind,
    to: String,
    kind: Kind,
}

fn configure(section: &Section, _: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let mut rules = Vec::new();
    for entry in &section.entries {
        let from_kind = match entry.key.as_str() {
            "int_key" => Kind::Int,
            "uint_key" => Kind::Uint,
            "float_key" => Kind::Float,
            "str_key" => Kind::Text,
            _ => continue,
        };
        let Some(words) = of_entry(section, entry, (Split::DoubleQuoted, 3..=3), "FROM TO TYPE", report) else {
            continue;
        };
        let kind = match words[2].to_ascii_lowercase().as_str() {
            "int" | "integer" => Kind::Int,
            "uint" => Kind::Uint,
            "float" | "double" => Kind::Float,
            "string" | "str" => Kind::Text,
            "bool" | "boolean" => Kind::Bool,
            "hex" => Kind::Hex,
            other => {
                let hint = "string, int, uint, float, bool or hex";
                report_wrong(section, entry, &format!("has no type `{other}`"), hint, report);
                continue;
            }
        };
        match Accessor::parse(&words[0]) {
            Ok(from) => rules.push(Rule { from, from_kind, to: words[1].clone(), kind }),
            Err(error) => report_wrong(section, entry, &format!("has no key: {error}"), error.hint(), report),
        }
    }
    Some(Box::new(TypeConverter { rules: rules.into() }))
}

struct TypeConverter {
    rules: Arc<[Rule]>,
}

impl Filter for TypeConverter {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        let touches_shared = source.shared.iter().any(|s| self.rules.iter().any(|rule| rule.to == s.key));
        Plan::Each(Box::new(Convert {
            rules: Arc::clone(&self.rules),
            touches_shared,
            new: Vec::new(),
            json: Vec::new(),
            texts: Default::default(),
        }))
    }
}

struct Convert {
    rules: Arc<[Rule]>,
    touches_shared: bool,
    /// What one record gets, by the rule, and where it stands in `json`: all values are read before the first is written.
    new: Vec<(usize, Range<usize>)>,
    json: Vec<u8>,
    /// A value as text, before and after.
    texts: [Vec<u8>; 2],
}

impl Each for Convert {
    fn apply(&mut self, batch: &mut Batch) {
        for record in 0..batch.records.len() {
            self.new.clear();
            self.json.clear();
            let [before, after] = &mut self.texts;
            for (number, rule) in self.rules.iter().enumerate() {
                let Some(found) = rule.from.find(batch, record) else { continue };
                let Some(scalar) = Scalar::of(found, before).filter(|scalar| rule.takes(*scalar)) else { continue };
                let start = self.json.len();
                convert(scalar, rule.kind, after).unwrap_or(scalar).push_json(&mut self.json);
                self.new.push((number, start..self.json.len()));
            }
            if self.new.is_empty() {
                continue;
            }
            batch.own_fields(record);
            if self.touches_shared {
                batch.own_shared(record);
            }
            for (number, json) in &self.new {
                let (key, json) = (self.rules[*number].to.as_bytes(), &self.json[json.clone()]);
                let field = Field { key: batch.intern(key), value: Value::Json(batch.append(json)) };
                batch.remove_key(record, key);
                batch.push_field(record, field);
            }
        }
    }

    fn owns_shared(&self) -> bool {
        self.touches_shared
    }
}

impl Rule {
    fn takes(&self, scalar: Scalar<'_>) -> bool {
        matches!(
            (self.from_kind, scalar),
            (Kind::Int, Scalar::Int(_) | Scalar::Uint(_))
                | (Kind::Uint, Scalar::Uint(_))
                | (Kind::Float, Scalar::Float(_))
                | (Kind::Text, Scalar::Text(_))
        )
    }
}

/// A new text stands in `text`.
fn convert<'t>(scalar: Scalar<'t>, kind: Kind, text: &'t mut Vec<u8>) -> Option<Scalar<'t>> {
    match (kind, scalar) {
        (Kind::Text, scalar) => Some(Scalar::Text(scalar.text(text))),
        (Kind::Int, Scalar::Text(text)) => {
            leading_whole(text, i64::MIN.into(), i64::MAX.into()).map(|n| Scalar::Int(n as i64))
        }
        (Kind::Uint, Scalar::Text(text)) => {
            leading_whole(text, i64::MIN.into(), u64::MAX.into()).map(|n| Scalar::Uint(n as u64))
        }
        (Kind::Float, Scalar::Text(text)) => leading_float(text).map(Scalar::Float),
        (Kind::Hex, Scalar::Text(text)) => leading_hex(text).map(Scalar::Uint),
        (Kind::Bool, Scalar::Text(text)) if text.eq_ignore_ascii_case(b"true") => Some(Scalar::Bool(true)),
        (Kind::Bool, Scalar::Text(text)) if text.eq_ignore_ascii_case(b"false") => Some(Scalar::Bool(false)),
        (Kind::Int, Scalar::Float(number)) => Some(Scalar::Int(number as i64)),
        (Kind::Int, Scalar::Uint(number)) => Some(Scalar::Int(number as i64)),
        (Kind::Uint, Scalar::Float(number)) if number < 0.0 => Some(Scalar::Uint(number as i64 as u64)),
        (Kind::Uint, Scalar::Float(number)) => Some(Scalar::Uint(number as u64)),
        (Kind::Uint, Scalar::Int(number)) => Some(Scalar::Uint(number as u64)),
        (Kind::Int, Scalar::Int(_)) | (Kind::Uint, Scalar::Uint(_)) => Some(scalar),
        (Kind::Float, scalar) => scalar.float().map(Scalar::Float),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn values_change_their_type() {
        for (options, record, expect) in [
            ("str_key: [a b int, a a float]", r#"{"a":"7.9"}"#, r#"{"b":7,"a":7.9}"#),
            ("str_key: a b int", r#"{"a":"x"}"#, r#"{"a":"x","b":"x"}"#),
            ("str_key: a b int", r#"{"a":"0"}"#, r#"{"a":"0","b":0}"#),
            ("str_key: a b int", r#"{"a":5}"#, r#"{"a":5}"#),
            ("int_key: a b uint", r#"{"a":-1}"#, r#"{"a":-1,"b":18446744073709551615}"#),
            ("float_key: a b string", r#"{"a":3.0}"#, r#"{"a":3.0,"b":"3.0"}"#),
            ("int_key: \"$m['n'] n string\"", r#"{"m":{"n":4}}"#, r#"{"m":{"n":4},"n":"4"}"#),
            ("str_key: a a hex", r#"{"a":"0xff"}"#, r#"{"a":255}"#),
            ("str_key: a a bool", r#"{"a":"TRUE"}"#, r#"{"a":true}"#),
        ] {
            check("type_converter", options, record, expect);
        }
    }
}
