//! The plugins of Fluent Bit that are not there, each with what comes nearest, so that they are told apart from misspellings.

use super::SectionKind;

const LATER: &str = "it comes in a later version";
const METRICS: &str = "it is about metrics, and drave moves logs; a metrics agent may run beside it";
const FILE: &str = "let it write a log file, and follow that with `tail`";
const SYSLOG: &str = "let a syslog server write a file, and follow that with `tail`";
const WINDOWS: &str = "it is for Windows, and drave runs on Linux";
const JSON_OVER_HTTP: &str = "what takes JSON over HTTP is reached by `http`";
const BRIDGE: &str = "drave speaks HTTP only; an HTTP bridge in front of it is reached by `http`";
const DEBUG: &str = "it is for testing Fluent Bit; for looking there is `stdout`, for measuring `null`";

const INPUTS: &[(&str, &str)] = &[
    ("head", "`tail` with `read_from_head on` and `exit_on_eof on` reads a file once"),
    ("exec", FILE),
    ("exec_wasi", FILE),
    ("docker_events", FILE),
    ("kubernetes_events", LATER),
    ("syslog", SYSLOG),
    (
        "forward",
        "let the sender write a file, and follow that with `tail`; containers' logs are in /var/log/containers",
    ),
    ("http", FILE),
    ("tcp", FILE),
    ("udp", FILE),
    ("unix_socket", FILE),
    ("serial", FILE),
    ("mqtt", FILE),
    ("kafka", FILE),
    ("splunk", FILE),
    ("elasticsearch", FILE),
    ("opentelemetry", FILE),
    ("blob", "`tail` sends the lines of text files"),
    ("random", DEBUG),
    ("event_test", DEBUG),
    ("event_type", DEBUG),
    ("lib", DEBUG),
    ("collectd", METRICS),
    ("cpu", METRICS),
    ("disk", METRICS),
    ("docker", METRICS),
    ("ebpf", METRICS),
    ("fluentbit_metrics", "drave's own metrics are at `/metrics` with `http_server on`"),
    ("fluentbit_logs", "drave's own messages go to stderr or to `log_file`"),
    ("gpu_metrics", METRICS),
    ("health", METRICS),
    ("mem", METRICS),
    ("netif", METRICS),
    ("nginx_metrics", METRICS),
    ("node_exporter_metrics", METRICS),
    ("podman_metrics", METRICS),
    ("proc", METRICS),
    ("process_exporter_metrics", METRICS),
    ("prometheus_remote_write", METRICS),
    ("prometheus_scrape", METRICS),
    ("prometheus_textfile", METRICS),
    ("statsd", METRICS),
    ("thermal", METRICS),
    ("windows_exporter_metrics", WINDOWS),
    ("winevtlog", WINDOWS),
    ("winlog", WINDOWS),
    ("winstat", WINDOWS),
    ("etw", WINDOWS),
    ("storage_backlog", "nothing of the kind has to be written"),
    ("emitter", "nothing of the kind has to be written"),
];

const FILTERS: &[(&str, &str)] = &[
    ("throttle_size", "`throttle` counts records, by a key if need be"),
    ("ecs", "`record_modifier` adds what is known beforehand"),
    ("stdout", "an output `stdout` with the same `match` shows the records"),
    ("sysinfo", "`record_modifier` takes variables such as ${HOSTNAME}"),
    ("wasm", "`lua` runs scripts"),
    ("alter_size", DEBUG),
    ("expect", DEBUG),
    ("checklist", "`grep` with an expression of alternatives looks for words"),
    ("geoip2", "add places where the records are stored"),
    ("log_to_metrics", METRICS),
    ("nightfall", "`redact` takes secrets out"),
    ("tensorflow", "`lua` runs scripts"),
];

const OUTPUTS: &[(&str, &str)] = &[
    ("elasticsearch", "it is called `es`"),
    ("s3", LATER),
    ("gelf", LATER),
    ("forward", LATER),
    ("kinesis_firehose", LATER),
    ("firehose", "it is the older `kinesis_firehose`, which comes in a later version"),
    ("kinesis", "`kinesis_firehose` comes in a later version"),
    ("kinesis_streams", "`kinesis_firehose` comes in a later version"),
    ("azure", JSON_OVER_HTTP),
    ("azure_blob", JSON_OVER_HTTP),
    ("azure_kusto", JSON_OVER_HTTP),
    ("azure_logs_ingestion", JSON_OVER_HTTP),
    ("bigquery", JSON_OVER_HTTP),
    ("calyptia", JSON_OVER_HTTP),
    ("chronicle", JSON_OVER_HTTP),
    ("datadog", JSON_OVER_HTTP),
    ("doris", JSON_OVER_HTTP),
    ("influxdb", JSON_OVER_HTTP),
    ("kafka", BRIDGE),
    ("kafka-rest", JSON_OVER_HTTP),
    ("logdna", JSON_OVER_HTTP),
    ("nats", BRIDGE),
    ("nrlogs", JSON_OVER_HTTP),
    ("opentelemetry", BRIDGE),
    ("oracle_log_analytics", JSON_OVER_HTTP),
    ("parseable", JSON_OVER_HTTP),
    ("pgsql", BRIDGE),
    ("skywalking", JSON_OVER_HTTP),
    ("slack", JSON_OVER_HTTP),
    ("splunk", JSON_OVER_HTTP),
    ("stackdriver", JSON_OVER_HTTP),
    ("syslog", BRIDGE),
    ("tcp", BRIDGE),
    ("td", JSON_OVER_HTTP),
    ("udp", BRIDGE),
    ("websocket", BRIDGE),
    ("prometheus_exporter", METRICS),
    ("prometheus_remote_write", METRICS),
    ("vivo_exporter", METRICS),
    ("counter", DEBUG),
    ("flowcounter", DEBUG),
    ("exit", "an input's `exit_on_eof on` ends drave when everything is delivered"),
    ("lib", DEBUG),
    ("plot", DEBUG),
    ("retry", DEBUG),
];

const PROCESSORS: &[(&str, &str)] = &[
    ("sql", "`grep`, `modify` and `content_modifier` do what such statements do"),
    ("sampling", "it is about traces, and drave moves logs"),
    ("cumulative_to_delta", METRICS),
    ("labels", METRICS),
    ("metrics_selector", METRICS),
    ("opentelemetry_envelope", "what is sent needs no envelope"),
    ("tda", METRICS),
];

/// The names of a kind that Fluent Bit has and drave has not.
pub fn absent_names(kind: SectionKind) -> impl Iterator<Item = &'static str> {
    table(kind).iter().map(|(name, _)| *name)
}

/// Does Fluent Bit have a plugin of this name that drave has not? Then what to do instead.
pub fn absent(kind: SectionKind, name: &str) -> Option<&'static str> {
    // A filter may be a processor as well.
    let filters = if kind == SectionKind::Processor { FILTERS } else { &[] };
    table(kind).iter().chain(filters).find(|(absent, _)| *absent == name).map(|(_, hint)| *hint)
}

fn table(kind: SectionKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        SectionKind::Input => INPUTS,
        SectionKind::Filter => FILTERS,
        SectionKind::Output => OUTPUTS,
        SectionKind::Processor => PROCESSORS,
        SectionKind::Service | SectionKind::Parser | SectionKind::MultilineParser => &[],
    }
}
