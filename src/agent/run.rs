//! From a plan to a running process, and to its end.

use super::concurrency::Concurrency;
use super::dead_letter::DeadLetters;
use super::delivery::{Delivery, Progress};
use super::ledger::{InputAccount, Ledger, OutputAccount};
use super::memory::{self, Memory};
use super::pipeline::{Lane, Pipeline, lock};
use super::plan::{Plan, PlannedOutput};
use super::request::Finished;
use super::spare::Spare;
use super::spooling::{SpoolSettings, SpoolShared, Spooling};
use super::verdict::VerdictLimits;
use crate::admin::{self, Classic, Gauge, Listen, Snapshot, Subject};
use crate::config::{Environment, ServiceOptions, StorageSync};
use crate::filter::{FilterContext, Measure, Measured};
use crate::input::{Context, Drain, Input, OwnOutput, Pipe, Stop};
use crate::output::{Output, OutputContext};
use crate::record::time::{DateFormat, push_date};
use crate::spool;
use crate::state::State;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};
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
/// How often the lock of the state folder is tried while another agent has it.
const LOCK_RETRY: Duration = Duration::from_secs(1);
/// So long an input may take after its deadline to commit its positions: a disk that hangs must not hold up the end.
const LAST_COMMIT: Duration = Duration::from_secs(2);
/// After this the rows of files that are gone are forgotten; an empty scan alone never does that.
const RETIRE_AFTER: Duration = Duration::from_secs(14 * 86_400);

/// Why it could not run.
#[derive(Debug)]
pub struct RunError {
    /// What and where.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// drave itself failed: neither the configuration nor the machine is to blame.
    pub internal: bool,
}

impl RunError {
    pub(super) fn new(message: String, hint: Option<String>) -> Self {
        Self { message, hint, internal: false }
    }
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RunError {}

/// Runs a plan until SIGTERM or SIGINT, or until every input has ended by itself.
///
/// # Errors
/// What keeps it from starting: a file that an output names, a port that is taken, no threads. And a reading thread that
/// panicked.
pub fn run(mut plan: Plan, log_files: &[(u64, u64)]) -> Result<(), RunError> {
    plan.leftovers().iter().for_each(|leftover| tracing::warn!("{}; hint: {}", leftover.message(), leftover.hint()));
    let outputs = std::mem::take(&mut plan.outputs);
    let made = make_outputs(&plan, outputs)?;
    let runtime = start_runtime(&plan)?;
    let ended = runtime.block_on(run_until_the_end(plan, made, log_files));
    // Not dropped: that would wait for a write to a pipe that nobody reads, or for a resolver that hangs.
    runtime.shutdown_background();
    ended
}

pub(super) fn start_runtime(plan: &Plan) -> Result<tokio::runtime::Runtime, RunError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(plan.service.threads.max(1)))
        .max_blocking_threads(16)
        .thread_name("deliver")
        .enable_all()
        .build()
        .map_err(|e| RunError::new(format!("cannot start threads: {e}"), None))
}

