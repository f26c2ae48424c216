//! Limits, and what opening costs.

use std::os::unix::fs::PermissionsExt;

use super::super::fault::Call;
use super::*;

#[test]
fn the_order_of_settling_does_not_matter() {
    let folder = TempDir::new().unwrap();
    let mut spool = open_small(folder.path(), 1000);
    fill(&mut spool, 0..6);
    let given = read_all(&mut spool);
    for index in [5, 1, 2, 4] {
        assert!(spool.settle(given[index].0));
    }
    spool.save_cursor().unwrap();
    assert_eq!(ids(&mut open(crashed(folder.path()).path())), [0, 1, 2, 3, 4, 5]);
    spool.settle(given[0].0);
    spool.save_cursor().unwrap();
    assert_eq!(ids(&mut open(crashed(folder.path()).path())), [3, 4, 5]);
    spool.settle(given[3].0);
    assert!(!spool.settle(given[3].0) && !spool.settle(1000));
    spool.save_cursor().unwrap();
    assert_eq!((spool.bytes(), segments(folder.path())), (0, vec![]));
    drop(spool);
    let mut spool = open(folder.path());
    assert!(spool.append(&frame(6, 0).draft()).unwrap() > given[5].0, "no number comes twice");
}

#[test]
fn what_is_not_synced_is_not_read() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(folder.path());
    assert!(!spool.needs_sync(Instant::now()));
    spool.append(&frame(0, 10).draft()).unwrap();
    assert!(spool.read().unwrap().is_none());
    assert_eq!(spool.pending().frames, 1);
    assert!(!spool.needs_sync(Instant::now()) && spool.needs_sync(Instant::now() + SYNC_AFTER));
    for id in 1..6 {
        spool.append(&frame(id, 1 << 20).draft()).unwrap();
    }
    assert!(spool.needs_sync(Instant::now()), "more than 4 MiB");
    spool.sync().unwrap();
    assert!(!spool.needs_sync(Instant::now() + SYNC_AFTER));
    assert_eq!(read_all(&mut spool).len(), 6);
    let other = TempDir::new().unwrap();
    let mut spool = Spool::open(other.path(), SpoolOptions { bytes_max: 1 << 20, sync: Sync::Full }).unwrap();
    spool.append(&frame(0, 10).draft()).unwrap();
    assert!(spool.needs_sync(Instant::now()));
}

#[test]
fn full_until_the_oldest_goes() {
    let folder = TempDir::new().unwrap();
    let options = SpoolOptions { bytes_max: 40_000, sync: Sync::Normal };
    let mut spool = Spool::open(folder.path(), options).unwrap();
    let mut appended = 0;
    let full = loop {
        match spool.append(&frame(appended, 1000).draft()) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, SpoolError::Full { folder: folder.path().into(), bytes_max: 40_000 });
    assert!((30..40).contains(&appended) && spool.bytes() <= 40_000);
    spool.sync().unwrap();
    let first = spool.read().unwrap().unwrap();
    let before = spool.pending();
    let dropped = spool.drop_oldest().unwrap();
    assert!(dropped.frames >= 1 && dropped.all.records == RECORDS * dropped.frames);
    assert_eq!(dropped.inputs["tail.1"], Amount { records: dropped.frames, bytes: 200 * dropped.frames });
    assert_eq!(spool.pending(), before.since(&dropped));
    spool.append(&frame(appended, 100).draft()).unwrap();
    spool.sync().unwrap();
    assert!(spool.settle(first.sequence), "what was given out has its own end");
    let expect: Vec<u64> = (1 + dropped.frames..=appended).collect();
    let given = read_all(&mut spool);
    assert_eq!(given.iter().map(|(_, id)| *id).collect::<Vec<_>>(), expect);
    given.iter().for_each(|(sequence, _)| assert!(spool.settle(*sequence)));
    assert_eq!((spool.pending(), spool.damage()), (Totals::default(), &Damage::default()));
    assert_eq!(spool.append(&frame(0, 50_000).draft()), Err(SpoolError::TooLarge));
}

#[test]
fn everything_can_be_dropped() {
    let folder = TempDir::new().unwrap();
    let mut spool = open_small(folder.path(), 1000);
    fill(&mut spool, 0..7);
    spool.append(&frame(7, 10).draft()).unwrap();
    let mut dropped = Totals::default();
    while let Some(more) = spool.drop_oldest() {
        dropped.add(&more);
    }
    assert_eq!((dropped.frames, dropped.all.records), (8, 16));
    assert_eq!((spool.pending(), spool.bytes()), (Totals::default(), 0));
    spool.sync().unwrap();
    fill(&mut spool, 8..9);
    assert_eq!(ids(&mut spool), [8]);
    drop(spool);
    assert_eq!(ids(&mut open(folder.path())), [8]);
}

