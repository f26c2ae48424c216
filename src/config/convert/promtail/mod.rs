//! Promtail's configuration as drave's. Its support ended in March 2026.
//!
//! ```text
//! scrape_configs: each target ─▶ an input `tail`, filters for its stages, an output `loki` for each of `clients`
//!
//! entry's line      the field `log`, which alone is sent (drop_single_key raw, remove_keys)
//! extracted map     fields of the record; a name of Promtail's is remembered as a record accessor
//! labels            `labels` of the output: accessors and fixed texts
//! ```
//! A stage becomes filters where drave has what it needs; the others are named, with what comes nearest.

mod clients;
mod jobs;
mod layout;
mod outputs;
mod paths;
mod pattern;
mod read;
mod relabel;
mod selector;
mod stages;
mod value;

use super::super::loader::Loader;
use super::super::yaml::tree::Node;
use super::super::{Location, Page, SectionKind};
use super::comments::Comments;
use super::document::{Document, Item, Lines, Text};
use super::finding::{Finding, Verdict};
use clients::Client;
use read::Read;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// Is it what Promtail reads?
pub(super) fn is_meant(root: &Node) -> bool {
    root.get("scrape_configs").is_some()
}

/// The document, and what becomes of each directive.
pub(super) fn convert(
    path: &Path,
    text: &str,
    root: &Node,
    pages: &[Page],
    loader: &mut Loader<'_>,
) -> (Document, Vec<Finding>) {
    let file: Arc<str> = path.display().to_string().into();
    loader.report.sources.add(&file, text);
    let mut converter = Converter {
        has_systemd: pages.iter().any(|page| page.kind == SectionKind::Input && page.name == "systemd"),
        comments: Comments::new(&loader.report.sources),
        loader,
        file,
        document: Document::default(),
        findings: Vec::new(),
        seen: HashSet::new(),
        carried: Lines::new(),
        tags: HashSet::new(),
    };
    converter.root(root);
    let rest = converter.comments.rest(&Arc::clone(&converter.file));
    converter.document.tail.extend(std::mem::take(&mut converter.carried));
    converter.document.tail.extend(rest);
    (converter.document, converter.findings)
}

struct Converter<'l, 'r> {
    loader: &'l mut Loader<'r>,
    file: Arc<str>,
    comments: Comments,
    document: Document,
    findings: Vec<Finding>,
    /// What was said: several targets share their stages.
    seen: HashSet<(u32, u32, String)>,
    /// For the next section.
    carried: Lines,
    /// Those that have been given out.
    tags: HashSet<String>,
    has_systemd: bool,
}

/// Where positions are kept when the folder of Promtail's says nothing.
const STATE_FOLDER: &str = "/var/lib/drave";

/// Keys at the top that change nothing here, and why.
const IDLE: [(&str, &str); 5] = [
    ("wal", "what is not delivered waits in the files, or in a spool"),
    ("options", "there is nothing of the kind to choose"),
    ("tracing", "drave sends no traces of itself"),
    ("target_config", "folders tell of new files at once"),
    ("global", "there is nothing of the kind to choose"),
];

impl Converter<'_, '_> {
    fn at(&self, node: &Node) -> Location {
        super::super::loader::location(&self.file, node.line, node.column)
    }

    /// Says what becomes of a directive, once.
    fn say(&mut self, node: &Node, what: &str, verdict: Verdict, detail: &str) {
        let at = self.at(node);
        if self.seen.insert((at.line, at.column, what.to_owned())) {
            let detail = (!detail.is_empty()).then(|| detail.to_owned());
            self.findings.push(Finding { at, what: what.to_owned(), verdict, detail });
        }
    }

    /// The same for each key of a mapping that is not known.
    fn say_unknown(&mut self, node: &Node, of: &str, known: &[&str]) {
        for (key, _) in node.pairs() {
            let Some(name) = key.text().filter(|name| !known.contains(name)) else { continue };
            self.say(
                key,
                &format!("{of} {name}"),
                Verdict::Unsupported,
                "Promtail has no such key, or none that drave knows",
            );
        }
    }

    /// A mistake: what should stand here is not there.
    fn error(&mut self, node: &Node, what: &str, hint: &str) {
        let at = self.at(node);
        self.loader.report.error(Some(&at), what, Some(hint.to_owned()));
    }

    /// Comments above a node go to the next section.
    fn carry(&mut self, node: &Node) {
        let at = self.at(node);
        let comments = self.comments.before(&at);
        self.carried.extend(comments);
    }

    fn with_comments(&mut self, mut item: Item) -> Item {
        let mut comments = std::mem::take(&mut self.carried);
        comments.append(&mut item.comments);
        item.comments = comments;
        item
    }

