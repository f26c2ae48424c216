//! A Loki that reads pushes as the real one does, protobuf and JSON, keeps to its default limits and answers in the words of 3.7: its
//! front names all that it does not take; of what lies behind it only what became of the last stream is told, and then nothing else.
//!
//! ```text
//! let loki = Loki::start(Limits::default());
//! loki.sink.next(Act::status(429).with_header("retry-after", "1"));   // what the script says is not stored
//! assert!(loki.wait_for(100, SOON));
//! assert_eq!(loki.stored()[0].line, "the line");
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::agent::poll;
use super::sink::{Act, Request, Sink};

const SECOND: i64 = 1_000_000_000;

/// Names with values.
pub type Pairs = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub labels: Pairs,
    pub time_ns: i64,
    pub line: String,
    pub metadata: Pairs,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Push {
    pub tenant: Option<String>,
    pub entries: Vec<Entry>,
}

impl Push {
    /// What is wrong with it is what Loki would answer.
    pub fn read(request: &Request) -> Result<Self, String> {
        let tenant = request.head.header("x-scope-orgid").map(str::to_owned);
        let entries = match request.head.header("content-type") {
            Some("application/x-protobuf") => read_protobuf(&request.body)?,
            Some("application/json") => read_json(&request.body)?,
            other => return Err(format!("unsupported content type {other:?}")),
        };
        Ok(Self { tenant, entries })
    }
}

fn read_json(body: &[u8]) -> Result<Vec<Entry>, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let pairs = |value: &Value| -> Option<Pairs> {
        value.as_object()?.iter().map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
    };
    let entry = |labels: &Pairs, value: &Value| -> Option<Entry> {
        Some(Entry {
            labels: labels.clone(),
            time_ns: value.get(0)?.as_str()?.parse().ok()?,
            line: value.get(1)?.as_str()?.to_owned(),
            metadata: value.get(2).map_or(Some(Pairs::new()), pairs)?,
        })
    };
    let mut entries = Vec::new();
    for stream in body["streams"].as_array().ok_or("no streams")? {
        let labels = pairs(&stream["stream"]).ok_or("labels that are no texts")?;
        for value in stream["values"].as_array().ok_or("no values")? {
            entries.push(entry(&labels, value).ok_or_else(|| format!("no entry: {value}"))?);
        }
    }
    Ok(entries)
}

fn read_protobuf(body: &[u8]) -> Result<Vec<Entry>, String> {
    let plain = snap::raw::Decoder::new().decompress_vec(body).map_err(|error| error.to_string())?;
    let mut entries = Vec::new();
    for stream in Message::read(&plain)?.all(1) {
        let stream = Message::read(stream)?;
        let labels = read_labels(stream.text(1)?)?;
        for entry in stream.all(2) {
            let entry = Message::read(entry)?;
            let time = Message::read(entry.bytes(1).unwrap_or_default())?;
            let pair = |pair: &[u8]| {
                let pair = Message::read(pair)?;
                Ok((pair.text(1)?.to_owned(), pair.text(2)?.to_owned()))
            };
            entries.push(Entry {
                labels: labels.clone(),
                time_ns: time.number(1) as i64 * SECOND + time.number(2) as i64,
                line: entry.text(2)?.to_owned(),
                metadata: entry.all(3).map(pair).collect::<Result<_, String>>()?,
            });
        }
    }
    Ok(entries)
}

/// The fields of a message of protobuf, in order.
struct Message<'m>(Vec<(u64, Field<'m>)>);

enum Field<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

impl<'m> Message<'m> {
    fn read(mut bytes: &'m [u8]) -> Result<Self, String> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let head = varint(&mut bytes)?;
            let field = match head & 7 {
                0 => Field::Number(varint(&mut bytes)?),
                2 => {
                    let length = varint(&mut bytes)? as usize;
                    let (own, rest) = bytes.split_at_checked(length).ok_or("unexpected EOF")?;
                    bytes = rest;
                    Field::Bytes(own)
                }
                kind => return Err(format!("wire type {kind}")),
            };
            fields.push((head >> 3, field));
        }
        Ok(Self(fields))
    }

    fn all(&self, number: u64) -> impl Iterator<Item = &'m [u8]> {
        self.0.iter().filter_map(move |(own, field)| match field {
            Field::Bytes(bytes) if *own == number => Some(*bytes),
            _ => None,
        })
    }

    fn bytes(&self, number: u64) -> Option<&'m [u8]> {
        self.all(number).last()
    }

    fn text(&self, number: u64) -> Result<&'m str, String> {
        std::str::from_utf8(self.bytes(number).unwrap_or_default()).map_err(|_| "invalid UTF-8".to_owned())
    }

    fn number(&self, number: u64) -> u64 {
        let mut found = 0;
        for (own, field) in &self.0 {
            if let (true, Field::Number(value)) = (*own == number, field) {
                found = *value;
            }
        }
        found
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or("unexpected EOF")?;
        *bytes = rest;
        number |= u64::from(first & 0x7F) << shift;
        if first & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("integer overflow".into())
}

