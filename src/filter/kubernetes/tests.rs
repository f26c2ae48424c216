//! Pods of every kind against the records that they get.

use super::*;
use crate::config::{Environment, Syntax, load_text};
use serde_json::Value;
use std::collections::HashSet;
use std::time::{Duration, Instant};

fn filter(options: &str) -> Kubernetes {
    let text = format!("pipeline: {{filters: [{{name: kubernetes, match: '*'{options}}}]}}");
    let mut report = Report::default();
    let config = load_text(&text, Syntax::Yaml, &Environment::default(), &mut report);
    let filter = Kubernetes::new(&config.filters[0], &FilterConfig::of(&config, &Environment::default()), &mut report);
    filter.unwrap_or_else(|| panic!("{text}"))
}

/// A source as `tail` makes it, asked about for the first time so long ago.
fn source(pod: &str, uid: &str, container: &str, waited: Duration) -> SourceDraft {
    let id = id(container);
    SourceDraft {
        tag: format!("kube.var.log.containers.{pod}_shop_{container}-{id}.log"),
        path: Some(format!("/var/log/containers/{pod}_shop_{container}-{id}.log")),
        real_path: Some(format!("/var/log/pods/shop_{pod}_{uid}/{container}/0.log")),
        first_asked: Instant::now().checked_sub(waited),
        ..SourceDraft::default()
    }
}

/// 64 hexadecimal digits.
fn id(container: &str) -> String {
    container.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().repeat(64)[..64].to_owned()
}

struct Sample {
    name: &'static str,
    uid: &'static str,
    owner: Option<(&'static str, &'static str)>,
    labels: Value,
    workload: Option<(&'static str, &'static str)>,
}

fn kinds() -> Vec<Sample> {
    let kind = |name, uid, owner, labels, workload| Sample { name, uid, owner, labels, workload };
    vec![
        kind(
            "web-6d4b9c7f5d-x8k2p",
            "u1",
            Some(("ReplicaSet", "web-6d4b9c7f5d")),
            json!({ "pod-template-hash": "6d4b9c7f5d" }),
            Some(("Deployment", "web")),
        ),
        kind(
            "db-0",
            "u2",
            Some(("StatefulSet", "db")),
            json!({ "apps.kubernetes.io/pod-index": "0" }),
            Some(("StatefulSet", "db")),
        ),
        kind(
            "agent-4tq7z",
            "u3",
            Some(("DaemonSet", "agent")),
            json!({ "app": "agent" }),
            Some(("DaemonSet", "agent")),
        ),
        kind(
            "report-28487520-m2v9c",
            "u4",
            Some(("Job", "report-28487520")),
            json!({ "job-name": "report-28487520" }),
            Some(("CronJob", "report")),
        ),
        kind("netshoot", "u5", None, Value::Null, None),
        kind("api-node-1", "config-hash", Some(("Node", "node-1")), json!({ "tier": "control-plane" }), None),
    ]
}

fn object(kind: &Sample) -> Value {
    let status = |name: &str| {
        json!({ "name": name, "image": format!("{name}:1"), "imageID": format!("r/{name}@sha256:1"),
            "containerID": format!("containerd://{}", id(name)) })
    };
    let owner =
        |(kind, name)| json!([{ "apiVersion": "v1", "kind": kind, "name": name, "uid": "o", "controller": true }]);
    let hash = (kind.uid == "config-hash").then(|| json!({ "kubernetes.io/config.hash": "config-hash" }));
    json!({
        "metadata": {
            "name": kind.name, "namespace": "shop", "labels": kind.labels, "annotations": hash,
            "uid": if hash.is_some() { "mirror" } else { kind.uid },
            "ownerReferences": kind.owner.map(owner), "managedFields": [{ "f": 1 }],
        },
        "spec": { "nodeName": "node-1" },
        "status": {
            "podIP": "10.0.0.1", "containerStatuses": [status("app"), status("side-car")],
            "initContainerStatuses": [status("init")], "ephemeralContainerStatuses": [status("debug")],
        },
    })
}

fn map(draft: &SourceDraft) -> Value {
    draft.shared.iter().find(|shared| shared.key == "kubernetes").map(|s| s.value.clone()).unwrap_or_default()
}