async fn run_until_the_end(mut plan: Plan, made: Vec<Made>, log_files: &[(u64, u64)]) -> Result<(), RunError> {
    let mut signals = Signals::listen()?;
    let inputs = std::mem::take(&mut plan.inputs);
    let state = Arc::new(State::open(plan.state_folder.as_deref()));
    let stops: Vec<Arc<Stop>> = inputs.iter().map(|_| Arc::new(Stop::default())).collect();
    // Before the state is ours: a liveness probe is answered while another agent still owns it.
    let mut running = Running::start(plan, made, &stops, Arc::clone(&state))?;
    if !running.own(&state, &mut signals).await {
        return Ok(());
    }
    running.start_deliveries(&state)?;
    running.start_filters(&state);
    let (ended, mut all_ended) = mpsc::unbounded_channel();
    let own = OwnOutput { files: log_files.to_vec(), ..own_pod(&running.plan.environment) };
    let context = |stop: &Arc<Stop>| Context {
        pipe: Arc::clone(&running.pipeline) as Arc<dyn Pipe>,
        stop: Arc::clone(stop),
        state: Arc::clone(&state),
        own: own.clone(),
    };
    let started = inputs.into_iter().zip(&stops).map(|(input, stop)| start_input(input, context(stop), ended.clone()));
    let threads: Vec<JoinHandle<()>> =
        started.collect::<Result<_, _>>().map_err(|e| RunError::new(format!("cannot start a thread: {e}"), None))?;
    drop(ended);
    running.ready.store(true, Ordering::Release);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "running");
    let all_ended = running.wait_for_end(&stops, &mut all_ended, &mut signals).await;
    // Those who have ended: nothing is waited for here.
    let panicked = all_ended && threads.into_iter().map(JoinHandle::join).any(|ended| ended.is_err());
    running.finish().await;
    if panicked {
        let message = "a reading thread ended with a panic; its positions are those of the last commit".to_owned();
        let hint = Some("please report it, with the lines above; a restart goes on where it was".into());
        return Err(RunError { message, hint, internal: true });
    }
    Ok(())
}

fn start_input(
    input: Box<dyn Input>,
    context: Context,
    ended: mpsc::UnboundedSender<()>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("read".into()).spawn(move || {
        input.run(context);
        let _ = ended.send(());
    })
}

/// SIGTERM and SIGINT; SIGHUP, which a closed terminal or an operator's habit sends, only gets a warning. Listened to once and from the beginning on, so that none is lost between two who wait.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, RunError> {
        let listen = |kind| signal(kind).map_err(|e| RunError::new(format!("cannot listen to signals: {e}"), None));
        let (term, int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { term, int, hangup: listen(SignalKind::hangup())? })
    }

    pub(super) async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::warn!("SIGHUP is ignored; hint: restart drave to use another configuration, no record is lost by that");
                }
            }
        }
    }
}

/// An output that is ready to send.
pub(super) struct Made {
    pub(super) planned: PlannedOutput,
    pub(super) output: Arc<dyn Output>,
}

pub(super) fn make_outputs(plan: &Plan, outputs: Vec<PlannedOutput>) -> Result<Vec<Made>, RunError> {
    let context = OutputContext {
        service: &plan.service,
        environment: &plan.environment,
        terminal: std::io::IsTerminal::is_terminal(&std::io::stdout()),
    };
    let make = |mut planned: PlannedOutput| {
        let start = std::mem::replace(&mut planned.start, Box::new(|_| unreachable_output()));
        match start(&context) {
            Ok(output) => Ok(Made { planned, output }),
            Err(error) => Err(RunError::new(format!("{error} ({})", planned.at), error.hint)),
        }
    };
    outputs.into_iter().map(make).collect()
}

fn unreachable_output() -> Result<Arc<dyn Output>, crate::output::OutputError> {
    Err(crate::output::OutputError { message: "an output is made once".into(), hint: None })
}

/// Which pod drave runs in: its log must not be read.
fn own_pod(environment: &Environment) -> OwnOutput {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // kubelet mounts /etc/hosts from a folder that is named by the pod's UID.
    let uid = mounts.lines().find_map(|line| {
        let (_, rest) = line.split_once("/pods/")?;
        let (uid, file) = rest.split_once('/')?;
        file.starts_with("etc-hosts ").then(|| uid.to_owned())
    });
    let in_cluster = environment.get("KUBERNETES_SERVICE_HOST").is_some();
    let name = environment.get("POD_NAME").or(environment.get("HOSTNAME")).filter(|_| in_cluster);
    let namespace = environment.get("POD_NAMESPACE").filter(|_| in_cluster).map(str::to_owned);
    OwnOutput { files: Vec::new(), pod_uid: uid, pod_name: name.map(str::to_owned), pod_namespace: namespace }
}

