//! The rows of an input's files: taken up at the start, written each second.

use super::chain::Chain;
use super::rotation::{self, Sibling};
use super::settings::Settings;
use super::takeover::{Found, Takeover};
use crate::state::{Change, Position, State};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::SystemTime;

/// What was known of an input's files when drave started.
#[derive(Debug)]
pub(super) struct Known {
    by_folder: HashMap<PathBuf, Vec<Position>>,
    /// Nothing at all was known, and nothing that was known can have been lost: this is the first start.
    pub(super) first_start: bool,
    /// When the agent before was last alive.
    pub(super) last_alive: Option<SystemTime>,
    /// What Fluent Bit knew of them, during the first scan.
    takeover: Option<Takeover>,
}

impl Known {
    pub(super) fn load(state: &State, settings: &Settings) -> Self {
        let positions = state.positions(&settings.name);
        let first_start = positions.is_empty() && state.is_complete();
        let last_alive = state.last_alive();
        let mut known = Self { by_folder: HashMap::new(), first_start, last_alive, takeover: None };
        // A database of ours that is damaged had newer positions than Fluent Bit's.
        if positions.is_empty() && (first_start || last_alive.is_none()) {
            known.look_for_fluent_bit(state, settings);
        }
        known.give_back(positions);
        known
    }

    fn look_for_fluent_bit(&mut self, state: &State, settings: &Settings) {
        match Takeover::find(state, settings) {
            Found::Nothing => {}
            Found::Unreadable => self.first_start = false,
            Found::Rows(takeover) => {
                self.last_alive = takeover.written();
                // What it knew nothing of is newer than it.
                self.first_start &= !takeover.concerns(settings);
                self.takeover = Some(takeover);
            }
        }
    }

    /// The positions of a chain that Fluent Bit had followed.
    pub(super) fn take_over(&mut self, siblings: &[Sibling], link: &Path, live: &Path) -> Vec<Position> {
        self.takeover.as_mut().map(|takeover| takeover.positions(siblings, link, live)).unwrap_or_default()
    }

    /// From now on only drave's own rows count.
    pub(super) fn end_takeover(&mut self, input: &str) -> Option<Change> {
        let takeover = self.takeover.take()?;
        takeover.report(input);
        Some(Change::TakenOver { input: input.to_owned() })
    }

    /// Keeps positions for a later [`take`](Self::take).
    pub(super) fn give_back(&mut self, positions: Vec<Position>) {
        for position in positions {
            let folder = position.path.parent().unwrap_or(Path::new("/")).to_path_buf();
            self.by_folder.entry(folder).or_default().push(position);
        }
    }

    /// The positions of a file and its rotations; they are given out once.
    pub(super) fn take(&mut self, live: &Path) -> Vec<Position> {
        let Some(positions) = live.parent().and_then(|folder| self.by_folder.get_mut(folder)) else {
            return Vec::new();
        };
        let of_chain = |p: &Position| rotation::is_name_of(&p.path, live);
        let (taken, left) = std::mem::take(positions).into_iter().partition(of_chain);
        *positions = left;
        taken
    }

    /// Takes out the positions of files whose folder is gone. `is_there` tells whether the folder above it is one of ours: a
    /// volume that is not mounted is an empty folder, and its files may come back.
    pub(super) fn take_vanished(&mut self, is_there: impl Fn(&Path) -> bool) -> Vec<Position> {
        let gone = |folder: &Path| {
            let above = folder.ancestors().skip(1).find(|a| a.is_dir());
            !folder.is_dir() && above.is_some_and(&is_there)
        };
        let folders: Vec<PathBuf> = self.by_folder.keys().filter(|f| gone(f)).cloned().collect();
        folders.iter().filter_map(|f| self.by_folder.remove(f)).flatten().collect()
    }
}

/// The rows of a chain that have changed.
pub(super) fn changes(chain: &mut Chain, input: &str, changes: &mut Vec<Change>) {
    // First all of them: a row that has passed the end of a record must not name its pieces any more.
    chain.files.iter_mut().for_each(|f| f.progress.sweep());
    let settled: Vec<(u64, u64)> = chain.files.iter().map(|f| (f.seq, f.progress.settled)).collect();
    for file in &mut chain.files {
        let before = file.progress.open.len();
        // A file that is not in the chain any more was settled to its end.
        let passed = |seq: u64, end: u64| settled.iter().find(|(s, _)| *s == seq).is_none_or(|(_, at)| *at >= end);
        file.progress.open.retain(|o| o.closed_by.is_none_or(|(seq, end)| !passed(seq, end)));
        if file.progress.open.len() != before {
            file.progress.dirty = true;
        }
        if std::mem::take(&mut file.progress.dirty) {
            let open = file.progress.open.iter().map(|o| (o.piece.start, o.piece.end));
            let position = Position {
                path: file.path.clone(),
                device: file.device,
                inode: file.inode,
                fingerprint: file.fingerprint,
                settled: file.progress.settled,
                size: file.known_size(),
                open: open.filter(|(_, end)| *end <= file.progress.settled).collect(),
                finished: file.is_closed() && file.progress.is_settled(),
            };
            changes.push(Change::Put { input: input.to_owned(), position });
        }
    }
}

/// Commits on a thread of its own: a slow disk must not stop the reading.
pub(super) struct Committer {
    changes: mpsc::Sender<Vec<Change>>,
    busy: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(state: Arc<State>) -> Self {
        let (changes, received) = mpsc::channel::<Vec<Change>>();
        let busy = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&busy);
        let work = move || {
            for changes in received {
                // What cannot be written is said by the state, kept there and written later.
                let _ = state.commit(changes);
                state.beat();
                shared.store(false, Ordering::Release);
            }
        };
        let thread = std::thread::Builder::new().name("positions".into()).spawn(work);
        if let Err(error) = &thread {
            tracing::error!("no thread for positions, they are not kept: {error}");
        }
        Self { changes, busy, thread: thread.ok() }
    }

    /// Is the commit before still under way?
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    pub(super) fn commit(&self, changes: Vec<Change>) {
        self.busy.store(true, Ordering::Release);
        let _ = self.changes.send(changes);
    }

    /// Waits until everything is written.
    pub(super) fn finish(mut self) {
        let thread = self.thread.take();
        drop(self);
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}
