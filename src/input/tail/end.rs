//! Files and chains end: what is left of them is sent, and they are let go when all of it is settled.

use super::chain::{Chain, position_of};
use super::cut::{self, Cutting, LINE_END_BYTES_MAX, key_names};
use super::file::{Content, end_of_lines, first_two, head};
use super::follow::{Follower, now_ns};
use super::read::give_up;
use super::settings::Settings;
use crate::input::FileEvent;
use crate::parse::{Joiner, LineFormat};
use crate::record::{Batch, Ticket};
use crate::state::Position;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Names of files that nobody wants up to which those that are gone are not looked for.
const LEFT_OUT_MIN: usize = 1024;

/// How much of a file that nobody wants is counted as skipped.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeftOut {
    pub(super) inode: u64,
    /// Behind its last line.
    pub(super) end: u64,
}

impl Follower {
    /// Lets go of files that have come to their end, and of the chain when it was the last.
    pub(super) fn end_files(&mut self, id: u64, now: Instant) {
        let Some(chain) = self.chains.get(&id) else { return };
        let wait = self.inputs[chain.input].options.rotate_wait.0;
        let over: Vec<usize> = (0..chain.files.len()).filter(|i| chain.is_over(*i, wait, now)).collect();
        if !over.is_empty() {
            self.read_put_off_at_last(id);
        }
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

    pub(super) fn close(&mut self, id: u64, index: usize) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let number = self.inputs[chain.input].number;
        let file = &mut chain.files[index];
        if let Some(error) = file.damage.take() {
            give_up(file, &error, &*self.context.pipe, number);
        }
        if !file.is_closed() {
            self.context.pipe.file(number, FileEvent::Closed);
        }
        file.content = Content::Closed;
        file.progress.dirty = true;
        self.by_identity.remove(&(chain.input, file.device, file.inode));
    }

    /// Closed files whose every record is settled leave the chain; their rows stay only as long as they are of use.
    fn forget_settled(&mut self, id: u64) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let input = chain.input;
        let name = &self.inputs[input].name;
        let (mut rows, mut done, mut is_readable) = (Vec::new(), Vec::new(), false);
        super::positions::changes(chain, name, &mut rows);
        while chain
            .files
            .front()
            .is_some_and(|f| f.is_closed() && f.progress.is_settled() && f.progress.open.is_empty())
            && chain.overwritten.is_empty()
        {
            let Some(file) = chain.files.pop_front() else { break };
            is_readable |= !file.unreadable;
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
        // Its name may lead to a file (again) that could not be told from this one as long as this one was kept.
        if is_readable && self.chains.get(&id).is_some_and(|c| c.files.is_empty()) {
            self.recheck(id);
        } else {
            self.forget_if_empty(id);
        }
    }

    /// The chain goes with its name; a link whose file is away keeps it, because only the link says what may come back.
    pub(super) fn forget_if_empty(&mut self, id: u64) {
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
        let names: Vec<(usize, PathBuf)> =
            self.by_path.extract_if(|_, chain| *chain == id).map(|(key, _)| key).collect();
        // Another file of that name may follow: what is read of this chain is not read again.
        self.known[chain.input].give_back(chain.finished);
        let folder = chain.real.parent().unwrap_or(Path::new("/")).to_path_buf();
        let left = self.chains_in.get(&folder).map_or(0, |count| count - 1);
        if left > 0 {
            self.chains_in.insert(folder, left);
        } else {
            self.chains_in.remove(&folder);
            self.unwatch_if_unused(&folder);
        }
        tracing::debug!(path = %chain.link.display(), "no longer followed");
        // It may have got another name that is asked for.
        for (input, path) in names.into_iter().filter(|(_, path)| *path != chain.link && *path != chain.real) {
            if self.inputs[input].patterns.takes(&path) {
                self.found(input, &path);
            }
        }
    }

    /// Nothing more of a chain is wanted: what was not read of it is counted. It stays until what was read is settled; who is killed
    /// before that goes on there, should it be wanted again.
    pub(super) fn leave_out(&mut self, id: u64) {
        self.flush_joiner(id);
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let (input, real) = (chain.input, chain.real.clone());
        let settings = &self.inputs[input];
        let mut unread = chain.drop_put_off();
        for file in &mut chain.files {
            let charset = settings.charset.of_file(file.first);
            let end = match &file.content {
                Content::Plain(plain) => end_of_lines(plain, charset).unwrap_or(file.read),
                Content::Gzip { .. } => file.known_size(),
                Content::Closed => file.read,
            };
            let end = end.max(file.read);
            unread += end - file.read;
            file.read = end;
            file.progress.push(Ticket::default(), end);
        }
        chain.left_out = true;
        let current = chain.current().map(|file| LeftOut { inode: file.inode, end: file.read });
        self.context.pipe.skipped(settings.number, unread);
        if let Some(current) = current {
            self.remember_left_out((input, real), current);
        }
        self.forget_left_out();
    }

    /// Lets go of chains of which nothing more is wanted, and what was read is settled.
    pub(super) fn forget_left_out(&mut self) {
        let mut over = Vec::new();
        for (id, chain) in self.chains.iter_mut().filter(|(_, chain)| chain.left_out) {
            chain.sweep();
            over.extend(chain.is_settled().then_some(*id));
        }
        for id in over {
            let Some(chain) = self.chains.get_mut(&id) else { continue };
            let (input, mut rows) = (chain.input, Vec::new());
            super::positions::changes(chain, &self.inputs[input].name, &mut rows);
            for file in chain.files.drain(..) {
                self.by_identity.remove(&(input, file.device, file.inode));
                chain.finished.push(position_of(&file));
            }
            self.changes.extend(rows.into_iter().map(|row| (input, row)));
            self.forget_chain(id);
        }
    }

