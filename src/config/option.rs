//! Options are declared once, next to their plugin, with [`options!`](crate::options): the struct, the parser and the
//! reference come from that.

use super::{Entry, Report, Section};

/// One option as the reference shows it.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// In lower case, dots included: `multiline.parser`.
    pub name: &'static str,
    /// `size`, `time`, `boolean`, …
    pub kind: &'static str,
    /// Required, optional, with a default, or repeated.
    pub presence: Presence,
    /// One sentence or more.
    pub help: &'static str,
}

/// Must an option be there, and what holds when it is not?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// An error when missing.
    Required,
    /// May be missing.
    Optional,
    /// May stand several times.
    Repeated,
    /// This text holds when it is missing.
    Default(&'static str),
}

/// A type that an option's text can be read as.
pub trait OptionValue: Sized {
    /// The word of the reference: `size`, `boolean`, `json|json_lines`.
    const KIND: &'static str;
    /// Reads the text of a value.
    ///
    /// # Errors
    /// What is expected instead, as in "expected a size such as 32k or 5M".
    fn parse(text: &str) -> Result<Self, String>;
}

/// Bytes: `512`, `32k`, `5M`, `1G`; powers of 1,024 but for what the field writes as decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A length of time: `5` (seconds), `0.5`, `10s`, `2m`, `1h`, `7d`, `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

/// Comma-separated texts, blanks around them cut, empty ones left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List(pub Vec<String>);

impl OptionValue for String {
    const KIND: &'static str = "string";
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl OptionValue for List {
    const KIND: &'static str = "list";
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()))
    }
}

impl OptionValue for bool {
    const KIND: &'static str = "boolean";
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" => Ok(true),
            "off" | "false" | "no" => Ok(false),
            _ => Err("expected on or off (true, false, yes, no)".into()),
        }
    }
}

/// Reads one entry as `T`; a value that does not fit is reported with its place.
pub fn read_entry<T: OptionValue>(section: &Section, entry: &Entry, report: &mut Report) -> Option<T> {
    match T::parse(entry.value.trim()) {
        Ok(value) => Some(value),
        Err(hint) => {
            let what = format!("option `{}` of {} cannot be `{}`", entry.key, section.title(), entry.value);
            report.error(Some(&entry.value_at), what, Some(hint));
            None
        }
    }
}

/// Reads a required option.
pub fn read_required<T: OptionValue>(section: &Section, key: &'static str, report: &mut Report) -> Option<T> {
    match section.get(key) {
        Some(entry) => read_entry(section, entry, report),
        None => {
            let what = format!("{} needs the option `{key}`", section.title());
            report.error(Some(&section.at), what, Some(format!("add `{key}` ({})", T::KIND)));
            None
        }
    }
}

/// Reads an option that may be missing. The outer `None` means that the value was wrong and has been reported.
#[allow(clippy::option_option, reason = "missing and wrong are two things")]
pub fn read_optional<T: OptionValue>(section: &Section, key: &'static str, report: &mut Report) -> Option<Option<T>> {
    match section.get(key) {
        Some(entry) => read_entry(section, entry, report).map(Some),
        None => Some(None),
    }
}

/// Reads an option that has a default.
pub fn read_default<T: OptionValue>(section: &Section, key: &'static str, text: &str, report: &mut Report) -> Option<T> {
    match section.get(key) {
        Some(entry) => read_entry(section, entry, report),
        None => T::parse(text).ok(),
    }
}

/// Reads every value of a repeated option.
pub fn read_repeated<T: OptionValue>(section: &Section, key: &'static str, report: &mut Report) -> Option<Vec<T>> {
    section.all(key).map(|entry| read_entry(section, entry, report)).collect()
}

/// Declares the options of a plugin: a struct with typed fields, `OPTIONS` for the reference and `from_section`.
///
/// ```
/// drave::options! {
///     /// Follows files.
///     pub struct TailOptions {
///         /// Files to follow.
///         path: drave::config::List, "path", required;
///         /// Where reading begins.
///         read_from_head: bool, "read_from_head", default "off";
///         /// A tag; `*` is the path with dots.
///         tag: String, "tag", optional;
///         /// A header; may be given several times.
///         header: String, "header", repeated;
///     }
/// }
/// ```
/// `optional` fields are `Option<T>`, `repeated` ones `Vec<T>`.
#[macro_export]
macro_rules! options {
    ($(#[doc = $about:literal])* $vis:vis struct $Name:ident {
        $( $(#[doc = $help:literal])* $field:ident : $ty:ty , $key:literal , $how:ident $($default:literal)? ; )*
    }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone)]
        $vis struct $Name { $( $(#[doc = $help])* pub $field: $crate::options!(@type $how $ty), )* }
        impl $Name {
            /// The declarations, for the parser and the reference.
            pub const OPTIONS: &'static [$crate::config::Opt] = &[ $( $crate::config::Opt {
                name: $key,
                kind: <$ty as $crate::config::OptionValue>::KIND,
                presence: $crate::options!(@presence $how $($default)?),
                help: concat!($($help, "\n"),*).trim_ascii(),
            }, )* ];
            /// Reads the options of a section; `None` when something was wrong, and then all of it is in the report.
            pub fn from_section(section: &$crate::config::Section, report: &mut $crate::config::Report) -> Option<Self> {
                $( let $field = $crate::options!(@read $how $ty, section, $key, report $(, $default)?); )*
                Some(Self { $( $field: $field?, )* })
            }
        }
    };
    (@type required $ty:ty) => { $ty };
    (@type default $ty:ty) => { $ty };
    (@type optional $ty:ty) => { Option<$ty> };
    (@type repeated $ty:ty) => { Vec<$ty> };
    (@presence required) => { $crate::config::Presence::Required };
    (@presence optional) => { $crate::config::Presence::Optional };
    (@presence repeated) => { $crate::config::Presence::Repeated };
    (@presence default $default:literal) => { $crate::config::Presence::Default($default) };
    (@read required $ty:ty, $section:ident, $key:literal, $report:ident) => {
        $crate::config::read_required::<$ty>($section, $key, $report)
    };
    (@read optional $ty:ty, $section:ident, $key:literal, $report:ident) => {
        $crate::config::read_optional::<$ty>($section, $key, $report)
    };
    (@read repeated $ty:ty, $section:ident, $key:literal, $report:ident) => {
        $crate::config::read_repeated::<$ty>($section, $key, $report)
    };
    (@read default $ty:ty, $section:ident, $key:literal, $report:ident, $default:literal) => {
        $crate::config::read_default::<$ty>($section, $key, $default, $report)
    };
}

impl OptionValue for Size {
    const KIND: &'static str = "size";
    fn parse(_text: &str) -> Result<Self, String> {
        Err("todo".into())
    }
}

impl OptionValue for Duration {
    const KIND: &'static str = "time";
    fn parse(_text: &str) -> Result<Self, String> {
        Err("todo".into())
    }
}
