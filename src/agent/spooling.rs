//! An output's way to its spool and back: what is not delivered in time is appended, and settled once it is synced; what is there is read
//! again, oldest first, when there is room to send it.
//!
//! ```text
//! undelivered for 5 s, or the memory share is full ─▶ append ─▶ sync ─▶ tickets settled, memory free
//!                                                                │
//!            frame settled ◀─ delivered, refused, given up ◀─ read ─┘
//! ```

use super::ledger::{Amount, Ledger, Left};
use super::memory::Memory;
use super::pipeline::{Lane, lock};
use super::request::{Finished, Home, Origin, Part, Retry};
use crate::config::OnFull;
use crate::output::{Piece, Pieces};
use crate::record::{DropReason, Ticket};
use crate::spool::{self, Draft, Spool, SpoolError};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// After an error of the disk, or while it is full, nothing is appended for so long; doubled each time.
const BLOCKED_WAIT: Duration = Duration::from_secs(1);
/// And no longer than this.
const BLOCKED_WAIT_MAX: Duration = Duration::from_secs(30);
/// Above the floor of the disk where appending ends: what is appended must not be what has to be given up.
const ABOVE_THE_FLOOR: u64 = 32 << 20;
/// How often the cursor is stored.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How often the same trouble is said.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// What a spool needs to know.
#[derive(Debug, Clone)]
pub(super) struct SpoolSettings {
    pub(super) folder: PathBuf,
    pub(super) options: spool::SpoolOptions,
    pub(super) on_full: OnFull,
    /// Of the file system, the percentage that stays free.
    pub(super) min_free_percent: u64,
}

/// What a spool holds, for metrics.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SpoolStatus {
    pub(super) bytes: u64,
    pub(super) pending: Amount,
    pub(super) oldest: Option<SystemTime>,
    pub(super) damaged_bytes: u64,
}

/// What others may ask of a spool while its owner works with it.
#[derive(Debug, Default)]
pub(super) struct SpoolShared {
    pub(super) status: Mutex<SpoolStatus>,
    /// Nothing can be appended: it is full, or the disk is.
    blocked: AtomicBool,
}

impl SpoolShared {
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }
}

/// One output's spool, as its delivery uses it.
pub(super) struct Spooling {
    spool: Arc<Mutex<Spool>>,
    settings: SpoolSettings,
    lane: Arc<Lane>,
    ledger: Arc<Ledger>,
    memory: Arc<Memory>,
    input_names: Arc<[String]>,
    pub(super) shared: Arc<SpoolShared>,
    /// Appended and not yet synced: a disk may take it back.
    unsynced: Vec<Finished>,
    /// Given out and on their way.
    draining: Vec<(u64, Ticket)>,
    /// All that is durable was given out.
    exhausted: bool,
    blocked: Option<Blocked>,
    /// Of the blocked times that follow each other.
    blocked_wait: Duration,
    /// There is something that the cursor does not say yet.
    unsaved: bool,
    saved: Instant,
    said: Option<Instant>,
    /// Of what could not be read, what is counted.
    damage: Amount,
}

/// Why nothing is appended.
#[derive(Debug, Clone, Copy)]
enum Blocked {
    /// The disk: tried again then.
    Until(Instant),
    /// The spool is full as long as it has not less than these bytes.
    Full(u64),
}

/// What came of tending.
#[derive(Default)]
pub(super) struct Tended {
    /// What the disk took back, to be sent or appended again.
    pub(super) taken_back: Vec<Finished>,
    /// Memory is free again.
    pub(super) freed: bool,
}

/// What came of appending.
#[derive(Default)]
struct Appended {
    kept: Vec<Finished>,
    /// In order; to be tried again.
    left: Vec<Finished>,
    dropped: Amount,
    error: Option<SpoolError>,
}