struct Running {
    plan: Plan,
    pipeline: Arc<Pipeline>,
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
    fn start(plan: Plan, made: Vec<Made>, stops: &[Arc<Stop>], state: Arc<State>) -> Result<Self, RunError> {
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
                let (spare, may_spool) = (Spare::new(memory.share()), AtomicBool::new(false));
                let PlannedOutput { name, matches, .. } = planned;
                Arc::new(Lane { number, name, output, limits, linger, matches, finished, spare, may_spool })
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
        let dead_letters = dead_letters(&plan);
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
    fn start_deliveries(&mut self, state: &Arc<State>) -> Result<(), RunError> {
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

    /// Starts the work that filters have beside the data path; it ends with the runtime.
    fn start_filters(&self, state: &Arc<State>) {
        let context = || {
            let pipeline = Arc::clone(&self.pipeline);
            FilterContext {
                environment: self.plan.environment.clone(),
                state: Arc::clone(state),
                wake: Arc::new(move || pipeline.made_room()),
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
    async fn own(&self, state: &State, signals: &mut Signals) -> bool {
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
    async fn wait_for_end(
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
    async fn finish(mut self) {
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

/// Where refused records are kept, if that is asked for.
fn dead_letters(plan: &Plan) -> Option<Arc<Mutex<DeadLetters>>> {
    let path = plan.folder.join(plan.service.storage_dead_letter.as_ref()?);
    let dead_letters = DeadLetters::new(path, plan.service.storage_dead_letter_limit.0);
    Some(Arc::new(Mutex::new(dead_letters)))
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

/// What the admin pages look at, of one output.
struct WatchedLane {
    progress: Arc<Progress>,
    spool: Option<Arc<SpoolShared>>,
}

/// What the admin pages look at.
struct Watched {
    pipeline: Arc<Pipeline>,
    ready: Arc<AtomicBool>,
    input_names: Vec<String>,
    filter_names: Vec<String>,
    lanes: Vec<WatchedLane>,
    stall: Duration,
    state: Arc<State>,
    started: Instant,
    started_at: SystemTime,
    hostname: String,
}

/// The present moment, as in RFC 3339.
fn now() -> String {
    let mut date = Vec::new();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    push_date(&mut date, since.as_nanos() as i64, DateFormat::Iso8601);
    String::from_utf8_lossy(&date).trim_matches('"').to_owned()
}

/// This machine's name, for labels.
fn hostname(environment: &Environment) -> String {
    let of_kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = of_kernel().or_else(|| environment.get("HOSTNAME").map(str::to_owned));
    name.unwrap_or_default().trim().to_owned()
}

fn push_measure(snapshot: &mut Snapshot, filter: &str, measure: Measure) {
    let (value, mut labels) = (measure.value, vec![("filter", filter)]);
    labels.extend(measure.label.map(|reason| ("reason", reason)));
    match measure.what {
        Measured::PodsKnown => snapshot.gauge(Gauge::PodsKnown, &labels, value),
        Measured::FilesWaiting => snapshot.gauge(Gauge::FilesWaiting, &labels, value),
        Measured::WatchLive => snapshot.gauge(Gauge::WatchLive, &labels, value),
        Measured::WatchSilent => snapshot.gauge(Gauge::WatchSilent, &labels, value),
        Measured::WithoutMetadata => {
            snapshot.counter("filter_kubernetes_without_metadata_records", &labels, value as u64);
        }
        Measured::BadAnnotations => snapshot.counter("filter_kubernetes_bad_annotations", &labels, value as u64),
    }
}

impl Subject for Watched {
    fn snapshot(&self) -> Snapshot {
        let names: Vec<String> = self.pipeline.lanes.iter().map(|l| l.name.clone()).collect();
        let mut snapshot = self.pipeline.ledger.snapshot(&self.input_names, &names);
        for (lane, watched) in self.pipeline.lanes.iter().zip(&self.lanes) {
            let labels = [("output", lane.name.as_str())];
            let stalled = watched.progress.is_stalled(Instant::now(), self.stall);
            snapshot.gauge(Gauge::MemoryHeld, &labels, self.pipeline.memory.held(lane.number) as f64);
            snapshot.gauge(Gauge::InFlight, &labels, watched.progress.in_flight() as f64);
            snapshot.gauge(Gauge::Stalled, &labels, f64::from(u8::from(stalled)));
            let in_memory = self.pipeline.oldest(lane.number).map_or(Duration::ZERO, |since| since.elapsed());
            let mut oldest = in_memory;
            if let Some(spool) = &watched.spool {
                let status = *lock(&spool.status);
                let age = status.oldest.and_then(|oldest| oldest.elapsed().ok()).unwrap_or_default();
                oldest = oldest.max(age);
                snapshot.gauge(Gauge::SpoolBytes, &labels, status.bytes as f64);
                snapshot.gauge(Gauge::SpoolRecords, &labels, status.pending.records as f64);
                snapshot.gauge(Gauge::SpoolOldest, &labels, age.as_secs_f64());
                snapshot.gauge(Gauge::SpoolBlocked, &labels, f64::from(u8::from(spool.is_blocked())));
                snapshot.counter("output_spool_damaged_bytes", &labels, status.damaged_bytes);
            }
            snapshot.gauge(Gauge::PendingOldest, &labels, oldest.as_secs_f64());
            for (reason, records) in lane.output.changed_records() {
                snapshot.counter("output_changed_records", &[labels[0], ("reason", reason)], records);
            }
        }
        self.pipeline.counted(&mut |number, counted| {
            let name = self.filter_names.get(number).map_or("", String::as_str);
            snapshot.counter(counted.metric, &[("filter", name), ("kind", counted.kind)], counted.count);
        });
        for (name, measures) in self.filter_names.iter().zip(self.pipeline.measures()) {
            measures.into_iter().for_each(|measure| push_measure(&mut snapshot, name, measure));
        }
        snapshot.gauge(Gauge::StateDurable, &[], f64::from(u8::from(self.state.is_durable())));
        snapshot.gauge(Gauge::Uptime, &[], self.started.elapsed().as_secs_f64());
        snapshot
    }

    fn classic(&self) -> Classic {
        let accounts = self.pipeline.ledger.accounts();
        let outputs: Vec<String> = self.pipeline.lanes.iter().map(|l| l.name.clone()).collect();
        let in_flight = self.lanes.iter().map(|lane| lane.progress.in_flight());
        let filters = self.filter_names.iter().cloned().zip(self.pipeline.filtered());
        let full = self.pipeline.lanes.iter().any(|l| !self.pipeline.memory.has_room(l.number));
        Classic {
            inputs: self.input_names.iter().cloned().zip(accounts.inputs.iter().map(InputAccount::classic)).collect(),
            filters: filters.map(|(name, passed)| (name, passed.classic_of_filter())).collect(),
            outputs: outputs.iter().cloned().zip(accounts.outputs.iter().map(OutputAccount::classic)).collect(),
            connections: outputs.into_iter().zip(in_flight.clone()).collect(),
            chunks: in_flight.sum(),
            paused: self.input_names.iter().map(|name| (name.clone(), full)).collect(),
            uptime_seconds: self.started.elapsed().as_secs(),
            started: self.started_at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            hostname: self.hostname.clone(),
            date: now(),
        }
    }

    fn silence(&self) -> Duration {
        self.pipeline.silence()
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn complaint(&self) -> Option<String> {
        self.pipeline.ledger.complaint()
    }

    fn stalled(&self) -> Vec<String> {
        let lanes = self.pipeline.lanes.iter().zip(&self.lanes);
        let stalled = lanes.filter(|(_, watched)| watched.progress.is_stalled(Instant::now(), self.stall));
        stalled.map(|(lane, _)| lane.name.clone()).collect()
    }
}
