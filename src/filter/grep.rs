//! Keeps records by what an expression finds in a field, or leaves them out.
//!
//! ```yaml
//! filters:
//!   - name: grep
//!     match: '*'
//!     exclude: log /healthz
//!   - name: grep
//!     match: 'kube.*'
//!     logical_op: or
//!     regex: [$level ^(warn|error)$, $kubernetes['labels']['app'] ^cart$]
//! ```
//! Only strings match. Without `logical_op` the first rule that decides counts: a `regex` that matches keeps at once, one that
//! does not match leaves out at once, as does an `exclude` that matches.

use super::words::{Split, of_entry, report_wrong};
use super::{Each, Filter, FilterConfig, FilterPlugin, Plan};
use crate::config::{OptionValue, Report, Section};
use crate::record::{Accessor, Batch, DropReason, Expression, Record, Shape, Source, SourceDraft};
use std::sync::Arc;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "grep",
    about: "Keeps or leaves out records by what an expression finds in a field.",
    options: &[GrepOptions::OPTIONS],
    deviations: &[GrepOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// Rules, in the order of the file.
    pub(super) struct GrepOptions {
        /// A key or record accessor and an expression: records in which it matches are kept.
        regex: String, "regex", repeated;
        /// The same for records that are left out.
        exclude: String, "exclude", repeated;
        /// How several rules go together: `and`, `or`, or `legacy`, where the first that decides counts.
        logical_op: LogicalOp, "logical_op", default "legacy";
    }
    deviations {
        "rules on what is known of a source": "(labels, paths, the tag) are decided once: a file that is not wanted is not even read";
    }
}

/// How several rules go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogicalOp {
    /// The first rule that decides.
    Legacy,
    /// All rules.
    And,
    /// One rule.
    Or,
}

impl OptionValue for LogicalOp {
    const KIND: &'static str = "legacy|and|or";
    const WORDS: &'static [&'static str] = &["legacy", "and", "or"];
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "legacy" => Ok(Self::Legacy),
            "and" => Ok(Self::And),
            "or" => Ok(Self::Or),
            _ => Err("expected legacy, and or or".into()),
        }
    }
}

fn configure(section: &Section, _: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = GrepOptions::from_section(section, report)?;
    let entries = section.entries.iter().filter(|e| matches!(e.key.as_str(), "regex" | "exclude"));
    let mut rules = Vec::new();
    for entry in entries {
        let Some(words) = of_entry(section, entry, (Split::Rest, 2..=2), "KEY EXPRESSION", report) else { continue };
        let keeps = entry.key == "regex";
        // Behind a bare key nothing is read, as after `$key`.
        let root = if words[0].starts_with('$') { words[0].clone() } else { format!("${}", words[0]) };
        match (Accessor::parse_at(&root, 0), Expression::new(&words[1])) {
            (Ok((accessor, _)), Ok(expression)) => rules.push(Rule { accessor, expression, keeps }),
            (Err(error), _) => report_wrong(section, entry, &format!("has no key: {error}"), error.hint(), report),
            (_, Err(error)) => report_wrong(
                section,
                entry,
                &format!("has no regular expression: {error}"),
                "a character that stands for itself needs a backslash before it, as in app\\.log",
                report,
            ),
        }
    }
    let mixed = rules.iter().any(|r| r.keeps) && rules.iter().any(|r| !r.keeps);
    if mixed && options.logical_op != LogicalOp::Legacy {
        let what = format!("{} has both `regex` and `exclude` with `logical_op`", section.title());
        let hint = "make two filters of it: what passes the first comes to the second".to_owned();
        report.error(section.get("logical_op").map(|e| &e.key_at), what, Some(hint));
        return None;
    }
    Some(Box::new(Grep { rules: Arc::new(Rules { list: rules, op: options.logical_op }) }))
}

#[derive(Debug)]
struct Rule {
    accessor: Accessor,
    expression: Expression,
    keeps: bool,
}

#[derive(Debug)]
struct Rules {
    list: Vec<Rule>,
    op: LogicalOp,
}

impl Rules {
    fn keep(&self, batch: &Batch, record: usize, buffer: &mut Vec<u8>) -> bool {
        let mut matches = |rule: &Rule| {
            let found = rule.accessor.find(batch, record);
            found.and_then(|found| found.string(buffer)).is_some_and(|text| rule.expression.is_match(text))
        };
        let Some(first) = self.list.first() else { return true };
        match self.op {
            LogicalOp::And => self.list.iter().all(matches) == first.keeps,
            LogicalOp::Or => self.list.iter().any(matches) == first.keeps,
            LogicalOp::Legacy => {
                for rule in &self.list {
                    match (matches(rule), rule.keeps) {
                        (true, keeps) => return keeps,
                        (false, true) => return false,
                        (false, false) => {}
                    }
                }
                true
            }
        }
    }

    /// Do all rules look at what no record of the source can have otherwise?
    fn are_about(&self, source: &SourceDraft) -> bool {
        self.list.iter().all(|rule| match rule.accessor.root_key() {
            None => true,
            Some(key) => source.shared.iter().any(|s| s.wins && s.key.as_bytes() == key),
        })
    }
}

struct Grep {
    rules: Arc<Rules>,
}

impl Filter for Grep {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        if source.shared_is_final || !self.rules.are_about(source) {
            return Plan::Each(Box::new(GrepEach { rules: Arc::clone(&self.rules), buffer: Vec::new() }));
        }
        let mut any = Batch::new(Arc::new(Source::new(source.clone(), Vec::new())));
        any.records.push(Record { shape: Shape::Fields, ..Record::default() });
        if self.rules.keep(&any, 0, &mut Vec::new()) { Plan::Pass } else { Plan::Drop(DropReason::Filter) }
    }
}

struct GrepEach {
    rules: Arc<Rules>,
    buffer: Vec<u8>,
}

impl Each for GrepEach {
    fn apply(&mut self, batch: &mut Batch) {
        let (rules, buffer) = (&self.rules, &mut self.buffer);
        batch.retain(|batch, record| rules.keep(batch, record, buffer));
    }

    fn adds_fields(&self) -> bool {
        false
    }

    fn owns_shared(&self) -> bool {
        false
    }
}
