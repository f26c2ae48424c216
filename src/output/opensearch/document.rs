//! A piece: what is to be done, and the document, a line each.
//!
//! ```text
//! {"create":{"_index":"kube-2024.03.01","_id":"018df974d57b-5d41402abc4b2a76b971"}}
//! {"@timestamp":"2024-03-01T10:00:00.123Z","flb-key":"kube.web","log":"GET /",…}
//! ```
//! `update` and `upsert` wrap the document: `{"doc":{…},"doc_as_upsert":true}`. Index and id stand in the piece, so that it can be sent
//! in any request, by itself, or from the spool.

use super::id::{IdMaker, Origin};
use super::index::{IndexName, check_date};
use super::options::{SearchOptions, WriteOperation};
use crate::config::{Report, Section};
use crate::output::strftime::push_strftime;
use crate::record::{Batch, Record, json, time};

const DEFAULT_TIME_FORMAT: &str = "%Y-%m-%dT%H:%M:%S";
const BILLION: i64 = 1_000_000_000;

/// Writes pieces.
#[derive(Debug)]
pub(super) struct Documents {
    /// `{"create":{"_index":"`, and the index, if it is the same for all.
    action: Vec<u8>,
    /// `","_type":"_doc"`, or the quote alone: behind the index.
    behind_index: Vec<u8>,
    index: IndexName,
    id: IdMaker,
    operation: WriteOperation,
    /// `"@timestamp":"`.
    time: Option<Head>,
    time_format: Option<String>,
    nanos: bool,
    now: bool,
    /// `"flb-key":`.
    tag: Option<Head>,
    without_dots: bool,
}

/// A key that is put in front, unless the record has it.
#[derive(Debug)]
struct Head {
    key: String,
    json: Vec<u8>,
}

impl Head {
    fn new(key: &str, behind: &str) -> Self {
        let mut json = Vec::new();
        json::push_string(&mut json, key.as_bytes());
        json.extend_from_slice(behind.as_bytes());
        Self { key: key.to_owned(), json }
    }
}

/// What neighbouring records have in common, so that it is worked out once.
#[derive(Debug, Default)]
pub(super) struct Recent {
    second: Option<i64>,
    /// The second as `time_key_format` says; the default format has room of its own.
    time: String,
    civil: [u8; 19],
    index: String,
    /// The same, escaped.
    index_json: Vec<u8>,
    /// The second whose records share the index.
    index_second: Option<i64>,
    origin: Option<Origin>,
    /// May records have the keys of time and tag without a field of that name? Once per batch.
    may_have: Option<[bool; 2]>,
}

impl Recent {
    /// Has a record a key that is put in front? `number` is that of the key.
    #[inline]
    fn has_key(&mut self, batch: &Batch, record: usize, heads: [Option<&Head>; 2], number: usize) -> bool {
        let Some(key) = heads[number].map(|head| head.key.as_bytes()) else { return true };
        let may_have = |head: Option<&Head>| head.is_some_and(|head| batch.may_have(head.key.as_bytes()));
        let may_have = self.may_have.get_or_insert_with(|| heads.map(may_have));
        let own = &batch.records[record];
        if may_have[number] || own.owns_shared { batch.has_key(record, key) } else { batch.has_field(own, key) }
    }
}

impl Documents {
    pub(super) fn read(section: &Section, options: &SearchOptions, id: IdMaker, report: &mut Report) -> Option<Self> {
        let index = IndexName::read(section, options, report)?;
        check_date(section, "time_key_format", &options.time_key_format, report)?;
        let mut behind_index = Vec::from(b"\"");
        if !options.suppress_type_name {
            behind_index.extend_from_slice(b",\"_type\":");
            json::push_string(&mut behind_index, options.doc_type.as_bytes());
        }
        let mut action = format!("{{\"{}\":{{\"_index\":\"", options.write_operation.action()).into_bytes();
        json::push_escaped(&mut action, index.fixed().unwrap_or_default().as_bytes());
        Some(Self {
            action,
            behind_index,
            index,
            id,
            operation: options.write_operation,
            time: (!options.time_key.is_empty()).then(|| Head::new(&options.time_key, ":\"")),
            time_format: Some(options.time_key_format.clone()).filter(|format| format != DEFAULT_TIME_FORMAT),
            nanos: options.time_key_nanos,
            now: options.current_time_index,
            tag: options.include_tag_key.then(|| Head::new(&options.tag_key, ":")),
            without_dots: options.replace_dots,
        })
    }

    /// On the machine of that name.
    #[must_use]
    pub(super) fn on_node(self, node: &str) -> Self {
        Self { id: self.id.on_node(node), ..self }
    }

