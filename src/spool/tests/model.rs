//! The spool equals a queue, whatever is done to it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Sync,
    Read,
    Settle(prop::sample::Index),
    Save,
    Reopen,
    /// A power failure: this part of what was not synced is there, and then zeros or nothing.
    Crash(f64, bool),
    Flip(prop::sample::Index, prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0..400_usize).prop_map(Step::Append),
        3 => Just(Step::Sync),
        6 => Just(Step::Read),
        5 => index().prop_map(Step::Settle),
        2 => Just(Step::Save),
        1 => Just(Step::Reopen),
        1 => (0.0..=1.0, any::<bool>()).prop_map(|(part, zeros)| Step::Crash(part, zeros)),
        1 => (index(), index()).prop_map(|(file, byte)| Step::Flip(file, byte)),
    ]
}

struct Model {
    folder: TempDir,
    spool: Option<Spool>,
    next: u64,
    unsynced: Vec<u64>,
    /// Still to come in this session, as far as nothing excuses them.
    queue: BTreeSet<u64>,
    given: Vec<(u64, u64)>,
    /// Durable, and not settled.
    open: BTreeSet<u64>,
    /// May come or not: settled before, not synced at a crash, damaged.
    excused: BTreeSet<u64>,
    flipped: BTreeSet<u64>,
    /// A byte outside of all frames was flipped: a header no longer says what stood before its segment.
    header_flipped: bool,
    damaged_bytes: u64,
    lost: u64,
    last_sequence: u64,
}

impl Model {
    fn new() -> Model {
        let folder = TempDir::new().unwrap();
        let mut model = Model {
            folder,
            spool: None,
            next: 0,
            unsynced: Vec::new(),
            queue: BTreeSet::new(),
            given: Vec::new(),
            open: BTreeSet::new(),
            excused: BTreeSet::new(),
            flipped: BTreeSet::new(),
            header_flipped: false,
            damaged_bytes: 0,
            lost: 0,
            last_sequence: 0,
        };
        model.reopen();
        model
    }

    fn spool(&mut self) -> &mut Spool {
        self.spool.as_mut().unwrap()
    }

    fn close(&mut self) {
        if let Some(spool) = self.spool.take() {
            self.damaged_bytes += spool.damage().bytes;
            self.lost += spool.damage().lost.all.records;
        }
    }

    fn reopen(&mut self) {
        self.close();
        // What was written, was: only a crash of the machine takes it away. It may come.
        self.excused.extend(self.unsynced.drain(..));
        self.spool = Some(open_small(self.folder.path(), 1500));
        self.given.clear();
        // Numbers of frames that a crash took may come again.
        self.last_sequence = 0;
        self.queue = self.open.union(&self.excused).copied().collect();
    }

    fn crash(&mut self, part: f64, zeros: bool) {
        let file = segments(self.folder.path()).pop();
        let last = self.spool().log.segments().last().map(|segment| segment.first);
        let durable = last.map_or(0, |first| self.spool().log.readable(first));
        self.close();
        if let Some(file) = file {
            let mut bytes = fs::read(&file).unwrap();
            let len = bytes.len();
            let kept = durable as usize + ((len - durable as usize) as f64 * part) as usize;
            bytes.truncate(kept);
            if zeros {
                bytes.resize(len, 0);
            }
            fs::write(&file, bytes).unwrap();
        }
        self.reopen();
    }

    fn flip(&mut self, file: prop::sample::Index, byte: prop::sample::Index) {
        let files = segments(self.folder.path());
        if files.is_empty() {
            return;
        }
        let file = &files[file.index(files.len())];
        let mut bytes = fs::read(file).unwrap();
        let at = byte.index(bytes.len());
        let hit: Vec<u64> =
            frames_of(&bytes).into_iter().filter(|(range, _)| range.contains(&at)).map(|(_, id)| id).collect();
        self.header_flipped |= hit.is_empty();
        self.flipped.extend(&hit);
        self.excused.extend(&hit);
        bytes[at] ^= 0x40;
        // In place: the writer has it open.
        std::os::unix::fs::FileExt::write_all_at(
            &fs::OpenOptions::new().write(true).open(file).unwrap(),
            &bytes[at..=at],
            at as u64,
        )
        .unwrap();
    }

