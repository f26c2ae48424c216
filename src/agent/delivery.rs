//! Brings an output's finished requests to their destination: as many at once as it takes, from memory and from the spool.
//!
//! ```text
//! finished ─▶ waiting ─▶ attempts (attempts.rs) ─▶ delivered │ refused │ given up: tickets settled, memory free
//!                │  ▲         │
//!                │  │         └─ undelivered for too long, or memory is short
//!                ▼  │                    ▼
//!               spool (spooling.rs) ◀────┘
//! ```

use super::attempts::Unsent;
use super::concurrency::Concurrency;
use super::dead_letter::DeadLetters;
use super::pipeline::{Lane, Pipeline, lock};
use super::request::{Finished, Home};
use super::search::Doubts;
use super::spooling::{SpoolShared, Spooling};
use super::turns::{Turns, next_end};
use crate::config::RetryLimit;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A finished request that is undelivered for so long goes to the spool.
pub(super) const SPOOL_AFTER: Duration = Duration::from_secs(5);
/// While nothing more is read for an output, and without progress for so long, its requests go to the spool.
const STUCK_AFTER: Duration = Duration::from_secs(1);
/// What waits goes to the spool so much later than what is under way, which is older and looks at the clock now and then.
const OLDER_FIRST: Duration = Duration::from_millis(700);
/// How often a delivery looks after its spool.
const TEND_EVERY: Duration = Duration::from_millis(250);

/// Progress of one output, for health and metrics.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<UnderWay>);

#[derive(Debug, Default)]
struct UnderWay {
    requests: u64,
    /// Since when there is work and nothing of it was delivered.
    waiting_since: Option<Instant>,
}

impl Progress {
    pub(super) fn begin(&self, now: Instant) {
        let mut under_way = lock(&self.0);
        under_way.requests += 1;
        under_way.waiting_since.get_or_insert(now);
    }

    /// Something arrived, or needs no further care.
    pub(super) fn moved(&self, now: Instant) {
        lock(&self.0).waiting_since = Some(now);
    }

    /// A request is no longer under way; `idle`: there is no other work.
    pub(super) fn end(&self, idle: bool) {
        let mut under_way = lock(&self.0);
        under_way.requests = under_way.requests.saturating_sub(1);
        if idle && under_way.requests == 0 {
            under_way.waiting_since = None;
        }
    }

    /// There is nothing to do.
    pub(super) fn rest(&self) {
        *lock(&self.0) = UnderWay::default();
    }

    pub(super) fn in_flight(&self) -> u64 {
        lock(&self.0).requests
    }

    /// Has nothing arrived for so long, though there is work?
    pub(super) fn is_stalled(&self, now: Instant, stall: Duration) -> bool {
        lock(&self.0).waiting_since.is_some_and(|since| now.duration_since(since) >= stall)
    }
}

/// One output's delivery.
pub(super) struct Delivery {
    pub(super) lane: Arc<Lane>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) progress: Arc<Progress>,
    pub(super) retry_limit: RetryLimit,
    /// `Some` at the end: waits are cut short, and what is not delivered by then goes to the spool, if there is one.
    pub(super) stopping: watch::Receiver<Option<Instant>>,
    /// The inputs have ended: what is not delivered now is left to the next start.
    pub(super) ended: watch::Receiver<bool>,
    /// Nothing is sent before this moment: the destination said so.
    pub(super) closed_until: Mutex<Option<Instant>>,
    pub(super) concurrency: Mutex<Concurrency>,
    /// How often something arrived after a long time: what waits to be tried again need not wait any longer.
    pub(super) recoveries: AtomicU64,
    /// Held by the request whose parts have others wait for their answers.
    pub(super) apart: tokio::sync::Mutex<()>,
    /// Keys whose requests are refused.
    pub(super) doubts: Arc<Doubts>,
    /// When a refusal was last said.
    pub(super) refused_said: Mutex<Option<Instant>>,
    /// Of the spool, if there is one.
    pub(super) spool: Option<Arc<SpoolShared>>,
    pub(super) dead_letters: Option<Arc<Mutex<DeadLetters>>>,
    pub(super) input_names: Arc<[String]>,
    /// Everything was refused before: what is refused alone, or given up, is final and becomes a dead letter again.
    pub(super) replays: bool,
}

/// What was held by a request that was under way, and what of it is left.
type Ended = (usize, Unsent);

/// What a delivery has in hand.
struct Work {
    /// Not yet begun, oldest first.
    waiting: VecDeque<Finished>,
    under_way: JoinSet<Ended>,
    /// About what they hold.
    under_way_bytes: usize,
    turns: Turns,
    spooling: Option<Spooling>,
    /// Of the spool, read while something of its key was under way.
    next_of_spool: Option<Finished>,
    /// Was the last request that was begun one of the spool's? They take turns.
    spool_had_its_turn: bool,
    open: bool,
}