#[test]
fn every_kind_of_pod_and_container_gets_its_record() {
    let mut filter = filter(", workload: on, owner_references: on");
    let mut there = HashSet::new();
    for kind in kinds() {
        there.extend(filter.store.apply(&object(&kind)).map(|(uid, _)| uid));
    }
    filter.store.listed(Kind::Pods, &there);
    for kind in kinds() {
        for container in ["app", "side-car", "init", "debug"] {
            let mut draft = source(kind.name, kind.uid, container, Duration::ZERO);
            assert!(matches!(filter.plan(&mut draft), Plan::Pass), "{}", kind.name);
            let object = object(&kind);
            let mut expect = json!({
                "pod_name": kind.name, "namespace_name": "shop", "pod_id": object["metadata"]["uid"],
                "labels": kind.labels, "annotations": object["metadata"]["annotations"], "host": "node-1", "pod_ip": "10.0.0.1",
                "container_name": container, "docker_id": id(container), "container_hash": format!("r/{container}@sha256:1"),
                "container_image": format!("{container}:1"), "ownerReferences": object["metadata"]["ownerReferences"],
                "workload_kind": kind.workload.map(|w| w.0), "workload_name": kind.workload.map(|w| w.1),
            });
            expect.as_object_mut().expect("a map").retain(|_, value| !value.is_null());
            let found = map(&draft);
            assert_eq!(found, expect, "{} {container}", kind.name);
            let keys = |map: &Value| map.as_object().expect("a map").keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&found), keys(&expect), "the order");
        }
    }
}

#[test]
fn parts_that_are_not_asked_for_are_left_out() {
    for (options, absent) in [
        (", labels: off", &["labels", "ownerReferences", "workload_kind"][..]),
        (", annotations: off", &["annotations"]),
        (", labels: off, workload: on", &["labels", "ownerReferences"]),
        ("", &["workload_kind", "ownerReferences"]),
    ] {
        let mut filter = filter(options);
        let mut kind = kinds().swap_remove(0);
        kind.uid = "config-hash";
        filter.store.apply(&object(&kind));
        filter.store.listed(Kind::Pods, &HashSet::from(["mirror".to_owned()]));
        let mut draft = source(kind.name, kind.uid, "app", Duration::ZERO);
        filter.plan(&mut draft);
        let map = map(&draft);
        assert!(absent.iter().all(|key| map.get(key).is_none()), "{options}: {map}");
        assert_eq!(map.get("workload_name").is_some(), options.contains("workload"), "{options}: {map}");
        assert_eq!(map.get("annotations").is_some(), !options.contains("annotations"), "{options}: {map}");
    }
}

#[test]
fn a_source_waits_for_its_pod_only_so_long() {
    let mut filter = filter(", kube_wait: 5s");
    filter.store.set_condition(Kind::Pods, Condition::Starting);
    let mut early = source("web", "u1", "app", Duration::ZERO);
    assert!(matches!(filter.plan(&mut early), Plan::NotYet) && early.shared.is_empty());
    assert_eq!(filter.store.numbers().waiting, 1);
    let mut late = source("web", "u1", "app", Duration::from_secs(6));
    assert!(matches!(filter.plan(&mut late), Plan::Each(_)), "what it lacks is counted");
    assert_eq!(filter.store.numbers().waiting, 0);
    let path_only = json!({ "pod_name": "web", "namespace_name": "shop", "pod_id": "u1", "container_name": "app", "docker_id": id("app") });
    assert_eq!(map(&late), path_only);
    let mut last = SourceDraft { last_call: true, ..source("web", "u1", "app", Duration::ZERO) };
    assert!(matches!(filter.plan(&mut last), Plan::Each(_)));
    assert!(!late.stale.is_set());
    filter.store.apply(&object(&Sample { name: "web", uid: "u1", owner: None, labels: Value::Null, workload: None }));
    assert!(late.stale.is_set() && last.stale.is_set());
    late.stale = crate::record::Stale::default();
    assert!(matches!(filter.plan(&mut late), Plan::Pass));
    assert_eq!(map(&late)["pod_ip"], "10.0.0.1");
}

