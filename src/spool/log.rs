//! The segments of one folder, and the end where frames are appended.
//!
//! ```text
//! 00…0001.seg   00…0093.seg   00…0187.seg          sealed: durable, read only
//! 00…0260.seg   |header|frame|frame|frame|frame|   the writer's
//!                              durable ▲     ▲ len
//! ```
//! What lies behind `durable` is not read. A sync that fails takes it back: after an error of fsync nobody knows what the disk
//! has, and a second fsync would say that all is well. A new start begins a new segment, so nothing is ever written behind what
//! another process left. Sequence numbers ascend, with gaps, and are not used twice.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::frame::{self, Draft, Encoder};
use super::scan::{Scan, Step};
use super::segment::{self, Header, Kind};
use super::totals::Totals;
use super::{SpoolError, disk};

/// A segment of the default size; smaller if the whole log is.
const SEGMENT_BYTES: u64 = 8 << 20;
/// Segments that a full log has at least: what is dropped at once is a part of it.
const SEGMENTS_MIN: u64 = 16;
/// More than the frames that a segment can hold: how far numbers go on behind one that cannot be read to its end.
const SEQUENCE_GAP: u64 = 1 << 32;

/// A file of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) first: u64,
    /// Bytes up to the end of its last frame.
    pub(super) len: u64,
}

/// The segment that is being written: the last one.
#[derive(Debug)]
struct Writer {
    file: File,
    first: u64,
    salt: u64,
    header_len: u64,
    /// Bytes that are safe; 0 as long as the folder does not surely know the file.
    durable: u64,
    /// The log's totals at `durable`.
    durable_end: Totals,
    /// When the oldest frame behind `durable` was appended.
    unsynced_since: Option<Instant>,
}

/// An append-only log of frames.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) folder: PathBuf,
    bytes_max: u64,
    segment_bytes: u64,
    /// Oldest first.
    segments: VecDeque<Segment>,
    writer: Option<Writer>,
    pub(super) next: u64,
    /// All that was ever appended.
    pub(super) end: Totals,
    /// Segments of a later version.
    pub(super) newer: Vec<PathBuf>,
    /// Bytes behind the last good frame that opening cut off.
    pub(super) torn_bytes: u64,
    encoder: Encoder,
}

