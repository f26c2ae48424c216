//! `/metrics` in the OpenMetrics text format, rendered by prometheus-client from one [`Snapshot`].

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text::encode};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;

/// Metrics that go up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gauge {
    /// Files held open.
    FilesOpen,
    /// Bytes written and not yet read.
    BytesBehind,
    /// Age of the oldest unread byte.
    OldestUnread,
    /// Bytes in deleted files held open.
    DeletedHeld,
    /// Pieces that wait for their end.
    InputOpenRecords,
    /// The same in bytes.
    InputOpenBytes,
    /// Records that an output has not delivered yet.
    PendingRecords,
    /// The same in bytes of their sources.
    PendingBytes,
    /// Age of the oldest of them, in memory or in the spool.
    PendingOldest,
    /// Memory held for an output.
    MemoryHeld,
    /// Requests under way.
    InFlight,
    /// No progress though there is work.
    Stalled,
    /// Bytes of an output's spool on disk.
    SpoolBytes,
    /// Records in an output's spool.
    SpoolRecords,
    /// Age of the oldest record in an output's spool.
    SpoolOldest,
    /// Nothing more goes into an output's spool.
    SpoolBlocked,
    /// Folders that cannot be watched.
    UnwatchedFolders,
    /// Pods whose metadata is known.
    PodsKnown,
    /// Files that wait for the metadata of their pod.
    FilesWaiting,
    /// 1 when the Kubernetes API tells of every change.
    WatchLive,
    /// Since its last word.
    WatchSilent,
    /// Are positions kept on disk?
    StateDurable,
    /// Seconds since the start.
    Uptime,
}

impl Gauge {
    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::FilesOpen => ("input_files_open", "Files held open"),
            Self::BytesBehind => ("input_behind_bytes", "Bytes written and not yet read"),
            Self::OldestUnread => ("input_oldest_unread_seconds", "Age of the oldest unread byte"),
            Self::DeletedHeld => ("input_deleted_held_bytes", "Bytes in deleted files held open until they are read"),
            Self::InputOpenRecords => ("input_open_records", "Pieces that wait for the end of their record"),
            Self::InputOpenBytes => ("input_open_bytes", "Bytes of pieces that wait for the end of their record"),
            Self::PendingRecords => ("output_pending_records", "Records routed and not yet delivered"),
            Self::PendingBytes => ("output_pending_bytes", "Source bytes of records routed and not yet delivered"),
            Self::PendingOldest => (
                "output_oldest_pending_seconds",
                "How long ago the oldest record came that is not yet delivered, in memory or in the spool",
            ),
            Self::MemoryHeld => ("output_memory_bytes", "Memory held for what is not yet delivered"),
            Self::InFlight => ("output_requests_in_flight", "Requests under way, waits for another attempt included"),
            Self::Stalled => ("output_stalled", "1 when nothing was delivered for `health.stall` though there is work"),
            Self::SpoolBytes => ("output_spool_bytes", "Bytes of the spool on disk"),
            Self::SpoolRecords => ("output_spool_records", "Records in the spool"),
            Self::SpoolOldest => ("output_spool_oldest_seconds", "Age of the oldest record in the spool"),
            Self::SpoolBlocked => (
                "output_spool_blocked",
                "1 when nothing more goes into the spool: it is full, its disk is down to `storage.min_free`, or fails",
            ),
            Self::UnwatchedFolders => {
                ("input_unwatched_folders", "Folders without directory events; scans find their files")
            }
            Self::PodsKnown => ("filter_kubernetes_pods", "Pods whose metadata is known"),
            Self::FilesWaiting => ("filter_kubernetes_waiting_files", "Files that wait for the metadata of their pod"),
            Self::WatchLive => ("filter_kubernetes_watch_live", "1 when the Kubernetes API tells of every change"),
            Self::WatchSilent => {
                ("filter_kubernetes_watch_silent_seconds", "Since the last word of the Kubernetes API")
            }
            Self::StateDurable => ("state_durable", "1 when positions are kept on disk"),
            Self::Uptime => ("uptime_seconds", "Seconds since the start"),
        }
    }
}

