//! Amazon CloudWatch Logs.
//!
//! ```yaml
//! outputs:
//!   - name: cloudwatch_logs
//!     match: 'kube.*'
//!     region: eu-central-1
//!     log_group_name: /eks/prod/other
//!     log_group_template: /eks/prod/$kubernetes['namespace_name']
//!     log_stream_prefix: ${NODE_NAME}-
//!     auto_create_group: on
//!     log_retention_days: 30
//! ```
//! A record is an event: as JSON, or the value under `log_key`. Requests are filled per stream as CloudWatch counts, and one put of a
//! stream is under way at a time. Streams are made before the first put and never asked about.

mod settings;
mod names;
mod event;
mod body;
mod create;
mod service;
mod answer;
mod pace;
mod together;
mod go;

use super::{
    Filled, Limits, Needs, Outcome, Output, OutputContext, OutputError, OutputPlugin, Pieces, Refusal, Report, Request,
    Section, Start,
};
use crate::net::{Aws, AwsSettings, Client, ClientOptions, ProxyEnvironment, for_sdk};
use crate::record::{Accessor, Batch, SourceDraft, Template};
use crate::state::State;
use answer::{Failure, Kind};
use aws_sdk_cloudwatchlogs::types::RejectedLogEventsInfo;
use body::{PUT_BYTES_MAX, PUT_EVENTS_MAX, Put};
use create::Streams;
use event::Events;
use futures_util::future::BoxFuture;
use names::{FixedStream, Names, Naming, read_template, split_key};
use pace::Pace;
use service::Service;
use settings::{Compress, GroupSettings, LogGroupClass, PutOptions};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use together::Together;

pub(super) use go::PLUGIN as OLDER_PLUGIN;

pub(super) const PLUGIN: OutputPlugin = OutputPlugin {
    name: "cloudwatch_logs",
    about: "Sends records as events to Amazon CloudWatch Logs.",
    options: &[NameOptions::OPTIONS, PutOptions::OPTIONS, ClientOptions::OPTIONS],
    deviations: &[PutOptions::DEVIATIONS, ClientOptions::DEVIATIONS],
    configure,
};

/// Encoded bytes of a request at most: what CloudWatch counts is less, by all that is escaped.
const ENCODED_BYTES_MAX: usize = 4 << 20;
/// From so many bytes on, as CloudWatch counts, the rest of a request will be like them.
const LIKE_THE_REST: usize = 64 << 10;

crate::options! {
    /// Where records go.
    pub struct NameOptions {
        /// The log group, also where its template cannot be filled in.
        log_group_name: String, "log_group_name", required;
        /// The log group, with record accessors: `/eks/$kubernetes['namespace_name']`.
        log_group_template: String, "log_group_template", optional;
        /// The stream, also where its template cannot be filled in. Either this or `log_stream_prefix`.
        log_stream_name: String, "log_stream_name", optional;
        /// The stream is this and the tag.
        log_stream_prefix: String, "log_stream_prefix", optional;
        /// The stream, with record accessors: `$kubernetes['pod_name']`.
        log_stream_template: String, "log_stream_template", optional;
        /// The class of groups that are made.
        log_group_class: LogGroupClass, "log_group_class", optional;
    }
}

fn configure(section: &Section, report: &mut Report) -> Option<Start> {
    let own = NameOptions::from_section(section, report);
    let template = |key: &str, report: &mut Report| read_template(section, key, Template::parse, report);
    let group_template = template("log_group_template", report);
    let stream_template = template("log_stream_template", report);
    let common = Common::read(section, report);
    let own = own?;
    let stream = fixed_stream(section, own.log_stream_name, own.log_stream_prefix, report);
    let common = common?;
    let naming = Naming {
        group: own.log_group_name,
        group_template: group_template?,
        stream: stream?,
        stream_template: stream_template?,
        distinct_max: common.options.distinct_names_max.into(),
    };
    let group = GroupSettings { class: own.log_group_class, ..common.group_settings() };
    Some(common.start(naming, group))
}

fn fixed_stream(
    section: &Section,
    name: Option<String>,
    prefix: Option<String>,
    report: &mut Report,
) -> Option<FixedStream> {
    match (name, prefix) {
        (Some(name), None) => Some(FixedStream::Name(name)),
        (None, Some(prefix)) => Some(FixedStream::Prefix(prefix)),
        (both, _) => {
            let what = if both.is_some() { "takes only one of" } else { "needs" };
            let hint = "log_stream_name is one stream for all, log_stream_prefix one for each tag; a template falls back to it";
            let what = format!("output {} {what} `log_stream_name` or `log_stream_prefix`", section.name);
            report.error(
                section.get("log_stream_prefix").map_or(Some(&section.at), |e| Some(&e.key_at)),
                what,
                Some(hint.into()),
            );
            None
        }
    }
}

