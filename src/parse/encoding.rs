//! Files that are not UTF-8: where their lines end, and what their text is in UTF-8.
//!
//! ```text
//! unicode.encoding UTF-16LE   67 00 │ 72 00 │ 0A 00   a line ends with the unit 000A, counted from the first byte of the file
//! generic.encoding ShiftJIS   92 8D │ 95 B6 │ 0A      a line ends with the byte 0A, which is no part of any character
//! ```
//! Lines are cut in the bytes of the file, so every offset is one of the file. Only a line's text is decoded; what is invalid
//! becomes U+FFFD.

use crate::config::{OptionValue, read_choice};
use encoding_rs as rs;
use std::ops::Range;

crate::option_enum! {
    /// How a file of Unicode text is written.
    pub enum Unicode {
        /// Bytes.
        Utf8 = "UTF-8" | "UTF8",
        /// Units of two bytes, the low one first.
        Utf16Le = "UTF-16LE" | "UTF16LE",
        /// Units of two bytes, the high one first.
        Utf16Be = "UTF-16BE" | "UTF16BE",
        /// As the first two bytes of the file say.
        Auto = "auto" | "UTF-16" | "UTF16",
    }
}

/// An encoding from before Unicode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generic(&'static rs::Encoding);

impl OptionValue for Generic {
    const KIND: &'static str = "ShiftJIS|UHC|GBK|GB18030|Big5|Win866|Win874|Win1250|Win1251|Win1252|Win1253|Win1254|Win1255|Win1256|Win1257|Win1258";
    fn parse(text: &str) -> Result<Self, String> {
        // Beside Fluent Bit's names those of the web: iso-8859-2, koi8-r, euc-jp.
        let of_the_web = rs::Encoding::for_label_no_replacement(text.as_bytes());
        match (read_choice(text, Self::KIND, NAMES), of_the_web) {
            (Ok(encoding), _) => Ok(Self(encoding)),
            (Err(_), Some(rs_utf)) if is_unicode(rs_utf) => Err("Unicode is for `unicode.encoding`".into()),
            (Err(_), Some(encoding)) => Ok(Self(encoding)),
            (Err(hint), None) => Err(hint),
        }
    }
}

const NAMES: &[(&str, &rs::Encoding)] = &[
    ("ShiftJIS", rs::SHIFT_JIS),
    ("SJIS", rs::SHIFT_JIS),
    ("CP932", rs::SHIFT_JIS),
    ("UHC", rs::EUC_KR),
    ("CP949", rs::EUC_KR),
    ("GBK", rs::GBK),
    ("CP936", rs::GBK),
    ("GB18030", rs::GB18030),
    ("Big5", rs::BIG5),
    ("CP950", rs::BIG5),
    ("Win866", rs::IBM866),
    ("Win874", rs::WINDOWS_874),
    ("CP874", rs::WINDOWS_874),
    ("Win1250", rs::WINDOWS_1250),
    ("Win1251", rs::WINDOWS_1251),
    ("Win1252", rs::WINDOWS_1252),
    ("Win1253", rs::WINDOWS_1253),
    ("Win1254", rs::WINDOWS_1254),
    ("Win1255", rs::WINDOWS_1255),
    ("Win1256", rs::WINDOWS_1256),
    ("Win1257", rs::WINDOWS_1257),
    ("Win1258", rs::WINDOWS_1258),
];

fn is_unicode(encoding: &rs::Encoding) -> bool {
    [rs::UTF_8, rs::UTF_16LE, rs::UTF_16BE].contains(&encoding)
}

/// Which byte of a unit comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The low one.
    Little,
    /// The high one.
    Big,
}

/// How the bytes of a file are characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Charset {
    /// As they are.
    #[default]
    Utf8,
    /// Units of two bytes.
    Utf16(Order),
    /// An encoding in which `\n`, `\r` and NUL are bytes of their own.
    Generic(&'static rs::Encoding),
    /// Each file says it itself, see [`of_file`](Self::of_file).
    Auto,
}

