//! The threads and tasks of a running process: how they start, and in which order they end.

use super::concurrency::Concurrency;
use super::dead_letter::DeadLetters;
use super::delivery::Delivery;
use super::ledger::Ledger;
use super::memory::{self, Memory};
use super::pipeline::{Lane, Pipeline, lock};
use super::plan::{Plan, PlannedOutput};
use super::request::Finished;
use super::run::{Made, RunError, Signals};
use super::spare::Spare;
use super::spooling::{SpoolSettings, SpoolShared, Spooling};
use super::verdict::VerdictLimits;
use super::watched::{Watched, WatchedLane, hostname};
use crate::admin::{self, Listen};
use crate::config::{ServiceOptions, StorageSync};
use crate::filter::{Apis, FilterContext, Instances};
use crate::input::{Drain, Pipe, Stop};
use crate::spool;
use crate::state::State;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, oneshot, watch};

/// The part of the grace period after which what is not delivered goes to the spool.
const SPOOL_AT: f64 = 0.6;
/// The part of it after which `on_term drain` reads no further: the rest is for what was read last.
const DRAIN_UNTIL: f64 = 0.8;
/// The same as `SPOOL_AT` where files are read on: what is read last has time, too.
const SPOOL_AT_OF_DRAIN: f64 = 0.9;
/// So long the spools may take at the end to store how far they are.
const LAST_SAVE: Duration = Duration::from_secs(1);
/// An output with a spool has room for so many requests in its share of the memory: some may hang while others go to the spool.
const REQUESTS_MIN: usize = 8;
/// How often lingering requests are looked at.
const TICK: Duration = Duration::from_millis(50);
/// The same while no request is open.
const RESTING_TICK: Duration = Duration::from_secs(1);
/// How often the lock of the state folder is tried while another agent has it.
const LOCK_RETRY: Duration = Duration::from_secs(1);
/// So long an input may take after its deadline to commit its positions: a disk that hangs must not hold up the end.
const LAST_COMMIT: Duration = Duration::from_secs(2);
/// After this the rows of files that are gone are forgotten; an empty scan alone never does that.
const RETIRE_AFTER: Duration = Duration::from_secs(14 * 86_400);

/// A process whose threads and tasks run.
pub(super) struct Running {
    pub(super) plan: Plan,
    pub(super) pipeline: Arc<Pipeline>,
    ready: Arc<AtomicBool>,
    stopping: watch::Sender<Option<Instant>>,
    ended: watch::Sender<bool>,
    spools: Vec<Arc<SpoolShared>>,
    unstarted: Vec<Unstarted>,
    deliveries: Vec<tokio::task::JoinHandle<()>>,
    ticker: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
    deadline: Option<Instant>,
}

