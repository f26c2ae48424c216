//! Understanding lines: container formats, joining of their pieces, and parsers that replace a text by fields.

pub mod cri;
pub mod docker;
pub mod docker_mode;
pub mod encoding;
mod join;
mod multiline;
mod section;
mod json;
mod expression;
mod logfmt;
mod ltsv;
mod types;
mod time_field;
mod decode;
mod built_in;

pub use docker_mode::DockerMode;
pub use join::{Joiner, OpenBytes, OpenPiece};
pub use multiline::{Defined, Milliseconds, Multiline, MultilineOptions, Traces};
pub use section::TextParser;

use crate::config::{Opt, Report, Section};
use crate::record::{Batch, KeyNames, Span, Stream};
use std::ops::Range;
use std::sync::Arc;

/// A line of a container's log: the format around it taken apart, its text maybe only a part of what was printed.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// The time as written.
    pub time_text: Span,
    /// Standard output or error.
    pub stream: Stream,
    /// `b'F'` or `b'P'`.
    pub tag: u8,
    /// More of the same line follows.
    pub partial: bool,
    /// The text.
    pub text: Span,
    /// Further keys of the format, a range of the batch's fields.
    pub fields: (u32, u32),
}

/// Why a text stayed as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError;

/// Replaces a record's text by fields. On failure the record stays as it was.
pub trait Parser: Send + Sync {
    /// Parses one record of the batch.
    ///
    /// # Errors
    /// The text is not of this format.
    fn parse(&self, batch: &mut Batch, record: usize) -> Result<(), ParseError>;
}

/// What a line of a file is before any parser looks at it.
#[derive(Clone, Default)]
pub enum LineFormat {
    /// Its own text, maybe parsed.
    #[default]
    Plain,
    /// Text for a parser.
    Parsed(Arc<dyn Parser>),
    /// Docker's lines, joined before a parser sees them.
    DockerMode(DockerMode),
    /// Container formats: which of them may occur, whether pieces are joined, and the names of the keys.
    Container {
        /// `TIME STREAM TAG TEXT`.
        cri: bool,
        /// `{"log":…}`.
        docker: bool,
        /// `multiline.parser` joins, `parser` does not.
        join: bool,
        /// For CRI lines.
        cri_keys: &'static KeyNames,
    },
}

impl std::fmt::Debug for LineFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Parsed(_) => "parsed",
            Self::DockerMode(_) => "docker mode",
            Self::Container { .. } => "container",
        })
    }
}

/// What a `[PARSER]` section may hold.
pub const PARSER_OPTIONS: &[Opt] = section::ParserOptions::OPTIONS;
/// What differs from the parsers of Fluent Bit on purpose, and why.
pub const PARSER_DEVIATIONS: &[(&str, &str)] = section::ParserOptions::DEVIATIONS;
/// Formats of `[PARSER]` sections.
pub const FORMATS: &[&str] = &["regex", "json", "logfmt", "ltsv"];
/// Parsers that need no section.
pub const BUILT_IN: &[&str] = built_in::NAMES;
/// What `multiline.parser` may name.
pub const MULTILINE: &[&str] = &["cri", "docker", "go", "java", "python", "ruby"];

/// The parser of a name: a section of the configuration, else a built-in one. Its mistakes are reported by
/// [`check_sections`].
pub fn parser(name: &str, sections: &[Section]) -> Option<Arc<dyn Parser>> {
    let parser = match sections.iter().find(|s| s.name == name) {
        Some(section) => TextParser::from_section(section, &mut Report::default()),
        None => built_in::parser(name),
    };
    parser.map(|parser| Arc::new(parser) as Arc<dyn Parser>)
}

/// The format that `parser NAME` of an input asks for: container formats where they are built in, else its parser.
pub fn named(name: &str, sections: &[Section]) -> Option<LineFormat> {
    let container = |cri, docker| LineFormat::Container { cri, docker, join: false, cri_keys: &KeyNames::CRI_PARSER };
    let is_own = sections.iter().any(|s| s.name == name);
    match name {
        "cri" if !is_own => Some(container(true, false)),
        "docker" if !is_own => Some(container(false, true)),
        _ => parser(name, sections).map(LineFormat::Parsed),
    }
}

/// The built-in parser `docker` for lines whose pieces are joined already.
pub fn docker_lines() -> Arc<dyn Parser> {
    parser("docker", &[]).unwrap_or_else(|| unreachable!("a built-in parser is tested"))
}

/// Adds the members of an object to the fields of a batch; `false` where the text is none. It may reach over several lines.
pub fn object(batch: &mut Batch, text: Span) -> bool {
    let text = json::on_one_line(batch, text);
    json::read(batch, text)
}

/// Where the objects stand of a text that is nothing but JSON objects, one after the other.
pub fn objects(text: &[u8]) -> Option<Vec<Range<usize>>> {
    json::objects(text)
}

/// What `multiline.parser` asks for: which container formats are taken apart, and which lines are joined then.
///
/// # Errors
/// A name that is not known: it and the nearest one.
pub fn multiline(
    names: &[String],
    defined: Defined<'_>,
) -> Result<(LineFormat, Option<Multiline>), (String, Option<String>)> {
    let is_own = |name: &str| defined.multiline_parsers.iter().any(|section| section.name == name);
    let has = |name: &str| names.iter().any(|n| n == name) && !is_own(name);
    let (cri, docker) = (has("cri"), has("docker"));
    let format = match cri || docker {
        true => LineFormat::Container { cri, docker, join: true, cri_keys: &KeyNames::CRI },
        false => LineFormat::Plain,
    };
    let others = names.iter().map(String::as_str).filter(|name| is_own(name) || !["cri", "docker"].contains(name));
    let multiline = Multiline::named(others, defined)?;
    Ok((format, Some(multiline).filter(|multiline| !multiline.is_empty())))
}

