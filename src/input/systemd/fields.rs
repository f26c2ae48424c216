//! What fields become in records. Most fields of a journal come again and again: a host's name, a unit, a command line. Of those the
//! text is kept by its offset in the file, and stands once in a batch, however many of its records have it.
//!
//! ```text
//! slots    offset in the file ─▶ KEY=value, kept and checked         one list per file
//! keys     KEY ─▶ as records show it, without `_`, in small letters   one list per section
//! batch    … KEY=value …  ◀── the fields of all its records           a mark says where it stands in the present batch
//! ```

use crate::record::Span;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

/// Fields that are kept of a file, and their bytes: more than the units of a node have.
const SLOTS_MAX: usize = 16 << 10;
const TEXT_BYTES_MAX: usize = 2 << 20;
/// Different keys of a section.
const KEYS_MAX: usize = 4096;

/// Offsets are well mixed by one multiplication.
#[derive(Debug, Default)]
pub(super) struct OffsetHasher(u64);

impl Hasher for OffsetHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, offset: u64) {
        let mixed = (self.0 ^ offset).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// A field, as it is kept.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    text: Range<u32>,
    pub(super) key_len: u32,
    /// Its number in the list of keys.
    pub(super) key: u32,
    pub(super) xor: Option<u64>,
    pub(super) cut: bool,
    /// Entries of drave's own log have it.
    pub(super) is_own: bool,
    /// The source of a `_SYSTEMD_UNIT`.
    pub(super) source: Option<u32>,
    /// The batch in which it stands, and where.
    pub(super) batch: u32,
    pub(super) value: Span,
}

/// The fields of a file that come again and again.
#[derive(Debug, Default)]
pub(super) struct Slots {
    by_offset: HashMap<u64, u32, BuildHasherDefault<OffsetHasher>>,
    list: Vec<Slot>,
    text: Vec<u8>,
}

impl Slots {
    pub(super) fn find(&self, offset: u64) -> Option<u32> {
        self.by_offset.get(&offset).copied()
    }

    pub(super) fn get(&mut self, number: u32) -> &mut Slot {
        &mut self.list[number as usize]
    }

    /// `KEY=value`.
    pub(super) fn text(&self, slot: &Slot) -> &[u8] {
        &self.text[slot.text.start as usize..slot.text.end as usize]
    }

    pub(super) fn len_of(&self, number: u32) -> usize {
        self.list[number as usize].text.len()
    }

    pub(super) fn put(&mut self, offset: u64, text: &[u8], slot: Slot) -> u32 {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(text);
        let number = self.list.len() as u32;
        self.list.push(Slot { text: start..self.text.len() as u32, ..slot });
        self.by_offset.insert(offset, number);
        number
    }

    /// Between rounds: when it has grown too large, or what it knows of keys and sources does not hold any more.
    pub(super) fn tidy(&mut self) {
        if self.list.len() > SLOTS_MAX || self.text.len() > TEXT_BYTES_MAX {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Slot {
    /// A field that was read just now.
    pub(super) fn new(data: &super::journal::Data, key: u32, source: Option<u32>) -> Self {
        let (key_len, xor, cut) = (data.key_len as u32, data.xor, data.cut);
        Self { text: 0..0, key_len, key, xor, cut, is_own: false, source, batch: 0, value: Span::default() }
    }
}

/// A key, as records show it.
#[derive(Debug)]
pub(super) struct Key {
    shown: Box<[u8]>,
    /// The batch in which it stands, and where.
    pub(super) batch: u32,
    pub(super) span: Span,
    /// The last record that had it: one that has it twice makes a list of it.
    pub(super) record: u32,
}

/// The keys of a section.
#[derive(Debug, Default)]
pub(super) struct Keys {
    by_name: HashMap<Box<[u8]>, u32>,
    list: Vec<Key>,
    lowercase: bool,
    strip: bool,
}

impl Keys {
    pub(super) fn new(lowercase: bool, strip: bool) -> Self {
        Self { lowercase, strip, ..Self::default() }
    }

    /// The number of a key. Two that are shown alike have the same.
    pub(super) fn number(&mut self, name: &[u8]) -> u32 {
        if let Some(number) = self.by_name.get(name) {
            return *number;
        }
        let shown = self.shown(name);
        let same = self.list.iter().position(|key| key.shown == shown);
        let number = same.unwrap_or_else(|| {
            self.list.push(Key { shown, batch: 0, span: Span::default(), record: 0 });
            self.list.len() - 1
        }) as u32;
        self.by_name.insert(name.into(), number);
        number
    }

    pub(super) fn get(&mut self, number: u32) -> &mut Key {
        &mut self.list[number as usize]
    }

    /// Are there more than a journal should have?
    pub(super) fn is_full(&self) -> bool {
        self.by_name.len() > KEYS_MAX
    }

    pub(super) fn clear(&mut self) {
        self.by_name.clear();
        self.list.clear();
    }

    fn shown(&self, name: &[u8]) -> Box<[u8]> {
        let name = if self.strip { name.strip_prefix(b"_").unwrap_or(name) } else { name };
        if self.lowercase { name.to_ascii_lowercase().into() } else { name.into() }
    }
}

impl Key {
    pub(super) fn shown(&self) -> &[u8] {
        &self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_as_asked_for_and_alike_ones_are_one() {
        for (lowercase, strip, expect) in
            [(false, false, "__A _A A"), (true, false, "__a _a a"), (false, true, "_A A A"), (true, true, "_a a a")]
        {
            let mut keys = Keys::new(lowercase, strip);
            let numbers: Vec<u32> = ["__A", "_A", "A", "_A"].iter().map(|key| keys.number(key.as_bytes())).collect();
            let shown: Vec<String> =
                numbers[..3].iter().map(|n| String::from_utf8_lossy(keys.get(*n).shown()).into()).collect();
            assert_eq!(shown.join(" "), expect);
            assert_eq!(numbers[1], numbers[3]);
            assert_eq!(numbers[1] == numbers[2], strip);
        }
    }
}
