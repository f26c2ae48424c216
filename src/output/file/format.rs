//! The forms of a line. csv, ltsv and template escape nothing, as in Fluent Bit: a value with a delimiter or a line end in it
//! cannot be told apart. Use `plain` for what a program shall read.

use super::super::printed::{push_lossy, push_printed, push_quoted};
use super::super::{Pieces, msgpack};
use super::{FileOptions, Format};
use crate::config::{Report, Section};
use crate::record::time::{DateFormat, push_date};
use crate::record::{Batch, Found, json};
use std::io::Write;

/// How lines are written.
#[derive(Debug)]
pub(super) struct Form {
    format: Format,
    delimiter: &'static str,
    label_delimiter: &'static str,
    /// Each piece begins with the names of its keys.
    names: bool,
    template: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The name of a key.
    Key(String),
}

impl Form {
    pub(super) fn new(section: &Section, options: &FileOptions, report: &mut Report) -> Option<Self> {
        let delimiter = delimiter(section, "delimiter", options.delimiter.as_deref(), report);
        let label_delimiter = self::delimiter(section, "label_delimiter", options.label_delimiter.as_deref(), report);
        let own = if options.format == Format::Ltsv { "\t" } else { "," };
        Some(Self {
            format: options.format,
            delimiter: delimiter.unwrap_or(own),
            label_delimiter: label_delimiter.unwrap_or(":"),
            names: options.format == Format::Csv && options.csv_column_names,
            template: parts(&options.template),
        })
    }

    /// Appends one record.
    pub(super) fn push(&self, out: &mut Vec<u8>, batch: &Batch, record: usize) {
        match self.format {
            Format::OutFile => {
                let _ = write!(out, "{}: [", batch.source.draft.tag);
                push_seconds(out, batch, record);
                out.extend_from_slice(b", ");
                push_object(out, batch, record);
                out.extend_from_slice(b"]\n");
            }
            Format::Plain => {
                push_object(out, batch, record);
                out.push(b'\n');
            }
            Format::Csv => self.push_csv(out, batch, record),
            Format::Ltsv => self.push_ltsv(out, batch, record),
            Format::Template => self.push_template(out, batch, record),
            Format::Msgpack => msgpack::push_record(out, batch, record),
        }
    }

    fn push_csv(&self, out: &mut Vec<u8>, batch: &Batch, record: usize) {
        if self.names {
            let mut names = b"timestamp".to_vec();
            batch.each_member(record, &mut |key, _| {
                names.extend_from_slice(self.delimiter.as_bytes());
                push_quoted(&mut names, key);
            });
            names.push(b'\n');
            out.extend_from_slice(&(names.len() as u32).to_le_bytes());
            out.extend_from_slice(&names);
        }
        let start = out.len();
        push_seconds(out, batch, record);
        let mut empty = true;
        batch.each_member(record, &mut |_, value| {
            out.extend_from_slice(self.delimiter.as_bytes());
            push_printed(out, value);
            empty = false;
        });
        if empty { out.truncate(start) } else { out.push(b'\n') }
    }

    fn push_ltsv(&self, out: &mut Vec<u8>, batch: &Batch, record: usize) {
        let start = out.len();
        out.extend_from_slice(b"\"time\"");
        out.extend_from_slice(self.label_delimiter.as_bytes());
        push_double(out, batch, record);
        let mut empty = true;
        batch.each_member(record, &mut |key, value| {
            out.extend_from_slice(self.delimiter.as_bytes());
            push_quoted(out, key);
            out.extend_from_slice(self.label_delimiter.as_bytes());
            push_printed(out, value);
            empty = false;
        });
        if empty { out.truncate(start) } else { out.push(b'\n') }
    }

    fn push_template(&self, out: &mut Vec<u8>, batch: &Batch, record: usize) {
        for part in &self.template {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Key(key) if key == "time" => push_double(out, batch, record),
                Part::Key(key) => match batch.find(record, key.as_bytes()) {
                    Some(found) => push_bare(out, found),
                    None => _ = write!(out, "{{{key}}}"),
                },
            }
        }
        out.push(b'\n');
    }

    /// Does the body begin with a head for new files, see [`split_head`]?
    pub(super) fn has_head(&self) -> bool {
        self.names
    }

    /// Puts the pieces together; of the names only the first piece's are kept.
    pub(super) fn frame(&self, pieces: &Pieces, body: &mut Vec<u8>) {
        if !self.names {
            return body.extend_from_slice(&pieces.bytes);
        }
        let mut start = 0;
        for (number, piece) in pieces.list.iter().enumerate() {
            let whole = &pieces.bytes[start..piece.end as usize];
            let (_, line) = split_head(whole);
            body.extend_from_slice(if number == 0 { whole } else { line });
            start = piece.end as usize;
        }
    }
}

/// The head, which stands behind its length, and the lines.
pub(super) fn split_head(body: &[u8]) -> (&[u8], &[u8]) {
    let Some((len, rest)) = body.split_first_chunk::<4>() else { return (&[], body) };
    rest.split_at_checked(u32::from_le_bytes(*len) as usize).unwrap_or((&[], rest))
}

