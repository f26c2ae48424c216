//! The options of a tail section, checked.

use super::discover::Patterns;
use super::held::HeldLimits;
use super::tag::Tagging;
use crate::config::{Config, Duration, List, Report, Section, Size};
use crate::input::settings::{DbOptions, InputSettings};
use crate::parse::encoding::{Charset, Generic, Unicode};
use crate::parse::{self, Defined, DockerMode, LineFormat, Multiline, Parser};
use crate::state::Sync;
use std::path::PathBuf;
use std::sync::Arc;

crate::option_enum! {
    /// Where reading begins in files of which no position is known.
    pub enum ReadFromHead {
        /// At their beginning.
        On = "on" | "true" | "yes",
        /// At their end.
        Off = "off" | "false" | "no",
        /// At the beginning of young files, at the end of others.
        Auto = "auto",
    }
}

crate::options! {
    /// What is special to the input.
    pub struct TailOptions {
        /// Files to follow: globs, separated by commas. A `*` does not reach into deeper folders.
        path: List, "path", required;
        /// Files to leave out: globs, separated by commas; of the whole path or of the name alone.
        exclude_path: List, "exclude_path", default "";
        /// An expression over the path whose named groups stand as `<name>` in `tag`.
        tag_regex: String, "tag_regex", optional;
        /// A parser for each line: one of the `parsers`, or a built-in one: apache, nginx, json, logfmt, cri, docker and others.
        parser: String, "parser", optional;
        /// What is joined: the pieces of container formats (docker, cri), then the lines of traces (go, java, python, ruby, or one of the
        /// `multiline_parsers`).
        multiline_parser: List, "multiline.parser", default "";
        /// Joins lines in the older way, by `parser_firstline`; for new configurations there is `multiline.parser`.
        multiline: bool, "multiline", default "off";
        /// With `multiline on`: a parser that takes the first line of a record. What it does not take goes on with the record before.
        parser_firstline: String, "parser_firstline", optional;
        /// With `multiline on`: further parsers, `parser_1`, `parser_2` …; the fields of a line that one takes come to the record.
        parser_others: String, "parser_N", repeated;
        /// With `multiline on`: how long a record waits for its next line.
        multiline_flush: Duration, "multiline_flush", default "4";
        /// Joins the pieces of Docker's long lines before `parser` sees them; for new configurations there is `multiline.parser`.
        docker_mode: bool, "docker_mode", default "off";
        /// How long a line that has not come to its end waits for more while its file does not grow.
        docker_mode_flush: Duration, "docker_mode_flush", default "4";
        /// A parser that takes the first line of a record of several lines; what it does not take goes on with the record before.
        docker_mode_parser: String, "docker_mode_parser", optional;
        /// How files of Unicode text are written; a byte order mark in a file knows better.
        unicode_encoding: Unicode, "unicode.encoding", optional;
        /// The encoding of files that are not Unicode; other names of the web's encodings hold too.
        generic_encoding: Generic, "generic.encoding", optional;
        /// The key of a line's text.
        key: String, "key", default "log";
        /// A key that gets the path of the file.
        path_key: String, "path_key", optional;
        /// A key that gets the place in the file where the record begins, in bytes.
        offset_key: String, "offset_key", optional;
        /// Whether files that are there at the first start are read from their beginning; `auto`: those younger than ten minutes.
        read_from_head: ReadFromHead, "read_from_head", default "off";
        /// Whether files that are found after the start are read from their beginning; off: as `read_from_head` says.
        read_newly_discovered_files_from_head: bool, "read_newly_discovered_files_from_head", default "on";
        /// How often folders are scanned besides the events that they send.
        refresh_interval: Duration, "refresh_interval", default "60";
        /// How long a renamed or deleted file must stay quiet at its end before it is let go.
        rotate_wait: Duration, "rotate_wait", default "5";
        /// Whether a line longer than `buffer_max_size` is left out; else it is cut and marked.
        skip_long_lines: bool, "skip_long_lines", default "off";
        /// Cuts long lines, which is what happens anyway unless they are skipped.
        truncate_long_lines: bool, "truncate_long_lines", default "off";
        /// Whether empty lines are left out.
        skip_empty_lines: bool, "skip_empty_lines", default "off";
        /// How much is read of a file at a time (32k in Fluent Bit).
        buffer_chunk_size: Size, "buffer_chunk_size", default "256Ki";
        /// The longest line (32k in Fluent Bit).
        buffer_max_size: Size, "buffer_max_size", default "1Mi";
        /// Files that were not written to for so long are not opened; 0 opens all.
        ignore_older: Duration, "ignore_older", default "0";
        /// Ends when all files are read to their end.
        exit_on_eof: bool, "exit_on_eof", default "off";
        /// Ends when there are files, none has grown for so long and everything is delivered, as beside a Job's container; 0: never.
        exit_when_idle: Duration, "exit_when_idle", default "0";
        /// Off: folders are scanned each second instead of watched.
        inotify_watcher: bool, "inotify_watcher", default "on";
    }
    no_effect {
        "static_batch_size": "one block of each file is read in turn";
        "event_batch_size": "one block of each file is read in turn";
        "file_cache_advise": "the kernel's page cache is left as it is";
        "watcher_interval": "events and the clock of 50 to 150 ms see growth and rotation";
        "progress_check_interval": "growth is looked for every 50 to 150 ms";
        "progress_check_interval_nsec": "growth is looked for every 50 to 150 ms";
        "db.locking": "the state folder has one owner at a time anyway";
        "db.journal_mode": "positions are kept in a write-ahead log";
        "db.compare_filename": "files are known by their beginning, with inode or name";
        "ignore_active_older_files": "a file that is followed is read to its end";
    }
    deviations {
        "positions": "say what was delivered, not what was read, so that a crash loses nothing; what was on its way then may come twice";
        "`buffer_max_size`, `skip_long_lines`": "a line over 1 MiB is cut there and its record marked `drave.truncated`; Fluent Bit gives a file up at the first line over 32k, and then the rest of it is lost";
        "`buffer_chunk_size`": "is 256 KiB: larger reads cost less";
        "`rotate_wait`": "runs while a renamed or deleted file is quiet; what is still written to it is read first";
        "`refresh_interval`": "is for folders that send no events: elsewhere a new file is found at once";
        "rotated files": "are read to their end in their order after a restart too, those compressed by kubelet as well";
        "which file is which": "is known by its beginning, with inode or name, so that a used inode does not skip or repeat a file";
        "`ignore_older`": "leaves out files that were not written to for so long when they are found, not records";
        "container lines tagged `F:…` or `P:…`": "are container lines, as the format of CRI says; Fluent Bit takes them for text";
        "a trace whose next line does not come": "waits `flush_timeout` of its multiline parser, counted for its file and stream, and never while there is more to read; over a stop and a restart it is kept";
        "`multiline.parser docker, cri, java`": "joins the pieces of long lines and then the lines of traces, in one place; Fluent Bit tries them one after the other";
        "an empty line in a record of `multiline on`": "stays in it; Fluent Bit loses the record";
        "pieces whose last one does not come": "are kept over a stop and a restart, and sent when their file is over; not after some seconds";
        "`docker_mode`": "joins the pieces of each stream for itself, over a restart too; Fluent Bit joins those of both streams";
        "a byte order mark": "says more than `unicode.encoding`; text that an encoding does not allow becomes U+FFFD";
        "half a line at the end": "waits for its rest while the file has its name, and is sent, marked, when the file is over";
        "`db.sync`": "is about positions alone; in doubt, as after a power failure with `normal`, records are sent twice";
    }
}

