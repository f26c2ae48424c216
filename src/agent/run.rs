//! From a plan to a running process, and to its end.

use super::plan::{Plan, PlannedOutput};
use super::running::Running;
use crate::config::Environment;
use crate::input::{Context, Input, OwnOutput, Pipe, Stop};
use crate::output::{Output, OutputContext};
use crate::state::State;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

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
    plan.chunks().iter().for_each(|chunks| tracing::error!("{}; hint: {}", chunks.message(), chunks.hint()));
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
    let environment = &running.plan.environment;
    let invocation = own_invocation(environment, log_files);
    let own = OwnOutput { files: log_files.to_vec(), invocation, ..own_pod(environment) };
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
    running.say_ready();
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
    OwnOutput { pod_uid: uid, pod_name: name.map(str::to_owned), pod_namespace: namespace, ..OwnOutput::default() }
}

/// As which invocation of a service drave writes into the journal. The variables are inherited: `JOURNAL_STREAM`, the device and the inode
/// of a socket, says whether they mean this process.
fn own_invocation(environment: &Environment, log_files: &[(u64, u64)]) -> Option<String> {
    let (device, inode) = environment.get("JOURNAL_STREAM")?.split_once(':')?;
    let stream = (device.parse().ok()?, inode.parse().ok()?);
    environment.get("INVOCATION_ID").filter(|_| log_files.contains(&stream)).map(str::to_owned)
}
