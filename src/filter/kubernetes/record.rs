//! The maps `kubernetes` and `kubernetes_namespace` of a container's records, made once per source: Fluent Bit's keys, in its
//! nesting and spelling.

use super::path::Said;
use super::pod::{Namespace, Pod};
use serde_json::{Map, Value};

/// What of it is asked for; labels and annotations that are not were never kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) annotations: bool,
    pub(super) owner_references: bool,
    /// Without labels where they are kept for `workload` only.
    pub(super) labels: bool,
    pub(super) workload: bool,
}

/// The map `kubernetes`, of what the path says and, where it is known, of the pod.
pub(super) fn pod_map(said: &Said, pod: Option<&Pod>, shown: Shown) -> Value {
    let mut map = Map::new();
    let mut add = |key: &str, value: Option<Value>| _ = value.map(|value| map.insert(key.to_owned(), value));
    let text = |text: &str| Some(Value::String(text.to_owned()));
    let optional = |text: Option<&String>| text.map(|text| Value::String(text.clone()));
    let entries =
        |asked: bool, map: &Map<String, Value>| (asked && !map.is_empty()).then(|| Value::Object(map.clone()));
    add("pod_name", text(&said.pod));
    // A sidecar may not know all of its pod.
    add("namespace_name", optional(Some(&said.namespace).filter(|name| !name.is_empty())));
    add("pod_id", optional(pod.map(|pod| &pod.uid).filter(|uid| !uid.is_empty()).or(said.uid.as_ref())));
    if let Some(pod) = pod {
        add("labels", entries(shown.labels, &pod.labels));
        add("annotations", entries(shown.annotations, &pod.annotations));
        add("host", optional(pod.node.as_ref()));
        add("pod_ip", optional(pod.ip.as_ref()));
    }
    let container = pod.and_then(|pod| pod.container(&said.container));
    add("container_name", optional(Some(&said.container).filter(|name| !name.is_empty())));
    add("docker_id", optional(said.id.as_ref().or(container.and_then(|container| container.id.as_ref()))));
    add("container_hash", optional(container.and_then(|container| container.image_id.as_ref())));
    add("container_image", optional(container.and_then(|container| container.image.as_ref())));
    if let Some(pod) = pod {
        let owners = shown.owner_references && !pod.owners.is_empty();
        add("ownerReferences", owners.then(|| Value::Array(pod.owners.clone())));
        if let Some((kind, name)) = pod.workload().filter(|_| shown.workload) {
            add("workload_kind", text(kind));
            add("workload_name", text(name));
        }
    }
    Value::Object(map)
}

/// The map `kubernetes_namespace`; its name is always there. `shown`: labels, annotations.
pub(super) fn namespace_map(name: &str, namespace: Option<&Namespace>, shown: (bool, bool)) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), name.into());
    let parts =
        |n: &'_ Namespace| [("labels", shown.0, n.labels.clone()), ("annotations", shown.1, n.annotations.clone())];
    for (key, is_shown, entries) in namespace.into_iter().flat_map(parts) {
        if is_shown && !entries.is_empty() {
            map.insert(key.into(), Value::Object(entries));
        }
    }
    Value::Object(map)
}
