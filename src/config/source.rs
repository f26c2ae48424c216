//! The texts that were read, kept so that a message can show the line that it speaks of.

use super::Location;
use std::fmt;
use std::sync::Arc;

/// File names and texts, in the order of reading.
#[derive(Default)]
pub(super) struct Sources(Vec<(Arc<str>, String)>);

impl Sources {
    /// Remembers the text of a file.
    pub(super) fn add(&mut self, file: &Arc<str>, text: &str) {
        if self.index(file) == self.0.len() {
            self.0.push((Arc::clone(file), text.to_owned()));
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> &[(Arc<str>, String)] {
        &self.0
    }

    /// The line that a location points into.
    pub(super) fn line(&self, at: &Location) -> Option<&str> {
        let (_, text) = self.0.get(self.index(&at.file))?;
        text.lines().nth(usize::try_from(at.line.checked_sub(1)?).ok()?)
    }

    /// For sorting: files in the order of reading, unknown ones last.
    pub(super) fn order(&self, at: &Location) -> (usize, u32, u32) {
        (self.index(&at.file), at.line, at.column)
    }

    fn index(&self, file: &str) -> usize {
        self.0.iter().position(|(name, _)| **name == *file).unwrap_or(self.0.len())
    }
}

/// Names only: the texts may hold secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
