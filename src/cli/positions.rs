//! `drave positions PATH`: how far each file is, from drave's state folder or database, or from Fluent Bit's database.
//!
//! ```text
//! INPUT       FILE                  INODE  FINGERPRINT            OFFSET  SIZE  LAG  OPEN
//! containers  /var/log/pods/…/0.log   131  1024:9ae16a3b2f90404f    5120  8192  3072    1
//! ```
//! Below them stand cursors of journals: `journalctl --after-cursor CURSOR` shows what is not settled. It only reads, and reads a copy: drave, or Fluent Bit, may be running.

use super::exit;
use super::table::{Column, table};
use crate::config::Environment;
use crate::state::{Fingerprint, Listed, ListedCursor, Listing, list};
use std::io::Write;
use std::path::Path;

/// How positions are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Format {
    /// A table
    #[default]
    Table,
    /// One JSON array
    Json,
}

pub(super) fn positions(path: &Path, format: Format) -> u8 {
    let listed = match list(path, &Environment::from_process().scratch_folder()) {
        Ok(listed) => listed,
        Err(error) => {
            eprintln!("error: no positions can be read from {}: {}", path.display(), error.reason());
            eprintln!("  hint: give the state folder, the drave.db in it, or the `db` of an input of Fluent Bit");
            return exit::USAGE;
        }
    };
    let text = match format {
        Format::Table => tables(&listed),
        Format::Json => json(&listed),
    };
    // Who closes the pipe has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    exit::OK
}

const COLUMNS: [Column; 8] = [
    ("INPUT", false),
    ("FILE", false),
    ("INODE", true),
    ("FINGERPRINT", false),
    ("OFFSET", true),
    ("SIZE", true),
    ("LAG", true),
    ("OPEN", true),
];

const JOURNAL_COLUMNS: [Column; 3] = [("INPUT", false), ("JOURNAL", false), ("CURSOR", false)];

/// Of what there is; with nothing the headings alone.
fn tables(listed: &Listing) -> String {
    let files = || table(COLUMNS, listed.files.iter().map(row));
    let cursors = || table(JOURNAL_COLUMNS, listed.cursors.iter().map(journal_row));
    match (listed.files.is_empty(), listed.cursors.is_empty()) {
        (_, true) => files(),
        (true, false) => cursors(),
        (false, false) => format!("{}\n{}", files(), cursors()),
    }
}

fn journal_row(journal: &ListedCursor) -> [String; 3] {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    [or_none(&journal.input), or_none(&journal.file), journal.cursor.escape_debug().to_string()]
}

fn row(file: &Listed) -> [String; 8] {
    let or_gone = |number: Option<u64>| number.map_or_else(|| "gone".to_owned(), |number| number.to_string());
    [
        file.input.clone().unwrap_or_else(|| "-".into()),
        file.path.display().to_string().escape_debug().to_string(),
        file.inode.to_string(),
        file.fingerprint.map_or_else(|| "-".into(), fingerprint),
        file.offset.to_string(),
        or_gone(file.size),
        file.lag().map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
        file.open.len().to_string(),
    ]
}

/// Bytes covered, and their hash.
fn fingerprint(fingerprint: Fingerprint) -> String {
    format!("{}:{:016x}", fingerprint.len, fingerprint.hash)
}

fn json(listed: &Listing) -> String {
    let file = |file: &Listed| {
        serde_json::json!({
            "input": file.input,
            "file": file.path.to_string_lossy(),
            "inode": file.inode,
            "fingerprint": file.fingerprint.map(fingerprint),
            "offset": file.offset,
            "size": file.size,
            "lag": file.lag(),
            "open": file.open,
        })
    };
    let journal = |journal: &ListedCursor| serde_json::json!({ "input": journal.input, "journal": journal.file, "cursor": journal.cursor });
    let all = listed.files.iter().map(file).chain(listed.cursors.iter().map(journal));
    format!("{:#}\n", serde_json::Value::Array(all.collect()))
}