/// `None` for its own; what is no known word changes nothing, as in Fluent Bit.
fn delimiter(section: &Section, key: &str, text: Option<&str>, report: &mut Report) -> Option<&'static str> {
    let text = text?;
    match text.to_ascii_lowercase().as_str() {
        "\\t" | "\t" | "tab" => Some("\t"),
        "space" => Some(" "),
        "comma" => Some(","),
        _ => {
            let at = section.get(key).map(|e| &e.value_at);
            let what = format!("option `{key}` of output file has no effect with `{text}`");
            report.note(at, what, Some("it can be tab, space or comma".into()));
            None
        }
    }
}

/// `a {key} b` → text, key, text. Of `{a{b}` only the inner brace counts.
fn parts(template: &str) -> Vec<Part> {
    let (mut parts, mut text, mut rest) = (Vec::new(), String::new(), template);
    while let Some(close) = rest.find('}') {
        let (before, behind) = (&rest[..close], &rest[close + 1..]);
        match before.rfind('{') {
            Some(open) => {
                text.push_str(&before[..open]);
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::Key(before[open + 1..].to_owned()));
            }
            None => text.push_str(&rest[..=close]),
        }
        rest = behind;
    }
    text.push_str(rest);
    parts.push(Part::Text(text));
    parts
}

/// A value without quotes around it.
fn push_bare(out: &mut Vec<u8>, found: Found<'_>) {
    if !found.is_string() {
        return push_printed(out, found);
    }
    let mut text = String::new();
    found.push_text(&mut text);
    push_lossy(out, text.as_bytes());
}

fn push_object(out: &mut Vec<u8>, batch: &Batch, record: usize) {
    out.push(b'{');
    json::push_members(out, batch, &batch.records[record], false);
    out.push(b'}');
}

fn push_seconds(out: &mut Vec<u8>, batch: &Batch, record: usize) {
    let time_ns = batch.records[record].time_ns.max(0);
    let _ = write!(out, "{}.{:09}", time_ns / 1_000_000_000, time_ns % 1_000_000_000);
}

/// Seconds with six decimals: through a double, as there.
fn push_double(out: &mut Vec<u8>, batch: &Batch, record: usize) {
    let mut date = Vec::new();
    push_date(&mut date, batch.records[record].time_ns, DateFormat::Double);
    let text = String::from_utf8_lossy(&date);
    let _ = write!(out, "{:.6}", text.parse::<f64>().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Shape, Source, SourceDraft};
    use std::sync::Arc;

    fn form(format: Format) -> Form {
        let template = parts("{time} {a} {b} {none} {x{c}} }{");
        Form { format, delimiter: ",", label_delimiter: ":", names: false, template }
    }

    fn lines(form: &Form, record: &serde_json::Value) -> String {
        let mut draft = SourceDraft { tag: "app".into(), ..SourceDraft::default() };
        record.as_object().unwrap().iter().for_each(|(key, value)| draft.share(key, value.clone(), false));
        let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
        let record = Record { time_ns: 1_709_287_200_123_456_789, shape: Shape::Fields, ..Record::default() };
        batch.records.extend([record, record]);
        let mut pieces = Pieces::default();
        for number in 0..2 {
            form.push(&mut pieces.bytes, &batch, number);
            pieces.list.push(crate::output::Piece { end: pieces.bytes.len() as u32, source_bytes: 1 });
        }
        let mut body = Vec::new();
        form.frame(&pieces, &mut body);
        let (head, lines) = if form.names { split_head(&body) } else { (&[][..], &body[..]) };
        let all = String::from_utf8_lossy(&[head, lines].concat()).into_owned();
        all.replacen("1709287200.123456789", "T", 9).replacen("1709287200.123457", "D", 9)
    }

    #[test]
    fn every_format() {
        let record = serde_json::json!({"a": "x \"y\"", "b": 1.5, "c": null, "d": {"e": [1, "z"]}});
        let object = record.to_string();
        let printed = "\"x \"y\"\",1.500000,nil,{\"e\"=>[1, \"z\"]}";
        for (format, expect) in [
            (Format::OutFile, format!("app: [T, {object}]\n")),
            (Format::Plain, format!("{object}\n")),
            (Format::Csv, format!("T,{printed}\n")),
            (
                Format::Ltsv,
                "\"time\":D,\"a\":\"x \"y\"\",\"b\":1.500000,\"c\":nil,\"d\":{\"e\"=>[1, \"z\"]}\n".to_owned(),
            ),
            (Format::Template, "D x \"y\" 1.500000 {none} {xnil} }{\n".to_owned()),
        ] {
            assert_eq!(lines(&form(format), &record), expect.repeat(2), "{}", format.name());
        }
        let named = Form { names: true, ..form(Format::Csv) };
        let expect = format!("timestamp,\"a\",\"b\",\"c\",\"d\"\nT,{printed}\nT,{printed}\n");
        assert_eq!(lines(&named, &record), expect);
        let empty = serde_json::json!({});
        assert_eq!(lines(&form(Format::Csv), &empty) + &lines(&form(Format::Ltsv), &empty), "");
    }
}