fn help(counter: &str) -> &'static str {
    match counter {
        "input_read_records" => "Lines read",
        "input_read_bytes" => "Bytes of lines read",
        "input_made_records" => "Records made beside the lines read",
        "input_routed_records" => "Records routed to an output",
        "input_routed_bytes" => "Source bytes of records routed to an output",
        "input_joined_records" => "Pieces that went into another record",
        "input_dropped_records" => "Records left out, by reason",
        "input_dropped_bytes" => "Source bytes left out, by reason",
        "input_lost_entries" => "Entries of a journal that could not be read, by reason",
        "input_lost_bytes" => "Bytes that could not be read, by reason",
        "input_skipped_bytes" => {
            "Bytes that nobody asked for: there before the first start, or of files that a filter leaves out"
        }
        "input_truncated_records" => "Records cut at a limit",
        "filter_aws_without_metadata_records" => "Records that went before all was known of the instance",
        "filter_failed" => "Records that passed as they were because a script failed, by kind",
        "filter_redacted" => "Secrets taken out of records, by kind",
        "output_routed_records" => "Records given to the output",
        "output_delivered_records" => "Records delivered",
        "output_refused_records" => "Records refused by the destination, by reason",
        "output_changed_records" => "Records changed for the destination to take them, by reason",
        "output_dropped_records" => "Records given up, by reason",
        "output_requests" => "Attempts to send a request",
        "output_body_bytes" => "Bytes of bodies in all attempts",
        "output_spool_damaged_bytes" => "Bytes of the spool that could not be read",
        "filter_kubernetes_without_metadata_records" => "Records that got what their path says of a pod, by reason",
        "filter_kubernetes_bad_annotations" => "Annotations of pods that could not be understood",
        "expression_given_up" => "Texts that an expression was given up for, and so did not match",
        "output_retries" => "Attempts that did not succeed, by cause",
        _ => "Amount, in records or in bytes of their source",
    }
}

type Labels = Vec<(String, String)>;

/// Everything there is to say, from one moment.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    counters: BTreeMap<String, Vec<(Labels, u64)>>,
    gauges: BTreeMap<Gauge, Vec<(Labels, f64)>>,
}

fn owned(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

impl Snapshot {
    /// A counter; the exposition adds `drave_` and `_total`.
    pub fn counter(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.counters.entry(name.to_owned()).or_default().push((owned(labels), value));
    }

    /// Two counters, `NAME_records` and `NAME_bytes`.
    pub fn amount(&mut self, name: &str, labels: &[(&str, &str)], records: u64, bytes: u64) {
        self.counter(&format!("{name}_records"), labels, records);
        self.counter(&format!("{name}_bytes"), labels, bytes);
    }

    /// A gauge.
    pub fn gauge(&mut self, gauge: Gauge, labels: &[(&str, &str)], value: f64) {
        self.gauges.entry(gauge).or_default().push((owned(labels), value));
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> String {
        let mut registry = Registry::with_prefix("drave");
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, samples) in &self.counters {
            let kind = ConstCounter::new(0u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help(name), None, kind)?;
            for (labels, value) in samples {
                ConstCounter::new(*value).encode(family.encode_family(labels)?)?;
            }
        }
        for (gauge, samples) in &self.gauges {
            let (name, help) = gauge.describe();
            let kind = ConstGauge::new(0f64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (labels, value) in samples {
                ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_type_labels_and_values() {
        let mut snapshot = Snapshot::default();
        snapshot.amount("input_read", &[("input", "tail.0")], 7, 70);
        snapshot.gauge(Gauge::FilesOpen, &[("input", "tail.0"), ("namespace", "a\"b")], 2.0);
        let text = snapshot.render();
        for expect in [
            "# TYPE drave_input_read_records counter",
            "drave_input_read_records_total{input=\"tail.0\"} 7",
            "drave_input_read_bytes_total{input=\"tail.0\"} 70",
            "drave_input_files_open{input=\"tail.0\",namespace=\"a\\\"b\"} 2",
            "# EOF",
        ] {
            assert!(text.contains(expect), "{expect} is missing in\n{text}");
        }
    }
}
