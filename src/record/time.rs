//! Times: RFC 3339 as container runtimes write it, and the forms in which outputs write dates.

use super::json::push_u64;

pub(super) const DAY: i64 = 86_400;
pub(super) const BILLION: i64 = 1_000_000_000;

/// Days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant's formula). Days of a month may run over:
/// February 30 is March 1, as in Fluent Bit.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Reads RFC 3339 times; remembers the last second, since neighbouring lines share it.
#[derive(Debug, Clone, Copy)]
pub struct Rfc3339 {
    text: [u8; 19],
    seconds: i64,
}

impl Default for Rfc3339 {
    fn default() -> Self {
        Self { text: *b"1970-01-01T00:00:00", seconds: 0 }
    }
}

impl Rfc3339 {
    /// `2024-03-01T10:00:00.123456789Z`, with 0 to 9 digits of fraction and any offset: nanoseconds since 1970.
    #[inline]
    pub fn parse(&mut self, text: &[u8]) -> Option<i64> {
        let (head, rest) = text.split_first_chunk::<19>()?;
        if *head != self.text {
            self.seconds = civil_seconds(head)?;
            self.text = *head;
        }
        let (nanos, zone) = fraction(rest)?;
        let offset = if zone == b"Z" { 0 } else { zone_offset(zone)? };
        // Years that nanoseconds since 1970 cannot say are no times: the line stays text.
        (self.seconds - offset).checked_mul(BILLION)?.checked_add(nanos)
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
}

/// `2024-03-01T10:00:00` as seconds since 1970.
fn civil_seconds(text: &[u8; 19]) -> Option<i64> {
    let signs = [text[4], text[7], text[13], text[16]] == *b"--::" && matches!(text[10], b'T' | b't');
    let (year, month, day) = (digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..10])?);
    let (hour, minute, second) = (digits(&text[11..13])?, digits(&text[14..16])?, digits(&text[17..19])?);
    let fits =
        signs && (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    fits.then(|| days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second)
}

/// `.123Z` → nanoseconds and what follows them.
#[inline]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', rest)) = text.split_first() else { return Some((0, text)) };
    fraction_digits(rest)
}

