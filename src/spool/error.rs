//! Why the spool did not do what it was asked for. The log is valid after each of them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a call failed. What to do with the data is said with each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolError {
    /// The spool has no room within its limit. Nothing was appended: wait until frames are settled, or drop the oldest.
    Full {
        /// The spool's folder.
        folder: PathBuf,
        /// The limit, in bytes.
        bytes_max: u64,
    },
    /// The disk, or a quota, is full. Nothing was appended.
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// What was appended since the last sync that succeeded is no longer in the log, and did not become durable: append it again.
    TakenBack {
        /// The segment.
        path: PathBuf,
        /// What the operating system says.
        cause: String,
    },
    /// A frame holds less than this: append it in halves. One piece alone cannot be kept.
    TooLarge,
    /// The pieces do not lie one behind the other within the frame's bytes.
    Unsound,
    /// A call failed. Nothing changed.
    Unavailable {
        /// The file or the folder.
        path: PathBuf,
        /// What the operating system says.
        cause: String,
    },
}

impl SpoolError {
    /// An error of the operating system, about `path`.
    pub(super) fn from_io(path: &Path, error: &io::Error) -> SpoolError {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SpoolError::DiskFull { path },
            _ => SpoolError::Unavailable { path, cause: error.to_string() },
        }
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpoolError::Full { folder, bytes_max } => write!(
                f,
                "the spool in {} is full with {bytes_max} bytes; hint: raise storage.total_limit_size",
                folder.display()
            ),
            SpoolError::DiskFull { path } => {
                write!(f, "{}: the disk is full; hint: make room, or lower storage.total_limit_size", path.display())
            }
            SpoolError::TakenBack { path, cause } => {
                write!(
                    f,
                    "{}: what was written last is not safe on disk: {cause}; hint: look after the disk",
                    path.display()
                )
            }
            SpoolError::TooLarge => f.write_str("more than a frame of the spool holds"),
            SpoolError::Unsound => f.write_str("the pieces do not lie within the frame's bytes"),
            SpoolError::Unavailable { path, cause } => {
                write!(
                    f,
                    "{}: {cause}; hint: the folder must be writable for drave, on a disk that works",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for SpoolError {}
