//! Understanding lines: container formats, joining of their pieces, and parsers that replace a text by fields.

pub mod cri;
pub mod docker;
pub mod docker_mode;
pub mod encoding;
mod join;
mod json;

pub use docker_mode::DockerMode;
pub use join::{Joiner, OpenBytes, OpenPiece};
pub use json::JsonParser;

use crate::config::{Opt, Report, Section, nearest};
use crate::record::{Batch, KeyNames, Span, Stream};
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
pub const PARSER_OPTIONS: &[Opt] = json::ParserOptions::OPTIONS;
/// Formats of `[PARSER]` sections.
pub const FORMATS: &[&str] = &["json"];
/// Parsers that need no section.
pub const BUILT_IN: &[&str] = &["cri", "docker", "json"];
/// What `multiline.parser` may name.
pub const MULTILINE: &[&str] = &["cri", "docker"];

/// The format that `parser NAME` asks for: a section of the configuration, else a built-in one.
pub fn named(name: &str, sections: &[Section]) -> Option<LineFormat> {
    let container = |cri, docker| LineFormat::Container { cri, docker, join: false, cri_keys: &KeyNames::CRI_PARSER };
    if let Some(section) = sections.iter().find(|s| s.name == name) {
        return JsonParser::from_section(section, &mut Report::default())
            .map(|parser| LineFormat::Parsed(Arc::new(parser)));
    }
    match name {
        "cri" => Some(container(true, false)),
        "docker" => Some(container(false, true)),
        "json" => Some(LineFormat::Parsed(Arc::new(JsonParser::plain()))),
        _ => None,
    }
}

/// The built-in parser `docker` for lines whose pieces are joined already.
pub fn docker_lines() -> Arc<dyn Parser> {
    Arc::new(JsonParser::docker())
}

/// The format that `multiline.parser` asks for.
///
/// # Errors
/// A name that is not known: it and the nearest one.
pub fn multiline(names: &[String]) -> Result<LineFormat, (String, Option<&'static str>)> {
    if let Some(unknown) = names.iter().find(|n| !MULTILINE.contains(&n.as_str())) {
        return Err((unknown.clone(), nearest(unknown, MULTILINE.iter().copied())));
    }
    let has = |name: &str| names.iter().any(|n| n == name);
    Ok(LineFormat::Container { cri: has("cri"), docker: has("docker"), join: true, cri_keys: &KeyNames::CRI })
}

/// Checks the `[PARSER]` sections; unknown formats and options are reported.
pub fn check_sections(sections: &[Section], report: &mut Report) {
    for (index, section) in sections.iter().enumerate() {
        if sections[..index].iter().any(|s| s.name == section.name) {
            let what = format!("parser {} is defined twice", section.name);
            report.error(Some(&section.at), what, Some("rename or remove one of them".into()));
        }
        let _ = JsonParser::from_section(section, report);
    }
}
