//! The line of an entry: what is left of a record when the keys are gone that nobody wants in it, or that are labels.
//!
//! ```text
//! line_format json        {"log":"GET /","stream":"stdout"}      drop_single_key on   "GET /"     raw   GET /
//! line_format key_value   log="GET /" stream="stdout"            drop_single_key on   GET /
//! ```

use super::key_value;
use crate::record::{Accessor, Batch, Found, Shape, Step, json, json_read};

crate::option_enum! {
    /// How the line is written.
    pub enum LineFormat {
        /// A JSON object.
        Json = "json",
        /// `key="value"`, with blanks between them.
        KeyValue = "key_value",
    }
}

crate::option_enum! {
    /// What becomes of a record of which a single key is left.
    pub enum SingleKey {
        /// It is written as any other.
        Off = "off" | "false" | "no",
        /// The value alone, as JSON.
        On = "on" | "true" | "yes",
        /// The value alone, texts without quotes.
        Raw = "raw",
    }
}

/// How lines are written.
#[derive(Debug)]
pub(super) struct Line {
    format: LineFormat,
    single: SingleKey,
    removed: Vec<Removed>,
}

/// What is removed under a key.
#[derive(Debug, PartialEq, Eq)]
struct Removed {
    key: Box<[u8]>,
    whole: bool,
    below: Vec<Self>,
}

/// How much of a value is kept.
#[derive(Clone, Copy)]
enum Kept<'l> {
    All,
    Without(&'l [Removed]),
}

/// Of which records of a batch nothing but the text is left.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextAlone {
    container: bool,
    line: bool,
}

impl Line {
    pub(super) fn new(format: LineFormat, single: SingleKey) -> Self {
        Self { format, single, removed: Vec::new() }
    }

    /// Keeps from the line what an accessor finds. Values of arrays, and the tag, cannot be removed.
    pub(super) fn remove(&mut self, accessor: &Accessor) {
        let Some(root) = accessor.key() else { return };
        let mut path = vec![root];
        for step in accessor.steps() {
            match step {
                Step::Key(key) => path.push(key),
                Step::Item(_) => return,
            }
        }
        insert(&mut self.removed, &path);
    }

    /// What a source's own value of each shared field is without what is removed in it; `None` where that is all of it or nothing.
    pub(super) fn cleaned(&self, batch: &Batch) -> Vec<Option<Vec<u8>>> {
        let clean = |value: &[u8], key: &str| match self.kept(key.as_bytes(), Found::Json(value)) {
            Some(Kept::Without(below)) => {
                let mut cleaned = Vec::new();
                push_without(&mut cleaned, value, below);
                Some(cleaned)
            }
            _ => None,
        };
        batch.source.draft.shared.iter().map(|shared| clean(shared.value_json(), &shared.key)).collect()
    }

    /// Looks at what all records of a batch have.
    pub(super) fn text_alone(&self, batch: &Batch) -> TextAlone {
        let draft = &batch.source.draft;
        let is_gone = |key: &str| self.kept(key.as_bytes(), Found::Text(b"")).is_none();
        let is_whole = |key: &str| matches!(self.kept(key.as_bytes(), Found::Text(b"")), Some(Kept::All));
        let shared = draft.shared.iter().all(|s| self.kept(s.key.as_bytes(), Found::Json(s.value_json())).is_none());
        let bare = match self.format {
            LineFormat::Json => self.single == SingleKey::Raw,
            LineFormat::KeyValue => self.single != SingleKey::Off,
        };
        let others = bare && shared && draft.offset_key.as_deref().is_none_or(is_gone);
        let container = ["time", "stream"].into_iter().chain(batch.keys.tag).all(is_gone) && is_whole(batch.keys.text);
        TextAlone { container: others && container, line: others && is_whole(&draft.text_key) }
    }

    /// Appends the line of a record.
    #[inline]
    pub(super) fn push(
        &self,
        out: &mut Vec<u8>,
        batch: &Batch,
        record: usize,
        alone: TextAlone,
        cleaned: &[Option<Vec<u8>>],
    ) {
        let own = &batch.records[record];
        let is_alone = match own.shape {
            Shape::Container => alone.container,
            Shape::Line => alone.line,
            Shape::Fields => false,
        };
        if is_alone && own.fields_start == own.fields_end && !own.owns_shared && !own.truncated {
            return push_text(out, batch.bytes(own.text), batch.utf8);
        }
        if self.single != SingleKey::Off
            && let Some((value, kept)) = self.single_value(batch, record)
        {
            return self.push_single(out, batch, value, kept);
        }
        match self.format {
            LineFormat::Json if self.removed.is_empty() => {
                out.push(b'{');
                json::push_members(out, batch, own, false);
                out.push(b'}');
            }
            LineFormat::Json => self.push_object(out, batch, record, cleaned),
            LineFormat::KeyValue => self.push_key_values(out, batch, record, cleaned),
        }
    }

