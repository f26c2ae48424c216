//! Encoded records, on their way into a request.
//!
//! Records of one source have much of their text in common, such as their pod's metadata: three quarters of a document. An output may
//! write that once for all neighbours, and say where in each of them it stands.
//!
//! ```text
//! bytes    {"log":"a"}\n{"log":"b"}\n
//! common   2 bytes before the end of the pieces 0 and 1: ,"kubernetes":{…}
//! texts    {"log":"a","kubernetes":{…}}\n   {"log":"b","kubernetes":{…}}\n
//! ```
//! Whoever keeps pieces gets the whole texts.

use super::Limits;
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// One encoded record within a request.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Behind its last byte in [`Pieces::bytes`].
    pub end: u32,
    /// Bytes of the source that it stands for.
    pub source_bytes: u32,
}

/// Encoded records, one after the other.
#[derive(Debug, Default, Clone)]
pub struct Pieces {
    /// All their bytes, but for what they have in common.
    pub bytes: Vec<u8>,
    /// Where each ends.
    pub list: Vec<Piece>,
    /// What the destination counts of them, by an output that fills requests by that; nothing where they come from elsewhere.
    pub filled: Filled,
    common: Vec<Common>,
    /// The texts of all commons, one after the other.
    common_bytes: Vec<u8>,
    /// Neighbours that have the same text in common.
    runs: Vec<Run>,
    /// Bytes that they would have more if all was written out.
    saved: usize,
    /// Bytes that a body has more.
    added: usize,
}

/// How full a request is, as its destination counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// Bytes.
    pub bytes: usize,
    /// Entries: a record may be several.
    pub entries: usize,
    /// No more fits.
    pub full: bool,
    /// First and last time, in whatever unit, of these and those that were left out since: requests of one key whose times do not overlap may be under way at once.
    pub times: Option<(i64, i64)>,
    /// No entry is older than the one before it.
    pub ascending: bool,
}

/// Where in a piece the text stands that it has in common with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In front; a body has it once for all of them.
    Once,
    /// So many bytes before its end, in a body as well.
    Before(u32),
}

/// The number of a text that pieces have in common, in the [`Pieces`] that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommonId(u32);

#[derive(Debug, Clone, Copy)]
struct Common {
    place: Place,
    /// In the bytes of all commons.
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    start: u32,
    end: u32,
    common: CommonId,
}

/// A piece as it stands: its text is these three, one behind the other.
#[derive(Debug, Clone, Copy)]
struct Parts<'p> {
    /// Its own, before what is common.
    front: &'p [u8],
    /// What it has in common with others; empty for nothing.
    common: &'p [u8],
    /// Its own, behind that.
    back: &'p [u8],
}

impl Parts<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        [self.front, self.common, self.back].iter().for_each(|part| out.extend_from_slice(part));
    }
}

/// Neighbouring pieces.
#[derive(Debug, Clone, Copy)]
pub struct Neighbours<'p> {
    /// What they have in common; empty for nothing.
    pub common: &'p [u8],
    id: Option<CommonId>,
    place: Place,
    bytes: &'p [u8],
    /// Where the first begins.
    start: usize,
    list: &'p [Piece],
}

impl<'p> Neighbours<'p> {
    /// How many they are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// What stands of all of them in [`Pieces::bytes`], one behind the other.
    pub fn all_own(&self) -> &'p [u8] {
        self.list.last().map_or(&[], |last| &self.bytes[self.start..last.end as usize])
    }

    /// What stands of each of them in [`Pieces::bytes`].
    #[inline]
    pub fn own(&self) -> impl Iterator<Item = &'p [u8]> + use<'p> {
        let (mut start, bytes) = (self.start, self.bytes);
        self.list.iter().map(move |piece| {
            let end = piece.end as usize;
            &bytes[std::mem::replace(&mut start, end)..end]
        })
    }

    /// Each of them.
    fn parts(&self) -> impl Iterator<Item = Parts<'p>> + use<'p> {
        let Self { common, place, .. } = *self;
        self.own().map(move |own| {
            let (front, back) = match place {
                Place::Once => (&[][..], own),
                Place::Before(bytes) => own.split_at(own.len().saturating_sub(bytes as usize)),
            };
            Parts { front, common, back }
        })
    }
}

