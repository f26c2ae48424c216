//! Files appear: from globs and the folders' events to paths, and which of them are new.

use super::follow::Follower;
use super::rotation;
use super::siblings::is_passing;
use crate::input::watch::Events;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

impl Follower {
    /// Looks for files in all folders, and whether those that are followed still have their names.
    pub(super) fn scan(&mut self) {
        self.listings = Some(HashMap::new());
        self.try_again = false;
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
            self.reopen_grown(id);
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
    pub(super) fn found(&mut self, input: usize, path: &Path) {
        if let Err(error) = self.try_found(input, path)
            && error.kind() != io::ErrorKind::NotFound
        {
            self.try_again |= is_passing(&error);
            tracing::error!(path = %path.display(), "cannot follow a file: {error}; hint: drave needs the right to read it");
        }
    }

    fn try_found(&mut self, input: usize, path: &Path) -> io::Result<()> {
        let real = fs::canonicalize(path)?;
        let meta = fs::metadata(&real)?;
        if !meta.is_file() || self.is_own(path, &real, &meta) || self.is_left_out(input, &real, &meta) {
            return Ok(());
        }
        if let Some(id) = self.by_identity.get(&(input, meta.dev(), meta.ino())).copied() {
            self.named_again(id, input, &real);
            return Ok(());
        }
        match self.by_path.get(&(input, real.clone())).copied() {
            Some(id) => self.rotated(id),
            None if self.is_read_as_rotation(input, path) => {}
            None => self.open_chain(input, path, &real)?,
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
        // Other namespaces may have a pod of that name. The UID says more, where it is known.
        let of_pod = |pod: &str| match &own.pod_namespace {
            Some(namespace) => name.starts_with(&format!("{pod}_{namespace}_")),
            None => name.starts_with(&format!("{pod}_")),
        };
        let by_name = own.pod_uid.is_none() && own.pod_name.as_deref().is_some_and(of_pod);
        in_pod || by_name || own.files.contains(&(meta.dev(), meta.ino()))
    }

    /// Of old files only those are opened of which something is not read yet.
    fn is_left_out(&self, input: usize, real: &Path, meta: &fs::Metadata) -> bool {
        let limit = self.inputs[input].options.ignore_older.0;
        let age = meta.modified().ok().and_then(|m| SystemTime::now().duration_since(m).ok());
        !limit.is_zero()
            && age.is_some_and(|age| age > limit)
            && !self.known[input].has_unread(real, meta.ino(), meta.len())
    }

    /// A file that is followed has a name (again) that is asked for: kubelet renames back when a reopen fails.
    fn named_again(&mut self, id: u64, input: usize, real: &Path) {
        if let Some(chain) = self.chains.get_mut(&id)
            && chain.real == real
            && let Some(file) = chain.files.back_mut()
        {
            file.gone = None;
        }
        self.by_path.entry((input, real.to_path_buf())).or_insert(id);
    }
}
