//! Fluent Bit's metrics pages, with its names and meanings, so that existing dashboards and alerts go on working.
//!
//! ```text
//! /api/v1/metrics              {"input":{"tail.0":{"records":7,"bytes":70}},"filter":{},"output":{…}}
//! /api/v1/metrics/prometheus   fluentbit_input_records_total{name="tail.0"} 7 1709287200123
//! /api/v2/metrics/prometheus   the same without the moment, and gauges
//! /api/v2/metrics              2024-03-01T10:00:00.123Z fluentbit_input_records_total{name="tail.0"} = 7
//! ```
//! Bytes are those of the source, where Fluent Bit counts its own encoding of them.

use std::fmt::Write;
use std::time::SystemTime;

/// The numbers of one plugin, by their names in Fluent Bit.
#[derive(Debug, Clone, Default)]
pub struct Classic {
    /// By name: `records`, `bytes`, of files `files_opened`, `files_closed` and `files_rotated`.
    pub inputs: Vec<(String, Counters)>,
    /// `records`, `bytes`, `add_records`, `drop_records`.
    pub filters: Vec<(String, Counters)>,
    /// `proc_records`, `proc_bytes`, `errors`, `retries`, `retries_failed`, `dropped_records`, `retried_records`.
    pub outputs: Vec<(String, Counters)>,
    /// Requests under way, per output.
    pub connections: Vec<(String, u64)>,
    /// Requests under way, of all outputs.
    pub chunks: u64,
    /// Inputs that wait for room.
    pub paused: Vec<(String, bool)>,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// The start, in seconds since 1970.
    pub started: u64,
    /// This machine's name.
    pub hostname: String,
    /// The present moment, as in RFC 3339.
    pub date: String,
}

