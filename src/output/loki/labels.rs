//! The labels and the structured metadata of an entry, within what Loki takes: a label too many, or too long, goes to the metadata, and
//! so do those of a stream too many.

use super::LokiOptions;
use super::pairs::{Pair, Rendered, Value, of_accessors, of_map, read_accessors, read_pairs, valid_name};
use super::piece::DEFAULT_LABELS;
use super::streams::Streams;
use crate::config::{Report, Section};
use crate::record::{Accessor, Batch};
use serde_json::Value as Json;
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// `max_label_name_length`, `max_label_value_length`: Loki's defaults.
const NAME_MAX: usize = 1024;
const VALUE_MAX: usize = 2048;

/// Where labels and metadata come from.
#[derive(Debug)]
pub(super) struct Labels {
    labels: Vec<Pair>,
    /// `$kubernetes['labels']` with `auto_kubernetes_labels on`.
    automatic: Option<Accessor>,
    labels_max: usize,
    /// Maps whose members are metadata.
    maps: Vec<Accessor>,
    metadata: Vec<Pair>,
}

/// What they come to for one record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// A JSON object.
    pub(super) labels: Vec<u8>,
    /// Pairs, as entries have them.
    pub(super) metadata: Vec<u8>,
    /// Hash of the labels.
    pub(super) stream: u64,
    /// Why it is not what the configuration says.
    pub(super) changed: Option<Change>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Labels over a limit became metadata.
    Labels,
    /// There would be one stream too many: only fixed labels are left.
    Streams,
}

/// Kept and filled again, so that nothing is allocated for a record.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    labels: Rendered,
    metadata: Rendered,
    pub(super) made: Made,
}

impl Labels {
    /// All but what the file of `label_map_path` says.
    pub(super) fn read(section: &Section, options: &LokiOptions, report: &mut Report) -> Option<Self> {
        let labels = read_pairs(section, "labels", &options.labels.0, report);
        let keys = read_accessors(section, "label_keys", &options.label_keys.0, report);
        let metadata = read_pairs(section, "structured_metadata", &options.structured_metadata.0, report);
        let map_keys = &options.structured_metadata_map_keys.0;
        let maps = read_accessors(section, "structured_metadata_map_keys", map_keys, report);
        let (mut labels, keys, metadata, maps) = (labels?, keys?, metadata?, maps?);
        labels.iter_mut().for_each(|pair| pair.name = valid_name(&pair.name));
        labels.extend(of_accessors(keys));
        let automatic = options.auto_kubernetes_labels.then(|| Accessor::of_keys(["kubernetes", "labels"])).flatten();
        Some(Self { labels, automatic, labels_max: usize::from(options.labels_max), maps, metadata })
    }

    /// Adds the labels of a map.
    pub(super) fn add_map(&mut self, map: &Json) -> Result<(), String> {
        self.labels.extend(of_map(map)?);
        Ok(())
    }

    /// What of a record is in labels and metadata, and leaves the line: of each value the first accessor, as in Fluent Bit.
    pub(super) fn used(&self) -> impl Iterator<Item = &Accessor> {
        let pairs = self.labels.iter().chain(&self.metadata);
        pairs.filter_map(|pair| pair.accessors().next()).chain(&self.maps)
    }

    /// All that is looked at.
    pub(super) fn accessors(&self) -> impl Iterator<Item = &Accessor> {
        let pairs = self.labels.iter().chain(&self.metadata);
        pairs.flat_map(Pair::accessors).chain(&self.maps).chain(&self.automatic)
    }

    /// Works them out for a record, into `scratch.made`.
    pub(super) fn make(
        &self,
        batch: &Batch,
        record: usize,
        streams: &mut Streams,
        now: Instant,
        scratch: &mut Scratch,
    ) {
        let Scratch { labels, metadata, made } = scratch;
        labels.clear();
        metadata.clear();
        self.labels.iter().for_each(|pair| pair.render(batch, record, labels));
        if let Some(found) = self.automatic.as_ref().and_then(|automatic| automatic.find(batch, record)) {
            labels.set_members(found, true);
        }
        for found in self.maps.iter().filter_map(|map| map.find(batch, record)) {
            metadata.set_members(found, false);
        }
        self.metadata.iter().for_each(|pair| pair.render(batch, record, metadata));
        made.changed = None;
        self.push_labels(labels, &|_| true, made);
        made.stream = xxh3_64(&made.labels);
        if !streams.admit(made.stream, now) {
            self.push_labels(labels, &|name| self.is_fixed(name), made);
            made.changed = Some(Change::Streams);
        }
        made.metadata.clear();
        if made.changed.is_some() {
            self.move_labels(labels, metadata, made.changed);
        }
        metadata.push_metadata(&mut made.metadata);
    }

    /// The labels that fit, and the one that there must be.
    fn push_labels(&self, labels: &Rendered, wanted: &dyn Fn(&str) -> bool, made: &mut Made) {
        made.labels.clear();
        let mut left = self.labels_max;
        let mut fits = |index: &usize| {
            let (name, value) = labels.get(*index);
            let fits = wanted(name) && left > 0 && name.len() <= NAME_MAX && value.len() <= VALUE_MAX;
            left -= usize::from(fits);
            fits
        };
        let mut count = 0;
        labels.push_labels((0..labels.len()).filter(|index| fits(index)).inspect(|_| count += 1), &mut made.labels);
        if count < labels.len() {
            made.changed = Some(Change::Labels);
        }
        if count == 0 {
            made.labels.clear();
            made.labels.extend_from_slice(DEFAULT_LABELS);
        }
    }

    /// Makes metadata of the labels that are left out, or of all that are not fixed.
    fn move_labels(&self, labels: &Rendered, metadata: &mut Rendered, change: Option<Change>) {
        let mut left = self.labels_max;
        for index in 0..labels.len() {
            let (name, value) = labels.get(index);
            let wanted = change == Some(Change::Labels) || self.is_fixed(name);
            if wanted && left > 0 && name.len() <= NAME_MAX && value.len() <= VALUE_MAX {
                left -= 1;
            } else {
                metadata.add(name, value);
            }
        }
    }

    fn is_fixed(&self, name: &str) -> bool {
        let of_name = self.labels.iter().rfind(|pair| pair.name == name);
        of_name.is_some_and(|pair| matches!(pair.value, Value::Fixed(_)))
    }
}
