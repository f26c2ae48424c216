//! Which spools there are, for people and for outputs that are no longer configured. Nothing is changed.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::xxh3_64;

use super::cursor::{Cursor, Place};
use super::log::Segment;
use super::segment::{self, Header, Kind};
use super::totals::Totals;
use super::walk::Walk;
use super::{Spool, SpoolError, disk, log};

/// Of names of folders; file systems take 255.
const NAME_BYTES_MAX: usize = 200;

/// A spool's folder, as it is found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The output's name; of a very long one, its beginning.
    pub output: String,
    /// Where it is.
    pub folder: PathBuf,
    /// Oldest first.
    pub segments: Vec<ListedSegment>,
    /// The segment and the offset in it up to which all is settled; `None` if that was never stored.
    pub settled: Option<(u64, u64)>,
}

/// What of a spool is still to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// What is in it.
    pub pending: Totals,
    /// The bytes on disk behind the cursor, damaged ones too.
    pub bytes: u64,
    /// When the oldest of it was appended.
    pub oldest: Option<SystemTime>,
}

/// One file of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSegment {
    /// The file.
    pub path: PathBuf,
    /// The sequence number of its first frame.
    pub first: u64,
    /// Its length.
    pub bytes: u64,
    /// What its beginning says.
    pub state: SegmentState,
}

/// What the beginning of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentState {
    /// Begun at this time.
    Good(SystemTime),
    /// Its frames may be good all the same.
    Damaged,
    /// Of this later version of the format.
    Newer(u32),
    /// The file cannot be read.
    Unreadable,
}

impl Spool {
    /// All spools below `storage.path`, whether their outputs are configured or not. Reads the beginning of each segment.
    ///
    /// # Errors
    /// A folder cannot be listed.
    pub fn list(path: &Path) -> Result<Vec<Listed>, SpoolError> {
        let mut names = disk::names(path).map_err(|e| SpoolError::from_io(path, &e))?;
        names.sort_unstable();
        let folders = names.iter().map(|name| (name, path.join(name))).filter(|(_, folder)| folder.is_dir());
        folders.map(|(name, folder)| listed(name, folder)).collect()
    }
}

impl Listed {
    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Is there anything at all? The folders of other programs have no segments of ours.
    pub fn is_spool(&self) -> bool {
        !self.segments.is_empty() || self.settled.is_some()
    }

    /// Segments of a later version.
    pub fn newer(&self) -> impl Iterator<Item = &ListedSegment> {
        self.segments.iter().filter(|segment| matches!(segment.state, SegmentState::Newer(_)))
    }

    /// What was not settled when the cursor was stored last. Reads the last segment, and one frame behind the cursor. Of damage
    /// between the two nothing is known yet, so what it cost is in it.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn backlog(&self) -> Result<Backlog, SpoolError> {
        let Some(front) = self.front() else { return Ok(Backlog::default()) };
        let pending = self.end()?.since(&front.before);
        let bytes = self.bytes_behind(&front);
        if pending.is_empty() {
            return Ok(Backlog { bytes, ..Backlog::default() });
        }
        let mut walk = Walk::over(&self.folder, self.files(front.segment));
        walk.skip_to(front.offset);
        let oldest = walk.next(|head, _| Some(head.time_ms)).transpose()?;
        let oldest = oldest.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        Ok(Backlog { pending, bytes, oldest })
    }

    fn bytes_behind(&self, front: &Place) -> u64 {
        let settled = |segment: &Segment| if segment.first == front.segment { front.offset } else { 0 };
        self.files(front.segment).iter().map(|segment| segment.len.saturating_sub(settled(segment))).sum()
    }

    /// Where reading goes on: at the cursor, else at the oldest segment.
    fn front(&self) -> Option<Place> {
        let oldest = self.segments.iter().find(|segment| !matches!(segment.state, SegmentState::Newer(_)))?;
        let stored = Cursor::look(&self.folder);
        Some(stored.filter(|place| place.segment >= oldest.first).unwrap_or_else(|| Place {
            segment: oldest.first,
            offset: 0,
            before: header(&oldest.path).map(|header| header.before).unwrap_or_default(),
        }))
    }

    /// All that was ever appended: what the last good header says stands before it, and the frames from there on.
    fn end(&self) -> Result<Totals, SpoolError> {
        let headers = self.segments.iter().rev().find_map(|s| header(&s.path).map(|header| (s.first, header.before)));
        let (first, mut end) = headers.unwrap_or_default();
        let mut walk = Walk::over(&self.folder, self.files(first));
        while let Some(found) = walk.next(|head, scan| scan.meta(head).map(|meta| meta.totals())) {
            end.add(&found?);
        }
        Ok(end)
    }

    /// From this segment on.
    fn files(&self, first: u64) -> VecDeque<Segment> {
        let later = self.segments.iter().filter(|segment| segment.first >= first);
        later.map(|segment| Segment { first: segment.first, len: segment.bytes }).collect()
    }

    /// Reads all of it: what its good frames hold, settled or not, and how many bytes are damaged.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn examine(&self) -> Result<(Totals, u64), SpoolError> {
        let (mut walk, mut all) = (Walk::new(&self.folder)?, Totals::default());
        while let Some(found) = walk.next(|head, scan| scan.meta(head).map(|meta| meta.totals())) {
            all.add(&found?);
        }
        Ok((all, walk.damaged_bytes))
    }
}

