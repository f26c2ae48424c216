//! Changes fields: sets, removes, renames, copies and moves them, where conditions hold.
//!
//! ```yaml
//! filters:
//!   - name: modify
//!     match: '*'
//!     condition: key_value_equals level error
//!     set: alert page
//!     rename: [lvl level, msg message]
//!     remove: password
//! ```
//! All conditions must hold, and are asked before anything is changed. Rules are applied in the order of the file.

mod condition;
mod rule;

use super::words::{Split, of_entry};
use super::{Each, Filter, FilterConfig, FilterPlugin, Plan};
use crate::config::{Entry, Report, Section};
use crate::record::{Batch, Field, SourceDraft, Value};
use condition::Condition;
use rule::{Action, Rule};
use std::sync::Arc;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "modify",
    about: "Sets, removes, renames, copies and moves fields, where conditions hold.",
    options: &[ModifyOptions::OPTIONS],
    deviations: &[ModifyOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// Rules, in the order of the file.
    pub struct ModifyOptions {
        /// `KEY TEXT`: gives a field this text, whether it is there or not.
        set: String, "set", repeated;
        /// `KEY TEXT`: adds a field where there is none of that key.
        add: String, "add", repeated;
        /// `KEY`: takes a field out.
        remove: String, "remove", repeated;
        /// `PREFIX`: takes out all fields whose keys begin with it.
        remove_wildcard: String, "remove_wildcard", repeated;
        /// `EXPRESSION`: takes out all fields whose keys match.
        remove_regex: String, "remove_regex", repeated;
        /// `PREFIX`: moves the fields whose keys begin with it before all others.
        move_to_start: String, "move_to_start", repeated;
        /// `PREFIX`: moves the fields whose keys begin with it behind all others.
        move_to_end: String, "move_to_end", repeated;
        /// `OLD NEW`: renames a field, unless there is one of the new name.
        rename: String, "rename", repeated;
        /// `OLD NEW`: renames a field; one of the new name goes.
        hard_rename: String, "hard_rename", repeated;
        /// `FROM TO`: copies a field, unless there is one of that name.
        copy: String, "copy", repeated;
        /// `FROM TO`: copies a field; one of that name goes.
        hard_copy: String, "hard_copy", repeated;
        /// What must hold: `key_exists KEY`, `key_does_not_exist KEY`, `a_key_matches EXPRESSION`, `no_key_matches EXPRESSION`,
        /// `key_value_equals KEY TEXT`, `key_value_does_not_equal KEY TEXT`, `key_value_matches KEY EXPRESSION`,
        /// `key_value_does_not_match KEY EXPRESSION`, `matching_keys_have_matching_values EXPRESSION EXPRESSION`,
        /// `matching_keys_do_not_have_matching_values EXPRESSION EXPRESSION`.
        condition: String, "condition", repeated;
    }
    deviations {
        "keys and texts": "need not be valid expressions where none is asked for";
    }
}

fn configure(section: &Section, _: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let (mut rules, mut conditions) = (Vec::new(), Vec::new());
    for entry in &section.entries {
        if entry.key == "condition" {
            conditions.extend(Condition::new(section, entry, report));
        } else if ModifyOptions::OPTIONS.iter().any(|option| option.name == entry.key) {
            rules.extend(read_rule(section, entry, report));
        }
    }
    Some(Box::new(Modify { rules: rules.into(), conditions: conditions.into() }))
}

fn read_rule(section: &Section, entry: &Entry, report: &mut Report) -> Option<Rule> {
    let (words, shape) = match entry.key.as_str() {
        "set" | "add" => (2, "KEY TEXT"),
        "rename" | "hard_rename" | "copy" | "hard_copy" => (2, "OLD NEW"),
        _ => (1, "KEY"),
    };
    let words = of_entry(section, entry, (Split::Quoted, words..=words), shape, report)?;
    Rule::new(section, entry, words, report)
}

struct Modify {
    rules: Arc<[Rule]>,
    conditions: Arc<[Condition]>,
}

impl Filter for Modify {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        let mut done = 0;
        if self.conditions.is_empty() && !source.shared_is_final {
            done = self.rules.iter().take_while(|rule| rule.share(source)).count();
        }
        if done == self.rules.len() {
            return Plan::Pass;
        }
        let rules = &self.rules[done..];
        let touches_shared = source.shared.iter().any(|s| rules.iter().any(|rule| rule.touches(&s.key)));
        Plan::Each(Box::new(ModifyEach {
            rules: Arc::clone(&self.rules),
            done,
            conditions: Arc::clone(&self.conditions),
            touches_shared,
            constants: Vec::new(),
            spare: Vec::new(),
        }))
    }
}

struct ModifyEach {
    rules: Arc<[Rule]>,
    /// So many of them are done for the source.
    done: usize,
    conditions: Arc<[Condition]>,
    /// What is shared is changed as well.
    touches_shared: bool,
    /// Key and text of each rule, in the batch's arena.
    constants: Vec<Field>,
    spare: Vec<Field>,
}

impl Each for ModifyEach {
    fn apply(&mut self, batch: &mut Batch) {
        let rules = &self.rules[self.done..];
        self.constants.clear();
        for rule in rules {
            let key = batch.intern(rule.target());
            let value = Value::Text(batch.intern(rule.text()));
            self.constants.push(Field { key, value });
        }
        for record in 0..batch.records.len() {
            if !self.conditions.iter().all(|condition| condition.holds(batch, record)) {
                continue;
            }
            batch.own_fields(record);
            if self.touches_shared {
                batch.own_shared(record);
            }
            for (rule, constant) in rules.iter().zip(&self.constants) {
                rule.apply(batch, record, *constant, &mut self.spare);
            }
        }
    }

    fn owns_shared(&self) -> bool {
        self.touches_shared
            || self.rules.iter().any(|rule| matches!(rule.action, Action::MoveToStart | Action::MoveToEnd))
    }
}

#[cfg(test)]
mod tests;