impl From<Unicode> for Charset {
    fn from(unicode: Unicode) -> Self {
        match unicode {
            Unicode::Utf8 => Self::Utf8,
            Unicode::Utf16Le => Self::Utf16(Order::Little),
            Unicode::Utf16Be => Self::Utf16(Order::Big),
            Unicode::Auto => Self::Auto,
        }
    }
}

impl From<Generic> for Charset {
    fn from(generic: Generic) -> Self {
        Self::Generic(generic.0)
    }
}

impl Charset {
    /// Of a file that begins with these two bytes. A byte order mark knows better than the option; without one, `auto` takes a
    /// NUL beside a sign for the other half of a unit.
    pub fn of_file(self, first: Option<[u8; 2]>) -> Self {
        match (self, first) {
            (Self::Auto | Self::Utf16(_), Some([0xFF, 0xFE])) => Self::Utf16(Order::Little),
            (Self::Auto | Self::Utf16(_), Some([0xFE, 0xFF])) => Self::Utf16(Order::Big),
            (Self::Auto, Some([0, 0])) => Self::Utf8,
            (Self::Auto, Some([_, 0])) => Self::Utf16(Order::Little),
            (Self::Auto, Some([0, _])) => Self::Utf16(Order::Big),
            (Self::Auto, _) => Self::Utf8,
            (stated, _) => stated,
        }
    }

    /// The first line end in `text[from..]`, where `text` begins at `offset` in its file.
    pub fn line_end(self, text: &[u8], from: usize, offset: u64) -> Option<Range<usize>> {
        let Self::Utf16(order) = self else {
            let at = from + memchr::memchr(b'\n', &text[from..])?;
            return Some(at..at + 1);
        };
        memchr::memchr_iter(b'\n', &text[from..])
            .filter_map(|at| newline(order, text, from + at))
            .find(|unit| unit.start >= from && is_aligned(offset, unit.start))
    }

    /// Behind the last line end of `text`, which begins at `offset` in its file.
    pub fn behind_last_line(self, text: &[u8], offset: u64) -> Option<usize> {
        let Self::Utf16(order) = self else { return Some(memchr::memrchr(b'\n', text)? + 1) };
        let mut units = memchr::memrchr_iter(b'\n', text).filter_map(|at| newline(order, text, at));
        Some(units.find(|unit| is_aligned(offset, unit.start))?.end)
    }

    /// How many bytes in front are no text: half a unit, a byte order mark, NULs (a truncated file that its writer went on with).
    pub fn leading(self, text: &[u8], offset: u64) -> usize {
        let half = if self.unit() == 2 && !is_aligned(offset, 0) { text.len().min(1) } else { 0 };
        let mark: &[u8] = match self {
            _ if offset != 0 => b"",
            Self::Utf8 | Self::Auto => b"\xef\xbb\xbf",
            Self::Utf16(Order::Little) => b"\xff\xfe",
            Self::Utf16(Order::Big) => b"\xfe\xff",
            Self::Generic(_) => b"",
        };
        let passed = half + if text.starts_with(mark) { mark.len() } else { 0 };
        passed + self.nul_len(&text[passed..])
    }

    fn nul_len(self, text: &[u8]) -> usize {
        let unit = self.unit();
        text.chunks_exact(unit).take_while(|bytes| bytes.iter().all(|b| *b == 0)).count() * unit
    }

    /// The bytes of the carriage return at the end of a line; 0 where there is none.
    pub fn return_len(self, line: &[u8]) -> usize {
        match (self, line) {
            (Self::Utf16(Order::Little), [.., b'\r', 0]) | (Self::Utf16(Order::Big), [.., 0, b'\r']) => 2,
            (Self::Utf16(_), _) => 0,
            (_, [.., b'\r']) => 1,
            _ => 0,
        }
    }