/// What is counted, and how often it happened.
pub type Counters = Vec<(&'static str, u64)>;

/// One line of an exposition.
struct Sample {
    name: String,
    labels: String,
    value: u64,
}

/// Samples of one name.
struct Family {
    name: String,
    kind: &'static str,
    samples: Vec<Sample>,
}

impl Classic {
    /// `/api/v1/metrics`.
    pub fn json(&self) -> String {
        let kind = |plugins: &[(String, Counters)]| {
            let plugins = plugins.iter().map(|(name, counters)| {
                let counters: Vec<String> = counters.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{}:{{{}}}", quoted(name), counters.join(","))
            });
            plugins.collect::<Vec<_>>().join(",")
        };
        format!(
            "{{\"input\":{{{}}},\"filter\":{{{}}},\"output\":{{{}}}}}",
            kind(&self.inputs),
            kind(&self.filters),
            kind(&self.outputs)
        )
    }

    /// `/api/v1/metrics/prometheus`: samples carry the moment.
    pub fn prometheus_v1(&self, now: SystemTime) -> String {
        let millis = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let mut text = String::new();
        for family in self.counters() {
            push_head(&mut text, &family);
            for Sample { name, labels, value } in family.samples {
                let _ = writeln!(text, "{name}{{{labels}}} {value} {millis}");
            }
        }
        let (uptime, started) = (self.uptime_seconds, self.started);
        for (name, labels, kind, value) in [
            ("fluentbit_uptime", "", "counter", uptime),
            ("process_start_time_seconds", "", "gauge", started),
            (
                "fluentbit_build_info",
                concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\",edition=\"drave\"}"),
                "gauge",
                1,
            ),
        ] {
            let _ = writeln!(text, "# HELP {name} {}.\n# TYPE {name} {kind}\n{name}{labels} {value}", help(name));
        }
        text
    }

    /// `/api/v2/metrics/prometheus`.
    pub fn prometheus_v2(&self) -> String {
        let mut text = String::new();
        for family in self.families() {
            push_head(&mut text, &family);
            for Sample { name, labels, value } in family.samples {
                let _ = if labels.is_empty() {
                    writeln!(text, "{name} {value}")
                } else {
                    writeln!(text, "{name}{{{labels}}} {value}")
                };
            }
        }
        text
    }

    /// `/api/v2/metrics`.
    pub fn text_v2(&self) -> String {
        let (date, mut text) = (&self.date, String::new());
        for Sample { name, labels, value } in self.families().into_iter().flat_map(|f| f.samples) {
            let _ = if labels.is_empty() {
                writeln!(text, "{date} {name} = {value}")
            } else {
                writeln!(text, "{date} {name}{{{labels}}} = {value}")
            };
        }
        text
    }

    /// `/api/v1/uptime`.
    pub fn uptime(&self) -> String {
        let seconds = self.uptime_seconds;
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        let plural = |number: u64, unit: &str| format!("{number} {unit}{}", if number == 1 { "" } else { "s" });
        format!(
            "{{\"uptime_sec\":{seconds},\"uptime_hr\":\"drave has been running: {}, {}, {} and {}\"}}",
            plural(days, "day"),
            plural(hours, "hour"),
            plural(minutes, "minute"),
            plural(seconds % 60, "second")
        )
    }

    /// `/api/v1/storage`: a chunk is a request that is under way.
    pub fn storage(&self) -> String {
        let inputs = self.paused.iter().map(|(name, paused)| {
            format!(
                "{}:{{\"status\":{{\"overlimit\":{paused},\"mem_size\":\"0b\",\"mem_limit\":\"0b\"}},\"chunks\":{{\"total\":0,\"up\":0,\"down\":0,\"busy\":0,\"busy_size\":\"0b\"}}}}",
                quoted(name)
            )
        });
        format!(
            "{{\"storage_layer\":{{\"chunks\":{{\"total_chunks\":{0},\"mem_chunks\":{0},\"fs_chunks\":0,\"fs_chunks_up\":0,\"fs_chunks_down\":0}}}},\"input_chunks\":{{{1}}}}}",
            self.chunks,
            inputs.collect::<Vec<_>>().join(",")
        )
    }

    /// The counters of all plugins, by name in the order of the alphabet.
    fn counters(&self) -> Vec<Family> {
        let mut families: Vec<Family> = Vec::new();
        for (kind, plugins) in [("input", &self.inputs), ("filter", &self.filters), ("output", &self.outputs)] {
            for (plugin, counters) in plugins {
                for (counter, value) in counters {
                    let name = format!("fluentbit_{kind}_{counter}_total");
                    let sample = Sample { name: name.clone(), labels: labels(&[("name", plugin)]), value: *value };
                    match families.iter_mut().find(|f| f.name == name) {
                        Some(family) => family.samples.push(sample),
                        None => families.push(Family { name, kind: "counter", samples: vec![sample] }),
                    }
                }
            }
        }
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families
    }

    /// All that version 2 shows.
    fn families(&self) -> Vec<Family> {
        let host = [("hostname", self.hostname.as_str())];
        let one = |name: &str, kind, labels, value| Family {
            name: name.to_owned(),
            kind,
            samples: vec![Sample { name: name.to_owned(), labels, value }],
        };
        let build = [host[0], ("version", env!("CARGO_PKG_VERSION")), ("os", "linux")];
        let mut families = vec![one("fluentbit_uptime", "counter", labels(&host), self.uptime_seconds)];
        families.extend(self.counters());
        families.extend([
            one("fluentbit_process_start_time_seconds", "gauge", labels(&host), self.started),
            one("fluentbit_build_info", "gauge", labels(&build), 1),
            one("fluentbit_hot_reloaded_times", "gauge", labels(&host), 0),
            one("fluentbit_storage_mem_chunks", "gauge", String::new(), self.chunks),
            one("fluentbit_storage_fs_chunks", "gauge", String::new(), 0),
            one("fluentbit_storage_fs_chunks_up", "gauge", String::new(), 0),
            one("fluentbit_storage_fs_chunks_down", "gauge", String::new(), 0),
        ]);
        let gauges = |name: &str, values: Vec<(&str, u64)>| Family {
            name: name.to_owned(),
            kind: "gauge",
            samples: values
                .into_iter()
                .map(|(plugin, value)| Sample { name: name.to_owned(), labels: labels(&[("name", plugin)]), value })
                .collect(),
        };
        let paused = || self.paused.iter().map(|(name, paused)| (name.as_str(), u64::from(*paused))).collect();
        let connections = || self.connections.iter().map(|(name, number)| (name.as_str(), *number)).collect();
        families.extend([
            gauges("fluentbit_input_ingestion_paused", paused()),
            gauges("fluentbit_input_storage_overlimit", paused()),
            gauges("fluentbit_output_upstream_total_connections", connections()),
            gauges("fluentbit_output_upstream_busy_connections", connections()),
        ]);
        families.retain(|family| !family.samples.is_empty());
        families
    }
}

