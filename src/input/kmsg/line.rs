//! A message of the kernel, as `/dev/kmsg` gives it out (Documentation/ABI/testing/dev-kmsg of Linux).
//!
//! ```text
//! 6,339,5140900,-;NET: Registered protocol family 10
//!  SUBSYSTEM=net                                          lines that begin with a blank belong to it
//! │ │   │       └ flags, and whatever a later kernel puts there
//! │ │   └ microseconds since the boot
//! │ └ number
//! └ facility and level: the level is the last three bits
//! ```

use std::ops::Range;

/// The head of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// 0 is the gravest, 7 the least.
    pub(super) level: u8,
    pub(super) sequence: u64,
    pub(super) microseconds: u64,
    /// Where its text begins.
    pub(super) text: usize,
}

/// Takes the head off a message; `None` where it has none.
pub(super) fn head(message: &[u8]) -> Option<Head> {
    let semicolon = memchr::memchr(b';', message)?;
    let mut words = message[..semicolon].split(|byte| *byte == b',').map(number);
    let (priority, sequence, microseconds) = (words.next()??, words.next()??, words.next()??);
    Some(Head { level: (priority & 7) as u8, sequence, microseconds, text: semicolon + 1 })
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = digits.first()?.is_ascii_digit();
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

/// The messages of a text, without their line ends. What stands behind the last line end is one only where the text `is_all`.
pub(super) fn messages(text: &[u8], is_all: bool) -> Vec<Range<usize>> {
    let (mut found, mut start) = (Vec::new(), 0);
    for end in memchr::memchr_iter(b'\n', text) {
        if text.get(end + 1) != Some(&b' ') {
            found.push(start..end);
            start = end + 1;
        }
    }
    if is_all && start < text.len() {
        found.push(start..text.len());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let some = |level, sequence, microseconds, text| Some(Head { level, sequence, microseconds, text });
        for (message, expect) in [
            ("6,339,5140900,-;NET: Registered", some(6, 339, 5_140_900, 16)),
            ("30,340,5690716,c,caller=T1;udevd[80]: a;b", some(6, 340, 5_690_716, 27)),
            ("0,0,0,-;", some(0, 0, 0, 8)),
            ("4,18446744073709551615,18446744073709551615,-;x", some(4, u64::MAX, u64::MAX, 46)),
            ("4,1,2;x", some(4, 1, 2, 6)),
            ("4,18446744073709551616,1,-;x", None),
            ("4,1;x", None),
            ("-1,1,1,-;x", None),
            ("+1,1,1,-;x", None),
            ("no head", None),
            ("", None),
        ] {
            assert_eq!(head(message.as_bytes()), expect, "{message}");
        }
    }

    #[test]
    fn lines_that_go_on() {
        let all = |text: &str, is_all| -> Vec<String> {
            messages(text.as_bytes(), is_all).into_iter().map(|range| text[range].to_owned()).collect()
        };
        assert_eq!(all("a\n SUBSYSTEM=net\n DEVICE=+net:lo\nb\n", false), ["a\n SUBSYSTEM=net\n DEVICE=+net:lo", "b"]);
        assert_eq!(all("a\nhalf", false), ["a"]);
        assert_eq!(all("a\nhalf", true), ["a", "half"]);
        assert_eq!(all("", true), Vec::<String>::new());
    }
}
