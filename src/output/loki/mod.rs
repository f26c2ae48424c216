//! Grafana Loki.
//!
//! ```yaml
//! outputs:
//!   - name: loki
//!     match: 'kube.*'
//!     host: loki-gateway.logging.svc
//!     port: 80
//!     labels: namespace=$kubernetes['namespace_name'], app=$kubernetes['labels']['app'], container=$kubernetes['container_name']
//!     structured_metadata: pod=$kubernetes['pod_name'], node=$kubernetes['host']
//!     remove_keys: kubernetes, time, stream, _p
//!     drop_single_key: raw       # the text alone
//! ```
//! A request holds entries of many streams. It is protobuf in Snappy, or with `compress gzip` JSON.

mod answer;
mod asked;
mod body;
mod entry;
mod hidden;
mod key_value;
mod labels;
mod letter;
mod line;
mod options;
mod pairs;
mod piece;
mod sources;
mod streams;
mod time;

use super::endpoint::{self, Address, Head};
use super::{Apart, CommonId, Limits, Needs, Outcome, Output, OutputError, OutputPlugin, Pieces, Request, Start};
use crate::config::{Report, Section};
use crate::net::{Client, ClientOptions, Response, gzip};
use crate::record::{Accessor, Batch, SourceDraft};
use futures_util::future::BoxFuture;
use hidden::{Hidden, Moment};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use labels::{Change, Labels, Scratch};
use line::{Line, TextAlone};
use options::{Compress, LokiOptions};
use sources::{KINDS, Known, Sources};
use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use streams::Streams;

pub(super) const PLUGIN: OutputPlugin = OutputPlugin {
    name: "loki",
    about: "Sends records to Grafana Loki.",
    options: &[LokiOptions::OPTIONS, ClientOptions::OPTIONS],
    deviations: &[LokiOptions::DEVIATIONS, ClientOptions::DEVIATIONS],
    configure,
};

/// The tenant of a request.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");
/// Loki takes entries up to an hour behind the newest of their stream (half of `max_chunk_age`).
const LATE_MAX: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// Capacity above which the memory of a body is not kept.
const SCRATCH_BYTES_MAX: usize = 4 << 20;
/// As many as the runtime has workers by default.
const SCRATCHES_MAX: usize = 2;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn moment() -> Moment {
    let time_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
    Moment { now: Instant::now(), time_ns }
}

fn configure(section: &Section, report: &mut Report) -> Option<Start> {
    let options = LokiOptions::from_section(section, report);
    let client = ClientOptions::from_section(section, report);
    let (options, mut client) = (options?, client?);
    let labels = Labels::read(section, &options, report);
    let removed = pairs::read_accessors(section, "remove_keys", &options.remove_keys.0, report);
    let tenant_key: Vec<String> = options.tenant_id_key.iter().cloned().collect();
    let tenant_key = pairs::read_accessors(section, "tenant_id_key", &tenant_key, report);
    let url = Address { host: &options.host, port: options.port, uri: &options.uri }.url(section, &client, report);
    let headers = headers(section, &options, report);
    let (labels, removed, tenant_key, url, headers) = (labels?, removed?, tenant_key?, url?, headers?);
    endpoint::resolve_files(section, &mut client);
    let map = options.label_map_path.as_ref().map(|path| section.resolve(path));
    Some(Box::new(move |context| {
        let mut labels = labels;
        if let Some(path) = map {
            read_map(&path).and_then(|map| labels.add_map(&map)).map_err(|why| OutputError {
                message: format!("output loki cannot take {} of `label_map_path`: {why}", path.display()),
                hint: Some(
                    "it holds keys and the names of their labels: {\"kubernetes\":{\"pod_name\":\"pod\"}}".into(),
                ),
            })?;
        }
        let mut line = Line::new(options.line_format, options.drop_single_key);
        labels.used().chain(&removed).for_each(|accessor| line.remove(accessor));
        let working = Mutex::new(Working::new(options.streams_max as usize));
        let (hidden, scratch) = (Hidden::default(), Mutex::default());
        let client = endpoint::client("loki", &client, context)?;
        let tenant_key = tenant_key.into_iter().next();
        Ok(Arc::new(Loki { labels, line, tenant_key, options, client, headers, url, working, hidden, scratch }))
    }))
}

