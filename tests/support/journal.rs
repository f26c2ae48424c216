//! Journal files, written by `systemd-journal-remote` from text and read back by `journalctl`.
//!
//! ```text
//! let Some(tools) = Tools::find() else { return };
//! let entries: Vec<Entry> = (0..9).map(|n| Entry::new(n).field("MESSAGE", "hello")).collect();
//! tools.write(&folder.join("system.journal"), &entries, Form::default());
//! ```

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::tools::tool;

/// Where the entries of the tests begin, in microseconds.
pub const START: u64 = 1_700_000_000_000_000;
pub const BOOT: &str = "0123456789abcdef0123456789abcdef";

/// An entry, a thousandth of a second after the one before.
#[derive(Debug, Clone)]
pub struct Entry {
    realtime: u64,
    monotonic: u64,
    fields: Vec<(String, Vec<u8>)>,
}

impl Entry {
    /// The `number`th.
    pub fn new(number: u64) -> Self {
        Self { realtime: START + number * 1000, monotonic: 1_000_000 + number * 1000, fields: Vec::new() }
    }

    /// The same at another time, in microseconds since 1970.
    pub fn at(self, realtime: u64) -> Self {
        Self { realtime, ..self }
    }

    /// With a unit, or none, and a message with its number.
    pub fn of(number: u64, unit: &str) -> Self {
        let entry = Self::new(number).field("MESSAGE", format!("message {number}")).field("PRIORITY", "6");
        if unit.is_empty() { entry } else { entry.field("_SYSTEMD_UNIT", unit) }
    }

    pub fn field(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((key.into(), value.as_ref().into()));
        self
    }

    /// In the export format.
    fn push(&self, out: &mut Vec<u8>) {
        write!(out, "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n", self.realtime, self.monotonic).unwrap();
        writeln!(out, "_BOOT_ID={BOOT}").unwrap();
        for (key, value) in &self.fields {
            out.extend_from_slice(key.as_bytes());
            if value.iter().any(|byte| *byte < b' ') {
                out.push(b'\n');
                out.extend_from_slice(&(value.len() as u64).to_le_bytes());
            } else {
                out.push(b'=');
            }
            out.extend_from_slice(value);
            out.push(b'\n');
        }
        out.push(b'\n');
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Form {
    pub compact: bool,
    pub keyed: bool,
    pub compressed: bool,
    pub sealed: bool,
}

/// What compresses a field, besides what the tools do themselves.
#[derive(Debug, Clone, Copy)]
pub enum Method {
    Xz,
    Lz4,
}

/// What `journalctl` shows of an entry: its cursor, and its fields in the order of their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub cursor: String,
    pub fields: Vec<Vec<u8>>,
}

pub struct Tools {
    writer: PathBuf,
    reader: PathBuf,
}

impl Tools {
    /// `None` where they are not installed: the test ends.
    pub fn find() -> Option<Self> {
        Some(Self { writer: tool("systemd-journal-remote")?, reader: tool("journalctl")? })
    }

    /// Writes entries to the end of a file, which is made where it is missing.
    pub fn write(&self, path: &Path, entries: &[Entry], form: Form) {
        self.run_writer(Command::new(&self.writer), path, entries, form);
    }

    /// The same with a key for sealing, in a name space of its own; `false` where the kernel does not let us.
    pub fn write_sealed(&self, path: &Path, entries: &[Entry], form: Form) -> bool {
        let mut command = Command::new("unshare");
        let script = "set -e; mount -t tmpfs tmpfs /var/log; mkdir -p /var/log/journal/$(cat /etc/machine-id); \
                      \"$1\" --setup-keys --force >/dev/null 2>&1; shift; exec \"$@\"";
        command.args(["-rm", "sh", "-c", script, "sh"]).arg(&self.reader).arg(&self.writer);
        self.run_writer(command, path, entries, Form { sealed: true, ..form });
        path.exists()
    }