/// What both names of the output share, checked.
struct Common {
    options: PutOptions,
    client: ClientOptions,
    log_key: Option<Accessor>,
    endpoint: Option<String>,
}

impl Common {
    fn read(section: &Section, report: &mut Report) -> Option<Self> {
        let (options, client) =
            (PutOptions::from_section(section, report), ClientOptions::from_section(section, report));
        let (options, mut client) = (options?, client?);
        let good = settings::check(section, &options, report);
        let endpoint = settings::endpoint(section, &options, &client, report);
        let log_key = options.log_key.as_deref().map(Accessor::parse).transpose();
        if let Err(error) = &log_key {
            let at = section.get("log_key").map(|entry| &entry.value_at);
            report.error(
                at,
                format!("option `log_key` of output {}: {error}", section.name),
                Some(error.hint().into()),
            );
        }
        let endpoint = endpoint.filter(|_| good)?;
        client.tls = endpoint.as_ref().is_none_or(|url| url.starts_with("https"));
        let resolve = |file: &mut Option<String>| {
            if let Some(file) = file {
                *file = section.resolve(file).to_string_lossy().into_owned();
            }
        };
        [&mut client.tls_ca_file, &mut client.tls_ca_path, &mut client.tls_crt_file, &mut client.tls_key_file]
            .into_iter()
            .for_each(resolve);
        Some(Self { options, client, log_key: log_key.ok()?, endpoint })
    }

    fn group_settings(&self) -> GroupSettings {
        let (create, retention_days) = (self.options.auto_create_group, self.options.log_retention_days);
        GroupSettings { create, retention_days, ..GroupSettings::default() }
    }

    fn start(self, naming: Naming, group: GroupSettings) -> Start {
        Box::new(move |context| Ok(Arc::new(self.make(naming, group, context)?)))
    }

    fn make(
        self,
        naming: Naming,
        group: GroupSettings,
        context: &OutputContext<'_>,
    ) -> Result<CloudWatchLogs, OutputError> {
        let Self { options, client, log_key, endpoint } = self;
        let proxies = ProxyEnvironment::of(context.environment);
        let connect = |options: &ClientOptions| {
            Client::new(options, &proxies).map_err(|e| OutputError {
                message: format!("output cloudwatch_logs cannot start: {e}"),
                hint: e.hint().map(str::to_owned),
            })
        };
        let (others, client) = (connect(&of_credentials(&client, endpoint.is_some()))?, connect(&client)?);
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        let owner =
            format!("cloudwatch_logs {} {} {}", part(&options.region), part(&endpoint), part(&options.role_arn));
        let aws = AwsSettings {
            region: options.region,
            profile: options.profile,
            role_arn: options.role_arn,
            external_id: options.external_id,
            sts_endpoint: options.sts_endpoint,
        };
        let emf = options.log_format.is_some();
        Ok(CloudWatchLogs {
            events: Events { log_key, bytes_max: options.event_size_max.0 as usize, on_long: options.on_long_event },
            names: Names::new(naming),
            streams: Streams::new(group, owner),
            service: Service::new(Aws::new(aws, others), for_sdk(client), endpoint, options.extra_user_agent, emf),
            pace: Pace::default(),
            together: Together::default(),
            compress: options.compress == Compress::Gzip,
            linger: options.linger.0,
            in_flight: usize::from(options.in_flight_max.max(1)),
        })
    }
}

/// How the servers are reached that give credentials. Without an `endpoint` all are AWS's, and an authority that is named is one on
/// the way to all of them, as of a proxy that looks into TLS.
fn of_credentials(client: &ClientOptions, has_endpoint: bool) -> ClientOptions {
    let others = client.of_others();
    if has_endpoint {
        return others;
    }
    ClientOptions { tls_ca_file: client.tls_ca_file.clone(), tls_ca_path: client.tls_ca_path.clone(), ..others }
}

#[derive(Debug)]
struct CloudWatchLogs {
    events: Events,
    names: Names,
    streams: Streams,
    service: Service,
    pace: Pace,
    together: Together,
    compress: bool,
    linger: Duration,
    in_flight: usize,
}

impl Output for CloudWatchLogs {
    fn limits(&self) -> Limits {
        Limits {
            bytes_max: ENCODED_BYTES_MAX,
            records_max: PUT_EVENTS_MAX,
            linger: Some(self.linger),
            in_flight: self.in_flight,
            ordered: false,
        }
    }

