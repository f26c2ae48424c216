//! Brings finished requests to their destination: several at once, again until they are there, and acknowledges them.
//!
//! ```text
//! finished ─▶ body ─▶ send ─┬─ delivered ─▶ settle its tickets, free its memory
//!               ▲           ├─ again ─▶ wait (jitter, Retry-After) ─▶ send
//!               │           └─ too large ─▶ two halves ─┐
//!               └───────────────────────────────────────┘
//! ```

use super::ledger::{Amount, Left};
use super::pipeline::{Lane, Part, Pipeline, lock};
use crate::config::RetryLimit;
use crate::net::Backoff;
use crate::output::{Outcome, Pieces, Request};
use crate::record::DropReason;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Wait between attempts when only a change of configuration helps: seldom, and not all agents at once.
const LASTING_WAIT: Duration = Duration::from_secs(30);
/// No progress for so long, though there is work, and an output counts as stalled.
const STALL: Duration = Duration::from_secs(60);

/// A request as the pipeline hands it over.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) key: Arc<str>,
    pub(super) pieces: Pieces,
    pub(super) parts: Vec<Part>,
    pub(super) since: Instant,
    /// Bytes of memory that it was counted with.
    pub(super) counted: usize,
}

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
    fn begin(&self, now: Instant) {
        let mut under_way = lock(&self.0);
        under_way.requests += 1;
        under_way.waiting_since.get_or_insert(now);
    }

    fn end(&self, now: Instant) {
        let mut under_way = lock(&self.0);
        under_way.requests -= 1;
        under_way.waiting_since = (under_way.requests > 0).then_some(now);
    }

    pub(super) fn in_flight(&self) -> u64 {
        lock(&self.0).requests
    }

    /// Has nothing arrived for [`STALL`], though there is work?
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        lock(&self.0).waiting_since.is_some_and(|since| now.duration_since(since) >= STALL)
    }
}

/// One output's delivery.
pub(super) struct Delivery {
    pub(super) lane: Arc<Lane>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) progress: Arc<Progress>,
    pub(super) retry_limit: RetryLimit,
    /// Turns true at the end: waits are cut short.
    pub(super) stopping: watch::Receiver<bool>,
    /// Nothing is sent before this moment: the destination said so.
    pub(super) closed_until: Mutex<Option<Instant>>,
}

