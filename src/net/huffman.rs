//! The Huffman codes of deflate (RFC 1951, 3.2): from counts to code lengths, from those to codes, and a block's header.

/// Literals, the end of a block and match lengths.
pub(super) const LITERALS: usize = 286;
/// Distances.
pub(super) const DISTANCES: usize = 30;
/// The symbol that ends a block.
pub(super) const END: usize = 256;
/// The longest match.
pub(super) const MATCH_MAX: usize = 258;

/// The longest code of a literal, a length or a distance. deflate allows 15; with 14 four of them fit between two flushes.
const CODE_BITS_MAX: u32 = 14;
/// The longest code of a code length.
const LENGTH_CODE_BITS_MAX: u32 = 7;
/// The order in which a header gives the lengths of the codes of code lengths.
const HEADER_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Bits as they are written, the first one lowest, and how many.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Code {
    pub(super) bits: u32,
    pub(super) len: u32,
}

impl Code {
    /// The code, or nothing; without a branch.
    #[inline]
    pub(super) fn only_if(self, wanted: bool) -> Self {
        let mask = 0_u32.wrapping_sub(u32::from(wanted));
        Self { bits: self.bits & mask, len: self.len & mask }
    }

    /// The code, and behind it `len` bits of `value`.
    #[inline]
    pub(super) fn followed_by(self, value: u32, len: u32) -> Self {
        Self { bits: self.bits | value << self.len, len: self.len + len }
    }
}

/// A block's codes, ready for use.
#[derive(Debug)]
pub(super) struct Codes {
    /// By symbol.
    pub(super) literals: [Code; LITERALS],
    /// By the length of a match, its extra bits behind the code.
    pub(super) lengths: [Code; MATCH_MAX + 1],
    /// By symbol; two more, so that five bits are always an index.
    pub(super) distances: [Code; 32],
}

impl Codes {
    /// The codes that need no header (3.2.6).
    pub(super) fn fixed() -> Self {
        let mut literals = [8; LITERALS + 2];
        literals[144..256].fill(9);
        literals[256..280].fill(7);
        Self::new(&literals, &[5; 32])
    }

    /// The codes of such lengths.
    pub(super) fn new(literals: &[u8], distances: &[u8]) -> Self {
        let (by_symbol, far) = (canonical(literals), canonical(distances));
        let mut codes = Self {
            literals: [Code::default(); LITERALS],
            lengths: [Code::default(); MATCH_MAX + 1],
            distances: [Code::default(); 32],
        };
        codes.literals.copy_from_slice(&by_symbol[..LITERALS]);
        codes.distances[..DISTANCES].copy_from_slice(&far[..DISTANCES]);
        for (length, code) in codes.lengths.iter_mut().enumerate().skip(3) {
            let (symbol, extra, value) = length_symbol(length);
            *code = by_symbol[symbol].followed_by(value, extra);
        }
        codes
    }
}

/// The symbol of a match's length, how many extra bits it has and what they say (3.2.5).
pub(super) fn length_symbol(length: usize) -> (usize, u32, u32) {
    match length - 3 {
        255 => (285, 0, 0),
        short @ 0..8 => (257 + short, 0, 0),
        long => {
            let extra = long.ilog2() - 2;
            (261 + 4 * extra as usize + (long >> extra & 3), extra, (long & ((1 << extra) - 1)) as u32)
        }
    }
}

/// The symbol of a distance, how many extra bits it has and what they say (3.2.5).
#[inline]
pub(super) fn distance_symbol(distance: usize) -> (usize, u32, u32) {
    let from_zero = distance as u32 - 1;
    if from_zero < 4 {
        return (from_zero as usize, 0, 0);
    }
    let extra = from_zero.ilog2() - 1;
    let symbol = 2 * (extra + 1) + (from_zero >> extra & 1);
    (symbol as usize, extra, from_zero & ((1 << extra) - 1))
}

/// How often each symbol was seen. All begin at one, so that each has a code.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) literals: [u32; LITERALS],
    pub(super) distances: [u32; DISTANCES],
}

impl Counts {
    pub(super) fn new() -> Self {
        Self { literals: [1; LITERALS], distances: [1; DISTANCES] }
    }

    /// Lets what was seen before count half.
    pub(super) fn age(&mut self) {
        for count in self.literals.iter_mut().chain(&mut self.distances) {
            *count = (*count / 2).max(1);
        }
    }

    /// The codes for these counts; `put` gets the header that describes them, behind the block's type.
    pub(super) fn codes(&self, mut put: impl FnMut(Code)) -> Codes {
        let literals = lengths(&self.literals, CODE_BITS_MAX);
        let distances = lengths(&self.distances, CODE_BITS_MAX);
        put(Code { bits: LITERALS as u32 - 257, len: 5 });
        put(Code { bits: DISTANCES as u32 - 1, len: 5 });
        put(Code { bits: HEADER_ORDER.len() as u32 - 4, len: 4 });
        let mut counts = [0; HEADER_ORDER.len()];
        for length in literals.iter().chain(&distances) {
            counts[usize::from(*length)] += 1;
        }
        let of_lengths = lengths(&counts, LENGTH_CODE_BITS_MAX);
        for symbol in HEADER_ORDER {
            put(Code { bits: u32::from(of_lengths[symbol]), len: 3 });
        }
        let codes = canonical(&of_lengths);
        for length in literals.iter().chain(&distances) {
            put(codes[usize::from(*length)]);
        }
        Codes::new(&literals, &distances)
    }
}

