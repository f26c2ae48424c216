//! A request as an answer to it is held against: its entries, and those of each stream.

use super::entry;
use super::piece::{Entry, entries};
use crate::output::Pieces;
use crate::record::json_read;
use regex::{Captures, Regex};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

/// Labels that Loki finds itself and shows beside those that came.
const FOUND_THERE: [&str; 2] = ["service_name", "__stream_shard__"];

/// The entries of a request.
pub(super) struct Asked<'p> {
    pub(super) entries: Vec<Entry<'p>>,
    by_labels: HashMap<Labels, Vec<usize>>,
}

/// What Loki counts of an entry's metadata.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MetadataSize {
    /// Of names and values.
    pub(super) bytes: usize,
    pub(super) count: usize,
}

impl<'p> Asked<'p> {
    pub(super) fn of(pieces: &'p Pieces) -> Self {
        let entries: Vec<Entry<'p>> = entries(pieces).collect();
        let mut by_text: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            by_text.entry(entry.labels).or_default().push(index);
        }
        let mut by_labels: HashMap<Labels, Vec<usize>> = HashMap::new();
        for (text, indices) in by_text {
            by_labels.entry(Labels::of(text)).or_default().extend(indices);
        }
        Self { entries, by_labels }
    }

    /// The entries of the stream that an answer names, in their order.
    pub(super) fn of_stream(&self, stream: &Labels) -> Vec<usize> {
        let found = self.by_labels.get(stream).or_else(|| self.by_labels.get(&stream.as_sent()));
        let mut indices = found.cloned().unwrap_or_default();
        indices.sort_unstable();
        indices
    }

    /// Of each metadata that there is.
    pub(super) fn metadata_sizes(&self) -> HashMap<&'p [u8], MetadataSize> {
        let mut sizes = HashMap::new();
        for entry in &self.entries {
            sizes.entry(entry.metadata).or_insert_with(|| {
                let add = |size: MetadataSize, (name, value): (&[u8], &[u8])| MetadataSize {
                    bytes: size.bytes + name.len() + value.len(),
                    count: size.count + 1,
                };
                entry::pairs(entry.metadata).fold(MetadataSize::default(), add)
            });
        }
        sizes
    }
}

/// The labels of a stream, in whatever order they are written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Labels(BTreeSet<(String, String)>);

impl Labels {
    /// As an answer writes them: `{app="web", job="x"}`.
    pub(super) fn read(text: &str) -> Self {
        #[allow(clippy::expect_used, reason = "a constant, which a test compiles")]
        static LABEL: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r#"([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)""#).expect("a pattern"));
        let label = |found: Captures<'_>| (found[1].to_owned(), unescaped(&found[2]));
        Self(LABEL.captures_iter(text).map(label).collect())
    }

    /// As a piece has them.
    fn of(json: &[u8]) -> Self {
        let members: Map<String, Value> = serde_json::from_slice(json).unwrap_or_default();
        let label = |(name, value): (String, Value)| (name, value.as_str().unwrap_or_default().to_owned());
        Self(members.into_iter().map(label).collect())
    }

    /// Without what Loki adds.
    fn as_sent(&self) -> Self {
        Self(self.0.iter().filter(|(name, _)| !FOUND_THERE.contains(&name.as_str())).cloned().collect())
    }
}

fn unescaped(text: &str) -> String {
    let mut out = Vec::new();
    match json_read::unescape(text.as_bytes(), &mut out) {
        Some(()) => String::from_utf8_lossy(&out).into_owned(),
        None => text.to_owned(),
    }
}
