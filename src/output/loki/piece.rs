//! One entry between encoding and sending: whole in itself, since a request may be split, spooled, or sent again years later, and the
//! same for both wire formats.
//!
//! ```text
//! bytes of labels 4 │ {"app":"web"} │ entry (entry.rs)
//! ```
//! The length has seven bits a byte, the most significant first: a text from elsewhere can hardly be taken for a piece. The labels are those of most neighbours, too: they are what pieces have
//! in common ([`Pieces::common`]), and so the entries of neighbours stand one behind the other as they are sent.

use super::entry;
use crate::output::{Neighbours, Pieces, Place};
use std::borrow::Cow;

const LENGTH: usize = 4;

/// Where there are no labels: Loki wants one at least, and Fluent Bit gives this.
pub(super) const DEFAULT_LABELS: &[u8] = b"{\"job\":\"fluent-bit\"}";

/// An entry, with the labels of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'p> {
    /// A JSON object of texts.
    pub(super) labels: &'p [u8],
    /// Pairs, as [`entry::push_pair`] writes them.
    pub(super) metadata: &'p [u8],
    /// Nanoseconds since 1970.
    pub(super) time_ns: i64,
    /// UTF-8.
    pub(super) line: &'p [u8],
}

/// Where the labels stand.
pub(super) const LABELS_AT: Place = Place::Once;

/// Appends what stands in front of an entry. Of labels that no length says nothing is left: they would be a quarter of a gigabyte.
pub(super) fn push_labels(out: &mut Vec<u8>, labels: &[u8]) {
    let labels = if labels.len() >> (7 * LENGTH) == 0 { labels } else { DEFAULT_LABELS };
    let septet = |at: usize| (labels.len() >> (7 * (LENGTH - 1 - at))) as u8 & 0x7F;
    out.extend_from_slice(&std::array::from_fn::<u8, LENGTH, _>(septet));
    out.extend_from_slice(labels);
}

/// The labels of what [`push_labels`] wrote, and what stands behind them.
pub(super) fn labels_of(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = text.split_first_chunk::<LENGTH>()?;
    let add = |number: usize, septet: &u8| (*septet < 0x80).then(|| number << 7 | usize::from(*septet));
    rest.split_at_checked(length.iter().try_fold(0, add)?)
}

/// Labels, and an entry as it is sent. Of a piece that is none (a dead letter from elsewhere) all is the line.
pub(super) fn split(piece: &[u8]) -> (&[u8], Cow<'_, [u8]>) {
    let is_entry = |mut bytes: &[u8]| entry::take(&mut bytes).is_some() && bytes.is_empty();
    match labels_of(piece) {
        Some((labels, bytes)) if is_entry(bytes) => (labels, Cow::Borrowed(bytes)),
        _ => {
            let mut made = Vec::new();
            let line = String::from_utf8_lossy(piece);
            entry::push(&mut made, (&[], 0), line.len(), |out| out.extend_from_slice(line.as_bytes()));
            (DEFAULT_LABELS, Cow::Owned(made))
        }
    }
}

/// The entries of all pieces.
pub(super) fn entries(pieces: &Pieces) -> impl Iterator<Item = Entry<'_>> {
    pieces.neighbours().flat_map(entries_of)
}

/// Those of neighbours.
pub(super) fn entries_of<'p>(some: Neighbours<'p>) -> impl Iterator<Item = Entry<'p>> + use<'p> {
    let common = labels_of(some.common).map(|(labels, _)| labels);
    some.own().map(move |own| read(common, own))
}

fn read<'p>(common: Option<&'p [u8]>, own: &'p [u8]) -> Entry<'p> {
    let fields = || {
        let (labels, mut bytes) = common.map(|labels| (labels, own)).or_else(|| labels_of(own))?;
        Some((labels, entry::take(&mut bytes).filter(|_| bytes.is_empty())?))
    };
    match fields() {
        Some((labels, entry::Fields { metadata, time_ns, line })) => Entry { labels, metadata, time_ns, line },
        None => Entry { labels: DEFAULT_LABELS, metadata: &[], time_ns: 0, line: own },
    }
}

/// Appends a piece of an entry, for tests.
#[cfg(test)]
pub(super) fn push(out: &mut Vec<u8>, labels: &str, pairs: &[(&str, &str)], time_ns: i64, line: &str) {
    let mut metadata = Vec::new();
    pairs.iter().for_each(|(name, value)| entry::push_pair(&mut metadata, name.as_bytes(), value.as_bytes()));
    push_labels(out, labels.as_bytes());
    entry::push(out, (&metadata, time_ns), line.len(), |out| out.extend_from_slice(line.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(piece: &[u8]) -> Pieces {
        let mut pieces = Pieces::default();
        pieces.bytes.extend_from_slice(piece);
        pieces.add(1);
        pieces
    }

    #[test]
    fn what_is_written_is_read() {
        proptest::proptest!(|(labels in "\\PC{0,300}", value in "\\PC{0,300}", line in "\\PC{0,40}", time_ns: i64)| {
            let mut piece = Vec::new();
            push(&mut piece, &labels, &[("k", &value)], time_ns, &line);
            let (read, mut metadata) = (alone(&piece), Vec::new());
            entry::push_pair(&mut metadata, b"k", value.as_bytes());
            let (labels, line) = (labels.as_bytes(), line.as_bytes());
            let expect = Entry { labels, metadata: &metadata, time_ns, line };
            proptest::prop_assert_eq!(entries(&read).collect::<Vec<_>>(), [expect]);
            proptest::prop_assert_eq!(split(&piece), (labels, Cow::Borrowed(&piece[LENGTH + labels.len()..])));
        });
    }

    #[test]
    fn anything_else_is_a_line() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let (labels, made) = split(&bytes);
            let mut piece = Vec::new();
            push_labels(&mut piece, labels);
            piece.extend_from_slice(&made);
            let (own, again) = (alone(&bytes), alone(&piece));
            let line = |entry: Entry<'_>| String::from_utf8_lossy(entry.line).into_owned();
            proptest::prop_assert_eq!(entries(&own).map(line).collect::<Vec<_>>(), entries(&again).map(line).collect::<Vec<_>>());
            proptest::prop_assert!(entries(&again).all(|entry| str::from_utf8(entry.line).is_ok()));
        });
        let letter = alone(b"{\"log\":\"x\"}\n");
        let expect = Entry { labels: DEFAULT_LABELS, metadata: &[], time_ns: 0, line: b"{\"log\":\"x\"}\n" };
        assert_eq!(entries(&letter).collect::<Vec<_>>(), [expect]);
    }
}
