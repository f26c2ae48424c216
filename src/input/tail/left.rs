//! Rows that are left after the first scan: what became of their files while drave was down.
//!
//! ```text
//! a.log was known, and                                    its row
//! ──────────────────────────────────────────────────      ──────────────────────────────────────────────
//! is a.log.1 or a.log.old now, and there is no a.log      its rest is read as that of a.log
//! is there and not asked for, or cannot be opened         is kept
//! is gone, its folder is there                            goes, and what was not read is counted
//! its folder is gone or not mounted                       is kept; goes when folders beside it are followed
//! ```

use super::follow::Follower;
use super::rotation::{self, Names};
use super::siblings::Siblings;
use crate::input::LostReason;
use crate::state::{Change, Position};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

impl Follower {
    /// What became of files that are known and were not found: they have another name and are read to their end, or are gone, which
    /// is counted, or are there and not asked for.
    pub(super) fn look_for_left_rows(&mut self) {
        for input in 0..self.inputs.len() {
            self.forget_vanished(input);
            for folder in self.known[input].folders_left() {
                if folder.is_dir() {
                    self.look_for_rows_left_in(input, &folder);
                }
            }
        }
    }

    fn look_for_rows_left_in(&mut self, input: usize, folder: &Path) {
        let names = rotation::names_in(folder);
        let (mut kept, mut vanished, mut to_read) = (Vec::new(), Vec::new(), BTreeSet::new());
        for position in self.known[input].take_folder(folder) {
            match what_became_of(&position, &names) {
                Fate::Gone if is_mounted(folder, &names, &position) => vanished.push(position),
                Fate::Unread(live) => {
                    let is_free = |live: &PathBuf| !live.exists() && self.inputs[input].patterns.takes(live);
                    to_read.extend(live.into_iter().find(is_free));
                    kept.push(position);
                }
                Fate::Gone | Fate::Known => kept.push(position),
            }
        }
        self.known[input].put_back(kept);
        self.count_vanished(input, &vanished);
        for live in to_read {
            if let Err(error) = self.open_chain(input, &live, &live) {
                tracing::error!(path = %live.display(), "cannot read a renamed file: {error}");
            }
        }
    }

    /// Files whose folder is gone too.
    fn forget_vanished(&mut self, input: usize) {
        let followed: Vec<&Path> =
            self.chains.values().filter(|c| c.input == input).map(|c| c.real.as_path()).collect();
        let is_there = |folder: &Path| followed.iter().any(|path| path.starts_with(folder));
        let vanished = self.known[input].take_vanished(is_there);
        self.count_vanished(input, &vanished);
    }

    pub(super) fn count_vanished(&mut self, input: usize, vanished: &[Position]) {
        self.remove_rows(input, vanished);
        for position in vanished {
            let open: u64 = position.open.iter().map(|(start, end)| end - start).sum();
            // Of a file that was let go the rest was counted before.
            let rest = if position.finished { 0 } else { position.size.saturating_sub(position.settled) };
            let lost = rest + open;
            if lost > 0 {
                let path = position.path.display();
                tracing::error!(%path, lost_bytes = lost, "a file vanished while drave was down, before it was read to its end");
                self.context.pipe.lost(self.inputs[input].number, LostReason::GoneBeforeRead, lost);
            }
        }
    }

    /// A row that is still of use is put again, under the name and the inode that its file has now.
    pub(super) fn remove_rows(&mut self, input: usize, positions: &[Position]) {
        let name = &self.inputs[input].name;
        let remove = |p: &Position| Change::Remove { input: name.clone(), path: p.path.clone(), inode: p.inode };
        self.changes.extend(positions.iter().map(|p| (input, remove(p))));
    }
}

enum Fate {
    Gone,
    /// Something of it is not read; the names that it may be followed under.
    Unread(Vec<PathBuf>),
    /// It is there, or cannot be looked at.
    Known,
}

fn what_became_of(position: &Position, names: &Names) -> Fate {
    let mut lives = rotation::live_of(&position.path);
    lives.push(position.path.clone());
    for live in &lives {
        let Ok(mut siblings) = Siblings::open(rotation::rotated(live, names).into_iter(), live) else {
            return Fate::Known;
        };
        if siblings.is_denied(position) {
            return Fate::Known;
        }
        if let Some(renamed) = siblings.renamed(position, live, names) {
            siblings.insert(renamed, live);
        }
        if let Some(sibling) = siblings.files.iter().find(|s| s.is(position, live) || s.is_copy(position, live)) {
            let is_at_its_end = if sibling.gzip { position.finished } else { sibling.size <= position.settled };
            let is_read = is_at_its_end && position.open.is_empty();
            return if is_read { Fate::Known } else { Fate::Unread(lives) };
        }
    }
    Fate::Gone
}

/// A volume that is not mounted is an empty folder of another device.
fn is_mounted(folder: &Path, names: &Names, position: &Position) -> bool {
    !names.is_empty() || fs::metadata(folder).is_ok_and(|meta| meta.dev() == position.device)
}