#[test]
fn opening_costs_the_same_with_ten_thousand_segments() {
    fault::skip_syncs();
    let opened = |count: u64| {
        let folder = TempDir::new().unwrap();
        let mut spool = open_small(folder.path(), 1);
        fill(&mut spool, 0..1);
        spool.log.next = count;
        fill(&mut spool, 1..2);
        drop(spool);
        // Between the first and the last, by a cheap way.
        let first = &segments(folder.path())[0];
        (2..count).for_each(|name| fs::hard_link(first, super::super::segment::path(folder.path(), name)).unwrap());
        drop(fault::calls());
        let mut spool = open(folder.path());
        let pending = spool.pending();
        assert_eq!((pending.frames, pending.inputs["tail.0"].records), (2, 2));
        assert_eq!(spool.log.segments().count() as u64, count);
        assert_eq!(id(&spool.read().unwrap().unwrap().frame), 0);
        let calls = fault::calls();
        let of = |kind: Call| calls.iter().filter(|call| **call == kind).count();
        (of(Call::Read), of(Call::Open), of(Call::Write), of(Call::Sync))
    };
    let few = opened(2);
    assert!(few.0 <= 12 && few.1 <= 5, "{few:?}");
    assert_eq!(opened(10_000), few);
}

#[test]
fn nobody_else_may_read_it() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("spool").join(folder_name("http.0"));
    let mut spool = open(&folder);
    fill(&mut spool, 0..1);
    let taken = spool.read().unwrap().unwrap();
    spool.settle(taken.sequence);
    fill(&mut spool, 1..2);
    spool.save_cursor().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(folder.parent().unwrap())), (0o700, 0o700));
    assert_eq!(mode(&segments(&folder)[0]), 0o600);
    assert_eq!(mode(&folder.join("cursor.v1")), 0o600);
}

#[test]
fn spools_are_listed_with_what_is_pending() {
    let root = TempDir::new().unwrap();
    for name in ["http.0", "a/b c", "..", ".", "", "%", "%2F", "ä", &"x/".repeat(300)] {
        let mut spool = open_small(&root.path().join(folder_name(name)), 1);
        fill(&mut spool, 0..3);
        let taken = spool.read().unwrap().unwrap();
        spool.settle(taken.sequence);
        spool.read().unwrap().unwrap();
        spool.save_cursor().unwrap();
        let listed = Spool::list(root.path()).unwrap();
        let folder = root.path().join(folder_name(name));
        let found = listed.iter().find(|listed| listed.folder == folder);
        let found = found.unwrap_or_else(|| panic!("{name}: {listed:?}"));
        assert!(found.output == name || name.len() > 200 && name.starts_with(&found.output[..60]), "{name}: {found:?}");
        assert_eq!((found.segments.len(), found.bytes()), (2, spool.bytes()), "{name}");
        assert_eq!(found.settled.unwrap().0, found.segments[0].first);
        assert!(matches!(found.segments[0].state, SegmentState::Good(made) if made.elapsed().unwrap().as_secs() < 60));
        let (all, damaged) = found.examine().unwrap();
        assert_eq!((all.frames, damaged), (2, 0));
        let backlog = found.backlog().unwrap();
        assert_eq!(backlog.pending, spool.pending(), "{name}");
        assert!(backlog.oldest.unwrap().elapsed().unwrap().as_secs() < 60 && backlog.bytes > 0);
    }
    assert_eq!(Spool::list(root.path()).unwrap().len(), 9, "each has a folder of its own");
}

#[test]
fn the_age_of_the_oldest() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(folder.path());
    assert_eq!(spool.oldest(), None);
    let young = |spool: &Spool| spool.oldest().unwrap().elapsed().unwrap_or_default().as_secs() < 60;
    fill(&mut spool, 0..2);
    assert!(young(&spool));
    for (sequence, _) in read_all(&mut spool) {
        assert!(young(&spool));
        spool.settle(sequence);
    }
    assert_eq!(spool.oldest(), None);
}

#[test]
fn the_file_system_says_its_room() {
    let space = space(TempDir::new().unwrap().path()).unwrap();
    assert!(space.free <= space.total && space.total > 1 << 20);
    assert!(super::super::space(Path::new("/no/such/folder")).is_err());
}

#[test]
fn a_backlog_ends_where_everything_is_settled() {
    let root = TempDir::new().unwrap();
    let mut spool = open_small(&root.path().join("o"), 2000);
    fill(&mut spool, 0..30);
    let backlog = || Spool::list(root.path()).unwrap()[0].backlog().unwrap();
    assert_eq!(backlog().pending, spool.pending(), "without a cursor");
    while let Some(taken) = spool.read().unwrap() {
        spool.settle(taken.sequence);
        spool.save_cursor().unwrap();
        assert_eq!(backlog().pending, spool.pending());
    }
    assert_eq!(backlog(), Backlog::default());
}
