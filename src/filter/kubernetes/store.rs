//! All pods of the node, by UID, shared between the data path, which looks up, and the watch, which fills.
//!
//! ```text
//!  first list, or the cache ─▶ known ──▶ changed: the sources that use it are stale, and planned again
//!                                │
//!                                └─ deleted ─▶ kept while a source uses it, and a while longer for files found late ─▶ forgotten
//! ```

use super::path::Said;
use super::pod::{Namespace, Pod, Wanted};
use crate::record::{SourceDraft, Stale};
use crate::state::State;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So long a deleted pod is known without a file that uses it: its last one may still be found.
const KEEP_DELETED: Duration = Duration::from_secs(600);

/// What the watch of pods is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
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
    /// No API is asked.
    Off,
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
struct Inner {
    pods: HashMap<String, Known>,
    namespaces: HashMap<String, Namespace>,
    /// Sources that show a namespace.
    namespace_users: HashMap<String, Vec<Stale>>,
    /// Sources that went on without their pod, by UID or `NAMESPACE/NAME`.
    missing: HashMap<String, Vec<Stale>>,
    /// Files that wait for their pod.
    waiting: HashSet<String>,
    /// A pod was asked for that is not known.
    asked: bool,
    condition: Condition,
    sign: Instant,
    unknown: BTreeMap<&'static str, Arc<AtomicU64>>,
    bad_annotations: u64,
    said: HashSet<String>,
    state: Option<Arc<State>>,
}

/// The pods of the node.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) wanted: Wanted,
    inner: Mutex<Inner>,
}

/// What metrics show.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers {
    pub(super) pods: u64,
    pub(super) waiting: u64,
    pub(super) condition: Condition,
    pub(super) since_sign: Duration,
    pub(super) unknown: Vec<(&'static str, u64)>,
    pub(super) bad_annotations: u64,
}

