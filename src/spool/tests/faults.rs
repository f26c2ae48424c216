//! Disk calls that fail: the first, then the second, and so on until a run is clean.

use std::collections::BTreeSet;

use super::super::fault::{Fault, plan};
use super::*;

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

#[test]
fn every_call_fails() {
    fault::skip_syncs();
    for errno in [ENOSPC, EIO] {
        for lasting in [false, true] {
            let failed = (0..).take_while(|&calls| run(Fault { calls, errno, lasting })).count();
            assert!(failed > 60, "{failed} calls");
        }
    }
}

/// Somebody who uses the spool as it is meant: what is not durable is kept and appended again.
struct Caller {
    spool: Option<Spool>,
    kept: Vec<u64>,
    appended: BTreeSet<u64>,
    durable: BTreeSet<u64>,
    arrived: BTreeSet<u64>,
    settled: BTreeSet<u64>,
}

impl Caller {
    fn open(&mut self, folder: &Path) {
        if self.spool.is_none() {
            self.spool = Spool::open(folder, SpoolOptions { bytes_max: 1 << 20, sync: Sync::Full }).ok();
            if let Some(spool) = &mut self.spool {
                spool.log.set_segment_bytes(1000);
            }
        }
    }

    fn append(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        let todo: Vec<u64> = self.kept.iter().copied().filter(|id| !self.appended.contains(id)).collect();
        for id in todo {
            match spool.append(&frame(id, 200).draft()) {
                Ok(_) => _ = self.appended.insert(id),
                Err(SpoolError::TakenBack { .. }) => self.appended.clear(),
                Err(error) => assert!(!matches!(error, SpoolError::Full { .. }), "{error}"),
            }
        }
        match spool.sync() {
            Ok(()) => {
                self.durable.append(&mut self.appended);
                self.kept.retain(|id| !self.durable.contains(id));
            }
            Err(error) => {
                assert!(matches!(error, SpoolError::TakenBack { .. }), "{error}");
                self.appended.clear();
            }
        }
    }

    /// Reads until there is nothing or an error, settles every other frame.
    fn read(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        while let Ok(Some(taken)) = spool.read() {
            let id = id(&taken.frame);
            self.arrived.insert(id);
            if id.is_multiple_of(2) {
                assert!(spool.settle(taken.sequence));
                self.settled.insert(id);
            }
        }
        drop(spool.save_cursor());
    }
}

/// False if the run had fewer calls.
fn run(fault: Fault) -> bool {
    let folder = TempDir::new().unwrap();
    let mut before = open_small(folder.path(), 1000);
    fill(&mut before, 0..6);
    let taken = before.read().unwrap().unwrap();
    before.settle(taken.sequence);
    before.save_cursor().unwrap();
    drop(before);
    let mut caller = Caller {
        spool: None,
        kept: (6..18).collect(),
        appended: BTreeSet::new(),
        durable: (1..6).collect(),
        arrived: BTreeSet::new(),
        settled: BTreeSet::from([0]),
    };
    plan(Some(fault));
    caller.open(folder.path());
    caller.append();
    caller.read();
    caller.append();
    let copy = crashed(folder.path());
    let was_to_come = plan(None);

    // A crash at the worst moment: all that was said to be durable is there, if it is not settled.
    let found: BTreeSet<u64> = ids(&mut open(copy.path())).into_iter().collect();
    let missing: Vec<_> = caller.durable.difference(&caller.settled).filter(|id| !found.contains(id)).collect();
    assert!(missing.is_empty(), "{fault:?}: {missing:?} lost by a crash");

    caller.open(folder.path());
    caller.append();
    caller.read();
    // With a cursor that could not be read, the frame that was settled before comes, too.
    assert!(
        caller.kept.is_empty() && (1..18).all(|id| caller.arrived.contains(&id)),
        "{fault:?}: {:?}",
        caller.arrived
    );
    caller.spool = None;
    let mut spool = open(folder.path());
    let odd: Vec<u64> = (0..18).filter(|id| id % 2 == 1).collect();
    let given = read_all(&mut spool);
    let found: BTreeSet<u64> = given.iter().map(|(_, id)| *id).collect();
    assert!(odd.iter().all(|id| found.contains(id)), "{fault:?}: {given:?}");
    given.iter().for_each(|(sequence, _)| assert!(spool.settle(*sequence)));
    spool.save_cursor().unwrap();
    assert_eq!(spool.pending(), Totals::default(), "{fault:?}");
    !was_to_come
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(folder.path());
    fill(&mut spool, 0..2);
    let file = &segments(folder.path())[0];
    let before = fs::read(file).unwrap();
    plan(Some(Fault { calls: 0, errno: ENOSPC, lasting: false }));
    assert_eq!(spool.append(&frame(2, 200).draft()), Err(SpoolError::DiskFull { path: file.clone() }));
    assert_eq!(fs::read(file).unwrap(), before);
    fill(&mut spool, 3..4);
    assert_eq!(ids(&mut spool), [0, 1, 3]);
}

#[test]
fn a_failed_sync_takes_back() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(folder.path());
    fill(&mut spool, 0..2);
    let last = spool.append(&frame(2, 200).draft()).unwrap();
    plan(Some(Fault { calls: 0, errno: EIO, lasting: false }));
    assert!(matches!(spool.sync(), Err(SpoolError::TakenBack { .. })));
    assert_eq!(spool.pending().frames, 2);
    assert_eq!(ids(&mut open(crashed(folder.path()).path())), [0, 1]);
    assert!(spool.append(&frame(3, 200).draft()).unwrap() > last);
    spool.sync().unwrap();
    assert_eq!(ids(&mut spool), [0, 1, 3]);
    assert_eq!(spool.damage(), &Damage::default());
}

#[test]
fn a_place_that_cannot_be_read_is_given_up() {
    let folder = TempDir::new().unwrap();
    let mut spool = open_small(folder.path(), 1000);
    fill(&mut spool, 0..9);
    assert_eq!(id(&spool.read().unwrap().unwrap().frame), 0);
    for _ in 0..2 {
        plan(Some(Fault { calls: 0, errno: EIO, lasting: true }));
        assert!(matches!(spool.read(), Err(SpoolError::Unavailable { .. })));
    }
    plan(Some(Fault { calls: 0, errno: EIO, lasting: false }));
    let found = ids(&mut spool);
    assert!(found.len() >= 5 && found.ends_with(&[8]), "{found:?}");
    let lost = 8 - found.len() as u64;
    assert!(lost > 0 && spool.damage().bytes > 0);
    assert_eq!(spool.damage().lost.frames, lost);
}