/// Of `mem_limit`, the share of what is read of records whose end has not come.
const OPEN_SHARE: u64 = 2;

/// A section, ready to follow its files.
pub(super) struct Settings {
    /// Number among the configuration's inputs.
    pub(super) number: usize,
    /// Names its positions: the alias, else `path` as written; of several sections with one path the later ones are numbered.
    pub(super) name: String,
    pub(super) patterns: Patterns,
    pub(super) tagging: Tagging,
    /// The file named as `db`: that of Fluent Bit, maybe.
    pub(super) db: Option<PathBuf>,
    pub(super) sync: Option<Sync>,
    pub(super) format: LineFormat,
    /// What joins whole lines further.
    pub(super) multiline: Option<Arc<Multiline>>,
    /// A line's end belongs to its text, as in Fluent Bit where lines of files are joined.
    pub(super) keeps_line_end: bool,
    pub(super) charset: Charset,
    pub(super) options: TailOptions,
    /// For multiline parsers that pods ask for.
    pub(super) parsers: Arc<[Section]>,
    pub(super) multiline_parsers: Arc<[Section]>,
    /// Bytes of one joined text.
    pub(super) joined_bytes_max: usize,
    /// Bytes of the open texts of all files of all sections.
    pub(super) open_bytes_max: usize,
    pub(super) mem_buf_limit: u64,
    pub(super) held_limits: HeldLimits,
}

impl Settings {
    /// Does nothing here make fields of what a line says?
    pub(super) fn records_are_bare(&self) -> bool {
        let format = matches!(self.format, LineFormat::Plain | LineFormat::Container { docker: false, .. });
        format && self.multiline.as_ref().is_none_or(|multiline| !multiline.parses())
    }

