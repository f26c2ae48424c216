//! What the text of an option can be read as: sizes, times, numbers, paths, lists.
//!
//! ```text
//! size = number [k|m|g|t [i] [b]] | "false"      32k  5MB  1.5G  4KiB
//! time = number [ms|s|m|h|d]                     5  0.5  250ms  7d
//! ```
//! Blanks between the number and its unit are fine, and so is any case. As in Fluent Bit (`flb_utils_size_to_bytes`) k, M
//! and G are powers of 1,000; Ki, Mi and Gi are powers of 1,024.

use super::OptionValue;
use super::secret::MASK;
use nom::character::complete::{alpha0, char, digit1, multispace0};
use nom::combinator::{all_consuming, opt};
use nom::sequence::preceded;
use nom::{IResult, Parser};
use std::path::PathBuf;

/// Bytes: `512`, `32k`, `5MB`, `1.5G` (powers of 1,000), `4Ki`, `1MiB` (powers of 1,024); `false` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A length of time: `5` (seconds), `0.5`, `10s`, `2m`, `1h`, `7d`, `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

/// Comma-separated texts, blanks around them cut, empty ones left out. A YAML list gives one as well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List(pub Vec<String>);

/// A password, a token: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(MASK)
    }
}

impl OptionValue for Secret {
    const KIND: &'static str = "string";
    const KEEPS_BLANKS: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

/// A number is kept exactly, in billionths, so that `0.1k` is 100 bytes and not 99.
const BILLION: u128 = 1_000_000_000;
/// More digits than this no size and no time needs; it keeps the product with any unit inside 128 bits.
const DIGITS_MAX: usize = 20;

impl OptionValue for Size {
    const KIND: &'static str = "size";
    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("false") {
            return Ok(Self(0));
        }
        let (billionths, unit) = quantity(text).ok_or(SIZE_WANTED)?;
        let bytes = billionths.checked_mul(size_unit(&unit).ok_or(SIZE_WANTED)?).map(|b| b / BILLION);
        bytes.and_then(|b| u64::try_from(b).ok()).map(Self).ok_or_else(|| "expected a size below 16 EiB".into())
    }
}

const SIZE_WANTED: &str = "expected a size such as 512, 32k, 5M or 1Gi";

fn size_unit(unit: &str) -> Option<u128> {
    Some(match unit {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        "ti" | "tib" => 1 << 40,
        _ => return None,
    })
}

impl OptionValue for Duration {
    const KIND: &'static str = "time";
    fn parse(text: &str) -> Result<Self, String> {
        let (billionths, unit) = quantity(text).ok_or(TIME_WANTED)?;
        let milliseconds = time_unit(&unit).ok_or(TIME_WANTED)?;
        let nanoseconds = billionths.checked_mul(milliseconds).map(|n| n / 1_000).ok_or(TIME_TOO_LONG)?;
        let seconds = u64::try_from(nanoseconds / BILLION).map_err(|_| TIME_TOO_LONG)?;
        let rest = u32::try_from(nanoseconds % BILLION).map_err(|_| TIME_TOO_LONG)?;
        if seconds > SECONDS_MAX {
            Err(TIME_TOO_LONG.into())
        } else {
            Ok(Self(std::time::Duration::new(seconds, rest)))
        }
    }
}

const TIME_WANTED: &str = "expected a time such as 5 (seconds), 0.5, 250ms, 10s, 2m, 1h or 7d";
const TIME_TOO_LONG: &str = "expected a time of at most 100 years";
/// So that adding it to any clock cannot overflow.
const SECONDS_MAX: u64 = 100 * 366 * 86_400;

/// In milliseconds.
fn time_unit(unit: &str) -> Option<u128> {
    Some(match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    })
}

/// The number in billionths, and the unit in lower case.
fn quantity(text: &str) -> Option<(u128, String)> {
    let (_, ((whole, fraction), unit)) = all_consuming((number, preceded(multispace0, alpha0))).parse(text).ok()?;
    Some((billionths(whole, fraction.unwrap_or("0"))?, unit.to_ascii_lowercase()))
}

fn number(input: &str) -> IResult<&str, (&str, Option<&str>)> {
    (digit1, opt(preceded(char('.'), digit1))).parse(input)
}

