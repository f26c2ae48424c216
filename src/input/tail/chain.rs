//! A file with its rotations, read one after the other as one stream.

use super::file::TailFile;
use super::progress::{OpenRange, Progress};
use super::rotation::strip_gz;
use super::siblings::Sibling;
use crate::parse::Joiner;
use crate::record::Source;
use crate::state::Position;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A chain: rotated files first, the current one last.
pub(super) struct Chain {
    /// Number of its tail section.
    pub(super) input: usize,
    pub(super) source: Arc<Source>,
    pub(super) joiner: Joiner,
    /// The multiline parser that its pod asked for when the joiner was set.
    pub(super) multiline: Option<String>,
    pub(super) files: VecDeque<TailFile>,
    /// Of contents that were read and are gone since their files were written anew: their number, and what is not settled. A
    /// restart cannot read them again, so an end waits for them.
    pub(super) overwritten: Vec<(u64, Progress)>,
    /// The path as the glob found it, maybe a link.
    pub(super) link: PathBuf,
    /// The path behind the links.
    pub(super) real: PathBuf,
    /// It waits in the queue of those that have something to read.
    pub(super) queued: bool,
    /// The time of the last record that was read, for the age of what is unread.
    pub(super) last_time_ns: i64,
    /// Of files that are done with: kept only to know where the chain goes on.
    pub(super) finished: Vec<Position>,
    /// Nothing more of it is wanted; it stays until what was read is settled.
    pub(super) left_out: bool,
}

impl Chain {
    /// The first file that has unread lines. A later file is read only when all before it are at their end: it has bytes,
    /// so the writer has left them.
    pub(super) fn next_unread(&self) -> Option<usize> {
        if self.left_out {
            return None;
        }
        self.files.iter().position(TailFile::has_unread)
    }

    /// Is there anything to be read, for the first time or again?
    pub(super) fn has_work(&self) -> bool {
        self.next_unread().is_some() || self.has_put_off()
    }

    /// Has its oldest unread file another name by now, or none?
    pub(super) fn is_rotated(&self) -> bool {
        self.next_unread().is_some_and(|index| self.files[index].gone.is_some())
    }

    /// The newest file.
    pub(super) fn current(&self) -> Option<&TailFile> {
        self.files.back()
    }

    /// Is this a file of the chain, or a compressed copy of one? A closed file no longer keeps others from its inode.
    pub(super) fn has(&self, sibling: &Sibling) -> bool {
        self.files.iter().any(|f| {
            let same = f.inode == sibling.inode;
            same && !f.is_closed() || (same || sibling.gzip) && f.begins_as(&sibling.head)
        })
    }

    /// Files that have another name now keep their position under it: the old name is for the next file, which may even get the
    /// inode when they are compressed. Returns the positions under the old names.
    pub(super) fn follow_names(&mut self, siblings: &[Sibling]) -> Vec<Position> {
        let mut old = Vec::new();
        for file in &mut self.files {
            let position = position_of(file);
            let Some(sibling) = siblings.iter().find(|s| s.is(&position, &self.real)) else { continue };
            let path = strip_gz(&sibling.path);
            if path != file.path {
                file.path = path;
                file.progress.dirty = true;
                old.push(position);
            }
        }
        old
    }

    /// The file at `index` has come to its end for good.
    pub(super) fn is_over(&self, index: usize, rotate_wait: Duration, now: Instant) -> bool {
        let file = &self.files[index];
        if self.left_out || file.is_closed() || file.has_unread() {
            return false;
        }
        let quiet_since = file.gone.map(|gone| gone.max(file.grown));
        file.is_gzip_at_end() || quiet_since.is_some_and(|since| now.duration_since(since) >= rotate_wait)
    }

    /// Notes pieces that the joiner took in while the file at `index` was read, and which records it completed there.
    pub(super) fn note_pieces(&mut self, index: usize) {
        let (opened, closed) = self.joiner.take_notes();
        let (seq, end) = (self.files[index].seq, self.files[index].read);
        for file in &mut self.files {
            let completed = |o: &&mut OpenRange| o.closed_by.is_none() && closed.contains(&o.piece.id);
            for range in file.progress.open.iter_mut().filter(completed) {
                range.closed_by = Some((seq, end));
            }
        }
        let open = opened.into_iter().filter(|piece| !closed.contains(&piece.id));
        self.files[index].progress.open.extend(open.map(|piece| OpenRange { piece, closed_by: None }));
    }

    /// Moves over what has been settled meanwhile.
    pub(super) fn sweep(&mut self) {
        self.files.iter_mut().for_each(|f| f.progress.sweep());
        self.overwritten.iter_mut().for_each(|(_, progress)| progress.sweep());
        self.overwritten.retain(|(_, progress)| !progress.is_settled());
    }

    /// Is everything that was read settled, at the last [`sweep`](Self::sweep)?
    pub(super) fn is_settled(&self) -> bool {
        self.overwritten.is_empty() && self.files.iter().all(|f| f.progress.is_settled())
    }

    /// The same as [`unsettled_bytes`](Self::unsettled_bytes), after a look at what has been settled meanwhile.
    pub(super) fn sweep_unsettled(&mut self) -> u64 {
        self.sweep();
        self.unsettled_bytes()
    }

    /// Bytes read and not yet settled.
    pub(super) fn unsettled_bytes(&self) -> u64 {
        let overwritten = self.overwritten.iter().map(|(_, progress)| progress);
        self.files.iter().map(|f| &f.progress).chain(overwritten).map(Progress::unsettled_bytes).sum()
    }
}

/// How far a file is read.
pub(super) fn position_of(file: &TailFile) -> Position {
    Position {
        path: file.path.clone(),
        device: file.device,
        inode: file.inode,
        fingerprint: file.fingerprint,
        settled: file.read,
        size: file.known_size(),
        open: Vec::new(),
        finished: false,
    }
}
