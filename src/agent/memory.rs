//! How much the process holds: pieces and bodies, in bytes of capacity.
//!
//! The limit is shared out evenly: an output that is stuck fills its own share and stops only the sources that are routed
//! to it. One that makes progress may also use half of what the others leave idle; they get their own share all the same, at once.
//! With nothing held there is always room, so that a record larger than a share passes too.

use super::pipeline::lock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Of the control group's memory limit, the part that may be held; the rest is the process itself and what it reads.
const CGROUP_PERCENT: u64 = 40;
/// Where the limit stands: control groups of version 2, then 1, as a container sees its own.
const CGROUP_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// So much of an output's share may wait for a slot, as a divisor: enough for the next ones that become free.
const QUEUE_PART: usize = 8;

/// Whoever delivered something within this time makes progress and gives back soon what it borrows.
const PROGRESS_WITHIN: Duration = Duration::from_secs(1);

/// The configured limit, as far as the control group leaves room for it.
pub(super) fn limit(configured: u64) -> usize {
    let cgroup = CGROUP_FILES.iter().find_map(|file| std::fs::read_to_string(file).ok());
    within_cgroup(configured, cgroup.as_deref()) as usize
}

/// `max`, and the huge number that version 1 has in its place, are no limit.
fn within_cgroup(configured: u64, cgroup: Option<&str>) -> u64 {
    let limit = cgroup.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(u64::MAX);
    configured.min(limit / 100 * CGROUP_PERCENT)
}

/// Bytes held per output, and the share of each.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    share: usize,
    held: Vec<AtomicUsize>,
    /// Of that, what is finished and waits for a slot.
    queued: Vec<AtomicUsize>,
    /// Since when requests are on their way, and how many parts of each.
    since: Vec<Mutex<BTreeMap<Instant, usize>>>,
    /// Per output, the milliseconds since `started` when it last delivered something; 0: never.
    delivered: Vec<AtomicU64>,
    started: Instant,
}

impl Memory {
    pub(super) fn new(limit: usize, outputs: usize) -> Self {
        Self {
            limit,
            share: (limit / outputs.max(1)).max(1),
            held: (0..outputs).map(|_| AtomicUsize::new(0)).collect(),
            queued: (0..outputs).map(|_| AtomicUsize::new(0)).collect(),
            since: (0..outputs).map(|_| Mutex::default()).collect(),
            delivered: (0..outputs).map(|_| AtomicU64::new(0)).collect(),
            started: Instant::now(),
        }
    }

    pub(super) fn add(&self, output: usize, bytes: usize) {
        self.held[output].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that were counted with [`add`](Self::add) are not there any more.
    pub(super) fn forget(&self, output: usize, bytes: usize) {
        self.release(output, bytes);
    }

    fn release(&self, output: usize, bytes: usize) {
        let before = self.held[output].fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "released more than was held");
    }

    /// Counts further bytes until what is returned is dropped.
    pub(super) fn hold(self: &Arc<Self>, output: usize, bytes: usize) -> Held {
        self.add(output, bytes);
        self.held_already(output, bytes)
    }

    /// Frees bytes that are counted already when what is returned is dropped.
    pub(super) fn held_already(self: &Arc<Self>, output: usize, bytes: usize) -> Held {
        Held { memory: Arc::clone(self), output, bytes, since: None, queued: false }
    }

    /// When the oldest request came that is on its way.
    pub(super) fn oldest(&self, output: usize) -> Option<Instant> {
        lock(&self.since[output]).first_key_value().map(|(since, _)| *since)
    }

    pub(super) fn held(&self, output: usize) -> usize {
        self.held[output].load(Ordering::Relaxed)
    }

    /// An output delivered something.
    pub(super) fn delivered(&self, output: usize, now: Instant) {
        let since = now.saturating_duration_since(self.started).as_millis() as u64;
        self.delivered[output].store(since.max(1), Ordering::Relaxed);
    }

    pub(super) fn share(&self) -> usize {
        self.share
    }

    /// Shall more be read for an output? There is room, and what is finished does not wait for a slot: whatever is read then would
    /// wait, too, and better in its file than in memory.
    pub(super) fn wants_more(&self, output: usize) -> bool {
        self.queued[output].load(Ordering::Relaxed) <= self.share / QUEUE_PART && self.has_room(output)
    }

    pub(super) fn has_room(&self, output: usize) -> bool {
        let held = self.held(output);
        held < self.share || self.may_borrow(output, held, Instant::now())
    }

    fn may_borrow(&self, output: usize, held: usize, now: Instant) -> bool {
        let others = || (0..self.held.len()).filter(|other| *other != output).map(|other| self.held(other));
        let idle: usize = others().map(|other| self.share.saturating_sub(other)).sum();
        held < self.share + idle / 2 && held + others().sum::<usize>() < self.limit && self.makes_progress(output, now)
    }

    fn makes_progress(&self, output: usize, now: Instant) -> bool {
        let last = self.delivered[output].load(Ordering::Relaxed);
        let now = now.saturating_duration_since(self.started).as_millis() as u64;
        last > 0 && now.saturating_sub(last) < PROGRESS_WITHIN.as_millis() as u64
    }
}

/// Bytes that are counted until this is dropped, also by a panic.
#[derive(Debug)]
#[must_use]
pub(super) struct Held {
    memory: Arc<Memory>,
    output: usize,
    bytes: usize,
    /// When the first record of what it holds came.
    since: Option<Instant>,
    queued: bool,
}

