//! The entries of a request by their streams, in the order in which they came, as protobuf in one block of Snappy or as JSON.
//!
//! ```text
//! PushRequest { 1: Stream }     Stream { 1: labels, 2: Entry }     Entry { 3: Pair { 1: name, 2: value }, 1: Timestamp { 1: s, 2: ns }, 2: line }
//! {"streams":[{"stream":{"app":"web"},"values":[["1709287200000000000","the line",{"pod":"web-1"}]]}]}
//! ```

use super::piece::{self, Entry};
use crate::output::{Neighbours, Pieces};
use crate::record::{json, json_read};
use std::collections::HashMap;

const BILLION: i64 = 1_000_000_000;
/// The kind of fields that say how long they are.
const LENGTH_DELIMITED: u8 = 2;

/// The entries of one label set.
pub(super) struct Stream<'p> {
    pub(super) labels: &'p [u8],
    lines: Vec<Line<'p>>,
    /// Metadata that lines have: most have that of the one before.
    metadata: Vec<&'p [u8]>,
}

/// An entry, as small as it can be: hundreds of kilobytes of them would be new memory for each request.
#[derive(Clone, Copy)]
struct Line<'p> {
    text: &'p [u8],
    time_ns: i64,
    /// By its number within the stream.
    metadata: u32,
    /// Of its protobuf, once that is known.
    entry_len: u32,
}

impl<'p> Stream<'p> {
    /// The number of the metadata that the next lines have.
    fn metadata(&mut self, metadata: &'p [u8]) -> u32 {
        if self.metadata.last() != Some(&metadata) {
            self.metadata.push(metadata);
        }
        self.metadata.len() as u32 - 1
    }
}

/// What a request holds of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Summary<'p> {
    pub(super) labels: &'p [u8],
    /// The time of its oldest entry.
    pub(super) oldest: i64,
    /// Of lines and metadata.
    pub(super) bytes: usize,
}

impl<'p> Stream<'p> {
    pub(super) fn summary(&self) -> Summary<'p> {
        let oldest = self.lines.iter().map(|line| line.time_ns).min().unwrap_or(i64::MAX);
        let bytes = |line: &Line<'_>| line.text.len() + self.metadata[line.metadata as usize].len();
        Summary { labels: self.labels, oldest, bytes: self.lines.iter().map(bytes).sum() }
    }
}

/// The same without a list of entries; `each` is told the stream of each piece.
pub(super) fn summaries(pieces: &Pieces, mut each: impl FnMut(usize)) -> Vec<Summary<'_>> {
    let mut list: Vec<Summary<'_>> = Vec::new();
    let mut by_labels = HashMap::new();
    let mut add = |labels, oldest: i64, bytes| {
        let at = *by_labels.entry(labels).or_insert(list.len());
        match list.get_mut(at) {
            Some(stream) => (stream.oldest, stream.bytes) = (stream.oldest.min(oldest), stream.bytes + bytes),
            None => list.push(Summary { labels, oldest, bytes }),
        }
        at
    };
    for some in pieces.neighbours() {
        if let Some((labels, metadata, [])) = piece::labels_of(some.common) {
            let bytes = some.own().map(<[u8]>::len).sum::<usize>() + some.count() * metadata.len();
            let at = add(labels, piece::times(some.fronts).min().unwrap_or(i64::MAX), bytes);
            (0..some.count()).for_each(|_| each(at));
        } else {
            let mut reader = piece::Reader::default();
            for piece in some.parts() {
                let entry = reader.read(piece);
                each(add(entry.labels, entry.time_ns, entry.line.len() + entry.metadata.len()));
            }
        }
    }
    list
}

/// The entries of all pieces.
pub(super) fn entries(pieces: &Pieces) -> impl Iterator<Item = Entry<'_>> {
    let mut reader = piece::Reader::default();
    pieces.parts().map(move |piece| reader.read(piece))
}

/// The entries by their streams. Neighbours are of one stream more often than not.
pub(super) fn streams(pieces: &Pieces) -> Vec<Stream<'_>> {
    let mut streams = Streams::default();
    for some in pieces.neighbours() {
        if !streams.add_all(&some) {
            let mut reader = piece::Reader::default();
            some.parts().for_each(|piece| streams.add(&reader.read(piece)));
        }
    }
    streams.list
}

#[derive(Default)]
struct Streams<'p> {
    list: Vec<Stream<'p>>,
    by_labels: HashMap<&'p [u8], usize>,
    last: usize,
}

