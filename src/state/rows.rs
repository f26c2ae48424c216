//! All rows in memory, and which of them the database does not have yet.
//!
//! ```text
//!            put                  written
//!  (absent) ─────▶ pending ─────────────────▶ stored
//!      ▲             │ ▲          put           │
//!      └── remove ───┘ └────────────────────────┤
//!      ▲            written                     │ remove
//!      └───────────────────── pending delete ◀──┘
//! ```
//!
//! Age is counted in seconds that drave itself was running, not by the wall clock: neither a week off, nor a node that boots in
//! 1970 and learns the time later, makes a row old.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::cursors::Cursors;
use super::known::Known;
use super::row::{Key, Row};
use super::{Change, Position};

/// The rows of all inputs.
#[derive(Debug)]
pub(super) struct Rows {
    kept: BTreeMap<Key, Kept>,
    /// Keys whose row, or its absence, is not in the database yet.
    pending: BTreeSet<Key>,
    /// Inputs that have taken over another agent's positions, and whether the database knows it.
    taken_over: BTreeMap<String, bool>,
    pub(super) known: Known,
    pub(super) cursors: Cursors,
    /// Running time of all earlier owners.
    pub(super) ran_before: u64,
    started: Instant,
}

#[derive(Debug)]
struct Kept {
    row: Row,
    /// Does the database have a row of this key, be it an older one?
    stored: bool,
}

