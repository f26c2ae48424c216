//! Dates in the names of files and indices, in UTC: `%Y-%m-%d`.

use crate::record::time::{civil_from_days, days_from_civil};
use std::fmt::Write;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// 1970 began on a Thursday.
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// What [`check_strftime`] knows, for a message.
pub(super) const HINT: &str =
    "known are %Y %y %C %m %b %B %h %d %e %j %G %V %u %w %a %A %H %I %p %M %S %s %F %D %T %R %z %Z %n %t and %%";

/// Is every directive known? Else the first that is not.
pub(super) fn check_strftime(format: &str) -> Result<(), char> {
    let mut rest = format.chars();
    while let Some(sign) = rest.next() {
        if sign == '%' {
            let directive = rest.next().unwrap_or(' ');
            if !"YyCGVuwmdeHIMSpjsFTDRbhBaAzZnt%".contains(directive) {
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
    let month_name = MONTHS[(month - 1).rem_euclid(12) as usize];
    let day_name = DAYS[days.rem_euclid(7) as usize];
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
            Some('j') => write!(out, "{:03}", days - days_from_civil(year, 1, 1) + 1),
            Some('s') => write!(out, "{seconds}"),
            Some('F') => write!(out, "{year}-{month:02}-{day:02}"),
            Some('D') => write!(out, "{month:02}/{day:02}/{:02}", year.rem_euclid(100)),
            Some('T') => write!(out, "{hour:02}:{minute:02}:{second:02}"),
            Some('R') => write!(out, "{hour:02}:{minute:02}"),
            Some('C') => write!(out, "{:02}", year.div_euclid(100)),
            Some('G') => write!(out, "{}", iso_week(days).0),
            Some('V') => write!(out, "{:02}", iso_week(days).1),
            Some('u') => write!(out, "{}", weekday(days)),
            Some('w') => write!(out, "{}", weekday(days) % 7),
            Some('I') => write!(out, "{:02}", (hour + 11) % 12 + 1),
            Some('p') => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
            Some('b' | 'h') => write!(out, "{}", &month_name[..3]),
            Some('B') => write!(out, "{month_name}"),
            Some('a') => write!(out, "{}", &day_name[..3]),
            Some('A') => write!(out, "{day_name}"),
            Some('z') => write!(out, "+0000"),
            Some('Z') => write!(out, "UTC"),
            Some('n') => writeln!(out),
            Some('t') => write!(out, "\t"),
            Some('%') => write!(out, "%"),
            _ => Ok(()),
        };
    }
}

/// 1 (Monday) to 7.
fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// Year and number of the week by ISO 8601: the week belongs to the year of its Thursday.
fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - weekday(days) + 4;
    let (year, _, _) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
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
            ("%A %B %G-%V %u %w %I %p %C", "Friday March 2024-09 5 5 10 AM 20"),
            ("%z %Z", "+0000 UTC"),
            ("app.log", "app.log"),
        ] {
            let mut out = String::new();
            push_strftime(&mut out, format, 1_709_287_207_999_999_999);
            assert_eq!((out.as_str(), check_strftime(format)), (expect, Ok(())), "{format}");
        }
        for (day, expect) in [(18_262, "2020-01"), (18_627, "2020-53"), (18_631, "2021-01"), (19_357, "2022-52")] {
            let mut out = String::new();
            push_strftime(&mut out, "%G-%V", day * 86_400_000_000_000);
            assert_eq!(out, expect, "{day}");
        }
        assert_eq!((check_strftime("%Q"), check_strftime("a%")), (Err('Q'), Err(' ')));
    }
}