impl Work {
    fn is_idle(&self) -> bool {
        let backlog = self.spooling.as_ref().is_some_and(Spooling::has_backlog);
        self.waiting.is_empty() && self.under_way.is_empty() && !backlog && self.next_of_spool.is_none()
    }
}

impl Delivery {
    /// Runs until the inputs have ended. What the spool holds then stays there; what is neither there nor delivered is read again.
    pub(super) async fn run(self, mut finished: UnboundedReceiver<Finished>, spooling: Option<Spooling>) {
        let delivery = Arc::new(self);
        let under_way = JoinSet::new();
        let mut work = Work {
            waiting: VecDeque::new(),
            under_way,
            under_way_bytes: 0,
            turns: Turns::default(),
            spooling,
            next_of_spool: None,
            spool_had_its_turn: false,
            open: true,
        };
        let mut clock = tokio::time::interval(TEND_EVERY);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ended = delivery.ended.clone();
        let mut back = Vec::new();
        loop {
            delivery.spool(&mut work, back).await;
            delivery.begin(&mut work).await;
            if work.is_idle() {
                delivery.progress.rest();
            }
            let held = next_end(&work.waiting, Instant::now());
            back = tokio::select! {
                request = finished.recv(), if work.open => {
                    work.open = request.is_some();
                    work.waiting.extend(request);
                    while let Ok(more) = finished.try_recv() {
                        work.waiting.push_back(more);
                    }
                    Vec::new()
                }
                Some(ended) = work.under_way.join_next() => {
                    let (bytes, Unsent { back, held }) = delivery.look(ended);
                    held.into_iter().rev().for_each(|request| work.waiting.push_front(request));
                    let none_left = work.under_way.is_empty();
                    work.under_way_bytes = if none_left { 0 } else { work.under_way_bytes.saturating_sub(bytes) };
                    back
                }
                () = sleep_until(held) => Vec::new(),
                _ = ended.wait_for(|ended| *ended) => break,
                _ = clock.tick(), if work.spooling.is_some() => Vec::new(),
            };
        }
        if let Some(spooling) = work.spooling {
            spooling.close().await;
        }
    }

    fn look(&self, ended: Result<Ended, tokio::task::JoinError>) -> Ended {
        ended.unwrap_or_else(|error| {
            // Its tickets stay unsettled, so its records come again after a restart.
            tracing::error!(output = self.lane.name, "a request ended early: {error}");
            (0, Unsent::default())
        })
    }

    /// Puts what cannot wait into the spool, oldest first.
    async fn spool(&self, work: &mut Work, mut late: Vec<Finished>) {
        let Some(spooling) = &mut work.spooling else { return };
        let ordered_backlog = self.goes_in_order() && spooling.has_backlog();
        let after = if work.under_way.is_empty() { SPOOL_AFTER } else { SPOOL_AFTER + OLDER_FIRST };
        // What is under way is older, and may come back.
        let held_up = self.lane.limits.ordered && !work.under_way.is_empty();
        let belongs = |request: &Finished| ordered_backlog || self.belongs_to_spool_after(request, after);
        // What came from the spool may wait here for its key, and stays there meanwhile.
        let of_memory = |request: &Finished| request.home != Home::Spool;
        while !held_up
            && let Some(at) = work.waiting.iter().position(of_memory)
            && belongs(&work.waiting[at])
        {
            late.extend(work.waiting.remove(at));
        }
        let count = late.len();
        // On disk they wait for nothing, and what is behind them may be read.
        late.iter_mut().for_each(|request| _ = request.held.leave_queue());
        let stopping = self.is_stopping();
        let mut left = spooling.keep(late).await;
        // Whoever waits for memory must not wait for the next sync.
        let at_once = stopping || !self.pipeline.memory.has_room(self.lane.number);
        let mut tended = spooling.tend(at_once).await;
        if left.len() < count || tended.freed {
            self.pipeline.made_room();
        }
        tended.taken_back.append(&mut left);
        tended.taken_back.into_iter().rev().for_each(|request| work.waiting.push_front(request));
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.borrow().is_some()
    }

    /// Must what is older be sent first? Always where the output says so; else as long as the spool's oldest might come too late.
    pub(super) fn goes_in_order(&self) -> bool {
        let age = || lock(&self.spool.as_ref()?.status).oldest?.elapsed().ok();
        let is_late = || self.lane.output.late_max().zip(age()).is_some_and(|(max, age)| age >= max / 2);
        self.lane.limits.ordered || is_late()
    }