fn read_map(path: &Path) -> Result<serde_json::Value, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

fn headers(section: &Section, options: &LokiOptions, report: &mut Report) -> Option<HeaderMap> {
    let head = Head {
        headers: &options.header,
        allow_duplicates: true,
        user: options.http_user.as_deref(),
        password: &options.http_passwd,
        token: options.bearer_token.as_deref(),
    };
    let mut headers = head.headers(section, report)?;
    let content_type = if options.compress == Compress::Snappy { "application/x-protobuf" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if options.compress == Compress::Gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(headers)
}

struct Loki {
    labels: Labels,
    line: Line,
    tenant_key: Option<Accessor>,
    options: LokiOptions,
    client: Client,
    headers: HeaderMap,
    url: Uri,
    /// Taken once for the records of a batch that share a request.
    working: Mutex<Working>,
    hidden: Hidden,
    /// The memory of the last bodies before gzip.
    scratch: Mutex<Vec<Vec<u8>>>,
}

/// What encoding needs to remember.
struct Working {
    sources: Sources,
    streams: Streams,
    scratch: Scratch,
    /// Records by what was changed.
    changed: [(Change, u64); 2],
}

impl Working {
    fn new(streams_max: usize) -> Self {
        Self {
            sources: Sources::default(),
            streams: Streams::new(streams_max),
            scratch: Scratch::default(),
            changed: [(Change::Labels, 0), (Change::Streams, 0)],
        }
    }
}

/// What the records of one batch are encoded with.
struct Pass<'w> {
    known: &'w mut Known,
    streams: &'w mut Streams,
    scratch: &'w mut Scratch,
    changed: &'w mut [(Change, u64); 2],
    alone: TextAlone,
    /// By kind of record, what its pieces have in common.
    common: [Option<CommonId>; KINDS],
    now: Instant,
}

/// Before a tenant, or a stream, is asked for again that is throttled, and says not when.
const WAIT: std::time::Duration = std::time::Duration::from_secs(1);
/// The same where only a change helps.
const LASTING_WAIT: std::time::Duration = std::time::Duration::from_secs(30);

