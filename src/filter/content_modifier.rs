//! The processor that changes one field: adds, removes, renames, hashes, takes apart or converts it.
//!
//! ```yaml
//! processors:
//!   logs:
//!     - { name: content_modifier, action: upsert, key: cluster, value: prod }
//!     - { name: content_modifier, action: extract, key: url, pattern: '^(?<scheme>\w+)://(?<host>[^/]+)' }
//!     - { name: content_modifier, action: convert, key: status, converted_type: int }
//! ```

use super::convert::{Scalar, leading_float, leading_whole};
use super::{Each, Filter, FilterConfig, FilterPlugin, Plan};
use crate::config::{OptionValue, Report, Section};
use crate::record::{Batch, Expression, Field, Found, Groups, SourceDraft, Span, Value};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::Arc;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "content_modifier",
    about: "Changes one field: adds, removes, renames, hashes, takes apart or converts it.",
    options: &[ContentModifierOptions::OPTIONS],
    deviations: &[ContentModifierOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// One action.
    pub(super) struct ContentModifierOptions {
        /// What is done: `insert` (where there is none), `upsert`, `delete`, `rename` (to `value`), `hash` (SHA-256 in hex),
        /// `extract` (named groups of `pattern` become fields), `convert` (to `converted_type`).
        action: Action, "action", required;
        /// The key of the field, as it is written: a record accessor is none, as in Fluent Bit.
        key: String, "key", required;
        /// The text, or for `rename` the new key.
        value: String, "value", optional;
        /// For `extract`: an expression with named groups.
        pattern: String, "pattern", optional;
        /// For `convert`: `string`, `boolean`, `int` or `double`.
        converted_type: ConvertedType, "converted_type", optional;
        /// What is changed: the record itself.
        context: Context, "context", default "body";
    }
    deviations {
        "`context`": "can be the record itself only: there are no resources and no metadata apart from it";
    }
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum Action {
    Insert,
    Upsert,
    Delete,
    Rename,
    Hash,
    Extract,
    Convert,
}

impl OptionValue for Action {
    const KIND: &'static str = "insert|upsert|delete|rename|hash|extract|convert";
    const WORDS: &'static [&'static str] = &["insert", "upsert", "delete", "rename", "hash", "extract", "convert"];
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "insert" => Self::Insert,
            "upsert" => Self::Upsert,
            "delete" => Self::Delete,
            "rename" => Self::Rename,
            "hash" => Self::Hash,
            "extract" => Self::Extract,
            "convert" => Self::Convert,
            _ => return Err("expected insert, upsert, delete, rename, hash, extract or convert".into()),
        })
    }
}

/// The type that a value gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum ConvertedType {
    Text,
    Boolean,
    Int,
    Double,
}

impl OptionValue for ConvertedType {
    const KIND: &'static str = "string|boolean|int|double";
    const WORDS: &'static [&'static str] = &["string", "boolean", "int", "double"];
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "string" => Self::Text,
            "boolean" => Self::Boolean,
            "int" => Self::Int,
            "double" => Self::Double,
            _ => return Err("expected string, boolean, int or double".into()),
        })
    }
}

/// The record itself, under one of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context;

impl OptionValue for Context {
    const KIND: &'static str = "body";
    const WORDS: &'static [&'static str] = &["body", "message", "record", "log_body", "log_message"];
    fn parse(text: &str) -> Result<Self, String> {
        let known = Self::WORDS.contains(&text.to_ascii_lowercase().as_str());
        known.then_some(Self).ok_or_else(|| "expected body: there is nothing apart from the record itself".into())
    }
}

fn configure(section: &Section, _: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = ContentModifierOptions::from_section(section, report)?;
    let needed = match options.action {
        Action::Insert | Action::Upsert | Action::Rename => options.value.is_none().then_some("value"),
        Action::Extract => options.pattern.is_none().then_some("pattern"),
        Action::Convert => options.converted_type.is_none().then_some("converted_type"),
        Action::Delete | Action::Hash => None,
    };
    if let Some(needed) = needed {
        let what = format!("{} needs the option `{needed}` for this action", section.title());
        report.error(Some(&section.at), what, Some(format!("add `{needed}`")));
        return None;
    }
    let pattern = match options.pattern.as_deref().map(Expression::new).transpose() {
        Ok(pattern) => pattern,
        Err(error) => {
            let what = format!("pattern of {} is no regular expression: {error}", section.title());
            let hint = "a dot that stands for itself is written as \\.".to_owned();
            report.error(section.get("pattern").map(|e| &e.value_at), what, Some(hint));
            return None;
        }
    };
    let change = Change {
        action: options.action,
        key: options.key.trim().to_owned(),
        value: options.value.unwrap_or_default(),
        pattern,
        converted_type: options.converted_type.unwrap_or(ConvertedType::Text),
    };
    Some(Box::new(ContentModifier { change: Arc::new(change) }))
}

