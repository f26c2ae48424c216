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
    /// All spellings, where the value is one of a few words.
    pub words: &'static [&'static str],
    /// Required, optional, with a default, or repeated.
    pub presence: Presence,
    /// One sentence or more.
    pub help: &'static str,
    /// Fluent Bit's key, taken so that its configurations run, but it changes nothing here: why.
    pub no_effect: Option<&'static str>,
    /// Fluent Bit's key, known, but without it other records would arrive, or less safely: an error.
    pub refused: Option<Refusal>,
}

/// Why an option is an error, and for which value it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What to do instead.
    pub hint: &'static str,
    /// A value that asks for nothing: `off`.
    pub unless: Option<&'static str>,
}

/// What an option is to the one who writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It does what it says.
    Works,
    /// Taken, and changes nothing.
    NoEffect(&'static str),
    /// An error.
    Refused(Refusal),
}

impl Opt {
    /// Which of the three it is.
    pub fn usage(&self) -> Use {
        match (self.no_effect, self.refused) {
            (Some(reason), _) => Use::NoEffect(reason),
            (None, Some(refusal)) => Use::Refused(refusal),
            (None, None) => Use::Works,
        }
    }

    /// Is it meant by this key? A name such as `parser_N` stands for `parser_1`, `parser_2`, …
    pub fn is_named(&self, key: &str) -> bool {
        match self.name.strip_suffix('N').filter(|prefix| prefix.ends_with('_')) {
            Some(prefix) => key.strip_prefix(prefix).is_some_and(is_number),
            None => self.name == key,
        }
    }

