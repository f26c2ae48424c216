//! Times that a format describes, as strptime reads them.
//!
//! ```text
//! %Y %y %m %d %e %H %k %I %l %M %S %p %j %b %B %h %a %A %T %D %F %R %s %z %Z %n %t %%
//! %L %f %N    beyond strptime: a fraction of 1 to 9 digits, its point optional
//! ```
//! What stands behind the format's end does not count, as in Fluent Bit: `%L` alone is what people write for `….123Z`.

use super::time::{BILLION, DAY, days_from_civil, fraction_digits, zone_offset};

/// What a text says of a time. What it does not say is the first of January 1970, at midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeParts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    offset: Option<i64>,
    afternoon: Option<bool>,
    day_of_year: Option<i64>,
    epoch: Option<i64>,
}

impl Default for TimeParts {
    fn default() -> Self {
        Self {
            year: 1970,
            month: 1,
            day: 1,
            hour: 0,
            minute: 0,
            second: 0,
            nanos: 0,
            offset: None,
            afternoon: None,
            day_of_year: None,
            epoch: None,
        }
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// Names of zones that mean one offset only, in hours east of UTC.
const ZONES: &[(&str, i64)] = &[
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("Z", 0),
    ("WET", 0),
    ("CET", 1),
    ("CEST", 2),
    ("EET", 2),
    ("EEST", 3),
    ("MSK", 3),
    ("JST", 9),
    ("KST", 9),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
];

/// Does the format say the year, alone or with all the rest?
pub fn says_year(format: &str) -> bool {
    let mut signs = format.chars();
    while let Some(sign) = signs.next() {
        if sign == '%' && matches!(signs.next(), Some('Y' | 'y' | 'D' | 'F' | 's')) {
            return true;
        }
    }
    false
}

impl TimeParts {
    /// Of a time whose text may not say the year.
    pub fn in_year(year: i64) -> Self {
        Self { year, ..Self::default() }
    }

    /// Reads `text`; gives what follows it, or `None` where it does not fit. What was read before that stays.
    pub fn read<'t>(&mut self, mut text: &'t str, format: &str) -> Option<&'t str> {
        let mut signs = format.chars();
        while let Some(sign) = signs.next() {
            text = match sign {
                '%' => self.field(text, signs.next()?)?,
                c if c.is_whitespace() => text.trim_start(),
                c => text.strip_prefix(c)?,
            };
        }
        Some(text)
    }

    fn field<'t>(&mut self, text: &'t str, field: char) -> Option<&'t str> {
        let mut number = |slot: fn(&mut Self) -> &mut i64, width: usize, range: std::ops::RangeInclusive<i64>| {
            let (value, rest) = take_number(text.trim_start_matches(' '), width)?;
            *slot(self) = *range.contains(&value).then_some(&value)?;
            Some(rest)
        };
        match field {
            'Y' => number(|p| &mut p.year, 4, 0..=9999),
            'm' => number(|p| &mut p.month, 2, 1..=12),
            'd' | 'e' => number(|p| &mut p.day, 2, 1..=31),
            'H' | 'k' => number(|p| &mut p.hour, 2, 0..=23),
            'I' | 'l' => number(|p| &mut p.hour, 2, 1..=12),
            'M' => number(|p| &mut p.minute, 2, 0..=59),
            'S' => number(|p| &mut p.second, 2, 0..=60),
            'T' => self.read(text, "%H:%M:%S"),
            'D' => self.read(text, "%m/%d/%y"),
            'F' => self.read(text, "%Y-%m-%d"),
            'R' => self.read(text, "%H:%M"),
            'n' | 't' => Some(text.trim_start()),
            '%' => text.strip_prefix('%'),
            _ => self.named(text, field),
        }
    }

    fn named<'t>(&mut self, text: &'t str, field: char) -> Option<&'t str> {
        match field {
            'y' => {
                let (year, rest) = take_number(text, 2)?;
                self.year = if year < 69 { 2000 + year } else { 1900 + year };
                Some(rest)
            }
            'j' => {
                let (day, rest) = take_number(text, 3)?;
                self.day_of_year = Some(day);
                (1..=366).contains(&day).then_some(rest)
            }
            'b' | 'B' | 'h' => {
                let (month, rest) = take_name(text, &MONTHS)?;
                self.month = month + 1;
                Some(rest)
            }
            'a' | 'A' => take_name(text, &WEEKDAYS).map(|(_, rest)| rest),
            'p' => {
                let (half, rest) = text.split_at_checked(2)?;
                self.afternoon = Some(half.eq_ignore_ascii_case("pm"));
                (half.eq_ignore_ascii_case("am") || self.afternoon == Some(true)).then_some(rest)
            }
            's' => {
                let (seconds, rest) = take_number(text, 18)?;
                self.epoch = Some(seconds);
                Some(rest)
            }
            'L' | 'f' | 'N' => {
                let bare = text.strip_prefix(['.', ',']).unwrap_or(text);
                self.nanos = fraction_digits(bare.as_bytes())?.0;
                Some(bare.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
            'z' | 'Z' => {
                let (offset, rest) = take_zone(text)?;
                self.offset = Some(offset);
                Some(rest)
            }
            _ => None,
        }
    }

    /// Nanoseconds since 1970. `offset` gives the seconds east of UTC at a local time in seconds, where the text has no zone.
    pub fn nanos(&self, offset: impl FnOnce(i64) -> i64) -> i64 {
        if let Some(seconds) = self.epoch {
            return seconds.saturating_mul(BILLION).saturating_add(self.nanos);
        }
        let hour = match self.afternoon {
            Some(true) => self.hour % 12 + 12,
            Some(false) => self.hour % 12,
            None => self.hour,
        };
        let days = match self.day_of_year {
            Some(day) => days_from_civil(self.year, 1, 1) + day - 1,
            None => days_from_civil(self.year, self.month, self.day),
        };
        let local = days * DAY + hour * 3600 + self.minute * 60 + self.second;
        let seconds = local - self.offset.unwrap_or_else(|| offset(local));
        seconds.saturating_mul(BILLION).saturating_add(self.nanos)
    }
}

