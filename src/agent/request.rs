//! A finished request, on its way: what it holds, where that came from, and how it is taken apart.

use super::ledger::Amount;
use super::memory::{Held, Memory};
use crate::net::Backoff;
use crate::output::Pieces;
use crate::record::{Source, Ticket};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Where pieces come from, for dead letters and the spool.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// Read in this run.
    Source(Arc<Source>),
    /// Read from the spool: the names of its input and its source, as they were.
    Spooled { input: Arc<str>, source: Arc<str> },
}

/// The pieces that a request holds of one batch.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) ticket: Ticket,
    pub(super) pieces: u32,
    pub(super) origin: Origin,
}

/// Where a request may stay while it is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// In memory, and from there in the spool.
    Memory,
    /// In memory only: no frame of the spool can hold it.
    MemoryOnly,
    /// It was read from the spool, and stays there until it is settled.
    Spool,
}

/// What its failed attempts left behind.
#[derive(Debug, Clone, Default)]
pub(super) struct Retry {
    pub(super) attempts: u32,
    pub(super) backoff: Option<Backoff>,
    pub(super) not_before: Option<Instant>,
    /// Others go first until then: its key has to wait, and nothing else.
    pub(super) held_until: Option<Instant>,
    /// Refused alone: how much of its key had arrived since the search began.
    pub(super) refused_at: Option<u64>,
    /// Refused alone, though others of its request arrived before, and asked again after a while: the next refusal is final.
    pub(super) asked_again: bool,
}

/// A request as the pipeline hands it over.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) key: Arc<str>,
    pub(super) pieces: Arc<Pieces>,
    /// In the order of the pieces.
    pub(super) parts: Vec<Part>,
    /// When its first record came.
    pub(super) since: Instant,
    /// When its linger was over.
    pub(super) closed: Instant,
    pub(super) home: Home,
    pub(super) retry: Retry,
    /// The memory that it is counted with.
    pub(super) held: Held,
}

impl Finished {
    pub(super) fn amount(&self) -> Amount {
        Amount { records: self.pieces.list.len() as u64, bytes: self.pieces.source_bytes() }
    }

    /// What these pieces stand for.
    pub(super) fn amount_of(&self, pieces: &[usize]) -> Amount {
        let mut amount = Amount::default();
        for piece in pieces.iter().filter_map(|index| self.pieces.list.get(*index)) {
            amount.add(Amount { records: 1, bytes: piece.source_bytes.into() });
        }
        amount
    }

    /// Nothing of it needs further care.
    pub(super) fn settle(&mut self) {
        for part in self.parts.drain(..) {
            part.ticket.settle(part.pieces);
        }
    }

