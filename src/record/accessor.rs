//! Record accessors: where in a record a value stands.
//!
//! ```text
//! log                              a key, whatever characters it has
//! $log                             the same; letters, digits, `_`, `-`, `@`
//! $kubernetes['labels']["app"]     keys of maps inside
//! $events[0]['id']                 numbers of arrays, from 0
//! $TAG  $TAG[1]                    the tag, and its parts between the dots
//! ```
//! As in Fluent Bit a key below a value that is no map gives that value: `$req['x']` of `"req":"text"` is `text`.

use super::{Batch, Found};
use std::fmt;

/// A compiled record accessor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accessor {
    root: Root,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Root {
    Key(Box<[u8]>),
    Tag(Option<usize>),
}

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To the value under a key of a map.
    Key(Box<[u8]>),
    /// To a value of an array, by its number from 0.
    Item(usize),
}

/// Why a text is no accessor or no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessorError {
    /// Where it goes wrong, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl AccessorError {
    pub(super) fn new(text: &str, at: usize, what: &'static str) -> Self {
        Self { column: text.get(..at).map_or(0, |before| before.chars().count()) + 1, what }
    }

    /// The remedy.
    pub fn hint(&self) -> &'static str {
        "write accessors as in $key, $kubernetes['labels']['app'], $list[0] or $TAG[1]"
    }
}

impl fmt::Display for AccessorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at column {}", self.what, self.column)
    }
}

impl std::error::Error for AccessorError {}

impl Accessor {
    /// Compiles a text that is one accessor, or a plain key.
    ///
    /// # Errors
    /// A bracket that is not closed, a key without quotes, text behind the accessor.
    pub fn parse(text: &str) -> Result<Self, AccessorError> {
        if text.is_empty() {
            return Err(AccessorError::new(text, 0, "a key is missing"));
        }
        if !text.starts_with('$') {
            return Ok(Self { root: Root::Key(text.as_bytes().into()), steps: Vec::new() });
        }
        let (accessor, end) = Self::parse_at(text, 0)?;
        if end < text.len() {
            return Err(AccessorError::new(text, end, "unexpected text behind the accessor"));
        }
        Ok(accessor)
    }

    /// Compiles the accessor whose `$` stands at `start`; returns where it ends.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but what follows may be anything.
    pub fn parse_at(text: &str, start: usize) -> Result<(Self, usize), AccessorError> {
        let mut reader = Reader { text, at: start };
        reader.accessor().map(|accessor| (accessor, reader.at))
    }

    /// One that leads through the keys of maps, whatever characters they have: `["kubernetes", "labels", "app"]`. `None` without keys.
    pub fn of_keys<'k>(keys: impl IntoIterator<Item = &'k str>) -> Option<Self> {
        let mut keys = keys.into_iter().map(|key| key.as_bytes().into());
        Some(Self { root: Root::Key(keys.next()?), steps: keys.map(Step::Key).collect() })
    }

    /// The key of the record that it begins with; `None` where it is about the tag.
    pub fn key(&self) -> Option<&[u8]> {
        self.root_key()
    }

    /// The same.
    pub fn root_key(&self) -> Option<&[u8]> {
        match &self.root {
            Root::Key(key) => Some(key),
            Root::Tag(_) => None,
        }
    }

    /// Does it lead into a map or an array?
    pub fn is_nested(&self) -> bool {
        !self.steps.is_empty()
    }

    /// What leads from there to the value.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Its keys and numbers with `_` between them: `kubernetes_labels_app`, `TAG_1`.
    pub fn joined(&self) -> String {
        let mut name = match &self.root {
            Root::Key(key) => String::from_utf8_lossy(key).into_owned(),
            Root::Tag(None) => "TAG".to_owned(),
            Root::Tag(Some(part)) => format!("TAG_{part}"),
        };
        for step in &self.steps {
            name.push('_');
            match step {
                Step::Key(key) => name.push_str(&String::from_utf8_lossy(key)),
                Step::Item(number) => name.push_str(&number.to_string()),
            }
        }
        name
    }

    /// Is the value the same for all records of a batch that do not own what is shared?
    pub fn is_shared(&self, batch: &Batch) -> bool {
        match &self.root {
            Root::Tag(_) => true,
            Root::Key(key) => batch.source.draft.shared.iter().any(|s| s.wins && *s.key.as_bytes() == **key),
        }
    }

    /// Does an accessor, rather than plain text, begin with the `$` in front of this?
    pub(super) fn begins(behind: &str) -> bool {
        behind.starts_with(is_key_char)
    }

    /// The value in a record; `None` when it has none. Allocates nothing (a key with escapes inside a map aside).
    pub fn find<'b>(&self, batch: &'b Batch, record: usize) -> Option<Found<'b>> {
        let key = match &self.root {
            Root::Tag(part) => return tag_part(&batch.source.draft.tag, *part).map(|t| Found::Text(t.as_bytes())),
            Root::Key(key) => key,
        };
        let mut found = batch.find(record, key)?;
        if !found.is_container() {
            return Some(found);
        }
        for step in &self.steps {
            found = match step {
                Step::Key(key) => found.member(key)?,
                Step::Item(number) => found.item(*number)?,
            };
        }
        Some(found)
    }
}

