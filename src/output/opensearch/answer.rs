//! What a server's answer means, for a request as a whole and for each of its documents.
//!
//! ```text
//! {"took":7,"errors":true,"items":[{"create":{"status":201}},{"create":{"status":400,"error":{"type":"mapper_parsing_exception",…}}}]}
//!                                            stored                               refused: the document is to blame
//! 409 of a document with an id: stored before                 429, 5xx: again      blocks, rights, indices: again, seldom, and said
//! ```

use super::items::{Whole, each_item};
use crate::net::retry_after;
use crate::output::{Outcome, Refusal};
use http::HeaderMap;
use http::header::RETRY_AFTER;
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Where `"errors":false` stands in an answer, if it does.
const HEAD_BYTES: usize = 120;
/// Of what a server says in its own words.
const SAID_BYTES_MAX: usize = 300;

/// What is to be known of the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) records: usize,
    /// There are credentials in it.
    pub(super) with_login: bool,
    /// It is signed for AWS.
    pub(super) signed: bool,
    /// Documents are changed, not made.
    pub(super) is_update: bool,
    /// Records bring their ids: two of them may bring the same.
    pub(super) brings_ids: bool,
    /// Counts those whose id was there before.
    pub(super) ids_taken: &'a AtomicU64,
    /// The answer was longer than what is kept of one.
    pub(super) cut: bool,
}

/// Reads an answer.
pub(super) fn judge(asked: Asked<'_>, status: u16, headers: &HeaderMap, body: &[u8]) -> Outcome {
    match status {
        200..=299 if asked.cut && asked.records > 1 => Outcome::TooLarge,
        200..=299 => judge_items(asked, body),
        413 => Outcome::TooLarge,
        _ => judge_whole(asked, status, headers, body),
    }
}

fn judge_whole(asked: Asked<'_>, status: u16, headers: &HeaderMap, body: &[u8]) -> Outcome {
    let said = said_by(body);
    let after = || headers.get(RETRY_AFTER)?.to_str().ok().and_then(|text| retry_after(text, SystemTime::now()));
    let setting = SETTINGS.iter().find(|(words, _)| said.contains(words)).map(|(_, hint)| *hint);
    let (hint, lasting) = match status {
        408 | 425 | 429 | 500..=599 => ("", setting.is_some()),
        401 if asked.with_login => ("the user, password or key is not known there", true),
        401 | 403 if asked.signed => (
            "the role needs es:ESHttpPost (aoss:APIAccessAll) and a place in the access policy; expired credentials and a wrong clock look the same",
            true,
        ),
        401 => ("security is on there: set `http_user` and `http_passwd`, `http_api_key`, or `aws_auth on`", true),
        403 => ("the user needs the rights to write and to create these indices; AWS wants `aws_auth on`", true),
        404 | 405 => ("is that OpenSearch or Elasticsearch? check `host`, `port` and `path`", true),
        300..=399 => ("redirects are not followed, put the final address into `host` and `port`", true),
        _ => ("the server does not take this, its answer says why", true),
    };
    let hint = setting.unwrap_or(hint);
    let (cause, message) = (format!("http_{status}"), message(&format!("the server answered {status}"), &said, hint));
    match status {
        // One document of it may be to blame, as an id that is too long.
        400 if setting.is_none() => Outcome::Refused { cause, message },
        _ => Outcome::Again { after: after(), cause, message, lasting },
    }
}

