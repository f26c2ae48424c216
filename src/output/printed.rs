//! Values as Fluent Bit's plain text forms print them: strings in quotes without escapes, maps with `=>`, null as `nil`,
//! floats with six decimals. Nothing can read it back for certain; it is for eyes and for what is there already.
//!
//! ```text
//! {"a":["x\n",1.5],"b":null}   →   {"a"=>["x
//! ", 1.500000], "b"=>nil}
//! ```

use crate::record::found::{float, push_float};
use crate::record::{Found, json, json_read};

/// Prints a value.
pub(super) fn push_printed(out: &mut Vec<u8>, found: Found<'_>) {
    match found {
        Found::Json(json) => push_value(out, json),
        Found::Text(text) => push_quoted(out, text),
        Found::Number(number) => json::push_u64(out, number),
    }
}

/// Prints text in quotes; invalid UTF-8 becomes U+FFFD.
pub(super) fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    push_lossy(out, text);
    out.push(b'"');
}

/// Writes text; invalid UTF-8 becomes U+FFFD.
pub(super) fn push_lossy(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
}

/// Valid JSON, from left to right: what is printed depends on the present byte alone.
fn push_value(out: &mut Vec<u8>, json: &[u8]) {
    let mut rest = json;
    while let Some(&byte) = rest.first() {
        let used = match byte {
            b'"' => string_len(rest),
            b'{' | b'}' | b'[' | b']' | b':' | b',' => 1,
            _ => rest.iter().position(|b| matches!(b, b',' | b']' | b'}')).unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at(used.min(rest.len()));
        rest = behind;
        match byte {
            b'"' => {
                let mut text = Vec::new();
                let inner = token.get(1..token.len().max(2) - 1).unwrap_or_default();
                if json_read::unescape(inner, &mut text).is_some() {
                    push_quoted(out, &text);
                }
            }
            b':' => out.extend_from_slice(b"=>"),
            b',' => out.extend_from_slice(b", "),
            _ => push_scalar(out, token.trim_ascii()),
        }
        rest = rest.trim_ascii_start();
    }
}

fn push_scalar(out: &mut Vec<u8>, token: &[u8]) {
    match (token, float(token)) {
        (b"null", _) => out.extend_from_slice(b"nil"),
        (_, Some(number)) => {
            let mut text = String::new();
            push_float(&mut text, number);
            out.extend_from_slice(text.as_bytes());
        }
        _ => out.extend_from_slice(token),
    }
}

/// The length of the string that a text begins with, quotes included.
fn string_len(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (json, expect) in [
            (r#""Mozilla \"5.0\"""#, r#""Mozilla "5.0"""#),
            ("null", "nil"),
            ("true", "true"),
            ("-12", "-12"),
            ("1840.25", "1840.250000"),
            ("18446744073709551616", "18446744073709551616.000000"),
            (
                r#" { "a" : [ 1 , 2.5, "x,\\]" ] , "b" : { } , "c" : null } "#,
                r#"{"a"=>[1, 2.500000, "x,\]"], "b"=>{}, "c"=>nil}"#,
            ),
        ] {
            let mut out = Vec::new();
            push_printed(&mut out, Found::Json(json.trim().as_bytes()));
            assert_eq!(String::from_utf8_lossy(&out), expect, "{json}");
        }
    }

    #[test]
    fn any_valid_json_is_printed() {
        proptest::proptest!(|(text in "\\PC{0,20}", number: f64)| {
            let value = serde_json::json!({ text.clone(): [text, number, {"n": null}] });
            let mut out = Vec::new();
            push_printed(&mut out, Found::Json(value.to_string().as_bytes()));
            let end = r#", {"n"=>nil}]}"#;
            proptest::prop_assert!(std::str::from_utf8(&out).is_ok_and(|printed| printed.ends_with(end)));
        });
    }
}
