//! Counts the sequence numbers that the tests write into every record: `seq=FFFF-NNNNNNNN;`, file and number, from 0.

use std::collections::BTreeMap;

use memchr::memmem;

/// What has been seen so far.
#[derive(Debug, Default)]
pub struct Tally {
    files: BTreeMap<u32, File>,
    distinct: u64,
    disorder: u64,
}

/// A summary of a [`Tally`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Different records.
    pub distinct: u64,
    /// Records that came again, each time counted.
    pub duplicates: u64,
    /// Per file, the numbers below its highest that never came.
    pub gaps: BTreeMap<u32, Vec<u32>>,
    /// Records that came for the first time after a later one of their file.
    pub disorder: u64,
}

/// How often each number came.
#[derive(Debug, Default)]
struct File {
    seen: Vec<u32>,
}

impl Tally {
    /// Counts every sequence number in a body.
    pub fn add(&mut self, body: &[u8]) {
        for at in memmem::find_iter(body, b"seq=") {
            if let Some((file, number)) = body.get(at + 4..at + 18).and_then(parse) {
                let (new, late) = self.files.entry(file).or_default().add(number);
                self.distinct += u64::from(new);
                self.disorder += u64::from(new && late);
            }
        }
    }

    /// The different records so far.
    pub fn distinct(&self) -> u64 {
        self.distinct
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts { distinct: self.distinct, disorder: self.disorder, ..Counts::default() };
        for (file, File { seen }) in &self.files {
            counts.duplicates += seen.iter().map(|times| u64::from(times.saturating_sub(1))).sum::<u64>();
            let gaps: Vec<u32> = (0..).zip(seen).filter(|(_, times)| **times == 0).map(|(number, _)| number).collect();
            if !gaps.is_empty() {
                counts.gaps.insert(*file, gaps);
            }
        }
        counts
    }
}

impl File {
    /// Is it new, and did a later one come before it?
    fn add(&mut self, number: u32) -> (bool, bool) {
        let index = number as usize;
        let late = index + 1 < self.seen.len();
        if index >= self.seen.len() {
            self.seen.resize(index + 1, 0);
        }
        self.seen[index] += 1;
        (self.seen[index] == 1, late)
    }
}

fn parse(text: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix(';')?;
    let (file, number) = text.split_once('-')?;
    Some((file.parse().ok()?, number.parse().ok()?))
}
