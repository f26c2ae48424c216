//! What a real API server does and a simple one does not: it speaks HTTP/2 too, compresses, wants new tokens, refuses watches.

use super::support::kubernetes::{Setup, Trouble, pod};
use super::support::tls::Authority;
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

/// A list of more bytes than are sent without compression to who takes that.
fn fill(api: &KubeApi) {
    for number in 0..20 {
        let mut other = pod(&format!("other-{number}"), "shop", &format!("uid-other-{number}"), &[("app", "c")]);
        other["metadata"]["managedFields"] = serde_json::json!([{ "manager": "x".repeat(16 << 10) }]);
        api.put(other);
    }
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
}

#[test]
fn a_server_of_http_2_that_compresses_is_understood() {
    let authority = Authority::new();
    let mut tls = (*authority.server(&["127.0.0.1"])).clone();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let api = KubeApi::with(Setup { tls: Some(Arc::new(tls)), ..Setup::default() });
    fill(&api);
    let url = format!("kube_url: https://{}", api.address);
    let ca = format!("kube_ca_file: {}", authority.ca_file());
    let node = super::access::node_with(&[&url, &ca, FOR_GOOD]);
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let agent = start(&node);
    assert!(is_enriched(&record(&node, "one")), "{}", agent.stderr());
    assert!(poll(PATIENCE, || api.watches() == 1), "{}", agent.stderr());
    // The stream is cut anywhere, in the middle of an object and of a character.
    let mut late = pod("web-2", "shop", "uid-2", &[("app", "c")]);
    late["metadata"]["labels"] = serde_json::json!({ "app": "日本語".repeat(2000) });
    api.bookmark();
    api.put(late);
    let mut log = super::log(&node, "web-2", "uid-2");
    log.write_cri("stdout", "F", "two");
    assert!(is_enriched(&record(&node, "two")), "{}", agent.stderr());
    assert_eq!((api.lists(), api.watches()), (1, 1), "{:?}", api.requests());
}

/// After a restore of etcd no watch can go on from where it was; where watches alone are refused, lists do.
#[test]
fn watches_that_fail_again_and_again_are_followed_by_a_list() {
    for status in [504, 403] {
        let api = KubeApi::start();
        api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
        let node = node(&api, &[FOR_GOOD]);
        let agent = start(&node);
        assert!(poll(PATIENCE, || api.watches() == 1), "{}", agent.stderr());
        api.misbehave(Trouble::Watches(status));
        api.cut();
        assert!(poll(PATIENCE, || api.watches() > 1), "{:?}", api.requests());
        api.put(pod("web-2", "shop", "uid-2", &[("app", "c")]));
        let mut log = log(&node, "web-2", "uid-2");
        log.write_cri("stdout", "F", "one");
        assert!(is_enriched(&record(&node, "one")), "{status}: {}", agent.stderr());
        assert!(api.lists() >= 2, "{status}: {:?}", api.requests());
    }
}

/// A script in a folder that may be run.
fn script(folder: &tempfile::TempDir, text: &str) -> String {
    let file = folder.path().join("script");
    fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file.display().to_string()
}

/// The server wants another token from now on, and the pod is to be known with it.
#[track_caller]
fn renew(api: &KubeApi, node: &Node, agent: &Agent, file: &std::path::Path) {
    assert!(poll(PATIENCE, || api.watches() == 1), "{}", agent.stderr());
    fs::write(file, "second").unwrap();
    api.want_token("second");
    api.cut();
    api.put(pod("web-2", "shop", "uid-2", &[("app", "c")]));
    let mut log = log(node, "web-2", "uid-2");
    log.write_cri("stdout", "F", "two");
    assert!(is_enriched(&record(node, "two")), "{}", agent.stderr());
}

#[test]
fn a_token_of_a_command_is_asked_for_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "first").unwrap();
    let api = KubeApi::with(Setup { token: Some("first".into()), ..Setup::default() });
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    let command = format!("kube_token_command: 'cat {}'", file.display());
    let node = node(&api, &[&command, "kube_token_ttl: 1h", FOR_GOOD]);
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let agent = start(&node);
    assert!(is_enriched(&record(&node, "one")), "{}", agent.stderr());
    renew(&api, &node, &agent, &file);
    assert!(!agent.stderr().contains("401"), "{}", agent.stderr());
}

/// As `aws eks get-token` does.
#[test]
fn a_kubeconfig_may_ask_a_program_for_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "first").unwrap();
    let api = KubeApi::with(Setup { token: Some("first".into()), ..Setup::default() });
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    let version = "client.authentication.k8s.io/v1beta1";
    let answer = format!(
        r#"{{"kind":"ExecCredential","apiVersion":"{version}","status":{{"token":"'$(cat {})'"}}}}"#,
        file.display()
    );
    let program = script(&folder, &format!("echo '{answer}'"));
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        "clusters": [{ "name": "c", "cluster": { "server": format!("http://{}", api.address) } }],
        "users": [{ "name": "u", "user": { "exec": {
            "apiVersion": version, "command": program, "args": ["eks", "get-token"], "interactiveMode": "IfAvailable",
            "env": [{ "name": "AWS_PROFILE", "value": "shop" }], "provideClusterInfo": false } } }],
    });
    let config = folder.path().join("config");
    fs::write(&config, kubeconfig.to_string()).unwrap();
    let node = super::access::node_with(&[&format!("kubeconfig: {}", config.display()), FOR_GOOD]);
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let agent = start(&node);
    assert!(is_enriched(&record(&node, "one")), "{}", agent.stderr());
    renew(&api, &node, &agent, &file);
}
