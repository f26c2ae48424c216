//! Keys and values of a record, as spans of its batch's text.

use super::Span;

/// One key with its value.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The key, unescaped.
    pub key: Span,
    /// Its value.
    pub value: Value,
}

/// A value. JSON is never turned into a tree on the way through.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// A JSON value as it stands in the text, valid and UTF-8.
    Json(Span),
    /// Text, not escaped, maybe not UTF-8.
    Text(Span),
}
