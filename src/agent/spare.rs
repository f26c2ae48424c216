//! Buffers of requests that are delivered, kept for later ones: a new one costs more in page faults and copies than in what is
//! written to it. After a while without use they are freed.

use super::pipeline::lock;
use crate::output::Pieces;
use bytes::Bytes;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Empty buffers kept per output: as many requests as fit into its share of the memory when they go to the spool together.
const SPARE_MAX: usize = 8;
/// Capacity above which a buffer is not kept: one huge record must not hold memory for good.
const SPARE_BYTES_MAX: usize = 4 << 20;
/// So long they are kept without use.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// Empty buffers of one output.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    list: Vec<Pieces>,
    bodies: Vec<Vec<u8>>,
    used: Option<Instant>,
}

impl Spare {
    /// An empty buffer.
    pub(super) fn take(&self, now: Instant) -> Pieces {
        let mut kept = lock(&self.0);
        kept.used = Some(now);
        kept.list.pop().unwrap_or_default()
    }

    /// Keeps an emptied buffer, no larger than what a request of so many bytes needs: what is kept is not counted in the memory limit.
    pub(super) fn keep(&self, mut pieces: Pieces, bytes_max: usize) {
        pieces.clear();
        pieces.bytes.shrink_to(bytes_max.saturating_add(bytes_max / 4));
        let mut kept = lock(&self.0);
        if kept.list.len() < SPARE_MAX && pieces.held_bytes() <= SPARE_BYTES_MAX {
            kept.list.push(pieces);
        }
    }

    /// An empty body.
    pub(super) fn take_body(&self, now: Instant) -> Vec<u8> {
        let mut kept = lock(&self.0);
        kept.used = Some(now);
        kept.bodies.pop().unwrap_or_default()
    }

    /// Keeps the memory of a body that was sent, unless somebody still holds it.
    pub(super) fn keep_body(&self, body: Bytes) {
        let Ok(body) = body.try_into_mut() else { return };
        let mut body = Vec::from(body);
        body.clear();
        let mut kept = lock(&self.0);
        if kept.bodies.len() < SPARE_MAX && body.capacity() <= SPARE_BYTES_MAX {
            kept.bodies.push(body);
        }
    }

    /// Frees what nobody has needed for a while.
    pub(super) fn tidy(&self, now: Instant) {
        let mut kept = lock(&self.0);
        if kept.used.is_some_and(|used| now.duration_since(used) >= KEPT_FOR) {
            *kept = Kept::default();
        }
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> Vec<usize> {
        lock(&self.0).list.iter().map(Pieces::held_bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_buffers_are_freed() {
        let (spare, start) = (Spare::default(), Instant::now());
        let mut buffer = spare.take(start);
        buffer.bytes.resize(1000, 1);
        spare.keep(buffer, 1000);
        spare.tidy(start + KEPT_FOR / 2);
        assert!(spare.held_bytes()[0] >= 1000);
        assert!(spare.take(start).bytes.is_empty() && spare.held_bytes().is_empty());
        spare.keep(Pieces::default(), 1000);
        spare.tidy(start + KEPT_FOR);
        assert!(spare.held_bytes().is_empty());
    }

    #[test]
    fn a_body_is_filled_again_when_nobody_holds_it() {
        let (spare, now) = (Spare::default(), Instant::now());
        let body = Bytes::from(vec![b'x'; 5000]);
        let other = body.clone();
        spare.keep_body(body);
        assert_eq!(spare.take_body(now).capacity(), 0);
        spare.keep_body(other);
        let again = spare.take_body(now);
        assert!(again.is_empty() && again.capacity() >= 5000);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let spare = Spare::default();
        for bytes in [SPARE_BYTES_MAX + 1, 10, 20].iter().cycle().take(5 * SPARE_MAX) {
            spare.keep(Pieces { bytes: Vec::with_capacity(*bytes), ..Pieces::default() }, usize::MAX);
        }
        assert_eq!(spare.held_bytes().len(), SPARE_MAX);
        assert!(spare.held_bytes().iter().all(|bytes| *bytes < 100));
    }
}
