//! Lists of entries: all of a file, or those that have a field. They are chains of arrays, each longer than the one before.
//!
//! ```text
//! header.entry_array_offset ──▶ ARRAY next, e1 … e4 ──▶ ARRAY next, e5 … e12 ──▶ ARRAY 0, e13, e14, 0, 0 …
//! DATA.entry_offset e3, DATA.entry_array_offset ──▶ ARRAY …
//! ```
//! Offsets only grow, along the chain and within it, so no list goes in a circle. Where a chain is broken, the list of all entries
//! goes on from object to object.

use super::file::{OBJECT_DATA, OBJECT_ENTRY, OBJECT_ENTRY_ARRAY, OBJECT_TYPE_MAX};
use super::{JournalFile, Trouble, u32_at, u64_at};

const ARRAY_HEAD: u64 = 24;
/// How many offsets are read at once.
const CHUNK: u64 = 512;

/// Where a list begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    All,
    /// Of the field at this offset.
    Field(u64),
}

/// An array of the chain.
#[derive(Debug, Clone, Copy, Default)]
struct Array {
    offset: u64,
    items: u64,
}

/// A list of entries, and how far it was read.
#[derive(Debug)]
pub struct EntryList {
    root: Root,
    array: Array,
    /// Of the next item in the array.
    index: u64,
    /// Items that were read ahead, the next one last.
    ahead: Vec<u64>,
    /// The last one that was given out; those that follow are higher.
    last: u64,
    /// The chain is broken: what follows is looked for from here.
    scan: Option<u64>,
    /// The same for a field's list, of which nothing more is found.
    over: bool,
}

impl EntryList {
    /// All entries of a file.
    pub fn all() -> Self {
        Self::new(Root::All)
    }

    /// Those that have the field at this offset.
    pub fn of_field(offset: u64) -> Self {
        Self::new(Root::Field(offset))
    }

    fn new(root: Root) -> Self {
        Self { root, array: Array::default(), index: 0, ahead: Vec::new(), last: 0, scan: None, over: false }
    }

    /// The next entry; `None` at the end, which may be further away later.
    ///
    /// # Errors
    /// Something is damaged. Another call gives what can be found behind it.
    pub fn next(&mut self, file: &mut JournalFile) -> Result<Option<u64>, Trouble> {
        if self.over {
            return Ok(None);
        }
        if self.scan.is_some() {
            return self.scan_on(file);
        }
        let offset = match self.follow(file) {
            Ok(Some(offset)) => offset,
            Ok(None) => return Ok(None),
            Err(trouble) => {
                if !matches!(trouble, Trouble::Io(_)) {
                    self.break_off(file);
                }
                return Err(trouble);
            }
        };
        if offset <= self.last || !offset.is_multiple_of(8) {
            return Err(Trouble::Damaged("a list of entries goes backwards"));
        }
        self.last = offset;
        Ok(Some(offset))
    }

    /// Where the last entry stands that was given out, or passed by [`seek`](Self::seek); 0 without one.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Gives the last one out again: it was not whole yet.
    pub fn step_back(&mut self, file: &mut JournalFile, offset: u64) {
        if self.scan.is_some() {
            self.scan = Some(offset);
        } else if self.array.items > 0 && self.index > 0 {
            self.ahead.clear();
            self.index -= 1;
        } else {
            *self = Self::new(self.root);
        }
        self.last = offset.saturating_sub(8);
        file.forget();
    }

    /// The chain cannot be followed any more.
    fn break_off(&mut self, file: &JournalFile) {
        match self.root {
            Root::All => self.scan = Some(self.last.max(file.header().size)),
            Root::Field(_) => self.over = true,
        }
    }

    /// The next item of the chain, as it stands there.
    fn follow(&mut self, file: &mut JournalFile) -> Result<Option<u64>, Trouble> {
        if self.array.items == 0 {
            if let Root::Field(offset) = self.root
                && self.last == 0
            {
                return self.first_of_field(file, offset);
            }
            let head = self.head(file)?;
            if head == 0 {
                return Ok(None);
            }
            self.enter(file, head)?;
        }
        if self.ahead.is_empty() && !self.read_ahead(file)? {
            return Ok(None);
        }
        self.index += 1;
        Ok(self.ahead.pop())
    }

    fn first_of_field(&self, file: &mut JournalFile, offset: u64) -> Result<Option<u64>, Trouble> {
        file.object(offset, OBJECT_DATA, 65)?;
        let first = file.word(offset + 40)?;
        Ok(Some(first).filter(|first| *first != 0))
    }

    /// The first array, if there is one by now.
    fn head(&self, file: &mut JournalFile) -> Result<u64, Trouble> {
        match self.root {
            Root::All => Ok(file.header().entry_array_offset),
            Root::Field(offset) => file.word(offset + 48),
        }
    }

