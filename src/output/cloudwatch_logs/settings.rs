//! The options that both names of this output share.

use super::body::PUT_BYTES_MAX;
use super::event::{EVENT_BYTES_MIN, EVENT_OVERHEAD, OnLongEvent};
use crate::config::{Duration, Report, Section, Size};
use crate::net::ClientOptions;
use http::{HeaderValue, Uri};

/// What CloudWatch takes as days of retention.
const RETENTION_DAYS: [u16; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

crate::option_enum! {
    /// How bodies are compressed.
    pub enum Compress {
        /// Not at all.
        None = "none" | "off" | "false",
        /// gzip.
        Gzip = "gzip",
    }
}

crate::option_enum! {
    /// What messages are.
    pub enum LogFormat {
        /// Metrics are taken out of them.
        Emf = "json/emf",
    }
}

crate::option_enum! {
    /// The class of log groups that are made.
    pub enum LogGroupClass {
        /// All features.
        Standard = "STANDARD",
        /// Cheaper, and less can be done with it.
        InfrequentAccess = "INFREQUENT_ACCESS",
        /// Only to be handed on.
        Delivery = "DELIVERY",
    }
}

crate::options! {
    /// How events are made and sent.
    pub struct PutOptions {
        /// The region; without it AWS_REGION, or that of the profile.
        region: String, "region", optional;
        /// Send only the value of this key, not the whole record.
        log_key: String, "log_key", optional;
        /// `json/emf` lets CloudWatch take metrics out of the events.
        log_format: LogFormat, "log_format", optional;
        /// Make log groups that are not there. Without it a missing group keeps its records waiting.
        auto_create_group: bool, "auto_create_group", default "false";
        /// Days that events are kept in groups that are made; 0 is forever.
        log_retention_days: u16, "log_retention_days", default "0";
        /// A role to assume.
        role_arn: String, "role_arn", optional;
        /// The external id that the role asks for.
        external_id: String, "external_id", optional;
        /// Where the role is assumed: a host or a URL; without it the STS of the region.
        sts_endpoint: String, "sts_endpoint", optional;
        /// Instead of the region's: a host, reached over TLS, or a URL.
        endpoint: String, "endpoint", optional;
        /// The port of `endpoint`.
        port: u16, "port", optional;
        /// A profile of AWS's configuration files.
        profile: String, "profile", optional;
        /// Words behind drave's own in the User-Agent.
        extra_user_agent: String, "extra_user_agent", optional;
        /// `gzip` or none: smaller bodies, more CPU.
        compress: Compress, "compress", default "none";
        /// How long a request waits for more records; up to 60 s while CloudWatch throttles.
        linger: Duration, "linger", default "5s";
        /// Bytes of a message at most, of 1,048,550 that CloudWatch takes. Some partitions take 262,118.
        event_size_max: Size, "event_size_max", default "1000000";
        /// Longer messages: `split` into several events, or `truncate`.
        on_long_event: OnLongEvent, "on_long_event", default "split";
        /// How many pairs of log group and stream templates may make; others go to the fixed names.
        distinct_names_max: u16, "distinct_names_max", default "1000";
        /// Requests under way at once, each to another stream.
        in_flight_max: u16, "in_flight_max", default "8";
    }
    no_effect {
        "auto_retry_requests": "requests that fail are always tried again";
        "metric_namespace": "it counts for the inputs cpu and mem only, which are not there";
        "metric_dimensions": "it counts for the inputs cpu and mem only, which are not there";
        "add_entity": "entities are not sent; the events are the same without";
    }
    deviations {
        "`tls`": "is on, unless it is set to off together with `endpoint`, or `endpoint` is an http:// URL";
        "`region`": "may be left out where AWS_REGION, AWS_DEFAULT_REGION or the profile says it";
        "`tls.*`": "are about `endpoint`; with one, servers that give credentials are verified as the system says";
        "`sts_endpoint`": "is for `role_arn` alone; the variable AWS_ENDPOINT_URL_STS moves the exchange of the service account's token, too";
        "requests": "are closed when they are full as CloudWatch counts, or after `linger`, not with each flush";
        "long messages": "are split into several events; in Fluent Bit they are cut";
        "values under `log_key`": "that are no text are sent as JSON; in Fluent Bit they lose their first and last character";
        "names that templates make": "have `_` in the place of characters that CloudWatch refuses";
        "blank lines under `log_key`": "are dropped as there, and counted (`drave_output_dropped_records_total`, `empty_line`)";
        "events that CloudWatch refuses": "as too old or too new are counted with the reason, and kept as dead letters where `storage.dead_letter` says so";
        "log groups": "are made when CloudWatch says that they are missing; a retention is set on those that were made";
    }
}

/// What groups are made with.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupSettings {
    pub(super) create: bool,
    pub(super) class: Option<LogGroupClass>,
    pub(super) retention_days: u16,
    pub(super) tags: Vec<(String, String)>,
}

