//! The files of a state folder: which one is the database, whose it is, and how a damaged one is set aside.
//!
//! ```text
//! drave.lock                          the owner's pid, flock'ed
//! drave.db      -wal -shm             the positions
//! drave.v1.db   -wal -shm             instead of it, where drave.db belongs to a newer drave or to another program
//! drave.db.corrupt-1760000000 [-wal]  was damaged; only people look at it
//! drave.db.new                        being made; it is named drave.db when it is whole
//! ```
//!
//! Whose a file is stands in the header of every SQLite file, and is read there without SQLite, which might write to
//! a database that it opens (roll back, checkpoint):
//!
//! ```text
//! 0        16              60             64       68               72
//! │ magic  │ …             │ user_version │ …      │ application_id │   big-endian
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::StateError;

/// `drav`: says in the header that a SQLite file is ours.
pub(super) const APPLICATION_ID: u32 = 0x6472_6176;

/// Of the tables; `user_version` in the header.
pub(super) const VERSION: u32 = 1;

/// Damaged databases that are kept for people to look at.
const SET_ASIDE_MAX: usize = 5;

/// What SQLite may put beside a database, and the database itself.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Makes the folder when it is missing, for us alone.
pub(super) fn prepare(folder: &Path) -> Result<(), StateError> {
    let fail = |error: io::Error| StateError::from_io(folder, &error);
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(fail)?;
    }
    DirBuilder::new().mode(0o700).create(folder).map_err(fail)
}

/// The names that the database may have, the one to try first in front. A `drave.v1.db` that was used before goes on being
/// used when what stood in its way is gone.
pub(super) fn candidates(folder: &Path) -> [PathBuf; 2] {
    let usual = folder.join("drave.db");
    let beside = folder.join(format!("drave.v{VERSION}.db"));
    if !usual.exists() && beside.exists() { [beside, usual] } else { [usual, beside] }
}

/// Fails unless the file at `path` is a database of this version of drave, by its header.
pub(super) fn check_header(path: &Path) -> Result<(), StateError> {
    let (application_id, version) = marks(path)?;
    check_owner(path, application_id, version)
}

/// The `application_id` and the `user_version` in the header of a SQLite file; [`StateError::Damaged`] when it is none.
pub(super) fn marks(path: &Path) -> Result<(u32, u32), StateError> {
    let mut header = Vec::new();
    let file = File::open(path).map_err(|e| StateError::from_io(path, &e))?;
    file.take(72).read_to_end(&mut header).map_err(|e| StateError::from_io(path, &e))?;
    if header.len() < 72 || !header.starts_with(b"SQLite format 3\0") {
        let cause = "it has no SQLite header".to_owned();
        return Err(StateError::Damaged { path: path.into(), cause });
    }
    let word = |at: usize| header[at..at + 4].iter().fold(0, |word, &byte| word << 8 | u32::from(byte));
    Ok((word(68), word(60)))
}

/// Fails unless these are the marks of this version of drave.
pub(super) fn check_owner(path: &Path, application_id: u32, version: u32) -> Result<(), StateError> {
    let whose = if application_id != APPLICATION_ID {
        "a database of another program".to_owned()
    } else if version > VERSION {
        format!("a database of a newer drave (version {version}, this one knows {VERSION})")
    } else {
        return Ok(());
    };
    Err(StateError::NotOurs { path: path.into(), whose })
}

/// When the database was last written, by its files' times.
pub(super) fn last_written(path: &Path) -> Option<SystemTime> {
    let modified = |suffix: &&str| fs::metadata(with_suffix(path, suffix)).ok()?.modified().ok();
    SUFFIXES[..2].iter().filter_map(modified).max()
}

/// Renames the database and what is beside it to `….corrupt-<unix time>`, and says so.
pub(super) fn set_aside(path: &Path, cause: &str) -> Result<(), StateError> {
    let aside = free_name(path);
    for suffix in SUFFIXES {
        match fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StateError::from_io(path, &error)),
            _ => {}
        }
    }
    tracing::error!(
        "the positions database {} is damaged ({cause}): it is set aside as {} and a new one is made; \
         hint: check the disk; logs may be sent twice if drave was stopped meanwhile",
        path.display(),
        aside.display()
    );
    delete_oldest_aside(path);
    Ok(())
}

/// Is any of SQLite's files still beside a database that itself is gone? A new database must not meet an old `-wal`:
/// SQLite would replay it.
pub(super) fn has_leftovers(path: &Path) -> bool {
    SUFFIXES[1..].iter().any(|suffix| with_suffix(path, suffix).exists())
}

/// Deletes a database and what is beside it.
pub(super) fn delete(path: &Path) {
    for suffix in SUFFIXES {
        match fs::remove_file(with_suffix(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!("{}{suffix} was not deleted: {error}", path.display());
            }
            _ => {}
        }
    }
}

/// `path` and then `suffix`, whatever bytes the path has.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn free_name(path: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut names = (now..).map(|second| with_suffix(path, &format!(".corrupt-{second}")));
    names.find(|name| !name.exists()).unwrap_or_else(|| with_suffix(path, ".corrupt"))
}

/// A disk that damages every database must not be filled with them.
fn delete_oldest_aside(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
    let prefix = format!("{}.corrupt-", name.to_string_lossy());
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut times: Vec<u64> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok()).collect();
    times.sort_unstable();
    for time in times.iter().rev().skip(SET_ASIDE_MAX) {
        delete(&folder.join(format!("{prefix}{time}")));
    }
}
