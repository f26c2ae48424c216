//! `relabel_configs`: labels from what is known of a target, and targets that are not wanted.

use super::super::finding::Verdict;
use super::jobs::Stream;
use super::read::Read;
use super::value::Value;
use super::{Converter, Node, pattern};
use regex::Regex;
use std::collections::HashMap;

/// What a target brings, by Promtail's names.
pub(super) type Known = HashMap<&'static str, Value>;

/// Of a pod, without its labels and annotations.
pub(super) fn pod_labels() -> Known {
    const FIELDS: [(&str, &str); 10] = [
        ("__meta_kubernetes_namespace", "namespace_name"),
        ("__meta_kubernetes_pod_name", "pod_name"),
        ("__meta_kubernetes_pod_uid", "pod_id"),
        ("__meta_kubernetes_pod_ip", "pod_ip"),
        ("__meta_kubernetes_pod_node_name", "host"),
        ("__meta_kubernetes_pod_container_name", "container_name"),
        ("__meta_kubernetes_pod_container_image", "container_image"),
        ("__meta_kubernetes_pod_container_id", "docker_id"),
        ("__meta_kubernetes_pod_controller_name", "workload_name"),
        ("__meta_kubernetes_pod_controller_kind", "workload_kind"),
    ];
    FIELDS.into_iter().map(|(name, key)| (name, Value::field(format!("$kubernetes['{key}']")))).collect()
}

/// Of a journal: found by the names that the job asks for.
pub(super) fn journal_labels(_: &Node) -> Known {
    Known::new()
}

/// A label's own name is not said: signs that names of Prometheus cannot have are `_`. The well-known ones are known; in others a
/// `_` is one, or else a `-`.
fn map_entry(map: &str, name: &str) -> Value {
    let field = |key: &str| Value::field(format!("$kubernetes['{map}']['{key}']"));
    let domains =
        ["app_kubernetes_io_", "topology_kubernetes_io_", "helm_sh_", "kubernetes_io_", "batch_kubernetes_io_"];
    if let Some(rest) = domains.iter().find_map(|domain| Some((domain, name.strip_prefix(domain)?))) {
        let domain = rest.0.trim_end_matches('_').replace('_', ".");
        return field(&format!("{domain}/{}", rest.1.replace('_', "-")));
    }
    match name.contains('_') {
        true => Value::first_of([field(name), field(&name.replace('_', "-"))].into_iter()),
        false => field(name),
    }
}

/// One of `relabel_configs`.
struct Rule<'n> {
    action: &'n str,
    sources: Vec<&'n str>,
    separator: &'n str,
    regex: &'n str,
    target: &'n str,
    replacement: &'n str,
}

impl<'n> Rule<'n> {
    fn new(node: &'n Node) -> Self {
        Self {
            action: node.get_text("action").unwrap_or("replace"),
            sources: node.get("source_labels").map(Read::texts).unwrap_or_default(),
            separator: node.get("separator").and_then(Node::text).unwrap_or(";"),
            regex: node.get("regex").and_then(Node::text).unwrap_or("(.*)"),
            target: node.get_text("target_label").unwrap_or_default(),
            replacement: node.get("replacement").and_then(Node::text).unwrap_or("$1"),
        }
    }

    fn takes_all(&self) -> bool {
        matches!(self.regex, "(.*)" | "(.+)" | "^(.*)$" | "^(.+)$") && matches!(self.replacement, "$1" | "${1}")
    }

    /// The first of several that is there: `^;*([^;]+)(;.*)?$`.
    fn takes_first(&self) -> bool {
        self.regex.contains("([^;]+)") && self.separator == ";" && matches!(self.replacement, "$1" | "${1}")
    }

    /// The name of what made the pod without the hash of its revision, which drave's has not.
    fn cuts_hash(&self) -> bool {
        self.sources.iter().all(|name| *name == "__meta_kubernetes_pod_controller_name")
            && self.regex.contains("(-[0-9a-f]{8,10})?")
    }
}

impl Converter<'_, '_> {
    pub(super) fn relabel(&mut self, name: &str, job: &Node, known: &Known, stream: &mut Stream) {
        for node in job.get("relabel_configs").map(Read::items).unwrap_or_default() {
            self.carry(node);
            let rule = Rule::new(node);
            let what = match rule.target {
                "" => format!("job {name} relabel {}", rule.action),
                target => format!("job {name} relabel {target}"),
            };
            let (verdict, why) = self.rule(&rule, known, stream);
            self.say(node, &what, verdict, &why);
        }
    }

    fn rule(&mut self, rule: &Rule<'_>, known: &Known, stream: &mut Stream) -> (Verdict, String) {
        let unsupported = |why: &str| (Verdict::Unsupported, why.to_owned());
        match rule.action.to_ascii_lowercase().as_str() {
            "replace" => replace(rule, known, stream),
            "keep" | "drop" => choose(rule, known, stream),
            "labelmap" if rule.regex.contains("__meta_kubernetes_pod_label_") => {
                stream.all_pod_labels = true;
                (
                    Verdict::Near,
                    "`auto_kubernetes_labels`: all of the pod's labels are labels, up to `labels_max`".into(),
                )
            }
            "labeldrop" | "labelkeep" => match Regex::new(&format!("^(?:{})$", rule.regex)) {
                Ok(regex) => {
                    let drops = rule.action.eq_ignore_ascii_case("labeldrop");
                    stream.labels.retain(|(name, _)| regex.is_match(name) != drops);
                    (Verdict::Same, String::new())
                }
                Err(_) => unsupported("its expression cannot be read"),
            },
            "hashmod" => unsupported("every node's agent reads the files of its node"),
            "labelmap" => unsupported("name each label in `labels` of the output"),
            "lowercase" | "uppercase" => unsupported("the filter `lua` writes texts in another case"),
            _ => unsupported("`labels` of the output name fields; `grep` leaves records out"),
        }
    }
}

