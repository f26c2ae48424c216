//! Keeps the rows in memory and gets them to disk, whatever state the disk is in.
//!
//! ```text
//!              ┌───────────── 10 s, or the file was deleted under us ────────────────┐
//!              ▼                                                                     │
//!  try: folder ─▶ lock ─▶ drave.db, else drave.v1.db ─▶ load ─▶ open ─▶ commits ─────┤ cannot be read or written
//!         │        │                 │                    │        │                 │
//!         │        │                 │                    ▼        ▼                 ▼
//!         │        │                 │                 damaged: set aside,    in memory only;
//!         │        │                 │                 a new one, all rows    pending rows wait
//!         └────────┴─────────────────┴──────────── fails ───────────────────────────▶┘
//! ```
//!
//! A lock of others or a full disk leaves the database open and is tried again at the next commit.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::database::{Database, Found};
use super::lock::Lock;
use super::place;
use super::pods::PendingPods;
use super::rows::Rows;
use super::{Change, Position, StateError, Sync};

/// Between two tries to open the database, and between two signs of life while nothing else is written.
const RETRY: Duration = Duration::from_secs(10);

/// At start it pays to wait for a lock: without positions files may be sent again.
const PATIENCE_AT_START: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_millis(200);

/// Everything behind the mutex of `State`.
#[derive(Debug)]
pub(super) struct Keeper {
    folder: Option<PathBuf>,
    lock: Option<Lock>,
    database: Option<Database>,
    rows: Rows,
    /// Not in the database yet.
    pods: PendingPods,
    sync: Sync,
    last_alive: Option<SystemTime>,
    /// Rows of earlier owners may be missing.
    incomplete: bool,
    /// Why the last try did not reach the disk.
    trouble: Option<StateError>,
    pub(super) retry_at: Instant,
    pub(super) beat_at: Instant,
}

impl Keeper {
    pub(super) fn new(folder: Option<&Path>) -> Keeper {
        let now = Instant::now();
        let mut keeper = Keeper {
            folder: folder.map(Path::to_path_buf),
            lock: None,
            database: None,
            rows: Rows::new(),
            pods: PendingPods::new(),
            sync: Sync::Normal,
            last_alive: None,
            incomplete: false,
            trouble: None,
            retry_at: now,
            beat_at: now,
        };
        keeper.start();
        keeper
    }

    pub(super) fn owned(&self) -> bool {
        !matches!(self.trouble, Some(StateError::Owned { .. }))
    }

    pub(super) fn owner(&self) -> Option<u32> {
        match self.trouble {
            Some(StateError::Owned { pid, .. }) => pid,
            _ => None,
        }
    }

    pub(super) fn try_own(&mut self) -> bool {
        if !self.owned() {
            self.trouble = None;
            self.start();
        }
        self.owned()
    }

    pub(super) fn positions(&self, input: &str) -> Vec<Position> {
        self.rows.positions(input)
    }

    pub(super) fn positions_of_others(&self, inputs: &[&str]) -> Vec<(String, Position)> {
        self.rows.positions_of_others(inputs)
    }

    pub(super) fn cursors(&self, input: &str) -> Vec<(String, String)> {
        self.rows.cursors.of(input)
    }

    pub(super) fn has_taken_over(&self, input: &str) -> bool {
        self.rows.has_taken_over(input)
    }

    pub(super) fn known(&self, owner: &str) -> Vec<String> {
        self.rows.known.names(owner)
    }

    pub(super) fn note_known(&mut self, owner: &str, name: &str) {
        let now = self.rows.running();
        self.rows.known.put((owner.to_owned(), name.to_owned()), now);
    }

    pub(super) fn forget_known(&mut self, owner: &str, name: &str) {
        self.rows.known.remove((owner.to_owned(), name.to_owned()));
    }

    pub(super) fn pods(&self) -> Vec<(String, Vec<u8>)> {
        let Some(Ok(pods)) = self.database.as_ref().map(Database::pods) else { return Vec::new() };
        pods
    }

