//! One file that is followed: what comes next in it, and how far it is settled.
//!
//! ```text
//! settled ──┬── round ──┬── round ──┬── … ── read ── next
//!   cursor    (tickets and held groups; the front ones of which nothing is left move the cursor)
//! ```
//! With filters, what was written before the file was found is read by the lists of their fields, and what comes later is looked at
//! entry by entry: the lists of a growing file may be half written.

use super::copies::{Covered, IsCopy, is_copy};
use super::discover::Found;
use super::fields::Slots;
use super::journal::{Cursor, Entry, EntryList, Id, Indexed, Item, JournalFile, Matcher, Matches, Trouble};
use crate::record::Ticket;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// So long an entry at the end of a file that is written to may be half there.
const HALF_WRITTEN: Duration = Duration::from_secs(5);
/// How near to the end that is, in bytes.
const END_BYTES: u64 = 1 << 20;
/// Entries of other fields that are passed at a time.
const PASSED_MAX: usize = 20_000;
/// Entries of one microsecond that are compared.
const SAME_MOMENT_MAX: usize = 64;
/// How many reads in a row may fail before a file is given up: some seconds of a disk in trouble.
const READ_ERRORS_MAX: u32 = 40;

/// Some entries that were read, as they are settled together.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) number: u64,
    pub(super) tickets: Vec<Ticket>,
    /// Groups that could not be handed on yet.
    pub(super) held: u32,
    /// The last entry.
    end: Cursor,
    pub(super) bytes: u64,
    /// They are copies of what another file has, whose first entry has this time: settled when those are.
    copies_of: Option<u64>,
}

/// The next entry of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    pub(super) entry: Entry,
    pub(super) cursor: Cursor,
}

/// What a look for the next entry gave.
pub(super) enum Look {
    Next(Next),
    /// The end, for now.
    End,
    /// Many entries were passed, and there are more.
    Later,
    /// Something was damaged, and passed over: so many bytes.
    Damaged(Trouble, u64),
}

/// A file that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) id: Id,
    pub(super) path: PathBuf,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Which of the section's folders it is in.
    pub(super) folder: usize,
    /// The first entry of all, as soon as there is one.
    pub(super) first: Option<Cursor>,
    pub(super) file: JournalFile,
    pub(super) slots: Slots,
    matcher: Matcher,
    list: EntryList,
    /// The entries that match, up to this one.
    indexed: Option<(Indexed, u64)>,
    pub(super) next: Option<Next>,
    pub(super) items: Vec<Item>,
    /// Nothing is written to it any more.
    pub(super) is_final: bool,
    /// By its name it was rotated.
    pub(super) has_final_name: bool,
    pub(super) at_end: bool,
    pub(super) deleted: bool,
    half_written: Option<(u64, Instant)>,
    read_errors: u32,
    given_up: bool,
    pub(super) said_damage: bool,
    pub(super) pending: VecDeque<Pending>,
    next_number: u64,
    /// The last entry that was read or passed.
    pub(super) read: Option<Cursor>,
    pub(super) settled: Option<Cursor>,
    pub(super) dirty: bool,
    pub(super) read_at: Instant,
}

impl Followed {
    pub(super) fn new(file: JournalFile, found: &Found, matches: &Matches) -> Self {
        let (path, device, inode, folder) = (found.path.clone(), found.device, found.inode, found.folder);
        let has_final_name = is_final_name(&path);
        let is_final = has_final_name || file.header().archived;
        Self {
            id: file.header().file_id,
            path,
            device,
            inode,
            folder,
            first: None,
            file,
            slots: Slots::default(),
            matcher: Matcher::new(matches.clone()),
            list: EntryList::all(),
            indexed: None,
            next: None,
            items: Vec::new(),
            is_final,
            has_final_name,
            at_end: false,
            deleted: false,
            half_written: None,
            read_errors: 0,
            given_up: false,
            said_damage: false,
            pending: VecDeque::new(),
            next_number: 0,
            read: None,
            settled: None,
            dirty: false,
            read_at: Instant::now(),
        }
    }

    /// Begins behind all entries that are before something: [`EntryList::seek`].
    pub(super) fn begin(&mut self, mut is_before: impl FnMut(&Cursor) -> bool) -> Result<(), Trouble> {
        self.find_first();
        let is_before = |file: &mut JournalFile, offset: u64| {
            let entry = file.entry(offset, &mut Vec::new());
            entry.is_ok_and(|entry| is_before(&file.cursor(&entry)))
        };
        let found = self.list.seek(&mut self.file, is_before);
        let from = self.list.last();
        if from != 0 {
            let entry = self.file.entry(from, &mut Vec::new())?;
            self.read = Some(self.file.cursor(&entry));
        }
        (self.settled, self.dirty) = (self.read, from != 0);
        found?;
        self.begin_by_index(from)
    }

    fn find_first(&mut self) {
        let first = EntryList::all().next(&mut self.file).ok().flatten();
        let entry = first.and_then(|offset| self.file.entry(offset, &mut Vec::new()).ok());
        self.first = entry.map(|entry| self.file.cursor(&entry));
    }

