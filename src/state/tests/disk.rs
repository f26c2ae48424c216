//! A disk that cannot be written to: said once, and made good later.

use rusqlite::ffi;

use super::*;

/// Opens a folder that is blocked, commits, unblocks it: the rows must be on disk then, and the trouble said once.
fn check_blocked(folder: &Path, unblock: impl FnOnce()) {
    let mut state = None;
    let said = said(|| {
        let opened = open(folder);
        assert!(opened.owned(), "nobody else has it, so there is nobody to wait for");
        for settled in 0..3 {
            hurry(&opened);
            let error = opened.commit(vec![put("/a", 1, settled)]).unwrap_err();
            assert!(matches!(error, StateError::Unavailable { .. }), "{error}");
        }
        assert!(!opened.is_durable());
        state = Some(opened);
    });
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("ERROR") && said[0].contains("hint:") && said[0].contains(&*folder.to_string_lossy()));
    let state = state.unwrap();
    assert_eq!(state.positions("tail"), [position("/a", 1, 2)]);
    unblock();
    assert!(state.commit(vec![put("/b", 2, 3)]).is_err(), "not before 10 s are over");
    hurry(&state);
    state.commit(Vec::new()).unwrap();
    assert!(state.is_durable());
    assert_eq!(on_disk(folder), [position("/a", 1, 2), position("/b", 2, 3)]);
}

#[test]
fn the_folder_cannot_be_made() {
    let parent = TempDir::new().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    check_blocked(&file.join("state"), || fs::remove_file(&file).unwrap());
}

#[test]
fn the_folder_is_a_file() {
    let parent = TempDir::new().unwrap();
    let file = parent.path().join("state");
    fs::write(&file, "").unwrap();
    check_blocked(&file, || fs::remove_file(&file).unwrap());
}

#[test]
fn a_folder_stands_where_a_file_should() {
    for name in ["drave.db", "drave.lock"] {
        let folder = TempDir::new().unwrap();
        let blocked = folder.path().join(name);
        fs::create_dir(&blocked).unwrap();
        fs::write(blocked.join("not empty"), "").unwrap();
        check_blocked(folder.path(), || fs::remove_dir_all(&blocked).unwrap());
    }
}

#[test]
fn a_folder_that_even_root_cannot_make() {
    let state = open(Path::new("/proc/drave/state"));
    state.commit(vec![put("/a", 1, 2)]).unwrap_err();
    assert_eq!(state.positions("tail"), [position("/a", 1, 2)]);
}

#[test]
fn rows_of_before_are_found_late() {
    let folder = TempDir::new().unwrap();
    let (usual, away) = (folder.path().join("drave.db"), folder.path().join("away"));
    open(folder.path()).commit(vec![put("/a", 1, 1), put("/b", 2, 2), put("/c", 3, 3)]).unwrap();
    fs::rename(&usual, &away).unwrap();
    fs::create_dir(&usual).unwrap();
    let state = open(folder.path());
    state.commit(vec![put("/a", 1, 9), put("/b", 2, 9)]).unwrap_err();
    state.commit(vec![remove("/b", 2)]).unwrap_err();
    fs::remove_dir(&usual).unwrap();
    fs::rename(&away, &usual).unwrap();
    hurry(&state);
    state.commit(Vec::new()).unwrap();
    assert_eq!(state.positions("tail")[0], position("/a", 1, 9), "memory is newer");
    assert_eq!(state.positions("tail").last(), Some(&position("/c", 3, 3)), "what only the disk knows is kept");
    assert_eq!(on_disk(folder.path()), state.positions("tail"));
}

#[test]
fn locked_by_another_program() {
    let folder = TempDir::new().unwrap();
    let state = open(folder.path());
    let other = Connection::open(folder.path().join("drave.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let said = said(|| {
        for settled in 0..2 {
            let begin = Instant::now();
            let error = state.commit(vec![put("/a", 1, settled), put("/b", 2, settled)]).unwrap_err();
            assert!(matches!(error, StateError::Locked { .. }), "{error}");
            assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
        }
    });
    assert!(said.len() == 1 && said[0].contains("WARN") && said[0].contains("hint:"), "{said:?}");
    other.execute_batch("COMMIT").unwrap();
    state.commit(vec![remove("/b", 2)]).unwrap();
    assert_eq!(on_disk(folder.path()), [position("/a", 1, 1)]);
}

