//! The numbers of the messages tell what was not read: the kernel overwrites the oldest when its buffer is full.

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// The number of the next message.
    pub(super) next: Option<u64>,
    /// Messages below it were delivered by an earlier run.
    pub(super) first: u64,
    /// The kernel has overwritten messages, or may have.
    pub(super) is_torn: bool,
    messages: u64,
    bytes: u64,
}

impl Numbers {
    /// Of a run before which all messages below `first` were delivered.
    pub(super) fn after(first: u64) -> Self {
        Self { next: (first > 0).then_some(first), first, is_torn: first > 0, ..Self::default() }
    }

    /// How many messages were lost in front of this one, and their bytes at a guess.
    pub(super) fn enter(&mut self, sequence: u64, bytes: u64) -> (u64, u64) {
        let expected = self.next.replace(sequence.saturating_add(1));
        let mean = self.bytes.checked_div(self.messages).unwrap_or(bytes);
        (self.messages, self.bytes) = (self.messages + 1, self.bytes + bytes);
        if !std::mem::take(&mut self.is_torn) {
            return (0, 0);
        }
        let lost = expected.map_or(1, |expected| sequence.saturating_sub(expected));
        (lost, lost.saturating_mul(mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_overwritten_is_counted() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.enter(5, 100), (0, 0));
        assert_eq!(numbers.enter(9, 200), (0, 0), "the kernel said nothing");
        numbers.is_torn = true;
        assert_eq!(numbers.enter(14, 100), (4, 600));
        assert_eq!(numbers.enter(15, 100), (0, 0));
        let mut numbers = Numbers::after(5);
        assert_eq!((numbers.enter(8, 100), numbers.enter(9, 100)), ((3, 300), (0, 0)), "while drave was down");
        assert_eq!(Numbers::after(5).enter(5, 100), (0, 0));
    }
}