fn listed(name: &str, folder: PathBuf) -> Result<Listed, SpoolError> {
    let found = log::find(&folder).map_err(|e| SpoolError::from_io(&folder, &e))?;
    let segments = found.into_iter().map(|segment| {
        let path = segment::path(&folder, segment.first);
        let state = state(&path);
        ListedSegment { path, first: segment.first, bytes: segment.len, state }
    });
    let segments = segments.collect();
    let settled = Cursor::look(&folder).map(|place| (place.segment, place.offset));
    Ok(Listed { output: output_name(name), folder, segments, settled })
}

fn header(path: &Path) -> Option<Header> {
    match disk::open(path).and_then(|file| Kind::of(&file)) {
        Ok(Kind::Ours(header)) => Some(header),
        _ => None,
    }
}

fn state(path: &Path) -> SegmentState {
    match disk::open(path).and_then(|file| Kind::of(&file)) {
        Ok(Kind::Ours(header)) => {
            SegmentState::Good(UNIX_EPOCH.checked_add(Duration::from_millis(header.made_ms)).unwrap_or(UNIX_EPOCH))
        }
        Ok(Kind::Damaged) => SegmentState::Damaged,
        Ok(Kind::Newer(version)) => SegmentState::Newer(version),
        Err(_) => SegmentState::Unreadable,
    }
}

/// The folder's name of an output: its own, with `%2F` for what is no letter, digit, `_`, `-` or `.`. Different outputs have
/// different ones; a very long name is cut and ends in a hash.
pub fn folder_name(output: &str) -> String {
    let plain = |at: usize, byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || (byte == b'.' && at > 0);
    let mut name = String::new();
    for (at, byte) in output.bytes().enumerate() {
        if plain(at, byte) { name.push(byte.into()) } else { name.push_str(&format!("%{byte:02X}")) }
    }
    if name.len() > NAME_BYTES_MAX {
        name.truncate(NAME_BYTES_MAX);
        name.push_str(&format!("%-{:016x}", xxh3_64(output.as_bytes())));
    }
    if name.is_empty() { "%".into() } else { name }
}

fn output_name(folder: &str) -> String {
    if folder == "%" {
        return String::new();
    }
    let folder = folder.split_once("%-").map_or(folder, |(name, _)| name);
    let (mut bytes, mut rest) = (Vec::new(), folder.as_bytes());
    while let [byte, behind @ ..] = rest {
        let escaped = behind.get(..2).and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        (rest, _) = match escaped.filter(|_| *byte == b'%') {
            Some(escaped) => (&behind[2..], bytes.push(escaped)),
            None => (behind, bytes.push(*byte)),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
