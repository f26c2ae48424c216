//! An entry of a stream, as it is sent in protobuf.
//!
//! ```text
//! 12 len { 1A len { 0A len name, 12 len value } …, 0A len { 08 seconds, 10 nanoseconds }, 12 len line }
//! ```
//! The pairs of its metadata first: with what stands before and behind them they are one long repetition for the compressor.

const BILLION: i64 = 1_000_000_000;
/// The kind of fields that say how long they are.
const LENGTH_DELIMITED: u8 = 2;
/// A stream's entries, by the number of their field.
const ENTRY: u8 = 2;
const PAIR: u8 = 3;
const TIME: u8 = 1;
const LINE: u8 = 2;

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields<'e> {
    /// As [`push_pair`] writes it.
    pub(super) metadata: &'e [u8],
    /// Nanoseconds since 1970.
    pub(super) time_ns: i64,
    /// UTF-8.
    pub(super) line: &'e [u8],
}

/// Appends an entry whose line `push_line` appends; `line_len` is how long that will most likely be.
#[inline]
pub(super) fn push(
    out: &mut Vec<u8>,
    (metadata, time_ns): (&[u8], i64),
    line_len: usize,
    push_line: impl FnOnce(&mut Vec<u8>),
) {
    let (seconds, nanos) = (time_ns.div_euclid(BILLION) as u64, time_ns.rem_euclid(BILLION) as u64);
    let time_len = number_len(seconds) + if nanos == 0 { 0 } else { number_len(nanos) };
    let entry_len = metadata.len() + field_len(time_len) + field_len(line_len);
    push_field(out, ENTRY, entry_len);
    let start = out.len();
    out.extend_from_slice(metadata);
    if seconds >> 35 == 0 {
        let mut head = Head::at_end_of(out);
        head.put(TIME << 3 | LENGTH_DELIMITED, time_len as u64);
        head.put(1 << 3, seconds);
        if nanos != 0 {
            head.put(2 << 3, nanos);
        }
        head.put(LINE << 3 | LENGTH_DELIMITED, line_len as u64);
        head.end();
    } else {
        push_far_time(out, time_len, seconds, nanos);
        push_field(out, LINE, line_len);
    }
    let line_start = out.len();
    push_line(out);
    let len = out.len() - line_start;
    if len != line_len {
        set_len(out, line_start, line_len, len);
        let len = out.len() - start;
        set_len(out, start, entry_len, len);
    }
}

/// Before 1970, or after the year 3058.
#[cold]
fn push_far_time(out: &mut Vec<u8>, time_len: usize, seconds: u64, nanos: u64) {
    push_field(out, TIME, time_len);
    out.push(1 << 3);
    push_varint(out, seconds);
    if nanos != 0 {
        out.push(2 << 3);
        push_varint(out, nanos);
    }
}

/// Says another length in front of what begins at `start`.
#[inline(never)]
fn set_len(out: &mut Vec<u8>, start: usize, said: usize, len: usize) {
    let mut varint = Vec::new();
    push_varint(&mut varint, len as u64);
    out.splice(start - varint_len(said as u64)..start, varint);
}

/// Appends a pair of metadata.
pub(super) fn push_pair(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    push_field(out, PAIR, field_len(name.len()) + field_len(value.len()));
    push_field(out, 1, name.len());
    out.extend_from_slice(name);
    push_field(out, 2, value.len());
    out.extend_from_slice(value);
}

/// The pairs of metadata: names and values.
pub(super) fn pairs(mut metadata: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let mut pair = take_field(&mut metadata, PAIR)?;
        Some((take_field(&mut pair, 1)?, take_field(&mut pair, 2)?))
    })
}

/// Takes the first entry off.
#[inline]
pub(super) fn take<'e>(bytes: &mut &'e [u8]) -> Option<Fields<'e>> {
    let mut rest = take_field(bytes, ENTRY)?;
    let all = rest;
    while take_field(&mut rest, PAIR).is_some() {}
    let metadata = &all[..all.len() - rest.len()];
    let mut time = take_field(&mut rest, TIME)?;
    let seconds = take_number(&mut time, 1)?;
    let nanos = take_number(&mut time, 2).unwrap_or_default();
    // The product alone may be too much for the first moments that there are.
    let time_ns = i64::try_from(i128::from(seconds as i64) * i128::from(BILLION) + i128::from(nanos)).ok()?;
    let line = take_field(&mut rest, LINE)?;
    (time.is_empty() && rest.is_empty()).then_some(Fields { metadata, time_ns, line })
}

/// Takes off a field with a length, if it has this number.
#[inline]
fn take_field<'e>(bytes: &mut &'e [u8], number: u8) -> Option<&'e [u8]> {
    let mut rest = bytes.strip_prefix(&[number << 3 | LENGTH_DELIMITED])?;
    let len = take_varint(&mut rest)?;
    let (field, rest) = rest.split_at_checked(len.try_into().ok()?)?;
    *bytes = rest;
    Some(field)
}

fn take_number(bytes: &mut &[u8], number: u8) -> Option<u64> {
    let mut rest = bytes.strip_prefix(&[number << 3])?;
    let value = take_varint(&mut rest)?;
    *bytes = rest;
    Some(value)
}

#[inline]
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let len = bytes.iter().take(10).position(|byte| *byte < 0x80)? + 1;
    let (varint, rest) = bytes.split_at(len);
    *bytes = rest;
    Some(varint.iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7F)))
}

