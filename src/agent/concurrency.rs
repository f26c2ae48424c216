//! How many requests of an output are under way at once: more while the destination keeps up, half as many when it does not
//! (additive increase, multiplicative decrease, as TCP does it).

use std::time::{Duration, Instant};

/// One cut for all the requests that failed together.
const BETWEEN_CUTS: Duration = Duration::from_secs(1);
/// An answer that takes so many times the usual is one of a destination under pressure.
const SLOW_FACTOR: f64 = 4.0;
/// Below this no answer is slow.
const SLOW_MIN: Duration = Duration::from_secs(1);
/// How much of the usual latency a new one makes up.
const LATENCY_WEIGHT: f64 = 0.1;

/// The number of an output's requests.
#[derive(Debug)]
pub(super) struct Concurrency {
    max: f64,
    allowed: f64,
    /// The usual time of an answer, in seconds.
    latency: Option<f64>,
    last_cut: Option<Instant>,
}

impl Concurrency {
    /// Begins with `max`: a destination that cannot take that says so.
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1) as f64;
        Self { max, allowed: max, latency: None, last_cut: None }
    }

    /// At least one.
    pub(super) fn allowed(&self) -> usize {
        self.allowed as usize
    }

    /// A request arrived.
    pub(super) fn delivered(&mut self, took: Duration, now: Instant) {
        let seconds = took.as_secs_f64();
        let usual = *self.latency.get_or_insert(seconds);
        self.latency = Some(usual + (seconds - usual) * LATENCY_WEIGHT);
        if took >= SLOW_MIN && seconds > usual * SLOW_FACTOR {
            self.cut(now);
        } else {
            self.allowed = (self.allowed + 1.0 / self.allowed).min(self.max);
        }
    }

    /// The destination could not take a request, or did not answer.
    pub(super) fn cut(&mut self, now: Instant) {
        if self.last_cut.is_none_or(|last| now.duration_since(last) >= BETWEEN_CUTS) {
            self.last_cut = Some(now);
            self.allowed = (self.allowed / 2.0).max(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(20);

    #[test]
    fn trouble_halves_and_success_adds_slowly() {
        let start = Instant::now();
        let mut requests = Concurrency::new(8);
        requests.cut(start);
        requests.cut(start + QUICK);
        assert_eq!(requests.allowed(), 4, "what fails together is one failure");
        requests.cut(start + BETWEEN_CUTS);
        requests.cut(start + BETWEEN_CUTS * 2);
        requests.cut(start + BETWEEN_CUTS * 3);
        assert_eq!(requests.allowed(), 1, "never none");
        requests.delivered(QUICK, start);
        assert_eq!(requests.allowed(), 2);
        requests.delivered(QUICK, start);
        assert_eq!(requests.allowed(), 2, "one more for each round of answers");
        (0..100).for_each(|_| requests.delivered(QUICK, start));
        assert_eq!(requests.allowed(), 8);
    }

    #[test]
    fn answers_that_become_slow_are_a_sign_too() {
        let start = Instant::now();
        let mut requests = Concurrency::new(4);
        (0..10).for_each(|_| requests.delivered(QUICK, start));
        requests.delivered(Duration::from_secs(3), start);
        assert_eq!(requests.allowed(), 2);
        let mut slow = Concurrency::new(4);
        (0..10).for_each(|_| slow.delivered(Duration::from_secs(3), start));
        assert_eq!(slow.allowed(), 4, "one that was always slow is as usual");
    }
}
