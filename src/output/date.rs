//! The record as JSON with its date in front, in the ways that Fluent Bit's outputs share.

use crate::record::time::{DateFormat, push_date};
use crate::record::{Batch, json};

crate::option_enum! {
    /// How the date is written.
    pub enum JsonDateFormat {
        /// Seconds with microseconds.
        Double = "double",
        /// `2024-03-01T10:00:00.123456Z`.
        Iso8601 = "iso8601",
        /// Whole seconds.
        Epoch = "epoch",
        /// Whole milliseconds.
        EpochMs = "epoch_ms",
        /// `2024-03-01 10:00:00.123456`.
        JavaSqlTimestamp = "java_sql_timestamp",
    }
}

crate::options! {
    /// The date of a JSON record.
    pub struct DateOptions {
        /// The shape of what is written. Without it stdout prints Fluent Bit's plain form (on a terminal a coloured one) and http sends
        /// an array of JSON.
        format: String, "format", optional;
        /// The key of the record's time; `false` leaves it out.
        json_date_key: String, "json_date_key", default "date";
        /// How the time is written.
        json_date_format: JsonDateFormat, "json_date_format", default "double";
    }
    deviations {
        "invalid UTF-8": "becomes U+FFFD, one for each sequence that is none; Fluent Bit writes private characters or leaves bytes out";
    }
}

/// Writes records as JSON objects.
#[derive(Debug, Clone)]
pub(super) struct JsonRecord {
    /// `{"date":`, or nothing where the date is left out.
    head: Option<Vec<u8>>,
    format: DateFormat,
}

impl JsonRecord {
    pub(super) fn new(options: &DateOptions) -> Self {
        let format = match options.json_date_format {
            JsonDateFormat::Double => DateFormat::Double,
            JsonDateFormat::Iso8601 => DateFormat::Iso8601,
            JsonDateFormat::Epoch => DateFormat::Epoch,
            JsonDateFormat::EpochMs => DateFormat::EpochMs,
            JsonDateFormat::JavaSqlTimestamp => DateFormat::JavaSqlTimestamp,
        };
        let shown = !["false", "off", "no"].contains(&options.json_date_key.to_ascii_lowercase().as_str());
        let head = shown.then(|| {
            let mut head = b"{".to_vec();
            json::push_string(&mut head, options.json_date_key.as_bytes());
            head.push(b':');
            head
        });
        Self { head, format }
    }

    #[inline]
    pub(super) fn push(&self, out: &mut Vec<u8>, batch: &Batch, record: usize) {
        let record = &batch.records[record];
        match &self.head {
            Some(head) => {
                out.extend_from_slice(head);
                push_date(out, record.time_ns, self.format);
            }
            None => out.push(b'{'),
        }
        json::push_members(out, batch, record, self.head.is_some());
        out.push(b'}');
    }
}