#[test]
fn locked_at_start() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).commit(vec![put("/a", 1, 1), put("/b", 2, 2)]).unwrap();
    let other = Connection::open(folder.path().join("drave.db")).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let state = open(folder.path());
    assert!(state.owned());
    assert!(matches!(state.commit(vec![put("/a", 1, 5)]), Err(StateError::Locked { .. })));
    drop(other);
    hurry(&state);
    state.commit(Vec::new()).unwrap();
    assert_eq!(on_disk(folder.path()), [position("/a", 1, 5), position("/b", 2, 2)]);
}

#[test]
fn full() {
    let folder = TempDir::new().unwrap();
    let state = open(folder.path());
    let limit = |pages: u32| {
        let pragma = format!("PRAGMA max_page_count = {pages}");
        state.keeper().database().unwrap().connection().query_row(&pragma, [], |_| Ok(())).unwrap();
    };
    limit(8);
    let many = || (0..2000).map(|i| put(&format!("/{i}"), i, i)).collect::<Vec<_>>();
    let error = state.commit(many()).unwrap_err();
    assert!(matches!(error, StateError::Full { .. }), "{error}");
    state.commit(vec![put("/one", 1, 1)]).unwrap_err();
    limit(1 << 30);
    state.commit(vec![remove("/7", 7)]).unwrap();
    assert_eq!(on_disk(folder.path()).len(), 2000);
}

#[test]
fn deleted_under_us() {
    let folder = TempDir::new().unwrap();
    let state = open(folder.path());
    state.commit(vec![put("/a", 1, 1)]).unwrap();
    for name in names(folder.path(), "") {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    hurry(&state);
    state.commit(vec![put("/b", 2, 2)]).unwrap();
    assert_eq!(on_disk(folder.path()), [position("/a", 1, 1), position("/b", 2, 2)]);
    assert!(!open(folder.path()).owned(), "the lock has its name again");

    fs::remove_dir_all(folder.path()).unwrap();
    hurry(&state);
    state.beat();
    assert_eq!(on_disk(folder.path()).len(), 2);
}

#[test]
fn replaced_under_us() {
    let (folder, backup) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    open(backup.path()).commit(vec![put("/a", 1, 1), put("/c", 3, 3)]).unwrap();
    let state = open(folder.path());
    state.commit(vec![put("/a", 1, 5)]).unwrap();
    fs::rename(backup.path().join("drave.db"), folder.path().join("drave.db")).unwrap();
    fs::remove_file(folder.path().join("drave.db-wal")).unwrap();
    fs::remove_file(folder.path().join("drave.db-shm")).unwrap();
    hurry(&state);
    state.commit(Vec::new()).unwrap();
    assert_eq!(on_disk(folder.path()), [position("/a", 1, 5), position("/c", 3, 3)]);
}

/// The first disk call fails, then the second, and so on until none is left to fail; and each in every way.
#[test]
fn every_call_fails_once() {
    for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR, ffi::SQLITE_CANTOPEN, ffi::SQLITE_BUSY, ffi::SQLITE_CORRUPT] {
        for old in [false, true] {
            let failed = (0..).take_while(|&call| fail_one_call(code, call, old)).count();
            assert!(failed >= 8, "{failed} calls");
        }
    }
}

/// Calls without which no row of an old database is read, from either end: connect and marks.
const UNTIL_LOADED: u32 = 2;

/// False when the run had fewer calls.
fn fail_one_call(code: i32, call: u32, old: bool) -> bool {
    let folder = TempDir::new().unwrap();
    if old {
        open(folder.path()).commit(vec![put("/a", 1, 1), put("/old", 9, 9)]).unwrap();
    }
    fault::plan(Some((call, code)));
    let state = open(folder.path());
    let first = state.commit(vec![put("/a", 1, 2), put("/b", 2, 3)]);
    let second = state.commit(vec![put("/a", 1, 4), remove("/b", 2)]);
    let unused = fault::plan(None);
    hurry(&state);
    let third = state.commit(vec![put("/c", 3, 5)]);
    let results = format!("call {call} gives {code}: {first:?} {second:?} {third:?}");
    assert!(third.is_ok(), "{results}");
    let mut expect = vec![position("/a", 1, 4), position("/c", 3, 5)];
    // What was never read is lost with a damaged database, and with that only.
    if old && (code != ffi::SQLITE_CORRUPT || names(folder.path(), "corrupt").is_empty() || call >= UNTIL_LOADED) {
        expect.push(position("/old", 9, 9));
    }
    assert_eq!(state.positions("tail"), expect, "{results}");
    assert_eq!(on_disk(folder.path()), expect, "{results}");
    !unused
}
