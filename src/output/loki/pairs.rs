//! Names with values, as `labels` and `structured_metadata` write them, and what they come to for one record.
//!
//! ```text
//! job=app                                fixed
//! ns=$kubernetes['namespace_name']       of the record; left out where it is missing or empty
//! $kubernetes['labels']['app']           the same, named kubernetes_labels_app
//! ```

use super::entry;
use crate::config::{Report, Section};
use crate::record::{Accessor, Batch, Found, Template, json, json_read};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::ops::Range;

/// A name and where its value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Fixed(String),
    Record(Template),
}

impl Pair {
    fn of_accessor(accessor: Accessor) -> Self {
        Self { name: valid_name(&accessor.joined()), value: Value::Record(Template::of(accessor)) }
    }

    /// The accessors that its value is made of.
    pub(super) fn accessors(&self) -> impl Iterator<Item = &Accessor> {
        let template = match &self.value {
            Value::Fixed(_) => None,
            Value::Record(template) => Some(template),
        };
        template.into_iter().flat_map(Template::accessors)
    }

    /// Adds it to what a record has, unless its value is empty, or has a part missing where the name has a value.
    pub(super) fn render(&self, batch: &Batch, record: usize, out: &mut Rendered) {
        out.set_if(&self.name, |text| match &self.value {
            Value::Fixed(value) => {
                text.push_str(value);
                true
            }
            Value::Record(template) => template.render(batch, record, text),
        });
    }
}

/// Reads the list of an option; what is wrong is in the report.
pub(super) fn read_pairs(section: &Section, key: &str, list: &[String], report: &mut Report) -> Option<Vec<Pair>> {
    let mut pairs = Vec::new();
    let mut good = true;
    for item in list {
        match read_pair(item) {
            Ok(pair) => pairs.push(pair),
            Err((what, hint)) => {
                let at = section.get(key).map(|e| &e.value_at);
                report.error(at, format!("option `{key}` of {}: {what}", section.title()), Some(hint));
                good = false;
            }
        }
    }
    good.then_some(pairs)
}

fn read_pair(item: &str) -> Result<Pair, (String, String)> {
    let of_accessor = |error: crate::record::AccessorError| (format!("in `{item}` {error}"), error.hint().to_owned());
    if item.starts_with('$') {
        return Accessor::parse(item).map(Pair::of_accessor).map_err(of_accessor);
    }
    let (name, value) = item.split_once('=').map_or((item, ""), |(name, value)| (name.trim(), value.trim()));
    if name.is_empty() || value.is_empty() {
        let hint = "write name=value, name=$key or $key, with commas between them".to_owned();
        return Err((format!("`{item}` is no name with a value"), hint));
    }
    let value = match value.starts_with('$') {
        true => Value::Record(Template::parse(value).map_err(of_accessor)?),
        false => Value::Fixed(value.to_owned()),
    };
    Ok(Pair { name: name.to_owned(), value })
}

/// Reads a list of accessors; keys may stand without `$`.
pub(super) fn read_accessors(
    section: &Section,
    key: &str,
    list: &[String],
    report: &mut Report,
) -> Option<Vec<Accessor>> {
    let mut accessors = Vec::new();
    let mut good = true;
    for item in list {
        match Accessor::parse(item) {
            Ok(accessor) => accessors.push(accessor),
            Err(error) => {
                let at = section.get(key).map(|e| &e.value_at);
                let what = format!("option `{key}` of {}: in `{item}` {error}", section.title());
                report.error(at, what, Some(error.hint().into()));
                good = false;
            }
        }
    }
    good.then_some(accessors)
}

/// Labels named by the accessors that find them.
pub(super) fn of_accessors(accessors: Vec<Accessor>) -> impl Iterator<Item = Pair> {
    accessors.into_iter().map(Pair::of_accessor)
}

/// The labels of a map such as `{"kubernetes":{"pod_name":"pod","labels":{"app":"app"}},"stream":"stream"}`: where a value
/// stands, and the label's name.
pub(super) fn of_map(map: &Json) -> Result<Vec<Pair>, String> {
    let mut pairs = Vec::new();
    match map {
        Json::Object(members) => members.iter().try_for_each(|(key, below)| walk(&mut vec![key], below, &mut pairs))?,
        _ => return Err("it is no JSON object".into()),
    }
    Ok(pairs)
}

