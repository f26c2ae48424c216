//! Adds what is known about the pod that wrote a record, under `kubernetes`, and merges JSON that stands in its `log`.
//!
//! ```yaml
//! filters:
//!   - name: kubernetes
//!     match: 'kube.*'
//!     merge_log: on
//! ```
//! What is known comes from one watch of the node's pods, beside the data path. A source is planned once it is known of its pod, or
//! after `kube_wait`; when more is known, it is planned again.
//!
//! ```text
//!  path ─▶ which container ─▶ store ─▶ record: the maps, made once per source ─▶ merge_log: what looks at each record
//!                               ▲ watch, kubelet, the cache in the state folder; all filters that ask one API share it (followed)
//! ```

mod annotations;
mod followed;
mod journal;
mod kept;
mod kubelet;
mod merge_log;
pub(super) mod node;
mod options;
mod path;
mod pod;
mod podinfo;
mod record;
mod store;
mod watch;

use super::{Filter, FilterConfig, FilterContext, FilterPlugin, Measure, Measured, Plan};
use crate::config::{Environment, Report, Section};
use crate::net::kube::Place;
use crate::parse::{self, Defined, LineFormat, Multiline, Parser};
use crate::record::time::{DateFormat, push_date};
use crate::record::{DropReason, SourceDraft};
use annotations::{Allowed, Asked};
use followed::Asks;
use futures_util::future::BoxFuture;
use journal::{Entries, Names};
use merge_log::{Look, Merging};
use options::KubernetesOptions;
use path::{Reading, Said};
use pod::{Pod, Wanted};
use podinfo::PodInfo;
use record::{Shown, namespace_map, pod_map};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use store::{Condition, Kind, Store};

pub use followed::Apis;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "kubernetes",
    about: "Adds what is known about the pod that wrote a record.",
    options: &[KubernetesOptions::OPTIONS],
    deviations: &[KubernetesOptions::DEVIATIONS],
    configure,
};

fn configure(section: &Section, config: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    Kubernetes::new(section, config, report).map(|filter| Box::new(filter) as Box<dyn Filter>)
}

/// A parser that makes fields of a text.
fn parser_of(name: &str, sections: &[Section]) -> Option<Arc<dyn Parser>> {
    match parse::named(name, sections)? {
        LineFormat::Parsed(parser) => Some(parser),
        LineFormat::Container { cri: false, docker: true, .. } => Some(parse::docker_lines()),
        _ => None,
    }
}

struct Kubernetes {
    options: KubernetesOptions,
    url: Option<http::Uri>,
    reading: Reading,
    merging: Option<Merging>,
    podinfo: Option<Arc<PodInfo>>,
    wanted: Wanted,
    store: Arc<Store>,
    /// For parsers that annotations name, those of lines and those of several lines.
    parsers: Vec<Section>,
    multiline_parsers: Vec<Section>,
    /// Records that lack metadata, by reason.
    unknown: BTreeMap<&'static str, Arc<AtomicU64>>,
    bad_annotations: u64,
}

/// Said once, by `check` and at the start.
const NO_API: &str = "nothing says here where the Kubernetes API is: records get what their paths say, and no more";
/// The reason where a pod is known and its namespace is not.
const UNKNOWN_NAMESPACE: &str = "unknown_namespace";

/// What is known of a source's container.
struct Facts {
    pod: Option<Arc<Pod>>,
    namespace: Option<pod::Namespace>,
}

impl Kubernetes {
    fn new(section: &Section, config: &FilterConfig<'_>, report: &mut Report) -> Option<Self> {
        let options = KubernetesOptions::from_section(section, report)?;
        let url = options.check_url(section, report);
        let parser = |option: &str, name: Option<&String>, report: &mut Report| {
            let name = name?;
            let parser = parser_of(name, config.parsers);
            if parser.is_none() {
                let at = section.get(option).map(|entry| &entry.value_at);
                let hint = "define it under `parsers`, or take the option out".to_owned();
                report.error(at, format!("`{option}` names `{name}`, which is no parser that can be used"), Some(hint));
            }
            parser
        };
        let merge_parser = parser("merge_parser", options.merge_parser.as_ref(), report);
        let regex_parser = parser("regex_parser", options.regex_parser.as_ref(), report);
        let wanted = Wanted {
            labels: options.labels || options.workload,
            annotations: options.annotations,
            owners: options.owner_references || options.workload,
        };
        let asks = Asks::of(&options, wanted);
        let store = Store::new();
        store.want(wanted, asks.namespaces.unwrap_or_default());
        let filter = Self {
            reading: Reading { prefix: options.kube_tag_prefix.clone(), parser: regex_parser },
            merging: options.merge_log.then(|| Merging {
                key: options.merge_log_key.as_ref().map(|key| key.as_bytes().into()),
                trim: options.merge_log_trim,
                keep_log: options.keep_log,
                parser: merge_parser,
            }),
            podinfo: options.podinfo_path.clone().map(|folder| Arc::new(PodInfo::new(folder))),
            wanted,
            store: Arc::new(store),
            parsers: config.parsers.to_vec(),
            multiline_parsers: config.defined.multiline_parsers.to_vec(),
            unknown: BTreeMap::new(),
            bad_annotations: 0,
            url,
            options,
        };
        filter.check_place(section, config.environment, report);
        Some(filter)
    }