/// What the configuration of either side is to blame for: words of the server, and the remedy.
const SETTINGS: [(&str, &str); 13] = [
    ("unknown parameter [_type]", "this server takes no types: set `suppress_type_name on`"),
    ("more than 1 type", "the index has documents of another `type`; set `suppress_type_name on`, or that type"),
    (
        "op_type of create are allowed in data streams",
        "a data stream takes new documents only: set `write_operation create`",
    ),
    ("data stream timestamp field", "documents of a data stream need `@timestamp`: leave `time_key` as it is"),
    ("timestamp field '@timestamp'", "documents of a data stream need `@timestamp`: leave `time_key` as it is"),
    ("pipeline with id", "make the ingest pipeline there, or take `pipeline` out"),
    ("no ingest nodes", "`pipeline` needs a node with the role ingest"),
    (
        "maximum normal shards open",
        "the cluster has as many shards as it may: delete old indices, or raise cluster.max_shards_per_node",
    ),
    (
        "maximum shards open",
        "the cluster has as many shards as it may: delete old indices, or raise cluster.max_shards_per_node",
    ),
    (
        "Rejecting mapping update",
        "the index has documents of another `type`; set `suppress_type_name on`, or that type",
    ),
    ("no write index is defined", "the alias needs an index with is_write_index"),
    (
        "number of documents in the index cannot exceed",
        "a shard of the index is full: roll it over, or give it more shards",
    ),
    ("Document ID is not supported", "this collection takes no ids: set `generate_id off` and leave `id_key` out"),
];

fn judge_items(asked: Asked<'_>, body: &[u8]) -> Outcome {
    if has_no_errors(body) {
        return Outcome::Delivered;
    }
    let mut found = Found::default();
    match each_item(body, |index, item| found.add(index, item, asked)) {
        Ok(Whole { errors: Some(false), .. }) => Outcome::Delivered,
        Ok(Whole { items: Some(count), .. }) if count == asked.records => {
            asked.ids_taken.fetch_add(found.taken, Ordering::Relaxed);
            found.outcome(asked.records)
        }
        _ => not_search(body),
    }
}

/// The head of nearly every answer says that all is well.
fn has_no_errors(body: &[u8]) -> bool {
    let head = &body[..body.len().min(HEAD_BYTES)];
    let head = memchr::memmem::find(head, b"\"items\"").map_or(head, |end| &head[..end]);
    head.first() == Some(&b'{') && memchr::memmem::find(head, b"\"errors\":false").is_some()
}

fn not_search(body: &[u8]) -> Outcome {
    let hint = "is that OpenSearch or Elasticsearch? check `host`, `port` and `path`";
    let message = message("the answer says nothing of the documents", &said_by(body), hint);
    Outcome::Again { after: None, cause: "no_answer".into(), message, lasting: true }
}

/// What became of the documents.
#[derive(Debug, Default)]
struct Found {
    again: Vec<usize>,
    refused: Vec<(usize, Refusal)>,
    /// Why the first of them is to be sent again: cause, message, and the remedy where only a person can help.
    why: Option<(String, String, Option<&'static str>)>,
    /// One of them needs no help but time.
    passes: bool,
    /// Documents whose id was there.
    taken: u64,
}

impl Found {
    fn add(&mut self, index: usize, item: &Value, asked: Asked<'_>) {
        let status = item["status"].as_u64().unwrap_or_default();
        let error = &item["error"];
        let kind = error["type"].as_str().unwrap_or_default();
        match status {
            200..=299 => {}
            // It is there: an attempt before stored it, and its answer was lost; or it is another record's.
            409 if !asked.is_update => self.taken += u64::from(asked.brings_ids),
            _ => match class(status, kind, error) {
                Class::Again => self.again(index, status, error, None),
                Class::Kept(hint) => self.again(index, status, error, Some(hint)),
                Class::Refused => self.refused.push((index, refusal(kind, error))),
            },
        }
    }

    fn again(&mut self, index: usize, status: u64, error: &Value, hint: Option<&'static str>) {
        self.again.push(index);
        self.passes |= hint.is_none();
        let is_better = hint.is_some() && self.why.as_ref().is_some_and(|(_, _, hint)| hint.is_none());
        if self.why.is_none() || is_better {
            let kind = error["type"].as_str().unwrap_or_default();
            let cause = if kind.is_empty() { format!("http_{status}") } else { label(kind) };
            self.why = Some((cause, format!("{status} {kind}: {}", reason(error)), hint));
        }
    }