fn walk<'m>(path: &mut Vec<&'m str>, value: &'m Json, pairs: &mut Vec<Pair>) -> Result<(), String> {
    match value {
        Json::String(name) => {
            let accessor = Accessor::of_keys(path.iter().copied());
            let pair = |a| Pair { name: valid_name(name), value: Value::Record(Template::of(a)) };
            pairs.extend(accessor.map(pair));
            Ok(())
        }
        Json::Object(members) => members.iter().try_for_each(|(key, below)| {
            path.push(key);
            let walked = walk(path, below, pairs);
            path.pop();
            walked
        }),
        _ => Err(format!("under {} stands neither a label's name nor a map", path.join("."))),
    }
}

/// A name as Loki takes it, `[a-zA-Z_][a-zA-Z0-9_]*`: what it does not take becomes `_`, byte by byte as in Fluent Bit.
pub(super) fn valid_name(name: &str) -> String {
    let mut valid = String::new();
    push_valid_name(&mut valid, name);
    valid
}

fn push_valid_name(out: &mut String, name: &str) {
    if name.as_bytes().first().is_none_or(u8::is_ascii_digit) {
        out.push('_');
    }
    let byte = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte) } else { '_' };
    out.extend(name.bytes().map(byte));
}

/// Names with values, each name once. Kept and filled again, so that nothing is allocated for a record.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    text: String,
    list: Vec<(Range<usize>, Range<usize>)>,
    /// For names that have to be written anew.
    name: String,
}

impl Rendered {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.list.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, index: usize) -> (&str, &str) {
        let (name, value) = &self.list[index];
        (&self.text[name.clone()], &self.text[value.clone()])
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|(own, _)| self.text[own.clone()] == *name)
    }

    /// Sets a value; nothing where `write` writes nothing. Of one name the last value counts.
    pub(super) fn set(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        self.set_if(name, |text| {
            write(text);
            true
        });
    }

    /// The same where `write` says whether the value is whole: one that is not takes no other's place.
    fn set_if(&mut self, name: &str, write: impl FnOnce(&mut String) -> bool) {
        let start = self.text.len();
        let is_whole = write(&mut self.text);
        let value = start..self.text.len();
        if value.is_empty() {
            return;
        }
        match self.position(name) {
            Some(_) if !is_whole => self.text.truncate(start),
            Some(at) => self.list[at].1 = value,
            None => {
                self.text.push_str(name);
                self.list.push((value.end..self.text.len(), value));
            }
        }
    }

    /// Sets what is not there yet.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        if self.position(name).is_none() {
            self.set(name, |text| text.push_str(value));
        }
    }

    /// The members of a map under their names made valid: texts as they are, the others as JSON, or left out with `texts_only`.
    pub(super) fn set_members(&mut self, map: Found<'_>, texts_only: bool) {
        let Found::Json(map @ [b'{', ..]) = map else { return };
        json_read::object(map, |member| {
            let value = Found::Json(&map[member.value.0..member.value.1]);
            if texts_only && !value.is_string() {
                return;
            }
            let mut name = std::mem::take(&mut self.name);
            name.clear();
            let key = Found::Json(&map[member.key.0 - 1..member.key.1 + 1]);
            let start = self.text.len();
            key.push_text(&mut self.text);
            push_valid_name(&mut name, &self.text[start..]);
            self.text.truncate(start);
            self.set(&name, |text| push_as_json(text, value));
            self.name = name;
        });
    }

    /// Appends some of them as labels. A request with U+FFFD in a label is refused as a whole.
    pub(super) fn push_labels(&self, chosen: impl Iterator<Item = usize>, out: &mut Vec<u8>) {
        let label = |index| {
            let (name, value) = self.get(index);
            let is_good = !value.contains(char::REPLACEMENT_CHARACTER);
            let replaced = || Cow::Owned(value.replace(char::REPLACEMENT_CHARACTER, "?"));
            (name, if is_good { Cow::Borrowed(value) } else { replaced() })
        };
        push_members(chosen.map(label), out);
    }

    /// Appends all of them as structured metadata. For a name of nothing but `_` Loki fails the whole request.
    pub(super) fn push_metadata(&self, out: &mut Vec<u8>) {
        for index in 0..self.len() {
            let (name, value) = self.get(index);
            match name.bytes().all(|byte| byte == b'_') {
                true => entry::push_pair(out, format!("key{name}").as_bytes(), value.as_bytes()),
                false => entry::push_pair(out, name.as_bytes(), value.as_bytes()),
            }
        }
    }
}

