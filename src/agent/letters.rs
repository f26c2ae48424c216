//! Reads a dead-letter file, as [`DeadLetters`](super::dead_letter::DeadLetters) writes it: a JSON object per line.

use base64::Engine as _;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Where a line lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) offset: u64,
    pub(super) len: usize,
}

/// What is needed to send a piece again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) output: String,
    pub(super) key: String,
    pub(super) input: String,
    pub(super) source: String,
    pub(super) piece: Vec<u8>,
}

/// One line of the file.
#[derive(Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    pub(super) span: Span,
    /// The letter, or why it is none.
    pub(super) letter: Result<Letter, String>,
}

/// The lines of a file, as many as there were when it was opened.
#[derive(Debug)]
pub(super) struct LetterFile {
    reader: BufReader<io::Take<File>>,
    file: File,
    number: u64,
    offset: u64,
}

impl LetterFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { reader: BufReader::new(file.try_clone()?.take(len)), file, number: 0, offset: 0 })
    }

    /// The next line; empty ones are passed over. `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut text = Vec::new();
            let len = self.reader.read_until(b'\n', &mut text)?;
            if len == 0 {
                return Ok(None);
            }
            self.number += 1;
            let span = Span { offset: self.offset, len };
            self.offset += len as u64;
            if !text.trim_ascii().is_empty() {
                return Ok(Some(Line { number: self.number, span, letter: read(&text) }));
            }
        }
    }

    /// A line again, as it stands in the file, with its end.
    pub(super) fn text(&self, span: Span) -> io::Result<Vec<u8>> {
        let mut text = vec![0; span.len];
        self.file.read_exact_at(&mut text, span.offset)?;
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        Ok(text)
    }
}

fn read(line: &[u8]) -> Result<Letter, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("no JSON object: {error}"))?;
    let Value::Object(fields) = value else { return Err("no JSON object".into()) };
    let text = |name: &str| text(&fields, name);
    let piece = match fields.get("piece_base64") {
        None => text("piece")?.into_bytes(),
        Some(_) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(text("piece_base64")?);
            decoded.map_err(|error| format!("`piece_base64` is no base64: {error}"))?
        }
    };
    Ok(Letter { output: text("output")?, key: text("key")?, input: text("input")?, source: text("source")?, piece })
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<String, String> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{name}` is no text")),
        None => Err(format!("`{name}` is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"time":"t","output":"o","key":"k","input":"i","source":"s","reason":"r","message":"m","piece":"{\"a\":1}\n"}"#;

    #[test]
    fn letters_are_read() {
        let letter = read(GOOD.as_bytes()).unwrap();
        assert_eq!(
            (letter.output.as_str(), letter.key.as_str(), letter.piece.as_slice()),
            ("o", "k", &b"{\"a\":1}\n"[..])
        );
        let binary = GOOD.replace(r#""piece":"{\"a\":1}\n""#, r#""piece_base64":"/2I=""#);
        assert_eq!(read(binary.as_bytes()).unwrap().piece, [0xFF, b'b']);
    }

    #[test]
    fn what_is_no_letter_is_said() {
        for (line, expect) in [
            ("not json", "no JSON object"),
            ("[1]", "no JSON object"),
            (&GOOD[..40], "no JSON object"),
            (&GOOD.replace("\"key\"", "\"kez\""), "`key` is missing"),
            (&GOOD.replace("\"piece\"", "\"pice\""), "`piece` is missing"),
            (&GOOD.replace("\"o\"", "1"), "`output` is no text"),
            (&GOOD.replace("\"piece\"", "\"piece_base64\""), "`piece_base64` is no base64"),
        ] {
            let error = read(line.as_bytes()).unwrap_err();
            assert!(error.starts_with(expect), "{line}: {error}");
        }
    }

    #[test]
    fn lines_have_their_numbers_and_can_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        std::fs::write(&path, format!("{GOOD}\n\nbad\n{GOOD}")).unwrap();
        let mut file = LetterFile::open(&path).unwrap();
        let lines: Vec<Line> = std::iter::from_fn(|| file.next().unwrap()).collect();
        let seen: Vec<(u64, bool)> = lines.iter().map(|line| (line.number, line.letter.is_ok())).collect();
        assert_eq!(seen, [(1, true), (3, false), (4, true)]);
        assert_eq!(file.text(lines[1].span).unwrap(), b"bad\n");
        assert_eq!(file.text(lines[2].span).unwrap(), format!("{GOOD}\n").as_bytes());
    }
}