#[inline]
pub(super) fn fraction_digits(rest: &[u8]) -> Option<(i64, &[u8])> {
    // Nine digits are what container runtimes write, but for trailing zeros.
    if let Some((digits, after)) = rest.split_first_chunk::<9>()
        && let Some(nanos) = nine_digits(*digits)
    {
        return Some((nanos, after));
    }
    const SCALE: [i64; 10] = [BILLION, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    let count = rest.iter().take(9).take_while(|d| d.is_ascii_digit()).count();
    (count > 0).then_some((digits(&rest[..count])? * SCALE[count], &rest[count..]))
}

/// Eight digits at once in one word, then the ninth.
#[inline]
fn nine_digits(text: [u8; 9]) -> Option<i64> {
    let [eight @ .., last] = text;
    let word = u64::from_le_bytes(eight);
    let digits = word.wrapping_sub(0x3030_3030_3030_3030);
    // A byte below `0` borrows, one above `9` carries into its high half.
    let wrong = (digits | digits.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
    let last = last.wrapping_sub(b'0');
    if wrong != 0 || last > 9 {
        return None;
    }
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_FFFF_0000_FFFF;
    let number = (fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) & 0xFFFF_FFFF;
    Some((number * 10 + u64::from(last)) as i64)
}

/// `Z`, `+02:00`, `-0730`, `+02` in seconds east of UTC.
pub fn zone_offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text.split_first()? {
        (b'Z' | b'z', []) => return Some(0),
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        5 if rest[2] == b':' => (&rest[..2], &rest[3..]),
        4 => rest.split_at(2),
        2 => (rest, &b"0"[..]),
        _ => return None,
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// The ways in which Fluent Bit's outputs write a record's date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateFormat {
    /// Seconds with microseconds: `1709287200.123457`.
    Double,
    /// `2024-03-01T10:00:00.123456Z`, cut to microseconds.
    Iso8601,
    /// Whole seconds.
    Epoch,
    /// Whole milliseconds.
    EpochMs,
    /// `2024-03-01 10:00:00.123456`, cut to microseconds.
    JavaSqlTimestamp,
}

/// Writes a date as a JSON value.
pub fn push_date(out: &mut Vec<u8>, time_ns: i64, format: DateFormat) {
    let clipped = time_ns.max(0) as u64;
    match format {
        DateFormat::Double => push_double(out, clipped),
        DateFormat::Epoch => push_u64(out, clipped / 1_000_000_000),
        DateFormat::EpochMs => push_u64(out, clipped / 1_000_000),
        DateFormat::Iso8601 => {
            out.push(b'"');
            push_civil(out, time_ns, b'T');
            out.extend_from_slice(b"Z\"");
        }
        DateFormat::JavaSqlTimestamp => {
            out.push(b'"');
            push_civil(out, time_ns, b' ');
            out.push(b'"');
        }
    }
}

fn push_double(out: &mut Vec<u8>, time_ns: u64) {
    let micros = (time_ns + 500) / 1_000;
    push_u64(out, micros / 1_000_000);
    let mut rest = (micros % 1_000_000) as u32;
    if rest > 0 {
        let mut text = *b".000000";
        for digit in text[1..].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let zeros = text.iter().rev().take_while(|d| **d == b'0').count();
        out.extend_from_slice(&text[..text.len() - zeros]);
    }
}

/// Writes the lowest digits of a number.
#[inline]
pub fn push_padded<const DIGITS: usize>(out: &mut Vec<u8>, mut number: u64) {
    let mut text = [0; DIGITS];
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&text);
}

/// `2024-03-01T10:00:00` of seconds since 1970.
pub fn civil_text(seconds: i64) -> [u8; 19] {
    let (year, month, day) = civil_from_days(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY);
    let mut text = *b"0000-00-00T00:00:00";
    let parts = [(5, month), (8, day), (11, second / 3600), (14, second / 60 % 60), (17, second % 60)];
    let year = year.clamp(0, 9999);
    for (at, number) in [(0, year / 100), (2, year % 100)].into_iter().chain(parts) {
        text[at] = b'0' + (number / 10) as u8;
        text[at + 1] = b'0' + (number % 10) as u8;
    }
    text
}

/// `2024-03-01T10:00:00.123456`.
fn push_civil(out: &mut Vec<u8>, time_ns: i64, between: u8) {
    let mut text = civil_text(time_ns.div_euclid(BILLION));
    text[10] = between;
    out.extend_from_slice(&text);
    out.push(b'.');
    push_padded::<6>(out, time_ns.rem_euclid(BILLION) as u64 / 1_000);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339() {
        let mut time = Rfc3339::default();
        for (text, expect) in [
            ("2024-03-01T10:00:00.123456789Z", Some(1_709_287_200_123_456_789)),
            ("2024-03-01T10:00:00.1Z", Some(1_709_287_200_100_000_000)),
            ("2024-03-01T10:00:00Z", Some(1_709_287_200_000_000_000)),
            ("2024-03-01T12:00:02.25+02:00", Some(1_709_287_202_250_000_000)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:59:59.5Z", Some(-500_000_000)),
            ("2024-02-29T00:00:00-07:30", Some(1_709_191_800_000_000_000)),
            ("2024-03-01T10:00:00.Z", None),
            ("2024-03-01T10:00:00", None),
            ("2024-13-01T10:00:00Z", None),
            ("2024-03-01T24:00:00Z", None),
            ("2024-03-01 10:00:00Z", None),
            ("2024-03-01T10:00:00.1234567890Z", None),
            ("2024-03-01T10:00:00+2", None),
            ("2024-03-01T10:00:00.12345678/Z", None),
            ("2024-03-01T10:00:00.12345:789Z", None),
            ("2024-03-01T10:00:00.123456789+00:00", Some(1_709_287_200_123_456_789)),
            ("2024-03-01T10:00:00.000000000Z", Some(1_709_287_200_000_000_000)),
            ("2024-03-01T10:00:00.999999999Z", Some(1_709_287_200_999_999_999)),
            ("9999-12-31T23:59:59Z", None),
            ("1012-03-01T10:00:00+02:00", None),
            ("", None),
        ] {
            assert_eq!(time.parse(text.as_bytes()), expect, "{text}");
        }
    }

    #[test]
    fn civil_dates_round_trip() {
        proptest::proptest!(|(days in -200_000i64..2_000_000)| {
            let (y, m, d) = civil_from_days(days);
            proptest::prop_assert_eq!(days_from_civil(y, m, d), days);
        });
    }

    #[test]
    fn dates_are_written_as_fluent_bit_writes_them() {
        for (format, expect) in [
            (DateFormat::Double, "1709287200.123457"),
            (DateFormat::Iso8601, "\"2024-03-01T10:00:00.123456Z\""),
            (DateFormat::Epoch, "1709287200"),
            (DateFormat::EpochMs, "1709287200123"),
            (DateFormat::JavaSqlTimestamp, "\"2024-03-01 10:00:00.123456\""),
        ] {
            let mut out = Vec::new();
            push_date(&mut out, 1_709_287_200_123_456_789, format);
            assert_eq!(String::from_utf8_lossy(&out), expect);
        }
    }
}
