//! How far a file has been settled, and what the file is.

use std::path::PathBuf;

/// The most bytes of a file's beginning that a [`Fingerprint`] covers.
pub const FINGERPRINT_MAX: u32 = 1024;

/// What a file is, apart from its name: a hash of its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// Bytes of the file's beginning that it covers, at most [`FINGERPRINT_MAX`].
    pub len: u32,
    /// xxh3-64 of them.
    pub hash: u64,
}

/// How far a file has been settled. Its key within an input is path and inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The real path, after symlinks. Stored as its bytes, so any name is kept as it is.
    pub path: PathBuf,
    /// A hint only: it can change at a reboot.
    pub device: u64,
    /// The file's inode number.
    pub inode: u64,
    /// The file's beginning, as far as it was there when this was written.
    pub fingerprint: Fingerprint,
    /// Every byte before it is settled, but for those of `open`.
    pub settled: u64,
    /// How large the file was when this was written: if it is gone later, what was lost is known.
    pub size: u64,
    /// Byte ranges `[start, end)` below `settled`: pieces of records still open (a `P` without its `F`).
    pub open: Vec<(u64, u64)>,
    /// Read to its end after its name went; kept so that its `.gz` copy is not read again.
    pub finished: bool,
}

impl Position {
    /// Can this be true of a file? What comes back from disk is asked, what is committed is asked in debug builds.
    pub(super) fn is_sound(&self) -> bool {
        let below = |&(start, end): &(u64, u64)| start < end && end <= self.settled;
        self.fingerprint.len <= FINGERPRINT_MAX && self.open.iter().all(below)
    }
}

/// One change of the stored positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The position of a file, new or moved on. The same position again only says that the file is still known.
    Put {
        /// The input's name in the database: its alias, else its `path` as written.
        input: String,
        /// Where the file is now.
        position: Position,
    },
    /// This input began with the positions that another agent had left: never again, see
    /// [`State::has_taken_over`](super::State::has_taken_over).
    TakenOver {
        /// As in [`Change::Put`].
        input: String,
    },
    /// This file is no longer of interest. A renamed file is a `Put` of the new path and a `Remove` of the old one.
    Remove {
        /// As in [`Change::Put`].
        input: String,
        /// As in [`Position::path`].
        path: PathBuf,
        /// As in [`Position::inode`].
        inode: u64,
    },
    /// A file of a journal, and its last entry of which all before it are settled.
    PutCursor {
        /// As in [`Change::Put`].
        input: String,
        /// The file's id.
        file: String,
        /// As `journalctl` writes it.
        cursor: String,
    },
    /// This file of a journal is gone.
    RemoveCursor {
        /// As in [`Change::Put`].
        input: String,
        /// The file's id.
        file: String,
    },
}