    fn read(&mut self) -> bool {
        let Some(taken) = self.spool().read().unwrap() else {
            let missing: Vec<_> = self.queue.iter().filter(|id| !self.excused.contains(id)).collect();
            assert!(missing.is_empty(), "{missing:?} did not come");
            return false;
        };
        let id = id(&taken.frame);
        assert_eq!(taken.frame, frame(id, taken.frame.bytes.len() - 8));
        let before: Vec<u64> = self.queue.range(..id).copied().collect();
        for passed in before {
            assert!(self.excused.contains(&passed), "{passed} was passed over by {id}");
            self.queue.remove(&passed);
        }
        assert!(self.queue.remove(&id), "{id} came, but was not expected");
        self.given.push((taken.sequence, id));
        true
    }

    fn settle(&mut self, at: usize) {
        let (sequence, id) = self.given.swap_remove(at);
        assert!(self.spool().settle(sequence));
        assert!(!self.spool().settle(sequence), "only once");
        self.open.remove(&id);
        self.excused.insert(id);
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Append(len) => {
                let (id, last) = (self.next, self.last_sequence);
                let file = self.spool().log.segments().last();
                self.last_sequence = self.spool().append(&frame(id, len).draft()).unwrap();
                assert!(self.last_sequence > last);
                if self.spool().log.segments().last().map(|s| s.first) != file.map(|s| s.first) {
                    // The last segment was sealed.
                    self.synced();
                }
                self.unsynced.push(id);
                self.next += 1;
            }
            Step::Sync => {
                self.spool().sync().unwrap();
                self.synced();
            }
            Step::Read => _ = self.read(),
            Step::Settle(index) if !self.given.is_empty() => self.settle(index.index(self.given.len())),
            Step::Settle(_) => {}
            Step::Save => self.spool().save_cursor().unwrap(),
            Step::Reopen => self.reopen(),
            Step::Crash(part, zeros) => self.crash(part, zeros),
            Step::Flip(file, byte) => self.flip(file, byte),
        }
    }

    fn synced(&mut self) {
        for id in std::mem::take(&mut self.unsynced) {
            self.open.insert(id);
            self.queue.insert(id);
        }
    }

    /// All that is open comes, and then nothing is left.
    fn finish(&mut self) {
        self.run(Step::Sync);
        while self.read() {}
        while !self.given.is_empty() {
            self.settle(0);
        }
        self.spool().save_cursor().unwrap();
        assert_eq!(self.spool().pending(), Totals::default());
        assert_eq!((self.spool().bytes(), segments(self.folder.path())), (0, vec![]));
        self.close();
        // The last session said that all came which nothing excuses; the rest is damage, and counted.
        let lost: Vec<_> = self.open.iter().collect();
        assert!(lost.iter().all(|id| self.flipped.contains(id)), "{lost:?}");
        assert!(lost.is_empty() || self.damaged_bytes > 0);
        let excuse = self.header_flipped || !self.flipped.is_empty();
        assert!(self.lost == 0 || excuse, "{} records lost by nothing", self.lost);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_spool_equals_a_queue(steps in proptest::collection::vec(step(), 1..80)) {
        fault::skip_syncs();
        let mut model = Model::new();
        for step in steps {
            model.run(step);
        }
        model.finish();
    }

    #[test]
    fn pending_is_what_is_not_settled(settle in proptest::collection::vec(any::<prop::sample::Index>(), 0..30)) {
        fault::skip_syncs();
        let folder = TempDir::new().unwrap();
        let mut spool = open_small(folder.path(), 1500);
        fill(&mut spool, 0..20);
        let mut given = read_all(&mut spool);
        fill(&mut spool, 20..25);
        for index in settle.iter().filter(|_| given.len() > 1).collect::<Vec<_>>() {
            if given.is_empty() {
                break;
            }
            let (sequence, _) = given.swap_remove(index.index(given.len()));
            spool.settle(sequence);
            let open = given.len() as u64 + 5;
            let pending = spool.pending();
            prop_assert_eq!((pending.frames, pending.all.records, pending.inputs["tail.1"].bytes), (open, RECORDS * open, 200 * open));
        }
        // After a restart, those behind the front come again and are pending again.
        let front = given.iter().map(|(_, id)| *id).min().unwrap_or(20);
        spool.save_cursor().unwrap();
        drop(spool);
        let mut spool = open(folder.path());
        prop_assert_eq!(spool.pending().frames, 25 - front);
        prop_assert_eq!(ids(&mut spool), (front..25).collect::<Vec<_>>());
    }
}
