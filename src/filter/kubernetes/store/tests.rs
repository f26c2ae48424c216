//! What is known of pods, and who is told of it.

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
    store.listed(Kind::Pods, &uids.iter().map(|uid| (*uid).to_owned()).collect());
}

/// That wants this of pods and of namespaces.
fn store(wanted: Wanted) -> Store {
    let store = Store::new();
    store.want(wanted, wanted);
    store
}

fn begin(store: &Store, state: &Arc<State>) {
    store.begin(&[Kind::Pods, Kind::Namespaces], state, "http://api/");
}

#[test]
fn a_pod_made_again_under_its_name_is_another() {
    let store = store(ALL);
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
    let store = store(Wanted { annotations: false, ..ALL });
    let mut mirror = pod("mirror", "api-node-1", "c1");
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.hash": "e134" });
    store.apply(&mirror);
    assert_eq!(found(&store, &said(Some("e134"), "api-node-1", "c1")).as_deref(), Some("mirror"));
}

#[test]
fn sources_are_told_of_what_is_new() {
    let store = store(ALL);
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
    let store = store(ALL);
    begin(&store, &state);
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
        let store = store(ALL);
        begin(&store, &state);
        store.apply(&pod("u", "web", "c"));
        state.commit(Vec::new()).expect("on disk");
    }
    let state = Arc::new(State::open(Some(folder.path())));
    let store = store(ALL);
    begin(&store, &state);
    assert_eq!(found(&store, &said(Some("u"), "web", "c")).as_deref(), Some("u"));
    assert!(store.is(Kind::Pods, Condition::Starting));
}

#[test]
fn who_knows_a_pod_by_its_name_is_told_of_its_namesake() {
    let store = store(ALL);
    store.apply(&pod("old", "db-0", "c1"));
    listed(&store, &["old"]);
    let (by_name, of_another) = (Stale::default(), Stale::default());
    assert_eq!(store.find(&said(None, "db-0", "c2"), &by_name).map(|pod| pod.uid.clone()).as_deref(), Some("old"));
    store.apply(&pod("other", "db-1", "c3"));
    store.find(&said(None, "db-1", "c3"), &of_another);
    store.delete(&pod("old", "db-0", "c1"));
    assert!(!by_name.is_set());
    assert_eq!(store.apply(&pod("new", "db-0", "c2")), Some(("new".to_owned(), true)));
    assert!(by_name.is_set() && !of_another.is_set());
    assert_eq!(found(&store, &said(None, "db-0", "c2")).as_deref(), Some("new"));
    store.sweep(Instant::now() + 2 * KEEP_DELETED);
    assert_eq!(found(&store, &said(Some("old"), "db-0", "c1")).as_deref(), Some("old"), "it is in use all the same");
}

#[test]
fn what_is_in_the_cache_is_not_deleted_before_a_list_lacks_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = Arc::new(State::open(Some(folder.path())));
    let before = store(ALL);
    begin(&before, &state);
    before.apply(&pod("u", "web", "c"));
    before.apply_namespace(&json!({ "metadata": { "name": "shop" } }));
    state.commit(Vec::new()).expect("on disk");
    let store = store(ALL);
    begin(&store, &state);
    store.sweep(Instant::now() + 2 * KEEP_DELETED);
    assert_eq!(store.numbers().pods, 1, "the API may be away for long");
    listed(&store, &[]);
    store.listed(Kind::Namespaces, &HashSet::new());
    store.sweep(Instant::now() + 2 * KEEP_DELETED);
    state.commit(Vec::new()).expect("on disk");
    assert_eq!((store.numbers().pods, state.pods().len()), (0, 0));
}

#[test]
fn namespaces_are_kept_over_a_restart_and_forgotten_when_nobody_is_in_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = Arc::new(State::open(Some(folder.path())));
    let shop = json!({ "metadata": { "name": "shop", "labels": { "team": "a" } } });
    let before = store(ALL);
    begin(&before, &state);
    before.apply_namespace(&shop);
    state.commit(Vec::new()).expect("on disk");
    let store = store(ALL);
    begin(&store, &state);
    let user = Stale::default();
    let labels = store.namespace("shop", &user).map(|namespace| namespace.labels["team"].clone());
    assert_eq!(labels, Some("a".into()));
    store.delete_namespace(&shop);
    let later = Instant::now() + 2 * KEEP_DELETED;
    store.sweep(later);
    let is_known = || store.inner().namespaces.contains_key("shop");
    assert!(is_known(), "a source shows it");
    drop(user);
    store.sweep(Instant::now());
    assert!(is_known(), "a file of it may be found");
    store.sweep(later);
    state.commit(Vec::new()).expect("on disk");
    assert!(!is_known() && state.pods().is_empty());
}

#[test]
fn a_cache_is_good_for_what_was_kept_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = Arc::new(State::open(Some(folder.path())));
    let slim = store(Wanted::default());
    begin(&slim, &state);
    slim.apply(&pod("u", "web", "c"));
    state.commit(Vec::new()).expect("on disk");
    let store = store(Wanted::default());
    begin(&store, &state);
    assert_eq!(store.numbers().pods, 1);
    // A second filter wants more than is there.
    store.want(ALL, ALL);
    begin(&store, &state);
    assert_eq!(store.numbers().pods, 0);
}
