//! When following ends, and what is still done then.
//!
//! ```text
//! SIGTERM, on_term stop   ────────────────────────────────────────────┐
//! SIGTERM, on_term drain  read on until nothing grew for 2 s,         ├─▶ read what is written, wait until it is settled,
//!                         or the time for it is over  ────────────────┤   until the deadline if there is one
//! exit_on_eof             everything is read  ────────────────────────┤
//! exit_when_idle          nothing grew for so long  ──────────────────┘
//! ```
//! Of a signal without draining nobody knows whether the files go on: half a line waits for the next start. In the other cases the
//! end of the file is the end of everything.

use super::chain::Chain;
use super::follow::{Follower, SECOND};
use crate::input::committer::Committer;
use std::time::{Duration, Instant};

/// With `on_term drain`: files that have not grown for so long have got all that they will get.
const QUIET: Duration = Duration::from_secs(2);
/// How often it is looked whether all is settled.
const SETTLED_WAIT: Duration = Duration::from_millis(10);

impl Follower {
    /// Is it time to read no further? Where that is asked for, the files may become quiet first.
    pub(super) fn is_told_to_end(&self, now: Instant) -> bool {
        let Some(deadline) = self.context.stop.deadline() else { return false };
        let Some(drain) = self.context.stop.drain() else { return true };
        // A second signal moves the deadline.
        now >= drain.until.min(deadline) || self.is_quiet(now)
    }

    /// With `on_term drain`: nothing came since the signal, and for a while.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        let since = |begin: Instant| now.saturating_duration_since(begin.max(self.grew));
        self.context.stop.drain().is_some_and(|drain| self.queue.is_empty() && since(drain.since) >= QUIET)
    }

    /// Is everything read, in files that are meant to end?
    pub(super) fn is_at_the_end(&self, now: Instant) -> bool {
        !self.chains.values().any(Chain::has_work) && (self.exits_on_eof() || self.is_idle(now))
    }

    fn exits_on_eof(&self) -> bool {
        self.inputs.iter().all(|i| i.options.exit_on_eof)
    }

    /// `exit_when_idle`: the longest of all sections counts. Before there is a file nothing has begun that could be over.
    fn is_idle(&self, now: Instant) -> bool {
        let waits = || self.inputs.iter().map(|i| i.options.exit_when_idle.0);
        let wait = waits().max().filter(|_| waits().all(|wait| !wait.is_zero()));
        !self.chains.is_empty() && wait.is_some_and(|wait| now.saturating_duration_since(self.grew) >= wait)
    }

    /// Told to end, and by that nobody waits for what is not known yet.
    pub(super) fn is_last_chance(&self) -> bool {
        self.ending && self.context.stop.requested()
    }

    /// The same as [`finish`](Self::finish) where the files will not grow any more.
    pub(super) fn finish_for_good(&mut self, committer: Committer) {
        self.for_good = true;
        self.flush_half_lines();
        self.finish(committer);
    }

    /// Reads what is already written to its end and waits until it is settled, until the deadline if there is one.
    pub(super) fn finish(&mut self, committer: Committer) {
        self.ending = true;
        self.handle_events();
        self.poll(Instant::now());
        let mut next_second = Instant::now() + SECOND;
        loop {
            self.context.pipe.beat();
            // A second signal moves it, and one may still come.
            if self.context.stop.deadline().is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            let worked = self.read_round();
            if !worked && self.queue.is_empty() {
                self.flush_ends();
                if self.is_settled() {
                    break;
                }
                self.chains.values().for_each(|c| self.context.pipe.hurry(&c.source));
            }
            if !worked {
                self.context.stop.wake.wait(SETTLED_WAIT);
            }
            if Instant::now() >= next_second {
                self.each_second(&committer);
                next_second = Instant::now() + SECOND;
            }
        }
        let changes = self.changed_rows();
        committer.commit(changes);
        committer.finish();
    }

    pub(super) fn is_settled(&mut self) -> bool {
        self.chains.values_mut().all(|chain| {
            chain.sweep();
            chain.is_settled()
        })
    }

    /// Open pieces would be forgotten at the end where no position is kept: they are sent as they are.
    fn flush_ends(&mut self) {
        let always = self.for_good || !self.context.state.is_durable();
        let is_over = |c: &Chain| always || self.inputs[c.input].options.exit_on_eof;
        let over: Vec<u64> = self.chains.iter().filter(|(_, c)| is_over(c)).map(|(id, _)| *id).collect();
        for id in over {
            self.read_put_off_at_last(id);
            self.flush_joiner(id);
        }
    }

    /// Where the end of the file is the end of everything, half a line there is a line. Once: who still writes to it after that
    /// did not mean the end.
    fn flush_half_lines(&mut self) {
        let ids: Vec<u64> = self.chains.keys().copied().collect();
        ids.into_iter().for_each(|id| self.read_put_off_at_last(id));
        let files = self.chains.iter().flat_map(|(id, chain)| (0..chain.files.len()).map(|index| (*id, index)));
        let files: Vec<(u64, usize)> = files.collect();
        files.into_iter().for_each(|(id, index)| self.flush_half_line(id, index, false));
    }
}
