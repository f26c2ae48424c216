//! The second form of a document that the mapping refused: its text and what it is found by stay, the rest becomes one text.
//!
//! ```text
//! {"@timestamp":…,"stream":"stdout","kubernetes":{…},"log_processed":{"user":{"id":"x"}}}      log_processed.user is a number there
//!   ─▶ {"@timestamp":…,"stream":"stdout","kubernetes":{…},"drave.conflict":"log_processed.user","drave.fields":"{\"log_processed\":…}"}
//! ```
//! Only the first field that does not fit is named by the server. So with a map all maps go, with a value all values; what the
//! container's line and its pod gave stays, unless it is to blame itself. Numbers of more digits than 64 bits hold are rounded.

use crate::record::time::civil_text;
use serde_json::{Map, Value};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a record has beside what is merged into it.
const OWN_KEYS: [&str; 8] = ["time", "stream", "_p", "logtag", "log", "message", "drave.truncated", "drave_truncated"];
const PODS: &str = "kubernetes";
/// Names that servers keep for themselves: no document may have them.
const NOT_THEIRS: [&str; 5] = ["_id", "_index", "_routing", "_source", "_type"];

/// How these documents are written.
#[derive(Debug)]
pub(super) struct SecondForm {
    /// `time_key`, `tag_key`.
    pub(super) kept: [String; 2],
    /// `_` for dots in keys.
    pub(super) without_dots: bool,
    /// Documents stand in `{"doc":…}`.
    pub(super) wrapped: bool,
}

impl SecondForm {
    /// Appends the piece anew; `false` if it has its second form already, or has none.
    pub(super) fn push(&self, piece: &[u8], why: &str, out: &mut Vec<u8>) -> bool {
        let Some(border) = memchr::memchr(b'\n', piece) else { return false };
        let (action, document) = piece.split_at(border + 1);
        let Ok(Value::Object(mut whole)) = serde_json::from_slice(document) else { return false };
        let document =
            if self.wrapped { whole.get_mut("doc").and_then(Value::as_object_mut) } else { Some(&mut whole) };
        let Some(document) = document else { return false };
        let [conflict, fields] = match self.without_dots {
            true => ["drave_conflict", "drave_fields"],
            false => ["drave.conflict", "drave.fields"],
        };
        if document.contains_key(conflict) {
            return false;
        }
        let field = field_of(why);
        let taken = self.take(document, field);
        if taken.contains_key(&self.kept[0]) {
            // A data stream takes nothing without a time, and nobody finds it.
            document.insert(self.kept[0].clone(), now().into());
        }
        document.insert(conflict.into(), field.unwrap_or("unknown").into());
        document.insert(fields.into(), Value::Object(taken).to_string().into());
        out.extend_from_slice(action);
        out.extend_from_slice(Value::Object(whole).to_string().as_bytes());
        out.push(b'\n');
        true
    }

    /// Takes out what goes into the text.
    fn take(&self, document: &mut Map<String, Value>, field: Option<&str>) -> Map<String, Value> {
        let top = field.and_then(|field| top_of(document, field));
        let is_map = top.as_ref().is_some_and(|key| !is_plain(&document[key]));
        let mut taken = Map::new();
        for key in document.keys().cloned().collect::<Vec<_>>() {
            let value = &document[&key];
            let is_own = OWN_KEYS.contains(&key.as_str()) || self.kept.contains(&key) || is_map && key != PODS;
            let is_allowed = top.as_ref() != Some(&key) && !NOT_THEIRS.contains(&key.as_str());
            let stays = is_allowed && (key == PODS || is_own && is_plain(value));
            if !stays
                && key != PODS
                && let Some(value) = document.shift_remove(&key)
            {
                taken.insert(key, value);
            }
        }
        // What a pod is called is never to blame; its labels may be.
        if (top.is_none() || top.as_deref() == Some(PODS))
            && let Some(Value::Object(pod)) = document.get_mut(PODS)
        {
            let maps: Vec<String> = pod.iter().filter(|(_, v)| !is_plain(v)).map(|(key, _)| key.clone()).collect();
            let maps = maps.into_iter().filter_map(|key| pod.shift_remove(&key).map(|value| (key, value)));
            taken.insert(PODS.into(), Value::Object(maps.collect()));
        }
        taken
    }
}

/// `2024-03-01T10:00:00Z`.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}Z", String::from_utf8_lossy(&civil_text(since.as_secs().cast_signed())))
}

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Object(_) | Value::Array(_))
}

