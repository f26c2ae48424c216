//! The entries of a request by their streams, in the order in which they came, as protobuf in one block of Snappy or as JSON.
//!
//! ```text
//! PushRequest { 1: Stream }     Stream { 1: labels, 2: Entry }     Entry { 1: Timestamp { 1: s, 2: ns }, 2: line, 3: Pair { 1: name, 2: value } }
//! {"streams":[{"stream":{"app":"web"},"values":[["1709287200000000000","the line",{"pod":"web-1"}]]}]}
//! ```

use super::piece::{self, Entry};
use crate::output::{Neighbours, Pieces};
use crate::record::{json, json_read};
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

const BILLION: i64 = 1_000_000_000;
/// The kind of fields that say how long they are.
const LENGTH_DELIMITED: u8 = 2;

/// The entries of one label set.
struct Stream<'p> {
    labels: &'p [u8],
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

/// The entries of all pieces.
pub(super) fn entries(pieces: &Pieces) -> impl Iterator<Item = Entry<'_>> {
    let mut reader = piece::Reader::default();
    pieces.parts().map(move |piece| reader.read(piece))
}

/// Of a stream whose oldest entry is so old Loki may refuse entries as too far behind: half of what it takes.
const LATE_NS: i64 = 30 * 60 * BILLION;

/// Neighbours are of one stream more often than not. The stream of which Loki is likeliest to refuse something is the last: of the others
/// it would not say it (Loki 3: `pkg/ingester/instance.go`, `Push` returns what came of the last).
fn streams(pieces: &Pieces, now_ns: i64) -> Vec<Stream<'_>> {
    let mut streams = Streams::default();
    for some in pieces.neighbours() {
        if !streams.add_all(&some) {
            let mut reader = piece::Reader::default();
            some.parts().for_each(|piece| streams.add(&reader.read(piece)));
        }
    }
    let mut list = streams.list;
    if let Some(at) = at_risk(&list, now_ns) {
        let last = list.remove(at);
        list.push(last);
    }
    list
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
        stream.lines.push(Line { text: entry.line, time_ns: entry.time_ns, metadata });
    }

    /// Adds what has labels and metadata in common, if all of it can be read. Its times stand where nothing was read lately: little else is
    /// done between two of them, so that the processor waits for several at once.
    fn add_all(&mut self, some: &Neighbours<'p>) -> bool {
        let Some((labels, metadata, [])) = piece::labels_of(some.common()) else { return false };
        let stream = self.stream(labels);
        let (metadata, before) = (stream.metadata(metadata), stream.lines.len());
        stream.lines.reserve(some.count());
        let line = |(time_ns, text)| Line { text, time_ns, metadata };
        stream.lines.extend(some.own().map_while(piece::time_and_line).map(line));
        let is_whole = stream.lines.len() == before + some.count();
        if !is_whole {
            stream.lines.truncate(before);
        }
        is_whole
    }
}