    /// The help as one line.
    pub fn help_line(&self) -> String {
        self.help.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

impl Refusal {
    /// Does this value ask for what cannot be done?
    pub fn is_for(&self, value: &str) -> bool {
        let Some(unless) = self.unless else { return true };
        let same_switch = bool::parse(value.trim()).is_ok_and(|switch| bool::parse(unless) == Ok(switch));
        !same_switch && !value.trim().eq_ignore_ascii_case(unless)
    }
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
    /// All spellings, where the value is one of a few words.
    const WORDS: &'static [&'static str] = &[];
    /// Are blanks around the text a part of the value?
    const KEEPS_BLANKS: bool = false;
    /// Do the items of a YAML list make one value, as if they were written with commas between them?
    const JOINS: bool = false;
    /// Reads the text of a value.
    ///
    /// # Errors
    /// What is expected instead, as in "expected a size such as 32k or 5M".
    fn parse(text: &str) -> Result<Self, String>;
}

/// Reads one entry as `T`; a value that does not fit is reported with its place.
pub fn read_entry<T: OptionValue>(section: &Section, entry: &Entry, report: &mut Report) -> Option<T> {
    read_text(section, entry, &entry.value, report)
}

fn read_text<T: OptionValue>(section: &Section, entry: &Entry, text: &str, report: &mut Report) -> Option<T> {
    match T::parse(if T::KEEPS_BLANKS { text } else { text.trim() }) {
        Ok(value) => Some(value),
        Err(hint) => {
            let what = format!("option `{}` of {} cannot be {}", entry.key, section.title(), entry.shown_value());
            report.error(Some(&entry.value_at), what, Some(hint));
            None
        }
    }
}

/// Reads the entry that counts: the last, or the whole list that it ends.
fn read_last<T: OptionValue>(section: &Section, last: &Entry, report: &mut Report) -> Option<T> {
    if !T::JOINS {
        return read_entry(section, last, report);
    }
    let items: Vec<&str> =
        section.entries.iter().filter(|e| e.is_of_one_list_with(last)).map(|e| e.value.as_str()).collect();
    read_text(section, last, &items.join(","), report)
}

/// Reads a required option; an empty text is as good as none.
pub fn read_required<T: OptionValue>(section: &Section, key: &'static str, report: &mut Report) -> Option<T> {
    match section.get(key) {
        Some(entry) if entry.value.trim().is_empty() => {
            let what = format!("option `{key}` of {} cannot be empty", section.title());
            report.error(Some(&entry.value_at), what, Some(format!("write a value ({})", T::KIND)));
            None
        }
        Some(entry) => read_last(section, entry, report),
        None => {
            let what = format!("{} needs the option `{key}`", section.title());
            report.error(Some(&section.at), what, Some(format!("add `{key}` ({})", T::KIND)));
            None
        }
    }
}

/// Reads an option that may be missing. A wrong value is reported and taken for missing, so that the rest can be checked too.
#[allow(clippy::option_option, reason = "as the others, for the macro")]
pub fn read_optional<T: OptionValue>(section: &Section, key: &'static str, report: &mut Report) -> Option<Option<T>> {
    Some(section.get(key).and_then(|entry| read_last(section, entry, report)))
}

/// Reads an option that has a default. In place of a wrong value, which is reported, the default stands, so that the rest can be
/// checked too.
pub fn read_default<T: OptionValue>(
    section: &Section,
    key: &'static str,
    text: &str,
    report: &mut Report,
) -> Option<T> {
    section.get(key).and_then(|entry| read_last(section, entry, report)).or_else(|| T::parse(text).ok())
}

/// Reads every value of a repeated option; wrong ones are reported and left out.
pub fn read_repeated<T: OptionValue>(section: &Section, key: &'static str, report: &mut Report) -> Option<Vec<T>> {
    Some(section.all(key).filter_map(|entry| read_entry(section, entry, report)).collect())
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
///     no_effect {
///         "db.locking": "one drave owns its state folder anyway";
///     }
///     refused {
///         "multiline" unless "off": "use `multiline.parser`";
///     }
///     deviations {
///         "long lines": "are cut and marked, so that no file is left at the first one";
///     }
/// }
/// ```
/// `optional` fields are `Option<T>`, `repeated` ones `Vec<T>`. The keys under `no_effect` are taken with a note that says why, those
/// under `refused` are errors with that hint. `deviations` says what is not as in Fluent Bit on purpose, for the reference.
#[macro_export]
macro_rules! options {
    ($(#[doc = $about:literal])* $vis:vis struct $Name:ident {
        $( $(#[doc = $help:literal])* $field:ident : $ty:ty , $key:literal , $how:ident $($default:literal)? ; )*
    } $(no_effect { $( $idle:literal : $reason:literal ; )* })?
    $(refused { $( $refused:literal $(unless $harmless:literal)? : $hint:literal ; )* })?
    $(deviations { $( $what:literal : $why:literal ; )* })?) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone)]
        #[allow(unreachable_pub, dead_code, reason = "plugins are private to their folder; some options only want to be checked")]
        $vis struct $Name { $( $(#[doc = $help])* $vis $field: $crate::options!(@type $how $ty), )* }
        #[allow(unreachable_pub, dead_code, unused_variables, reason = "plugins are private to their folder; some declare no field")]
        impl $Name {
            /// The declarations, for the parser and the reference.
            $vis const OPTIONS: &'static [$crate::config::Opt] = &[ $( $crate::config::Opt {
                name: $key,
                kind: <$ty as $crate::config::OptionValue>::KIND,
                words: <$ty as $crate::config::OptionValue>::WORDS,
                presence: $crate::options!(@presence $how $($default)?),
                help: concat!($($help, "\n"),*).trim_ascii(),
                no_effect: None,
                refused: None,
            }, )* $($( $crate::config::Opt {
                name: $idle,
                kind: "string",
                words: &[],
                presence: $crate::config::Presence::Optional,
                help: concat!("No effect: ", $reason, "."),
                no_effect: Some($reason),
                refused: None,
            }, )*)? $($( $crate::config::Opt {
                name: $refused,
                kind: "string",
                words: &[],
                presence: $crate::config::Presence::Optional,
                help: concat!("Refused: ", $hint, "."),
                no_effect: None,
                refused: Some($crate::config::Refusal { hint: $hint, unless: $crate::options!(@unless $($harmless)?) }),
            }, )*)? ];
            /// What differs from Fluent Bit on purpose, and why.
            #[allow(dead_code, reason = "most differ in nothing")]
            $vis const DEVIATIONS: &'static [(&'static str, &'static str)] = &[ $($( ($what, $why), )*)? ];
            /// Reads the options of a section. What is wrong is in the report; `None` when nothing can stand in for it, as for a
            /// required option.
            $vis fn from_section(section: &$crate::config::Section, report: &mut $crate::config::Report) -> Option<Self> {
                $( let $field = $crate::options!(@read $how $ty, section, $key, report $(, $default)?); )*
                Some(Self { $( $field: $field?, )* })
            }
        }
    };
    (@unless) => { None };
    (@unless $harmless:literal) => { Some($harmless) };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_harmless_value_is_not_refused() {
        let of = |unless| Refusal { hint: "", unless };
        for (unless, value, refused) in [
            (None, "off", true),
            (Some("off"), "off", false),
            (Some("off"), " False ", false),
            (Some("off"), "on", true),
            (Some("off"), "perhaps", true),
            (Some("none"), "NONE", false),
            (Some("none"), "some", true),
        ] {
            assert_eq!(of(unless).is_for(value), refused, "{unless:?} {value}");
        }
    }

    #[test]
    fn a_name_may_stand_for_numbered_keys() {
        let of = |name| Opt {
            name,
            kind: "string",
            words: &[],
            presence: Presence::Optional,
            help: "",
            no_effect: None,
            refused: None,
        };
        for (name, key, named) in [
            ("parser_N", "parser_1", true),
            ("parser_N", "parser_12", true),
            ("parser_N", "parser_", false),
            ("parser_N", "parser_first", false),
            ("parser", "parser_1", false),
            ("parser", "parser", true),
        ] {
            assert_eq!(of(name).is_named(key), named, "{name} {key}");
        }
    }
}
