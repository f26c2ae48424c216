//! Files appear, move and end: from paths to chains, and from chains to nothing.

use super::chain::{Chain, position_of};
use super::cut::{Cutting, key_names};
use super::discover::Events;
use super::file::{TailFile, end_of_lines, read_range};
use super::follow::{Follower, now_ns};
use super::rotation::{self, Resume, Sibling, continuation, strip_gz};
use super::settings::{ReadFromHead, Settings};
use crate::input::LostReason;
use crate::parse::Joiner;
use crate::record::SourceDraft;
use crate::state::{Change, Position};
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Files of this age are read from their beginning with `read_from_head auto`.
const YOUNG: Duration = Duration::from_secs(600);

impl Follower {
    /// Looks for files in all folders, and whether those that are followed still have their names.
    pub(super) fn scan(&mut self) {
        self.listings = Some(HashMap::new());
        for input in 0..self.inputs.len() {
            // A folder that was just found can hold further ones: until there is nothing new.
            loop {
                let folders = self.inputs[input].patterns.folders();
                let new = folders.iter().filter(|f| self.watcher.watch(f)).count();
                if new == 0 {
                    break;
                }
            }
            // The paths that are followed are looked at below.
            let new = |path: &PathBuf| !self.by_path.contains_key(&(input, path.clone()));
            let found: Vec<PathBuf> = self.inputs[input].patterns.scan().into_iter().filter(new).collect();
            found.iter().for_each(|path| self.found(input, path));
        }
        self.listings = None;
        let ids: Vec<u64> = self.chains.keys().copied().collect();
        for id in ids {
            self.recheck(id);
        }
    }

    /// What the folders' events say.
    pub(super) fn handle_events(&mut self) {
        let Events { paths, lost, missed } = self.watcher.take();
        // Without a folder the way to it must be watched.
        let is_on_the_way = |folder: &PathBuf| self.inputs.iter().any(|i| i.patterns.pass(folder));
        let mut rescan = missed || lost.iter().any(is_on_the_way);
        for path in paths {
            for input in 0..self.inputs.len() {
                let id = self.by_path.get(&(input, path.clone())).copied();
                if let Some(id) = id {
                    self.recheck(id);
                } else if self.inputs[input].patterns.takes(&path) {
                    self.found(input, &path);
                }
            }
            rescan |= path.is_dir();
        }
        if rescan {
            self.scan();
        }
    }

    /// A path that a section takes: a new file, a rotation of a known one, or nothing new.
    fn found(&mut self, input: usize, path: &Path) {
        if let Err(error) = self.try_found(input, path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(path = %path.display(), "cannot follow a file: {error}; hint: drave needs the right to read it");
        }
    }

    fn try_found(&mut self, input: usize, path: &Path) -> io::Result<()> {
        let real = fs::canonicalize(path)?;
        let meta = fs::metadata(&real)?;
        if !meta.is_file() || self.is_own(path, &real, &meta) || self.is_too_old(input, &meta) {
            return Ok(());
        }
        if let Some(id) = self.by_identity.get(&(input, meta.dev(), meta.ino())).copied() {
            self.named_again(id, input, &real);
            return Ok(());
        }
        match self.by_path.get(&(input, real.clone())).copied() {
            Some(id) => self.rotated(id),
            None if self.is_read_as_rotation(input, path) => {}
            None => self.open_chain(input, path, &real),
        }
        Ok(())
    }

    /// A rotated file that the glob takes too is read with the file that it was.
    fn is_read_as_rotation(&mut self, input: usize, path: &Path) -> bool {
        let is_live = |p: &PathBuf| {
            self.by_path.contains_key(&(input, p.clone())) || self.inputs[input].patterns.takes(p) && p.is_file()
        };
        let live = rotation::live_of(path).into_iter().find(is_live);
        live.inspect(|live| self.found(input, live)).is_some()
    }

    /// drave's own log: reading it would make it grow by reading it.
    fn is_own(&self, path: &Path, real: &Path, meta: &fs::Metadata) -> bool {
        let own = &self.context.own;
        let text = real.to_string_lossy();
        let in_pod = own.pod_uid.as_deref().is_some_and(|uid| text.contains(uid));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let by_name = own.pod_name.as_deref().is_some_and(|pod| name.starts_with(&format!("{pod}_")));
        in_pod || by_name || own.files.contains(&(meta.dev(), meta.ino()))
    }