fn billionths(whole: &str, fraction: &str) -> Option<u128> {
    let whole = whole.trim_start_matches('0');
    if whole.len() > DIGITS_MAX {
        return None;
    }
    let digits = format!("0{whole}{fraction:0<9.9}");
    digits.parse().ok()
}

impl OptionValue for String {
    const KIND: &'static str = "string";
    const KEEPS_BLANKS: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl OptionValue for PathBuf {
    const KIND: &'static str = "path";
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected a path".into()) } else { Ok(Self::from(text)) }
    }
}

impl OptionValue for List {
    const KIND: &'static str = "list";
    const JOINS: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()))
    }
}

impl OptionValue for bool {
    const KIND: &'static str = "boolean";
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" => Ok(true),
            "off" | "false" | "no" => Ok(false),
            _ => Err("expected on or off (true, false, yes, no)".into()),
        }
    }
}

impl OptionValue for f64 {
    const KIND: &'static str = "number";
    fn parse(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|n: &Self| n.is_finite());
        number.ok_or_else(|| "expected a number such as 3 or 0.25".into())
    }
}

macro_rules! whole_numbers {
    ($($ty:ty),*) => { $(
        impl OptionValue for $ty {
            const KIND: &'static str = "integer";
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("expected a whole number from {} to {}", <$ty>::MIN, <$ty>::MAX))
            }
        }
    )* };
}
whole_numbers!(u8, u16, u32, u64, usize, i32, i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: OptionValue + PartialEq + std::fmt::Debug>(input: &str, expect: Option<T>) {
        assert_eq!(T::parse(input).ok(), expect, "{input:?} as {}", T::KIND);
    }

    #[test]
    fn sizes() {
        for (input, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("1k", 1_000),
            ("2K", 2_000),
            ("32KB", 32_000),
            ("5M", 5_000_000),
            ("5 mb", 5_000_000),
            ("1.5G", 1_500_000_000),
            ("0.1k", 100),
            ("1T", 1_000_000_000_000),
            ("4Ki", 4_096),
            ("4kib", 4_096),
            ("1MiB", 1_048_576),
            ("1Gi", 1_073_741_824),
            ("00018446744073709551615", u64::MAX),
            ("false", 0),
        ] {
            check(input, Some(Size(bytes)));
        }
        for wrong in
            ["", "k", "-1", "5x", "5kbb", "1,5M", "1.M", ".5", "18446744073709551616", "99999999999999999999T", "5M 5"]
        {
            check::<Size>(wrong, None);
        }
    }

    #[test]
    fn times() {
        for (input, milliseconds) in [
            ("5", 5_000),
            ("0.5", 500),
            ("10s", 10_000),
            ("2m", 120_000),
            ("1H", 3_600_000),
            ("7d", 604_800_000),
            ("3650d", 315_360_000_000),
            ("250ms", 250),
            ("1.5 h", 5_400_000),
            ("0", 0),
        ] {
            check(input, Some(Duration(std::time::Duration::from_millis(milliseconds))));
        }
        check("0.000000001", Some(Duration(std::time::Duration::from_nanos(1))));
        for wrong in ["", "s", "-1", "5w", "1e3", "99999999999999999999d", "40000d", "1m30s", "∞"] {
            check::<Duration>(wrong, None);
        }
    }

    #[test]
    fn numbers() {
        check("65535", Some(65_535_u16));
        check::<u16>("65536", None);
        check::<u32>("-1", None);
        check("-1", Some(-1_i64));
        check::<i64>("1.0", None);
        check("18446744073709551615", Some(u64::MAX));
        check("0.25", Some(0.25));
        check::<f64>("inf", None);
        check::<f64>("NaN", None);
    }

    #[test]
    fn booleans() {
        for word in ["on", "On", "TRUE", "yes"] {
            check(word, Some(true));
        }
        for word in ["off", "False", "NO"] {
            check(word, Some(false));
        }
        check::<bool>("1", None);
        check::<bool>("", None);
    }

    #[test]
    fn lists_and_paths() {
        let list = |items: &[&str]| List(items.iter().map(ToString::to_string).collect());
        check("a, b ,,c", Some(list(&["a", "b", "c"])));
        check("", Some(list(&[])));
        check("/var/log/a b", Some(PathBuf::from("/var/log/a b")));
        check::<PathBuf>("", None);
    }
}
