//! One entry between encoding and sending: whole in itself, since a request may be split, spooled, or sent again years later, and the
//! same for both wire formats.
//!
//! ```text
//! bytes of labels 4 │ bytes of metadata 4 │ nanoseconds since 1970 10 │ {"app":"web"} │ {"pod":"web-1"} │ the line
//! ```
//! Numbers have seven bits a byte, the most significant first. So a piece is UTF-8, and can be read in a dead letter.

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
}

/// Appends what stands in front of the line.
#[inline]
pub(super) fn push_head(out: &mut Vec<u8>, labels: &[u8], metadata: &[u8], time_ns: i64) {
    let metadata = if metadata.len() > LENGTH_MAX { &[] } else { metadata };
    out.extend_from_slice(&septets::<LENGTH>(labels.len() as u64));
    out.extend_from_slice(&septets::<LENGTH>(metadata.len() as u64));
    out.extend_from_slice(&septets::<TIME>(time_ns as u64));
    out.extend_from_slice(labels);
    out.extend_from_slice(metadata);
}

/// What a piece holds; of one that is none (a dead letter from elsewhere) all is the line.
pub(super) fn read(piece: &[u8]) -> Entry<'_> {
    parse(piece).unwrap_or(Entry { labels: DEFAULT_LABELS, metadata: &[], time_ns: 0, line: piece })
}

fn parse(piece: &[u8]) -> Option<Entry<'_>> {
    let (labels, rest) = piece.split_first_chunk::<LENGTH>()?;
    let (metadata, rest) = rest.split_first_chunk::<LENGTH>()?;
    let (time, rest) = rest.split_first_chunk::<TIME>()?;
    let (labels, rest) = rest.split_at_checked(number(labels)? as usize)?;
    let (metadata, line) = rest.split_at_checked(number(metadata)? as usize)?;
    Some(Entry { labels, metadata, time_ns: number(time)? as i64, line })
}

fn septets<const COUNT: usize>(number: u64) -> [u8; COUNT] {
    std::array::from_fn(|at| (number >> (7 * (COUNT - 1 - at)).min(63)) as u8 & 0x7F)
}

fn number(septets: &[u8]) -> Option<u64> {
    let add = |number: u64, septet: &u8| (*septet < 0x80).then(|| number << 7 | u64::from(*septet));
    septets.iter().try_fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        proptest::proptest!(|(labels in "\\PC{0,300}", metadata in "\\PC{0,300}", line in "\\PC{0,40}", time_ns: i64)| {
            let (labels, metadata, line) = (labels.as_bytes(), metadata.as_bytes(), line.as_bytes());
            let mut piece = Vec::new();
            push_head(&mut piece, labels, metadata, time_ns);
            piece.extend_from_slice(line);
            proptest::prop_assert_eq!(read(&piece), Entry { labels, metadata, time_ns, line });
            proptest::prop_assert!(std::str::from_utf8(&piece).is_ok());
        });
    }

    #[test]
    fn anything_else_is_a_line() {
        proptest::proptest!(|(bytes: Vec<u8>)| { read(&bytes); });
        assert_eq!(read(b"{\"log\":\"x\"}\n").line, b"{\"log\":\"x\"}\n");
    }
}
