//! Line breaks at the end of what is merged, real ones and those that somebody wrote as a backslash and a letter.

use crate::record::Span;

/// The object that a text is, without the blanks around it and the literal `\n`, `\r`, `\t` behind it; `None` where it cannot be one.
#[inline]
pub(super) fn object_of(arena: &[u8], text: Span) -> Option<Span> {
    let bytes = text.of(arena);
    if let [b'{', .., b'}'] = bytes {
        return Some(text);
    }
    let before = bytes.len() - bytes.trim_ascii_start().len();
    let mut rest = bytes[before..].trim_ascii_end();
    while let [inner @ .., b'\\', b'n' | b'r' | b't'] = rest {
        rest = inner.trim_ascii_end();
    }
    let start = text.start as usize + before;
    matches!(rest, [b'{', .., b'}']).then(|| Span::new(start, start + rest.len()))
}

/// A JSON value that may have to be trimmed: a string that ends with an escape.
#[inline]
pub(super) fn needs_trim(json: &[u8]) -> bool {
    match json {
        [b'"', .., b'\\', b'n', b'"'] => true,
        [b'"', .., b'\\', b'\\', b'r', b'"'] => true,
        [b'"', .., b'\\', b'u', b'0', b'0', b'0', b'a' | b'A', b'"'] => true,
        // A raw line break, which JSON does not allow.
        [b'"', .., b'\n', b'"'] => true,
        _ => false,
    }
}

/// A text without the line breaks at its end; its first byte stays, as in Fluent Bit.
pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    let mut rest = text;
    loop {
        rest = match rest {
            [inner @ .., b'\n'] if !inner.is_empty() => inner,
            [inner @ .., b'\\', b'n' | b'r'] => inner,
            _ => return rest,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_go_from_the_end() {
        for (text, expect) in [
            ("a\n", "a"),
            ("a\n\n", "a"),
            ("a\r\n", "a\r"),
            ("a\\n", "a"),
            ("a\\r\\n\n", "a"),
            ("\n", "\n"),
            ("\n\n", "\n"),
            ("\\n", ""),
            ("a\nb", "a\nb"),
            ("a  ", "a  "),
            ("", ""),
        ] {
            assert_eq!(trimmed(text.as_bytes()), expect.as_bytes(), "{text:?}");
            let json = serde_json::to_string(text).expect("JSON");
            assert!(expect.len() == text.len() || needs_trim(json.as_bytes()), "{json}");
        }
    }

    #[test]
    fn objects_end_before_blanks_and_literal_line_breaks() {
        for (text, expect) in [
            ("{}", Some("{}")),
            (" {\"a\":1} \n", Some("{\"a\":1}")),
            ("{\"a\":1}\\r\\n \\n", Some("{\"a\":1}")),
            ("{\"a\":1} x", None),
            ("[{}]", None),
            ("\\n", None),
            ("", None),
        ] {
            let arena = format!("before{text}").into_bytes();
            let span = object_of(&arena, Span::new(6, arena.len()));
            assert_eq!(span.map(|span| span.of(&arena)), expect.map(str::as_bytes), "{text}");
        }
    }
}
