//! Damaged files: no panic, no endless loop, and nothing that was not written.

use super::support::journal::{Form, Shown, Tools};
use super::{Damaged, entries, read};
use std::collections::HashMap;
use std::fs;

/// What is found must be what was there. The times of an entry have no checksum: there the fields alone are compared.
#[track_caller]
fn check(found: &[Shown], expected: &HashMap<&[Vec<u8>], &str>, times: bool, what: &str) {
    for entry in found {
        let cursor = expected.get(entry.fields.as_slice());
        let cursor = cursor.unwrap_or_else(|| panic!("{what}: nobody wrote {entry:?}"));
        assert!(!times || *cursor == entry.cursor, "{what}: {entry:?} stood at {cursor}");
    }
}

/// Without the room behind the last object.
fn used(mut bytes: Vec<u8>) -> Vec<u8> {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let end = word(136) + word(word(136) + 8);
    bytes.truncate(end.next_multiple_of(8));
    bytes
}

fn forms() -> [Form; 3] {
    let plain = Form::default();
    [
        plain,
        Form { keyed: true, compressed: true, ..plain },
        Form { keyed: true, compact: true, compressed: true, ..plain },
    ]
}

#[test]
fn a_file_cut_at_each_kib_gives_what_is_whole() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (number, form) in forms().into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.journal"));
        tools.write(&path, &entries(300), form);
        let all = tools.read(&path, &[]);
        let expected: HashMap<&[Vec<u8>], &str> =
            all.iter().map(|e| (e.fields.as_slice(), e.cursor.as_str())).collect();
        let bytes = used(fs::read(&path).unwrap());
        let file = Damaged::none(bytes.clone());
        let mut before = 0;
        // The tables of hashes come first, and are larger than the rest.
        let cuts = (0..bytes.len()).step_by(1024).filter(|cut| *cut < 4096 || bytes[*cut..].len() < (400 << 10));
        for cut in cuts.chain([bytes.len()]) {
            let (found, _) = read(&Damaged { len: cut, ..file.clone() });
            check(&found, &expected, true, &format!("{form:?} cut at {cut}"));
            assert!(found.len() >= before, "{form:?} cut at {cut}: {} after {before}", found.len());
            before = found.len();
        }
        assert_eq!(before, 300, "{form:?}");
    }
}

#[test]
fn a_flipped_bit_costs_entries_and_invents_none() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (number, form) in forms().into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.journal"));
        tools.write(&path, &entries(120), form);
        let all = tools.read(&path, &[]);
        let expected: HashMap<&[Vec<u8>], &str> =
            all.iter().map(|e| (e.fields.as_slice(), e.cursor.as_str())).collect();
        let bytes = used(fs::read(&path).unwrap());
        // Where the first field stands: the tables before it are zeros, mostly.
        let first = bytes.iter().enumerate().skip(8192).position(|(at, byte)| at % 8 == 0 && *byte == 1).unwrap_or(0);
        let file = Damaged::none(bytes.clone());
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut lost = 0;
        for round in 0..600 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at =
                if round % 4 == 0 { random as usize % 272 } else { first + random as usize % (bytes.len() - first) };
            let (place, bit) = (at / 8 * 8, at % 8 * 8 + (random >> 40 & 7) as usize);
            let (found, damaged) = read(&file.with(place, file.word(place) ^ 1 << bit));
            check(&found, &expected, false, &format!("{form:?} bit {} of byte {at}", random >> 40 & 7));
            lost += usize::from(found.len() < all.len());
            assert!(found.len() == all.len() || damaged > 0 || at < 272, "{form:?} byte {at}: lost without a word");
        }
        assert!(lost > 80, "{form:?}: {lost}");
    }
}

#[test]
fn offsets_and_sizes_that_mean_harm_are_survived() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (number, form) in forms().into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.journal"));
        tools.write(&path, &entries(40), form);
        let all = tools.read(&path, &[]);
        let expected: HashMap<&[Vec<u8>], &str> =
            all.iter().map(|e| (e.fields.as_slice(), e.cursor.as_str())).collect();
        let file = Damaged::none(used(fs::read(&path).unwrap()));
        let len = file.len as u64;
        let objects = (0..file.len).step_by(8).filter(|at| *at < 272 || *at > file.len - (12 << 10));
        for (round, at) in objects.enumerate() {
            // Itself, what comes before and behind it, the ends of everything.
            let harmful =
                [0, 16, 272, at as u64, at as u64 - at as u64 % 64, len - 8, len, u64::MAX - 7, i64::MAX as u64 - 7];
            for word in [harmful[round % harmful.len()], harmful[(round / 3 + 5) % harmful.len()]] {
                let (found, _) = read(&file.with(at, word));
                check(&found, &expected, false, &format!("{form:?} {word:#x} at {at}"));
            }
        }
    }
}