impl<'p> Streams<'p> {
    fn stream(&mut self, labels: &'p [u8]) -> &mut Stream<'p> {
        if self.list.get(self.last).is_none_or(|stream| stream.labels != labels) {
            self.last = *self.by_labels.entry(labels).or_insert_with(|| {
                self.list.push(Stream { labels, lines: Vec::new(), metadata: Vec::new() });
                self.list.len() - 1
            });
        }
        &mut self.list[self.last]
    }

    fn add(&mut self, entry: &Entry<'p>) {
        let stream = self.stream(entry.labels);
        let metadata = stream.metadata(entry.metadata);
        stream.lines.push(Line { text: entry.line, time_ns: entry.time_ns, metadata, entry_len: 0 });
    }

    /// Adds neighbours that have labels and metadata in common, if they have.
    fn add_all(&mut self, some: &Neighbours<'p>) -> bool {
        let Some((labels, metadata, [])) = piece::labels_of(some.common) else { return false };
        let stream = self.stream(labels);
        let metadata = stream.metadata(metadata);
        let lines = some.own().zip(piece::times(some.fronts));
        stream.lines.extend(lines.map(|(text, time_ns)| Line { text, time_ns, metadata, entry_len: 0 }));
        true
    }
}

/// Appends a `PushRequest`.
pub(super) fn push_protobuf(streams: &mut [Stream<'_>], out: &mut Vec<u8>) {
    let (mut pairs, mut ranges) = (Vec::new(), Vec::new());
    for stream in streams {
        let labels = label_text(stream.labels);
        pairs.clear();
        ranges.clear();
        for metadata in &stream.metadata {
            let start = pairs.len();
            push_pairs(metadata, &mut pairs);
            ranges.push(start..pairs.len());
        }
        let mut size = field_len(labels.len());
        for line in &mut stream.lines {
            line.entry_len = entry_len(line, ranges[line.metadata as usize].len()) as u32;
            size += field_len(line.entry_len as usize);
        }
        push_field(out, 1, size);
        push_field(out, 1, labels.len());
        out.extend_from_slice(labels.as_bytes());
        for line in &stream.lines {
            // The pairs first: with what stands before and behind them they are one long repetition for the compressor.
            push_field(out, 2, line.entry_len as usize);
            out.extend_from_slice(&pairs[ranges[line.metadata as usize].clone()]);
            push_time(out, line.time_ns);
            push_field(out, 2, line.text.len());
            out.extend_from_slice(line.text);
        }
    }
}

/// Appends metadata as the pairs of entries.
fn push_pairs(json: &[u8], out: &mut Vec<u8>) {
    let (mut name, mut value) = (Vec::new(), Vec::new());
    json_read::object(json, |member| {
        name.clear();
        value.clear();
        // Both were written as JSON by this output: they have no escape that is none.
        let _ = json_read::unescape(&json[member.key.0..member.key.1], &mut name);
        let _ = json_read::unescape(inside(&json[member.value.0..member.value.1]), &mut value);
        push_field(out, 3, field_len(name.len()) + field_len(value.len()));
        push_field(out, 1, name.len());
        out.extend_from_slice(&name);
        push_field(out, 2, value.len());
        out.extend_from_slice(&value);
    });
}

/// What stands between the quotes of a JSON string.
fn inside(json: &[u8]) -> &[u8] {
    json.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(json)
}

/// `{app="web", job="shop"}`. JSON's escapes are Go's as well, as long as no slash is escaped, which none here is.
fn label_text(labels: &[u8]) -> String {
    let mut text = String::from("{");
    json_read::object(labels, |member| {
        if text.len() > 1 {
            text.push_str(", ");
        }
        text.push_str(&String::from_utf8_lossy(&labels[member.key.0..member.key.1]));
        text.push('=');
        text.push_str(&String::from_utf8_lossy(&labels[member.value.0..member.value.1]));
    });
    text.push('}');
    text
}

/// Appends a push in JSON.
pub(super) fn push_json(streams: &[Stream<'_>], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"streams\":[");
    for (index, stream) in streams.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"stream\":" } else { b",{\"stream\":" });
        out.extend_from_slice(stream.labels);
        out.extend_from_slice(b",\"values\":[");
        for (index, line) in stream.lines.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"[\"" } else { b",[\"" });
            push_decimal(out, line.time_ns);
            out.extend_from_slice(b"\",");
            json::push_utf8(out, line.text);
            let metadata = stream.metadata[line.metadata as usize];
            if !metadata.is_empty() {
                out.push(b',');
                out.extend_from_slice(metadata);
            }
            out.push(b']');
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
}

fn push_decimal(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    json::push_u64(out, number.unsigned_abs());
}

#[inline]
fn seconds_and_nanos(time_ns: i64) -> (u64, u64) {
    (time_ns.div_euclid(BILLION) as u64, time_ns.rem_euclid(BILLION) as u64)
}

#[inline]
fn time_len(seconds: u64, nanos: u64) -> usize {
    1 + varint_len(seconds) + if nanos == 0 { 0 } else { 1 + varint_len(nanos) }
}

#[inline]
fn entry_len(line: &Line<'_>, pairs_len: usize) -> usize {
    let (seconds, nanos) = seconds_and_nanos(line.time_ns);
    field_len(time_len(seconds, nanos)) + field_len(line.text.len()) + pairs_len
}