impl Running {
    pub(super) fn start(plan: Plan, made: Vec<Made>, stops: &[Arc<Stop>], state: Arc<State>) -> Result<Self, RunError> {
        let mut plan = plan;
        let ledger = Arc::new(Ledger::new(plan.input_names.len(), made.len()));
        if plan.service.health_check {
            ledger.judge_by(verdict_limits(&plan.service));
        }
        let memory = Arc::new(Memory::new(memory::limit(plan.service.mem_limit.0), made.len()));
        let mut receivers = Vec::new();
        let lanes: Vec<Arc<Lane>> = made
            .into_iter()
            .enumerate()
            .map(|(number, Made { planned, output })| {
                let (finished, receiver) = mpsc::unbounded_channel();
                receivers.push((receiver, planned.retry_limit, planned.spool_bytes_max));
                let mut limits = output.limits();
                if plan.storage_path.is_some() {
                    limits.bytes_max = limits.bytes_max.min((memory.share() / REQUESTS_MIN).max(1));
                }
                let linger = limits.linger.unwrap_or(plan.service.flush.0);
                let (spare, growth) = (Spare::new(memory.share() / 8 * 7), AtomicUsize::new(0));
                let may_spool = AtomicBool::new(false);
                let PlannedOutput { name, matches, .. } = planned;
                Arc::new(Lane { number, name, output, limits, linger, matches, finished, spare, growth, may_spool })
            })
            .collect();
        let wakes = stops.iter().map(|s| Arc::clone(&s.wake)).collect();
        let filters = std::mem::take(&mut plan.filters);
        let inputs = plan.input_routes.clone();
        let pipeline = Arc::new(Pipeline::new(filters, lanes, (ledger, memory), inputs, wakes));
        let (stopping, watching) = watch::channel(None);
        let (ended, watching_end) = watch::channel(false);
        let (mut watched, mut unstarted) = (Vec::new(), Vec::new());
        let input_names: Arc<[String]> = plan.input_names.clone().into();
        let dead_letters = dead_letters(&plan)?;
        for (lane, (receiver, retry_limit, spool_bytes_max)) in pipeline.lanes.iter().zip(receivers) {
            let spool = spool_settings(&plan, &lane.name, spool_bytes_max);
            let delivery = Delivery {
                lane: Arc::clone(lane),
                pipeline: Arc::clone(&pipeline),
                progress: Arc::default(),
                retry_limit,
                stopping: watching.clone(),
                closed_until: Mutex::new(None),
                concurrency: Mutex::new(Concurrency::new(lane.limits.in_flight)),
                recoveries: AtomicU64::new(0),
                doubts: Arc::default(),
                refused_said: Mutex::default(),
                apart: tokio::sync::Mutex::default(),
                ended: watching_end.clone(),
                spool: spool.is_some().then(Arc::default),
                dead_letters: dead_letters.clone(),
                input_names: Arc::clone(&input_names),
                replays: false,
            };
            watched.push(WatchedLane { progress: Arc::clone(&delivery.progress), spool: delivery.spool.clone() });
            unstarted.push(Unstarted { delivery, receiver, spool });
        }
        let ready = Arc::new(AtomicBool::new(false));
        let ticker = Some(start_ticker(&pipeline));
        let deliveries = Vec::new();
        let spools = watched.iter().filter_map(|lane: &WatchedLane| lane.spool.clone()).collect();
        let running =
            Self { plan, pipeline, ready, stopping, ended, spools, unstarted, deliveries, ticker, deadline: None };
        running.serve(watched, state)?;
        Ok(running)
    }

    /// Opens the spools, which belong to the owner of the state folder.
    pub(super) fn start_deliveries(&mut self, state: &Arc<State>) -> Result<(), RunError> {
        let names: Arc<[String]> = self.plan.input_names.clone().into();
        let owners = (&self.pipeline.ledger, &self.pipeline.memory);
        for Unstarted { delivery, receiver, spool } in self.unstarted.drain(..) {
            delivery.lane.output.start(&delivery.lane.name, state);
            let spooling = match (spool, &delivery.spool) {
                (Some(settings), Some(shared)) => {
                    let shared = Arc::clone(shared);
                    let opened = Spooling::open(settings, &delivery.lane, owners, Arc::clone(&names), shared);
                    let failed =
                        |e| RunError::new(format!("cannot open the spool of {}: {e}", delivery.lane.name), None);
                    Some(opened.map_err(failed)?)
                }
                _ => None,
            };
            self.deliveries.push(tokio::spawn(delivery.run(receiver, spooling)));
        }
        Ok(())
    }

    /// All that shall run does.
    pub(super) fn say_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Starts the work that filters have beside the data path; it ends with the runtime.
    pub(super) fn start_filters(&self, state: &Arc<State>) {
        let (apis, instances) = (Apis::default(), Instances::default());
        let context = || {
            let pipeline = Arc::clone(&self.pipeline);
            FilterContext {
                environment: self.plan.environment.clone(),
                state: Arc::clone(state),
                wake: Arc::new(move || pipeline.made_room()),
                apis: apis.clone(),
                instances: instances.clone(),
            }
        };
        self.pipeline.filter_tasks(context).into_iter().for_each(|task| _ = tokio::spawn(task));
    }

