//! The way into the pipeline for what cannot be read again: standard input, the kernel's buffer, made records.
//!
//! ```text
//! has_room? ─▶ begin: an empty batch ─▶ read into it ─▶ push ─▶ … ─▶ finish: wait until all is settled
//!    └ no: the source is not read, so that its writer waits
//! ```
//! What is read is held until it is delivered, within the limits of the memory. Nothing else keeps it.

use super::settings::InputSettings;
use super::{Admission, Context, Pipe, Stop};
use crate::parse;
use crate::record::{Batch, KeyNames, Reading, Record, Shape, Source, SourceDraft, Span, Ticket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use xxhash_rust::xxh3::xxh3_64;

/// How long one waits for room, or for the end, before the next look.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The way of one section's records.
pub(super) struct Feed {
    pipe: Arc<dyn Pipe>,
    stop: Arc<Stop>,
    number: usize,
    /// `None`: a filter wants nothing of it.
    source: Option<Arc<Source>>,
    batch: Batch,
    /// What tells records of this start from those of others.
    first_line: u64,
    /// Pushed and not yet settled, with their bytes and where they end.
    on_the_way: VecDeque<(Ticket, u64, u64)>,
    unsettled: u64,
    settled_to: u64,
    mem_buf_limit: u64,
}

impl Feed {
    /// Opens the source; `identity` is the same where a restart reads the same records again.
    pub(super) fn open(settings: InputSettings, context: &Context, identity: &[u8]) -> Self {
        let InputSettings { number, tag, mem_buf_limit, .. } = settings;
        let draft = SourceDraft { input: number, tag, text_key: "log".into(), ..SourceDraft::default() };
        let source = context.pipe.open(draft);
        let batch = Batch::new(source.clone().unwrap_or_else(nobodys));
        Self {
            pipe: Arc::clone(&context.pipe),
            stop: Arc::clone(&context.stop),
            number,
            source,
            batch,
            first_line: xxh3_64(identity),
            on_the_way: VecDeque::new(),
            unsettled: 0,
            settled_to: 0,
            mem_buf_limit,
        }
    }

    /// May more be read? What waits for company is sent where only that makes room.
    pub(super) fn has_room(&mut self) -> bool {
        self.sweep();
        let Some(source) = &mut self.source else { return true };
        if self.mem_buf_limit > 0 && self.unsettled >= self.mem_buf_limit {
            self.pipe.hurry(source);
            return false;
        }
        let admission = match self.pipe.admit(source) {
            Admission::NotYet if self.stop.requested() => self.pipe.insist(source),
            admission => admission,
        };
        match admission {
            Admission::Go => true,
            Admission::Full | Admission::NotYet => false,
            Admission::LeftOut => {
                self.source = None;
                true
            }
        }
    }

    /// An empty batch to be filled.
    pub(super) fn begin(&mut self) -> &mut Batch {
        let source = self.source.clone().unwrap_or_else(|| Arc::clone(&self.batch.source));
        self.batch.reset(&source, &KeyNames::DOCKER);
        self.batch.reading = Reading { first_line: self.first_line, rewritten: 0, time_ns: now_ns() };
        &mut self.batch
    }

    /// What [`begin`](Self::begin) gave out.
    pub(super) fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// Hands the batch over.
    pub(super) fn push(&mut self) {
        self.push_to(0);
    }

    /// The same with the place where it ends, for [`settled_to`](Self::settled_to).
    pub(super) fn push_to(&mut self, end: u64) {
        let bytes = self.batch.counts.read_bytes;
        if self.source.is_some() {
            self.pipe.push(&mut self.batch);
        } else {
            self.pipe.skipped(self.number, bytes);
        }
        self.unsettled += bytes;
        self.on_the_way.push_back((self.batch.ticket.clone(), bytes, end));
    }

    /// Where the last batch ended up to which all is settled.
    pub(super) fn settled_to(&mut self) -> u64 {
        self.sweep();
        self.settled_to
    }

    /// So many bytes cannot be read any more.
    pub(super) fn lost(&self, reason: super::LostReason, bytes: u64) {
        self.pipe.lost(self.number, reason, bytes);
    }

    fn sweep(&mut self) {
        while let Some((_, bytes, end)) = self.on_the_way.pop_front_if(|(ticket, ..)| ticket.is_settled()) {
            self.unsettled -= bytes;
            self.settled_to = end;
        }
    }

    /// Is all delivered, or accounted for in another way? What is not is sent at once.
    fn is_settled(&mut self) -> bool {
        self.sweep();
        if let (Some(source), false) = (&self.source, self.on_the_way.is_empty()) {
            self.pipe.hurry(source);
        }
        self.on_the_way.is_empty()
    }
}

/// Waits until all that came on these ways is settled; where the end was asked for, at most until the deadline.
pub(super) fn finish<'a>(feeds: impl IntoIterator<Item = &'a mut Feed>, context: &Context) {
    let mut feeds: Vec<&mut Feed> = feeds.into_iter().collect();
    loop {
        context.pipe.beat();
        feeds.retain_mut(|feed| !feed.is_settled());
        if feeds.is_empty() || is_late(&context.stop) {
            return;
        }
        context.stop.wake.wait(LOOK_AGAIN / 5);
    }
}

/// Was the end asked for, and is its time over?
pub(super) fn is_late(stop: &Stop) -> bool {
    stop.deadline().is_some_and(|deadline| Instant::now() >= deadline)
}

/// Adds a record of the members of an object that stands in the batch's text. It stands for so many bytes of what was read.
pub(super) fn push_object(batch: &mut Batch, object: Span, time_ns: i64, offset: u64, bytes: usize) {
    let fields_start = batch.fields.len() as u32;
    let _ = parse::object(batch, object);
    batch.records.push(Record {
        time_ns,
        offset,
        bytes: bytes as u32,
        fields_start,
        fields_end: batch.fields.len() as u32,
        shape: Shape::Fields,
        ..Record::default()
    });
    batch.counts.read += 1;
    batch.counts.read_bytes += bytes as u64;
}

/// Is there something to be read, or the end of it? Waits so long for that.
pub(super) fn is_readable(file: BorrowedFd<'_>, wait: Duration) -> bool {
    let timeout = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
    let mut files = [PollFd::new(&file, PollFlags::IN)];
    poll(&mut files, Some(&timeout)).is_ok_and(|ready| ready > 0)
}

/// The present moment, in nanoseconds since 1970.
pub(super) fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

fn nobodys() -> Arc<Source> {
    Arc::new(Source::new(SourceDraft::default(), Vec::new()))
}
