//! The database file: SQLite in WAL mode, four tables.
//!
//! ```text
//! positions  one row per file and input, key (input, path, inode); path as bytes, open as pairs of little-endian u64,
//!            64-bit numbers as SQLite's signed ones, checksum over all other columns (row.rs)
//! life       one row: when its owner was last known to live (ms since 1970), for how long it ran in all (s)
//! known      one row per name that an output made: whose, the name, when it was last used (s of running time)
//! pods       what is known of pods (pods.rs)
//! cursors    one row per file of a journal (cursors.rs)
//! taken_over one row per input that began with the positions of another agent
//! ```
//!
//! A commit is one transaction. In WAL mode with `synchronous = NORMAL` it costs no fsync: after a power failure the last
//! commits may be missing, which sends some records twice; after a crash of the process none is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};
use xxhash_rust::xxh3::xxh3_64;

use super::cursors::{self, CursorKey, CursorRow};
use super::known::KnownKey;
use super::place::{self, APPLICATION_ID, VERSION};
use super::pods::{self, PendingPods};
use super::row::{Key, Row, ranges_to_bytes};
use super::rows::Rows;
use super::snapshot::Snapshot;
use super::{Position, StateError, Sync, fault};

const SCHEMA: &str = "
CREATE TABLE positions (
    input TEXT NOT NULL, path BLOB NOT NULL, inode INTEGER NOT NULL, device INTEGER NOT NULL,
    fingerprint_len INTEGER NOT NULL, fingerprint_hash INTEGER NOT NULL,
    settled INTEGER NOT NULL, size INTEGER NOT NULL, open BLOB NOT NULL, finished INTEGER NOT NULL,
    touched INTEGER NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (input, path, inode)
) STRICT, WITHOUT ROWID;
CREATE TABLE life (
    one INTEGER PRIMARY KEY, alive INTEGER NOT NULL, running INTEGER NOT NULL, checksum INTEGER NOT NULL
) STRICT;";

/// Not in the first databases of this version; made when it is needed.
const TAKEN_OVER: &str = "CREATE TABLE IF NOT EXISTS taken_over (input TEXT PRIMARY KEY) STRICT, WITHOUT ROWID";

/// As `TAKEN_OVER`.
const KNOWN: &str = "CREATE TABLE IF NOT EXISTS known (owner TEXT NOT NULL, name TEXT NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (owner, name)) STRICT, WITHOUT ROWID";

const PUT: &str = "INSERT OR REPLACE INTO positions (input, path, inode, device, fingerprint_len, fingerprint_hash,
    settled, size, open, finished, touched, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const REMOVE: &str = "DELETE FROM positions WHERE input = ? AND path = ? AND inode = ?";
const LIVE: &str = "INSERT OR REPLACE INTO life (one, alive, running, checksum) VALUES (1, ?, ?, ?)";
const SELECT: &str = "SELECT input, path, inode, device, fingerprint_len, fingerprint_hash,
    settled, size, open, finished, touched, checksum FROM positions";

/// An open database of ours.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
    /// Device and inode, to notice that somebody deleted or replaced the file.
    file: (u64, u64),
}

/// What a database held.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rows: BTreeMap<Key, Row>,
    /// Rows that do not agree with their checksum, made to begin again.
    pub(super) mended: Vec<(Key, Row)>,
    /// Rows of which not even the file is known.
    pub(super) unreadable: usize,
    /// Inputs that began with another agent's positions.
    pub(super) taken_over: BTreeSet<String>,
    /// What outputs have made, with the running time when it was last used.
    pub(super) known: BTreeMap<KnownKey, u64>,
    /// How far files of journals are settled.
    pub(super) cursors: BTreeMap<CursorKey, CursorRow>,
    pub(super) alive: Option<SystemTime>,
    pub(super) running: u64,
    /// Why the file is to be set aside; `rows` holds what could be read all the same.
    pub(super) damage: Option<String>,
}

/// Positions with their inputs; input, file and cursor of journals.
pub(super) type Copied = (Vec<(String, Position)>, Vec<(String, String, String)>);

