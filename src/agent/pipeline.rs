//! The one pass: filters once per source, then every routed output appends its encoding of each record to the request that
//! it is building. One mutex, taken once per batch; no channel carries records.

use super::ledger::{Amount, Ledger};
use super::memory::Memory;
use super::plan::InputRoute;
use super::request::{Finished, Home, Origin, Part, Retry};
use super::route::Match;
use super::spare::Spare;
use crate::filter::{Each, Filter, FilterContext, Plan};
use crate::input::{Admission, Gauges, LostReason, Pipe, Wake};
use crate::output::{Limits, Output, Piece, Pieces};
use crate::record::{Batch, Source, SourceDraft, Stale};
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// Sources with filters up to which those that are gone are not looked for.
const STEPS_MIN: usize = 64;

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
    /// A source with `storage.type filesystem` is routed to it.
    pub(super) may_spool: AtomicBool,
}

impl Lane {
    /// Keeps an emptied buffer for a later request.
    pub(super) fn recycle(&self, pieces: Pieces) {
        self.spare.keep(pieces, self.limits.bytes_max);
    }
}

/// A request that is being built.
struct Open {
    pieces: Pieces,
    parts: Vec<Part>,
    since: Instant,
    counted: usize,
}

struct Filtering {
    matches: Match,
    passed: Amount,
    filter: Box<dyn Filter>,
}

/// The filters that a source passes.
struct Steps {
    source: Weak<Source>,
    /// By number; those that look at its records do so.
    list: Vec<(usize, Option<Box<dyn Each>>)>,
}

#[derive(Default)]
struct Building {
    filters: Vec<Filtering>,
    /// By the number of the source, of those that pass any.
    steps: HashMap<u64, Steps>,
    /// How many of them there may be before those of sources that are gone are looked for.
    steps_max: usize,
    open: Vec<HashMap<Arc<str>, Open>>,
    amounts: Vec<(usize, Amount)>,
}

