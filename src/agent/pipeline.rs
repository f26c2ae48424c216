//! The one pass: the steps of the source, then every routed output appends its encoding of each record to the request that
//! it is building. One mutex, taken once per batch; no channel carries records.

use super::ledger::{Amount, Ledger};
use super::memory::Memory;
use super::plan::InputRoute;
use super::request::{Finished, Home, Origin, Part, Retry};
use super::route::Match;
use super::spare::Spare;
use super::steps::{Aside, Chain, Scope};
use crate::filter::{Filter, FilterContext, Measure};
use crate::input::{Admission, FileEvent, Gauges, LostReason, Pipe, Wake};
use crate::output::{Limits, Output, Pieces};
use crate::record::{Batch, DropReason, Record, Source, SourceDraft};
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

/// Encoded bytes are told for so many that were read.
const UNIT: usize = 1024;
/// Longer than most records are: room for one more.
const RECORD_BYTES: usize = 4 << 10;

/// An output as the pipeline and the delivery share it.
pub(super) struct Lane {
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) output: Arc<dyn Output>,
    pub(super) limits: Limits,
    pub(super) linger: Duration,
    pub(super) matches: Match,
    /// Finished requests on their way to the delivery; bounded by the memory limit.
    pub(super) finished: UnboundedSender<Finished>,
    /// Buffers whose requests are delivered.
    pub(super) spare: Spare,
    /// Encoded bytes that [`UNIT`] bytes became lately.
    pub(super) growth: AtomicUsize,
    /// A source with `storage.type filesystem` is routed to it.
    pub(super) may_spool: AtomicBool,
}

impl Lane {
    /// Keeps the buffer for a later request, unless somebody still holds it; it is not counted as held any more.
    pub(super) fn recycle(&self, pieces: Arc<Pieces>, memory: &Memory) {
        if let Some(pieces) = Arc::into_inner(pieces) {
            self.spare.keep(pieces, self.limits.bytes_max, memory.held(self.number));
        }
    }

    /// Makes room for what records become that so many bytes were read of: a buffer that doubles where it is full takes up to twice of
    /// what is in it.
    fn reserve(&self, pieces: &mut Pieces, read_bytes: usize) {
        let expected = read_bytes * self.growth.load(Ordering::Relaxed) / UNIT;
        let full = self.limits.bytes_max.min(self.output.bytes_when_full(pieces));
        let left = full.saturating_sub(pieces.body_bytes());
        let need = (expected + expected / 8).min(left) + RECORD_BYTES;
        if pieces.bytes.capacity() - pieces.bytes.len() < need {
            pieces.bytes.reserve_exact(need.max(pieces.bytes.len().min(left)));
        }
    }

    /// What they became.
    fn note_growth(&self, read_bytes: usize, encoded_bytes: usize) {
        if read_bytes >= RECORD_BYTES {
            self.growth.store(encoded_bytes * UNIT / read_bytes, Ordering::Relaxed);
        }
    }
}

/// A request that is being built.
struct Open {
    pieces: Pieces,
    parts: Vec<Part>,
    since: Instant,
    counted: usize,
}

#[derive(Default)]
struct Building {
    chain: Chain,
    open: Vec<HashMap<Arc<str>, Open>>,
    /// What each output gets of a batch, and what of it its own processors leave out.
    amounts: Vec<(usize, Amount, Amount)>,
    aside: Vec<Aside>,
}

