//! How far a file is settled.
//!
//! ```text
//! 0 ──── settled ────────────┬── ticket ──┬── ticket ──┬── … ── read
//!    open piece   open piece   (a batch each; the front ones that are settled move the position)
//! ```
//! An open piece lies below `settled` and is not part of any record yet: a restart reads just it again. It stays noted until
//! the position has passed the batch that completed its record, which may be in the next file of the chain.

use crate::parse::OpenPiece;
use crate::record::Ticket;
use std::collections::VecDeque;

/// A piece of a record that waits for its end, or whose record is not settled yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenRange {
    pub(super) piece: OpenPiece,
    /// The file and the offset behind the batch that completed the record.
    pub(super) closed_by: Option<(u64, u64)>,
}

/// The number of pieces that are to be read again once it is known what joins them; no record has it.
const PUT_OFF: u64 = u64::MAX;

/// A file's tickets and what they have settled.
#[derive(Debug)]
pub(super) struct Progress {
    /// Every byte before it is settled, but for the open ranges.
    pub(super) settled: u64,
    tickets: VecDeque<(Ticket, u64)>,
    pub(super) open: Vec<OpenRange>,
    /// Something of it is not committed yet.
    pub(super) dirty: bool,
}

impl Progress {
    pub(super) fn new(settled: u64) -> Self {
        Self { settled, tickets: VecDeque::new(), open: Vec::new(), dirty: true }
    }

    /// Notes a batch that ends before `end`.
    pub(super) fn push(&mut self, ticket: Ticket, end: u64) {
        self.tickets.push_back((ticket, end));
    }

    /// Moves over batches that are settled.
    pub(super) fn sweep(&mut self) {
        while let Some((_, end)) = self.tickets.pop_front_if(|(ticket, _)| ticket.is_settled()) {
            debug_assert!(end >= self.settled, "positions move forward");
            self.settled = end;
            self.dirty = true;
        }
    }

    /// Up to where batches were noted.
    pub(super) fn read_to(&self) -> u64 {
        self.tickets.back().map_or(self.settled, |(_, end)| *end)
    }

    /// Does a batch that added no bytes wait at the settled offset? It holds records of bytes before it.
    pub(super) fn waits_there(&self) -> bool {
        self.tickets.front().is_some_and(|(_, end)| *end == self.settled)
    }

    /// Notes pieces of the last run that are not read again yet; until then they stay in the row.
    pub(super) fn put_off(&mut self, ranges: &[(u64, u64)]) {
        let piece = |&(start, end): &(u64, u64)| OpenPiece { id: PUT_OFF, start, end };
        self.open.extend(ranges.iter().map(|range| OpenRange { piece: piece(range), closed_by: None }));
    }

    /// Nothing else is read of the file before them: they are the first.
    pub(super) fn has_put_off(&self) -> bool {
        self.open.first().is_some_and(|range| range.piece.id == PUT_OFF)
    }

    /// They are read now, or not at all.
    pub(super) fn take_put_off(&mut self) -> Vec<(u64, u64)> {
        let taken = self.open.extract_if(.., |range| range.piece.id == PUT_OFF);
        taken.map(|range| (range.piece.start, range.piece.end)).collect()
    }

    /// Is everything that was read settled?
    pub(super) fn is_settled(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Bytes read and not yet settled.
    pub(super) fn unsettled_bytes(&self) -> u64 {
        self.tickets.back().map_or(0, |(_, end)| end - self.settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_adds_no_bytes_is_waited_for_all_the_same() {
        let (ticket, mut progress) = (Ticket::default(), Progress::new(10));
        ticket.add(1);
        progress.push(ticket.clone(), progress.read_to());
        progress.sweep();
        assert!(progress.waits_there() && !progress.is_settled());
        ticket.settle(1);
        progress.sweep();
        assert!(!progress.waits_there() && progress.settled == 10);
    }

    #[test]
    fn a_position_never_passes_what_is_not_settled() {
        proptest!(|(order in Just((0..20usize).collect::<Vec<_>>()).prop_shuffle())| {
            let tickets: Vec<Ticket> = (0..20).map(|_| Ticket::default()).collect();
            let mut progress = Progress::new(0);
            for (index, ticket) in tickets.iter().enumerate() {
                ticket.add(2);
                progress.push(ticket.clone(), (index as u64 + 1) * 10);
            }
            for index in order {
                tickets[index].settle(1);
                progress.sweep();
                tickets[index].settle(1);
                progress.sweep();
                let first_open = tickets.iter().position(|t| !t.is_settled()).unwrap_or(20);
                prop_assert_eq!(progress.settled, first_open as u64 * 10);
            }
            prop_assert!(progress.is_settled());
        });
    }
}
