//! Whose the folder is, and whose the file.

use std::collections::BTreeMap;

use super::*;

/// Every file in it but the lock.
fn bytes(folder: &Path, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let names = names(folder, prefix).into_iter().filter(|name| name.starts_with(prefix));
    names.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

/// `drave.db` is not for us: it must stay as it is while `drave.v1.db` does its work.
fn check_left_alone(folder: &Path) {
    let before = bytes(folder, "drave.db");
    let said = said(|| {
        let state = open(folder);
        assert!(state.owned());
        state.commit(vec![put("/a", 1, 1)]).unwrap();
        assert!(state.is_durable());
        drop(state);
        assert_eq!(open(folder).positions("tail"), [position("/a", 1, 1)]);
    });
    assert!(said.len() == 2 && said[0].contains("drave.v1.db") && said[0].contains("hint:"), "{said:#?}");
    let mut after = bytes(folder, "drave.db");
    after.remove("drave.db-shm");
    assert!(before.contains_key("drave.db"));
    assert!(before == after, "{:?} {:?}", before.keys(), after.keys());
    assert_eq!(on_disk(folder), [position("/a", 1, 1)]);
}

#[test]
fn of_a_newer_drave() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).commit(vec![put("/new", 5, 5)]).unwrap();
    Connection::open(folder.path().join("drave.db")).unwrap().pragma_update(None, "user_version", 2).unwrap();
    check_left_alone(folder.path());
}

#[test]
fn of_a_newer_drave_that_was_killed() {
    let live = TempDir::new().unwrap();
    let state = open(live.path());
    state.commit(vec![put("/new", 5, 5)]).unwrap();
    state.keeper().database().unwrap().connection().pragma_update(None, "user_version", 2).unwrap();
    let folder = crashed(live.path());
    assert_eq!(names(folder.path(), ""), ["drave.db", "drave.db-wal"]);
    check_left_alone(folder.path());
}

#[test]
fn of_another_program() {
    let folder = TempDir::new().unwrap();
    let fluent_bit = Connection::open(folder.path().join("drave.db")).unwrap();
    fluent_bit
        .execute_batch(
            "CREATE TABLE in_tail_files (id INTEGER PRIMARY KEY, name TEXT NOT NULL, offset INTEGER, inode INTEGER,
                created INTEGER, rotated INTEGER DEFAULT 0);
             INSERT INTO in_tail_files (name, offset, inode) VALUES ('/var/log/a', 12, 34);",
        )
        .unwrap();
    drop(fluent_bit);
    check_left_alone(folder.path());
}

#[test]
fn what_was_used_beside_stays_in_use() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).commit(Vec::new()).unwrap();
    Connection::open(folder.path().join("drave.db")).unwrap().pragma_update(None, "user_version", 2).unwrap();
    open(folder.path()).commit(vec![put("/a", 1, 1)]).unwrap();
    fs::remove_file(folder.path().join("drave.db")).unwrap();
    assert_eq!(open(folder.path()).positions("tail"), [position("/a", 1, 1)]);
    assert_eq!(names(folder.path(), ""), ["drave.lock", "drave.v1.db"]);
}

#[test]
fn the_second_agent_waits() {
    let folder = TempDir::new().unwrap();
    let first = open(folder.path());
    first.commit(vec![put("/a", 1, 1)]).unwrap();
    let second = open(folder.path());
    assert!(first.owned() && !second.owned() && !second.try_own() && !second.is_durable());
    assert_eq!(second.owner(), Some(std::process::id()));
    assert_eq!(first.owner(), None);
    assert!(second.positions("tail").is_empty());
    assert!(matches!(second.commit(Vec::new()), Err(StateError::Owned { pid: Some(_), .. })));
    drop(first);
    assert!(second.try_own() && second.owned() && second.is_durable());
    assert_eq!(second.owner(), None);
    assert_eq!(second.positions("tail"), [position("/a", 1, 1)]);
}

/// A new drave.db must not meet an old -wal: SQLite would replay it.
#[test]
fn a_wal_without_its_database() {
    let live = TempDir::new().unwrap();
    let state = open(live.path());
    state.commit(vec![put("/a", 1, 1)]).unwrap();
    let folder = crashed(live.path());
    fs::remove_file(folder.path().join("drave.db")).unwrap();
    let state = open(folder.path());
    assert!(state.positions("tail").is_empty());
    state.commit(vec![put("/b", 2, 2)]).unwrap();
    assert_eq!(on_disk(folder.path()), [position("/b", 2, 2)]);
    assert_eq!(names(folder.path(), "corrupt").len(), 1);
}
