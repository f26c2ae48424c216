//! The time of an entry, to the nanosecond. Loki drops what is equal in time and text to what it has, so a time that the text of a log
//! gave, and that is coarser than microseconds, takes its lower digits from the container's line.
//!
//! ```text
//! 10:00:01          + line of 10:00:01.123456789   →   10:00:01.123456789
//! 10:00:01.250      + line of 10:00:02.123456789   →   10:00:01.250456789
//! ```
//! The same line gives the same time whenever it is read, so that what is sent twice stays one entry.

use crate::record::Batch;
use crate::record::time::Rfc3339;

const SECOND: i64 = 1_000_000_000;
const MILLISECOND: i64 = 1_000_000;

/// Nanoseconds since 1970.
#[inline]
pub(super) fn of_entry(batch: &Batch, record: usize) -> i64 {
    let record = &batch.records[record];
    if record.time_ns % MILLISECOND != 0 || record.time_text.len == 0 {
        return record.time_ns;
    }
    let line = Rfc3339::default().parse(batch.bytes(record.time_text));
    line.map_or(record.time_ns, |line| with_lower_digits(record.time_ns, line))
}

fn with_lower_digits(time_ns: i64, line: i64) -> i64 {
    let step = if time_ns % SECOND == 0 { SECOND } else { MILLISECOND };
    time_ns.saturating_add(line.rem_euclid(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Source, SourceDraft};

    #[test]
    fn lower_digits_are_those_of_the_line() {
        let mut batch = Batch::new(std::sync::Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let at = |text: &str| Rfc3339::default().parse(text.as_bytes()).expect(text);
        for (time, line, expect) in [
            ("2024-03-01T10:00:01Z", "2024-03-01T10:00:01.123456789Z", "2024-03-01T10:00:01.123456789Z"),
            ("2024-03-01T10:00:01.25Z", "2024-03-01T12:00:02.123456789+02:00", "2024-03-01T10:00:01.250456789Z"),
            ("2024-03-01T10:00:01.25Z", "2024-03-01T10:00:01.25Z", "2024-03-01T10:00:01.25Z"),
            ("2024-03-01T10:00:01.250001Z", "2024-03-01T10:00:01.3Z", "2024-03-01T10:00:01.250001Z"),
            ("2024-03-01T10:00:01Z", "", "2024-03-01T10:00:01Z"),
            ("2024-03-01T10:00:01Z", "what", "2024-03-01T10:00:01Z"),
        ] {
            let time_text = batch.append(line.as_bytes());
            batch.records = vec![Record { time_ns: at(time), time_text, ..Record::default() }];
            assert_eq!(of_entry(&batch, 0), at(expect), "{time} {line}");
        }
    }
}
