//! How much there is, in all and per input, for the ledger.
//!
//! Totals that stand in files run from the beginning of the log and never go down. What is pending is the difference between
//! those at its end and those at its cursor, so no segment between the two has to be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::wire::{Taker, push_number, push_text};

/// Inputs counted by name; the rest counts under [`OTHERS`].
pub(super) const INPUTS_MAX: usize = 64;
/// Longer names of inputs are cut.
pub(super) const NAME_BYTES_MAX: usize = 200;
/// The most bytes that totals are written with: three numbers, a count, and names with a length and two numbers each.
pub(super) const TOTALS_BYTES_MAX: usize = 4 * 10 + (INPUTS_MAX + 1) * (NAME_BYTES_MAX + 3 * 10);
/// What inputs count under when there are too many of them.
const OTHERS: &str = "(others)";

/// Records, and the bytes of the sources that they stand for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Records.
    pub records: u64,
    /// Bytes of their sources.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, more: Amount) {
        self.records = self.records.saturating_add(more.records);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    fn since(self, earlier: Amount) -> Amount {
        Amount {
            records: self.records.saturating_sub(earlier.records),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

/// Frames, and what is in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames.
    pub frames: u64,
    /// All inputs together.
    pub all: Amount,
    /// By the input's name. Names over 200 bytes are cut, and past 64 names the rest is together as `(others)`.
    pub inputs: BTreeMap<Arc<str>, Amount>,
}

impl Totals {
    /// Is there nothing at all?
    pub fn is_empty(&self) -> bool {
        self.frames == 0 && self.all == Amount::default()
    }

    pub(super) fn count(&mut self, input: &Arc<str>, amount: Amount) {
        self.all.add(amount);
        self.count_input(input, amount);
    }

    pub(super) fn add(&mut self, more: &Totals) {
        self.frames = self.frames.saturating_add(more.frames);
        self.all.add(more.all);
        for (input, &amount) in &more.inputs {
            self.count_input(input, amount);
        }
    }

    /// What came since `earlier`. Never below zero: after damage the two may not belong together.
    pub(super) fn since(&self, earlier: &Totals) -> Totals {
        let before = |input| earlier.inputs.get(input).copied().unwrap_or_default();
        let inputs = self.inputs.iter().map(|(input, amount)| (Arc::clone(input), amount.since(before(input))));
        Totals {
            frames: self.frames.saturating_sub(earlier.frames),
            all: self.all.since(earlier.all),
            inputs: inputs.filter(|(_, amount)| *amount != Amount::default()).collect(),
        }
    }

    fn count_input(&mut self, input: &Arc<str>, amount: Amount) {
        let name = if input.len() > NAME_BYTES_MAX { cut(input) } else { Arc::clone(input) };
        let room = self.inputs.len() < INPUTS_MAX || self.inputs.contains_key(&name);
        let name = if room { name } else { OTHERS.into() };
        self.inputs.entry(name).or_default().add(amount);
    }

    pub(super) fn push_to(&self, out: &mut Vec<u8>) {
        push_number(out, self.frames);
        push_number(out, self.all.records);
        push_number(out, self.all.bytes);
        push_number(out, self.inputs.len() as u64);
        for (input, amount) in &self.inputs {
            push_text(out, input);
            push_number(out, amount.records);
            push_number(out, amount.bytes);
        }
    }

    pub(super) fn take_from(bytes: &mut Taker<'_>) -> Option<Totals> {
        let frames = bytes.number()?;
        let all = Amount { records: bytes.number()?, bytes: bytes.number()? };
        let mut inputs = BTreeMap::new();
        for _ in 0..bytes.number()? {
            let name = bytes.text()?;
            inputs.insert(name.into(), Amount { records: bytes.number()?, bytes: bytes.number()? });
        }
        Some(Totals { frames, all, inputs })
    }
}

fn cut(name: &str) -> Arc<str> {
    name[..name.floor_char_boundary(NAME_BYTES_MAX)].into()
}