    fn serve(&self, lanes: Vec<WatchedLane>, state: Arc<State>) -> Result<(), RunError> {
        let service = &self.plan.service;
        if !service.http_server {
            return Ok(());
        }
        let listener = admin::bind(Listen { address: service.http_listen.0, port: service.http_port })
            .map_err(|e| RunError::new(e.to_string(), e.hint().map(str::to_owned)))?;
        let subject = Watched {
            pipeline: Arc::clone(&self.pipeline),
            ready: Arc::clone(&self.ready),
            input_names: self.plan.input_names.clone(),
            filter_names: self.plan.filter_names.clone(),
            lanes,
            stall: service.health_stall.0,
            state,
            started: Instant::now(),
            started_at: SystemTime::now(),
            hostname: hostname(&self.plan.environment),
        };
        let routes: admin::Routes = Arc::new(move |path, query| admin::page(&subject, path, query));
        tokio::spawn(admin::serve(listener, routes, std::future::pending()));
        Ok(())
    }

    /// Waits while another agent owns the state folder; `false` when told to stop meanwhile.
    pub(super) async fn own(&self, state: &State, signals: &mut Signals) -> bool {
        let mut said = false;
        while !state.owned() && !state.try_own() {
            if !std::mem::replace(&mut said, true) {
                self.say_who_owns(state);
            }
            self.pipeline.beat();
            tokio::select! {
                () = tokio::time::sleep(LOCK_RETRY) => {}
                () = signals.stop() => return false,
            }
        }
        state.retire(RETIRE_AFTER);
        self.pipeline.beat();
        true
    }

    fn say_who_owns(&self, state: &State) {
        let owner = state.owner().map_or_else(String::new, |pid| format!(" (pid {pid})"));
        let folder = self.plan.state_folder.as_deref().unwrap_or(std::path::Path::new("")).display();
        tracing::error!(
            "another agent{owner} owns the state folder {folder}: waiting until it ends; hint: give each agent its own `state_dir`"
        );
    }

    /// Waits for a signal or for the inputs; then asks them to end and waits until they have. `false`: one did not in time.
    pub(super) async fn wait_for_end(
        &mut self,
        stops: &[Arc<Stop>],
        all_ended: &mut mpsc::UnboundedReceiver<()>,
        signals: &mut Signals,
    ) -> bool {
        let mut running = stops.len();
        while running > 0 {
            tokio::select! {
                // `None`: those that are left panicked.
                ended = all_ended.recv() => running = if ended.is_some() { running - 1 } else { 0 },
                () = signals.stop() => self.stop(stops),
                () = late(self.deadline) => {
                    tracing::error!("an input did not end in time and is left behind; its positions are those of the last commit");
                    return false;
                }
            }
        }
        true
    }

    fn stop(&mut self, stops: &[Arc<Stop>]) {
        let (now, grace) = (Instant::now(), self.plan.service.grace.0);
        let first = self.deadline.is_none();
        // A second signal means now.
        let deadline = now + if first { grace } else { Duration::ZERO };
        self.deadline = Some(deadline);
        tracing::info!(grace_seconds = grace.as_secs_f64(), drain = self.plan.drains, "stopping");
        if first && self.plan.drains {
            let drain = Drain { since: now, until: now + grace.mul_f64(DRAIN_UNTIL) };
            stops.iter().for_each(|s| s.drain_first(drain));
        }
        self.pipeline.stop_lingering();
        // What is not delivered by then goes to the spool, and the inputs still have time to commit their positions.
        let spool_at = if self.plan.drains { SPOOL_AT_OF_DRAIN } else { SPOOL_AT };
        let _ = self.stopping.send(Some(now + deadline.saturating_duration_since(now).mul_f64(spool_at)));
        stops.iter().for_each(|s| s.request(deadline));
    }

