//! A JSON Schema (draft 2020-12) of the YAML form, made of declarations: for editors, which then complete and explain.
//!
//! ```text
//! pipeline.inputs[] ─▶ name: tail ─▶ $defs/input.tail ─▶ path: $defs/list, read_from_head: $defs/boolean, …
//! ```
//! Keys are those of the reference, in lower case. A value may always be a text with a variable, `${NAME}`.

use super::{Opt, Page, Presence, Refusal, SectionKind, Use};
use serde_json::{Map, Value, json};

/// The schema of a file that may hold what these pages describe.
pub fn schema_of(pages: &[Page]) -> Value {
    let mut definitions = values();
    for page in pages {
        definitions.insert(definition_name(page), section(page));
    }
    let list = |kind| json!({ "type": ["array", "null"], "items": of_kind(kind, pages) });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "drave",
        "description": "A configuration of drave in YAML.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "service": { "$ref": "#/$defs/service" },
            "env": variables(),
            "includes": { "description": "Files to read as well; globs, relative to this one.", "$ref": "#/$defs/list" },
            "parsers": { "type": ["array", "null"], "items": { "$ref": "#/$defs/parser" } },
            "multiline_parsers": { "type": ["array", "null"], "items": multiline_parser() },
            "pipeline": {
                "type": ["object", "null"],
                "additionalProperties": false,
                "properties": {
                    "inputs": list(SectionKind::Input),
                    "filters": list(SectionKind::Filter),
                    "outputs": list(SectionKind::Output),
                },
            },
            "customs": idle("No effect: it can be taken out."),
            "plugins": idle("No effect: it can be taken out."),
        },
        "$defs": definitions,
    })
}

fn definition_name(page: &Page) -> String {
    page.title().replace(' ', ".")
}

/// An item of `inputs`, `filters` or `outputs`: which options there are depends on its name.
fn of_kind(kind: SectionKind, pages: &[Page]) -> Value {
    let of = || pages.iter().filter(|page| page.kind == kind);
    let names: Vec<&str> = of().map(|page| page.name).collect();
    let choose = |page: &Page| {
        json!({
            "if": { "required": ["name"], "properties": { "name": is_name(page.name) } },
            "then": { "$ref": format!("#/$defs/{}", definition_name(page)) },
        })
    };
    let about: Vec<String> = of().map(|page| format!("{}: {}", page.name, page.about)).collect();
    // Without quotes YAML reads the name of the output `null` as nothing.
    let null = names.contains(&"null").then_some(Value::Null);
    let names: Vec<Value> = names.into_iter().map(Value::from).chain(null).collect();
    json!({
        "type": "object",
        "required": ["name"],
        "properties": { "name": { "enum": names, "description": about.join("\n") } },
        "allOf": of().map(choose).collect::<Vec<_>>(),
    })
}

fn is_name(name: &str) -> Value {
    if name == "null" { json!({ "enum": ["null", null] }) } else { json!({ "const": name }) }
}

/// A section with its options.
fn section(page: &Page) -> Value {
    let (mut properties, mut patterns, mut required) = (Map::new(), Map::new(), Vec::new());
    if page.kind != SectionKind::Service {
        properties
            .insert("name".into(), if page.name.is_empty() { json!({ "type": "string" }) } else { is_name(page.name) });
        required.push("name");
    }
    if matches!(page.kind, SectionKind::Input | SectionKind::Output) {
        properties.insert("processors".into(), processors());
    }
    for option in page.options() {
        match option.name.strip_suffix("_N") {
            Some(prefix) => patterns.insert(format!("^{prefix}_[0-9]+$"), property(option)),
            None => properties.insert(option.name.into(), property(option)),
        };
        if option.presence == Presence::Required {
            required.push(option.name);
        }
    }
    json!({
        "type": if page.kind == SectionKind::Service { json!(["object", "null"]) } else { json!("object") },
        "description": page.about,
        "required": required,
        "properties": properties,
        "patternProperties": patterns,
        "additionalProperties": false,
    })
}

fn property(option: &Opt) -> Value {
    match option.usage() {
        Use::NoEffect(_) => idle(&option.help_line()),
        Use::Refused(refusal) => refused(option, refusal),
        Use::Works => working(option),
    }
}

fn working(option: &Opt) -> Value {
    let value = value_of(option);
    let mut property = match option.presence {
        Presence::Repeated => json!({ "anyOf": [value, { "type": "array", "items": value }] }),
        _ => value,
    };
    property["description"] = Value::from(option.help_line());
    if let Presence::Default(text @ ("on" | "off")) = option.presence {
        property["default"] = Value::from(text == "on");
    } else if let Presence::Default(text) = option.presence {
        property["default"] = text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
    }
    property
}

fn value_of(option: &Opt) -> Value {
    let named = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    match option.kind {
        _ if !option.words.is_empty() => one_of_words(option),
        kind @ ("size" | "time" | "boolean" | "integer" | "number" | "list") => named(kind),
        _ => named("scalar"),
    }
}

