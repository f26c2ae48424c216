//! Entries of the journal that Docker's journald driver writes of containers: `use_journal on`.
//!
//! ```text
//! CONTAINER_NAME: k8s_CONTAINER[.HASH]_POD_NAMESPACE_UID_ATTEMPT
//! ```
//! One source has entries of many pods, so the name is looked up in each of them; what became of it is kept until more is known of
//! the pod. An entry does not wait for that, and one without such a name stays as it is.

use super::annotations::{Allowed, Asked};
use super::merge_log::Look;
use super::path::{Reading, Said};
use super::record::{Shown, pod_map};
use super::store::Store;
use crate::filter::Each;
use crate::record::{Batch, Field, Span, Stale, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const CONTAINER_NAME: &[u8] = b"CONTAINER_NAME";
/// Names that are remembered; a node has some hundred containers.
const NAMES_MAX: usize = 2048;

/// What a name says of its container.
pub(super) fn said(name: &str) -> Option<Said> {
    let parts: Vec<&str> = name.split('_').collect();
    let [prefix, container, pod, namespace, uid, attempt] = parts[..] else { return None };
    let (container, _) = container.split_once('.').unwrap_or((container, ""));
    if [prefix, container, pod, namespace, uid, attempt].contains(&"") {
        return None;
    }
    let (pod, namespace, container) = (pod.into(), namespace.into(), container.into());
    Some(Said { pod, namespace, uid: Some(uid.into()), container, id: None })
}

/// What is known of a name.
struct Known {
    /// The map `kubernetes`, as JSON; none for a name of something else.
    map: Option<Vec<u8>>,
    excluded: bool,
    is_lacking: bool,
    /// More is known by now.
    stale: Stale,
    /// The batch in which the map stands, and where.
    batch: u64,
    span: Span,
}

/// The part of the filter that looks at entries.
pub(super) struct Entries {
    pub(super) reading: Reading,
    pub(super) store: Arc<Store>,
    pub(super) shown: Shown,
    /// `k8s-logging.exclude`.
    pub(super) may_exclude: bool,
    /// Merges `log`.
    pub(super) look: Look,
    /// Counts entries of pods that are not known, where an API is asked.
    pub(super) unknown: Option<Arc<AtomicU64>>,
    pub(super) names: Names,
}

/// What is known of all names.
#[derive(Default)]
pub(super) struct Names {
    known: HashMap<Box<[u8]>, Known>,
    batch: u64,
    scratch: Vec<u8>,
}

impl Each for Entries {
    fn owns_shared(&self) -> bool {
        false
    }

    fn parses(&self) -> bool {
        self.look.parses()
    }

    fn apply(&mut self, batch: &mut Batch) {
        self.names.batch += 1;
        if self.names.known.len() > NAMES_MAX {
            self.names.known.clear();
        }
        let mut excluded = Vec::new();
        for record in 0..batch.records.len() {
            if self.entry(batch, record) {
                excluded.push(record);
            }
        }
        if !excluded.is_empty() {
            batch.retain(|_, record| excluded.binary_search(&record).is_err());
        }
        self.look.apply(batch);
    }
}

impl Entries {
    /// Adds what is known; `true` where the pod asks to be left out.
    fn entry(&mut self, batch: &mut Batch, record: usize) -> bool {
        let Names { known, batch: number, scratch } = &mut self.names;
        let Some(name) = batch.find(record, CONTAINER_NAME).and_then(|found| found.string(scratch)) else {
            return false;
        };
        if known.get(name).is_none_or(|known| known.stale.is_set()) {
            let new = look_up(name, &self.reading, &self.store, self.shown, self.may_exclude);
            known.insert(name.into(), new);
        }
        let Some(known) = known.get_mut(name) else { return false };
        let Some(map) = &known.map else { return false };
        if known.batch != *number {
            (known.batch, known.span) = (*number, batch.append(map));
        }
        let (key, value) = (batch.intern(b"kubernetes"), Value::Json(known.span));
        batch.set_field(record, Field { key, value });
        if let Some(unknown) = self.unknown.as_ref().filter(|_| known.is_lacking) {
            unknown.fetch_add(1, Ordering::Relaxed);
        }
        known.excluded
    }
}

fn look_up(name: &[u8], reading: &Reading, store: &Store, shown: Shown, may_exclude: bool) -> Known {
    let stale = Stale::default();
    let said = std::str::from_utf8(name).ok().and_then(|name| reading.of_name(name));
    let Some(said) = said else {
        return Known { map: None, excluded: false, is_lacking: false, stale, batch: 0, span: Span::default() };
    };
    let pod = store.find(&said, &stale);
    if pod.is_none() {
        store.goes_without(&said, &stale);
    }
    let allowed =
        Allowed { parser: false, exclude: may_exclude, multiline: false, named: &|_| None, is_multiline: &|_| false };
    let excluded =
        pod.as_ref().is_some_and(|pod| Asked::of(&pod.annotations, &said.container, &allowed).excludes_all());
    let map = pod_map(&said, pod.as_deref(), shown).to_string().into_bytes();
    Known { map: Some(map), excluded, is_lacking: pod.is_none(), stale, batch: 0, span: Span::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_container_and_pod() {
        let check = |name: &str, expect: Option<[&str; 4]>| {
            let said = said(name);
            let parts = said.as_ref().map(|s| [&s.container, &s.pod, &s.namespace, s.uid.as_deref().unwrap_or("")]);
            assert_eq!(parts, expect.map(|parts| parts.map(|part| part)), "{name}");
        };
        check("k8s_side-car_web-1.a_shop_11-22_0", Some(["side-car", "web-1.a", "shop", "11-22"]));
        check("k8s_app.7f3a_web_shop_u1_3", Some(["app", "web", "shop", "u1"]));
        for other in ["", "registry", "k8s_app_web_shop_u1", "k8s_app_web__u1_0", "k8s_a_b_c_d_e_f"] {
            check(other, None);
        }
    }
}
