//! Dates in file names, in UTC: `%Y-%m-%d`.

use crate::record::time::civil_from_days;
use std::fmt::Write;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// 1970 began on a Thursday.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Is every directive known? Else the first that is not.
pub(super) fn check_strftime(format: &str) -> Result<(), char> {
    let mut rest = format.chars();
    while let Some(sign) = rest.next() {
        if sign == '%' {
            let directive = rest.next().unwrap_or(' ');
            if !"YymdeHMSjsFTDRba%".contains(directive) {
                return Err(directive);
            }
        }
    }
    Ok(())
}

/// Appends the format with its directives replaced.
pub(super) fn push_strftime(out: &mut String, format: &str, time_ns: i64) {
    let seconds = time_ns.div_euclid(1_000_000_000);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let mut rest = format.chars();
    while let Some(sign) = rest.next() {
        if sign != '%' {
            out.push(sign);
            continue;
        }
        // Writing into a String cannot fail.
        let _ = match rest.next() {
            Some('Y') => write!(out, "{year}"),
            Some('y') => write!(out, "{:02}", year.rem_euclid(100)),
            Some('m') => write!(out, "{month:02}"),
            Some('d') => write!(out, "{day:02}"),
            Some('e') => write!(out, "{day:2}"),
            Some('H') => write!(out, "{hour:02}"),
            Some('M') => write!(out, "{minute:02}"),
            Some('S') => write!(out, "{second:02}"),
            Some('j') => write!(out, "{:03}", days - crate::record::time::days_from_civil(year, 1, 1) + 1),
            Some('s') => write!(out, "{seconds}"),
            Some('F') => write!(out, "{year}-{month:02}-{day:02}"),
            Some('D') => write!(out, "{month:02}/{day:02}/{:02}", year.rem_euclid(100)),
            Some('T') => write!(out, "{hour:02}:{minute:02}:{second:02}"),
            Some('R') => write!(out, "{hour:02}:{minute:02}"),
            Some('b') => write!(out, "{}", MONTHS[(month - 1).rem_euclid(12) as usize]),
            Some('a') => write!(out, "{}", DAYS[days.rem_euclid(7) as usize]),
            Some('%') => write!(out, "%"),
            _ => Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (format, expect) in [
            ("%Y/%m/%d", "2024/03/01"),
            ("%F_%T %R", "2024-03-01_10:00:07 10:00"),
            ("%y %e %j %s", "24  1 061 1709287207"),
            ("%a %b 100%%", "Fri Mar 100%"),
            ("%D", "03/01/24"),
            ("app.log", "app.log"),
        ] {
            let mut out = String::new();
            push_strftime(&mut out, format, 1_709_287_207_999_999_999);
            assert_eq!((out.as_str(), check_strftime(format)), (expect, Ok(())), "{format}");
        }
        assert_eq!((check_strftime("%Q"), check_strftime("a%")), (Err('Q'), Err(' ')));
    }
}
