//! The thread that follows all journals: a clock that looks whether files grew, and once a second positions and gauges.

use super::copies::{self, Covered};
use super::discover::{self, Found};
use super::fields::Keys;
use super::followed::{Followed, is_final_name};
use super::journal::{Cursor, Id, JournalFile, Trouble};
use super::places::Places;
use super::read::Step;
use super::round::Round;
use super::settings::Settings;
use super::sources::Sources;
use crate::input::committer::Committer;
use crate::input::watch::Watcher;
use crate::input::{Context, LostReason, Pipe};
use crate::record::{Batch, Source, SourceDraft};
use crate::state::Change;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the headers of files that are written to are read.
const POLL: Duration = Duration::from_millis(100);
/// The same where nothing was written for a while.
const POLL_QUIET: Duration = Duration::from_millis(150);
const QUIET_AFTER: Duration = Duration::from_secs(10);
/// Positions and gauges.
const SECOND: Duration = Duration::from_secs(1);
/// Folders are looked through besides the events that they send.
const SCAN: Duration = Duration::from_secs(5);
/// How long a blocked reader sleeps when nothing wakes it.
const BLOCKED_WAIT: Duration = Duration::from_millis(50);
/// So long a new file may be without a whole header.
const HALF_MADE: Duration = Duration::from_secs(10);
/// With `on_term drain`: a journal that was quiet for so long has got all that it will get.
const DRAINED: Duration = Duration::from_secs(2);
/// A file that was not read for so long gives its memory back.
const QUIET: Duration = Duration::from_secs(30);
/// Rows that are not put for long are forgotten; those of files that are there are put again.
const DAY: Duration = Duration::from_secs(86_400);

/// Entries that wait for room in an output.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) file: Id,
    /// Of the round: [`Followed::pending_mut`].
    pub(super) number: u64,
    pub(super) source: u32,
    pub(super) offsets: Vec<u64>,
}

/// A file that was read to its end and will not be written to any more.
#[derive(Debug)]
struct Done {
    id: Id,
    path: PathBuf,
    identity: (u64, u64),
    cursor: Option<Cursor>,
    covered: Option<Covered>,
}

/// What all sections read with.
pub(super) struct Reader {
    pub(super) pipe: Arc<dyn Pipe>,
    pub(super) round: Round,
    pub(super) batch: Batch,
    pub(super) now_ns: i64,
    /// The field that entries of drave's own log have: read and sent, they would be written about again.
    pub(super) own: Option<Vec<u8>>,
    /// At an end after which nobody will read them, sources wait for nothing.
    pub(super) insists: bool,
}

/// The journals of a section.
pub(super) struct Journal {
    pub(super) settings: Settings,
    pub(super) files: Vec<Followed>,
    pub(super) keys: Keys,
    pub(super) sources: Sources,
    pub(super) held: VecDeque<Held>,
    pub(super) held_entries: usize,
    pub(super) unsettled: u64,
    done: Vec<Done>,
    /// Of files that are gone.
    gone: Vec<Covered>,
    /// Files were found: a folder that is not mounted yet says nothing.
    started: bool,
    /// Files that are no journals, or not yet: since when, and whether it was said.
    unreadable: HashMap<(u64, u64), (Instant, bool)>,
    pub(super) places: Places,
    changes: Vec<Change>,
}

/// All sections.
pub(super) struct Follower {
    journals: Vec<Journal>,
    context: Context,
    watcher: Watcher,
    reader: Reader,
}

impl Follower {
    pub(super) fn new(inputs: Vec<Settings>, context: Context) -> Self {
        if let Some(sync) = inputs.iter().find_map(|input| input.sync) {
            context.state.synchronous(sync);
        }
        let journal = |settings: Settings| Journal {
            places: Places::load(&context.state, &settings),
            keys: Keys::new(settings.options.lowercase, settings.options.strip_underscores),
            sources: Sources::new(settings.input.number, settings.input.tag.clone()),
            files: Vec::new(),
            held: VecDeque::new(),
            held_entries: 0,
            unsettled: 0,
            done: Vec::new(),
            gone: Vec::new(),
            started: false,
            unreadable: HashMap::new(),
            changes: Vec::new(),
            settings,
        };
        let journals = inputs.into_iter().map(journal).collect();
        let batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let pipe = Arc::clone(&context.pipe);
        let own = context.own.invocation.as_ref().map(|id| format!("_SYSTEMD_INVOCATION_ID={id}").into_bytes());
        let reader = Reader { pipe, own, round: Round::default(), batch, now_ns: 0, insists: false };
        let watcher = Watcher::new(true, Arc::clone(&context.stop.wake));
        Self { journals, context, watcher, reader }
    }