/// Appends what stands in front of a field with a length.
#[inline]
pub(super) fn push_field(out: &mut Vec<u8>, field: u8, len: usize) {
    // Lengths are below 4 GiB, as all are in pieces.
    let (bytes, used) = short(field << 3 | LENGTH_DELIMITED, len as u64);
    let end = out.len() + used;
    out.extend_from_slice(&bytes);
    out.truncate(end);
}

/// A few short numbers, each behind the byte of its field, in room that is made once for all of them.
struct Head<'o> {
    out: &'o mut Vec<u8>,
    end: usize,
}

impl<'o> Head<'o> {
    #[inline]
    fn at_end_of(out: &'o mut Vec<u8>) -> Self {
        let end = out.len();
        out.extend_from_slice(&[0; 32]);
        Self { out, end }
    }

    /// Up to five times. A copy of a fixed length is an instruction.
    #[inline]
    fn put(&mut self, first: u8, number: u64) {
        let (bytes, used) = short(first, number);
        self.out[self.end..self.end + 8].copy_from_slice(&bytes);
        self.end += used;
    }

    /// Takes off the room that was too much.
    #[inline]
    fn end(self) {
        self.out.truncate(self.end);
    }
}

/// A byte, and a number below 2^35, such as all seconds until the year 3058, in up to five bytes; with how many they are.
#[inline]
fn short(first: u8, number: u64) -> ([u8; 8], usize) {
    let len = varint_len(number);
    let septet = |at: u32| (number << at) & (0x7F << (8 * at));
    let septets = septet(0) | septet(1) | septet(2) | septet(3) | septet(4);
    let marks = 0x80_8080_8080 & ((1 << (8 * (len - 1))) - 1);
    ((u64::from(first) | (septets | marks) << 8).to_le_bytes(), 1 + len)
}

#[cold]
fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes of a field with a length, its number below 16.
#[inline]
pub(super) fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

#[inline]
fn number_len(number: u64) -> usize {
    1 + varint_len(number)
}

/// Seven bits a byte, without a division.
#[inline]
fn varint_len(number: u64) -> usize {
    (((64 - (number | 1).leading_zeros()) * 9 + 64) >> 6) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_by_byte() {
        let (mut metadata, mut out) = (Vec::new(), b"before".to_vec());
        push_pair(&mut metadata, b"k", b"v");
        push(&mut out, (&metadata, 2_000_000_300), 2, |out| out.extend_from_slice(b"hi"));
        let entry = b"\x1A\x06\x0A\x01k\x12\x01v\x0A\x05\x08\x02\x10\xAC\x02\x12\x02hi";
        assert_eq!(out, [b"before\x12", &[entry.len() as u8][..], entry].concat());
    }

    #[test]
    fn what_is_written_is_read() {
        let pair = ("[a-z]{0,9}", "\\PC{0,150}");
        let list = proptest::collection::vec(pair, 0..4);
        proptest::proptest!(|(list in list, time_ns: i64, line in "\\PC{0,200}", guess in 0..20_000_usize, rest: Vec<u8>)| {
            let (mut metadata, mut out) = (Vec::new(), Vec::new());
            list.iter().for_each(|(name, value)| push_pair(&mut metadata, name.as_bytes(), value.as_bytes()));
            let line = line.as_bytes();
            push(&mut out, (&metadata, time_ns), guess, |out| out.extend_from_slice(line));
            let mut exact = Vec::new();
            push(&mut exact, (&metadata, time_ns), line.len(), |out| out.extend_from_slice(line));
            proptest::prop_assert_eq!(&out, &exact, "whatever was thought of its length");
            out.extend_from_slice(&rest);
            let mut bytes = &out[..];
            proptest::prop_assert_eq!(take(&mut bytes), Some(Fields { metadata: &metadata, time_ns, line }));
            proptest::prop_assert_eq!(bytes, &rest[..]);
            let texts = pairs(&metadata).map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
            let texts: Vec<_> = texts.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
            proptest::prop_assert_eq!(texts, list);
        });
    }

    #[test]
    fn the_first_and_the_last_moments_are_read() {
        for time_ns in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
            let mut out = Vec::new();
            push(&mut out, (&[], time_ns), 1, |out| out.push(b'x'));
            assert_eq!(take(&mut &out[..]), Some(Fields { metadata: &[], time_ns, line: b"x" }));
        }
    }

    #[test]
    fn anything_else_is_no_entry() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            take(&mut &bytes[..]);
            pairs(&bytes).for_each(drop);
        });
        for bytes in [&b""[..], b"\x12", b"\x12\x01", b"\x12\x00", b"\x12\x02\x0A\x00", b"{\"log\":\"x\"}\n"] {
            assert_eq!(take(&mut { bytes }), None, "{bytes:?}");
        }
    }

    #[test]
    fn lengths_of_numbers() {
        proptest::proptest!(|(number: u64, shift in 0..64_u32)| {
            let number = number >> shift;
            let mut long = vec![8];
            push_varint(&mut long, number);
            proptest::prop_assert_eq!(long.len(), number_len(number));
            proptest::prop_assert_eq!(take_number(&mut &long[..], 1), Some(number));
            let number = number >> 29;
            let (bytes, used) = short(8, number);
            long.truncate(1);
            push_varint(&mut long, number);
            proptest::prop_assert_eq!(&bytes[..used], &long);
        });
    }
}