impl Rows {
    pub(super) fn new() -> Rows {
        Rows {
            kept: BTreeMap::new(),
            pending: BTreeSet::new(),
            taken_over: BTreeMap::new(),
            known: Known::default(),
            cursors: Cursors::default(),
            ran_before: 0,
            started: Instant::now(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Seconds that drave has been running on this database, all owners together.
    pub(super) fn running(&self) -> u64 {
        self.ran_before + self.started.elapsed().as_secs()
    }

    pub(super) fn positions(&self, input: &str) -> Vec<Position> {
        let rows = self.kept.range(Key::first(input)..).take_while(|(key, _)| key.input == input);
        rows.map(|(_, kept)| kept.row.position.clone()).collect()
    }

    pub(super) fn positions_of_others(&self, inputs: &[&str]) -> Vec<(String, Position)> {
        let mut newest: BTreeMap<(&[u8], u64), (&Key, &Row)> = BTreeMap::new();
        for (key, Kept { row, .. }) in &self.kept {
            let file = (key.path.as_slice(), key.inode);
            let is_newest = newest.get(&file).is_none_or(|(_, other)| other.touched <= row.touched);
            if is_newest && !inputs.contains(&key.input.as_str()) {
                newest.insert(file, (key, row));
            }
        }
        newest.into_values().map(|(key, row)| (key.input.clone(), row.position.clone())).collect()
    }

    pub(super) fn apply(&mut self, changes: Vec<Change>) {
        let touched = self.running();
        for change in changes {
            match change {
                Change::Put { input, position } => self.put(input, Row { position, touched }),
                Change::TakenOver { input } => drop(self.taken_over.entry(input).or_insert(false)),
                Change::PutCursor { input, file, cursor } => self.cursors.put((input, file), cursor, touched),
                Change::RemoveCursor { input, file } => self.cursors.remove((input, file)),
                Change::Remove { input, path, inode } => self.remove(&Key::new(input, &path, inode)),
            }
        }
    }

    fn put(&mut self, input: String, row: Row) {
        debug_assert!(row.position.is_sound(), "{:?} cannot be true of a file", row.position);
        let key = Key::new(input, &row.position.path, row.position.inode);
        let was_pending = !self.pending.insert(key.clone());
        match self.kept.get_mut(&key) {
            Some(kept) => kept.row = row,
            // Pending without a row: it waited to be deleted, so the database still has it.
            None => drop(self.kept.insert(key, Kept { row, stored: was_pending })),
        }
    }

    /// Only a row that the database has needs a delete; so what is pending stays bounded while the disk is away.
    fn remove(&mut self, key: &Key) {
        match self.kept.remove(key) {
            Some(kept) if kept.stored => drop(self.pending.insert(key.clone())),
            Some(_) => drop(self.pending.remove(key)),
            None => {}
        }
    }

    /// Each key to write, with its row, or `None` to delete it.
    pub(super) fn pending(&self) -> impl Iterator<Item = (&Key, Option<&Row>)> {
        self.pending.iter().map(|key| (key, self.kept.get(key).map(|kept| &kept.row)))
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
            || self.pending_taken_over().next().is_some()
            || self.known.pending().next().is_some()
            || self.cursors.has_pending()
    }

    pub(super) fn has_taken_over(&self, input: &str) -> bool {
        self.taken_over.contains_key(input)
    }

    /// Inputs of which the database does not know it yet.
    pub(super) fn pending_taken_over(&self) -> impl Iterator<Item = &str> {
        self.taken_over.iter().filter(|(_, stored)| !**stored).map(|(input, _)| input.as_str())
    }

    /// A database was opened that knows it of these inputs, and of no others.
    pub(super) fn adopt_taken_over(&mut self, found: &BTreeSet<String>) {
        self.taken_over.iter_mut().for_each(|(input, stored)| *stored = found.contains(input));
        for input in found {
            self.taken_over.insert(input.clone(), true);
        }
    }

    /// The same of a damaged database: it has to be written again.
    pub(super) fn rescue_taken_over(&mut self, found: BTreeSet<String>) {
        for input in found {
            self.taken_over.entry(input).or_insert(false);
        }
    }

    /// All that was pending is in the database now.
    pub(super) fn written(&mut self) {
        self.known.written();
        self.cursors.written();
        for key in std::mem::take(&mut self.pending) {
            if let Some(kept) = self.kept.get_mut(&key) {
                kept.stored = true;
            }
        }
        self.taken_over.values_mut().for_each(|stored| *stored = true);
    }

    /// A database was opened and holds `found`. What memory knows is newer; all in which the two differ becomes pending.
    pub(super) fn adopt(&mut self, found: BTreeMap<Key, Row>, ran: u64) {
        self.go_on_from(ran.max(found.values().map(|row| row.touched).max().unwrap_or(0)));
        for (key, kept) in &mut self.kept {
            let there = found.get(key);
            kept.stored = there.is_some();
            if there != Some(&kept.row) {
                self.pending.insert(key.clone());
            }
        }
        for (key, row) in found {
            if !self.pending.contains(&key) {
                self.kept.entry(key).or_insert(Kept { row, stored: true });
            }
        }
    }

    /// Rows that were saved from a damaged database or had to be mended; to be written if memory does not know better.
    pub(super) fn rescue(&mut self, rows: impl IntoIterator<Item = (Key, Row)>) {
        for (key, row) in rows {
            if !self.kept.contains_key(&key) && self.pending.insert(key.clone()) {
                self.kept.insert(key, Kept { row, stored: true });
            }
        }
    }

    /// The running time never goes back; rows put before the database was there keep their age.
    fn go_on_from(&mut self, ran: u64) {
        let gap = ran.saturating_sub(self.running());
        self.ran_before += gap;
        for kept in self.kept.values_mut() {
            kept.row.touched += gap;
        }
    }

    /// Drops the rows not put for that long, unless their file is still there under its name. Says how many.
    pub(super) fn retire(&mut self, older_than: Duration) -> usize {
        let now = self.running();
        let old = |kept: &Kept| now.saturating_sub(kept.row.touched) > older_than.as_secs();
        let keys: Vec<Key> = self.kept.iter().filter(|(_, kept)| old(kept)).map(|(key, _)| key.clone()).collect();
        let before = self.kept.len();
        for key in keys {
            match self.kept.get_mut(&key) {
                Some(kept) if is_still_there(&kept.row.position) => {
                    kept.row.touched = now;
                    self.pending.insert(key);
                }
                _ => self.remove(&key),
            }
        }
        self.known.retire(now.saturating_sub(older_than.as_secs()));
        self.cursors.retire(now.saturating_sub(older_than.as_secs()));
        before - self.kept.len()
    }
}

fn is_still_there(position: &Position) -> bool {
    fs::metadata(&position.path).is_ok_and(|file| file.ino() == position.inode)
}
