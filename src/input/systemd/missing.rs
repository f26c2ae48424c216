//! What of a journal is missing, or soon will be: entries that were deleted unread, deleted files that are held; and how far reading is
//! behind.

use super::follow::{Journal, now_ns};
use super::followed::Followed;
use super::journal::Id;
use crate::input::{Gauges, LostReason, Pipe};
use std::collections::{BTreeMap, HashSet};

impl Journal {
    /// Entries between what was settled and what is there, by their numbers.
    pub(super) fn missed_entries(&self) -> u64 {
        let mut settled: BTreeMap<Id, u64> = BTreeMap::new();
        let known = self.places.by_file.values().chain(self.files.iter().filter_map(|file| file.settled.as_ref()));
        for cursor in known {
            let number = settled.entry(cursor.seqnum_id).or_default();
            *number = cursor.seqnum.max(*number);
        }
        // Only where a file is gone can something be missing.
        let gone: HashSet<Id> = self.places.by_file.values().map(|cursor| cursor.seqnum_id).collect();
        let missed = settled.iter().filter(|(id, _)| gone.contains(id)).map(|(id, settled)| {
            let of_id = self.files.iter().map(|file| file.file.header()).filter(|header| header.seqnum_id == *id);
            let mut ranges: Vec<(u64, u64)> = of_id.map(|header| (header.head_seqnum, header.tail_seqnum)).collect();
            ranges.retain(|(head, tail)| *head > 0 && head <= tail && tail > settled);
            ranges.sort_unstable();
            let (mut expected, mut missed) = (settled + 1, 0);
            for (head, tail) in ranges {
                missed += head.saturating_sub(expected);
                expected = expected.max(tail.saturating_add(1));
            }
            missed
        });
        missed.sum()
    }

    /// Deleted files that are not read take room on a disk where nobody sees them: beyond the limit the oldest are given up.
    pub(super) fn keep_held_limit(&mut self, pipe: &dyn Pipe) {
        let is_held = |file: &Followed| file.deleted && !file.at_end;
        let mut bytes: u64 = self.files.iter().filter(|f| is_held(f)).map(Followed::held_bytes).sum();
        while bytes > self.settings.held_bytes_max {
            let held = self.files.iter_mut().filter(|f| is_held(f));
            let Some(oldest) = held.min_by_key(|file| file.file.header().head_realtime) else { return };
            let lost = oldest.behind();
            tracing::error!(path = %oldest.path.display(), lost_bytes = lost, "a deleted journal is given up before its end was read: deleted files hold too much; hint: raise `storage.held_limit`, or SystemMaxUse of journald.conf");
            pipe.lost(self.settings.input.number, LostReason::HeldLimit, lost);
            bytes -= oldest.held_bytes();
            oldest.give_up();
        }
    }

    pub(super) fn gauges(&self) -> Gauges {
        let unread = self.files.iter().filter_map(|file| file.next);
        let oldest = unread.map(|next| next.entry.realtime).min();
        let age = |realtime: u64| ((now_ns() / 1000).cast_unsigned().saturating_sub(realtime)) as f64 / 1e6;
        let held = self.files.iter().filter(|file| file.deleted);
        Gauges {
            files_open: self.files.len() as u64,
            bytes_behind: self.files.iter().map(Followed::behind).sum(),
            oldest_unread_seconds: oldest.map_or(0.0, age),
            deleted_held_bytes: held.map(Followed::held_bytes).sum(),
        }
    }
}
