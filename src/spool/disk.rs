//! The few disk calls of the spool, each with a place where tests make it fail. Blocking; the caller has a thread for it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use super::fault::{self, Call};

/// What the file system under a folder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that an ordinary user may still write.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Asks the file system under `path`, which must exist. For `storage.min_free`.
///
/// # Errors
/// As of statvfs.
pub fn space(path: &Path) -> io::Result<Space> {
    fault::check(Call::Look)?;
    let found = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Space { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
}

/// Makes a folder, and those above it, for the owner alone.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    fault::check(Call::Make)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The names in a folder; those that are not UTF-8 cannot be ours.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    fault::check(Call::Look)?;
    let names = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}

pub(super) fn length(path: &Path) -> io::Result<u64> {
    fault::check(Call::Look)?;
    fs::metadata(path).map(|file| file.len())
}

/// A new file, for the owner alone. Fails if there is one.
pub(super) fn create(path: &Path) -> io::Result<File> {
    fault::check(Call::Make)?;
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

pub(super) fn open(path: &Path) -> io::Result<File> {
    fault::check(Call::Open)?;
    File::open(path)
}

/// For writing in place; made if it is not there.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    fault::check(Call::Make)?;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Reads as much as there is; less than asked for only at the end of the file.
pub(super) fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<usize> {
    let asked = bytes.len();
    while !bytes.is_empty() {
        fault::check(Call::Read)?;
        match file.read_at(bytes, offset) {
            Ok(0) => break,
            Ok(read) => {
                bytes = &mut bytes[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(asked - bytes.len())
}

pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    fault::check(Call::Write).inspect_err(|_| {
        // As a full disk does it: some of it was written.
        drop(file.write_all_at(&bytes[..bytes.len() / 2], offset));
    })?;
    file.write_all_at(bytes, offset)
}

pub(super) fn truncate(path: &Path, len: u64) -> io::Result<()> {
    fault::check(Call::Write)?;
    OpenOptions::new().write(true).open(path)?.set_len(len)
}

/// What was written to the file is on the platter when this returns.
pub(super) fn sync(file: &File) -> io::Result<()> {
    fault::check(Call::Sync)?;
    if fault::syncs() { file.sync_data() } else { Ok(()) }
}

/// The names in the folder are on the platter when this returns.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fault::check(Call::Sync)?;
    if fault::syncs() { File::open(folder)?.sync_all() } else { Ok(()) }
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    fault::check(Call::Remove)?;
    fs::remove_file(path)
}