    fn is_too_old(&self, input: usize, meta: &fs::Metadata) -> bool {
        let limit = self.inputs[input].options.ignore_older.0;
        let age = meta.modified().ok().and_then(|m| SystemTime::now().duration_since(m).ok());
        !limit.is_zero() && age.is_some_and(|age| age > limit)
    }

    /// A file that is followed has a name (again) that is asked for: kubelet renames back when a reopen fails.
    fn named_again(&mut self, id: u64, input: usize, real: &Path) {
        if let Some(chain) = self.chains.get_mut(&id)
            && chain.real == real
            && let Some(file) = chain.files.back_mut()
        {
            file.gone = None;
            chain.name_gone = false;
        }
        self.by_path.entry((input, real.to_path_buf())).or_insert(id);
    }

    /// Does the newest file of the chain still have its name?
    fn recheck(&mut self, id: u64) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let (input, link) = (chain.input, chain.link.clone());
        let now = Instant::now();
        match fs::metadata(&link) {
            Ok(meta) => {
                let current = chain.current().map(|f| (f.device, f.inode));
                if current == Some((meta.dev(), meta.ino())) {
                    chain.name_gone = false;
                    if let Some(file) = chain.files.back_mut() {
                        file.gone = None;
                    }
                } else {
                    self.found_in_place(id, input, &link);
                }
            }
            Err(_) => {
                chain.name_gone = true;
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
    fn rotated(&mut self, id: u64) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let (input, real) = (chain.input, chain.real.clone());
        let since = chain.current().map(TailFile::modified_at);
        let now = Instant::now();
        chain.files.iter_mut().for_each(|f| _ = f.gone.get_or_insert(now));
        let siblings = self.siblings(&real);
        // Its name is free, another one will come: the directory event says so.
        if siblings.last().is_none_or(|s| s.path != real) {
            return;
        }
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let old_names = chain.follow_names(&siblings);
        let positions = chain.finished.iter().cloned().chain(chain.files.iter().map(position_of)).collect();
        self.remove_rows(input, &old_names);
        let is_wanted = |s: &Sibling| since.zip(s.modified).is_none_or(|(since, at)| at > since);
        for resume in continuation(siblings, positions, &real, is_wanted).files {
            if self.chains.get(&id).is_some_and(|c| !c.has(&resume.sibling)) {
                self.append(id, input, resume);
            }
        }
    }

    /// The chain of a file as it is on disk, oldest first. While all folders are scanned each is listed once: thousands of files
    /// can be in one.
    fn siblings(&mut self, real: &Path) -> Vec<Sibling> {
        let Some(folder) = real.parent() else { return Vec::new() };
        let rotated = match &mut self.listings {
            Some(listings) => {
                let names = listings.entry(folder.to_path_buf()).or_insert_with(|| rotation::names_in(folder));
                rotation::rotated(real, names)
            }
            None => rotation::rotated(real, &rotation::names_in(folder)),
        };
        open_siblings(rotated.into_iter().chain([real.to_path_buf()]))
    }

    fn open_chain(&mut self, input: usize, path: &Path, real: &Path) {
        let Some(source) = self.context.pipe.open(draft(&self.inputs[input], path, real)) else { return };
        let mut positions = self.known[input].take(real);
        let mut siblings = self.siblings(real);
        siblings.retain(|s| s.path == real || !self.by_identity.contains_key(&(input, s.device, s.inode)));
        positions.extend(self.known[input].take_over(&siblings, path, real));
        let is_known = !positions.is_empty();
        let found = continuation(siblings, positions, real, |s| self.is_wanted(input, s, path));
        self.next_id += 1;
        let id = self.next_id;
        let chain = Chain {
            input,
            source,
            joiner: Joiner::new(self.inputs[input].joined_bytes_max),
            files: VecDeque::new(),
            link: path.to_path_buf(),
            real: real.to_path_buf(),
            queued: false,
            name_gone: false,
            last_time_ns: 0,
            finished: found.finished.into_iter().collect(),
        };
        self.chains.insert(id, chain);
        self.by_path.insert((input, path.to_path_buf()), id);
        self.by_path.insert((input, real.to_path_buf()), id);
        if let Some(folder) = real.parent() {
            self.watcher.watch(folder);
            *self.chains_in.entry(folder.to_path_buf()).or_default() += 1;
        }
        self.remove_rows(input, &found.moved);
        self.count_vanished(input, &found.vanished);
        for mut resume in found.files {
            if !is_known && self.begins_at_the_end(input, &resume.sibling) {
                resume.offset = self.end_of(input, &resume);
            }
            self.append(id, input, resume);
        }
        tracing::debug!(path = %path.display(), "following");
    }

    /// Of a chain without positions the current file is read, and of its rotated files what was written since the agent before
    /// was alive, and what the glob takes by itself.
    fn is_wanted(&self, input: usize, sibling: &Sibling, path: &Path) -> bool {
        let named = sibling.path.file_name().map(|name| path.with_file_name(name));
        if named.is_some_and(|named| self.inputs[input].patterns.takes(&named) && named.is_file()) {
            return true;
        }
        let known = &self.known[input];
        let since = match (self.started, known.first_start) {
            (true, _) => Some(self.start_time),
            (false, true) => return false,
            (false, false) => known.last_alive,
        };
        since.zip(sibling.modified).is_none_or(|(since, at)| at >= since)
    }

    /// `read_from_head off` holds for files that are there when drave starts for the first time; not for those that were made
    /// after a run that found none. It holds for files that are found later too where the section says so.
    fn begins_at_the_end(&self, input: usize, sibling: &Sibling) -> bool {
        let (known, options) = (&self.known[input], &self.inputs[input].options);
        let made = sibling.file.metadata().and_then(|m| m.created()).ok();
        let is_new = known.last_alive.zip(made).is_some_and(|(alive, made)| made > alive);
        let is_open = match self.started {
            true => !options.read_newly_discovered_files_from_head,
            false => known.first_start && !is_new,
        };
        is_open
            && match options.read_from_head {
                ReadFromHead::On => false,
                ReadFromHead::Off => true,
                ReadFromHead::Auto => !is_young(sibling.modified, made),
            }
    }

    /// What Fluent Bit knew is in the chains; files that turn up later are new.
    pub(super) fn end_takeover(&mut self) {
        for (input, known) in self.known.iter_mut().enumerate() {
            let change = known.end_takeover(&self.inputs[input].name);
            self.changes.extend(change.map(|change| (input, change)));
        }
    }

    /// The end of the file, or the beginning of the line that is being written there.
    fn end_of(&self, input: usize, resume: &Resume) -> u64 {
        let end = end_of_lines(&resume.sibling.file).unwrap_or(0);
        self.context.pipe.skipped(self.inputs[input].number, end);
        end
    }

    /// A row that is still of use is put again, under the name and the inode that its file has now.
    fn remove_rows(&mut self, input: usize, positions: &[Position]) {
        let name = &self.inputs[input].name;
        let remove = |p: &Position| Change::Remove { input: name.clone(), path: p.path.clone(), inode: p.inode };
        self.changes.extend(positions.iter().map(|p| (input, remove(p))));
    }

    fn count_vanished(&mut self, input: usize, vanished: &[Position]) {
        self.remove_rows(input, vanished);
        for position in vanished {
            let open: u64 = position.open.iter().map(|(start, end)| end - start).sum();
            let lost = position.size.saturating_sub(position.settled) + open;
            if lost > 0 {
                let path = position.path.display();
                tracing::error!(%path, lost_bytes = lost, "a file vanished while drave was down, before it was read to its end");
                self.context.pipe.lost(self.inputs[input].number, LostReason::GoneBeforeRead, lost);
            }
        }
    }

    /// Files of which neither a rotation nor a copy nor their folder is left.
    pub(super) fn forget_vanished(&mut self) {
        for input in 0..self.inputs.len() {
            let followed: Vec<&Path> =
                self.chains.values().filter(|c| c.input == input).map(|c| c.real.as_path()).collect();
            let is_there = |folder: &Path| followed.iter().any(|path| path.starts_with(folder));
            let vanished = self.known[input].take_vanished(is_there);
            self.count_vanished(input, &vanished);
        }
    }

    fn append(&mut self, id: u64, input: usize, resume: Resume) {
        self.next_id += 1;
        let Resume { sibling, offset, open } = resume;
        let (path, kept) = (sibling.path.clone(), strip_gz(&sibling.path));
        let opened = if sibling.gzip {
            TailFile::gzip(self.next_id, sibling.file, kept, offset, &sibling.head)
        } else {
            TailFile::plain(self.next_id, sibling.file, kept, offset)
        };
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => {
                tracing::error!(path = %path.display(), "cannot read a rotated file: {error}");
                self.context.pipe.lost(self.inputs[input].number, LostReason::Unreadable, 0);
                return;
            }
        };
        let Some(chain) = self.chains.get_mut(&id) else { return };
        if path != chain.real {
            file.gone.get_or_insert_with(Instant::now);
        }
        file.unread_since = file.has_unread().then(Instant::now);
        self.by_identity.insert((input, file.device, file.inode), id);
        chain.files.push_back(file);
        let index = chain.files.len() - 1;
        self.read_open_pieces(id, index, &path, &open);
        self.enqueue(id);
    }