impl Delivery {
    /// Runs until the pipeline closes its end and everything is delivered.
    pub(super) async fn run(self, mut finished: UnboundedReceiver<Finished>) {
        let delivery = Arc::new(self);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                request = finished.recv(), if under_way.len() < delivery.lane.limits.in_flight => match request {
                    Some(request) => _ = under_way.spawn(Arc::clone(&delivery).deliver(request)),
                    None => break,
                },
                Some(ended) = under_way.join_next() => delivery.look(ended),
            }
        }
        while let Some(ended) = under_way.join_next().await {
            delivery.look(ended);
        }
    }

    fn look(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended {
            // Its tickets stay unsettled, so its records come again after a restart.
            tracing::error!(output = self.lane.name, "a request ended early: {error}");
        }
    }

    /// Delivers one request, in halves if it must be.
    async fn deliver(self: Arc<Self>, finished: Finished) {
        self.progress.begin(Instant::now());
        let held = self.pipeline.memory.held_already(self.lane.number, finished.counted);
        let mut todo = VecDeque::from([finished]);
        while let Some(request) = todo.pop_front() {
            if let Some(halves) = self.send(request).await {
                halves.into_iter().rev().for_each(|half| todo.push_front(half));
            }
        }
        drop(held);
        self.progress.end(Instant::now());
        self.pipeline.made_room();
    }

    /// Sends until there is an end. Halves come back when it was too large.
    async fn send(&self, mut finished: Finished) -> Option<[Finished; 2]> {
        let mut body = Vec::new();
        self.lane.output.body(&finished.key, &finished.pieces, &mut body);
        let _held = self.pipeline.memory.hold(self.lane.number, body.capacity());
        let request =
            Request { key: Arc::clone(&finished.key), body: body.into(), records: finished.pieces.list.len() };
        let seed = Instant::now().duration_since(finished.since).as_nanos() as u64 ^ u64::from(std::process::id());
        let mut backoff = Backoff::new(Backoff::BASE, Backoff::CAP, seed);
        let mut attempts: u32 = 0;
        loop {
            self.wait_until_open().await;
            self.pipeline.ledger.request(self.lane.number, request.body.len());
            match self.lane.output.send(&request).await {
                Outcome::Delivered => {
                    self.leave(&mut finished, Left::Delivered);
                    self.lane.recycle(finished.pieces);
                    return None;
                }
                Outcome::TooLarge => return self.make_smaller(finished, &request),
                Outcome::Refused { reason, message } => {
                    tracing::warn!(output = self.lane.name, records = request.records, reason, "refused: {message}");
                    self.leave(&mut finished, Left::Refused(reason));
                    return None;
                }
                Outcome::Again { after, cause, message, lasting } => {
                    attempts += 1;
                    self.pipeline.ledger.retry(self.lane.number, &cause, request.records);
                    if matches!(self.retry_limit, RetryLimit::Times(limit) if attempts > limit) {
                        tracing::error!(
                            output = self.lane.name,
                            records = request.records,
                            "given up after retry_limit: {message}"
                        );
                        self.leave(&mut finished, Left::Dropped(DropReason::RetryLimit));
                        return None;
                    }
                    let wait = self.wait_before_next(&mut backoff, after, lasting);
                    self.say(&message, lasting, wait);
                    self.pause(wait).await;
                }
            }
        }
    }

    /// Two halves; a single record cannot be made smaller and is refused.
    fn make_smaller(&self, mut finished: Finished, request: &Request) -> Option<[Finished; 2]> {
        self.pipeline.ledger.retry(self.lane.number, "too_large", request.records);
        if finished.pieces.list.len() > 1 {
            return Some(split(&finished));
        }
        tracing::error!(
            output = self.lane.name,
            bytes = request.body.len(),
            "one record is larger than the destination takes and was refused; hint: cut it before, or raise the limit there"
        );
        self.leave(&mut finished, Left::Refused("too_large"));
        None
    }

    /// How long this request waits. What the destination asked for holds for all requests of this output.
    fn wait_before_next(&self, backoff: &mut Backoff, after: Option<Duration>, lasting: bool) -> Duration {
        let wait = backoff.wait();
        match after {
            // Less is no wish that could be granted: the destination would be asked without a pause.
            Some(after) if after >= Backoff::BASE => {
                let until = Instant::now() + after;
                let mut closed_until = lock(&self.closed_until);
                *closed_until = Some(closed_until.map_or(until, |other| other.max(until)));
                // Not all agents that were told the same come back in the same moment.
                after + wait.min(Backoff::BASE)
            }
            _ if lasting => LASTING_WAIT.max(wait),
            _ => wait,
        }
    }

    fn say(&self, message: &str, lasting: bool, wait: Duration) {
        let output = &self.lane.name;
        let wait = format!("{:.1} s", wait.as_secs_f64());
        if lasting {
            tracing::error!(output, "cannot deliver, the data is kept: {message}; next attempt in {wait}");
        } else {
            tracing::warn!(output, "cannot deliver, trying again in {wait}: {message}");
        }
    }

    /// Waits as long as the destination asked for; the end of the process cuts it short.
    async fn wait_until_open(&self) {
        while let Some(wait) = self.closed_for() {
            self.pause(wait).await;
            if *self.stopping.borrow() {
                return;
            }
        }
    }

    fn closed_for(&self) -> Option<Duration> {
        let until = *lock(&self.closed_until);
        until.and_then(|until| until.checked_duration_since(Instant::now())).filter(|wait| !wait.is_zero())
    }

    async fn pause(&self, wait: Duration) {
        let mut stopping = self.stopping.clone();
        // While stopping a destination is asked more often: there is only the grace period left.
        let already = *stopping.borrow();
        let wait = if already { wait.min(Duration::from_millis(500)) } else { wait };
        let asked = async {
            if already || stopping.wait_for(|s| *s).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = asked => {}
        }
    }

    /// The records have left this output, one way or another: its share of their tickets is settled.
    fn leave(&self, finished: &mut Finished, how: Left) {
        let amount = Amount { records: finished.pieces.list.len() as u64, bytes: finished.pieces.source_bytes() };
        self.pipeline.ledger.leave(self.lane.number, amount, how);
        for part in finished.parts.drain(..) {
            part.ticket.settle(part.pieces);
        }
    }
}