impl Pieces {
    /// Pieces that are there already, with nothing in common.
    pub fn new(bytes: Vec<u8>, list: Vec<Piece>) -> Self {
        Self { bytes, list, ..Self::default() }
    }

    /// Bytes of memory it holds.
    pub fn held_bytes(&self) -> usize {
        let lists = self.list.capacity() * size_of::<Piece>() + self.runs.capacity() * size_of::<Run>();
        let bytes = self.bytes.capacity() + self.common_bytes.capacity();
        bytes + self.common.capacity() * size_of::<Common>() + lists
    }

    /// Bytes of all texts.
    pub fn text_bytes(&self) -> usize {
        self.bytes.len() + self.saved
    }

    /// Bytes of the sources that it stands for.
    pub fn source_bytes(&self) -> u64 {
        self.list.iter().map(|p| u64::from(p.source_bytes)).sum()
    }

    /// Takes everything out, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
        self.filled = Filled::default();
        self.common.clear();
        self.common_bytes.clear();
        self.runs.clear();
        (self.saved, self.added) = (0, 0);
    }

    /// Bytes of a body of them.
    pub fn body_bytes(&self) -> usize {
        self.bytes.len() + self.added
    }

    /// Is it time to send them?
    pub fn is_full(&self, limits: &Limits) -> bool {
        // Written out, for a spool, they must not be many times as large.
        let is_large = self.body_bytes() >= limits.bytes_max || self.text_bytes() / 4 >= limits.bytes_max;
        self.filled.full || is_large || self.list.len() >= limits.records_max
    }

    /// Adds what was appended to the bytes since the last piece.
    pub fn add(&mut self, source_bytes: u32) {
        self.list.push(Piece { end: self.bytes.len() as u32, source_bytes });
    }

    /// A text that the next pieces have in common.
    pub fn common(&mut self, place: Place, text: &[u8]) -> CommonId {
        // One batch of a source comes after the other.
        if let Some(last) = self.common.last()
            && last.place == place
            && self.common_bytes[last.start as usize..last.end as usize] == *text
        {
            return CommonId(self.common.len() as u32 - 1);
        }
        let start = self.common_bytes.len() as u32;
        self.common_bytes.extend_from_slice(text);
        if place == Place::Once {
            self.added += text.len();
        }
        self.common.push(Common { place, start, end: self.common_bytes.len() as u32 });
        CommonId(self.common.len() as u32 - 1)
    }

    /// As [`add`](Self::add), with a text that [`common`](Self::common) gave a number.
    #[inline]
    pub fn add_with(&mut self, common: CommonId, source_bytes: u32) {
        let number = self.list.len() as u32;
        self.add(source_bytes);
        let Common { place, start, end } = self.common[common.0 as usize];
        self.saved += (end - start) as usize;
        if place != Place::Once {
            self.added += (end - start) as usize;
        }
        match self.runs.last_mut() {
            Some(run) if run.end == number && run.common == common => run.end += 1,
            _ => self.runs.push(Run { start: number, end: number + 1, common }),
        }
    }

    /// All pieces, in their order.
    fn parts(&self) -> impl Iterator<Item = Parts<'_>> {
        self.neighbours().flat_map(|some| some.parts())
    }

    /// All pieces, in their order: neighbours that have the same in common, or nothing, together.
    pub fn neighbours(&self) -> impl Iterator<Item = Neighbours<'_>> {
        let (mut number, mut runs) = (0, self.runs.iter().peekable());
        std::iter::from_fn(move || {
            let first = number;
            let run = runs.next_if(|run| run.start as usize <= first);
            number = match (run, runs.peek()) {
                (Some(run), _) => run.end as usize,
                (None, Some(next)) => next.start as usize,
                (None, None) => self.list.len(),
            };
            Some(self.some(first..number, run)).filter(|some| some.count() > 0)
        })
    }

    /// Neighbours that are of one run, or of none.
    fn some(&self, pieces: Range<usize>, run: Option<&Run>) -> Neighbours<'_> {
        let start = pieces.start.checked_sub(1).map_or(0, |before| self.list[before].end as usize);
        let (bytes, list) = (self.bytes.as_slice(), &self.list[pieces]);
        let none = Neighbours { common: &[], id: None, place: Place::Before(0), bytes, start, list };
        let Some(Run { common: id, .. }) = run.copied() else { return none };
        let Common { place, start, end } = self.common[id.0 as usize];
        Neighbours { common: &self.common_bytes[start as usize..end as usize], id: Some(id), place, ..none }
    }

    /// All texts, one behind the other.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let runs = if self.runs.is_empty() { None } else { Some(self.parts()) };
        let whole = if self.runs.is_empty() { self.bytes.as_slice() } else { &[] };
        let parts = runs.into_iter().flatten().flat_map(|parts| [parts.front, parts.common, parts.back]);
        std::iter::once(whole).chain(parts)
    }

    /// The text of one piece.
    pub fn text(&self, index: usize) -> Cow<'_, [u8]> {
        let run = self.runs.partition_point(|run| run.end as usize <= index);
        let run = self.runs.get(run).filter(|run| run.start as usize <= index);
        let some = self.some(index..index + 1, run);
        if run.is_none() {
            return Cow::Borrowed(&self.bytes[some.start..self.list[index].end as usize]);
        }
        let mut text = Vec::new();
        some.parts().for_each(|parts| parts.push(&mut text));
        Cow::Owned(text)
    }

    /// The pieces that `keep` says yes to, by their number, in order; `selected` is empty, and its memory is used.
    pub fn select(&self, mut selected: Self, keep: impl Fn(usize) -> bool) -> Self {
        let mut number = 0;
        selected.filled.times = self.filled.times;
        for some in self.neighbours() {
            let mut common = None;
            for (own, piece) in some.own().zip(some.list) {
                if keep(number) {
                    selected.bytes.extend_from_slice(own);
                    if some.id.is_none() {
                        selected.add(piece.source_bytes);
                    } else {
                        let common = *common.get_or_insert_with(|| selected.common(some.place, some.common));
                        selected.add_with(common, piece.source_bytes);
                    }
                }
                number += 1;
            }
        }
        selected
    }

    /// The same pieces with nothing in common, for whoever keeps them; `None` where it is so already.
    pub fn written_out(&self) -> Option<Self> {
        if self.runs.is_empty() {
            return None;
        }
        let bytes = Vec::with_capacity(self.text_bytes());
        let mut whole =
            Self { bytes, list: Vec::with_capacity(self.list.len()), filled: self.filled, ..Self::default() };
        for (parts, piece) in self.parts().zip(&self.list) {
            parts.push(&mut whole.bytes);
            whole.add(piece.source_bytes);
        }
        Some(whole)
    }

    /// Takes off what joins each piece to the one before, as [`Output::bare`](super::Output::bare) says it: what is kept for later has to
    /// be read by other versions, in other company.
    pub fn separate(&mut self, bare: impl Fn(&[u8]) -> &[u8]) {
        let (mut from, mut to) = (0, 0);
        for piece in &mut self.list {
            let end = piece.end as usize;
            // What it takes off stands in front.
            let start = end - bare(&self.bytes[from..end]).len();
            if start > to {
                self.bytes.copy_within(start..end, to);
            }
            (from, to) = (end, to + end - start);
            piece.end = to as u32;
        }
        if to < from {
            self.bytes.truncate(to);
            // As they stand they are no body any more.
            self.filled.ascending = false;
        }
    }

    /// All their bytes, without a copy, of an output that knows nothing in common; the pieces are in use until what is returned is dropped.
    pub fn whole(self: &Arc<Self>) -> Bytes {
        Bytes::from_owner(Whole(Arc::clone(self)))
    }
}