    fn needs(&self) -> Needs {
        Needs { text: true }
    }

    fn key(&self, source: &SourceDraft, key: &mut String) {
        self.names.of_source(source, key);
    }

    fn keys_records(&self) -> bool {
        true
    }

    /// A source whose names are known needs no look at each record, unless a filter gave some another share of it.
    fn keys_each(&self, batch: &Batch, key: &str) -> bool {
        key.is_empty() || batch.records.iter().any(|record| record.owns_shared)
    }

    fn record_key(&self, batch: &Batch, record: usize, key: &mut String) {
        if key.is_empty() || batch.records[record].owns_shared {
            key.clear();
            self.names.of_record(batch, record, key);
        }
    }

    fn begin_key(&self, batch: &Batch, records: Range<usize>, key: &mut String) {
        self.names.admit(&batch.source.draft.tag, records.len(), key);
    }

    fn changed_records(&self) -> Vec<(&'static str, u64)> {
        vec![("distinct_names_max", self.names.elsewhere())]
    }

    fn takes_turns(&self) -> bool {
        true
    }

    /// Not before the stream is there: each would make it.
    fn allows_several(&self, key: &str) -> bool {
        self.streams.is_known(key)
    }

    fn linger(&self, usual: Duration) -> Duration {
        self.pace.linger(usual)
    }

    fn encode(&self, batch: &Batch, record: usize, out: &mut Vec<u8>) {
        self.events.push(batch, record, out);
    }

    /// Full is what CloudWatch counts as full, to the byte.
    fn encode_one(&self, batch: &Batch, record: usize, pieces: &mut Pieces) -> bool {
        let (start, before) = (pieces.bytes.len(), pieces.filled);
        // So that they are a body as they stand.
        if before.entries > 0 {
            pieces.bytes.push(b',');
        }
        let added = self.events.push(batch, record, &mut pieces.bytes);
        if before.entries > 0 && added.entries == 0 {
            pieces.bytes.remove(start);
        }
        let (bytes, entries) = (before.bytes + added.bytes, before.entries + added.entries);
        let fits = bytes <= PUT_BYTES_MAX && entries <= PUT_EVENTS_MAX;
        if !fits && !pieces.list.is_empty() {
            pieces.bytes.truncate(start);
            pieces.filled.full = true;
            return false;
        }
        let ascending = before.ascending;
        let (times, ascending) = match (before.times, added.times) {
            (Some(before), Some(added)) => {
                (Some((before.0.min(added.0), before.1.max(added.1))), ascending && before.1 <= added.0)
            }
            (None, added) => (added, true),
            (before, None) => (before, ascending),
        };
        pieces.filled = Filled { bytes, entries, full: !fits || entries == PUT_EVENTS_MAX, times, ascending };
        pieces.add(batch.records[record].bytes);
        true
    }

    /// A little more, so that an estimate that falls short costs no larger buffer.
    fn bytes_when_full(&self, pieces: &Pieces) -> usize {
        let (encoded, Filled { bytes, entries, .. }) = (pieces.bytes.len(), pieces.filled);
        if bytes < LIKE_THE_REST {
            return usize::MAX;
        }
        let by_bytes = encoded as u64 * PUT_BYTES_MAX as u64 / bytes as u64;
        let by_entries = encoded as u64 * PUT_EVENTS_MAX as u64 / entries.max(1) as u64;
        let full = by_bytes.min(by_entries) as usize;
        full + full / 32
    }

    fn bare<'a>(&self, piece: &'a [u8]) -> &'a [u8] {
        body::bare(piece)
    }

    fn sends_pieces(&self, pieces: &Pieces) -> bool {
        !self.compress && body::is_one_put(&pieces.filled)
    }

    fn body(&self, key: &str, pieces: &Pieces, body: &mut Vec<u8>) {
        let (group, stream) = split_key(key);
        match self.sends_pieces(pieces) {
            true => body::push_around(group, stream, pieces.filled.entries, body),
            false => body::push_puts(group, stream, pieces, self.compress, body),
        }
    }

    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Outcome> {
        Box::pin(async { self.put_all(request, &Pieces::default()).await })
    }

    fn send_pieces<'a>(&'a self, request: &'a Request, pieces: &'a Pieces) -> BoxFuture<'a, Outcome> {
        Box::pin(self.put_all(request, pieces))
    }

    fn start(&self, _name: &str, state: &Arc<State>) {
        self.streams.load(state);
    }
}