impl Log {
    /// Opens a folder, or makes it. Reads the last segment only, unless that cannot say what stands before it.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> Result<Log, SpoolError> {
        make_folder(folder).map_err(|e| SpoolError::from_io(folder, &e))?;
        let mut log = Log {
            folder: folder.into(),
            bytes_max,
            segment_bytes: SEGMENT_BYTES.min(bytes_max / SEGMENTS_MIN),
            segments: find(folder).map_err(|e| SpoolError::from_io(folder, &e))?,
            writer: None,
            next: 1,
            end: Totals::default(),
            newer: Vec::new(),
            torn_bytes: 0,
            encoder: Encoder::new(),
        };
        log.look_at_the_end();
        Ok(log)
    }

    /// Appends a frame and gives its sequence number. It is not durable, and not read, before [`Log::sync`].
    pub(super) fn append(&mut self, draft: &Draft<'_>) -> Result<u64, SpoolError> {
        if self.bytes() >= self.bytes_max {
            return Err(self.full());
        }
        let head = self.encoder.encode(draft)?;
        let size = self.encoder.bytes().len() as u64;
        self.check_room(size)?;
        self.roll_over(size)?;
        let writer = self.writer()?;
        let (salt, path) = (writer.salt, self.last_path());
        self.encoder.stamp(head, salt, self.next, segment::now_ms());
        self.write(size).map_err(|e| SpoolError::from_io(&path, &e))?;
        self.end.add(&frame::totals(draft.parts, draft.pieces));
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Makes everything that was appended durable.
    ///
    /// # Errors
    /// [`SpoolError::TakenBack`]: what was appended since the last sync is not in the log any more.
    pub(super) fn sync(&mut self) -> Result<(), SpoolError> {
        let len = self.segments.back().map_or(0, |segment| segment.len);
        let Some(writer) = self.writer.as_mut().filter(|writer| writer.unsynced_since.is_some()) else { return Ok(()) };
        let mut done = disk::sync(&writer.file);
        if writer.durable == 0 {
            done = done.and_then(|()| disk::sync_folder(&self.folder));
        }
        if let Err(error) = done {
            let path = self.last_path();
            self.take_back();
            return Err(SpoolError::TakenBack { path, cause: error.to_string() });
        }
        writer.durable = len;
        writer.durable_end = self.end.clone();
        writer.unsynced_since = None;
        Ok(())
    }

    /// When the oldest frame that is not durable was appended.
    pub(super) fn unsynced_since(&self) -> Option<Instant> {
        self.writer.as_ref()?.unsynced_since
    }

    /// Bytes that are not durable.
    pub(super) fn unsynced_bytes(&self) -> u64 {
        let len = self.segments.back().map_or(0, |segment| segment.len);
        self.writer.as_ref().map_or(0, |writer| len - writer.durable)
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Oldest first.
    pub(super) fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        self.segments.iter().copied()
    }

    /// How far a segment can be read; 0 if there is none.
    pub(super) fn readable(&self, first: u64) -> u64 {
        match &self.writer {
            Some(writer) if writer.first == first => writer.durable,
            _ => self.segments.iter().find(|segment| segment.first == first).map_or(0, |segment| segment.len),
        }
    }

    /// The first segment after this one of which there is anything to read.
    pub(super) fn after(&self, first: u64) -> Option<u64> {
        let mut later = self.segments().filter(|segment| segment.first > first);
        later.find(|segment| self.readable(segment.first) > 0).map(|segment| segment.first)
    }

    /// What a segment says of itself, if that can be read.
    pub(super) fn header(&self, first: u64) -> Option<Header> {
        match self.kind(first) {
            Some(Kind::Ours(header)) => Some(header),
            _ => None,
        }
    }

    /// Deletes the oldest segment, whatever is in it.
    pub(super) fn remove_oldest(&mut self) {
        let Some(segment) = self.segments.pop_front() else { return };
        if self.segments.is_empty() {
            self.writer = None;
        }
        remove(&segment::path(&self.folder, segment.first));
    }

    /// No longer knows of a segment; its file stays as it is.
    pub(super) fn leave(&mut self, first: u64) {
        self.segments.retain(|segment| segment.first != first);
        self.newer.push(segment::path(&self.folder, first));
    }

    fn full(&self) -> SpoolError {
        SpoolError::Full { folder: self.folder.clone(), bytes_max: self.bytes_max }
    }

    fn check_room(&self, size: u64) -> Result<(), SpoolError> {
        let header = self.header_len_max();
        if size + header > self.bytes_max {
            return Err(SpoolError::TooLarge);
        }
        if self.bytes() + size + header > self.bytes_max { Err(self.full()) } else { Ok(()) }
    }

    /// A new segment may be needed for it.
    fn header_len_max(&self) -> u64 {
        Header::new(0, self.end.clone()).encode().len() as u64
    }

    /// Seals the segment that has no room for so much more.
    fn roll_over(&mut self, size: u64) -> Result<(), SpoolError> {
        let (Some(writer), Some(last)) = (&self.writer, self.segments.back()) else { return Ok(()) };
        if last.len > writer.header_len && last.len + size > self.segment_bytes {
            self.sync()?;
            self.writer = None;
        }
        Ok(())
    }

    /// The writer; a new segment if there is none.
    fn writer(&mut self) -> Result<&Writer, SpoolError> {
        if self.writer.is_none() {
            let path = segment::path(&self.folder, self.next);
            self.writer = Some(self.begin(&path).map_err(|error| {
                // The name may be taken by what could not be removed.
                self.next += 1;
                SpoolError::from_io(&path, &error)
            })?);
        }
        self.writer.as_ref().ok_or(SpoolError::Unsound)
    }

    fn begin(&mut self, path: &Path) -> io::Result<Writer> {
        let mut header = Header::new(self.next, self.end.clone());
        let bytes = header.encode();
        let file = disk::create(path)?;
        disk::write_at(&file, &bytes, 0).inspect_err(|_| remove(path))?;
        self.segments.push_back(Segment { first: header.first, len: header.len });
        Ok(Writer {
            file,
            first: header.first,
            salt: header.salt,
            header_len: header.len,
            durable: 0,
            durable_end: self.end.clone(),
            unsynced_since: None,
        })
    }

    fn write(&mut self, size: u64) -> io::Result<()> {
        let path = self.last_path();
        let (Some(writer), Some(last)) = (&mut self.writer, self.segments.back_mut()) else { return Ok(()) };
        disk::write_at(&writer.file, self.encoder.bytes(), last.len).inspect_err(|_| {
            // If this fails too, the next frame is written over it, and a restart cuts it off.
            drop(disk::truncate(&path, last.len));
        })?;
        last.len += size;
        writer.unsynced_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Forgets what is not durable, and writes to another file from now on.
    fn take_back(&mut self) {
        let path = self.last_path();
        let (Some(writer), Some(last)) = (self.writer.take(), self.segments.back_mut()) else { return };
        self.end = writer.durable_end;
        last.len = writer.durable;
        if writer.durable == 0 {
            self.segments.pop_back();
            return remove(&path);
        }
        if let Err(error) = disk::truncate(&path, writer.durable) {
            tracing::warn!("{}: some records may be sent twice after a restart: {error}", path.display());
        }
    }

    fn last_path(&self) -> PathBuf {
        segment::path(&self.folder, self.segments.back().map_or(0, |segment| segment.first))
    }

    /// Finds the totals and the next sequence number.
    fn look_at_the_end(&mut self) {
        let last = self.segments.back().map(|segment| segment.first);
        let mut unknown = Vec::new();
        while let Some(segment) = self.segments.pop_back() {
            self.next = self.next.max(segment.first.saturating_add(1));
            match self.kind(segment.first) {
                Some(Kind::Newer(_)) => {
                    self.newer.push(segment::path(&self.folder, segment.first));
                    self.next = self.next.max(segment.first.saturating_add(SEQUENCE_GAP));
                }
                Some(Kind::Ours(header)) => {
                    self.end = header.before;
                    unknown.push((segment, Some(header.salt), header.len));
                    break;
                }
                // What stands before it only an earlier one can say.
                Some(Kind::Damaged) | None => unknown.push((segment, None, 0)),
            }
        }
        for (segment, salt, from) in unknown.into_iter().rev() {
            let is_last = Some(segment.first) == last;
            self.count(segment, Scan::new(from, segment.len, salt), is_last);
        }
    }

    fn kind(&self, first: u64) -> Option<Kind> {
        let path = segment::path(&self.folder, first);
        disk::open(&path).and_then(|file| Kind::of(&file)).ok()
    }

    /// Counts the frames of a segment and takes it into the log; cuts off what lies behind the last frame of the last one.
    fn count(&mut self, mut segment: Segment, mut scan: Scan, is_last: bool) {
        let path = segment::path(&self.folder, segment.first);
        match self.count_frames(&path, &mut scan) {
            Err(_) => self.next = self.next.max(segment.first.saturating_add(SEQUENCE_GAP)),
            Ok(None) if is_last => {
                self.torn_bytes += segment.len.saturating_sub(scan.begin);
                return remove(&path);
            }
            Ok(Some(valid)) if is_last && valid < segment.len => {
                self.torn_bytes += segment.len - valid;
                segment.len = valid;
                drop(disk::truncate(&path, valid));
            }
            Ok(_) => {}
        }
        self.segments.push_back(segment);
    }

    /// Adds all frames to the totals. Returns the end of the last one.
    fn count_frames(&mut self, path: &Path, scan: &mut Scan) -> io::Result<Option<u64>> {
        let file = disk::open(path)?;
        let (mut valid, mut between) = (None, Totals::default());
        loop {
            match scan.step(&file)? {
                Step::Frame(head) => {
                    self.end.add(&std::mem::take(&mut between));
                    self.end.add(&scan.meta(&head).map(|meta| meta.totals()).unwrap_or_default());
                    self.next = self.next.max(head.sequence + 1);
                    valid = Some(scan.offset);
                }
                // Behind it a good frame stands, or it is the torn end and was never safe.
                Step::Skipped(_, Some(head)) => between.add(&head.totals()),
                Step::Skipped(_, None) => {}
                Step::End => return Ok(valid),
            }
        }
    }
}

/// All segments of a folder, oldest first. Other files are nobody's business.
pub(super) fn find(folder: &Path) -> io::Result<VecDeque<Segment>> {
    let mut segments = Vec::new();
    for first in disk::names(folder)?.iter().filter_map(|name| segment::first(name)) {
        segments.push(Segment { first, len: disk::length(&segment::path(folder, first))? });
    }
    segments.sort_unstable_by_key(|segment| segment.first);
    Ok(segments.into())
}

/// Makes the folder so that it is there after a power failure, too.
fn make_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.exists()).collect();
    disk::make_folder(folder)?;
    missing
        .iter()
        .filter_map(|path| path.parent())
        .filter(|path| !path.as_os_str().is_empty())
        .try_for_each(disk::sync_folder)
}

/// What cannot be deleted now is deleted at the next start, when it is seen to be behind the cursor.
fn remove(path: &Path) {
    match disk::remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("{} was not deleted: {error}", path.display());
        }
        _ => {}
    }
}

#[cfg(test)]
impl Log {
    pub(super) fn set_segment_bytes(&mut self, bytes: u64) {
        self.segment_bytes = bytes;
    }
}
