//! The entries of a request by their streams, in the order in which they came, as protobuf in one block of Snappy or as JSON.
//!
//! ```text
//! PushRequest { 1: Stream }     Stream { 1: labels, 2: Entry }     Entry { 1: Timestamp { 1: s, 2: ns }, 2: line, 3: Pair { 1: name, 2: value } }
//! {"streams":[{"stream":{"app":"web"},"values":[["1709287200000000000","the line",{"pod":"web-1"}]]}]}
//! ```

use super::piece::{self, Entry};
use crate::output::Pieces;
use crate::record::{json, json_read};
use std::collections::HashMap;

const BILLION: i64 = 1_000_000_000;
/// The kind of fields that say how long they are.
const LENGTH_DELIMITED: u8 = 2;

/// The entries of one label set.
pub(super) struct Stream<'p> {
    pub(super) labels: &'p [u8],
    entries: Vec<Entry<'p>>,
}

impl Stream<'_> {
    /// The time of its oldest entry.
    pub(super) fn oldest(&self) -> i64 {
        self.entries.iter().map(|entry| entry.time_ns).min().unwrap_or(i64::MAX)
    }

    /// Of its entries.
    pub(super) fn line_bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.line.len() + entry.metadata.len()).sum()
    }
}

/// The entries of all pieces.
pub(super) fn entries(pieces: &Pieces) -> impl Iterator<Item = Entry<'_>> {
    let (mut start, mut reader) = (0, piece::Reader::default());
    pieces.list.iter().map(move |piece| {
        let end = piece.end as usize;
        let entry = reader.read(&pieces.bytes[start..end]);
        start = end;
        entry
    })
}

/// The entries by their streams; `each` is told the stream of each piece. Neighbours are of one stream more often than not.
pub(super) fn streams(pieces: &Pieces, mut each: impl FnMut(usize)) -> Vec<Stream<'_>> {
    let mut streams: Vec<Stream<'_>> = Vec::new();
    let mut by_labels: HashMap<&[u8], usize> = HashMap::new();
    let mut last = 0;
    for entry in entries(pieces) {
        if !entry.same && streams.get(last).is_none_or(|stream| stream.labels != entry.labels) {
            last = *by_labels.entry(entry.labels).or_insert_with(|| {
                streams.push(Stream { labels: entry.labels, entries: Vec::new() });
                streams.len() - 1
            });
        }
        streams[last].entries.push(entry);
        each(last);
    }
    streams
}

/// Appends a `PushRequest`.
pub(super) fn push_protobuf(streams: &[Stream<'_>], out: &mut Vec<u8>) {
    let (mut metadata, mut sizes) = (Metadata::default(), Vec::new());
    for stream in streams {
        let labels = label_text(stream.labels);
        metadata.clear();
        sizes.clear();
        let mut size = field_len(labels.len());
        for entry in &stream.entries {
            let pairs = metadata.push(entry);
            let own = field_len(time_len(entry.time_ns)) + field_len(entry.line.len()) + pairs.len();
            size += field_len(own);
            sizes.push((own, pairs));
        }
        push_head(out, 1, size);
        push_head(out, 1, labels.len());
        out.extend_from_slice(labels.as_bytes());
        for (entry, (own, pairs)) in stream.entries.iter().zip(sizes.drain(..)) {
            let mut head = Head::default();
            head.push_field(2, own);
            head.push_time(entry.time_ns);
            head.push_field(2, entry.line.len());
            out.extend_from_slice(&head.bytes[..head.len]);
            out.extend_from_slice(entry.line);
            out.extend_from_slice(&metadata.bytes[pairs]);
        }
    }
}

/// Metadata as the pairs of entries. What neighbours share is written once.
#[derive(Default)]
struct Metadata<'p> {
    bytes: Vec<u8>,
    last: Option<(&'p [u8], std::ops::Range<usize>)>,
}

impl<'p> Metadata<'p> {
    fn clear(&mut self) {
        self.bytes.clear();
        self.last = None;
    }

    /// Where its pairs stand in the bytes.
    fn push(&mut self, entry: &Entry<'p>) -> std::ops::Range<usize> {
        let json = entry.metadata;
        if json.is_empty() {
            return 0..0;
        }
        if let Some((_, range)) = self.last.as_ref().filter(|(last, _)| entry.same || *last == json) {
            return range.clone();
        }
        let start = self.bytes.len();
        let (mut name, mut value) = (Vec::new(), Vec::new());
        json_read::object(json, |member| {
            name.clear();
            value.clear();
            // Both were written as JSON by this output: they have no escape that is none.
            let _ = json_read::unescape(&json[member.key.0..member.key.1], &mut name);
            let _ = json_read::unescape(inside(&json[member.value.0..member.value.1]), &mut value);
            push_head(&mut self.bytes, 3, field_len(name.len()) + field_len(value.len()));
            push_head(&mut self.bytes, 1, name.len());
            self.bytes.extend_from_slice(&name);
            push_head(&mut self.bytes, 2, value.len());
            self.bytes.extend_from_slice(&value);
        });
        let range = start..self.bytes.len();
        self.last = Some((json, range.clone()));
        range
    }
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
        for (index, entry) in stream.entries.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"[\"" } else { b",[\"" });
            push_decimal(out, entry.time_ns);
            out.extend_from_slice(b"\",");
            json::push_utf8(out, entry.line);
            if !entry.metadata.is_empty() {
                out.push(b',');
                out.extend_from_slice(entry.metadata);
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

fn seconds_and_nanos(time_ns: i64) -> (u64, u64) {
    (time_ns.div_euclid(BILLION) as u64, time_ns.rem_euclid(BILLION) as u64)
}

fn time_len(time_ns: i64) -> usize {
    let (seconds, nanos) = seconds_and_nanos(time_ns);
    1 + varint_len(seconds) + if nanos == 0 { 0 } else { 1 + varint_len(nanos) }
}

/// What stands in front of an entry's line: two lengths below 4 GiB, as all are in pieces, take 6 bytes each, a time 19.
#[derive(Default)]
struct Head {
    bytes: [u8; 32],
    len: usize,
}

impl Head {
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn push_varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.push(number as u8);
    }

    fn push_field(&mut self, field: u8, len: usize) {
        self.push(field << 3 | LENGTH_DELIMITED);
        self.push_varint(len as u64);
    }

    fn push_time(&mut self, time_ns: i64) {
        let (seconds, nanos) = seconds_and_nanos(time_ns);
        self.push_field(1, time_len(time_ns));
        self.push(1 << 3);
        self.push_varint(seconds);
        if nanos != 0 {
            self.push(2 << 3);
            self.push_varint(nanos);
        }
    }
}

/// Bytes of a field with a length, its number below 16.
fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

fn push_head(out: &mut Vec<u8>, field: u8, len: usize) {
    let mut head = Head::default();
    head.push_field(field, len);
    out.extend_from_slice(&head.bytes[..head.len]);
}

fn varint_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Piece;

    fn pieces(entries: &[(&str, &str, i64, &str)]) -> Pieces {
        let mut pieces = Pieces::default();
        for (labels, metadata, time_ns, line) in entries {
            piece::push_head(&mut pieces.bytes, labels.as_bytes(), metadata.as_bytes(), *time_ns);
            pieces.bytes.extend_from_slice(line.as_bytes());
            pieces.list.push(Piece { end: pieces.bytes.len() as u32, source_bytes: 1 });
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
        push_json(&streams(&pieces, |_| {}), &mut out);
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
        push_protobuf(&streams(&pieces, |_| {}), &mut out);
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
