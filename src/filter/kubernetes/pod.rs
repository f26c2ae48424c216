//! What is kept of a pod: the few fields that records are made of, in a struct; of a namespace the same.

use serde_json::{Map, Value, json};

/// The hash of a static pod's manifest, which the folder of its logs has in the place of the UID.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// A pod as the API, the kubelet or the cache described it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Pod {
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) node: Option<String>,
    pub(super) ip: Option<String>,
    pub(super) config_hash: Option<String>,
    pub(super) labels: Map<String, Value>,
    pub(super) annotations: Map<String, Value>,
    pub(super) owners: Vec<Value>,
    /// Init and ephemeral ones too.
    pub(super) containers: Vec<Container>,
}

/// One of its containers.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: Option<String>,
    /// Both without the scheme in front.
    pub(super) image_id: Option<String>,
    pub(super) id: Option<String>,
}

/// What of a pod, or of a namespace, is worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wanted {
    pub(super) labels: bool,
    pub(super) annotations: bool,
    pub(super) owners: bool,
}

impl Wanted {
    const NAMES: [&str; 3] = ["labels", "annotations", "owners"];

    fn of([labels, annotations, owners]: [bool; 3]) -> Self {
        Self { labels, annotations, owners }
    }

    fn parts(self) -> [bool; 3] {
        [self.labels, self.annotations, self.owners]
    }

    /// What either of them wants.
    pub(super) fn and(self, other: Self) -> Self {
        let (own, others) = (self.parts(), other.parts());
        Self::of([0, 1, 2].map(|part| own[part] || others[part]))
    }

    /// Is what another one wants among it?
    pub(super) fn covers(self, other: Self) -> bool {
        self.and(other) == self
    }

    /// For the cache.
    pub(super) fn names(self) -> Vec<&'static str> {
        Self::NAMES.into_iter().zip(self.parts()).filter(|(_, is_wanted)| *is_wanted).map(|(name, _)| name).collect()
    }

    pub(super) fn of_names(names: &Value) -> Self {
        let names = names.as_array().map_or(&[][..], Vec::as_slice);
        Self::of(Self::NAMES.map(|name| names.iter().any(|kept| kept == name)))
    }
}

impl Pod {
    /// Of an object of the API. `None` without a UID or a name.
    pub(super) fn of_object(object: &Value, wanted: Wanted) -> Option<Self> {
        let (meta, status) = (&object["metadata"], &object["status"]);
        let annotations = map(&meta["annotations"]);
        let config_hash = annotations.get(CONFIG_HASH).and_then(Value::as_str).map(str::to_owned);
        let kept = |key: &str| wanted.annotations || key == CONFIG_HASH || super::annotations::is_ours(key);
        let mut owners = meta["ownerReferences"].as_array().cloned().unwrap_or_default();
        owners.retain(|owner| wanted.owners && owner.is_object());
        Some(Self {
            uid: text(&meta["uid"])?,
            name: text(&meta["name"])?,
            namespace: text(&meta["namespace"])?,
            node: text(&object["spec"]["nodeName"]),
            ip: text(&status["podIP"]),
            config_hash,
            labels: if wanted.labels { map(&meta["labels"]) } else { Map::new() },
            annotations: annotations.into_iter().filter(|(key, _)| kept(key)).collect(),
            owners,
            containers: containers(&object["spec"], status),
        })
    }

    /// In the API's shape, for the cache.
    pub(super) fn to_object(&self) -> Value {
        let status =
            |c: &Container| json!({ "name": c.name, "image": c.image, "imageID": c.image_id, "containerID": c.id });
        json!({
            "metadata": {
                "uid": self.uid, "name": self.name, "namespace": self.namespace, "labels": self.labels,
                "annotations": self.annotations, "ownerReferences": self.owners,
            },
            "spec": { "nodeName": self.node },
            "status": { "podIP": self.ip, "containerStatuses": self.containers.iter().map(status).collect::<Vec<_>>() },
        })
    }

