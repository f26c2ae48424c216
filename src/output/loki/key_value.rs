//! Values as Fluent Bit writes them in lines of `line_format key_value`: texts in quotes without escapes, maps as `map[…]`.
//!
//! ```text
//! {"a":["x",1.50],"b":null}   →   "map[a:"["x" 1.5]" b:null]"
//! ```

use crate::record::{Found, found, json, json_read};

/// Appends a value.
pub(super) fn push(out: &mut Vec<u8>, value: Found<'_>) {
    match value {
        Found::Json(json) => push_json(out, json),
        Found::Number(number) => json::push_u64(out, number),
        Found::Text(text) => {
            out.push(b'"');
            super::super::printed::push_lossy(out, text);
            out.push(b'"');
        }
    }
}

fn push_json(out: &mut Vec<u8>, json: &[u8]) {
    match json {
        [b'"', inner @ .., b'"'] => {
            out.push(b'"');
            let _ = json_read::unescape(inner, out);
            out.push(b'"');
        }
        [b'{', ..] => push_map(out, json),
        [b'[', ..] => push_array(out, json),
        _ => push_scalar(out, json),
    }
}

fn push_map(out: &mut Vec<u8>, json: &[u8]) {
    out.extend_from_slice(b"\"map[");
    let start = out.len();
    json_read::object(json, |member| {
        if out.len() > start {
            out.push(b' ');
        }
        let _ = json_read::unescape(&json[member.key.0..member.key.1], out);
        out.push(b':');
        push_json(out, &json[member.value.0..member.value.1]);
    });
    out.extend_from_slice(b"]\"");
}

fn push_array(out: &mut Vec<u8>, json: &[u8]) {
    out.extend_from_slice(b"\"[");
    let start = out.len();
    json_read::array(json, |(from, to)| {
        if out.len() > start {
            out.push(b' ');
        }
        push_json(out, &json[from..to]);
    });
    out.extend_from_slice(b"]\"");
}

/// `true`, `null`, numbers: floats without needless digits, and with `.0` where they are whole.
fn push_scalar(out: &mut Vec<u8>, json: &[u8]) {
    // Beyond these a float would have more digits than it says.
    let range = 1e-5..1e16;
    match found::float(json).filter(|float| *float == 0.0 || range.contains(&float.abs())) {
        Some(float) => {
            let text = if float.fract() == 0.0 { format!("{float:.1}") } else { float.to_string() };
            out.extend_from_slice(text.as_bytes());
        }
        None => out.extend_from_slice(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (json, expect) in [
            (r#""say \"hi\"\n""#, "\"say \"hi\"\n\""),
            ("12", "12"),
            ("18446744073709551615", "18446744073709551615"),
            ("1840.250", "1840.25"),
            ("-2.0", "-2.0"),
            ("1e3", "1000.0"),
            ("1e300", "1e300"),
            ("null", "null"),
            ("false", "false"),
            (r#"{"a":["x",1.50],"b":null,"c\"":{}}"#, r#""map[a:"["x" 1.5]" b:null c":"map[]"]""#),
        ] {
            let mut out = Vec::new();
            push(&mut out, Found::Json(json.as_bytes()));
            assert_eq!(String::from_utf8_lossy(&out), expect, "{json}");
        }
    }
}
