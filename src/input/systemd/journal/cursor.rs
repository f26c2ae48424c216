//! Where an entry stands in all journals, as `journalctl --show-cursor` writes it.
//!
//! ```text
//! s=00ac540e32404cc09ce6cb2bc0973cba;i=1;b=0123456789abcdef0123456789abcdef;m=f4240;t=60a24181e4000;x=6dc8db00c9bc81f8
//! who numbers, number                boot, and microseconds since it                microseconds    XOR of the fields' hashes
//! ```

use super::Id;
use std::cmp::Ordering;

/// Where an entry stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Who numbered it.
    pub seqnum_id: Id,
    /// Its number, from 1.
    pub seqnum: u64,
    /// The boot that `monotonic` counts from.
    pub boot_id: Id,
    /// Microseconds since the boot.
    pub monotonic: u64,
    /// Microseconds since 1970.
    pub realtime: u64,
    /// XOR of the hashes of its fields.
    pub xor_hash: u64,
}

impl Cursor {
    /// Reads what [`Display`](std::fmt::Display) writes. All parts but the last must be there.
    pub fn parse(text: &str) -> Option<Self> {
        let part = |name: &str| text.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let number = |name: &str| u64::from_str_radix(part(name)?, 16).ok();
        Some(Self {
            seqnum_id: Id::parse(part("s")?)?,
            seqnum: number("i")?,
            boot_id: Id::parse(part("b")?)?,
            monotonic: number("m")?,
            realtime: number("t")?,
            xor_hash: number("x").unwrap_or_default(),
        })
    }

    /// Which of two entries comes first, in the order in which journalctl shows them: by number where one counted both, else by
    /// the time since the boot if it is the same one, else by the clock.
    pub fn order(&self, other: &Self) -> Ordering {
        if self.seqnum_id == other.seqnum_id && self.seqnum != other.seqnum {
            return self.seqnum.cmp(&other.seqnum);
        }
        let since_boot = self.monotonic.cmp(&other.monotonic);
        if self.boot_id == other.boot_id && since_boot.is_ne() {
            return since_boot;
        }
        self.realtime.cmp(&other.realtime).then(self.xor_hash.cmp(&other.xor_hash))
    }

    /// Are both the same entry, maybe copied from one file into another that numbers anew?
    pub fn is_copy_of(&self, other: &Self) -> bool {
        let what = |cursor: &Self| (cursor.boot_id, cursor.monotonic, cursor.realtime, cursor.xor_hash);
        what(self) == what(other)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seqnum_id, seqnum, boot_id, monotonic, realtime, xor_hash } = self;
        write!(f, "s={seqnum_id};i={seqnum:x};b={boot_id};m={monotonic:x};t={realtime:x};x={xor_hash:x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "s=00ac540e32404cc09ce6cb2bc0973cba;i=1f;b=0123456789abcdef0123456789abcdef;m=f4240;t=60a24181e4000;x=6dc8db00c9bc81f8";

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let cursor = Cursor::parse(TEXT).expect("a cursor");
        assert_eq!((cursor.seqnum, cursor.monotonic, cursor.realtime), (31, 1_000_000, 1_700_000_000_000_000));
        assert_eq!(cursor.to_string(), TEXT);
        for broken in ["", "s=1", &TEXT[1..], &TEXT.replace("i=1f", "i=g"), &TEXT.replace("00ac", "+0ac")] {
            assert_eq!(Cursor::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_number_counts_before_the_boot_and_the_boot_before_the_clock() {
        let first = Cursor::parse(TEXT).expect("a cursor");
        let other = Id([7; 16]);
        let later = Cursor { seqnum: 32, monotonic: 1, realtime: 1, ..first };
        assert_eq!(first.order(&later), Ordering::Less);
        let elsewhere = Cursor { seqnum_id: other, seqnum: 1, monotonic: first.monotonic + 1, realtime: 1, ..first };
        assert_eq!(first.order(&elsewhere), Ordering::Less);
        let another_boot = Cursor { boot_id: other, ..elsewhere };
        assert_eq!(first.order(&another_boot), Ordering::Greater);
        assert!(first.is_copy_of(&Cursor { seqnum_id: other, seqnum: 9, ..first }) && !first.is_copy_of(&later));
    }
}
