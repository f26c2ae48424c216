//! The spool on a real disk, with every bad thing that a disk can do.

mod damage;
mod faults;
mod frames;
mod limits;
mod model;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::scan::{Scan, Step};
use super::segment::Kind;
use super::*;

const RECORDS: u64 = 2;

/// A frame of two records whose bytes hardly get smaller, and which can be told from all others.
fn frame(id: u64, len: usize) -> Frame {
    let mut word = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.extend((0..len).map(|_| {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (word >> 56) as u8
    }));
    let part = |input: &str| Part { input: input.into(), source: "kube.web".into(), pieces: 1 };
    let pieces = vec![Piece { end: 8, source_bytes: 100 }, Piece { end: bytes.len() as u32, source_bytes: 200 }];
    Frame { key: "key".into(), parts: vec![part("tail.0"), part("tail.1")], pieces, bytes }
}

fn id(frame: &Frame) -> u64 {
    u64::from_le_bytes(frame.bytes[..8].try_into().unwrap())
}

fn open(folder: &Path) -> Spool {
    Spool::open(folder, SpoolOptions { bytes_max: 1 << 30, sync: Sync::Normal }).unwrap()
}

/// With segments that are full after a few frames.
fn open_small(folder: &Path, segment_bytes: u64) -> Spool {
    let mut spool = open(folder);
    spool.log.set_segment_bytes(segment_bytes);
    spool
}

/// Appends frames with these numbers and syncs.
fn fill(spool: &mut Spool, ids: Range<u64>) {
    for id in ids {
        spool.append(&frame(id, 200).draft()).unwrap();
    }
    spool.sync().unwrap();
}

/// Reads all there is: sequence number and id.
fn read_all(spool: &mut Spool) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    while let Some(taken) = spool.read().unwrap() {
        assert_eq!(taken.frame, frame(id(&taken.frame), taken.frame.bytes.len() - 8));
        found.push((taken.sequence, id(&taken.frame)));
    }
    found
}

fn ids(spool: &mut Spool) -> Vec<u64> {
    read_all(spool).into_iter().map(|(_, id)| id).collect()
}

/// The segments' files, oldest first.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    files.sort();
    files
}

/// The frames of a file: where each is, and its id.
fn frames_of(bytes: &[u8]) -> Vec<(Range<usize>, u64)> {
    let (from, salt) = match Kind::read(bytes) {
        Kind::Ours(header) => (header.len, Some(header.salt)),
        _ => (0, None),
    };
    let mut scan = Scan::new(from, bytes.len() as u64, salt);
    let (mut found, mut begin) = (Vec::new(), from as usize);
    loop {
        match scan.step(&bytes).unwrap() {
            Step::Frame(head) => found.push((begin..scan.offset as usize, id(&scan.frame(&head).unwrap()))),
            Step::Skipped(..) => {}
            Step::End => return found,
        }
        begin = scan.offset as usize;
    }
}

/// A copy of a folder, as a crash would leave it now.
fn crashed(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}
