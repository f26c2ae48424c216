//! Whose turn it is, where an output sends one request of a key at a time (`Output::takes_turns`), and which requests wait for a
//! while without keeping others from being sent (`Outcome::Held`).

use super::pipeline::lock;
use super::request::Finished;
use crate::output::Output;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// First and last time of a request, where its output says so.
type Times = Option<(i64, i64)>;
type UnderWay = HashMap<Arc<str>, Vec<Times>>;

/// The keys of what is under way.
#[derive(Debug, Default)]
pub(super) struct Turns(Arc<Mutex<UnderWay>>);

/// That a request is under way; no longer so when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    under_way: Arc<Mutex<UnderWay>>,
    key: Arc<str>,
    times: Times,
}

impl Turns {
    /// Begins the turn of a request.
    pub(super) fn begin(&self, request: &Finished) -> Turn {
        let (key, times) = (Arc::clone(&request.key), request.pieces.filled.times);
        lock(&self.0).entry(Arc::clone(&key)).or_default().push(times);
        Turn { under_way: Arc::clone(&self.0), key, times }
    }

    /// May it be sent beside what is under way?
    pub(super) fn is_free(&self, request: &Finished, output: &dyn Output) -> bool {
        !output.takes_turns() || is_free(&lock(&self.0), request, output)
    }

    /// Takes out the oldest request that may be sent now: it is not held, and nothing of its key has to come before it.
    pub(super) fn take(&self, waiting: &mut VecDeque<Finished>, output: &dyn Output, now: Instant) -> Option<Finished> {
        let is_held = |request: &Finished| request.retry.held_until.is_some_and(|until| now < until);
        if !output.takes_turns() {
            let at = waiting.iter().position(|request| !is_held(request))?;
            return waiting.remove(at);
        }
        let under_way = lock(&self.0);
        let mut passed: HashSet<&str> = HashSet::new();
        let at = waiting.iter().position(|request| {
            let passes = is_held(request) || passed.contains(&*request.key) || !is_free(&under_way, request, output);
            if passes {
                passed.insert(&request.key);
            }
            !passes
        })?;
        drop(under_way);
        waiting.remove(at)
    }
}

fn is_free(under_way: &UnderWay, request: &Finished, output: &dyn Output) -> bool {
    let Some(others) = under_way.get(&request.key) else { return true };
    let times = request.pieces.filled.times;
    let apart =
        |other: &Times| matches!((times, other), (Some(own), Some(other)) if own.1 < other.0 || other.1 < own.0);
    others.iter().all(apart) && output.allows_several(&request.key)
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut under_way = lock(&self.under_way);
        let Some(of_key) = under_way.get_mut(&self.key) else { return };
        if let Some(at) = of_key.iter().position(|times| *times == self.times) {
            of_key.swap_remove(at);
        }
        if of_key.is_empty() {
            under_way.remove(&self.key);
        }
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
    use crate::output::{Limits, Needs, Outcome, Pieces, Request};
    use crate::record::Batch;
    use futures_util::future::BoxFuture;
    use std::time::Duration;

    struct InTurn(bool);

    impl Output for InTurn {
        fn limits(&self) -> Limits {
            Limits { bytes_max: 1000, records_max: 1000, linger: None, in_flight: 2, ordered: false }
        }
        fn needs(&self) -> Needs {
            Needs::default()
        }
        fn takes_turns(&self) -> bool {
            self.0
        }
        fn allows_several(&self, key: &str) -> bool {
            key == "several"
        }
        fn encode(&self, _batch: &Batch, _record: usize, _out: &mut Vec<u8>) {}
        fn body(&self, _key: &str, _pieces: &Pieces, _body: &mut Vec<u8>) {}
        fn send<'a>(&'a self, _request: &'a Request) -> BoxFuture<'a, Outcome> {
            Box::pin(async { Outcome::Delivered })
        }
    }

    fn request(key: &str, name: &str, times: Times) -> Finished {
        let (mut request, _) = finished(&Arc::new(Memory::new(1000, 1)), &[name], &[1]);
        request.key = Arc::from(key);
        Arc::get_mut(&mut request.pieces).unwrap().filled.times = times;
        request
    }

    fn waiting(keys: &[&str]) -> VecDeque<Finished> {
        keys.iter().enumerate().map(|(number, key)| request(key, &number.to_string(), None)).collect()
    }

    fn name(request: Option<Finished>) -> Option<String> {
        request.map(|request| String::from_utf8_lossy(&request.pieces.bytes).into_owned())
    }

    #[test]
    fn one_request_of_a_key_is_under_way_at_a_time() {
        let (turns, now) = (Turns::default(), Instant::now());
        let mut waiting = waiting(&["a", "a", "b", "a"]);
        let turn = turns.begin(&request("a", "x", None));
        assert!(!turns.is_free(&waiting[0], &InTurn(true)) && turns.is_free(&waiting[0], &InTurn(false)));
        assert_eq!(name(turns.take(&mut waiting, &InTurn(true), now)).as_deref(), Some("2"), "b is free");
        assert_eq!(name(turns.take(&mut waiting, &InTurn(true), now)), None);
        drop(turn);
        assert_eq!(name(turns.take(&mut waiting, &InTurn(true), now)).as_deref(), Some("0"));
        let all: Vec<_> = std::iter::from_fn(|| name(turns.take(&mut waiting, &InTurn(false), now))).collect();
        assert_eq!(all, ["1", "3"], "without turns all may go");
    }

    #[test]
    fn times_that_do_not_overlap_may_be_under_way_together() {
        let (turns, now) = (Turns::default(), Instant::now());
        let first = turns.begin(&request("several", "x", Some((10, 20))));
        let second = turns.begin(&request("several", "x", Some((31, 40))));
        for (key, times, expect) in [
            ("several", Some((21, 30)), true),
            ("several", Some((20, 30)), false),
            ("several", Some((41, 41)), true),
            ("several", Some((0, 99)), false),
            ("several", None, false),
            ("other", Some((0, 99)), true),
        ] {
            assert_eq!(turns.is_free(&request(key, "y", times), &InTurn(true)), expect, "{key} {times:?}");
        }
        let mut waiting: VecDeque<Finished> =
            [request("several", "0", Some((40, 50))), request("several", "1", Some((51, 60)))].into();
        assert_eq!(name(turns.take(&mut waiting, &InTurn(true), now)), None, "what waits keeps its order");
        drop(second);
        assert_eq!(name(turns.take(&mut waiting, &InTurn(true), now)).as_deref(), Some("0"));
        drop(first);
        assert!(lock(&turns.0).is_empty());
    }

    #[test]
    fn what_is_held_keeps_its_key_back_and_no_other() {
        let (turns, now) = (Turns::default(), Instant::now());
        let mut waiting = waiting(&["a", "a", "b"]);
        let until = now + Duration::from_secs(1);
        waiting[0].retry.held_until = Some(until);
        assert_eq!((next_end(&waiting, now), next_end(&waiting, until)), (Some(until), None));
        assert_eq!(name(turns.take(&mut waiting, &InTurn(true), now)).as_deref(), Some("2"));
        assert_eq!(name(turns.take(&mut waiting, &InTurn(true), now)), None);
        assert_eq!(name(turns.take(&mut waiting, &InTurn(true), until)).as_deref(), Some("0"));
    }
}
