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
//!                               ▲ watch, kubelet, the cache in the state folder
//! ```

mod annotations;
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
use crate::config::{Report, Section};
use crate::net::kube::Place;
use crate::parse::{self, LineFormat, Parser};
use crate::record::time::{DateFormat, push_date};
use crate::record::{DropReason, SourceDraft};
use annotations::{Allowed, Asked};
use futures_util::future::{BoxFuture, join, join3};
use kubelet::Kubelet;
use merge_log::{Look, Merging};
use options::KubernetesOptions;
use path::{Reading, Said};
use pod::{Pod, Wanted};
use podinfo::PodInfo;
use record::{Shown, namespace_map, pod_map};
use serde_json::json;
use std::sync::Arc;
use std::time::SystemTime;
use store::{Condition, Store};
use watch::{Kind, Watch};

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
    store: Arc<Store>,
    /// For parsers that annotations name.
    parsers: Vec<Section>,
}

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
        Some(Self {
            reading: Reading { prefix: options.kube_tag_prefix.clone(), parser: regex_parser },
            merging: options.merge_log.then(|| Merging {
                key: options.merge_log_key.as_ref().map(|key| key.as_bytes().into()),
                trim: options.merge_log_trim,
                keep_log: options.keep_log,
                parser: merge_parser,
            }),
            podinfo: options.podinfo_path.clone().map(|folder| Arc::new(PodInfo::new(folder))),
            store: Arc::new(Store::new(wanted)),
            parsers: config.parsers.to_vec(),
            url,
            options,
        })
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

    /// What is known of a container; `None` while it is worth to wait for more.
    fn facts(&self, said: &Said, source: &SourceDraft) -> Option<Facts> {
        let mut facts = Facts { pod: None, namespace: None };
        if self.options.use_tag_for_meta || self.store.is(Condition::Off) {
            return Some(facts);
        }
        if self.follows_pods() {
            facts.pod = self.store.find(said, &source.stale);
        }
        if self.follows_namespaces() {
            facts.namespace = self.store.namespace(&said.namespace, &source.stale);
        }
        let is_all =
            facts.pod.is_some() == self.follows_pods() && facts.namespace.is_some() == self.follows_namespaces();
        let waited = source.first_asked.is_none_or(|asked| asked.elapsed() >= self.options.kube_wait.0);
        if is_all || waited || source.last_call {
            self.store.waits_no_more(source);
            return Some(facts);
        }
        self.store.waits(source);
        None
    }

    fn asked(&self, said: &Said, pod: Option<&Pod>) -> Asked {
        let (parser, exclude) = (self.options.logging_parser && self.merging.is_some(), self.options.logging_exclude);
        let Some(pod) = pod.filter(|_| parser || exclude) else { return Asked::default() };
        let named = |name: &str| parser_of(name, &self.parsers);
        let asked = Asked::of(&pod.annotations, &said.container, &Allowed { parser, exclude, named: &named });
        self.store.bad_annotations(pod, &asked.bad);
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

    fn plan_container(&self, said: &Said, source: &mut SourceDraft) -> Plan {
        let Some(facts) = self.facts(said, source) else { return Plan::NotYet };
        let asked = self.asked(said, facts.pod.as_deref());
        if asked.excludes_all() {
            return Plan::Drop(DropReason::Filter);
        }
        if self.follows_pods() {
            source.share("kubernetes", pod_map(said, facts.pod.as_deref(), self.shown()), true);
        }
        if self.shows_namespaces() && !self.options.use_tag_for_meta {
            let map = namespace_map(&said.namespace, facts.namespace.as_ref());
            source.share("kubernetes_namespace", map, true);
        }
        let is_unknown = self.follows_pods() && !self.options.use_tag_for_meta && facts.pod.is_none();
        let unknown = is_unknown.then(|| self.store.goes_without(said, &source.stale));
        self.look(asked, unknown)
    }

    /// A sidecar's file: of the own pod, whatever its path says.
    fn plan_sidecar(&self, info: &PodInfo, source: &mut SourceDraft) -> Plan {
        let pod = info.pod(&source.stale);
        let said = self.reading.of(source).unwrap_or_else(|| podinfo::said_of(&pod));
        let asked = self.asked(&said, Some(&pod));
        if asked.excludes_all() {
            return Plan::Drop(DropReason::Filter);
        }
        source.share("kubernetes", pod_map(&said, Some(&pod), self.shown()), true);
        self.look(asked, None)
    }

    fn look(&self, asked: Asked, unknown: Option<Arc<std::sync::atomic::AtomicU64>>) -> Plan {
        if self.merging.is_none() && !asked.is_any() && unknown.is_none() {
            return Plan::Pass;
        }
        Plan::Each(Box::new(Look::new(self.merging.clone(), asked, unknown)))
    }
}

impl Filter for Kubernetes {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        if self.options.dummy_meta {
            source.share("kubernetes", json!({ "dummy": now() }), true);
            return self.look(Asked::default(), None);
        }
        if let Some(info) = &self.podinfo {
            return self.plan_sidecar(info, source);
        }
        match self.reading.of(source) {
            Some(said) => self.plan_container(&said, source),
            None => Plan::Pass,
        }
    }

    fn task(&mut self, context: FilterContext) -> Option<BoxFuture<'static, ()>> {
        let FilterContext { environment, state, wake } = context;
        if let Some(info) = self.podinfo.clone() {
            info.read(&environment);
            return Some(Box::pin(async move { info.keep(&environment, &*wake).await }));
        }
        if self.options.dummy_meta || self.options.use_tag_for_meta {
            return None;
        }
        let kubeconfig = self.options.kubeconfig.as_deref();
        let Some(place) = Place::find(self.url.as_ref(), kubeconfig, &environment) else {
            tracing::warn!(
                "this is no pod of a cluster, and nothing says where the Kubernetes API is: records get what their paths say; hint: set `kube_url`"
            );
            return None;
        };
        self.store.begin(&state);
        let watch = Watch {
            api: self.options.api(place),
            environment,
            namespace_file: self.options.kube_namespace_file.clone(),
            store: Arc::clone(&self.store),
            wake: Arc::clone(&wake),
            namespace_labels: self.options.namespace_labels,
            namespace_annotations: self.options.namespace_annotations,
        };
        let kubelet = self.options.use_kubelet.then(|| Kubelet {
            api: self.options.kubelet_api(),
            store: Arc::clone(&self.store),
            wake,
        });
        let (pods, namespaces) = (self.follows_pods(), self.follows_namespaces());
        Some(Box::pin(async move {
            let pods = when(pods, watch.keep(Kind::Pods));
            let namespaces = when(namespaces, watch.keep(Kind::Namespaces));
            let kubelet = async {
                if let Some(kubelet) = &kubelet {
                    kubelet.keep().await;
                }
            };
            join(join3(pods, namespaces, kubelet), watch.tidy()).await;
        }))
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
            plain(Measured::BadAnnotations, numbers.bad_annotations as f64),
        ];
        measures.extend(numbers.unknown.into_iter().map(|(reason, count)| Measure {
            what: Measured::WithoutMetadata,
            label: Some(reason),
            value: count as f64,
        }));
        measures
    }
}

async fn when(asked: bool, work: impl Future<Output = ()>) {
    if asked {
        work.await;
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
