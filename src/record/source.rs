//! Where records come from that share a tag and metadata: one container's log, one file.

use super::json;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Why records are not delivered; the `reason` label of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// No output takes the tag.
    NoRoute,
    /// A filter took it out, as the configuration says.
    Filter,
    /// Its tag was rewritten again and again.
    TagLoop,
    /// `skip_empty_lines on`, or a destination takes no empty text.
    EmptyLine,
    /// `skip_long_lines on`, or what stood behind the limit of a line that was cut.
    LongLine,
    /// Zeros where a writer went on in a truncated file, or a byte order mark.
    NoText,
    /// `retry_limit` was reached.
    RetryLimit,
    /// The spool was full, and `storage.on_full drop_oldest`.
    SpoolFull,
    /// The spool's file was damaged.
    SpoolDamaged,
    /// The disk had less room than `storage.min_free`, so the oldest of the spool went.
    DiskFull,
}

impl DropReason {
    /// As metrics write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::Filter => "filter",
            Self::TagLoop => "tag_loop",
            Self::EmptyLine => "empty_line",
            Self::LongLine => "long_line",
            Self::NoText => "no_text",
            Self::RetryLimit => "retry_limit",
            Self::SpoolFull => "spool_full",
            Self::SpoolDamaged => "spool_damaged",
            Self::DiskFull => "disk_full",
        }
    }
}

/// The keys under which a record's text, stream, time and tag appear.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyNames {
    /// Of the message.
    pub text: &'static str,
    /// Of the CRI tag, if it is shown.
    pub tag: Option<&'static str>,
    /// The same as JSON up to the tag itself, filled up.
    pub before_tag: &'static [u8; 16],
}

impl KeyNames {
    /// `multiline.parser cri`.
    pub const CRI: Self = Self { text: "log", tag: Some("_p"), before_tag: b",\"_p\":\"         " };
    /// `parser cri`.
    pub const CRI_PARSER: Self = Self { text: "message", tag: Some("logtag"), before_tag: b",\"logtag\":\"     " };
    /// Docker's JSON files.
    pub const DOCKER: Self = Self { text: "log", tag: None, before_tag: &[b' '; 16] };
}

/// A field that all records of a source have.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Its key.
    pub key: String,
    /// Structured, for look-ups.
    pub value: Value,
    /// It hides a record's own field of that key, as the kubernetes filter's map does.
    pub wins: bool,
    /// `"key":value`, for outputs to splice in.
    pub json: Vec<u8>,
    /// The same without dots in keys, made when it is asked for.
    without_dots: OnceLock<Vec<u8>>,
}

/// Set by a filter that knows something new of a source: it is planned again before more of it is read.
#[derive(Debug, Clone, Default)]
pub struct Stale(Arc<AtomicBool>);

impl Stale {
    /// What is known has changed.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Has it?
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Does anybody else hold it? A source that is gone does not.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// What an input knows of a source before the filters have seen it.
#[derive(Debug, Clone, Default)]
pub struct SourceDraft {
    /// Number of the input among the configuration's inputs.
    pub input: usize,
    /// For routing.
    pub tag: String,
    /// The file as the glob found it.
    pub path: Option<String>,
    /// The file behind the links; for a container it names pod, UID and container.
    pub real_path: Option<String>,
    /// The key of a line's text.
    pub text_key: String,
    /// The key of a line's place in the file, if it is asked for.
    pub offset_key: Option<String>,
    /// Kubernetes namespace, a label of the metrics.
    pub namespace: Option<String>,
    /// The multiline parser that its pod asks for, which joins its lines in the place of the input's own.
    pub multiline: Option<String>,
    /// Fields of all its records.
    pub shared: Vec<Shared>,
    /// A step before may make fields of a record's own of what is shared: from then on nobody changes that for all.
    pub shared_is_final: bool,
    /// Its records have no fields of their own: only a text, and what the container runtime says of it.
    pub is_bare: bool,
    /// The step that gave its records this tag, if one did.
    pub rerouted_by: Option<usize>,
    /// How often its records were given another tag.
    pub reroutes: u8,
    /// When filters were first asked about it.
    pub first_asked: Option<Instant>,
    /// The agent ends, and nobody will read the source later: filters must do with what they know.
    pub last_call: bool,
    /// A filter keeps a copy to say that it knows more.
    pub stale: Stale,
}

impl Shared {
    /// The value as JSON.
    pub fn value_json(&self) -> &[u8] {
        let mut at = 1;
        while let Some(byte) = self.json.get(at) {
            match byte {
                b'\\' => at += 2,
                b'"' => break,
                _ => at += 1,
            }
        }
        self.json.get(at + 2..).unwrap_or_default()
    }

