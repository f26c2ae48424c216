//! What is known of pods, kept over a restart: one row per pod, an object that only the kubernetes filter understands.
//!
//! ```text
//! pods  uid, object (JSON), checksum over both
//! ```
//! It is a cache: what cannot be read or written is asked for anew. So only what is to be written is held in memory.

use rusqlite::{Connection, Transaction, params};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::Xxh3;

/// Not in the first databases of this version; made when it is needed.
const PODS: &str = "CREATE TABLE IF NOT EXISTS pods (
    uid TEXT PRIMARY KEY, object BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT, WITHOUT ROWID";

/// Pods by UID, to be written; `None` is one to be deleted.
pub(super) type PendingPods = BTreeMap<String, Option<Vec<u8>>>;

/// Every sound row.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
    if !connection.table_exists(None, "pods")? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare("SELECT uid, object, checksum FROM pods")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let rows: Vec<(String, Vec<u8>, i64)> = rows.collect::<rusqlite::Result<_>>()?;
    Ok(rows.into_iter().filter(|(uid, object, sum)| checksum(uid, object) == *sum).map(|(u, o, _)| (u, o)).collect())
}

/// Writes what is pending.
pub(super) fn write(transaction: &Transaction<'_>, pending: &PendingPods) -> rusqlite::Result<()> {
    if pending.is_empty() {
        return Ok(());
    }
    transaction.execute_batch(PODS)?;
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO pods (uid, object, checksum) VALUES (?, ?, ?)")?;
    let mut remove = transaction.prepare_cached("DELETE FROM pods WHERE uid = ?")?;
    for (uid, object) in pending {
        match object {
            Some(object) => put.execute(params![uid, object, checksum(uid, object)])?,
            None => remove.execute([uid])?,
        };
    }
    Ok(())
}

fn checksum(uid: &str, object: &[u8]) -> i64 {
    let mut hasher = Xxh3::new();
    hasher.update(uid.as_bytes());
    hasher.update(&[0]);
    hasher.update(object);
    hasher.digest().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_kept_forgotten_and_not_believed_when_they_changed() {
        let mut connection = Connection::open_in_memory().expect("a database");
        assert_eq!(read(&connection), Ok(Vec::new()));
        let mut change = |pending: &[(&str, Option<&str>)]| {
            let of = |(uid, object): &(&str, Option<&str>)| ((*uid).to_owned(), object.map(|o| o.as_bytes().to_vec()));
            let transaction = connection.transaction().expect("a transaction");
            write(&transaction, &pending.iter().map(of).collect()).expect("written");
            transaction.commit().expect("committed");
        };
        change(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
        change(&[("a", Some("4")), ("b", None), ("never", None)]);
        let row = |uid: &str, object: &str| (uid.to_owned(), object.as_bytes().to_vec());
        assert_eq!(read(&connection), Ok(vec![row("a", "4"), row("c", "3")]));
        connection.execute("UPDATE pods SET object = CAST('5' AS BLOB) WHERE uid = 'a'", []).expect("changed");
        assert_eq!(read(&connection), Ok(vec![row("c", "3")]));
    }
}
