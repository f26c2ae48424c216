//! Whose turn it is, where an output sends one request of a key at a time (`Output::takes_turns`), and which requests wait for a
//! while without keeping others from being sent (`Outcome::Held`).

use super::pipeline::lock;
use super::request::Finished;
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The keys of what is under way.
#[derive(Debug, Default)]
pub(super) struct Turns(Arc<Mutex<HashSet<Arc<str>>>>);

/// That a key is under way; no longer so when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    busy: Arc<Mutex<HashSet<Arc<str>>>>,
    key: Arc<str>,
}

impl Turns {
    /// Begins the turn of a key.
    pub(super) fn begin(&self, key: &Arc<str>) -> Turn {
        lock(&self.0).insert(Arc::clone(key));
        Turn { busy: Arc::clone(&self.0), key: Arc::clone(key) }
    }

    pub(super) fn is_busy(&self, key: &str) -> bool {
        lock(&self.0).contains(key)
    }

    /// Takes out the oldest request that may be sent now: it is not held, and nothing of its key is under way or before it.
    pub(super) fn take(&self, waiting: &mut VecDeque<Finished>, in_turn: bool, now: Instant) -> Option<Finished> {
        let is_held = |request: &Finished| request.retry.held_until.is_some_and(|until| now < until);
        if !in_turn {
            let at = waiting.iter().position(|request| !is_held(request))?;
            return waiting.remove(at);
        }
        let mut passed: HashSet<&str> = HashSet::new();
        let busy = lock(&self.0);
        let at = waiting.iter().position(|request| {
            let free = !is_held(request) && !busy.contains(&request.key) && !passed.contains(&*request.key);
            passed.insert(&request.key);
            free
        })?;
        drop(busy);
        waiting.remove(at)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.busy).remove(&self.key);
    }
}

/// When the next of the requests that are held may be sent.
pub(super) fn next_end(waiting: &VecDeque<Finished>, now: Instant) -> Option<Instant> {
    waiting.iter().filter_map(|request| request.retry.held_until).filter(|until| *until > now).min()
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::super::request::tests::finished;
    use super::*;
    use std::time::Duration;

    fn waiting(keys: &[&str]) -> VecDeque<Finished> {
        let memory = Arc::new(Memory::new(1000, 1));
        let request = |(number, key): (usize, &&str)| {
            let (mut request, _) = finished(&memory, &[&number.to_string()], &[1]);
            request.key = Arc::from(*key);
            request
        };
        keys.iter().enumerate().map(request).collect()
    }

    fn name(request: Option<Finished>) -> Option<String> {
        request.map(|request| String::from_utf8_lossy(&request.pieces.bytes).into_owned())
    }

    #[test]
    fn one_request_of_a_key_is_under_way_at_a_time() {
        let (turns, now) = (Turns::default(), Instant::now());
        let mut waiting = waiting(&["a", "a", "b", "a"]);
        let turn = turns.begin(&Arc::from("a"));
        assert!(turns.is_busy("a") && !turns.is_busy("b"));
        assert_eq!(name(turns.take(&mut waiting, true, now)).as_deref(), Some("2"), "b is free");
        assert_eq!(name(turns.take(&mut waiting, true, now)), None);
        drop(turn);
        assert_eq!(name(turns.take(&mut waiting, true, now)).as_deref(), Some("0"));
        let all: Vec<_> = std::iter::from_fn(|| name(turns.take(&mut waiting, false, now))).collect();
        assert_eq!(all, ["1", "3"], "without turns all may go");
    }

    #[test]
    fn what_is_held_keeps_its_key_back_and_no_other() {
        let (turns, now) = (Turns::default(), Instant::now());
        let mut waiting = waiting(&["a", "a", "b"]);
        let until = now + Duration::from_secs(1);
        waiting[0].retry.held_until = Some(until);
        assert_eq!((next_end(&waiting, now), next_end(&waiting, until)), (Some(until), None));
        assert_eq!(name(turns.take(&mut waiting, true, now)).as_deref(), Some("2"));
        assert_eq!(name(turns.take(&mut waiting, true, now)), None);
        assert_eq!(name(turns.take(&mut waiting, true, until)).as_deref(), Some("0"));
    }
}
