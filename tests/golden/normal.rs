//! What is compared: keys have no order, numbers compare by value, a text that holds a JSON object compares as JSON, and a
//! time within a day of now is "NOW".

use drave::record::time::days_from_civil;
use regex::Regex;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Beyond it not every integer is a double.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
const DAY_SECONDS: f64 = 86_400.0;

static NOW: LazyLock<f64> = LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64());
static DATE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(\.\d+)?Z?$").unwrap());
static EPOCH: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\d{10}(\d{3}|\d{6}|\d{9})?(\.\d+)?$").unwrap());

/// Items by where they arrived: `stdout`, `requests`, `tcp`, `files/NAME`. Each is one line of JSON.
pub(crate) type Items = BTreeMap<String, Vec<String>>;

/// The one form of all values that count as equal.
pub(crate) fn normal(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, normal(value))).collect();
            Value::Object(Map::from_iter(sorted))
        }
        Value::Array(items) => items.into_iter().map(normal).collect(),
        Value::Number(number) => number.as_f64().map_or(Value::Null, |float| normal_number(&number.into(), float)),
        Value::String(text) => normal_text(text),
        other => other,
    }
}

fn normal_number(value: &Value, float: f64) -> Value {
    if is_now(float) {
        return json!("NOW");
    }
    match value.is_f64() {
        true if float.fract() == 0.0 && float.abs() < EXACT_MAX => json!(float as i64),
        true if float.abs() < EXACT_MAX => json!(format!("{float:.6}").parse::<f64>().unwrap()),
        _ => value.clone(),
    }
}

/// In seconds, milliseconds, microseconds or nanoseconds.
fn is_now(number: f64) -> bool {
    [1.0, 1e3, 1e6, 1e9].iter().any(|unit| (number / unit - *NOW).abs() < DAY_SECONDS)
}

fn normal_text(text: String) -> Value {
    if text.starts_with('{')
        && text.trim_end().ends_with('}')
        && let Ok(value) = serde_json::from_str(&text)
    {
        return json!({ "json": normal(value) });
    }
    let date = DATE.captures(&text).map(|parts| {
        let part = |index: usize| parts[index].parse::<i64>().unwrap();
        (days_from_civil(part(1), part(2), part(3)) * 86_400 + part(4) * 3_600 + part(5) * 60 + part(6)) as f64
    });
    let epoch = || EPOCH.is_match(&text).then(|| text.parse().unwrap());
    if date.or_else(epoch).is_some_and(is_now) { json!("NOW") } else { json!(text) }
}

/// What is missing and what came too much, a line each.
pub(crate) fn difference(want: &Items, got: &Items) -> Vec<String> {
    let empty = Vec::new();
    let mut places: Vec<&String> = want.keys().chain(got.keys()).collect();
    places.sort();
    places.dedup();
    let mut lines = Vec::new();
    for place in places {
        let (want, got) = (want.get(place).unwrap_or(&empty), got.get(place).unwrap_or(&empty));
        lines.extend(without(want, got).iter().map(|item| format!("{place} missing: {item}")));
        lines.extend(without(got, want).iter().map(|item| format!("{place} extra:   {item}")));
    }
    lines
}

/// The items of one list that the other has not, or not so often.
fn without<'i>(items: &'i [String], other: &[String]) -> Vec<&'i String> {
    let mut rest: Vec<&String> = other.iter().collect();
    let is_new = |item: &&String| match rest.iter().position(|known| known == item) {
        Some(index) => {
            rest.swap_remove(index);
            false
        }
        None => true,
    };
    items.iter().filter(is_new).collect()
}

#[test]
fn what_counts_as_equal() {
    let now = *NOW;
    for (value, expect) in [
        (json!({ "b": 1.0, "a": [true, null] }), json!({ "a": [true, null], "b": 1 })),
        (json!(0.123_456_789), json!(0.123_457)),
        (json!(18_446_744_073_709_551_615_u64), json!(18_446_744_073_709_551_615_u64)),
        (json!(1e300), json!(1e300)),
        (json!(now), json!("NOW")),
        (json!((now * 1e9) as i64), json!("NOW")),
        (json!(format!("{}", now as i64)), json!("NOW")),
        (json!("2024-03-01T10:00:00Z"), json!("2024-03-01T10:00:00Z")),
        (json!("{\"n\": 1.0} "), json!({ "json": { "n": 1 } })),
        (json!("{no}"), json!("{no}")),
    ] {
        let shown = value.to_string();
        assert_eq!(normal(value).to_string(), expect.to_string(), "{shown}");
    }
}

#[test]
fn what_differs_is_told() {
    let items = |texts: &[&str]| Items::from([("stdout".to_owned(), texts.iter().map(|t| (*t).to_owned()).collect())]);
    assert!(difference(&items(&["1", "2", "1"]), &items(&["1", "1", "2"])).is_empty());
    let lines = difference(&items(&["1", "1", "2"]), &items(&["1", "3"]));
    assert_eq!(lines, ["stdout missing: 1", "stdout missing: 2", "stdout extra:   3"]);
    assert_eq!(difference(&Items::new(), &items(&["1"])), ["stdout extra:   1"]);
}
