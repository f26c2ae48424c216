//! One entry between encoding and sending: whole in itself, since a request may be split, spooled, or sent again years later, and the
//! same for both wire formats.
//!
//! ```text
//! nanoseconds since 1970 10 │ bytes of labels 4 │ bytes of metadata 4 │ {"app":"web"} │ {"pod":"web-1"} │ the line
//! ```
//! Numbers have seven bits a byte, the most significant first. So a piece is UTF-8, and can be read in a dead letter. What stands between
//! the time and the line is the same for most neighbours: it is what pieces have in common ([`Pieces::common`]).
//!
//! [`Pieces::common`]: crate::output::Pieces::common

use crate::output::{CommonId, Parts, Place};

const LENGTH: usize = 4;
const TIME: usize = 10;
/// The longest labels, and the longest metadata, that a piece can say.
pub(super) const LENGTH_MAX: usize = (1 << (7 * LENGTH)) - 1;

/// Where there are no labels: Loki wants one at least, and Fluent Bit gives this.
pub(super) const DEFAULT_LABELS: &[u8] = b"{\"job\":\"fluent-bit\"}";

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'p> {
    /// A JSON object of texts.
    pub(super) labels: &'p [u8],
    /// The same; empty for none.
    pub(super) metadata: &'p [u8],
    pub(super) time_ns: i64,
    /// UTF-8.
    pub(super) line: &'p [u8],
    /// Labels and metadata are those of the piece before it.
    pub(super) same: bool,
}

/// Where labels and metadata stand.
pub(super) const LABELS_AT: Place = Place::Behind(TIME as u32);

/// Appends what a piece begins with.
#[inline]
pub(super) fn push_time(out: &mut Vec<u8>, time_ns: i64) {
    out.extend_from_slice(&septets::<TIME>(time_ns as u64));
}

/// Appends what stands between the time and the line.
pub(super) fn push_labels(out: &mut Vec<u8>, labels: &[u8], metadata: &[u8]) {
    let metadata = if metadata.len() > LENGTH_MAX { &[] } else { metadata };
    out.extend_from_slice(&septets::<LENGTH>(labels.len() as u64));
    out.extend_from_slice(&septets::<LENGTH>(metadata.len() as u64));
    out.extend_from_slice(labels);
    out.extend_from_slice(metadata);
}

/// Reads pieces one after the other: labels and metadata are mostly those of the one before, and are taken over then.
#[derive(Default)]
pub(super) struct Reader<'p> {
    /// What the last piece had in common with others.
    common: Option<CommonId>,
    /// All that stood between time and line, the labels in it, and the metadata.
    between: &'p [u8],
    labels: &'p [u8],
    metadata: &'p [u8],
}

/// Labels and metadata of what [`push_labels`] wrote, and whatever stands behind them.
pub(super) fn labels_of(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (lengths, rest) = text.split_first_chunk::<{ 2 * LENGTH }>()?;
    let (labels_len, metadata_len) = (number(&lengths[..LENGTH])?, number(&lengths[LENGTH..])?);
    let (labels, rest) = rest.split_at_checked(labels_len)?;
    let (metadata, rest) = rest.split_at_checked(metadata_len)?;
    Some((labels, metadata, rest))
}

/// Time and line of a piece whose labels and metadata are common to neighbours.
#[inline]
pub(super) fn time_and_line(own: &[u8]) -> Option<(i64, &[u8])> {
    let (time, line) = own.split_first_chunk::<TIME>()?;
    Some((time_of(time)? as i64, line))
}

