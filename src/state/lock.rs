//! One owner per state folder: `drave.lock`, held with flock as long as the process lives.
//!
//! The file holds the owner's pid in decimal and a newline, for people and for [`StateError::Owned`]. It is never deleted:
//! a lock on a file that has lost its name keeps nobody out. The kernel lets go of it when the process dies, however it dies.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::StateError;

/// The right to use a state folder, given back when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock if nobody has it. [`StateError::Owned`] if somebody does; never waits.
    pub(super) fn take(folder: &Path) -> Result<Lock, StateError> {
        let path = folder.join("drave.lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(|e| StateError::from_io(&path, &e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => sign(&mut file),
            Err(Errno::WOULDBLOCK) => {
                return Err(StateError::Owned { folder: folder.into(), pid: read_pid(&mut file) });
            }
            Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS) => say_unsupported(&path),
            Err(errno) => return Err(StateError::from_io(&path, &errno.into())),
        }
        Ok(Lock { file, path })
    }

    /// Does the lock file still have its name? Without it another agent would get a lock of its own.
    pub(super) fn is_in_place(&self) -> bool {
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
            _ => false,
        }
    }
}

/// Writes our pid. Best effort: on a full disk the lock is as good without it.
fn sign(file: &mut File) {
    let signed = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = signed {
        tracing::debug!("the pid was not written into the lock file: {error}");
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn say_unsupported(path: &Path) {
    tracing::warn!(
        "the file system under {} has no locks: a second agent on this folder will not be noticed; hint: use a local disk",
        path.display()
    );
}