/// Filters, routes and open requests.
pub(super) struct Pipeline {
    building: Mutex<Building>,
    pub(super) lanes: Vec<Arc<Lane>>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) memory: Arc<Memory>,
    inputs: Vec<InputRoute>,
    /// Some step may give records another tag.
    reroutes: bool,
    /// Some step may hold records back.
    holds_back: bool,
    /// A request was begun.
    pub(super) begun: Notify,
    wakes: Vec<Arc<Wake>>,
    stopping: AtomicBool,
    /// Seconds since `started` at the last sign of life of a reading thread.
    beat: AtomicU64,
    started: Instant,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipeline {
    pub(super) fn new(
        filters: Vec<(Scope, Box<dyn Filter>)>,
        lanes: Vec<Arc<Lane>>,
        (ledger, memory): (Arc<Ledger>, Arc<Memory>),
        inputs: Vec<InputRoute>,
        wakes: Vec<Arc<Wake>>,
    ) -> Self {
        let reroutes = filters.iter().any(|(_, filter)| filter.reroutes());
        let holds_back = filters.iter().any(|(_, filter)| filter.holds_back());
        let chain = Chain::new(filters);
        let open = lanes.iter().map(|_| HashMap::new()).collect();
        Self {
            building: Mutex::new(Building { chain, open, ..Building::default() }),
            lanes,
            ledger,
            memory,
            inputs,
            reroutes,
            holds_back,
            begun: Notify::new(),
            wakes,
            stopping: AtomicBool::new(false),
            beat: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// The work that filters have beside the data path.
    pub(super) fn filter_tasks(&self, context: impl Fn() -> FilterContext) -> Vec<BoxFuture<'static, ()>> {
        lock(&self.building).chain.filters().filter_map(|filter| filter.task(context())).collect()
    }

    /// The outputs that take a source, each with what must not share a request.
    fn route(&self, draft: &SourceDraft) -> Vec<(usize, Arc<str>)> {
        let input = self.inputs[draft.input];
        let lanes = self.lanes.iter().filter(|l| input.routable && l.matches.takes(&draft.tag));
        lanes
            .map(|lane| {
                lane.may_spool.fetch_or(input.filesystem, Ordering::Relaxed);
                let mut key = String::new();
                lane.output.key(draft, &mut key);
                (lane.number, key.into())
            })
            .collect()
    }

    /// Asks the filters about a source, and finds its outputs.
    fn plan(&self, mut draft: SourceDraft) -> Option<Arc<Source>> {
        draft.first_asked.get_or_insert_with(Instant::now);
        lock(&self.building).chain.plan(draft, &|draft| self.route(draft))
    }

    /// Hands out what each filter has to say on `/metrics`, with its number.
    pub(super) fn measures(&self, take: &mut dyn FnMut(usize, Measure<'_>)) {
        lock(&self.building).chain.measures(take);
    }

    /// What passed each filter.
    pub(super) fn filtered(&self) -> Vec<Amount> {
        lock(&self.building).chain.passed()
    }

    /// Enters a batch, with all that left it, into the ledger.
    fn enter(&self, building: &mut Building, batch: &mut Batch) {
        let Building { chain, amounts, aside, .. } = building;
        amounts.clear();
        let mut routed = Amount::default();
        let mut add = |source: &Source, amount: Amount| {
            if source.outputs.is_empty() {
                if amount.records > 0 {
                    batch.counts.drop(DropReason::NoRoute, amount.records, amount.bytes);
                }
                return;
            }
            routed.add(amount);
            let plain = source.outputs.iter().filter(|(output, _)| !chain.is_processed(*output));
            amounts.extend(plain.map(|(output, _)| (*output, amount, Amount::default())));
        };
        let records = Amount { records: batch.records.len() as u64, bytes: bytes_of(&batch.records) };
        add(&batch.source, records);
        for part in aside.iter() {
            let amount = Amount { records: part.records.len() as u64, bytes: bytes_of(&part.records) };
            if part.only.is_none() {
                add(&part.source, amount);
            }
        }
        for part in aside.iter() {
            if let Some((output, meant)) = part.only {
                let kept = Amount { records: part.records.len() as u64, bytes: bytes_of(&part.records) };
                // A script may have made more than it got.
                amounts.push((output, meant.at_least(kept), meant.without(kept)));
            }
        }
        // Before the delivery can see the requests: pending is never below what was delivered.
        self.ledger.enter(batch.source.draft.input, &batch.counts, routed, amounts);
    }

    /// Closes the requests whose linger is over.
    pub(super) fn tick(&self) {
        let now = Instant::now();
        let stopping = self.stopping.load(Ordering::Acquire);
        let building = &mut *lock(&self.building);
        self.ask_waiting(building, now, stopping);
        for (lane, open) in self.lanes.iter().zip(&mut building.open) {
            lane.spare.tidy(now, self.memory.held(lane.number));
            let linger = lane.output.linger(lane.linger);
            let due = |o: &Open| stopping || now.duration_since(o.since) >= linger;
            for (key, request) in open.extract_if(|_, o| due(o)) {
                self.finish(lane, key, request);
            }
            // Who waits for room must not wait for the linger of what takes it.
            if !self.memory.has_room(lane.number) {
                self.close_largest(lane, open);
            }
        }
    }

    /// From now on nothing waits for company.
    pub(super) fn stop_lingering(&self) {
        self.stopping.store(true, Ordering::Release);
        self.tick();
    }

    /// Bytes are free again: who waited for them may go on.
    pub(super) fn made_room(&self) {
        self.wakes.iter().for_each(|w| w.wake());
    }

    /// When the oldest record of an output came that is in memory.
    pub(super) fn oldest(&self, output: usize) -> Option<Instant> {
        let open = lock(&self.building).open[output].values().map(|open| open.since).min();
        open.into_iter().chain(self.memory.oldest(output)).min()
    }

    /// How long ago a reading thread last gave a sign of life.
    pub(super) fn silence(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_secs(self.beat.load(Ordering::Relaxed)))
    }

    fn finish(&self, lane: &Lane, key: Arc<str>, open: Open) {
        let Open { mut pieces, parts, since, mut counted } = open;
        // A buffer that was filled before may be far too large for this one.
        pieces.bytes.shrink_to(pieces.bytes.len() + pieces.bytes.len() / 4);
        // What was made room for, and not used, was never counted.
        self.memory.add(lane.number, pieces.held_bytes().saturating_sub(counted));
        self.memory.forget(lane.number, counted.saturating_sub(pieces.held_bytes()));
        counted = pieces.held_bytes();
        let held = self.memory.held_already(lane.number, counted).on_its_way_since(since).in_queue();
        let (closed, home, retry) = (Instant::now(), Home::Memory, Retry::default());
        let finished = Finished { key, pieces: Arc::new(pieces), parts, since, closed, home, retry, held };
        // The delivery is gone only when the process ends; the positions stay where they are.
        let _ = lane.finished.send(finished);
    }

    /// Asks the steps that hold records back whether something shall go on.
    fn ask_waiting(&self, building: &mut Building, now: Instant, at_the_end: bool) {
        for step in building.chain.waiting() {
            let Building { chain, aside, .. } = &mut *building;
            if let Some(mut batch) = chain.idle(step, (now, at_the_end), &|draft| self.route(draft), aside) {
                batch.check_utf8();
                self.hand_out(building, &mut batch);
            }
        }
    }

    /// What came out of the steps goes into the ledger and to the outputs.
    fn hand_out(&self, building: &mut Building, batch: &mut Batch) {
        self.enter(building, batch);
        self.encode(building, batch, false);
        let source = Arc::clone(&batch.source);
        for part in std::mem::take(&mut building.aside) {
            (batch.source, batch.records) = (part.source, part.records);
            self.encode(building, batch, part.only.is_some());
        }
        batch.source = source;
    }

    /// `processed`: the records are those of an output with processors of its own.
    fn encode(&self, building: &mut Building, batch: &Batch, processed: bool) {
        let now = Instant::now();
        for (number, key) in &batch.source.outputs {
            if building.chain.is_processed(*number) != processed {
                continue;
            }
            let lane = &self.lanes[*number];
            let open = &mut building.open[*number];
            if lane.output.keys_each(batch, key) {
                self.encode_by_key(lane, open, batch, key);
            } else {
                self.fill(lane, open, batch, 0..batch.records.len(), key, now);
            }
            if !self.memory.has_room(*number) {
                self.close_largest(lane, open);
            }
        }
    }

    /// Encodes records into requests of one key.
    fn fill(
        &self,
        lane: &Lane,
        open: &mut HashMap<Arc<str>, Open>,
        batch: &Batch,
        mut records: Range<usize>,
        key: &Arc<str>,
        now: Instant,
    ) {
        while !records.is_empty() {
            let request = match open.get_mut(key) {
                Some(request) => request,
                None => open.entry(Arc::clone(key)).or_insert_with(|| self.begin(lane, now)),
            };
            let (before, bytes_before) = (request.pieces.list.len(), request.pieces.bytes.len());
            let read_bytes = |records: usize| batch.text.len() / batch.records.len().max(1) * records;
            lane.reserve(&mut request.pieces, read_bytes(records.len()));
            records.start = lane.output.encode_some(batch, records.clone(), &mut request.pieces, &lane.limits);
            self.count(lane, request, batch, before);
            let encoded = request.pieces.list.len() - before;
            lane.note_growth(read_bytes(encoded), request.pieces.bytes.len() - bytes_before);
            // At the end the ticker and the readers close requests, when there is no more to come.
            if (lane.linger.is_zero() || self.is_full(lane, request))
                && let Some((key, request)) = open.remove_entry(key)
            {
                self.finish(lane, key, request);
            }
        }
    }

    /// The same where each record says for itself what it shares a request with: neighbours have one key more often than not.
    fn encode_by_key(&self, lane: &Lane, open: &mut HashMap<Arc<str>, Open>, batch: &Batch, source_key: &str) {
        let now = Instant::now();
        let write_key = |record: usize, key: &mut String| {
            key.clear();
            key.push_str(source_key);
            if record < batch.records.len() {
                lane.output.record_key(batch, record, key);
            }
        };
        let (mut key, mut next) = (String::new(), String::new());
        let mut from = 0;
        write_key(from, &mut key);
        while from < batch.records.len() {
            let mut end = from + 1;
            write_key(end, &mut next);
            while end < batch.records.len() && next == key {
                end += 1;
                write_key(end, &mut next);
            }
            if !open.contains_key(key.as_str()) {
                lane.output.begin_key(batch, from..end, &mut key);
            }
            let known = open.get_key_value(key.as_str()).map(|(known, _)| Arc::clone(known));
            self.fill(lane, open, batch, from..end, &known.unwrap_or_else(|| key.as_str().into()), now);
            std::mem::swap(&mut key, &mut next);
            from = end;
        }
    }

    /// Is there nothing to be closed, and nobody to be asked, before the next request is begun?
    pub(super) fn rests(&self) -> bool {
        let is_open = || lock(&self.building).open.iter().any(|open| !open.is_empty());
        !self.holds_back && !self.stopping.load(Ordering::Acquire) && !is_open()
    }

    fn begin(&self, lane: &Lane, since: Instant) -> Open {
        self.begun.notify_one();
        let pieces = lane.spare.take(since, self.memory.held(lane.number));
        let counted = pieces.held_bytes();
        self.memory.add(lane.number, counted);
        Open { pieces, parts: Vec::new(), since, counted }
    }

    fn count(&self, lane: &Lane, request: &mut Open, batch: &Batch, before: usize) {
        let pieces = (request.pieces.list.len() - before) as u32;
        if pieces == 0 {
            return;
        }
        batch.ticket.add(pieces);
        match request.parts.last_mut().filter(|part| part.ticket.is(&batch.ticket)) {
            Some(part) => part.pieces += pieces,
            None => request.parts.push(Part {
                ticket: batch.ticket.clone(),
                pieces,
                origin: Origin::Source(Arc::clone(&batch.source)),
            }),
        }
        let held = request.pieces.held_bytes();
        self.memory.add(lane.number, held - request.counted);
        request.counted = held;
    }

    fn is_full(&self, lane: &Lane, request: &Open) -> bool {
        request.pieces.is_full(&lane.limits)
    }

    /// The memory limit is reached: what is waiting for company need not wait any longer. Unless a third of it is on its way
    /// already, which will make room soon: small requests cost more.
    fn close_largest(&self, lane: &Lane, open: &mut HashMap<Arc<str>, Open>) {
        let waiting: usize = open.values().map(|o| o.counted).sum();
        if waiting * 3 < self.memory.held(lane.number) * 2 {
            return;
        }
        let largest = open.iter().max_by_key(|(_, o)| o.pieces.text_bytes()).map(|(key, _)| Arc::clone(key));
        if let Some((key, request)) = largest.and_then(|key| open.remove_entry(&key)) {
            self.finish(lane, key, request);
        }
    }
}

fn bytes_of(records: &[Record]) -> u64 {
    records.iter().map(|record| u64::from(record.bytes)).sum()
}

impl Pipeline {
    /// Of a source that still waits records come that cannot: what was open when its file ended, or at the last stop. Its filters
    /// say now what they know.
    fn decide(&self, batch: &mut Batch) {
        let Some(origin) = &batch.source.origin else { return };
        match self.plan(SourceDraft { last_call: true, ..(**origin).clone() }) {
            Some(planned) => batch.source = planned,
            None => batch.retain(|_, _| false),
        }
    }
}

impl Pipe for Pipeline {
    fn open(&self, draft: SourceDraft) -> Option<Arc<Source>> {
        self.plan(draft)
    }

    fn admit(&self, source: &mut Arc<Source>) -> Admission {
        if source.is_stale()
            && let Some(origin) = &source.origin
        {
            match self.plan((**origin).clone()) {
                Some(planned) => *source = planned,
                None => return Admission::LeftOut,
            }
        }
        if source.waits {
            return Admission::NotYet;
        }
        let has_room = |source: &Source| source.outputs.iter().all(|(number, _)| self.memory.wants_more(*number));
        let mut free = has_room(source);
        if free && self.reroutes {
            lock(&self.building).chain.each_target(source, &mut |target| free &= has_room(target));
        }
        if free { Admission::Go } else { Admission::Full }
    }

    fn insist(&self, source: &mut Arc<Source>) -> Admission {
        if source.waits
            && let Some(origin) = &source.origin
        {
            let draft = SourceDraft { last_call: true, ..(**origin).clone() };
            *source = match self.plan(draft) {
                Some(planned) => planned,
                None => return Admission::LeftOut,
            };
        }
        self.admit(source)
    }

    fn hurry(&self, source: &Source) {
        let building = &mut *lock(&self.building);
        let mut outputs = source.outputs.clone();
        building.chain.each_target(source, &mut |target| outputs.extend(target.outputs.iter().cloned()));
        for (number, key) in &outputs {
            let (lane, open) = (&self.lanes[*number], &mut building.open[*number]);
            if lane.output.keys_records() {
                for (key, request) in open.extract_if(|other, _| other.starts_with(&**key)) {
                    self.finish(lane, key, request);
                }
            } else if let Some((key, request)) = open.remove_entry(key) {
                self.finish(lane, key, request);
            }
        }
    }

    fn push(&self, batch: &mut Batch) {
        if batch.source.waits {
            self.decide(batch);
        }
        let building = &mut *lock(&self.building);
        let is_looked_at = building.chain.looks_at(&batch.source);
        if is_looked_at || batch.source.outputs.iter().any(|(n, _)| self.lanes[*n].output.needs().text) {
            batch.check_utf8();
        }
        let read = batch.text.len();
        let Building { chain, aside, .. } = building;
        chain.apply(batch, &|draft| self.route(draft), aside);
        batch.check_appended(read);
        self.hand_out(building, batch);
    }

    fn lost(&self, input: usize, reason: LostReason, bytes: u64) {
        self.ledger.lost(input, reason, bytes);
    }

    fn lost_entries(&self, input: usize, reason: LostReason, entries: u64) {
        self.ledger.lost_entries(input, reason, entries);
    }

    fn skipped(&self, input: usize, bytes: u64) {
        self.ledger.skipped(input, bytes);
    }

    fn gauges(&self, input: usize, by_namespace: Vec<(String, Gauges)>) {
        self.ledger.gauges(input, by_namespace);
    }

    fn file(&self, input: usize, event: FileEvent) {
        self.ledger.file(input, event);
    }

    fn unwatched(&self, folders: u64) {
        self.ledger.unwatched(folders);
    }

    fn beat(&self) {
        self.beat.store(self.started.elapsed().as_secs(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
