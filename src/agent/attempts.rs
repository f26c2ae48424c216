//! One request's attempts, until there is an end for each of its records.
//!
//! ```text
//! body ─▶ send ─┬─ delivered ─▶ settled
//!   ▲           ├─ partly ─▶ what is to be sent again ─┐     the rest is settled or refused, or sent in its second form
//!   │           ├─ again ─▶ wait (jitter, Retry-After) ┤     or back, to the spool
//!   │           ├─ too large ─▶ two halves ────────────┤     one record alone is refused
//!   │           ├─ not together ─▶ several requests ───┤     where an answer would not tell of all
//!   │           └─ refused ─▶ search.rs ───────────────┤     the records that cause it are refused
//!   └──────────────────────────────────────────────────┘
//! ```

use super::dead_letter;
use super::delivery::{Delivery, SPOOL_AFTER};
use super::ledger::Left;
use super::pipeline::lock;
use super::request::{Finished, Home};
use super::search::Search;
use crate::config::RetryLimit;
use crate::net::Backoff;
use crate::output::{Outcome, Refusal, Request};
use crate::record::DropReason;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::MutexGuard;

/// Wait between attempts when only a change of configuration helps: seldom, and not all agents at once.
pub(super) const LASTING_WAIT: Duration = Duration::from_secs(30);
/// How often a request that waits looks whether it belongs to the spool by now, or need not wait any longer; how long it waits for what
/// others are told.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Refusals that follow each other sooner are not said, only counted.
const SAY_REFUSED_EVERY: Duration = Duration::from_secs(1);

/// What is next for a request, or its parts.
enum Step {
    Done,
    /// To be sent instead of it, in this order.
    Instead(Vec<Finished>),
    /// The whole request was refused.
    Refused(Finished, Refusal),
    /// To the spool.
    Back(Finished),
    /// Waits for its key, out of the way of others.
    Held(Finished),
}

/// What a request left undone.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    /// Belongs to the spool.
    pub(super) back: Vec<Finished>,
    /// To be begun again later, in this order.
    pub(super) held: Vec<Finished>,
}

/// Takes the last `count` of those that are left; says which.
fn take_last(rest: &mut [bool], count: usize) -> Vec<bool> {
    let mut taken = vec![false; rest.len()];
    let left = (0..rest.len()).rev().filter(|piece| rest[*piece]);
    let last: Vec<usize> = left.take(count).collect();
    for piece in last {
        (rest[piece], taken[piece]) = (false, true);
    }
    taken
}

impl Delivery {
    /// Delivers one request, or says what is left of it.
    pub(super) async fn deliver(self: Arc<Self>, finished: Finished) -> Unsent {
        self.progress.begin(Instant::now());
        let mut todo = VecDeque::from([finished]);
        let mut search = Search::default();
        let mut unsent = Unsent::default();
        let mut alone = None;
        while let Some(request) = todo.pop_front() {
            match self.send(request, &mut alone).await {
                Step::Done => {}
                Step::Instead(parts) => parts.into_iter().rev().for_each(|part| todo.push_front(part)),
                Step::Refused(request, refusal) => {
                    alone = None;
                    self.search(request, refusal, &mut search, &mut todo).await;
                }
                Step::Back(request) => {
                    unsent.back.append(&mut search.end());
                    unsent.back.push(request);
                    unsent.back.extend(todo.drain(..));
                }
                Step::Held(request) => {
                    unsent.held.push(request);
                    unsent.held.append(&mut search.end());
                    unsent.held.extend(todo.drain(..));
                }
            }
            if todo.is_empty() {
                self.decide(&mut search, &mut todo);
            }
        }
        self.progress.end(unsent.back.is_empty() && unsent.held.is_empty());
        self.pipeline.made_room();
        unsent
    }

