//! `scrape_configs`: each target of a job becomes an input, its filters, and an output for each client.

use super::super::document::{Item, Text};
use super::super::finding::Verdict;
use super::paths::expanded;
use super::read::Read;
use super::value::Value;
use super::{Client, Converter, Node, pattern};
use std::collections::{BTreeSet, HashMap};

/// One target on its way.
pub(super) struct Stream {
    pub(super) tag: String,
    /// Its own, and those that `match` stages give to some of its records.
    pub(super) tags: Vec<String>,
    pub(super) labels: Vec<(String, Value)>,
    pub(super) metadata: Vec<(String, Value)>,
    /// Promtail's extracted map.
    pub(super) extracted: HashMap<String, Value>,
    /// Top keys of the record that are not sent.
    pub(super) roots: BTreeSet<String>,
    /// A parser may bring any keys, so that those which are not sent cannot be listed.
    pub(super) is_open: bool,
    /// The same for all, and the field of those that say their own.
    pub(super) tenant: (Option<String>, Option<Value>),
    /// Within a `match` stage: the number of the first parser that is for its records alone.
    pub(super) in_match: Option<usize>,
    pub(super) input: Item,
    pub(super) filters: Vec<Item>,
    /// The lines have a container format's header.
    pub(super) container: Option<&'static str>,
    /// Options of the filter `kubernetes`, where the target is all pods.
    pub(super) kubernetes: Option<Item>,
    pub(super) all_pod_labels: bool,
    /// Of the field that a parser brought, which section it is.
    pub(super) parsers: HashMap<String, usize>,
}

/// What a job may read, besides files.
const SOURCES: [(&str, &str); 14] = [
    ("syslog", "let a syslog server write a file, and follow that with `tail`"),
    ("loki_push_api", "let the sender write a file, and follow that with `tail`"),
    ("windows_events", "it is for Windows, and drave runs on Linux"),
    ("gcplog", "what is in a cloud is collected there"),
    ("gcp_push", "what is in a cloud is collected there"),
    ("azure_event_hubs", "what is in a cloud is collected there"),
    ("cloudflare", "what is in a cloud is collected there"),
    ("heroku_drain", "what is in a cloud is collected there"),
    ("kafka", "let the producers write files, and follow those with `tail`"),
    ("gelf", "let the sender write a file, and follow that with `tail`"),
    (
        "docker_sd_configs",
        "`tail` with `path /var/lib/docker/containers/*/*-json.log` and `multiline.parser docker`; it knows no names of containers",
    ),
    ("file_sd_configs", "name the files under `static_configs`: `tail` takes patterns"),
    ("consul_sd_configs", "name the files under `static_configs`: `tail` takes patterns"),
    ("consulagent_sd_configs", "name the files under `static_configs`: `tail` takes patterns"),
];

const KNOWN: [&str; 8] = [
    "job_name",
    "pipeline_stages",
    "static_configs",
    "kubernetes_sd_configs",
    "relabel_configs",
    "journal",
    "encoding",
    "decompression",
];

/// Where container logs are, in one folder, and in one for each pod.
const CONTAINERS: &str = "/var/log/containers/*.log";
const PODS: &str = "/var/log/pods/*/*/*.log";

impl Stream {
    pub(super) fn new(tag: String, input: Item) -> Self {
        let input = input.with("tag", format!("{tag}.*"));
        Self {
            tags: vec![tag.clone()],
            tag,
            labels: Vec::new(),
            metadata: Vec::new(),
            extracted: HashMap::new(),
            roots: BTreeSet::new(),
            is_open: false,
            tenant: (None, None),
            in_match: None,
            input,
            filters: Vec::new(),
            container: None,
            kubernetes: None,
            all_pod_labels: false,
            parsers: HashMap::new(),
        }
    }

    /// The option that routes its records.
    pub(super) fn matching(&self, item: Item) -> Item {
        match &self.tags[..] {
            [tag] => item.with("match", format!("{tag}.*")),
            tags => item.with("match_regex", format!("^({})\\.", tags.join("|"))),
        }
    }

    /// A filter that sees all of them.
    pub(super) fn filter(&self, name: &str) -> Item {
        self.matching(Item::named(name))
    }

    /// Within a `match` stage the other records keep what they had.
    pub(super) fn set_label(&mut self, name: &str, value: Value) {
        set(&mut self.labels, name, value, self.in_match.is_some());
    }

    pub(super) fn set_metadata(&mut self, name: &str, value: Value) {
        set(&mut self.metadata, name, value, self.in_match.is_some());
    }

    /// A fixed text for the records that pass here: within a `match` stage a field of theirs.
    pub(super) fn fixed(&mut self, name: &str, text: &str) -> Value {
        if self.in_match.is_none() {
            return Value::fixed(text);
        }
        let key = format!("_{name}");
        let modify = self.filter("modify").with("set", format!("{key} {}", pattern::word(text)));
        self.filters.push(modify);
        self.roots.insert(key.clone());
        Value::field(format!("${key}"))
    }