    /// Uses the lists of the filters' fields for what is there already.
    fn begin_by_index(&mut self, from: u64) -> Result<(), Trouble> {
        if self.matcher.is_empty() {
            return Ok(());
        }
        // What is written meanwhile comes behind this one.
        let until = self.file.last_entry()?;
        self.matcher.refresh(&mut self.file);
        if let Some(until) = until
            && let Some(mut indexed) = self.matcher.indexed()
        {
            indexed.seek(&mut self.file, |_, offset| offset <= from)?;
            self.indexed = Some((indexed, until));
        }
        Ok(())
    }

    /// The entry that is a copy of another one's, if there is one.
    pub(super) fn copy_of(&mut self, cursor: &Cursor) -> Option<Cursor> {
        let mut list = EntryList::all();
        let is_before = |file: &mut JournalFile, offset: u64| {
            let is_before = |entry: Entry| match entry.boot_id == cursor.boot_id {
                true => entry.monotonic < cursor.monotonic,
                false => entry.realtime < cursor.realtime,
            };
            file.entry(offset, &mut Vec::new()).is_ok_and(is_before)
        };
        list.seek(&mut self.file, is_before).ok()?;
        for _ in 0..SAME_MOMENT_MAX {
            let offset = list.next(&mut self.file).ok()??;
            let entry = self.file.entry(offset, &mut Vec::new()).ok()?;
            let found = self.file.cursor(&entry);
            if found.is_copy_of(cursor) || found.realtime > cursor.realtime {
                return Some(found).filter(|found| found.is_copy_of(cursor));
            }
        }
        None
    }

    /// Looks whether something was written; `true` when there is something new.
    pub(super) fn refresh(&mut self) -> Result<bool, Trouble> {
        if self.given_up || self.is_final && self.read_errors == 0 {
            return Ok(false);
        }
        let changed = match self.file.refresh() {
            Err(Trouble::Io(_)) if self.may_try_again() => return Ok(false),
            changed => changed?,
        };
        let is_final = self.has_final_name || self.deleted || self.file.header().archived;
        let ends = is_final && !self.is_final;
        self.is_final = is_final;
        if changed {
            self.matcher.refresh(&mut self.file);
            if self.first.is_none() {
                self.find_first();
            }
        }
        // A half written entry may be whole without a change of the header.
        let again = changed || ends || self.half_written.is_some() || self.read_errors > 0;
        self.at_end &= !again;
        Ok(again)
    }

    /// The next entry that is wanted.
    pub(super) fn look(&mut self) -> Look {
        if let Some(next) = self.next {
            return Look::Next(next);
        }
        if self.at_end {
            return Look::End;
        }
        for _ in 0..PASSED_MAX {
            let offset = match self.next_offset() {
                Ok(Some(offset)) => offset,
                Ok(None) => {
                    self.at_end = true;
                    return Look::End;
                }
                Err(trouble) => return self.list_trouble(trouble),
            };
            // What was written since the last look at the header comes with the next one.
            if !self.is_final && offset > self.file.header().tail_object_offset {
                self.step_back(offset);
                return Look::End;
            }
            self.items.clear();
            match self.file.entry(offset, &mut self.items) {
                Ok(entry) => {
                    let cursor = self.file.cursor(&entry);
                    if self.matcher.takes(&mut self.file, &self.items) {
                        self.next = Some(Next { entry, cursor });
                        return Look::Next(Next { entry, cursor });
                    }
                    self.read = Some(cursor);
                }
                Err(trouble) => return self.trouble(offset, trouble, 0),
            }
        }
        Look::Later
    }

    fn list_trouble(&mut self, trouble: Trouble) -> Look {
        if !matches!(trouble, Trouble::Io(_)) {
            return Look::Damaged(trouble, 0);
        }
        self.at_end = true;
        if self.may_try_again() {
            return Look::End;
        }
        let lost = self.behind_header();
        self.give_up();
        Look::Damaged(trouble, lost)
    }

    /// A disk, or a mount of one, may be well again in a moment: one more try at each poll.
    fn may_try_again(&mut self) -> bool {
        self.read_errors += 1;
        self.read_errors < READ_ERRORS_MAX
    }

