//! The words that records and Lua have in common: a key that is known to both goes over as its number.

use super::packed;
use crate::record::{Batch, Span};
use std::collections::HashMap;

/// Words that are values as often as not; their numbers are their places.
const VALUES: [&[u8]; 4] = [b"stdout", b"stderr", b"F", b"P"];
/// Keys that are longer or more than that go over as they are.
const WORD_MAX: usize = 64;
pub(super) const WORDS_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Words {
    list: Vec<Vec<u8>>,
    numbers: HashMap<Vec<u8>, u32>,
    /// So many of them Lua knows.
    told: usize,
    /// By the place of a key in its record, the number that it had there in the last one.
    last: Vec<u32>,
    /// Where words stand in a batch, as far as they do.
    spans: Vec<Option<Span>>,
}

impl Words {
    pub(super) fn new() -> Self {
        let (list, numbers) = (Vec::new(), HashMap::new());
        let mut words = Self { list, numbers, told: 0, last: Vec::new(), spans: Vec::new() };
        VALUES.into_iter().for_each(|word| words.learn(word));
        words
    }

    /// All words packed, where some are new.
    pub(super) fn to_tell(&self) -> Option<Vec<u8>> {
        if self.told == self.list.len() {
            return None;
        }
        let mut all = Vec::new();
        packed::push_array(&mut all, self.list.len());
        self.list.iter().for_each(|word| packed::push_text(&mut all, word));
        Some(all)
    }

    /// Now Lua knows all of them.
    pub(super) fn are_told(&mut self) {
        self.told = self.list.len();
    }

    /// A new batch: no word stands in it.
    pub(super) fn begin(&mut self) {
        self.spans.clear();
    }

    pub(super) fn word(&self, number: u32) -> Option<&[u8]> {
        self.list.get(number as usize).map(Vec::as_slice)
    }

    /// Remembers a key for later.
    pub(super) fn learn(&mut self, key: &[u8]) {
        if self.list.len() < WORDS_MAX && key.len() <= WORD_MAX && !self.numbers.contains_key(key) {
            self.numbers.insert(key.to_vec(), self.list.len() as u32);
            self.list.push(key.to_vec());
        }
    }

    /// Packs a key that stands at this place in its record. Returns its number, if it went as such: then it does so in all of what
    /// is handed over at once.
    #[inline]
    pub(super) fn push_key(&mut self, out: &mut Vec<u8>, place: usize, key: &[u8]) -> Option<u32> {
        let number = match self.last.get(place) {
            Some(number) if self.list[*number as usize] == key => Some(*number),
            _ => self.number_at(place, key),
        };
        match number {
            Some(number) => packed::push_word(out, number),
            None => packed::push_text(out, key),
        }
        number
    }

    /// The number of a key that Lua knows, and from now on at this place; others are learned.
    fn number_at(&mut self, place: usize, key: &[u8]) -> Option<u32> {
        let Some(number) = self.numbers.get(key).copied().filter(|number| (*number as usize) < self.told) else {
            self.learn(key);
            return None;
        };
        if self.last.len() <= place {
            self.last.resize(place + 1, 0);
        }
        self.last[place] = number;
        Some(number)
    }

    /// Where a word stands in a batch.
    #[inline]
    pub(super) fn span(&mut self, batch: &mut Batch, number: u32) -> Option<Span> {
        let (number, word) = (number as usize, self.list.get(number as usize)?);
        if self.spans.len() <= number {
            self.spans.resize(self.list.len(), None);
        }
        Some(*self.spans[number].get_or_insert_with(|| batch.append(word)))
    }
}

/// Packs a value that is text.
pub(super) fn push_value(out: &mut Vec<u8>, text: &[u8]) {
    match VALUES.iter().position(|value| *value == text) {
        Some(number) => packed::push_word(out, number as u32),
        None => packed::push_text(out, text),
    }
}