    fn enqueue(&mut self, id: u64) {
        if let Some(chain) = self.chains.get_mut(&id)
            && !chain.queued
            && chain.next_unread().is_some()
        {
            chain.queued = true;
            self.queue.push_back(id);
        }
    }

    /// Takes pieces in again whose record had no end when drave stopped.
    fn read_open_pieces(&mut self, id: u64, index: usize, path: &Path, ranges: &[(u64, u64)]) {
        for (start, end) in ranges {
            let Some(chain) = self.chains.get_mut(&id) else { return };
            let settings = &self.inputs[chain.input];
            self.batch.reset(&chain.source, key_names(settings));
            let file = &chain.files[index];
            let read = read_range(path, *start, end - start, &mut self.batch.text);
            if let Err(error) = read {
                tracing::error!(path = %file.path.display(), "cannot read an open record again: {error}");
                self.context.pipe.lost(settings.number, LostReason::Unreadable, end - start);
                continue;
            }
            let now_ns = now_ns();
            let mut cutting =
                Cutting { settings, clock: &mut self.clock, joiner: &mut chain.joiner, offset: *start, now_ns };
            cutting.lines(&mut self.batch);
            self.context.pipe.push(&mut self.batch);
            let at = file.read;
            chain.files[index].progress.push(self.batch.ticket.clone(), at);
            chain.note_pieces(index);
        }
    }