    /// Runs until the end is asked for.
    pub(super) fn run(mut self) {
        let committer = Committer::start(Arc::clone(&self.context.state));
        self.scan();
        let files: usize = self.journals.iter().map(|journal| journal.files.len()).sum();
        tracing::info!(files, "following the journal");
        self.journals.iter().for_each(Journal::say_if_empty);
        committer.commit(self.changed_rows());
        let start = Instant::now();
        let (mut next_poll, mut next_second, mut next_scan) = (start, start + POLL, start + self.scan_interval());
        let mut between = POLL;
        let mut next_day = start + DAY;
        let mut grew = start;
        while !self.is_told_to_end(grew) {
            self.context.pipe.beat();
            let now = Instant::now();
            if now >= next_scan || self.has_events() {
                self.scan();
                next_scan = now + self.scan_interval();
                // What copies in a new file are of has to be known.
                next_poll = now;
            }
            if now >= next_poll {
                self.poll();
                let is_quiet = now.saturating_duration_since(grew) >= QUIET_AFTER;
                next_poll = now + if is_quiet { POLL_QUIET } else { POLL };
            }
            if now >= next_day {
                self.journals.iter_mut().for_each(Journal::put_all);
                next_day = now + DAY;
            }
            if now >= next_second {
                self.each_second(&committer);
                next_second = now + between;
                // Sooner at first: who is killed again and again shall come forward all the same.
                between = (between * 2).min(SECOND);
            }
            match self.read_round() {
                Step::Read => grew = Instant::now(),
                Step::Full => self.context.stop.wake.wait(BLOCKED_WAIT),
                Step::Idle if self.ends_here() => break,
                Step::Idle => {
                    let until = next_poll.min(next_second);
                    self.context.stop.wake.wait(until.saturating_duration_since(Instant::now()));
                }
            }
        }
        self.finish(&committer);
        committer.finish();
    }

    /// Is it time to read no further? With `on_term drain` units may say their last words first.
    fn is_told_to_end(&self, grew: Instant) -> bool {
        let (now, stop) = (Instant::now(), &self.context.stop);
        let Some(deadline) = stop.deadline() else { return false };
        let Some(drain) = stop.drain() else { return true };
        let quiet = now.saturating_duration_since(drain.since.max(grew)) >= DRAINED;
        quiet || now >= drain.until.min(deadline)
    }

    /// Is all that there is read, and nothing more waited for?
    fn ends_here(&self) -> bool {
        self.journals.iter().all(|journal| journal.settings.options.exit_on_eof)
    }

    fn scan_interval(&self) -> Duration {
        if self.watcher.is_blind() { SECOND } else { SCAN }
    }

    fn has_events(&mut self) -> bool {
        let events = self.watcher.take();
        events.missed || !events.paths.is_empty()
    }

    /// Looks through all folders.
    fn scan(&mut self) {
        for journal in &mut self.journals {
            let mut found: Vec<Found> = Vec::new();
            for (number, folder) in journal.settings.folders.iter().enumerate() {
                for folder in discover::folders(folder).iter().filter(|folder| folder.is_dir()) {
                    self.watcher.watch(folder);
                    found.extend(discover::files(number, folder));
                }
            }
            journal.update(found, &*self.reader.pipe);
            if !journal.started && !journal.files.is_empty() {
                journal.started = true;
                journal.end_of_start(&*self.reader.pipe);
            }
        }
    }

    /// Did files grow? First those that are copied to, so that what they have copies of is known by then.
    fn poll(&mut self) {
        for journal in &mut self.journals {
            for file in &mut journal.files {
                match file.refresh() {
                    Ok(_) => {}
                    Err(trouble) => {
                        tracing::error!(path = %file.path.display(), "cannot look at a journal: {trouble}; what was not read of it is given up; hint: `journalctl --verify` shows what is damaged");
                        self.context.pipe.lost(journal.settings.input.number, LostReason::Unreadable, file.behind());
                        file.give_up();
                    }
                }
                if file.at_end && file.read_at.elapsed() >= QUIET {
                    file.file.release();
                    file.slots.clear();
                    file.read_at = Instant::now();
                }
            }
            journal.close_done();
        }
    }

    /// One round of each section.
    fn read_round(&mut self) -> Step {
        self.reader.now_ns = now_ns();
        let mut steps = self.journals.iter_mut().map(|journal| journal.step(&mut self.reader));
        let (mut read, mut full) = (false, false);
        steps.by_ref().for_each(|step| {
            read |= step == Step::Read;
            full |= step == Step::Full;
        });
        match (read, full) {
            (true, _) => Step::Read,
            (false, true) => Step::Full,
            (false, false) => Step::Idle,
        }
    }