impl Database {
    /// Makes an empty database. It gets its name when it is whole, so a file without our marks is never one half made by us.
    pub(super) fn create(path: &Path) -> Result<(), StateError> {
        let new = place::with_suffix(path, ".new");
        place::delete(&new);
        let io = |e: std::io::Error| StateError::from_io(path, &e);
        // SQLite would make it readable for all.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(io)?;
        fill(&new).map_err(|e| StateError::from_sqlite(path, &e))?;
        fs::rename(&new, path).map_err(io)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all()).map_err(io)
    }

    /// Opens a database of ours; [`StateError::Damaged`] and [`StateError::NotOurs`] leave the file as it is.
    /// `patience` is for locks of others, now; later ones are waited for only shortly.
    pub(super) fn open(path: &Path, sync: Sync, patience: Duration) -> Result<Database, StateError> {
        let metadata = fs::metadata(path).map_err(|e| StateError::from_io(path, &e))?;
        place::check_header(path)?;
        let fail = |e: rusqlite::Error| StateError::from_sqlite(path, &e);
        let connection = connect(path).map_err(fail)?;
        let database = Database { connection, path: path.into(), file: (metadata.dev(), metadata.ino()) };
        database.check_marks(patience)?;
        database.configure(sync).map_err(fail)?;
        Ok(database)
    }

    /// The rows of a database of ours, damaged ones left out, with their inputs; of a copy in `scratch`, since its owner may be
    /// at work.
    pub(super) fn read_copy(path: &Path, scratch: &Path) -> Result<Copied, StateError> {
        place::check_header(path)?;
        let copy = Snapshot::take(path, &[scratch])?;
        let read = || -> rusqlite::Result<Copied> {
            let mut statement = copy.connection.prepare(SELECT)?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(columns) = rows.next()? {
                if let Ok((key, row, true)) = Row::read(columns) {
                    found.push((key.input, row.position));
                }
            }
            Ok((found, cursors::listed(&copy.connection)?))
        };
        read().map_err(|e| copy.error(&e))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Closes without touching the files: no checkpoint, and no `-wal` deleted that is another's by now.
    pub(super) fn abandon(self) {
        let done = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        if let Err(error) = done {
            tracing::debug!("{} may be written once more: {error}", self.path.display());
        }
    }

    /// Is the open file still the one under its name?
    pub(super) fn is_in_place(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|named| (named.dev(), named.ino()) == self.file)
    }

    pub(super) fn set_sync(&self, sync: Sync) -> Result<(), StateError> {
        self.connection.pragma_update(None, "synchronous", sync.pragma()).map_err(|e| self.error(&e))
    }

    /// Everything in it. Damage is a finding, not an error.
    pub(super) fn load(&self) -> Result<Found, StateError> {
        let mut found = Found::default();
        match self.read_all(&mut found) {
            Err(StateError::Damaged { cause, .. }) => found.damage = Some(cause),
            other => other?,
        }
        Ok(found)
    }

    /// Writes all that is pending and the sign of life, in one transaction.
    pub(super) fn write(&mut self, rows: &Rows, pods: &PendingPods) -> Result<(), StateError> {
        let mut result = write(&mut self.connection, rows, pods);
        if result.as_ref().is_err_and(|e| e.sqlite_error_code() == Some(ErrorCode::DiskFull)) {
            // What the -wal holds fits into the file, as a rule, and then the -wal has room again.
            let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            result = emptied.and_then(|()| write(&mut self.connection, rows, pods));
        }
        result.map_err(|e| self.error(&e))
    }

    /// What is known of pods.
    pub(super) fn pods(&self) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        pods::read(&self.connection).map_err(|e| self.error(&e))
    }

    fn error(&self, error: &rusqlite::Error) -> StateError {
        StateError::from_sqlite(&self.path, error)
    }

    /// The marks again, through SQLite: those of an owner that was killed may still be in the `-wal`.
    fn check_marks(&self, patience: Duration) -> Result<(), StateError> {
        let mark = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let marks = fault::check().and_then(|()| {
            // Until it is known to be ours, not even closing it may write to it.
            self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            self.connection.busy_timeout(patience)?;
            Ok((mark("application_id")?, mark("user_version")?))
        });
        let (application_id, version) = marks.map_err(|e| self.error(&e))?;
        place::check_owner(&self.path, application_id.cast_unsigned(), version.cast_unsigned())
    }

    fn configure(&self, sync: Sync) -> rusqlite::Result<()> {
        let connection = &self.connection;
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", sync.pragma())?;
        connection.pragma_update(None, "cache_size", -512)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.query_row("PRAGMA wal_autocheckpoint = 256", [], |_| Ok(()))?;
        connection.query_row("PRAGMA journal_size_limit = 2097152", [], |_| Ok(()))?;
        connection.busy_timeout(Duration::from_millis(200))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        Ok(())
    }

    fn read_all(&self, found: &mut Found) -> Result<(), StateError> {
        let fail = |e: rusqlite::Error| self.error(&e);
        let life =
            self.read_life(found).and_then(|()| self.read_taken_over(found)).and_then(|()| self.read_known(found));
        let life = life.and_then(|()| {
            found.cursors = cursors::read(&self.connection)?;
            Ok(())
        });
        let rows = self.read_rows("", found);
        if rows.is_err() {
            // From the other end too: damage in the middle then costs only what stands on the damaged pages.
            drop(self.read_rows(" ORDER BY input DESC, path DESC, inode DESC", found));
        }
        life.and(rows).map_err(fail)?;
        let verdict: String = self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(fail)?;
        match verdict.as_str() {
            "ok" => Ok(()),
            _ => Err(StateError::Damaged { path: self.path.clone(), cause: verdict }),
        }
    }

    fn read_rows(&self, order: &str, found: &mut Found) -> rusqlite::Result<()> {
        fault::check()?;
        let mut statement = self.connection.prepare(&format!("{SELECT}{order}"))?;
        let mut rows = statement.query([])?;
        while let Some(columns) = rows.next()? {
            match Row::read(columns) {
                Ok((key, row, true)) => drop(found.rows.insert(key, row)),
                Ok((key, row, false)) => found.mended.push((key, row.begin_again())),
                Err(_) => found.unreadable += 1,
            }
        }
        Ok(())
    }

    fn read_taken_over(&self, found: &mut Found) -> rusqlite::Result<()> {
        if !self.connection.table_exists(None, "taken_over")? {
            return Ok(());
        }
        let mut statement = self.connection.prepare("SELECT input FROM taken_over")?;
        found.taken_over = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(())
    }

    fn read_known(&self, found: &mut Found) -> rusqlite::Result<()> {
        if !self.connection.table_exists(None, "known")? {
            return Ok(());
        }
        let mut statement = self.connection.prepare("SELECT owner, name, used FROM known")?;
        let row = |row: &rusqlite::Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)?.cast_unsigned()));
        found.known = statement.query_map([], row)?.collect::<rusqlite::Result<_>>()?;
        Ok(())
    }

    fn read_life(&self, found: &mut Found) -> rusqlite::Result<()> {
        fault::check()?;
        let mut statement = self.connection.prepare("SELECT alive, running, checksum FROM life")?;
        let mut rows = statement.query([])?;
        while let Some(columns) = rows.next()? {
            let (alive, running, checksum) = (columns.get(0)?, columns.get(1)?, columns.get::<_, i64>(2)?);
            if checksum == life_checksum(alive, running) {
                found.alive = UNIX_EPOCH.checked_add(Duration::from_millis(alive.cast_unsigned()));
                found.running = running.cast_unsigned();
            }
        }
        Ok(())
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    fault::check()?;
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// Tables and marks, all durable when it returns: in the file itself, not in a `-wal`.
fn fill(path: &Path) -> rusqlite::Result<()> {
    let connection = connect(path)?;
    fault::check()?;
    connection.execute_batch(&format!(
        "PRAGMA synchronous = FULL; BEGIN; {SCHEMA}
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    ))
}

fn write(connection: &mut Connection, rows: &Rows, pods: &PendingPods) -> rusqlite::Result<()> {
    fault::check()?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut put = transaction.prepare_cached(PUT)?;
        let mut remove = transaction.prepare_cached(REMOVE)?;
        for (key, row) in rows.pending() {
            fault::check()?;
            match row {
                Some(row) => write_row(&mut put, key, row)?,
                None => drop(remove.execute(params![key.input, key.path, key.inode.cast_signed()])?),
            }
        }
        for (number, input) in rows.pending_taken_over().enumerate() {
            fault::check()?;
            if number == 0 {
                transaction.execute_batch(TAKEN_OVER)?;
            }
            transaction.execute("INSERT OR IGNORE INTO taken_over (input) VALUES (?)", [input])?;
        }
        write_known(&transaction, rows)?;
        rows.cursors.write(&transaction)?;
        pods::write(&transaction, pods)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (alive, running) = (i64::try_from(now.as_millis()).unwrap_or(0), rows.running().cast_signed());
        transaction.prepare_cached(LIVE)?.execute(params![alive, running, life_checksum(alive, running)])?;
    }
    fault::check()?;
    transaction.commit()
}

