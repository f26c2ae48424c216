//! `drave schema`: what it takes and what it does not.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use regex::Regex;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

fn schema() -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_drave")).arg("schema").output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The words of JSON Schema that drave's own uses; the test knows no others, so a new one fails it.
const KEYWORDS: [&str; 19] = [
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "deprecated",
    "description",
    "enum",
    "if",
    "items",
    "minimum",
    "not",
    "patternProperties",
    "pattern",
    "properties",
    "required",
];

/// Is the schema itself one? Each word has what it wants, each reference leads somewhere, each pattern compiles.
fn check_schema(root: &Value, schema: &Value, at: &str) {
    let Some(words) = schema.as_object() else {
        assert!(schema.is_boolean(), "{at}: {schema}");
        return;
    };
    for (word, value) in words {
        let at = format!("{at}/{word}");
        assert!(KEYWORDS.contains(&word.as_str()) || matches!(word.as_str(), "then" | "title" | "type"), "{at}");
        match word.as_str() {
            "$ref" => assert!(!follow(root, value).is_null(), "{at}: {value}"),
            "pattern" => _ = Regex::new(value.as_str().unwrap()).unwrap(),
            "if" | "then" | "not" | "items" | "additionalProperties" => check_schema(root, value, &at),
            "anyOf" | "allOf" => value.as_array().unwrap().iter().for_each(|one| check_schema(root, one, &at)),
            "properties" | "patternProperties" | "$defs" => {
                value
                    .as_object()
                    .unwrap()
                    .iter()
                    .for_each(|(key, one)| check_schema(root, one, &format!("{at}/{key}")));
            }
            "required" => assert!(value.as_array().unwrap().iter().all(Value::is_string), "{at}"),
            "enum" => assert!(!value.as_array().unwrap().is_empty(), "{at}"),
            "type" => types(value).iter().for_each(|name| assert!(TYPES.contains(&name.as_str().unwrap()), "{at}")),
            "description" | "title" | "$schema" => assert!(value.as_str().is_some_and(|text| !text.is_empty()), "{at}"),
            _ => {}
        }
    }
}

const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

fn types(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

fn follow<'s>(root: &'s Value, reference: &Value) -> &'s Value {
    root.pointer(reference.as_str().unwrap().strip_prefix('#').unwrap()).unwrap_or(&Value::Null)
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        _ => value.is_object(),
    }
}

/// Does a value fit?
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(words) = schema.as_object() else { return schema == &json!(true) };
    let takes = |word: &String, wanted: &Value| match word.as_str() {
        "$ref" => fits(root, follow(root, wanted), value),
        "type" => types(wanted).iter().any(|name| is_a(value, name)),
        "enum" => wanted.as_array().unwrap().contains(value),
        "const" => wanted == value,
        "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
        "pattern" => value.as_str().is_none_or(|text| Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text)),
        "not" => !fits(root, wanted, value),
        "anyOf" => wanted.as_array().unwrap().iter().any(|one| fits(root, one, value)),
        "allOf" => wanted.as_array().unwrap().iter().all(|one| fits(root, one, value)),
        "if" => !fits(root, wanted, value) || words.get("then").is_none_or(|then| fits(root, then, value)),
        "items" => value.as_array().into_iter().flatten().all(|item| fits(root, wanted, item)),
        "required" => value
            .as_object()
            .is_none_or(|map| wanted.as_array().unwrap().iter().all(|key| map.contains_key(key.as_str().unwrap()))),
        _ => true,
    };
    words.iter().all(|(word, wanted)| takes(word, wanted)) && members_fit(root, words, value)
}

fn members_fit(root: &Value, words: &Map<String, Value>, value: &Value) -> bool {
    let none = Map::new();
    let of = |word: &str| words.get(word).and_then(Value::as_object).unwrap_or(&none);
    value.as_object().into_iter().flatten().all(|(key, member)| {
        let named = of("properties").get(key);
        let matching = of("patternProperties").iter().filter(|(pattern, _)| Regex::new(pattern).unwrap().is_match(key));
        let schemas: Vec<&Value> = named.into_iter().chain(matching.map(|(_, schema)| schema)).collect();
        match words.get("additionalProperties") {
            Some(other) if schemas.is_empty() => fits(root, other, member),
            _ => schemas.iter().all(|schema| fits(root, schema, member)),
        }
    })
}