/// The time of an entry, as a field of it.
#[inline]
fn push_time(out: &mut Vec<u8>, time_ns: i64) {
    let (seconds, nanos) = seconds_and_nanos(time_ns);
    push_field(out, 1, time_len(seconds, nanos));
    push_number(out, 1, seconds);
    if nanos != 0 {
        push_number(out, 2, nanos);
    }
}

/// A field that is a number; one below 2^35, such as all seconds until the year 3058, is put together in a register.
#[inline]
fn push_number(out: &mut Vec<u8>, field: u8, number: u64) {
    if number >> 35 == 0 {
        push_short(out, field << 3, number);
    } else {
        push_long(out, field << 3, number);
    }
}

/// What stands in front of a field with a length.
#[inline]
fn push_field(out: &mut Vec<u8>, field: u8, len: usize) {
    // Lengths are below 4 GiB, as all are in pieces.
    push_short(out, field << 3 | LENGTH_DELIMITED, len as u64);
}

/// A byte, and a number below 2^35 in up to five bytes. All eight are appended, and those too many taken off again: a copy of a fixed
/// length is one instruction.
#[inline]
fn push_short(out: &mut Vec<u8>, first: u8, number: u64) {
    let len = varint_len(number);
    let septet = |at: u32| (number << at) & (0x7F << (8 * at));
    let septets = septet(0) | septet(1) | septet(2) | septet(3) | septet(4);
    let marks = 0x80_8080_8080 & ((1 << (8 * (len - 1))) - 1);
    let end = out.len() + 1 + len;
    out.extend_from_slice(&(u64::from(first) | (septets | marks) << 8).to_le_bytes());
    out.truncate(end);
}

#[cold]
fn push_long(out: &mut Vec<u8>, first: u8, mut number: u64) {
    out.push(first);
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes of a field with a length, its number below 16.
fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Seven bits a byte, without a division.
#[inline]
fn varint_len(number: u64) -> usize {
    (((64 - (number | 1).leading_zeros()) * 9 + 64) >> 6) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(entries: &[(&str, &str, i64, &str)]) -> Pieces {
        let mut pieces = Pieces::default();
        for (labels, metadata, time_ns, line) in entries {
            pieces.bytes.extend_from_slice(&piece::time(*time_ns));
            piece::push_labels(&mut pieces.bytes, labels.as_bytes(), metadata.as_bytes());
            pieces.bytes.extend_from_slice(line.as_bytes());
            pieces.add(1);
        }
        pieces
    }

    #[test]
    fn entries_of_one_stream_stand_together_in_their_order() {
        let (web, db) = (r#"{"app":"web"}"#, r#"{"app":"d\"b","n":"1"}"#);
        let pieces = pieces(&[
            (web, "", 5, "one"),
            (db, r#"{"pod":"db-0"}"#, -1, "q\"\n"),
            (web, r#"{"a":"1","b":"2"}"#, 4, "two"),
            (db, "", 1_709_287_200_123_456_789, ""),
        ]);
        let mut out = Vec::new();
        push_json(&streams(&pieces), &mut out);
        let streams = [
            r#"{"stream":{"app":"web"},"values":[["5","one"],["4","two",{"a":"1","b":"2"}]]}"#,
            r#"{"stream":{"app":"d\"b","n":"1"},"values":[["-1","q\"\n",{"pod":"db-0"}],["1709287200123456789",""]]}"#,
        ];
        assert_eq!(String::from_utf8_lossy(&out), format!("{{\"streams\":[{}]}}", streams.join(",")));
    }

    #[test]
    fn protobuf_byte_by_byte() {
        let mut out = Vec::new();
        let pieces = pieces(&[(r#"{"a":"b"}"#, r#"{"k":"v"}"#, 2_000_000_300, "hi")]);
        push_protobuf(&mut streams(&pieces), &mut out);
        let entry =
            [&[0x1A, 6, 0x0A, 1][..], b"k", &[0x12, 1], b"v", &[0x0A, 5, 0x08, 2, 0x10, 0xAC, 2, 0x12, 2], b"hi"];
        let entry = entry.concat();
        let stream = [&[0x0A, 7][..], b"{a=\"b\"}", &[0x12, entry.len() as u8], &entry].concat();
        assert_eq!(out, [&[0x0A, stream.len() as u8][..], &stream].concat());
    }

    #[test]
    fn lengths_of_numbers() {
        proptest::proptest!(|(number: u64, shift in 0..64_u32)| {
            let number = number >> shift;
            let (mut own, mut long) = (Vec::new(), Vec::new());
            push_number(&mut own, 1, number);
            push_long(&mut long, 8, number);
            proptest::prop_assert_eq!(&own, &long);
            proptest::prop_assert_eq!(own.len(), 1 + varint_len(number));
        });
    }
}