/// `{name="value", other="…"}`, as Prometheus reads it.
fn read_labels(text: &str) -> Result<Pairs, String> {
    let wrong = |why: &str| format!("couldn't parse labels: {why}");
    let mut rest = text.strip_prefix('{').ok_or_else(|| wrong("no brace"))?;
    let mut labels = Pairs::new();
    while !rest.starts_with('}') {
        let (name, behind) = rest.split_once('=').ok_or_else(|| wrong("no value"))?;
        let mut values = serde_json::Deserializer::from_str(behind).into_iter::<String>();
        let value = values.next().and_then(Result::ok).ok_or_else(|| wrong("no text"))?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("stream '{text}' has duplicate label name: '{name}'"));
        }
        let behind = &behind[values.byte_offset()..];
        rest = behind.strip_prefix(',').map_or(behind, str::trim_start);
    }
    if rest == "}" { Ok(labels) } else { Err(wrong("text behind the brace")) }
}

/// Loki's defaults, and the moment in which it is.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Nanoseconds since 1970; `None` is the present.
    pub now_ns: Option<i64>,
    pub line_bytes: usize,
    pub label_names: usize,
    pub streams: usize,
    pub body_bytes: usize,
    /// Of the lines of one request.
    pub burst_bytes: usize,
    /// Bytes a second of a stream, and at once; a stream over it is refused in one piece, as with `shard_streams`.
    pub stream_bytes: (f64, f64),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            now_ns: None,
            line_bytes: 256 << 10,
            label_names: 15,
            streams: 5000,
            body_bytes: usize::MAX,
            burst_bytes: 6 << 20,
            stream_bytes: (3e6, 15e6),
        }
    }
}

const AGE_MAX: i64 = 7 * 24 * 3600 * SECOND;
const FUTURE_MAX: i64 = 600 * SECOND;
const BEHIND_MAX: i64 = 3600 * SECOND;
const METADATA_BYTES: usize = 64 << 10;
const METADATA_PAIRS: usize = 128;

/// A stream of a tenant.
#[derive(Debug)]
struct Stream {
    newest_ns: i64,
    /// What it may take, at that moment.
    allowance: (f64, Instant),
}

#[derive(Default)]
struct Stored {
    entries: Vec<Entry>,
    streams: HashMap<(Option<String>, Pairs), Stream>,
    /// What came again.
    repeated: usize,
    /// Entries that were refused while the answer said nothing of them.
    hidden: usize,
}

/// The server.
pub struct Loki {
    pub sink: Sink,
    stored: Arc<Mutex<Stored>>,
}

impl Loki {
    pub fn start(limits: Limits) -> Self {
        let (sink, stored) = (Sink::start(), Arc::<Mutex<Stored>>::default());
        let shared = Arc::clone(&stored);
        sink.answer_with(move |request| shared.lock().unwrap().push(request, &limits));
        Self { sink, stored }
    }

    /// What was stored, in the order in which it came.
    pub fn stored(&self) -> Vec<Entry> {
        self.stored.lock().unwrap().entries.clone()
    }

    /// How many entries came that were there already.
    pub fn repeated(&self) -> usize {
        self.stored.lock().unwrap().repeated
    }

    /// How many entries were refused behind an answer that does not say so.
    pub fn hidden(&self) -> usize {
        self.stored.lock().unwrap().hidden
    }

    /// Waits until so many entries are stored.
    pub fn wait_for(&self, count: usize, timeout: Duration) -> bool {
        poll(timeout, || self.stored.lock().unwrap().entries.len() >= count)
    }

    /// The requests that could be read.
    pub fn pushes(&self) -> Vec<Push> {
        self.sink.requests().iter().filter_map(|request| Push::read(request).ok()).collect()
    }
}

