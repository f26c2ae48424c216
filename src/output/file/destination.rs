//! The file that a record goes to: fixed, named by the tag, or by the record itself.
//!
//! ```text
//! path /logs                        + tag a/../b.log     → /logs/a/_/b.log
//! path /logs/$kubernetes['app']     + file $TAG[1].log   → /logs/cart/shop.log
//! path /logs/%Y/%m with enable_strftime                  → /logs/2024/03, by the record's time in UTC
//! ```
//! What a record says must not lead out of the folder, nor anywhere that nobody thought of: `..` and control characters are
//! refused, in `file` also what some file systems do not take.

use super::{FileOptions, OnProblem};
use crate::config::{Report, Section};
use crate::output::strftime::{HINT, check_strftime, push_strftime};
use crate::record::{Batch, Template};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Why a record has no file; the `reason` of the metrics.
pub(super) const MISSING: &str = "missing_field";
/// The same for one file too many.
pub(super) const TOO_MANY: &str = "max_dynamic_files";

/// Stands before a reason where a path would stand; no path begins so.
pub(super) const NO_FILE: char = '\0';

#[derive(Debug)]
pub(super) struct Destination {
    /// Relative paths start here.
    folder: PathBuf,
    path: Option<Name>,
    file: Option<Name>,
    on_missing: OnProblem,
    on_limit: OnProblem,
    fallback: Option<String>,
    files_max: usize,
    seen: Mutex<HashSet<String>>,
}

#[derive(Debug)]
struct Name {
    template: Template,
    dated: bool,
    /// Bytes of the folders in front that no record has a say in.
    fixed: usize,
}

impl Name {
    fn read(section: &Section, key: &str, text: &str, dated: bool, report: &mut Report) -> Option<Self> {
        let at = section.get(key).map(|e| &e.value_at);
        let dated = dated && text.contains('%');
        if let Err(directive) = check_strftime(if dated { text } else { "" }) {
            let what = format!("option `{key}` of output file has the unknown date `%{directive}`");
            report.error(at, what, Some(HINT.into()));
            return None;
        }
        match Template::parse(text) {
            Ok(template) => {
                let plain = text.find(['$', '%']).unwrap_or(text.len());
                let fixed = text[..plain].rfind('/').map_or(0, |slash| slash + 1);
                Some(Self { template, dated, fixed })
            }
            Err(error) => {
                let what = format!("option `{key}` of output file: {error}");
                report.error(at, what, Some(error.hint().into()));
                None
            }
        }
    }

    fn is_dynamic(&self) -> bool {
        self.dated || !self.template.is_plain()
    }

    /// `None` when the record lacks a field.
    fn render(&self, batch: &Batch, record: usize) -> Option<String> {
        let mut name = String::new();
        let time_ns = batch.records[record].time_ns;
        let text = |text: &str, out: &mut String| {
            if self.dated { push_strftime(out, text, time_ns) } else { out.push_str(text) }
        };
        self.template.render_with(batch, record, &mut name, text).then_some(name)
    }

    fn plain(&self) -> String {
        let mut name = String::new();
        self.template.render_plain(&mut name);
        name
    }
}

impl Destination {
    pub(super) fn new(section: &Section, options: &FileOptions, report: &mut Report) -> Option<Self> {
        let read = |key: &str, text: &Option<String>, report: &mut Report| match text {
            Some(text) => Name::read(section, key, text, options.enable_strftime, report).map(Some),
            None => Some(None),
        };
        let (path, file) = (read("path", &options.path, report), read("file", &options.file, report));
        let fallback = options.fallback_file.as_ref().map(|file| {
            let folder = options.fallback_path.as_ref().map(|path| format!("{path}/"));
            folder.unwrap_or_default() + file
        });
        let falls_back = [options.on_missing_field, options.on_limit_reached].contains(&OnProblem::Fallback);
        if falls_back && fallback.is_none() {
            let at = section.get("on_missing_field").or(section.get("on_limit_reached")).map(|e| &e.value_at);
            let hint = "add `fallback_file`, and `fallback_path` if it lies elsewhere".to_owned();
            report.error(at, "output file has no file to fall back to", Some(hint));
            return None;
        }
        Some(Self {
            folder: section.folder.clone(),
            path: path?,
            file: file?,
            on_missing: options.on_missing_field,
            on_limit: options.on_limit_reached,
            fallback,
            files_max: options.max_dynamic_files as usize,
            seen: Mutex::default(),
        })
    }