/// Filters, routes and open requests.
pub(super) struct Pipeline {
    building: Mutex<Building>,
    pub(super) lanes: Vec<Arc<Lane>>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) memory: Arc<Memory>,
    inputs: Vec<InputRoute>,
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
        filters: Vec<(Match, Box<dyn Filter>)>,
        lanes: Vec<Arc<Lane>>,
        (ledger, memory): (Arc<Ledger>, Arc<Memory>),
        inputs: Vec<InputRoute>,
        wakes: Vec<Arc<Wake>>,
    ) -> Self {
        let filters = filters
            .into_iter()
            .map(|(matches, filter)| Filtering { matches, passed: Amount::default(), filter })
            .collect();
        let open = lanes.iter().map(|_| HashMap::new()).collect();
        Self {
            building: Mutex::new(Building { filters, open, ..Building::default() }),
            lanes,
            ledger,
            memory,
            inputs,
            wakes,
            stopping: AtomicBool::new(false),
            beat: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// The work that filters have beside the data path.
    pub(super) fn filter_tasks(&self, context: impl Fn() -> FilterContext) -> Vec<BoxFuture<'static, ()>> {
        let filters = &mut lock(&self.building).filters;
        filters.iter_mut().filter_map(|step| step.filter.task(context())).collect()
    }

    /// Asks the filters about a source, and finds its outputs.
    fn plan(&self, building: &mut Building, mut draft: SourceDraft) -> Option<Arc<Source>> {
        draft.first_asked.get_or_insert_with(Instant::now);
        let origin = (!building.filters.is_empty()).then(|| Box::new(draft.clone()));
        draft.stale = Stale::default();
        let (mut list, mut waits) = (Vec::new(), false);
        for (number, step) in building.filters.iter_mut().enumerate() {
            if waits || !step.matches.takes(&draft.tag) {
                continue;
            }
            match step.filter.plan(&mut draft) {
                Plan::Pass => list.push((number, None)),
                Plan::Each(each) => list.push((number, Some(each))),
                Plan::NotYet => waits = true,
                Plan::Drop(_) => return None,
            }
        }
        let input = self.inputs[draft.input];
        let lanes = self.lanes.iter().filter(|l| input.routable && l.matches.takes(&draft.tag));
        let outputs = lanes
            .map(|lane| {
                lane.may_spool.fetch_or(input.filesystem, Ordering::Relaxed);
                let mut key = String::new();
                lane.output.key(&draft, &mut key);
                (lane.number, key.into())
            })
            .collect();
        let source = Arc::new(Source { origin, waits, ..Source::new(draft, outputs) });
        if !list.is_empty() && !waits {
            building.keep(&source, list);
        }
        Some(source)
    }

    /// What passed each filter.
    pub(super) fn filtered(&self) -> Vec<Amount> {
        lock(&self.building).filters.iter().map(|f| f.passed).collect()
    }

    /// Closes the requests whose linger is over.
    pub(super) fn tick(&self) {
        let now = Instant::now();
        let stopping = self.stopping.load(Ordering::Acquire);
        let building = &mut *lock(&self.building);
        self.ask_waiting(building, now, stopping);
        for (lane, open) in self.lanes.iter().zip(&mut building.open) {
            lane.spare.tidy(now);
            // Who waits for room must not wait for the linger of what takes it.
            let at_once = stopping || !self.memory.has_room(lane.number);
            let due = |o: &Open| at_once || now.duration_since(o.since) >= lane.linger;
            for (key, request) in open.extract_if(|_, o| due(o)) {
                self.finish(lane, key, request);
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
        let Open { pieces, parts, since, counted } = open;
        let held = self.memory.held_already(lane.number, counted).on_its_way_since(since);
        let (closed, home, retry) = (Instant::now(), Home::Memory, Retry::default());
        let finished = Finished { key, pieces, parts, since, closed, home, retry, held };
        // The delivery is gone only when the process ends; the positions stay where they are.
        let _ = lane.finished.send(finished);
    }

    /// Asks the filters that hold records back whether something shall go on.
    fn ask_waiting(&self, building: &mut Building, now: Instant, at_the_end: bool) {
        let waits = |steps: &Steps| steps.list.iter().flat_map(|(_, each)| each).any(|each| each.is_waiting());
        let waiting: Vec<u64> = building.steps.iter().filter(|(_, s)| waits(s)).map(|(source, _)| *source).collect();
        for source in waiting {
            let count = building.steps.get(&source).map_or(0, |steps| steps.list.len());
            for at in 0..count {
                let Some(steps) = building.steps.get_mut(&source) else { break };
                let (Some(source), (_, Some(each))) = (steps.source.upgrade(), &mut steps.list[at]) else { continue };
                if each.is_waiting() {
                    let mut batch = Batch::new(source);
                    each.idle(&mut batch, now, at_the_end);
                    self.pass(building, &mut batch, at + 1);
                }
            }
        }
    }

    /// Takes a batch through the steps of its source from one on, and to its outputs.
    fn pass(&self, building: &mut Building, batch: &mut Batch, from: usize) {
        let lanes = &self.lanes;
        let steps = building.steps.get_mut(&batch.source.number);
        let list: &mut [_] = steps.map_or(&mut [], |steps| &mut steps.list[from..]);
        let is_looked_at = list.iter().any(|(_, each)| each.is_some());
        if is_looked_at || batch.source.outputs.iter().any(|(n, _)| lanes[*n].output.needs().text) {
            batch.check_utf8();
        }
        let read = batch.text.len();
        for (number, each) in list {
            if let Some(each) = each {
                each.apply(batch);
            }
            building.filters[*number].passed.add(amount_of(batch));
        }
        batch.check_appended(read);
        let records = amount_of(batch);
        building.amounts.clear();
        building.amounts.extend(batch.source.outputs.iter().map(|(n, _)| (*n, records)));
        // Before the delivery can see the requests: pending is never below what was delivered.
        self.ledger.enter(batch.source.draft.input, &batch.counts, records, &building.amounts);
        self.encode(building, batch);
    }

    fn encode(&self, building: &mut Building, batch: &Batch) {
        let now = Instant::now();
        for (number, key) in &batch.source.outputs {
            let lane = &self.lanes[*number];
            let open = &mut building.open[*number];
            let mut from = 0;
            if lane.output.keys_records() {
                self.encode_by_key(lane, open, batch, key);
                from = batch.records.len();
            }
            while from < batch.records.len() {
                let request = match open.get_mut(key) {
                    Some(request) => request,
                    None => open.entry(Arc::clone(key)).or_insert_with(|| self.begin(lane, now)),
                };
                let before = request.pieces.list.len();
                from = lane.output.encode_some(batch, from, &mut request.pieces, &lane.limits);
                self.count(lane, request, batch, before);
                // At the end the ticker and the readers close requests, when there is no more to come.
                if (lane.linger.is_zero() || self.is_full(lane, request))
                    && let Some((key, request)) = open.remove_entry(key)
                {
                    self.finish(lane, key, request);
                }
            }
            if !self.memory.has_room(*number) {
                self.close_largest(lane, open);
            }
        }
    }

    /// The same where each record says for itself what it shares a request with.
    fn encode_by_key(&self, lane: &Lane, open: &mut HashMap<Arc<str>, Open>, batch: &Batch, source_key: &str) {
        let now = Instant::now();
        let mut key = String::new();
        // Neighbours have one key more often than not: its request is out of the map meanwhile.
        let mut current: Option<(Arc<str>, Open)> = None;
        for record in 0..batch.records.len() {
            key.clear();
            key.push_str(source_key);
            lane.output.record_key(batch, record, &mut key);
            let (name, mut request) = match current.take() {
                Some(same) if *same.0 == *key => same,
                other => {
                    open.extend(other);
                    let found = open.remove_entry(key.as_str());
                    found.unwrap_or_else(|| (key.as_str().into(), self.begin(lane, now)))
                }
            };
            let pieces = &mut request.pieces;
            lane.output.encode(batch, record, &mut pieces.bytes);
            let source_bytes = batch.records[record].bytes;
            pieces.list.push(Piece { end: pieces.bytes.len() as u32, source_bytes });
            let before = pieces.list.len() - 1;
            self.count(lane, &mut request, batch, before);
            if lane.linger.is_zero() || self.is_full(lane, &request) {
                self.finish(lane, name, request);
            } else {
                current = Some((name, request));
            }
        }
        open.extend(current);
    }

    fn begin(&self, lane: &Lane, since: Instant) -> Open {
        let pieces = lane.spare.take(since);
        let counted = pieces.held_bytes();
        self.memory.add(lane.number, counted);
        Open { pieces, parts: Vec::new(), since, counted }
    }

    fn count(&self, lane: &Lane, request: &mut Open, batch: &Batch, before: usize) {
        let pieces = (request.pieces.list.len() - before) as u32;
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
        request.pieces.bytes.len() >= lane.limits.bytes_max || request.pieces.list.len() >= lane.limits.records_max
    }

    /// The memory limit is reached: what is waiting for company need not wait any longer. Unless most of it is on its way
    /// already, which will make room soon: small requests cost more.
    fn close_largest(&self, lane: &Lane, open: &mut HashMap<Arc<str>, Open>) {
        let waiting: usize = open.values().map(|o| o.counted).sum();
        if waiting * 2 < self.memory.held(lane.number) {
            return;
        }
        let largest = open.iter().max_by_key(|(_, o)| o.counted).map(|(key, _)| Arc::clone(key));
        if let Some((key, request)) = largest.and_then(|key| open.remove_entry(&key)) {
            self.finish(lane, key, request);
        }
    }
}

impl Building {
    /// Keeps the steps of a source until it is gone.
    fn keep(&mut self, source: &Arc<Source>, list: Vec<(usize, Option<Box<dyn Each>>)>) {
        if self.steps.len() >= self.steps_max {
            self.steps.retain(|_, steps| steps.source.strong_count() > 0);
            self.steps_max = (self.steps.len() * 2).max(STEPS_MIN);
        }
        self.steps.insert(source.number, Steps { source: Arc::downgrade(source), list });
    }
}

fn amount_of(batch: &Batch) -> Amount {
    let bytes = batch.records.iter().map(|r| u64::from(r.bytes)).sum();
    Amount { records: batch.records.len() as u64, bytes }
}

impl Pipe for Pipeline {
    fn open(&self, draft: SourceDraft) -> Option<Arc<Source>> {
        self.plan(&mut lock(&self.building), draft)
    }

    fn admit(&self, source: &mut Arc<Source>) -> Admission {
        if source.is_stale()
            && let Some(origin) = &source.origin
        {
            match self.plan(&mut lock(&self.building), (**origin).clone()) {
                Some(planned) => *source = planned,
                None => return Admission::LeftOut,
            }
        }
        if source.waits {
            return Admission::NotYet;
        }
        let free = source.outputs.iter().all(|(number, _)| self.memory.has_room(*number));
        if free { Admission::Go } else { Admission::Full }
    }

    fn hurry(&self, source: &Source) {
        let building = &mut *lock(&self.building);
        for (number, key) in &source.outputs {
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
        self.pass(&mut lock(&self.building), batch, 0);
    }

    fn lost(&self, input: usize, reason: LostReason, bytes: u64) {
        self.ledger.lost(input, reason, bytes);
    }

    fn skipped(&self, input: usize, bytes: u64) {
        self.ledger.skipped(input, bytes);
    }

    fn gauges(&self, input: usize, by_namespace: Vec<(String, Gauges)>) {
        self.ledger.gauges(input, by_namespace);
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