impl<'p> Reader<'p> {
    /// What a piece holds; of one that is none (a dead letter from elsewhere) all is the line.
    #[inline]
    pub(super) fn read(&mut self, piece: Parts<'p>) -> Entry<'p> {
        self.parse(piece).unwrap_or_else(|| {
            *self = Self::default();
            Entry { labels: DEFAULT_LABELS, metadata: &[], time_ns: 0, line: piece.front, same: false }
        })
    }

    #[inline]
    fn parse(&mut self, piece: Parts<'p>) -> Option<Entry<'p>> {
        let (time, rest) = piece.front.split_first_chunk::<TIME>()?;
        let time_ns = time_of(time)? as i64;
        let (same, line) = match piece.id {
            Some(id) if self.common == Some(id) => (true, piece.back),
            Some(id) => {
                self.set(piece.common)?;
                self.common = Some(id);
                (false, piece.back)
            }
            None if rest.starts_with(self.between) && !self.between.is_empty() => (true, &rest[self.between.len()..]),
            None => {
                self.set(rest)?;
                self.common = None;
                (false, &rest[self.between.len()..])
            }
        };
        Some(Entry { labels: self.labels, metadata: self.metadata, time_ns, line, same })
    }

    /// Takes labels and metadata from what begins with them.
    fn set(&mut self, text: &'p [u8]) -> Option<()> {
        let (labels, metadata, rest) = labels_of(text)?;
        *self = Self { between: &text[..text.len() - rest.len()], labels, metadata, ..*self };
        Some(())
    }
}

fn septets<const COUNT: usize>(number: u64) -> [u8; COUNT] {
    std::array::from_fn(|at| (number >> (7 * (COUNT - 1 - at)).min(63)) as u8 & 0x7F)
}

fn number(septets: &[u8]) -> Option<usize> {
    let add = |number: usize, septet: &u8| (*septet < 0x80).then(|| number << 7 | usize::from(*septet));
    septets.iter().try_fold(0, add)
}

/// The same of ten septets, eight of them at once: neighbours are pushed together, then pairs, then pairs of pairs.
fn time_of(septets: &[u8; TIME]) -> Option<u64> {
    let (first, last) = septets.split_first_chunk::<8>()?;
    let eight = u64::from_be_bytes(*first);
    if eight & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let two = eight & 0x007F_007F_007F_007F | (eight & 0x7F00_7F00_7F00_7F00) >> 1;
    let four = two & 0x0000_3FFF_0000_3FFF | (two & 0x3FFF_0000_3FFF_0000) >> 2;
    let all = four & 0x0FFF_FFFF | (four & 0x0FFF_FFFF_0000_0000) >> 4;
    Some(all << 14 | number(last)? as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(piece: &[u8]) -> Parts<'_> {
        Parts { front: piece, common: &[], back: &[], id: None }
    }

    fn read(piece: &[u8]) -> Entry<'_> {
        Reader::default().read(alone(piece))
    }

    fn push(out: &mut Vec<u8>, labels: &[u8], metadata: &[u8], time_ns: i64) {
        push_time(out, time_ns);
        push_labels(out, labels, metadata);
    }

    #[test]
    fn what_is_written_is_read() {
        proptest::proptest!(|(labels in "\\PC{0,300}", metadata in "\\PC{0,300}", line in "\\PC{0,40}", time_ns: i64)| {
            let (labels, metadata, line) = (labels.as_bytes(), metadata.as_bytes(), line.as_bytes());
            let mut piece = Vec::new();
            push(&mut piece, labels, metadata, time_ns);
            piece.extend_from_slice(line);
            proptest::prop_assert_eq!(read(&piece), Entry { labels, metadata, time_ns, line, same: false });
            proptest::prop_assert!(std::str::from_utf8(&piece).is_ok());
        });
    }

    #[test]
    fn one_after_the_other_they_are_what_they_are_alone() {
        let pair = proptest::prop_oneof!["[a-b]{0,3}", "[a-b]{90,91}"];
        let entry = (pair.clone(), pair.clone(), pair, proptest::prelude::any::<i64>(), 0..8_u8);
        proptest::proptest!(|(list in proptest::collection::vec(entry, 0..20))| {
            let pieces: Vec<Vec<u8>> = list.iter().map(|(labels, metadata, line, time_ns, odd)| {
                let mut piece = Vec::new();
                push(&mut piece, labels.as_bytes(), metadata.as_bytes(), *time_ns);
                piece.extend_from_slice(line.as_bytes());
                match odd { 0 => line.clone().into_bytes(), 1 => piece[..piece.len() / 2].to_vec(), _ => piece }
            }).collect();
            let mut reader = Reader::default();
            let mut last: Option<Entry<'_>> = None;
            for piece in &pieces {
                let (alone, entry) = (read(piece), reader.read(alone(piece)));
                proptest::prop_assert_eq!(Entry { same: false, ..entry }, alone);
                let is_same = last.is_some_and(|last| (last.labels, last.metadata) == (entry.labels, entry.metadata));
                proptest::prop_assert!(!entry.same || is_same);
                last = Some(entry);
            }
        });
    }

    #[test]
    fn anything_else_is_a_line() {
        proptest::proptest!(|(bytes: Vec<u8>)| { read(&bytes); });
        assert_eq!(read(b"{\"log\":\"x\"}\n").line, b"{\"log\":\"x\"}\n");
    }
}