    fn kept(&self, key: &[u8], value: Found<'_>) -> Option<Kept<'_>> {
        kept(&self.removed, key, value)
    }

    /// The only value that is kept, if there is only one.
    fn single_value<'b>(&self, batch: &'b Batch, record: usize) -> Option<(Found<'b>, Kept<'_>)> {
        let (mut single, mut count) = (None, 0);
        batch.each_member(record, &mut |key, value| {
            if let Some(kept) = self.kept(key, value) {
                (single, count) = (Some((value, kept)), count + 1);
            }
        });
        single.filter(|_| count == 1)
    }

    fn push_single(&self, out: &mut Vec<u8>, batch: &Batch, value: Found<'_>, kept: Kept<'_>) {
        let raw = self.single == SingleKey::Raw || self.format == LineFormat::KeyValue;
        match (value, kept) {
            (Found::Text(text), _) if raw => push_text(out, text, batch.utf8),
            (Found::Json([b'"', inner @ .., b'"']), _) if raw => _ = json_read::unescape(inner, out),
            (Found::Json(map), Kept::Without(below)) => {
                let mut cleaned = Vec::new();
                push_without(&mut cleaned, map, below);
                self.push_value(out, Found::Json(&cleaned));
            }
            _ => self.push_value(out, value),
        }
    }

    fn push_value(&self, out: &mut Vec<u8>, value: Found<'_>) {
        match self.format {
            LineFormat::Json => value.push_json(out),
            LineFormat::KeyValue => key_value::push(out, value),
        }
    }

    fn push_object(&self, out: &mut Vec<u8>, batch: &Batch, record: usize, cleaned: &[Option<Vec<u8>>]) {
        out.push(b'{');
        let start = out.len();
        batch.each_member(record, &mut |key, value| {
            let Some(kept) = self.kept(key, value) else { return };
            if out.len() > start {
                out.push(b',');
            }
            push_string(out, key, batch.utf8);
            out.push(b':');
            match (kept, value) {
                (Kept::Without(below), Found::Json(map)) => match cleaned_of(batch, key, map, cleaned) {
                    Some(cleaned) => out.extend_from_slice(cleaned),
                    None => push_without(out, map, below),
                },
                (_, Found::Text(text)) => push_string(out, text, batch.utf8),
                _ => value.push_json(out),
            }
        });
        out.push(b'}');
    }

    fn push_key_values(&self, out: &mut Vec<u8>, batch: &Batch, record: usize, cleaned: &[Option<Vec<u8>>]) {
        let start = out.len();
        batch.each_member(record, &mut |key, value| {
            let Some(kept) = self.kept(key, value) else { return };
            if out.len() > start {
                out.push(b' ');
            }
            push_text(out, key, batch.utf8);
            out.push(b'=');
            match (kept, value) {
                (Kept::Without(below), Found::Json(map)) => match cleaned_of(batch, key, map, cleaned) {
                    Some(cleaned) => key_value::push(out, Found::Json(cleaned)),
                    None => {
                        let mut own = Vec::new();
                        push_without(&mut own, map, below);
                        key_value::push(out, Found::Json(&own));
                    }
                },
                _ => key_value::push(out, value),
            }
        });
    }
}

/// The value that was cleaned beforehand, where it is the shared one.
fn cleaned_of<'c>(batch: &Batch, key: &[u8], map: &[u8], cleaned: &'c [Option<Vec<u8>>]) -> Option<&'c [u8]> {
    let shared = batch.source.draft.shared.iter();
    let at = shared.clone().position(|s| s.key.as_bytes() == key && std::ptr::eq(s.value_json(), map))?;
    cleaned.get(at)?.as_deref()
}

/// Appends text; what is not UTF-8 becomes U+FFFD.
#[inline]
fn push_text(out: &mut Vec<u8>, text: &[u8], is_utf8: bool) {
    if is_utf8 { out.extend_from_slice(text) } else { super::super::printed::push_lossy(out, text) }
}

fn push_string(out: &mut Vec<u8>, text: &[u8], is_utf8: bool) {
    if is_utf8 { json::push_utf8(out, text) } else { json::push_string(out, text) }
}

fn insert(list: &mut Vec<Removed>, path: &[&[u8]]) {
    let [key, rest @ ..] = path else { return };
    let at = list.iter().position(|removed| *removed.key == **key).unwrap_or_else(|| {
        list.push(Removed { key: (*key).into(), whole: false, below: Vec::new() });
        list.len() - 1
    });
    match rest {
        [] => list[at].whole = true,
        _ => insert(&mut list[at].below, rest),
    }
}

/// A key below a value that is neither a map nor an array means that value, as everywhere in accessors.
fn kept<'l>(list: &'l [Removed], key: &[u8], value: Found<'_>) -> Option<Kept<'l>> {
    match (list.iter().find(|removed| *removed.key == *key), value) {
        (None, _) => Some(Kept::All),
        (Some(Removed { whole: true, .. }), _) => None,
        (Some(removed), Found::Json([b'{', ..])) => Some(Kept::Without(&removed.below)),
        (Some(_), Found::Json([b'[', ..])) => Some(Kept::All),
        (Some(_), _) => None,
    }
}