    fn enter(&mut self, file: &mut JournalFile, offset: u64) -> Result<(), Trouble> {
        self.array = array(file, offset)?;
        self.index = 0;
        Ok(())
    }

    /// Reads the next items; `false` when there are none yet.
    fn read_ahead(&mut self, file: &mut JournalFile) -> Result<bool, Trouble> {
        while self.index == self.array.items {
            let next = file.word(self.array.offset + 16)?;
            if next == 0 {
                return Ok(false);
            }
            if next <= self.array.offset {
                return Err(Trouble::Damaged("a chain of entries goes backwards"));
            }
            self.enter(file, next)?;
        }
        let count = (self.array.items - self.index).min(CHUNK);
        let ahead = items(file, self.array, self.index, count)?;
        self.ahead.clear();
        // Behind the last entry there are zeros.
        self.ahead.extend(ahead.into_iter().take_while(|offset| *offset != 0));
        self.ahead.reverse();
        Ok(!self.ahead.is_empty())
    }

    /// From object to object, to the last one that is whole.
    fn scan_on(&mut self, file: &mut JournalFile) -> Result<Option<u64>, Trouble> {
        while let Some(at) = self.scan {
            let object = match file.any_object(at, true) {
                Ok(object) if object.kind <= OBJECT_TYPE_MAX => object,
                Err(Trouble::Io(error)) => return Err(Trouble::Io(error)),
                _ => return Ok(None),
            };
            self.scan = Some(at.saturating_add(object.size.next_multiple_of(8)));
            if object.kind == OBJECT_ENTRY && at > self.last {
                self.last = at;
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Moves behind all entries that are before something, as `is_before` tells: that must not become true again once it is
    /// false. Entries that cannot be read are before nothing.
    ///
    /// # Errors
    /// The chain is damaged before it came there.
    pub fn seek(
        &mut self,
        file: &mut JournalFile,
        mut is_before: impl FnMut(&mut JournalFile, u64) -> bool,
    ) -> Result<(), Trouble> {
        *self = Self::new(self.root);
        if let Root::Field(offset) = self.root {
            match self.first_of_field(file, offset)? {
                Some(first) if is_before(file, first) => self.last = first,
                _ => return Ok(()),
            }
        }
        let head = self.head(file)?;
        if head == 0 {
            return Ok(());
        }
        self.enter(file, head)?;
        loop {
            let last = item(file, self.array, self.array.items - 1)?;
            let next = file.word(self.array.offset + 16)?;
            if last == 0 || next <= self.array.offset || !is_before(file, last) {
                break;
            }
            self.last = last;
            self.enter(file, next)?;
        }
        let (mut low, mut high) = (0, self.array.items);
        while low < high {
            let middle = low + (high - low) / 2;
            let offset = item(file, self.array, middle)?;
            if offset != 0 && is_before(file, offset) {
                (low, self.last) = (middle + 1, offset);
            } else {
                high = middle;
            }
        }
        self.index = low;
        Ok(())
    }
}

/// The last entry of a file.
///
/// # Errors
/// The chain is damaged.
pub(super) fn last_entry(file: &mut JournalFile) -> Result<Option<u64>, Trouble> {
    let mut list = EntryList::all();
    list.seek(file, |_, _| true)?;
    Ok(Some(list.last).filter(|last| *last != 0))
}

impl JournalFile {
    /// Where its last entry stands.
    ///
    /// # Errors
    /// The chain of its entries is damaged.
    pub fn last_entry(&mut self) -> Result<Option<u64>, Trouble> {
        last_entry(self)
    }
}

fn array(file: &mut JournalFile, offset: u64) -> Result<Array, Trouble> {
    let object = file.object(offset, OBJECT_ENTRY_ARRAY, ARRAY_HEAD + 8)?;
    Ok(Array { offset, items: (object.size - ARRAY_HEAD) / file.offset_bytes() as u64 })
}

fn item(file: &mut JournalFile, array: Array, index: u64) -> Result<u64, Trouble> {
    let bytes = file.offset_bytes();
    let item = file.bytes(array.offset + ARRAY_HEAD + index * bytes as u64, bytes)?;
    Ok(if bytes == 4 { u64::from(u32_at(item, 0)) } else { u64_at(item, 0) })
}

fn items(file: &mut JournalFile, array: Array, index: u64, count: u64) -> Result<Vec<u64>, Trouble> {
    let bytes = file.offset_bytes();
    let all = file.bytes(array.offset + ARRAY_HEAD + index * bytes as u64, count as usize * bytes)?;
    let items = all.chunks_exact(bytes);
    Ok(items.map(|item| if bytes == 4 { u64::from(u32_at(item, 0)) } else { u64_at(item, 0) }).collect())
}
