//! The form in which values go to Lua and come back: that of LuaJIT's `string.buffer`, which makes tables of it and the other way
//! round without a call for each value.
//!
//! ```text
//! value:  tag, then what belongs to it      00 nil  01 false  02 true  03 null  07 number, 8 bytes
//! text:   20 + its length, its bytes        10 signed, 11 unsigned whole number, 8 bytes
//! table:  08 + kinds, [array slots], [pairs], values, keys and values      kinds: 1 has pairs, 2 has slots, 4 has slots from 1
//! 0e N:   the table that follows has the metatable N          0f N: a word that both sides know
//! ```
//! Tags and lengths take one, two or five bytes. The first byte of a number is its least.

const NIL: u8 = 0x00;
const FALSE: u8 = 0x01;
const TRUE: u8 = 0x02;
const NULL: u8 = 0x03;
const POINTER_32: u8 = 0x04;
const POINTER_64: u8 = 0x05;
const INT: u8 = 0x06;
const NUMBER: u8 = 0x07;
const TABLE: u8 = 0x08;
const WITH_PAIRS: u8 = 1;
const FROM_0: u8 = 2;
const FROM_1: u8 = 4;
const METATABLE: u8 = 0x0e;
const WORD: u8 = 0x0f;
const SIGNED: u8 = 0x10;
const UNSIGNED: u8 = 0x11;
const COMPLEX: u8 = 0x12;
const TEXT: u32 = 0x20;

/// What a length in five bytes begins with.
const LONG: u8 = 0xff;
/// The first length that takes two bytes, and the first that takes five.
const TWO_BYTES: u32 = 0xe0;
const FIVE_BYTES: u32 = 0x1fe0;

pub(super) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    push_length(out, TEXT + text.len() as u32);
    out.extend_from_slice(text);
}

/// A text by its number.
pub(super) fn push_word(out: &mut Vec<u8>, number: u32) {
    out.push(WORD);
    push_length(out, number);
}

pub(super) fn push_number(out: &mut Vec<u8>, number: f64) {
    out.push(NUMBER);
    out.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn push_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { TRUE } else { FALSE });
}

pub(super) fn push_null(out: &mut Vec<u8>) {
    out.push(NULL);
}

/// Begins an array of so many values, which follow.
pub(super) fn push_array(out: &mut Vec<u8>, len: usize) {
    out.push(TABLE | FROM_1);
    push_length(out, len as u32 + 1);
}

/// Says that the table that follows is an array, also when it is empty.
pub(super) fn push_mark(out: &mut Vec<u8>) {
    out.extend_from_slice(&[METATABLE, 0]);
}

/// Begins a map, whose keys and values follow; what it returns is for [`close_map`].
pub(super) fn open_map(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[TABLE | WITH_PAIRS, LONG, 0, 0, 0, 0]);
    out.len()
}

/// Ends a map of so many keys, with room for one more where Lua would have to make it later, at the price of the whole map.
pub(super) fn close_map(out: &mut Vec<u8>, opened: usize, mut len: u32) {
    if len.is_power_of_two() {
        out.extend_from_slice(&[FALSE, NIL]);
        len += 1;
    }
    if let Some(place) = out.get_mut(opened - 4..opened) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}

fn push_length(out: &mut Vec<u8>, length: u32) {
    match length {
        0..TWO_BYTES => out.push(length as u8),
        TWO_BYTES..FIVE_BYTES => {
            let more = length - TWO_BYTES;
            out.extend_from_slice(&[TWO_BYTES as u8 | (more >> 8) as u8, more as u8]);
        }
        _ => {
            out.push(LONG);
            out.extend_from_slice(&length.to_le_bytes());
        }
    }
}

/// A packed value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Item<'p> {
    Nil,
    Bool(bool),
    Null,
    Number(f64),
    Signed(i64),
    Unsigned(u64),
    Text(&'p [u8]),
    Word(u32),
    Table(Table),
}

