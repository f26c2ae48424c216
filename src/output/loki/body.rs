//! The entries of a request by their streams, in the order in which they came, as protobuf in one block of Snappy or as JSON.
//!
//! ```text
//! PushRequest { 1: Stream { 1: labels, 2: Entry … } … }
//! {"streams":[{"stream":{"app":"web"},"values":[["1709287200000000000","the line",{"pod":"web-1"}]]}]}
//! ```
//! What pieces hold is what protobuf says of an entry: neighbours are compressed where they stand.

use super::entry::{self, Fields, field_len, push_field};
use super::piece;
use crate::net::Snappy;
use crate::output::Pieces;
use crate::record::{json, json_read};
use std::borrow::Cow;
use std::collections::HashMap;

/// The entries of one label set.
pub(super) struct Stream<'p> {
    pub(super) labels: &'p [u8],
    /// One behind the other.
    entries: Vec<Cow<'p, [u8]>>,
    /// Bytes of all entries.
    pub(super) bytes: usize,
}

/// What a request holds of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Summary<'p> {
    pub(super) labels: &'p [u8],
    /// The time of its oldest entry.
    pub(super) oldest: i64,
}

/// What a request holds of each stream, in the order of [`streams`]; `each` is told the stream of each piece. Where an `oldest` for all of
/// them will do, most entries need no look.
pub(super) fn summaries<'p>(pieces: &'p Pieces, oldest: Option<i64>, mut each: impl FnMut(usize)) -> Vec<Summary<'p>> {
    let mut list: Vec<Summary<'p>> = Vec::new();
    let (mut by_labels, mut last) = (HashMap::new(), 0);
    let mut add = |labels: &'p [u8], time_ns: i64| {
        if list.get(last).is_none_or(|stream| stream.labels != labels) {
            last = *by_labels.entry(labels).or_insert(list.len());
        }
        match list.get_mut(last) {
            Some(stream) => stream.oldest = stream.oldest.min(time_ns),
            None => list.push(Summary { labels, oldest: time_ns }),
        }
        last
    };
    for some in pieces.neighbours() {
        match (oldest, piece::labels_of(some.common)) {
            (Some(oldest), Some((labels, []))) => {
                let at = add(labels, oldest);
                (0..some.count()).for_each(|_| each(at));
            }
            _ => piece::entries_of(some).for_each(|entry| each(add(entry.labels, entry.time_ns))),
        }
    }
    list
}

