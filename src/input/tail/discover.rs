//! Which files there are: globs, and the folders behind them.

use super::settings::TailOptions;
use crate::config::{Report, Section};
use glob::{MatchOptions, Pattern};
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

/// As a shell matches: a star stops at a slash and does not find hidden files.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// What a section follows.
#[derive(Debug)]
pub(super) struct Patterns {
    paths: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

const GLOB: &str = "`*` is any text, `?` one character, `[ab]` one of these, `**` alone between slashes any folders; a `[` itself is `[[]`";

impl Patterns {
    pub(super) fn new(section: &Section, options: &TailOptions, report: &mut Report) -> Option<Self> {
        let mut read = |key: &str, texts: &[String]| {
            let read = |text: &String| {
                // An exclusion without a slash means the name alone.
                let whole = if key == "path" || text.contains('/') {
                    section.resolve(text).to_string_lossy().into_owned()
                } else {
                    text.clone()
                };
                let pattern = Pattern::new(&whole);
                if let Err(error) = &pattern {
                    let at = section.get(key).map(|e| &e.value_at);
                    report.error(at, format!("`{text}` in {key} is no glob: {}", error.msg), Some(GLOB.into()));
                }
                pattern.ok()
            };
            texts.iter().map(read).collect::<Option<Vec<_>>>()
        };
        let paths = read("path", &options.path.0);
        let exclude = read("exclude_path", &options.exclude_path.0);
        Some(Self { paths: paths?, exclude: exclude? })
    }

    /// Is this one of the files?
    pub(super) fn takes(&self, path: &Path) -> bool {
        self.paths.iter().any(|p| p.matches_path_with(path, MATCHING)) && !self.is_excluded(path)
    }

    fn is_excluded(&self, path: &Path) -> bool {
        // Rotated copies belong to their file; as such they are found by it.
        let compressed = path.extension().is_some_and(|e| e == "gz");
        let name = path.file_name().map(Path::new).unwrap_or(path);
        let matches = |p: &Pattern| {
            p.matches_path_with(path, MATCHING) || !p.as_str().contains('/') && p.matches_path_with(name, MATCHING)
        };
        compressed || self.exclude.iter().any(matches)
    }

    /// All files that are there now.
    pub(super) fn scan(&self) -> Vec<PathBuf> {
        let found = |p: &Pattern| glob::glob_with(p.as_str(), MATCHING).into_iter().flatten().flatten();
        self.paths.iter().flat_map(found).filter(|path| !self.is_excluded(path)).collect()
    }

    /// Can such a file be in this folder, or below?
    pub(super) fn pass(&self, folder: &Path) -> bool {
        let depth = folder.components().count();
        let way = |p: &Pattern| Path::new(p.as_str()).components().take(depth).collect::<PathBuf>();
        let passes =
            |way: PathBuf| Pattern::new(&way.to_string_lossy()).is_ok_and(|w| w.matches_path_with(folder, MATCHING));
        self.paths.iter().map(way).any(passes)
    }

    /// All folders in which such files can appear, or folders on the way to them; the deepest that is there where the
    /// way is not there yet.
    pub(super) fn folders(&self) -> HashSet<PathBuf> {
        let mut folders = HashSet::new();
        for pattern in &self.paths {
            let path = Path::new(pattern.as_str());
            let parts: Vec<Component<'_>> = path.components().collect();
            let first_glob = parts.iter().position(|p| is_glob(*p)).unwrap_or(parts.len()).min(parts.len() - 1);
            let fixed: PathBuf = parts[..first_glob].iter().collect();
            // The last of a relative path is the folder that the process runs in.
            let there = fixed.ancestors().find(|a| a.is_dir() || a.as_os_str().is_empty());
            folders.extend(there.map(Path::to_path_buf));
            for depth in first_glob + 1..parts.len() {
                let level: PathBuf = parts[..depth].iter().collect();
                let found = glob::glob_with(&level.to_string_lossy(), MATCHING);
                folders.extend(found.into_iter().flatten().flatten().filter(|p| p.is_dir()));
            }
        }
        folders
    }
}

fn is_glob(part: Component<'_>) -> bool {
    part.as_os_str().to_string_lossy().contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_on_the_way_of_a_glob_that_reaches_into_it() {
        let patterns =
            Patterns { paths: vec![Pattern::new("/var/*/logs/*.log").expect("a glob")], exclude: Vec::new() };
        let pass = |folder: &str| patterns.pass(Path::new(folder));
        assert!(pass("/var") && pass("/var/app") && pass("/var/app/logs"));
        assert!(!pass("/var/app/data") && !pass("/tmp") && !pass("/var/app/logs/deep/er"));
    }
}