    fn outcome(self, records: usize) -> Outcome {
        match self.why {
            // What all have in common is said at once; of a part it is said when that part comes again.
            Some((cause, said, hint)) if self.again.len() == records => {
                let message = message("the server stores nothing", &said, hint.unwrap_or_default());
                match hint.is_some() && !self.passes {
                    // One index may be closed or blocked: documents of the others go around it.
                    true => Outcome::Held { after: BLOCKED_WAIT, cause, message, lasting: true },
                    false => Outcome::Again { after: None, cause, message, lasting: false },
                }
            }
            _ if self.again.is_empty() && self.refused.is_empty() => Outcome::Delivered,
            _ => Outcome::Partly { again: self.again, refused: self.refused, unnamed: None, empty: Box::default() },
        }
    }
}

/// Before documents are sent again that wait for somebody to do something.
const BLOCKED_WAIT: Duration = Duration::from_secs(30);

/// What is to become of a document.
#[derive(Debug, PartialEq, Eq)]
enum Class {
    Again,
    /// Again, when somebody has done this.
    Kept(&'static str),
    Refused,
}

fn class(status: u64, kind: &str, error: &Value) -> Class {
    let said = || reason(error);
    match kind {
        "cluster_block_exception" if said().contains("read-only") || said().contains("FORBIDDEN/12") => Class::Kept(
            "most likely a disk there is nearly full (flood-stage watermark): make room; the block goes by itself, or with index.blocks.read_only_allow_delete null",
        ),
        "cluster_block_exception" => Class::Kept("the index or the cluster is blocked: its settings say by whom"),
        "security_exception" | "authorization_exception" => {
            Class::Kept("the user or role needs the rights to write and to create these indices")
        }
        "index_not_found_exception" => Class::Kept(
            "the index is missing and is not made by itself (action.auto_create_index): make it, or a template",
        ),
        "index_closed_exception" => Class::Kept("open the index, or write to another"),
        "invalid_index_name_exception" => {
            Class::Kept("no index can have this name: check `index` and `logstash_prefix`")
        }
        _ if status == 429 || status >= 500 => Class::Again,
        "version_conflict_engine_exception" => Class::Again,
        "document_missing_exception" => Class::Refused,
        _ => {
            let said = said();
            let setting = SETTINGS.iter().find(|(words, _)| said.contains(words)).map(|(_, hint)| *hint);
            match (setting, status) {
                (Some(hint), _) => Class::Kept(hint),
                (None, 400 | 413) => Class::Refused,
                (None, _) => Class::Kept("the server does not take this, its answer says why"),
            }
        }
    }
}

fn refusal(kind: &str, error: &Value) -> Refusal {
    Refusal { reason: label(kind), message: reason(error) }
}

/// Types become labels of the metrics: what is none of them must not make new ones without end.
fn label(kind: &str) -> String {
    let is_name = kind.len() <= 60 && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if is_name && !kind.is_empty() { kind.to_owned() } else { "other".into() }
}

/// The reason, with the next one where that is no reason alone. Ids and values, which are different each time, are left out.
fn reason(error: &Value) -> String {
    let own = match error {
        Value::String(text) => text,
        error => error["reason"].as_str().unwrap_or_default(),
    };
    let own = own.split(" in document with id '").next().unwrap_or_default();
    match error["caused_by"]["reason"].as_str().filter(|_| own.is_empty() || own == "failed to parse") {
        Some(cause) => plain(&format!("{own}: {}", cause.split('\n').next().unwrap_or_default())),
        None => plain(own),
    }
}

/// What a server says in its own words: the reason, where the answer is one of OpenSearch.
fn said_by(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let reason = match &answer["error"] {
        Value::Null => String::new(),
        error => reason(error),
    };
    if reason.is_empty() { plain(&String::from_utf8_lossy(&body[..body.len().min(SAID_BYTES_MAX)])) } else { reason }
}

/// One line, not too long.
fn plain(text: &str) -> String {
    let end = text.floor_char_boundary(SAID_BYTES_MAX);
    text[..end].trim().replace(char::is_control, " ")
}

fn message(what: &str, said: &str, hint: &str) -> String {
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let hint = if hint.is_empty() { String::new() } else { format!("; hint: {hint}") };
    format!("{what}{said}{hint}")
}

#[cfg(test)]
mod tests;