impl Spooling {
    /// Opens the spool; what it holds is pending from now on.
    pub(super) fn open(
        settings: SpoolSettings,
        lane: &Arc<Lane>,
        (ledger, memory): (&Arc<Ledger>, &Arc<Memory>),
        input_names: Arc<[String]>,
        shared: Arc<SpoolShared>,
    ) -> Result<Self, SpoolError> {
        let spool = Spool::open(&settings.folder, settings.options)?;
        for path in spool.newer() {
            tracing::error!(output = lane.name, path = %path.display(), "a later version of drave wrote this segment of the spool: it is left alone");
        }
        let backlog = amount(spool.pending().all);
        if backlog.records > 0 {
            tracing::info!(output = lane.name, records = backlog.records, "the spool holds records of an earlier run");
        }
        ledger.found(lane.number, backlog);
        let mut spooling = Self {
            spool: Arc::new(Mutex::new(spool)),
            settings,
            lane: Arc::clone(lane),
            ledger: Arc::clone(ledger),
            memory: Arc::clone(memory),
            input_names,
            shared,
            unsynced: Vec::new(),
            draining: Vec::new(),
            exhausted: false,
            blocked: None,
            blocked_wait: BLOCKED_WAIT,
            unsaved: backlog.records > 0,
            saved: Instant::now(),
            said: None,
            damage: Amount::default(),
        };
        spooling.note_status();
        Ok(spooling)
    }

    /// Is there something to read that was not given out? Not known for sure before it was tried.
    pub(super) fn may_have_more(&self) -> bool {
        !self.exhausted
    }

    /// Frames under way.
    pub(super) fn under_way(&self) -> usize {
        self.draining.len()
    }

    /// Is anything in it, given out or not?
    pub(super) fn has_backlog(&self) -> bool {
        !self.draining.is_empty() || !self.unsynced.is_empty() || lock(&self.spool).pending().all.records > 0
    }

    /// Appends requests, in order. Comes back: what could not be.
    pub(super) async fn keep(&mut self, requests: Vec<Finished>) -> Vec<Finished> {
        if requests.is_empty() || self.is_blocked(Instant::now()) {
            return requests;
        }
        if let Some(message) = self.disk_is_short(ABOVE_THE_FLOOR) {
            self.block(&message);
            return requests;
        }
        let (names, memory) = (Arc::clone(&self.input_names), Arc::clone(&self.memory));
        let on_full = self.settings.on_full;
        self.unsaved = true;
        let appended = self.with_spool(move |spool| append_all(spool, requests, &names, &memory, on_full)).await;
        let Some(Appended { mut kept, mut left, dropped, error }) = appended else { return Vec::new() };
        if dropped.records > 0 {
            self.ledger.leave_at_most(self.lane.number, dropped, Left::Dropped(DropReason::SpoolFull));
            self.say(&format!(
                "{} records given up: the spool is full and `storage.on_full` is drop_oldest",
                dropped.records
            ));
        }
        self.unsynced.append(&mut kept);
        if let Some(error) = error {
            if matches!(error, SpoolError::TakenBack { .. }) {
                let mut again = std::mem::take(&mut self.unsynced);
                again.append(&mut left);
                left = again;
            }
            self.failed(&error);
        } else {
            self.blocked_wait = BLOCKED_WAIT;
        }
        left
    }

    /// What is due: syncing, the cursor, the floor of the disk, counting damage.
    pub(super) async fn tend(&mut self, at_once: bool) -> Tended {
        let now = Instant::now();
        self.is_blocked(now);
        let mut tended = Tended::default();
        if !self.unsynced.is_empty() && (at_once || self.needs_sync(now)) {
            tended = self.sync().await;
        }
        self.settle_drained();
        if now.duration_since(self.saved) >= SAVE_EVERY {
            self.saved = now;
            self.keep_the_floor().await;
            self.save().await;
        }
        tended
    }

    /// The last call: what was appended is safe, and the cursor says what was settled.
    pub(super) async fn close(mut self) {
        self.sync().await;
        self.settle_drained();
        self.save().await;
    }

    /// A log that is synced without being asked, because it began a new segment, has nothing that it would want to be asked for.
    fn needs_sync(&self, now: Instant) -> bool {
        let spool = lock(&self.spool);
        spool.needs_sync(now) || spool.is_synced()
    }

    async fn save(&mut self) {
        if self.unsaved {
            match self.with_spool(Spool::save_cursor).await {
                Some(Err(error)) => self.say(&error.to_string()),
                // What is under way moves the front later.
                _ => self.unsaved = self.has_backlog(),
            }
        }
        self.note_status();
    }

    /// Gives up the oldest segment while the disk has less room than it should.
    async fn keep_the_floor(&mut self) {
        if !self.has_backlog() {
            return;
        }
        let Some(message) = self.disk_is_short(0) else { return };
        let Some(Some(lost)) = self.with_spool(Spool::drop_oldest).await else { return };
        let lost = amount(lost.all);
        self.ledger.leave_at_most(self.lane.number, lost, Left::Dropped(DropReason::DiskFull));
        tracing::error!(
            output = self.lane.name,
            records = lost.records,
            bytes = lost.bytes,
            "spool: the oldest records are given up: {message}"
        );
    }

