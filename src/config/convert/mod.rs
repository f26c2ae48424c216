//! Another configuration as YAML: Fluent Bit's classic syntax, its YAML in drave's order, or Promtail's. Comments stay where they
//! were, and of every directive is said what becomes of it.
//!
//! ```text
//! classic │ YAML ─▶ loader ─▶ sections.rs ─┐                ┌─▶ write.rs, scalar.rs ─▶ YAML
//! Promtail ─────▶ tree ────▶ promtail/ ────┴─▶ Document ────┤
//!                                              comments.rs  └─▶ Finding (finding.rs)
//! ```
//! Nothing is changed but the syntax: what is wrong stays wrong, and `drave check` says so. What is included stands in its place.

mod comments;
mod document;
mod finding;
mod promtail;
mod scalar;
mod sections;
mod write;

pub use finding::{Finding, Verdict};

use super::files::Disk;
use super::loader::Loader;
use super::yaml::tree::{self, Node};
use super::{Environment, Page, Report, Severity};
use std::path::Path;

/// A configuration in YAML.
#[derive(Debug)]
pub struct Converted {
    /// The text of the file.
    pub yaml: String,
    /// In the order of the directives.
    pub findings: Vec<Finding>,
}

/// Reads a configuration and writes it as YAML; `pages` declare what there is. Nothing where it cannot be read: why is in the report.
pub fn convert(path: &Path, environment: &Environment, pages: &[Page], report: &mut Report) -> Option<Converted> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let root = promtail_root(path);
    let mut loader = Loader::new(&Disk, folder, environment, report).for_conversion();
    let (document, mut findings) = match root {
        Some((text, root)) => promtail::convert(path, &text, &root, pages, &mut loader),
        None => {
            loader.read_file(path, None);
            sections::convert(loader, pages)
        }
    };
    if report.has_errors() {
        return None;
    }
    // A line of the report for each thing.
    let is_finding = |problem: &super::Problem| problem.severity == Severity::Note;
    let notes = report.problems.extract_if(.., |problem| is_finding(problem));
    findings.extend(notes.filter_map(|note| {
        let (at, detail) = (note.at?, note.hint);
        Some(Finding { at, what: note.message, verdict: Verdict::NoEffect, detail })
    }));
    findings.sort_by_cached_key(|finding| report.sources.order(&finding.at));
    Some(Converted { yaml: document.to_yaml(), findings })
}

/// The document, if that is what Promtail reads.
fn promtail_root(path: &Path) -> Option<(String, Node)> {
    let text = super::files::Files::read(&Disk, path).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text).to_owned();
    let root = tree::parse(&text).ok()??;
    promtail::is_meant(&root).then_some((text, root))
}
