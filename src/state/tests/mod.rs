//! Each bad state of a disk, with the real SQLite, and what must be seen from inside. What processes do to each other
//! is in `tests/state.rs`.

mod damage;
mod disk;
mod owners;
mod survival;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

fn position(path: &str, inode: u64, settled: u64) -> Position {
    Position {
        path: PathBuf::from(path),
        device: u64::MAX,
        inode,
        fingerprint: Fingerprint { len: 1024, hash: u64::MAX - inode },
        settled,
        size: settled.saturating_add(7),
        open: if settled > 10 { vec![(1, 2), (5, settled)] } else { Vec::new() },
        finished: inode.is_multiple_of(2),
    }
}

fn put(path: &str, inode: u64, settled: u64) -> Change {
    Change::Put { input: "tail".into(), position: position(path, inode, settled) }
}

fn remove(path: &str, inode: u64) -> Change {
    Change::Remove { input: "tail".into(), path: path.into(), inode }
}

fn open(folder: &Path) -> State {
    State::open(Some(folder))
}

/// The retry and the beat that are due in 10 s are due now.
fn hurry(state: &State) {
    let mut keeper = state.keeper();
    keeper.retry_at = Instant::now();
    keeper.beat_at = Instant::now();
}

/// The files of the folder as a crash would leave them now.
fn crashed(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for name in ["drave.db", "drave.db-wal", "drave.v1.db", "drave.v1.db-wal"] {
        drop(fs::copy(folder.join(name), copy.path().join(name)));
    }
    copy
}

/// What the next owner would find after a crash now.
fn on_disk(folder: &Path) -> Vec<Position> {
    open(crashed(folder).path()).positions("tail")
}

/// The files whose names contain `part`.
fn names(folder: &Path, part: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|name| name.contains(part)).collect();
    names.sort();
    names
}

/// What `work` says in the log, from warnings on.
fn said(work: impl FnOnce()) -> Vec<String> {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = log.0.lock().unwrap();
    String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
}