    pub(super) fn keep_pods(&mut self, pods: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) {
        if self.folder.is_some() {
            self.pods.extend(pods);
        }
    }

    pub(super) fn folder(&self) -> Option<PathBuf> {
        self.folder.clone()
    }

    pub(super) fn commit(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        self.rows.apply(changes);
        self.flush()
    }

    pub(super) fn last_alive(&self) -> Option<SystemTime> {
        self.last_alive
    }

    pub(super) fn is_complete(&self) -> bool {
        !self.incomplete
    }

    pub(super) fn retire(&mut self, older_than: Duration) -> usize {
        self.rows.retire(older_than)
    }

    pub(super) fn is_durable(&self) -> bool {
        self.database.is_some() && self.trouble.is_none()
    }

    pub(super) fn set_sync(&mut self, sync: Sync) {
        self.sync = sync;
        if let Some(Err(error)) = self.database.as_ref().map(|database| database.set_sync(sync)) {
            tracing::warn!("db.sync was not changed: {error}");
        }
    }

    /// Writes what is pending, and a sign of life when one is due.
    pub(super) fn flush(&mut self) -> Result<(), StateError> {
        let Some(folder) = self.folder.clone() else {
            self.rows.written();
            return Ok(());
        };
        let beat_is_due = Instant::now() >= self.beat_at;
        if self.trouble.is_none() && !self.rows.has_pending() && self.pods.is_empty() && !beat_is_due {
            return Ok(());
        }
        if beat_is_due {
            self.beat_at = Instant::now() + RETRY;
            self.let_go_if_gone(&folder);
        }
        let result = self.write(&folder);
        self.note(&result);
        result
    }

    /// The first try, or the next one of an agent that waits for another. Who owns the folder is for the agent to say.
    fn start(&mut self) {
        let Some(folder) = self.folder.clone() else { return };
        match self.connect(&folder, PATIENCE_AT_START) {
            Err(owned @ StateError::Owned { .. }) => self.trouble = Some(owned),
            result => {
                self.incomplete |= result.is_err();
                self.note(&result);
            }
        }
    }

    fn write(&mut self, folder: &Path) -> Result<(), StateError> {
        if self.database.is_none() {
            if let Some(trouble) = self.trouble.clone().filter(|_| Instant::now() < self.retry_at) {
                return Err(trouble);
            }
            self.connect(folder, PATIENCE)?;
        }
        match self.write_once() {
            Err(StateError::Damaged { cause, .. }) => {
                self.renew(folder, &cause)?;
                self.write_once()
            }
            result => result,
        }
    }

    fn write_once(&mut self) -> Result<(), StateError> {
        let Some(database) = &mut self.database else { return Ok(()) };
        let result = database.write(&self.rows, &self.pods);
        match &result {
            Ok(()) => {
                self.rows.written();
                self.pods.clear();
                self.beat_at = Instant::now() + RETRY;
            }
            // What the connection believes about its files may be wrong by now.
            Err(StateError::Unavailable { .. }) => {
                self.retry_at = Instant::now() + RETRY;
                self.database.take().into_iter().for_each(Database::abandon);
            }
            Err(_) => {}
        }
        result
    }

    fn connect(&mut self, folder: &Path, patience: Duration) -> Result<(), StateError> {
        self.retry_at = Instant::now() + RETRY;
        place::prepare(folder)?;
        if self.lock.is_none() {
            self.lock = Some(Lock::take(folder)?);
        }
        let [first, second] = place::candidates(folder);
        match self.take(&first, patience) {
            Err(not_ours @ StateError::NotOurs { .. }) => {
                tracing::error!("{not_ours}; {} is used meanwhile", second.display());
                self.take(&second, patience)
            }
            result => result,
        }
    }

