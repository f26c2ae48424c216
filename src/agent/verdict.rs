//! Fluent Bit's `health_check`: too many errors, or too many requests given up, within a period. It says so in what the health pages show;
//! liveness does not depend on it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VerdictLimits {
    /// `hc_errors_count`: more refusals than these.
    pub(super) errors_max: u64,
    /// `hc_retry_failure_count`: more requests given up after `retry_limit` than these.
    pub(super) retry_failures_max: u64,
    /// `hc_period`.
    pub(super) period: Duration,
}

/// The last failures, as many as the verdict depends on.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict {
    /// `None` without `health_check`.
    limits: Option<VerdictLimits>,
    errors: VecDeque<Instant>,
    retry_failures: VecDeque<Instant>,
}

impl Verdict {
    pub(super) fn new(limits: Option<VerdictLimits>) -> Self {
        Self { limits, ..Self::default() }
    }

    /// A destination refused something for good.
    pub(super) fn error(&mut self, now: Instant) {
        if let Some(limits) = self.limits {
            note(&mut self.errors, limits.errors_max, limits.period, now);
        }
    }

    /// A request was given up.
    pub(super) fn retry_failure(&mut self, now: Instant) {
        if let Some(limits) = self.limits {
            note(&mut self.retry_failures, limits.retry_failures_max, limits.period, now);
        }
    }

    /// What there was too much of.
    pub(super) fn complaint(&self, now: Instant) -> Option<String> {
        let limits = self.limits?;
        let kinds = [
            (&self.errors, limits.errors_max, "refusals", "hc_errors_count"),
            (&self.retry_failures, limits.retry_failures_max, "requests given up", "hc_retry_failure_count"),
        ];
        let seconds = limits.period.as_secs();
        let too_many = kinds.into_iter().find(|(times, max, ..)| recent(times, limits.period, now) as u64 > *max);
        too_many.map(|(_, max, what, option)| format!("more than {max} {what} within {seconds} s ({option})"))
    }
}

fn note(times: &mut VecDeque<Instant>, max: u64, period: Duration, now: Instant) {
    while times.front().is_some_and(|time| times.len() as u64 > max || now.duration_since(*time) >= period) {
        times.pop_front();
    }
    times.push_back(now);
}

fn recent(times: &VecDeque<Instant>, period: Duration, now: Instant) -> usize {
    times.iter().filter(|time| now.duration_since(**time) < period).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_within_the_period_are_a_complaint() {
        let period = Duration::from_secs(60);
        let mut verdict = Verdict::new(Some(VerdictLimits { errors_max: 2, retry_failures_max: 0, period }));
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        verdict.error(at(0));
        verdict.error(at(30));
        assert_eq!(verdict.complaint(at(31)), None);
        verdict.error(at(59));
        assert!(verdict.complaint(at(59)).is_some_and(|text| text.contains("hc_errors_count")));
        assert_eq!(verdict.complaint(at(60)), None, "the first is over");
        (0..1000).for_each(|_| verdict.error(at(61)));
        assert!(verdict.errors.len() <= 3, "{}", verdict.errors.len());
        verdict.retry_failure(at(300));
        assert!(verdict.complaint(at(300)).is_some_and(|text| text.contains("hc_retry_failure_count")));
        let mut off = Verdict::new(None);
        off.error(start);
        assert_eq!(off.complaint(start), None);
    }
}