/// In a backlog that with the oldest entry, else that with the most bytes: it comes first to the limit of a stream.
fn at_risk(streams: &[Stream<'_>], now_ns: i64) -> Option<usize> {
    let oldest = |stream: &Stream<'_>| stream.lines.iter().map(|line| line.time_ns).min().unwrap_or(i64::MAX);
    let bytes = |stream: &Stream<'_>| stream.lines.iter().map(|line| line.text.len()).sum::<usize>();
    let late = streams.iter().enumerate().min_by_key(|(_, stream)| oldest(stream))?;
    if oldest(late.1) < now_ns.saturating_sub(LATE_NS) {
        return Some(late.0);
    }
    streams.iter().enumerate().max_by_key(|(_, stream)| bytes(stream)).map(|(at, _)| at)
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// Appends a `PushRequest`.
pub(super) fn push_protobuf(pieces: &Pieces, out: &mut Vec<u8>) {
    out.reserve(pieces.text_bytes());
    let (mut pairs, mut ranges) = (Vec::new(), Vec::new());
    for stream in streams(pieces, now_ns()) {
        let labels = label_text(stream.labels);
        pairs.clear();
        ranges.clear();
        for metadata in &stream.metadata {
            let start = pairs.len();
            push_pairs(metadata, &mut pairs);
            ranges.push(start..pairs.len());
        }
        let sizes = stream.lines.iter().map(|line| field_len(entry_len(line, ranges[line.metadata as usize].len())));
        push_field(out, 1, field_len(labels.len()) + sizes.sum::<usize>());
        push_field(out, 1, labels.len());
        out.extend_from_slice(labels.as_bytes());
        for line in &stream.lines {
            let pairs = &pairs[ranges[line.metadata as usize].clone()];
            Head::of_entry(line, pairs.len()).append_to(out);
            out.extend_from_slice(line.text);
            out.extend_from_slice(pairs);
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
pub(super) fn push_json(pieces: &Pieces, out: &mut Vec<u8>) {
    out.reserve(pieces.text_bytes());
    out.extend_from_slice(b"{\"streams\":[");
    for (index, stream) in streams(pieces, now_ns()).iter().enumerate() {
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

/// What stands in front of an entry's line, and other fields' heads: two lengths below 4 GiB, as all are in pieces, take 6 bytes each, a
/// time 19.
#[derive(Clone, Copy, Default)]
struct Head {
    bytes: [u8; 32],
    len: usize,
}

impl Head {
    /// Of an entry, with its own head.
    #[inline]
    fn of_entry(line: &Line<'_>, pairs_len: usize) -> Self {
        let (seconds, nanos) = seconds_and_nanos(line.time_ns);
        let mut head = Self::default();
        head.push_field(2, entry_len(line, pairs_len));
        head.push_field(1, time_len(seconds, nanos));
        head.push(1 << 3);
        head.push_varint(seconds);
        if nanos != 0 {
            head.push(2 << 3);
            head.push_varint(nanos);
        }
        head.push_field(2, line.text.len());
        head
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.bytes[self.len & 31] = byte;
        self.len += 1;
    }

    #[inline]
    fn push_varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.push(number as u8);
    }

    #[inline]
    fn push_field(&mut self, field: u8, len: usize) {
        self.push(field << 3 | LENGTH_DELIMITED);
        self.push_varint(len as u64);
    }

    /// A copy of a fixed length is an instruction or two.
    #[inline]
    fn append_to(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.len;
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

/// Bytes of a field with a length, its number below 16.
fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

fn push_field(out: &mut Vec<u8>, field: u8, len: usize) {
    let mut head = Head::default();
    head.push_field(field, len);
    head.append_to(out);
}

fn varint_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(entries: &[(&str, &str, i64, &str)]) -> Pieces {
        let mut pieces = Pieces::default();
        for (labels, metadata, time_ns, line) in entries {
            piece::push_time(&mut pieces.bytes, *time_ns);
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
        push_json(&pieces, &mut out);
        let streams = [
            r#"{"stream":{"app":"web"},"values":[["5","one"],["4","two",{"a":"1","b":"2"}]]}"#,
            r#"{"stream":{"app":"d\"b","n":"1"},"values":[["-1","q\"\n",{"pod":"db-0"}],["1709287200123456789",""]]}"#,
        ];
        assert_eq!(String::from_utf8_lossy(&out), format!("{{\"streams\":[{}]}}", streams.join(",")));
    }

    #[test]
    fn the_stream_that_something_may_be_refused_of_is_the_last() {
        let (a, b, c) = (r#"{"app":"a"}"#, r#"{"app":"b"}"#, r#"{"app":"c"}"#);
        let (now, hour) = (1_709_287_200 * BILLION, 3600 * BILLION);
        for (list, expect) in [
            ([(a, "", now, "much more text"), (b, "", now - 9, "x"), (c, "", now, "y")], [b, c, a]),
            ([(a, "", now - hour, "x"), (b, "", now, "much more text"), (c, "", now - hour + 1, "y")], [b, c, a]),
            ([(a, "", now, "x"), (b, "", now, "y"), (c, "", now, "z")], [a, b, c]),
        ] {
            let pieces = pieces(&list);
            let order: Vec<&[u8]> = streams(&pieces, now).iter().map(|stream| stream.labels).collect();
            assert_eq!(order, expect.map(str::as_bytes));
        }
        assert!(streams(&Pieces::default(), now).is_empty());
    }

    #[test]
    fn protobuf_byte_by_byte() {
        let mut out = Vec::new();
        push_protobuf(&pieces(&[(r#"{"a":"b"}"#, r#"{"k":"v"}"#, 2_000_000_300, "hi")]), &mut out);
        let entry =
            [&[0x0A, 5, 0x08, 2, 0x10, 0xAC, 2, 0x12, 2][..], b"hi", &[0x1A, 6, 0x0A, 1], b"k", &[0x12, 1], b"v"];
        let entry = entry.concat();
        let stream = [&[0x0A, 7][..], b"{a=\"b\"}", &[0x12, entry.len() as u8], &entry].concat();
        assert_eq!(out, [&[0x0A, stream.len() as u8][..], &stream].concat());
    }

    #[test]
    fn lengths_of_numbers() {
        proptest::proptest!(|(number: u64, shift in 0..64u32)| {
            let mut head = Head::default();
            head.push_varint(number >> shift);
            proptest::prop_assert_eq!(head.len, varint_len(number >> shift));
        });
    }
}
