//! The names of indices, as a configuration and a record say.
//!
//! ```text
//! index app                                              → app
//! index logs-$kubernetes['namespace_name']-prod          → logs-shop-prod
//! index app-%Y.%m                                        → app-2024.03
//! logstash_format on, logstash_prefix kube               → kube-2024.03.01
//! logstash_prefix_key $kubernetes['namespace_name']      → shop-2024.03.01, and the prefix for a record without it
//! ```

use super::options::SearchOptions;
use crate::config::{Report, Section};
use crate::output::strftime::{HINT, check_strftime, push_strftime};
use crate::record::{Accessor, Batch, Template};

/// Bytes of a name; OpenSearch and Elasticsearch take no more.
const NAME_BYTES_MAX: usize = 255;

/// How indices are named.
#[derive(Debug)]
pub(super) struct IndexName {
    /// The prefix, where a record has it.
    key: Option<Accessor>,
    /// What stands there otherwise.
    name: Template,
    /// There are dates in it.
    dated: bool,
    /// Follows either.
    suffix: String,
    /// It is the same for every record.
    fixed: Option<String>,
}

impl IndexName {
    pub(super) fn read(section: &Section, options: &SearchOptions, report: &mut Report) -> Option<Self> {
        let (option, name) = match options.logstash_format {
            true => ("logstash_prefix", &options.logstash_prefix),
            false => ("index", &options.index),
        };
        let key = match options.logstash_prefix_key.as_ref().filter(|_| options.logstash_format) {
            Some(text) => Some(accessor(section, "logstash_prefix_key", text, report)?),
            None => None,
        };
        let mut suffix = String::new();
        if options.logstash_format {
            check_date(section, "logstash_dateformat", &options.logstash_dateformat, report)?;
            suffix = options.logstash_prefix_separator.replace('%', "%%") + &options.logstash_dateformat;
        }
        let dated = name.contains('%') && !options.logstash_format;
        if dated {
            check_date(section, option, name, report)?;
        }
        let name_of = |error: crate::record::AccessorError| {
            let at = section.get(option).map(|e| &e.value_at);
            report.error(at, format!("option `{option}` of {}: {error}", section.title()), Some(error.hint().into()));
        };
        let template = Template::parse(name).map_err(name_of).ok()?;
        let mut index = Self { key, name: template, dated, suffix, fixed: None };
        if !dated && index.suffix.is_empty() && index.name.is_plain() {
            index.fixed = Some(fixed(section, name, report));
        }
        Some(index)
    }

    /// The name that every record has.
    pub(super) fn fixed(&self) -> Option<&str> {
        self.fixed.as_deref()
    }

    /// Do records of a batch with the same time share it?
    pub(super) fn is_shared(&self, batch: &Batch) -> bool {
        self.key.as_ref().is_none_or(|key| key.is_shared(batch)) && self.name.is_shared(batch)
    }

    /// Writes the name for a record, in the place of what `out` held.
    pub(super) fn write(&self, batch: &Batch, record: usize, time_ns: i64, out: &mut String) {
        out.clear();
        if let Some(found) = self.key.as_ref().and_then(|key| key.find(batch, record)) {
            found.push_text(out);
        }
        if out.is_empty() {
            self.name.render_with(batch, record, out, |text, out| match self.dated {
                true => push_strftime(out, text, time_ns),
                false => out.push_str(text),
            });
        }
        push_strftime(out, &self.suffix, time_ns);
        clean(out);
    }
}

/// Reads an option that is a record accessor.
pub(super) fn accessor(section: &Section, key: &str, text: &str, report: &mut Report) -> Option<Accessor> {
    match Accessor::parse(text) {
        Ok(accessor) => Some(accessor),
        Err(error) => {
            let at = section.get(key).map(|e| &e.value_at);
            report.error(at, format!("option `{key}` of {}: {error}", section.title()), Some(error.hint().into()));
            None
        }
    }
}

/// `None`: it is no date, and that is reported.
pub(super) fn check_date(section: &Section, key: &str, format: &str, report: &mut Report) -> Option<()> {
    check_strftime(format)
        .map_err(|directive| {
            let at = section.get(key).map(|e| &e.value_at);
            let what = format!("option `{key}` of {} has the unknown date `%{directive}`", section.title());
            report.error(at, what, Some(HINT.into()));
        })
        .ok()
}

/// A name that the configuration gives; what cannot be is changed, with a note. Date math, as `<app-{now/d}>`, is the server's.
fn fixed(section: &Section, name: &str, report: &mut Report) -> String {
    let mut index = name.to_owned();
    if !name.starts_with('<') {
        clean(&mut index);
    }
    if index != name {
        let at = section.get("index").map(|e| &e.value_at);
        let hint = "names have small letters, no blank and none of , : \" * + / \\ | ? # > <";
        report.note(at, format!("the index is written `{index}`: `{name}` can be none"), Some(hint.into()));
    }
    index
}

/// Makes a name that an index can have.
fn clean(name: &mut String) {
    if is_clean(name) {
        return;
    }
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || ",:\"*+/\\|?#><".contains(c);
    let lower: String = name.to_lowercase().chars().map(|c| if forbidden(c) { '_' } else { c }).collect();
    let bare = lower.trim_start_matches(['_', '-', '+']);
    let end = bare.floor_char_boundary(NAME_BYTES_MAX);
    *name = if matches!(bare, "" | "." | "..") { "unnamed".to_owned() } else { bare[..end].to_owned() };
}

/// The names that most have need no second look.
fn is_clean(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    name.len() <= NAME_BYTES_MAX
        && name.bytes().all(plain)
        && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_good() {
        for (name, expect) in [
            ("shop-2024.03.01", "shop-2024.03.01"),
            ("Shop Team/A", "shop_team_a"),
            ("__-+x", "x"),
            (".hidden", ".hidden"),
            ("..", "unnamed"),
            ("", "unnamed"),
            ("-", "unnamed"),
            ("é\u{7}a:b", "é_a_b"),
        ] {
            let mut out = name.to_owned();
            clean(&mut out);
            assert_eq!(out, expect, "{name}");
        }
        proptest::proptest!(|(name in "\\PC{0,400}")| {
            let mut out = name;
            clean(&mut out);
            let again = out.clone();
            clean(&mut out);
            proptest::prop_assert_eq!(&again, &out);
            proptest::prop_assert!(!out.is_empty() && out.len() <= NAME_BYTES_MAX && !out.starts_with(['_', '-', '+']));
        });
    }
}