    fn run_writer(&self, mut command: Command, path: &Path, entries: &[Entry], form: Form) {
        let switch = |on: bool| if on { "1" } else { "0" };
        command
            .env("SYSTEMD_JOURNAL_COMPACT", switch(form.compact))
            .env("SYSTEMD_JOURNAL_KEYED_HASH", switch(form.keyed));
        command.arg(format!("--compress={}", form.compressed)).arg(format!("--seal={}", form.sealed));
        command.arg("-o").arg(path).arg("-");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut text = Vec::new();
        entries.iter().for_each(|entry| entry.push(&mut text));
        // It may have ended already: its exit code says so.
        let _ = child.stdin.take().unwrap().write_all(&text);
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success() || form.sealed, "{}", String::from_utf8_lossy(&ended.stderr));
    }

    /// All entries of a file, or those that match.
    pub fn read(&self, path: &Path, matches: &[&str]) -> Vec<Shown> {
        let mut command = Command::new(&self.reader);
        command.args(["--quiet", "--all", "-o", "export", "--file"]).arg(path).args(matches);
        let output = command.stderr(Stdio::null()).output().unwrap();
        parse(&output.stdout)
    }
}

/// Of the export format; what is not stored as a field is left out.
fn parse(mut text: &[u8]) -> Vec<Shown> {
    let mut all = Vec::new();
    let mut shown = Shown { cursor: String::new(), fields: Vec::new() };
    while !text.is_empty() {
        let end = text.iter().position(|byte| *byte == b'\n').unwrap();
        let (line, rest) = (&text[..end], &text[end + 1..]);
        text = rest;
        if line.is_empty() {
            shown.fields.sort();
            all.push(std::mem::replace(&mut shown, Shown { cursor: String::new(), fields: Vec::new() }));
            continue;
        }
        let field = if line.contains(&b'=') {
            line.to_vec()
        } else {
            let len = u64::from_le_bytes(text[..8].try_into().unwrap()) as usize;
            let value = &text[8..8 + len];
            text = &text[8 + len + 1..];
            [line, b"=", value].concat()
        };
        match field.strip_prefix(b"__CURSOR=") {
            Some(cursor) => shown.cursor = String::from_utf8(cursor.to_vec()).unwrap(),
            None if field.starts_with(b"__") || field.starts_with(b"_BOOT_ID=") => {}
            None => shown.fields.push(field),
        }
    }
    all
}

fn u64_at(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

/// Compresses the fields of a plain file in place, as older versions of systemd do.
pub fn repack(path: &Path, method: Method) -> usize {
    let mut file = fs::read(path).unwrap();
    let head = if file[12] & 16 != 0 { 72 } else { 64 };
    let (mut at, last, mut packed_fields) = (u64_at(&file, 88), u64_at(&file, 136), 0);
    let flag: u8 = match method {
        Method::Xz => 1,
        Method::Lz4 => 2,
    };
    while at <= last {
        let size = u64_at(&file, at + 8);
        if file[at] == 1 {
            let packed = pack(&file[at + head..at + size], method);
            if packed.len() < size - head {
                file[at + head..at + head + packed.len()].copy_from_slice(&packed);
                file[at + 8..at + 16].copy_from_slice(&((head + packed.len()) as u64).to_le_bytes());
                file[at + 1] = flag;
                packed_fields += 1;
            }
        }
        at += size.next_multiple_of(8);
    }
    file[12] |= flag;
    fs::write(path, file).unwrap();
    packed_fields
}

fn pack(payload: &[u8], method: Method) -> Vec<u8> {
    match method {
        Method::Lz4 => {
            let block = lz4_flex::block::compress(payload);
            [&(payload.len() as u64).to_le_bytes()[..], &block].concat()
        }
        Method::Xz => {
            let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).unwrap();
            writer.write_all(payload).unwrap();
            writer.finish().unwrap()
        }
    }
}

/// Gives the entries of a file other numbers, counted by somebody else: as if one journald had written several files.
pub fn renumber(path: &Path, seqnum_id: [u8; 16], add: u64) {
    let mut file = fs::read(path).unwrap();
    file[72..88].copy_from_slice(&seqnum_id);
    let (mut at, last) = (u64_at(&file, 88), u64_at(&file, 136));
    let mut places = vec![160, 168];
    while at <= last {
        if file[at] == 3 {
            places.push(at + 16);
        }
        at += u64_at(&file, at + 8).next_multiple_of(8);
    }
    for at in places {
        let number = u64_at(&file, at) as u64 + add;
        file[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    fs::write(path, file).unwrap();
}
