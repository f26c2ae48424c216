//! Reading: which file is next, a round of its entries, and the groups that had to wait.

use super::copies::{IsCopy, is_copy};
use super::follow::{Held, Journal, Reader};
use super::followed::{Followed, Look};
use super::journal::{Cursor, Trouble};
use super::round::{Lists, ROUND_BYTES};
use crate::input::{Admission, LostReason, Pipe};
use std::ops::Range;

/// Entries that may be held back for outputs that are full: of each only its place is in memory.
const HELD_MAX: usize = 100_000;

/// Copies that are passed at a time.
const COPIES_MAX: usize = 20_000;

/// What came of a try to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Read,
    Idle,
    Full,
}

impl Journal {
    /// Reads a round of the file whose entry comes next.
    pub(super) fn step(&mut self, reader: &mut Reader) -> Step {
        let worked = self.retry_held(reader);
        if self.held_entries >= HELD_MAX || self.is_over_its_limit(reader) {
            return if worked { Step::Read } else { Step::Full };
        }
        let (first, limit, passed) = self.next_file(reader);
        let Some(index) = first else {
            let idle = if self.held.is_empty() { Step::Idle } else { Step::Full };
            return if worked || passed { Step::Read } else { idle };
        };
        self.read_round(index, limit, reader);
        Step::Read
    }

    /// The file whose entry comes next, up to which entry it may be read before another one's turn, and whether entries were
    /// passed over.
    fn next_file(&mut self, reader: &Reader) -> (Option<usize>, Option<Cursor>, bool) {
        let (mut first, mut limit, mut passed): (Option<(usize, Cursor)>, Option<Cursor>, bool) = (None, None, false);
        for index in 0..self.files.len() {
            let next = match self.look(index) {
                Look::Next(next) => next.cursor,
                Look::End => continue,
                Look::Later => {
                    // Its next entry is not known: others must not pass it.
                    passed = true;
                    return (None, None, passed);
                }
                Look::Damaged(trouble, bytes) => {
                    report(&mut self.files[index], &trouble, bytes, self.settings.input.number, &*reader.pipe);
                    return (None, None, true);
                }
            };
            match first {
                Some((_, cursor)) if next.order(&cursor).is_ge() => limit = Some(earlier(limit, next)),
                _ => {
                    limit = first.map(|(_, cursor)| earlier(limit, cursor)).or(limit);
                    first = Some((index, next));
                }
            }
        }
        (first.map(|(index, _)| index), limit, passed)
    }

    /// The next entry of a file that is no copy.
    fn look(&mut self, index: usize) -> Look {
        let mut look = self.files[index].look();
        if !matches!(look, Look::Next(_)) {
            return look;
        }
        let covered = self.covered(index);
        for _ in 0..COPIES_MAX {
            let Look::Next(next) = &look else { return look };
            match is_copy(&covered, &next.cursor) {
                IsCopy::No => return look,
                IsCopy::Waits => return Look::End,
                IsCopy::Read(of) => self.files[index].pass_copy(of),
                IsCopy::Settled => self.files[index].take_next(),
            }
            look = self.files[index].look();
        }
        Look::Later
    }