    /// The text of one piece.
    pub(super) fn piece(&self, index: usize) -> Cow<'_, [u8]> {
        self.pieces.text(index)
    }

    /// Where a piece comes from.
    pub(super) fn origin(&self, index: usize) -> Option<&Origin> {
        let mut before = 0;
        let holds = |part: &&Part| {
            before += part.pieces as usize;
            before > index
        };
        self.parts.iter().find(holds).map(|part| &part.origin)
    }

    /// A request of the pieces that `keep` says yes to, in order, with their share of the tickets. The caller has to see that each piece
    /// is in one request alone.
    pub(super) fn part_of(&self, memory: &Arc<Memory>, keep: impl Fn(usize) -> bool) -> Self {
        self.part_in(Pieces::default(), memory, keep)
    }

    /// The same, in the memory of an empty buffer.
    fn part_in(&self, buffer: Pieces, memory: &Arc<Memory>, keep: impl Fn(usize) -> bool) -> Self {
        let pieces = self.pieces.select(buffer, &keep);
        let (mut parts, mut index) = (Vec::new(), 0);
        for part in &self.parts {
            let end = index + part.pieces as usize;
            let kept = (index..end).filter(|index| keep(*index)).count() as u32;
            index = end;
            if kept > 0 {
                parts.push(Part { ticket: part.ticket.clone(), pieces: kept, origin: part.origin.clone() });
            }
        }
        let held = memory.hold(self.held.output(), pieces.held_bytes()).with_age_of(&self.held);
        let Self { since, closed, home, .. } = *self;
        let (key, pieces, retry) = (Arc::clone(&self.key), Arc::new(pieces), self.retry.clone());
        Self { key, pieces, parts, since, closed, home, retry, held }
    }

    /// A request of the pieces that have another form, in that form.
    pub(super) fn changed(&self, memory: &Arc<Memory>, forms: &BTreeMap<usize, Vec<u8>>) -> Self {
        let mut changed = self.part_of(memory, |index| forms.contains_key(&index));
        let mut pieces = Pieces::default();
        for (old, form) in changed.pieces.list.iter().zip(forms.values()) {
            pieces.bytes.extend_from_slice(form);
            pieces.add(old.source_bytes);
        }
        changed.held = memory.hold(self.held.output(), pieces.held_bytes()).with_age_of(&self.held);
        changed.pieces = Arc::new(pieces);
        changed
    }

    /// A request for each number, of the pieces that have it; `buffer` gives empty ones, for parts that are large.
    pub(super) fn by_number(
        &self,
        memory: &Arc<Memory>,
        numbers: &[u32],
        mut buffer: impl FnMut() -> Pieces,
    ) -> Vec<Self> {
        let count = numbers.iter().max().map_or(0, |max| max + 1);
        let mut part = |number| {
            let is_of_it = |own: &u32| *own == number;
            let is_large = numbers.iter().copied().filter(|own| is_of_it(own)).count() > numbers.len() / 5;
            let buffer = if is_large { buffer() } else { Pieces::default() };
            self.part_in(buffer, memory, |index| numbers.get(index).is_some_and(is_of_it))
        };
        (0..count).map(&mut part).collect()
    }

    /// Two requests of about half the records each, in order.
    pub(super) fn halves(&self, memory: &Arc<Memory>) -> [Self; 2] {
        let middle = self.pieces.list.len() / 2;
        [self.part_of(memory, |index| index < middle), self.part_of(memory, |index| index >= middle)]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::record::SourceDraft;

    /// Pieces of these texts, one part for each number, as many as it says.
    pub(in crate::agent) fn finished(memory: &Arc<Memory>, texts: &[&str], parts: &[u32]) -> (Finished, Vec<Ticket>) {
        let mut pieces = Pieces::default();
        for text in texts {
            pieces.bytes.extend_from_slice(text.as_bytes());
            pieces.add(text.len() as u32);
        }
        let tickets: Vec<Ticket> = parts.iter().map(|_| Ticket::default()).collect();
        let part = |(ticket, pieces): (&Ticket, &u32)| {
            ticket.add(*pieces);
            let source = Source::new(SourceDraft::default(), Vec::new());
            Part { ticket: ticket.clone(), pieces: *pieces, origin: Origin::Source(Arc::new(source)) }
        };
        let parts = tickets.iter().zip(parts).map(part).collect();
        let held = memory.hold(0, pieces.held_bytes());
        let now = Instant::now();
        let (home, retry) = (Home::Memory, Retry::default());
        let pieces = Arc::new(pieces);
        (Finished { key: "k".into(), pieces, parts, since: now, closed: now, home, retry, held }, tickets)
    }

    #[test]
    fn halves_have_all_pieces_and_all_tickets() {
        let memory = Arc::new(Memory::new(1000, 1));
        let (finished, tickets) = finished(&memory, &["aa", "bb", "cc", "dd", "ee"], &[1, 4]);
        let [first, second] = finished.halves(&memory);
        assert_eq!((first.pieces.bytes.as_slice(), second.pieces.bytes.as_slice()), (&b"aabb"[..], &b"ccddee"[..]));
        assert_eq!(second.pieces.list.iter().map(|p| p.end).collect::<Vec<_>>(), [2, 4, 6]);
        let count = |half: &Finished| half.parts.iter().map(|p| p.pieces).sum::<u32>();
        assert_eq!((count(&first), count(&second)), (2, 3));
        drop(finished);
        for mut half in [first, second] {
            half.settle();
        }
        assert!(tickets.iter().all(Ticket::is_settled));
        assert_eq!(memory.held(0), 0);
    }

    #[test]
    fn pieces_are_in_the_request_of_their_number() {
        let memory = Arc::new(Memory::new(1000, 1));
        let (whole, tickets) = finished(&memory, &["a", "b", "c", "d"], &[3, 1]);
        let mut parts = whole.by_number(&memory, &[1, 0, 1, 2], Pieces::default);
        let bytes: Vec<&[u8]> = parts.iter().map(|part| part.pieces.bytes.as_slice()).collect();
        assert_eq!(bytes, [&b"b"[..], b"ac", b"d"]);
        parts.iter_mut().for_each(Finished::settle);
        assert!(tickets.iter().all(Ticket::is_settled));
        assert!(whole.by_number(&memory, &[], Pieces::default).is_empty());
    }

    #[test]
    fn pieces_in_another_form_keep_their_tickets() {
        let memory = Arc::new(Memory::new(1000, 1));
        let (whole, tickets) = finished(&memory, &["a", "bb", "ccc"], &[1, 1, 1]);
        let mut changed = whole.changed(&memory, &BTreeMap::from([(0, b"AAAA".to_vec()), (2, Vec::from(b"C"))]));
        assert_eq!((&*changed.piece(0), &*changed.piece(1)), (&b"AAAA"[..], &b"C"[..]));
        assert_eq!(changed.amount(), Amount { records: 2, bytes: 4 }, "they stand for what they stood for");
        assert_eq!(memory.held(0), whole.pieces.held_bytes() + changed.pieces.held_bytes());
        changed.settle();
        assert_eq!(tickets.iter().map(Ticket::is_settled).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn pieces_are_taken_out_one_by_one() {
        let memory = Arc::new(Memory::new(1000, 1));
        let (whole, tickets) = finished(&memory, &["a", "bb", "", "dddd"], &[2, 1, 1]);
        let odd = whole.part_of(&memory, |index| index % 2 == 1);
        assert_eq!(odd.pieces.bytes, b"bbdddd");
        assert_eq!(odd.amount(), Amount { records: 2, bytes: 6 });
        assert_eq!(odd.parts.iter().map(|p| p.pieces).collect::<Vec<_>>(), [1, 1]);
        let mut even = whole.part_of(&memory, |index| index % 2 == 0);
        assert_eq!((&*even.piece(0), &*even.piece(1)), (&b"a"[..], &b""[..]));
        even.settle();
        assert_eq!(tickets.iter().map(Ticket::is_settled).collect::<Vec<_>>(), [false, true, false]);
    }
}