#[test]
fn where_no_api_is_asked_nobody_waits() {
    let bare = ["pod_name", "namespace_name", "pod_id", "container_name", "docker_id"];
    for options in ["", ", use_tag_for_meta: on"] {
        let mut filter = filter(options);
        let mut draft = source("web", "u1", "app", Duration::ZERO);
        assert!(matches!(filter.plan(&mut draft), Plan::Pass | Plan::Each(_)));
        assert!(map(&draft).as_object().expect("a map").keys().eq(bare.iter()));
        let mut other =
            SourceDraft { tag: "app".into(), path: Some("/var/log/app.log".into()), ..SourceDraft::default() };
        assert!(matches!(filter.plan(&mut other), Plan::Pass) && other.shared.is_empty());
    }
    let mut dummy = filter(", dummy_meta: on");
    let mut draft = SourceDraft::default();
    assert!(matches!(dummy.plan(&mut draft), Plan::Pass) && map(&draft)["dummy"].is_string());
}

#[test]
fn excluded_containers_are_left_out() {
    let mut filter = filter(", k8s-logging.exclude: on");
    let mut pod = object(&kinds()[0]);
    pod["metadata"]["annotations"] = json!({ "fluentbit.io/exclude-app": "true", "drave.io/exclude_stderr-init": "on", "fluentbit.io/exclude": "1" });
    filter.store.apply(&pod);
    filter.store.listed(Kind::Pods, &HashSet::from(["u1".to_owned()]));
    let plan = |filter: &mut Kubernetes, container| {
        filter.plan(&mut source("web-6d4b9c7f5d-x8k2p", "u1", container, Duration::ZERO))
    };
    assert!(matches!(plan(&mut filter, "app"), Plan::Drop(DropReason::Filter)));
    assert!(matches!(plan(&mut filter, "init"), Plan::Each(_)));
    assert!(matches!(plan(&mut filter, "debug"), Plan::Pass));
    assert_eq!(filter.bad_annotations, 1, "said once for a pod, not for each container");
}

#[test]
fn namespaces_stand_beside_the_pod_or_alone() {
    let mut filter = filter(", namespace_labels: on, namespace_metadata_only: on");
    filter.store.set_condition(Kind::Namespaces, Condition::Starting);
    let mut draft = source("web", "u1", "app", Duration::ZERO);
    assert!(matches!(filter.plan(&mut draft), Plan::NotYet));
    let object = json!({ "metadata": { "name": "shop", "labels": { "team": "a" }, "annotations": { "b": "c" } } });
    filter.store.apply_namespace(&object);
    assert!(matches!(filter.plan(&mut draft), Plan::Pass));
    let shared: Vec<(&str, &Value)> = draft.shared.iter().map(|s| (&*s.key, &s.value)).collect();
    assert_eq!(shared, [("kubernetes_namespace", &json!({ "name": "shop", "labels": { "team": "a" } }))]);
}

#[test]
fn nobody_waits_for_a_namespace_that_the_api_refuses() {
    let mut filter = filter(", namespace_labels: on");
    filter.store.set_condition(Kind::Pods, Condition::Live);
    filter.store.set_condition(Kind::Namespaces, Condition::Starting);
    let kind = kinds().swap_remove(0);
    filter.store.apply(&object(&kind));
    let mut draft = source(kind.name, kind.uid, "app", Duration::ZERO);
    assert!(matches!(filter.plan(&mut draft), Plan::NotYet));
    filter.store.set_condition(Kind::Namespaces, Condition::Forbidden);
    assert!(matches!(filter.plan(&mut draft), Plan::Each(_)), "what it lacks is counted");
    assert_eq!(map(&draft)["pod_ip"], "10.0.0.1");
    assert!(filter.unknown.keys().eq([&UNKNOWN_NAMESPACE]));
    filter.store.apply_namespace(&json!({ "metadata": { "name": "shop" } }));
    assert!(draft.stale.is_set(), "should the rights come");
}

#[test]
fn a_pod_may_choose_what_joins_its_lines() {
    for (options, expect) in [("", Some("java")), (", k8s-logging.multiline: off", None)] {
        let mut filter = filter(options);
        let mut pod = object(&kinds()[0]);
        pod["metadata"]["annotations"] =
            json!({ "drave.io/multiline-app": "java", "drave.io/multiline-init": "cobol" });
        filter.store.apply(&pod);
        filter.store.listed(Kind::Pods, &HashSet::from(["u1".to_owned()]));
        let mut app = source("web-6d4b9c7f5d-x8k2p", "u1", "app", Duration::ZERO);
        filter.plan(&mut app);
        assert_eq!(app.multiline.as_deref(), expect);
        let mut init = source("web-6d4b9c7f5d-x8k2p", "u1", "init", Duration::ZERO);
        filter.plan(&mut init);
        assert_eq!((init.multiline, filter.bad_annotations), (None, u64::from(expect.is_some())));
    }
}

