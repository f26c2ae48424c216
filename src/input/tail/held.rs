//! Deleted files that are not read to their end take room on a disk where nobody sees them. There is a limit to that, and a floor of the
//! disk; beyond them the oldest are given up, and what was not read of them is counted.
//!
//! ```text
//! deleted, unread ─┬─ all of them larger than storage.held_limit ─────────────────▶ given up, the oldest first: held_limit
//!                  └─ deleted for a while, and less free than storage.min_free ───▶ given up, the oldest first: disk_full
//! ```

use super::file::Content;
use super::follow::Follower;
use crate::config::ServiceOptions;
use crate::input::LostReason;
use rustix::fs::fstatvfs;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is being read has soon come to its end by itself: a full disk is no reason to give it up.
const PATIENCE: Duration = Duration::from_secs(5);
/// A file system may take its time to free what was let go.
const FREEING: Duration = Duration::from_secs(10);

/// How much deleted files may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeldLimits {
    /// `storage.held_limit`.
    bytes_max: u64,
    /// `storage.min_free`.
    min_free_percent: u64,
}

impl HeldLimits {
    pub(super) fn new(service: &ServiceOptions) -> Self {
        Self { bytes_max: service.storage_held_limit.0, min_free_percent: service.storage_min_free.0 }
    }
}

/// A deleted file that is not read to its end.
#[derive(Debug)]
struct HeldFile {
    bytes: u64,
    deleted: Instant,
    /// Chains, and the place in each: several sections may follow it.
    places: Vec<(u64, usize)>,
}

/// Last written, device, inode: so the oldest comes first.
type Age = ((i64, i64), u64, u64);

impl Follower {
    /// Lets go of as many as the limits want.
    pub(super) fn keep_held_limits(&mut self, now: Instant) {
        let Some(limits) = self.inputs.first().map(|settings| settings.held_limits) else { return };
        let mut held = self.held();
        let mut bytes: u64 = held.values().map(|file| file.bytes).sum();
        while bytes > limits.bytes_max
            && let Some((_, file)) = held.pop_first()
        {
            bytes -= file.bytes;
            self.let_go(&file, LostReason::HeldLimit);
        }
        if self.freeing_until.is_none_or(|until| now >= until) {
            self.keep_disk_free(held, limits, now);
        }
    }

    fn held(&self) -> BTreeMap<Age, HeldFile> {
        let mut held: BTreeMap<Age, HeldFile> = BTreeMap::new();
        for (id, chain) in &self.chains {
            for (index, file) in chain.files.iter().enumerate().filter(|(_, f)| f.has_unread()) {
                let Some(deleted) = file.deleted else { continue };
                let age = (file.modified, file.device, file.inode);
                let new = || HeldFile { bytes: file.size, deleted, places: Vec::new() };
                held.entry(age).or_insert_with(new).places.push((*id, index));
            }
        }
        held
    }

    fn keep_disk_free(&mut self, held: BTreeMap<Age, HeldFile>, limits: HeldLimits, now: Instant) {
        let mut freed: BTreeMap<u64, u64> = BTreeMap::new();
        for ((_, device, _), file) in held {
            let freed = freed.entry(device).or_default();
            let waited = now.saturating_duration_since(file.deleted) >= PATIENCE;
            if waited && self.is_short(&file, limits.min_free_percent, *freed) {
                *freed += file.bytes;
                self.freeing_until = Some(now + FREEING);
                self.let_go(&file, LostReason::DiskFull);
            }
        }
    }

    /// Has the disk under a file less free than it should, also when so much more is freed?
    fn is_short(&self, file: &HeldFile, percent: u64, freed: u64) -> bool {
        let open = file.places.iter().find_map(|(id, index)| match &self.chains.get(id)?.files.get(*index)?.content {
            Content::Plain(file) => Some(file),
            _ => None,
        });
        let Some(space) = open.and_then(|file| fstatvfs(file).ok()) else { return false };
        space.f_bavail.saturating_mul(space.f_frsize) + freed
            < space.f_blocks.saturating_mul(space.f_frsize) / 100 * percent
    }

    fn let_go(&mut self, file: &HeldFile, reason: LostReason) {
        for (id, index) in &file.places {
            self.give_up_unread(*id, *index, reason);
        }
    }

    fn give_up_unread(&mut self, id: u64, index: usize, reason: LostReason) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let is_being_read = chain.next_unread() == Some(index);
        let number = self.inputs[chain.input].number;
        let file = &mut chain.files[index];
        let lost = file.behind();
        let (why, hint) = match reason {
            LostReason::DiskFull => ("the disk under it is full", "make room there, or change `storage.min_free`"),
            _ => ("deleted files hold too much", "raise `storage.held_limit`, or keep rotated files for longer"),
        };
        tracing::error!(path = %file.path.display(), lost_bytes = lost, "a deleted file is given up before its end was read: {why}; hint: {hint}");
        self.context.pipe.lost(number, reason, lost);
        // What is counted now must not be counted again by the next start.
        file.size = file.read;
        if is_being_read {
            self.flush_joiner(id);
        }
        self.close(id, index);
    }
}
