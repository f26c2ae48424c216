//! Where reading begins in a file.
//!
//! ```text
//! the file has a cursor                                  behind it
//! Fluent Bit had read up to an entry, at the first start behind it, in every file
//! first start, read_from_tail on                         at the end
//! a known cursor is of an entry that is in this file too behind it: journald copied the file from /run to /var
//! else                                                   at the beginning; copies are passed over as they are read (copies.rs)
//! ```

use super::followed::Followed;
use super::journal::{Cursor, Id, Trouble};
use super::settings::Settings;
use crate::state::{State, StateError};
use std::collections::HashMap;

/// Cursors of files that are gone, kept to recognise copies.
const GONE_MAX: usize = 32;

/// What is known of a section's files.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Of files that were not found yet.
    pub(super) by_file: HashMap<Id, Cursor>,
    /// Of files that are followed, or gone: the last entry that was settled, or read.
    pub(super) others: Vec<Cursor>,
    /// Where Fluent Bit stood, until the first scan is over.
    fluent_bit: Option<Cursor>,
    /// Until the first scan is over.
    from_tail: bool,
}

impl Places {
    pub(super) fn load(state: &State, settings: &Settings) -> Self {
        let rows = state.cursors(&settings.input.name);
        // An input that was here has taken over whatever there was, if only nothing.
        let first_start = rows.is_empty() && state.is_complete() && !state.has_taken_over(&settings.input.name);
        let by_file: HashMap<Id, Cursor> =
            rows.iter().filter_map(|(file, cursor)| Some((Id::parse(file)?, Cursor::parse(cursor)?))).collect();
        let mut places = Self { by_file, from_tail: first_start && settings.options.read_from_tail, ..Self::default() };
        if first_start {
            places.fluent_bit = fluent_bit(state, settings);
        }
        places.others = places.by_file.values().copied().collect();
        places
    }

    /// The first scan is over: what is found now is new.
    pub(super) fn end_of_start(&mut self) {
        (self.fluent_bit, self.from_tail) = (None, false);
    }

    /// A file went, or was read to its end.
    pub(super) fn keep(&mut self, cursor: Cursor) {
        self.others.push(cursor);
        let surplus = self.others.len().saturating_sub(GONE_MAX);
        self.others.drain(..surplus);
    }

    /// Moves a file that was found to where its reading begins.
    pub(super) fn begin(&mut self, file: &mut Followed) -> Result<(), Trouble> {
        if let Some(cursor) = self.by_file.remove(&file.id) {
            return file.begin(|entry| entry.seqnum <= cursor.seqnum);
        }
        if let Some(cursor) = self.fluent_bit {
            return file.begin(|entry| entry.order(&cursor).is_le());
        }
        if self.from_tail {
            return file.begin(|_| true);
        }
        match self.copied_until(file) {
            Some(copy) => file.begin(|entry| entry.seqnum <= copy.seqnum),
            None => file.begin(|_| false),
        }
    }

    /// The last entry of the file that was read in another one already.
    fn copied_until(&self, file: &mut Followed) -> Option<Cursor> {
        let (from, to) = (file.file.header().head_realtime, file.file.header().tail_realtime);
        let candidates = self.others.iter().filter(|c| (from..=to).contains(&c.realtime));
        let copies = candidates.filter_map(|cursor| file.copy_of(cursor));
        copies.max_by_key(|cursor| cursor.seqnum)
    }
}

fn fluent_bit(state: &State, settings: &Settings) -> Option<Cursor> {
    let database = settings.db.as_ref()?;
    let path = database.display();
    match state.fluent_bit_cursor(database) {
        Ok(None) => None,
        Ok(Some(text)) => {
            let cursor = Cursor::parse(&text);
            match cursor {
                Some(_) => {
                    tracing::info!(input = settings.input.name, database = %path, "took over the journal's cursor from Fluent Bit; its database is not needed any more")
                }
                None => tracing::warn!(
                    "`db` {path} has no cursor of a journal that can be read: `{text}`; hint: the journal is read as at a first start"
                ),
            }
            cursor
        }
        Err(error @ StateError::NotOurs { .. }) => {
            let reason = error.reason();
            tracing::warn!(
                "`db` {path}: {reason}; it is left as it is, and no cursor is taken from it; hint: name Fluent Bit's database, or a file that drave can make"
            );
            None
        }
        Err(error) => {
            let reason = error.reason();
            tracing::warn!(
                "the cursor in `db` {path} cannot be taken over: {reason}; the journal is read as at a first start; hint: stop drave, repair or remove that file, and start again with an empty state folder"
            );
            None
        }
    }
}
