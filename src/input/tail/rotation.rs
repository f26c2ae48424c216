//! The chain of a file's rotations, and where reading it goes on after a restart.
//!
//! ```text
//! 0.log.20241120-080000.gz   0.log.20241120-090000   0.log        (kubelet: oldest … newest, then the current one)
//! app.log.2.gz               app.log.1               app.log      (logrotate)
//! ```
//! What stands before the newest file that is finished, or else before the first that a position knows, was finished and
//! forgotten; what is known goes on at its offset; what is newer and unknown is read from its beginning.

use super::siblings::Sibling;
use crate::state::Position;
use std::fs;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

/// `YYYYMMDD`
const DATE_DIGITS: usize = 8;

/// The path without `.gz`.
pub(super) fn strip_gz(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|e| e == "gz") { path.with_extension("") } else { path.to_path_buf() }
}

/// What is in a folder: names, sorted, and inodes.
pub(super) type Names = Vec<(String, u64)>;

/// The names in a folder.
pub(super) fn names_in(folder: &Path) -> Names {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = |e: fs::DirEntry| Some((e.file_name().into_string().ok()?, e.ino()));
    let mut names: Names = entries.filter_map(named).collect();
    names.sort_unstable();
    names
}

/// The rotated files of `live`, oldest first. `names`: those of its folder.
pub(super) fn rotated(live: &Path, names: &Names) -> Vec<PathBuf> {
    let Some(name) = live.file_name().and_then(|n| n.to_str()) else { return Vec::new() };
    let first = names.partition_point(|(n, _)| n.as_str() < name);
    let like = names[first..].iter().map(|(n, _)| n).take_while(|n| n.starts_with(name));
    let like = like.map(|n| live.with_file_name(n));
    let aged = |path: PathBuf| Some((Age::of(&suffix(&path, live).filter(|s| !s.is_empty())?), path));
    let mut found: Vec<(Age, PathBuf)> = like.filter_map(aged).collect();
    found.sort();
    // While kubelet compresses both names are there: the plain one is whole.
    let plain: Vec<PathBuf> = found.iter().map(|(_, p)| p.clone()).filter(|p| strip_gz(p) == *p).collect();
    found.retain(|(_, p)| strip_gz(p) == *p || !plain.contains(&strip_gz(p)));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Is `path` the name of `live` or of a rotation of it, in the same folder?
pub(super) fn is_name_of(path: &Path, live: &Path) -> bool {
    path == live || suffix(path, live).is_some()
}

/// The files of which `path`, by its name, can be a rotation.
pub(super) fn live_of(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let ends = name.char_indices().filter(|(at, _)| *at > 0 && is_rotation(&name[*at..]));
    ends.map(|(at, _)| path.with_file_name(&name[..at])).collect()
}

/// What a rotation added to the name of `live`, without `.gz`; `None` for another file.
fn suffix(path: &Path, live: &Path) -> Option<String> {
    let rest = path.file_name()?.to_str()?.strip_prefix(live.file_name()?.to_str()?)?;
    let rest = rest.strip_suffix(".gz").unwrap_or(rest);
    (rest.is_empty() || is_rotation(rest)).then(|| rest.to_owned())
}

/// `.1`, `.20241120-080000`, `.2024-11-20_10`, `-20241120`: digits behind a point, or a date behind a dash; `-1` names one of several
/// workers.
fn is_rotation(suffix: &str) -> bool {
    let digits = suffix.strip_prefix(['.', '-']).unwrap_or_default();
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    let starts = digits.starts_with(|c: char| c.is_ascii_digit()) && (suffix.starts_with('.') || count >= DATE_DIGITS);
    starts && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'T'))
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
    /// How many bytes it is known to have.
    pub(super) size: u64,
    /// Byte ranges to be read again first.
    pub(super) open: Vec<(u64, u64)>,
}

impl Resume {
    pub(super) fn at(sibling: Sibling, position: &Position) -> Self {
        Self { sibling, offset: position.settled, size: position.size, open: position.open.clone() }
    }

    fn from_the_beginning(sibling: Sibling) -> Self {
        Self { sibling, offset: 0, size: 0, open: Vec::new() }
    }
}