    /// The inputs have ended: deliver what is left, in the time that is left. Inputs that ended by themselves set no limit.
    pub(super) async fn finish(mut self) {
        self.pipeline.stop_lingering();
        if let Some((stop, ticker)) = self.ticker.take() {
            let _ = stop.send(());
            let _ = ticker.await;
        }
        let _ = self.ended.send(true);
        let last = Instant::now() + LAST_SAVE;
        for delivery in &mut self.deliveries {
            let _ = tokio::time::timeout_at(last.into(), delivery).await;
        }
        let spooled = self.spools.iter().map(|spool| lock(&spool.status).pending.records).sum::<u64>();
        if spooled > 0 {
            tracing::info!(records = spooled, "not delivered yet; the spool keeps them for the next start");
        }
        let pending = self.pipeline.ledger.accounts().outputs.iter().map(|o| o.pending.records).sum::<u64>();
        let pending = pending.saturating_sub(spooled);
        if pending > 0 {
            tracing::warn!(
                records = pending,
                "not delivered within the grace period; their positions stay before them"
            );
        }
        self.deliveries.iter().for_each(tokio::task::JoinHandle::abort);
        tracing::info!("stopped");
    }
}

/// Ends when an input has had its time and a little more; never while there is no deadline.
async fn late(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until((deadline + LAST_COMMIT).into()).await,
        None => std::future::pending().await,
    }
}

fn verdict_limits(service: &ServiceOptions) -> VerdictLimits {
    VerdictLimits {
        errors_max: service.hc_errors_count,
        retry_failures_max: service.hc_retry_failure_count,
        period: service.hc_period.0,
    }
}

/// Where refused records are kept, if that is asked for: a file that cannot be written must not be found out by what it was to keep.
fn dead_letters(plan: &Plan) -> Result<Option<Arc<Mutex<DeadLetters>>>, RunError> {
    let Some(path) = &plan.service.storage_dead_letter else { return Ok(None) };
    let path = plan.folder.join(path);
    let mut dead_letters = DeadLetters::new(path.clone(), plan.service.storage_dead_letter_limit.0);
    dead_letters.prepare().map_err(|error| {
        let hint = "what a destination refuses is to be kept there: check `storage.dead_letter`";
        RunError::new(format!("cannot write {}: {error}", path.display()), Some(hint.into()))
    })?;
    Ok(Some(Arc::new(Mutex::new(dead_letters))))
}

/// The spool of an output, where there are spools.
fn spool_settings(plan: &Plan, output: &str, bytes_max: u64) -> Option<SpoolSettings> {
    let folder = plan.storage_path.as_ref()?.join(spool::folder_name(output));
    let sync = match plan.service.storage_sync {
        StorageSync::Normal => spool::Sync::Normal,
        StorageSync::Full => spool::Sync::Full,
    };
    Some(SpoolSettings {
        folder,
        options: spool::SpoolOptions { bytes_max, sync },
        on_full: plan.service.storage_on_full,
        min_free_percent: plan.service.storage_min_free.0,
    })
}

fn start_ticker(pipeline: &Arc<Pipeline>) -> (oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let (stop, mut stopped) = oneshot::channel();
    let pipeline = Arc::clone(pipeline);
    let ticker = tokio::spawn(async move {
        let mut clock = tokio::time::interval(TICK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = clock.tick() => pipeline.tick(),
                _ = &mut stopped => return,
            }
            if pipeline.rests() {
                tokio::select! {
                    () = pipeline.begun.notified() => {}
                    () = tokio::time::sleep(RESTING_TICK) => {}
                    _ = &mut stopped => return,
                }
            }
        }
    });
    (stop, ticker)
}

/// A delivery that waits for the state folder to be ours.
struct Unstarted {
    delivery: Delivery,
    receiver: mpsc::UnboundedReceiver<Finished>,
    spool: Option<SpoolSettings>,
}