    /// Checks a section; `index` counts the tail sections, for the tag of one that has none.
    pub(super) fn new(
        section: &Section,
        index: usize,
        number: usize,
        config: &Config,
        report: &mut Report,
    ) -> Option<Self> {
        let options = TailOptions::from_section(section, report);
        let db = DbOptions::from_section(section, report);
        let input = InputSettings::new(section, index, number, Some(path_as_written(section)));
        let (mut options, db, InputSettings { name, tag, mem_buf_limit, .. }) = (options?, db?, input?);
        let lines = lines(section, &options, config, report);
        let charset = charset(section, &options, report);
        let patterns = Patterns::new(section, &options, report);
        let tagging = Tagging::new(section, tag, options.tag_regex.as_deref(), report);
        if !options.multiline_parser.0.is_empty() {
            // As in Fluent Bit: a container's line that is not one keeps the usual key.
            options.key = "log".into();
            options.skip_empty_lines = false;
        }
        let (format, multiline) = lines?;
        let is_plain = matches!(format, LineFormat::Plain) && !options.multiline_parser.0.is_empty();
        Some(Self {
            number,
            name,
            patterns: patterns?,
            tagging: tagging?,
            sync: db.db.is_some().then(|| db.sync()),
            db: db.file(section),
            keeps_line_end: is_plain && multiline.is_some(),
            format,
            multiline: multiline.map(Arc::new),
            charset: charset?,
            joined_bytes_max: config.service.multiline_buffer_limit.0 as usize,
            held_limits: HeldLimits::new(&config.service),
            open_bytes_max: (config.service.mem_limit.0 / OPEN_SHARE) as usize,
            mem_buf_limit,
            options,
            parsers: config.parsers.clone().into(),
            multiline_parsers: config.multiline_parsers.clone().into(),
        })
    }

    /// Bytes read of a file at a time.
    pub(super) fn block_bytes(&self) -> usize {
        self.options.buffer_chunk_size.0.clamp(4 << 10, 4 << 20) as usize
    }

    /// The longest line, without its end.
    pub(super) fn line_bytes_max(&self) -> usize {
        self.options.buffer_max_size.0.clamp(1, 64 << 20) as usize
    }
}

/// All items of a list, since sections may differ in any of them.
fn path_as_written(section: &Section) -> String {
    section.all("path").map(|e| e.value.as_str()).collect::<Vec<_>>().join(", ")
}

/// What a line is, and what lines are joined to.
type Lines = (LineFormat, Option<Multiline>);

fn lines(section: &Section, options: &TailOptions, config: &Config, report: &mut Report) -> Option<Lines> {
    if !options.multiline_parser.0.is_empty() {
        return multiline(section, options, config, report);
    }
    if options.multiline {
        return legacy(section, options, config, report);
    }
    let format = match &options.parser {
        Some(name) => parser(section, "parser", name, config, report)?,
        None => LineFormat::Plain,
    };
    let format = if options.docker_mode { docker_mode(section, format, options, config, report)? } else { format };
    Some((format, None))
}

fn multiline(section: &Section, options: &TailOptions, config: &Config, report: &mut Report) -> Option<Lines> {
    let without_effect = [
        ("docker_mode", options.docker_mode, "multiline.parser docker joins pieces by itself"),
        ("multiline", options.multiline, "multiline.parser joins lines; take one of them out"),
    ];
    for (key, is_on, hint) in without_effect {
        if let Some(entry) = section.get(key).filter(|_| is_on) {
            let what = format!("`{key}` has no effect beside `multiline.parser`");
            report.note(Some(&entry.key_at), what, Some(hint.into()));
        }
    }
    let defined = Defined { parsers: &config.parsers, multiline_parsers: &config.multiline_parsers };
    match parse::multiline(&options.multiline_parser.0, defined) {
        Ok(lines) => Some(lines),
        Err((name, nearest)) => {
            let hint = match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("there are: {}", parse::MULTILINE.join(", ")),
            };
            let at = section.get("multiline.parser").map(|e| &e.value_at);
            report.error(at, format!("unknown multiline parser `{name}`"), Some(hint));
            None
        }
    }
}

