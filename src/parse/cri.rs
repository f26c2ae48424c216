//! The CRI log format, as containerd and CRI-O write it:
//!
//! ```text
//! 2024-03-01T10:00:00.123456789Z stdout F the text
//! RFC 3339, any offset           stream tags text; tags: P or F, more may follow a colon
//! ```

use super::Piece;
use crate::record::time::Rfc3339;
use crate::record::{Span, Stream};

/// Longest RFC 3339 time with nine digits and an offset.
const TIME_MAX: usize = 35;

/// Takes a line apart; `start` is where it begins in its batch's text. `None`: not CRI, the line is plain text.
#[inline]
pub fn piece(line: &[u8], start: usize, clock: &mut Rfc3339) -> Option<Piece> {
    let time_len = match line.get(..31) {
        Some([.., b'Z', b' ']) => 30,
        _ => line.iter().take(TIME_MAX + 1).position(|b| *b == b' ')?,
    };
    let (stream, rest) = match line[time_len + 1..].split_first_chunk::<7>()? {
        (b"stdout ", rest) => (Stream::Stdout, rest),
        (b"stderr ", rest) => (Stream::Stderr, rest),
        _ => return None,
    };
    let tags = match rest {
        [b'F' | b'P', b' ', ..] => 1,
        [b'F' | b'P', b':', more @ ..] => 2 + memchr::memchr(b' ', more)?,
        _ => return None,
    };
    let time_ns = clock.parse(&line[..time_len])?;
    let text = time_len + 8 + tags + 1;
    Some(Piece {
        time_ns,
        time_text: Span::new(start, start + time_len),
        stream,
        tag: rest[0],
        partial: rest[0] == b'P',
        text: Span::new(start + text, start + line.len()),
        fields: (0, 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: Option<(&str, Stream, u8, &str)>) {
        let found = piece(line.as_bytes(), 0, &mut Rfc3339::default());
        let found = found.map(|p| {
            let slice = |s: Span| std::str::from_utf8(s.of(line.as_bytes())).expect("on a boundary");
            (slice(p.time_text), p.stream, p.tag, slice(p.text))
        });
        assert_eq!(found, expect, "{line}");
    }

    #[test]
    fn lines() {
        use Stream::{Stderr, Stdout};
        let z = "2024-03-01T10:00:00.123456789Z";
        check(&format!("{z} stdout F hello"), Some((z, Stdout, b'F', "hello")));
        check(&format!("{z} stderr P half "), Some((z, Stderr, b'P', "half ")));
        check(&format!("{z} stdout F "), Some((z, Stdout, b'F', "")));
        check(&format!("{z} stdout F:tag:more text"), Some((z, Stdout, b'F', "text")));
        check("2024-03-01T12:00:02.25+02:00 stderr F x", Some(("2024-03-01T12:00:02.25+02:00", Stderr, b'F', "x")));
        check(&format!("{z} stdout F  two blanks"), Some((z, Stdout, b'F', " two blanks")));
        for not_cri in [
            "",
            "plain text",
            "2024-03-01T10:00:00Z stdout F",
            "2024-03-01T10:00:00Z stdout F:x",
            "2024-03-01T10:00:00Z stdin F x",
            "2024-03-01T10:00:00Z stdout X x",
            "2024-03-01T10:00:00Z stdout FF x",
            "2024-03-01 10:00:00Z stdout F x",
            "yesterday stdout F x",
        ] {
            check(not_cri, None);
        }
    }

    #[test]
    fn no_byte_is_lost_and_nothing_panics() {
        proptest::proptest!(|(line in "(2024-03-01T10:00:00(\\.[0-9]{1,10})?(Z|\\+0[0-9]:00)? ?)?(std(out|err) ?)?([PF](:x)? ?)?\\PC{0,20}")| {
            if let Some(found) = piece(line.as_bytes(), 0, &mut Rfc3339::default()) {
                proptest::prop_assert_eq!(found.text.start as usize + found.text.len as usize, line.len());
            }
        });
    }
}