    fn root(&mut self, root: &Node) {
        self.document.head = self.comments.head(&self.file);
        let mut clients = Vec::new();
        for (key, node) in root.pairs() {
            match key.text().unwrap_or_default() {
                "clients" => node.items().iter().for_each(|node| clients.extend(self.client(node))),
                "client" => clients.extend(self.client(node)),
                "server" => self.server(node),
                "positions" => self.positions(key, node),
                "limits_config" => self.limits(node),
                "scrape_configs" => {}
                name => match IDLE.iter().find(|(idle, _)| *idle == name) {
                    Some((name, why)) => self.say(key, name, Verdict::NoEffect, why),
                    None => {
                        self.say(key, name, Verdict::Unsupported, "Promtail has no such key, or none that drave knows")
                    }
                },
            }
        }
        if root.get("positions").is_none() {
            self.document.service.set("state_dir", Text::of(STATE_FOLDER));
        }
        if clients.is_empty() {
            self.error(
                root,
                "this configuration sends nothing",
                "add `clients: [{ url: http://loki:3100/loki/api/v1/push }]`",
            );
        }
        let jobs = root.get("scrape_configs").map(Read::items).unwrap_or_default();
        if jobs.is_empty() {
            self.error(root, "`scrape_configs` should be a list of jobs", "begin each with `- job_name:`");
        }
        jobs.iter().for_each(|job| self.job(job, &clients));
    }

    fn server(&mut self, node: &Node) {
        self.carry(node);
        for (key, value) in node.pairs() {
            let (name, text) = (key.text().unwrap_or_default(), value.text().unwrap_or_default());
            let what = format!("server {name}");
            let service = &mut self.document.service;
            match name {
                "disable" if value.is_on() => {
                    service.set("http_server", Text::bare("off"));
                    self.say(key, &what, Verdict::Same, "");
                }
                "disable" => self.say(key, &what, Verdict::Same, ""),
                // A port of its own choice is one that nobody asks.
                "http_listen_port" if text == "0" => {
                    self.say(key, &what, Verdict::NoEffect, "0 is a port that nobody knows")
                }
                "http_listen_port" => {
                    service.set("http_server", Text::bare("on"));
                    service.set("http_port", Text::bare(text));
                    self.say(key, &what, Verdict::Same, "pages are /metrics, /readyz and /healthz");
                }
                "http_listen_address" => {
                    service.set("http_listen", Text::of(text));
                    self.say(key, &what, Verdict::Same, "");
                }
                "log_level" => {
                    service.set("log_level", Text::bare(text));
                    self.say(key, &what, Verdict::Same, "");
                }
                "log_format" => {
                    service.set("log_format", Text::bare(if text == "json" { "json" } else { "text" }));
                    self.say(key, &what, Verdict::Same, "");
                }
                "health_check_target" => self.say(key, &what, Verdict::NoEffect, "/readyz says whether drave works"),
                _ if name.starts_with("grpc") => self.say(key, &what, Verdict::NoEffect, "drave has no gRPC server"),
                _ => self.say(key, &what, Verdict::NoEffect, "the pages of drave have no such option"),
            }
        }
        self.document.service.comments.extend(std::mem::take(&mut self.carried));
    }

    /// drave keeps positions of its own, in the same folder: that one outlives the process.
    fn positions(&mut self, key: &Node, node: &Node) {
        self.carry(key);
        self.document.service.comments.append(&mut self.carried);
        for (key, value) in node.pairs() {
            let name = key.text().unwrap_or_default();
            let what = format!("positions {name}");
            match (name, value.text()) {
                ("filename", Some(file)) => {
                    let parent =
                        Path::new(file).parent().map(|folder| folder.display().to_string()).unwrap_or_default();
                    let lasting = !matches!(parent.as_str(), "" | "/" | "/tmp");
                    let folder = if lasting { parent } else { STATE_FOLDER.to_owned() };
                    self.document.service.set("state_dir", Text::of(folder.as_str()));
                    let why = format!(
                        "drave keeps its own in {folder} and does not read Promtail's; at the first start `read_from_head auto` reads \
                         files younger than ten minutes from their beginning, the others from their end"
                    );
                    self.say(key, &what, Verdict::Near, &why);
                }
                ("sync_period", _) => self.say(key, &what, Verdict::Better, "positions are written once a second"),
                ("ignore_invalid_yaml", _) => {
                    self.say(key, &what, Verdict::NoEffect, "positions are kept in a database")
                }
                _ => self.say(key, &what, Verdict::Unsupported, "Promtail has no such key, or none that drave knows"),
            }
        }
    }

    fn limits(&mut self, node: &Node) {
        for (key, _) in node.pairs() {
            let name = key.text().unwrap_or_default();
            let (verdict, why) = match name {
                "max_line_size" | "max_line_size_truncate" => (
                    Verdict::Unsupported,
                    "`buffer_max_size` of the input is 1 MiB; longer lines are cut and marked, or left out with `skip_long_lines`",
                ),
                "max_streams" => (
                    Verdict::Unsupported,
                    "`streams_max` of the output is 1000; what would be a stream too many keeps its fixed labels",
                ),
                "readline_rate_drop" | "readline_rate" | "readline_burst" | "readline_rate_enabled" => (
                    Verdict::Unsupported,
                    "the filter `throttle` leaves records out beyond a rate; without it the output sets the pace",
                ),
                _ => (Verdict::Unsupported, "Promtail has no such key, or none that drave knows"),
            };
            self.say(key, &format!("limits_config {name}"), verdict, why);
        }
    }
}
