//! The file system as the loader sees it, and the patterns of includes.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// Larger than any configuration; `/dev/zero` is not read to its end.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Reads files for the loader. A fuzzer gives one that has none.
pub(super) trait Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The names in a folder.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>>;
    fn exists(&self, path: &Path) -> bool;
    /// One path for all paths of a file, to see that a file includes itself.
    fn identity(&self, path: &Path) -> PathBuf;
}

/// The real one.
pub(super) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other("it is larger than 8 MiB"));
        }
        Ok(bytes)
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let names = std::fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn identity(&self, path: &Path) -> PathBuf {
        path.canonicalize().unwrap_or_else(|_| path.to_owned())
    }
}

/// No files at all.
pub(super) struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn names(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn exists(&self, _: &Path) -> bool {
        false
    }

    fn identity(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }
}

/// Is it a pattern and not a path?
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// What a pattern matches, sorted, as `glob(3)` does it: `*` stops at slashes and takes no leading dot.
///
/// # Errors
/// What is wrong with the pattern.
pub(super) fn matches(pattern: &Path, files: &dyn Files) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        found = match component {
            Component::Normal(name) if is_pattern(&name.to_string_lossy()) => {
                step(&found, &name.to_string_lossy(), files)?
            }
            plain => found.iter().map(|folder| folder.join(plain)).collect(),
        };
    }
    found.retain(|path| files.exists(path));
    found.sort();
    Ok(found)
}

fn step(folders: &[PathBuf], pattern: &str, files: &dyn Files) -> Result<Vec<PathBuf>, String> {
    let glob = glob::Pattern::new(pattern).map_err(|error| error.msg.to_owned())?;
    let wanted = |name: &String| glob.matches(name) && (pattern.starts_with('.') || !name.starts_with('.'));
    let within = |folder: &PathBuf| {
        let names = files.names(folder).unwrap_or_default();
        names.into_iter().filter(wanted).map(|name| folder.join(name)).collect::<Vec<_>>()
    };
    Ok(folders.iter().flat_map(within).collect())
}