    /// Sends until there is an end, or something else is to be done. `alone` is held as long as others wait for what this one is told.
    async fn send<'d>(&'d self, finished: Finished, alone: &mut Option<MutexGuard<'d, ()>>) -> Step {
        if self.wait_for_turn(&finished).await {
            return Step::Back(finished);
        }
        let memory = &self.pipeline.memory;
        let mut apart = self.lane.output.apart(&finished.key, &finished.pieces);
        if alone.is_none() && apart.as_ref().is_some_and(|apart| apart.others_wait) {
            *alone = tokio::select! {
                alone = self.apart.lock() => Some(alone),
                // Whoever it waits for has troubles of its own.
                () = tokio::time::sleep(LOOK_EVERY) => None,
                () = self.end_of_spooling_time(&finished) => return Step::Back(finished),
            };
            // Those it waited for may have been told enough.
            apart = self.lane.output.apart(&finished.key, &finished.pieces);
            if !apart.as_ref().is_some_and(|apart| apart.others_wait) {
                *alone = None;
            }
        }
        if let Some(apart) = apart {
            let buffer = || self.lane.spare.take(Instant::now(), memory.held(self.lane.number));
            let parts = finished.by_number(memory, &apart.requests, buffer);
            let Finished { pieces, held, .. } = finished;
            drop(held);
            self.lane.recycle(pieces, memory);
            return Step::Instead(parts);
        }
        let mut body = self.lane.spare.take_body(Instant::now(), memory.held(self.lane.number));
        self.lane.output.body(&finished.key, &finished.pieces, &mut body);
        let held = memory.hold(self.lane.number, body.capacity());
        let pieces = self.lane.output.sends_pieces(&finished.pieces).then(|| finished.pieces.whole());
        let (key, records) = (Arc::clone(&finished.key), finished.pieces.list.len());
        let mut request = Request { key, body: body.into(), pieces, records };
        let step = self.attempt(finished, &mut request).await;
        drop(held);
        self.lane.spare.keep_body(request.body, self.lane.limits.bytes_max, memory.held(self.lane.number));
        step
    }

    async fn attempt(&self, mut finished: Finished, request: &mut Request) -> Step {
        loop {
            if self.wait_for_turn(&finished).await {
                return Step::Back(finished);
            }
            self.pipeline.ledger.request(self.lane.number, request.len());
            let (begin, bytes) = (Instant::now(), request.len());
            let outcome = tokio::select! {
                outcome = self.lane.output.send_pieces(request, &finished.pieces) => outcome,
                () = self.end_of_spooling_time(&finished) => return Step::Back(finished),
            };
            let now = Instant::now();
            if !matches!(outcome, Outcome::Again { .. }) {
                // Their buffer is for whoever is next.
                request.pieces = None;
            }
            match outcome {
                Outcome::Delivered => {
                    lock(&self.concurrency).delivered(now - begin, now);
                    return self.arrive(finished, &[], now);
                }
                Outcome::Partly { again, refused, unnamed: None, empty } if again.is_empty() && refused.is_empty() => {
                    lock(&self.concurrency).delivered(now - begin, now);
                    return self.arrive(finished, &empty, now);
                }
                Outcome::Partly { again, refused, unnamed, empty } => {
                    return self.take_apart(finished, (&again, &empty), refused, unnamed, now).await;
                }
                Outcome::TooLarge => {
                    self.pipeline.ledger.retry(self.lane.number, "too_large", request.records);
                    return self.make_smaller(finished, bytes).await;
                }
                Outcome::Unfit { reason, message } => {
                    self.refuse(finished, &Refusal { reason: reason.into(), message }).await;
                    return Step::Done;
                }
                Outcome::Refused { cause, message } => {
                    self.pipeline.ledger.retry(self.lane.number, &cause, request.records);
                    return Step::Refused(finished, Refusal { reason: cause, message });
                }
                Outcome::Again { after, cause, message, lasting } => {
                    lock(&self.concurrency).cut(now);
                    self.pipeline.ledger.retry(self.lane.number, &cause, request.records);
                    let wait = self.wait_before_next(&mut finished, after, lasting);
                    if self.is_over_the_limit(&finished) {
                        self.give_up(finished, &message).await;
                        return Step::Done;
                    }
                    self.say(&message, lasting, wait);
                    if self.lane.output.apart(&finished.key, &finished.pieces).is_some() {
                        return Step::Instead(vec![finished]);
                    }
                }
                Outcome::Held { after, cause, message, lasting } => {
                    self.pipeline.ledger.retry(self.lane.number, &cause, request.records);
                    return self.hold(finished, after, &message, lasting).await;
                }
            }
        }
    }

    /// Puts it out of the way of others for about that long.
    async fn hold(&self, mut finished: Finished, after: Duration, message: &str, lasting: bool) -> Step {
        let jitter = self.wait_before_next(&mut finished, None, false).min(after);
        finished.retry.not_before = None;
        if self.is_over_the_limit(&finished) {
            self.give_up(finished, message).await;
            return Step::Done;
        }
        let wait = after + jitter;
        finished.retry.held_until = Some(Instant::now() + wait);
        self.say(message, lasting, wait);
        Step::Held(finished)
    }

    fn is_over_the_limit(&self, finished: &Finished) -> bool {
        matches!(self.retry_limit, RetryLimit::Times(limit) if finished.retry.attempts > limit)
    }

    fn has_arrived(&self, key: &str, now: Instant) {
        self.doubts.arrived(key);
        self.pipeline.memory.delivered(self.lane.number, now);
        if self.progress.is_stalled(now, SPOOL_AFTER) {
            self.recoveries.fetch_add(1, Ordering::Relaxed);
        }
        self.progress.moved(now);
    }

    /// All of it is there, but what has nothing to send.
    fn arrive(&self, mut finished: Finished, empty: &[usize], now: Instant) -> Step {
        self.has_arrived(&finished.key, now);
        let left_out = finished.amount_of(empty);
        if left_out.records > 0 {
            let ledger = &self.pipeline.ledger;
            ledger.leave(self.lane.number, left_out, Left::Dropped(DropReason::EmptyLine));
            ledger.leave(self.lane.number, finished.amount().without(left_out), Left::Delivered);
            finished.settle();
        } else {
            self.leave(&mut finished, Left::Delivered);
        }
        let Finished { pieces, held, .. } = finished;
        drop(held);
        self.lane.recycle(pieces, &self.pipeline.memory);
        Step::Done
    }

    /// What the destination named: some again, some refused, the rest is there.
    async fn take_apart(
        &self,
        finished: Finished,
        (again, empty): (&[usize], &[usize]),
        refused: Vec<(usize, Refusal)>,
        unnamed: Option<(usize, Refusal)>,
        now: Instant,
    ) -> Step {
        let memory = &self.pipeline.memory;
        let mut rest = vec![true; finished.pieces.list.len()];
        let mut take = |index: usize| rest.get_mut(index).is_some_and(|rest| std::mem::replace(rest, false));
        let mut by_reason: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        let mut changed = BTreeMap::new();
        for (index, refusal) in refused.into_iter().filter(|(index, _)| take(*index)) {
            let mut form = Vec::new();
            if self.lane.output.second_form(&finished.piece(index), &refusal, &mut form) {
                self.say_changed(&refusal);
                changed.insert(index, form);
            } else {
                by_reason.entry((refusal.reason, refusal.message)).or_default().push(index);
            }
        }
        let mut send_again = vec![false; finished.pieces.list.len()];
        for index in again.iter().copied().filter(|index| take(*index)) {
            send_again[index] = true;
        }
        let empty: Vec<usize> = empty.iter().copied().filter(|index| take(*index)).collect();
        let any = unnamed.map(|(count, refusal)| (take_last(&mut rest, count), refusal));
        if !empty.is_empty() {
            let mut part = finished.part_of(memory, |piece| empty.contains(&piece));
            self.leave(&mut part, Left::Dropped(DropReason::EmptyLine));
        }
        if rest.contains(&true) {
            self.has_arrived(&finished.key, now);
        }
        self.leave(&mut finished.part_of(memory, |piece| rest[piece]), Left::Delivered);
        for ((reason, message), mut indices) in by_reason {
            indices.sort_unstable();
            let part = finished.part_of(memory, |piece| indices.binary_search(&piece).is_ok());
            self.refuse(part, &Refusal { reason, message }).await;
        }
        if let Some((taken, refusal)) = any {
            // Which they are is not known, so these are counted and none is kept as a dead letter.
            let mut part = finished.part_of(memory, |piece| taken[piece]);
            self.say_refused(&part, &refusal);
            self.progress.moved(now);
            self.leave(&mut part, Left::Refused(&refusal.reason));
        }
        let mut next = Vec::new();
        if !changed.is_empty() {
            self.pipeline.ledger.retry(self.lane.number, "second_form", changed.len());
            next.push(finished.changed(memory, &changed));
        }
        let mut again = finished.part_of(memory, |piece| send_again[piece]);
        if again.pieces.list.is_empty() {
            return Step::Instead(next);
        }
        self.pipeline.ledger.retry(self.lane.number, "partly", again.pieces.list.len());
        // Asked again at once, a destination that is short of something would be short of it still.
        let wait = self.wait_before_next(&mut again, None, false);
        let message = format!("{} records of a request were not taken", again.pieces.list.len());
        if self.is_over_the_limit(&again) {
            self.give_up(again, &message).await;
            return Step::Instead(next);
        }
        lock(&self.concurrency).cut(now);
        self.say(&message, false, wait);
        next.push(again);
        Step::Instead(next)
    }

    /// Two halves; a single record cannot be made smaller and is refused.
    async fn make_smaller(&self, finished: Finished, body_bytes: usize) -> Step {
        if finished.pieces.list.len() > 1 {
            return Step::Instead(finished.halves(&self.pipeline.memory).into());
        }
        let message = format!(
            "one record is larger than the destination takes ({body_bytes} bytes); hint: cut it before, or raise the limit there"
        );
        self.refuse(finished, &Refusal { reason: "too_large".into(), message }).await;
        Step::Done
    }

    pub(super) async fn refuse(&self, mut finished: Finished, refusal: &Refusal) {
        self.say_refused(&finished, refusal);
        if let Some(dead_letters) = &self.dead_letters {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
            let names = (&*self.lane.name, &*self.input_names);
            let lines = dead_letter::lines(names, &finished, &|piece| self.lane.output.letter(piece), refusal, now);
            let file = Arc::clone(dead_letters);
            // A disk that hangs must hold up this request only.
            let kept = tokio::task::spawn_blocking(move || lock(&file).keep(&lines)).await;
            if let Ok(Err(error)) = kept {
                tracing::error!(
                    output = self.lane.name,
                    "cannot write a dead letter: {error}; hint: make room, or change `storage.dead_letter`"
                );
            }
        }
        self.progress.moved(Instant::now());
        self.leave(&mut finished, Left::Refused(&refusal.reason));
    }

    /// May a refusal be said by now?
    fn says_refusals(&self) -> bool {
        let now = Instant::now();
        let mut said = lock(&self.refused_said);
        let again = said.is_none_or(|said| now.duration_since(said) >= SAY_REFUSED_EVERY);
        if again {
            *said = Some(now);
        }
        again
    }

    fn say_changed(&self, Refusal { reason, message }: &Refusal) {
        if self.says_refusals() {
            tracing::warn!(output = self.lane.name, reason, "refused, and sent once more in another form: {message}");
        }
    }

    fn say_refused(&self, finished: &Finished, refusal: &Refusal) {
        if !self.says_refusals() {
            return;
        }
        let (records, reason) = (finished.pieces.list.len(), &refusal.reason);
        tracing::error!(output = self.lane.name, records, reason, "refused: {}", refusal.message);
    }

    async fn give_up(&self, mut finished: Finished, message: &str) {
        if self.replays {
            let refusal = Refusal { reason: "retry_limit".into(), message: message.to_owned() };
            return self.refuse(finished, &refusal).await;
        }
        let records = finished.pieces.list.len();
        tracing::error!(output = self.lane.name, records, "given up after retry_limit: {message}");
        self.leave(&mut finished, Left::Dropped(DropReason::RetryLimit));
    }

    /// How long this request waits. What the destination asked for holds for all requests of this output.
    fn wait_before_next(&self, finished: &mut Finished, after: Option<Duration>, lasting: bool) -> Duration {
        let now = Instant::now();
        let seed = now.duration_since(finished.since).as_nanos() as u64 ^ u64::from(std::process::id());
        finished.retry.attempts += 1;
        let backoff = finished.retry.backoff.get_or_insert_with(|| Backoff::new(Backoff::BASE, Backoff::CAP, seed));
        let wait = backoff.wait();
        let wait = match after {
            // Less is no wish that could be granted: the destination would be asked without a pause.
            Some(after) if after >= Backoff::BASE => {
                let until = now + after;
                let mut closed_until = lock(&self.closed_until);
                *closed_until = Some(closed_until.map_or(until, |other| other.max(until)));
                // Not all agents that were told the same come back in the same moment.
                after + wait.min(Backoff::BASE)
            }
            _ if lasting => LASTING_WAIT.max(wait),
            _ => wait,
        };
        finished.retry.not_before = Some(now + wait);
        wait
    }

    pub(super) fn say(&self, message: &str, lasting: bool, wait: Duration) {
        let output = &self.lane.name;
        let wait = format!("{:.1} s", wait.as_secs_f64());
        if lasting {
            tracing::error!(output, "cannot deliver, the data is kept: {message}; next attempt in {wait}");
        } else {
            tracing::warn!(output, "cannot deliver, trying again in {wait}: {message}");
        }
    }

    /// Waits until it may be sent; the end of the process cuts it short, and so does the end of an outage. `true`: the request belongs
    /// to the spool.
    async fn wait_for_turn(&self, finished: &Finished) -> bool {
        let recoveries = self.recoveries.load(Ordering::Relaxed);
        loop {
            if self.belongs_to_spool(finished) {
                return true;
            }
            let recovered = self.recoveries.load(Ordering::Relaxed) != recoveries;
            let own = finished.retry.not_before.filter(|_| !recovered);
            let asked = *lock(&self.closed_until);
            let until = [own, asked, self.doubts.closed_until(&finished.key)].into_iter().flatten().max();
            let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            self.pause(left.min(LOOK_EVERY)).await;
            if self.is_stopping() {
                return self.belongs_to_spool(finished);
            }
        }
    }

    async fn pause(&self, wait: Duration) {
        let mut stopping = self.stopping.clone();
        // While stopping a destination is asked more often: there is only the grace period left.
        let already = stopping.borrow().is_some();
        let asked = async {
            if already || stopping.wait_for(Option::is_some).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = asked => {}
        }
    }

    /// Ends when the process does and the request has to go to the spool, however long its destination takes to answer.
    async fn end_of_spooling_time(&self, finished: &Finished) {
        let mut stopping = self.stopping.clone();
        let stays =
            self.spool.is_none() || finished.home != Home::Memory || !self.lane.may_spool.load(Ordering::Relaxed);
        if stays || stopping.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
        let end = *stopping.borrow();
        tokio::time::sleep_until(end.unwrap_or_else(Instant::now).into()).await;
    }

    /// The records have left this output, one way or another: its share of their tickets is settled.
    fn leave(&self, finished: &mut Finished, how: Left<'_>) {
        self.pipeline.ledger.leave(self.lane.number, finished.amount(), how);
        finished.settle();
    }
}