/// Checks the sections of parsers; what is wrong is reported.
pub fn check_sections(defined: Defined<'_>, report: &mut Report) {
    multiline::check_sections(defined, report);
    let sections = defined.parsers;
    for (index, section) in sections.iter().enumerate() {
        if sections[..index].iter().any(|s| s.name == section.name) {
            let what = format!("parser {} is defined twice", section.name);
            report.error(Some(&section.at), what, Some("rename or remove one of them".into()));
        }
        let _ = TextParser::from_section(section, report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Syntax, load_text};
    use crate::record::{Record, Source, SourceDraft, json};

    /// `TIME|MEMBERS` of a record that was at the time 5, or nothing where the text does not fit.
    pub(super) fn parsed(parser: &dyn Parser, text: &str) -> Option<String> {
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let text = batch.append(text.as_bytes());
        batch.records.push(Record { text, time_ns: 5, ..Record::default() });
        parser.parse(&mut batch, 0).ok()?;
        let mut out = format!("{}|", batch.records[0].time_ns).into_bytes();
        json::push_members(&mut out, &batch, &batch.records[0], false);
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    fn of_options(options: &str) -> Result<TextParser, String> {
        let mut report = Report::default();
        let text = format!("parsers: [{{name: p, {options}}}]");
        let config = load_text(&text, Syntax::Yaml, &Environment::default(), &mut report);
        let parser = TextParser::from_section(&config.parsers[0], &mut report);
        parser.filter(|_| !report.has_errors()).ok_or_else(|| report.to_string())
    }

    #[test]
    fn options() {
        let iso = "time_key: time, time_format: '%Y-%m-%dT%H:%M:%S.%L%z'";
        let regex = r"format: regex, regex: '^(?<time>\S+) (?<a>\d*)$'";
        for (options, text, expect) in [
            (
                format!("format: json, {iso}"),
                r#"{"time":"2024-03-01T10:00:00.5Z","a":1}"#,
                Some(r#"1709287200500000000|"a":1"#),
            ),
            (format!("format: json, {iso}"), r#"{"time":"yesterday","a":1}"#, Some(r#"5|"time":"yesterday","a":1"#)),
            (format!("format: json, {iso}"), r#"{"time":1709287200,"a":1}"#, Some(r#"5|"time":1709287200,"a":1"#)),
            (
                format!("format: json, {iso}, time_keep: on"),
                r#"{"time":"2024-03-01T10:00:00.5Z"}"#,
                Some(r#"1709287200500000000|"time":"2024-03-01T10:00:00.5Z""#),
            ),
            (format!("{regex}, {iso}"), "2024-03-01T10:00:00.5Z 7", Some(r#"1709287200500000000|"a":"7""#)),
            (format!("{regex}, {iso}, types: 'a:integer'"), "yesterday 7", Some(r#"5|"time":"yesterday","a":7"#)),
            (format!("{regex}, {iso}"), "no match", None),
            (format!("{regex}, time_format: '%s'"), "1709287200 ", Some("1709287200000000000|")),
            (format!("{regex}, skip_empty_values: off"), "x ", Some(r#"5|"time":"x","a":"""#)),
            (
                "format: logfmt, time_format: '%s', types: 'n:integer'".into(),
                "time=1709287200 n=5",
                Some(r#"1709287200000000000|"n":5"#),
            ),
            ("format: logfmt, logfmt_no_bare_keys: on".into(), "a b=1", None),
            (
                "format: ltsv, time_format: '%F', time_strict: off".into(),
                "time:2024-03-x\ta:1",
                Some(r#"1709251200000000000|"a":"1""#),
            ),
            ("format: json, decode_field: json a".into(), r#"{"a":"{\"b\":1}"}"#, Some(r#"5|"a":"{\"b\":1}","b":1"#)),
        ] {
            let parser = of_options(&options).unwrap_or_else(|report| panic!("{report}"));
            assert_eq!(parsed(&parser, text).as_deref(), expect, "{options} of {text}");
        }
    }

    #[test]
    fn mistakes() {
        for (options, expect) in [
            ("format: regex", "has the format regex and no `regex`"),
            ("format: regex, regex: '('", "is no expression to parse with"),
            ("format: regex, regex: 'no group'", "it has no named group"),
            ("format: json, time_zone: Nowhere", "expected a name such as Europe/Berlin"),
            ("format: json, time_offset: two", "expected an offset such as +0200"),
            ("format: json, types: 'a:number'", "expected key:type"),
            ("format: json, decode_field_as: xml a", "there is no decoder `xml`"),
        ] {
            let report = of_options(options).err().unwrap_or_default();
            assert!(report.contains(expect), "{options}: {report}");
        }
    }

    #[test]
    fn an_expression_that_explodes_is_given_up() {
        let parser = of_options(r"format: regex, regex: '^(?<a>(x+x+)+)(?=y)$'").unwrap_or_else(|r| panic!("{r}"));
        assert_eq!(parsed(&parser, &"x".repeat(5000)), None);
        let parser = of_options(r"format: regex, regex: '(?<a>.*)(?<b>y)'").unwrap_or_else(|r| panic!("{r}"));
        assert_eq!(parsed(&parser, &"x".repeat(1 << 20)), None);
    }
}
