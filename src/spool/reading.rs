//! The reading end of a spool: gives out frames in order, takes them back settled in any order.
//!
//! ```text
//!        front             read             durable
//!  ────────┼──────────────────┼────────────────┼────▶
//!  settled │ given out:       │ not read yet   │
//!          │ ✔ · ✔ ✔ ·        │                │
//! ```
//! The front passes given-out frames as long as the first of them is settled. Each place knows what stands before it; where a
//! segment begins, its header says it too, and what is missing between the two is what damage cost.

use std::collections::VecDeque;
use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::cursor::Place;
use super::frame::{Frame, HEAD_BYTES, Head};
use super::log::Log;
use super::scan::{Scan, Step};
use super::segment::{self, Kind};
use super::totals::Totals;
use super::{Damage, SpoolError, disk};

/// How often reading the same place is tried, before the rest of its segment is given up.
const ATTEMPTS: u32 = 3;

/// A frame that was given out.
#[derive(Debug)]
pub struct Taken {
    /// For [`Spool::settle`](super::Spool::settle).
    pub sequence: u64,
    /// When it was appended.
    pub since: SystemTime,
    /// What it holds.
    pub frame: Frame,
}

/// A step of the reading that the front has yet to follow: a frame, or a leap over what is lost or dropped.
#[derive(Debug)]
struct Given {
    sequence: u64,
    settled: bool,
    time_ms: u64,
    /// What it takes from pending when it is settled.
    holds: Totals,
    after: Place,
}

/// The segment that is read.
#[derive(Debug)]
struct Open {
    first: u64,
    made_ms: Option<u64>,
    file: File,
    scan: Scan,
}

/// Where the reading is, and what it has given out.
#[derive(Debug)]
pub(super) struct Reading {
    front: Place,
    read: Place,
    given: VecDeque<Given>,
    open: Option<Open>,
    failures: u32,
}

impl Reading {
    /// Goes on at the stored place, or else at the beginning. Segments before it were settled and are deleted.
    pub(super) fn new(log: &mut Log, stored: Option<Place>) -> Reading {
        let place = stored.unwrap_or_default();
        while log.segments().next().is_some_and(|oldest| oldest.first < place.segment) {
            log.remove_oldest();
        }
        let mut reading =
            Reading { front: place.clone(), read: place, given: VecDeque::new(), open: None, failures: 0 };
        match log.segments().next() {
            None => reading.start_over(log),
            Some(oldest) if oldest.first > reading.read.segment => reading.begin_at(log, oldest.first),
            Some(_) => {}
        }
        reading
    }

    pub(super) fn front(&self) -> &Place {
        &self.front
    }

    pub(super) fn next(&mut self, log: &mut Log, damage: &mut Damage) -> Result<Option<Taken>, SpoolError> {
        loop {
            match self.step(log, damage) {
                Ok(Some(Step::Frame(head))) => {
                    if let Some(taken) = self.take(&head, damage) {
                        return Ok(Some(taken));
                    }
                }
                Ok(Some(Step::Skipped(bytes, _))) => self.skip(bytes, damage),
                Ok(Some(Step::End)) => {}
                Ok(None) => return Ok(None),
                Err(error) => self.failed(log, error, damage)?,
            }
        }
    }

    pub(super) fn settle(&mut self, log: &mut Log, sequence: u64) -> bool {
        let at = self.given.partition_point(|given| given.sequence < sequence);
        let Some(given) = self.given.get_mut(at).filter(|given| given.sequence == sequence && !given.settled) else {
            return false;
        };
        given.settled = true;
        self.advance(log);
        true
    }

    /// Deletes everything, if everything is settled.
    pub(super) fn tidy(&mut self, log: &mut Log, damage: &mut Damage) {
        let all_given = log.unsynced_since().is_none() && log.after(self.read.segment).is_none();
        let all_read = self.read.offset >= log.readable(self.read.segment);
        if self.given.is_empty() && all_given && all_read {
            self.account(log, damage);
            while log.segments().next().is_some() {
                log.remove_oldest();
            }
            self.start_over(log);
        }
    }

