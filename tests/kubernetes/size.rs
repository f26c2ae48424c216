//! A node of as many pods as a node may have, with objects as they are.

use super::support::kubernetes::pod;
use super::*;
use serde_json::json;

const PODS: usize = 250;
/// What 250 pods may cost, in a build for tests. What is kept of them is some hundred kilobytes.
const GROWTH_MAX: u64 = 8 << 20;

/// Some 18 KB, most of it in what nobody needs.
fn realistic(number: usize) -> Value {
    let name = format!("checkout-{:x}-{number:05}", number * 7919);
    let mut object =
        pod(&name, "shop", &format!("00000000-0000-4000-8000-{number:012}"), &[("app", "c"), ("proxy", "d")]);
    let fields = |depth: usize| {
        (0..depth)
            .map(|n| (format!("f:field-{n}"), json!({ "f:name": {}, "f:value": {} })))
            .collect::<serde_json::Map<_, _>>()
    };
    let labels = [
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/version",
        "helm.sh/chart",
        "pod-template-hash",
        "team",
        "tier",
    ];
    let env: Vec<Value> = (0..60).map(|n| json!({ "name": format!("SETTING_{n}"), "value": format!("https://service-{n}.shop.svc:8443/path/{n}") })).collect();
    let mounts: Vec<Value> = (0..10).map(|n| json!({ "name": format!("volume-{n}"), "mountPath": format!("/var/run/secrets/volume-{n}"), "readOnly": true })).collect();
    let volumes: Vec<Value> = (0..10).map(|n| json!({ "name": format!("volume-{n}"), "projected": { "defaultMode": 420, "sources": [{ "secret": { "name": format!("secret-{n}") } }] } })).collect();
    let meta = &mut object["metadata"];
    meta["labels"] = labels
        .iter()
        .map(|key| ((*key).to_owned(), format!("checkout-{number}").into()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    meta["annotations"] = json!({ "checksum/config": "0123456789abcdef".repeat(4), "prometheus.io/scrape": "true" });
    meta["managedFields"] = json!([
        { "manager": "kube-controller-manager", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": fields(80) } },
        { "manager": "kubelet", "operation": "Update", "fieldsType": "FieldsV1", "subresource": "status", "fieldsV1": { "f:status": fields(60) } },
    ]);
    for container in object["spec"]["containers"].as_array_mut().unwrap() {
        (container["env"], container["volumeMounts"]) = (env.clone().into(), mounts.clone().into());
    }
    object["spec"]["volumes"] = volumes.into();
    object
}

#[test]
fn a_node_of_250_pods_costs_one_list_one_watch_and_little_memory() {
    let api = KubeApi::start();
    let objects: Vec<Value> = (0..PODS).map(realistic).collect();
    let sizes = objects.iter().map(|object| object.to_string().len());
    assert!(sizes.clone().all(|size| (15_000..20_000).contains(&size)), "{:?}", sizes.max());
    let idle = |api: &KubeApi, pods: usize| {
        let node = node(api, &[FOR_GOOD]).admin();
        let mut logs: Vec<ContainerLog> = objects[..20]
            .iter()
            .map(|object| {
                let meta = &object["metadata"];
                log(&node, meta["name"].as_str().unwrap(), meta["uid"].as_str().unwrap())
            })
            .collect();
        let agent = start(&node);
        let known = format!("drave_filter_kubernetes_pods{{filter=\"kubernetes.0\"}} {pods}");
        assert!(
            poll(PATIENCE, || agent.page("/metrics").contains(&known) && api.watches() == 1),
            "{:?}",
            api.requests()
        );
        if pods > 0 {
            logs.iter_mut().enumerate().for_each(|(n, log)| log.write_cri("stdout", "F", &format!("first of {n}")));
            (0..20).for_each(|n| assert!(is_enriched(&record(&node, &format!("first of {n}")))));
        }
        (agent.peak_rss_bytes(), api.lists(), api.watches())
    };
    let without = idle(&KubeApi::start(), 0);
    objects.iter().for_each(|object| api.put(object.clone()));
    let with = idle(&api, PODS);
    assert_eq!((with.1, with.2), (1, 1), "{:?}", api.requests());
    assert!(with.0 < without.0 + GROWTH_MAX, "{} bytes, {} without pods", with.0, without.0);
}