impl Stored {
    fn push(&mut self, request: &Request, limits: &Limits) -> Act {
        if request.body.len() > limits.body_bytes {
            return Act::status(413).with_body("request body too large");
        }
        let push = match Push::read(request) {
            Ok(push) => push,
            Err(why) => return Act::status(400).with_body(why),
        };
        if let Some(why) = push.tenant.as_deref().and_then(no_tenant) {
            return Act::status(400).with_body(why);
        }
        if push.entries.iter().any(|entry| entry.labels.values().any(|value| value.contains('\u{fffd}'))) {
            return Act::status(400).with_body("couldn't parse labels: 1:24: parse error: invalid UTF-8 rune");
        }
        let bytes: usize = push.entries.iter().map(|entry| entry.line.len()).sum();
        if bytes > limits.burst_bytes {
            let (lines, rate) = (push.entries.len(), limits.burst_bytes);
            return Act::status(429).with_body(format!(
                "ingestion rate limit exceeded for user fake (limit: {rate} bytes/sec) while attempting to ingest '{lines}' lines totaling '{bytes}' bytes, reduce log volume"
            ));
        }
        let metadata = push.entries.iter().flat_map(|entry| entry.metadata.keys());
        if let Some(name) = metadata.clone().find(|name| name.bytes().all(|byte| byte == b'_')) {
            let why = format!("normalization for label name {name:?} resulted in invalid name \"_\"");
            return Act::status(500).with_body(if name.is_empty() { "label name is empty".into() } else { why });
        }
        let mut complaints: BTreeMap<String, usize> = BTreeMap::new();
        let mut streams: Vec<(Pairs, Vec<Entry>)> = Vec::new();
        for entry in push.entries {
            if let Some(complaint) = complaint(&entry, limits) {
                *complaints.entry(complaint).or_default() += 1;
                continue;
            }
            match streams.iter_mut().find(|(labels, _)| *labels == entry.labels) {
                Some((_, entries)) => entries.push(entry),
                None => streams.push((entry.labels.clone(), vec![entry])),
            }
        }
        let mut told = None;
        for (labels, entries) in streams {
            let stored = self.push_stream(&push.tenant, labels, entries, limits);
            self.hidden += told
                .replace(stored)
                .map_or(0, |before: Result<(), (Act, usize)>| before.err().map_or(0, |(_, refused)| refused));
        }
        if let Some(Err((act, _))) = told {
            return act;
        }
        let several = complaints.len() > 1;
        let alike = |(complaint, count): (&String, &usize)| match several || *count > 1 {
            true => format!("{count} errors like: {complaint}"),
            false => complaint.clone(),
        };
        match complaints.is_empty() {
            true => Act::status(204),
            false => Act::status(400).with_body(complaints.iter().map(alike).collect::<Vec<_>>().join("; ")),
        }
    }

    /// What the part behind the front does; what it refuses, and how many entries.
    fn push_stream(
        &mut self,
        tenant: &Option<String>,
        labels: Pairs,
        entries: Vec<Entry>,
        limits: &Limits,
    ) -> Result<(), (Act, usize)> {
        let (all, text, now) = (entries.len(), label_text(&labels), Instant::now());
        let key = (tenant.clone(), labels);
        if !self.streams.contains_key(&key) && self.streams.len() >= limits.streams {
            let why = format!(
                "maximum active stream limit exceeded when trying to create stream {text}, reduce the number of active streams"
            );
            return Err((Act::status(429).with_body(why), all));
        }
        let (rate, burst) = limits.stream_bytes;
        let newest_ns = entries.first().map_or(0, |entry| entry.time_ns);
        let stream = self.streams.entry(key).or_insert(Stream { newest_ns, allowance: (burst, now) });
        let (left, at) = stream.allowance;
        let left = (left + now.duration_since(at).as_secs_f64() * rate).min(burst);
        let bytes: f64 = entries.iter().map(|entry| entry.line.len() as f64).sum();
        stream.allowance = (if bytes <= left { left - bytes } else { left }, now);
        let mut ignored = Vec::new();
        for entry in entries {
            let why = if bytes > left {
                Some(format!(
                    "Per stream rate limit exceeded (limit: {rate}B/sec) while attempting to ingest for stream '{text}' totaling {}B, consider splitting a stream",
                    entry.line.len()
                ))
            } else if entry.time_ns < stream.newest_ns - BEHIND_MAX {
                let oldest = date(stream.newest_ns - BEHIND_MAX, 'T', 0);
                Some(format!(
                    "entry too far behind, entry timestamp is: {}Z, oldest acceptable timestamp is: {oldest}Z",
                    date(entry.time_ns, 'T', 0)
                ))
            } else {
                None
            };
            if let Some(why) = why {
                ignored.push(format!(
                    "entry with timestamp {} +0000 UTC ignored, reason: '{why}',\n",
                    date(entry.time_ns, ' ', 9)
                ));
                continue;
            }
            stream.newest_ns = stream.newest_ns.max(entry.time_ns);
            if self.entries.contains(&entry) {
                self.repeated += 1;
            } else {
                self.entries.push(entry);
            }
        }
        if ignored.is_empty() {
            return Ok(());
        }
        let named: String = ignored.iter().take(10).map(String::as_str).collect();
        let count = ignored.len();
        let said = format!("{named}user 'fake', total ignored: {count} out of {all} for stream: {text}");
        Err((Act::status(if bytes > left { 429 } else { 400 }).with_body(said), count))
    }
}

