//! A file is opened with its rotations: where reading begins, and what is read again first.

use super::chain::Chain;
use super::cut::{Cutting, key_names};
use super::file::{TailFile, end_of_lines, first_two};
use super::follow::{Follower, now_ns};
use super::rotation::{Resume, continuation, strip_gz};
use super::settings::{ReadFromHead, Settings};
use super::siblings::{Sibling, Siblings};
use crate::input::{FileEvent, LostReason};
use crate::parse::Joiner;
use crate::record::SourceDraft;
use crate::state::Position;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Files of this age are read from their beginning with `read_from_head auto`.
const YOUNG: Duration = Duration::from_secs(600);

impl Follower {
    /// Follows a file with its rotations. `real` is where `path` leads; it may be away while a rotation of it is there.
    pub(super) fn open_chain(&mut self, input: usize, path: &Path, real: &Path) -> io::Result<()> {
        let Some(source) = self.context.pipe.open(draft(&self.inputs[input], path, real)) else {
            self.count_left_out(input, real);
            return Ok(());
        };
        let folder = real.parent().unwrap_or(Path::new("/")).to_path_buf();
        // Before it is listed: of what is rotated meanwhile an event tells.
        self.watcher.watch(&folder);
        let mut siblings = self.siblings(real).inspect_err(|_| self.unwatch_if_unused(&folder))?;
        siblings.files.retain(|s| s.path == real || !self.by_identity.contains_key(&(input, s.device, s.inode)));
        let mut positions = self.positions(input, path, real, &mut siblings);
        let is_known = !positions.is_empty();
        let last_alive = self.known[input].last_alive;
        positions.retain(|position| !siblings.files.iter().any(|s| is_inode_again(s, position, last_alive)));
        let found = continuation(siblings.files, positions, real, |s| self.is_wanted(input, s, path));
        self.next_id += 1;
        let id = self.next_id;
        let asked = source.draft.multiline.clone();
        let multiline = self.multiline(input, asked.as_deref());
        let chain = Chain {
            input,
            source,
            joiner: Joiner::new(self.inputs[input].joined_bytes_max)
                .counted_in(&self.open_bytes)
                .with_traces(multiline.as_ref()),
            multiline: asked,
            files: VecDeque::new(),
            overwritten: Vec::new(),
            link: path.to_path_buf(),
            real: real.to_path_buf(),
            queued: false,
            last_time_ns: 0,
            finished: found.finished.into_iter().collect(),
            left_out: false,
        };
        self.chains.insert(id, chain);
        self.by_path.insert((input, path.to_path_buf()), id);
        self.by_path.insert((input, real.to_path_buf()), id);
        *self.chains_in.entry(folder).or_default() += 1;
        self.remove_rows(input, &found.moved);
        self.count_vanished(input, &found.vanished);
        let left_out = self.left_out.remove(&(input, real.to_path_buf()));
        for mut resume in found.files {
            // What was written while nobody wanted it is counted, and not read.
            if let Some(left_out) = left_out {
                if left_out.inode == resume.sibling.inode {
                    resume.offset = resume.offset.max(left_out.end);
                } else if !is_known && resume.sibling.path != real {
                    continue;
                }
            } else if !is_known && self.begins_at_the_end(input, &resume.sibling) {
                resume.offset = self.end_of(input, &resume);
            }
            self.append(id, input, resume);
        }
        tracing::debug!(path = %path.display(), "following");
        Ok(())
    }

    /// What is known of a chain: by drave, by an input that had another name, by Fluent Bit. A file that got another name is added
    /// to the siblings.
    fn positions(&mut self, input: usize, path: &Path, real: &Path, siblings: &mut Siblings) -> Vec<Position> {
        let known = &mut self.known[input];
        let positions = known.take(real, &siblings.files);
        let (mut positions, denied) = positions.into_iter().partition::<Vec<_>, _>(|p| !siblings.is_denied(p));
        known.put_back(denied);
        if positions.is_empty() {
            for (other, position) in known.take_of_others(real, &siblings.files) {
                tracing::info!(path = %real.display(), "goes on where the input `{other}` was, which is not there any more");
                positions.push(position);
            }
        }
        if positions.is_empty() {
            return self.known[input].take_over(&siblings.files, path, real);
        }
        let names = self.names_beside(real);
        positions.retain(|position| {
            let Some(renamed) = siblings.renamed(position, real, &names) else { return true };
            // Where it is followed under its own name it is found there.
            let own = renamed.path.file_name().map(|name| path.with_file_name(name));
            let is_own = own.is_some_and(|own| self.inputs[input].patterns.takes(&own) && own.is_file());
            match is_own {
                true => self.known[input].put_back(vec![position.clone()]),
                false => siblings.insert(renamed, real),
            }
            !is_own
        });
        positions
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
        let charset = self.inputs[input].charset.of_file(first_two(&resume.sibling.head));
        let end = end_of_lines(&resume.sibling.file, charset).unwrap_or(0);
        self.context.pipe.skipped(self.inputs[input].number, end);
        end
    }