impl Loki {
    /// What one tenant is told is no matter of the others: its requests wait out of their way.
    fn of_its_tenant(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Refused { message, .. } if answer::is_no_tenant(&message) => match self.tenant_key {
                Some(_) => {
                    Outcome::Unfit { reason: "tenant", message: format!("{message}; hint: look at `tenant_id_key`") }
                }
                None => {
                    let message = format!("{message}; hint: look at `tenant_id`");
                    Outcome::Again { after: None, cause: "http_400".into(), message, lasting: true }
                }
            },
            Outcome::Again { after, cause, message, lasting } if self.tenant_key.is_some() => {
                let wait = if lasting { LASTING_WAIT } else { WAIT };
                Outcome::Held { after: after.unwrap_or(wait), cause, message, lasting }
            }
            other => other,
        }
    }

    /// What one stream is told, where nothing else is in the request, is no matter of the others either. Entries that are there already
    /// would use up what it may send, and no request of it would ever be taken as a whole.
    fn of_its_stream(&self, outcome: Outcome, answer: &Response, key: &str, pieces: &Pieces) -> Outcome {
        let is_of_a_stream = answer::is_of_a_stream(answer.status, &answer.body);
        if is_of_a_stream {
            self.hidden.refused(key, Instant::now());
        }
        if matches!(outcome, Outcome::Delivered) {
            self.hidden.taken(key, pieces, moment());
        }
        match outcome {
            Outcome::Again { after, cause, message, lasting } if is_of_a_stream && body::streams(pieces).len() == 1 => {
                match answer::first_ignored(&answer.body, pieces) {
                    Some(first) => Outcome::Partly {
                        again: (first..pieces.list.len()).collect(),
                        refused: Vec::new(),
                        unnamed: None,
                        empty: Box::default(),
                    },
                    None => Outcome::Held { after: after.unwrap_or(WAIT), cause, message, lasting },
                }
            }
            other => other,
        }
    }

    /// Looks at what the records of a batch have in common.
    fn begin<'w>(&self, batch: &Batch, working: &'w mut Working) -> Pass<'w> {
        let Working { sources, streams, scratch, changed } = working;
        let known = sources.of(batch, &self.labels, &self.line);
        let now = Instant::now();
        // A stream that is written to must not be taken for idle.
        known.streams().for_each(|stream| _ = streams.admit(stream, now));
        let (alone, common) = (self.line.text_alone(batch), [None; KINDS]);
        Pass { known, streams, scratch, changed, alone, common, now }
    }

    /// Adds the piece of a record.
    #[inline]
    fn push(&self, batch: &Batch, record: usize, pass: &mut Pass<'_>, pieces: &mut Pieces) {
        let Pass { known, streams, scratch, changed, alone, common, now } = pass;
        let kind = known.kind(&batch.records[record]);
        if kind.is_none_or(|kind| known.made(kind).is_none()) {
            self.labels.make(batch, record, streams, *now, scratch);
            if let Some(kind) = kind.filter(|_| scratch.made.changed != Some(Change::Streams)) {
                known.keep(kind, &scratch.made);
            }
        }
        let source_bytes = batch.records[record].bytes;
        let time_ns = time::of_entry(batch, record);
        let (oldest, newest) = pieces.filled.times.unwrap_or((time_ns, time_ns));
        pieces.filled.times = Some((oldest.min(time_ns), newest.max(time_ns)));
        let shared = kind.and_then(|kind| Some((kind, known.made(kind)?)));
        let (made, common) = match shared {
            Some((kind, (made, text))) => {
                (made, Some(*common[kind].get_or_insert_with(|| pieces.common(piece::LABELS_AT, text))))
            }
            None => {
                piece::push_labels(&mut pieces.bytes, &scratch.made.labels);
                (&scratch.made, None)
            }
        };
        let line_len = batch.records[record].text.len as usize;
        entry::push(&mut pieces.bytes, (&made.metadata, time_ns), line_len, |out| {
            self.line.push(out, batch, record, *alone, &known.cleaned);
        });
        match common {
            Some(common) => pieces.add_with(common, source_bytes),
            None => pieces.add(source_bytes),
        }
        if let Some(change) = made.changed {
            self.count(change, changed);
        }
    }

    fn push_gzip(&self, streams: &[body::Stream<'_>], bytes: usize, body: &mut Vec<u8>) {
        let mut plain = lock(&self.scratch).pop().unwrap_or_default();
        plain.clear();
        plain.reserve(bytes);
        body::push_json(streams, &mut plain);
        gzip(u32::from(self.options.compress_level), &plain, body);
        let mut kept = lock(&self.scratch);
        if plain.capacity() <= SCRATCH_BYTES_MAX && kept.len() < SCRATCHES_MAX {
            kept.push(plain);
        }
    }

    /// Said once, and counted.
    #[cold]
    fn count(&self, change: Change, changed: &mut [(Change, u64); 2]) {
        let Some((_, count)) = changed.iter_mut().find(|(own, _)| *own == change) else { return };
        *count += 1;
        if *count > 1 {
            return;
        }
        let (host, options) = (&self.options.host, &self.options);
        match change {
            Change::Labels => tracing::warn!(
                host,
                "labels over {} of an entry, or too long, become structured metadata; hint: choose fewer labels, or raise `labels_max` as Loki's `max_label_names_per_series`",
                options.labels_max
            ),
            Change::Streams => tracing::warn!(
                host,
                "more than {} streams: further ones have fixed labels only, the others become structured metadata; hint: a label takes many values, move it to `structured_metadata`, or raise `streams_max`",
                options.streams_max
            ),
        }
    }
}

impl Output for Loki {
    fn limits(&self) -> Limits {
        Limits {
            bytes_max: self.options.batch_bytes_max.0.clamp(1, 64 << 20) as usize,
            records_max: usize::MAX,
            linger: Some(self.options.linger.0),
            in_flight: usize::from(self.options.in_flight_max.max(1)),
            ordered: false,
        }
    }

