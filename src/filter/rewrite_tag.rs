//! Gives records another tag: they pass all filters again under it, and go to the outputs that take it.
//!
//! ```yaml
//! filters:
//!   - name: rewrite_tag
//!     match: 'kube.*'
//!     rule: $level ^(error|fatal)$ alert.$TAG[1].$1 false
//! ```
//! A rule is a key, an expression, the new tag and whether the record stays under the old one too. The first rule that matches
//! counts. `$0` to `$9` in the tag are groups of the expression, other accessors are fields; what is missing becomes nothing.

use super::words::{Split, of_entry, report_wrong};
use super::{Each, Filter, FilterConfig, FilterPlugin, Plan};
use crate::config::{OptionValue, Report, Section};
use crate::record::{Accessor, Batch, Expression, Groups, SourceDraft, Template};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "rewrite_tag",
    about: "Gives records another tag.",
    options: &[RewriteTagOptions::OPTIONS],
    deviations: &[RewriteTagOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// Rules, in the order of the file.
    pub struct RewriteTagOptions {
        /// `KEY EXPRESSION TAG KEEP`: records in which it matches get the tag; with `true` they stay under the old one too.
        rule: String, "rule", repeated;
    }
    no_effect {
        "emitter_name": "records with a new tag go on at once: there is no emitter between";
        "emitter_storage.type": "records with a new tag go on at once: there is no emitter between";
        "emitter_mem_buf_limit": "records with a new tag go on at once: there is no emitter between";
    }
    deviations {
        "a tag that is rewritten again and again": "(more than 8 times) leaves the record out, counted as `tag_loop`";
    }
}

/// Tags that are remembered per source; beyond it remembering begins anew.
const TAGS_MAX: usize = 1_000;

fn configure(section: &Section, _: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let mut rules = Vec::new();
    for entry in section.all("rule") {
        let Some(words) = of_entry(section, entry, (Split::DoubleQuoted, 4..=4), "KEY EXPRESSION TAG KEEP", report)
        else {
            continue;
        };
        match Rule::new(&words) {
            Ok(rule) => rules.push(rule),
            Err((why, hint)) => report_wrong(section, entry, &why, hint, report),
        }
    }
    if section.get("rule").is_none() {
        let what = format!("{} needs the option `rule`", section.title());
        report.error(Some(&section.at), what, Some("add `rule: $key expression new.tag false`".into()));
    }
    Some(Box::new(RewriteTag { rules: rules.into() }))
}

#[derive(Debug)]
struct Rule {
    accessor: Accessor,
    expression: Expression,
    tag: Vec<Part>,
    keep: bool,
}

#[derive(Debug)]
enum Part {
    Group(usize),
    Text(Template),
}

impl Rule {
    fn new(words: &[String]) -> Result<Self, (String, &'static str)> {
        let [key, expression, tag, keep] = words else { return Err(("is not complete".into(), "")) };
        let root = if key.starts_with('$') { key.clone() } else { format!("${key}") };
        let (accessor, _) = Accessor::parse_at(&root, 0).map_err(|e| (format!("has no key: {e}"), e.hint()))?;
        let hint = "a dot that stands for itself is written as \\.";
        let expression = Expression::new(expression).map_err(|e| (format!("has no regular expression: {e}"), hint))?;
        let keep = bool::parse(keep).map_err(|_| (format!("cannot end with `{keep}`"), "write true or false"))?;
        Ok(Self { accessor, expression, tag: parts(tag)?, keep })
    }
}

/// Splits a tag at its groups.
fn parts(tag: &str) -> Result<Vec<Part>, (String, &'static str)> {
    let template = |text: &str| {
        let parsed = Template::parse(text).map_err(|e| (format!("has no tag: {e}"), e.hint()))?;
        Ok::<_, (String, &'static str)>(Part::Text(parsed))
    };
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(found) = tag[at..].find('$') {
        at += found + 1;
        let Some(digit) = tag[at..].chars().next().and_then(|sign| sign.to_digit(10)) else { continue };
        parts.push(template(&tag[from..at - 1])?);
        parts.push(Part::Group(digit as usize));
        at += 1;
        from = at;
    }
    parts.push(template(&tag[from..])?);
    Ok(parts)
}

struct RewriteTag {
    rules: Arc<[Rule]>,
}

impl Filter for RewriteTag {
    fn plan(&mut self, _: &mut SourceDraft) -> Plan {
        let rules = Arc::clone(&self.rules);
        let rewrite =
            Rewrite { rules, tags: HashMap::new(), tag: String::new(), groups: Groups::default(), buffer: Vec::new() };
        Plan::Each(Box::new(rewrite))
    }

    fn reroutes(&self) -> bool {
        true
    }
}

struct Rewrite {
    rules: Arc<[Rule]>,
    tags: HashMap<String, Arc<str>>,
    tag: String,
    groups: Groups,
    buffer: Vec<u8>,
}

impl Rewrite {
    /// Writes the new tag of a record; `None` when no rule is about it, else whether it stays.
    fn find(&mut self, batch: &Batch, record: usize) -> Option<bool> {
        for rule in self.rules.iter() {
            let Some(found) = rule.accessor.find(batch, record) else { continue };
            let Some(text) = found.string(&mut self.buffer) else { continue };
            if !rule.expression.captures(text, &mut self.groups) {
                continue;
            }
            self.tag.clear();
            for part in &rule.tag {
                match part {
                    Part::Text(template) => _ = template.render(batch, record, &mut self.tag),
                    Part::Group(group) => {
                        let range = self.groups.get(*group).unwrap_or_default();
                        self.tag.push_str(&String::from_utf8_lossy(&text[range]));
                    }
                }
            }
            return Some(rule.keep);
        }
        None
    }

    fn shared_tag(&mut self) -> Arc<str> {
        if let Some(tag) = self.tags.get(&self.tag) {
            return Arc::clone(tag);
        }
        if self.tags.len() >= TAGS_MAX {
            self.tags.clear();
        }
        let tag: Arc<str> = self.tag.as_str().into();
        self.tags.insert(self.tag.clone(), Arc::clone(&tag));
        tag
    }
}

impl Each for Rewrite {
    fn apply(&mut self, batch: &mut Batch) {
        let mut kept = 0;
        for record in 0..batch.records.len() {
            let keep = self.find(batch, record);
            if let Some(keep) = keep {
                let tag = self.shared_tag();
                batch.reroute(record, tag, keep);
            }
            if keep != Some(false) {
                batch.records[kept] = batch.records[record];
                kept += 1;
            }
        }
        batch.records.truncate(kept);
    }

    fn owns_shared(&self) -> bool {
        false
    }

    fn reroutes(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Chain;

    #[test]
    fn the_first_rule_that_matches_gives_the_tag() {
        let rules = r"['$level ^(err)(or)?$ new.$1.$2.$TAG[1].$app false', '$level . other.$missing.x true']";
        let mut chain = Chain::new(&[("rewrite_tag", &format!("rule: {rules}"))]);
        for (record, stays, tag) in [
            (r#"{"level":"error","app":"web"}"#, false, Some("new.err.or.one.web")),
            (r#"{"level":"err"}"#, false, Some("new.err..one.")),
            (r#"{"level":"info"}"#, true, Some("other..x")),
            (r#"{"level":5}"#, true, None),
            ("{}", true, None),
        ] {
            let left = chain.run(record);
            assert_eq!(!left.is_empty(), stays, "{record}");
            let rerouted = chain.batch.rerouted.first().map(|(tag, _)| tag.to_string());
            assert_eq!(rerouted.as_deref(), tag, "{record}");
        }
    }
}
