//! `drave spool DIR`: what the spools below `storage.path` hold, also while drave runs.
//!
//! ```text
//! OUTPUT  SEGMENTS    BYTES  FRAMES  RECORDS  SOURCE_BYTES  OLDEST  DAMAGED  NOTE
//! http.0         3  9437184      41    81920      20971520  3m 10s        -
//! ```
//! Pending is what lies behind the cursor, which a running drave stores each second. `--check` reads all frames and says how many bytes are
//! damaged. It only reads.

use super::exit;
use super::positions::Format;
use super::table::{Column, table};
use crate::spool::{Backlog, Listed, SegmentState, Spool, SpoolError};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A spool, and what is known of it.
struct Found {
    listed: Listed,
    backlog: Backlog,
    /// After a check.
    damaged_bytes: Option<u64>,
}

pub(super) fn spool(path: &Path, format: Format, check: bool) -> u8 {
    let found = match find(path, check) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("error: {error}");
            eprintln!("  hint: give the folder that `storage.path` names, and the right to read it");
            return exit::USAGE;
        }
    };
    let text = match format {
        Format::Table if found.is_empty() => format!("no spools in {}\n", path.display()),
        Format::Table => table(COLUMNS, found.iter().map(row)),
        Format::Json => format!("{:#}\n", Value::Array(found.iter().map(object).collect())),
    };
    // Who closes the pipe has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    exit::OK
}

fn find(path: &Path, check: bool) -> Result<Vec<Found>, SpoolError> {
    let spools = Spool::list(path)?.into_iter().filter(Listed::is_spool);
    let look = |listed: Listed| {
        let backlog = listed.backlog()?;
        let damaged_bytes = if check { Some(listed.examine()?.1) } else { None };
        Ok(Found { listed, backlog, damaged_bytes })
    };
    spools.map(look).collect()
}

const COLUMNS: [Column; 9] = [
    ("OUTPUT", false),
    ("SEGMENTS", true),
    ("BYTES", true),
    ("FRAMES", true),
    ("RECORDS", true),
    ("SOURCE_BYTES", true),
    ("OLDEST", true),
    ("DAMAGED", true),
    ("NOTE", false),
];

fn row(found: &Found) -> [String; 9] {
    let pending = &found.backlog.pending;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    [
        found.listed.output.escape_debug().to_string(),
        found.listed.segments.len().to_string(),
        found.listed.bytes().to_string(),
        pending.frames.to_string(),
        pending.all.records.to_string(),
        pending.all.bytes.to_string(),
        or_dash(age(found).map(rough)),
        or_dash(found.damaged_bytes.map(|bytes| bytes.to_string())),
        notes(&found.listed).join("; "),
    ]
}

/// What is not as it should be.
fn notes(listed: &Listed) -> Vec<String> {
    let count = |is: fn(&SegmentState) -> bool| listed.segments.iter().filter(|s| is(&s.state)).count();
    let kinds = [
        (count(|s| matches!(s, SegmentState::Newer(_))), "of a later version of drave, left alone"),
        (count(|s| *s == SegmentState::Damaged), "with a damaged beginning"),
        (count(|s| *s == SegmentState::Unreadable), "not readable"),
    ];
    kinds.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("segments {what}: {count}")).collect()
}

fn age(found: &Found) -> Option<Duration> {
    found.backlog.oldest.map(|oldest| SystemTime::now().duration_since(oldest).unwrap_or_default())
}

/// The two largest units.
fn rough(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

fn object(found: &Found) -> Value {
    let Listed { output, folder, segments, settled } = &found.listed;
    let pending = &found.backlog.pending;
    let amount = |records: u64, bytes: u64| json!({ "records": records, "source_bytes": bytes });
    let inputs = pending.inputs.iter().map(|(input, of)| (input.to_string(), amount(of.records, of.bytes)));
    let segment = |s: &crate::spool::ListedSegment| {
        let (state, made, version) = match s.state {
            SegmentState::Good(made) => ("good", Some(seconds(made)), None),
            SegmentState::Damaged => ("damaged", None, None),
            SegmentState::Newer(version) => ("newer", None, Some(version)),
            SegmentState::Unreadable => ("unreadable", None, None),
        };
        json!({ "file": s.path.to_string_lossy(), "bytes": s.bytes, "state": state, "made": made, "version": version })
    };
    json!({
        "output": output,
        "folder": folder.to_string_lossy(),
        "bytes": found.listed.bytes(),
        "cursor": settled.map(|(segment, offset)| json!({ "segment": segment, "offset": offset })),
        "pending": {
            "frames": pending.frames,
            "records": pending.all.records,
            "source_bytes": pending.all.bytes,
            "inputs": inputs.collect::<serde_json::Map<_, _>>(),
        },
        "oldest": found.backlog.oldest.map(seconds),
        "oldest_age_seconds": age(found).map(|age| age.as_secs()),
        "damaged_bytes": found.damaged_bytes,
        "segments": segments.iter().map(segment).collect::<Vec<_>>(),
    })
}

/// Since 1970.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        for (seconds, expect) in [(0, "0s"), (59, "59s"), (190, "3m 10s"), (7260, "2h 1m"), (90_000, "1d 1h")] {
            assert_eq!(rough(Duration::from_secs(seconds)), expect);
        }
    }
}
