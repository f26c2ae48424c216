//! Where records come from. An input owns its thread and pushes batches into the pipeline.

pub mod tail;
pub mod systemd;
mod settings;
mod watch;
mod committer;
mod feed;
mod stdin;
mod kmsg;
mod dummy;

use crate::config::{Config, Opt, Report, Section};
use crate::record::{Batch, Source, SourceDraft};
use crate::state::State;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// May a source be read now?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// There is room.
    Go,
    /// An output of this source is full; read another one, the [`Wake`] tells when to ask again.
    Full,
    /// A filter does not know enough of this source yet; read another one, ask again soon.
    NotYet,
    /// A filter knows now that nothing of this source is wanted.
    LeftOut,
}

/// Something of a file could not be read any more; the `reason` label of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LostReason {
    /// It vanished while drave was down.
    GoneBeforeRead,
    /// It was truncated or written anew before its end was read.
    Truncated,
    /// It could not be read: an I/O error, a damaged gzip file.
    Unreadable,
    /// It was deleted, and deleted files held more than `storage.held_limit`.
    HeldLimit,
    /// It was deleted, and its disk had less free than `storage.min_free`.
    DiskFull,
    /// The kernel's buffer was full, and newer messages took the place of those that were not read.
    Overwritten,
}

impl LostReason {
    /// As metrics write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::GoneBeforeRead => "gone_before_read",
            Self::Truncated => "truncated",
            Self::Unreadable => "unreadable",
            Self::HeldLimit => "held_limit",
            Self::DiskFull => "disk_full",
            Self::Overwritten => "overwritten",
        }
    }
}

/// What happens to the files that an input follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileEvent {
    /// It is read from now on.
    Opened,
    /// It is let go.
    Closed,
    /// Another file has taken its name.
    Rotated,
}

/// What an input is doing with the files of one namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Gauges {
    /// Files held open.
    pub files_open: u64,
    /// Bytes written and not yet read.
    pub bytes_behind: u64,
    /// Age of the oldest of them, in seconds.
    pub oldest_unread_seconds: f64,
    /// Bytes in deleted files that are held open until they are read.
    pub deleted_held_bytes: u64,
}

/// The way into the pipeline.
pub trait Pipe: Send + Sync {
    /// Asks the filters about a source and finds its outputs. `None`: a filter leaves it out.
    fn open(&self, draft: SourceDraft) -> Option<Arc<Source>>;
    /// May more of this source be read? Where filters know something new of it, the source is another one afterwards.
    fn admit(&self, source: &mut Arc<Source>) -> Admission;
    /// The same at an end after which nobody will read the source: filters get no more time.
    fn insist(&self, source: &mut Arc<Source>) -> Admission {
        self.admit(source)
    }
    /// Sends what waits for company at once, because the reader waits for room.
    fn hurry(&self, source: &Source);
    /// Hands over a batch; its memory comes back empty.
    fn push(&self, batch: &mut Batch);
    /// Bytes that could not be read, by reason.
    fn lost(&self, input: usize, reason: LostReason, bytes: u64);
    /// Entries that could not be read, by reason, where they are known one by one.
    fn lost_entries(&self, _input: usize, _reason: LostReason, _entries: u64) {}
    /// Bytes that nobody wants: there before drave came (`read_from_head off`), or of a source that a filter leaves out.
    fn skipped(&self, input: usize, bytes: u64);
    /// The present state of an input's files by namespace; takes the place of what was said before.
    fn gauges(&self, input: usize, by_namespace: Vec<(String, Gauges)>);
    /// Counts what happened to one of its files.
    fn file(&self, _input: usize, _event: FileEvent) {}
    /// How many directories could not be watched, so that scans find their files.
    fn unwatched(&self, folders: u64);
    /// Says that the thread is alive.
    fn beat(&self);
}

/// Wakes a waiting thread: for a directory event, for room, for the end.
#[derive(Debug, Default)]
pub struct Wake {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    /// Lets [`wait`](Self::wait) return.
    pub fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Returns when woken since the last return, at latest after `timeout`.
    pub fn wait(&self, timeout: Duration) {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(woken, timeout, |woken| !*woken);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// Files are read on after the end was asked for: what is not read is gone with the pod.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// When the end was asked for.
    pub since: Instant,
    /// When reading ends, quiet or not: what was read has to be delivered, too.
    pub until: Instant,
}

/// Tells an input when to stop.
#[derive(Debug, Default)]
pub struct Stop {
    requested: AtomicBool,
    deadline: Mutex<Option<Instant>>,
    drain: Mutex<Option<Drain>>,
    /// Also wakes the input's thread.
    pub wake: Arc<Wake>,
}

impl Stop {
    /// Asks for the end, all work done until `deadline`.
    pub fn request(&self, deadline: Instant) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.requested.store(true, Ordering::Release);
        self.wake.wake();
    }

    /// The end that is asked for next leaves time for what is still being written.
    pub fn drain_first(&self, drain: Drain) {
        *self.drain.lock().unwrap_or_else(PoisonError::into_inner) = Some(drain);
    }

    /// That time, where there is any.
    pub fn drain(&self) -> Option<Drain> {
        *self.drain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Was the end asked for?
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Until when, once it was asked for.
    pub fn deadline(&self) -> Option<Instant> {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an input runs with.
pub struct Context {
    /// The way into the pipeline.
    pub pipe: Arc<dyn Pipe>,
    /// When to stop.
    pub stop: Arc<Stop>,
    /// Positions.
    pub state: Arc<State>,
    /// What drave itself writes: it must not be read.
    pub own: OwnOutput,
}

/// How drave's own log is recognised among the files.
#[derive(Debug, Clone, Default)]
pub struct OwnOutput {
    /// Device and inode of standard output, standard error and the log file.
    pub files: Vec<(u64, u64)>,
    /// The UID of the pod that drave runs in.
    pub pod_uid: Option<String>,
    /// Its name; it counts where the UID is not known.
    pub pod_name: Option<String>,
    /// Its namespace.
    pub pod_namespace: Option<String>,
    /// The invocation id of the systemd service that drave is, where its log goes into the journal.
    pub invocation: Option<String>,
}

/// Reads something and pushes batches.
pub trait Input: Send {
    /// Runs until told to stop, or until there is nothing more to come. Positions are committed when it returns.
    fn run(self: Box<Self>, context: Context);
}

/// What inputs are made with.
#[derive(Debug)]
pub struct InputContext<'a> {
    /// For parsers and the service's options.
    pub config: &'a Config,
    /// Number of each section among the configuration's inputs, in the order of the sections.
    pub numbers: Vec<usize>,
}

/// Makes one input of all sections of its name, without side effects.
pub type Configure = fn(&[&Section], &InputContext<'_>, &mut Report) -> Option<Box<dyn Input>>;

/// An input of the registry.
pub struct InputPlugin {
    /// As in `name: tail`.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Its declarations; the options of all inputs come on top.
    pub options: &'static [&'static [Opt]],
    /// What differs from Fluent Bit on purpose, and why; one list per group.
    pub deviations: &'static [&'static [(&'static str, &'static str)]],
    /// Checks its sections.
    pub configure: Configure,
    /// The folder for positions that a section asks for, where `service.state_dir` does not say.
    pub state_folder: fn(&Section) -> Option<PathBuf>,
}

/// Every input there is.
pub static INPUTS: &[InputPlugin] = &[tail::PLUGIN, systemd::PLUGIN, stdin::PLUGIN, kmsg::PLUGIN, dummy::PLUGIN];
