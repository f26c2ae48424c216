//! The field that holds a record's time: `time_key`, how it is written, and in which zone it is where it says none.

use crate::record::strptime::{TimeParts, says_year};
use crate::record::time::{civil_from_days, zone_offset};
use crate::record::{Batch, Value};
use jiff::tz::TimeZone;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where local times are.
#[derive(Debug, Clone)]
pub(super) enum Zone {
    /// Seconds east of UTC.
    Offset(i64),
    /// With its summer time.
    Named(TimeZone),
}

impl Zone {
    /// `+0200`, `-05:30`, `+02`.
    pub(super) fn offset(text: &str) -> Option<Self> {
        zone_offset(text.as_bytes()).map(Self::Offset)
    }

    /// `Europe/Berlin`; the names are in the program.
    pub(super) fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self::Named)
    }

    pub(super) fn of_system() -> Self {
        Self::Named(TimeZone::system())
    }

    /// Seconds east of UTC at a local time. A time that a clock showed twice is the first one.
    fn offset_at(&self, local: i64) -> i64 {
        let zone = match self {
            Self::Offset(seconds) => return *seconds,
            Self::Named(zone) => zone,
        };
        let civil = jiff::Timestamp::from_second(local).map(|time| TimeZone::UTC.to_datetime(time));
        let time = civil.ok().and_then(|civil| zone.to_ambiguous_timestamp(civil).compatible().ok());
        time.map_or(0, |time| local - time.as_second())
    }
}

/// How a parser finds the time.
#[derive(Debug, Clone)]
pub(super) struct TimeField {
    key: Vec<u8>,
    format: String,
    says_year: bool,
    keep: bool,
    /// A time must fit as a whole; else what fits of it counts.
    strict: bool,
    zone: Zone,
}

impl TimeField {
    pub(super) fn new(key: &str, format: &str, keep: bool, strict: bool, zone: Zone) -> Self {
        let says_year = says_year(format);
        Self { key: key.into(), format: format.into(), says_year, keep, strict, zone }
    }

    /// Takes the time of a record out of the fields from `start` on; one that does not fit stays a field. `typed`: numbers and
    /// booleans are what their writer meant, no times.
    pub(super) fn take(&self, batch: &mut Batch, record: usize, start: usize, typed: bool) {
        let fields = &batch.fields[start..];
        let Some(at) = fields.iter().rposition(|f| batch.bytes(f.key) == self.key) else { return };
        let text = match fields[at].value {
            Value::Json(span) if typed => {
                let inner = batch.bytes(span).strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
                inner.unwrap_or_default()
            }
            Value::Json(span) | Value::Text(span) => batch.bytes(span),
        };
        let Some(time_ns) = self.read(text) else { return };
        // The beginning of 1970 is no time, as in Fluent Bit.
        if time_ns != 0 {
            batch.records[record].time_ns = time_ns;
        }
        if !self.keep {
            batch.fields.remove(start + at);
        }
    }

    /// Nanoseconds since 1970.
    fn read(&self, text: &[u8]) -> Option<i64> {
        let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
        let empty = if self.says_year { TimeParts::default() } else { TimeParts::in_year(this_year()) };
        let mut parts = empty;
        let fits = parts.read(text, &self.format).is_some();
        if !fits && (self.strict || parts == empty) {
            return None;
        }
        Some(parts.nanos(|local| self.zone.offset_at(local)))
    }
}

fn this_year() -> i64 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    civil_from_days((seconds / 86_400) as i64).0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, strict: bool, zone: &Zone, text: &str, expect: Option<i64>) {
        let field = TimeField::new("time", format, false, strict, zone.clone());
        let found = field.read(text.as_bytes());
        assert_eq!(found, expect.map(|seconds| seconds * 1_000_000_000), "{text} by {format}");
    }

    #[test]
    fn zones() {
        let utc = Zone::Offset(0);
        let plus_two = Zone::offset("+0200").expect("an offset");
        let berlin = Zone::named("Europe/Berlin").expect("it is in the program");
        let format = "%Y-%m-%d %H:%M:%S";
        check(format, true, &utc, "2024-03-01 10:00:00", Some(1_709_287_200));
        check(format, true, &plus_two, "2024-03-01 10:00:00", Some(1_709_280_000));
        check(&format!("{format} %z"), true, &plus_two, "2024-03-01 10:00:00 +0100", Some(1_709_283_600));
        check(format, true, &berlin, "2024-01-15 10:00:00", Some(1_705_309_200));
        check(format, true, &berlin, "2024-07-15 10:00:00", Some(1_721_030_400));
        // A clock that is put forward, and one that is put back.
        check(format, true, &berlin, "2024-03-31 02:30:00", Some(1_711_848_600));
        check(format, true, &berlin, "2024-10-27 02:30:00", Some(1_729_989_000));
        assert!(Zone::named("Nowhere/City").is_none() && Zone::offset("two").is_none());
    }

    #[test]
    fn what_fits_in_part() {
        let utc = Zone::Offset(0);
        check("%Y-%m-%d %H:%M:%S", true, &utc, "2024-03-01", None);
        check("%Y-%m-%d %H:%M:%S", false, &utc, "2024-03-01", Some(1_709_251_200));
        check("%Y-%m-%d %H:%M:%S", false, &utc, "yesterday", None);
        check("%s", true, &utc, "0", Some(0));
        check("%s", true, &utc, "", None);
    }

    #[test]
    fn a_year_that_is_not_said_is_this_one() {
        let field = TimeField::new("time", "%b %d %T", false, true, Zone::Offset(0));
        let time = field.read(b"Mar  1 10:00:00").expect("a time") / 1_000_000_000;
        assert_eq!(civil_from_days(time / 86_400), (this_year(), 3, 1));
    }
}