/// Where reading goes on.
#[derive(Default)]
pub(super) struct Continuation {
    /// Oldest first.
    pub(super) files: Vec<Resume>,
    /// The newest file that is done with.
    pub(super) finished: Option<Position>,
    /// Positions that go: of older files that are done with, and of files that have another name or inode now, under which
    /// they are kept from now on.
    pub(super) moved: Vec<Position>,
    /// Positions whose files are not there any more.
    pub(super) vanished: Vec<Position>,
}

/// Decides with the positions that are known of this chain. `siblings`: oldest first, the current file last. Where no position
/// tells where the chain goes on, `is_wanted` decides about its rotated files.
pub(super) fn continuation(
    siblings: Vec<Sibling>,
    positions: Vec<Position>,
    live: &Path,
    is_wanted: impl Fn(&Sibling) -> bool,
) -> Continuation {
    let mut found = Continuation { vanished: positions, ..Continuation::default() };
    let matched = matches(&siblings, &mut found.vanished, live, &is_wanted);
    let last = siblings.len().saturating_sub(1);
    // Who still writes to a file that was let go is read further.
    let is_done = |s: &Sibling, p: &Position| p.finished && p.open.is_empty() && (s.gzip || s.size <= p.settled);
    // Files are finished in order: what stands before one that is, was finished and forgotten.
    let done = (0..last).rev().find(|i| matched[*i].as_ref().is_some_and(|p| is_done(&siblings[*i], p)));
    let first = done.or_else(|| matched.iter().position(Option::is_some));
    for (index, (sibling, position)) in siblings.into_iter().zip(matched).enumerate() {
        let is_before = first.is_some_and(|first| index < first);
        match position {
            Some(p) if is_done(&sibling, &p) && index < last => found.moved.extend(found.finished.replace(p)),
            Some(p) => {
                found.files.push(Resume::at(sibling, &p));
                found.moved.push(p);
            }
            None if is_before || first.is_none() && index < last && !is_wanted(&sibling) => {}
            None => found.files.push(Resume::from_the_beginning(sibling)),
        }
    }
    found
}

/// The position of each file, taken out of `positions`. Where the file itself is not found any more a copy of it will do, the newest
/// first, unless it is older than what is wanted.
fn matches(
    siblings: &[Sibling],
    positions: &mut Vec<Position>,
    live: &Path,
    is_wanted: &impl Fn(&Sibling) -> bool,
) -> Vec<Option<Position>> {
    let take = |positions: &mut Vec<Position>, is: &dyn Fn(&Position) -> bool| {
        positions.iter().position(is).map(|at| positions.swap_remove(at))
    };
    let mut matched: Vec<Option<Position>> = siblings.iter().map(|s| take(positions, &|p| s.is(p, live))).collect();
    for (sibling, matched) in siblings.iter().zip(&mut matched).rev().filter(|(_, matched)| matched.is_none()) {
        *matched = take(positions, &|p| sibling.is_copy(p, live) && is_wanted(sibling));
    }
    matched
}