fn take_number(text: &str, width: usize) -> Option<(i64, &str)> {
    let len = text.bytes().take(width).take_while(u8::is_ascii_digit).count();
    Some((text.get(..len)?.parse().ok()?, &text[len..]))
}

/// A full or three-letter name, in any case: its number and what follows.
fn take_name<'t>(text: &'t str, names: &[&str]) -> Option<(i64, &'t str)> {
    let head = text.get(..3)?;
    let index = names.iter().position(|name| name[..3].eq_ignore_ascii_case(head))?;
    let full = names[index];
    let is_full = text.get(..full.len()).is_some_and(|head| head.eq_ignore_ascii_case(full));
    Some((index as i64, &text[if is_full { full.len() } else { 3 }..]))
}

/// `+02:00`, `-0730`, `Z`, `EST`: seconds east of UTC and what follows.
fn take_zone(text: &str) -> Option<(i64, &str)> {
    if text.starts_with(['+', '-']) {
        let end = text[1..].find(|c: char| !matches!(c, ':' | '0'..='9')).map_or(text.len(), |end| end + 1);
        return Some((zone_offset(&text.as_bytes()[..end])?, &text[end..]));
    }
    let (name, rest) = text.split_at(text.bytes().take_while(u8::is_ascii_alphabetic).count());
    let (_, hours) = ZONES.iter().find(|(zone, _)| zone.eq_ignore_ascii_case(name))?;
    Some((hours * 3600, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strptime(text: &str, format: &str) -> Option<i64> {
        let mut parts = TimeParts::in_year(2024);
        parts.read(text, format).map(|_| parts.nanos(|_| 0))
    }

    #[test]
    fn formats() {
        let second = 1_709_287_200;
        for (text, format, expect) in [
            ("2024-03-01T10:00:00.123Z", "%Y-%m-%dT%H:%M:%S.%L%z", Some(second * 1000 + 123)),
            ("2024-03-01T10:00:00.123+0100", "%Y-%m-%dT%H:%M:%S.%L%z", Some((second - 3600) * 1000 + 123)),
            ("01/Mar/2024:10:00:00 +0000", "%d/%b/%Y:%H:%M:%S %z", Some(second * 1000)),
            ("Fri Mar  1 10:00:00 2024", "%a %b %d %H:%M:%S %Y", Some(second * 1000)),
            ("1709287200", "%s", Some(second * 1000)),
            ("1709287200.5", "%s.%L", Some(second * 1000 + 500)),
            ("03/01/24 10:00 AM", "%D %I:%M %p", Some(second * 1000)),
            ("Mar  1 10:00:00", "%b %e %T", Some(second * 1000)),
            ("2024-061 10:00", "%Y-%j %R", Some(second * 1000)),
            ("2024-03-01T10:00:00Z trailing", "%Y-%m-%dT%H:%M:%S%z", Some(1_709_287_200_000)),
            ("2024-03-01T10:00:00.25Z", "%Y-%m-%dT%H:%M:%S.%L", Some(1_709_287_200_250)),
            ("2024-03-01 05:00:00 EST", "%F %T %Z", Some(second * 1000)),
            ("2024-03-01 05:00:00 XYZ", "%F %T %Z", None),
            ("2024-03-01T10:00:00.25Z", "%Y-%m-%dT%H:%M:%SZ", None),
            ("2024-03-x1", "%Y-%m-%d", None),
            ("", "%Y", None),
            ("+", "%z", None),
        ] {
            assert_eq!(strptime(text, format), expect.map(|ms: i64| ms * 1_000_000), "{text} by {format}");
        }
    }

    #[test]
    fn a_format_that_says_no_year() {
        for (format, expect) in [("%b %d %T", false), ("%%Y %m", false), ("%d %Y", true), ("%s", true), ("%D", true)] {
            assert_eq!(says_year(format), expect, "{format}");
        }
    }

    #[test]
    fn nothing_panics() {
        proptest::proptest!(|(text in "\\PC{0,30}", format in "(%?\\PC){0,12}")| {
            let _ = strptime(&text, &format);
        });
    }
}
