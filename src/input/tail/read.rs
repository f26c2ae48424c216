//! Reads a block of a file, cuts it, and hands its records to the pipeline.

use super::chain::Chain;
use super::cut::{self, Cutting, LINE_END_BYTES_MAX, key_names};
use super::file::{Content, TailFile};
use super::follow::{Follower, now_ns};
use crate::input::{Admission, FileEvent, LostReason};
use std::collections::HashMap;

/// How many reads of a file may fail, one at each poll, before it is given up: some seconds of a disk or a mount in trouble.
pub(super) const READ_ERRORS_MAX: u32 = 40;

/// What came of reading a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Read,
    Idle,
    Full,
}

impl Follower {
    pub(super) fn read_block(&mut self, id: u64) -> Step {
        let Some(chain) = self.chains.get_mut(&id) else { return Step::Idle };
        if !chain.has_work() {
            return Step::Idle;
        }
        let input = chain.input;
        if self.is_over_its_limit(input) {
            return Step::Full;
        }
        let is_last_chance = self.is_last_chance();
        let Some(chain) = self.chains.get_mut(&id) else { return Step::Idle };
        let pipe = &self.context.pipe;
        let admission = match pipe.admit(&mut chain.source) {
            // The next start reads it, if there is one that knows where it stands.
            Admission::NotYet if is_last_chance && self.context.state.is_durable() => return Step::Idle,
            Admission::NotYet if is_last_chance => pipe.insist(&mut chain.source),
            admission => admission,
        };
        match admission {
            Admission::Go => {}
            Admission::Full | Admission::NotYet => return Step::Full,
            Admission::LeftOut => {
                self.leave_out(id);
                return Step::Idle;
            }
        }
        self.keep_joining(id);
        self.read_put_off(id);
        let Some(chain) = self.chains.get_mut(&id) else { return Step::Idle };
        let Some(index) = chain.next_unread() else { return Step::Read };
        let (settings, pipe) = (&self.inputs[input], &self.context.pipe);
        let file = &mut chain.files[index];
        self.batch.reset(&chain.source, key_names(settings));
        let limit = settings.line_bytes_max() + LINE_END_BYTES_MAX;
        let mut want = settings.block_bytes();
        let time_ns = now_ns();
        let (block, consumed) = loop {
            let got = match file.fill(&mut self.batch.text, want) {
                Ok(got) => got,
                Err(error) if may_read_again(&mut self.read_errors, file, &error) => return Step::Idle,
                Err(error) => {
                    give_up(file, &error, &**pipe, settings.number);
                    self.by_identity.remove(&(chain.input, file.device, file.inode));
                    return Step::Idle;
                }
            };
            let mut cutting = Cutting {
                settings,
                charset: settings.charset.of_file(file.first),
                clock: &mut self.clock,
                joiner: &mut chain.joiner,
                offset: file.read,
                now_ns: time_ns,
            };
            if file.skipping {
                let (skipped, is_over) = cutting.skip(&mut self.batch);
                file.skipping = !is_over;
                // What follows a line end was not looked at yet.
                break (if is_over { skipped } else { got }, skipped);
            }
            let consumed = cutting.lines(&mut self.batch);
            if consumed > 0 {
                break (got, consumed);
            }
            if got >= limit {
                file.skipping = true;
                break (got, cutting.long_line(&mut self.batch));
            }
            if got < want {
                break (got, 0); // a half line waits
            }
            want = (want * 2).min(limit).max(got + 1);
        };
        if !self.read_errors.is_empty() {
            self.read_errors.remove(&file.seq);
        }
        self.batch.reading = file.reading(time_ns);
        self.hand_over(id, index, block, consumed);
        Step::Read
    }

    /// Has the section read as much as its `mem_buf_limit` lets it hold? What waits for company is sent then: the section waits
    /// for it. Once in a round, because it costs a look at all files.
    fn is_over_its_limit(&mut self, input: usize) -> bool {
        let limit = self.inputs[input].mem_buf_limit;
        if limit == 0 || self.unsettled[input] < limit {
            return false;
        }
        if !std::mem::replace(&mut self.swept[input], true) {
            let chains = self.chains.values_mut().filter(|c| c.input == input);
            self.unsettled[input] = chains.map(Chain::sweep_unsettled).sum();
            if self.unsettled[input] >= limit {
                self.hurry(input);
            }
        }
        self.unsettled[input] >= limit
    }

    fn hurry(&self, input: usize) {
        let chains = self.chains.values().filter(|c| c.input == input && c.unsettled_bytes() > 0);
        chains.for_each(|c| self.context.pipe.hurry(&c.source));
    }

    /// Moves over `consumed` bytes of a block of so many, and pushes the records.
    pub(super) fn hand_over(&mut self, id: u64, index: usize, block: usize, consumed: usize) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let file = &mut chain.files[index];
        file.consume(block, consumed);
        if consumed == 0 {
            return;
        }
        if let Some(last) = self.batch.records.last() {
            chain.last_time_ns = last.time_ns;
        }
        self.batch.unread = consumed..block;
        self.context.pipe.push(&mut self.batch);
        // A restart in the middle of a line that is passed over would take its rest for a line.
        let end = if file.skipping { file.progress.read_to() } else { file.read };
        file.progress.push(self.batch.ticket.clone(), end);
        chain.note_pieces(index);
        self.unsettled[chain.input] += consumed as u64;
        self.bound_open_bytes();
    }

    /// Records whose end does not come take memory as long as they are open, in every file: the largest is sent as it is.
    fn bound_open_bytes(&mut self) {
        let limit = self.inputs.iter().map(|i| i.open_bytes_max).min().unwrap_or(usize::MAX);
        while self.open_bytes.get() > limit {
            let largest = self.chains.iter_mut().max_by_key(|(_, c)| c.joiner.held_bytes());
            let Some((_, chain)) = largest.filter(|(_, c)| c.joiner.is_open() && !c.files.is_empty()) else { return };
            let settings = &self.inputs[chain.input];
            self.batch.reset(&chain.source, key_names(settings));
            cut::cut_largest(settings, &mut chain.joiner, &mut self.batch);
            self.context.pipe.push(&mut self.batch);
            let index = chain.next_unread().unwrap_or(chain.files.len() - 1);
            let progress = &mut chain.files[index].progress;
            progress.push(self.batch.ticket.clone(), progress.read_to());
            chain.note_pieces(index);
        }
    }
}

/// A disk, or a mount of one, may be well again in a moment. A damaged compressed file stays as it is.
fn may_read_again(errors: &mut HashMap<u64, u32>, file: &TailFile, error: &std::io::Error) -> bool {
    if !matches!(file.content, Content::Plain(_)) {
        return false;
    }
    let count = errors.entry(file.seq).or_default();
    *count += 1;
    if *count == 1 {
        tracing::warn!(path = %file.path.display(), "cannot read a file, trying again: {error}");
    }
    let again = *count < READ_ERRORS_MAX;
    if !again {
        errors.remove(&file.seq);
    }
    again
}

pub(super) fn give_up(file: &mut TailFile, error: &std::io::Error, pipe: &dyn crate::input::Pipe, number: usize) {
    let lost = file.behind();
    tracing::error!(path = %file.path.display(), lost_bytes = lost, "cannot read a file any further: {error}; hint: a disk error, or a damaged compressed file");
    pipe.lost(number, LostReason::Unreadable, lost);
    pipe.file(number, FileEvent::Closed);
    file.content = Content::Closed;
    file.unreadable = true;
}