    /// Are metadata of namespaces shown?
    fn shows_namespaces(&self) -> bool {
        let options = &self.options;
        options.namespace_labels || options.namespace_annotations || options.namespace_metadata_only
    }

    fn follows_namespaces(&self) -> bool {
        self.options.namespace_labels || self.options.namespace_annotations
    }

    fn follows_pods(&self) -> bool {
        !self.options.namespace_metadata_only
    }

    /// Is metadata asked of an API, for any source?
    fn asks_an_api(&self) -> bool {
        !self.options.dummy_meta && !self.options.use_tag_for_meta && self.podinfo.is_none()
    }

    /// Says, once for all such filters, that no API is there to be asked.
    fn check_place(&self, section: &Section, environment: &Environment, report: &mut Report) {
        let is_said = report.problems.iter().any(|problem| problem.message == NO_API);
        let is_given = self.options.kube_url.is_some();
        if self.asks_an_api() && !is_given && self.place(environment).is_none() && !is_said {
            let hint =
                "in a pod of a cluster it is known; elsewhere set `kube_url` or KUBECONFIG, or `use_tag_for_meta on`";
            report.note(Some(&section.at), NO_API, Some(hint.into()));
        }
    }

    fn place(&self, environment: &Environment) -> Option<Place> {
        Place::find(self.url.as_ref(), self.options.kubeconfig.as_deref(), environment)
    }

    /// What is known of a container; `None` while it is worth to wait for more.
    fn facts(&self, said: &Said, source: &SourceDraft) -> Option<Facts> {
        let mut facts = Facts { pod: None, namespace: None };
        if self.options.use_tag_for_meta || self.store.is_off() {
            return Some(facts);
        }
        if self.follows_pods() {
            facts.pod = self.store.find(said, &source.stale);
        }
        if self.follows_namespaces() {
            facts.namespace = self.store.namespace(&said.namespace, &source.stale);
        }
        // Rights to namespaces are asked for apart: who refuses them will not give them in some seconds.
        let lacks_namespace = self.follows_namespaces()
            && facts.namespace.is_none()
            && !self.store.is(Kind::Namespaces, Condition::Forbidden);
        let lacks_pod = self.follows_pods() && facts.pod.is_none();
        let waited = source.first_asked.is_none_or(|asked| asked.elapsed() >= self.options.kube_wait.0);
        if waited || source.last_call || !lacks_pod && !lacks_namespace {
            self.store.waits_no_more(source);
            return Some(facts);
        }
        self.store.waits(source);
        None
    }

    /// The counter for the records of a source that lack something; none where no API is asked.
    fn lacking(&mut self, said: &Said, facts: &Facts, source: &SourceDraft) -> Option<Arc<AtomicU64>> {
        if self.options.use_tag_for_meta || self.store.is_off() {
            return None;
        }
        let reason = if self.follows_pods() && facts.pod.is_none() {
            self.store.goes_without(said, &source.stale).label()
        } else if self.follows_namespaces() && facts.namespace.is_none() {
            UNKNOWN_NAMESPACE
        } else {
            return None;
        };
        Some(Arc::clone(self.unknown.entry(reason).or_default()))
    }

    fn asked(&mut self, said: &Said, pod: Option<&Pod>) -> Asked {
        let options = &self.options;
        let parser = options.logging_parser && self.merging.is_some();
        let Some(pod) = pod else { return Asked::default() };
        let defined = Defined { parsers: &self.parsers, multiline_parsers: &self.multiline_parsers };
        let allowed = Allowed {
            parser,
            exclude: options.logging_exclude,
            multiline: options.logging_multiline,
            named: &|name| parser_of(name, &self.parsers),
            is_multiline: &|name| Multiline::named([name].into_iter(), defined).is_ok(),
        };
        let asked = Asked::of(&pod.annotations, &said.container, &allowed);
        self.bad_annotations += self.store.bad_annotations(pod, &asked.bad);
        asked
    }

    fn shown(&self) -> Shown {
        let options = &self.options;
        Shown {
            labels: options.labels,
            annotations: options.annotations,
            owner_references: options.owner_references,
            workload: options.workload,
        }
    }