fn no_tenant(tenant: &str) -> Option<String> {
    let odd = tenant.chars().find(|c| !c.is_ascii_alphanumeric() && !"!-_.*'()".contains(*c))?;
    Some(format!("tenant ID '{tenant}' contains unsupported character '{odd}'"))
}

/// Why Loki's front does not take an entry.
fn complaint(entry: &Entry, limits: &Limits) -> Option<String> {
    let (labels, stream) = (&entry.labels, label_text(&entry.labels));
    let present = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    let now = limits.now_ns.unwrap_or_else(present);
    let is_valid = |name: &&String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let time = date(entry.time_ns, 'T', 0) + "Z";
    let metadata_bytes: usize = entry.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if labels.is_empty() {
        return Some("error at least one label pair is required per stream".into());
    }
    if let Some(name) = labels.keys().find(|name| !is_valid(name) || name.as_bytes()[0].is_ascii_digit()) {
        return Some(format!("error parsing labels '{stream}' with error: {name}"));
    }
    if labels.len() > limits.label_names {
        let (count, max) = (labels.len(), limits.label_names);
        return Some(format!("entry for stream '{stream}' has {count} label names; limit {max}"));
    }
    if let Some(value) = labels.values().find(|value| value.len() > 2048) {
        return Some(format!("stream '{stream}' has label value too long: '{value}'"));
    }
    if entry.time_ns < now - AGE_MAX {
        let oldest = date(now - AGE_MAX, 'T', 0) + "Z";
        return Some(format!(
            "entry for stream '{stream}' has timestamp too old: {time}, oldest acceptable timestamp is: {oldest}"
        ));
    }
    if entry.time_ns > now + FUTURE_MAX {
        return Some(format!("entry for stream '{stream}' has timestamp too new: {time}"));
    }
    if entry.line.len() > limits.line_bytes {
        let (max, length) = (limits.line_bytes, entry.line.len());
        return Some(format!(
            "max entry size '{max}' bytes exceeded for stream '{stream}' while adding an entry with length '{length}' bytes"
        ));
    }
    if metadata_bytes > METADATA_BYTES {
        return Some(format!(
            "stream '{stream}' has structured metadata too large: '{metadata_bytes}' bytes, limit: '{METADATA_BYTES}' bytes"
        ));
    }
    let pairs = entry.metadata.len();
    (pairs > METADATA_PAIRS).then(|| {
        format!("stream '{stream}' has too many structured metadata labels: '{pairs}', limit: '{METADATA_PAIRS}'")
    })
}

/// With the label that Loki adds.
fn label_text(labels: &Pairs) -> String {
    let service = ["service_name", "app", "job"].into_iter().find_map(|name| labels.get(name));
    let mut labels = labels.clone();
    labels.insert("service_name".into(), service.cloned().unwrap_or_else(|| "unknown_service".into()));
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={}", Value::from(&**value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// In UTC, with up to so many digits of the fraction.
fn date(time_ns: i64, between: char, digits: usize) -> String {
    let (seconds, nanos) = (time_ns.div_euclid(SECOND), time_ns.rem_euclid(SECOND));
    let (year, month, day) = drave::record::time::civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = if digits > 0 { format!(".{nanos:09}") } else { String::new() };
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}{fraction}")
}
