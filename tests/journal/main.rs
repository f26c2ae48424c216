//! The systemd journal: files by `systemd-journal-remote`, with `journalctl` as the second opinion.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod agent;
mod damage;
mod forms;
mod journald;
#[path = "../support/mod.rs"]
mod support;

use drave::input::systemd::journal::{Read, Storage, read_all};
use std::io;
use std::sync::Arc;
use support::journal::{Entry, Shown};

/// As the input shows it.
fn shown(read: &Read) -> Shown {
    let mut fields: Vec<Vec<u8>> = read.fields.iter().filter(|f| !f.starts_with(b"_BOOT_ID=")).cloned().collect();
    fields.sort();
    Shown { cursor: read.cursor.to_string(), fields }
}

/// A file as damage leaves it: cut, or with some bytes that are others.
#[derive(Clone)]
struct Damaged {
    bytes: Arc<Vec<u8>>,
    len: usize,
    patch: Option<(usize, [u8; 8])>,
}

impl Damaged {
    /// The word at a place, which another one may stand for.
    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    fn with(&self, at: usize, word: u64) -> Self {
        Self { patch: Some((at, word.to_le_bytes())), ..self.clone() }
    }

    fn none(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), bytes: Arc::new(bytes), patch: None }
    }
}

impl Storage for Damaged {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = offset as usize;
        let there = self.bytes[..self.len].get(offset..).unwrap_or_default();
        let read = there.len().min(buffer.len());
        buffer[..read].copy_from_slice(&there[..read]);
        if let Some((at, bytes)) = self.patch {
            for (place, byte) in (at..).zip(bytes).filter(|(place, _)| (offset..offset + read).contains(place)) {
                buffer[place - offset] = byte;
            }
        }
        Ok(read)
    }
}

/// All that is sound in a file, and how much is not.
fn read(file: &Damaged) -> (Vec<Shown>, u64) {
    match read_all(Box::new(file.clone())) {
        Ok((entries, damaged)) => (entries.iter().map(shown).collect(), damaged),
        Err(_) => (Vec::new(), 1),
    }
}

const UNITS: [&str; 4] = ["kubelet.service", "containerd.service", "sshd@3-10.0.0.1.service", ""];

/// Entries with all that a journal may hold: long texts, bytes that are no text, fields that are given twice.
fn entries(count: u64) -> Vec<Entry> {
    let one = |n: u64| {
        let entry = Entry::of(n, UNITS[n as usize % UNITS.len()])
            .field("_HOSTNAME", "node-1")
            .field("_PID", (n / 7).to_string());
        match n % 10 {
            1 => entry.field("LONG", format!("{n} {}", "a long text ".repeat(20 * n as usize % 300))),
            3 => entry.field("BYTES", [0, 255, b'\n', 128, n as u8]),
            5 => entry.field("TAGS", "a").field("TAGS", "b").field("TAGS", n.to_string()),
            7 => entry.field("TWICE", "same").field("TWICE", "same").field("EMPTY", ""),
            _ => entry,
        }
    };
    (0..count).map(one).collect()
}