    fn read_round(&mut self, index: usize, limit: Option<Cursor>, reader: &mut Reader) {
        self.tidy();
        let covered = self.covered(index);
        let round = &mut reader.round;
        round.clear();
        let file = &mut self.files[index];
        while round.entries.len() < self.settings.entries_max() && round.bytes < ROUND_BYTES {
            let next = match file.look() {
                Look::Next(next) => next,
                Look::End | Look::Later => break,
                Look::Damaged(trouble, bytes) => {
                    report(file, &trouble, bytes, self.settings.input.number, &*reader.pipe);
                    continue;
                }
            };
            let is_after = limit.is_some_and(|limit| next.cursor.order(&limit).is_gt());
            if is_after || is_copy(&covered, &next.cursor) != IsCopy::No {
                break;
            }
            let items = std::mem::take(&mut file.items);
            let fields_max = self.settings.fields_max();
            let (keys, sources) = (&mut self.keys, &mut self.sources);
            let own = reader.own.as_deref();
            let mut lists = Lists { slots: &mut file.slots, keys, sources, fields_max, own };
            match round.add(&mut file.file, next.entry, &items, &mut lists) {
                Ok(()) => file.take_next(),
                Err(trouble) => {
                    let Look::Damaged(trouble, bytes) = file.trouble(next.entry.offset, trouble, next.entry.size)
                    else {
                        break;
                    };
                    report(file, &trouble, bytes, self.settings.input.number, &*reader.pipe);
                    file.read = Some(next.cursor);
                }
            }
            file.items = items;
        }
        if round.own_bytes > 0 {
            reader.pipe.skipped(self.settings.input.number, round.own_bytes);
        }
        if !round.entries.is_empty() {
            self.hand_over(index, reader);
        }
    }

    /// Hands the groups of a round on, or holds them.
    fn hand_over(&mut self, index: usize, reader: &mut Reader) {
        let bytes = reader.round.bytes as u64;
        let number = self.files[index].note(bytes);
        self.unsettled += bytes;
        for group in reader.round.by_source() {
            let source = reader.round.entries[group.start].source;
            let waits = self.held.iter().any(|held| held.source == source);
            if waits || !self.try_push(index, number, group.clone(), reader) {
                self.hold(index, number, group, reader);
            }
        }
    }

    /// Pushes a group, or counts it where nobody wants it; `false` when it has to wait.
    fn try_push(&mut self, index: usize, number: u64, group: Range<usize>, reader: &mut Reader) -> bool {
        let entries = &reader.round.entries[group.clone()];
        let (source_number, bytes) = (entries[0].source, entries.iter().map(|e| u64::from(e.bytes)).sum());
        let admission = match self.sources.open(source_number, &*reader.pipe) {
            None => Admission::LeftOut,
            Some(source) if reader.insists => match reader.pipe.admit(source) {
                Admission::NotYet => reader.pipe.insist(source),
                admission => admission,
            },
            Some(source) => reader.pipe.admit(source),
        };
        match admission {
            Admission::Full | Admission::NotYet => return false,
            Admission::LeftOut => {
                self.sources.leave_out(source_number);
                reader.pipe.skipped(self.settings.input.number, bytes);
                return true;
            }
            Admission::Go => {}
        }
        let Some(source) = self.sources.open(source_number, &*reader.pipe) else { return true };
        let file = &mut self.files[index];
        let (round, batch) = (&mut reader.round, &mut reader.batch);
        let mut to = super::round::To { slots: &mut file.slots, keys: &mut self.keys, now_ns: reader.now_ns };
        round.fill(batch, source, group, &file.file, &mut to);
        reader.pipe.push(batch);
        if let Some(pending) = file.pending_mut(number) {
            pending.tickets.push(batch.ticket.clone());
        }
        true
    }

    fn hold(&mut self, index: usize, number: u64, group: Range<usize>, reader: &Reader) {
        let entries = &reader.round.entries[group];
        let file = &mut self.files[index];
        let offsets: Vec<u64> = entries.iter().map(|entry| entry.entry.offset).collect();
        self.held_entries += offsets.len();
        self.held.push_back(Held { file: file.id, number, source: entries[0].source, offsets });
        if let Some(pending) = file.pending_mut(number) {
            pending.held += 1;
        }
    }