    async fn sync(&mut self) -> Tended {
        match self.with_spool(Spool::sync).await {
            Some(Ok(())) => {
                for mut request in self.unsynced.drain(..) {
                    request.settle();
                    let Finished { pieces, held, .. } = request;
                    drop(held);
                    self.lane.recycle(pieces, &self.memory);
                }
                self.exhausted = false;
                return Tended { taken_back: Vec::new(), freed: true };
            }
            Some(Err(error)) => {
                self.failed(&error);
                if matches!(error, SpoolError::TakenBack { .. }) {
                    return Tended { taken_back: std::mem::take(&mut self.unsynced), freed: false };
                }
            }
            None => {}
        }
        Tended::default()
    }

    /// The oldest frame that was not given out, as a request.
    pub(super) async fn next(&mut self) -> Option<Finished> {
        let taken = match self.with_spool(Spool::read).await? {
            Ok(Some(taken)) => taken,
            Ok(None) => {
                self.exhausted = true;
                return None;
            }
            Err(error) => {
                self.say(&error.to_string());
                // Tried again with the next look at the spool.
                self.exhausted = true;
                return None;
            }
        };
        let ticket = Ticket::default();
        let frame = taken.frame;
        ticket.add(frame.pieces.len() as u32);
        self.draining.push((taken.sequence, ticket.clone()));
        let list = frame.pieces.iter().map(|p| Piece { end: p.end, source_bytes: p.source_bytes }).collect();
        let pieces = Pieces::new(frame.bytes, list);
        let parts = parts_of(&frame.parts, pieces.list.len() as u32, &ticket);
        let held = self.memory.hold(self.lane.number, pieces.held_bytes());
        let now = Instant::now();
        let (home, retry) = (Home::Spool, Retry::default());
        let pieces = Arc::new(pieces);
        Some(Finished { key: frame.key.into(), pieces, parts, since: now, closed: now, home, retry, held })
    }

    /// A frame whose pieces are all settled may go.
    fn settle_drained(&mut self) {
        let mut spool = lock(&self.spool);
        self.draining.retain(|(sequence, ticket)| {
            if ticket.is_settled() {
                spool.settle(*sequence);
            }
            !ticket.is_settled()
        });
    }

    fn note_status(&mut self) {
        let spool = lock(&self.spool);
        let lost = amount(spool.damage().lost.all);
        let status = SpoolStatus {
            bytes: spool.bytes(),
            pending: amount(spool.pending().all),
            oldest: spool.oldest(),
            damaged_bytes: spool.damage().bytes,
        };
        drop(spool);
        let new = Amount { records: lost.records - self.damage.records, bytes: lost.bytes - self.damage.bytes };
        if new != Amount::default() {
            self.damage = lost;
            self.ledger.leave_at_most(self.lane.number, new, Left::Dropped(DropReason::SpoolDamaged));
            self.say(&format!("{} records of the spool cannot be read: their file is damaged", new.records));
        }
        *lock(&self.shared.status) = status;
        // Another look: a read may have failed.
        self.exhausted &= status.pending.records == 0;
    }

    /// Why nothing more may be written, if the disk has less than its floor and so much above it.
    fn disk_is_short(&self, above: u64) -> Option<String> {
        let percent = self.settings.min_free_percent;
        let space = spool::space(&self.settings.folder).ok().filter(|_| percent > 0)?;
        // Of a small disk less is much.
        let above = above.min(space.total / 100);
        let short = space.free < space.total / 100 * percent + above;
        short.then(|| {
            format!(
                "less than {} % of the disk under {} is free; hint: make room, or change `storage.min_free`",
                self.settings.min_free_percent,
                self.settings.folder.display()
            )
        })
    }

    fn is_blocked(&mut self, now: Instant) -> bool {
        let blocked = match self.blocked {
            None => false,
            Some(Blocked::Until(until)) => now < until,
            Some(Blocked::Full(bytes)) => lock(&self.spool).bytes() >= bytes,
        };
        if !blocked {
            self.blocked = None;
        }
        self.shared.blocked.store(blocked, Ordering::Relaxed);
        blocked
    }

    fn failed(&mut self, error: &SpoolError) {
        self.block(&error.to_string());
        if matches!(error, SpoolError::Full { .. }) {
            self.blocked = Some(Blocked::Full(lock(&self.spool).bytes()));
        }
    }

