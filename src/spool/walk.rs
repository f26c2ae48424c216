//! Reads all frames of a folder without changing it, also while another process writes there.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::frame::{HEAD_BYTES, Head};
use super::log::{Segment, find};
use super::scan::{Scan, Step};
use super::segment::{self, Kind};
use super::{SpoolError, disk};

/// A walk over the segments, oldest first.
#[derive(Debug)]
pub(super) struct Walk {
    folder: PathBuf,
    rest: VecDeque<Segment>,
    open: Option<(File, Scan)>,
    /// Where reading begins in the next segment that is opened, if that is behind its header.
    begin: u64,
    /// Bytes that are no frame.
    pub(super) damaged_bytes: u64,
}

impl Walk {
    pub(super) fn new(folder: &Path) -> Result<Walk, SpoolError> {
        Ok(Walk::over(folder, find(folder).map_err(|e| SpoolError::from_io(folder, &e))?))
    }

    /// Over some of the folder's segments.
    pub(super) fn over(folder: &Path, segments: VecDeque<Segment>) -> Walk {
        Walk { folder: folder.into(), rest: segments, open: None, begin: 0, damaged_bytes: 0 }
    }

    /// Begins at this offset of the first segment, if that is behind its header.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.begin = offset;
    }

    /// The next frame, as `read` makes it of its head and the scan that stands behind it. Where a file cannot be read, an error,
    /// and the walk goes on with the next one.
    pub(super) fn next<T>(&mut self, read: impl Fn(&Head, &Scan) -> Option<T>) -> Option<Result<T, SpoolError>> {
        loop {
            let Some((file, scan)) = &mut self.open else {
                let segment = self.rest.pop_front()?;
                let path = segment::path(&self.folder, segment.first);
                match open(&path, std::mem::take(&mut self.begin), segment.len) {
                    Ok(opened) => self.open = opened,
                    // Settled or dropped meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Some(Err(SpoolError::from_io(&path, &error))),
                }
                continue;
            };
            match scan.step(file) {
                Ok(Step::Frame(head)) => match read(&head, scan) {
                    Some(found) => return Some(Ok(found)),
                    None => self.damaged_bytes += (HEAD_BYTES + head.body_len()) as u64,
                },
                Ok(Step::Skipped(bytes, _)) => self.damaged_bytes += bytes,
                Ok(Step::End) => self.open = None,
                Err(error) => {
                    self.open = None;
                    return Some(Err(SpoolError::from_io(&self.folder, &error)));
                }
            }
        }
    }
}

/// `None` for a segment of a later version.
fn open(path: &Path, begin: u64, len: u64) -> io::Result<Option<(File, Scan)>> {
    let file = disk::open(path)?;
    Ok(match Kind::of(&file)? {
        Kind::Ours(header) => Some((file, Scan::new(begin.max(header.len), len, Some(header.salt)))),
        Kind::Damaged => Some((file, Scan::new(begin, len, None))),
        Kind::Newer(_) => None,
    })
}
