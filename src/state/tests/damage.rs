//! Files that are not what they were: set aside, made new, and no position moved forward by it.

use super::*;

const ROWS: u64 = 300;

/// A database of some pages, closed.
fn whole() -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    open(folder.path()).commit((0..ROWS).map(|i| put(&format!("/pods/{i}"), i, 1000 + i)).collect()).unwrap();
    fs::read(folder.path().join("drave.db")).unwrap()
}

/// Opens a folder with this database. Work must go on, and each row be right or begin again. Returns rows kept, and set aside.
fn check_damaged(bytes: &[u8], what: &str) -> (usize, bool) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("drave.db"), bytes).unwrap();
    let state = open(folder.path());
    assert!(state.is_durable(), "{what}: {:?}", state.commit(Vec::new()));
    let found = state.positions("tail");
    let right =
        |row: &Position| row.path.to_str().is_some_and(|path| *row == position(path, row.inode, 1000 + row.inode));
    let kept = found.iter().filter(|row| right(row)).count();
    let again = found.iter().filter(|row| row.settled == 0 && row.open.is_empty()).count();
    let wrong = found.iter().find(|row| !right(row) && row.settled != 0);
    assert_eq!(kept + again, found.len(), "{what}: {wrong:?}");
    state.commit(vec![put("/a", 1, 2)]).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(on_disk(folder.path()).contains(&position("/a", 1, 2)), "{what}");
    let aside = names(folder.path(), "drave.db.corrupt-");
    if let [aside, ..] = &aside[..] {
        assert_eq!(fs::read(folder.path().join(aside)).unwrap(), bytes, "{what}: evidence was changed");
        assert!(state.last_alive().is_some(), "{what}");
    }
    (kept, !aside.is_empty())
}

#[test]
fn not_a_database() {
    let noise: Vec<u8> = (0..20_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for bytes in [&noise[..], b"", b"{}", &[0; 4096], b"SQLite format 3\0"] {
        assert_eq!(check_damaged(bytes, &format!("{} bytes", bytes.len())), (0, true));
    }
    let mut bytes = whole();
    bytes[..100].fill(0);
    assert_eq!(check_damaged(&bytes, "zeroed header"), (0, true));
}

#[test]
fn set_aside_is_said() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("drave.db"), "garbage").unwrap();
    let said = said(|| drop(open(folder.path())));
    assert!(said.len() == 1 && said[0].contains("ERROR") && said[0].contains(".corrupt-"), "{said:?}");
    assert!(said[0].contains("hint:"));
}

#[test]
fn truncated() {
    let bytes = whole();
    for cut in (100..bytes.len()).step_by(3331) {
        let (_, aside) = check_damaged(&bytes[..cut], &format!("cut at {cut} of {}", bytes.len()));
        assert!(aside, "cut at {cut}");
    }
}

#[test]
fn a_page_of_noise_costs_only_its_rows() {
    let bytes = whole();
    let pages = bytes.len() / 4096;
    assert!(pages > 6);
    let mut best = 0;
    for page in 1..pages {
        let mut bytes = bytes.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0xa5);
        let (kept, aside) = check_damaged(&bytes, &format!("page {page}"));
        assert!(aside, "page {page}");
        best = best.max(kept);
    }
    assert!(best > ROWS as usize / 2, "{best} rows rescued at best");
}

#[test]
fn a_flipped_bit_never_moves_a_position() {
    let bytes = whole();
    for at in (0..bytes.len()).step_by(409) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        check_damaged(&bytes, &format!("bit {at}"));
    }
}

#[test]
fn damage_that_shows_itself_at_a_commit() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("drave.db"), whole()).unwrap();
    let state = open(folder.path());
    let mut expect = state.positions("tail");
    // The cache forgets what it has read, as it does with more rows than it can hold.
    state.keeper().database().unwrap().connection().execute_batch("PRAGMA shrink_memory").unwrap();
    let file = fs::OpenOptions::new().write(true).open(folder.path().join("drave.db")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xa5; 8 * 4096], 4096).unwrap();
    let said = said(|| state.commit(vec![put("/a", 1, 2)]).unwrap());
    assert!(said.len() == 1 && said[0].contains(".corrupt-"), "{said:?}");
    expect.insert(0, position("/a", 1, 2));
    assert_eq!(on_disk(folder.path()), expect, "memory had all of it");
    assert!(state.is_durable());
}

#[test]
fn tables_that_somebody_dropped() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).commit(vec![put("/a", 1, 2)]).unwrap();
    Connection::open(folder.path().join("drave.db")).unwrap().execute_batch("DROP TABLE life").unwrap();
    let state = open(folder.path());
    assert_eq!(state.positions("tail"), [position("/a", 1, 2)]);
    state.keeper().database().unwrap().connection().execute_batch("DROP TABLE positions").unwrap();
    state.commit(vec![put("/b", 2, 2)]).unwrap();
    assert_eq!(on_disk(folder.path()), [position("/a", 1, 2), position("/b", 2, 2)]);
}

#[test]
fn a_row_that_somebody_edited_begins_again() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).commit(vec![put("/a", 1, 1000), put("/b", 2, 1000)]).unwrap();
    let edit = "UPDATE positions SET settled = 2000 WHERE inode = 1; UPDATE life SET alive = 1;";
    Connection::open(folder.path().join("drave.db")).unwrap().execute_batch(edit).unwrap();
    let state = open(folder.path());
    let [first, second] = &state.positions("tail")[..] else { panic!("two rows") };
    assert_eq!((first.settled, first.fingerprint.len, &first.open[..]), (0, 0, &[][..]));
    assert_eq!(*second, position("/b", 2, 1000));
    assert_eq!(state.last_alive(), None);
}

#[test]
fn the_disk_is_not_filled_with_damaged_files() {
    let folder = TempDir::new().unwrap();
    for _ in 0..9 {
        fs::write(folder.path().join("drave.db"), "garbage").unwrap();
        open(folder.path()).commit(vec![put("/a", 1, 2)]).unwrap();
    }
    assert_eq!(names(folder.path(), "corrupt").len(), 5);
}