    fn plan_container(&mut self, said: &Said, source: &mut SourceDraft) -> Plan {
        let Some(facts) = self.facts(said, source) else { return Plan::NotYet };
        let asked = self.asked(said, facts.pod.as_deref());
        if asked.excludes_all() {
            return Plan::Drop(DropReason::Filter);
        }
        if self.follows_pods() {
            source.share("kubernetes", pod_map(said, facts.pod.as_deref(), self.shown()), true);
        }
        if self.shows_namespaces() && !self.options.use_tag_for_meta {
            let shown = (self.options.namespace_labels, self.options.namespace_annotations);
            let map = namespace_map(&said.namespace, facts.namespace.as_ref(), shown);
            source.share("kubernetes_namespace", map, true);
        }
        source.multiline.clone_from(&asked.multiline);
        let lacking = self.lacking(said, &facts, source);
        self.look(asked, lacking)
    }

    /// A sidecar's file: of the own pod, whatever its path says.
    fn plan_sidecar(&mut self, info: &PodInfo, source: &mut SourceDraft) -> Plan {
        let pod = info.pod(&source.stale);
        let said = self.reading.of(source).unwrap_or_else(|| podinfo::said_of(&pod));
        let asked = self.asked(&said, Some(&pod));
        if asked.excludes_all() {
            return Plan::Drop(DropReason::Filter);
        }
        source.share("kubernetes", pod_map(&said, Some(&pod), self.shown()), true);
        source.multiline.clone_from(&asked.multiline);
        self.look(asked, None)
    }

    fn look(&self, asked: Asked, unknown: Option<Arc<AtomicU64>>) -> Plan {
        if self.merging.is_none() && !asked.is_any() && unknown.is_none() {
            return Plan::Pass;
        }
        Plan::Each(Box::new(Look::new(self.merging.clone(), asked, unknown)))
    }
}

impl Kubernetes {
    /// Entries of the journal: the pod is another one in each. The first of them wait for the first list of pods.
    fn plan_entries(&mut self, source: &SourceDraft) -> Plan {
        let asks = !self.options.use_tag_for_meta && !self.store.is_off();
        let waited = source.first_asked.is_none_or(|asked| asked.elapsed() >= self.options.kube_wait.0);
        if asks && !waited && !source.last_call && self.store.is(Kind::Pods, Condition::Starting) {
            return Plan::NotYet;
        }
        let unknown = asks.then(|| Arc::clone(self.unknown.entry(Condition::Live.label()).or_default()));
        Plan::Each(Box::new(Entries {
            reading: self.reading.clone(),
            store: Arc::clone(&self.store),
            shown: self.shown(),
            may_exclude: self.options.logging_exclude,
            look: Look::new(self.merging.clone(), Asked::default(), None),
            unknown,
            names: Names::default(),
        }))
    }
}

impl Filter for Kubernetes {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        if self.options.dummy_meta {
            source.share("kubernetes", json!({ "dummy": now() }), true);
            return self.look(Asked::default(), None);
        }
        if self.options.use_journal {
            return self.plan_entries(source);
        }
        if let Some(info) = self.podinfo.clone() {
            return self.plan_sidecar(&info, source);
        }
        match self.reading.of(source) {
            Some(said) => self.plan_container(&said, source),
            None => Plan::Pass,
        }
    }

    fn task(&mut self, context: FilterContext) -> Option<BoxFuture<'static, ()>> {
        if let Some(info) = self.podinfo.clone() {
            let FilterContext { environment, wake, .. } = context;
            info.read(&environment);
            return Some(Box::pin(async move { info.keep(&environment, &*wake).await }));
        }
        if !self.asks_an_api() {
            return None;
        }
        let api = self.options.api(self.place(&context.environment)?);
        let asks = Asks::of(&self.options, self.wanted);
        let (store, work) = context.apis.clone().join(api, asks, context);
        self.store = store;
        work
    }

    fn measures(&self) -> Vec<Measure<'_>> {
        let numbers = self.store.numbers();
        if numbers.condition == Condition::Off {
            return Vec::new();
        }
        let plain = |what, value| Measure { what, label: None, value };
        let is_live = numbers.condition == Condition::Live;
        let mut measures = vec![
            plain(Measured::PodsKnown, numbers.pods as f64),
            plain(Measured::FilesWaiting, numbers.waiting as f64),
            plain(Measured::WatchLive, f64::from(u8::from(is_live))),
            plain(Measured::WatchSilent, numbers.since_sign.as_secs_f64()),
            plain(Measured::BadAnnotations, self.bad_annotations as f64),
        ];
        measures.extend(self.unknown.iter().map(|(reason, count)| Measure {
            what: Measured::WithoutMetadata,
            label: Some(reason),
            value: count.load(Ordering::Relaxed) as f64,
        }));
        measures
    }
}

fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut date = Vec::new();
    push_date(&mut date, since.as_nanos() as i64, DateFormat::Iso8601);
    String::from_utf8_lossy(&date).trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests;