    /// Reads held groups again whose outputs have room by now, each source in its order. `true` when something was handed on.
    fn retry_held(&mut self, reader: &mut Reader) -> bool {
        let (mut blocked, mut worked) = (Vec::new(), false);
        for held in std::mem::take(&mut self.held) {
            if blocked.contains(&held.source) || !self.may_push(held.source, reader) {
                blocked.push(held.source);
                self.held.push_back(held);
                continue;
            }
            worked = true;
            self.held_entries -= held.offsets.len();
            let Some(index) = self.files.iter().position(|file| file.id == held.file) else { continue };
            self.read_held(index, &held, reader);
            if let Some(pending) = self.files[index].pending_mut(held.number) {
                pending.held -= 1;
            }
            for group in reader.round.by_source() {
                // Unless the room is gone meanwhile, or a restart of the file's numbering gave it another source.
                if !self.try_push(index, held.number, group.clone(), reader) {
                    self.hold(index, held.number, group, reader);
                    blocked.push(held.source);
                }
            }
        }
        worked
    }

    fn may_push(&mut self, source: u32, reader: &Reader) -> bool {
        match self.sources.open(source, &*reader.pipe).map(|source| reader.pipe.admit(source)) {
            Some(Admission::NotYet) => reader.insists,
            Some(Admission::Full) => false,
            Some(Admission::Go | Admission::LeftOut) | None => true,
        }
    }

    fn read_held(&mut self, index: usize, held: &Held, reader: &mut Reader) {
        let round = &mut reader.round;
        round.clear();
        let file = &mut self.files[index];
        let mut items = Vec::new();
        for offset in &held.offsets {
            items.clear();
            let fields_max = self.settings.fields_max();
            let (keys, sources) = (&mut self.keys, &mut self.sources);
            let mut lists = Lists { slots: &mut file.slots, keys, sources, fields_max, own: None };
            let entry = file.file.entry(*offset, &mut items);
            if let Err(trouble) = entry.and_then(|entry| round.add(&mut file.file, entry, &items, &mut lists)) {
                report(file, &trouble, 0, self.settings.input.number, &*reader.pipe);
            }
        }
    }

    /// Has it read as much as its `mem_buf_limit` lets it hold? What waits for company is sent then.
    fn is_over_its_limit(&mut self, reader: &Reader) -> bool {
        let limit = self.settings.input.mem_buf_limit;
        if limit == 0 || self.unsettled < limit {
            return false;
        }
        self.sweep();
        if self.unsettled >= limit {
            self.hurry(&*reader.pipe);
        }
        self.unsettled >= limit
    }

    /// Moves the positions of all files.
    pub(super) fn sweep(&mut self) {
        for index in 0..self.files.len() {
            let waits = self.files[index].waits_for_others();
            let covered = if waits { self.covered(index) } else { Vec::new() };
            self.files[index].sweep(&covered);
        }
        self.unsettled = self.files.iter().map(Followed::unsettled_bytes).sum();
    }

    pub(super) fn hurry(&self, pipe: &dyn Pipe) {
        self.sources.all().for_each(|source| pipe.hurry(source));
    }

    /// Between rounds nobody holds numbers of keys and sources but slots and held groups.
    fn tidy(&mut self) {
        let too_many = self.keys.is_full() || self.sources.is_full() && self.held.is_empty();
        if too_many {
            self.keys.clear();
            self.files.iter_mut().for_each(|file| file.slots.clear());
            if self.held.is_empty() {
                self.sources.clear();
            }
        }
        self.files.iter_mut().for_each(|file| file.slots.tidy());
    }
}

fn earlier(limit: Option<Cursor>, other: Cursor) -> Cursor {
    limit.filter(|limit| limit.order(&other).is_lt()).unwrap_or(other)
}

/// Says the first damage of a file, and counts all of it.
fn report(file: &mut Followed, trouble: &Trouble, bytes: u64, input: usize, pipe: &dyn Pipe) {
    if !std::mem::replace(&mut file.said_damage, true) {
        let path = file.path.display();
        tracing::error!(%path, "an entry of the journal is left out: {trouble}; more of this file are counted and not said; hint: `journalctl --verify` shows what is damaged");
    }
    pipe.lost_entries(input, LostReason::Unreadable, 1);
    pipe.lost(input, LostReason::Unreadable, bytes);
}