#[test]
fn where_no_api_is_it_is_said_once_and_records_are_not_looked_at() {
    let text = "pipeline: {filters: [{name: kubernetes, match: a}, {name: kubernetes, match: b, labels: off}]}";
    let of = |variables: &[(&str, &str)]| {
        let (mut report, environment) = (Report::default(), Environment::of(variables.iter().copied()));
        let config = load_text(text, Syntax::Yaml, &environment, &mut report);
        for section in &config.filters {
            let mut filter =
                Kubernetes::new(section, &FilterConfig::of(&config, &environment), &mut report).expect("one");
            assert!(matches!(filter.plan(&mut source("web", "u1", "app", Duration::ZERO)), Plan::Pass));
        }
        report.problems.len()
    };
    assert_eq!(of(&[]), 1);
    assert_eq!(of(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]), 0);
}

#[test]
fn whether_the_text_of_entries_is_read_is_known() {
    for (options, expect) in [("use_journal: on, merge_log: on", true), ("use_journal: on", false)] {
        let Plan::Each(each) =
            filter(&format!(", {options}")).plan(&mut SourceDraft { last_call: true, ..SourceDraft::default() })
        else {
            panic!("it looks at records")
        };
        assert_eq!(each.parses(), expect, "{options}");
    }
}

#[test]
fn each_entry_of_the_journal_has_its_own_pod() {
    use crate::record::{Batch, Record, Shape, Source};
    let mut filter = filter(", use_journal: on, k8s-logging.exclude: on, labels: on");
    let pod = |name: &str, uid: &str, annotations: Value| {
        let metadata = json!({ "name": name, "namespace": "shop", "uid": uid, "labels": { "app": name }, "annotations": annotations });
        json!({ "metadata": metadata, "spec": { "containers": [] } })
    };
    filter.store.set_condition(Kind::Pods, Condition::Live);
    filter.store.apply(&pod("web", "u1", json!({})));
    filter.store.apply(&pod("noisy", "u2", json!({ "fluentbit.io/exclude": "true" })));
    let Plan::Each(mut each) = filter.plan(&mut SourceDraft::default()) else { panic!("it looks at records") };
    let shown = |filter: &Kubernetes, each: &mut Box<dyn crate::filter::Each>| -> Vec<String> {
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let names = [
            "k8s_app_web_shop_u1_0",
            "k8s_app_late_shop_u3_0",
            "registry",
            "k8s_app_noisy_shop_u2_0",
            "k8s_b_web_shop_u1_1",
        ];
        for (number, name) in names.iter().enumerate() {
            let start = batch.fields.len() as u32;
            let object = batch.append(format!("{{\"CONTAINER_NAME\":\"{name}\"}}").as_bytes());
            assert!(crate::parse::object(&mut batch, object));
            let end = batch.fields.len() as u32;
            let (offset, shape) = (number as u64, Shape::Fields);
            batch.records.push(Record { offset, shape, fields_start: start, fields_end: end, ..Record::default() });
        }
        each.apply(&mut batch);
        assert_eq!(filter.unknown.len(), 1);
        (0..batch.records.len())
            .map(|record| {
                let mut out = vec![b'{'];
                crate::record::json::push_members(&mut out, &batch, &batch.records[record], false);
                String::from_utf8(out).expect("text") + "}"
            })
            .collect()
    };
    let first = shown(&filter, &mut each);
    assert_eq!(first.len(), 4, "the noisy one is left out: {first:#?}");
    assert!(
        first[0]
            .contains(r#""kubernetes":{"pod_name":"web","namespace_name":"shop","pod_id":"u1","labels":{"app":"web"}"#),
        "{first:#?}"
    );
    assert!(first[1].contains(r#""pod_name":"late""#) && !first[1].contains("labels"), "{first:#?}");
    assert_eq!(first[2], r#"{"CONTAINER_NAME":"registry"}"#);
    assert!(first[3].contains(r#""container_name":"b""#), "{first:#?}");
    filter.store.apply(&pod("late", "u3", json!({})));
    assert!(shown(&filter, &mut each)[1].contains(r#""labels":{"app":"late"}"#), "what came later is shown");
}
