//! The search for the records that cause a refusal, where the destination does not name them.
//!
//! ```text
//! 1000 refused ─▶ 500 ─▶ 250 ─▶ … ─▶ 1 refused: doubtful          then what is left, from the small to the large:
//!                                    1 arrives, 2 arrive, 4 arrive … ─▶ the destination takes records: the doubtful one is asked again,
//!                                                                       and is refused for good when the answer is the same
//!                                    1, 2, 4 … 500 refused, too ─▶ it is the request, or the configuration: all is kept, and
//!                                                                  one record is tried now and then
//! ```
//! What arrives counts only for requests of the same key: another tenant's success says nothing.

use super::attempts::LASTING_WAIT;
use super::delivery::Delivery;
use super::pipeline::lock;
use super::request::Finished;
use crate::output::Refusal;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Before the first record is tried again when all are refused; doubled each time, up to [`LASTING_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// How long a refused request waits while another one of its key is searched.
const ONE_AT_A_TIME: Duration = Duration::from_millis(500);

/// What is known of a key whose requests are refused.
#[derive(Debug, Default)]
struct Doubt {
    arrived: u64,
    /// Nothing of this key is sent before.
    closed_until: Option<Instant>,
    rounds: u32,
}

/// The keys that are searched, of one output.
#[derive(Debug, Default)]
pub(super) struct Doubts(Mutex<HashMap<Arc<str>, Doubt>>);

impl Doubts {
    /// `None` while another request of the key is searched.
    fn begin(self: &Arc<Self>, key: &Arc<str>) -> Option<Doubting> {
        let mut doubts = lock(&self.0);
        if doubts.contains_key(key) {
            return None;
        }
        doubts.insert(Arc::clone(key), Doubt::default());
        Some(Doubting { doubts: Arc::clone(self), key: Arc::clone(key) })
    }

    /// Something of this key is there: its requests need not wait any longer.
    pub(super) fn arrived(&self, key: &str) {
        if let Some(doubt) = lock(&self.0).get_mut(key) {
            doubt.arrived += 1;
            doubt.closed_until = None;
            doubt.rounds = 0;
        }
    }

    pub(super) fn closed_until(&self, key: &str) -> Option<Instant> {
        lock(&self.0).get(key)?.closed_until
    }
}

/// That a key is searched; no longer so when it is dropped.
#[derive(Debug)]
struct Doubting {
    doubts: Arc<Doubts>,
    key: Arc<str>,
}

impl Doubting {
    fn arrived(&self) -> u64 {
        lock(&self.doubts.0).get(&self.key).map_or(0, |doubt| doubt.arrived)
    }

    /// Nothing of this key is sent for a while, which grows from time to time.
    fn close(&self, now: Instant) -> Duration {
        let mut doubts = lock(&self.doubts.0);
        let Some(doubt) = doubts.get_mut(&self.key) else { return FIRST_WAIT };
        let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(doubt.rounds)).min(LASTING_WAIT);
        doubt.rounds += 1;
        doubt.closed_until = Some(now + wait);
        wait
    }
}

impl Drop for Doubting {
    fn drop(&mut self) {
        lock(&self.doubts.0).remove(&self.key);
    }
}

/// The search in one request.
#[derive(Debug, Default)]
pub(super) struct Search {
    doubting: Option<Doubting>,
    /// Refused while nothing arrived, in the order of their records.
    doubtful: VecDeque<(Finished, Refusal)>,
}

impl Search {
    /// Gives the search up: what is doubtful is as any other request.
    pub(super) fn end(&mut self) -> Vec<Finished> {
        self.doubting = None;
        let unmarked = |(mut request, _): (Finished, Refusal)| {
            request.retry.refused_at = None;
            request.retry.asked_again = false;
            request
        };
        self.doubtful.drain(..).map(unmarked).collect()
    }
}

impl Delivery {
    /// A request, or a part of one, was refused: halves it, refuses it for good, or puts it aside.
    pub(super) async fn search(
        &self,
        mut request: Finished,
        refusal: Refusal,
        search: &mut Search,
        todo: &mut VecDeque<Finished>,
    ) {
        let doubting = match &mut search.doubting {
            Some(doubting) => doubting,
            none => match self.doubts.begin(&request.key) {
                Some(doubting) => none.insert(doubting),
                None => {
                    request.retry.not_before = Some(Instant::now() + ONE_AT_A_TIME);
                    return todo.push_front(request);
                }
            },
        };
        let arrived = doubting.arrived();
        if request.pieces.list.len() > 1 {
            if arrived > 0 || search.doubtful.is_empty() {
                let halves = request.halves(&self.pipeline.memory);
                halves.into_iter().rev().for_each(|half| todo.push_front(half));
            } else {
                search.doubtful.push_back((request, refusal));
            }
        } else if self.replays
            || request.retry.asked_again
            || request.retry.refused_at.is_some_and(|before| arrived > before)
        {
            self.refuse(request, &refusal).await;
        } else {
            request.retry.refused_at.get_or_insert(arrived);
            search.doubtful.push_back((request, refusal));
        }
    }

    /// All parts were tried. If something arrived, the doubtful ones are asked again; if nothing did, one record of them, later.
    pub(super) fn decide(&self, search: &mut Search, todo: &mut VecDeque<Finished>) {
        let (Some((_, refusal)), Some(doubting)) = (search.doubtful.front(), &search.doubting) else { return };
        let arrived = doubting.arrived();
        if arrived > 0 {
            for (mut request, _) in search.doubtful.drain(..) {
                // Nothing came after it that could arrive. It is asked again all the same, but not at once and not forever.
                if request.retry.refused_at == Some(arrived) {
                    request.retry.asked_again = true;
                    request.retry.not_before = Some(Instant::now() + FIRST_WAIT);
                }
                todo.push_back(request);
            }
            return;
        }
        let message = format!("{}; nothing else arrives either, so it is not a single record", refusal.message);
        self.say(&message, true, doubting.close(Instant::now()));
        let largest = (0..search.doubtful.len()).rev().max_by_key(|at| search.doubtful[*at].0.pieces.list.len());
        let Some((request, refusal)) = largest.and_then(|at| search.doubtful.remove(at)) else { return };
        if request.pieces.list.len() == 1 {
            return todo.push_back(request);
        }
        let memory = &self.pipeline.memory;
        todo.push_back(request.part_of(memory, |index| index == 0));
        let at = largest.unwrap_or_default();
        search.doubtful.insert(at, (request.part_of(memory, |index| index > 0), refusal));
    }
}