    /// Opens or makes the database at `path` and brings its rows and those in memory together.
    fn take(&mut self, path: &Path, patience: Duration) -> Result<(), StateError> {
        let written = place::last_written(path);
        let damage = match self.open(path, patience) {
            Ok(None) => return Ok(()),
            Ok(Some(cause)) | Err(StateError::Damaged { cause, .. }) => Some(cause),
            Err(_) if !path.exists() => place::has_leftovers(path).then(|| "its main file is gone".to_owned()),
            Err(error) => return Err(error),
        };
        if let Some(cause) = damage {
            self.incomplete = true;
            place::set_aside(path, &cause)?;
            self.last_alive = self.last_alive.or(written);
        }
        Database::create(path)?;
        self.open(path, patience).map(drop)
    }

    /// Opens the database at `path`; a damaged one gives its rows, is closed, and its damage returned.
    fn open(&mut self, path: &Path, patience: Duration) -> Result<Option<String>, StateError> {
        let database = Database::open(path, self.sync, patience)?;
        let Found { rows, mended, unreadable, taken_over, known, cursors, alive, running, damage } = database.load()?;
        self.last_alive = self.last_alive.or(alive);
        if !mended.is_empty() || unreadable > 0 {
            self.incomplete = true;
            tracing::error!(
                "{} rows of {} are damaged: their files are read again from the beginning, {unreadable} files are not known \
                 any more; hint: check the disk",
                mended.len(),
                path.display()
            );
        }
        if damage.is_some() {
            self.rows.rescue(rows.into_iter().chain(mended));
            self.rows.rescue_taken_over(taken_over);
            self.rows.cursors.rescue(cursors);
            database.abandon();
        } else {
            self.rows.adopt(rows, running);
            self.rows.adopt_taken_over(&taken_over);
            self.rows.known.adopt(known);
            self.rows.cursors.adopt(cursors);
            self.rows.rescue(mended);
            self.database = Some(database);
        }
        Ok(damage)
    }

    /// Damage that showed itself late: everything is in memory, so the file can go.
    fn renew(&mut self, folder: &Path, cause: &str) -> Result<(), StateError> {
        let Some(database) = self.database.take() else { return Ok(()) };
        let path = database.path().to_path_buf();
        database.abandon();
        place::set_aside(&path, cause)?;
        self.connect(folder, PATIENCE)
    }

    /// Somebody deleted or replaced the files: what is written to them now, nobody would find again.
    fn let_go_if_gone(&mut self, folder: &Path) {
        let gone = |database: &Database| !database.is_in_place();
        if self.database.as_ref().is_some_and(gone) {
            tracing::error!(
                "the positions database in {} was deleted or replaced while in use, it is written anew; hint: stop drave first",
                folder.display()
            );
            self.database.take().into_iter().for_each(Database::abandon);
            self.retry_at = Instant::now();
        }
        if self.lock.as_ref().is_some_and(|lock| !lock.is_in_place()) {
            self.lock = None;
            self.database.take().into_iter().for_each(Database::abandon);
            self.retry_at = Instant::now();
        }
    }

    /// Says a trouble once, and when it is over.
    fn note(&mut self, result: &Result<(), StateError>) {
        let kind = std::mem::discriminant::<StateError>;
        match (result, &self.trouble) {
            (Ok(()), Some(_)) => tracing::info!("positions are on disk again, {} files", self.rows.len()),
            (Ok(()), None) => {}
            (Err(new), Some(old)) if kind(new) == kind(old) => {}
            (Err(locked @ StateError::Locked { .. }), _) => tracing::warn!("{locked}"),
            (Err(error), _) => tracing::error!("{error}"),
        }
        self.trouble = result.as_ref().err().cloned();
    }
}

#[cfg(test)]
impl Keeper {
    pub(super) fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// As if drave had been running for that long.
    pub(super) fn ran(&mut self, time: Duration) {
        self.rows.ran_before += time.as_secs();
    }
}
