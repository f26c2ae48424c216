//! How much the process holds: pieces and bodies, in bytes of capacity.
//!
//! The limit is shared out evenly: an output that is stuck fills its own share and stops only the sources that are routed
//! to it. With nothing held there is always room, so that a record larger than a share passes too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of the control group's memory limit, the part that may be held; the rest is the process itself and what it reads.
const CGROUP_PERCENT: u64 = 40;
/// Where the limit stands: control groups of version 2, then 1, as a container sees its own.
const CGROUP_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

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
    share: usize,
    held: Vec<AtomicUsize>,
}

impl Memory {
    pub(super) fn new(limit: usize, outputs: usize) -> Self {
        Self { share: (limit / outputs.max(1)).max(1), held: (0..outputs).map(|_| AtomicUsize::new(0)).collect() }
    }

    pub(super) fn add(&self, output: usize, bytes: usize) {
        self.held[output].fetch_add(bytes, Ordering::Relaxed);
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
        Held { memory: Arc::clone(self), output, bytes }
    }

    pub(super) fn held(&self, output: usize) -> usize {
        self.held[output].load(Ordering::Relaxed)
    }

    pub(super) fn has_room(&self, output: usize) -> bool {
        self.held(output) < self.share
    }
}

/// Bytes that are counted until this is dropped, also by a panic.
#[derive(Debug)]
#[must_use]
pub(super) struct Held {
    memory: Arc<Memory>,
    output: usize,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.release(self.output, self.bytes);
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
    fn a_full_output_leaves_room_to_the_others() {
        let memory = Memory::new(100, 2);
        memory.add(0, 60);
        assert!(!memory.has_room(0) && memory.has_room(1));
        memory.release(0, 20);
        assert!(memory.has_room(0));
        assert_eq!(memory.held(0), 40);
    }
}
