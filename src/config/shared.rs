//! The options that every input, every filter and every output has.

use super::{OptionValue, Size, StorageType};

crate::options! {
    /// What every input has.
    pub struct InputShared {
        /// A name of its own, for messages, metrics and positions.
        alias: String, "alias", optional;
        /// What routes its records to filters and outputs.
        tag: String, "tag", optional;
        /// Its share of the memory limit.
        mem_buf_limit: Size, "mem_buf_limit", optional;
        /// What holds its records that cannot be delivered: memory or filesystem. Without it as the service says.
        storage_type: StorageType, "storage.type", optional;
        /// Off: its records go to no output.
        routable: bool, "routable", default "on";
    }
    no_effect {
        "log_level": "the service's level holds for all";
        "storage.pause_on_chunks_overlimit": "a full output always stops the reading of what is routed to it";
        "log_suppress_interval": "repeated messages are always held back";
        "threaded": "inputs choose their threads themselves";
        "thread.ring_buffer.capacity": "no channel carries records";
        "thread.ring_buffer.window": "no channel carries records";
        "rate_gate": "a full output slows the reading, and nothing else does";
        "rate_gate.max_bytes": "a full output slows the reading, and nothing else does";
        "rate_gate.max_records": "a full output slows the reading, and nothing else does";
        "rate_gate.backpressure": "a full output slows the reading, and nothing else does";
        "rate_gate.resume_ratio": "a full output slows the reading, and nothing else does";
        "rate_window": "a full output slows the reading, and nothing else does";
    }
}

crate::options! {
    /// What every filter has.
    pub struct FilterShared {
        /// The tags of the records that it sees, `*` for any text.
        match_tags: String, "match", optional;
        /// The same as a regular expression.
        match_regex: String, "match_regex", optional;
        /// A name of its own, for messages and metrics.
        alias: String, "alias", optional;
    }
    no_effect {
        "log_level": "the service's level holds for all";
        "log_suppress_interval": "repeated messages are always held back";
    }
}

crate::options! {
    /// What every processor has.
    pub struct ProcessorShared {
        /// A name of its own, for messages and metrics.
        alias: String, "alias", optional;
        /// Which records it sees: `op` (`and`, `or`) and `rules`, each with `field`, `op` and `value`.
        condition: String, "condition", optional;
    }
    no_effect {
        "log_level": "the service's level holds for all";
        "log_suppress_interval": "repeated messages are always held back";
        "match": "a processor sees all records of its input or output";
        "match_regex": "a processor sees all records of its input or output";
    }
}

crate::options! {
    /// What every output has.
    pub struct OutputShared {
        /// The tags of the records that it gets, `*` for any text.
        match_tags: String, "match", optional;
        /// The same as a regular expression.
        match_regex: String, "match_regex", optional;
        /// A name of its own, for messages, metrics and its spool.
        alias: String, "alias", optional;
        /// How often a request is sent again before it is given up: a number, `no_limits` or `no_retries`. Without it there is no
        /// limit (in Fluent Bit 1).
        retry_limit: RetryLimit, "retry_limit", optional;
        /// How much its spool takes on disk (in Fluent Bit there is no limit where it is not set).
        total_limit_size: Size, "storage.total_limit_size", default "1G";
    }
    no_effect {
        "log_level": "the service's level holds for all";
        "workers": "all outputs share the service's threads";
        "log_suppress_interval": "repeated messages are always held back";
        "no_multiplex": "no output shares a queue with another";
        "tls.windows.certstore_name": "there is no certificate store of Windows; `tls.ca_file` names authorities";
        "tls.windows.use_enterprise_store": "there is no certificate store of Windows; `tls.ca_file` names authorities";
        "tls.windows.client_thumbprints": "there is no certificate store of Windows; `tls.crt_file` names the certificate";
    }
    deviations {
        "`retry_limit`": "has no limit where it is not set: a destination that is away for a while shall cost no record; in Fluent Bit it is 1";
        "a full output": "stops the reading of what is routed to it, so that the files are the buffer; nothing is dropped to make room";
    }
}

/// How often a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryLimit {
    /// Until it is delivered.
    Unlimited,
    /// At most so many times; 0 for never.
    Times(u32),
}

impl OptionValue for RetryLimit {
    const KIND: &'static str = "integer|no_limits|no_retries";
    const WORDS: &'static [&'static str] = &["no_limits", "no_retries", "false", "off"];
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "no_limits" | "false" | "off" => Ok(Self::Unlimited),
            "no_retries" => Ok(Self::Times(0)),
            number => match number.parse() {
                Ok(times) if times > 0 => Ok(Self::Times(times)),
                _ => Err("expected a number from 1, no_limits or no_retries".into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_limits() {
        for (text, expect) in [
            ("5", Some(RetryLimit::Times(5))),
            ("no_limits", Some(RetryLimit::Unlimited)),
            ("False", Some(RetryLimit::Unlimited)),
            ("OFF", Some(RetryLimit::Unlimited)),
            ("no_retries", Some(RetryLimit::Times(0))),
            ("0", None),
            ("-1", None),
            ("many", None),
        ] {
            assert_eq!(RetryLimit::parse(text).ok(), expect, "{text}");
        }
    }
}