    pub(super) fn drop_oldest(&mut self, log: &mut Log) -> Option<Totals> {
        let oldest = log.segments().next()?;
        let reads_it = self.read.segment <= oldest.first;
        let next = log.segments().nth(1);
        if reads_it {
            self.open = None;
            self.failures = 0;
        }
        log.remove_oldest();
        if !reads_it {
            return Some(Totals::default());
        }
        let behind = match next {
            Some(next) => start_of(log, next.first, self.read.before.clone()),
            None => Place { segment: log.next, offset: 0, before: log.end.clone() },
        };
        let dropped = behind.before.since(&self.read.before);
        self.leap(log, behind, dropped.clone());
        Some(dropped)
    }

    pub(super) fn pending(&self, log: &Log) -> Totals {
        let settled = self.given.iter().filter(|given| given.settled);
        let mut before = self.front.before.clone();
        settled.for_each(|given| before.add(&given.holds));
        log.end.since(&before)
    }

    pub(super) fn oldest(&self, log: &Log) -> Option<SystemTime> {
        if self.pending(log).is_empty() {
            return None;
        }
        let given = self.given.iter().find(|given| !given.settled).map(|given| given.time_ms);
        let ms = given
            .or_else(|| self.open.as_ref()?.made_ms)
            .or_else(|| log.header(log.segments().next()?.first).map(|header| header.made_ms))?;
        UNIX_EPOCH.checked_add(Duration::from_millis(ms))
    }

