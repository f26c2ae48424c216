//! Which files there are: those of a folder, and of the folders of machines below it.
//!
//! ```text
//! /var/log/journal/                                         a folder of a section
//!   3d1219c7c4c5404aaa1f6d2a48adfda4/                       a machine, 32 hexadecimal digits; with `.NAME` another name space: left out
//!     system.journal  user-1000.journal                     are written to
//!     system@…-….journal  user-1000@….journal  ….journal~   were rotated; the last after a crash
//! ```

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) bytes: u64,
    /// Which of the section's folders it is in.
    pub(super) folder: usize,
}

/// The folders that may hold journals now.
pub(super) fn folders(folder: &Path) -> Vec<PathBuf> {
    let is_machine = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()) && path.is_dir()
    };
    let mut found: Vec<PathBuf> = entries(folder).filter(is_machine).collect();
    found.sort();
    found.insert(0, folder.to_path_buf());
    found
}

/// The journals of a folder, which is the `number`th of a section, or below it.
pub(super) fn files(number: usize, folder: &Path) -> Vec<Found> {
    let is_journal = |path: &PathBuf| {
        let name = path.as_os_str().as_encoded_bytes();
        name.ends_with(b".journal") || name.ends_with(b".journal~")
    };
    let found = |path: PathBuf| {
        let meta = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        Some(Found { path, device: meta.dev(), inode: meta.ino(), bytes: meta.len(), folder: number })
    };
    let mut files: Vec<Found> = entries(folder).filter(is_journal).filter_map(found).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_found_and_other_name_spaces_are_not() {
        let root = tempfile::tempdir().expect("a folder");
        let machine = "3d1219c7c4c5404aaa1f6d2a48adfda4";
        for folder in [machine, "3d1219c7c4c5404aaa1f6d2a48adfda4.space", "remote"] {
            fs::create_dir(root.path().join(folder)).expect("a folder");
            for file in ["system.journal", "system@1-2.journal", "user-1000@3-4.journal~", "fss", "x.journal.gz"] {
                fs::write(root.path().join(folder).join(file), "").expect("a file");
            }
        }
        assert_eq!(folders(root.path()), [root.path().to_path_buf(), root.path().join(machine)]);
        let names: Vec<_> = files(0, &root.path().join(machine)).into_iter().map(|f| f.path).collect();
        let expect = ["system.journal", "system@1-2.journal", "user-1000@3-4.journal~"];
        assert_eq!(names, expect.map(|name| root.path().join(machine).join(name)));
    }
}
