//! What a destination refused for good, kept for people and for `drave replay`: a file of JSON lines, private to its owner.
//!
//! ```json
//! {"time":"2026-03-01T10:00:00.123456Z","output":"http.0","key":"","input":"tail.0","source":"app.log","reason":"http_400",
//!  "message":"the server answered 400: no such field","piece":"{\"log\":\"…\"}\n"}
//! ```
//! A piece that is not UTF-8 stands as `piece_base64`. At half of its limit the file is renamed to `PATH.1`, in place of the one before.

use super::request::{Finished, Origin};
use crate::output::Refusal;
use crate::record::json;
use crate::record::time::{DateFormat, push_date};
use base64::Engine as _;
use std::borrow::Cow;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file.
#[derive(Debug)]
pub(super) struct DeadLetters {
    path: PathBuf,
    bytes_max: u64,
    open: Option<(File, u64)>,
}

impl DeadLetters {
    pub(super) fn new(path: PathBuf, bytes_max: u64) -> Self {
        Self { path, bytes_max, open: None }
    }

    /// Makes the folder and the file, so that what is wrong with them is known before they are needed.
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        self.open = Some(open(&self.path)?);
        Ok(())
    }

    /// Appends lines with one write.
    pub(super) fn keep(&mut self, lines: &[u8]) -> io::Result<()> {
        self.make_room(lines.len() as u64)?;
        let (file, bytes) = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(open(&self.path)?),
        };
        *bytes += lines.len() as u64;
        let written = file.write_all(lines);
        if written.is_err() {
            // Opened anew next time: it may be another disk then.
            self.open = None;
        }
        written
    }

    /// Half of the limit for the file that is written, half for the one before.
    fn make_room(&mut self, more: u64) -> io::Result<()> {
        let full = |(_, bytes): &(File, u64)| *bytes > 0 && *bytes + more > self.bytes_max / 2;
        if self.open.is_none() {
            self.open = Some(open(&self.path)?);
        }
        if self.open.as_ref().is_some_and(full) {
            self.open = None;
            let mut before = self.path.clone().into_os_string();
            before.push(".1");
            std::fs::rename(&self.path, before)?;
        }
        Ok(())
    }
}

/// One line for each piece of a request, as `letter` gives it.
pub(super) fn lines(
    names: (&str, &[String]),
    request: &Finished,
    letter: &dyn for<'p> Fn(&'p [u8]) -> Cow<'p, [u8]>,
    refusal: &Refusal,
    time_ns: i64,
) -> Vec<u8> {
    let mut lines = Vec::new();
    for index in 0..request.pieces.list.len() {
        let piece = request.piece(index);
        push_letter(&mut lines, names, (request.origin(index), &*letter(&piece)), (&request.key, refusal), time_ns);
    }
    lines
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

fn push_letter(
    out: &mut Vec<u8>,
    (output, inputs): (&str, &[String]),
    (origin, piece): (Option<&Origin>, &[u8]),
    (key, refusal): (&str, &Refusal),
    time_ns: i64,
) {
    let (input, source) = match origin {
        Some(Origin::Source(source)) => {
            let input = inputs.get(source.draft.input).map_or("", String::as_str);
            (input, source.draft.path.as_deref().unwrap_or(&source.draft.tag))
        }
        Some(Origin::Spooled { input, source }) => (&**input, &**source),
        None => ("", ""),
    };
    out.extend_from_slice(b"{\"time\":");
    push_date(out, time_ns, DateFormat::Iso8601);
    let fields = [
        ("output", output),
        ("key", key),
        ("input", input),
        ("source", source),
        ("reason", &refusal.reason),
        ("message", &refusal.message),
    ];
    for (key, value) in fields {
        push_member(out, key, value);
    }
    match str::from_utf8(piece) {
        Ok(text) => push_member(out, "piece", text),
        Err(_) => push_member(out, "piece_base64", &base64::engine::general_purpose::STANDARD.encode(piece)),
    }
    out.extend_from_slice(b"}\n");
}

fn push_member(out: &mut Vec<u8>, key: &str, value: &str) {
    out.push(b',');
    json::push_utf8(out, key.as_bytes());
    out.push(b':');
    json::push_utf8(out, value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::super::request::tests::finished;
    use super::*;
    use serde_json::Value;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    #[test]
    fn a_file_that_cannot_be_written_is_known_before_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/dead.jsonl");
        DeadLetters::new(path.clone(), 1000).prepare().unwrap();
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(DeadLetters::new(path.join("under a file"), 1000).prepare().is_err());
    }

    fn refusal() -> Refusal {
        Refusal { reason: "http_400".into(), message: "the server answered 400: \"no\"".into() }
    }

    fn letters(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_piece_is_a_line_that_says_what_and_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let memory = Arc::new(Memory::new(1000, 1));
        let (request, _) = finished(&memory, &["{\"log\":\"a\"}\n", "{}"], &[2]);
        let mut dead = DeadLetters::new(path.clone(), 1 << 20);
        dead.keep(&lines(("http.0", &["tail.0".into()]), &request, &|piece| piece.into(), &refusal(), 1_000_000_000))
            .unwrap();
        let letters = letters(&path);
        assert_eq!(letters.len(), 2);
        let first = &letters[0];
        assert_eq!(first["piece"], "{\"log\":\"a\"}\n");
        assert_eq!(first["time"], "1970-01-01T00:00:01.000000Z");
        for (key, expect) in [("output", "http.0"), ("key", "k"), ("input", "tail.0"), ("reason", "http_400")] {
            assert_eq!(first[key], expect, "{key}");
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_too() {
        let mut out = Vec::new();
        push_letter(&mut out, ("o", &[]), (None, b"\xFFb"), ("k", &refusal()), 0);
        let letter: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(letter["piece_base64"], "/2I=");
    }

    #[test]
    fn the_file_and_the_one_before_stay_within_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let memory = Arc::new(Memory::new(1000, 1));
        let (request, _) = finished(&memory, &["a piece of some length"], &[1]);
        let mut dead = DeadLetters::new(path.clone(), 2000);
        for _ in 0..100 {
            dead.keep(&lines(("http.0", &[]), &request, &|piece| piece.into(), &refusal(), 0)).unwrap();
        }
        let before = folder.path().join("dead.jsonl.1");
        let bytes = |path: &Path| std::fs::metadata(path).unwrap().len();
        assert!(bytes(&path) <= 1000 && bytes(&before) <= 1000);
        assert!(!letters(&path).is_empty() && !letters(&before).is_empty());
    }
}
