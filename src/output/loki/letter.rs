//! An entry that was refused, for people and for `drave replay`: a push of its own, which Loki would take as it is.
//!
//! ```json
//! {"streams":[{"stream":{"app":"web"},"values":[["1709287200000000000","the line",{"pod":"web-1"}]]}]}
//! ```

use super::body::{push_json, streams};
use super::{entry, piece};
use crate::output::Pieces;
use serde_json::{Map, Value};

/// A piece as a push.
pub(super) fn of_piece(piece: &[u8]) -> Vec<u8> {
    let mut pieces = Pieces::default();
    pieces.bytes.extend_from_slice(piece);
    pieces.add(0);
    let mut letter = Vec::new();
    push_json(&streams(&pieces), &mut letter);
    letter
}

/// The piece of a push of one entry; `None` where it is none.
pub(super) fn to_piece(letter: &[u8]) -> Option<Vec<u8>> {
    let push: Value = serde_json::from_slice(letter).ok()?;
    let [stream] = push.get("streams")?.as_array()?.as_slice() else { return None };
    let [value] = stream.get("values")?.as_array()?.as_slice() else { return None };
    let are_texts = |labels: &Map<String, Value>| !labels.is_empty() && labels.values().all(Value::is_string);
    let labels = stream.get("stream").filter(|labels| labels.as_object().is_some_and(are_texts))?;
    let time_ns = value.get(0)?.as_str()?.parse().ok()?;
    let line = value.get(1)?.as_str()?.as_bytes();
    let (none, mut metadata, mut piece) = (Map::new(), Vec::new(), Vec::new());
    for (name, value) in value.get(2).map_or(Some(&none), Value::as_object)? {
        entry::push_pair(&mut metadata, name.as_bytes(), value.as_str()?.as_bytes());
    }
    piece::push_labels(&mut piece, &serde_json::to_vec(labels).ok()?);
    entry::push(&mut piece, (&metadata, time_ns), line.len(), |out| out.extend_from_slice(line));
    Some(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_push() {
        let mut piece = Vec::new();
        piece::push(&mut piece, r#"{"app":"web"}"#, &[("pod", "web-1")], 1_709_287_200_000_000_000, "the \"line\"");
        let letter = r#"{"streams":[{"stream":{"app":"web"},"values":[["1709287200000000000","the \"line\"",{"pod":"web-1"}]]}]}"#;
        assert_eq!(String::from_utf8_lossy(&of_piece(&piece)), letter);
    }

    #[test]
    fn a_letter_becomes_its_piece_again() {
        let map = |count| proptest::collection::btree_map("[a-z]{1,3}", "\\PC{0,20}", count);
        let maps = (map(1..4), map(0..4));
        proptest::proptest!(|((labels, pairs) in maps, time_ns: i64, line in "\\PC{0,40}")| {
            let labels = serde_json::to_string(&labels).expect("JSON");
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut piece = Vec::new();
            piece::push(&mut piece, &labels, &pairs, time_ns, &line);
            proptest::prop_assert_eq!(to_piece(&of_piece(&piece)), Some(piece));
        });
        for other in [
            "",
            "{}",
            "{\"log\":\"x\"}\n",
            r#"{"streams":[]}"#,
            r#"{"streams":[{"stream":{},"values":[["1","y"]]}]}"#,
            r#"{"streams":[{"stream":{"a":1},"values":[["1","y"]]}]}"#,
        ] {
            assert_eq!(to_piece(other.as_bytes()), None, "{other}");
        }
    }
}