fn write_known(transaction: &rusqlite::Transaction<'_>, rows: &Rows) -> rusqlite::Result<()> {
    for (number, ((owner, name), used)) in rows.known.pending().enumerate() {
        fault::check()?;
        if number == 0 {
            transaction.execute_batch(KNOWN)?;
        }
        match used {
            Some(used) => {
                let mut put =
                    transaction.prepare_cached("INSERT OR REPLACE INTO known (owner, name, used) VALUES (?, ?, ?)")?;
                put.execute(params![owner, name, used.cast_signed()])?;
            }
            None => {
                let mut remove = transaction.prepare_cached("DELETE FROM known WHERE owner = ? AND name = ?")?;
                remove.execute([owner, name])?;
            }
        }
    }
    Ok(())
}

fn write_row(put: &mut rusqlite::Statement<'_>, key: &Key, row: &Row) -> rusqlite::Result<()> {
    let position = &row.position;
    put.execute(params![
        key.input,
        key.path,
        key.inode.cast_signed(),
        position.device.cast_signed(),
        position.fingerprint.len,
        position.fingerprint.hash.cast_signed(),
        position.settled.cast_signed(),
        position.size.cast_signed(),
        ranges_to_bytes(&position.open),
        position.finished,
        row.touched.cast_signed(),
        row.checksum(&key.input).cast_signed(),
    ])?;
    Ok(())
}

fn life_checksum(alive: i64, running: i64) -> i64 {
    xxh3_64([alive.to_le_bytes(), running.to_le_bytes()].as_flattened()).cast_signed()
}

#[cfg(test)]
impl Database {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}
