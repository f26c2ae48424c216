//! Lines in files, one write a request, appended to whatever is there.
//!
//! ```yaml
//! outputs:
//!   - name: file
//!     match: '*'
//!     path: /logs/$kubernetes['namespace_name']   # a folder; without it the configuration's
//!     file: $kubernetes['pod_name'].log           # without it the tag
//!     mkdir: on
//!     format: plain                               # out_file, csv, ltsv, template, msgpack
//! ```
//! A file is opened for each request, so one that was renamed or deleted is simply made anew.

mod append;
mod destination;
mod format;

use super::{Limits, Needs, Outcome, Output, OutputPlugin, Pieces, Request, Start};
use crate::config::{Report, Section, Size};
use crate::record::{Batch, SourceDraft};
use append::Appender;
use destination::{Destination, MISSING, NO_FILE};
use format::Form;
use futures_util::future::BoxFuture;
use std::sync::Arc;

pub(super) const PLUGIN: OutputPlugin = OutputPlugin {
    name: "file",
    about: "Appends records to files.",
    options: &[FileOptions::OPTIONS],
    deviations: &[FileOptions::DEVIATIONS],
    configure,
};

crate::option_enum! {
    /// How a record is written.
    pub enum Format {
        /// `tag: [seconds.nanos, {…}]`.
        OutFile = "out_file",
        /// The record as JSON.
        Plain = "plain",
        /// The time and the values.
        Csv = "csv",
        /// Keys and values.
        Ltsv = "ltsv",
        /// The option `template`.
        Template = "template",
        /// Fluent Bit's events in MessagePack.
        Msgpack = "msgpack",
    }
}

crate::option_enum! {
    /// What becomes of a record that has no file.
    pub enum OnProblem {
        /// It is refused and counted.
        Error = "error",
        /// The same.
        Drop = "drop",
        /// It goes to the fallback file.
        Fallback = "fallback",
    }
}

crate::options! {
    /// What is special to the output.
    pub struct FileOptions {
        /// The folder; record accessors may stand in it.
        path: String, "path", optional;
        /// The file's name; record accessors may stand in it. Without it the tag, whose slashes make folders.
        file: String, "file", optional;
        /// Dates as `%Y-%m-%d` in `path` and `file`, by the record's time in UTC.
        enable_strftime: bool, "enable_strftime", default "false";
        /// Different files that records may name; 0 for any number.
        max_dynamic_files: u32, "max_dynamic_files", default "1024";
        /// For records that lack what `path` or `file` name, or have what is no name.
        on_missing_field: OnProblem, "on_missing_field", default "error";
        /// For records whose file would be one too many.
        on_limit_reached: OnProblem, "on_limit_reached", default "error";
        /// The fallback file's folder.
        fallback_path: String, "fallback_path", optional;
        /// Takes the records that have no file.
        fallback_file: String, "fallback_file", optional;
        /// The form of a line.
        format: Format, "format", default "out_file";
        /// Between values: `tab`, `space` or `comma`; csv has commas and ltsv tabs.
        delimiter: String, "delimiter", optional;
        /// Between key and value of ltsv: `tab`, `space` or `comma`; without it a colon.
        label_delimiter: String, "label_delimiter", optional;
        /// The line of format template; `{time}` is the time, `{key}` a value.
        template: String, "template", default "{time} {message}";
        /// Begins a new file of format csv with the names of the first record's keys.
        csv_column_names: bool, "csv_column_names", default "false";
        /// Makes missing folders.
        mkdir: bool, "mkdir", default "false";
        /// Renames a file that has become too large, and begins a new one.
        rotate: bool, "rotate", default "false";
        /// How large that is.
        rotate_max_size: Size, "rotate_max_size", default "100M";
        /// Renamed files that are kept; the oldest go.
        rotate_max_files: u32, "rotate_max_files", default "7";
        /// Compresses renamed files.
        rotate_gzip: bool, "rotate_gzip", default "true";
    }
    deviations {
        "a record that names no file": "is refused and counted, the others are written; in Fluent Bit its whole chunk is lost";
        "a folder that is missing or full": "keeps the data: it is written when there is room";
        "`path`": "may begin with a record accessor, and `fallback_file` is needed only to fall back";
    }
}

/// Encoded bytes in one write.
const BYTES_MAX: usize = 1 << 20;

fn configure(section: &Section, report: &mut Report) -> Option<Start> {
    let options = FileOptions::from_section(section, report)?;
    let destination = Destination::new(section, &options, report);
    let form = Form::new(section, &options, report);
    if options.rotate && (options.rotate_max_size.0 == 0 || options.rotate_max_files == 0) {
        let at = section.get("rotate_max_size").or(section.get("rotate_max_files")).map(|e| &e.value_at);
        report.error(at, "output file cannot rotate", Some("size and number of files begin at 1".into()));
        return None;
    }
    let (destination, form) = (destination?, form?);
    let appender = Arc::new(Appender::new(&options));
    Some(Box::new(move |_| Ok(Arc::new(File { destination, form, appender }))))
}

struct File {
    destination: Destination,
    form: Form,
    appender: Arc<Appender>,
}

impl Output for File {
    fn limits(&self) -> Limits {
        Limits { bytes_max: BYTES_MAX, records_max: usize::MAX, linger: None, in_flight: 1, ordered: false }
    }

    fn needs(&self) -> Needs {
        Needs { text: true }
    }

    fn key(&self, source: &SourceDraft, key: &mut String) {
        if !self.destination.is_dynamic() {
            self.destination.of_tag(&source.tag, key);
        }
    }

    fn keys_records(&self) -> bool {
        self.destination.is_dynamic()
    }

    fn record_key(&self, batch: &Batch, record: usize, key: &mut String) {
        self.destination.of_record(batch, record, key);
    }

    fn encode(&self, batch: &Batch, record: usize, out: &mut Vec<u8>) {
        self.form.push(out, batch, record);
    }

    fn body(&self, _key: &str, pieces: &Pieces, body: &mut Vec<u8>) {
        self.form.frame(pieces, body);
    }

    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Outcome> {
        let (file, body) = (Arc::clone(&request.key), request.body.clone());
        let (appender, headed) = (Arc::clone(&self.appender), self.form.has_head());
        Box::pin(async move {
            if let Some(reason) = file.strip_prefix(NO_FILE) {
                return no_file(reason);
            }
            // A disk may take its time: not on a worker of the runtime.
            let path = Arc::clone(&file);
            let written = tokio::task::spawn_blocking(move || {
                let (head, lines) = if headed { format::split_head(&body) } else { (&[][..], &body[..]) };
                appender.append(path.as_ref().as_ref(), head, lines)
            });
            match written.await {
                Ok(Ok(())) => Outcome::Delivered,
                Ok(Err(error)) => append::failed(&file, &error),
                Err(error) => append::failed(&file, &std::io::Error::other(error)),
            }
        })
    }
}

fn no_file(reason: &str) -> Outcome {
    if reason == MISSING {
        let message = "no file can be made of what the records say; hint: set `on_missing_field fallback` and `fallback_file` to keep them";
        return Outcome::Unfit { reason: MISSING, message: message.into() };
    }
    let message =
        "the records name more files than `max_dynamic_files`; hint: raise it, or set `on_limit_reached fallback`";
    Outcome::Unfit { reason: destination::TOO_MANY, message: message.into() }
}