    /// How much of `len` bytes from `offset` on is whole units.
    pub fn whole_units(self, len: usize, offset: u64) -> usize {
        if self.unit() == 1 || is_aligned(offset, len) { len } else { len - len.min(1) }
    }

    /// Appends what `text[line]` is in UTF-8. A character whose bytes are not all there becomes U+FFFD at the end of a `whole`
    /// line, and is left out where the line was cut.
    pub fn decode_within(self, text: &mut Vec<u8>, line: Range<usize>, whole: bool) {
        let encoding = match self {
            Self::Utf8 | Self::Auto => rs::UTF_8,
            Self::Utf16(Order::Little) => rs::UTF_16LE,
            Self::Utf16(Order::Big) => rs::UTF_16BE,
            Self::Generic(encoding) => encoding,
        };
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let len = text.len();
        text.resize(len + decoder.max_utf8_buffer_length(line.len()).unwrap_or(0), 0);
        let (raw, room) = text.split_at_mut(len);
        let (_, _, written, _) = decoder.decode_to_utf8(&raw[line], room, whole);
        text.truncate(len + written);
    }

    fn unit(self) -> usize {
        if matches!(self, Self::Utf16(_)) { 2 } else { 1 }
    }
}

/// The unit 000A whose byte `\n` stands at `at`.
fn newline(order: Order, text: &[u8], at: usize) -> Option<Range<usize>> {
    let unit = match order {
        Order::Little => at..at + 2,
        Order::Big => at.checked_sub(1)?..at + 1,
    };
    let zero = if order == Order::Little { at + 1 } else { unit.start };
    (text.get(zero) == Some(&0)).then_some(unit)
}