    pub(super) fn label(&self, name: &str) -> Option<&Value> {
        self.labels.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// What Promtail knows by this name: of the extracted map, or what a container format says.
    pub(super) fn named(&self, name: &str) -> Option<Value> {
        let of_container = || (self.container.is_some() && name == "stream").then(|| Value::field("$stream"));
        self.extracted.get(name).cloned().or_else(of_container)
    }
}

fn set(list: &mut Vec<(String, Value)>, name: &str, value: Value, keeps: bool) {
    let old = list.iter().position(|(own, _)| own == name).map(|at| list.remove(at).1);
    let value = match old.filter(|_| keeps) {
        Some(old) => Value::first_of([value, old].into_iter()),
        None => value,
    };
    list.push((name.to_owned(), value));
}

impl Converter<'_, '_> {
    pub(super) fn job(&mut self, job: &Node, clients: &[Client]) {
        self.carry(job);
        let name = job.get_text("job_name").unwrap_or("promtail").to_owned();
        if let Some(node) = job.get("job_name") {
            self.say(node, &format!("job {name}"), Verdict::Same, "the tag of its records");
        }
        for (key, _) in job.pairs() {
            let word = key.text().unwrap_or_default();
            if let Some((source, instead)) = SOURCES.iter().find(|(source, _)| *source == word) {
                self.say(key, &format!("job {name} {source}"), Verdict::Unsupported, instead);
            } else if !KNOWN.contains(&word) {
                let what = format!("job {name} {word}");
                self.say(key, &what, Verdict::Unsupported, "Promtail has no such key, or none that drave knows");
            }
        }
        for target in job.get("static_configs").map(Read::items).unwrap_or_default() {
            self.static_target(&name, job, target, clients);
        }
        for target in job.get("kubernetes_sd_configs").map(Read::items).unwrap_or_default() {
            self.kubernetes_target(&name, job, target, clients);
        }
        if let Some(journal) = job.get("journal") {
            self.journal_target(&name, job, journal, clients);
        }
    }

    /// A tag that no other target has, without dots, so that none begins with another.
    pub(super) fn tag(&mut self, name: &str) -> String {
        let sign = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        let plain: String = name.chars().map(sign).collect();
        let plain = if plain.is_empty() { "job".to_owned() } else { plain };
        let mut tag = plain.clone();
        let mut number = 2;
        while !self.tags.insert(tag.clone()) {
            tag = format!("{plain}-{number}");
            number += 1;
        }
        tag
    }

    fn static_target(&mut self, name: &str, job: &Node, target: &Node, clients: &[Client]) {
        self.carry(target);
        let labels = target.get("labels");
        let text = |key: &str| labels.and_then(|labels| labels.get_text(key));
        let Some(path) = text("__path__") else {
            let why = "without `__path__` it reads nothing; a journal or a network is no static target";
            return self.say(target, &format!("job {name} static_configs"), Verdict::Unsupported, why);
        };
        let tag = self.tag(name);
        let paths = expanded(path);
        let mut input = Item::named("tail").with_list("path", [paths.join(", ")]);
        let verdict = if path.contains("**") { Verdict::Near } else { Verdict::Same };
        let why = if path.contains("**") { "folders up to four deep: `*` of drave stays in one folder" } else { "" };
        self.say(
            labels.and_then(|l| l.get("__path__")).unwrap_or(target),
            &format!("job {name} __path__"),
            verdict,
            why,
        );
        if let Some(exclude) = text("__path_exclude__") {
            input = input.with("exclude_path", expanded(exclude).join(", "));
            let at = labels.and_then(|l| l.get("__path_exclude__")).unwrap_or(target);
            self.say(at, &format!("job {name} __path_exclude__"), Verdict::Same, "");
        }
        let mut stream = Stream::new(tag, self.with_comments(input));
        for (key, value) in labels.map(Read::pairs).unwrap_or_default() {
            let (Some(label), Some(text)) = (key.text().filter(|key| !key.starts_with("__")), value.text()) else {
                continue;
            };
            stream.set_label(label, Value::fixed(text));
            self.say(key, &format!("job {name} label {label}"), Verdict::Same, "");
        }
        self.file_input(job, &mut stream);
        self.relabel(name, job, &HashMap::new(), &mut stream);
        self.stages(job.get("pipeline_stages"), &mut stream);
        self.finish(job, stream, clients);
    }

