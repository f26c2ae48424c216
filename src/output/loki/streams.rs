//! The guard against too many streams: a label that takes a new value with each record makes a stream of each, and Loki stops for
//! all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A stream that was not written to for so long does not count any more: Loki has flushed it by then.
const IDLE: Duration = Duration::from_secs(60 * 60);
/// How often those are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The streams that are written to.
#[derive(Debug)]
pub(super) struct Streams {
    /// 0: any number.
    max: usize,
    seen: HashMap<u64, Instant>,
    looked: Option<Instant>,
}

impl Streams {
    pub(super) fn new(max: usize) -> Self {
        Self { max, seen: HashMap::new(), looked: None }
    }

    /// May this stream be written to? One that was before always may.
    pub(super) fn admit(&mut self, stream: u64, now: Instant) -> bool {
        if self.max == 0 {
            return true;
        }
        if let Some(seen) = self.seen.get_mut(&stream) {
            *seen = now;
            return true;
        }
        let due = self.looked.is_none_or(|looked| now.duration_since(looked) >= LOOK_EVERY);
        if self.seen.len() >= self.max && due {
            self.looked = Some(now);
            self.seen.retain(|_, seen| now.duration_since(*seen) < IDLE);
        }
        let free = self.seen.len() < self.max;
        if free {
            self.seen.insert(stream, now);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_and_no_more_until_one_is_idle() {
        let (mut streams, start) = (Streams::new(2), Instant::now());
        assert!(streams.admit(1, start) && streams.admit(2, start) && streams.admit(1, start));
        assert!(!streams.admit(3, start));
        assert!(streams.admit(1, start + IDLE / 2));
        assert!(streams.admit(3, start + IDLE), "2 is idle");
        assert!(!streams.admit(2, start + IDLE));
        let mut any = Streams::new(0);
        assert!((0..10_000).all(|stream| any.admit(stream, start)));
    }
}
