//! One delivery with an output that answers as it is told.

use super::concurrency::Concurrency;
use super::delivery::{Delivery, Progress};
use super::ledger::{Amount, Ledger};
use super::memory::Memory;
use super::pipeline::{Lane, Pipeline, lock};
use super::plan::InputRoute;
use super::request::Finished;
use super::request::tests::finished;
use super::route::Match;
use super::spare::Spare;
use super::spooling::{SpoolSettings, SpoolShared, Spooling};
use super::verdict::VerdictLimits;
use crate::config::{OnFull, RetryLimit};
use crate::output::{Apart, Limits, Needs, Outcome, Output, Pieces, Refusal, Request};
use crate::record::{Batch, Counts, Ticket};
use futures_util::future::BoxFuture;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, watch};

/// Answers in turn; then all is delivered. Keeps the bodies.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Outcome>>,
    bodies: Mutex<Vec<(String, Instant)>>,
    ordered: bool,
    late_max: Option<Duration>,
    /// Pieces share no request until so many were sent, and whether others wait for that.
    apart: Option<(usize, bool)>,
}

impl Output for Scripted {
    fn apart(&self, _key: &str, pieces: &Pieces) -> Option<Apart> {
        let (until, others_wait) = self.apart.filter(|_| pieces.list.len() > 1)?;
        let requests = (0..pieces.list.len() as u32).collect();
        (lock(&self.bodies).len() < until).then_some(Apart { requests, others_wait })
    }
    fn late_max(&self) -> Option<Duration> {
        self.late_max
    }
    fn limits(&self) -> Limits {
        Limits { bytes_max: 1000, records_max: 1000, linger: None, in_flight: 2, ordered: self.ordered }
    }
    fn needs(&self) -> Needs {
        Needs::default()
    }
    fn encode(&self, _batch: &Batch, _record: usize, _out: &mut Vec<u8>) {}
    /// Small letters can be written large.
    fn second_form(&self, piece: &[u8], refusal: &Refusal, out: &mut Vec<u8>) -> bool {
        let has_one = refusal.reason == "small" && piece.is_ascii() && piece != piece.to_ascii_uppercase();
        if has_one {
            out.extend_from_slice(&piece.to_ascii_uppercase());
        }
        has_one
    }
    fn body(&self, _key: &str, pieces: &Pieces, body: &mut Vec<u8>) {
        body.extend_from_slice(&pieces.bytes);
    }
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Outcome> {
        lock(&self.bodies).push((String::from_utf8_lossy(&request.body).into_owned(), Instant::now()));
        let answer = lock(&self.answers).pop_front().unwrap_or(Outcome::Delivered);
        Box::pin(async {
            tokio::task::yield_now().await;
            answer
        })
    }
}

struct Scene {
    output: Arc<Scripted>,
    delivery: Arc<Delivery>,
    memory: Arc<Memory>,
    ledger: Arc<Ledger>,
    end: watch::Sender<bool>,
    _stopping: watch::Sender<Option<Instant>>,
}

pub(super) fn lane_to(output: Arc<dyn Output>) -> Lane {
    Lane {
        number: 0,
        name: "scripted".into(),
        limits: output.limits(),
        output,
        linger: Duration::ZERO,
        matches: Match::default(),
        finished: mpsc::unbounded_channel().0,
        spare: Spare::new(1 << 20),
        growth: AtomicUsize::new(0),
        may_spool: AtomicBool::new(true),
    }
}

pub(super) fn lane() -> Arc<Lane> {
    Arc::new(lane_to(Arc::new(Scripted::default())))
}

fn scene(retry_limit: RetryLimit, answers: Vec<Outcome>) -> Scene {
    scene_of(Scripted { answers: Mutex::new(answers.into()), ..Scripted::default() }, retry_limit)
}

