//! A position database as Fluent Bit leaves it behind.
//!
//! ```text
//! let mut database = Database::create(&node.path("flb.db"), Version::V5);
//! database.follow(&node.path("logs/a.log"), 120);     // the file as it is now, read up to byte 120
//! database.end();                                     // or `kill`: the write-ahead log stays unfinished
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V2,
    V3,
    V4,
    V5,
}

impl Version {
    pub const ALL: [Version; 4] = [Version::V2, Version::V3, Version::V4, Version::V5];
}

pub struct Database {
    path: PathBuf,
    connection: Connection,
    version: Version,
}

impl Database {
    /// An empty one, with a write-ahead log as its default is.
    pub fn create(path: &Path, version: Version) -> Self {
        Self::create_with(path, version, "WAL")
    }

    pub fn create_with(path: &Path, version: Version, journal_mode: &str) -> Self {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let connection = Connection::open(path).unwrap();
        let columns = "id INTEGER PRIMARY KEY, name TEXT NOT NULL, offset INTEGER, inode INTEGER, created INTEGER, rotated INTEGER DEFAULT 0";
        connection.execute_batch(&format!("CREATE TABLE in_tail_files ({columns});")).unwrap();
        let mode = format!("PRAGMA journal_mode = {journal_mode}");
        connection.query_row(&mode, [], |_| Ok(())).unwrap();
        if version == Version::V5 {
            let add = |column| format!("ALTER TABLE in_tail_files ADD COLUMN {column} INTEGER DEFAULT 0;");
            connection.execute_batch(&(add("offset_marker") + &add("offset_marker_size"))).unwrap();
        }
        Self { path: path.into(), connection, version }
    }

    /// A file that it followed under this name.
    pub fn follow(&mut self, name: &Path, offset: u64) {
        self.row(name, fs::metadata(name).unwrap().ino(), offset, false);
    }

    /// A row as it may be.
    pub fn row(&mut self, name: &Path, inode: u64, offset: u64, rotated: bool) {
        let insert =
            "INSERT INTO in_tail_files (name, offset, inode, created, rotated) VALUES (?, ?, ?, 1700000000, ?)";
        let (offset, inode) = (offset.cast_signed(), inode.cast_signed());
        self.connection.execute(insert, (name.to_str().unwrap(), offset, inode, rotated)).unwrap();
        if self.version == Version::V5 {
            let mark =
                "UPDATE in_tail_files SET offset_marker = 7, offset_marker_size = 64 WHERE id = last_insert_rowid()";
            self.connection.execute(mark, []).unwrap();
        }
    }

    /// Ends as it should.
    pub fn end(self) {}

    /// What is in the write-ahead log stays there.
    pub fn kill(self) {
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        let wal = PathBuf::from(format!("{}-wal", self.path.display()));
        drop(self.connection);
        assert!(fs::metadata(wal).unwrap().len() > 0, "the log is unfinished");
    }
}

/// All files of a folder: bytes and time of the last change.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let content = |path: PathBuf| {
        let value = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
        (path, value)
    };
    entries.map(content).collect()
}