/// Codes in the order of their lengths, then of their symbols (3.2.2), bits turned round for writing.
fn canonical(lengths: &[u8]) -> Vec<Code> {
    let mut next = [0u32; 17];
    for length in lengths.iter().filter(|length| **length > 0) {
        next[usize::from(*length) + 1] += 1;
    }
    for length in 1..next.len() {
        next[length] = (next[length] + next[length - 1]) << 1;
    }
    let code = |length: &u8| {
        let len = u32::from(*length);
        let bits = next[usize::from(*length)];
        next[usize::from(*length)] += u32::from(len > 0);
        Code { bits: if len == 0 { 0 } else { bits.reverse_bits() >> (32 - len) }, len }
    };
    lengths.iter().map(code).collect()
}

/// Code lengths for the counts, none above `bits_max`; what was never seen gets none.
fn lengths(counts: &[u32], bits_max: u32) -> Vec<u8> {
    let mut seen: Vec<usize> = (0..counts.len()).filter(|symbol| counts[*symbol] > 0).collect();
    seen.sort_unstable_by_key(|symbol| counts[*symbol]);
    let depths = depths(&seen.iter().map(|symbol| counts[*symbol]).collect::<Vec<u32>>());
    let mut lengths = vec![0; counts.len()];
    for (symbol, depth) in seen.iter().zip(depths) {
        lengths[*symbol] = depth.clamp(1, bits_max) as u8;
    }
    shorten(&mut lengths, &seen, bits_max);
    lengths
}

/// How deep each leaf of Huffman's tree is, for counts in ascending order.
fn depths(counts: &[u32]) -> Vec<u32> {
    // Nodes: the leaves, then the pairs in the order in which they are made, which is that of their weights.
    let leaves = counts.len();
    let mut weights: Vec<u64> = counts.iter().map(|count| u64::from(*count)).collect();
    let mut parents = vec![0; 2 * leaves];
    let (mut leaf, mut pair) = (0, leaves);
    while weights.len() + 1 < 2 * leaves {
        let mut lightest = || {
            let take_leaf = leaf < leaves && (pair >= weights.len() || weights[leaf] <= weights[pair]);
            let next = if take_leaf { &mut leaf } else { &mut pair };
            *next += 1;
            *next - 1
        };
        let (first, second) = (lightest(), lightest());
        (parents[first], parents[second]) = (weights.len(), weights.len());
        weights.push(weights[first] + weights[second]);
    }
    let mut depths = vec![0; weights.len()];
    for node in (0..weights.len().saturating_sub(1)).rev() {
        depths[node] = depths[parents[node]] + 1;
    }
    depths.truncate(leaves);
    depths
}

/// Lengths that were cut at the limit claim more codes than there are: makes the rarest longer until all fit, then gives what is
/// left to the most frequent.
fn shorten(lengths: &mut [u8], rarest_first: &[usize], bits_max: u32) {
    let room = |length: u8| 1_u64 << (bits_max - u32::from(length));
    let all = 1_u64 << bits_max;
    let mut taken: u64 = rarest_first.iter().map(|symbol| room(lengths[*symbol])).sum();
    while taken > all {
        for symbol in rarest_first {
            if taken > all && u32::from(lengths[*symbol]) < bits_max {
                lengths[*symbol] += 1;
                taken -= room(lengths[*symbol]);
            }
        }
    }
    for symbol in rarest_first.iter().rev() {
        while lengths[*symbol] > 1 && taken + room(lengths[*symbol]) <= all {
            taken += room(lengths[*symbol]);
            lengths[*symbol] -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_lengths_and_distances() {
        for (length, expect) in [
            (3, (257, 0, 0)),
            (10, (264, 0, 0)),
            (11, (265, 1, 0)),
            (12, (265, 1, 1)),
            (130, (280, 4, 15)),
            (257, (284, 5, 30)),
            (258, (285, 0, 0)),
        ] {
            assert_eq!(length_symbol(length), expect, "{length}");
        }
        for (distance, expect) in
            [(1, (0, 0, 0)), (4, (3, 0, 0)), (5, (4, 1, 0)), (24577, (29, 13, 0)), (32768, (29, 13, 8191))]
        {
            assert_eq!(distance_symbol(distance), expect, "{distance}");
        }
    }

    #[test]
    fn lengths_use_all_codes_and_no_more() {
        proptest::proptest!(|(counts in proptest::collection::vec(1_u32..1_000_000, 2..286))| {
            let lengths = lengths(&counts, CODE_BITS_MAX);
            let taken: u64 = lengths.iter().map(|length| 1 << (CODE_BITS_MAX - u32::from(*length))).sum();
            proptest::prop_assert_eq!(taken, 1 << CODE_BITS_MAX);
        });
    }

    #[test]
    fn lengths_stay_below_the_limit() {
        // Fibonacci's numbers make the deepest tree.
        let fibonacci = (0..30).scan((1, 1), |(a, b), _| {
            (*a, *b) = (*b, *a + *b);
            Some(*a)
        });
        let counts: Vec<u32> = fibonacci.collect();
        assert!(lengths(&counts, 7).iter().all(|length| (1..=7).contains(length)));
    }
}