    /// Has it waited long enough, or does it take memory that others need, so that it goes to the spool?
    pub(super) fn belongs_to_spool(&self, request: &Finished) -> bool {
        self.belongs_to_spool_after(request, SPOOL_AFTER)
    }

    fn belongs_to_spool_after(&self, request: &Finished, after: Duration) -> bool {
        let Some(spool) = &self.spool else { return false };
        if request.home != Home::Memory || spool.is_blocked() || !self.lane.may_spool.load(Ordering::Relaxed) {
            return false;
        }
        let now = Instant::now();
        let stuck = || !self.pipeline.memory.wants_more(self.lane.number) && self.progress.is_stalled(now, STUCK_AFTER);
        let at_the_end = || (*self.stopping.borrow()).is_some_and(|end| now >= end);
        now.duration_since(request.closed) >= after || stuck() || at_the_end()
    }

    /// Begins as many requests as the destination takes at once. Those of the spool and those of memory take turns.
    async fn begin(self: &Arc<Self>, work: &mut Work) {
        let slots = if self.lane.limits.ordered { 1 } else { lock(&self.concurrency).allowed() };
        while work.under_way.len() < slots {
            // Requests that hang must leave room to go around them, through the spool; and more at once than a fast destination
            // answers while the next are made is memory without a use.
            let bytes_max = self.pipeline.memory.share() / 2;
            if !work.under_way.is_empty() && work.under_way_bytes >= bytes_max {
                return;
            }
            let Some(mut request) = self.next(work, slots).await else {
                // What waits for its key, or for a while, waits for no slot: others may be read meanwhile.
                let mut any = false;
                work.waiting.iter_mut().for_each(|request| any |= request.held.leave_queue());
                if any {
                    self.pipeline.made_room();
                }
                return;
            };
            if request.held.leave_queue() {
                self.pipeline.made_room();
            }
            // The pieces and the body.
            let in_place = self.lane.output.sends_pieces(&request.pieces);
            let body_bytes = if in_place { 0 } else { request.pieces.bytes.len() };
            let bytes = request.pieces.held_bytes() + body_bytes;
            work.under_way_bytes += bytes;
            let turn = work.turns.begin(&request);
            let deliver = Arc::clone(self).deliver(request);
            work.under_way.spawn(async move {
                let unsent = deliver.await;
                drop(turn);
                (bytes, unsent)
            });
        }
    }

    async fn next(&self, work: &mut Work, slots: usize) -> Option<Finished> {
        let stopping = self.is_stopping();
        let (output, in_order) = (&*self.lane.output, self.goes_in_order());
        let spool_next = work.waiting.is_empty() || !work.spool_had_its_turn || in_order;
        if spool_next && !stopping && self.read_spool(work, slots).await {
            let is_free = |request: &mut Finished| work.turns.is_free(request, output);
            if let Some(request) = work.next_of_spool.take_if(is_free) {
                work.spool_had_its_turn = true;
                return Some(request);
            }
        }
        // In order means: not before what is older, and that is in the spool.
        if in_order && work.spooling.as_ref().is_some_and(Spooling::has_backlog) && !stopping {
            return None;
        }
        work.spool_had_its_turn = false;
        work.turns.take(&mut work.waiting, output, Instant::now())
    }

    /// Is there a request of the spool to be sent?
    async fn read_spool(&self, work: &mut Work, slots: usize) -> bool {
        if let Some(spooling) = &mut work.spooling
            && work.next_of_spool.is_none()
            && spooling.may_have_more()
            // What is read from the spool takes memory, too.
            && (spooling.under_way() == 0 || spooling.under_way() < slots && self.pipeline.memory.has_room(self.lane.number))
        {
            work.next_of_spool = spooling.next().await;
        }
        work.next_of_spool.is_some()
    }
}

/// Never without a moment.
async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(60);

    #[test]
    fn an_output_is_stalled_when_there_is_work_and_nothing_arrives_for_a_minute() {
        let (progress, start) = (Progress::default(), Instant::now());
        let stalled = |seconds: u64| progress.is_stalled(start + Duration::from_secs(seconds), STALL);
        assert!(!stalled(1000), "without work");
        progress.begin(start);
        progress.begin(start + STALL / 2);
        assert!(!stalled(59) && stalled(60));
        progress.moved(start + STALL);
        progress.end(false);
        assert!(!stalled(119) && stalled(120), "the other one still waits");
        progress.end(true);
        assert!(!stalled(1000), "nothing is left to do");
        assert_eq!(progress.in_flight(), 0);
        progress.begin(start + STALL * 10);
        assert!(!stalled(601), "what comes later has its own time");
    }
}