    /// `"key":value` with `_` for each dot in a key, at every depth; of two keys that become one the last counts.
    pub fn json_without_dots(&self) -> &[u8] {
        self.without_dots.get_or_init(|| {
            let mut json = Vec::new();
            json::push_string(&mut json, self.key.replace('.', "_").as_bytes());
            json.push(b':');
            json.extend_from_slice(without_dots(&self.value).to_string().as_bytes());
            json
        })
    }
}

fn without_dots(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.replace('.', "_"), without_dots(value))).collect(),
        Value::Array(list) => list.iter().map(without_dots).collect(),
        other => other.clone(),
    }
}

impl SourceDraft {
    /// May a record have a field of its own of that key?
    pub fn may_have(&self, key: &str) -> bool {
        !self.is_bare || self.is_virtual(key)
    }

    /// Is it a key that a record may have besides its fields and what it shares?
    pub fn is_virtual(&self, key: &str) -> bool {
        const NAMES: [&str; 7] = ["time", "stream", "_p", "logtag", "log", "message", "drave.truncated"];
        NAMES.contains(&key) || key == self.text_key || self.offset_key.as_deref() == Some(key)
    }

    /// Adds a shared field, in the place of one of that key.
    pub fn share(&mut self, key: &str, value: Value, wins: bool) {
        let mut rendered = Vec::new();
        json::push_string(&mut rendered, key.as_bytes());
        rendered.push(b':');
        rendered.extend_from_slice(value.to_string().as_bytes());
        self.shared.retain(|s| s.key != key);
        self.shared.push(Shared { key: key.to_owned(), value, wins, json: rendered, without_dots: OnceLock::new() });
    }
}

/// Where records come from, planned: its filters have been asked and its outputs are known.
#[derive(Debug)]
pub struct Source {
    /// Another one for each source of the process.
    pub number: u64,
    /// What the input and the filters said of it.
    pub draft: SourceDraft,
    /// What the input said of it, where filters may have to be asked again.
    pub origin: Option<Box<SourceDraft>>,
    /// A filter has to wait: nothing of it may be read yet.
    pub waits: bool,
    /// `,"key":value` of all shared fields.
    pub shared_json: Vec<u8>,
    /// `"log":`, ready to write.
    pub text_key_json: Vec<u8>,
    /// Outputs that take it, by number, each with what must not share a request.
    pub outputs: Vec<(usize, Arc<str>)>,
}

impl Source {
    /// Closes a draft.
    pub fn new(draft: SourceDraft, outputs: Vec<(usize, Arc<str>)>) -> Self {
        let mut shared_json = Vec::new();
        for shared in &draft.shared {
            shared_json.push(b',');
            shared_json.extend_from_slice(&shared.json);
        }
        let mut text_key_json = Vec::new();
        json::push_string(&mut text_key_json, draft.text_key.as_bytes());
        text_key_json.push(b':');
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { number, draft, origin: None, waits: false, shared_json, text_key_json, outputs }
    }

    /// Must filters be asked again before more of it is read?
    pub fn is_stale(&self) -> bool {
        self.waits || self.draft.stale.is_set()
    }
}