fn scene_of(output: Scripted, retry_limit: RetryLimit) -> Scene {
    let output = Arc::new(output);
    let (ledger, memory) = (Arc::new(Ledger::new(1, 1)), Arc::new(Memory::new(100_000, 1)));
    let lane = Arc::new(lane_to(Arc::clone(&output) as Arc<dyn Output>));
    let owners = (Arc::clone(&ledger), Arc::clone(&memory));
    let pipeline =
        Arc::new(Pipeline::new(Vec::new(), vec![Arc::clone(&lane)], owners, vec![InputRoute::IN_MEMORY], Vec::new()));
    let (stopping, watching) = watch::channel(None);
    let (end, ended) = watch::channel(false);
    let delivery = Arc::new(Delivery {
        lane,
        pipeline,
        progress: Arc::new(Progress::default()),
        retry_limit,
        stopping: watching,
        ended,
        closed_until: Mutex::default(),
        concurrency: Mutex::new(Concurrency::new(2)),
        recoveries: AtomicU64::new(0),
        doubts: Arc::default(),
        refused_said: Mutex::default(),
        apart: tokio::sync::Mutex::default(),
        spool: None,
        dead_letters: None,
        input_names: Arc::from(vec!["tail.0".to_owned()]),
        replays: false,
    });
    Scene { output, delivery, memory, ledger, end, _stopping: stopping }
}

impl Scene {
    fn request(&self, texts: &[&str]) -> (Finished, Vec<Ticket>) {
        let made = finished(&self.memory, texts, &[texts.len() as u32]);
        let bytes = texts.iter().map(|text| text.len() as u64).sum();
        let amount = Amount { records: texts.len() as u64, bytes };
        self.ledger.enter(0, &Counts::default(), amount, &[(0, amount, Amount::default())]);
        made
    }

    async fn deliver(&self, request: Finished) {
        let deliver = Arc::clone(&self.delivery).deliver(request);
        let unsent = tokio::time::timeout(Duration::from_secs(20), deliver).await.unwrap();
        assert!(unsent.back.is_empty() && unsent.held.is_empty());
    }