fn is_aligned(offset: u64, at: usize) -> bool {
    (offset + at as u64).is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(order: Order, text: &str) -> Vec<u8> {
        let unit = |u: u16| if order == Order::Little { u.to_le_bytes() } else { u.to_be_bytes() };
        text.encode_utf16().flat_map(unit).collect()
    }

    fn decoded(charset: Charset, raw: &[u8], whole: bool) -> String {
        let mut text = raw.to_vec();
        charset.decode_within(&mut text, 0..raw.len(), whole);
        String::from_utf8(text.split_off(raw.len())).expect("it is UTF-8 now")
    }

    fn generic(name: &str) -> Charset {
        Generic::parse(name).unwrap_or_else(|hint| panic!("{name}: {hint}")).into()
    }

    #[test]
    fn names() {
        for (names, encoding) in [
            ("ShiftJIS SHIFTJIS sjis CP932 Windows-31J shift_jis", rs::SHIFT_JIS),
            ("UHC cp949 Windows-949", rs::EUC_KR),
            ("GBK CP936", rs::GBK),
            ("GB18030", rs::GB18030),
            ("Big5 CP950", rs::BIG5),
            ("Win866 CP866", rs::IBM866),
            ("Win874 CP874", rs::WINDOWS_874),
            ("win1252 CP1252 windows-1252", rs::WINDOWS_1252),
            ("Win1258 CP1258", rs::WINDOWS_1258),
            ("ISO-8859-2", rs::ISO_8859_2),
        ] {
            for name in names.split(' ') {
                assert_eq!(Generic::parse(name), Ok(Generic(encoding)), "{name}");
            }
        }
        assert_eq!(Generic::parse("UTF-16LE"), Err("Unicode is for `unicode.encoding`".into()));
        assert!(Generic::parse("Win1259").unwrap_err().starts_with("did you mean `Win125"));
        assert!(Generic::parse("").is_err());
    }

    #[test]
    fn texts() {
        assert_eq!(decoded(generic("ShiftJIS"), b"\x92\x8d\x95\xb6", true), "注文");
        assert_eq!(decoded(generic("UHC"), b"\xb0\xa1\x81\x41", true), "가갂");
        assert_eq!(decoded(generic("GBK"), b"\xd6\xd0", true), "中");
        assert_eq!(decoded(generic("GB18030"), b"\x90\x30\x81\x30", true), "\u{10000}");
        assert_eq!(decoded(generic("Big5"), b"\xa4\xa4", true), "中");
        assert_eq!(decoded(generic("Win866"), b"\x80", true), "А");
        assert_eq!(decoded(generic("Win1252"), b"10 \x80 caf\xe9", true), "10 € café");
        // Half a character.
        assert_eq!(decoded(generic("ShiftJIS"), b"a\x92", true), "a\u{FFFD}");
        assert_eq!(decoded(generic("ShiftJIS"), b"a\x92", false), "a");
        let little = Charset::Utf16(Order::Little);
        assert_eq!(decoded(little, &bytes(Order::Little, "grüße 😀"), true), "grüße 😀");
        assert_eq!(decoded(little, b"a\0\x3d\xd8b\0", true), "a\u{FFFD}b");
        assert_eq!(decoded(little, b"a\0\x3d\xd8", false), "a");
    }

    #[test]
    fn a_byte_order_mark_knows_better() {
        use Order::{Big, Little};
        for (stated, first, expect) in [
            (Charset::Auto, Some(*b"\xff\xfe"), Charset::Utf16(Little)),
            (Charset::Auto, Some(*b"\xfe\xff"), Charset::Utf16(Big)),
            (Charset::Auto, Some(*b"a\0"), Charset::Utf16(Little)),
            (Charset::Auto, Some(*b"\0a"), Charset::Utf16(Big)),
            (Charset::Auto, Some(*b"ab"), Charset::Utf8),
            (Charset::Auto, Some(*b"\0\0"), Charset::Utf8),
            (Charset::Auto, None, Charset::Utf8),
            (Charset::Utf16(Little), Some(*b"\xfe\xff"), Charset::Utf16(Big)),
            (Charset::Utf16(Little), Some(*b"\0a"), Charset::Utf16(Little)),
            (Charset::Utf8, Some(*b"\xff\xfe"), Charset::Utf8),
            (generic("GBK"), Some(*b"\xff\xfe"), generic("GBK")),
        ] {
            assert_eq!(stated.of_file(first), expect, "{stated:?} {first:?}");
        }
    }

    #[test]
    fn only_a_whole_unit_ends_a_line() {
        // U+0A0A, U+010A and U+0A00 hold the byte of a line end; so do two units beside each other.
        for order in [Order::Little, Order::Big] {
            let text = bytes(order, "\u{A0A}\u{10A}\u{A00}x\u{A0A}\u{C}\nrest");
            let charset = Charset::Utf16(order);
            assert_eq!(charset.line_end(&text, 0, 0), Some(12..14));
            assert_eq!(charset.line_end(&text, 12, 4), Some(12..14));
            assert_eq!(charset.line_end(&text, 14, 0), None);
            assert_eq!(charset.behind_last_line(&text, 0), Some(14));
            assert_eq!(charset.line_end(&text[..13], 0, 0), None, "half a line end");
            assert_eq!(charset.line_end(&text[1..], 0, 1), Some(11..13));
        }
    }

    #[test]
    fn lines_are_those_of_the_text() {
        proptest!(|(text in "[a\n\r\u{A0A}\u{10A}\u{A00}😀]{0,40}", big: bool)| {
            let order = if big { Order::Big } else { Order::Little };
            let (charset, raw) = (Charset::Utf16(order), bytes(order, &text));
            let (mut at, mut lines) = (0, Vec::new());
            while let Some(end) = charset.line_end(&raw, at, 0) {
                lines.push(decoded(charset, &raw[at..end.start], true));
                at = end.end;
            }
            prop_assert_eq!(charset.behind_last_line(&raw, 0).unwrap_or(0), at);
            lines.push(decoded(charset, &raw[at..], true));
            prop_assert_eq!(lines, text.split('\n').map(str::to_owned).collect::<Vec<_>>());
        });
    }
}
