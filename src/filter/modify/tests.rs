use super::super::tests::check;

#[test]
fn rules_are_applied_in_order() {
    for (options, record, expect) in [
        ("set: a x", r#"{"a":1,"b":2}"#, r#"{"b":2,"a":"x"}"#),
        ("add: a x", r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#),
        ("add: c two words", r#"{"a":1}"#, r#"{"a":1,"c":"two words"}"#),
        ("remove: [a, c]", r#"{"a":1,"b":2}"#, r#"{"b":2}"#),
        ("remove_wildcard: a", r#"{"a":1,"ab":2,"b":3}"#, r#"{"b":3}"#),
        ("remove_regex: ^.b$", r#"{"a":1,"ab":2,"b":3}"#, r#"{"a":1,"b":3}"#),
        ("rename: a c", r#"{"a":1,"b":2}"#, r#"{"c":1,"b":2}"#),
        ("rename: a b", r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#),
        ("hard_rename: a b", r#"{"a":1,"b":2}"#, r#"{"b":1}"#),
        ("hard_rename: x b", r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#),
        ("copy: a c", r#"{"a":1,"b":2}"#, r#"{"a":1,"c":1,"b":2}"#),
        ("copy: a b", r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#),
        ("hard_copy: a b", r#"{"b":2,"a":1,"c":3}"#, r#"{"a":1,"b":1,"c":3}"#),
        ("hard_copy: a a", r#"{"a":1}"#, r#"{"a":1}"#),
        ("move_to_start: b", r#"{"a":1,"b":2,"c":3,"bb":4}"#, r#"{"b":2,"bb":4,"a":1,"c":3}"#),
        ("move_to_end: b", r#"{"a":1,"b":2,"c":3,"bb":4}"#, r#"{"a":1,"c":3,"b":2,"bb":4}"#),
        ("{rename: a b, remove: b}", r#"{"a":1}"#, "{}"),
    ] {
        check("modify", options, record, expect);
    }
}

#[test]
fn conditions_are_asked_first() {
    for (condition, holds, does_not) in [
        ("key_exists a", r#"{"a":null}"#, "{}"),
        ("Key_Does_Not_Exist a", "{}", r#"{"a":1}"#),
        ("a_key_matches ^x", r#"{"xy":1}"#, r#"{"ax":1}"#),
        ("no_key_matches ^x", r#"{"ax":1}"#, r#"{"xy":1}"#),
        ("key_value_equals a x", r#"{"a":"x"}"#, r#"{"a":true}"#),
        ("key_value_equals a 'x y'", r#"{"a":"x y"}"#, "{}"),
        ("key_value_does_not_equal a x", r#"{"a":7}"#, "{}"),
        ("key_value_matches a ^t", r#"{"a":true}"#, r#"{"a":7}"#),
        ("key_value_does_not_match a ^t", r#"{"a":7}"#, "{}"),
        ("matching_keys_have_matching_values ^d ^ok$", r#"{"x":1}"#, r#"{"d":"ok","da":3}"#),
        ("matching_keys_do_not_have_matching_values ^d ^ok$", r#"{"d":"no"}"#, r#"{"d":"ok"}"#),
    ] {
        let options = format!("{{condition: \"{condition}\", set: [new y]}}");
        for (record, expect) in [(holds, true), (does_not, false)] {
            let after = super::super::tests::run(&[("modify", &options)], record);
            assert_eq!(after.contains("\"new\":\"y\""), expect, "{condition} on {record}: {after}");
        }
    }
}