#[derive(Debug)]
struct Change {
    action: Action,
    key: String,
    value: String,
    pattern: Option<Expression>,
    converted_type: ConvertedType,
}

struct ContentModifier {
    change: Arc<Change>,
}

impl Filter for ContentModifier {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        let change = &self.change;
        let is_free = !source.shared_is_final && !source.is_virtual(&change.key);
        let is_shared = source.shared.iter().any(|s| s.key == change.key);
        match change.action {
            Action::Insert if is_free && is_shared => return Plan::Pass,
            Action::Insert | Action::Upsert if is_free => {
                source.share(&change.key, change.value.as_str().into(), change.action == Action::Upsert);
                return Plan::Pass;
            }
            _ => {}
        }
        let is_named = |key: &str| change.pattern.iter().flat_map(Expression::names).any(|(name, _)| name == key);
        let touches = |key: &str| key == change.key || key == change.value || is_named(key);
        let touches_shared = source.shared.iter().any(|s| touches(&s.key));
        let change = Arc::clone(change);
        Plan::Each(Box::new(ChangeEach {
            change,
            touches_shared,
            groups: Groups::default(),
            texts: Default::default(),
            buffer: Vec::new(),
        }))
    }
}

struct ChangeEach {
    change: Arc<Change>,
    touches_shared: bool,
    groups: Groups,
    /// A value as text, before and after.
    texts: [Vec<u8>; 2],
    buffer: Vec<u8>,
}

impl Each for ChangeEach {
    fn apply(&mut self, batch: &mut Batch) {
        let change = Arc::clone(&self.change);
        let (key, value) = (batch.intern(change.key.as_bytes()), batch.intern(change.value.as_bytes()));
        for record in 0..batch.records.len() {
            batch.own_fields(record);
            if self.touches_shared {
                batch.own_shared(record);
            }
            let own = change.key.as_bytes();
            let at = batch.field_at(record, own);
            match (change.action, at) {
                (Action::Insert, None) => batch.push_field(record, Field { key, value: Value::Text(value) }),
                (Action::Upsert, _) => batch.set_field(record, Field { key, value: Value::Text(value) }),
                (Action::Delete, _) => _ = batch.remove_key(record, own),
                (Action::Rename, Some(_)) if change.key != change.value => {
                    batch.remove_key(record, change.value.as_bytes());
                    if let Some(at) = batch.field_at(record, own) {
                        batch.fields[at].key = value;
                    }
                }
                (Action::Hash, Some(at)) => self.hash(batch, at),
                (Action::Convert, Some(at)) => self.convert(batch, at),
                (Action::Extract, Some(at)) => self.extract(batch, record, at),
                _ => {}
            }
        }
    }

    fn owns_shared(&self) -> bool {
        self.touches_shared
    }
}

impl ChangeEach {
    /// An empty text stays one.
    fn hash(&mut self, batch: &mut Batch, at: usize) {
        let [plain, written] = &mut self.texts;
        let Some(scalar) = Scalar::of(batch.found(batch.fields[at].value), plain) else { return };
        let text = scalar.text(written);
        if !text.is_empty() {
            let digest = Sha256::digest(text);
            let start = batch.text.len();
            for byte in digest {
                // Writing into a vector cannot fail.
                let _ = write!(batch.text, "{byte:02x}");
            }
            batch.fields[at].value = Value::Text(Span::new(start, batch.text.len()));
        }
    }

    fn convert(&mut self, batch: &mut Batch, at: usize) {
        let ([plain, written], kind) = (&mut self.texts, self.change.converted_type);
        self.buffer.clear();
        match batch.found(batch.fields[at].value) {
            Found::Json(b"null") => self.buffer.extend_from_slice(of_null(kind)),
            found => match Scalar::of(found, plain).and_then(|scalar| convert(scalar, kind, written)) {
                Some(new) => new.push_json(&mut self.buffer),
                None => return,
            },
        }
        batch.fields[at].value = Value::Json(batch.append(&self.buffer));
    }

