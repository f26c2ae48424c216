//! One delivery with an output that answers as it is told.

use super::concurrency::Concurrency;
use super::delivery::{Delivery, Progress};
use super::ledger::{Amount, Ledger};
use super::memory::Memory;
use super::pipeline::{Lane, Pipeline, lock};
use super::request::Finished;
use super::request::tests::finished;
use super::route::Match;
use crate::config::RetryLimit;
use crate::output::{Limits, Needs, Outcome, Output, Pieces, Refusal, Request};
use crate::record::{Batch, Counts, Ticket};
use futures_util::future::BoxFuture;
use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Answers in turn; then all is delivered. Keeps the bodies.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Outcome>>,
    bodies: Mutex<Vec<(String, Instant)>>,
}

impl Output for Scripted {
    fn limits(&self) -> Limits {
        Limits { bytes_max: 1000, records_max: 1000, linger: None, in_flight: 2, ordered: false }
    }
    fn needs(&self) -> Needs {
        Needs::default()
    }
    fn encode(&self, _batch: &Batch, _record: usize, _out: &mut Vec<u8>) {}
    fn body(&self, _key: &str, pieces: &Pieces, body: &mut Vec<u8>) {
        body.extend_from_slice(&pieces.bytes);
    }
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Outcome> {
        lock(&self.bodies).push((String::from_utf8_lossy(&request.body).into_owned(), Instant::now()));
        let answer = lock(&self.answers).pop_front().unwrap_or(Outcome::Delivered);
        Box::pin(async { answer })
    }
}

struct Scene {
    output: Arc<Scripted>,
    delivery: Arc<Delivery>,
    memory: Arc<Memory>,
    ledger: Arc<Ledger>,
    _stopping: watch::Sender<Option<Instant>>,
}

fn lane_to(output: Arc<dyn Output>) -> Lane {
    Lane {
        number: 0,
        name: "scripted".into(),
        limits: output.limits(),
        output,
        linger: Duration::ZERO,
        matches: Match::default(),
        finished: mpsc::unbounded_channel().0,
        spare: Mutex::default(),
    }
}

pub(super) fn lane() -> Arc<Lane> {
    Arc::new(lane_to(Arc::new(Scripted::default())))
}

fn scene(retry_limit: RetryLimit, answers: Vec<Outcome>) -> Scene {
    let output = Arc::new(Scripted { answers: Mutex::new(answers.into()), ..Scripted::default() });
    let (ledger, memory) = (Arc::new(Ledger::new(1, 1)), Arc::new(Memory::new(100_000, 1)));
    let lane = Arc::new(lane_to(Arc::clone(&output) as Arc<dyn Output>));
    let owners = (Arc::clone(&ledger), Arc::clone(&memory));
    let pipeline = Arc::new(Pipeline::new(Vec::new(), vec![Arc::clone(&lane)], owners, vec![true], Vec::new()));
    let (stopping, watching) = watch::channel(None);
    let delivery = Arc::new(Delivery {
        lane,
        pipeline,
        progress: Arc::new(Progress::default()),
        retry_limit,
        stopping: watching,
        ended: watch::channel(false).1,
        closed_until: Mutex::default(),
        concurrency: Mutex::new(Concurrency::new(2)),
        recoveries: AtomicU64::new(0),
        doubts: Arc::default(),
        refused_said: Mutex::default(),
        spool: None,
        dead_letters: None,
        input_names: Arc::from(vec!["tail.0".to_owned()]),
        replays: false,
    });
    Scene { output, delivery, memory, ledger, _stopping: stopping }
}

impl Scene {
    fn request(&self, texts: &[&str]) -> (Finished, Vec<Ticket>) {
        let made = finished(&self.memory, texts, &[texts.len() as u32]);
        let bytes = texts.iter().map(|text| text.len() as u64).sum();
        let amount = Amount { records: texts.len() as u64, bytes };
        self.ledger.enter(0, &Counts::default(), amount, &[(0, amount)]);
        made
    }

    async fn deliver(&self, request: Finished) {
        let deliver = Arc::clone(&self.delivery).deliver(request);
        let unsent = tokio::time::timeout(Duration::from_secs(20), deliver).await.unwrap();
        assert!(unsent.back.is_empty() && unsent.held.is_empty());
    }

