//! A followed name is looked at again: it leads to another file now, or to none, or a file that was let go has grown.

use super::chain::position_of;
use super::file::TailFile;
use super::follow::Follower;
use super::rotation::{self, Names, Resume, continuation};
use super::siblings::{Sibling, Siblings, is_passing};
use crate::input::FileEvent;
use crate::state::Position;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

impl Follower {
    /// Does the newest file of the chain still have its name?
    pub(super) fn recheck(&mut self, id: u64) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let (input, link) = (chain.input, chain.link.clone());
        let now = Instant::now();
        match fs::metadata(&link) {
            Ok(meta) => {
                // Another file may have got the inode of one that was let go.
                let current = chain.current().filter(|f| !f.is_closed()).map(|f| (f.device, f.inode));
                if current == Some((meta.dev(), meta.ino())) {
                    if let Some(file) = chain.files.back_mut() {
                        file.gone = None;
                    }
                } else {
                    self.found_in_place(id, input, &link);
                }
            }
            Err(_) => {
                if let Some(file) = chain.files.back_mut() {
                    file.gone.get_or_insert(now);
                }
                self.forget_if_empty(id);
            }
        }
    }

    /// The name leads to another file now: a rotation, or, for a link, another container's log.
    fn found_in_place(&mut self, id: u64, input: usize, link: &Path) {
        let Ok(real) = fs::canonicalize(link) else { return };
        if self.chains.get(&id).is_some_and(|c| c.real == real) {
            self.rotated(id);
            return;
        }
        if let Some(file) = self.chains.get_mut(&id).and_then(|c| c.files.back_mut()) {
            file.gone.get_or_insert(Instant::now());
        }
        let key = (input, link.to_path_buf());
        if self.by_path.get(&key) == Some(&id) {
            self.by_path.remove(&key);
        }
        self.found(input, link);
    }

    /// Another file has taken the place of the newest: append it, and what was rotated in between.
    pub(super) fn rotated(&mut self, id: u64) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let (input, real) = (chain.input, chain.real.clone());
        let since = chain.current().map(TailFile::modified_at);
        let now = Instant::now();
        chain.files.iter_mut().for_each(|f| _ = f.gone.get_or_insert(now));
        let siblings = match self.siblings(&real) {
            Ok(siblings) => siblings.files,
            Err(error) => {
                self.try_again |= is_passing(&error);
                tracing::error!(path = %real.display(), "cannot open a file: {error}");
                return;
            }
        };
        // Its name is free, another one will come: the directory event says so.
        if siblings.last().is_none_or(|s| s.path != real) {
            return;
        }
        self.context.pipe.file(self.inputs[input].number, FileEvent::Rotated);
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let old_names = chain.follow_names(&siblings);
        let positions = chain.finished.iter().cloned().chain(chain.files.iter().map(position_of)).collect();
        self.remove_rows(input, &old_names);
        let is_wanted = |s: &Sibling| since.zip(s.modified).is_none_or(|(since, at)| at > since);
        for resume in continuation(siblings, positions, &real, is_wanted).files {
            if self.chains.get(&id).is_some_and(|c| !c.has(&resume.sibling)) {
                self.reopen(id, input, resume);
            }
        }
    }

    /// Adds a file to its chain: behind the others, unless it was in it before.
    fn reopen(&mut self, id: u64, input: usize, resume: Resume) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let sibling = &resume.sibling;
        let is_it = |p: &mut Position| p.inode == sibling.inode && sibling.is(p, &chain.real);
        let was: Vec<Position> = chain.finished.extract_if(.., is_it).collect();
        let at = if was.is_empty() || sibling.path == chain.real { chain.files.len() } else { 0 };
        self.remove_rows(input, &was);
        self.insert(id, input, at, resume);
    }

    /// Who still writes to a file that was let go is read further.
    pub(super) fn reopen_grown(&mut self, id: u64) {
        let Some(chain) = self.chains.get(&id) else { return };
        let has_grown = |p: &&Position| {
            fs::metadata(&p.path).is_ok_and(|meta| meta.ino() == p.inode && meta.len() > p.settled)
                && !chain.files.iter().any(|f| f.inode == p.inode)
        };
        let Some(position) = chain.finished.iter().find(has_grown) else { return };
        let is_it = |sibling: &Sibling| sibling.is(position, &chain.real);
        let Some(sibling) = Sibling::open(&position.path).ok().flatten().filter(is_it) else { return };
        let (input, resume) = (chain.input, Resume::at(sibling, position));
        self.reopen(id, input, resume);
    }

    /// The chain of a file as it is on disk, oldest first; an error where a file cannot be opened just now.
    pub(super) fn siblings(&mut self, real: &Path) -> io::Result<Siblings> {
        let rotated = rotation::rotated(real, &self.names_beside(real));
        Siblings::open(rotated.into_iter(), real)
    }

    /// What is in the folder of a file. While all folders are scanned each is listed once: thousands of files can be in one.
    pub(super) fn names_beside(&mut self, real: &Path) -> Arc<Names> {
        let folder = real.parent().unwrap_or(Path::new("/"));
        let list = || Arc::new(rotation::names_in(folder));
        match &mut self.listings {
            Some(listings) => Arc::clone(listings.entry(folder.to_path_buf()).or_insert_with(list)),
            None => list(),
        }
    }
}
