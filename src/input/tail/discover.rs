//! Which files there are: globs, the folders behind them, and the events of those folders.

use super::settings::TailOptions;
use crate::config::{Report, Section};
use crate::input::Wake;
use glob::{MatchOptions, Pattern};
use notify::event::EventKindMask;
use notify::{Config, Event, INotifyWatcher, RecursiveMode, Watcher as _};
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// As a shell matches: a star stops at a slash and does not find hidden files.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// What a section follows.
#[derive(Debug)]
pub(super) struct Patterns {
    paths: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

const GLOB: &str = "`*` is any text, `?` one character, `[ab]` one of these, `**` alone between slashes any folders; a `[` itself is `[[]`";

impl Patterns {
    pub(super) fn new(section: &Section, options: &TailOptions, report: &mut Report) -> Option<Self> {
        let mut read = |key: &str, texts: &[String]| {
            let read = |text: &String| {
                // An exclusion without a slash means the name alone.
                let whole = if key == "path" || text.contains('/') {
                    section.resolve(text).to_string_lossy().into_owned()
                } else {
                    text.clone()
                };
                let pattern = Pattern::new(&whole);
                if let Err(error) = &pattern {
                    let at = section.get(key).map(|e| &e.value_at);
                    report.error(at, format!("`{text}` in {key} is no glob: {}", error.msg), Some(GLOB.into()));
                }
                pattern.ok()
            };
            texts.iter().map(read).collect::<Option<Vec<_>>>()
        };
        let paths = read("path", &options.path.0);
        let exclude = read("exclude_path", &options.exclude_path.0);
        Some(Self { paths: paths?, exclude: exclude? })
    }

    /// Is this one of the files?
    pub(super) fn takes(&self, path: &Path) -> bool {
        self.paths.iter().any(|p| p.matches_path_with(path, MATCHING)) && !self.is_excluded(path)
    }

    fn is_excluded(&self, path: &Path) -> bool {
        // Rotated copies belong to their file; as such they are found by it.
        let compressed = path.extension().is_some_and(|e| e == "gz");
        let name = path.file_name().map(Path::new).unwrap_or(path);
        let matches = |p: &Pattern| {
            p.matches_path_with(path, MATCHING) || !p.as_str().contains('/') && p.matches_path_with(name, MATCHING)
        };
        compressed || self.exclude.iter().any(matches)
    }

    /// All files that are there now.
    pub(super) fn scan(&self) -> Vec<PathBuf> {
        let found = |p: &Pattern| glob::glob_with(p.as_str(), MATCHING).into_iter().flatten().flatten();
        self.paths.iter().flat_map(found).filter(|path| !self.is_excluded(path)).collect()
    }

    /// Can such a file be in this folder, or below?
    pub(super) fn pass(&self, folder: &Path) -> bool {
        let depth = folder.components().count();
        let way = |p: &Pattern| Path::new(p.as_str()).components().take(depth).collect::<PathBuf>();
        let passes =
            |way: PathBuf| Pattern::new(&way.to_string_lossy()).is_ok_and(|w| w.matches_path_with(folder, MATCHING));
        self.paths.iter().map(way).any(passes)
    }

    /// All folders in which such files can appear, or folders on the way to them; the deepest that is there where the
    /// way is not there yet.
    pub(super) fn folders(&self) -> HashSet<PathBuf> {
        let mut folders = HashSet::new();
        for pattern in &self.paths {
            let path = Path::new(pattern.as_str());
            let parts: Vec<Component<'_>> = path.components().collect();
            let first_glob = parts.iter().position(|p| is_glob(*p)).unwrap_or(parts.len()).min(parts.len() - 1);
            let fixed: PathBuf = parts[..first_glob].iter().collect();
            let there = fixed.ancestors().find(|a| a.is_dir());
            folders.extend(there.map(Path::to_path_buf));
            for depth in first_glob + 1..parts.len() {
                let level: PathBuf = parts[..depth].iter().collect();
                let found = glob::glob_with(&level.to_string_lossy(), MATCHING);
                folders.extend(found.into_iter().flatten().flatten().filter(|p| p.is_dir()));
            }
        }
        folders
    }
}

fn is_glob(part: Component<'_>) -> bool {
    part.as_os_str().to_string_lossy().contains(['*', '?', '['])
}

/// What the folders told.
pub(super) struct Events {
    /// Appeared, moved or went.
    pub(super) paths: Vec<PathBuf>,
    /// Those of them that were watched folders.
    pub(super) lost: Vec<PathBuf>,
    /// There was more than the kernel could keep.
    pub(super) missed: bool,
}

#[derive(Debug, Default)]
struct Seen {
    paths: HashSet<PathBuf>,
    missed: bool,
}

/// The events of folders: which paths appeared, moved or went. One inotify instance for all inputs.
pub(super) struct Watcher {
    inotify: Option<INotifyWatcher>,
    seen: Arc<Mutex<Seen>>,
    watched: HashSet<PathBuf>,
    /// Folders that cannot be watched: more watches than the kernel allows.
    unwatched: HashSet<PathBuf>,
}

impl Watcher {
    /// With `events` off nothing is watched, and the caller scans.
    pub(super) fn new(events: bool, wake: Arc<Wake>) -> Self {
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
        Self { inotify: made.and_then(Result::ok), seen, watched: HashSet::new(), unwatched: HashSet::new() }
    }

    /// Watches a folder, once; `true` when it is new.
    pub(super) fn watch(&mut self, folder: &Path) -> bool {
        let Some(inotify) = &mut self.inotify else { return false };
        if self.watched.contains(folder) {
            return false;
        }
        match inotify.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.unwatched.remove(folder);
                self.watched.insert(folder.to_path_buf())
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
    pub(super) fn unwatch(&mut self, folder: &Path) {
        self.unwatched.remove(folder);
        if self.watched.remove(folder)
            && let Some(inotify) = &mut self.inotify
        {
            // It may be gone already, and its watch with it.
            let _ = inotify.unwatch(folder);
        }
    }

    /// What happened since the last call.
    pub(super) fn take(&mut self) -> Events {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = std::mem::take(&mut seen.missed);
        let paths: Vec<PathBuf> = seen.paths.drain().collect();
        drop(seen);
        // A folder that went has lost its watch, even if it is there again.
        let lost: Vec<PathBuf> = paths.iter().filter(|path| self.watched.contains(*path)).cloned().collect();
        for folder in &lost {
            self.unwatch(folder);
            self.watch(folder);
        }
        Events { paths, lost, missed }
    }

    /// Must folders be scanned each second?
    pub(super) fn is_blind(&self) -> bool {
        self.inotify.is_none() || !self.unwatched.is_empty()
    }

    pub(super) fn unwatched(&self) -> u64 {
        self.unwatched.len() as u64
    }
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

    #[test]
    fn a_folder_is_on_the_way_of_a_glob_that_reaches_into_it() {
        let patterns =
            Patterns { paths: vec![Pattern::new("/var/*/logs/*.log").expect("a glob")], exclude: Vec::new() };
        let pass = |folder: &str| patterns.pass(Path::new(folder));
        assert!(pass("/var") && pass("/var/app") && pass("/var/app/logs"));
        assert!(!pass("/var/app/data") && !pass("/tmp") && !pass("/var/app/logs/deep/er"));
    }
}
