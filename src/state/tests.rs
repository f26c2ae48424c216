//! Each bad state of a disk, with the real SQLite; what must be seen from inside. What a process does to another is in `tests/state.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ffi};
use tempfile::TempDir;

use super::*;

fn position(path: &str, inode: u64, settled: u64) -> Position {
    Position {
        path: PathBuf::from(path),
        device: u64::MAX,
        inode,
        fingerprint: Fingerprint { len: 1024, hash: u64::MAX - inode },
        settled,
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

/// The retry that is due in 10 s is due now.
fn hurry(state: &State) {
    let mut keeper = state.keeper();
    keeper.retry_at = Instant::now();
    keeper.beat_at = Instant::now();
}

/// What another process would find: the rows on disk.
fn on_disk(folder: &Path) -> Vec<Position> {
    let copy = TempDir::new().unwrap();
    for name in ["drave.db", "drave.db-wal", "drave.v1.db", "drave.v1.db-wal"] {
        drop(fs::copy(folder.join(name), copy.path().join(name)));
    }
    State::open(Some(copy.path())).positions("tail")
}

fn names(folder: &Path, part: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|name| name.contains(part)).collect();
    names.sort();
    names
}

#[test]
fn positions_survive() {
    let folder = TempDir::new().unwrap();
    let state = State::open(Some(folder.path()));
    assert!(state.owned() && state.is_durable());
    assert_eq!(state.last_alive(), None);
    state.commit(vec![put("/a", 1, 7), put("/b", 2, 700)]).unwrap();
    state.commit(vec![put("/a", 1, 8), remove("/b", 2), put("/c", 3, u64::MAX)]).unwrap();
    let expect = vec![position("/a", 1, 8), position("/c", 3, u64::MAX)];
    assert_eq!(state.positions("tail"), expect);
    assert_eq!(on_disk(folder.path()), expect, "with a crash now");
    drop(state);
    let state = State::open(Some(folder.path()));
    assert_eq!(state.positions("tail"), expect);
    assert!(state.positions("tai").is_empty() && state.positions("tail2").is_empty());
    assert!(state.last_alive().unwrap().elapsed().unwrap() < Duration::from_secs(5));
}

#[test]
fn without_a_folder_in_memory() {
    let state = State::open(None);
    state.commit(vec![put("/a", 1, 7)]).unwrap();
    state.beat();
    assert_eq!(state.positions("tail"), [position("/a", 1, 7)]);
    assert!(state.owned() && !state.is_durable());
}
