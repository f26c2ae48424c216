//! Several servers that take turns. One that cannot be reached rests for a while; when all rest, the one whose rest ends first is asked.

use http::Uri;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long a server that cannot be reached is not asked, while others are there.
const REST: Duration = Duration::from_secs(30);

/// The servers.
#[derive(Debug)]
pub(super) struct Hosts {
    urls: Vec<Uri>,
    turns: Mutex<Turns>,
}

#[derive(Debug)]
struct Turns {
    next: usize,
    rests_until: Vec<Option<Instant>>,
}

impl Hosts {
    /// At least one.
    pub(super) fn new(urls: Vec<Uri>) -> Self {
        let turns = Turns { next: 0, rests_until: vec![None; urls.len()] };
        Self { urls, turns: Mutex::new(turns) }
    }

    pub(super) fn len(&self) -> usize {
        self.urls.len()
    }

    /// Whose turn it is: its number and its URL.
    pub(super) fn next(&self, now: Instant) -> (usize, &Uri) {
        let turns = &mut *self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let order = (0..self.urls.len()).map(|step| (turns.next + step) % self.urls.len());
        // Who does not rest, in turn; else who rests shortest.
        let chosen = order.min_by_key(|host| turns.rests_until[*host].filter(|until| *until > now)).unwrap_or_default();
        turns.next = (chosen + 1) % self.urls.len();
        (chosen, &self.urls[chosen])
    }

    /// It cannot be reached.
    pub(super) fn rest(&self, host: usize, now: Instant) {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).rests_until[host] = Some(now + REST);
    }

    /// It answered.
    pub(super) fn wake(&self, host: usize) {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).rests_until[host] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_take_turns() {
        let urls = ["http://a/", "http://b/", "http://c/"].map(Uri::from_static);
        let (hosts, now) = (Hosts::new(urls.to_vec()), Instant::now());
        let turns = |now: Instant, count: usize| (0..count).map(|_| hosts.next(now).0).collect::<Vec<_>>();
        assert_eq!(turns(now, 4), [0, 1, 2, 0]);
        hosts.rest(1, now);
        assert_eq!(turns(now, 3), [2, 0, 2]);
        hosts.rest(0, now + Duration::from_secs(1));
        hosts.rest(2, now + Duration::from_secs(2));
        assert_eq!(turns(now + Duration::from_secs(3), 2), [1, 1], "the first to come back is asked");
        assert_eq!(turns(now + REST, 2), [1, 1]);
        hosts.wake(2);
        let mut both = turns(now + REST, 2);
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
    }
}
