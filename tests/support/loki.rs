//! A Loki that reads pushes as the real one does, protobuf and JSON, and keeps to its default limits.
//!
//! ```text
//! let loki = Loki::start(Limits::default());
//! loki.sink.next(Act::status(429).with_header("retry-after", "1"));   // what the script says is not stored
//! assert!(loki.wait_for(100, SOON));
//! assert_eq!(loki.stored()[0].line, "the line");
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    let wrong = |why: &str| format!("Error parsing labels '{text}' with error: {why}");
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
}

impl Default for Limits {
    fn default() -> Self {
        Self { now_ns: None, line_bytes: 256 << 10, label_names: 15, streams: 5000, body_bytes: usize::MAX }
    }
}

const AGE_MAX: i64 = 7 * 24 * 3600 * SECOND;
const FUTURE_MAX: i64 = 600 * SECOND;
const BEHIND_MAX: i64 = 3600 * SECOND;
const METADATA_BYTES: usize = 64 << 10;
const METADATA_PAIRS: usize = 128;

#[derive(Default)]
struct Stored {
    entries: Vec<Entry>,
    /// By tenant and labels: the newest time.
    streams: HashMap<(Option<String>, Pairs), i64>,
    /// What came again.
    repeated: usize,
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
        let mut complaints = Vec::new();
        let mut behind: BTreeMap<Pairs, (usize, usize, String)> = BTreeMap::new();
        for entry in push.entries {
            if let Some(complaint) = complaint(&entry, limits) {
                complaints.push(complaint);
                continue;
            }
            let key = (push.tenant.clone(), entry.labels.clone());
            if !self.streams.contains_key(&key) && self.streams.len() >= limits.streams {
                return Act::status(429).with_body("Maximum active stream limit exceeded when trying to create stream");
            }
            let newest = self.streams.entry(key).or_insert(entry.time_ns);
            let counts = behind.entry(entry.labels.clone()).or_default();
            counts.1 += 1;
            if entry.time_ns < *newest - BEHIND_MAX {
                counts.0 += 1;
                if counts.0 <= 10 {
                    counts.2 += &format!(
                        "entry with timestamp {} +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: {}, oldest acceptable timestamp is: {}',\n",
                        date(entry.time_ns, ' ', 9),
                        date(entry.time_ns, 'T', 0) + "Z",
                        date(*newest - BEHIND_MAX, 'T', 0) + "Z"
                    );
                }
                continue;
            }
            *newest = entry.time_ns.max(*newest);
            if self.entries.contains(&entry) {
                self.repeated += 1;
            } else {
                self.entries.push(entry);
            }
        }
        let ignored = behind.iter().filter(|(_, (count, _, _))| *count > 0);
        complaints.extend(ignored.map(|(labels, (count, all, text))| {
            format!("{text}user 'fake', total ignored: {count} out of {all} for stream: {}", label_text(labels))
        }));
        match &complaints[..] {
            [] => Act::status(204),
            [one] => Act::status(400).with_body(one.clone()),
            many => Act::status(400).with_body(format!("{} errors: {}", many.len(), many.join("; "))),
        }
    }
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
        return Some(format!("Error parsing labels '{stream}' with error: {name}"));
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
            "Max entry size '{max}' bytes exceeded for stream '{stream}' while adding an entry with length '{length}' bytes"
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

fn label_text(labels: &Pairs) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={}", Value::from(&**value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// In UTC, with so many digits of the fraction.
fn date(time_ns: i64, between: char, digits: usize) -> String {
    let (seconds, nanos) = (time_ns.div_euclid(SECOND), time_ns.rem_euclid(SECOND));
    let (year, month, day) = drave::record::time::civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = if digits > 0 { format!(".{nanos:09}") } else { String::new() };
    format!("{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}{fraction}")
}