    /// Counts what nobody wants of a file. Each scan finds it again, and counts what was added.
    pub(super) fn count_left_out(&mut self, input: usize, real: &Path) {
        let Ok((file, meta)) = File::open(real).and_then(|file| file.metadata().map(|meta| (file, meta))) else {
            return;
        };
        let settings = &self.inputs[input];
        let charset = settings.charset.of_file(head(&file).ok().as_deref().and_then(first_two));
        let end = end_of_lines(&file, charset).unwrap_or(0);
        let key = (input, real.to_path_buf());
        let known = self.left_out.get(&key).filter(|known| known.inode == meta.ino() && known.end <= end);
        let before = known.map_or(0, |known| known.end);
        if known.is_none() || before < end {
            self.context.pipe.skipped(settings.number, end - before);
        }
        self.remember_left_out(key, LeftOut { inode: meta.ino(), end });
    }

    fn remember_left_out(&mut self, key: (usize, PathBuf), left_out: LeftOut) {
        let names = self.left_out.len();
        // Twice as many as at the last look: it costs a look at each.
        if names >= LEFT_OUT_MIN && names.is_power_of_two() && !self.left_out.contains_key(&key) {
            self.left_out.retain(|(_, path), _| path.exists());
        }
        self.left_out.insert(key, left_out);
    }

    pub(super) fn unwatch_if_unused(&mut self, folder: &Path) {
        if !self.chains_in.contains_key(folder) && !self.inputs.iter().any(|i| i.patterns.pass(folder)) {
            self.watcher.unwatch(folder);
        }
    }

    /// Sends what stands behind the last line end; `mark` says that it is only a part of a line.
    pub(super) fn flush_half_line(&mut self, id: u64, index: usize, mark: bool) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let settings = &self.inputs[chain.input];
        let file = &mut chain.files[index];
        self.batch.reset(&chain.source, key_names(settings));
        let got = match file.fill(&mut self.batch.text, settings.line_bytes_max() + LINE_END_BYTES_MAX) {
            Ok(got) => got,
            Err(error) => return give_up(file, &error, &*self.context.pipe, settings.number),
        };
        if file.skipping {
            // Nothing of its line is wanted any more: the position need not stay before it.
            file.skipping = !mark;
            file.progress.push(Ticket::default(), file.read);
            return;
        }
        if got == 0 {
            return;
        }
        let (charset, now_ns) = (settings.charset.of_file(file.first), now_ns());
        let (clock, joiner, offset) = (&mut self.clock, &mut chain.joiner, file.read);
        let mut cutting = Cutting { settings, charset, clock, joiner, offset, now_ns };
        let start = cutting.lines(&mut self.batch);
        let consumed = cutting.last_line(&mut self.batch, start..got, mark);
        self.batch.reading = file.reading(now_ns);
        self.hand_over(id, index, got, consumed);
    }

    /// `docker_mode_flush`: what is open goes when its files are read to their ends and have not grown for so long.
    pub(super) fn flush_quiet(&mut self) {
        let is_quiet = |chain: &Chain| {
            let settings = &self.inputs[chain.input];
            let wait = settings.options.docker_mode_flush.0;
            matches!(settings.format, LineFormat::DockerMode(_))
                && chain.joiner.is_open()
                && chain.next_unread().is_none()
                && chain.files.iter().all(|f| f.grown.elapsed() >= wait)
        };
        let quiet: Vec<u64> = self.chains.iter().filter(|(_, chain)| is_quiet(chain)).map(|(id, _)| *id).collect();
        quiet.into_iter().for_each(|id| self.flush_joiner(id));
    }

    /// Sends traces whose next line does not come. Not while there is more to read: it may be the next line.
    pub(super) fn flush_idle(&mut self, now: Instant) {
        let is_idle = |chain: &Chain| chain.joiner.has_idle(now) && chain.next_unread().is_none();
        let idle: Vec<u64> = self.chains.iter().filter(|(_, chain)| is_idle(chain)).map(|(id, _)| *id).collect();
        for id in idle {
            self.flush(id, |_, joiner, batch| joiner.flush_idle(batch, now));
        }
    }

    /// Sends open records as they are, because nothing follows any more.
    pub(super) fn flush_joiner(&mut self, id: u64) {
        self.flush(id, cut::flush_joiner);
    }

    pub(super) fn flush(&mut self, id: u64, make_records: impl FnOnce(&Settings, &mut Joiner, &mut Batch)) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        if !chain.joiner.is_open() || chain.files.is_empty() {
            return;
        }
        let settings = &self.inputs[chain.input];
        self.batch.reset(&chain.source, key_names(settings));
        make_records(settings, &mut chain.joiner, &mut self.batch);
        let index = chain.files.len() - 1;
        self.batch.reading = chain.files[index].reading(0);
        self.context.pipe.push(&mut self.batch);
        let file = &mut chain.files[index];
        let end = if file.skipping { file.progress.read_to() } else { file.read };
        file.progress.push(self.batch.ticket.clone(), end);
        chain.note_pieces(index);
    }
}
