//! Positions of files in one SQLite database per state folder. The only user of rusqlite.
//!
//! Beside them cursors of journals (cursors.rs), and the names that outputs have made at their destinations (known.rs).
//!
//! ```text
//!  input/tail ── commit ──▶ State ── Mutex ──▶ keeper ─┬─▶ rows       in memory, and what is pending
//!             ◀─ positions ─                           ├─▶ lock       drave.lock: one owner
//!                                                      ├─▶ place      which file, whose, set aside
//!                                                      └─▶ database   drave.db
//!  filter     ── keep_pods ─▶                           ├─▶ pods       a cache of what is known of them
//!             ◀─ fluent_bit ◀─ snapshot ◀─ another agent's database, which is only read
//! ```
//!
//! Memory leads and the disk follows: a commit is remembered first and then written with all that earlier commits could not
//! write. So nothing here stops the pipeline; what keeps positions from the disk is said once, with a hint, and
//! [`State::is_durable`] is false until it is over. What it costs, if drave ends meanwhile, is records sent twice.
//!
//! A row goes when its input removes it, or when it was not put for long *and* its file is gone ([`State::retire`]): a
//! volume that is not mounted yet looks like a folder without files.

mod cursors;
mod database;
mod error;
mod fault;
mod fluent_bit;
mod keeper;
mod known;
mod listing;
mod lock;
mod place;
mod pods;
mod position;
mod row;
mod rows;
mod snapshot;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

pub use error::StateError;
pub use fluent_bit::{FluentBitFile, FluentBitPositions};
pub use listing::{Listed, ListedCursor, Listing, list};
pub use position::{Change, FINGERPRINT_MAX, Fingerprint, Position};

use keeper::Keeper;

/// How surely a commit is on the disk's platter when it returns: Fluent Bit's `db.sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// As `Full`, and the folder is synced too.
    Extra,
    /// Each commit is synced. Costs an fsync per commit.
    Full,
    /// Synced now and then. A power failure may take back the last commits: records are sent twice, none is lost.
    #[default]
    Normal,
    /// Never synced. A power failure may damage the database.
    Off,
}

impl Sync {
    fn pragma(self) -> &'static str {
        match self {
            Sync::Extra => "EXTRA",
            Sync::Full => "FULL",
            Sync::Normal => "NORMAL",
            Sync::Off => "OFF",
        }
    }
}

/// The positions of all inputs, in memory and in the state folder. One per process, shared between its threads.
#[derive(Debug)]
pub struct State {
    keeper: Mutex<Keeper>,
}

impl State {
    /// Tries once to get the lock (see [`State::owned`]) and to open or make the database; without a folder positions live in
    /// memory. Never fails: what is wrong is said in the log and worked around, and tried again at a commit, each 10 s.
    pub fn open(folder: Option<&Path>) -> State {
        State { keeper: Mutex::new(Keeper::new(folder)) }
    }

    /// False while another agent owns the folder. No file may be read then: its positions are not known.
    pub fn owned(&self) -> bool {
        self.keeper().owned()
    }

    /// One more try to get the lock and open the database. True when the folder is ours, or cannot be anyone's.
    pub fn try_own(&self) -> bool {
        self.keeper().try_own()
    }

    /// False when positions of earlier runs may be missing: the database could not be read at the start, or was damaged.
    pub fn is_complete(&self) -> bool {
        self.keeper().is_complete()
    }

    /// The pid that the other agent wrote into its lock file; in a container often 1.
    pub fn owner(&self) -> Option<u32> {
        self.keeper().owner()
    }

    /// All positions of one input, by path and inode.
    pub fn positions(&self, input: &str) -> Vec<Position> {
        self.keeper().positions(input)
    }

    /// The positions of inputs that have none of these names, with the name; of each file the one that was put last.
    pub fn positions_of_others(&self, inputs: &[&str]) -> Vec<(String, Position)> {
        self.keeper().positions_of_others(inputs)
    }

    /// How far the files of a journal are settled: the id of each, and the cursor of its last entry of which that is so.
    pub fn cursors(&self, input: &str) -> Vec<(String, String)> {
        self.keeper().cursors(input)
    }

    /// Did this input begin with the positions of another agent? That is done once; its rows count from then on.
    pub fn has_taken_over(&self, input: &str) -> bool {
        self.keeper().has_taken_over(input)
    }

    /// Remembers the changes, and writes them and all that is pending in one transaction.
    ///
    /// # Errors
    /// They are not on disk yet. They are remembered, and written with the next commit that can; an empty one will do.
    pub fn commit(&self, changes: Vec<Change>) -> Result<(), StateError> {
        self.keeper().commit(changes)
    }

    /// The pods that were kept, by UID, as [`keep_pods`](Self::keep_pods) got them; none where the database cannot be read.
    pub fn pods(&self) -> Vec<(String, Vec<u8>)> {
        self.keeper().pods()
    }

    /// Keeps pods, or forgets those without an object; they are written with the next commit.
    pub fn keep_pods(&self, pods: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) {
        self.keeper().keep_pods(pods);
    }

    /// When the previous owner last committed or beat; of a damaged database, when it was last written. None if there was none.
    pub fn last_alive(&self) -> Option<SystemTime> {
        self.keeper().last_alive()
    }

    /// The names that an output has made at its destination and used not long ago; `owner` names both.
    pub fn known(&self, owner: &str) -> Vec<String> {
        self.keeper().known(owner)
    }

    /// Remembers a name, or that it is still used. On disk with the next commit or beat.
    pub fn note_known(&self, owner: &str, name: &str) {
        self.keeper().note_known(owner, name);
    }

    /// The name is not there any more.
    pub fn forget_known(&self, owner: &str, name: &str) {
        self.keeper().forget_known(owner, name);
    }

    /// Stores "alive now", at most each 10 s, and does then what a commit does.
    pub fn beat(&self) {
        // What went wrong was said.
        drop(self.keeper().flush());
    }

    /// Forgets the rows that were not put for that long (time in which drave was not running does not count) and whose file is
    /// gone from its path. The next commit deletes them. Returns how many.
    pub fn retire(&self, older_than: Duration) -> usize {
        self.keeper().retire(older_than)
    }

    /// Did the last commit reach the disk? False without a folder.
    pub fn is_durable(&self) -> bool {
        self.keeper().is_durable()
    }

    /// Sets how surely commits are on disk.
    pub fn synchronous(&self, level: Sync) {
        self.keeper().set_sync(level);
    }

    fn keeper(&self) -> MutexGuard<'_, Keeper> {
        // Nothing in there is left half done by a panic: memory changes first, and what is pending stays so.
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
