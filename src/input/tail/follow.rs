//! The thread that follows all files: a clock that looks for growth, a queue of chains with something to read, and once a
//! second positions and gauges. How a block is read is in `read.rs`.

use super::chain::Chain;
use super::end::LeftOut;
use super::file::Look;
use super::positions::{self, Known};
use super::rotation::Names;
use super::settings::Settings;
use crate::input::committer::Committer;
use crate::input::watch::Watcher;
use crate::input::{Context, Gauges, LostReason};
use crate::parse::{Multiline, OpenBytes};
use crate::record::time::Rfc3339;
use crate::record::{Batch, Source, SourceDraft};
use crate::state::Change;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bounds of the clock that looks for growth.
pub(super) const POLL_MIN: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_millis(150);
/// It is at its slowest where nothing was written to any file for a while.
const QUIET_AFTER: Duration = Duration::from_secs(10);
/// The clock slows down until looking, and reading the little that came since, costs no more than a hundredth of a core: a look
/// that finds ten lines in a file costs little more than one that finds five.
const POLL_COST_SHARE: u32 = 100;
/// Positions, gauges, and scans where events are missing.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// When files are tried again that could not be opened for now.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How long a blocked reader sleeps when nothing wakes it.
const BLOCKED_WAIT: Duration = Duration::from_millis(50);

pub(super) struct Follower {
    pub(super) inputs: Vec<Settings>,
    pub(super) context: Context,
    pub(super) known: Vec<Known>,
    pub(super) chains: BTreeMap<u64, Chain>,
    /// Section, device and inode → chain.
    pub(super) by_identity: HashMap<(usize, u64, u64), u64>,
    /// Section and path, as found and behind the links → chain.
    pub(super) by_path: HashMap<(usize, PathBuf), u64>,
    pub(super) watcher: Watcher,
    pub(super) queue: VecDeque<u64>,
    /// The last round ended before each chain had its turn.
    pub(super) behind: bool,
    /// In the last round of those that were behind, rotated files came first.
    pub(super) rotated_were_first: bool,
    pub(super) batch: Batch,
    pub(super) clock: Rfc3339,
    /// Rows to be written at the next second, beside those of changed chains.
    pub(super) changes: Vec<(usize, Change)>,
    pub(super) next_id: u64,
    /// The first scan is over: what appears now is new.
    pub(super) started: bool,
    pub(super) start_time: SystemTime,
    /// The names in each folder, while all are scanned.
    pub(super) listings: Option<HashMap<PathBuf, Arc<Names>>>,
    /// How many chains have their files in a folder.
    pub(super) chains_in: HashMap<PathBuf, usize>,
    /// Files of which filters want nothing, and how much of each is counted.
    pub(super) left_out: HashMap<(usize, PathBuf), LeftOut>,
    /// Multiline parsers that pods asked for, by name.
    pub(super) multilines: HashMap<String, Arc<Multiline>>,
    /// Room is being made on a disk until then.
    pub(super) freeing_until: Option<Instant>,
    /// Bytes read and not known to be settled, per section; kept where `mem_buf_limit` bounds them.
    pub(super) unsettled: Vec<u64>,
    /// A file could not be opened for now: another try comes before the next scan is due.
    pub(super) try_again: bool,
    /// Sections of which it was looked in this round what has been settled.
    pub(super) swept: Vec<bool>,
    /// Bytes of memory in records whose end has not come.
    pub(super) open_bytes: OpenBytes,
    /// When something was read last.
    pub(super) grew: Instant,
    /// Reading ends: only what is written already is still read.
    pub(super) ending: bool,
    /// The files will not grow any more: what waits for its end is over.
    pub(super) for_good: bool,
    /// Failed reads in a row, by the `seq` of the file.
    pub(super) read_errors: HashMap<u64, u32>,
}

