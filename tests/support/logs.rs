//! Container logs as containerd writes them and kubelet rotates them.
//!
//! ```text
//! ROOT/pods/NS_POD_UID/CONTAINER/N.log                   the current file
//! ROOT/pods/NS_POD_UID/CONTAINER/N.log.20261120-080000   the newest rotated one
//! ROOT/pods/NS_POD_UID/CONTAINER/N.log.20261120-075950.gz
//! ROOT/containers/POD_NS_CONTAINER-<64 hex>.log          symlink to the current file's path
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;

/// kubelet's default: the current file, and four rotated ones.
const FILES_MAX: usize = 5;

/// One container's log, with the file that its runtime holds open.
pub struct ContainerLog {
    /// `pods/…/N.log`.
    pub path: PathBuf,
    /// `containers/….log`.
    pub link: PathBuf,
    /// kubelet's `containerLogMaxFiles`: the oldest go when there are more, read or not.
    pub files_max: usize,
    writer: File,
    /// Rotations need different seconds in their names.
    rotated_at: SystemTime,
}

impl ContainerLog {
    /// Makes the folders, an empty log and the symlink.
    pub fn create(root: &Path, namespace: &str, pod: &str, uid: &str, container: &str, restart: u32) -> Self {
        let folder = root.join("pods").join(format!("{namespace}_{pod}_{uid}")).join(container);
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(root.join("containers")).unwrap();
        let path = folder.join(format!("{restart}.log"));
        let id = container_id(&path);
        let link = root.join("containers").join(format!("{pod}_{namespace}_{container}-{id}.log"));
        let writer = append_to(&path);
        symlink(&path, &link).unwrap();
        Self { path, link, files_max: FILES_MAX, writer, rotated_at: SystemTime::now() }
    }

    /// One line: `TIME STREAM TAG TEXT`; tag `F` is a whole line, `P` a part of one.
    pub fn write_cri(&mut self, stream: &str, tag: &str, text: &str) {
        let line = format!("{} {stream} {tag} {text}\n", rfc3339(SystemTime::now()));
        self.write_raw(line.as_bytes());
    }

    /// Bytes as they are, in one write.
    pub fn write_raw(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).unwrap();
    }

    /// kubelet's rotation up to the rename: compresses the rotated files, deletes the oldest, renames the current one. The
    /// writer goes on writing to the renamed file until [`ContainerLog::reopen`]. Returns its new name.
    pub fn rotate(&mut self) -> PathBuf {
        let rotated = self.rotated();
        let (gone, kept) = rotated.split_at(rotated.len().saturating_sub(self.files_max - 2));
        gone.iter().for_each(|path| fs::remove_file(path).unwrap());
        kept.iter().filter(|path| !is_gzip(path)).for_each(|path| gzip(path).unwrap());
        self.rename()
    }

    /// Renames the current file and leaves the others as they are.
    pub fn rename(&mut self) -> PathBuf {
        self.rotated_at = SystemTime::now().max(self.rotated_at + Duration::from_secs(1));
        let rotated = PathBuf::from(format!("{}.{}", self.path.display(), stamp(self.rotated_at)));
        fs::rename(&self.path, &rotated).unwrap();
        rotated
    }

    /// What kubelet does when the runtime could not reopen its log.
    pub fn rename_back(&mut self, rotated: &Path) {
        fs::rename(rotated, &self.path).unwrap();
    }

    /// The runtime opens a new file under the old name.
    pub fn reopen(&mut self) {
        self.writer = append_to(&self.path);
    }

    /// logrotate's way: a copy, then the file is emptied in place.
    pub fn copytruncate(&mut self) {
        fs::copy(&self.path, format!("{}.1", self.path.display())).unwrap();
        self.writer.set_len(0).unwrap();
    }

    /// The pod goes: the link, and all files of the container. The writer still holds the current one.
    pub fn delete(&mut self) {
        fs::remove_file(&self.link).unwrap();
        fs::remove_dir_all(self.path.parent().unwrap()).unwrap();
    }

    /// The rotated files, oldest first.
    pub fn rotated(&self) -> Vec<PathBuf> {
        let prefix = format!("{}.", self.path.file_name().unwrap().display());
        let entries = fs::read_dir(self.path.parent().unwrap()).unwrap().map(|entry| entry.unwrap());
        let names = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        let mut rotated: Vec<PathBuf> = names.map(|entry| entry.path()).collect();
        rotated.sort();
        rotated
    }
}

fn append_to(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// As kubelet: into `NAME.tmp`, renamed to `NAME.gz`, then the plain file goes.
fn gzip(path: &Path) -> io::Result<()> {
    let with = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let mut encoder = GzEncoder::new(File::create(with(".tmp"))?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    fs::rename(with(".tmp"), with(".gz"))?;
    fs::remove_file(path)
}

/// 64 hex digits that differ from log to log.
fn container_id(path: &Path) -> String {
    let hash = xxhash_rust::xxh3::xxh3_128(path.as_os_str().as_encoded_bytes());
    format!("{hash:032x}{:032x}", !hash)
}

/// `2026-11-20T08:00:00.123456789Z`, with trailing zeros trimmed as containerd does.
fn rfc3339(at: SystemTime) -> String {
    let (year, month, day, [hour, minute, second], nanos) = civil(at);
    let fraction = format!(".{nanos:09}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// `20261120-080000`.
fn stamp(at: SystemTime) -> String {
    let (year, month, day, [hour, minute, second], _) = civil(at);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// UTC, by Howard Hinnant's `civil_from_days`.
fn civil(at: SystemTime) -> (u64, u64, u64, [u64; 3], u32) {
    let since = at.duration_since(UNIX_EPOCH).unwrap();
    let (days, seconds) = (since.as_secs() / 86_400 + 719_468, since.as_secs() % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    (year, month, day, [seconds / 3600, seconds / 60 % 60, seconds % 60], since.subsec_nanos())
}
