//! The fakes themselves: a test is as true as they are.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::io::Read;
use std::path::Path;

use support::logs::ContainerLog;
use support::tally::Tally;

#[test]
fn a_tally_counts_what_came_twice_late_or_never() {
    let mut tally = Tally::default();
    tally.add(br#"{"log":"seq=0001-00000000; a"}{"log":"seq=0001-00000003; b"} seq=0002-00000000;"#);
    tally.add(b"seq=0001-00000001; seq=0001-00000003; seq=12 seq=0001-0000000x; seq=");
    let counts = tally.counts();
    assert_eq!((counts.distinct, counts.duplicates, counts.disorder), (4, 1, 1));
    assert_eq!(counts.gaps.into_iter().collect::<Vec<_>>(), [(1, vec![2])]);
}

#[test]
fn a_container_log_is_rotated_as_kubelet_does() {
    let root = tempfile::tempdir().unwrap();
    let mut log = ContainerLog::create(root.path(), "shop", "web-1", "uid", "main", 0);
    assert!(log.path.ends_with("pods/shop_web-1_uid/main/0.log"));
    assert_eq!(log.link.file_name().unwrap().len(), "web-1_shop_main-.log".len() + 64);
    for generation in 0..7 {
        log.write_cri("stdout", "F", &format!("generation {generation}"));
        log.rotate();
        log.write_cri("stdout", "F", &format!("late {generation}"));
        log.reopen();
    }
    let rotated = log.rotated();
    assert_eq!(rotated.len(), 4, "{rotated:?}");
    for (path, generation) in rotated.iter().zip(3..) {
        let text = text(path);
        let lines: Vec<&str> = text.lines().map(|line| line.split(" F ").nth(1).unwrap()).collect();
        assert_eq!(lines, [format!("generation {generation}"), format!("late {generation}")]);
        assert_eq!(path.extension().unwrap() == "gz", generation < 6, "{path:?}");
    }
    assert_eq!(fs::read(&log.link).unwrap(), b"");
}

#[test]
fn a_container_log_may_be_emptied_or_come_back() {
    let root = tempfile::tempdir().unwrap();
    let mut log = ContainerLog::create(root.path(), "shop", "web-1", "uid", "main", 2);
    log.write_raw(b"one\n");
    let rotated = log.rename();
    log.rename_back(&rotated);
    log.copytruncate();
    log.write_raw(b"two\n");
    assert_eq!(fs::read(&log.path).unwrap(), b"two\n");
    log.delete();
    assert!(!log.path.exists() && log.link.symlink_metadata().is_err());
}

fn text(path: &Path) -> String {
    let file = fs::File::open(path).unwrap();
    let mut text = String::new();
    match path.extension().unwrap().to_str() {
        Some("gz") => flate2::read::GzDecoder::new(file).read_to_string(&mut text),
        _ => (&file).read_to_string(&mut text),
    }
    .unwrap();
    text
}