/// `multiline on`.
fn legacy(section: &Section, options: &TailOptions, config: &Config, report: &mut Report) -> Option<Lines> {
    let mut of_key = |key: &str, name: &str| match parser(section, key, name, config, report)? {
        LineFormat::Parsed(parser) => Some(parser),
        _ => parse::parser(name, &[]),
    };
    let first = options.parser_firstline.as_ref().map(|name| of_key("parser_firstline", name));
    let mut others: Vec<(usize, Option<Arc<dyn Parser>>)> = Vec::new();
    for entry in &section.entries {
        let number = entry.key.strip_prefix("parser_").and_then(|number| number.parse().ok());
        others.extend(number.map(|number| (number, of_key(&entry.key, &entry.value))));
    }
    others.sort_by_key(|(number, _)| *number);
    let others = others.into_iter().map(|(_, parser)| parser).collect::<Option<Vec<_>>>()?;
    let Some(first) = first else {
        let at = section.get("multiline").map(|e| &e.key_at);
        let hint = "name a parser that takes the first line of a record, or use `multiline.parser`";
        report.error(at, "`multiline on` needs `parser_firstline`", Some(hint.into()));
        return None;
    };
    Some((LineFormat::Plain, Some(Multiline::legacy(first?, others, options.multiline_flush.0))))
}

fn parser(section: &Section, key: &str, name: &str, config: &Config, report: &mut Report) -> Option<LineFormat> {
    let format = parse::named(name, &config.parsers);
    if format.is_none() {
        let defined = config.parsers.iter().map(|p| p.name.as_str());
        let known: Vec<&str> = defined.chain(parse::BUILT_IN.iter().copied()).collect();
        let hint = match config.parsers.iter().find(|p| p.name == *name) {
            Some(_) => format!("its format or one of its options is not there; formats: {}", parse::FORMATS.join(", ")),
            None => format!("there are: {}", known.join(", ")),
        };
        let at = section.get(key).map(|e| &e.value_at);
        report.error(at, format!("the parser `{name}` cannot be used"), Some(hint));
    }
    format
}

fn docker_mode(
    section: &Section,
    format: LineFormat,
    options: &TailOptions,
    config: &Config,
    report: &mut Report,
) -> Option<LineFormat> {
    let parser = match format {
        LineFormat::Parsed(parser) => Some(parser),
        LineFormat::Container { docker: true, .. } => Some(parse::docker_lines()),
        LineFormat::Plain | LineFormat::DockerMode(_) => None,
        // Lines of CRI have no JSON to be joined in: as in Fluent Bit the parser sees them as they are.
        cri @ LineFormat::Container { .. } => return Some(cri),
    };
    let first_line = match &options.docker_mode_parser {
        Some(name) => match self::parser(section, "docker_mode_parser", name, config, report)? {
            LineFormat::Parsed(parser) => Some(parser),
            _ => Some(parse::docker_lines()),
        },
        None => None,
    };
    Some(LineFormat::DockerMode(DockerMode { parser, first_line }))
}

fn charset(section: &Section, options: &TailOptions, report: &mut Report) -> Option<Charset> {
    let Some(generic) = options.generic_encoding else {
        return Some(options.unicode_encoding.map_or(Charset::Utf8, Charset::from));
    };
    if let Some(entry) = section.get("unicode.encoding") {
        let hint = "a file has one encoding: remove one of them";
        report.error(Some(&entry.key_at), "`unicode.encoding` stands beside `generic.encoding`", Some(hint.into()));
        return None;
    }
    Some(generic.into())
}

#[cfg(test)]
impl Settings {
    /// Of a section with these options, in a flow mapping.
    pub(super) fn for_test(options: &str) -> Self {
        Self::all_for_test(&[options]).remove(0)
    }

    /// The same of several sections.
    pub(super) fn all_for_test(sections: &[&str]) -> Vec<Self> {
        use crate::config::{Environment, Syntax, load_text};
        let sections: Vec<String> = sections.iter().map(|options| format!("{{name: tail, {options}}}")).collect();
        let text = format!("pipeline: {{inputs: [{}]}}", sections.join(", "));
        let mut report = Report::default();
        let config = load_text(&text, Syntax::Yaml, &Environment::default(), &mut report);
        let of = |(number, section)| Self::new(section, number, number, &config, &mut report);
        let settings: Option<Vec<Self>> = config.inputs.iter().enumerate().map(of).collect();
        settings.unwrap_or_else(|| panic!("{report}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::settings::number_equal_names;

    #[test]
    fn each_section_has_a_name_of_its_own() {
        let sections =
            ["path: /a", "path: [/a, /b]", "path: [/c, /b]", "path: /a", "path: /x, alias: '/a #2'", "path: /a"];
        let mut settings = Settings::all_for_test(&sections);
        number_equal_names(settings.iter_mut().map(|section| &mut section.name));
        let names: Vec<&str> = settings.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["/a", "/a, /b", "/c, /b", "/a #2", "/a #2 #2", "/a #3"]);
    }
}