impl CloudWatchLogs {
    /// All puts of a request, one as a rule.
    async fn put_all(&self, request: &Request, pieces: &Pieces) -> Outcome {
        self.names.touch(&request.key);
        let (mut refused, empty) = without_event(pieces);
        let (mut done, mut unnamed) = (0, None);
        for put in body::puts(&request.body, request.pieces.as_ref()) {
            match self.put(&request.key, &put).await {
                Ok(None) => {}
                Ok(Some(rejected)) => {
                    let owners = owners(pieces);
                    for (events, refusal) in refusals(&rejected, put.events) {
                        match owners.get(done + events.start..done + events.end) {
                            Some(of) => refused.extend(of.iter().map(|number| (*number as usize, refusal.clone()))),
                            None => unnamed = Some((events.len(), refusal)),
                        }
                    }
                }
                Err(outcome) if done == 0 => return outcome,
                Err(_) => {
                    let again = owners(pieces).get(done..).unwrap_or_default().iter().map(|n| *n as usize).collect();
                    return Outcome::Partly { again, refused, unnamed, empty };
                }
            }
            done += put.events;
        }
        match refused.is_empty() && empty.is_empty() && unnamed.is_none() {
            true => Outcome::Delivered,
            false => Outcome::Partly { again: Vec::new(), refused, unnamed, empty },
        }
    }

    async fn put(&self, key: &str, put: &Put) -> Result<Option<RejectedLogEventsInfo>, Outcome> {
        let (group, stream) = split_key(key);
        self.streams.ensure(&self.service, key).await?;
        let hash = self.together.hash(&put.body).await;
        let mut answer = self.service.put(group, stream, put, &hash).await;
        if answer.as_ref().is_err_and(|failure| failure.kind() == Kind::Missing) {
            self.streams.forget(key);
            self.streams.ensure(&self.service, key).await?;
            answer = self.service.put(group, stream, put, &hash).await;
        }
        let failure = match answer {
            Ok(rejected) => {
                self.streams.used(key);
                self.pace.delivered(Instant::now());
                return Ok(rejected);
            }
            Err(failure) => failure,
        };
        match failure.kind() {
            Kind::Done => return Ok(None),
            Kind::Throttled => self.pace.throttled(Instant::now()),
            Kind::Missing => self.streams.forget(key),
            _ => {}
        }
        Err(outcome_of_put(&failure, group, stream))
    }
}

fn outcome_of_put(failure: &Failure, group: &str, stream: &str) -> Outcome {
    failure.outcome("logs:PutLogEvents", &format!("log group `{group}`, stream `{stream}`"))
}

/// Records that became no event: those without the text that is to be sent, and the numbers of those whose text is empty.
fn without_event(pieces: &Pieces) -> (Vec<(usize, Refusal)>, Box<[usize]>) {
    let (mut refused, mut empty) = (Vec::new(), Vec::new());
    let mut start = 0;
    for (number, piece) in pieces.list.iter().enumerate() {
        match &pieces.bytes[start..piece.end as usize] {
            [] => {
                let message = "a record has nothing under `log_key`".to_owned();
                refused.push((number, Refusal { reason: "no_message".into(), message }));
            }
            event::BLANK => empty.push(number),
            _ => {}
        }
        start = piece.end as usize;
    }
    (refused, empty.into())
}

/// The piece that each event of a request belongs to, in the order of the puts.
fn owners(pieces: &Pieces) -> Vec<u32> {
    let order = body::in_order(pieces);
    let of = |(_, number): (i64, u32)| std::iter::repeat_n(number, body::event_count(body::piece(pieces, number)));
    order.into_iter().flat_map(of).collect()
}

/// What the answer to a put of so many events says of them.
fn refusals(info: &RejectedLogEventsInfo, events: usize) -> Vec<(Range<usize>, Refusal)> {
    let at = |index: Option<i32>| index.map(|index| usize::try_from(index).unwrap_or(0).min(events));
    let mut refused = Vec::new();
    let mut refuse = |events: Range<usize>, reason: &str, message: &str| {
        refused.push((events, Refusal { reason: reason.into(), message: message.into() }));
    };
    if let Some(end) = at(info.too_old_log_event_end_index()) {
        refuse(0..end, "too_old", "CloudWatch takes no event that is older than 14 days");
    }
    if let Some(end) = at(info.expired_log_event_end_index()) {
        refuse(0..end, "expired", "the event is older than the retention of its log group");
    }
    if let Some(start) = at(info.too_new_log_event_start_index()) {
        refuse(
            start..events,
            "too_new",
            "CloudWatch takes no event that is more than 2 hours ahead; hint: check the clock and the time of the records",
        );
    }
    refused
}

#[cfg(test)]
mod tests;
