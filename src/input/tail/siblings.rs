//! The files of a chain as they are on disk, opened.

use super::file::{fingerprint, head};
use super::rotation::{Names, is_name_of, strip_gz};
use crate::state::{FINGERPRINT_MAX, Position};
use flate2::read::MultiGzDecoder;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The files of a chain.
pub(super) struct Siblings {
    /// Oldest first; the current file, if it is there, last.
    pub(super) files: Vec<Sibling>,
    /// Paths and inodes of those that may not be opened.
    denied: Vec<(PathBuf, Option<u64>)>,
}

impl Siblings {
    /// Opens the rotated files, oldest first, and `live`. A rotated file that may not be opened, or is damaged from its beginning,
    /// is said and left out.
    ///
    /// # Errors
    /// The current file cannot be opened, or one of the others for reasons that pass.
    pub(super) fn open(rotated: impl Iterator<Item = PathBuf>, live: &Path) -> io::Result<Self> {
        let mut siblings = Self { files: Vec::new(), denied: Vec::new() };
        for path in rotated.chain([live.to_path_buf()]) {
            match Sibling::open(&path) {
                Ok(sibling) => siblings.files.extend(sibling),
                Err(error) if path == live || is_passing(&error) => return Err(error),
                Err(error) => {
                    tracing::error!(path = %path.display(), "cannot open a file: {error}; hint: drave needs the right to read it");
                    // Else it is damaged: what it held is lost.
                    if error.raw_os_error().is_some() {
                        let inode = fs::metadata(&path).ok().map(|meta| meta.ino());
                        siblings.denied.push((strip_gz(&path), inode));
                    }
                }
            }
        }
        Ok(siblings)
    }

    /// Is this the position of a file that may not be opened?
    pub(super) fn is_denied(&self, position: &Position) -> bool {
        self.denied.iter().any(|(path, inode)| *path == position.path || *inode == Some(position.inode))
    }

    /// The file of a position that is none of these, and is in their folder under a name that no rotation gives.
    pub(super) fn renamed(&self, position: &Position, live: &Path, names: &Names) -> Option<Sibling> {
        if self.files.iter().any(|s| s.inode == position.inode) {
            return None;
        }
        let (name, _) = names.iter().find(|(_, inode)| *inode == position.inode)?;
        let found = Sibling::open(&live.with_file_name(name)).ok().flatten();
        found.filter(|sibling| sibling.is(position, live))
    }

    /// Adds a file where its age says.
    pub(super) fn insert(&mut self, sibling: Sibling, live: &Path) {
        let current = usize::from(self.files.last().is_some_and(|s| s.path == live));
        let rotated = &self.files[..self.files.len() - current];
        let at = rotated.partition_point(|s| s.modified <= sibling.modified);
        self.files.insert(at, sibling);
    }
}

/// Is this an error that the next try may not meet?
pub(super) fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::IO, Errno::AGAIN, Errno::STALE, Errno::TIMEDOUT];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

/// A file of a chain that is on disk now.
pub(super) struct Sibling {
    /// With `.gz`, if it has it.
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) gzip: bool,
    /// In bytes, as it is on disk.
    pub(super) size: u64,
    /// Its first bytes, decompressed.
    pub(super) head: Vec<u8>,
    pub(super) modified: Option<SystemTime>,
}

impl Sibling {
    /// Opens a file; `None` when it is gone or not a regular file.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        // A FIFO that matches must not block the thread.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        // Reading must not write access times; only the owner of a file may ask for that.
        let quiet = rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty());
        let opened =
            if matches!(quiet, Err(Errno::PERM)) { rustix::fs::open(path, flags, Mode::empty()) } else { quiet };
        let file = match opened {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(None);
        }
        let gzip = path.extension().is_some_and(|e| e == "gz");
        let head = if gzip { gzip_head(&file)? } else { head(&file)? };
        Ok(Some(Self {
            path: path.to_path_buf(),
            file,
            device: meta.dev(),
            inode: meta.ino(),
            gzip,
            size: meta.len(),
            head,
            modified: meta.modified().ok(),
        }))
    }

    /// Is this the file of that position? With the fingerprint either the inode or the name must agree; a compressed copy has
    /// another inode, so that folder, name and fingerprint decide.
    pub(super) fn is(&self, position: &Position, live: &Path) -> bool {
        if !self.begins_as(position) {
            return false;
        }
        if position.fingerprint.len == 0 {
            return !self.gzip && self.inode == position.inode;
        }
        let named = strip_gz(&self.path) == position.path;
        let renamed_and_compressed = self.gzip && is_name_of(&position.path, live);
        self.inode == position.inode || named || renamed_and_compressed
    }

    /// Is this a copy of what the file of that position held, under the name of a rotation? `copytruncate` leaves one.
    pub(super) fn is_copy(&self, position: &Position, live: &Path) -> bool {
        let is_of_chain = self.path != live && is_name_of(&self.path, live) && is_name_of(&position.path, live);
        !self.gzip
            && position.fingerprint.len > 0
            && is_of_chain
            && self.size >= position.settled
            && self.begins_as(position)
    }

    /// Is this the file of that position, whatever its name is now? The inode may have been given to another file since that
    /// moment, which begins alike while both are short.
    pub(super) fn is_renamed(&self, position: &Position, known_at: Option<SystemTime>) -> bool {
        let is_older = || {
            let made = self.file.metadata().and_then(|meta| meta.created()).ok();
            let is_full = position.fingerprint.len == FINGERPRINT_MAX;
            made.zip(known_at).map_or(is_full, |(made, known_at)| made <= known_at)
        };
        let same = !self.gzip && self.inode == position.inode && position.fingerprint.len > 0;
        same && self.begins_as(position) && is_older()
    }

    fn begins_as(&self, position: &Position) -> bool {
        let known = position.fingerprint.len as usize;
        self.head.len() >= known && fingerprint(&self.head[..known]) == position.fingerprint
    }
}

fn gzip_head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut decoder = MultiGzDecoder::new(file.try_clone()?).take(u64::from(FINGERPRINT_MAX));
    let read = decoder.read_to_end(&mut head);
    rustix::fs::seek(file, rustix::fs::SeekFrom::Start(0))?;
    // A damaged copy is known by what can be read of it.
    if head.is_empty() {
        read?;
    }
    Ok(head)
}