    fn append(&mut self, id: u64, input: usize, resume: Resume) {
        let end = self.chains.get(&id).map_or(0, |chain| chain.files.len());
        self.insert(id, input, end, resume);
    }

    /// Adds a file to its chain, before the one that stands there.
    pub(super) fn insert(&mut self, id: u64, input: usize, index: usize, resume: Resume) {
        self.next_id += 1;
        let Resume { sibling, offset, size, open } = resume;
        let (path, kept) = (sibling.path.clone(), strip_gz(&sibling.path));
        let opened = if sibling.gzip {
            TailFile::gzip(self.next_id, sibling.file, kept, (offset, size), &sibling.head)
        } else {
            TailFile::plain(self.next_id, sibling.file, kept, offset)
        };
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => {
                let lost = size.saturating_sub(offset) + open.iter().map(|(start, end)| end - start).sum::<u64>();
                tracing::error!(path = %path.display(), lost_bytes = lost, "cannot read a rotated file: {error}");
                self.context.pipe.lost(self.inputs[input].number, LostReason::Unreadable, lost);
                return;
            }
        };
        let Some(chain) = self.chains.get_mut(&id) else { return };
        if path != chain.real {
            file.gone.get_or_insert_with(Instant::now);
        }
        file.unread_since = file.has_unread().then(Instant::now);
        self.by_identity.insert((input, file.device, file.inode), id);
        chain.files.insert(index, file);
        self.context.pipe.file(self.inputs[input].number, FileEvent::Opened);
        self.read_open_pieces(id, index, &open);
        self.enqueue(id);
    }

    fn enqueue(&mut self, id: u64) {
        if let Some(chain) = self.chains.get_mut(&id)
            && !chain.queued
            && chain.has_work()
        {
            chain.queued = true;
            self.queue.push_back(id);
        }
    }

    /// Takes pieces in again whose record had no end when drave stopped; later where filters do not know yet what joins them.
    pub(super) fn read_open_pieces(&mut self, id: u64, index: usize, ranges: &[(u64, u64)]) {
        if let Some(chain) = self.chains.get_mut(&id).filter(|chain| chain.source.waits) {
            chain.files[index].progress.put_off(ranges);
            return;
        }
        let mut ranges = ranges.to_vec();
        // The lines of a trace are noted when they are whole, their pieces before.
        ranges.sort_unstable();
        for (start, end) in &ranges {
            let Some(chain) = self.chains.get_mut(&id) else { return };
            let settings = &self.inputs[chain.input];
            self.batch.reset(&chain.source, key_names(settings));
            let file = &mut chain.files[index];
            let read = file.read_again(*start, end - start, &mut self.batch.text);
            if let Err(error) = read {
                tracing::error!(path = %file.path.display(), "cannot read an open record again: {error}");
                self.context.pipe.lost(settings.number, LostReason::Unreadable, end - start);
                continue;
            }
            let (charset, now_ns) = (settings.charset.of_file(file.first), now_ns());
            let (clock, joiner) = (&mut self.clock, &mut chain.joiner);
            let mut cutting = Cutting { settings, charset, clock, joiner, offset: *start, now_ns };
            let whole = self.batch.text.len();
            let lines = cutting.lines(&mut self.batch);
            // The last piece of a file may have no line end.
            cutting.last_line(&mut self.batch, lines..whole, false);
            self.batch.reading = file.reading(now_ns);
            self.context.pipe.push(&mut self.batch);
            let at = file.read;
            chain.files[index].progress.push(self.batch.ticket.clone(), at);
            chain.note_pieces(index);
        }
    }
}

/// A file that was empty is known by its inode alone. One with that inode that was made since the agent before was alive is another
/// file: what comes before it in the chain was not read.
fn is_inode_again(sibling: &Sibling, position: &Position, last_alive: Option<SystemTime>) -> bool {
    let made = || sibling.file.metadata().and_then(|meta| meta.created()).ok();
    position.fingerprint.len == 0
        && (sibling.device, sibling.inode) == (position.device, position.inode)
        && made().zip(last_alive).is_some_and(|(made, last_alive)| made > last_alive)
}

/// For `read_from_head auto`: neither made nor last written before that time. A copy of an old file is new, and what it holds old.
fn is_young(modified: Option<SystemTime>, made: Option<SystemTime>) -> bool {
    let age = |time: SystemTime| SystemTime::now().duration_since(time).unwrap_or_default();
    modified.into_iter().chain(made).all(|time| age(time) < YOUNG)
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
        is_bare: settings.records_are_bare(),
        path: Some(text.clone()),
        real_path: Some(real),
        ..SourceDraft::default()
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
