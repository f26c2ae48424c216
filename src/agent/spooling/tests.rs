//! The disk fails at each of its calls: nothing that is settled is lost, and what is not settled comes back.

use super::*;
use crate::agent::request::tests::finished;
use crate::agent::tests::{lane, lane_to};
use crate::output::{Limits, Needs, Outcome, Request};
use crate::record::{Batch, Counts};
use crate::spool::fault::{Fault, plan};
use futures_util::future::BoxFuture;
use std::collections::BTreeSet;
use std::path::Path;

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

struct Scene {
    memory: Arc<Memory>,
    ledger: Arc<Ledger>,
    lane: Arc<Lane>,
}

impl Scene {
    fn new() -> Self {
        Self { memory: Arc::new(Memory::new(1 << 20, 1)), ledger: Arc::new(Ledger::new(1, 1)), lane: lane() }
    }

    fn open(&self, folder: &Path, bytes_max: u64) -> Result<Spooling, SpoolError> {
        let options = spool::SpoolOptions { bytes_max, sync: spool::Sync::Normal };
        let folder = folder.join("spool");
        let settings = SpoolSettings { folder, options, on_full: OnFull::Wait, min_free_percent: 0 };
        let names: Arc<[String]> = Arc::from(vec!["tail.0".to_owned()]);
        Spooling::open(settings, &self.lane, (&self.ledger, &self.memory), names, Arc::default())
    }

    fn request(&self, text: &str) -> (Finished, Ticket) {
        let amount = Amount { records: 1, bytes: text.len() as u64 };
        self.ledger.enter(0, &Counts::default(), amount, &[(0, amount, Amount::default())]);
        let (request, mut tickets) = finished(&self.memory, &[text], &[1]);
        (request, tickets.remove(0))
    }
}

async fn drained(spooling: &mut Spooling) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    while let Some(mut request) = spooling.next().await {
        texts.insert(String::from_utf8(request.pieces.bytes.clone()).unwrap());
        request.settle();
    }
    texts
}

/// Spools three requests while the disk fails once or for good, then until all is safe.
async fn survives(fault: Fault) {
    let (scene, folder) = (Scene::new(), tempfile::tempdir().unwrap());
    let mut spooling = scene.open(folder.path(), 1 << 20).unwrap();
    let texts = ["one", "two", "three"];
    let (mut left, tickets): (Vec<Finished>, Vec<Ticket>) = texts.iter().map(|text| scene.request(text)).unzip();
    plan(Some(fault));
    for round in 0..6 {
        if round == 3 {
            plan(None);
        }
        spooling.blocked = None;
        // One at first, then the others: something is synced between them.
        let rest = left.split_off(left.len().min(1));
        let mut again = spooling.keep(left).await;
        again.append(&mut spooling.tend(true).await.taken_back);
        again.extend(rest);
        left = again;
        let held = left.len() + spooling.unsynced.len();
        let unsettled = tickets.iter().filter(|ticket| !ticket.is_settled()).count();
        assert_eq!(held, unsettled, "{fault:?}: what is not settled is still here");
    }
    plan(None);
    assert!(left.is_empty() && tickets.iter().all(Ticket::is_settled), "{fault:?}");
    assert_eq!(scene.memory.held(0), 0, "{fault:?}");
    spooling.close().await;
    let mut reopened = Scene::new().open(folder.path(), 1 << 20).unwrap();
    assert_eq!(drained(&mut reopened).await, texts.map(str::to_owned).into(), "{fault:?}");
}

#[tokio::test]
async fn what_is_settled_is_on_disk_whichever_call_fails() {
    for errno in [ENOSPC, EIO] {
        for lasting in [false, true] {
            for calls in 0..30 {
                survives(Fault { calls, errno, lasting }).await;
            }
        }
    }
}

/// Pieces that a comma joins.
struct Joined(Arc<dyn Output>);

impl Output for Joined {
    fn limits(&self) -> Limits {
        self.0.limits()
    }
    fn needs(&self) -> Needs {
        self.0.needs()
    }
    fn encode(&self, _: &Batch, _: usize, _: &mut Vec<u8>) {}
    fn bare<'a>(&self, piece: &'a [u8]) -> &'a [u8] {
        piece.strip_prefix(b",").unwrap_or(piece)
    }
    fn body(&self, _: &str, _: &Pieces, _: &mut Vec<u8>) {}
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Outcome> {
        self.0.send(request)
    }
}

#[tokio::test]
async fn each_piece_of_a_frame_stands_by_itself() {
    let (mut scene, folder) = (Scene::new(), tempfile::tempdir().unwrap());
    scene.lane = Arc::new(lane_to(Arc::new(Joined(Arc::clone(&scene.lane.output)))));
    let mut spooling = scene.open(folder.path(), 1 << 20).unwrap();
    let texts = ["a", ",bb", "", ",c", "d"];
    let amount = Amount { records: 5, bytes: 7 };
    scene.ledger.enter(0, &Counts::default(), amount, &[(0, amount, Amount::default())]);
    let (request, tickets) = finished(&scene.memory, &texts, &[2, 3]);
    // As while a body of them is on its way.
    let sent = request.pieces.whole();
    assert!(spooling.keep(vec![request]).await.is_empty());
    spooling.tend(true).await;
    assert!(tickets.iter().all(Ticket::is_settled));
    let mut frame = spooling.next().await.unwrap();
    let pieces: Vec<_> = (0..5).map(|number| frame.piece(number).into_owned()).collect();
    assert_eq!(pieces, [&b"a"[..], b"bb", b"", b"c", b"d"]);
    assert_eq!((frame.amount(), sent), (amount, "a,bb,cd".into()));
    frame.settle();
}

#[tokio::test]
async fn a_record_that_no_frame_can_hold_stays_in_memory() {
    let (scene, folder) = (Scene::new(), tempfile::tempdir().unwrap());
    let mut spooling = scene.open(folder.path(), 2000).unwrap();
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (state >> 33) as u8 % 90)
    };
    let noise: String = (0..5000).map(|_| next()).collect();
    let (request, ticket) = scene.request(&noise);
    let left = spooling.keep(vec![request]).await;
    assert_eq!(left[0].home, Home::MemoryOnly);
    assert!(!ticket.is_settled());
}

#[tokio::test]
async fn what_is_damaged_is_counted_once() {
    let (scene, folder) = (Scene::new(), tempfile::tempdir().unwrap());
    let mut spooling = scene.open(folder.path(), 1 << 20).unwrap();
    let requests = ["one", "two"].map(|text| scene.request(text).0);
    assert!(spooling.keep(requests.into()).await.is_empty());
    spooling.close().await;
    let segments = std::fs::read_dir(folder.path().join("spool")).unwrap().map(|entry| entry.unwrap().path());
    for path in segments.filter(|path| path.extension().is_some_and(|e| e == "seg")) {
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - 5;
        bytes[at] ^= 0x10;
        std::fs::write(&path, bytes).unwrap();
    }
    let later = Scene::new();
    let mut spooling = later.open(folder.path(), 1 << 20).unwrap();
    assert_eq!(drained(&mut spooling).await, BTreeSet::from(["one".to_owned()]));
    spooling.close().await;
    let account = later.ledger.accounts().outputs.remove(0);
    let counted = account.pending.records + account.dropped.values().map(|amount| amount.records).sum::<u64>();
    assert_eq!(counted, account.routed.records);
}
