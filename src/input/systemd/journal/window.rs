//! A piece of a file in memory. Entries are read from the front to the back, and what belongs to them was written just before them:
//! so a window grows while most of it is read, and begins anew, small, where reading jumps, as from one entry of a unit to the next.

use super::Trouble;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Where the bytes of a journal are.
pub trait Storage: Send {
    /// In bytes.
    ///
    /// # Errors
    /// The disk failed.
    fn len(&self) -> io::Result<u64>;
    /// Fills as much of the buffer as there is.
    ///
    /// # Errors
    /// The disk failed.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Has it no name any more?
    fn is_deleted(&self) -> bool {
        false
    }
    /// Is there nothing?
    ///
    /// # Errors
    /// The disk failed.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

impl Storage for File {
    fn is_deleted(&self) -> bool {
        self.metadata().is_ok_and(|meta| meta.nlink() == 0)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

impl Storage for Vec<u8> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.as_slice().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }
}

/// A window of which less than this part was asked for does not grow.
const USED_PART: usize = 8;

/// Some bytes of a file.
#[derive(Debug, Default)]
pub(super) struct Window {
    start: u64,
    /// Of the file up to `filled`; what is behind it was made once, and is filled again and again.
    bytes: Vec<u8>,
    filled: usize,
    /// Bytes that were asked for, since it began.
    used: usize,
    lead: u64,
    bytes_min: usize,
    bytes_max: usize,
}

impl Window {
    /// One that begins with `bytes_min`, `lead` before what is asked for, and grows to `bytes_max`.
    pub(super) fn new(lead: u64, bytes_min: usize, bytes_max: usize) -> Self {
        Self { lead, bytes_min, bytes_max, ..Self::default() }
    }

    /// Forgets what may have changed.
    pub(super) fn clear(&mut self) {
        (self.filled, self.used) = (0, 0);
    }

    /// Gives its memory back.
    pub(super) fn release(&mut self) {
        self.clear();
        self.bytes = Vec::new();
    }

    /// Are these bytes in it, or where it would grow next?
    pub(super) fn reaches(&self, offset: u64, len: usize) -> bool {
        let end = offset.checked_sub(self.start).and_then(|at| at.checked_add(len as u64));
        self.filled > 0 && end.is_some_and(|end| end <= self.bytes_max as u64)
    }

    /// So many bytes from `offset` on.
    pub(super) fn get(&mut self, storage: &dyn Storage, offset: u64, len: usize) -> Result<&[u8], Trouble> {
        if offset.checked_add(len as u64).is_none_or(|end| end > i64::MAX.cast_unsigned()) {
            return Err(Trouble::Short);
        }
        if !self.holds(offset, len) {
            let goes_on = self.reaches(offset, len) && offset <= self.end() + self.filled as u64;
            if !goes_on || self.used < self.filled / USED_PART {
                self.start = offset.saturating_sub(self.lead);
                self.clear();
            }
            self.grow(storage, (offset - self.start) as usize + len)?;
            if !self.holds(offset, len) {
                return Err(Trouble::Short);
            }
        }
        self.used += len;
        let at = (offset - self.start) as usize;
        Ok(&self.bytes[at..at + len])
    }

    fn end(&self) -> u64 {
        self.start + self.filled as u64
    }

    fn holds(&self, offset: u64, len: usize) -> bool {
        offset >= self.start && offset.checked_add(len as u64).is_some_and(|end| end <= self.end())
    }

    /// To at least so many bytes, and twice what it has.
    fn grow(&mut self, storage: &dyn Storage, needed: usize) -> Result<(), Trouble> {
        let before = self.filled;
        let wanted = (before * 2).clamp(self.bytes_min, self.bytes_max).max(needed);
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        self.filled += storage.read_at(&mut self.bytes[before..wanted], self.start + before as u64)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_grows_forwards_and_begins_anew_elsewhere() {
        let bytes: Vec<u8> = (0..100u8).collect();
        let mut window = Window::new(0, 8, 32);
        let mut check = |offset: u64, len: usize, expect: (u64, usize)| {
            let got = window.get(&bytes, offset, len).map(<[u8]>::to_vec);
            let from = offset as usize;
            assert_eq!(got.ok().as_deref(), bytes.get(from..from + len), "{offset} {len}");
            assert_eq!((window.start, window.filled), expect, "{offset} {len}");
        };
        check(10, 2, (10, 8));
        check(16, 4, (10, 16));
        check(40, 2, (10, 32));
        check(50, 4, (50, 8));
        check(20, 1, (20, 8));
        check(20, 40, (20, 40));
        check(96, 8, (96, 4));
        check(96, 4, (96, 4));
        check(200, 1, (200, 0));
        let mut window = Window::new(0, 8, 64);
        for (offset, expect) in [(0, (0, 8)), (9, (0, 16)), (17, (0, 32)), (33, (33, 8))] {
            assert_eq!(window.get(&bytes, offset, 1).expect("a byte"), [offset as u8], "{offset}");
            assert_eq!((window.start, window.filled), expect, "little of it is used: {offset}");
        }
        let mut window = Window::new(4, 8, 32);
        assert_eq!(window.get(&bytes, 50, 2).expect("bytes"), [50, 51]);
        assert_eq!((window.start, window.filled), (46, 8));
    }
}
