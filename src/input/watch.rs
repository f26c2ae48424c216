//! The events of folders: which files appeared, moved or went.

use super::Wake;
use notify::event::EventKindMask;
use notify::{Config, Event, INotifyWatcher, RecursiveMode, Watcher as _};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What the folders told.
pub(in crate::input) struct Events {
    /// Appeared, moved or went.
    pub(in crate::input) paths: Vec<PathBuf>,
    /// Those of them that were watched folders, as they were named.
    pub(in crate::input) lost: Vec<PathBuf>,
    /// There was more than the kernel could keep.
    pub(in crate::input) missed: bool,
}

#[derive(Debug, Default)]
struct Seen {
    paths: HashSet<PathBuf>,
    missed: bool,
}

/// The events of folders: which paths appeared, moved or went. One inotify instance for all inputs.
pub(in crate::input) struct Watcher {
    inotify: Option<INotifyWatcher>,
    seen: Arc<Mutex<Seen>>,
    /// Events name whole paths; whoever follows a relative one knows it by that.
    watched: HashMap<PathBuf, HashSet<PathBuf>>,
    /// Folders that cannot be watched: more watches than the kernel allows.
    unwatched: HashSet<PathBuf>,
}

impl Watcher {
    /// With `events` off nothing is watched, and the caller scans.
    pub(in crate::input) fn new(events: bool, wake: Arc<Wake>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let on_event = move |event: notify::Result<Event>| {
            let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Ok(event) => {
                    seen.missed |= event.need_rescan();
                    seen.paths.extend(event.paths);
                }
                Err(_) => seen.missed = true,
            }
            wake.wake();
        };
        // Writes and opens are left out: an event per line would cost more than the line.
        let kinds = EventKindMask::CREATE | EventKindMask::REMOVE | EventKindMask::MODIFY_NAME;
        let config = Config::default().with_event_kinds(kinds).with_follow_symlinks(false);
        let made = events.then(|| INotifyWatcher::new(on_event, config));
        if let Some(Err(error)) = &made {
            tracing::error!(
                "folders cannot be watched: {error}; they are scanned each second; hint: raise fs.inotify.max_user_instances"
            );
        }
        Self { inotify: made.and_then(Result::ok), seen, watched: HashMap::new(), unwatched: HashSet::new() }
    }

    /// Watches a folder, once; `true` when it is new. An empty name is the folder that the process runs in.
    pub(in crate::input) fn watch(&mut self, folder: &Path) -> bool {
        let Some(inotify) = &mut self.inotify else { return false };
        let whole = whole(folder);
        if let Some(names) = self.watched.get_mut(&whole) {
            return names.insert(folder.to_path_buf());
        }
        match inotify.watch(&whole, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.unwatched.remove(folder);
                self.watched.insert(whole, HashSet::from([folder.to_path_buf()]));
                true
            }
            Err(error) => {
                if folder.is_dir() && self.unwatched.insert(folder.to_path_buf()) {
                    let folder = folder.display();
                    tracing::error!(%folder, "a folder cannot be watched: {error}; it is scanned each second; hint: raise fs.inotify.max_user_watches");
                }
                false
            }
        }
    }

    /// Forgets a folder in which nothing is followed any more.
    pub(in crate::input) fn unwatch(&mut self, folder: &Path) {
        self.unwatched.remove(folder);
        let whole = whole(folder);
        let Some(names) = self.watched.get_mut(&whole) else { return };
        names.remove(folder);
        if names.is_empty() {
            self.watched.remove(&whole);
            if let Some(inotify) = &mut self.inotify {
                // It may be gone already, and its watch with it.
                let _ = inotify.unwatch(&whole);
            }
        }
    }

    /// The names under which a path is followed, beside its whole one.
    fn names(&self, path: &Path) -> Vec<PathBuf> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
        let names = self.watched.get(folder).into_iter().flatten();
        names.filter(|given| given.as_path() != folder).map(|given| given.join(name)).collect()
    }

    /// What happened since the last call.
    pub(in crate::input) fn take(&mut self) -> Events {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = std::mem::take(&mut seen.missed);
        let mut paths: Vec<PathBuf> = seen.paths.drain().collect();
        drop(seen);
        // A folder that went has lost its watch, even if it is there again.
        let lost: Vec<PathBuf> = paths.iter().filter_map(|path| self.watched.get(path)).flatten().cloned().collect();
        let names: Vec<PathBuf> = paths.iter().flat_map(|path| self.names(path)).collect();
        paths.extend(names);
        for folder in &lost {
            self.unwatch(folder);
            self.watch(folder);
        }
        Events { paths, lost, missed }
    }

    /// Must folders be scanned each second?
    pub(in crate::input) fn is_blind(&self) -> bool {
        self.inotify.is_none() || !self.unwatched.is_empty()
    }

    pub(in crate::input) fn unwatched(&self) -> u64 {
        self.unwatched.len() as u64
    }
}

fn whole(folder: &Path) -> PathBuf {
    let named = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::path::absolute(named).unwrap_or_else(|_| folder.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::Write;
    use std::time::{Duration, Instant};

    fn next(watcher: &mut Watcher, wake: &Wake) -> Vec<PathBuf> {
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            let paths = watcher.take().paths;
            if !paths.is_empty() {
                return paths;
            }
            wake.wait(Duration::from_millis(100));
        }
        Vec::new()
    }

    #[test]
    fn a_write_causes_no_event() {
        let folder = tempfile::tempdir().expect("a folder");
        let wake = Arc::new(Wake::default());
        let path = |name: &str| folder.path().join(name);
        let mut file = File::create(path("a")).expect("a file");
        let mut watcher = Watcher::new(true, Arc::clone(&wake));
        assert!(watcher.watch(folder.path()) && !watcher.is_blind());
        for _ in 0..10 {
            writeln!(file, "a line").expect("written");
            let opened_and_closed = fs::read(path("a")).expect("read");
            assert!(!opened_and_closed.is_empty());
        }
        drop(file);
        // Events come in order: the first one is that of the new file.
        fs::write(path("b"), "new").expect("written");
        assert_eq!(next(&mut watcher, &wake), [path("b")]);
        fs::rename(path("a"), path("c")).expect("renamed");
        let mut seen = next(&mut watcher, &wake);
        seen.sort();
        assert!(seen == [path("a"), path("c")] || seen == [path("a")], "{seen:?}");
    }
}