/// A YAML text as a JSON value, as an editor reads it.
fn yaml(text: &str) -> Value {
    let mut events = Parser::new_from_str(text).map(|event| event.unwrap().0);
    let mut next = || events.find(|e| !matches!(e, Event::StreamStart | Event::DocumentStart(_) | Event::Nothing));
    let first = next().unwrap();
    value_of(first, &mut next)
}

fn value_of<'t>(event: Event<'t>, next: &mut dyn FnMut() -> Option<Event<'t>>) -> Value {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) => plain(&text),
        Event::Scalar(text, ..) => Value::from(text.as_ref()),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match next().unwrap() {
                    Event::SequenceEnd => return Value::Array(items),
                    item => items.push(value_of(item, next)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut members = Map::new();
            loop {
                match next().unwrap() {
                    Event::MappingEnd => return Value::Object(members),
                    Event::Scalar(key, ..) => {
                        let value = next().unwrap();
                        members.insert(key.into_owned(), value_of(value, next));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        other => panic!("{other:?}"),
    }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        number => number
            .parse::<i64>()
            .map_or_else(|_| number.parse::<f64>().map_or_else(|_| Value::from(number), Value::from), Value::from),
    }
}

#[test]
fn it_is_a_schema() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    check_schema(&schema, &schema, "#");
}

#[test]
fn the_examples_fit() {
    let schema = schema();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let examples: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    assert!(examples.len() >= 5);
    for example in examples {
        let value = yaml(&fs::read_to_string(&example).unwrap());
        assert!(fits(&schema, &schema, &value), "{}: {value:#}", example.display());
    }
}

#[test]
fn values_and_keys() {
    let schema = schema();
    let input = |options: &str| format!("pipeline: {{inputs: [{{name: tail, path: /a, {options}}}]}}");
    let output = |options: &str| format!("pipeline: {{outputs: [{{name: http, match: '*', {options}}}]}}");
    for (text, good) in [
        ("service: {flush: 1}".to_owned(), true),
        ("service: {flush: 1 fortnight}".to_owned(), false),
        ("service: {flsh: 1}".to_owned(), false),
        ("servise: {flush: 1}".to_owned(), false),
        ("env: {A: b, C: 5, D: null}".to_owned(), true),
        ("env: [{name: A, value: b}, {name: T, uri: 'file:///t'}]".to_owned(), true),
        ("env: [{nam: A}]".to_owned(), false),
        ("pipeline: {input: []}".to_owned(), false),
        ("pipeline: {inputs: [{name: tail}]}".to_owned(), false),
        ("pipeline: {inputs: [{name: tial, path: /a}]}".to_owned(), false),
        ("pipeline: {inputs: [{path: /a}]}".to_owned(), false),
        ("pipeline: {outputs: [{name: null, match: '*'}]}".to_owned(), true),
        ("pipeline: {outputs: [{name: null, host: x}]}".to_owned(), false),
        (input("read_from_head: on"), true),
        (input("read_from_head: true"), true),
        (input("read_from_head: '${HEAD}'"), true),
        (input("read_from_head: maybe"), false),
        (input("buffer_max_size: 32k"), true),
        (input("buffer_max_size: 32768"), true),
        (input("buffer_max_size: 32 apples"), false),
        (input("exclude_path: [a, b]"), true),
        (input("key: [a, b]"), false),
        (input("exlude_path: a"), false),
        (input("db.locking: true"), true),
        (input("parser_1: a"), true),
        (input("parser_x: a"), false),
        (input("multiline: off"), true),
        (input("multiline: on"), true),
        (input("db.sync: FULL"), true),
        (input("db.sync: sometimes"), false),
        (input("processors: {logs: [{name: grep, regex: a b}]}"), true),
        (input("processors: {logz: []}"), false),
        (output("compress: off"), true),
        (output("compress: gzip"), true),
        (output("compress: zip"), false),
        (output("port: 80, header: [A b, C d]"), true),
        (output("port: http"), false),
        (output("retry_limit: 5"), true),
        (output("retry_limit: no_limits"), true),
        (output("retry_limit: false"), true),
        (output("retry_limit: never"), false),
        (output("tls.min_version: TLSv1.2"), true),
        (output("tls.ciphers: x"), false),
    ] {
        assert_eq!(fits(&schema, &schema, &yaml(&text)), good, "{text}");
    }
}
