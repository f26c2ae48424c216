//! Whose turn it is to be read: every chain in the queue a block at a time. When there is more to read than time, those whose oldest
//! unread file was rotated go first in every other round, and get more of it: what is renamed now is compressed or deleted next.

use super::chain::Chain;
use super::follow::{Follower, POLL_MIN};
use super::read::Step;
use std::time::Instant;

/// Blocks that a chain may read in its turn while others have to wait, if its oldest unread file was rotated.
const ROTATED_BLOCKS: usize = 4;

impl Follower {
    /// One block of each chain that has something to read, as many as the time lets; `false` when nothing could be read.
    pub(super) fn read_round(&mut self) -> bool {
        let mut worked = false;
        let begin = Instant::now();
        self.swept.fill(false);
        let is_behind = self.behind;
        if is_behind {
            // The others begin the next round: many rotated files must not take all the time there is.
            self.rotated_were_first = !self.rotated_were_first;
            let (chains, first) = (&self.chains, self.rotated_were_first);
            self.queue.make_contiguous().sort_by_key(|id| chains.get(id).is_some_and(Chain::is_rotated) != first);
        }
        for _ in 0..self.queue.len() {
            // A pod that lives a moment is missed when its event waits behind a thousand blocks.
            self.behind = worked && begin.elapsed() >= POLL_MIN;
            if self.behind {
                break;
            }
            let Some(id) = self.queue.pop_front() else { break };
            let (read, is_idle) = self.read_turn(id, is_behind);
            worked |= read;
            if let Some(chain) = self.chains.get_mut(&id) {
                chain.queued = !is_idle;
                if chain.queued {
                    self.queue.push_back(id);
                }
            }
        }
        worked
    }

    /// Was anything read, and is there nothing more for now?
    fn read_turn(&mut self, id: u64, is_behind: bool) -> (bool, bool) {
        let mut read = false;
        for _ in 0..ROTATED_BLOCKS {
            match self.read_block(id) {
                Step::Read => read = true,
                step => return (read, step == Step::Idle),
            }
            if !is_behind || !self.chains.get(&id).is_some_and(Chain::is_rotated) {
                break;
            }
        }
        (read, false)
    }
}

#[cfg(test)]
mod tests {
    use super::super::follow::tests::{Fixture, Kept};

    fn texts(kept: &Kept) -> Vec<&str> {
        kept.texts.iter().map(|(text, _)| text.as_str()).collect()
    }

    /// Three files of several blocks; the last one is rotated.
    #[test]
    fn who_has_too_much_to_read_begins_with_what_was_rotated() {
        let (a, b, c) = ("a\n".repeat(20_000), "b\n".repeat(20_000), "c\n".repeat(20_000));
        let files = [("1.log", a.as_bytes()), ("2.log", b.as_bytes()), ("3.log", c.as_bytes())];
        for (behind, expect_first, expect_rotated) in [(false, "a", 2048), (true, "c", 4 * 2048)] {
            let fixture = Fixture::new(&files, true);
            let mut follower = fixture.follower("buffer_chunk_size: 4096");
            follower.scan();
            follower.poll(std::time::Instant::now());
            let rotated = follower.chains.values_mut().last().expect("a chain");
            rotated.files[0].gone = Some(std::time::Instant::now());
            follower.behind = behind;
            assert!(follower.read_round());
            let kept = fixture.kept();
            let texts = texts(&kept);
            assert_eq!(texts[0], expect_first);
            assert_eq!(texts.iter().filter(|text| **text == "c").count(), expect_rotated);
            for other in ["a", "b"] {
                assert_eq!(texts.iter().filter(|text| **text == other).count(), 2048, "nobody is left out");
            }
        }
    }

    /// However much of rotated files there is to catch up with, the others have their turn.
    #[test]
    fn rotated_files_begin_every_other_round_only() {
        let (a, b) = ("a\n".repeat(50_000), "b\n".repeat(50_000));
        let fixture = Fixture::new(&[("1.log", a.as_bytes()), ("2.log", b.as_bytes())], true);
        let mut follower = fixture.follower("buffer_chunk_size: 4096");
        follower.scan();
        follower.poll(std::time::Instant::now());
        follower.chains.values_mut().last().expect("a chain").files[0].gone = Some(std::time::Instant::now());
        let mut firsts = Vec::new();
        for _ in 0..4 {
            follower.behind = true;
            assert!(follower.read_round());
            firsts.push(std::mem::take(&mut fixture.kept().texts)[0].0.clone());
        }
        assert_eq!(firsts, ["b", "a", "b", "a"]);
    }
}