/// Appends a JSON object without some of its members.
fn push_without(out: &mut Vec<u8>, map: &[u8], removed: &[Removed]) {
    out.push(b'{');
    let start = out.len();
    let mut unescaped = Vec::new();
    json_read::object(map, |member| {
        let (own, value) = (&map[member.key.0..member.key.1], &map[member.value.0..member.value.1]);
        unescaped.clear();
        let key = match member.key_escaped && json_read::unescape(own, &mut unescaped).is_some() {
            true => &unescaped[..],
            false => own,
        };
        let found = removed.iter().find(|removed| *removed.key == *key);
        if found.is_some_and(|removed| removed.whole) {
            return;
        }
        if out.len() > start {
            out.push(b',');
        }
        out.extend_from_slice(&map[member.key.0 - 1..=member.key.1]);
        out.push(b':');
        match found {
            Some(removed) if value.starts_with(b"{") => push_without(out, value, &removed.below),
            _ => out.extend_from_slice(value),
        }
    });
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: &str, single: &str, remove: &[&str]) -> Line {
        use crate::config::OptionValue;
        let mut line =
            Line::new(LineFormat::parse(format).expect("a format"), SingleKey::parse(single).expect("a word"));
        remove.iter().for_each(|text| line.remove(&Accessor::parse(text).expect("an accessor")));
        line
    }

    #[test]
    fn lines_of_a_containers_record() {
        use crate::record::{Field, Record, Source, SourceDraft, Stream, Value};
        let mut draft = SourceDraft { text_key: "log".into(), ..SourceDraft::default() };
        let pod = serde_json::json!({"pod": "web-1", "labels": {"app": "web", "a.b": 1.0}});
        draft.share("kubernetes", pod, true);
        let mut batch = Batch::new(std::sync::Arc::new(Source::new(draft, Vec::new())));
        let (text, time_text) = (batch.append(b"say \"hi\""), batch.append(b"2024-03-01T10:00:00Z"));
        let plain =
            Record { text, time_text, shape: Shape::Container, stream: Stream::Stdout, tag: b'F', ..Record::default() };
        let (key, value) = (batch.append(b"m"), batch.append(br#"{"k\"":[1,null,"x"],"n":2.50,"e":{}}"#));
        batch.fields.push(Field { key, value: Value::Json(value) });
        batch.records = vec![plain, Record { fields_end: 1, ..plain }];
        batch.check_utf8();
        let others = ["time", "stream", "_p"];
        for (format, single, remove, plain, with_field) in [
            (
                "json",
                "off",
                &["$kubernetes['labels']['app']", "$time['x']", "log"][..],
                r#"{"stream":"stdout","_p":"F","kubernetes":{"pod":"web-1","labels":{"a.b":1.0}}}"#,
                r#"{"stream":"stdout","_p":"F","m":{"k\"":[1,null,"x"],"n":2.50,"e":{}},"kubernetes":{"pod":"web-1","labels":{"a.b":1.0}}}"#,
            ),
            (
                "json",
                "raw",
                &["kubernetes"],
                r#"say "hi""#,
                r#"{"log":"say \"hi\"","m":{"k\"":[1,null,"x"],"n":2.50,"e":{}}}"#,
            ),
            ("json", "on", &["kubernetes", "m"], r#""say \"hi\"""#, r#""say \"hi\"""#),
            ("json", "raw", &["kubernetes", "log", "$m['k\"']", "$m['e']['x']"], "{}", r#"{"n":2.50,"e":{}}"#),
            (
                "key_value",
                "off",
                &["$kubernetes['labels']"],
                r#"log="say "hi"" kubernetes="map[pod:"web-1"]""#,
                r#"log="say "hi"" m="map[k":"[1 null "x"]" n:2.5 e:"map[]"]" kubernetes="map[pod:"web-1"]""#,
            ),
            ("key_value", "on", &["kubernetes", "log"], "", r#""map[k":"[1 null "x"]" n:2.5 e:"map[]"]""#),
            ("key_value", "raw", &["kubernetes", "m"], r#"say "hi""#, r#"say "hi""#),
        ] {
            let mut all: Vec<&str> = remove.to_vec();
            if !remove.contains(&"$time['x']") {
                all.extend(others);
            }
            let line = line(format, single, &all);
            let (alone, cleaned) = (line.text_alone(&batch), line.cleaned(&batch));
            for (record, expect) in [(0, plain), (1, with_field)] {
                let mut out = Vec::new();
                line.push(&mut out, &batch, record, alone, &cleaned);
                assert_eq!(String::from_utf8_lossy(&out), expect, "{format} {single} {remove:?}");
            }
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let line = line("json", "off", &["$a['b']", "$a['c']['d']", "$e[0]"]);
        let map = br#"{"b":1,"c":{"d":2,"x":3},"\u0062":4,"e":[5]}"#;
        let Some(Kept::Without(below)) = line.kept(b"a", Found::Json(map)) else { panic!("a is kept in part") };
        let mut out = Vec::new();
        push_without(&mut out, map, below);
        assert_eq!(String::from_utf8_lossy(&out), r#"{"c":{"x":3},"e":[5]}"#);
        assert!(line.kept(b"a", Found::Text(b"x")).is_none() && line.kept(b"e", Found::Json(b"[1]")).is_some());
    }
}