/// The values of an array and the pairs of a map follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    /// It came as an array.
    pub(super) marked: bool,
    /// The place of the first value.
    pub(super) first: u32,
    pub(super) values: u32,
    pub(super) pairs: u32,
}

/// Takes packed values apart, one behind the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'p> {
    rest: &'p [u8],
}

impl<'p> Reader<'p> {
    pub(super) fn new(packed: &'p [u8]) -> Self {
        Self { rest: packed }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next value; of a table only how much of it follows. Part of its caller, so that a value need not go through memory.
    #[inline(always)]
    pub(super) fn item(&mut self) -> Option<Item<'p>> {
        let tag = self.length()?;
        if tag >= TEXT {
            return self.bytes((tag - TEXT) as usize).map(Item::Text);
        }
        let tag = tag as u8;
        Some(match tag {
            NIL => Item::Nil,
            FALSE | TRUE => Item::Bool(tag == TRUE),
            NULL => Item::Null,
            INT => Item::Signed(i32::from_le_bytes(self.array()?).into()),
            NUMBER => Item::Number(f64::from_le_bytes(self.array()?)),
            WORD => Item::Word(self.length()?),
            SIGNED => Item::Signed(i64::from_le_bytes(self.array()?)),
            UNSIGNED => Item::Unsigned(u64::from_le_bytes(self.array()?)),
            // Nothing that a record could hold.
            POINTER_32 => self.bytes(4).map(|_| Item::Null)?,
            POINTER_64 => self.bytes(8).map(|_| Item::Null)?,
            COMPLEX => self.bytes(16).map(|_| Item::Null)?,
            METATABLE => {
                self.length()?;
                let tag = self.length()? as u8;
                Item::Table(Table { marked: true, ..self.table(tag)? })
            }
            tag => Item::Table(self.table(tag)?),
        })
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self) -> Option<()> {
        let item = self.item()?;
        self.skip_rest(item)
    }

    /// Passes over what follows of a value that was read.
    pub(super) fn skip_rest(&mut self, item: Item<'_>) -> Option<()> {
        let Item::Table(table) = item else { return Some(()) };
        (0..u64::from(table.values) + 2 * u64::from(table.pairs)).try_for_each(|_| self.skip())
    }

    fn table(&mut self, tag: u8) -> Option<Table> {
        let kinds = tag.checked_sub(TABLE).filter(|kinds| *kinds < 6)?;
        let first = u32::from(kinds & FROM_1 != 0);
        let values = if kinds & (FROM_0 | FROM_1) != 0 { self.length()?.checked_sub(first)? } else { 0 };
        let pairs = if kinds & WITH_PAIRS != 0 { self.length()? } else { 0 };
        Some(Table { marked: false, first, values, pairs })
    }

    #[inline(always)]
    fn length(&mut self) -> Option<u32> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(match *first {
            LONG => u32::from_le_bytes(self.array()?),
            first if u32::from(first) < TWO_BYTES => u32::from(first),
            first => {
                let [second] = self.array()?;
                (u32::from(first & 0x1f) << 8) + u32::from(second) + TWO_BYTES
            }
        })
    }

    #[inline]
    fn bytes(&mut self, len: usize) -> Option<&'p [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_all_sizes_come_back() {
        for length in [0, 1, 0xdf, 0xe0, 0xff, 0x1ff, 0x1fdf, 0x1fe0, 0x2000, 0x1_0000, u32::MAX] {
            let mut out = Vec::new();
            push_length(&mut out, length);
            let mut reader = Reader::new(&out);
            assert_eq!((reader.length(), reader.rest), (Some(length), &[][..]), "{length}");
        }
    }

    #[test]
    fn no_bytes_panic() {
        proptest::proptest!(|(bytes in proptest::collection::vec(0u8..0x30, 0..40))| {
            let mut reader = Reader::new(&bytes);
            while reader.skip().is_some() {}
        });
    }
}
