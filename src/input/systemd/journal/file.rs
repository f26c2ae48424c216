//! One journal file: its header, and objects by their offset.

use super::data::Decompressor;
use super::header::SIZE_READ;
use super::window::Window;
use super::{Cursor, Entry, Header, Storage, Trouble, u64_at};

/// Of entries and what was written with them: the window grows up to this while reading goes on.
const NEAR_MIN: usize = 4 << 10;
const NEAR_MAX: usize = 512 << 10;
/// The fields that only one entry has stand before it.
const NEAR_LEAD: u64 = 1 << 10;
/// Of everything else: fields written long ago, arrays, hash tables.
const FAR: usize = 4 << 10;

/// In front of every object: type, flags, size.
pub(super) const OBJECT_HEAD: usize = 16;

pub(super) const OBJECT_DATA: u8 = 1;
pub(super) const OBJECT_ENTRY: u8 = 3;
pub(super) const OBJECT_ENTRY_ARRAY: u8 = 6;
/// No object has a higher type yet.
pub(super) const OBJECT_TYPE_MAX: u8 = 7;

/// The head of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) size: u64,
}

/// A journal file that is read.
pub struct JournalFile {
    pub(super) storage: Box<dyn Storage>,
    header: Header,
    raw_header: [u8; SIZE_READ],
    len: u64,
    near: Window,
    far: Window,
    pub(super) decompressor: Decompressor,
}

impl std::fmt::Debug for JournalFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalFile").field("header", &self.header).field("len", &self.len).finish_non_exhaustive()
    }
}

impl JournalFile {
    /// Reads the header.
    ///
    /// # Errors
    /// There is none, or not a whole one yet.
    pub fn open(storage: Box<dyn Storage>) -> Result<Self, Trouble> {
        let len = storage.len()?;
        let raw_header = read_header(&*storage)?;
        let header = Header::parse(&raw_header, len)?;
        Ok(Self {
            storage,
            header,
            raw_header,
            len,
            near: Window::new(NEAR_LEAD, NEAR_MIN, NEAR_MAX),
            far: Window::new(0, FAR, FAR),
            decompressor: Decompressor::default(),
        })
    }

    /// As it was at the last look.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of the file, at the last look.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Is there nothing? There is at least a header.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Has it no name any more?
    pub fn is_deleted(&self) -> bool {
        self.storage.is_deleted()
    }

    /// Looks at the header again; `true` when it changed, and what was read before may have changed too.
    ///
    /// # Errors
    /// It is no header any more.
    pub fn refresh(&mut self) -> Result<bool, Trouble> {
        let raw_header = read_header(&*self.storage)?;
        if raw_header == self.raw_header {
            return Ok(false);
        }
        self.len = self.storage.len()?;
        let header = Header::parse(&raw_header, self.len)?;
        if header.file_id != self.header.file_id {
            return Err(Trouble::Damaged("it became another file"));
        }
        (self.header, self.raw_header) = (header, raw_header);
        self.forget();
        Ok(true)
    }

    /// Forgets what may not have been whole when it was read.
    pub fn forget(&mut self) {
        self.near.clear();
        self.far.clear();
    }

    /// Gives back what memory it has, until it is read again.
    pub fn release(&mut self) {
        self.near.release();
        self.far.release();
        self.decompressor = Decompressor::default();
    }

    /// Where an entry stands.
    pub fn cursor(&self, entry: &Entry) -> Cursor {
        Cursor {
            seqnum_id: self.header.seqnum_id,
            seqnum: entry.seqnum,
            boot_id: entry.boot_id,
            monotonic: entry.monotonic,
            realtime: entry.realtime,
            xor_hash: entry.xor_hash,
        }
    }

    /// Bytes from anywhere. What is near to where entries are read comes from their window.
    pub(super) fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8], Trouble> {
        if self.near.reaches(offset, len) {
            return self.near.get(&*self.storage, offset, len);
        }
        self.far.get(&*self.storage, offset, len)
    }

    /// Bytes of an entry: reading goes on from here.
    pub(super) fn entry_bytes(&mut self, offset: u64, len: usize) -> Result<&[u8], Trouble> {
        self.near.get(&*self.storage, offset, len)
    }

    /// The head of an object that must be of a kind and of a least size, and lies within the file.
    pub(super) fn object(&mut self, offset: u64, kind: u8, size_min: u64) -> Result<Object, Trouble> {
        let object = self.any_object(offset, kind == OBJECT_ENTRY)?;
        if object.kind != kind {
            return Err(Trouble::Damaged("an object is not of the kind that it should be"));
        }
        if object.size < size_min {
            return Err(Trouble::Damaged("an object is too small"));
        }
        Ok(object)
    }

    /// The head of an object, whatever it is.
    pub(super) fn any_object(&mut self, offset: u64, is_entry: bool) -> Result<Object, Trouble> {
        if !offset.is_multiple_of(8) || offset < self.header.size {
            return Err(Trouble::Damaged("an object cannot begin there"));
        }
        let head = if is_entry { self.entry_bytes(offset, OBJECT_HEAD) } else { self.bytes(offset, OBJECT_HEAD) }?;
        let object = Object { kind: head[0], flags: head[1], size: u64_at(head, 8) };
        if object.size < OBJECT_HEAD as u64 || object.kind == 0 {
            return Err(Trouble::Damaged("an object is empty"));
        }
        if offset.checked_add(object.size).is_none_or(|end| end > self.len) {
            return Err(Trouble::Short);
        }
        Ok(object)
    }

    /// A word of an object that was looked at.
    pub(super) fn word(&mut self, offset: u64) -> Result<u64, Trouble> {
        Ok(u64_at(self.bytes(offset, 8)?, 0))
    }

    /// Bytes of an offset in entries and arrays.
    pub(super) fn offset_bytes(&self) -> usize {
        if self.header.compact { 4 } else { 8 }
    }
}

fn read_header(storage: &dyn Storage) -> Result<[u8; SIZE_READ], Trouble> {
    let mut bytes = [0; SIZE_READ];
    let read = storage.read_at(&mut bytes, 0)?;
    if read < SIZE_READ { Err(Trouble::Short) } else { Ok(bytes) }
}