/// The bytes of pieces that others hold, too.
struct Whole(Arc<Pieces>);

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pieces: &Pieces) -> Vec<String> {
        (0..pieces.list.len()).map(|index| String::from_utf8_lossy(&pieces.text(index)).into_owned()).collect()
    }

    /// Own bytes, and what is common: where, and the text.
    fn add(pieces: &mut Pieces, own: &str, common: Option<(Place, &str)>) {
        let Some((place, text)) = common else {
            pieces.bytes.extend_from_slice(own.as_bytes());
            return pieces.add(1);
        };
        let id = pieces.common(place, text.as_bytes());
        pieces.bytes.extend_from_slice(own.as_bytes());
        pieces.add_with(id, 1);
    }

    #[test]
    fn a_text_has_what_is_common_in_its_place() {
        let mut pieces = Pieces::default();
        add(&mut pieces, "ab", Some((Place::Once, "X")));
        add(&mut pieces, "cd", Some((Place::Once, "X")));
        add(&mut pieces, "e", None);
        add(&mut pieces, "fg", Some((Place::Once, "X")));
        add(&mut pieces, "hi}", Some((Place::Before(1), "YY")));
        add(&mut pieces, "", Some((Place::Before(9), "Z")));
        assert_eq!(texts(&pieces), ["Xab", "Xcd", "e", "Xfg", "hiYY}", "Z"]);
        assert_eq!((pieces.common.len(), pieces.runs.len()), (3, 4), "neighbours share");
        assert_eq!((pieces.text_bytes(), pieces.body_bytes()), (16, 14));
        let limits = |bytes_max| Limits { bytes_max, records_max: 99, linger: None, in_flight: 1, ordered: false };
        assert_eq!([14, 15].map(|bytes_max| pieces.is_full(&limits(bytes_max))), [true, false]);
        for _ in 0..40 {
            add(&mut pieces, "", Some((Place::Once, "a long one")));
        }
        assert_eq!((pieces.text_bytes(), pieces.body_bytes()), (416, 24));
        assert_eq!(
            [104, 105].map(|bytes_max| pieces.is_full(&limits(bytes_max))),
            [true, false],
            "far more, written out"
        );
        pieces = pieces.select(Pieces::default(), |number| number < 6);
        let whole = pieces.written_out().expect("something is common");
        assert_eq!(whole.bytes, b"XabXcdeXfghiYY}Z");
        assert_eq!((texts(&whole), whole.written_out().is_none()), (texts(&pieces), true));
        pieces.clear();
        assert_eq!((pieces.text_bytes(), pieces.written_out().is_none()), (0, true));
    }

    #[test]
    fn all_ways_to_a_text_give_the_same() {
        let common = proptest::option::of(("[ab]{0,3}", 0..4_u32, proptest::bool::ANY));
        let list = proptest::collection::vec(("[c-f]{0,3}", common), 0..30);
        proptest::proptest!(|(list in list)| {
            let mut pieces = Pieces::default();
            let mut expect = Vec::new();
            for (own, common) in &list {
                let place = |at: u32, once: bool| if once { Place::Once } else { Place::Before(at) };
                add(&mut pieces, own, common.as_ref().map(|(text, at, once)| (place(*at, *once), text.as_str())));
                let mut text = own.clone();
                if let Some((common, at, once)) = common {
                    text.insert_str(if *once { 0 } else { own.len().saturating_sub(*at as usize) }, common);
                }
                expect.push(text);
            }
            proptest::prop_assert_eq!(texts(&pieces), &expect[..]);
            let mut bytes = Vec::new();
            pieces.slices().for_each(|slice| bytes.extend_from_slice(slice));
            let all = expect.concat();
            proptest::prop_assert_eq!(&bytes, all.as_bytes());
            proptest::prop_assert_eq!(pieces.text_bytes(), bytes.len());
            let odd: Vec<_> = expect.iter().skip(1).step_by(2).cloned().collect();
            proptest::prop_assert_eq!(texts(&pieces.select(Pieces::default(), |number| number % 2 == 1)), odd);
            proptest::prop_assert_eq!(pieces.select(Pieces::default(), |_| true).text_bytes(), bytes.len());
            proptest::prop_assert_eq!(pieces.written_out().map_or(bytes.clone(), |whole| whole.bytes), bytes);
        });
    }
}
