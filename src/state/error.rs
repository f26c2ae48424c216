//! Why positions are not on disk at the moment. They are in memory then, and the next commit tries again.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

/// Why a commit did not reach the disk. Nothing is lost by it: the rows wait in memory for the next commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateError {
    /// Another agent owns the folder.
    Owned {
        /// The state folder.
        folder: PathBuf,
        /// What the other agent wrote into its lock file.
        pid: Option<u32>,
    },
    /// Another process has the database locked.
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// The disk, or a quota, is full.
    Full {
        /// The database.
        path: PathBuf,
    },
    /// The file is not a sound database.
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite or drave found.
        cause: String,
    },
    /// A sound database that is not for this version of drave, or not for drave at all.
    NotOurs {
        /// The database.
        path: PathBuf,
        /// Whose it is.
        whose: String,
    },
    /// The folder or the file cannot be made, opened, read or written.
    Unavailable {
        /// The file or the folder.
        path: PathBuf,
        /// What the operating system or SQLite says.
        cause: String,
    },
}

impl StateError {
    /// What is wrong with a database that was only to be read, in a few words, without its path and without a hint.
    pub fn reason(&self) -> String {
        match self {
            StateError::Owned { .. } => "another agent owns it".into(),
            StateError::Locked { .. } => "it is written to so often that it cannot be copied".into(),
            StateError::Full { .. } => "there is no room for a copy of it".into(),
            StateError::Damaged { cause, .. } => format!("it is damaged or no SQLite database: {cause}"),
            StateError::NotOurs { whose, .. } => format!("it is {whose}"),
            StateError::Unavailable { cause, .. } => cause.clone(),
        }
    }

    /// An error of the operating system, about `path`.
    pub(super) fn from_io(path: &Path, error: &io::Error) -> StateError {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StateError::Full { path },
            _ => StateError::Unavailable { path, cause: error.to_string() },
        }
    }

    /// An error of SQLite, about the database at `path`.
    pub(super) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> StateError {
        let path = path.to_path_buf();
        let cause = match error {
            // Without the whole statement.
            rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
            other => other.to_string(),
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                StateError::Locked { path }
            }
            Some(ErrorCode::DiskFull) => StateError::Full { path },
            // There was no room for the -shm.
            _ if error.sqlite_extended_error_code() == Some(SQLITE_IOERR_SHMSIZE) => StateError::Full { path },
            // Our statements never change: that they do not fit means that the tables are not what we made.
            None
            | Some(
                ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::Unknown
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch,
            ) => StateError::Damaged { path, cause },
            Some(_) => StateError::Unavailable { path, cause },
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::Owned { folder, pid } => {
                write!(f, "another agent{} owns the state folder {}", Pid(*pid), folder.display())?;
                f.write_str("; hint: stop it, or give each agent a folder of its own")
            }
            StateError::Locked { path } => {
                write!(f, "another program has the positions database {} locked", path.display())?;
                f.write_str("; positions live in memory meanwhile; hint: end it, a backup or a forgotten sqlite3 shell")
            }
            StateError::Full { path } => {
                write!(f, "the disk is full: positions cannot be written to {}", path.display())?;
                f.write_str(" and live in memory meanwhile; hint: free some space, or raise the quota")
            }
            StateError::Damaged { path, cause } => {
                write!(f, "the positions database {} is damaged: {cause}", path.display())?;
                f.write_str("; positions live in memory meanwhile; hint: check the disk")
            }
            StateError::NotOurs { path, whose } => {
                write!(f, "{} is {whose} and is left as it is", path.display())?;
                f.write_str("; hint: give drave a state folder of its own, or run the program that made it")
            }
            StateError::Unavailable { path, cause } => {
                write!(f, "positions cannot be kept on disk and live in memory: {}: {cause}", path.display())?;
                f.write_str("; hint: the state folder must be on a local disk, mounted read-write, and drave's own")
            }
        }
    }
}

impl std::error::Error for StateError {}

/// ` (pid 12)`, or nothing.
struct Pid(Option<u32>);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, " (pid {pid})"),
            None => Ok(()),
        }
    }
}
