//! The words of the options that say what is kept on disk.

use super::OptionValue;

crate::option_enum! {
    /// What holds records that an output cannot deliver.
    pub enum StorageType {
        /// Memory, and beyond that the files that are read: reading waits.
        Memory = "memory" | "memrb",
        /// The output's spool, below `storage.path`.
        Filesystem = "filesystem",
    }
}

crate::option_enum! {
    /// How soon what is appended to a spool is safe.
    pub enum StorageSync {
        /// Each second, or 4 MiB.
        Normal = "normal",
        /// Each group of requests.
        Full = "full",
    }
}

crate::option_enum! {
    /// What happens when a spool is full.
    pub enum OnFull {
        /// Reading waits.
        Wait = "wait",
        /// The oldest is given up, and counted.
        DropOldest = "drop_oldest",
    }
}

/// A part of a whole: `12%`, or `12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u64);

impl OptionValue for Percent {
    const KIND: &'static str = "percentage";
    fn parse(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').unwrap_or(text).trim_end().parse();
        number.ok().filter(|n| *n <= 100).map(Self).ok_or_else(|| "expected a percentage from 0% to 100%".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        for (text, expect) in
            [("12%", Some(12)), ("0", Some(0)), ("100 %", Some(100)), ("101%", None), ("-1%", None), ("some", None)]
        {
            assert_eq!(Percent::parse(text).ok(), expect.map(Percent), "{text}");
        }
    }
}