    fn block(&mut self, message: &str) {
        self.blocked = Some(Blocked::Until(Instant::now() + self.blocked_wait));
        self.blocked_wait = (self.blocked_wait * 2).min(BLOCKED_WAIT_MAX);
        self.shared.blocked.store(true, Ordering::Relaxed);
        self.say(message);
    }

    fn say(&mut self, message: &str) {
        let now = Instant::now();
        if self.said.is_none_or(|said| now.duration_since(said) >= SAY_EVERY) {
            self.said = Some(now);
            tracing::error!(output = self.lane.name, "spool: {message}");
        }
    }

    /// Works with the spool on a thread that may wait for the disk; `None` when that thread panicked.
    async fn with_spool<T: Send + 'static>(&self, work: impl FnOnce(&mut Spool) -> T + Send + 'static) -> Option<T> {
        let spool = Arc::clone(&self.spool);
        if cfg!(test) {
            // Faults are injected into the calls of one thread.
            return Some(work(&mut lock(&spool)));
        }
        tokio::task::spawn_blocking(move || work(&mut lock(&spool))).await.ok()
    }
}

fn amount(of: spool::Amount) -> Amount {
    Amount { records: of.records, bytes: of.bytes }
}

/// The parts of a frame as those of a request; one more for pieces behind the last.
fn parts_of(parts: &[spool::Part], pieces: u32, ticket: &Ticket) -> Vec<Part> {
    let part = |input: &Arc<str>, source: &Arc<str>, pieces| Part {
        ticket: ticket.clone(),
        pieces,
        origin: Origin::Spooled { input: Arc::clone(input), source: Arc::clone(source) },
    };
    let mut all: Vec<Part> = parts.iter().map(|p| part(&p.input, &p.source, p.pieces)).collect();
    let known: u32 = all.iter().map(|p| p.pieces).sum();
    if known < pieces {
        all.push(part(&"".into(), &"".into(), pieces - known));
    }
    all
}

fn append_all(
    spool: &mut Spool,
    requests: Vec<Finished>,
    names: &[String],
    memory: &Arc<Memory>,
    on_full: OnFull,
) -> Appended {
    let mut todo = VecDeque::from(requests);
    let mut done = Appended::default();
    while let Some(mut request) = todo.pop_front() {
        match append(spool, &request, names) {
            Ok(_) => done.kept.push(request),
            Err(SpoolError::TooLarge) if request.pieces.list.len() > 1 => {
                request.halves(memory).into_iter().rev().for_each(|half| todo.push_front(half));
            }
            Err(SpoolError::TooLarge | SpoolError::Unsound) => {
                request.home = Home::MemoryOnly;
                done.left.push(request);
            }
            Err(error @ SpoolError::Full { .. }) if on_full == OnFull::DropOldest => match spool.drop_oldest() {
                Some(lost) => {
                    done.dropped.records += lost.all.records;
                    done.dropped.bytes += lost.all.bytes;
                    todo.push_front(request);
                }
                None => {
                    done.left.push(request);
                    done.left.extend(todo.drain(..));
                    done.error = Some(error);
                }
            },
            Err(error) => {
                if matches!(error, SpoolError::TakenBack { .. }) {
                    done.left.append(&mut done.kept);
                }
                done.left.push(request);
                done.left.extend(todo.drain(..));
                done.error = Some(error);
            }
        }
    }
    done
}

fn append(spool: &mut Spool, request: &Finished, names: &[String]) -> Result<u64, SpoolError> {
    let parts: Vec<spool::Part> = request.parts.iter().map(|part| spool_part(part, names)).collect();
    let piece = |p: &Piece| spool::Piece { end: p.end, source_bytes: p.source_bytes };
    let whole = request.pieces.written_out();
    let Pieces { list, bytes, .. } = whole.as_ref().unwrap_or(&request.pieces);
    let pieces: Vec<spool::Piece> = list.iter().map(piece).collect();
    spool.append(&Draft { key: &request.key, parts: &parts, pieces: &pieces, bytes })
}

fn spool_part(part: &Part, names: &[String]) -> spool::Part {
    let (input, source) = match &part.origin {
        Origin::Source(source) => {
            let input = names.get(source.draft.input).map_or("", String::as_str);
            (input.into(), source.draft.path.as_deref().unwrap_or(&source.draft.tag).into())
        }
        Origin::Spooled { input, source } => (Arc::clone(input), Arc::clone(source)),
    };
    spool::Part { input, source, pieces: part.pieces }
}

#[cfg(test)]
mod tests;