/// Editors complete from the words; case does not count, and there may be a number besides.
fn one_of_words(option: &Opt) -> Value {
    let words = option.words.iter().map(|word| Value::from(*word));
    // What YAML 1.1 makes of these words.
    let has = |words: [&str; 3]| option.words.iter().any(|word| words.contains(word));
    let on = has(["on", "true", "yes"]).then_some(Value::from(true));
    let off = has(["off", "false", "no"]).then_some(Value::from(false));
    let words: Vec<Value> = words.chain(on).chain(off).collect();
    let any_case: Vec<String> = option.words.iter().map(|word| in_any_case(word)).collect();
    let mut choices = vec![
        json!({ "enum": words }),
        json!({ "type": "string", "pattern": format!("^\\s*({})\\s*$|\\$\\{{", any_case.join("|")) }),
    ];
    if option.kind.split('|').any(|kind| kind == "integer") {
        choices.push(json!({ "$ref": "#/$defs/integer" }));
    }
    json!({ "anyOf": choices })
}

fn in_any_case(word: &str) -> String {
    let letter = |c: char| match c {
        c if c.is_ascii_alphabetic() => format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase()),
        c if c.is_ascii_alphanumeric() || matches!(c, '_' | ' ') => c.to_string(),
        c => format!("[{c}]"),
    };
    word.chars().map(letter).collect()
}

fn idle(description: &str) -> Value {
    json!({ "description": description, "deprecated": true })
}

fn refused(option: &Opt, refusal: Refusal) -> Value {
    let harmless = match refusal.unless {
        None => json!({ "not": {} }),
        Some("off") => json!({ "enum": [false, "off", "no", "false"] }),
        Some(word) => json!({ "const": word }),
    };
    let mut property = harmless;
    property["description"] = Value::from(option.help_line());
    property["deprecated"] = Value::from(true);
    property
}

/// What the texts of values look like.
fn values() -> Map<String, Value> {
    const VARIABLE: &str = r"\$\{";
    let or_text = |types: &[&str], pattern: &str, description: &str| {
        json!({
            "description": description,
            "anyOf": [{ "type": types, "minimum": 0 }, { "type": "string", "pattern": format!("{pattern}|{VARIABLE}") }],
        })
    };
    let number = |types: &str, pattern: &str| json!({ "anyOf": [{ "type": types }, { "type": "string", "pattern": format!("{pattern}|{VARIABLE}") }] });
    let size = r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtT][iI]?)?[bB]?\s*$|^\s*[fF][aA][lL][sS][eE]\s*$";
    let time = r"^\s*[0-9]+(\.[0-9]+)?\s*([mM][sS]|[sSmMhHdD])?\s*$";
    let mut size = or_text(&["integer"], size, "512, 32k, 5M (powers of 1,000), 1Gi (powers of 1,024)");
    // Of those that want no limit.
    if let Some(choices) = size["anyOf"].as_array_mut() {
        choices.push(json!({ "const": false }));
    }
    let switch = r"^\s*([oO][nN]|[oO][fF][fF]|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[yY][eE][sS]|[nN][oO])\s*$";
    let values = json!({
        "scalar": { "type": ["string", "number", "boolean"] },
        "list": { "anyOf": [{ "$ref": "#/$defs/scalar" }, { "type": "array", "items": { "$ref": "#/$defs/scalar" } }] },
        "size": size,
        "time": or_text(&["number"], time, "5 (seconds), 0.5, 250ms, 10s, 2m, 1h, 7d"),
        "integer": number("integer", r"^\s*-?[0-9]+\s*$"),
        "number": number("number", r"^\s*-?[0-9.]+\s*$"),
        "boolean": { "anyOf": [
            { "enum": [true, false, "on", "off"] },
            { "type": "string", "pattern": format!("{switch}|{VARIABLE}") },
        ] },
    });
    match values {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A mapping, or a list whose items may say where a value comes from.
fn variables() -> Value {
    let scalar = json!({ "$ref": "#/$defs/scalar" });
    json!({
        "description": "Variables, for ${NAME}.",
        "anyOf": [
            { "type": ["object", "null"], "additionalProperties": { "anyOf": [scalar, { "type": "null" }] } },
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": { "type": "string" },
                        "value": { "anyOf": [scalar, { "type": "null" }] },
                        "uri": { "type": "string", "description": "file:// and the path of a file that holds the value." },
                        "refresh_interval": scalar,
                    },
                    "additionalProperties": false,
                },
            },
        ],
    })
}

fn processors() -> Value {
    json!({
        "type": ["object", "null"],
        "description": "Steps of this section alone.",
        "additionalProperties": false,
        "properties": {
            "logs": {
                "type": ["array", "null"],
                "items": { "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } },
            },
            "metrics": idle("No effect: there are no metrics on the way."),
            "traces": idle("No effect: there are no traces on the way."),
            "profiles": idle("No effect: there are no profiles on the way."),
        },
    })
}

fn multiline_parser() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": text,
            "rules": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["state", "regex", "next_state"],
                    "properties": { "state": text, "regex": text, "next_state": text },
                    "additionalProperties": false,
                },
            },
        },
        "additionalProperties": { "$ref": "#/$defs/scalar" },
    })
}