    /// Appends the piece of a record.
    pub(super) fn push(&self, out: &mut Vec<u8>, batch: &Batch, record: usize, recent: &mut Recent) {
        if self.push_own(out, batch, record, recent) {
            let behind = out.split_off(out.len() - self.behind_members().len());
            out.extend_from_slice(&batch.source.shared_json);
            out.extend_from_slice(&behind);
        }
    }

    /// The same without what its source shares with all records, if that stands before [`behind_members`](Self::behind_members) alone:
    /// then it is true.
    #[inline]
    pub(super) fn push_own(&self, out: &mut Vec<u8>, batch: &Batch, record: usize, recent: &mut Recent) -> bool {
        let time_ns = if self.now { now_ns() } else { batch.records[record].time_ns };
        self.push_action(out, batch, record, time_ns, recent);
        if self.operation.is_update() {
            out.extend_from_slice(b"{\"doc\":");
        }
        let is_left_out = self.push_document(out, batch, record, time_ns, recent);
        out.extend_from_slice(self.behind_members());
        is_left_out
    }

    /// What stands behind the members of a document.
    pub(super) fn behind_members(&self) -> &'static [u8] {
        match self.operation {
            WriteOperation::Create | WriteOperation::Index => b"}\n",
            WriteOperation::Update => b"}}\n",
            WriteOperation::Upsert => b"},\"doc_as_upsert\":true}\n",
        }
    }

    /// Has the record what names its document?
    pub(super) fn has_id(&self, batch: &Batch, record: usize) -> bool {
        self.id.names(batch, record)
    }

    #[inline]
    fn push_action(&self, out: &mut Vec<u8>, batch: &Batch, record: usize, time_ns: i64, recent: &mut Recent) {
        out.extend_from_slice(&self.action);
        if self.index.fixed().is_none() {
            self.find_index(batch, record, time_ns, recent);
            out.extend_from_slice(&recent.index_json);
        }
        out.extend_from_slice(&self.behind_index);
        self.id.push(out, batch, record, &mut recent.origin);
        out.extend_from_slice(b"}}\n");
    }

    /// Neighbours share it if nothing of their own is in it and their second is the same: no date of an index says more.
    fn find_index(&self, batch: &Batch, record: usize, time_ns: i64, recent: &mut Recent) {
        let second = time_ns.div_euclid(BILLION);
        let owns_shared = batch.records[record].owns_shared;
        if recent.index_second == Some(second) && !owns_shared {
            return;
        }
        self.index.write(batch, record, time_ns, &mut recent.index);
        recent.index_json.clear();
        json::push_escaped(&mut recent.index_json, recent.index.as_bytes());
        recent.index_second = (!owns_shared && self.index.is_shared(batch)).then_some(second);
    }

    #[inline]
    fn push_document(
        &self,
        out: &mut Vec<u8>,
        batch: &Batch,
        record: usize,
        time_ns: i64,
        recent: &mut Recent,
    ) -> bool {
        out.push(b'{');
        let mut comma = false;
        let heads = [self.time.as_ref(), self.tag.as_ref()];
        if let Some(head) = self.time.as_ref().filter(|_| !recent.has_key(batch, record, heads, 0)) {
            out.extend_from_slice(&head.json);
            self.push_time(out, time_ns, recent);
            comma = true;
        }
        if let Some(head) = self.tag.as_ref().filter(|_| !recent.has_key(batch, record, heads, 1)) {
            if comma {
                out.push(b',');
            }
            out.extend_from_slice(&head.json);
            json::push_utf8(out, batch.source.draft.tag.as_bytes());
            comma = true;
        }
        let record: &Record = &batch.records[record];
        match self.without_dots {
            true => {
                json::push_members_without_dots(out, batch, record, comma);
                false
            }
            false => json::push_own_members(out, batch, record, comma),
        }
    }

    /// The rest of the text, and its quote.
    #[inline]
    fn push_time(&self, out: &mut Vec<u8>, time_ns: i64, recent: &mut Recent) {
        let (second, nanos) = (time_ns.div_euclid(BILLION), time_ns.rem_euclid(BILLION) as u64);
        let is_new = recent.second.replace(second) != Some(second);
        match &self.time_format {
            None => {
                if is_new {
                    recent.civil = time::civil_text(second);
                }
                out.extend_from_slice(&recent.civil);
            }
            Some(format) => {
                if is_new {
                    recent.time.clear();
                    push_strftime(&mut recent.time, format, time_ns);
                }
                json::push_escaped(out, recent.time.as_bytes());
            }
        }
        out.push(b'.');
        match self.nanos {
            true => time::push_padded::<9>(out, nanos),
            false => time::push_padded::<3>(out, nanos / 1_000_000),
        }
        out.extend_from_slice(b"Z\"");
    }
}

fn now_ns() -> i64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}
