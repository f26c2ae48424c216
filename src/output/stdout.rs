//! Standard output: JSON for programs, on a terminal a coloured line for people.
//!
//! ```yaml
//! outputs:
//!   - name: stdout
//!     match: '*'
//!     format: json_lines     # json, json_stream, text; without it: text, on a terminal pretty
//! ```

use super::date::{DateOptions, JsonRecord};
use super::printed::{push_printed, push_quoted};
use super::{Limits, Needs, Outcome, Output, OutputPlugin, Pieces, Request, Start};
use crate::config::{Report, Section};
use crate::record::time::{DateFormat, push_date};
use crate::record::{Batch, Shape, Stream, json};
use futures_util::future::BoxFuture;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

pub(super) const PLUGIN: OutputPlugin = OutputPlugin {
    name: "stdout",
    about: "Writes records to standard output.",
    options: &[DateOptions::OPTIONS],
    deviations: &[
        &[(
            "`format`",
            "without it is `pretty` on a terminal, for people; elsewhere the plain text that Fluent Bit prints",
        )],
        DateOptions::DEVIATIONS,
    ],
    configure,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    JsonLines,
    Json,
    JsonStream,
    Text,
    Pretty,
}

fn configure(section: &Section, report: &mut Report) -> Option<Start> {
    let options = DateOptions::from_section(section, report)?;
    let format = match options.format.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("msgpack") => None,
        Some("json_lines") => Some(Format::JsonLines),
        Some("json") => Some(Format::Json),
        Some("json_stream") => Some(Format::JsonStream),
        Some("text") => Some(Format::Text),
        Some("pretty") => Some(Format::Pretty),
        Some(other) => {
            let at = section.get("format").map(|e| &e.value_at);
            let hint = "formats: json_lines, json, json_stream, text, pretty".to_owned();
            report.error(at, format!("option `format` of output stdout cannot be `{other}`"), Some(hint));
            return None;
        }
    };
    Some(Box::new(move |context| {
        let default = if context.terminal { Format::Pretty } else { Format::Text };
        Ok(Arc::new(Stdout { json: JsonRecord::new(&options), format: format.unwrap_or(default) }))
    }))
}

#[derive(Debug)]
struct Stdout {
    json: JsonRecord,
    format: Format,
}

impl Output for Stdout {
    fn limits(&self) -> Limits {
        let linger = (self.format == Format::Pretty).then_some(Duration::ZERO);
        Limits { bytes_max: 256 << 10, records_max: usize::MAX, linger, in_flight: 1, ordered: false }
    }

    fn needs(&self) -> Needs {
        Needs { text: true }
    }

    fn encode(&self, batch: &Batch, record: usize, out: &mut Vec<u8>) {
        match self.format {
            Format::JsonLines | Format::JsonStream => {
                self.json.push(out, batch, record);
                out.push(b'\n');
            }
            Format::Json => {
                self.json.push(out, batch, record);
                out.push(b',');
            }
            Format::Text => push_text(out, batch, record),
            Format::Pretty => push_pretty(out, batch, record),
        }
    }

    fn body(&self, _key: &str, pieces: &Pieces, body: &mut Vec<u8>) {
        match self.format {
            Format::Json => frame_array(&pieces.bytes, body),
            Format::Text => number_lines(pieces, body),
            _ => body.extend_from_slice(&pieces.bytes),
        }
        if self.format == Format::Json {
            body.push(b'\n');
        }
    }

    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Outcome> {
        let body = request.body.clone();
        Box::pin(async move {
            // Writing can block for as long as the reader of a pipe likes: not on a worker of the runtime.
            let written = tokio::task::spawn_blocking(move || {
                let mut out = std::io::stdout().lock();
                out.write_all(&body).and_then(|()| out.flush())
            });
            match written.await {
                Ok(Ok(())) => Outcome::Delivered,
                Ok(Err(error)) => again(format!("cannot write to standard output: {error}")),
                Err(error) => again(format!("writing to standard output ended early: {error}")),
            }
        })
    }
}

fn again(message: String) -> Outcome {
    Outcome::Again { after: None, cause: "io".into(), message, lasting: true }
}

/// `{…},{…},` → `[{…},{…}]`.
pub(super) fn frame_array(pieces: &[u8], body: &mut Vec<u8>) {
    // Grown bit by bit it would be copied again, and take up to twice its size.
    body.reserve_exact(pieces.len() + 2);
    body.push(b'[');
    body.extend_from_slice(pieces.strip_suffix(b",").unwrap_or(pieces));
    body.push(b']');
}

/// Puts `[0] `, `[1] ` … in front of the lines of one tag.
fn number_lines(pieces: &Pieces, body: &mut Vec<u8>) {
    let mut start = 0;
    for (index, piece) in pieces.list.iter().enumerate() {
        body.push(b'[');
        json::push_u64(body, index as u64);
        body.extend_from_slice(b"] ");
        body.extend_from_slice(&pieces.bytes[start..piece.end as usize]);
        start = piece.end as usize;
    }
}

/// Fluent Bit's plain form: `tag: [[seconds.nanos, {}], {"key"=>"value", …}]`.
fn push_text(out: &mut Vec<u8>, batch: &Batch, index: usize) {
    let record = &batch.records[index];
    let time = record.time_ns.max(0);
    let _ = write!(out, "{}: [[{}.{:09}, {{}}], ", batch.source.draft.tag, time / 1_000_000_000, time % 1_000_000_000);
    out.push(b'{');
    let mut first = true;
    batch.each_member(index, &mut |key, value| {
        out.extend_from_slice(if std::mem::take(&mut first) { b"" } else { b", " });
        push_quoted(out, key);
        out.extend_from_slice(b"=>");
        push_printed(out, value);
    });
    out.extend_from_slice(b"}]\n");
}

const DIM: &str = "\x1b[2m";
const CYAN: &str = "\x1b[36m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// `10:00:00.123 shop/web-1 main  the text`: time, where from, the message; standard error in red.
fn push_pretty(out: &mut Vec<u8>, batch: &Batch, index: usize) {
    let record = &batch.records[index];
    let mut date = Vec::new();
    push_date(&mut date, record.time_ns, DateFormat::JavaSqlTimestamp);
    let clock = String::from_utf8_lossy(&date[12..24]).into_owned();
    let _ = write!(out, "{DIM}{clock}{PLAIN} {CYAN}{}{PLAIN} ", origin(batch));
    if record.shape == Shape::Fields || record.text_gone {
        json::push_members(out, batch, record, false);
    } else {
        let red = record.stream == Stream::Stderr;
        out.extend_from_slice(if red { RED.as_bytes() } else { b"" });
        let text = batch.bytes(record.text);
        // Control characters of a log must not drive the terminal.
        for chunk in String::from_utf8_lossy(text.trim_ascii_end()).split(|c: char| c.is_control() && c != '\t') {
            out.extend_from_slice(chunk.as_bytes());
        }
        out.extend_from_slice(if red { PLAIN.as_bytes() } else { b"" });
    }
    out.push(b'\n');
}

/// `namespace/pod container`, else the tag.
fn origin(batch: &Batch) -> String {
    let pod = batch.source.draft.shared.iter().find(|s| s.key == "kubernetes").map(|s| &s.value);
    let part = |key: &str| pod.and_then(|p| p.get(key)).and_then(|v| v.as_str());
    match (part("namespace_name"), part("pod_name"), part("container_name")) {
        (Some(namespace), Some(pod), Some(container)) => format!("{namespace}/{pod} {container}"),
        _ => batch.source.draft.tag.clone(),
    }
}