    /// What all targets with files have.
    fn file_input(&mut self, job: &Node, stream: &mut Stream) {
        stream.input.set("path_key", Text::of("filename"));
        stream.input.set("read_from_head", Text::bare("auto"));
        stream.set_label("filename", Value::field("$filename"));
        if let Some(encoding) = job.get("encoding") {
            let name = encoding.text().unwrap_or_default();
            let key =
                if name.to_ascii_lowercase().starts_with("utf-") { "unicode.encoding" } else { "generic.encoding" };
            stream.input.set(key, Text::of(name.to_ascii_uppercase().replace("UTF-16-", "UTF-16")));
            self.say(encoding, "encoding", Verdict::Near, "drave check says whether it is known by this name");
        }
        if let Some(node) = job.get("decompression") {
            self.say(
                node,
                "decompression",
                Verdict::Near,
                "compressed rotations of a file are read; a compressed file by itself is not",
            );
        }
    }

    fn kubernetes_target(&mut self, name: &str, job: &Node, target: &Node, clients: &[Client]) {
        self.carry(target);
        let what = format!("job {name} kubernetes_sd_configs");
        let role = target.get_text("role").unwrap_or("pod").to_owned();
        if role != "pod" {
            let why = "only `role: pod` has logs in files; for others name the files under `static_configs`";
            return self.say(target, &what, Verdict::Unsupported, why);
        }
        self.say(
            target,
            &what,
            Verdict::Better,
            "the node's pods are listed once and watched; no file waits for the API",
        );
        self.say_unknown(target, &what, &["role", "namespaces", "selectors", "api_server", "kubeconfig_file"]);
        for key in ["namespaces", "selectors", "api_server", "kubeconfig_file"] {
            if let Some(node) = target.get(key) {
                let why = "the filter `kubernetes` knows all pods of its node; `grep` leaves out what is not wanted";
                self.say(node, &format!("{what} {key}"), Verdict::Unsupported, why);
            }
        }
        let tag = self.tag(name);
        let is_pods = |node: &&Node| {
            node.get_text("target_label") == Some("__path__")
                && node.get_text("replacement").is_some_and(|path| path.starts_with("/var/log/pods/"))
        };
        let relabel = job.get("relabel_configs").map(Read::items).unwrap_or_default();
        let path = if relabel.iter().any(|node| is_pods(&node)) { PODS } else { CONTAINERS };
        let folder = path.trim_start_matches('/').split('*').next().unwrap_or_default().replace('/', ".");
        let mut stream = Stream::new(tag, self.with_comments(Item::named("tail").with("path", path)));
        stream.kubernetes =
            Some(stream.filter("kubernetes").with("kube_tag_prefix", format!("{}.{folder}", stream.tag)));
        stream.roots.insert("kubernetes".into());
        self.file_input(job, &mut stream);
        self.relabel(name, job, &super::relabel::pod_labels(), &mut stream);
        self.stages(job.get("pipeline_stages"), &mut stream);
        self.finish(job, stream, clients);
    }

    fn journal_target(&mut self, name: &str, job: &Node, journal: &Node, clients: &[Client]) {
        self.carry(journal);
        let what = format!("job {name} journal");
        if !self.has_systemd {
            let instead = super::super::super::absent(super::SectionKind::Input, "systemd").unwrap_or_default();
            return self.say(journal, &what, Verdict::Unsupported, instead);
        }
        self.say(journal, &what, Verdict::Same, "");
        let tag = self.tag(name);
        let mut stream = Stream::new(tag, self.with_comments(Item::named("systemd")));
        stream.is_open = true;
        for (key, value) in journal.pairs() {
            let word = key.text().unwrap_or_default();
            let what = format!("{what} {word}");
            match word {
                "path" => {
                    stream.input.set("path", Text::of(value.text().unwrap_or_default()));
                    self.say(key, &what, Verdict::Same, "");
                }
                "labels" => {
                    for (label, value) in value.pairs() {
                        let (Some(label), Some(value)) = (label.text(), value.text()) else { continue };
                        stream.set_label(label, Value::fixed(value));
                    }
                    self.say(key, &what, Verdict::Same, "");
                }
                "matches" => {
                    let filters = value.text().unwrap_or_default().split_whitespace().map(str::to_owned);
                    stream.input = std::mem::take(&mut stream.input).with_list("systemd_filter", filters).with_bare("systemd_filter_type", "And");
                    self.say(key, &what, Verdict::Same, "");
                }
                "max_age" => self.say(key, &what, Verdict::Near, "where reading begins is kept; at the first start it is the journal's beginning"),
                "json" => self.say(key, &what, Verdict::Near, "the line is the field MESSAGE; with `line_format json` and without `remove_keys` all fields are sent"),
                _ => self.say(key, &what, Verdict::Unsupported, "Promtail has no such key, or none that drave knows"),
            }
        }
        let line = stream.filter("modify").with("hard_rename", "MESSAGE log");
        self.relabel(name, job, &super::relabel::journal_labels(job), &mut stream);
        stream.filters.insert(0, line);
        self.stages(job.get("pipeline_stages"), &mut stream);
        self.finish(job, stream, clients);
    }
}
