//! One file that is followed: what it is, how far it is read, how it changed.
//!
//! ```text
//! followed ─▶ gone (renamed or deleted) ─▶ at its end and quiet for rotate_wait ─▶ ended ─▶ settled ─▶ forgotten
//!    ▲  │
//!    └──┘ truncated or written anew: begins again at 0
//! ```

use super::progress::Progress;
use crate::state::{FINGERPRINT_MAX, Fingerprint};
use flate2::read::MultiGzDecoder;
use rustix::fs::{Stat, fstat};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far back the beginning of a line is looked for where reading begins at the end of a file.
const LINE_START_BYTES_MAX: u64 = 64 << 10;

/// Where the bytes come from.
pub(super) enum Content {
    Plain(File),
    /// A rotated file that was compressed: read from its beginning to its end, once.
    Gzip {
        decoder: Box<MultiGzDecoder<File>>,
        /// Decompressed, and not yet moved over.
        ahead: Vec<u8>,
        end: bool,
    },
    /// Read to the end and let go.
    Closed,
}

/// What a look at a file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Same,
    /// It is another content now; so many bytes of the old one were not read.
    Rewritten(u64),
}

/// A file.
pub(super) struct TailFile {
    /// Unique within the process; a file that was written anew gets a new one.
    pub(super) seq: u64,
    pub(super) content: Content,
    /// The real path under which its position is kept, without `.gz`.
    pub(super) path: PathBuf,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) fingerprint: Fingerprint,
    /// The next byte to read.
    pub(super) read: u64,
    /// Up to here was looked and found no further line end.
    pub(super) looked: u64,
    pub(super) size: u64,
    modified: (i64, i64),
    pub(super) links: u64,
    /// Since when it has no name, or another one.
    pub(super) gone: Option<Instant>,
    pub(super) grown: Instant,
    /// Since when bytes wait to be read.
    pub(super) unread_since: Option<Instant>,
    /// The rest of a line that was too long is passed over.
    pub(super) skipping: bool,
    pub(super) progress: Progress,
}

/// The hash of a file's beginning.
pub(super) fn fingerprint(head: &[u8]) -> Fingerprint {
    let head = &head[..head.len().min(FINGERPRINT_MAX as usize)];
    Fingerprint { len: head.len() as u32, hash: xxhash_rust::xxh3::xxh3_64(head) }
}

/// The first bytes of a file, as many as a fingerprint covers.
pub(super) fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut room = [0; FINGERPRINT_MAX as usize];
    Ok(head_in(file, &mut room)?.to_vec())
}

/// The same in room that is there.
fn head_in<'a>(file: &File, room: &'a mut [u8; FINGERPRINT_MAX as usize]) -> io::Result<&'a [u8]> {
    let mut len = 0;
    while len < room.len() {
        match rustix::io::pread(file, &mut room[len..], len as u64)? {
            0 => break,
            got => len += got,
        }
    }
    Ok(&room[..len])
}

impl TailFile {
    /// A plain file, to be read from `offset`; from its beginning when it has become shorter than that.
    pub(super) fn plain(seq: u64, file: File, path: PathBuf, offset: u64) -> io::Result<Self> {
        let stat = fstat(&file)?;
        let offset = if offset > stat.st_size as u64 { 0 } else { offset };
        let fingerprint = fingerprint(&head(&file)?);
        let mut new = Self::new(seq, Content::Plain(file), path, &stat, offset);
        new.fingerprint = fingerprint;
        new.size = stat.st_size as u64;
        Ok(new)
    }

    /// A compressed one; `offset` counts its decompressed bytes.
    pub(super) fn gzip(seq: u64, file: File, path: PathBuf, offset: u64, head: &[u8]) -> io::Result<Self> {
        let stat = fstat(&file)?;
        let mut decoder = Box::new(MultiGzDecoder::new(file));
        let skipped = io::copy(&mut decoder.by_ref().take(offset), &mut io::sink())?;
        let content = Content::Gzip { decoder, ahead: Vec::new(), end: skipped < offset };
        let mut new = Self::new(seq, content, path, &stat, skipped);
        new.fingerprint = fingerprint(head);
        new.size = u64::MAX;
        new.gone = Some(Instant::now());
        Ok(new)
    }

    #[allow(clippy::unnecessary_cast, reason = "other architectures have other widths")]
    fn new(seq: u64, content: Content, path: PathBuf, stat: &Stat, offset: u64) -> Self {
        Self {
            seq,
            content,
            path,
            device: stat.st_dev,
            inode: stat.st_ino,
            fingerprint: Fingerprint::default(),
            read: offset,
            looked: offset,
            size: 0,
            modified: modified(stat),
            links: stat.st_nlink as u64,
            gone: None,
            grown: Instant::now(),
            unread_since: None,
            skipping: false,
            progress: Progress::new(offset),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.content, Content::Closed)
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.links == 0
    }

    /// Are there bytes that may hold a further line?
    pub(super) fn has_unread(&self) -> bool {
        match &self.content {
            Content::Plain(_) => self.size > self.looked,
            Content::Gzip { end, .. } => !end,
            Content::Closed => false,
        }
    }