impl Store {
    pub(super) fn new(wanted: Wanted) -> Self {
        let inner = Inner {
            pods: HashMap::new(),
            namespaces: HashMap::new(),
            namespace_users: HashMap::new(),
            missing: HashMap::new(),
            waiting: HashSet::new(),
            asked: false,
            condition: Condition::Off,
            sign: Instant::now(),
            unknown: BTreeMap::new(),
            bad_annotations: 0,
            said: HashSet::new(),
            state: None,
        };
        Self { wanted, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what was known before the last restart, and keeps there what comes.
    pub(super) fn begin(&self, state: &Arc<State>) {
        let kept = state.pods();
        let inner = &mut *self.inner();
        for (uid, object) in kept {
            let object: Value = serde_json::from_slice(&object).unwrap_or_default();
            // The first list says who is gone, however late it comes.
            if let Some(pod) = Pod::of_object(&object, self.wanted) {
                inner.pods.insert(uid, Known { pod: Arc::new(pod), deleted: None, users: Vec::new() });
            }
        }
        inner.state = Some(Arc::clone(state));
        inner.condition = Condition::Starting;
    }

    /// The pod of a container; `stale` is set when more is known of it.
    pub(super) fn find(&self, said: &Said, stale: &Stale) -> Option<Arc<Pod>> {
        let inner = &mut *self.inner();
        let is_listed = inner.condition == Condition::Live;
        let found = inner.uid_of(said, is_listed);
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
        inner.namespaces.get(name).cloned()
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

    /// A source goes on without its pod: `stale` is set when that comes. The counter for its records.
    pub(super) fn goes_without(&self, said: &Said, stale: &Stale) -> Arc<AtomicU64> {
        let inner = &mut *self.inner();
        let key = said.uid.clone().unwrap_or_else(|| format!("{}/{}", said.namespace, said.pod));
        inner.missing.entry(key).or_default().push(stale.clone());
        // It may have come since it was looked for.
        if inner.uid_of(said, inner.condition == Condition::Live).is_some() {
            stale.set();
        }
        Arc::clone(inner.unknown.entry(inner.condition.label()).or_default())
    }

    /// Says what is wrong with a pod's annotations, once, and counts it.
    pub(super) fn bad_annotations(&self, pod: &Pod, bad: &[String]) {
        let inner = &mut *self.inner();
        for what in bad {
            if inner.said.insert(format!("{} {what}", pod.uid)) {
                inner.bad_annotations += 1;
                tracing::warn!(pod = %pod.name, namespace = %pod.namespace, "{what}");
            }
        }
    }

    /// A pod as it is now: its UID, and whether that is news to a source.
    pub(super) fn apply(&self, object: &Value) -> Option<(String, bool)> {
        let pod = Pod::of_object(object, self.wanted)?;
        let kept = pod.to_object().to_string().into_bytes();
        let (uid, state, is_news) = self.inner().put(pod);
        // Not under the lock: a slow disk must not hold up the data path.
        if let Some(state) = state {
            state.keep_pods([(uid.clone(), Some(kept))]);
        }
        Some((uid, is_news))
    }

    /// A pod was deleted; what is known of it stays for its last lines.
    pub(super) fn delete(&self, object: &Value) {
        let inner = &mut *self.inner();
        inner.sign = Instant::now();
        let Some(pod) = Pod::of_object(object, self.wanted) else { return };
        let uid = inner.key_of(&pod);
        if let Some(known) = inner.pods.get_mut(&uid) {
            known.deleted.get_or_insert_with(Instant::now);
        }
    }

    /// The list is complete: all others are deleted.
    pub(super) fn listed(&self, there: &HashSet<String>) {
        let inner = &mut *self.inner();
        for (uid, known) in &mut inner.pods {
            if !there.contains(uid) {
                known.deleted.get_or_insert_with(Instant::now);
            }
        }
        (inner.condition, inner.sign) = (Condition::Live, Instant::now());
    }

    /// The same by the kubelet's list; the API still refuses.
    pub(super) fn listed_by_kubelet(&self, there: &HashSet<String>) {
        let condition = self.inner().condition;
        self.listed(there);
        self.set_condition(condition);
    }

    /// A namespace as it is now; returns whether that is news to a source.
    pub(super) fn apply_namespace(&self, name: String, namespace: Namespace) -> bool {
        let inner = &mut *self.inner();
        if inner.namespaces.get(&name) == Some(&namespace) {
            return false;
        }
        let users = inner.namespace_users.remove(&name).unwrap_or_default();
        users.iter().for_each(Stale::set);
        inner.namespaces.insert(name, namespace);
        !users.is_empty() || !inner.waiting.is_empty()
    }

    /// The watch gave a sign of life.
    pub(super) fn sign(&self) {
        self.inner().sign = Instant::now();
    }

    /// What the watch is doing from now on. What is known stays, whatever that is.
    pub(super) fn set_condition(&self, condition: Condition) {
        self.inner().condition = condition;
    }

    /// Is this what the watch is doing?
    pub(super) fn is(&self, condition: Condition) -> bool {
        self.inner().condition == condition
    }

    /// Was a pod asked for, since this was called the last time, that is not known?
    pub(super) fn take_asked(&self) -> bool {
        std::mem::take(&mut self.inner().asked)
    }

    /// Forgets deleted pods that no source uses any more, and sources that are gone.
    pub(super) fn sweep(&self, now: Instant) {
        let mut guard = self.inner();
        let inner = &mut *guard;
        let lists = inner.missing.values_mut().chain(inner.namespace_users.values_mut());
        lists
            .chain(inner.pods.values_mut().map(|known| &mut known.users))
            .for_each(|users| users.retain(Stale::is_shared));
        inner.missing.retain(|_, users| !users.is_empty());
        inner.namespace_users.retain(|_, users| !users.is_empty());
        let is_over = |known: &Known| {
            known.users.is_empty() && known.deleted.is_some_and(|at| now.duration_since(at) >= KEEP_DELETED)
        };
        let over: Vec<String> =
            inner.pods.iter().filter(|(_, known)| is_over(known)).map(|(uid, _)| uid.clone()).collect();
        for uid in &over {
            inner.pods.remove(uid);
            inner.said.retain(|said| !said.starts_with(uid.as_str()));
        }
        let state = inner.state.clone();
        drop(guard);
        if let Some(state) = state {
            state.keep_pods(over.into_iter().map(|uid| (uid, None)));
        }
    }

    /// For metrics.
    pub(super) fn numbers(&self) -> Numbers {
        let inner = self.inner();
        Numbers {
            pods: inner.pods.len() as u64,
            waiting: inner.waiting.len() as u64,
            condition: inner.condition,
            since_sign: inner.sign.elapsed(),
            unknown: inner.unknown.iter().map(|(reason, count)| (*reason, count.load(Ordering::Relaxed))).collect(),
            bad_annotations: inner.bad_annotations,
        }
    }
}

fn name_of(source: &SourceDraft) -> String {
    source.path.as_ref().unwrap_or(&source.tag).clone()
}

impl Inner {
    /// The UID names a pod for sure, be it that of a static pod's manifest. A name alone may be another's by now: before the list is
    /// there a pod of the cache must have had the container.
    fn uid_of(&self, said: &Said, is_listed: bool) -> Option<String> {
        if let Some(uid) = &said.uid {
            if self.pods.contains_key(uid) {
                return Some(uid.clone());
            }
            let is_it = |pod: &Pod| pod.config_hash.as_ref() == Some(uid);
            return self.pods.iter().find(|(_, known)| is_it(&known.pod)).map(|(uid, _)| uid.clone());
        }
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

    /// Takes a pod in: its UID, who keeps it, if it is not known like that, and whether it is news to a source.
    fn put(&mut self, pod: Pod) -> (String, Option<Arc<State>>, bool) {
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
            // Who knows a pod by its name alone may mean this one from now on.
            let is_namesake = |known: &&mut Known| known.pod.name == pod.name && known.pod.namespace == pod.namespace;
            let namesakes = self.pods.values_mut().filter(is_namesake);
            users.extend(namesakes.flat_map(|known| std::mem::take(&mut known.users)));
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
        (uid, self.state.clone(), !users.is_empty() || !self.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ALL: Wanted = Wanted { labels: true, annotations: true, owners: true };

    fn pod(uid: &str, name: &str, id: &str) -> Value {
        json!({
            "metadata": { "uid": uid, "name": name, "namespace": "shop" }, "spec": { "nodeName": "n" },
            "status": { "containerStatuses": [{ "name": "app", "containerID": format!("containerd://{id}") }] },
        })
    }

    fn said(uid: Option<&str>, name: &str, id: &str) -> Said {
        let (uid, id) = (uid.map(str::to_owned), Some(id.to_owned()));
        Said { pod: name.into(), namespace: "shop".into(), uid, container: "app".into(), id }
    }

    fn found(store: &Store, said: &Said) -> Option<String> {
        store.find(said, &Stale::default()).map(|pod| pod.uid.clone())
    }

    fn listed(store: &Store, uids: &[&str]) {
        store.listed(&uids.iter().map(|uid| (*uid).to_owned()).collect());
    }

    #[test]
    fn a_pod_made_again_under_its_name_is_another() {
        let store = Store::new(ALL);
        store.apply(&pod("old", "db-0", "c1"));
        assert_eq!(found(&store, &said(None, "db-0", "c9")), None, "the cache may be of another pod");
        assert_eq!(found(&store, &said(None, "db-0", "c1")).as_deref(), Some("old"));
        listed(&store, &["old"]);
        assert_eq!(found(&store, &said(None, "db-0", "c9")).as_deref(), Some("old"));
        store.delete(&pod("old", "db-0", "c1"));
        store.apply(&pod("new", "db-0", "c2"));
        for (said, expect) in [
            (said(Some("old"), "db-0", "c1"), Some("old")),
            (said(Some("new"), "db-0", "c2"), Some("new")),
            (said(Some("next"), "db-0", "c3"), None),
            (said(None, "db-0", "c1"), Some("old")),
            (said(None, "db-0", "c3"), Some("new")),
            (said(None, "db-1", "c3"), None),
        ] {
            assert_eq!(found(&store, &said).as_deref(), expect, "{said:?}");
        }
    }

    #[test]
    fn a_static_pod_is_found_by_the_hash_of_its_manifest() {
        let store = Store::new(Wanted { annotations: false, ..ALL });
        let mut mirror = pod("mirror", "api-node-1", "c1");
        mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.hash": "e134" });
        store.apply(&mirror);
        assert_eq!(found(&store, &said(Some("e134"), "api-node-1", "c1")).as_deref(), Some("mirror"));
    }

    #[test]
    fn sources_are_told_of_what_is_new() {
        let store = Store::new(ALL);
        let (user, late, other) = (Stale::default(), Stale::default(), Stale::default());
        store.goes_without(&said(Some("u"), "web", "c"), &late);
        store.goes_without(&said(Some("v"), "web-2", "c"), &other);
        assert_eq!(store.apply(&pod("u", "web", "c")), Some(("u".to_owned(), true)));
        assert!(late.is_set() && !other.is_set());
        store.find(&said(Some("u"), "web", "c"), &user);
        assert_eq!(store.apply(&pod("u", "web", "c")), Some(("u".to_owned(), false)));
        assert!(!user.is_set());
        assert_eq!(store.apply(&pod("u", "web", "c2")), Some(("u".to_owned(), true)));
        assert!(user.is_set());
    }

    #[test]
    fn a_deleted_pod_stays_while_its_files_are_read_and_a_while_longer() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = Arc::new(State::open(Some(folder.path())));
        let store = Store::new(ALL);
        store.begin(&state);
        store.apply(&pod("u", "web", "c"));
        listed(&store, &["u"]);
        let user = Stale::default();
        store.find(&said(Some("u"), "web", "c"), &user);
        store.delete(&pod("u", "web", "c"));
        let later = Instant::now() + 2 * KEEP_DELETED;
        store.sweep(later);
        assert_eq!(store.numbers().pods, 1, "a source uses it");
        state.commit(Vec::new()).expect("on disk");
        assert_eq!(state.pods().len(), 1);
        drop(user);
        store.sweep(Instant::now());
        assert_eq!(store.numbers().pods, 1, "another file of it may be found");
        store.sweep(later);
        state.commit(Vec::new()).expect("on disk");
        assert_eq!((store.numbers().pods, state.pods().len()), (0, 0));
    }

    #[test]
    fn what_was_known_is_known_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        {
            let state = Arc::new(State::open(Some(folder.path())));
            let store = Store::new(ALL);
            store.begin(&state);
            store.apply(&pod("u", "web", "c"));
            state.commit(Vec::new()).expect("on disk");
        }
        let state = Arc::new(State::open(Some(folder.path())));
        let store = Store::new(ALL);
        store.begin(&state);
        assert_eq!(found(&store, &said(Some("u"), "web", "c")).as_deref(), Some("u"));
        assert!(store.is(Condition::Starting));
    }
}