    fn bodies(&self) -> Vec<String> {
        lock(&self.output.bodies).iter().map(|(body, _)| body.clone()).collect()
    }

    /// Delivered, refused and dropped records; nothing is pending, nothing is held.
    fn settled(&self, tickets: &[Ticket]) -> (u64, u64, u64) {
        assert!(tickets.iter().all(Ticket::is_settled));
        assert_eq!(self.memory.held(0), 0);
        let account = self.ledger.accounts().outputs.remove(0);
        assert_eq!(account.pending, Amount::default());
        let refused = account.refused.values().map(|amount| amount.records).sum();
        let dropped = account.dropped.values().map(|amount| amount.records).sum();
        (account.delivered.records, refused, dropped)
    }
}

fn refusal(message: &str) -> Refusal {
    Refusal { reason: "bad_field".into(), message: message.into() }
}

fn refused() -> Outcome {
    Outcome::Refused { cause: "http_400".into(), message: "no".into() }
}

#[tokio::test]
async fn only_what_the_destination_names_is_sent_again() {
    let first = Outcome::Partly { again: vec![1, 3], refused: vec![(2, refusal("no number")), (99, refusal("?"))] };
    let second = Outcome::Partly { again: vec![0], refused: Vec::new() };
    let scene = scene(RetryLimit::Unlimited, vec![first, second]);
    let (request, tickets) = scene.request(&["a", "b", "c", "d", "e"]);
    scene.deliver(request).await;
    assert_eq!(scene.bodies(), ["abcde", "bd", "b"]);
    assert_eq!(scene.settled(&tickets), (4, 1, 0));
}

#[tokio::test]
async fn a_destination_that_takes_nothing_of_a_request_is_not_asked_without_a_pause() {
    let nothing = || Outcome::Partly { again: vec![0, 1], refused: Vec::new() };
    let scene = scene(RetryLimit::Times(3), (0..100).map(|_| nothing()).collect());
    let (request, tickets) = scene.request(&["a", "b"]);
    scene.deliver(request).await;
    assert_eq!(scene.bodies().len(), 4, "one attempt and three more");
    let times: Vec<Instant> = lock(&scene.output.bodies).iter().map(|(_, time)| *time).collect();
    assert!(times[3].duration_since(times[0]) > Duration::from_millis(1), "{times:?}");
    assert_eq!(scene.settled(&tickets), (0, 0, 2));
}

#[tokio::test]
async fn the_record_that_is_refused_is_found_and_the_others_arrive_once() {
    // abcd ─▶ ab ─▶ a is doubtful; b and cd arrive; a again.
    let answers = vec![refused(), refused(), refused(), Outcome::Delivered, Outcome::Delivered, refused()];
    let scene = scene(RetryLimit::Unlimited, answers);
    let (request, tickets) = scene.request(&["a", "b", "c", "d"]);
    scene.deliver(request).await;
    assert_eq!(scene.bodies(), ["abcd", "ab", "a", "b", "cd", "a"]);
    assert_eq!(scene.settled(&tickets), (3, 1, 0));
}

#[tokio::test]
async fn a_destination_that_refuses_all_for_a_while_gets_all() {
    let scene = scene(RetryLimit::Unlimited, (0..5).map(|_| refused()).collect());
    let (request, tickets) = scene.request(&["a", "b", "c", "d"]);
    scene.deliver(request).await;
    assert_eq!(scene.bodies()[..5], ["abcd", "ab", "a", "b", "cd"]);
    assert_eq!(scene.settled(&tickets), (4, 0, 0), "{:?}", scene.bodies());
}

#[tokio::test]
async fn too_large_is_halved_and_one_record_alone_refused() {
    let scene = scene(RetryLimit::Unlimited, vec![Outcome::TooLarge, Outcome::TooLarge]);
    let (request, tickets) = scene.request(&["a", "b", "c"]);
    scene.deliver(request).await;
    assert_eq!(scene.bodies(), ["abc", "a", "bc"]);
    assert_eq!(scene.settled(&tickets), (2, 1, 0));
}