/// Two requests of about half the records each, in order.
fn split(finished: &Finished) -> [Finished; 2] {
    let middle = finished.pieces.list.len() / 2;
    let cut = finished.pieces.list[middle - 1].end;
    let mut left = middle as u32;
    let (mut first_parts, mut second_parts) = (Vec::new(), Vec::new());
    for part in &finished.parts {
        let first = part.pieces.min(left);
        left -= first;
        for (parts, pieces) in [(&mut first_parts, first), (&mut second_parts, part.pieces - first)] {
            if pieces > 0 {
                parts.push(Part { ticket: part.ticket.clone(), pieces });
            }
        }
    }
    let half = |from: usize, to: usize, start: u32, end: u32, parts| {
        let list = finished.pieces.list[from..to].iter().map(|p| crate::output::Piece { end: p.end - start, ..*p });
        let bytes = finished.pieces.bytes[start as usize..end as usize].to_vec();
        let pieces = Pieces { bytes, list: list.collect() };
        Finished { key: Arc::clone(&finished.key), pieces, parts, since: finished.since, counted: 0 }
    };
    let (count, end) = (finished.pieces.list.len(), finished.pieces.bytes.len() as u32);
    [half(0, middle, 0, cut, first_parts), half(middle, count, cut, end, second_parts)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Piece;
    use crate::record::Ticket;

    #[test]
    fn an_output_is_stalled_when_there_is_work_and_nothing_arrives_for_a_minute() {
        let (progress, start) = (Progress::default(), Instant::now());
        let stalled = |seconds: u64| progress.is_stalled(start + Duration::from_secs(seconds));
        assert!(!stalled(1000), "without work");
        progress.begin(start);
        progress.begin(start + STALL / 2);
        assert!(!stalled(59) && stalled(60));
        progress.end(start + STALL);
        assert!(!stalled(119) && stalled(120), "the other one still waits");
        progress.end(start + STALL * 2);
        assert!(!stalled(1000), "nothing is left to do");
        assert_eq!(progress.in_flight(), 0);
        progress.begin(start + STALL * 10);
        assert!(!stalled(601), "what comes later has its own time");
    }

    #[test]
    fn halves_have_all_pieces_and_all_tickets() {
        let tickets = [Ticket::default(), Ticket::default()];
        tickets[0].add(1);
        tickets[1].add(4);
        let list = (1..=5).map(|n| Piece { end: n * 2, source_bytes: n }).collect();
        let finished = Finished {
            key: "k".into(),
            pieces: Pieces { bytes: b"aabbccddee".to_vec(), list },
            parts: vec![Part { ticket: tickets[0].clone(), pieces: 1 }, Part { ticket: tickets[1].clone(), pieces: 4 }],
            since: Instant::now(),
            counted: 10,
        };
        let [first, second] = split(&finished);
        assert_eq!((first.pieces.bytes.as_slice(), second.pieces.bytes.as_slice()), (&b"aabb"[..], &b"ccddee"[..]));
        assert_eq!(second.pieces.list.iter().map(|p| p.end).collect::<Vec<_>>(), [2, 4, 6]);
        let count = |half: &Finished| half.parts.iter().map(|p| p.pieces).sum::<u32>();
        assert_eq!((count(&first), count(&second)), (2, 3));
        for half in [first, second] {
            half.parts.iter().for_each(|p| p.ticket.settle(p.pieces));
        }
        assert!(tickets.iter().all(Ticket::is_settled));
    }
}
