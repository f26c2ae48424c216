//! Entries that stand in two folders. `journalctl --flush` copies what is in /run/log/journal to /var/log/journal and deletes it there;
//! the copies have numbers of their own, and the boot and the time of what they are copies of.
//!
//! ```text
//! /run   e1 e2 e3 e4 │ deleted     first, settled, last: by the time since the boot
//! /var   … e1 e2 e3 e4 e5 …        e1 to e4: passed once those in /run are read; the position stays until they are settled
//! ```
//! While journald writes to the one folder it does not write to the other: what has a time between the first and the last entry of a
//! file of the later folder is a copy of one of them, once a copy of that file's first entry is there.

use super::followed::Followed;
use super::journal::{Cursor, Id};

/// Files that are gone and remembered.
const GONE_MAX: usize = 128;

/// Which entries a file has, or had: of one boot, as in /run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Covered {
    /// Which of the section's folders it is in.
    folder: usize,
    machine: Id,
    /// Its first entry.
    pub(super) origin: Cursor,
    boot: Id,
    /// Microseconds since the boot.
    first: u64,
    last: u64,
    read: Option<u64>,
    settled: Option<u64>,
}

/// Is an entry a copy?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IsCopy {
    No,
    /// Of one that is not read yet.
    Waits,
    /// Of one that is on its way, from the file whose first entry has this time since the boot.
    Read(u64),
    /// Of one that is settled.
    Settled,
}

impl Covered {
    /// Of a file that is followed.
    pub(super) fn of(file: &Followed) -> Option<Self> {
        let (first, header) = (file.first?, file.file.header());
        let of_boot = |cursor: Cursor| Some(cursor.monotonic).filter(|_| cursor.boot_id == first.boot_id);
        let tail = Some(header.tail_monotonic).filter(|_| header.tail_boot_id == first.boot_id);
        // What is not read any more is read in the copy.
        let last = if file.is_given_up() { file.read.and_then(of_boot) } else { tail };
        Some(Self {
            folder: file.folder,
            machine: header.machine_id,
            origin: first,
            boot: first.boot_id,
            first: first.monotonic,
            last: last?,
            read: file.read.and_then(of_boot),
            settled: file.settled.and_then(of_boot),
        })
    }

    /// The same when the file is not read any more.
    pub(super) fn to_settled(self) -> Option<Self> {
        Some(Self { last: self.settled?, ..self })
    }

    /// Can a file have copies of its entries?
    pub(super) fn concerns(&self, file: &Followed) -> bool {
        file.folder < self.folder && file.file.header().machine_id == self.machine
    }

    fn has(&self, entry: &Cursor) -> bool {
        self.boot == entry.boot_id && (self.first..=self.last).contains(&entry.monotonic)
    }
}

/// Is an entry a copy of what these files have?
pub(super) fn is_copy(covered: &[Covered], entry: &Cursor) -> IsCopy {
    let mut is = IsCopy::No;
    for covered in covered.iter().filter(|covered| covered.has(entry)) {
        if covered.settled >= Some(entry.monotonic) {
            return IsCopy::Settled;
        }
        if covered.read >= Some(entry.monotonic) {
            is = IsCopy::Read(covered.first);
        } else if is == IsCopy::No {
            is = IsCopy::Waits;
        }
    }
    is
}

/// Remembers a file that is gone.
pub(super) fn remember(gone: &mut Vec<Covered>, covered: Option<Covered>) {
    // Nothing copies from the first folder.
    gone.extend(covered.filter(|covered| covered.folder > 0));
    let surplus = gone.len().saturating_sub(GONE_MAX);
    gone.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_told_by_its_boot_and_its_time() {
        let (boot, other) = (Id([1; 16]), Id([2; 16]));
        let machine = Id([3; 16]);
        let origin = Cursor::default();
        let covered =
            Covered { folder: 1, machine, origin, boot, first: 10, last: 30, read: Some(25), settled: Some(20) };
        let later = Covered { first: 31, last: 40, read: None, settled: None, ..covered };
        for (boot_id, monotonic, expect) in [
            (boot, 9, IsCopy::No),
            (boot, 10, IsCopy::Settled),
            (boot, 20, IsCopy::Settled),
            (boot, 21, IsCopy::Read(10)),
            (boot, 25, IsCopy::Read(10)),
            (boot, 26, IsCopy::Waits),
            (boot, 30, IsCopy::Waits),
            (boot, 31, IsCopy::Waits),
            (boot, 41, IsCopy::No),
            (other, 20, IsCopy::No),
        ] {
            let entry = Cursor { boot_id, monotonic, ..Cursor::default() };
            assert_eq!(is_copy(&[covered, later], &entry), expect, "{monotonic}");
        }
        assert!(later.to_settled().is_none());
        assert_eq!(covered.to_settled().map(|covered| covered.last), Some(20));
        let mut gone = Vec::new();
        (0..200).for_each(|_| remember(&mut gone, Some(covered)));
        remember(&mut gone, Some(Covered { folder: 0, ..covered }));
        assert_eq!(gone.len(), GONE_MAX);
    }
}