    /// Lets go of files that have come to their end, and of the chain when it was the last.
    pub(super) fn end_files(&mut self, id: u64, now: Instant) {
        let Some(chain) = self.chains.get(&id) else { return };
        let wait = self.inputs[chain.input].options.rotate_wait.0;
        let over: Vec<usize> = (0..chain.files.len()).filter(|i| chain.is_over(*i, wait, now)).collect();
        for index in over {
            let Some(chain) = self.chains.get(&id) else { return };
            let is_last = index + 1 == chain.files.len();
            self.flush_half_line(id, index, true);
            if is_last {
                self.flush_joiner(id);
            }
            self.close(id, index);
        }
        self.forget_settled(id);
    }

    fn close(&mut self, id: u64, index: usize) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let file = &mut chain.files[index];
        file.content = super::file::Content::Closed;
        file.progress.dirty = true;
        self.by_identity.remove(&(chain.input, file.device, file.inode));
    }

    /// Closed files whose every record is settled leave the chain; their rows stay only as long as they are of use.
    fn forget_settled(&mut self, id: u64) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let input = chain.input;
        let name = &self.inputs[input].name;
        let (mut rows, mut done) = (Vec::new(), Vec::new());
        super::positions::changes(chain, name, &mut rows);
        while chain
            .files
            .front()
            .is_some_and(|f| f.is_closed() && f.progress.is_settled() && f.progress.open.is_empty())
        {
            let Some(file) = chain.files.pop_front() else { break };
            chain.finished.push(Position { finished: true, ..position_of(&file) });
            // The newest finished file tells a restart where the chain goes on, by its compressed copy if it is deleted.
            let keep = usize::from(!file.is_deleted() || !chain.files.is_empty());
            let end = chain.finished.len() - keep;
            done.extend(chain.finished.drain(..end));
        }
        // A row may have passed to a new file that got the inode.
        done.retain(|p| !chain.files.iter().any(|f| f.inode == p.inode && f.path == p.path));
        self.changes.extend(rows.into_iter().map(|row| (input, row)));
        self.remove_rows(input, &done);
        self.forget_if_empty(id);
    }

    /// The chain goes with its name; a link whose file is away keeps it, because only the link says what may come back.
    fn forget_if_empty(&mut self, id: u64) {
        let leads_elsewhere = |c: &Chain| match fs::canonicalize(&c.link) {
            Ok(real) => real != c.real,
            Err(_) => c.link.symlink_metadata().is_err(),
        };
        if self.chains.get(&id).is_some_and(|c| c.files.is_empty() && leads_elsewhere(c)) {
            self.forget_chain(id);
        }
    }

    fn forget_chain(&mut self, id: u64) {
        let Some(chain) = self.chains.remove(&id) else { return };
        self.by_path.retain(|_, chain| *chain != id);
        // Another file of that name may follow: what is read of this chain is not read again.
        self.known[chain.input].give_back(chain.finished);
        let folder = chain.real.parent().unwrap_or(Path::new("/")).to_path_buf();
        let left = self.chains_in.get(&folder).map_or(0, |count| count - 1);
        if left > 0 {
            self.chains_in.insert(folder, left);
        } else {
            self.chains_in.remove(&folder);
            if !self.inputs.iter().any(|i| i.patterns.pass(&folder)) {
                self.watcher.unwatch(&folder);
            }
        }
        tracing::debug!(path = %chain.link.display(), "no longer followed");
    }

    /// Sends what stands behind the last line end; `mark` says that it is only a part of a line.
    pub(super) fn flush_half_line(&mut self, id: u64, index: usize, mark: bool) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let settings = &self.inputs[chain.input];
        let file = &mut chain.files[index];
        self.batch.reset(&chain.source, key_names(settings));
        let got = file.fill(&mut self.batch.text, settings.line_bytes_max() + 1).unwrap_or(0);
        if got == 0 || file.skipping {
            return;
        }
        let now_ns = now_ns();
        let offset = file.read;
        let mut cutting = Cutting { settings, clock: &mut self.clock, joiner: &mut chain.joiner, offset, now_ns };
        let start = cutting.lines(&mut self.batch);
        let consumed = cutting.last_line(&mut self.batch, start..got, mark);
        self.hand_over(id, index, got, consumed);
    }

    /// Sends open records as they are, because nothing follows any more.
    pub(super) fn flush_joiner(&mut self, id: u64) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        if !chain.joiner.is_open() || chain.files.is_empty() {
            return;
        }
        self.batch.reset(&chain.source, key_names(&self.inputs[chain.input]));
        chain.joiner.flush(&mut self.batch);
        self.context.pipe.push(&mut self.batch);
        let index = chain.files.len() - 1;
        let end = chain.files[index].read;
        chain.files[index].progress.push(self.batch.ticket.clone(), end);
        chain.note_pieces(index);
    }
}

