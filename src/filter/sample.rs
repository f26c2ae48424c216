//! Keeps one record of many, by a field if need be, and always those that matter.
//!
//! ```yaml
//! filters:
//!   - name: sample
//!     match: 'kube.*'
//!     one_of: 10
//!     key: $kubernetes['container_name']
//!     always: [level ^(warn|error)$, log panic]
//! ```
//! Of every value of `key` the first record is kept, and then each tenth.

use super::words::{Split, of_entry, report_wrong};
use super::{Each, Filter, FilterConfig, FilterPlugin, Plan};
use crate::config::{Report, Section};
use crate::record::{Accessor, Batch, Expression, SourceDraft};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "sample",
    about: "Keeps one record of many, and always those that matter.",
    options: &[SampleOptions::OPTIONS],
    deviations: &[SampleOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// How many, and which of them always.
    pub struct SampleOptions {
        /// One of so many records is kept.
        one_of: u64, "one_of", required;
        /// A key or record accessor: every value of it is counted on its own.
        key: String, "key", optional;
        /// `KEY EXPRESSION`: records in which it matches are always kept, and not counted.
        always: String, "always", repeated;
    }
    deviations {
        "the filter": "is drave's own";
    }
}

/// Values counted on their own; beyond that counting begins anew.
const VALUES_MAX: usize = 100_000;

fn configure(section: &Section, _: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = SampleOptions::from_section(section, report)?;
    if let Some(entry) = section.get("one_of").filter(|_| options.one_of == 0) {
        report_wrong(section, entry, "cannot be 0", "1 keeps every record", report);
        return None;
    }
    let read_key = |name: &str, text: &str, report: &mut Report| {
        let parsed = Accessor::parse(text.trim());
        parsed.map_err(|e| {
            section.get(name).map(|at| report_wrong(section, at, &format!("is no key: {e}"), e.hint(), report))
        })
    };
    let key = options.key.as_deref().map(|text| read_key("key", text, report)).transpose().ok()?;
    let mut always = Vec::new();
    for entry in section.all("always") {
        let Some(words) = of_entry(section, entry, (Split::Rest, 2..=2), "KEY EXPRESSION", report) else { continue };
        let Ok(accessor) = read_key("always", &words[0], report) else { continue };
        match Expression::new(&words[1]) {
            Ok(expression) => always.push((accessor, expression)),
            Err(error) => {
                let why = format!("has no regular expression: {error}");
                report_wrong(section, entry, &why, "a dot that stands for itself is written as \\.", report);
            }
        }
    }
    let rules = Rules { one_of: options.one_of, key, always };
    Some(Box::new(Sample { rules: Arc::new(rules), counts: Arc::default() }))
}

#[derive(Debug)]
struct Rules {
    one_of: u64,
    key: Option<Accessor>,
    always: Vec<(Accessor, Expression)>,
}

struct Sample {
    rules: Arc<Rules>,
    counts: Arc<Mutex<HashMap<u64, u64>>>,
}

impl Filter for Sample {
    fn plan(&mut self, _: &mut SourceDraft) -> Plan {
        let (rules, counts) = (Arc::clone(&self.rules), Arc::clone(&self.counts));
        Plan::Each(Box::new(SampleEach { rules, counts, value: String::new(), buffer: Vec::new() }))
    }
}

struct SampleEach {
    rules: Arc<Rules>,
    /// By the hash of the value.
    counts: Arc<Mutex<HashMap<u64, u64>>>,
    value: String,
    buffer: Vec<u8>,
}

impl Each for SampleEach {
    fn apply(&mut self, batch: &mut Batch) {
        let counts = &mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (rules, value, buffer) = (&self.rules, &mut self.value, &mut self.buffer);
        batch.retain(|batch, record| {
            let matters = rules.always.iter().any(|(accessor, expression)| {
                let found = accessor.find(batch, record);
                found.and_then(|found| found.string(buffer)).is_some_and(|text| expression.is_match(text))
            });
            if matters {
                return true;
            }
            value.clear();
            if let Some(found) = rules.key.as_ref().and_then(|key| key.find(batch, record)) {
                found.push_text(value);
            }
            if counts.len() >= VALUES_MAX {
                counts.clear();
            }
            let count = counts.entry(xxh3_64(value.as_bytes())).or_default();
            *count += 1;
            *count % rules.one_of == 1 % rules.one_of
        });
    }

    fn adds_fields(&self) -> bool {
        false
    }

    fn owns_shared(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Chain;

    #[test]
    fn one_of_many_is_kept_and_what_matters_always() {
        let mut chain = Chain::new(&[("sample", "{one_of: 3, key: app, always: level error}")]);
        let mut kept =
            |record: &str, times: usize| (0..times).map(|_| usize::from(!chain.run(record).is_empty())).sum::<usize>();
        assert_eq!(kept(r#"{"app":"a"}"#, 7), 3);
        assert_eq!(kept(r#"{"app":"b"}"#, 1), 1);
        assert_eq!(kept(r#"{"app":"a","level":"error"}"#, 5), 5);
        assert_eq!(kept(r#"{"app":"a"}"#, 2), 0);
        assert_eq!(kept(r#"{"app":"a"}"#, 1), 1);
    }
}
