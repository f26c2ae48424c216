//! The parser format `regex`: the named groups of an expression are the fields.
//!
//! ```text
//! regex ^(?<level>[A-Z]+) (?<message>.*)$
//! ```

use super::types::{TypeOf, Types};
use crate::record::{Batch, Expression, Field, Groups, Span, Value};
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How a line is read.
#[derive(Debug)]
pub(super) struct Fields {
    /// Of all of a process: where its groups are kept.
    number: usize,
    expression: Expression,
    groups: Vec<Group>,
    /// Empty values are left out.
    skip_empty: bool,
}

#[derive(Debug)]
struct Group {
    key: Box<[u8]>,
    numbers: Vec<usize>,
    kind: Option<TypeOf>,
}

static MADE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The groups of each expression on this thread, so that no call allocates and none locks.
    static GROUPS: RefCell<Vec<Groups>> = const { RefCell::new(Vec::new()) };
}

impl Fields {
    pub(super) fn new(regex: &str, types: &Types, skip_empty: bool) -> Result<Self, String> {
        let expression = Expression::new(regex)?;
        let group = |(name, numbers): (&str, &[usize])| {
            let key: Box<[u8]> = name.as_bytes().into();
            Group { kind: types.of(&key), key, numbers: numbers.to_vec() }
        };
        let groups: Vec<Group> = expression.names().map(group).collect();
        if groups.is_empty() {
            return Err("it has no named group such as (?<message>.*)".into());
        }
        Ok(Self { number: MADE.fetch_add(1, Ordering::Relaxed), expression, groups, skip_empty })
    }

    /// Adds the fields of a text; `false` where the expression does not match.
    pub(super) fn read(&self, batch: &mut Batch, text: Span) -> bool {
        GROUPS.with_borrow_mut(|all| {
            if all.len() <= self.number {
                all.resize_with(self.number + 1, Groups::default);
            }
            let found = &mut all[self.number];
            let is_match = self.expression.captures(text.of(&batch.text), found);
            if is_match {
                self.push(batch, text.start as usize, found);
            }
            is_match
        })
    }

    fn push(&self, batch: &mut Batch, start: usize, found: &Groups) {
        let keys = batch.intern_all(self.groups.iter().map(|group| &*group.key));
        for (index, group) in self.groups.iter().enumerate() {
            let value = match found.last_of(&group.numbers) {
                Some(range) => Span::new(start + range.start, start + range.end),
                None => Span::default(),
            };
            if value.len == 0 && self.skip_empty {
                continue;
            }
            let value = match group.kind {
                Some(kind) => kind.value(batch, value),
                None => Value::Text(value),
            };
            let key = batch.interned(keys + index);
            batch.fields.push(Field { key, value });
        }
    }
}