    /// A group that took no part gives an empty text.
    fn extract(&mut self, batch: &mut Batch, record: usize, at: usize) {
        let change = Arc::clone(&self.change);
        let Some(pattern) = &change.pattern else { return };
        let Some(text) = batch.found(batch.fields[at].value).string(&mut self.texts[0]) else { return };
        if !pattern.captures(text, &mut self.groups) {
            return;
        }
        self.buffer.clear();
        self.buffer.extend_from_slice(text);
        for (name, numbers) in pattern.names() {
            let value = Value::Text(batch.append(&self.buffer[self.groups.last_of(numbers).unwrap_or_default()]));
            let field = Field { key: batch.intern(name.as_bytes()), value };
            batch.set_field(record, field);
        }
    }
}

fn of_null(kind: ConvertedType) -> &'static [u8] {
    match kind {
        ConvertedType::Text => b"\"null\"",
        ConvertedType::Boolean => b"false",
        ConvertedType::Int => b"0",
        ConvertedType::Double => b"0.0",
    }
}

/// `None`: it cannot be, and stays. A new text stands in `text`.
fn convert<'t>(scalar: Scalar<'t>, kind: ConvertedType, text: &'t mut Vec<u8>) -> Option<Scalar<'t>> {
    match (kind, scalar) {
        (ConvertedType::Text, scalar) => Some(Scalar::Text(scalar.text(text))),
        (ConvertedType::Boolean, Scalar::Text(text)) => Some(Scalar::Bool(text.eq_ignore_ascii_case(b"true"))),
        (ConvertedType::Boolean, Scalar::Bool(_)) => Some(scalar),
        (ConvertedType::Boolean, number) => number.float().map(|number| Scalar::Bool(number != 0.0)),
        (ConvertedType::Int, Scalar::Text(text)) => {
            let number = leading_whole(text, i128::MIN, i128::MAX).unwrap_or_default();
            i64::try_from(number).ok().map(Scalar::Int)
        }
        (ConvertedType::Int, Scalar::Float(number)) => Some(Scalar::Int(number.round() as i64)),
        (ConvertedType::Int, Scalar::Bool(value)) => Some(Scalar::Int(i64::from(value))),
        (ConvertedType::Int, number) => Some(number),
        (ConvertedType::Double, Scalar::Text(text)) => leading_float(text).map(Scalar::Float),
        (ConvertedType::Double, Scalar::Bool(value)) => Some(Scalar::Float(f64::from(u8::from(value)))),
        (ConvertedType::Double, number) => number.float().map(Scalar::Float),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn one_field_is_changed() {
        for (options, record, expect) in [
            ("{action: insert, key: a, value: x}", r#"{"a":1}"#, r#"{"a":1}"#),
            ("{action: insert, key: b, value: x}", r#"{"a":1}"#, r#"{"a":1,"b":"x"}"#),
            ("{action: upsert, key: a, value: x}", r#"{"a":1}"#, r#"{"a":"x"}"#),
            ("{action: delete, key: a}", r#"{"a":1,"b":2}"#, r#"{"b":2}"#),
            ("{action: rename, key: a, value: b}", r#"{"a":1,"b":2}"#, r#"{"b":1}"#),
            (
                "{action: hash, key: a}",
                r#"{"a":"bob"}"#,
                r#"{"a":"81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9"}"#,
            ),
            ("{action: extract, key: a, pattern: '(?<x>b)(?<y>c)?'}", r#"{"a":"ab"}"#, r#"{"a":"ab","x":"b","y":""}"#),
            ("{action: convert, key: a, converted_type: int}", r#"{"a":3.75}"#, r#"{"a":4}"#),
            ("{action: convert, key: a, converted_type: int}", r#"{"a":"x"}"#, r#"{"a":0}"#),
            ("{action: convert, key: a, converted_type: int}", r#"{"a":"12kb"}"#, r#"{"a":12}"#),
            ("{action: convert, key: a, converted_type: int}", r#"{"a":null}"#, r#"{"a":0}"#),
            ("{action: convert, key: a, converted_type: double}", r#"{"a":"x"}"#, r#"{"a":"x"}"#),
            ("{action: convert, key: a, converted_type: boolean}", r#"{"a":"maybe"}"#, r#"{"a":false}"#),
            ("{action: hash, key: a}", r#"{"a":""}"#, r#"{"a":""}"#),
            ("{action: convert, key: a, converted_type: string}", r#"{"a":-7}"#, r#"{"a":"-7"}"#),
            ("{action: convert, key: a, converted_type: double}", r#"{"a":"12"}"#, r#"{"a":12.0}"#),
            ("{action: convert, key: a, converted_type: boolean}", r#"{"a":"TRUE"}"#, r#"{"a":true}"#),
        ] {
            check("content_modifier", options, record, expect);
        }
    }
}
