//! The chain of a file's rotations, and where reading it goes on after a restart.
//!
//! ```text
//! 0.log.20241120-080000.gz   0.log.20241120-090000   0.log        (kubelet: oldest … newest, then the current one)
//! app.log.2.gz               app.log.1               app.log      (logrotate)
//! ```
//! What stands before the first file that a position knows was finished and forgotten; what is known goes on at its offset;
//! what is newer and unknown is read from its beginning.

use super::file::{fingerprint, head};
use crate::state::{FINGERPRINT_MAX, Position};
use flate2::read::MultiGzDecoder;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file of a chain that is on disk now.
pub(super) struct Sibling {
    /// With `.gz`, if it has it.
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) inode: u64,
    pub(super) gzip: bool,
    /// Its first bytes, decompressed.
    pub(super) head: Vec<u8>,
    pub(super) modified: Option<SystemTime>,
}

impl Sibling {
    /// Opens a file; `None` when it is gone or not a regular file.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        // A FIFO that matches must not block the thread.
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::NONBLOCK;
        let file = match rustix::fs::open(path, flags, rustix::fs::Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(None);
        }
        let gzip = path.extension().is_some_and(|e| e == "gz");
        let head = if gzip { gzip_head(&file)? } else { head(&file)? };
        Ok(Some(Self {
            path: path.to_path_buf(),
            file,
            inode: meta.ino(),
            gzip,
            head,
            modified: meta.modified().ok(),
        }))
    }

    /// Is this the file of that position? With the fingerprint either the inode or the name must agree; a compressed copy has
    /// another inode, so that folder, name and fingerprint decide.
    fn is(&self, position: &Position, live: &Path) -> bool {
        let known = position.fingerprint.len as usize;
        if self.head.len() < known || fingerprint(&self.head[..known]) != position.fingerprint {
            return false;
        }
        if known == 0 {
            return !self.gzip && self.inode == position.inode;
        }
        let named = strip_gz(&self.path) == position.path;
        let renamed_and_compressed = self.gzip && position.path == live;
        self.inode == position.inode || named || renamed_and_compressed
    }
}

fn gzip_head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut decoder = MultiGzDecoder::new(file.try_clone()?).take(u64::from(FINGERPRINT_MAX));
    let read = decoder.read_to_end(&mut head);
    rustix::fs::seek(file, rustix::fs::SeekFrom::Start(0))?;
    // A damaged copy is known by what can be read of it.
    if head.is_empty() {
        read?;
    }
    Ok(head)
}

/// The path without `.gz`.
pub(super) fn strip_gz(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|e| e == "gz") { path.with_extension("") } else { path.to_path_buf() }
}

/// The rotated files of `live`, oldest first.
pub(super) fn rotated(live: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (live.parent(), live.file_name().and_then(|n| n.to_str())) else { return Vec::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let suffix_of = |path: &Path| {
        let rest = path.file_name()?.to_str()?.strip_prefix(name)?.to_owned();
        let rest = rest.strip_suffix(".gz").unwrap_or(&rest).to_owned();
        is_rotation(&rest).then_some(rest)
    };
    let mut found: Vec<(Age, PathBuf)> = entries
        .filter_map(|e| {
            let path = e.path();
            let suffix = suffix_of(&path)?;
            Some((Age::of(&suffix), path))
        })
        .collect();
    found.sort();
    // While kubelet compresses both names are there: the plain one is whole.
    let plain: Vec<PathBuf> = found.iter().map(|(_, p)| p.clone()).filter(|p| strip_gz(p) == *p).collect();
    found.retain(|(_, p)| strip_gz(p) == *p || !plain.contains(&strip_gz(p)));
    found.into_iter().map(|(_, path)| path).collect()
}

/// `.1`, `.20241120-080000`, `-20241120`: digits behind a point or a dash.
fn is_rotation(suffix: &str) -> bool {
    let digits = suffix.strip_prefix(['.', '-']).unwrap_or_default();
    digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_digit() || c == '-')
}

/// Orders rotations from the oldest on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// logrotate counts up: the higher the older.
    Number(std::cmp::Reverse<u32>),
    /// Times, as kubelet and `dateext` write them.
    Time(String),
}

impl Age {
    fn of(suffix: &str) -> Self {
        let digits = &suffix[1..];
        match digits.parse() {
            Ok(number) if digits.len() < 6 => Self::Number(std::cmp::Reverse(number)),
            _ => Self::Time(digits.to_owned()),
        }
    }
}

/// A file of the chain that is to be followed.
pub(super) struct Resume {
    pub(super) sibling: Sibling,
    pub(super) offset: u64,
    /// Byte ranges to be read again first.
    pub(super) open: Vec<(u64, u64)>,
}

/// Where reading goes on.
pub(super) struct Continuation {
    /// Oldest first.
    pub(super) files: Vec<Resume>,
    /// Positions whose files are not there any more.
    pub(super) vanished: Vec<Position>,
}

/// Decides with the positions that are known of this chain. `siblings`: oldest first, the current file last.
pub(super) fn continuation(siblings: Vec<Sibling>, positions: Vec<Position>, live: &Path) -> Continuation {
    let mut left = positions;
    let matched: Vec<Option<Position>> = siblings
        .iter()
        .map(|sibling| {
            let at = left.iter().position(|p| sibling.is(p, live))?;
            Some(left.swap_remove(at))
        })
        .collect();
    let first = matched.iter().position(Option::is_some).unwrap_or(0);
    let last = siblings.len().saturating_sub(1);
    let resume = |(index, (sibling, position)): (usize, (Sibling, Option<Position>))| {
        let resume = match position {
            Some(p) if p.finished && p.open.is_empty() && index < last => return None,
            Some(p) => Resume { sibling, offset: p.settled, open: p.open },
            None => Resume { sibling, offset: 0, open: Vec::new() },
        };
        (index >= first).then_some(resume)
    };
    let files = siblings.into_iter().zip(matched).enumerate().filter_map(resume).collect();
    Continuation { files, vanished: left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_are_ordered_from_the_oldest() {
        let folder = tempfile::tempdir().expect("a folder");
        let touch = |name: &str| File::create(folder.path().join(name)).map(drop).expect("a file");
        let names = [
            "0.log",
            "0.log.20241120-080000.gz",
            "0.log.20241120-090000",
            "0.log.20241120-090000.gz",
            "0.log.20241120-090000.tmp",
            "0.log.bak",
            "10.log.20241120-070000",
        ];
        names.into_iter().for_each(touch);
        let found = |live: &str| -> Vec<String> {
            let name = |p: PathBuf| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            rotated(&folder.path().join(live)).into_iter().map(name).collect()
        };
        assert_eq!(found("0.log"), ["0.log.20241120-080000.gz", "0.log.20241120-090000"]);
        ["app.log", "app.log.1", "app.log.10.gz", "app.log.2.gz", "app.log-20240101"].into_iter().for_each(touch);
        assert_eq!(found("app.log"), ["app.log.10.gz", "app.log.2.gz", "app.log.1", "app.log-20240101"]);
    }
}
