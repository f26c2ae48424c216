//! One rule: what is done to a record's fields.

use super::super::words::report_wrong;
use crate::config::{Entry, Report, Section};
use crate::record::{Batch, Expression, Field, SourceDraft, Value};

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

/// What a rule that was done for a whole source leaves to do.
#[derive(Debug, Clone)]
pub(super) enum Fix {
    /// A field of this name was hidden by what was shared, and goes as well.
    LeaveOut(String),
    /// What was shared got another name, but records that have a field of that name keep it under the old one.
    Renamed { from: String, to: String, json: String },
}

impl Fix {
    pub(super) fn apply(&self, batch: &mut Batch, record: usize) {
        match self {
            Self::LeaveOut(key) => _ = batch.remove_key(record, key.as_bytes()),
            Self::Renamed { from, to, json } => {
                batch.remove_key(record, from.as_bytes());
                if batch.field_at(record, to.as_bytes()).is_some() {
                    let (key, value) = (batch.intern(from.as_bytes()), batch.intern(json.as_bytes()));
                    batch.push_field(record, Field { key, value: Value::Json(value) });
                }
            }
        }
    }
}

fn is_shared(source: &SourceDraft, key: &str) -> bool {
    source.shared.iter().any(|s| s.key == key)
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

    /// Does it for all records of a source at once; `false` where it must look at each. `fixes`: what is left to do for those
    /// that have fields of these names.
    pub(super) fn share(&self, source: &mut SourceDraft, fixes: &mut Vec<Fix>) -> bool {
        if source.is_virtual(&self.key) {
            return false;
        }
        match self.action {
            Action::Add if is_shared(source, &self.key) => {}
            Action::Add => source.share(&self.key, self.second.as_str().into(), false),
            Action::Set => source.share(&self.key, self.second.as_str().into(), true),
            Action::Remove => {
                source.shared.retain(|s| s.key != self.key);
                if source.may_have(&self.key) {
                    fixes.push(Fix::LeaveOut(self.key.clone()));
                }
            }
            Action::Rename | Action::HardRename | Action::Copy | Action::HardCopy => {
                return self.share_anew(source, fixes);
            }
            _ => return false,
        }
        true
    }

    /// The same for what is shared under one name and shall be under another.
    fn share_anew(&self, source: &mut SourceDraft, fixes: &mut Vec<Fix>) -> bool {
        // Where it does not win, records may have their own.
        let shared = source.shared.iter().find(|s| s.key == self.key && (s.wins || source.is_bare));
        if shared.is_none() && source.is_bare {
            return true;
        }
        let Some(value) = shared.map(|s| s.value.clone()).filter(|_| !source.is_virtual(&self.second)) else {
            return false;
        };
        let wins = matches!(self.action, Action::HardRename | Action::HardCopy);
        if self.key == self.second || (!wins && is_shared(source, &self.second)) {
            return true;
        }
        match self.action {
            Action::Rename | Action::HardRename if source.is_bare => {}
            Action::Rename => {
                let (from, to) = (self.key.clone(), self.second.clone());
                fixes.push(Fix::Renamed { from, to, json: value.to_string() });
            }
            Action::HardRename => fixes.push(Fix::LeaveOut(self.key.clone())),
            _ => {}
        }
        if matches!(self.action, Action::Rename | Action::HardRename) {
            source.shared.retain(|s| s.key != self.key);
        }
        source.share(&self.second, value, wins);
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