    fn needs(&self) -> Needs {
        Needs { text: true }
    }

    fn late_max(&self) -> Option<std::time::Duration> {
        Some(LATE_MAX)
    }

    fn changed_records(&self) -> Vec<(&'static str, u64)> {
        let [(_, labels), (_, streams)] = lock(&self.working).changed;
        vec![("labels_max", labels), ("streams_max", streams)]
    }

    fn key(&self, _source: &SourceDraft, key: &mut String) {
        if let (None, Some(tenant)) = (&self.tenant_key, &self.options.tenant_id) {
            key.push_str(tenant);
        }
    }

    fn keys_records(&self) -> bool {
        self.tenant_key.is_some()
    }

    fn record_key(&self, batch: &Batch, record: usize, key: &mut String) {
        let found = self.tenant_key.as_ref().and_then(|accessor| accessor.find(batch, record));
        if let Some(text) = found.filter(|found| found.is_string()) {
            text.push_text(key);
        }
        if key.is_empty() {
            key.push_str(self.options.tenant_id.as_deref().unwrap_or_default());
        }
    }

    fn encode(&self, batch: &Batch, record: usize, out: &mut Vec<u8>) {
        let working = &mut *lock(&self.working);
        let mut pieces = Pieces::default();
        self.push(batch, record, &mut self.begin(batch, working), &mut pieces);
        out.extend_from_slice(&pieces.text(0));
    }

    fn encode_some(&self, batch: &Batch, records: Range<usize>, pieces: &mut Pieces, limits: &Limits) -> usize {
        let working = &mut *lock(&self.working);
        let mut pass = self.begin(batch, working);
        for record in records.clone() {
            self.push(batch, record, &mut pass, pieces);
            if pieces.is_full(limits) {
                return record + 1;
            }
        }
        records.end
    }

    fn letter<'a>(&self, piece: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Owned(letter::of_piece(piece))
    }

    fn piece_of<'a>(&self, letter: &'a [u8]) -> Cow<'a, [u8]> {
        letter::to_piece(letter).map_or(Cow::Borrowed(letter), Cow::Owned)
    }

    fn apart(&self, key: &str, pieces: &Pieces) -> Option<Apart> {
        self.hidden.apart(key, pieces, moment())
    }

    fn body(&self, key: &str, pieces: &Pieces, body: &mut Vec<u8>) {
        let mut streams = body::streams(pieces);
        self.hidden.last_is_told_of(key, &mut streams, pieces, moment());
        match self.options.compress {
            Compress::Snappy => body::push_snappy(&streams, body),
            Compress::Gzip => self.push_gzip(&streams, pieces.body_bytes(), body),
            Compress::None => body::push_json(&streams, body),
        }
    }

    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Outcome> {
        static NONE: LazyLock<Pieces> = LazyLock::new(Pieces::default);
        self.send_pieces(request, &NONE)
    }

    fn send_pieces<'a>(&'a self, request: &'a Request, pieces: &'a Pieces) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let tenanted = match HeaderValue::try_from(&*request.key) {
                _ if request.key.is_empty() => None,
                Ok(tenant) => {
                    let mut headers = self.headers.clone();
                    headers.insert(TENANT, tenant);
                    Some(headers)
                }
                Err(_) => {
                    let message =
                        "a record's tenant cannot stand in a header; hint: look at `tenant_id_key`".to_owned();
                    return Outcome::Unfit { reason: "tenant", message };
                }
            };
            let headers = tenanted.as_ref().unwrap_or(&self.headers);
            let (method, url, body) = (Method::POST, &self.url, request.body.clone());
            match self.client.send(crate::net::Request { method, url, headers, body }).await {
                Ok(answer) => {
                    let outcome = answer::judge(answer.status, &answer.headers, &answer.body, pieces);
                    self.of_its_stream(self.of_its_tenant(outcome), &answer, &request.key, pieces)
                }
                Err(error) => endpoint::failed(&error),
            }
        })
    }
}

#[cfg(test)]
mod tests;