    /// Nothing more is read of it.
    pub(super) fn give_up(&mut self) {
        (self.given_up, self.is_final, self.at_end) = (true, true, true);
        (self.next, self.half_written, self.read_errors) = (None, None, 0);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// An entry cannot be read: it is half written, or damaged and passed over.
    pub(super) fn trouble(&mut self, offset: u64, trouble: Trouble, bytes: u64) -> Look {
        self.next = None;
        if matches!(trouble, Trouble::Io(_)) {
            self.step_back(offset);
            return self.list_trouble(trouble);
        }
        let is_end = !self.is_final && offset.saturating_add(END_BYTES) > self.file.header().tail_object_offset;
        let since = match self.half_written {
            Some((at, since)) if at == offset => since,
            _ => Instant::now(),
        };
        if is_end && since.elapsed() < HALF_WRITTEN {
            self.half_written = Some((offset, since));
            self.step_back(offset);
            return Look::End;
        }
        self.half_written = None;
        Look::Damaged(trouble, bytes)
    }

    fn step_back(&mut self, offset: u64) {
        match self.indexed.take() {
            // From here on one by one. Where the chain is damaged, what it gives is above what was read.
            Some(_) => drop(self.list.seek(&mut self.file, |_, other| other < offset)),
            None => self.list.step_back(&mut self.file, offset),
        }
        self.at_end = true;
    }

    fn next_offset(&mut self) -> Result<Option<u64>, Trouble> {
        if let Some((indexed, until)) = &mut self.indexed {
            let until = *until;
            match indexed.next(&mut self.file) {
                Ok(Some(offset)) if offset < until => return Ok(Some(offset)),
                found => {
                    // The rest is looked at one by one; all of it, where the lists are damaged.
                    let from = if found.is_ok() { until } else { self.next_unread() };
                    self.indexed = None;
                    self.list.seek(&mut self.file, |_, offset| offset < from)?;
                    found.map(drop)?;
                }
            }
        }
        self.list.next(&mut self.file)
    }

    /// Nothing before it is unread.
    fn next_unread(&mut self) -> u64 {
        let Some(read) = self.read else { return 0 };
        let mut list = EntryList::all();
        let is_before = |file: &mut JournalFile, offset: u64| {
            file.entry(offset, &mut Vec::new()).is_ok_and(|entry| entry.seqnum <= read.seqnum)
        };
        let found = list.seek(&mut self.file, is_before).and_then(|()| list.next(&mut self.file));
        found.ok().flatten().unwrap_or(0)
    }

    /// The next entry was read.
    pub(super) fn take_next(&mut self) {
        if let Some(next) = self.next.take() {
            self.read = Some(next.cursor);
            (self.half_written, self.read_errors) = (None, 0);
        }
    }

    /// Notes what was read up to now; the number is for [`pending_mut`](Self::pending_mut).
    pub(super) fn note(&mut self, bytes: u64) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        if let Some(end) = self.read {
            self.pending.push_back(Pending { number, tickets: Vec::new(), held: 0, end, bytes, copies_of: None });
        }
        self.read_at = Instant::now();
        number
    }

    /// Passes the next entry, a copy of one that is on its way.
    pub(super) fn pass_copy(&mut self, of: u64) {
        self.take_next();
        match (self.pending.back_mut(), self.read) {
            (Some(last), Some(end)) if last.copies_of == Some(of) => last.end = end,
            _ => {
                self.note(0);
                self.pending.back_mut().into_iter().for_each(|copies| copies.copies_of = Some(of));
            }
        }
    }

    /// Were copies passed of what is on its way?
    pub(super) fn waits_for_others(&self) -> bool {
        self.pending.iter().any(|pending| pending.copies_of.is_some())
    }

    pub(super) fn pending_mut(&mut self, number: u64) -> Option<&mut Pending> {
        let first = self.pending.front()?.number;
        self.pending.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// Moves the position over what is settled; `covered` is what other files have of it.
    pub(super) fn sweep(&mut self, covered: &[Covered]) {
        let is_on_its_way = |p: &Pending| !matches!(is_copy(covered, &p.end), IsCopy::No | IsCopy::Settled);
        let is_settled = |p: &mut Pending| {
            p.held == 0 && p.tickets.iter().all(Ticket::is_settled) && !(p.copies_of.is_some() && is_on_its_way(p))
        };
        while let Some(done) = self.pending.pop_front_if(is_settled) {
            self.settled = Some(done.end);
            self.dirty = true;
        }
        // What no filter takes is settled when all before it is.
        if self.pending.is_empty() && self.read != self.settled {
            self.settled = self.read;
            self.dirty = true;
        }
    }

    pub(super) fn unsettled_bytes(&self) -> u64 {
        self.pending.iter().map(|pending| pending.bytes).sum()
    }

    /// Bytes between what was read and the last object.
    pub(super) fn behind(&self) -> u64 {
        if self.at_end && self.next.is_none() { 0 } else { self.behind_header() }
    }

    fn behind_header(&self) -> u64 {
        let from = self.next.map_or(self.list.last(), |next| next.entry.offset).max(self.file.header().size);
        self.file.header().tail_object_offset.min(self.file.len()).saturating_sub(from)
    }

    /// Bytes of the disk.
    pub(super) fn held_bytes(&self) -> u64 {
        self.file.len()
    }

    /// Is it read and settled, and will nothing be written to it?
    pub(super) fn is_done(&self) -> bool {
        self.is_final && self.at_end && self.pending.is_empty() && self.half_written.is_none() && self.read_errors == 0
    }
}

/// `system@….journal`, `user-1000@….journal`, `system@….journal~`: journald has let go of it.
pub(super) fn is_final_name(path: &std::path::Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with('~') || name.contains('@')
}