    /// Do records have a say in it?
    pub(super) fn is_dynamic(&self) -> bool {
        [&self.path, &self.file].into_iter().flatten().any(Name::is_dynamic)
    }

    /// The file of all records with a tag.
    pub(super) fn of_tag(&self, tag: &str, key: &mut String) {
        let file = self.file.as_ref().map_or_else(|| path_of_tag(tag), Name::plain);
        key.push_str(&self.whole(self.path.as_ref().map(Name::plain), &file));
    }

    /// The file of one record, or [`NO_FILE`] and the reason.
    pub(super) fn of_record(&self, batch: &Batch, record: usize, key: &mut String) {
        let Some(whole) = self.render(batch, record) else { return self.give_up(self.on_missing, MISSING, key) };
        if self.files_max > 0 {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if !seen.contains(&whole) {
                if seen.len() >= self.files_max {
                    return self.give_up(self.on_limit, TOO_MANY, key);
                }
                seen.insert(whole.clone());
            }
        }
        key.push_str(&whole);
    }

    fn render(&self, batch: &Batch, record: usize) -> Option<String> {
        let path = match &self.path {
            Some(path) => Some(path.render(batch, record).filter(|text| is_safe_path(text.get(path.fixed..)))?),
            None => None,
        };
        let file = match &self.file {
            Some(file) if file.is_dynamic() => file.render(batch, record).filter(|text| is_safe_file(text))?,
            Some(file) => file.plain(),
            None => path_of_tag(&batch.source.draft.tag),
        };
        Some(self.whole(path, &file))
    }

    fn give_up(&self, how: OnProblem, reason: &str, key: &mut String) {
        match (how, &self.fallback) {
            (OnProblem::Fallback, Some(fallback)) => key.push_str(&self.folder.join(fallback).to_string_lossy()),
            _ => {
                key.push(NO_FILE);
                key.push_str(reason);
            }
        }
    }

    fn whole(&self, path: Option<String>, file: &str) -> String {
        let inside = path.map_or_else(|| file.to_owned(), |path| format!("{path}/{file}"));
        self.folder.join(Path::new(&inside)).to_string_lossy().into_owned()
    }
}

/// A tag as a relative path: every part between slashes is a name that is one everywhere.
fn path_of_tag(tag: &str) -> String {
    let clean = |part: &str| match part {
        "." | ".." => "_".to_owned(),
        part => part.replace(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')), "_"),
    };
    let parts: Vec<String> = tag.split(['/', '\\']).filter(|part| !part.is_empty()).map(clean).collect();
    if parts.is_empty() { "_".into() } else { parts.join("/") }
}

fn is_safe_path(path: Option<&str>) -> bool {
    let safe = |part: &str| part != "." && part != ".." && !part.contains(char::is_control);
    path.is_some_and(|path| path.split(['/', '\\']).all(safe))
}

fn is_safe_file(file: &str) -> bool {
    let safe = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    !matches!(file, "" | "." | "..") && file.chars().all(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_paths() {
        for (tag, expect) in [
            ("shop.cart", "shop.cart"),
            ("a/b", "a/b"),
            ("/a//../b\\.", "a/_/b/_"),
            ("a b:ü", "a_b__"),
            ("..", "_"),
            ("", "_"),
        ] {
            assert_eq!(path_of_tag(tag), expect, "{tag}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for (path, safe) in
            [("a/b", true), ("a/../b", false), ("..", false), ("a\n", false), ("", true), ("a..b", true)]
        {
            assert_eq!(is_safe_path(Some(path)), safe, "{path}");
        }
        for (file, safe) in
            [("a.log", true), ("a/b", false), ("", false), ("..", false), ("{\"a\"}", false), ("a\0", false)]
        {
            assert_eq!(is_safe_file(file), safe, "{file}");
        }
    }
}
