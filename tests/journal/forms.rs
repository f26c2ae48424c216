//! Every form of the format, entry by entry as `journalctl` reads it.

use super::support::journal::{Form, Method, Tools, repack};
use super::{Damaged, entries, read};
use drave::input::systemd::journal::{EntryList, JournalFile, Matcher, Matches};
use std::fs;
use std::path::Path;

#[track_caller]
fn check(tools: &Tools, path: &Path, count: usize) {
    let expected = tools.read(path, &[]);
    assert_eq!(expected.len(), count, "{}", path.display());
    let (found, damaged) = read(&Damaged::none(fs::read(path).unwrap()));
    assert_eq!((found.len(), damaged), (count, 0), "{}", path.display());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "{}", path.display());
    }
}

#[test]
fn plain_compact_keyed_and_compressed_files_are_read_as_journalctl_reads_them() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    for bits in 0..8 {
        let form = Form { compact: bits & 1 != 0, keyed: bits & 2 != 0, compressed: bits & 4 != 0, sealed: false };
        let path = folder.path().join(format!("{bits}.journal"));
        tools.write(&path, &entries(400), form);
        let flags = fs::read(&path).unwrap()[12];
        assert_eq!((flags & 16 != 0, flags & 4 != 0, flags & 8 != 0), (form.compact, form.keyed, form.compressed));
        check(&tools, &path, 400);
    }
}

#[test]
fn xz_and_lz4_of_older_versions_are_read() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (bits, method) in [(0, Method::Xz), (1, Method::Xz), (2, Method::Lz4), (3, Method::Lz4)] {
        let form = Form { compact: bits & 1 != 0, keyed: bits & 1 != 0, ..Form::default() };
        let path = folder.path().join(format!("{bits}.journal"));
        tools.write(&path, &entries(300), form);
        assert!(repack(&path, method) > 20, "{method:?}");
        check(&tools, &path, 300);
    }
}

#[test]
fn sealed_files_are_read() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealed.journal");
    if !tools.write_sealed(&path, &entries(100), Form { compact: true, keyed: true, ..Form::default() }) {
        println!("skipped: no name space for the keys of sealing");
        return;
    }
    assert_eq!(fs::read(&path).unwrap()[8] & 1, 1, "it is sealed");
    check(&tools, &path, 100);
}

#[test]
fn a_file_that_was_written_to_again_is_read_as_a_whole() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.journal");
    let all = entries(1000);
    for part in all.chunks(250) {
        tools.write(&path, part, Form { keyed: true, compact: true, ..Form::default() });
    }
    check(&tools, &path, 1000);
}

/// The cursors of entries that match: by the index if there is one, and by a look at each of them.
fn matching(file: Damaged, fields: &[&str], all: bool) -> (Option<Vec<String>>, Vec<String>) {
    let mut file = JournalFile::open(Box::new(file)).unwrap();
    let fields = fields.iter().map(|field| field.as_bytes().to_vec()).collect();
    let mut matcher = Matcher::new(Matches { fields, all });
    matcher.refresh(&mut file);
    let cursor = |file: &mut JournalFile, offset: u64, matcher: Option<&mut Matcher>| {
        let mut items = Vec::new();
        let entry = file.entry(offset, &mut items).unwrap();
        let is_taken = matcher.is_none_or(|matcher| matcher.takes(file, &items));
        is_taken.then(|| file.cursor(&entry).to_string())
    };
    let by_index = matcher.indexed().map(|mut indexed| {
        let mut found = Vec::new();
        while let Some(offset) = indexed.next(&mut file).unwrap() {
            found.extend(cursor(&mut file, offset, None));
        }
        found
    });
    let (mut list, mut found) = (EntryList::all(), Vec::new());
    while let Some(offset) = list.next(&mut file).unwrap() {
        found.extend(cursor(&mut file, offset, Some(&mut matcher)));
    }
    (by_index, found)
}

#[test]
fn the_index_finds_what_journalctl_finds() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    for bits in 0..4 {
        let form = Form { compact: bits & 1 != 0, keyed: bits & 2 != 0, compressed: true, sealed: false };
        let path = folder.path().join(format!("{bits}.journal"));
        tools.write(&path, &entries(500), form);
        let file = Damaged::none(fs::read(&path).unwrap());
        let kubelet = "_SYSTEMD_UNIT=kubelet.service";
        for (fields, all) in [
            (&[kubelet][..], false),
            (&[kubelet, "_SYSTEMD_UNIT=containerd.service", "_SYSTEMD_UNIT=none.service"], false),
            (&[kubelet, "TAGS=b"], true),
            (&[kubelet, "PRIORITY=6", "_PID=3"], true),
            (&[kubelet, "NONE=1"], true),
            (&["MESSAGE=message 77"], false),
            (&["NONE=1"], false),
        ] {
            let expected: Vec<String> = tools.read(&path, fields).into_iter().map(|shown| shown.cursor).collect();
            let (by_index, by_look) = matching(file.clone(), fields, all);
            assert_eq!(by_index.as_ref(), Some(&expected), "{form:?} {fields:?}");
            assert_eq!(by_look, expected, "{form:?} {fields:?}");
        }
    }
}

#[test]
fn filters_hold_in_a_file_whose_hash_table_is_damaged() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("system.journal");
    tools.write(&path, &entries(100), Form { keyed: true, ..Form::default() });
    let file = Damaged::none(fs::read(&path).unwrap());
    let fields = ["_SYSTEMD_UNIT=kubelet.service"];
    let expected: Vec<String> = tools.read(&path, &fields).into_iter().map(|shown| shown.cursor).collect();
    // The table begins elsewhere, at the file's end.
    let damaged = file.with(104, file.len as u64 - 8);
    assert_eq!(matching(damaged, &fields, false), (None, expected));
}