    /// One step of the scan, in the segment where there is something to read. `None` if there is none.
    fn step(&mut self, log: &mut Log, damage: &mut Damage) -> Result<Option<Step>, SpoolError> {
        if !self.enter(log, damage)? {
            return Ok(None);
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        let step =
            open.scan.step(&open.file).map_err(|e| SpoolError::from_io(&segment::path(&log.folder, open.first), &e))?;
        self.failures = 0;
        Ok(Some(step))
    }

    /// Sees to it that a segment is open in which there is something to read.
    fn enter(&mut self, log: &mut Log, damage: &mut Damage) -> Result<bool, SpoolError> {
        loop {
            if let Some(open) = &mut self.open {
                open.scan.end = log.readable(open.first);
                if open.scan.offset < open.scan.end {
                    return Ok(true);
                }
            }
            let here = self.read.segment;
            if self.open.is_none() && self.read.offset < log.readable(here) {
                self.open(log, here, damage)?;
            } else if let Some(next) = log.after(here) {
                self.open(log, next, damage)?;
            } else {
                self.account(log, damage);
                return Ok(false);
            }
        }
    }

    fn open(&mut self, log: &mut Log, first: u64, damage: &mut Damage) -> Result<(), SpoolError> {
        let path = segment::path(&log.folder, first);
        let opened = disk::open(&path).and_then(|file| Kind::of(&file).map(|kind| (file, kind)));
        let (file, kind) = opened.map_err(|e| SpoolError::from_io(&path, &e))?;
        let entering = first != self.read.segment;
        let offset = if entering { 0 } else { self.read.offset };
        let (offset, salt, made_ms, before) = match kind {
            Kind::Ours(header) => {
                (offset.max(header.len), Some(header.salt), Some(header.made_ms), entering.then_some(header.before))
            }
            Kind::Damaged => (offset, None, None, None),
            Kind::Newer(_) => {
                log.leave(first);
                return Ok(());
            }
        };
        let before = before.unwrap_or_else(|| self.read.before.clone());
        self.go_to(log, Place { segment: first, offset, before }, damage);
        self.open = Some(Open { first, made_ms, file, scan: Scan::new(offset, log.readable(first), salt) });
        Ok(())
    }

    /// At the end of all: what should have been before it and was not read, is lost.
    fn account(&mut self, log: &mut Log, damage: &mut Damage) {
        if log.unsynced_since().is_none() && self.read.before != log.end {
            let place = Place { before: log.end.clone(), ..self.read.clone() };
            self.go_to(log, place, damage);
        }
    }

    /// Moves the reading between frames; what the totals say was there and was not read is lost.
    fn go_to(&mut self, log: &mut Log, place: Place, damage: &mut Damage) {
        let lost = place.before.since(&self.read.before);
        damage.lost.add(&lost);
        self.leap(log, place, lost);
    }

    fn leap(&mut self, log: &mut Log, place: Place, holds: Totals) {
        self.read = place.clone();
        let sequence = self.given.back().map_or(0, |given| given.sequence);
        self.given.push_back(Given { sequence, settled: true, time_ms: 0, holds, after: place });
        self.advance(log);
    }

    fn take(&mut self, head: &Head, damage: &mut Damage) -> Option<Taken> {
        let open = self.open.as_ref()?;
        self.read.offset = open.scan.offset;
        let Some(frame) = open.scan.frame(head) else {
            damage.bytes += (HEAD_BYTES + head.body_len()) as u64;
            return None;
        };
        let holds = frame.totals();
        self.read.before.add(&holds);
        let after = self.read.clone();
        self.given.push_back(Given { sequence: head.sequence, settled: false, time_ms: head.time_ms, holds, after });
        let since = UNIX_EPOCH.checked_add(Duration::from_millis(head.time_ms)).unwrap_or(UNIX_EPOCH);
        Some(Taken { sequence: head.sequence, since, frame })
    }

    fn skip(&mut self, bytes: u64, damage: &mut Damage) {
        damage.bytes += bytes;
        if let Some(open) = &self.open {
            self.read.offset = open.scan.offset;
        }
    }

    /// A call failed. Once too often at the same place, and the rest of the segment is given up.
    fn failed(&mut self, log: &mut Log, error: SpoolError, damage: &mut Damage) -> Result<(), SpoolError> {
        self.failures += 1;
        if self.failures < ATTEMPTS {
            return Err(error);
        }
        self.failures = 0;
        let here = self.read.segment;
        let stuck =
            if self.open.is_some() || self.read.offset < log.readable(here) { Some(here) } else { log.after(here) };
        let Some(stuck) = stuck else { return Err(error) };
        let end = log.readable(stuck);
        let from = if stuck == here { self.read.offset } else { 0 };
        tracing::error!("the rest of a segment of the spool is given up after {ATTEMPTS} attempts: {error}");
        damage.bytes += end.saturating_sub(from);
        self.open = None;
        self.leap(log, Place { segment: stuck, offset: end, before: self.read.before.clone() }, Totals::default());
        Ok(())
    }

    /// Moves the front over what is settled, and deletes the segments that it has passed.
    fn advance(&mut self, log: &mut Log) {
        while self.given.front().is_some_and(|given| given.settled) {
            if let Some(given) = self.given.pop_front() {
                self.front = given.after;
            }
        }
        while log.segments().next().is_some_and(|oldest| oldest.first < self.front.segment) {
            log.remove_oldest();
        }
    }

    /// The log is empty: both ends stand where the next frame will be.
    fn start_over(&mut self, log: &Log) {
        let place = Place { segment: log.next, offset: 0, before: log.end.clone() };
        (self.front, self.read, self.open) = (place.clone(), place, None);
    }

    /// The stored place is gone, or there was none.
    fn begin_at(&mut self, log: &Log, first: u64) {
        let place = start_of(log, first, Totals::default());
        (self.front, self.read) = (place.clone(), place);
    }
}

/// The beginning of a segment. If its header does not say what stands before it, it is what is `known`.
fn start_of(log: &Log, first: u64, known: Totals) -> Place {
    let (offset, before) = log.header(first).map_or((0, known), |header| (header.len, header.before));
    Place { segment: first, offset, before }
}
