//! One rule: what is done to a record's fields.

use super::super::words::report_wrong;
use crate::config::{Entry, Report, Section};
use crate::record::{Batch, Expression, Field, SourceDraft};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Set,
    Add,
    Remove,
    RemovePrefix,
    RemoveMatching,
    MoveToStart,
    MoveToEnd,
    Rename,
    HardRename,
    Copy,
    HardCopy,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) action: Action,
    key: String,
    /// The text, or the new name.
    second: String,
    expression: Option<Expression>,
}

impl Rule {
    pub(super) fn new(section: &Section, entry: &Entry, words: Vec<String>, report: &mut Report) -> Option<Self> {
        let action = match entry.key.as_str() {
            "set" => Action::Set,
            "add" => Action::Add,
            "remove" => Action::Remove,
            "remove_wildcard" => Action::RemovePrefix,
            "remove_regex" => Action::RemoveMatching,
            "move_to_start" => Action::MoveToStart,
            "move_to_end" => Action::MoveToEnd,
            "rename" => Action::Rename,
            "hard_rename" => Action::HardRename,
            "copy" => Action::Copy,
            "hard_copy" => Action::HardCopy,
            _ => return None,
        };
        let mut words = words.into_iter();
        let (key, second) = (words.next()?, words.next().unwrap_or_default());
        let expression = match (action, Expression::new(&key)) {
            (Action::RemoveMatching, Ok(expression)) => Some(expression),
            (Action::RemoveMatching, Err(error)) => {
                let why = format!("is no regular expression: {error}");
                report_wrong(section, entry, &why, "a dot that stands for itself is written as \\.", report);
                return None;
            }
            _ => None,
        };
        Some(Self { action, key, second, expression })
    }

    /// The key that it writes.
    pub(super) fn target(&self) -> &[u8] {
        match self.action {
            Action::Set | Action::Add => self.key.as_bytes(),
            _ => self.second.as_bytes(),
        }
    }

    /// The text that it writes.
    pub(super) fn text(&self) -> &[u8] {
        match self.action {
            Action::Set | Action::Add => self.second.as_bytes(),
            _ => b"",
        }
    }

    /// Is it about this key?
    pub(super) fn touches(&self, key: &str) -> bool {
        match self.action {
            Action::Set | Action::Add | Action::Remove => self.key == key,
            Action::RemovePrefix | Action::MoveToStart | Action::MoveToEnd => key.starts_with(&self.key),
            Action::RemoveMatching => self.expression.as_ref().is_some_and(|e| e.is_match(key.as_bytes())),
            Action::Rename | Action::HardRename | Action::Copy | Action::HardCopy => {
                self.key == key || self.second == key
            }
        }
    }

    /// Does it for all records of a source at once; `false` where it must look at each.
    pub(super) fn share(&self, source: &mut SourceDraft) -> bool {
        if source.is_virtual(&self.key) {
            return false;
        }
        match self.action {
            Action::Add if source.shared.iter().any(|s| s.key == self.key) => {}
            Action::Add => source.share(&self.key, self.second.as_str().into(), false),
            Action::Set => source.share(&self.key, self.second.as_str().into(), true),
            _ => return false,
        }
        true
    }

    /// Does it to one record, all of whose fields are its own. `constant`: target and text in the arena.
    pub(super) fn apply(&self, batch: &mut Batch, record: usize, constant: Field, spare: &mut Vec<Field>) {
        let key = self.key.as_bytes();
        let target = self.second.as_bytes();
        match self.action {
            Action::Set => {
                batch.remove_key(record, key);
                batch.push_field(record, constant);
            }
            Action::Add => {
                if batch.field_at(record, key).is_none() {
                    batch.push_field(record, constant);
                }
            }
            Action::Remove => _ = batch.remove_key(record, key),
            Action::RemovePrefix | Action::RemoveMatching => {
                batch.retain_fields(record, |batch, field| !self.is_meant(batch.bytes(field.key)));
            }
            Action::MoveToStart => self.partition(batch, record, spare, true),
            Action::MoveToEnd => self.partition(batch, record, spare, false),
            Action::Rename | Action::Copy => {
                if batch.field_at(record, target).is_none() {
                    self.write(batch, record, constant);
                }
            }
            Action::HardRename | Action::HardCopy => {
                if key != target && batch.field_at(record, key).is_some() {
                    batch.remove_key(record, target);
                    self.write(batch, record, constant);
                }
            }
        }
    }

    fn is_meant(&self, key: &[u8]) -> bool {
        match &self.expression {
            Some(expression) => expression.is_match(key),
            None => key.starts_with(self.key.as_bytes()),
        }
    }

    /// Renames, or puts a copy behind the field.
    fn write(&self, batch: &mut Batch, record: usize, constant: Field) {
        let Some(at) = batch.field_at(record, self.key.as_bytes()) else { return };
        if matches!(self.action, Action::Rename | Action::HardRename) {
            batch.fields[at].key = constant.key;
            return;
        }
        let behind = at + 1 - batch.records[record].fields_start as usize;
        let value = batch.fields[at].value;
        batch.push_field(record, Field { key: constant.key, value });
        let range = batch.records[record].fields_start as usize..batch.records[record].fields_end as usize;
        batch.fields[range][behind..].rotate_right(1);
    }

    fn partition(&self, batch: &mut Batch, record: usize, spare: &mut Vec<Field>, meant_first: bool) {
        let range = batch.records[record].fields_start as usize..batch.records[record].fields_end as usize;
        spare.clear();
        for meant in [meant_first, !meant_first] {
            let fields = batch.fields[range.clone()].iter();
            spare.extend(fields.filter(|field| self.is_meant(batch.bytes(field.key)) == meant));
        }
        batch.fields[range].copy_from_slice(spare);
    }
}