    fn each_second(&mut self, committer: &Committer) {
        if !committer.is_busy() {
            let changes = self.changed_rows();
            committer.commit(changes);
        }
        let now = Instant::now();
        for journal in &mut self.journals {
            journal.sources.forget_idle(now);
            journal.keep_held_limit(&*self.context.pipe);
            let gauges = vec![(String::new(), journal.gauges())];
            self.context.pipe.gauges(journal.settings.input.number, gauges);
        }
    }

    fn changed_rows(&mut self) -> Vec<Change> {
        self.journals.iter_mut().flat_map(Journal::changed_rows).collect()
    }

    /// Reads what is already written to its end and waits until it is settled, until the deadline.
    fn finish(&mut self, committer: &Committer) {
        self.scan();
        self.poll();
        self.reader.insists = true;
        let mut next_second = Instant::now() + SECOND;
        loop {
            self.context.pipe.beat();
            if self.context.stop.deadline().is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            let step = self.read_round();
            if step == Step::Idle {
                self.journals.iter_mut().for_each(Journal::sweep);
                // What was settled just now may have been waited for.
                if self.journals.iter().all(Journal::is_settled) && self.read_round() == Step::Idle {
                    break;
                }
            }
            if step != Step::Read {
                self.journals.iter().for_each(|journal| journal.hurry(&*self.context.pipe));
                self.context.stop.wake.wait(Duration::from_millis(10));
            }
            if Instant::now() >= next_second {
                self.each_second(committer);
                next_second = Instant::now() + SECOND;
            }
        }
        let changes = self.changed_rows();
        committer.commit(changes);
    }
}

impl Journal {
    /// Says that there is nothing to read, and why.
    fn say_if_empty(&self) {
        if !self.files.is_empty() || !self.done.is_empty() {
            return;
        }
        for folder in &self.settings.folders {
            let why = std::fs::read_dir(folder).map_or_else(|e| e.to_string(), |_| "it has no journal files".into());
            tracing::warn!(input = self.settings.input.name, folder = %folder.display(), "no journal: {why}; it is looked for again each 5 s; hint: mount it, or name its folder as `path`");
        }
    }

    /// Takes up what was found: new files, other names, files that are gone.
    fn update(&mut self, found: Vec<Found>, pipe: &dyn Pipe) {
        let there: HashSet<(u64, u64)> = found.iter().map(|f| (f.device, f.inode)).collect();
        for file in self.files.iter_mut().filter(|file| !there.contains(&(file.device, file.inode))) {
            file.deleted = file.file.is_deleted();
        }
        let name = self.settings.input.name.clone();
        let paths: HashSet<&PathBuf> = found.iter().map(|f| &f.path).collect();
        for done in self.done.extract_if(.., |done| !there.contains(&done.identity) || !paths.contains(&done.path)) {
            // Renamed, or gone; a file that is still there is found again by its row.
            if there.contains(&done.identity) {
                self.places.by_file.extend(done.cursor.map(|cursor| (done.id, cursor)));
            } else {
                done.cursor.into_iter().for_each(|cursor| self.places.keep(cursor));
                copies::remember(&mut self.gone, done.covered);
                self.changes.push(Change::RemoveCursor { input: name.clone(), file: done.id.to_string() });
            }
        }
        self.unreadable.retain(|identity, _| there.contains(identity));
        for found in found {
            let identity = (found.device, found.inode);
            if let Some(file) = self.files.iter_mut().find(|file| (file.device, file.inode) == identity) {
                if file.path != found.path {
                    file.has_final_name = is_final_name(&found.path);
                    file.path = found.path;
                }
            } else if !self.done.iter().any(|done| done.identity == identity) {
                self.open(found, pipe);
            }
        }
    }

    fn open(&mut self, found: Found, pipe: &dyn Pipe) {
        let identity = (found.device, found.inode);
        let opened = File::open(&found.path)
            .map_err(Trouble::from)
            .and_then(|file| JournalFile::open(Box::new(file)))
            .map(|file| Followed::new(file, &found, &self.settings.matches));
        let file = match opened {
            Ok(file) => file,
            Err(trouble) => return self.cannot_open(&found, &trouble, pipe),
        };
        if self.files.iter().any(|other| other.id == file.id) || self.done.iter().any(|done| done.id == file.id) {
            // A copy under another name.
            return;
        }
        self.unreadable.remove(&identity);
        self.follow(file, pipe);
    }

    fn follow(&mut self, mut file: Followed, pipe: &dyn Pipe) {
        if let Err(trouble) = self.places.begin(&mut file) {
            tracing::error!(path = %file.path.display(), "a journal is damaged: {trouble}; what can be read of it is read; hint: `journalctl --verify` shows what is damaged");
            file.said_damage = true;
            pipe.lost_entries(self.settings.input.number, LostReason::Unreadable, 1);
        }
        tracing::debug!(path = %file.path.display(), id = %file.id, "following a journal file");
        let at = self.files.partition_point(|other| other.folder <= file.folder);
        self.files.insert(at, file);
    }