    /// Runs the delivery until so many requests were sent, one after the other.
    async fn run(self, requests: Vec<Finished>, spooling: Option<Spooling>, expect: &[&str]) {
        let (send, receive) = mpsc::unbounded_channel();
        requests.into_iter().for_each(|request| send.send(request).unwrap());
        let Self { output, delivery, end, .. } = self;
        let Ok(delivery) = Arc::try_unwrap(delivery) else { panic!("nobody else has it") };
        let running = tokio::spawn(delivery.run(receive, spooling));
        let all = || lock(&output.bodies).iter().map(|(body, _)| body.clone()).collect::<Vec<_>>();
        let deadline = Instant::now() + Duration::from_secs(20);
        while all().len() < expect.len() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        end.send(true).unwrap();
        running.await.unwrap();
        assert_eq!(all(), expect);
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
    let first = Outcome::Partly {
        again: vec![1, 3],
        refused: vec![(2, refusal("no number")), (99, refusal("?"))],
        unnamed: None,
        empty: Box::default(),
    };
    let second = Outcome::Partly { again: vec![0], refused: Vec::new(), unnamed: None, empty: Box::default() };
    let scene = scene(RetryLimit::Unlimited, vec![first, second]);
    let (request, tickets) = scene.request(&["a", "b", "c", "d", "e"]);
    scene.deliver(request).await;
    assert_eq!(scene.bodies(), ["abcde", "bd", "b"]);
    assert_eq!(scene.settled(&tickets), (4, 1, 0));
}

#[tokio::test]
async fn what_is_apart_until_others_are_answered_waits_for_them() {
    for (others_wait, expect) in [(true, &["a", "b", "cd"][..]), (false, &["a", "b", "c", "d"])] {
        let scene = scene_of(Scripted { apart: Some((2, others_wait)), ..Scripted::default() }, RetryLimit::Unlimited);
        let ((one, mut tickets), (two, more)) = (scene.request(&["a", "b"]), scene.request(&["c", "d"]));
        tokio::join!(scene.deliver(one), scene.deliver(two));
        let mut bodies = scene.bodies();
        // Without that both are under way in turns.
        bodies.sort();
        assert_eq!(bodies, expect, "others wait: {others_wait}");
        tickets.extend(more);
        assert_eq!(scene.settled(&tickets), (4, 0, 0));
    }
}

#[tokio::test]
async fn nobody_waits_long_for_one_that_is_in_trouble() {
    let answers = vec![Outcome::Again { after: None, cause: "http_500".into(), message: "no".into(), lasting: true }];
    let output = Scripted { answers: Mutex::new(answers.into()), apart: Some((9, true)), ..Scripted::default() };
    let scene = scene_of(output, RetryLimit::Unlimited);
    let ((one, _), (two, tickets)) = (scene.request(&["a", "b"]), scene.request(&["c", "d"]));
    tokio::select! {
        biased;
        _ = Arc::clone(&scene.delivery).deliver(one) => panic!("it waits for half a minute"),
        () = scene.deliver(two) => {}
    }
    assert_eq!(scene.bodies(), ["a", "c", "d"]);
    assert!(tickets.iter().all(Ticket::is_settled));
}

#[tokio::test]
async fn what_is_refused_without_a_name_is_counted_and_not_sent_again() {
    let refused = vec![(1, refusal("too old"))];
    let unnamed = Some((2, refusal("too far behind")));
    let scene = scene(
        RetryLimit::Unlimited,
        vec![Outcome::Partly { again: Vec::new(), refused, unnamed, empty: Box::default() }],
    );
    let (request, tickets) = scene.request(&["a", "b", "c", "d", "e"]);
    scene.deliver(request).await;
    assert_eq!(scene.bodies(), ["abcde"]);
    assert_eq!(scene.settled(&tickets), (2, 3, 0));
}

#[tokio::test]
async fn records_that_have_nothing_to_send_are_left_out_and_no_failure() {
    for (refused, expect) in [(Vec::new(), (3, 0, 2)), (vec![(0, refusal("too old"))], (2, 1, 2))] {
        let (again, unnamed, empty) = (Vec::new(), None, Box::from([1, 3]));
        let has_failed = !refused.is_empty();
        let scene = scene(RetryLimit::Unlimited, vec![Outcome::Partly { again, refused, unnamed, empty }]);
        scene.ledger.judge_by(VerdictLimits { errors_max: 0, retry_failures_max: 0, period: Duration::from_secs(60) });
        let (request, tickets) = scene.request(&["a", "b", "c", "d", "e"]);
        scene.deliver(request).await;
        assert_eq!(scene.settled(&tickets), expect);
        assert_eq!(scene.ledger.complaint().is_some(), has_failed);
        assert_eq!(scene.ledger.accounts().outputs[0].requests_given_up, 0);
    }
}

#[tokio::test]
async fn a_backlog_that_might_come_too_late_goes_first() {
    let hour = Duration::from_secs(3600);
    for (late_max, age, expect) in [
        (Some(hour), Some(hour / 2), true),
        (Some(hour), Some(hour / 3), false),
        (Some(hour), None, false),
        (None, Some(hour * 9), false),
    ] {
        let mut scene = scene(RetryLimit::Unlimited, Vec::new());
        let delivery = Arc::get_mut(&mut scene.delivery).unwrap();
        let shared = SpoolShared::default();
        lock(&shared.status).oldest = age.map(|age| SystemTime::now() - age);
        delivery.spool = Some(Arc::new(shared));
        delivery.lane = Arc::new(lane_to(Arc::new(Scripted { late_max, ..Scripted::default() })));
        assert_eq!(delivery.goes_in_order(), expect, "{late_max:?} {age:?}");
    }
}

#[tokio::test]
async fn what_is_refused_is_sent_once_more_in_its_second_form() {
    let small = |index| (index, Refusal { reason: "small".into(), message: "no".into() });
    let refused = vec![small(1), (2, refusal("?")), small(3)];
    let first = Outcome::Partly { again: vec![4], refused, unnamed: None, empty: Box::default() };
    let second = Outcome::Partly { again: Vec::new(), refused: vec![small(1)], unnamed: None, empty: Box::default() };
    let scene = scene(RetryLimit::Unlimited, vec![first, second]);
    let (request, tickets) = scene.request(&["a", "b", "c", "d", "e"]);
    scene.deliver(request).await;
    assert_eq!(scene.bodies(), ["abcde", "BD", "e"]);
    assert_eq!(scene.settled(&tickets), (3, 2, 0), "there is no third");
}

#[tokio::test]
async fn a_destination_that_takes_nothing_of_a_request_is_not_asked_without_a_pause() {
    let nothing = || Outcome::Partly { again: vec![0, 1], refused: Vec::new(), unnamed: None, empty: Box::default() };
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
async fn a_request_whose_key_has_to_wait_is_put_out_of_the_way() {
    let after = Duration::from_secs(1);
    let held = Outcome::Held { after, cause: "throttled".into(), message: "later".into(), lasting: false };
    let scene = scene(RetryLimit::Unlimited, vec![held]);
    let (request, tickets) = scene.request(&["a", "b"]);
    let begin = Instant::now();
    let mut unsent = Arc::clone(&scene.delivery).deliver(request).await;
    assert!(unsent.back.is_empty() && begin.elapsed() < after, "nobody waits for it");
    let request = unsent.held.pop().unwrap();
    assert!(request.retry.held_until.is_some_and(|until| until >= begin + after));
    assert!(!tickets[0].is_settled());
    scene.deliver(request).await;
    assert_eq!(scene.bodies(), ["ab", "ab"]);
    assert_eq!(scene.settled(&tickets), (2, 0, 0));
}

#[tokio::test]
async fn too_large_is_halved_and_one_record_alone_refused() {
    let scene = scene(RetryLimit::Unlimited, vec![Outcome::TooLarge, Outcome::TooLarge]);
    let (request, tickets) = scene.request(&["a", "b", "c"]);
    scene.deliver(request).await;
    assert_eq!(scene.bodies(), ["abc", "a", "bc"]);
    assert_eq!(scene.settled(&tickets), (2, 1, 0));
}

fn again() -> Outcome {
    Outcome::Again { after: None, cause: "http_503".into(), message: "busy".into(), lasting: false }
}

fn in_order(answers: Vec<Outcome>) -> Scene {
    scene_of(
        Scripted { answers: Mutex::new(answers.into()), ordered: true, ..Scripted::default() },
        RetryLimit::Unlimited,
    )
}

#[tokio::test]
async fn in_order_means_that_nothing_is_sent_before_what_came_before_is_settled() {
    let half = Outcome::Partly { again: vec![1], refused: Vec::new(), unnamed: None, empty: Box::default() };
    let scene = in_order(vec![again(), half, again(), Outcome::Delivered]);
    let (requests, tickets): (Vec<_>, Vec<_>) =
        [["a", "b"], ["c", "d"], ["e", "f"]].map(|texts| scene.request(&texts)).into_iter().unzip();
    scene.run(requests, None, &["ab", "ab", "b", "b", "cd", "ef"]).await;
    assert!(tickets.iter().flatten().all(Ticket::is_settled));
}

#[tokio::test]
async fn in_order_what_comes_goes_through_the_spool_behind_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let spooling = |scene: &Scene| {
        let options = crate::spool::SpoolOptions { bytes_max: 1 << 20, sync: crate::spool::Sync::Normal };
        let settings =
            SpoolSettings { folder: folder.path().join("spool"), options, on_full: OnFull::Wait, min_free_percent: 0 };
        let owners = (&scene.ledger, &scene.memory);
        Spooling::open(settings, &scene.delivery.lane, owners, Arc::from(vec!["tail.0".to_owned()]), Arc::default())
            .unwrap()
    };
    let earlier = in_order(Vec::new());
    let mut first = spooling(&earlier);
    assert!(first.keep(vec![earlier.request(&["a", "b"]).0, earlier.request(&["c"]).0]).await.is_empty());
    first.close().await;
    // What is there fails at first: what comes must not overtake it.
    let scene = in_order(vec![again(), Outcome::Delivered, again()]);
    let spooling = spooling(&scene);
    let (requests, tickets): (Vec<_>, Vec<_>) = [["d"], ["e"]].map(|texts| scene.request(&texts)).into_iter().unzip();
    scene.run(requests, Some(spooling), &["ab", "ab", "c", "c", "d", "e"]).await;
    assert!(tickets.iter().flatten().all(Ticket::is_settled));
}
