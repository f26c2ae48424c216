//! Appending to a file, and renaming it when it is too large.
//!
//! ```text
//! app.log                                  is written to
//! app.log.20240301_100000_0badcafe.gz      was too large; the newest `rotate_max_files` of these are kept
//! ```

use super::super::Outcome;
use super::FileOptions;
use crate::net::gzip;
use crate::record::time::civil_from_days;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is compressed at once: each block is a gzip member of its own, so that memory stays bounded.
const BLOCK: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Appender {
    mkdir: bool,
    rotation: Option<Rotation>,
}

#[derive(Debug)]
struct Rotation {
    size_max: u64,
    files_max: usize,
    gzip: bool,
    /// Two rotations within a second have different names.
    count: AtomicU32,
}

impl Appender {
    pub(super) fn new(options: &FileOptions) -> Self {
        let rotation = options.rotate.then(|| Rotation {
            size_max: options.rotate_max_size.0,
            files_max: options.rotate_max_files as usize,
            gzip: options.rotate_gzip,
            count: AtomicU32::new(std::process::id() << 16),
        });
        Self { mkdir: options.mkdir, rotation }
    }

    /// Appends lines, behind `head` where the file is new.
    ///
    /// # Errors
    /// Those of the disk; then nothing of the lines is left in the file.
    pub(super) fn append(&self, path: &Path, head: &[u8], lines: &[u8]) -> io::Result<()> {
        let mut file = self.open(path)?;
        let mut before = file.metadata()?.len();
        if let Some(rotation) = self.rotation.as_ref().filter(|r| before >= r.size_max) {
            match rotation.rotate(path) {
                Ok(()) => {
                    file = self.open(path)?;
                    before = file.metadata()?.len();
                }
                // It goes on growing: too large is better than lost.
                Err(error) => tracing::warn!("cannot rotate {}: {error}", path.display()),
            }
        }
        let is_file = file.metadata()?.is_file();
        let written = if before == 0 && !head.is_empty() {
            file.write_all(&[head, lines].concat())
        } else {
            file.write_all(lines)
        };
        written.inspect_err(|_| {
            if is_file {
                // Half a line would stand there twice after the next attempt.
                let _ = file.set_len(before);
            }
        })
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let open = || OpenOptions::new().append(true).create(true).open(path);
        match (open(), path.parent()) {
            (Err(error), Some(folder)) if error.kind() == ErrorKind::NotFound && self.mkdir => {
                fs::create_dir_all(folder)?;
                open()
            }
            (opened, _) => opened,
        }
    }
}

impl Rotation {
    fn rotate(&self, path: &Path) -> io::Result<()> {
        let mut renamed = path.as_os_str().to_owned();
        renamed.push(format!(".{}", self.suffix()));
        let renamed = PathBuf::from(renamed);
        fs::rename(path, &renamed)?;
        if self.gzip
            && let Err(error) = compress(&renamed)
        {
            tracing::warn!("cannot compress {}: {error}", renamed.display());
        }
        self.trim(path)
    }

    /// `20240301_100000_0badcafe`.
    fn suffix(&self) -> String {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}_{count:08x}")
    }

    /// Deletes the oldest beyond the number that is kept.
    fn trim(&self, path: &Path) -> io::Result<()> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
            return Ok(());
        };
        let mut rotated = Vec::new();
        for entry in fs::read_dir(folder)?.flatten() {
            let own = entry.file_name().to_str().and_then(|n| n.strip_prefix(name)).is_some_and(is_suffix);
            if own && let Ok(modified) = entry.metadata().and_then(|m| m.modified()) {
                rotated.push((modified, entry.path()));
            }
        }
        rotated.sort();
        for (_, oldest) in rotated.iter().take(rotated.len().saturating_sub(self.files_max)) {
            fs::remove_file(oldest)?;
        }
        Ok(())
    }
}

/// Is it `.20240301_100000`, maybe with `_0badcafe`, maybe with `.gz`?
fn is_suffix(text: &str) -> bool {
    let Some(text) = text.strip_prefix('.') else { return false };
    let parts: Vec<&str> = text.strip_suffix(".gz").unwrap_or(text).split('_').collect();
    let digits = |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
    let hex = |part: &str| part.len() == 8 && part.bytes().all(|b| b.is_ascii_hexdigit());
    match parts.as_slice() {
        [date, time] => digits(date, 8) && digits(time, 6),
        [date, time, count] => digits(date, 8) && digits(time, 6) && hex(count),
        _ => false,
    }
}

/// Puts `PATH.gz` in the place of a file.
fn compress(path: &Path) -> io::Result<()> {
    let mut target = path.as_os_str().to_owned();
    target.push(".gz");
    let mut source = File::open(path)?;
    let mut compressed = File::create(&target)?;
    let (mut block, mut member) = (Vec::with_capacity(BLOCK), Vec::new());
    loop {
        block.clear();
        member.clear();
        (&mut source).take(BLOCK as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            break;
        }
        gzip(1, &block, &mut member);
        if let Err(error) = compressed.write_all(&member) {
            let _ = fs::remove_file(&target);
            return Err(error);
        }
    }
    fs::remove_file(path)
}

/// What a file that cannot be written means.
pub(super) fn failed(path: &str, error: &io::Error) -> Outcome {
    let (cause, hint) = match error.kind() {
        ErrorKind::NotFound => ("not_found", "; hint: its folder is missing, make it or set `mkdir on`"),
        ErrorKind::PermissionDenied => ("permission", "; hint: drave's user must be allowed to write there"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ("no_space", "; hint: make room on that disk"),
        ErrorKind::IsADirectory => ("is_directory", "; hint: a folder has that name, set `file`"),
        _ => ("io", ""),
    };
    let message = format!("cannot write to {path}: {error}{hint}");
    Outcome::Again { after: None, cause: cause.into(), message, lasting: true }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn appender(mkdir: bool, rotation: Option<(u64, usize, bool)>) -> Appender {
        let rotation = rotation.map(|(size_max, files_max, gzip)| Rotation {
            size_max,
            files_max,
            gzip,
            count: AtomicU32::new(0),
        });
        Appender { mkdir, rotation }
    }

    #[test]
    fn a_file_that_went_is_made_anew_and_gets_its_head_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.log");
        assert_eq!(appender(false, None).append(&path, b"", b"x").unwrap_err().kind(), ErrorKind::NotFound);
        let appender = appender(true, None);
        appender.append(&path, b"head\n", b"1\n").unwrap();
        appender.append(&path, b"head\n", b"2\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"head\n1\n2\n");
        fs::rename(&path, folder.path().join("gone")).unwrap();
        appender.append(&path, b"head\n", b"3\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"head\n3\n");
    }

    #[test]
    fn what_is_too_large_is_renamed_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.log");
        fs::write(folder.path().join("b.log.keep"), "not ours").unwrap();
        for gzip in [false, true] {
            let appender = appender(false, Some((4, 2, gzip)));
            for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
                appender.append(&path, b"", line.as_bytes()).unwrap();
            }
            assert_eq!(fs::read(&path).unwrap(), b"five\n");
            let names: Vec<String> =
                fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            let rotated = names.iter().filter(|n| n.strip_prefix("b.log").is_some_and(is_suffix)).count();
            assert_eq!((rotated, names.len()), (2, 4), "{names:?}");
            assert_eq!(names.iter().filter(|n| n.ends_with(".gz")).count(), if gzip { 2 } else { 0 }, "{names:?}");
        }
    }
}
