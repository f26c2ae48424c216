//! Go's layouts of times in strptime's words: `2006-01-02 15:04:05.000 -0700` is `%Y-%m-%d %H:%M:%S.%L %z`.

/// How a parser reads a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) format: String,
    /// Off where a part may be missing.
    pub(super) strict: bool,
}

/// Layouts that have names.
const NAMED: [(&str, &str); 11] = [
    ("ANSIC", "%a %b %e %H:%M:%S %Y"),
    ("UnixDate", "%a %b %e %H:%M:%S %Z %Y"),
    ("RubyDate", "%a %b %d %H:%M:%S %z %Y"),
    ("RFC822", "%d %b %y %H:%M %Z"),
    ("RFC822Z", "%d %b %y %H:%M %z"),
    ("RFC850", "%A, %d-%b-%y %H:%M:%S %Z"),
    ("RFC1123", "%a, %d %b %Y %H:%M:%S %Z"),
    ("RFC1123Z", "%a, %d %b %Y %H:%M:%S %z"),
    ("RFC3339", FRACTION),
    ("RFC3339Nano", FRACTION),
    ("Unix", "%s"),
];
/// Go reads a fraction whether the layout has one or not.
const FRACTION: &str = "%Y-%m-%dT%H:%M:%S.%L%z";

/// Longer words before those that they begin with.
const WORDS: [(&str, &str); 30] = [
    ("January", "%B"),
    ("Monday", "%A"),
    ("2006", "%Y"),
    ("Z07:00", "%z"),
    ("-07:00", "%z"),
    ("Z0700", "%z"),
    ("-0700", "%z"),
    ("-07", "%z"),
    ("MST", "%Z"),
    ("Jan", "%b"),
    ("Mon", "%a"),
    ("002", "%j"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("PM", "%p"),
    ("pm", "%p"),
    ("_2", "%e"),
    ("1", "%m"),
    ("2", "%e"),
    ("3", "%l"),
    ("4", "%M"),
    ("5", "%S"),
    ("%", "%%"),
    (" ", " "),
    ("T", "T"),
];

/// `None` for what strptime has no word for.
pub(super) fn format(layout: &str) -> Option<Format> {
    if let Some((_, format)) = NAMED.iter().find(|(name, _)| *name == layout) {
        return Some(Format { format: (*format).to_owned(), strict: *format != FRACTION });
    }
    // Numbers of milliseconds and less have no word.
    if layout.starts_with("Unix") || layout.is_empty() {
        return None;
    }
    let (mut format, mut rest) = (String::new(), layout);
    while let Some(sign) = rest.chars().next() {
        let digits = rest[sign.len_utf8()..].find(|c| c != '0' && c != '9').unwrap_or(rest.len() - sign.len_utf8());
        if matches!(sign, '.' | ',') && digits > 0 {
            format.push(sign);
            format.push_str("%L");
            rest = &rest[1 + digits..];
        } else if let Some((word, meaning)) = WORDS.iter().find(|(word, _)| rest.starts_with(word)) {
            format.push_str(meaning);
            rest = &rest[word.len()..];
        } else {
            format.push(sign);
            rest = &rest[sign.len_utf8()..];
        }
    }
    Some(Format { format, strict: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts() {
        for (layout, expect) in [
            ("2006-01-02 15:04:05.000 -0700", Some("%Y-%m-%d %H:%M:%S.%L %z")),
            ("02/Jan/2006:15:04:05 -0700", Some("%d/%b/%Y:%H:%M:%S %z")),
            ("Jan _2 15:04:05", Some("%b %e %H:%M:%S")),
            ("2006-01-02T15:04:05,999Z07:00", Some("%Y-%m-%dT%H:%M:%S,%L%z")),
            ("3:04PM", Some("%l:%M%p")),
            ("RFC1123", Some("%a, %d %b %Y %H:%M:%S %Z")),
            ("Unix", Some("%s")),
            ("UnixMs", None),
            ("", None),
        ] {
            assert_eq!(format(layout).map(|f| f.format).as_deref(), expect, "{layout}");
        }
        assert!(!format("RFC3339").unwrap().strict);
    }

    #[test]
    fn nothing_panics() {
        proptest::proptest!(|(text in "[0-9.,ü_JanMon%-]{0,20}")| {
            let _ = format(&text);
        });
    }
}
