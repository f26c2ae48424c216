//! Which entries have certain fields: through the file's hash table to the field's object, and from there to its list of entries.

use super::{EntryList, Item, JournalFile, Trouble, hash};

/// Bytes of a cell of a hash table: the first and the last object of its chain.
const CELL: u64 = 16;

/// What entries shall have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matches {
    /// `KEY=value` each; none for all entries.
    pub fields: Vec<Vec<u8>>,
    /// All of them, else any.
    pub all: bool,
}

/// The same for one file.
#[derive(Debug)]
pub struct Matcher {
    matches: Matches,
    /// Where the fields stand in the file, as far as they do.
    found: Vec<Option<u64>>,
    /// The hash table is damaged: fields are found by their text.
    by_text: bool,
}

impl Matcher {
    /// Nothing was looked for yet: [`refresh`](Self::refresh).
    pub fn new(matches: Matches) -> Self {
        let found = vec![None; matches.fields.len()];
        Self { matches, found, by_text: false }
    }

    /// Looks for fields that were not there before.
    pub fn refresh(&mut self, file: &mut JournalFile) {
        for (field, found) in self.matches.fields.iter().zip(&mut self.found) {
            if found.is_none() && !self.by_text {
                match file.find_field(field) {
                    Ok(offset) => *found = offset,
                    Err(_) => self.by_text = true,
                }
            }
        }
    }

    /// Has an entry what it shall have? A field stands once in a file.
    pub fn takes(&mut self, file: &mut JournalFile, items: &[Item]) -> bool {
        if self.by_text && self.found.contains(&None) {
            items.iter().for_each(|item| self.learn(file, *item));
        }
        let has = |found: &Option<u64>| found.is_some_and(|offset| items.iter().any(|item| item.offset == offset));
        match self.found.is_empty() {
            true => true,
            false if self.matches.all => self.found.iter().all(has),
            false => self.found.iter().any(has),
        }
    }

    fn learn(&mut self, file: &mut JournalFile, item: Item) {
        let mut text = Vec::new();
        if !self.found.contains(&Some(item.offset)) && file.data(item, &mut text).is_ok() {
            let place = self.matches.fields.iter().position(|field| *field == text);
            place.into_iter().for_each(|place| self.found[place] = Some(item.offset));
        }
    }

    /// Does it take all?
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The entries of the file that it takes, by the lists of its fields; those that it has by now. `None`: there is no way to know.
    pub fn indexed(&self) -> Option<Indexed> {
        if self.by_text {
            return None;
        }
        let lists = self.found.iter().map(|found| found.map(EntryList::of_field));
        let lists = if self.matches.all { lists.collect::<Option<_>>() } else { Some(lists.flatten().collect()) };
        let lists: Vec<EntryList> = lists.unwrap_or_default();
        Some(Indexed { next: vec![None; lists.len()], lists, all: self.matches.all })
    }
}

/// Entries in several lists at once, or in any of them.
#[derive(Debug)]
pub struct Indexed {
    lists: Vec<EntryList>,
    next: Vec<Option<u64>>,
    all: bool,
}

impl Indexed {
    /// Moves all lists behind what is before something: [`EntryList::seek`].
    ///
    /// # Errors
    /// A list is damaged.
    pub fn seek(
        &mut self,
        file: &mut JournalFile,
        mut is_before: impl FnMut(&mut JournalFile, u64) -> bool,
    ) -> Result<(), Trouble> {
        self.lists.iter_mut().try_for_each(|list| list.seek(file, &mut is_before))
    }

    /// The next entry.
    ///
    /// # Errors
    /// A list is damaged: the entries have to be looked at one by one.
    pub fn next(&mut self, file: &mut JournalFile) -> Result<Option<u64>, Trouble> {
        for (list, next) in self.lists.iter_mut().zip(&mut self.next) {
            if next.is_none() {
                *next = list.next(file)?;
            }
        }
        if !self.all {
            let lowest = self.next.iter().flatten().min().copied();
            self.next.iter_mut().filter(|next| **next == lowest).for_each(|next| *next = None);
            return Ok(lowest);
        }
        loop {
            // Up to the highest in each of them, until it is the same in all.
            let mut ends = self.next.iter().copied();
            let Some(highest) = ends.clone().flatten().max().filter(|_| ends.all(|next| next.is_some())) else {
                return Ok(None);
            };
            if self.next.iter().all(|next| *next == Some(highest)) {
                self.next.fill(None);
                return Ok(Some(highest));
            }
            for (list, next) in self.lists.iter_mut().zip(&mut self.next) {
                while next.is_some_and(|offset| offset < highest) {
                    *next = list.next(file)?;
                }
            }
        }
    }
}

impl JournalFile {
    /// Where the object of a field stands, if any entry has it.
    ///
    /// # Errors
    /// The hash table is damaged.
    pub fn find_field(&mut self, field: &[u8]) -> Result<Option<u64>, Trouble> {
        let header = *self.header();
        let cells = header.data_hash_table_size / CELL;
        if cells == 0 {
            return Ok(None);
        }
        let hash = if header.keyed { hash::keyed(&header.file_id.0, field) } else { hash::jenkins(field) };
        let mut at = self.word(header.data_hash_table_offset.saturating_add(hash % cells * CELL))?;
        let mut text = Vec::new();
        while at != 0 {
            self.object(at, super::file::OBJECT_DATA, 65)?;
            if self.word(at + 16)? == hash {
                text.clear();
                // One that is damaged is not this one, as far as can be told.
                if self.data(Item { offset: at, hash: None }, &mut text).is_ok() && text == field {
                    return Ok(Some(at));
                }
            }
            let next = self.word(at + 24)?;
            if next != 0 && next <= at {
                return Err(Trouble::Damaged("a chain of fields goes backwards"));
            }
            at = next;
        }
        Ok(None)
    }
}