/// What a label stands for.
fn source(name: &str, known: &Known, stream: &mut Stream) -> Option<Value> {
    if let Some(value) = stream.label(name) {
        return Some(value.clone());
    }
    let of_kubernetes = |stream: &mut Stream, option: &str| {
        if let Some(kubernetes) = &mut stream.kubernetes {
            kubernetes.set(option, super::Text::bare("on"));
        }
    };
    if let Some(field) = name.strip_prefix("__journal_") {
        return (stream.kubernetes.is_none())
            .then(|| pattern::field(&field.to_ascii_uppercase()).map(Value::field))
            .flatten();
    }
    if stream.kubernetes.is_some() {
        if let Some(label) = name.strip_prefix("__meta_kubernetes_pod_label_") {
            return Some(map_entry("labels", label));
        }
        if let Some(annotation) = name.strip_prefix("__meta_kubernetes_pod_annotation_") {
            return Some(map_entry("annotations", annotation));
        }
    }
    if name.starts_with("__meta_kubernetes_pod_controller_") {
        of_kubernetes(stream, "workload");
    }
    known.get(name).cloned()
}

fn sources(rule: &Rule<'_>, known: &Known, stream: &mut Stream) -> Result<Vec<Value>, String> {
    let of = |name: &&str| source(name, known, stream).ok_or_else(|| (*name).to_owned());
    rule.sources.iter().map(of).collect()
}

fn replace(rule: &Rule<'_>, known: &Known, stream: &mut Stream) -> (Verdict, String) {
    match rule.target {
        "__path__" => return (Verdict::Same, "`path` of the input: every container of the node".into()),
        "__host__" => return (Verdict::NoEffect, "every node's agent reads the files of its node".into()),
        "" => return (Verdict::Unsupported, "`target_label` is missing".into()),
        _ => {}
    }
    if rule.sources.is_empty() {
        if !rule.replacement.contains('$') {
            stream.set_label(rule.target, Value::fixed(rule.replacement));
            return (Verdict::Same, String::new());
        }
        return (Verdict::Unsupported, "without `source_labels` nothing is there to take a part of".into());
    }
    let values = match sources(rule, known, stream) {
        Ok(values) => values,
        Err(name) => {
            let why = format!(
                "{name} is not known; what is known of a pod is in `$kubernetes`, and `labels` of the output name it"
            );
            return (Verdict::Unsupported, why);
        }
    };
    let value = match () {
        () if rule.takes_first() || rule.cuts_hash() => Some(Value::first_of(values.into_iter())),
        () if rule.takes_all() => Value::joined(&values, rule.separator),
        () => None,
    };
    match value {
        Some(value) => {
            stream.set_label(rule.target, value);
            (Verdict::Same, String::new())
        }
        None => (
            Verdict::Unsupported,
            "a part of a value has to be made by `lua`, or by a `parser` with an expression".into(),
        ),
    }
}

/// `keep` and `drop`, as the filter `grep`.
fn choose(rule: &Rule<'_>, known: &Known, stream: &mut Stream) -> (Verdict, String) {
    let keeps = rule.action.eq_ignore_ascii_case("keep");
    let unsupported = |why: &str| (Verdict::Unsupported, why.to_owned());
    let values = match sources(rule, known, stream) {
        Ok(values) => values,
        Err(name) => return unsupported(&format!("{name} is not known; `grep` chooses by fields of `$kubernetes`")),
    };
    let [value] = &values[..] else {
        return unsupported("of several labels at once; make a `grep` for each");
    };
    if let Some(text) = value.as_fixed() {
        return match Regex::new(&format!("^(?:{})$", rule.regex)).is_ok_and(|regex| regex.is_match(&text)) == keeps {
            true => (Verdict::Same, "the label is the same for all, so nothing is left out".into()),
            false => unsupported("it leaves out all of this job; take the job out"),
        };
    }
    let Some(fields) = value.fields() else {
        return unsupported("of a label that is made of several; make a `grep` for each");
    };
    // What is missing or empty: nothing else has it.
    let (keeps, regex) = match rule.regex {
        "" => (!keeps, ".+".to_owned()),
        regex => (keeps, format!("^(?:{})$", pattern::as_ruby(regex))),
    };
    let rules = fields.iter().map(|field| format!("{field} {regex}"));
    let grep = match keeps {
        true => stream.filter("grep").with_list("regex", rules),
        false => stream.filter("grep").with_list("exclude", rules),
    };
    let several = keeps && fields.len() > 1;
    stream.filters.push(if several { grep.with_bare("logical_op", "or") } else { grep });
    (Verdict::Same, "the filter `grep`, decided once for each file".into())
}