/// As a JSON object.
fn push_members(members: impl Iterator<Item = (impl AsRef<str>, impl AsRef<str>)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::push_utf8(out, name.as_ref().as_bytes());
        out.push(b':');
        json::push_utf8(out, value.as_ref().as_bytes());
    }
    out.push(b'}');
}

fn push_as_json(text: &mut String, value: Found<'_>) {
    match value {
        Found::Json(json) if !value.is_string() => text.push_str(&String::from_utf8_lossy(json)),
        _ => value.push_text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rendered: &Rendered) -> String {
        let mut out = Vec::new();
        rendered.push_labels(0..rendered.len(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn labels_and_metadata_are_as_loki_takes_them() {
        let mut rendered = Rendered::default();
        let map = "{\"\":\"a\",\"é\":\"b\",\"_x\":\"c\",\"-y\":\"d\u{fffd}\"}";
        rendered.set_members(Found::Json(map.as_bytes()), false);
        let mut out = Vec::new();
        rendered.push_metadata(&mut out);
        let expect = [("key_", "a"), ("key__", "b"), ("_x", "c"), ("_y", "d\u{fffd}")];
        let expect = expect.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        assert_eq!(entry::pairs(&out).collect::<Vec<_>>(), expect, "no name of underscores alone");
        assert_eq!(shown(&rendered), r#"{"_":"a","__":"b","_x":"c","_y":"d?"}"#, "no value that was no text");
    }

    #[test]
    fn items_are_read() {
        let accessor = |text: &str| Value::Record(Template::of(Accessor::parse(text).expect(text)));
        for (item, name, value) in [
            ("job=app", "job", Value::Fixed("app".into())),
            ("a = b=c", "a", Value::Fixed("b=c".into())),
            ("ns=$k['n']", "ns", accessor("$k['n']")),
            ("$k['labels']['a.b/c']", "k_labels_a_b_c", accessor("$k['labels']['a.b/c']")),
            ("$TAG[1]", "TAG_1", accessor("$TAG[1]")),
        ] {
            assert_eq!(read_pair(item), Ok(Pair { name: name.into(), value }), "{item}");
        }
        for wrong in ["job", "=x", "job=", "ns=$k[", "$a b"] {
            assert!(read_pair(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_become_valid() {
        for (name, expect) in
            [("app", "app"), ("a.b/c-d", "a_b_c_d"), ("0x", "_0x"), ("ü", "__"), ("", "_"), ("_9", "_9")]
        {
            assert_eq!(valid_name(name), expect, "{name}");
        }
    }

    #[test]
    fn a_map_names_labels() {
        let map = serde_json::json!({ "k": { "pod_name": "pod", "labels": { "a.b": "0app" } }, "stream": "stream" });
        let names: Vec<(String, String)> = of_map(&map)
            .expect("a map")
            .iter()
            .map(|pair| (pair.name.clone(), pair.accessors().map(Accessor::joined).collect()))
            .collect();
        let expect = [("pod", "k_pod_name"), ("_0app", "k_labels_a.b"), ("stream", "stream")];
        assert_eq!(names, expect.map(|(name, path)| (name.to_owned(), path.to_owned())));
        assert_eq!(
            of_map(&serde_json::json!({ "a": { "b": 1 } })),
            Err("under a.b stands neither a label's name nor a map".into())
        );
        assert!(of_map(&serde_json::json!([])).is_err());
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let mut rendered = Rendered::default();
        for (name, value) in [("a", "1"), ("b", ""), ("a", "\"2\""), ("c", "3"), ("a", "")] {
            rendered.set(name, |text| text.push_str(value));
        }
        rendered.set_if("a", |text| {
            text.push_str("part/");
            false
        });
        rendered.add("c", "4");
        rendered.add("d", "5");
        assert_eq!(shown(&rendered), r#"{"a":"\"2\"","c":"3","d":"5"}"#);
        rendered.clear();
        let map = br#"{"x.y":"t\"","n":1.50,"m":{"a":[1]},"0\u0041":"esc"}"#;
        rendered.set_members(Found::Json(map), false);
        assert_eq!(shown(&rendered), r#"{"x_y":"t\"","n":"1.50","m":"{\"a\":[1]}","_0A":"esc"}"#);
        rendered.clear();
        rendered.set_members(Found::Json(map), true);
        assert_eq!(shown(&rendered), r#"{"x_y":"t\"","_0A":"esc"}"#);
    }
}
