use super::*;
use proptest::prelude::{Just, Strategy, any};
use serde_json::Value;

fn members(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let slice = |(start, end): (usize, usize)| text[start..end].to_owned();
    object(text.as_bytes(), |m| found.push((slice(m.key), slice(m.value)))).then_some(found)
}

#[test]
fn objects_give_their_members() {
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    for (text, expect) in [
        ("{}", Some(vec![])),
        (r#" { "a" : 1 } "#, Some(vec![pair("a", "1")])),
        (
            r#"{"a":"x\"y","b":[1,{"c":null}],"d":-1.5e3}"#,
            Some(vec![pair("a", r#""x\"y""#), pair("b", r#"[1,{"c":null}]"#), pair("d", "-1.5e3")]),
        ),
        (r#"{"a":01}"#, None),
        (r#"{"a":+1}"#, None),
        (r#"{"a":.5}"#, None),
        (r#"{"a":NaN}"#, None),
        (r#"{"a":1e400}"#, None),
        (r#"{"a":1,}"#, None),
        (r#"{"a":1} trailing"#, None),
        (r#"{"a":"\x"}"#, None),
        (r#"{"a":"open"#, None),
        ("[1]", None),
        ("", None),
    ] {
        assert_eq!(members(text), expect, "{text}");
    }
}

#[test]
fn bytes_that_json_does_not_allow_are_written_anew() {
    for (text, expect) in [
        (&b"\"tab\there\""[..], r#""tab\there""#),
        (b"\"\\ud800 alone\"", "\"\u{FFFD} alone\""),
        (b"\"\\ud83d\\ude00\"", r#""\ud83d\ude00""#),
        (b"{\"a\\\"\":\"caf\xe9\"}", "{\"a\\\"\":\"caf\u{FFFD}\"}"),
    ] {
        let mut out = Vec::new();
        clean(text, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expect);
    }
}

#[test]
fn what_serde_reads_is_read_and_the_other_way_round() {
    proptest::proptest!(|(text in r#"\{("[a-z\\"\\u0-9]{0,6}":?[-0-9.eE\[\]\{\}," a-z]{0,8},?){0,3}\}"#)| {
        let ours = object(text.as_bytes(), |_| {});
        let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok();
        // Lone surrogates are the one thing that is taken here and not there.
        if !text.contains("\\u") { proptest::prop_assert_eq!(ours, theirs, "{}", text); }
    });
}

/// Strings that end before, at and behind the edges of the blocks that are looked at together.
#[test]
fn members_are_found_wherever_their_quotes_stand() {
    let text = "[a-z\"\\\\\n日é]{0,80}";
    let value = proptest::prop_oneof![
        text.prop_map(Value::from),
        any::<i16>().prop_map(|n| Value::from(f64::from(n) / 4.0)),
        any::<i64>().prop_map(Value::from),
        Just(serde_json::json!({"a": [true, {"b": "c"}, null, -0.5e-7], "": {}})),
    ];
    let map = proptest::collection::btree_map(text, value, 0..8);
    proptest::proptest!(|(map in map, pretty in any::<bool>())| {
        let json = if pretty { serde_json::to_string_pretty(&map) } else { serde_json::to_string(&map) };
        let json = json.expect("serialises");
        let mut found = std::collections::BTreeMap::new();
        let is_object = object(json.as_bytes(), |member| {
            let slice = |(start, end): (usize, usize)| &json[start..end];
            let key: String = serde_json::from_str(&format!("\"{}\"", slice(member.key))).expect("a string");
            assert_eq!((member.key_escaped, member.dirty), (slice(member.key).contains('\\'), false));
            found.insert(key, serde_json::from_str::<Value>(slice(member.value)).expect("a value"));
        });
        proptest::prop_assert!(is_object);
        proptest::prop_assert_eq!(serde_json::to_string(&found).ok(), serde_json::to_string(&map).ok());
        for end in 0..json.len() {
            proptest::prop_assert!(!object(&json.as_bytes()[..end], |_| ()), "{}", &json[..end]);
        }
    });
}

#[test]
fn a_byte_that_is_not_allowed_makes_its_member_dirty_and_no_other() {
    for (odd, is_dirty) in [(&b"\t"[..], true), (b"\xe9", true), ("é".as_bytes(), false), (b"\\ud800", true)] {
        for before in 0..140 {
            let pad = "x".repeat(before);
            let json = [format!("{{\"a\":\"{pad}").as_bytes(), odd, b"\",\"b\":\"clean\"}"].concat();
            let mut dirty = Vec::new();
            assert!(object(&json, |member| dirty.push(member.dirty)));
            assert_eq!(dirty, [is_dirty, false], "{odd:?} behind {before}");
        }
    }
}

#[test]
fn escapes_resolve_as_serde_resolves_them() {
    proptest::proptest!(|(text in "\\PC{0,40}")| {
        let quoted = serde_json::to_string(&text).expect("serialises");
        let mut out = Vec::new();
        unescape(&quoted.as_bytes()[1..quoted.len() - 1], &mut out).expect("valid");
        proptest::prop_assert_eq!(&out, text.as_bytes());
        let mut arena = quoted.into_bytes();
        let end = arena.len();
        unescape_within(&mut arena, 1..end - 1).expect("valid");
        proptest::prop_assert_eq!(&arena[end..], text.as_bytes());
    });
}
