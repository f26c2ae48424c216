//! How much the process holds: pieces and bodies, in bytes of capacity.
//!
//! The limit is shared out evenly: an output that is stuck fills its own share and stops only the sources that are routed
//! to it. With nothing held there is always room, so that a record larger than a share passes too.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes held per output, and the share of each.
#[derive(Debug)]
pub(super) struct Memory {
    share: usize,
    held: Vec<AtomicUsize>,
}

impl Memory {
    pub(super) fn new(limit: usize, outputs: usize) -> Self {
        Self { share: limit / outputs.max(1), held: (0..outputs).map(|_| AtomicUsize::new(0)).collect() }
    }

    pub(super) fn add(&self, output: usize, bytes: usize) {
        self.held[output].fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn release(&self, output: usize, bytes: usize) {
        let before = self.held[output].fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "released more than was held");
    }

    pub(super) fn held(&self, output: usize) -> usize {
        self.held[output].load(Ordering::Relaxed)
    }

    pub(super) fn has_room(&self, output: usize) -> bool {
        self.held(output) < self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