    /// The container of a name.
    pub(super) fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// Does a container of this id belong to it?
    pub(super) fn has_container(&self, id: &str) -> bool {
        self.containers.iter().any(|container| container.id.as_deref() == Some(id))
    }

    /// Kind and name of what made it, looked through ReplicaSets and the Jobs of a CronJob by their names alone.
    pub(super) fn workload(&self) -> Option<(&str, &str)> {
        let owner = self.owners.iter().find(|owner| owner["controller"] == true)?;
        let (kind, name) = (owner["kind"].as_str()?, owner["name"].as_str()?);
        let hash = self.labels.get("pod-template-hash").and_then(Value::as_str);
        match kind {
            "ReplicaSet" => {
                let deployment = hash.and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
                Some(deployment.map_or((kind, name), |deployment| ("Deployment", deployment)))
            }
            "Job" => Some(cron_job(name).map_or((kind, name), |cron| ("CronJob", cron))),
            // The owner of a static pod is its node.
            "Node" => None,
            _ => Some((kind, name)),
        }
    }
}

/// A CronJob's Jobs have its name and the minute that they were due, in minutes since 1970 (older ones in seconds).
fn cron_job(job: &str) -> Option<&str> {
    let (name, due) = job.rsplit_once('-')?;
    ((8..=10).contains(&due.len()) && due.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

fn containers(spec: &Value, status: &Value) -> Vec<Container> {
    let each = |of: &Value, key: &str| of[key].as_array().cloned().unwrap_or_default();
    let mut found: Vec<Container> = Vec::new();
    for key in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        found.extend(each(status, key).iter().filter_map(|status| {
            Some(Container {
                name: text(&status["name"])?,
                image: text(&status["image"]),
                image_id: text(&status["imageID"]).map(without_scheme),
                id: text(&status["containerID"]).map(without_scheme),
            })
        }));
    }
    // The status follows the start of a container: until then its image is the one that was asked for.
    for key in ["containers", "initContainers", "ephemeralContainers"] {
        for asked in each(spec, key) {
            let Some(name) = text(&asked["name"]) else { continue };
            let image = text(&asked["image"]);
            match found.iter_mut().find(|container| container.name == name) {
                Some(container) => container.image = container.image.take().or(image),
                None => found.push(Container { name, image, ..Container::default() }),
            }
        }
    }
    found
}

/// `containerd://ID`, `docker-pullable://IMAGE@DIGEST`.
fn without_scheme(id: String) -> String {
    id.split_once("://").map_or_else(|| id.clone(), |(_, rest)| rest.to_owned())
}

/// A text that says something.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The texts of a map.
fn map(value: &Value) -> Map<String, Value> {
    let entries = value.as_object().into_iter().flatten().filter(|(_, value)| value.is_string());
    entries.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// What is kept of a namespace.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Namespace {
    pub(super) labels: Map<String, Value>,
    pub(super) annotations: Map<String, Value>,
}

impl Namespace {
    /// Its name, and of it what is asked for.
    pub(super) fn of_object(object: &Value, wanted: Wanted) -> Option<(String, Self)> {
        let meta = &object["metadata"];
        let part = |asked: bool, key: &str| if asked { map(&meta[key]) } else { Map::new() };
        let (labels, annotations) = (part(wanted.labels, "labels"), part(wanted.annotations, "annotations"));
        Some((text(&meta["name"])?, Self { labels, annotations }))
    }

    /// In the API's shape, for the cache.
    pub(super) fn to_object(&self, name: &str) -> Value {
        json!({ "metadata": { "name": name, "labels": self.labels, "annotations": self.annotations } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wanted = Wanted { labels: true, annotations: true, owners: true };

    fn pod() -> Value {
        json!({
            "metadata": {
                "name": "web-6d4b9c7f5d-x8k2p", "namespace": "shop", "uid": "u-1", "managedFields": [{ "f": "x" }],
                "labels": { "app": "web", "pod-template-hash": "6d4b9c7f5d" },
                "annotations": { "a": "b", "fluentbit.io/exclude": "true", "kubernetes.io/config.hash": "h" },
                "ownerReferences": [{ "kind": "ReplicaSet", "name": "web-6d4b9c7f5d", "controller": true }],
            },
            "spec": {
                "nodeName": "node-1", "containers": [{ "name": "app", "image": "asked:1" }, { "name": "late", "image": "late:1" }],
                "initContainers": [{ "name": "init", "image": "init:1" }],
            },
            "status": {
                "podIP": "10.0.0.1",
                "containerStatuses": [
                    { "name": "app", "image": "runs:1", "imageID": "docker-pullable://r/app@sha256:1", "containerID": "containerd://c1" },
                    { "name": "late", "image": "", "imageID": "" },
                ],
                "initContainerStatuses": [{ "name": "init", "image": "init:1", "imageID": "sha256:2", "containerID": "cri-o://c2" }],
                "ephemeralContainerStatuses": [{ "name": "debug", "image": "busybox", "imageID": "", "containerID": "containerd://c3" }],
            },
        })
    }

    #[test]
    fn a_pod_is_kept_slim_and_comes_back_from_the_cache() {
        let kept = Pod::of_object(&pod(), ALL).expect("a pod");
        let of = |name: &str| {
            let c = kept.container(name).expect("a container");
            [c.image.as_deref(), c.image_id.as_deref(), c.id.as_deref()].map(|text| text.unwrap_or("-").to_owned())
        };
        assert_eq!(of("app"), ["runs:1", "r/app@sha256:1", "c1"]);
        assert_eq!(of("late"), ["late:1", "-", "-"]);
        assert_eq!(of("init"), ["init:1", "sha256:2", "c2"]);
        assert_eq!(of("debug"), ["busybox", "-", "c3"]);
        assert!(kept.has_container("c3") && !kept.has_container("c4"));
        assert_eq!(kept.config_hash.as_deref(), Some("h"));
        assert_eq!(Pod::of_object(&kept.to_object(), ALL), Some(kept));
        let slim = Pod::of_object(&pod(), Wanted { labels: false, annotations: false, owners: false }).expect("a pod");
        let keys: Vec<&String> = slim.annotations.keys().collect();
        assert_eq!((slim.labels.len(), slim.owners.len()), (0, 0));
        assert_eq!(keys, ["fluentbit.io/exclude", "kubernetes.io/config.hash"]);
        for broken in [json!({}), json!([]), json!({ "metadata": { "name": 1, "uid": "u" } })] {
            assert_eq!(Pod::of_object(&broken, ALL), None);
        }
    }

    #[test]
    fn workloads_are_what_made_the_pod() {
        let hash = Some("6d4b9c7f5d");
        for (kind, name, hash, expect) in [
            ("ReplicaSet", "web-6d4b9c7f5d", hash, Some(("Deployment", "web"))),
            ("ReplicaSet", "web-x", hash, Some(("ReplicaSet", "web-x"))),
            ("ReplicaSet", "web-6d4b9c7f5d", None, Some(("ReplicaSet", "web-6d4b9c7f5d"))),
            ("StatefulSet", "db", None, Some(("StatefulSet", "db"))),
            ("DaemonSet", "agent", None, Some(("DaemonSet", "agent"))),
            ("Job", "report-28487520", None, Some(("CronJob", "report"))),
            ("Job", "migrate-1", None, Some(("Job", "migrate-1"))),
            ("Node", "node-1", None, None),
        ] {
            let mut pod =
                Pod { owners: vec![json!({ "kind": kind, "name": name, "controller": true })], ..Pod::default() };
            pod.labels.extend(hash.map(|hash| ("pod-template-hash".to_owned(), hash.into())));
            assert_eq!(pod.workload(), expect, "{kind} {name}");
        }
        assert_eq!(Pod::default().workload(), None);
    }
}