/// Options that could be right by themselves and yet are not; all of them are reported.
pub(super) fn check(section: &Section, options: &PutOptions, report: &mut Report) -> bool {
    let mut good = true;
    let mut wrong = |key: &str, what: String, hint: String| {
        let at = section.get(key).map(|entry| &entry.value_at);
        report.error(at, format!("option `{key}` of output {}: {what}", section.name), Some(hint));
        good = false;
    };
    let days = options.log_retention_days;
    if days != 0 && !RETENTION_DAYS.contains(&days) {
        let listed = RETENTION_DAYS.map(|days| days.to_string()).join(", ");
        wrong(
            "log_retention_days",
            format!("CloudWatch cannot keep events for {days} days"),
            format!("take one of {listed}"),
        );
    }
    if options.extra_user_agent.as_ref().is_some_and(|words| HeaderValue::try_from(words).is_err()) {
        wrong("extra_user_agent", "it cannot stand in a header".into(), "write words of visible characters".into());
    }
    let (least, most) = (EVENT_BYTES_MIN, PUT_BYTES_MAX - EVENT_OVERHEAD);
    if !(least as u64..=most as u64).contains(&options.event_size_max.0) {
        let what = format!("{} bytes are out of range", options.event_size_max.0);
        wrong("event_size_max", what, format!("between {least} and {most}"));
    }
    good
}

/// The URL of `endpoint`; the inner `None` where there is none. A URL or a host that is wrong is reported.
#[allow(clippy::option_option, reason = "as everywhere here the outer one says whether it is right")]
pub(super) fn endpoint(
    section: &Section,
    options: &PutOptions,
    client: &ClientOptions,
    report: &mut Report,
) -> Option<Option<String>> {
    let Some(text) = &options.endpoint else { return Some(None) };
    let plain = section.get("tls").is_some() && !client.tls;
    let scheme = if plain { "http" } else { "https" };
    let text = if text.contains("://") { text.clone() } else { format!("{scheme}://{text}") };
    let url = text.parse::<Uri>().ok().filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
    let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host()?))) else {
        let at = section.get("endpoint").map(|entry| &entry.value_at);
        let hint = "write a host, or a URL as https://logs.example.com".to_owned();
        report.error(
            at,
            format!("option `endpoint` of output {} is neither a host nor a URL", section.name),
            Some(hint),
        );
        return None;
    };
    let port = url.port_u16().or(options.port).map(|port| format!(":{port}")).unwrap_or_default();
    Some(Some(format!("{}://{host}{port}{}", url.scheme_str().unwrap_or(scheme), url.path().trim_end_matches('/'))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OptionValue as _;

    #[test]
    fn words_are_those_of_cloudwatch() {
        for (text, expect) in [("STANDARD", true), ("infrequent_access", true), ("DELIVERY", true), ("COLD", false)] {
            assert_eq!(LogGroupClass::parse(text).is_ok(), expect, "{text}");
        }
        assert!(LogFormat::parse("json/emf").is_ok());
    }
}
