//! How long thin streams wait for more events: longer while CloudWatch throttles, since fewer puts is what it asks for.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// As long as nobody looks for an event in vain for too long.
const LINGER_MAX: Duration = Duration::from_secs(60);
/// Between two steps up: requests that fail together are one failure.
const UP_EVERY: Duration = Duration::from_secs(1);
/// Without a throttled request for so long, one step down.
const DOWN_EVERY: Duration = Duration::from_secs(30);
/// From 5 s to a minute.
const STEPS_MAX: u32 = 4;

/// Doubles the linger with each step.
#[derive(Debug, Default)]
pub(super) struct Pace {
    steps: AtomicU32,
    changed: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn linger(&self, usual: Duration) -> Duration {
        let stretched = usual.saturating_mul(1 << self.steps.load(Ordering::Relaxed));
        stretched.min(LINGER_MAX.max(usual))
    }

    pub(super) fn throttled(&self, now: Instant) {
        self.change(now, UP_EVERY, |steps| (steps + 1).min(STEPS_MAX));
    }

    pub(super) fn delivered(&self, now: Instant) {
        if self.steps.load(Ordering::Relaxed) > 0 {
            self.change(now, DOWN_EVERY, |steps| steps - 1);
        }
    }

    fn change(&self, now: Instant, after: Duration, next: impl Fn(u32) -> u32) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if changed.is_none_or(|changed| now.duration_since(changed) >= after) {
            *changed = Some(now);
            self.steps.store(next(self.steps.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linger_grows_while_throttled_and_shrinks_afterwards() {
        let (pace, start, usual) = (Pace::default(), Instant::now(), Duration::from_secs(5));
        pace.delivered(start);
        assert_eq!(pace.linger(usual), usual);
        pace.throttled(start);
        pace.throttled(start);
        assert_eq!(pace.linger(usual), usual * 2);
        (1..20).for_each(|second| pace.throttled(start + Duration::from_secs(second)));
        assert_eq!(pace.linger(usual), LINGER_MAX);
        assert_eq!(pace.linger(LINGER_MAX * 2), LINGER_MAX * 2, "what the user wants stays");
        (1..=20).for_each(|times| pace.delivered(start + Duration::from_secs(19) + DOWN_EVERY * times));
        assert_eq!(pace.linger(usual), usual);
    }
}