#[cfg(test)]
mod tests {
    use super::super::file::fingerprint;
    use super::*;
    use std::fs::File;

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
            rotated(&folder.path().join(live), &names_in(folder.path())).into_iter().map(name).collect()
        };
        assert_eq!(found("0.log"), ["0.log.20241120-080000.gz", "0.log.20241120-090000"]);
        ["app.log", "app.log.1", "app.log.10.gz", "app.log.2.gz", "app.log-20240101"].into_iter().for_each(touch);
        assert_eq!(found("app.log"), ["app.log.10.gz", "app.log.2.gz", "app.log.1", "app.log-20240101"]);
    }

    #[test]
    fn names_tell_whose_rotation_a_file_is() {
        let live =
            |name: &str| live_of(Path::new(name)).into_iter().map(|p| p.display().to_string()).collect::<Vec<_>>();
        assert_eq!(live("/x/a.log.1"), ["/x/a.log"]);
        assert_eq!(live("/x/a.log-2024-01-01"), ["/x/a.log"]);
        assert!(live("/x/a.log").is_empty() && live("/x/a.log.bak").is_empty() && live("/x/a-1").is_empty());
        let is = |path: &str| is_name_of(Path::new(path), Path::new("/x/a.log"));
        assert!(is("/x/a.log") && is("/x/a.log.1") && is("/x/a.log-20240101.gz"));
        assert!(is("/x/a.log.2024-11-20_10") && is("/x/a.log.2024-11-20_10-30.gz") && is("/x/a.log.20241120T10"));
        assert!(!is("/x/a.log-debug.log") && !is("/x/a.log.1.log") && !is("/x/b.log"));
    }

    fn position(file: &Sibling, path: &Path, settled: u64) -> Position {
        let path = path.to_path_buf();
        let fingerprint = fingerprint(&file.head);
        Position {
            path,
            device: file.device,
            inode: file.inode,
            fingerprint,
            settled,
            size: settled,
            open: Vec::new(),
            finished: false,
        }
    }

    #[test]
    fn a_file_is_known_by_its_beginning_with_its_inode_or_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let live = folder.path().join("a.log");
        let open = || Sibling::open(&live).ok().flatten().expect("a file");
        fs::write(&live, "one line\n").expect("written");
        let known = position(&open(), &live, 5);
        let resume = |p: Position| continuation(vec![open()], vec![p], &live, |_| true).files[0].offset;
        assert_eq!(resume(Position { device: known.device + 1, ..known.clone() }), 5, "another device number");
        assert_eq!(resume(Position { inode: known.inode + 1, ..known.clone() }), 5, "a copy under its name");
        assert_eq!(resume(Position { path: folder.path().join("b.log"), ..known.clone() }), 5, "renamed");
        let moved = Position { path: folder.path().join("b.log"), inode: known.inode + 1, ..known.clone() };
        assert_eq!(resume(moved), 0, "neither name nor inode");
        fs::write(&live, "two line\n").expect("written");
        assert_eq!(resume(known), 0, "the same inode and size, another beginning");
    }

    #[test]
    fn a_copy_stands_for_a_file_that_was_emptied() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = ["a.log.2", "a.log.1", "a.log"].map(|name| folder.path().join(name));
        for path in &paths {
            fs::write(path, "the same beginning\n").expect("written");
        }
        let open = || paths.iter().filter_map(|p| Sibling::open(p).ok().flatten()).collect::<Vec<_>>();
        let known = position(&open()[2], &paths[2], 19);
        fs::write(&paths[2], "another\n").expect("written");
        let offsets = |known: &Position, wanted| -> Vec<u64> {
            let found = continuation(open(), vec![known.clone()], &paths[2], |_| wanted);
            found.files.iter().map(|f| f.offset).collect()
        };
        assert_eq!(offsets(&known, true), [19, 0], "the newest copy, and the file anew");
        assert_eq!(offsets(&known, false), [0], "copies from before");
        assert_eq!(offsets(&Position { settled: 20, ..known }, true), [0, 0, 0], "too short to be a copy");
    }

    #[test]
    fn rotated_files_that_no_position_knows_are_read_only_where_they_are_wanted() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = ["a.log.2", "a.log.1", "a.log"].map(|name| folder.path().join(name));
        for path in &paths {
            fs::write(path, path.display().to_string()).expect("written");
        }
        let open = || paths.iter().filter_map(|p| Sibling::open(p).ok().flatten()).collect::<Vec<_>>();
        let count = |positions, wanted| continuation(open(), positions, &paths[2], |_| wanted).files.len();
        assert_eq!((count(Vec::new(), false), count(Vec::new(), true)), (1, 3));
        let done = |index: usize| {
            let sibling = &open()[index];
            Position { finished: true, ..position(sibling, &paths[index], sibling.size) }
        };
        assert_eq!(count(vec![done(0)], false), 2);
        let found = continuation(open(), vec![done(1), done(0)], &paths[2], |_| true);
        assert_eq!((found.files.len(), found.finished, found.moved), (1, Some(done(1)), vec![done(0)]));
        let grown = Position { settled: 3, ..done(1) };
        assert_eq!(count(vec![grown], false), 2, "it was written to after it was let go");
        let known = position(&open()[1], &paths[2], 3);
        assert_eq!(count(vec![known], false), 2, "what is newer than a known file was never read");
    }
}
