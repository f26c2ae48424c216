//! All pods of the node, by UID, and namespaces, by name: shared between the data path, which looks up, and the watch, which fills.
//!
//! ```text
//!  first list, or the cache ─▶ known ──▶ changed: the sources that use it are stale, and planned again
//!                                │
//!                                └─ deleted ─▶ kept while a source uses it, and a while longer for files found late ─▶ forgotten
//! ```

use super::kept::{self, Row};
use super::path::Said;
use super::pod::{Namespace, Pod, Wanted};
use crate::record::{SourceDraft, Stale};
use crate::state::State;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So long a deleted pod is known without a file that uses it: its last one may still be found.
const KEEP_DELETED: Duration = Duration::from_secs(600);

/// What is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pods,
    Namespaces,
}

/// What a watch is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Condition {
    /// No API is asked.
    #[default]
    Off,
    /// The first list has not come yet.
    Starting,
    /// All pods of the node are known.
    Live,
    /// The API does not answer.
    Unavailable,
    /// The API refuses: token or rights.
    Forbidden,
    /// Nobody knows the node's name.
    NoNode,
}

impl Condition {
    /// As metrics write it; the reason for a record without metadata.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Live => "unknown_pod",
            Self::Unavailable => "api_unavailable",
            Self::Forbidden => "api_forbidden",
            Self::NoNode => "no_node_name",
            Self::Off => "no_api",
        }
    }
}

#[derive(Debug)]
struct Known {
    pod: Arc<Pod>,
    deleted: Option<Instant>,
    /// Sources that show it.
    users: Vec<Stale>,
}

#[derive(Debug)]
struct KnownNamespace {
    namespace: Namespace,
    deleted: Option<Instant>,
}

#[derive(Debug)]
struct Inner {
    /// Of pods, and of namespaces.
    wanted: (Wanted, Wanted),
    pods: HashMap<String, Known>,
    namespaces: HashMap<String, KnownNamespace>,
    /// Sources that show a namespace, be it known or not.
    namespace_users: HashMap<String, Vec<Stale>>,
    /// Sources that went on without their pod, by UID or `NAMESPACE/NAME`.
    missing: HashMap<String, Vec<Stale>>,
    /// Files that wait for their pod.
    waiting: HashSet<String>,
    /// A pod was asked for that is not known.
    asked: bool,
    /// Of the watch of pods, and of that of namespaces.
    conditions: [Condition; 2],
    sign: Instant,
    said: HashSet<String>,
    kept_in: Option<Cache>,
}

/// Where it is kept over a restart, and of which API it is.
#[derive(Debug, Clone)]
struct Cache {
    state: Arc<State>,
    api: String,
}

/// The pods of the node.
#[derive(Debug)]
pub(super) struct Store {
    inner: Mutex<Inner>,
}

/// What metrics show.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers {
    pub(super) pods: u64,
    pub(super) waiting: u64,
    pub(super) condition: Condition,
    pub(super) since_sign: Duration,
}

