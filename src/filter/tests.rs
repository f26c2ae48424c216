//! Filters on single records, without a pipeline.

use super::*;
use crate::config::{Syntax, load_text};
use crate::record::{Record, Source, json};

/// Filters in a row, planned for one source.
pub(super) struct Chain {
    pub(super) filters: Vec<Box<dyn Filter>>,
    steps: Vec<Box<dyn Each>>,
    pub(super) batch: Batch,
    pub(super) time_ns: i64,
}

impl Chain {
    /// Each filter by its name and its options as YAML, with braces or without.
    pub(super) fn new(filters: &[(&str, &str)]) -> Self {
        Self::of_source(
            filters,
            SourceDraft { tag: "app.one".into(), text_key: "log".into(), ..SourceDraft::default() },
        )
    }

    pub(super) fn of_source(filters: &[(&str, &str)], mut draft: SourceDraft) -> Self {
        let inner = |options: &str| options.trim_start_matches('{').trim_end_matches('}').to_owned();
        let sections: Vec<String> = filters
            .iter()
            .map(|(name, options)| {
                let options = if options.starts_with('{') { inner(options) } else { (*options).to_owned() };
                format!("    - {{name: {name}, {options}}}\n")
            })
            .collect();
        let text = format!("pipeline:\n  filters:\n{}", sections.concat());
        let mut report = Report::default();
        let config = load_text(&text, Syntax::Yaml, &Environment::default(), &mut report);
        let configure = |section: &Section| {
            let plugin = FILTERS.iter().chain(PROCESSORS).find(|p| p.name == section.name).expect("a filter");
            (plugin.configure)(section, &FilterConfig::of(&config, &Environment::default()), &mut report)
        };
        let mut filters: Vec<_> = config.filters.iter().filter_map(configure).collect();
        assert!(!report.has_errors(), "{text}\n{:?}", report.problems);
        let mut steps = Vec::new();
        for filter in &mut filters {
            match filter.plan(&mut draft) {
                Plan::Each(each) => {
                    draft.shared_is_final |= each.owns_shared();
                    draft.is_bare &= !each.adds_fields();
                    steps.push(each);
                }
                Plan::Pass => {}
                Plan::Drop(_) | Plan::NotYet => panic!("the source is left out"),
            }
        }
        Self { filters, steps, batch: Batch::new(Arc::new(Source::new(draft, Vec::new()))), time_ns: 0 }
    }

    /// What becomes of a record; nothing when it is left out.
    pub(super) fn run(&mut self, record: &str) -> String {
        self.run_all(std::slice::from_ref(&record)).into_iter().next().unwrap_or_default()
    }

    /// The same of many that come at once.
    pub(super) fn run_all(&mut self, records: &[impl AsRef<str>]) -> Vec<String> {
        let source = Arc::clone(&self.batch.source);
        self.batch.reset(&source, &crate::record::KeyNames::CRI);
        for (number, record) in records.iter().enumerate() {
            let text = self.batch.append(record.as_ref().as_bytes());
            self.batch.records.push(Record { text, time_ns: self.time_ns, ..Record::default() });
            let json = crate::parse::parser("json", &[]).expect("it is built in");
            json.parse(&mut self.batch, number).expect("a JSON object");
        }
        self.steps.iter_mut().for_each(|each| each.apply(&mut self.batch));
        let left = self.batch.records.len() as u64;
        let counted: u64 = self.batch.counts.dropped.iter().map(|(_, records, _)| *records).sum();
        let rerouted = self.batch.rerouted.len() as u64;
        let all = records.len() as u64 + self.batch.counts.made;
        assert_eq!(left + counted + rerouted, all, "every record is accounted for");
        let sent = |record: &Record| {
            let mut out = b"{".to_vec();
            json::push_members(&mut out, &self.batch, record, false);
            out.push(b'}');
            String::from_utf8(out).expect("JSON is UTF-8")
        };
        self.batch.records.iter().map(sent).collect()
    }
}

pub(super) fn run(filters: &[(&str, &str)], record: &str) -> String {
    Chain::new(filters).run(record)
}

#[track_caller]
pub(super) fn check(filter: &str, options: &str, record: &str, expect: &str) {
    assert_eq!(run(&[(filter, options)], record), expect, "{filter} {options} on {record}");
}

