//! The rows of an input's files: taken up at the start, written each second.

use super::chain::Chain;
use super::rotation;
use super::settings::Settings;
use super::siblings::Sibling;
use super::takeover::{Found, Takeover};
use crate::state::{Change, Position, State};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A position, and a moment at which its file was there.
#[derive(Debug)]
struct Row {
    position: Position,
    known_at: Option<SystemTime>,
}

impl Row {
    /// Is it of this chain: by its name, or because one of the files is the one that it was?
    fn is_of(&self, live: &Path, siblings: &[Sibling]) -> bool {
        let same = |s: &Sibling| s.is_renamed(&self.position, self.known_at);
        rotation::is_name_of(&self.position.path, live) || siblings.iter().any(same)
    }
}

/// What was known of an input's files when drave started.
#[derive(Debug)]
pub(super) struct Known {
    by_folder: HashMap<PathBuf, Vec<Row>>,
    /// Rows of inputs that are not there any more, where this input has none: it may have got another name.
    of_others: HashMap<PathBuf, Vec<(String, Row)>>,
    /// Nothing at all was known, and nothing that was known can have been lost: this is the first start.
    pub(super) first_start: bool,
    /// When the agent before was last alive.
    pub(super) last_alive: Option<SystemTime>,
    /// What Fluent Bit knew of them, during the first scan.
    takeover: Option<Takeover>,
}

impl Known {
    /// `names`: those of all inputs that are there.
    pub(super) fn load(state: &State, settings: &Settings, names: &[&str]) -> Self {
        let positions = state.positions(&settings.name);
        let first_start = positions.is_empty() && state.is_complete();
        let last_alive = state.last_alive();
        let (by_folder, of_others) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        let mut known = Self { by_folder, of_others, first_start, last_alive, takeover: None };
        let others = if positions.is_empty() { state.positions_of_others(names) } else { Vec::new() };
        for (input, position) in others {
            let row = (input, Row { position, known_at: last_alive });
            known.of_others.entry(folder_of(&row.1.position)).or_default().push(row);
        }
        // A database of ours that is damaged had newer positions than Fluent Bit's.
        if positions.is_empty() && (first_start || last_alive.is_none()) {
            known.look_for_fluent_bit(state, settings);
        }
        known.keep(positions, last_alive);
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

    /// Keeps positions of files that are there now for a later [`take`](Self::take).
    pub(super) fn give_back(&mut self, positions: Vec<Position>) {
        self.keep(positions, Some(SystemTime::now()));
    }

    /// Keeps positions that are not of now.
    pub(super) fn put_back(&mut self, positions: Vec<Position>) {
        self.keep(positions, self.last_alive);
    }

    fn keep(&mut self, positions: Vec<Position>, known_at: Option<SystemTime>) {
        for position in positions {
            self.by_folder.entry(folder_of(&position)).or_default().push(Row { position, known_at });
        }
    }

    /// The positions of a file and its rotations, under whatever names they were known; they are given out once.
    pub(super) fn take(&mut self, live: &Path, siblings: &[Sibling]) -> Vec<Position> {
        let rows = live.parent().and_then(|folder| self.by_folder.get_mut(folder));
        let taken = rows.into_iter().flat_map(|rows| rows.extract_if(.., move |row| row.is_of(live, siblings)));
        taken.map(|row| row.position).collect()
    }

    /// The same of an input that had these files and is not there any more, with its name.
    pub(super) fn take_of_others(&mut self, live: &Path, siblings: &[Sibling]) -> Vec<(String, Position)> {
        let rows = live.parent().and_then(|folder| self.of_others.get_mut(folder));
        let taken = rows.into_iter().flat_map(|rows| rows.extract_if(.., move |(_, row)| row.is_of(live, siblings)));
        taken.map(|(input, row)| (input, row.position)).collect()
    }

    /// Is something of this file or its rotations not read, as far as is known?
    pub(super) fn has_unread(&self, live: &Path, inode: u64, size: u64) -> bool {
        let is_unread = |p: &Position| {
            let there = if p.inode == inode { size } else { p.size };
            rotation::is_name_of(&p.path, live) && (!p.open.is_empty() || !p.finished && p.settled < there)
        };
        let rows = live.parent().and_then(|folder| self.by_folder.get(folder));
        rows.into_iter().flatten().any(|row| is_unread(&row.position))
    }

    /// The folders of files that were not found.
    pub(super) fn folders_left(&self) -> Vec<PathBuf> {
        self.by_folder.iter().filter(|(_, rows)| !rows.is_empty()).map(|(folder, _)| folder.clone()).collect()
    }

    /// The positions of files in a folder that were not found.
    pub(super) fn take_folder(&mut self, folder: &Path) -> Vec<Position> {
        self.by_folder.remove(folder).into_iter().flatten().map(|row| row.position).collect()
    }

    /// Takes out the positions of files whose folder is gone. `is_there` tells whether the folder above it is one of ours: a
    /// volume that is not mounted is an empty folder, and its files may come back.
    pub(super) fn take_vanished(&mut self, is_there: impl Fn(&Path) -> bool) -> Vec<Position> {
        let gone = |folder: &Path| {
            let above = folder.ancestors().skip(1).find(|a| a.is_dir());
            !folder.is_dir() && above.is_some_and(&is_there)
        };
        let folders: Vec<PathBuf> = self.by_folder.keys().filter(|f| gone(f)).cloned().collect();
        folders.iter().flat_map(|folder| self.take_folder(folder)).collect()
    }
}

fn folder_of(position: &Position) -> PathBuf {
    position.path.parent().unwrap_or(Path::new("/")).to_path_buf()
}

/// The rows of a chain that have changed.
pub(super) fn changes(chain: &mut Chain, input: &str, changes: &mut Vec<Change>) {
    // First all of them: a row that has passed the end of a record must not name its pieces any more.
    chain.sweep();
    let place = |seq: u64, progress: &super::progress::Progress| (seq, progress.settled, progress.waits_there());
    let overwritten = chain.overwritten.iter().map(|(seq, progress)| place(*seq, progress));
    let settled: Vec<(u64, u64, bool)> =
        chain.files.iter().map(|f| place(f.seq, &f.progress)).chain(overwritten).collect();
    let files = chain.files.make_contiguous();
    for index in 0..files.len() {
        let (until, later) = files.split_at_mut(index + 1);
        let file = &mut until[index];
        let before = file.progress.open.len();
        // A file that is not in the chain any more was settled to its end.
        let passed = |seq: u64, end: u64| {
            let file = settled.iter().find(|(s, ..)| *s == seq);
            file.is_none_or(|(_, at, waits)| *at > end || *at == end && !waits)
        };
        file.progress.open.retain(|o| o.closed_by.is_none_or(|(seq, end)| !passed(seq, end)));
        if file.progress.open.len() != before {
            file.progress.dirty = true;
        }
        // A new file that got name and inode has the row.
        let has_row = || !later.iter().any(|f| f.inode == file.inode && f.path == file.path);
        if std::mem::take(&mut file.progress.dirty) && has_row() {
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
