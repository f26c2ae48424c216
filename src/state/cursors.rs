//! How far the files of the systemd journal are settled: for each file the cursor of its last entry of which that is so.
//!
//! ```text
//! cursors  input, file (its id, 32 hexadecimal digits), cursor, when it was last put (s of running time), checksum over all
//! ```
//! A row goes when its input removes it, or when it was not put for long. One that does not fit its checksum is not believed: its
//! file is read again.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Transaction, params};
use xxhash_rust::xxh3::Xxh3;

/// Not in the first databases of this version; made when it is needed.
const CURSORS: &str = "CREATE TABLE IF NOT EXISTS cursors (
    input TEXT NOT NULL, file TEXT NOT NULL, cursor TEXT NOT NULL, touched INTEGER NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (input, file)) STRICT, WITHOUT ROWID";

/// An input, and a file.
pub(super) type CursorKey = (String, String);

/// The cursor, and when it was last put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CursorRow {
    cursor: String,
    touched: u64,
}

/// All cursors in memory, and which of them the database does not have yet.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    kept: BTreeMap<CursorKey, CursorRow>,
    pending: BTreeSet<CursorKey>,
}

impl Cursors {
    /// Each file of an input with its cursor.
    pub(super) fn of(&self, input: &str) -> Vec<(String, String)> {
        let first = (input.to_owned(), String::new());
        let own = self.kept.range(first..).take_while(|((of, _), _)| of == input);
        own.map(|((_, file), row)| (file.clone(), row.cursor.clone())).collect()
    }

    pub(super) fn put(&mut self, key: CursorKey, cursor: String, touched: u64) {
        self.pending.insert(key.clone());
        self.kept.insert(key, CursorRow { cursor, touched });
    }

    pub(super) fn remove(&mut self, key: CursorKey) {
        if self.kept.remove(&key).is_some() {
            self.pending.insert(key);
        }
    }

    /// Forgets what was not put since.
    pub(super) fn retire(&mut self, before: u64) {
        let old = self.kept.extract_if(.., |_, row| row.touched < before);
        self.pending.extend(old.map(|(key, _)| key));
    }

    /// A database was opened that has these. What this run knows is newer.
    pub(super) fn adopt(&mut self, found: BTreeMap<CursorKey, CursorRow>) {
        self.pending.extend(self.kept.keys().cloned());
        for (key, row) in found {
            if !self.pending.contains(&key) {
                self.kept.insert(key, row);
            }
        }
    }

    /// The same of a damaged database: they have to be written again.
    pub(super) fn rescue(&mut self, found: BTreeMap<CursorKey, CursorRow>) {
        for (key, row) in found {
            if !self.kept.contains_key(&key) && self.pending.insert(key.clone()) {
                self.kept.insert(key, row);
            }
        }
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn written(&mut self) {
        self.pending.clear();
    }

    /// Writes what is pending.
    pub(super) fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        super::fault::check()?;
        transaction.execute_batch(CURSORS)?;
        let insert = "INSERT OR REPLACE INTO cursors (input, file, cursor, touched, checksum) VALUES (?, ?, ?, ?, ?)";
        let mut put = transaction.prepare_cached(insert)?;
        let mut remove = transaction.prepare_cached("DELETE FROM cursors WHERE input = ? AND file = ?")?;
        for key @ (input, file) in &self.pending {
            super::fault::check()?;
            match self.kept.get(key) {
                Some(row) => {
                    put.execute(params![input, file, row.cursor, row.touched.cast_signed(), checksum(key, row)])?
                }
                None => remove.execute([input, file])?,
            };
        }
        Ok(())
    }
}

/// Every sound row.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<BTreeMap<CursorKey, CursorRow>> {
    if !connection.table_exists(None, "cursors")? {
        return Ok(BTreeMap::new());
    }
    let mut statement = connection.prepare("SELECT input, file, cursor, touched, checksum FROM cursors")?;
    let rows = statement.query_map([], |columns| {
        let touched = columns.get::<_, i64>(3)?.cast_unsigned();
        let row = CursorRow { cursor: columns.get(2)?, touched };
        Ok(((columns.get(0)?, columns.get(1)?), row, columns.get::<_, i64>(4)?))
    })?;
    let rows: Vec<(CursorKey, CursorRow, i64)> = rows.collect::<rusqlite::Result<_>>()?;
    let sound = rows.into_iter().filter(|(key, row, sum)| checksum(key, row) == *sum);
    Ok(sound.map(|(key, row, _)| (key, row)).collect())
}

/// Input, file and cursor of every sound row.
pub(super) fn listed(connection: &Connection) -> rusqlite::Result<Vec<(String, String, String)>> {
    Ok(read(connection)?.into_iter().map(|((input, file), row)| (input, file, row.cursor)).collect())
}

fn checksum((input, file): &CursorKey, row: &CursorRow) -> i64 {
    let mut hasher = Xxh3::new();
    for text in [input, file, &row.cursor] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&row.touched.to_le_bytes());
    hasher.digest().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(input: &str, file: &str) -> CursorKey {
        (input.to_owned(), file.to_owned())
    }

    #[test]
    fn cursors_are_kept_by_input_removed_and_not_believed_when_they_changed() {
        let mut connection = Connection::open_in_memory().expect("a database");
        let mut cursors = Cursors::default();
        assert_eq!(read(&connection), Ok(BTreeMap::new()));
        for (input, file, cursor) in [("a", "1", "s=1"), ("a", "2", "s=2"), ("ab", "1", "s=3")] {
            cursors.put(key(input, file), cursor.into(), 7);
        }
        let mut write = |cursors: &mut Cursors| {
            let transaction = connection.transaction().expect("a transaction");
            cursors.write(&transaction).expect("written");
            transaction.commit().expect("committed");
            cursors.written();
        };
        write(&mut cursors);
        cursors.remove(key("a", "1"));
        cursors.remove(key("a", "never"));
        write(&mut cursors);
        let mut again = Cursors::default();
        again.adopt(read(&connection).expect("rows"));
        assert_eq!(again.of("a"), [("2".to_owned(), "s=2".to_owned())]);
        assert_eq!(again.of("ab"), [("1".to_owned(), "s=3".to_owned())]);
        assert!(!again.has_pending());
        connection.execute("UPDATE cursors SET cursor = 's=9' WHERE input = 'a'", []).expect("changed");
        assert_eq!(read(&connection).expect("rows").len(), 1);
        again.retire(8);
        assert!(again.of("ab").is_empty() && again.has_pending());
    }
}
