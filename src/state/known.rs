//! What outputs have made at their destinations, as streams of CloudWatch Logs: a restart need not ask for it again.
//!
//! Only a help: a name that is missing costs a call, and one that is there without reason costs one, too.

use std::collections::{BTreeMap, BTreeSet};

/// How often an agent that keeps running looks for names that are not used, in seconds, and how long ago they were used then.
const LOOK_EVERY: u64 = 86_400;
const UNUSED: u64 = 14 * 86_400;

/// Whose it is (an output and its destination), and its name there.
pub(super) type KnownKey = (String, String);

/// All names in memory, and which of them the database does not have yet.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// With the running time, in seconds, at which each was last used.
    kept: BTreeMap<KnownKey, u64>,
    pending: BTreeSet<KnownKey>,
    looked: u64,
}

impl Known {
    pub(super) fn names(&self, owner: &str) -> Vec<String> {
        let first = (owner.to_owned(), String::new());
        let own = self.kept.range(first..).take_while(|((of, _), _)| of == owner);
        own.map(|((_, name), _)| name.clone()).collect()
    }

    pub(super) fn put(&mut self, key: KnownKey, now: u64) {
        if self.kept.insert(key.clone(), now) != Some(now) {
            self.pending.insert(key);
        }
        if now >= self.looked + LOOK_EVERY {
            self.looked = now;
            self.retire(now.saturating_sub(UNUSED));
        }
    }

    pub(super) fn remove(&mut self, key: KnownKey) {
        if self.kept.remove(&key).is_some() {
            self.pending.insert(key);
        }
    }

    /// Forgets what was not used since.
    pub(super) fn retire(&mut self, before: u64) {
        let old = self.kept.extract_if(.., |_, used| *used < before);
        self.pending.extend(old.map(|(key, _)| key));
    }

    /// A database was opened that has these. What this run knows is newer.
    pub(super) fn adopt(&mut self, found: BTreeMap<KnownKey, u64>) {
        self.pending.extend(self.kept.keys().cloned());
        for (key, used) in found {
            if !self.pending.contains(&key) {
                self.kept.insert(key, used);
            }
        }
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = (&KnownKey, Option<u64>)> {
        self.pending.iter().map(|key| (key, self.kept.get(key).copied()))
    }

    pub(super) fn written(&mut self) {
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(owner: &str, name: &str) -> KnownKey {
        (owner.to_owned(), name.to_owned())
    }

    #[test]
    fn names_are_kept_by_owner_and_written_once() {
        let mut known = Known::default();
        known.put(key("a", "x"), 1);
        known.put(key("a", "y"), 1);
        known.put(key("ab", "z"), 1);
        assert_eq!(known.names("a"), ["x", "y"]);
        assert_eq!(known.pending().count(), 3);
        known.written();
        known.put(key("a", "x"), 1);
        assert_eq!(known.pending().count(), 0, "nothing is new");
        known.remove(key("a", "x"));
        known.remove(key("a", "never"));
        assert_eq!(known.pending().collect::<Vec<_>>(), [(&key("a", "x"), None)]);
    }

    #[test]
    fn what_is_not_used_is_forgotten() {
        let mut known = Known::default();
        known.adopt([(key("a", "old"), 5), (key("a", "new"), 50)].into());
        assert_eq!(known.pending().count(), 0);
        known.retire(10);
        assert_eq!(known.names("a"), ["new"]);
        assert_eq!(known.pending().collect::<Vec<_>>(), [(&key("a", "old"), None)]);
        known.put(key("a", "newest"), 51 + UNUSED);
        assert_eq!(known.names("a"), ["newest"], "without a restart, too");
    }

    #[test]
    fn this_run_knows_better_than_the_database() {
        let mut known = Known::default();
        known.put(key("a", "x"), 9);
        known.remove(key("a", "gone"));
        known.adopt([(key("a", "x"), 1), (key("a", "y"), 1)].into());
        assert_eq!(known.pending().collect::<Vec<_>>(), [(&key("a", "x"), Some(9))]);
        assert_eq!(known.names("a"), ["x", "y"]);
    }
}
