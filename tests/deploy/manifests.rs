//! `deploy/kubernetes` and `deploy/sidecar`.

use super::support::tools::tool;
use super::*;
use serde_json::json;

/// As `kubectl apply -k` would apply it; `None` where the tool is not there.
fn rendered(folder: &Path) -> Option<Vec<Value>> {
    let kustomize = tool("kustomize")?;
    Some(documents(&output_of(Command::new(kustomize).arg("build").arg(folder))))
}

#[test]
fn the_configurations_of_manifests_are_those_of_config() {
    for (copy, original) in [
        ("deploy/kubernetes/drave.yaml", "config/drave.yaml"),
        ("deploy/image/parsers/parsers.conf", "deploy/image/etc/parsers.conf"),
    ] {
        assert_eq!(read(copy), read(original), "cp {original} {copy}");
    }
}

#[test]
fn every_manifest_is_valid() {
    let Some(validator) = tool("kubernetes-validate") else { return };
    let Some(node) = rendered(&path("deploy/kubernetes")) else { return };
    let kinds: Vec<&str> = node.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    let expect =
        ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet", "NetworkPolicy"];
    assert_eq!(kinds, expect);
    let sidecar = |name: &str| documents(&read(&format!("deploy/sidecar/{name}.yaml")));
    let sidecars = ["native", "classic", "fargate", "job"].into_iter().flat_map(sidecar);
    validate(&validator, &node.into_iter().chain(sidecars).collect::<Vec<_>>());
}

/// A component adds its right and nothing else.
#[test]
fn more_rights_come_from_components() {
    let right =
        |resources: &[&str], verbs: &[&str]| json!({ "apiGroups": [""], "resources": resources, "verbs": verbs });
    let pods = right(&["pods"], &["list", "watch"]);
    for (component, expect) in [
        (None, None),
        (Some("namespaces"), Some(right(&["namespaces"], &["list", "watch"]))),
        (Some("nodes"), Some(right(&["nodes"], &["get"]))),
        (Some("kubelet"), Some(right(&["nodes/proxy", "nodes/pods"], &["get"]))),
    ] {
        let folder = tempfile::tempdir_in(path("target")).unwrap();
        let name = component
            .map_or_else(String::new, |name| format!("components: [../../deploy/kubernetes/components/{name}]\n"));
        fs::write(folder.path().join("kustomization.yaml"), format!("resources: [../../deploy/kubernetes]\n{name}"))
            .unwrap();
        let Some(objects) = rendered(folder.path()) else { return };
        let rules: Vec<Value> = [pods.clone()].into_iter().chain(expect).collect();
        assert_eq!(the(&objects, "ClusterRole")["rules"], Value::Array(rules), "{component:?}");
        let egress = the(&objects, "NetworkPolicy")["spec"]["egress"].to_string();
        assert_eq!(egress.contains("10250"), component == Some("kubelet"), "{component:?}");
    }
}

#[test]
fn the_namespace_lets_the_pods_in_and_the_daemonset_asks_for_no_more_than_it_needs() {
    let namespace = &documents(&read("deploy/kubernetes/namespace.yaml"))[0];
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "privileged");
    let daemonset = &documents(&read("deploy/kubernetes/daemonset.yaml"))[0];
    check_daemonset(daemonset, "/etc/drave/drave.yaml");
}

/// What every DaemonSet of ours keeps to, that of the chart, too.
pub(crate) fn check_daemonset(daemonset: &Value, config: &str) {
    let pod = &daemonset["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    assert_eq!(pod["tolerations"], json!([{ "operator": "Exists" }]));
    assert_eq!(daemonset["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], "5%");
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let security = json!({
        "runAsUser": 0, "runAsGroup": 0, "privileged": false, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    });
    assert_eq!(container["securityContext"], security);
    let resources = json!({ "requests": { "cpu": "50m", "memory": "32Mi" }, "limits": { "memory": "128Mi" } });
    assert_eq!(container["resources"], resources);
    assert_eq!(container["args"], json!(["-c", config]));
    for (probe, page) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"], json!({ "path": page, "port": "http" }));
    }
    let port = &container["ports"][0];
    assert_eq!((&port["name"], &port["containerPort"]), (&json!("http"), &json!(2020)));
    let annotations = &daemonset["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/port"], "2020");
    let node = container["env"].as_array().unwrap().iter().find(|variable| variable["name"] == "NODE_NAME").unwrap();
    assert_eq!(node["valueFrom"]["fieldRef"]["fieldPath"], "spec.nodeName");
    // Nothing of the node but its logs and drave's own folder; only that can be written to.
    let volumes = pod["volumes"].as_array().unwrap();
    let host: Vec<&Value> = volumes.iter().filter(|volume| !volume["hostPath"].is_null()).collect();
    let paths: Vec<&Value> = host.iter().map(|volume| &volume["hostPath"]["path"]).collect();
    assert_eq!(paths, ["/var/log", "/var/lib/drave"]);
    let mounts = container["volumeMounts"].as_array().unwrap();
    let written: Vec<&Value> =
        mounts.iter().filter(|mount| mount["readOnly"] != true).map(|m| &m["mountPath"]).collect();
    assert_eq!(written, ["/var/lib/drave", "/tmp"]);
}

/// kubelet kills at the end of its own time: what drave gives itself has to fit in.
#[test]
fn stopping_fits_into_the_time_that_the_pod_has() {
    let grace = |config: &str| documents(config)[0]["service"]["grace"].as_i64().unwrap();
    let daemonset = &documents(&read("deploy/kubernetes/daemonset.yaml"))[0];
    let limit = |pod: &Value| pod["terminationGracePeriodSeconds"].as_i64().unwrap();
    assert!(grace(&read("config/drave.yaml")) < limit(&daemonset["spec"]["template"]["spec"]));
    for (name, objects) in sidecars() {
        let config = objects[0]["data"]["drave.yaml"].as_str().unwrap();
        let spec = &objects[1]["spec"]["template"]["spec"];
        assert!(grace(config) < limit(spec), "{name}");
    }
}

/// Of each sidecar its ConfigMap and its workload.
fn sidecars() -> Vec<(String, Vec<Value>)> {
    let mut found = Vec::new();
    for name in ["native", "classic", "fargate", "job"] {
        let objects = documents(&read(&format!("deploy/sidecar/{name}.yaml")));
        let objects: Vec<Value> = objects.into_iter().filter(|object| object["kind"] != "ServiceAccount").collect();
        found.extend(objects.chunks(2).map(|pair| (name.to_owned(), pair.to_vec())));
    }
    assert_eq!(found.len(), 5);
    found
}

#[test]
fn sidecars_see_no_node_and_ask_no_api() {
    for (name, objects) in sidecars() {
        let config = objects[0]["data"]["drave.yaml"].as_str().unwrap();
        check("drave.yaml", config, &[]);
        assert!(config.contains("on_term: drain") && config.contains("podinfo_path: /etc/podinfo"), "{name}");
        let spec = &objects[1]["spec"]["template"]["spec"];
        let text = spec.to_string();
        assert!(!text.contains("hostPath") && text.contains("\"downwardAPI\""), "{name}");
        assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
        let containers = |kind: &str| spec[kind].as_array().cloned().unwrap_or_default();
        let native = containers("initContainers").into_iter().find(|c| c["name"] == "drave");
        let classic = containers("containers").into_iter().find(|c| c["name"] == "drave");
        match (&native, &classic) {
            (Some(native), None) => assert_eq!(native["restartPolicy"], "Always", "{name}"),
            (None, Some(_)) => assert_eq!(config.contains("exit_when_idle"), name == "job", "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}