impl Store {
    pub(super) fn new() -> Self {
        let inner = Inner {
            wanted: Default::default(),
            pods: HashMap::new(),
            namespaces: HashMap::new(),
            namespace_users: HashMap::new(),
            missing: HashMap::new(),
            waiting: HashSet::new(),
            asked: false,
            conditions: Default::default(),
            sign: Instant::now(),
            said: HashSet::new(),
            kept_in: None,
        };
        Self { inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this is kept of pods and of namespaces, too.
    pub(super) fn want(&self, pods: Wanted, namespaces: Wanted) {
        let wanted = &mut self.inner().wanted;
        *wanted = (wanted.0.and(pods), wanted.1.and(namespaces));
    }

    /// What is kept of namespaces.
    pub(super) fn wanted_of_namespaces(&self) -> Wanted {
        self.inner().wanted.1
    }

    /// Takes up what was known of an API before the last restart, as far as it is all that is wanted, and keeps there what comes.
    pub(super) fn begin(&self, kinds: &[Kind], state: &Arc<State>, api: &str) {
        let rows = state.pods();
        let inner = &mut *self.inner();
        (inner.pods, inner.namespaces) = Default::default();
        for (key, row) in rows {
            // The first list says who is gone, however late it comes.
            match kept::read(&key, &row, api, inner.wanted) {
                Some(Row::Pod(pod)) => {
                    inner.pods.insert(key, Known { pod: Arc::new(pod), deleted: None, users: Vec::new() });
                }
                Some(Row::Namespace(name, namespace)) => {
                    inner.namespaces.insert(name, KnownNamespace { namespace, deleted: None });
                }
                None => {}
            }
        }
        inner.kept_in = Some(Cache { state: Arc::clone(state), api: api.to_owned() });
        kinds.iter().for_each(|kind| inner.conditions[*kind as usize] = Condition::Starting);
    }

    /// The pod of a container; `stale` is set when more is known of it.
    pub(super) fn find(&self, said: &Said, stale: &Stale) -> Option<Arc<Pod>> {
        let inner = &mut *self.inner();
        let found = inner.uid_of(said);
        let Some(known) = found.and_then(|uid| inner.pods.get_mut(&uid)) else {
            inner.asked = true;
            return None;
        };
        known.users.push(stale.clone());
        Some(Arc::clone(&known.pod))
    }

    /// A namespace; `stale` is set when more is known of it.
    pub(super) fn namespace(&self, name: &str, stale: &Stale) -> Option<Namespace> {
        let inner = &mut *self.inner();
        inner.namespace_users.entry(name.to_owned()).or_default().push(stale.clone());
        inner.namespaces.get(name).map(|known| known.namespace.clone())
    }

    /// A source waits for its pod.
    pub(super) fn waits(&self, source: &SourceDraft) {
        self.inner().waiting.insert(name_of(source));
    }

    /// A source waits no longer.
    pub(super) fn waits_no_more(&self, source: &SourceDraft) {
        let waiting = &mut self.inner().waiting;
        if !waiting.is_empty() {
            waiting.remove(&name_of(source));
        }
    }

    /// A source goes on without its pod: `stale` is set when that comes. Why it does.
    pub(super) fn goes_without(&self, said: &Said, stale: &Stale) -> Condition {
        let inner = &mut *self.inner();
        let key = said.uid.clone().unwrap_or_else(|| format!("{}/{}", said.namespace, said.pod));
        inner.missing.entry(key).or_default().push(stale.clone());
        // It may have come since it was looked for.
        if inner.uid_of(said).is_some() {
            stale.set();
        }
        inner.conditions[Kind::Pods as usize]
    }

    /// Says what is wrong with a pod's annotations, once; how much was new.
    pub(super) fn bad_annotations(&self, pod: &Pod, bad: &[String]) -> u64 {
        let inner = &mut *self.inner();
        let mut new = 0;
        for what in bad {
            if inner.said.insert(format!("{} {what}", pod.uid)) {
                new += 1;
                tracing::warn!(pod = %pod.name, namespace = %pod.namespace, "{what}");
            }
        }
        new
    }

    /// A pod as it is now: its UID, and whether that is news to a source.
    pub(super) fn apply(&self, object: &Value) -> Option<(String, bool)> {
        let wanted = self.inner().wanted.0;
        let pod = Pod::of_object(object, wanted)?;
        let kept = pod.to_object();
        let (uid, cache, is_news) = self.inner().put(pod);
        // Not under the lock: a slow disk must not hold up the data path.
        if let Some(Cache { state, api }) = cache {
            state.keep_pods([(uid.clone(), Some(kept::row(kept, &api, wanted)))]);
        }
        Some((uid, is_news))
    }

    /// A pod was deleted; what is known of it stays for its last lines.
    pub(super) fn delete(&self, object: &Value) {
        let inner = &mut *self.inner();
        inner.sign = Instant::now();
        let Some(pod) = Pod::of_object(object, inner.wanted.0) else { return };
        let uid = inner.key_of(&pod);
        if let Some(known) = inner.pods.get_mut(&uid) {
            known.deleted.get_or_insert_with(Instant::now);
        }
    }

    /// A namespace as it is now: its name, and whether that is news to a source.
    pub(super) fn apply_namespace(&self, object: &Value) -> Option<(String, bool)> {
        let wanted = self.wanted_of_namespaces();
        let (name, namespace) = Namespace::of_object(object, wanted)?;
        let kept = namespace.to_object(&name);
        let (cache, is_news) = self.inner().put_namespace(&name, namespace);
        if let Some(Cache { state, api }) = cache {
            state.keep_pods([(kept::namespace_key(&name), Some(kept::row(kept, &api, wanted)))]);
        }
        Some((name, is_news))
    }

    /// A namespace was deleted; its pods may still have lines.
    pub(super) fn delete_namespace(&self, object: &Value) {
        let inner = &mut *self.inner();
        inner.sign = Instant::now();
        let Some((name, _)) = Namespace::of_object(object, inner.wanted.1) else { return };
        if let Some(known) = inner.namespaces.get_mut(&name) {
            known.deleted.get_or_insert_with(Instant::now);
        }
    }

    /// The list is complete: all others are deleted. Pods by UID, namespaces by name.
    pub(super) fn listed(&self, kind: Kind, there: &HashSet<String>) {
        let inner = &mut *self.inner();
        let deleted: Vec<(&String, &mut Option<Instant>)> = match kind {
            Kind::Pods => inner.pods.iter_mut().map(|(uid, known)| (uid, &mut known.deleted)).collect(),
            Kind::Namespaces => inner.namespaces.iter_mut().map(|(name, known)| (name, &mut known.deleted)).collect(),
        };
        for (name, deleted) in deleted {
            if !there.contains(name) {
                deleted.get_or_insert_with(Instant::now);
            }
        }
        inner.conditions[kind as usize] = Condition::Live;
        inner.sign = Instant::now();
    }

    /// The same by the kubelet's list; the API still refuses.
    pub(super) fn listed_by_kubelet(&self, there: &HashSet<String>) {
        let condition = self.inner().conditions[Kind::Pods as usize];
        self.listed(Kind::Pods, there);
        self.set_condition(Kind::Pods, condition);
    }

    /// The watch gave a sign of life.
    pub(super) fn sign(&self) {
        self.inner().sign = Instant::now();
    }

    /// What a watch is doing from now on. What is known stays, whatever that is.
    pub(super) fn set_condition(&self, kind: Kind, condition: Condition) {
        self.inner().conditions[kind as usize] = condition;
    }

    /// Is this what a watch is doing?
    pub(super) fn is(&self, kind: Kind, condition: Condition) -> bool {
        self.inner().conditions[kind as usize] == condition
    }

    /// Is any API asked?
    pub(super) fn is_off(&self) -> bool {
        self.inner().conditions == [Condition::Off; 2]
    }

    /// Was a pod asked for, since this was called the last time, that is not known?
    pub(super) fn take_asked(&self) -> bool {
        std::mem::take(&mut self.inner().asked)
    }

    /// Forgets what was deleted and no source uses any more, and sources that are gone.
    pub(super) fn sweep(&self, now: Instant) {
        let mut guard = self.inner();
        let inner = &mut *guard;
        let lists = inner.missing.values_mut().chain(inner.namespace_users.values_mut());
        lists
            .chain(inner.pods.values_mut().map(|known| &mut known.users))
            .for_each(|users| users.retain(Stale::is_shared));
        inner.missing.retain(|_, users| !users.is_empty());
        inner.namespace_users.retain(|_, users| !users.is_empty());
        let is_over =
            |deleted: Option<Instant>| deleted.is_some_and(|deleted| now.duration_since(deleted) >= KEEP_DELETED);
        let pods = inner.pods.extract_if(|_, known| known.users.is_empty() && is_over(known.deleted));
        let mut over: Vec<String> = pods.map(|(uid, _)| uid).collect();
        for uid in &over {
            inner.said.retain(|said| !said.starts_with(uid.as_str()));
        }
        let users = &inner.namespace_users;
        let namespaces = inner.namespaces.extract_if(|name, known| !users.contains_key(name) && is_over(known.deleted));
        over.extend(namespaces.map(|(name, _)| kept::namespace_key(&name)));
        let cache = inner.kept_in.clone();
        drop(guard);
        if let Some(Cache { state, .. }) = cache {
            state.keep_pods(over.into_iter().map(|key| (key, None)));
        }
    }

    /// For metrics.
    pub(super) fn numbers(&self) -> Numbers {
        let inner = self.inner();
        let [pods, namespaces] = inner.conditions;
        Numbers {
            pods: inner.pods.len() as u64,
            waiting: inner.waiting.len() as u64,
            // Pods are not followed where metadata of namespaces alone are asked for.
            condition: if pods == Condition::Off { namespaces } else { pods },
            since_sign: inner.sign.elapsed(),
        }
    }
}

fn name_of(source: &SourceDraft) -> String {
    source.path.as_ref().unwrap_or(&source.tag).clone()
}

impl Inner {
    /// The UID names a pod for sure, be it that of a static pod's manifest. A name alone may be another's by now: before the list is
    /// there a pod of the cache must have had the container.
    fn uid_of(&self, said: &Said) -> Option<String> {
        if let Some(uid) = &said.uid {
            if self.pods.contains_key(uid) {
                return Some(uid.clone());
            }
            let is_it = |pod: &Pod| pod.config_hash.as_ref() == Some(uid);
            return self.pods.iter().find(|(_, known)| is_it(&known.pod)).map(|(uid, _)| uid.clone());
        }
        let is_listed = self.conditions[Kind::Pods as usize] == Condition::Live;
        let has_it = |pod: &Pod| said.id.as_deref().is_some_and(|id| pod.has_container(id));
        let of_name = |known: &Known| known.pod.name == said.pod && known.pod.namespace == said.namespace;
        let candidates = self.pods.iter().filter(|(_, known)| of_name(known) && (is_listed || has_it(&known.pod)));
        // The one that has the container, else one that is there.
        let best = candidates.max_by_key(|(_, known)| (has_it(&known.pod), known.deleted.is_none(), known.deleted));
        best.map(|(uid, _)| uid.clone())
    }

    fn take_missing(&mut self, pod: &Pod) -> Vec<Stale> {
        if self.missing.is_empty() {
            return Vec::new();
        }
        let name = format!("{}/{}", pod.namespace, pod.name);
        let keys = [Some(&pod.uid), pod.config_hash.as_ref(), Some(&name)];
        keys.into_iter().flatten().filter_map(|key| self.missing.remove(key)).flatten().collect()
    }

    /// Its UID. A server that gives two pods one UID is a server of tests: both are known all the same.
    fn key_of(&self, pod: &Pod) -> String {
        let is_other = |known: &&Known| known.pod.name != pod.name || known.pod.namespace != pod.namespace;
        match self.pods.get(&pod.uid).filter(is_other) {
            Some(_) => format!("{}/{}/{}", pod.uid, pod.namespace, pod.name),
            None => pod.uid.clone(),
        }
    }

    /// Takes a pod in: its UID, where to keep it, if it is not known like that, and whether it is news to a source.
    fn put(&mut self, pod: Pod) -> (String, Option<Cache>, bool) {
        self.sign = Instant::now();
        let uid = self.key_of(&pod);
        if let Some(known) = self.pods.get_mut(&uid)
            && *known.pod == pod
        {
            known.deleted = None;
            return (uid, None, false);
        }
        let mut users = self.take_missing(&pod);
        if !self.pods.contains_key(&uid) {
            // Who knows a pod by its name alone may mean this one from now on. The others keep the old one in use.
            let is_namesake = |known: &&Known| known.pod.name == pod.name && known.pod.namespace == pod.namespace;
            users.extend(self.pods.values().filter(is_namesake).flat_map(|known| known.users.iter().cloned()));
        }
        let pod = Arc::new(pod);
        match self.pods.get_mut(&uid) {
            Some(known) => {
                users.append(&mut known.users);
                (known.pod, known.deleted) = (pod, None);
            }
            None => drop(self.pods.insert(uid.clone(), Known { pod, deleted: None, users: Vec::new() })),
        }
        users.iter().for_each(Stale::set);
        // Who waits asks by itself, and is to be woken.
        (uid, self.kept_in.clone(), !users.is_empty() || !self.waiting.is_empty())
    }

    /// The same of a namespace.
    fn put_namespace(&mut self, name: &str, namespace: Namespace) -> (Option<Cache>, bool) {
        self.sign = Instant::now();
        if let Some(known) = self.namespaces.get_mut(name)
            && known.namespace == namespace
        {
            known.deleted = None;
            return (None, false);
        }
        let users = self.namespace_users.remove(name).unwrap_or_default();
        users.iter().for_each(Stale::set);
        self.namespaces.insert(name.to_owned(), KnownNamespace { namespace, deleted: None });
        (self.kept_in.clone(), !users.is_empty() || !self.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests;
