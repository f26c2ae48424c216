//! Who may ask, and for whom: tokens, the node's name, the kubelet, rights.

use super::support::kubernetes::{Setup, Trouble, pod};
use super::support::tls::Authority;
use super::*;
use std::fs;

#[test]
fn tokens_are_read_anew_over_tls() {
    let authority = Authority::new();
    let tls = Some(authority.server(&["127.0.0.1"]));
    let api = KubeApi::with(Setup { tls, token: Some("first".into()), ..Setup::default() });
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "first\n").unwrap();
    let (url, ca) = (format!("kube_url: https://{}", api.address), format!("kube_ca_file: {}", authority.ca_file()));
    let token_file = format!("kube_token_file: {}", token.display());
    let node = node_with(&[&url, &ca, &token_file, FOR_GOOD]);
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let agent = start(&node);
    assert!(is_enriched(&record(&node, "one")), "{}", agent.stderr());
    fs::write(&token, "second").unwrap();
    api.want_token("second");
    api.cut();
    api.put(pod("web-2", "shop", "uid-2", &[("app", "c")]));
    let mut log = super::log(&node, "web-2", "uid-2");
    log.write_cri("stdout", "F", "two");
    assert!(is_enriched(&record(&node, "two")), "{}", agent.stderr());
    assert_eq!(api.lists(), 1);
}

/// Without the filter's address of the API: the caller says where it is.
fn node_with(options: &[&str]) -> Node {
    let lines = [&["name: kubernetes", "match: 'kube.*'"], options].concat();
    Node::new().more(&format!("  filters:\n    - {}\n", lines.join("\n      ")))
}

#[test]
fn a_kubeconfig_says_where_the_api_is_and_who_asks() {
    let authority = Authority::new();
    let api = KubeApi::with(Setup {
        tls: Some(authority.server_for_known_clients(&["127.0.0.1"])),
        token: Some("laptop".into()),
        ..Setup::default()
    });
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.client_files();
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        "clusters": [{ "name": "c", "cluster": {
            "server": format!("https://{}", api.address), "certificate-authority": authority.ca_file() } }],
        "users": [{ "name": "u", "user": { "token": "laptop", "client-certificate": certificate, "client-key": key } }],
    });
    let file = folder.path().join("config");
    fs::write(&file, kubeconfig.to_string()).unwrap();
    let node = node_with(&[&format!("kubeconfig: {}", file.display()), FOR_GOOD]);
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let agent = start(&node);
    assert!(is_enriched(&record(&node, "one")), "{}", agent.stderr());
}

#[test]
fn the_node_is_found_by_the_own_pod_where_no_variable_says_its_name() {
    for (hostname, requests) in [("drave-x1", 3), ("node-1", 4)] {
        let api = KubeApi::start();
        let mut own = pod("drave-x1", "logging", "uid-own", &[("drave", "c")]);
        own["spec"]["nodeName"] = "node-1".into();
        api.put(own);
        api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
        let folder = tempfile::tempdir().unwrap();
        let namespace = folder.path().join("namespace");
        fs::write(&namespace, "logging").unwrap();
        let node = node(&api, &[&format!("kube_namespace_file: {}", namespace.display()), FOR_GOOD]);
        let mut log = log(&node, "web-1", "uid-1");
        log.write_cri("stdout", "F", "one");
        let unset =
            [("NODE_NAME", ""), ("HOST_NAME", ""), ("K8S_NODE_NAME", ""), ("POD_NAME", ""), ("HOSTNAME", hostname)];
        let _agent = start_with(&node, &unset);
        assert!(is_enriched(&record(&node, "one")), "{hostname}");
        assert!(poll(PATIENCE, || api.watches() == 1));
        assert_eq!(api.requests().len(), requests, "{:?}", api.requests());
    }
}

#[test]
fn without_a_name_of_the_node_pods_are_not_watched_at_all() {
    let api = KubeApi::start();
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    let node = node(&api, &[SOON, "kube_namespace_file: /nowhere"]);
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let agent =
        start_with(&node, &[("NODE_NAME", ""), ("HOST_NAME", ""), ("K8S_NODE_NAME", ""), ("POD_NAMESPACE", "")]);
    assert!(agent.wait_for_stderr("the name of this node is not known", PATIENCE), "{}", agent.stderr());
    assert!(!is_enriched(&record(&node, "one")));
    assert_eq!(api.requests(), [""; 0]);
}

#[test]
fn the_kubelet_is_asked_only_where_the_api_refuses() {
    let authority = Authority::new();
    let kubelet = KubeApi::with(Setup { tls: Some(authority.server(&["kubelet"])), ..Setup::default() });
    let api = KubeApi::start();
    for (number, server) in [&kubelet, &api].into_iter().enumerate() {
        server.put(pod(&format!("web-{number}"), "shop", &format!("uid-{number}"), &[("app", "c")]));
    }
    let port = format!("kubelet_port: {}", kubelet.address.port());
    let options = ["use_kubelet: on", "kubelet_host: 127.0.0.1", &port, "tls.verify: off", FOR_GOOD];
    let node = node(&api, &options);
    let mut log = super::log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "from the API");
    let mut agent = start(&node);
    assert!(is_enriched(&record(&node, "from the API")));
    assert_eq!((agent.stop(), kubelet.requests().len()), (Some(0), 0));

    api.misbehave(Trouble::Status(403));
    let agent = start(&node);
    assert!(agent.wait_for_stderr("list and to watch pods", PATIENCE), "{}", agent.stderr());
    assert_eq!(kubelet.requests().len(), 0, "nobody asked for an unknown pod");
    let mut log = super::log(&node, "web-0", "uid-0");
    log.write_cri("stdout", "F", "from the kubelet");
    assert!(is_enriched(&record(&node, "from the kubelet")), "{}", agent.stderr());
    assert_eq!(kubelet.requests().len(), 1);
}

/// What the manifest grants is what the agent asks for, and no more.
#[test]
fn the_manifest_grants_to_list_and_to_watch_pods() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/rbac.yaml")).unwrap();
    let rules: Vec<&str> = manifest.lines().map(str::trim).skip_while(|line| *line != "rules:").take(4).collect();
    assert_eq!(rules, ["rules:", "- apiGroups: [\"\"]", "resources: [pods]", "verbs: [list, watch]"], "{manifest}");
    assert_eq!(manifest.matches("verbs:").count(), 1, "{manifest}");
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains("resources: [pods]") && readme.contains("verbs: [list, watch]"));
    let api = KubeApi::start();
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    let node = node(&api, &[FOR_GOOD, "owner_references: on", "workload: on"]);
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let _agent = start(&node);
    assert!(is_enriched(&record(&node, "one")));
    assert!(poll(PATIENCE, || api.watches() == 1));
    assert!(api.requests().iter().all(|request| request.starts_with("/api/v1/pods?")), "{:?}", api.requests());
}