/// The entries by their streams. Neighbours are of one stream more often than not.
pub(super) fn streams(pieces: &Pieces) -> Vec<Stream<'_>> {
    let mut streams = Streams::default();
    for some in pieces.neighbours() {
        match piece::labels_of(some.common) {
            Some((labels, [])) => streams.add(labels, Cow::Borrowed(some.all_own())),
            _ => some.own().map(piece::split).for_each(|(labels, entry)| streams.add(labels, entry)),
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
    fn add(&mut self, labels: &'p [u8], entries: Cow<'p, [u8]>) {
        if self.list.get(self.last).is_none_or(|stream| stream.labels != labels) {
            self.last = *self.by_labels.entry(labels).or_insert_with(|| {
                self.list.push(Stream { labels, entries: Vec::new(), bytes: 0 });
                self.list.len() - 1
            });
        }
        let stream = &mut self.list[self.last];
        stream.bytes += entries.len();
        stream.entries.push(entries);
    }
}

/// Appends a `PushRequest` in Snappy.
pub(super) fn push_snappy(streams: &[Stream<'_>], out: &mut Vec<u8>) {
    let labels: Vec<String> = streams.iter().map(|stream| label_text(stream.labels)).collect();
    let sizes = labels.iter().zip(streams).map(|(labels, stream)| field_len(labels.len()) + stream.bytes);
    let mut snappy = Snappy::begin(sizes.clone().map(field_len).sum(), out);
    let mut head = Vec::new();
    for ((stream, labels), size) in streams.iter().zip(&labels).zip(sizes) {
        head.clear();
        push_field(&mut head, 1, size);
        push_field(&mut head, 1, labels.len());
        head.extend_from_slice(labels.as_bytes());
        snappy.write(&head);
        stream.entries.iter().for_each(|entries| snappy.write(entries));
    }
    snappy.end();
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
    let mut metadata = Metadata::default();
    out.extend_from_slice(b"{\"streams\":[");
    for (index, stream) in streams.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"stream\":" } else { b",{\"stream\":" });
        out.extend_from_slice(stream.labels);
        out.extend_from_slice(b",\"values\":[");
        let start = out.len();
        for mut entries in stream.entries.iter().map(|entries| &**entries) {
            while let Some(Fields { metadata: pairs, time_ns, line }) = entry::take(&mut entries) {
                out.extend_from_slice(if out.len() == start { b"[\"" } else { b",[\"" });
                push_decimal(out, time_ns);
                out.extend_from_slice(b"\",");
                json::push_utf8(out, line);
                out.extend_from_slice(metadata.json(pairs));
                out.push(b']');
            }
            debug_assert!(entries.is_empty(), "what is in a stream are entries");
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
}

/// The metadata of an entry as JSON: most have that of the one before.
#[derive(Default)]
struct Metadata {
    pairs: Vec<u8>,
    json: Vec<u8>,
}

impl Metadata {
    /// With the comma in front of it; nothing for none.
    fn json(&mut self, pairs: &[u8]) -> &[u8] {
        if self.pairs != pairs {
            self.json.clear();
            for (index, (name, value)) in entry::pairs(pairs).enumerate() {
                self.json.extend_from_slice(if index == 0 { b",{" } else { b"," });
                json::push_utf8(&mut self.json, name);
                self.json.push(b':');
                json::push_utf8(&mut self.json, value);
            }
            if !self.json.is_empty() {
                self.json.push(b'}');
            }
            self.pairs.clear();
            self.pairs.extend_from_slice(pairs);
        }
        &self.json
    }
}

fn push_decimal(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    json::push_u64(out, number.unsigned_abs());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels, metadata, time and line.
    type Text<'t> = (&'t str, &'t [(&'t str, &'t str)], i64, &'t str);

    fn pieces(entries: &[Text<'_>]) -> Pieces {
        let mut pieces = Pieces::default();
        for (labels, metadata, time_ns, line) in entries {
            piece::push(&mut pieces.bytes, labels, metadata, *time_ns, line);
            pieces.add(1);
        }
        pieces
    }

    #[test]
    fn entries_of_one_stream_stand_together_in_their_order() {
        let (web, db) = (r#"{"app":"web"}"#, r#"{"app":"d\"b","n":"1"}"#);
        let pieces = pieces(&[
            (web, &[], 5, "one"),
            (db, &[("pod", "db-0")], -1, "q\"\n"),
            (web, &[("a", "1"), ("b", "2")], 4, "two"),
            (web, &[("a", "1"), ("b", "2")], 4, "three"),
            (db, &[], 1_709_287_200_123_456_789, ""),
        ]);
        let mut out = Vec::new();
        push_json(&streams(&pieces), &mut out);
        let streams = [
            r#"{"stream":{"app":"web"},"values":[["5","one"],["4","two",{"a":"1","b":"2"}],["4","three",{"a":"1","b":"2"}]]}"#,
            r#"{"stream":{"app":"d\"b","n":"1"},"values":[["-1","q\"\n",{"pod":"db-0"}],["1709287200123456789",""]]}"#,
        ];
        assert_eq!(String::from_utf8_lossy(&out), format!("{{\"streams\":[{}]}}", streams.join(",")));
    }

    #[test]
    fn protobuf_byte_by_byte() {
        let pieces = pieces(&[(r#"{"a":"b"}"#, &[("k", "v")], 2_000_000_300, "hi")]);
        let (mut own, mut out) = (Vec::new(), Vec::new());
        entry::push_pair(&mut own, b"k", b"v");
        let metadata = std::mem::take(&mut own);
        entry::push(&mut own, (&metadata, 2_000_000_300), 2, |out| out.extend_from_slice(b"hi"));
        push_snappy(&streams(&pieces), &mut out);
        let stream = [&b"\x0A\x07{a=\"b\"}"[..], &own].concat();
        let body = snap::raw::Decoder::new().decompress_vec(&out).expect("Snappy");
        assert_eq!(body, [&[0x0A, stream.len() as u8][..], &stream].concat());
    }
}