fn tag_part(tag: &str, part: Option<usize>) -> Option<&str> {
    part.map_or(Some(tag), |number| tag.split('.').nth(number))
}

fn is_key_char(sign: char) -> bool {
    sign.is_alphanumeric() || matches!(sign, '_' | '-' | '@')
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn accessor(&mut self) -> Result<Accessor, AccessorError> {
        self.at += 1;
        let key = self.word();
        if key.is_empty() {
            return Err(self.error("a key is missing behind `$`"));
        }
        if key == "TAG" {
            let part = if self.rest().starts_with('[') { Some(self.number_in_brackets()?) } else { None };
            return Ok(Accessor { root: Root::Tag(part), steps: Vec::new() });
        }
        let root = Root::Key(key.as_bytes().into());
        let mut steps = Vec::new();
        while self.rest().starts_with('[') {
            steps.push(self.step()?);
        }
        Ok(Accessor { root, steps })
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c| !is_key_char(c)).unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        self.at += end;
        word
    }

    fn step(&mut self) -> Result<Step, AccessorError> {
        let quote = match self.rest().chars().nth(1) {
            Some(quote @ ('\'' | '"')) => quote,
            Some(digit) if digit.is_ascii_digit() => return self.number_in_brackets().map(Step::Item),
            _ => {
                self.at += 1;
                return Err(self.error("a key in quotes or a number is missing"));
            }
        };
        let opened = self.at;
        self.at += 2;
        let mut key = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(quote) else {
                self.at = opened + 1;
                return Err(self.error("the quote is not closed"));
            };
            key.push_str(&rest[..end]);
            self.at += end + 1;
            // A doubled quote stands for one.
            if !self.rest().starts_with(quote) {
                break;
            }
            key.push(quote);
            self.at += 1;
        }
        self.close()?;
        Ok(Step::Key(key.into_bytes().into()))
    }

    fn number_in_brackets(&mut self) -> Result<usize, AccessorError> {
        self.at += 1;
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest[..end].parse().map_err(|_| self.error("a number is missing"))?;
        self.at += end;
        self.close()?;
        Ok(number)
    }

    fn close(&mut self) -> Result<(), AccessorError> {
        if !self.rest().starts_with(']') {
            return Err(self.error("`]` is missing"));
        }
        self.at += 1;
        Ok(())
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&self, what: &'static str) -> AccessorError {
        AccessorError::new(self.text, self.at, what)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::record::{Field, Record, Shape, Source, SourceDraft, Stream, Value};
    use std::sync::Arc;

    /// A container's line of a pod, with one field of its own.
    pub(in crate::record) fn batch() -> Batch {
        let mut draft = SourceDraft { tag: "kube.shop.web".into(), ..SourceDraft::default() };
        let pod = serde_json::json!({"pod_name": "web-1", "labels": {"app": "web", "a.b/c": "x", "q\"": 7}, "ports": [80, [1, 2], {"n": null}]});
        draft.share("kubernetes", pod, true);
        draft.share("cluster", "blue".into(), false);
        let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
        let (text, time_text) = (batch.append(b"GET /"), batch.append(b"2024-03-01T10:00:00Z"));
        let mut field = |key: &str, value: &str| Field {
            key: batch.append(key.as_bytes()),
            value: Value::Json(batch.append(value.as_bytes())),
        };
        let fields = [field("req", r#""GET""#), field("kubernetes", "1"), field("ms", "1.5"), field("a.b", "true")];
        batch.fields.extend(fields);
        batch.records.push(Record {
            text,
            time_text,
            fields_end: 4,
            shape: Shape::Container,
            stream: Stream::Stderr,
            tag: b'P',
            ..Record::default()
        });
        batch
    }

    #[test]
    fn values_are_found() {
        let batch = batch();
        for (accessor, expect) in [
            ("log", Some("GET /")),
            ("$log", Some("GET /")),
            ("$stream", Some("stderr")),
            ("$time", Some("2024-03-01T10:00:00Z")),
            ("$_p", Some("P")),
            ("a.b", Some("true")),
            ("$ms", Some("1.500000")),
            ("$cluster", Some("blue")),
            ("$kubernetes['pod_name']", Some("web-1")),
            ("$kubernetes[\"labels\"]['app']", Some("web")),
            ("$kubernetes['labels']['a.b/c']", Some("x")),
            ("$kubernetes['labels']['q\"']", Some("7")),
            ("$kubernetes['ports'][0]", Some("80")),
            ("$kubernetes['ports'][1][1]", Some("2")),
            ("$kubernetes['ports'][2]['n']", Some("null")),
            ("$kubernetes['ports'][3]", None),
            ("$kubernetes['ports']['0']", None),
            ("$kubernetes['labels'][0]", None),
            ("$kubernetes['pod_name']['x']", None),
            ("$req['x']", Some("GET")),
            ("$missing", None),
            ("$TAG", Some("kube.shop.web")),
            ("$TAG[1]", Some("shop")),
            ("$TAG[3]", None),
        ] {
            let mut text = String::new();
            let found = Accessor::parse(accessor).expect(accessor).find(&batch, 0);
            assert_eq!(found.map(|f| f.push_text(&mut text)).map(|()| text.as_str()), expect, "{accessor}");
        }
        assert_eq!(Accessor::parse("$log").expect("parses").find(&batch, 1), None, "there is one record only");
    }

    #[test]
    fn mistakes_are_said_with_their_place() {
        for (text, expect) in [
            ("", "a key is missing at column 1"),
            ("$", "a key is missing behind `$` at column 2"),
            ("$['a']", "a key is missing behind `$` at column 2"),
            ("$a[", "a key in quotes or a number is missing at column 4"),
            ("$a[b]", "a key in quotes or a number is missing at column 4"),
            ("$a['b", "the quote is not closed at column 4"),
            ("$ä['b'", "`]` is missing at column 7"),
            ("$a[1", "`]` is missing at column 5"),
            ("$TAG['x']", "a number is missing at column 6"),
            ("$a[99999999999999999999999]", "a number is missing at column 4"),
            ("$a.b", "unexpected text behind the accessor at column 3"),
        ] {
            assert_eq!(Accessor::parse(text).map_err(|e| e.to_string()), Err(expect.to_owned()), "{text}");
        }
    }

    #[test]
    fn accessors_are_taken_apart() {
        for (text, key, steps, joined) in [
            ("log", Some("log"), 0, "log"),
            ("$kubernetes['labels']['a.b/c']", Some("kubernetes"), 2, "kubernetes_labels_a.b/c"),
            ("$events[0]['id']", Some("events"), 2, "events_0_id"),
            ("$TAG[1]", None, 0, "TAG_1"),
        ] {
            let accessor = Accessor::parse(text).expect(text);
            assert_eq!(accessor.key(), key.map(str::as_bytes), "{text}");
            assert_eq!((accessor.steps().len(), accessor.joined().as_str()), (steps, joined), "{text}");
        }
        let of_keys = Accessor::of_keys(["kubernetes", "labels", "q\""]).expect("keys");
        assert_eq!(of_keys.find(&batch(), 0), Some(Found::Json(b"7")));
        assert_eq!(Accessor::of_keys([]), None);
    }

    #[test]
    fn any_key_can_be_named() {
        proptest::proptest!(|(key in "\\PC{1,12}")| {
            let mut draft = SourceDraft::default();
            draft.share("map", serde_json::json!({ key.clone(): "found" }), false);
            let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
            batch.records.push(Record { shape: Shape::Fields, ..Record::default() });
            for quote in ['\'', '"'] {
                let doubled = key.replace(quote, &format!("{quote}{quote}"));
                let accessor = Accessor::parse(&format!("$map[{quote}{doubled}{quote}]")).expect("an accessor");
                proptest::prop_assert_eq!(accessor.find(&batch, 0), Some(Found::Json(b"\"found\"")));
            }
        });
    }

    #[test]
    fn no_text_panics() {
        proptest::proptest!(|(text in "[$\\[\\]'\"a.0TAGä ]{0,16}")| {
            if let Ok(accessor) = Accessor::parse(&text) {
                let _ = accessor.find(&batch(), 0);
            }
        });
    }
}
