//! Nested values as JSON text, for the few options that have such.

use super::tree::{Node, Value};
use serde_json::{Map, Number, Value as Json};

/// Is there a mapping in it?
pub(super) fn has_mapping(node: &Node) -> bool {
    match &node.value {
        Value::Scalar { .. } => false,
        Value::List(items) => items.iter().any(has_mapping),
        Value::Map(_) => true,
    }
}

/// The node as JSON; texts without quotes are what YAML takes them for: numbers, true, false, null.
pub(super) fn text(node: &Node) -> String {
    json(node).to_string()
}

fn json(node: &Node) -> Json {
    match &node.value {
        _ if node.is_null() => Json::Null,
        Value::Scalar { text, plain: true } => plain(text),
        Value::Scalar { text, .. } => Json::String(text.clone()),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(pairs) => Json::Object(
            pairs.iter().filter_map(|(key, value)| Some((key.text()?.to_owned(), json(value)))).collect::<Map<_, _>>(),
        ),
    }
}

fn plain(text: &str) -> Json {
    match text {
        "true" => Json::Bool(true),
        "false" => Json::Bool(false),
        _ => text.parse::<Number>().map_or_else(|_| Json::String(text.to_owned()), Json::Number),
    }
}
