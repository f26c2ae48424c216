//! What records get, and what annotations leave out.

use super::support::kubernetes::pod;
use super::*;
use serde_json::json;

#[test]
fn what_changes_is_in_the_next_records() {
    let api = KubeApi::start();
    let mut web = pod("web-1", "shop", "uid-1", &[("app", "c")]);
    web["status"] = json!({});
    api.put(web.clone());
    let node = node(&api, &[FOR_GOOD]);
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "starting");
    let _agent = start(&node);
    let starting = record(&node, "starting");
    assert_eq!(starting["kubernetes"]["container_image"], "registry.example/app:1", "the one that was asked for");
    assert_eq!(starting["kubernetes"]["container_hash"], json!(null));
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    until_enriched(&node, &mut log);
}

/// One pod that wants nothing of it sent, and one whose standard error is not wanted.
fn excluding() -> KubeApi {
    let api = KubeApi::start();
    let mut noisy = pod("noisy", "shop", "uid-1", &[("app", "c")]);
    noisy["metadata"]["annotations"] = json!({ "drave.io/exclude": "true" });
    api.put(noisy);
    let mut half = pod("half", "shop", "uid-2", &[("app", "c")]);
    half["metadata"]["annotations"] =
        json!({ "fluentbit.io/exclude_stderr": "true", "fluentbit.io/exclude": "perhaps" });
    api.put(half);
    api
}

#[test]
fn an_excluded_pod_is_let_go_and_its_bytes_are_counted() {
    let api = excluding();
    let node = node(&api, &[FOR_GOOD, "k8s-logging.exclude: on"]).admin();
    let (mut noisy, mut half) = (log(&node, "noisy", "uid-1"), log(&node, "half", "uid-2"));
    noisy.write_cri("stdout", "F", "noise");
    half.write_cri("stderr", "F", "noise");
    half.write_cri("stdout", "F", "wanted");
    let size = std::fs::metadata(&noisy.path).unwrap().len();
    let agent = start(&node);
    record(&node, "wanted");
    let has = |line: &str| agent.page("/metrics").lines().any(|found| found == line);
    let skipped = format!("drave_input_skipped_bytes_total{{input=\"tail.0\"}} {size}");
    assert!(poll(PATIENCE, || has(&skipped)), "{}", agent.page("/metrics"));
    let only_one = || has("drave_input_files_open{input=\"tail.0\",namespace=\"shop\"} 1.0");
    assert!(poll(PATIENCE, only_one), "{}", agent.page("/metrics"));
    assert!(has("drave_filter_kubernetes_bad_annotations_total{filter=\"kubernetes.0\"} 1"));
    assert!(
        agent.stderr().contains("annotation fluentbit.io/exclude: `perhaps` is not understood"),
        "{}",
        agent.stderr()
    );
    assert_eq!(node.texts(), ["wanted"]);
}

#[test]
fn an_excluded_pod_does_not_keep_the_end_away() {
    let api = excluding();
    let node = node(&api, &[FOR_GOOD, "k8s-logging.exclude: on"]).tail("exit_on_eof", "on");
    let (mut noisy, mut half) = (log(&node, "noisy", "uid-1"), log(&node, "half", "uid-2"));
    noisy.write_cri("stdout", "F", "noise");
    half.write_cri("stdout", "F", "wanted");
    // The second run knows from the beginning what is excluded.
    for run in 0..2 {
        let mut agent = Agent::start_with(&node.config(), &[("NODE_NAME", "node-1")]);
        let code = agent.wait(PATIENCE).and_then(|status| status.code());
        assert_eq!(code, Some(0), "run {run}: {}", agent.stderr());
    }
    assert_eq!(node.texts(), ["wanted"]);
}

#[test]
fn a_sidecar_reads_its_own_pod_from_files() {
    let node = Node::new();
    let folder = node.path("podinfo");
    std::fs::create_dir(&folder).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("labels", "app=\"web\"\n");
    write("annotations", "note=\"say \\\"hi\\\"\"\n");
    let podinfo = format!("podinfo_path: {}", folder.display());
    let lines = ["name: kubernetes", "match: '*'", "merge_log: on", &podinfo];
    let node = node.more(&format!("  filters:\n    - {}\n", lines.join("\n      ")));
    node.append("containers/app.log", "2026-11-20T08:00:00Z stdout F one\n");
    let _agent = start_with(&node, &[("POD_NAME", "web-1"), ("POD_NAMESPACE", "shop"), ("NODE_NAME", "node-1")]);
    let expect = |app: &str| json!({ "pod_name": "web-1", "namespace_name": "shop", "labels": { "app": app }, "annotations": { "note": "say \"hi\"" }, "host": "node-1" });
    // Nothing says its UID.
    assert_eq!(record(&node, "one")["kubernetes"], expect("web"));
    write("labels", "app=\"web-2\"\n");
    std::os::unix::fs::symlink("next", folder.join("..data")).unwrap();
    let mut number = 0;
    let done = poll(PATIENCE, || {
        number += 1;
        node.append("containers/app.log", format!("2026-11-20T08:00:01Z stdout F again {number}\n"));
        std::thread::park_timeout(Duration::from_millis(50));
        node.sink.records().iter().any(|record| record["kubernetes"]["labels"]["app"] == "web-2")
    });
    assert!(done, "{:?}", node.sink.records().last());
}

#[test]
fn what_waits_at_the_end_is_read_by_the_next_start() {
    let api = KubeApi::start();
    let node = node(&api, &[FOR_GOOD]);
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let mut agent = start(&node);
    assert!(poll(PATIENCE, || api.watches() == 1));
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    assert_eq!(node.texts(), [""; 0]);
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    let _agent = start(&node);
    assert!(is_enriched(&record(&node, "one")));
}

#[test]
fn what_waits_is_sent_where_no_later_start_would_know_of_it() {
    let api = KubeApi::start();
    let node = node(&api, &[FOR_GOOD]).tail("db", "").service("state_dir", "");
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let mut agent = start(&node);
    assert!(poll(PATIENCE, || api.watches() == 1));
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    assert_eq!(node.texts(), ["one"]);
}
