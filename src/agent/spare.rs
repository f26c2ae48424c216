//! Buffers of requests that are delivered, kept for later ones: a new one costs more in page faults and copies than in what is
//! written to it. After a while without use they are freed. What is kept and what is held are together no more than seven eighths of
//! the output's share of the memory, but for one buffer of each kind: where the share is full, whoever waits for room takes it at once.

use super::pipeline::lock;
use crate::output::Pieces;
use bytes::Bytes;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// So long they are kept without use.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// Empty buffers of one output.
#[derive(Debug)]
pub(super) struct Spare {
    kept: Mutex<Kept>,
    /// What they may hold together with what is in use.
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    list: Vec<Pieces>,
    bodies: Vec<Vec<u8>>,
    bytes: usize,
    used: Option<Instant>,
}

impl Kept {
    /// Frees what is too much, the largest kind first, to the last buffer of each.
    fn fit(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && self.bodies.len().max(self.list.len()) > 1 {
            let body = if self.bodies.len() > 1 { self.bodies.last().map_or(0, Vec::capacity) } else { 0 };
            let pieces = if self.list.len() > 1 { self.list.last().map_or(0, Pieces::held_bytes) } else { 0 };
            self.bytes -= body.max(pieces);
            match self.list.len() > 1 && pieces >= body {
                true => drop(self.list.pop()),
                false => drop(self.bodies.pop()),
            }
        }
    }
}

impl Spare {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { kept: Mutex::default(), bytes_max }
    }

    /// An empty buffer; `held` is what is in use.
    pub(super) fn take(&self, now: Instant, held: usize) -> Pieces {
        let mut kept = lock(&self.kept);
        kept.used = Some(now);
        let pieces = kept.list.pop().unwrap_or_default();
        kept.bytes -= pieces.held_bytes();
        kept.fit(self.bytes_max.saturating_sub(held + pieces.held_bytes()));
        pieces
    }

    /// Keeps an emptied buffer, no larger than what a request of so many bytes needs: one huge record must not hold memory for good.
    pub(super) fn keep(&self, mut pieces: Pieces, bytes_max: usize, held: usize) {
        pieces.clear();
        pieces.bytes.shrink_to(bytes_max.saturating_add(bytes_max / 4));
        let mut kept = lock(&self.kept);
        // One that is far too small would have to grow, in memory that is new.
        let is_small = |other: &Pieces| pieces.held_bytes() < other.held_bytes() / 2;
        if kept
            .list
            .last()
            .is_none_or(|last| !is_small(last) && kept.bytes + pieces.held_bytes() + held <= self.bytes_max)
        {
            kept.bytes += pieces.held_bytes();
            kept.list.push(pieces);
        }
    }

    /// An empty body.
    pub(super) fn take_body(&self, now: Instant, held: usize) -> Vec<u8> {
        let mut kept = lock(&self.kept);
        kept.used = Some(now);
        let body = kept.bodies.pop().unwrap_or_default();
        kept.bytes -= body.capacity();
        kept.fit(self.bytes_max.saturating_sub(held + body.capacity()));
        body
    }

    /// The same for a body that was sent, unless somebody still holds it.
    pub(super) fn keep_body(&self, body: Bytes, bytes_max: usize, held: usize) {
        let Ok(body) = body.try_into_mut() else { return };
        let mut body = Vec::from(body);
        body.clear();
        body.shrink_to(bytes_max.saturating_add(bytes_max / 4));
        let mut kept = lock(&self.kept);
        if kept.bodies.is_empty() || kept.bytes + body.capacity() + held <= self.bytes_max {
            kept.bytes += body.capacity();
            kept.bodies.push(body);
        }
    }

    /// Frees what nobody has needed for a while, and what others need.
    pub(super) fn tidy(&self, now: Instant, held: usize) {
        let mut kept = lock(&self.kept);
        kept.fit(self.bytes_max.saturating_sub(held));
        if kept.used.is_some_and(|used| now.duration_since(used) >= KEPT_FOR) {
            *kept = Kept::default();
        }
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> Vec<usize> {
        lock(&self.kept).list.iter().map(Pieces::held_bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_buffers_are_freed() {
        let (spare, start) = (Spare::new(1 << 20), Instant::now());
        let mut buffer = spare.take(start, 0);
        buffer.bytes.resize(1000, 1);
        spare.keep(buffer, 1000, 0);
        spare.tidy(start + KEPT_FOR / 2, 0);
        assert!(spare.held_bytes()[0] >= 1000);
        assert!(spare.take(start, 0).bytes.is_empty() && spare.held_bytes().is_empty());
        spare.keep(Pieces::default(), 1000, 0);
        spare.tidy(start + KEPT_FOR, 0);
        assert!(spare.held_bytes().is_empty());
    }

    #[test]
    fn a_body_is_filled_again_when_nobody_holds_it() {
        let (spare, now) = (Spare::new(1 << 20), Instant::now());
        let body = Bytes::from(vec![b'x'; 5000]);
        let other = body.clone();
        spare.keep_body(body, 5000, 0);
        assert_eq!(spare.take_body(now, 0).capacity(), 0);
        spare.keep_body(other, 5000, 0);
        let again = spare.take_body(now, 0);
        assert!(again.is_empty() && again.capacity() >= 5000);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let spare = Spare::new(3_000_000);
        for bytes in [9_000_000, 1000].iter().cycle().take(10) {
            spare.keep(Pieces::new(Vec::with_capacity(*bytes), Vec::new()), 1_000_000, 0);
        }
        let held = spare.held_bytes();
        assert_eq!(held, [1_250_000; 2], "no huge ones, and none beside them that would have to grow");
        held.iter().for_each(|_| _ = spare.take(Instant::now(), 0));
        assert_eq!(lock(&spare.kept).bytes, 0);
    }

    #[test]
    fn what_is_in_use_is_not_kept_besides() {
        let (spare, now) = (Spare::new(10_000), Instant::now());
        let buffer = |bytes| Pieces::new(Vec::with_capacity(bytes), Vec::new());
        (0..2).for_each(|_| spare.keep(buffer(4000), 4000, 9000));
        assert_eq!(spare.held_bytes(), [4000], "there is room for one beside what is in use");
        (0..3).for_each(|_| spare.keep(buffer(3000), 3000, 0));
        assert_eq!(spare.held_bytes(), [4000, 3000, 3000]);
        (0..2).for_each(|_| spare.keep_body(Bytes::from(vec![b'x'; 1000]), 1000, 0));
        assert_eq!(lock(&spare.kept).bytes, 11_000);
        spare.tidy(now, 2000);
        assert_eq!(spare.held_bytes(), [4000, 3000], "what others need is freed");
        assert_eq!((spare.take_body(now, 9000).capacity(), lock(&spare.kept).bytes), (1000, 4000));
    }
}