    /// Do these first bytes of a file begin as this file does?
    pub(super) fn begins_as(&self, head: &[u8]) -> bool {
        let len = self.fingerprint.len as usize;
        len > 0 && head.len() >= len && fingerprint(&head[..len]) == self.fingerprint
    }

    /// When it was written to, as far as was looked.
    pub(super) fn modified_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::new(self.modified.0.max(0) as u64, self.modified.1 as u32)
    }

    /// How many bytes it is known to have; of a compressed file, those that were read.
    pub(super) fn known_size(&self) -> u64 {
        if self.size == u64::MAX { self.read } else { self.size }
    }

    /// Bytes written and not yet read.
    pub(super) fn behind(&self) -> u64 {
        match &self.content {
            Content::Plain(_) => self.size.saturating_sub(self.read),
            _ => 0,
        }
    }

    /// One `fstat`; only a file that changed is looked at more closely.
    #[allow(clippy::unnecessary_cast, reason = "other architectures have other widths")]
    pub(super) fn look(&mut self, now: Instant) -> io::Result<Look> {
        let Content::Plain(file) = &self.content else { return Ok(Look::Same) };
        let stat = fstat(file)?;
        self.links = stat.st_nlink as u64;
        let (size, modified) = (stat.st_size as u64, modified(&stat));
        if size == self.size && modified == self.modified {
            return Ok(Look::Same);
        }
        let mut room = [0; FINGERPRINT_MAX as usize];
        let head = head_in(file, &mut room)?;
        self.modified = modified;
        let known = self.fingerprint.len as usize;
        if size < self.read || head.len() < known || fingerprint(&head[..known]) != self.fingerprint {
            let unread = self.size.saturating_sub(self.read);
            self.begin_anew(size, head, now);
            return Ok(Look::Rewritten(unread));
        }
        if head.len() > known {
            self.fingerprint = fingerprint(head);
            self.progress.dirty = true;
        }
        if size > self.size {
            self.grown = now;
            self.unread_since.get_or_insert(now);
            self.progress.dirty = true;
        }
        self.size = size;
        Ok(Look::Same)
    }

    fn begin_anew(&mut self, size: u64, head: &[u8], now: Instant) {
        self.fingerprint = fingerprint(head);
        (self.read, self.looked, self.size) = (0, 0, size);
        self.skipping = false;
        self.grown = now;
        self.unread_since = (size > 0).then_some(now);
        self.progress = Progress::new(0);
    }

    /// Reads from where reading stands into `block`, about `want` bytes: the number of bytes there.
    pub(super) fn fill(&mut self, block: &mut Vec<u8>, want: usize) -> io::Result<usize> {
        block.clear();
        // The room that joined records took is not for reading: more would be joined, and take more room each time.
        if block.capacity() > 2 * want {
            block.shrink_to(want);
        }
        block.reserve(want);
        match &mut self.content {
            Content::Plain(file) => {
                // The room may be more than was asked for: that much is read then.
                rustix::io::pread(file, rustix::buffer::spare_capacity(block), self.read)?;
            }
            Content::Gzip { decoder, ahead, end } => {
                let more = want.saturating_sub(ahead.len());
                *end = decoder.by_ref().take(more as u64).read_to_end(ahead)? < more;
                block.extend_from_slice(ahead);
            }
            Content::Closed => {}
        }
        Ok(block.len())
    }

    /// Moves over `consumed` bytes of a block of so many; what is left of it comes again.
    pub(super) fn consume(&mut self, block: usize, consumed: usize) {
        self.read += consumed as u64;
        self.looked = self.read + (block - consumed) as u64;
        if let Content::Gzip { ahead, .. } = &mut self.content {
            ahead.drain(..consumed);
        }
        if self.size <= self.read {
            self.unread_since = None;
        }
    }

    /// Is it compressed and read to its end?
    pub(super) fn is_gzip_at_end(&self) -> bool {
        matches!(self.content, Content::Gzip { end: true, .. })
    }
}

/// The end of the last line, or of the file when that line is too long to be looked for.
pub(super) fn end_of_lines(file: &File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let from = size.saturating_sub(LINE_START_BYTES_MAX);
    let mut tail = Vec::new();
    let mut reader = file;
    reader.seek(SeekFrom::Start(from))?;
    reader.take(size - from).read_to_end(&mut tail)?;
    Ok(memchr::memrchr(b'\n', &tail).map_or(if from == 0 { 0 } else { size }, |at| from + at as u64 + 1))
}

/// Reads a range of a plain or compressed file.
pub(super) fn read_range(path: &Path, start: u64, len: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let file = File::open(path)?;
    let mut reader: Box<dyn Read> = if path.extension().is_some_and(|e| e == "gz") {
        let mut decoder = MultiGzDecoder::new(file);
        io::copy(&mut decoder.by_ref().take(start), &mut io::sink())?;
        Box::new(decoder)
    } else {
        let mut file = file;
        file.seek(SeekFrom::Start(start))?;
        Box::new(file)
    };
    reader.by_ref().take(len).read_to_end(into)?;
    if into.len() as u64 == len { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[allow(clippy::unnecessary_cast, reason = "other architectures have other widths")]
fn modified(stat: &Stat) -> (i64, i64) {
    (stat.st_mtime as i64, stat.st_mtime_nsec as i64)
}

/// Thousands of files are open at once: as many as the system lets.
pub(super) fn raise_open_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}