fn push_head(text: &mut String, family: &Family) {
    let Family { name, kind, .. } = family;
    let _ = writeln!(text, "# HELP {name} {}.\n# TYPE {name} {kind}", help(name));
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
    pairs.join(",")
}

/// Escaped for both JSON and labels; control characters are left out.
fn escaped(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect::<String>().replace('\\', "\\\\").replace('"', "\\\"")
}

fn help(name: &str) -> &'static str {
    match name {
        "fluentbit_uptime" => "Seconds since the start",
        "fluentbit_input_records_total" => "Records that the input read",
        "fluentbit_input_bytes_total" => "Bytes of the source that the records stand for",
        "fluentbit_input_files_opened_total" => "Files that the input began to read",
        "fluentbit_input_files_closed_total" => "Files that the input let go",
        "fluentbit_input_files_rotated_total" => "Files whose name another one has taken",
        "fluentbit_filter_records_total" => "Records that passed the filter",
        "fluentbit_filter_bytes_total" => "Bytes of the source that the records stand for",
        "fluentbit_filter_add_records_total" => "Records that the filter added",
        "fluentbit_filter_drop_records_total" => "Records that the filter dropped",
        "fluentbit_output_proc_records_total" => "Records delivered",
        "fluentbit_output_proc_bytes_total" => "Bytes of the source that the delivered records stand for",
        "fluentbit_output_errors_total" => "Requests that were refused for good",
        "fluentbit_output_retries_total" => "Attempts that did not succeed and are repeated",
        "fluentbit_output_retries_failed_total" => "Requests given up after retry_limit",
        "fluentbit_output_retried_records_total" => "Records in repeated attempts",
        "fluentbit_output_dropped_records_total" => "Records given up or refused",
        "fluentbit_build_info" => "The version of drave",
        "process_start_time_seconds" | "fluentbit_process_start_time_seconds" => "The start, in seconds since 1970",
        "fluentbit_hot_reloaded_times" => "Reloads of the configuration",
        "fluentbit_input_ingestion_paused" | "fluentbit_input_storage_overlimit" => "1 when the input waits for room",
        "fluentbit_output_upstream_total_connections" | "fluentbit_output_upstream_busy_connections" => {
            "Requests under way"
        }
        _ => "Requests under way in memory, and on disk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn classic() -> Classic {
        Classic {
            inputs: vec![
                ("tail.0".into(), vec![("records", 7), ("bytes", 70)]),
                ("a\"b".into(), vec![("records", 1), ("bytes", 2)]),
            ],
            filters: vec![(
                "kubernetes.0".into(),
                vec![("records", 7), ("bytes", 70), ("add_records", 0), ("drop_records", 0)],
            )],
            outputs: vec![("http.0".into(), vec![("proc_records", 5), ("retries", 2)])],
            connections: vec![("http.0".into(), 3)],
            chunks: 3,
            paused: vec![("tail.0".into(), false)],
            uptime_seconds: 90_061,
            started: 1_709_287_200,
            hostname: "node-1".into(),
            date: "NOW".into(),
        }
    }

    #[test]
    fn the_pages() {
        let (classic, now) = (classic(), SystemTime::UNIX_EPOCH + Duration::from_millis(1_709_287_200_123));
        insta::assert_snapshot!(
            "v1_prometheus",
            classic.prometheus_v1(now).replace(env!("CARGO_PKG_VERSION"), "VERSION")
        );
        insta::assert_snapshot!("v2_prometheus", classic.prometheus_v2().replace(env!("CARGO_PKG_VERSION"), "VERSION"));
        insta::assert_snapshot!("json", [classic.json(), classic.uptime(), classic.storage()].join("\n"));
        let text = classic.text_v2();
        assert!(text.contains("NOW fluentbit_input_records_total{name=\"tail.0\"} = 7\n"), "{text}");
        assert!(text.contains("NOW fluentbit_storage_mem_chunks = 3\n"), "{text}");
    }

    #[test]
    fn every_sample_has_its_head_once() {
        for text in [classic().prometheus_v1(SystemTime::now()), classic().prometheus_v2()] {
            let mut heads: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).collect();
            let count = heads.len();
            heads.sort_unstable();
            heads.dedup();
            assert_eq!(heads.len(), count, "{text}");
            let named = |line: &&str| heads.iter().any(|h| h.split(' ').next() == line.split(['{', ' ']).next());
            assert!(text.lines().filter(|l| !l.starts_with('#')).all(|line| named(&line)), "{text}");
        }
    }
}
