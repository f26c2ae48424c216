//! One file that is followed: what it is, how far it is read, how it changed.
//!
//! ```text
//! followed ─▶ gone (renamed or deleted) ─▶ at its end and quiet for rotate_wait ─▶ ended ─▶ settled ─▶ forgotten
//!    ▲  │
//!    └──┘ truncated or written anew: begins again at 0
//! ```

use super::progress::Progress;
use crate::parse::encoding::Charset;
use crate::record::Reading;
use crate::state::{FINGERPRINT_MAX, Fingerprint};
use flate2::read::MultiGzDecoder;
use rustix::fs::{Stat, fstat};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
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
#[derive(Debug)]
pub(super) enum Look {
    Same,
    /// It is another content now. So many bytes of the old one were not read; what was read may still be on its way.
    Rewritten {
        unread: u64,
        before: Progress,
    },
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
    /// Its first two bytes, maybe a byte order mark.
    pub(super) first: Option<[u8; 2]>,
    /// The hash of its first line.
    first_line: FirstLine,
    /// How often it was written anew.
    rewritten: u32,
    /// The next byte to read.
    pub(super) read: u64,
    /// Up to here was looked and found no further line end.
    pub(super) looked: u64,
    pub(super) size: u64,
    /// Of a compressed file, how many bytes are known to be in it.
    pub(super) expected: u64,
    /// Why a compressed file ends before its end.
    pub(super) damage: Option<io::Error>,
    /// It was given up; another try would end as this one did.
    pub(super) unreadable: bool,
    pub(super) modified: (i64, i64),
    pub(super) links: u64,
    /// Since when it has no name at all.
    pub(super) deleted: Option<Instant>,
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

/// What a byte order mark would be.
pub(super) fn first_two(head: &[u8]) -> Option<[u8; 2]> {
    head.first_chunk().copied()
}

/// The hash of a file's first line, or of as much of it as a fingerprint covers: it does not change when the file grows.
#[derive(Debug, Clone, Copy, Default)]
struct FirstLine {
    hash: u64,
    whole: bool,
}

impl FirstLine {
    fn of(head: &[u8]) -> Self {
        let head = &head[..head.len().min(FINGERPRINT_MAX as usize)];
        let end = memchr::memchr(b'\n', head);
        let whole = end.is_some() || head.len() == FINGERPRINT_MAX as usize;
        Self { hash: xxhash_rust::xxh3::xxh3_64(&head[..end.unwrap_or(head.len())]), whole }
    }
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
        let head = head(&file)?;
        let mut new = Self::new(seq, Content::Plain(file), path, &stat, offset);
        new.begins_with(&head);
        new.size = stat.st_size as u64;
        Ok(new)
    }

