//! What is worked out once per source: labels and metadata where all its records share them, and what of shared fields stays in lines.
//!
//! A record shares them when what they are made of cannot differ: the tag, what the kubernetes filter says, or, as long as it has no
//! fields of its own, anything else that its source has. Standard output and standard error may differ in `$stream`, so each has its own.

use super::labels::{Labels, Made};
use super::line::Line;
use super::piece;
use crate::record::{Batch, Record, Shape, Source, SourceDraft, Stream};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// Sources up to which those that are gone are not looked for.
const SOURCES_MIN: usize = 64;
/// One for all records, or one for each kind that may differ.
pub(super) const KINDS: usize = 5;
/// What a container's line, or any line, brings itself: records of one source differ in it.
const OWN_KEYS: [&str; 6] = ["time", "log", "message", "_p", "logtag", "drave.truncated"];

/// One source.
#[derive(Debug)]
pub(super) struct Known {
    source: Weak<Source>,
    /// Whatever fields records have, labels and metadata are the same.
    is_fixed: bool,
    /// They are as long as records have no fields.
    is_plain: bool,
    /// By kind of record: with what pieces have in common, too.
    made: [Option<(Made, Vec<u8>)>; KINDS],
    /// What is left of its shared fields, where that is a part.
    pub(super) cleaned: Vec<Option<Vec<u8>>>,
}

impl Known {
    fn new(batch: &Batch, labels: &Labels, line: &Line) -> Self {
        let draft = &batch.source.draft;
        let keys: Vec<Option<&[u8]>> = labels.accessors().map(|accessor| accessor.root_key()).collect();
        let is_fixed = |key: &[u8]| draft.shared.iter().any(|s| s.wins && s.key.as_bytes() == key);
        Self {
            source: Arc::downgrade(&batch.source),
            is_fixed: keys.iter().flatten().all(|key| is_fixed(key)),
            is_plain: !keys.iter().flatten().any(|key| is_own_key(draft, key)),
            made: Default::default(),
            cleaned: line.cleaned(batch),
        }
    }

    /// The kind whose labels and metadata a record shares; `None` where it may have others than any other.
    #[inline]
    pub(super) fn kind(&self, record: &Record) -> Option<usize> {
        if record.owns_shared {
            return None;
        }
        if self.is_fixed {
            return Some(0);
        }
        if !self.is_plain || record.fields_start != record.fields_end {
            return None;
        }
        match (record.shape, record.stream) {
            (Shape::Line, _) => Some(1),
            (Shape::Container, Stream::None) => Some(2),
            (Shape::Container, Stream::Stdout) => Some(3),
            (Shape::Container, Stream::Stderr) => Some(4),
            (Shape::Fields, _) => None,
        }
    }

    #[inline]
    pub(super) fn made(&self, kind: usize) -> Option<(&Made, &[u8])> {
        self.made[kind].as_ref().map(|(made, common)| (made, common.as_slice()))
    }

    pub(super) fn keep(&mut self, kind: usize, made: &Made) {
        let mut common = Vec::new();
        piece::push_labels(&mut common, &made.labels);
        self.made[kind] = Some((made.clone(), common));
    }

    /// The streams that it is known to write to.
    pub(super) fn streams(&self) -> impl Iterator<Item = u64> {
        self.made.iter().flatten().map(|(made, _)| made.stream)
    }
}

fn is_own_key(draft: &SourceDraft, key: &[u8]) -> bool {
    let own = OWN_KEYS.into_iter().chain([draft.text_key.as_str()]).chain(draft.offset_key.as_deref());
    own.map(str::as_bytes).any(|own| own == key)
}

/// All sources that are read.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: HashMap<u64, Known>,
    /// How many there may be before those that are gone are looked for.
    max: usize,
}

impl Sources {
    /// The source of a batch.
    pub(super) fn of(&mut self, batch: &Batch, labels: &Labels, line: &Line) -> &mut Known {
        let number = batch.source.number;
        if self.known.len() >= self.max && !self.known.contains_key(&number) {
            self.known.retain(|_, known| known.source.strong_count() > 0);
            self.max = (self.known.len() * 2).max(SOURCES_MIN);
        }
        self.known.entry(number).or_insert_with(|| Known::new(batch, labels, line))
    }
}