impl Follower {
    pub(super) fn new(inputs: Vec<Settings>, context: Context) -> Self {
        let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
        let known = inputs.iter().map(|i| Known::load(&context.state, i, &names)).collect();
        let (unsettled, swept) = (vec![0; inputs.len()], vec![false; inputs.len()]);
        let events = inputs.iter().any(|i| i.options.inotify_watcher);
        let watcher = Watcher::new(events, Arc::clone(&context.stop.wake));
        if let Some(sync) = inputs.iter().find_map(|input| input.sync) {
            context.state.synchronous(sync);
        }
        Self {
            inputs,
            known,
            chains: BTreeMap::new(),
            by_identity: HashMap::new(),
            by_path: HashMap::new(),
            watcher,
            queue: VecDeque::new(),
            behind: false,
            rotated_were_first: false,
            batch: Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new()))),
            clock: Rfc3339::default(),
            changes: Vec::new(),
            next_id: 0,
            started: false,
            start_time: SystemTime::now(),
            listings: None,
            chains_in: HashMap::new(),
            left_out: HashMap::new(),
            multilines: HashMap::new(),
            freeing_until: None,
            unsettled,
            try_again: false,
            swept,
            open_bytes: OpenBytes::default(),
            grew: Instant::now(),
            ending: false,
            for_good: false,
            read_errors: HashMap::new(),
            context,
        }
    }

    /// Runs until the end is asked for, or everything is read where that is the end.
    pub(super) fn run(mut self) {
        let committer = Committer::start(Arc::clone(&self.context.state));
        self.scan();
        self.look_for_left_rows();
        self.end_takeover();
        self.started = true;
        tracing::info!(files = self.chains.len(), "following");
        // Before anything is read: who is killed now has been here, and what is rotated meanwhile is not older than drave.
        committer.commit(self.changed_rows());
        let start = Instant::now();
        let (mut next_poll, mut next_second, mut next_scan) = (start, start + POLL_MAX, start + self.scan_interval());
        let mut between = POLL_MAX;
        let mut last_poll = start;
        let mut busy = Duration::ZERO;
        while !self.is_told_to_end(Instant::now()) {
            self.context.pipe.beat();
            self.handle_events();
            let now = Instant::now();
            if now >= next_scan {
                self.scan();
                next_scan = now + self.scan_interval();
            }
            let polled = now >= next_poll;
            if polled {
                self.poll(now);
                self.flush_idle(now);
                busy = now.elapsed();
                last_poll = now;
                let is_quiet = now.saturating_duration_since(self.grew) >= QUIET_AFTER;
                next_poll = now + if is_quiet { POLL_MAX } else { between_polls(busy) };
            }
            if now >= next_second {
                self.each_second(&committer);
                next_second = now + between;
                // Sooner at first: who is killed again and again shall come forward all the same.
                between = (between * 2).min(SECOND);
            }
            if polled && self.is_at_the_end(now) {
                self.finish_for_good(committer);
                return;
            }
            let begin = Instant::now();
            let worked = self.read_round();
            if worked {
                self.grew = Instant::now();
                busy += begin.elapsed();
                next_poll = last_poll + between_polls(busy);
            } else {
                let until = next_poll.min(next_second);
                let wait = until.saturating_duration_since(Instant::now());
                let wait = if self.queue.is_empty() { wait } else { wait.min(BLOCKED_WAIT) };
                self.context.stop.wake.wait(wait);
            }
        }
        if self.is_quiet(Instant::now()) {
            self.finish_for_good(committer);
        } else {
            self.finish(committer);
        }
    }

    fn scan_interval(&self) -> Duration {
        if self.watcher.is_blind() {
            return SECOND;
        }
        if self.try_again {
            return TRY_AGAIN;
        }
        let intervals = self.inputs.iter().map(|i| i.options.refresh_interval.0);
        intervals.min().unwrap_or(SECOND).max(SECOND)
    }

    /// Looks at every open file: did it grow, shrink, lose its name, come to its end?
    pub(super) fn poll(&mut self, now: Instant) {
        let mut over = Vec::new();
        for (id, chain) in &mut self.chains {
            let number = self.inputs[chain.input].number;
            // The newest first: when it has bytes, what its predecessors have is all that they will get.
            for file in chain.files.iter_mut().rev() {
                match file.look(now) {
                    Ok(Look::Same) => {}
                    Ok(Look::Rewritten { unread, mut before }) => {
                        let unread = unread + before.take_put_off().iter().map(|(start, end)| end - start).sum::<u64>();
                        self.next_id += 1;
                        chain.overwritten.push((std::mem::replace(&mut file.seq, self.next_id), before));
                        tracing::info!(path = %file.path.display(), unread, "truncated or written anew: read from its beginning");
                        self.context.pipe.lost(number, LostReason::Truncated, unread);
                    }
                    Err(error) => {
                        tracing::error!(path = %file.path.display(), "cannot look at a file: {error}");
                    }
                }
            }
            if !chain.queued && chain.has_work() {
                chain.queued = true;
                self.queue.push_back(*id);
            }
            let wait = self.inputs[chain.input].options.rotate_wait.0;
            if (0..chain.files.len()).any(|i| chain.is_over(i, wait, now) || chain.files[i].is_closed()) {
                over.push(*id);
            }
        }
        for id in over {
            self.end_files(id, now);
        }
    }

    pub(super) fn each_second(&mut self, committer: &Committer) {
        self.keep_held_limits(Instant::now());
        if !committer.is_busy() {
            let changes = self.changed_rows();
            committer.commit(changes);
        }
        self.flush_quiet();
        self.forget_left_out();
        self.report_gauges();
    }

    pub(super) fn changed_rows(&mut self) -> Vec<Change> {
        // First what goes: a new file may have the name and the inode of one that went.
        let mut changes: Vec<Change> = self.changes.drain(..).map(|(_, change)| change).collect();
        for chain in self.chains.values_mut() {
            positions::changes(chain, &self.inputs[chain.input].name, &mut changes);
        }
        changes
    }

    fn report_gauges(&self) {
        let now_ns = now_ns();
        let mut by_input: Vec<BTreeMap<&str, Gauges>> = self.inputs.iter().map(|_| BTreeMap::new()).collect();
        for chain in self.chains.values() {
            let namespace = chain.source.draft.namespace.as_deref().unwrap_or("");
            let gauges = by_input[chain.input].entry(namespace).or_default();
            for file in chain.files.iter().filter(|f| !f.is_closed()) {
                gauges.files_open += 1;
                gauges.bytes_behind += file.behind();
                if file.is_deleted() {
                    gauges.deleted_held_bytes += file.size;
                }
                if let Some(since) = file.unread_since.filter(|_| file.has_unread()) {
                    let seen = since.elapsed().as_secs_f64();
                    // After a long pause the last line that was read is older than the moment in which we saw more.
                    let by_record = (now_ns - chain.last_time_ns).max(0) as f64 / 1e9;
                    let age = if chain.last_time_ns > 0 { by_record.max(seen) } else { seen };
                    gauges.oldest_unread_seconds = gauges.oldest_unread_seconds.max(age);
                }
            }
        }
        for (settings, gauges) in self.inputs.iter().zip(by_input) {
            let gauges = gauges.into_iter().map(|(namespace, g)| (namespace.to_owned(), g)).collect();
            self.context.pipe.gauges(settings.number, gauges);
        }
        self.context.pipe.unwatched(self.watcher.unwatched());
    }
}

/// How long to wait from one look at all files to the next, when looking and reading took so long.
fn between_polls(busy: Duration) -> Duration {
    (busy * POLL_COST_SHARE).clamp(POLL_MIN, POLL_MAX)
}

pub(super) fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64)
}

#[cfg(test)]
pub(super) mod tests;