/// The key of the document that a field is below; a key may have dots itself.
fn top_of(document: &Map<String, Value>, field: &str) -> Option<String> {
    let is_above =
        |key: &&String| field.strip_prefix(key.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    // A key with dots that begins as the field does: `app` is to blame, and stands there as `app.name`.
    let begins = |key: &&String| key.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'));
    document.keys().find(is_above).or_else(|| document.keys().find(begins)).cloned()
}

/// The field that the server names: `failed to parse field [a.b] of type [long]`.
fn field_of(why: &str) -> Option<&str> {
    const BEFORE: [&str; 7] = [
        "object mapping for [",
        "parse field [",
        "object mapping [",
        "dynamic introduction of [",
        "mapper [",
        "field [",
        "Duplicate field '",
    ];
    let start = BEFORE.iter().find_map(|before| why.find(before).map(|at| at + before.len()))?;
    let field = &why[start..];
    field.find([']', '\'']).map(|end| &field[..end]).filter(|field| !field.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, why: &str, expect: Option<&str>) {
        let form = SecondForm { kept: ["@timestamp".into(), "flb-key".into()], without_dots: false, wrapped: false };
        let mut out = Vec::new();
        let piece = format!("{{\"create\":{{}}}}\n{document}\n");
        let has_one = form.push(piece.as_bytes(), why, &mut out);
        let out = String::from_utf8(out).expect("text");
        assert_eq!((has_one, out.lines().nth(1)), (expect.is_some(), expect), "{document} {why}");
        if has_one {
            assert!(out.starts_with("{\"create\":{}}\n") && out.ends_with('\n'), "{out}");
            assert!(!form.push(out.as_bytes(), why, &mut Vec::new()), "there is no third");
        }
    }

    #[test]
    fn what_is_merged_becomes_a_text() {
        let pod = r#""kubernetes":{"pod_name":"web-1","labels":{"app":"x"}}"#;
        for (document, why, expect) in [
            (
                format!(r#"{{"@timestamp":"t","stream":"stdout","n":1,{pod},"merged":{{"user":{{"id":"x"}}}}}}"#),
                "failed to parse field [merged.user.id] of type [long]",
                format!(r#"{{"@timestamp":"t","stream":"stdout","n":1,{pod},"drave.conflict":"merged.user.id","drave.fields":"{{\"merged\":{{\"user\":{{\"id\":\"x\"}}}}}}"}}"#),
            ),
            (
                format!(r#"{{"log":"line","level":7,"user":"a",{pod}}}"#),
                "mapper [level] cannot be changed from type [text] to [long]",
                format!(r#"{{"log":"line",{pod},"drave.conflict":"level","drave.fields":"{{\"level\":7,\"user\":\"a\"}}"}}"#),
            ),
            (
                format!(r#"{{"log":"line",{pod}}}"#),
                "object mapping for [kubernetes.labels.app] tried to parse field [app] as object, but found a concrete value",
                r#"{"log":"line","kubernetes":{"pod_name":"web-1"},"drave.conflict":"kubernetes.labels.app","drave.fields":"{\"kubernetes\":{\"labels\":{\"app\":\"x\"}}}"}"#.into(),
            ),
            (
                r#"{"log":"line","a":{"b":1}}"#.into(),
                "Limit of total fields [1000] has been exceeded",
                r#"{"log":"line","drave.conflict":"unknown","drave.fields":"{\"a\":{\"b\":1}}"}"#.into(),
            ),
            (
                r#"{"app.name":1,"log":{"a":1}}"#.into(),
                "can't merge a non object mapping [app] with an object mapping",
                r#"{"drave.conflict":"app","drave.fields":"{\"app.name\":1,\"log\":{\"a\":1}}"}"#.into(),
            ),
            (
                r#"{"x":{"a":1,"a":2}}"#.into(),
                "failed to parse: Duplicate field 'a'",
                r#"{"drave.conflict":"a","drave.fields":"{\"x\":{\"a\":2}}"}"#.into(),
            ),
        ] {
            check(&document, why, Some(&expect));
        }
        check(r#"{"drave.conflict":"a"}"#, "", None);
        check("{broken", "", None);
    }

    #[test]
    fn a_time_that_is_none_is_replaced() {
        let form = SecondForm { kept: ["@timestamp".into(), String::new()], without_dots: false, wrapped: false };
        let mut out = Vec::new();
        assert!(form.push(
            b"{}\n{\"@timestamp\":\"none\"}\n",
            "failed to parse field [@timestamp] of type [date]",
            &mut out
        ));
        let document: Value = serde_json::from_slice(&out[3..]).expect("a document");
        assert_eq!(document["drave.fields"], "{\"@timestamp\":\"none\"}");
        let time = document["@timestamp"].as_str().expect("a time").as_bytes();
        assert!(crate::record::time::Rfc3339::default().parse(time) > Some(1_700_000_000_000_000_000));
    }

    #[test]
    fn an_update_keeps_its_wrapping() {
        let form = SecondForm { kept: [String::new(), String::new()], without_dots: true, wrapped: true };
        let mut out = Vec::new();
        assert!(form.push(
            b"{\"update\":{}}\n{\"doc\":{\"a\":1},\"doc_as_upsert\":true}\n",
            "parse field [a]",
            &mut out
        ));
        let expect = r#"{"doc":{"drave_conflict":"a","drave_fields":"{\"a\":1}"},"doc_as_upsert":true}"#;
        assert_eq!(String::from_utf8_lossy(&out), format!("{{\"update\":{{}}}}\n{expect}\n"));
    }

    #[test]
    fn fields_are_found() {
        for (why, expect) in [
            ("failed to parse field [o.x] of type [long] in document with id 'a'", Some("o.x")),
            ("object mapping for [o] tried to parse field [o] as object, but found a concrete value", Some("o")),
            ("can't merge a non object mapping [app] with an object mapping", Some("app")),
            ("mapping set to strict, dynamic introduction of [zz] within [_doc] is not allowed", Some("zz")),
            ("mapper [a.b] cannot be changed from type [long] to [text]", Some("a.b")),
            ("failed to parse: Duplicate field 'a'", Some("a")),
            ("Limit of total fields [2] has been exceeded", None),
            ("failed to parse field [", None),
            ("", None),
        ] {
            assert_eq!(field_of(why), expect, "{why}");
        }
    }
}