impl Held {
    /// It waits for a slot.
    pub(super) fn in_queue(mut self) -> Self {
        self.memory.queued[self.output].fetch_add(self.bytes, Ordering::Relaxed);
        self.queued = true;
        self
    }

    /// Does not wait for a slot any more; did it?
    pub(super) fn leave_queue(&mut self) -> bool {
        let queued = std::mem::take(&mut self.queued);
        if queued {
            self.memory.queued[self.output].fetch_sub(self.bytes, Ordering::Relaxed);
        }
        queued
    }

    /// Until it is dropped, something that came then is on its way.
    pub(super) fn on_its_way_since(mut self, since: Instant) -> Self {
        *lock(&self.memory.since[self.output]).entry(since).or_default() += 1;
        self.since = Some(since);
        self
    }

    /// The same for a part of another.
    pub(super) fn with_age_of(self, whole: &Self) -> Self {
        match whole.since {
            Some(since) => self.on_its_way_since(since),
            None => self,
        }
    }

    /// Whose memory it is.
    pub(super) fn output(&self) -> usize {
        self.output
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.leave_queue();
        self.memory.release(self.output, self.bytes);
        if let Some(since) = self.since {
            let mut all = lock(&self.memory.since[self.output]);
            if let Some(count) = all.get_mut(&since) {
                *count -= 1;
                if *count == 0 {
                    all.remove(&since);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_with_little_memory_lowers_the_limit() {
        let limit = 24_000_000;
        for (cgroup, expect) in [
            (None, limit),
            (Some("max\n"), limit),
            (Some("9223372036854771712\n"), limit),
            (Some("33554400\n"), 13_421_760),
            (Some("nonsense"), limit),
        ] {
            assert_eq!(within_cgroup(limit, cgroup), expect, "{cgroup:?}");
        }
    }

    #[test]
    fn what_is_held_is_free_again_when_it_is_dropped() {
        let memory = Arc::new(Memory::new(100, 1));
        memory.add(0, 30);
        let (pieces, body) = (memory.held_already(0, 30), memory.hold(0, 70));
        assert!(!memory.has_room(0));
        drop(body);
        assert_eq!(memory.held(0), 30);
        drop(pieces);
        assert_eq!(memory.held(0), 0);
    }

    #[test]
    fn one_that_makes_progress_borrows_half_of_what_is_idle() {
        let memory = Memory::new(120, 3);
        let (now, later) = (Instant::now(), Instant::now() + PROGRESS_WITHIN * 2);
        memory.add(0, 50);
        assert!(!memory.has_room(0), "it has delivered nothing");
        memory.delivered(0, now);
        assert!(memory.has_room(0));
        assert!(!memory.may_borrow(0, 50, later), "it is stuck by now");
        memory.add(0, 29);
        assert!(memory.may_borrow(0, 79, now) && !memory.may_borrow(0, 80, now), "a share of 40 and half of 80");
        memory.add(1, 20);
        assert!(!memory.has_room(0), "another one uses its own");
        memory.add(1, 19);
        assert!(memory.has_room(1) && memory.has_room(2), "their shares are theirs, whoever borrowed");
    }

    #[test]
    fn nothing_is_lent_beyond_the_limit() {
        let memory = Memory::new(120, 3);
        (0..2).for_each(|output| memory.delivered(output, Instant::now()));
        memory.add(0, 59);
        assert!(memory.has_room(0));
        memory.add(1, 59);
        memory.add(2, 5);
        assert!(!memory.has_room(0) && !memory.has_room(1) && memory.has_room(2));
    }

    #[test]
    fn a_full_output_leaves_room_to_the_others() {
        let memory = Memory::new(100, 2);
        memory.add(0, 60);
        assert!(!memory.has_room(0) && memory.has_room(1));
        memory.release(0, 20);
        assert!(memory.has_room(0));
        assert_eq!(memory.held(0), 40);
    }

    #[test]
    fn who_waits_for_a_slot_needs_no_company() {
        let memory = Arc::new(Memory::new(QUEUE_PART * 10, 1));
        let mut first = memory.hold(0, 10).in_queue();
        assert!(memory.wants_more(0));
        let second = memory.hold(0, 1).in_queue();
        assert!(!memory.wants_more(0) && memory.has_room(0));
        assert!(first.leave_queue() && !first.leave_queue());
        assert!(memory.wants_more(0));
        drop((first, second));
        assert_eq!((memory.queued[0].load(Ordering::Relaxed), memory.held(0)), (0, 0));
    }

    #[test]
    fn the_oldest_is_on_its_way_until_all_its_parts_are_dropped() {
        let memory = Arc::new(Memory::new(100, 1));
        assert_eq!(memory.oldest(0), None);
        let old = Instant::now();
        let young = old + std::time::Duration::from_secs(1);
        let later = memory.hold(0, 1).on_its_way_since(young);
        let whole = memory.hold(0, 2).on_its_way_since(old);
        let part = memory.hold(0, 1).with_age_of(&whole);
        drop(whole);
        assert_eq!(memory.oldest(0), Some(old));
        drop(part);
        assert_eq!(memory.oldest(0), Some(young));
        drop(later);
        assert_eq!(memory.oldest(0), None);
    }
}