    /// A compressed one; `offset` counts its decompressed bytes, of which `expected` are known to be there.
    pub(super) fn gzip(
        seq: u64,
        file: File,
        path: PathBuf,
        (offset, expected): (u64, u64),
        head: &[u8],
    ) -> io::Result<Self> {
        let stat = fstat(&file)?;
        let mut decoder = Box::new(MultiGzDecoder::new(file));
        let skipped = io::copy(&mut decoder.by_ref().take(offset), &mut io::sink())?;
        let content = Content::Gzip { decoder, ahead: Vec::new(), end: skipped < offset };
        let mut new = Self::new(seq, content, path, &stat, skipped);
        new.begins_with(head);
        (new.size, new.expected) = (u64::MAX, expected);
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
            first: None,
            first_line: FirstLine::default(),
            rewritten: 0,
            read: offset,
            looked: offset,
            size: 0,
            expected: 0,
            damage: None,
            unreadable: false,
            modified: modified(stat),
            links: stat.st_nlink as u64,
            deleted: None,
            gone: None,
            grown: Instant::now(),
            unread_since: None,
            skipping: false,
            progress: Progress::new(offset),
        }
    }

    fn begins_with(&mut self, head: &[u8]) {
        (self.fingerprint, self.first) = (fingerprint(head), first_two(head));
        self.first_line = FirstLine::of(head);
    }

    /// What tells apart what was read of it, in this moment.
    pub(super) fn reading(&mut self, time_ns: i64) -> Reading {
        Reading { first_line: self.first_line(), rewritten: self.rewritten, time_ns }
    }

    /// What was read last may hold more of that line than the last look at the file found.
    fn first_line(&mut self) -> u64 {
        if let (Content::Plain(file), false) = (&self.content, self.first_line.whole) {
            let mut room = [0; FINGERPRINT_MAX as usize];
            if let Ok(head) = head_in(file, &mut room) {
                self.first_line = FirstLine::of(head);
            }
        }
        self.first_line.hash
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

    /// How many bytes it is known to have; of a compressed file, at least those that were read.
    pub(super) fn known_size(&self) -> u64 {
        if self.size == u64::MAX { self.read.max(self.expected) } else { self.size }
    }

    /// Bytes written and not yet read.
    pub(super) fn behind(&self) -> u64 {
        match &self.content {
            Content::Plain(_) => self.size.saturating_sub(self.read),
            Content::Gzip { .. } => self.expected.saturating_sub(self.read),
            Content::Closed => 0,
        }
    }

    /// One `fstat`; only a file that changed is looked at more closely.
    #[allow(clippy::unnecessary_cast, reason = "other architectures have other widths")]
    pub(super) fn look(&mut self, now: Instant) -> io::Result<Look> {
        let Content::Plain(file) = &self.content else { return Ok(Look::Same) };
        let stat = fstat(file)?;
        self.links = stat.st_nlink as u64;
        if self.is_deleted() {
            self.deleted.get_or_insert(now);
        }
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
            let before = self.begin_anew(size, head, now);
            return Ok(Look::Rewritten { unread, before });
        }
        if head.len() > known {
            self.begins_with(head);
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

    /// Returns how far the old content is settled.
    fn begin_anew(&mut self, size: u64, head: &[u8], now: Instant) -> Progress {
        self.begins_with(head);
        (self.read, self.looked, self.size) = (0, 0, size);
        self.rewritten += 1;
        self.skipping = false;
        self.grown = now;
        self.unread_since = (size > 0).then_some(now);
        std::mem::replace(&mut self.progress, Progress::new(0))
    }

    /// Reads from where reading stands into `block`, about `want` bytes: the number of bytes there.
    pub(super) fn fill(&mut self, block: &mut Vec<u8>, want: usize) -> io::Result<usize> {
        block.clear();
        // The room that joined records and keys took is not for reading: the next ones would take more room each time.
        if block.capacity() > want {
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
                if !*end {
                    match decoder.by_ref().take(more as u64).read_to_end(ahead) {
                        Ok(got) => *end = got < more,
                        // What was decompressed before the damage is good.
                        Err(error) => (*end, self.damage) = (true, Some(error)),
                    }
                }
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
        match &mut self.content {
            Content::Gzip { ahead, .. } => drop(ahead.drain(..consumed)),
            // It is shorter now than it was when it was looked at: nothing more can be read until the next look.
            _ if consumed == 0 => self.looked = self.looked.max(self.size),
            _ => {}
        }
        if self.size <= self.read {
            self.unread_since = None;
        }
    }

    /// Reads a range that was read before.
    pub(super) fn read_again(&self, start: u64, len: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let before = into.len();
        match &self.content {
            Content::Plain(file) => drop(ReadFrom { file, at: start }.take(len).read_to_end(into)?),
            Content::Gzip { decoder, .. } => {
                let mut again = MultiGzDecoder::new(ReadFrom { file: decoder.get_ref(), at: 0 });
                io::copy(&mut again.by_ref().take(start), &mut io::sink())?;
                again.take(len).read_to_end(into)?;
            }
            Content::Closed => {}
        }
        if (into.len() - before) as u64 == len { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Is it compressed and read to its end?
    pub(super) fn is_gzip_at_end(&self) -> bool {
        matches!(self.content, Content::Gzip { end: true, .. })
    }
}

/// The end of the last line, or of the file when that line is too long to be looked for.
pub(super) fn end_of_lines(file: &File, charset: Charset) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let from = size.saturating_sub(LINE_START_BYTES_MAX);
    let mut tail = Vec::new();
    let mut reader = file;
    reader.seek(SeekFrom::Start(from))?;
    reader.take(size - from).read_to_end(&mut tail)?;
    let end = if from == 0 { 0 } else { charset.whole_units(tail.len(), from) };
    Ok(from + charset.behind_last_line(&tail, from).unwrap_or(end) as u64)
}

/// Reads from a place in a file, whose own place stays as it is.
struct ReadFrom<'a> {
    file: &'a File,
    at: u64,
}

impl Read for ReadFrom<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let got = rustix::io::pread(self.file, room, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn the_first_line_is_the_same_however_much_was_there() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"first l").expect("written");
        let mut read = TailFile::plain(1, file.reopen().expect("opened"), file.path().into(), 0).expect("a file");
        file.write_all(b"ine\nsecond\n").expect("written");
        let hash = read.first_line();
        assert_eq!(hash, FirstLine::of(b"first line").hash);
        let mut again = TailFile::plain(2, file.reopen().expect("opened"), file.path().into(), 11).expect("a file");
        assert_eq!(again.first_line(), hash);
        let (long, longer) = (vec![b'a'; 1024], vec![b'a'; 3000]);
        assert_eq!(FirstLine::of(&long).hash, FirstLine::of(&longer).hash);
    }

    #[test]
    fn a_file_that_became_shorter_since_it_was_looked_at_has_nothing_unread() {
        for left in [0, 3] {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(b"ten bytes\n").expect("written");
            let reopened = file.reopen().expect("opened");
            let mut read = TailFile::plain(1, reopened, file.path().into(), 0).expect("a file");
            assert!(read.has_unread());
            file.as_file().set_len(left).expect("shorter");
            let mut block = Vec::new();
            let got = read.fill(&mut block, 100).expect("read");
            assert_eq!(got as u64, left);
            read.consume(got, 0);
            assert!(!read.has_unread(), "else it is read again and again until the next look");
        }
    }
}
