//! Every form of the format, entry by entry as `journalctl` reads it.

use super::support::journal::{Form, Method, Tools, repack};
use super::{Damaged, entries, read};
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
