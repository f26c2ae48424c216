//! The `service` section: what holds for the whole process.

use super::{Duration, OnFull, OptionValue, Percent, Size, StorageSync, StorageType};
use std::net::IpAddr;
use std::path::PathBuf;

crate::option_enum! {
    /// How much is said.
    pub enum LogLevel {
        /// Nothing.
        Off = "off",
        /// What went wrong.
        Error = "error",
        /// And what may go wrong.
        Warn = "warn" | "warning",
        /// And what was done.
        Info = "info",
        /// And how.
        Debug = "debug",
        /// And each step.
        Trace = "trace",
    }
}

crate::option_enum! {
    /// How drave's own messages look.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

crate::option_enum! {
    /// What SIGTERM and SIGINT mean.
    pub enum OnTerm {
        /// `drain` where what is not read is gone with the pod: in a pod that reads no container logs of a node. Else `stop`.
        Auto = "auto",
        /// What is written is read and delivered.
        Stop = "stop",
        /// Files are read on until they are quiet, or `grace` is nearly over.
        Drain = "drain",
    }
}

crate::options! {
    /// What holds for the whole process.
    pub struct ServiceOptions {
        /// How long records wait for company before they are sent.
        flush: Duration, "flush", default "1";
        /// How long a stop may take to deliver what was read.
        grace: Duration, "grace", default "5";
        /// What SIGTERM means: stop (what is written is delivered) or drain (files are read on until they are quiet for 2 s or `grace` is
        /// nearly over); auto is drain in a pod that reads no container logs of a node.
        on_term: OnTerm, "on_term", default "auto";
        /// How much drave says about itself: off, error, warn, info, debug or trace.
        log_level: LogLevel, "log_level", default "info";
        /// A file for drave's own messages; without it they go to stderr.
        log_file: PathBuf, "log_file", optional;
        /// The form of drave's own messages.
        log_format: LogFormat, "log_format", default "text";
        /// A file with parsers, in either syntax; may be given several times.
        parsers_file: PathBuf, "parsers_file", repeated;
        /// Serves health, metrics and what each input and output is doing.
        http_server: bool, "http_server", default "off";
        /// The address of that server; empty means every address of the host, IPv4 and IPv6.
        http_listen: ListenAddress, "http_listen", default "";
        /// Its port.
        http_port: u16, "http_port", default "2020";
        /// Where positions, spools and cached metadata are kept.
        state_dir: PathBuf, "state_dir", optional;
        /// How much memory records may take, over all inputs and outputs.
        mem_limit: Size, "mem_limit", default "24M";
        /// How many threads send.
        threads: u16, "threads", default "2";
        /// Fluent Bit goes to the background with this; drave stays in the foreground.
        daemon: bool, "daemon", default "off";
        /// Where outputs keep what they cannot deliver, of inputs with `storage.type filesystem`: a folder for each output.
        storage_path: PathBuf, "storage.path", optional;
        /// What holds that: memory (and the files that are read) or filesystem; an input may say otherwise.
        storage_type: StorageType, "storage.type", default "memory";
        /// How soon what is kept is safe on disk, and positions move over it: normal (each second or 4 MiB) or full.
        storage_sync: StorageSync, "storage.sync", default "normal";
        /// What happens when an output's `storage.total_limit_size` is reached: wait (reading waits) or drop_oldest.
        storage_on_full: OnFull, "storage.on_full", default "wait";
        /// So much of the disk stays free: below that nothing is added to a spool, and deleted files are let go.
        storage_min_free: Percent, "storage.min_free", default "12%";
        /// How many bytes of deleted files, not yet read to their end, are held open; beyond that the oldest are given up.
        storage_held_limit: Size, "storage.held_limit", default "1G";
        /// A file that gets what destinations refuse for good, as JSON lines; see `drave replay`.
        storage_dead_letter: PathBuf, "storage.dead_letter", optional;
        /// How large that file, and the one before it, may become together.
        storage_dead_letter_limit: Size, "storage.dead_letter_limit", default "100M";
        /// An output that has delivered nothing for so long, though it has work, is stalled.
        health_stall: Duration, "health.stall", default "60";
        /// Judges the outputs: the verdict is in the answer of `/api/v1/health`, and makes `/readyz?outputs=1` fail.
        health_check: bool, "health_check", default "off";
        /// More refusals than these within `hc_period` are a bad verdict.
        hc_errors_count: u64, "hc_errors_count", default "5";
        /// So are more requests than these that were given up after `retry_limit`.
        hc_retry_failure_count: u64, "hc_retry_failure_count", default "5";
        /// The time that both are counted over.
        hc_period: Duration, "hc_period", default "60";
        /// How large a record may become that a multiline parser joins.
        multiline_buffer_limit: Size, "multiline_buffer_limit", default "2M";
    }
    no_effect {
        "flush.adaptive": "requests are sent when they are full or `flush` is over";
        "hot_reload": "a changed configuration holds after a restart, by which no record is lost";
        "hot_reload.ensure_thread_safety": "a changed configuration holds after a restart, by which no record is lost";
        "hot_reload.timeout": "a changed configuration holds after a restart, by which no record is lost";
        "storage.inherit": "inputs without `storage.type` always take the service's";
        "storage.checksum": "what is kept on disk always has a checksum";
        "storage.metrics": "these metrics are always there";
        "storage.backlog.mem_limit": "`mem_limit` covers the backlog too";
        "storage.backlog.flush_on_shutdown": "a backlog stays on disk until the next start";
        "storage.max_chunks_up": "memory is limited in bytes, by `mem_limit`";
        "storage.trim_files": "there are no chunk files";
        "storage.delete_irrecoverable_chunks": "there are no chunk files";
        "storage.keep.rejected": "`storage.dead_letter` keeps what is refused";
        "storage.rejected.path": "`storage.dead_letter` keeps what is refused";
        "storage.rejected.limit": "`storage.dead_letter_limit` bounds what is kept";
        "scheduler.base": "each output waits as long as its destination needs between attempts";
        "scheduler.cap": "each output waits as long as its destination needs between attempts";
        "json.escape_unicode": "JSON is always written as UTF-8";
        "json.convert_nan_to_null": "JSON never holds NaN";
        "coro_stack_size": "there are no coroutines";
        "plugins_file": "plugins cannot be loaded";
        "sp.convert_from_str_to_num": "there is no stream processor";
        "enable_chunk_trace": "there are no chunks";
        "dns.mode": "names are resolved by the system";
        "dns.resolver": "names are resolved by the system";
        "dns.prefer_ipv4": "every address that a name has is tried; an output's `net.dns.prefer_ipv4` says which first";
        "dns.prefer_ipv6": "every address that a name has is tried; an output's `net.dns.prefer_ipv6` says which first";
    }
    refused {
        "streams_file": "there is no stream processor, and without it its records would be missing; take the option out";
        "security.fips_mode" unless "off": "the cryptography of drave is not validated for FIPS 140; take the option out if it need not be";
    }
    deviations {
        "`multiline_buffer_limit`": "also bounds records joined from the pieces of containers, is 2 MB, and a longer record is cut and marked `drave.truncated`";
        "`daemon`": "is taken and changes nothing: drave stays in the foreground, for the supervisor to watch";
        "`http_listen`": "without it, or as `0.0.0.0`, means every address, IPv4 and IPv6";
        "health": "fails only when a restart helps, so that a destination that is away does not make the agent restart";
        "`health_check`": "changes what `/api/v1/health` says, not its status; `/readyz?outputs=1` answers 503";
        "variables": "may have a default, as in `${NAME:-default}`, and one that is not set gets a note";
        "parsers": "may stand in the main classic file too (`[PARSER]`, `[MULTILINE_PARSER]`); that stops the start of Fluent Bit";
        "doubled keys": "of a line of JSON are sent once, the last; readers of JSON take the last anyway";
    }
}

/// Where the HTTP server listens; `None` is every address of the host, IPv4 and IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListenAddress(pub Option<IpAddr>);

impl OptionValue for ListenAddress {
    const KIND: &'static str = "address";
    fn parse(text: &str) -> Result<Self, String> {
        // Fluent Bit's users write the first of these for every address.
        if matches!(text, "" | "0.0.0.0" | "::" | "[::]") {
            return Ok(Self(None));
        }
        let address = text.trim_start_matches('[').trim_end_matches(']').parse();
        address.map(|address| Self(Some(address))).map_err(|_| "expected an IPv4 or IPv6 address of this host".into())
    }
}

/// What holds when the service section is wrong: nothing runs then, but the rest can still be checked. A test keeps this equal to
/// the declared defaults.
impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            flush: Duration(std::time::Duration::from_secs(1)),
            grace: Duration(std::time::Duration::from_secs(5)),
            on_term: OnTerm::Auto,
            log_level: LogLevel::Info,
            log_file: None,
            log_format: LogFormat::Text,
            parsers_file: Vec::new(),
            http_server: false,
            http_listen: ListenAddress::default(),
            http_port: 2020,
            state_dir: None,
            mem_limit: Size(24_000_000),
            threads: 2,
            daemon: false,
            storage_path: None,
            storage_type: StorageType::Memory,
            storage_sync: StorageSync::Normal,
            storage_on_full: OnFull::Wait,
            storage_min_free: Percent(12),
            storage_held_limit: Size(1_000_000_000),
            storage_dead_letter: None,
            storage_dead_letter_limit: Size(100_000_000),
            health_stall: Duration(std::time::Duration::from_secs(60)),
            health_check: false,
            hc_errors_count: 5,
            hc_retry_failure_count: 5,
            hc_period: Duration(std::time::Duration::from_secs(60)),
            multiline_buffer_limit: Size(2_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Location, Report, Section, SectionKind};

    #[test]
    fn listening_takes_an_address_or_all_of_them() {
        for (text, expect) in [
            ("", Some(None)),
            ("0.0.0.0", Some(None)),
            ("::", Some(None)),
            ("127.0.0.1", Some(Some("127.0.0.1"))),
            ("[::1]", Some(Some("::1"))),
            ("127.0.0.1:2020", None),
            ("everywhere", None),
        ] {
            let expect = expect.map(|address| ListenAddress(address.map(|a| a.parse().unwrap())));
            assert_eq!(ListenAddress::parse(text).ok(), expect, "{text}");
        }
    }

    #[test]
    fn the_default_is_what_an_empty_section_gives() {
        let at = Location { file: "x".into(), line: 1, column: 1 };
        let section =
            Section { kind: SectionKind::Service, name: String::new(), at, entries: vec![], folder: "".into() };
        let mut report = Report::default();
        let read = ServiceOptions::from_section(&section, &mut report).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", ServiceOptions::default()));
        assert!(report.problems.is_empty());
    }
}
