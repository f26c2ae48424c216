//! A batch's claim on the bytes that it was read from.
//!
//! Each output that takes records of the batch adds their pieces to the ticket; each piece that is delivered, or refused or
//! dropped and counted, is taken off again. At zero the bytes are settled and the position may move over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the pieces of a batch that are still on their way.
#[derive(Debug, Clone, Default)]
pub struct Ticket(Arc<AtomicU32>);

impl Ticket {
    /// Adds pieces, before they are handed on.
    pub fn add(&self, pieces: u32) {
        self.0.fetch_add(pieces, Ordering::Relaxed);
    }

    /// Takes pieces off that need no further care.
    pub fn settle(&self, pieces: u32) {
        // Release: who sees zero also sees what the outputs did before.
        let before = self.0.fetch_sub(pieces, Ordering::Release);
        debug_assert!(before >= pieces, "more pieces settled than there were");
    }

    /// Is it that of the same batch?
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Nothing is on its way any more.
    pub fn is_settled(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}
