//! The id of a document: what a record has under `id_key`, or one of its place.
//!
//! ```text
//! 018df974d57b-5d41402abc4b2a76b971
//! │            └ hash of node, file, tag, the file's first line, the record's first byte in it, how many bytes it is made of, and its
//! │              number among those of that byte; of a record that brings no time also its text
//! └ the record's time in milliseconds: look-ups pass over whole segments; zeros for a record that brings no time
//! ```
//! All of that is the same when a restart reads the record again, also from a compressed copy of its file.

use crate::record::{Accessor, Batch, Found};
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed, xxh3_128_with_seed};

/// Where ids come from.
#[derive(Debug)]
pub(super) enum IdMaker {
    /// The server makes them.
    Server,
    /// Records bring them; those that do not have one by the server.
    Key(Accessor),
    /// Of the record's place.
    Place {
        /// The name of this machine.
        node: String,
    },
}

/// The hash of what all records of a batch have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin(u64);

impl IdMaker {
    /// On the machine of that name.
    #[must_use]
    pub(super) fn on_node(self, node: &str) -> Self {
        match self {
            Self::Place { .. } => Self::Place { node: node.to_owned() },
            other => other,
        }
    }

    /// Appends `,"_id":"…"`, or nothing.
    #[inline]
    pub(super) fn push(&self, out: &mut Vec<u8>, batch: &Batch, record: usize, origin: &mut Option<Origin>) {
        match self {
            Self::Server => {}
            Self::Key(accessor) => {
                if let Some(id) = text_of(accessor, batch, record) {
                    out.extend_from_slice(b",\"_id\":");
                    id.push_json(out);
                }
            }
            Self::Place { node } => {
                let origin = *origin.get_or_insert_with(|| origin_of(node, batch));
                out.extend_from_slice(b",\"_id\":\"");
                push_place(out, batch, record, origin);
                out.push(b'"');
            }
        }
    }

    /// Does this record have an id that is not the server's?
    pub(super) fn names(&self, batch: &Batch, record: usize) -> bool {
        match self {
            Self::Server => false,
            Self::Key(accessor) => text_of(accessor, batch, record).is_some(),
            Self::Place { .. } => true,
        }
    }
}

/// Ids are texts; what is none, and the empty one, is no id.
fn text_of<'b>(accessor: &Accessor, batch: &'b Batch, record: usize) -> Option<Found<'b>> {
    let is_id = |found: &Found<'_>| found.is_string() && !matches!(found, Found::Text(b"") | Found::Json(b"\"\""));
    accessor.find(batch, record).filter(is_id)
}

fn origin_of(node: &str, batch: &Batch) -> Origin {
    let draft = &batch.source.draft;
    let path = draft.real_path.as_deref().or(draft.path.as_deref()).unwrap_or_default();
    let mut hash = Xxh3::new();
    for text in [node, path, &draft.tag] {
        hash.update(text.as_bytes());
        hash.update(b"\0");
    }
    hash.update(&batch.reading.first_line.to_le_bytes());
    Origin(hash.digest())
}

fn push_place(out: &mut Vec<u8>, batch: &Batch, record: usize, origin: Origin) {
    let own = &batch.records[record];
    let before = batch.records[..record].iter().rev();
    let number = before.take_while(|other| other.offset == own.offset).count();
    let mut place = [0; 20];
    place[..8].copy_from_slice(&own.offset.to_le_bytes());
    place[8..16].copy_from_slice(&(number as u64).to_le_bytes());
    // A trace that was sent without its last lines is another record than the whole one that a restart finds.
    place[16..].copy_from_slice(&own.bytes.to_le_bytes());
    let (millis, text) = match own.time_ns {
        // The time of reading is another one the next time. Without a time a file that is written anew has other lines in the same place.
        time_ns if time_ns == batch.reading.time_ns => {
            (0, xxh3_64_with_seed(batch.bytes(own.text), u64::from(batch.reading.rewritten)))
        }
        time_ns => (time_ns.max(0) as u64 / 1_000_000, 0),
    };
    push_hex::<12>(out, u128::from(millis));
    out.push(b'-');
    push_hex::<20>(out, xxh3_128_with_seed(&place, origin.0 ^ text));
}

/// The lowest digits.
fn push_hex<const DIGITS: usize>(out: &mut Vec<u8>, mut number: u128) {
    let mut text = [0; DIGITS];
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Reading, Record, Source, SourceDraft};
    use std::collections::HashSet;
    use std::sync::Arc;

    fn batch(path: &str, tag: &str, first_line: u64, records: &[(u64, i64)]) -> Batch {
        let draft = SourceDraft { tag: tag.into(), real_path: Some(path.into()), ..SourceDraft::default() };
        let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
        batch.reading = Reading { first_line, time_ns: 99, ..Reading::default() };
        let record =
            |(offset, time_ns): &(u64, i64)| Record { offset: *offset, time_ns: *time_ns, ..Record::default() };
        batch.records.extend(records.iter().map(record));
        batch
    }

    fn ids(node: &str, batch: &Batch) -> Vec<String> {
        let maker = IdMaker::Place { node: node.into() };
        let mut origin = None;
        let id = |record| {
            let mut out = Vec::new();
            maker.push(&mut out, batch, record, &mut origin);
            String::from_utf8(out).expect("text")
        };
        (0..batch.records.len()).map(id).collect()
    }

    #[test]
    fn ids_name_places() {
        let time = 1_709_287_200_123_456_789;
        let records = [(0, time), (70, time), (70, time), (140, 99)];
        let first = ids("n", &batch("/a/0.log", "t", 1, &records));
        assert_eq!(first, ids("n", &batch("/a/0.log", "t", 1, &records)), "a restart finds them again");
        assert!(first[0].starts_with(",\"_id\":\"018df974d57b-"), "{}", first[0]);
        assert!(first[3].starts_with(",\"_id\":\"000000000000-"), "{}", first[3]);
        let mut all: HashSet<String> = first.into_iter().collect();
        for (node, other) in [
            ("m", batch("/a/0.log", "t", 1, &records)),
            ("n", batch("/a/1.log", "t", 1, &records)),
            ("n", batch("/a/0.log", "u", 1, &records)),
            ("n", batch("/a/0.log", "t", 2, &records)),
        ] {
            all.extend(ids(node, &other));
        }
        assert_eq!(all.len(), 20, "and no others have them");
        let mut anew = batch("/a/0.log", "t", 1, &records);
        anew.reading.rewritten = 1;
        let changed: Vec<bool> = ids("n", &anew).into_iter().map(|id| all.insert(id)).collect();
        assert_eq!(
            changed,
            [false, false, false, true],
            "only its time tells a record from one that stood there before"
        );
        let mut longer = batch("/a/0.log", "t", 1, &records[..1]);
        longer.records[0].bytes = 70;
        assert!(all.insert(ids("n", &longer).remove(0)), "with further lines joined to it it is another record");
        let late = batch("/a/0.log", "t", 1, &records[..2]);
        assert_eq!(
            ids("n", &late),
            ids("n", &batch("/a/0.log", "t", 1, &records))[..2],
            "however much is read at once"
        );
    }
}