    /// A file of which there is no header yet is tried again; others are said once, and counted.
    fn cannot_open(&mut self, found: &Found, trouble: &Trouble, pipe: &dyn Pipe) {
        let (since, said) = self.unreadable.entry((found.device, found.inode)).or_insert((Instant::now(), false));
        let is_half_made = matches!(trouble, Trouble::Short | Trouble::Damaged(_)) && since.elapsed() < HALF_MADE;
        if is_half_made && !is_final_name(&found.path) || std::mem::replace(said, true) {
            return;
        }
        let hint = match trouble {
            Trouble::Unknown(_) => "a newer drave reads it",
            Trouble::Io(_) => "run as a user of the group systemd-journal, or as root",
            Trouble::Damaged(_) | Trouble::Short => "`journalctl --verify` shows what is damaged",
        };
        tracing::error!(path = %found.path.display(), "a journal file cannot be read: {trouble}; hint: {hint}");
        pipe.lost(self.settings.input.number, LostReason::Unreadable, found.bytes);
    }

    /// The first scan is over: what was written and is gone is counted, and what is found from now on is new.
    fn end_of_start(&mut self, pipe: &dyn Pipe) {
        let missed = self.missed_entries();
        if missed > 0 {
            tracing::error!(
                input = self.settings.input.name,
                missed,
                "entries of the journal were deleted before they were read; hint: raise SystemMaxUse of journald.conf"
            );
            pipe.lost_entries(self.settings.input.number, LostReason::GoneBeforeRead, missed);
        }
        if self.unreadable.is_empty() {
            for (id, cursor) in std::mem::take(&mut self.places.by_file) {
                self.places.keep(cursor);
                self.changes
                    .push(Change::RemoveCursor { input: self.settings.input.name.clone(), file: id.to_string() });
            }
        }
        self.places.end_of_start();
        self.changes.push(Change::TakenOver { input: self.settings.input.name.clone() });
    }

    /// Lets go of files that are read and settled and will not be written to.
    fn close_done(&mut self) {
        self.sweep();
        for file in self.files.extract_if(.., |file| file.is_done()) {
            let input = self.settings.input.name.clone();
            let covered = Covered::of(&file).and_then(Covered::to_settled);
            if file.deleted {
                copies::remember(&mut self.gone, covered);
                file.settled.into_iter().for_each(|cursor| self.places.keep(cursor));
                self.changes.push(Change::RemoveCursor { input, file: file.id.to_string() });
                continue;
            }
            if let Some(cursor) = file.settled {
                self.changes.push(put(input, file.id, &cursor));
            }
            let identity = (file.device, file.inode);
            self.done.push(Done { id: file.id, path: file.path, identity, cursor: file.settled, covered });
        }
    }

    /// What other files have of which this one may have copies.
    pub(super) fn covered(&mut self, index: usize) -> Vec<Covered> {
        if self.settings.folders.len() == 1 {
            return Vec::new();
        }
        let followed = self.files.iter().filter_map(Covered::of);
        let done = self.done.iter().filter_map(|done| done.covered);
        let all = followed.chain(done).chain(self.gone.iter().copied());
        let mut all: Vec<Covered> = all.filter(|covered| covered.concerns(&self.files[index])).collect();
        // What stands in both folders without a flush, from whatever writer, is nobody's copy.
        all.retain(|of| self.files.iter_mut().any(|file| of.concerns(file) && file.copy_of(&of.origin).is_some()));
        all
    }

    fn changed_rows(&mut self) -> Vec<Change> {
        self.sweep();
        let mut changes = std::mem::take(&mut self.changes);
        for file in self.files.iter_mut().filter(|file| file.dirty) {
            file.dirty = false;
            let cursor = file.settled.as_ref();
            changes.extend(cursor.map(|cursor| put(self.settings.input.name.clone(), file.id, cursor)));
        }
        changes
    }

    fn is_settled(&self) -> bool {
        self.files.iter().all(|file| file.pending.is_empty())
    }

    /// A row that is not put for long is forgotten, but not that of a file that is there.
    fn put_all(&mut self) {
        self.files.iter_mut().for_each(|file| file.dirty = true);
        let of_done = self.done.iter().filter_map(|done| Some((done.id, done.cursor?)));
        self.changes.extend(of_done.map(|(id, cursor)| put(self.settings.input.name.clone(), id, &cursor)));
    }
}

fn put(input: String, file: Id, cursor: &Cursor) -> Change {
    Change::PutCursor { input, file: file.to_string(), cursor: cursor.to_string() }
}

pub(super) fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64)
}
