//! Files that are not what they were.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_segment_cut_anywhere_gives_the_frames_before() {
    fault::skip_syncs();
    let folder = TempDir::new().unwrap();
    fill(&mut open(folder.path()), 0..3);
    let whole = fs::read(&segments(folder.path())[0]).unwrap();
    let name = segments(folder.path())[0].file_name().unwrap().to_owned();
    let frames = frames_of(&whole);
    for cut in 0..whole.len() {
        let copy = TempDir::new().unwrap();
        fs::write(copy.path().join(&name), &whole[..cut]).unwrap();
        let expect: Vec<u64> = frames.iter().filter(|(range, _)| range.end <= cut).map(|(_, id)| *id).collect();
        let mut spool = open(copy.path());
        assert_eq!(spool.pending().all.records, RECORDS * expect.len() as u64, "cut at {cut}");
        assert_eq!(ids(&mut spool), expect, "cut at {cut}");
        let whole_to = frames.iter().map(|(range, _)| range.end).filter(|end| *end <= cut).max();
        let begin = frames[0].0.start;
        let torn = whole_to.map_or(cut.saturating_sub(begin), |end| cut - end);
        if cut >= begin {
            assert_eq!(spool.damage(), &Damage { bytes: torn as u64, ..Damage::default() }, "cut at {cut}");
        }
        fill(&mut spool, 7..8);
        assert_eq!(ids(&mut spool), [7], "cut at {cut}: it goes on");
    }
}

#[test]
fn a_flipped_byte_costs_its_frame_and_no_other() {
    fault::skip_syncs();
    let folder = TempDir::new().unwrap();
    let mut spool = open_small(folder.path(), 1000);
    fill(&mut spool, 0..9);
    drop(spool);
    let files = segments(folder.path());
    assert!(files.len() >= 3);
    for (index, file) in files.iter().enumerate() {
        let bytes = fs::read(file).unwrap();
        let frames = frames_of(&bytes);
        // All of the header and of a frame's head, and some of what follows.
        let all = frames[0].0.start + 90;
        for at in (0..all).chain((all..bytes.len()).step_by(23)) {
            let copy = crashed(folder.path());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(copy.path().join(file.file_name().unwrap()), flipped).unwrap();
            let hit: BTreeSet<u64> =
                frames.iter().filter(|(range, _)| range.contains(&at)).map(|(_, id)| *id).collect();
            let expect: Vec<u64> = (0..9).filter(|id| !hit.contains(id)).collect();
            let mut spool = open(copy.path());
            let given = read_all(&mut spool);
            let what = format!("byte {at} of segment {index}");
            assert_eq!(given.iter().map(|(_, id)| *id).collect::<Vec<_>>(), expect, "{what}");
            assert!(hit.is_empty() || spool.damage().bytes > 0, "{what}");
            // In the last segment nobody can say what a broken head stood for.
            if !hit.is_empty() && index + 1 < files.len() {
                assert_eq!(spool.damage().lost.all, Amount { records: RECORDS, bytes: 300 }, "{what}");
                assert_eq!(spool.damage().lost.inputs["tail.0"].records, 1, "{what}");
            }
            given.iter().for_each(|(sequence, _)| assert!(spool.settle(*sequence)));
            assert_eq!(spool.pending(), Totals::default(), "{what}");
        }
    }
}

#[test]
fn noise_between_good_segments() {
    let folder = TempDir::new().unwrap();
    let mut spool = open_small(folder.path(), 1);
    fill(&mut spool, 0..5);
    drop(spool);
    for (file, noise) in [(1, vec![0; 200_000]), (2, Vec::new()), (3, super::super::frame::MAGIC.repeat(20_000))] {
        fs::write(&segments(folder.path())[file], noise).unwrap();
    }
    let mut spool = open(folder.path());
    assert_eq!(spool.pending().frames, 5);
    assert_eq!(ids(&mut spool), [0, 4]);
    assert_eq!(spool.damage().bytes, 200_000 + 160_000);
    assert_eq!(spool.damage().lost.frames, 3);
}

#[test]
fn segments_that_somebody_deleted() {
    let folder = TempDir::new().unwrap();
    let mut spool = open_small(folder.path(), 1);
    fill(&mut spool, 0..4);
    let given = spool.read().unwrap().unwrap();
    fs::remove_file(&segments(folder.path())[2]).unwrap();
    let mut found = Vec::new();
    for _ in 0..10 {
        found.extend(spool.read().ok().flatten().map(|taken| id(&taken.frame)));
    }
    assert_eq!(found, [1, 3]);
    assert_eq!(spool.damage().lost.frames, 1);
    assert!(spool.settle(given.sequence));
    drop(spool);
    let mut spool = open(folder.path());
    assert_eq!(ids(&mut spool), [1, 3]);
}

#[test]
fn a_damaged_cursor_sends_again() {
    let folder = TempDir::new().unwrap();
    let mut spool = open_small(folder.path(), 1);
    fill(&mut spool, 0..4);
    for saved in 0..3 {
        let taken = spool.read().unwrap().unwrap();
        assert_eq!(id(&taken.frame), saved);
        spool.settle(taken.sequence);
        spool.save_cursor().unwrap();
    }
    drop(spool);
    let name = folder.path().join("cursor.v1");
    let bytes = fs::read(&name).unwrap();
    for at in (0..bytes.len()).filter(|at| bytes[*at] != 0 || at % 999 == 0) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x20;
        let copy = crashed(folder.path());
        fs::write(copy.path().join("cursor.v1"), flipped).unwrap();
        let found = ids(&mut open(copy.path()));
        assert!(found.ends_with(&[3]), "byte {at}: {found:?}");
    }
    fs::write(&name, "").unwrap();
    let mut spool = open(folder.path());
    assert_eq!(spool.pending().frames, found_frames(folder.path()));
    assert!(ids(&mut spool).ends_with(&[3]));
}

fn found_frames(folder: &Path) -> u64 {
    segments(folder).iter().map(|file| frames_of(&fs::read(file).unwrap()).len() as u64).sum()
}

#[test]
fn a_newer_versions_files_are_left_alone() {
    let folder = TempDir::new().unwrap();
    let mut spool = open_small(folder.path(), 1);
    fill(&mut spool, 0..4);
    drop(spool);
    let files = segments(folder.path());
    let newer = |file: &Path| {
        let mut bytes = fs::read(file).unwrap();
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..12]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        fs::write(file, &bytes).unwrap();
        bytes
    };
    let (middle, last) = (newer(&files[1]), newer(&files[3]));
    let mut spool = open(folder.path());
    assert_eq!(spool.newer(), [files[3].clone()]);
    let sequence = spool.append(&frame(9, 10).draft()).unwrap();
    assert!(sequence > 1 << 32, "behind all that the newer segment can hold");
    spool.sync().unwrap();
    assert_eq!(ids(&mut spool), [0, 2, 9]);
    assert_eq!(spool.newer().len(), 2);
    while spool.drop_oldest().is_some() {}
    spool.save_cursor().unwrap();
    assert_eq!(segments(folder.path()), [files[1].clone(), files[3].clone()]);
    assert_eq!((fs::read(&files[1]).unwrap(), fs::read(&files[3]).unwrap()), (middle, last));
}