/// For `read_from_head auto`: neither made nor last written before that time. A copy of an old file is new, and what it holds old.
fn is_young(modified: Option<SystemTime>, made: Option<SystemTime>) -> bool {
    let age = |time: SystemTime| SystemTime::now().duration_since(time).unwrap_or_default();
    modified.into_iter().chain(made).all(|time| age(time) < YOUNG)
}

/// The files of a chain; what cannot be opened is said and left out.
fn open_siblings(paths: impl Iterator<Item = PathBuf>) -> Vec<Sibling> {
    let open = |path: PathBuf| match Sibling::open(&path) {
        Ok(sibling) => sibling,
        Err(error) => {
            tracing::error!(path = %path.display(), "cannot open a file: {error}; hint: drave needs the right to read it");
            None
        }
    };
    paths.filter_map(open).collect()
}

/// What is known of a file before the filters have seen it.
fn draft(settings: &Settings, path: &Path, real: &Path) -> SourceDraft {
    let text = path.to_string_lossy().into_owned();
    let real = real.to_string_lossy().into_owned();
    let mut draft = SourceDraft {
        input: settings.number,
        tag: settings.tagging.of(&text),
        namespace: namespace(&real),
        text_key: settings.options.key.clone(),
        offset_key: settings.options.offset_key.clone(),
        path: Some(text.clone()),
        real_path: Some(real),
        shared: Vec::new(),
    };
    if let Some(key) = &settings.options.path_key {
        draft.share(key, serde_json::Value::String(text), false);
    }
    draft
}

/// `…/pods/NAMESPACE_POD_UID/CONTAINER/N.log` → the namespace.
fn namespace(real: &str) -> Option<String> {
    let (_, rest) = real.rsplit_once("/pods/")?;
    Some(rest.split_once('_')?.0.to_owned())
}