#[test]
fn filters_know_what_is_shared() {
    let mut draft = SourceDraft { tag: "t".into(), text_key: "log".into(), ..SourceDraft::default() };
    draft.share("kubernetes", serde_json::json!({"pod_name": "web", "labels": {"app": "cart"}}), true);
    let run = |filters: &[(&str, &str)], record: &str| Chain::of_source(filters, draft.clone()).run(record);
    let lift = ("nest", "{operation: lift, nested_under: kubernetes, add_prefix: k_}");
    let all = r#""k_pod_name":"web","k_labels":{"app":"cart"}"#;
    assert_eq!(run(&[lift], r#"{"a":1,"kubernetes":2}"#), format!(r#"{{"a":1,{all}}}"#));
    assert_eq!(run(&[lift, ("modify", "remove: k_labels")], "{}"), r#"{"k_pod_name":"web"}"#);
    assert_eq!(run(&[("modify", "rename: kubernetes k"), lift], r#"{"a":1}"#), {
        r#"{"a":1,"k":{"pod_name":"web","labels":{"app":"cart"}}}"#
    });
    assert_eq!(run(&[("modify", "condition: key_exists a, set: b c"), lift], "{}"), format!("{{{all}}}"));
    let nest = ("nest", "{operation: nest, wildcard: 'k*', nest_under: m}");
    assert_eq!(run(&[nest], "{}"), r#"{"m":{"kubernetes":{"pod_name":"web","labels":{"app":"cart"}}}}"#);
    assert_eq!(run(&[("record_modifier", "remove_key: KUBE*")], r#"{"a":1}"#), r#"{"a":1}"#);
    assert_eq!(run(&[("record_modifier", "record: kubernetes x")], r#"{"a":1}"#), r#"{"a":1,"kubernetes":"x"}"#);
    assert_eq!(run(&[("modify", "add: kubernetes x")], "{}"), run(&[], "{}"));
    assert_eq!(
        run(&[("grep", "\"regex\": \"$kubernetes['labels']['app'] cart\"")], r#"{"a":1}"#),
        run(&[], r#"{"a":1}"#)
    );
}

/// What is done once for a source is what would be done to each of its records.
#[test]
fn once_per_source_is_as_for_each_record() {
    let rules = [
        "set: a x",
        "add: a x",
        "remove: a",
        "rename: a b",
        "hard_rename: a b",
        "copy: a b",
        "hard_copy: a b",
        "rename: b c",
        "remove: b",
        "add: c y",
        "hard_rename: c a",
    ];
    let members = || proptest::collection::btree_map("[abc]", "[xyz]{1,2}", 0..4);
    let chosen = proptest::collection::vec(0..rules.len(), 1..5);
    proptest::proptest!(|(shared in members(), wins in proptest::bool::ANY, own in members(), chosen in chosen)| {
        let mut draft = SourceDraft { tag: "t".into(), text_key: "log".into(), ..SourceDraft::default() };
        shared.iter().for_each(|(key, value)| draft.share(key, value.as_str().into(), wins));
        let chosen: Vec<_> = chosen.iter().map(|at| ("modify", rules[*at])).collect();
        let record = serde_json::to_string(&own).expect("JSON");
        let tree = |text: String| serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
        let bare = SourceDraft { is_bare: own.is_empty(), ..draft.clone() };
        let once = tree(Chain::of_source(&chosen, bare).run(&record));
        let each = tree(Chain::of_source(&chosen, SourceDraft { shared_is_final: true, ..draft }).run(&record));
        proptest::prop_assert_eq!(once, each);
    });
}

/// No filter loses or invents a record uncounted, whatever it looks at: [`Chain::run`] asserts it.
#[test]
fn every_record_is_accounted_for() {
    let filters = [
        ("grep", "exclude: a x"),
        ("modify", "{condition: key_exists a, rename: a b}"),
        ("rewrite_tag", "rule: $a y new.$0 true"),
        ("rewrite_tag", "rule: $b z new.$0 false"),
        ("sample", "one_of: 2"),
        ("throttle", "{rate: 3, interval: 1h}"),
        ("nest", "{operation: nest, wildcard: 'a*', nest_under: m}"),
        ("record_modifier", "allowlist_key: b"),
        ("redact", "kinds: email"),
        ("parser", "{key_name: b, parser: json, reserve_data: on}"),
        ("type_converter", "str_key: a b int"),
    ];
    let members = proptest::collection::btree_map("[abc]{1,2}", "[xyz@{}.0-9\"]{0,5}", 0..4);
    let chosen = proptest::collection::vec(0..filters.len(), 1..5);
    proptest::proptest!(|(records in proptest::collection::vec(members, 1..5), chosen in chosen)| {
        let chosen: Vec<_> = chosen.iter().map(|at| filters[*at]).collect();
        let mut chain = Chain::new(&chosen);
        for record in records {
            let left = chain.run(&serde_json::to_string(&record).expect("JSON"));
            let valid = left.is_empty() || serde_json::from_str::<serde_json::Value>(&left).is_ok();
            proptest::prop_assert!(valid, "{}", left);
        }
    });
}
