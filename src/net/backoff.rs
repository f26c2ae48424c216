//! How long to wait before the next attempt.
//!
//! Full jitter: a random part of a limit that doubles. It spreads the agents of a whole cluster best after an outage that hit
//! them together (AWS Architecture Blog, "Exponential Backoff And Jitter").

use std::time::{Duration, SystemTime};

/// The longest wait that a `Retry-After` is believed for: an outage that ends sooner shall be noticed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Waits that grow, each random. Equal seeds give equal waits.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempt: u32,
    random: u64,
}

impl Backoff {
    /// The limit of the first wait, unless the user says otherwise.
    pub const BASE: Duration = Duration::from_millis(250);
    /// The limit of all later waits, unless the user says otherwise.
    pub const CAP: Duration = Duration::from_secs(30);

    /// Begins with waits below `base`, doubled after each up to `cap`.
    pub fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        Self { base, cap, attempt: 0, random: seed }
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let limit = self.base.saturating_mul(2_u32.saturating_pow(self.attempt)).min(self.cap);
        self.attempt = self.attempt.saturating_add(1);
        limit.mul_f64(self.fraction())
    }

    /// An attempt succeeded: begin with `base` again.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Below 1, by splitmix64.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Reads a `Retry-After` (RFC 9110, 10.2.3): seconds or a date, at most [`RETRY_AFTER_MAX`].
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_below_a_limit_that_doubles_up_to_the_cap() {
        let mut limit = Backoff::BASE;
        let mut backoff = Backoff::new(Backoff::BASE, Backoff::CAP, 7);
        for _ in 0..100 {
            assert!(backoff.wait() < limit);
            limit = (limit * 2).min(Backoff::CAP);
        }
        backoff.reset();
        assert!(backoff.wait() < Backoff::BASE);
    }

    #[test]
    fn waits_are_spread_evenly_and_repeat_with_their_seed() {
        let waits = |seed| {
            let mut backoff = Backoff::new(Backoff::CAP, Backoff::CAP, seed);
            (0..1000).map(|_| backoff.wait()).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
        let early = waits(3).iter().filter(|wait| **wait < Backoff::CAP / 4).count();
        assert!((200..300).contains(&early), "{early} of 1000 in the first quarter");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Fri, 20 Nov 2026 08:00:00 GMT").unwrap();
        for (value, expect) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("86400", Some(300)),
            ("99999999999999999999999", Some(300)),
            ("Fri, 20 Nov 2026 08:00:42 GMT", Some(42)),
            ("Fri, 20 Nov 2026 07:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), expect.map(Duration::from_secs), "{value}");
        }
    }
}
