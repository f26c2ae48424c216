//! What the API may do, and what it is asked.

use super::support::kubernetes::{Setup, Trouble, pod};
use super::*;

#[test]
fn the_first_line_is_complete_with_one_list_and_one_watch() {
    let api = KubeApi::start();
    for number in 0..250 {
        api.put(pod(&format!("web-{number}"), "shop", &format!("uid-{number}"), &[("app", "c")]));
    }
    let node = node(&api, &[FOR_GOOD]);
    let mut logs: Vec<ContainerLog> = (0..20).map(|n| log(&node, &format!("web-{n}"), &format!("uid-{n}"))).collect();
    logs.iter_mut().enumerate().for_each(|(n, log)| log.write_cri("stdout", "F", &format!("first of {n}")));
    let mut agent = start(&node);
    for number in 0..20 {
        let record = record(&node, &format!("first of {number}"));
        assert!(is_enriched(&record), "{record}");
        assert_eq!(record["kubernetes"]["pod_id"], format!("uid-{number}"));
    }
    assert!(poll(PATIENCE, || api.watches() == 1), "{:?}", api.requests());
    assert_eq!(api.lists(), 1, "{:?}", api.requests());
    assert!(api.requests().iter().all(|r| r.contains("fieldSelector=spec.nodeName%3Dnode-1")), "{:?}", api.requests());
    assert!(api.requests()[0].contains("resourceVersion=0"), "{:?}", api.requests());
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
}

#[test]
fn logs_flow_whatever_the_api_does_and_metadata_follows() {
    let troubles = [Trouble::Hang, Trouble::Close, Trouble::Status(500), Trouble::Status(403), Trouble::Status(404)];
    std::thread::scope(|scope| {
        for trouble in troubles {
            scope.spawn(move || logs_flow(trouble));
        }
    });
}

fn logs_flow(trouble: Trouble) {
    let api = KubeApi::with(Setup { trouble, ..Setup::default() });
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    let node = node(&api, &[SOON]).admin();
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "before");
    let agent = start(&node);
    let before = record(&node, "before");
    let expect = ["web-1", "shop", "uid-1", "app"];
    let found = ["pod_name", "namespace_name", "pod_id", "container_name"].map(|key| before["kubernetes"][key].clone());
    assert_eq!(found, expect, "{trouble:?}: {before}");
    assert!(!is_enriched(&before), "{trouble:?}: {before}");
    let metrics = agent.page("/metrics");
    let without = metrics.lines().find(|l| l.starts_with("drave_filter_kubernetes_without_metadata_records_total{"));
    assert!(without.is_some_and(|line| line.ends_with(" 1")), "{trouble:?}: {metrics}");
    assert!(metrics.contains("drave_filter_kubernetes_watch_live{filter=\"kubernetes.0\"} 0"), "{metrics}");
    api.misbehave(Trouble::None);
    until_enriched(&node, &mut log);
    let metrics = agent.page("/metrics");
    assert!(metrics.contains("drave_filter_kubernetes_watch_live{filter=\"kubernetes.0\"} 1"), "{metrics}");
    assert!(metrics.contains("drave_filter_kubernetes_pods{filter=\"kubernetes.0\"} 1"), "{metrics}");
}

#[test]
fn only_the_file_waits_whose_pod_is_not_known() {
    let api = KubeApi::start();
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    let node = node(&api, &[FOR_GOOD]).admin();
    let (mut known, mut late) = (log(&node, "web-1", "uid-1"), log(&node, "web-2", "uid-2"));
    late.write_cri("stdout", "F", "late");
    known.write_cri("stdout", "F", "known");
    let agent = start(&node);
    record(&node, "known");
    assert!(agent.page("/metrics").contains("drave_filter_kubernetes_waiting_files{filter=\"kubernetes.0\"} 1"));
    known.write_cri("stdout", "F", "known again");
    record(&node, "known again");
    assert_eq!(node.texts(), ["known", "known again"]);
    api.put(pod("web-2", "shop", "uid-2", &[("app", "c")]));
    assert!(is_enriched(&record(&node, "late")));
    assert!(agent.page("/metrics").contains("drave_filter_kubernetes_waiting_files{filter=\"kubernetes.0\"} 0"));
}

#[test]
fn a_pod_made_again_under_its_name_has_its_own_metadata() {
    let api = KubeApi::start();
    let mut first = pod("db-0", "shop", "uid-1", &[("app", "c1")]);
    first["metadata"]["labels"] = serde_json::json!({ "generation": "1" });
    api.put(first);
    let node = node(&api, &[FOR_GOOD]);
    let mut old = log(&node, "db-0", "uid-1");
    old.write_cri("stdout", "F", "old");
    let _agent = start(&node);
    assert_eq!(record(&node, "old")["kubernetes"]["labels"]["generation"], "1");
    api.delete("uid-1");
    let mut second = pod("db-0", "shop", "uid-2", &[("app", "c2")]);
    second["metadata"]["labels"] = serde_json::json!({ "generation": "2" });
    let mut new = log(&node, "db-0", "uid-2");
    new.write_cri("stdout", "F", "new");
    old.write_cri("stdout", "F", "the last of the old one");
    assert_eq!(record(&node, "the last of the old one")["kubernetes"]["labels"]["generation"], "1");
    api.put(second);
    let record = record(&node, "new");
    assert_eq!(
        (&record["kubernetes"]["labels"]["generation"], &record["kubernetes"]["pod_id"]),
        (&"2".into(), &"uid-2".into())
    );
}

#[test]
fn the_first_line_after_a_restart_is_complete_while_the_api_is_away() {
    let api = KubeApi::start();
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    let node = node(&api, &[FOR_GOOD]);
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "before");
    let mut agent = start(&node);
    assert!(is_enriched(&record(&node, "before")));
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    drop(api);
    log.write_cri("stdout", "F", "after");
    let _agent = start(&node);
    assert!(is_enriched(&record(&node, "after")));
}

#[test]
fn a_pod_deleted_before_its_last_lines_were_read_is_still_known() {
    let api = KubeApi::start();
    api.put(pod("job-1", "shop", "uid-1", &[("app", "c")]));
    let node = node(&api, &[FOR_GOOD]).tail("rotate_wait", "30");
    let _agent = start(&node);
    assert!(poll(PATIENCE, || api.watches() == 1));
    api.delete("uid-1");
    let mut log = log(&node, "job-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    assert!(is_enriched(&record(&node, "one")));
    log.delete();
    log.write_cri("stdout", "F", "the last");
    assert!(is_enriched(&record(&node, "the last")));
}

#[test]
fn the_watch_goes_on_after_cuts_and_lists_anew_only_when_its_version_is_gone() {
    let api = KubeApi::start();
    let mut huge = pod("huge", "shop", "uid-huge", &[("app", "c")]);
    huge["metadata"]["managedFields"] = serde_json::json!([{ "manager": "x".repeat(1 << 20) }]);
    for number in 0..30 {
        huge["metadata"]["uid"] = format!("uid-{number}").into();
        api.put(huge.clone());
    }
    let node = node(&api, &[FOR_GOOD]);
    let agent = start(&node);
    assert!(poll(PATIENCE, || api.watches() == 1), "{}", agent.stderr());
    // 30 MiB of list: an object at a time.
    assert!(agent.peak_rss_bytes() < 48 << 20, "{} bytes", agent.peak_rss_bytes());
    api.bookmark();
    api.cut();
    assert!(poll(PATIENCE, || api.watches() == 2), "{:?}", api.requests());
    assert_eq!(api.lists(), 1);
    let version = |request: &String| request.split("resourceVersion=").nth(1).unwrap().to_owned();
    let watches: Vec<String> = api.requests().iter().filter(|r| r.contains("watch=true")).map(version).collect();
    assert_ne!(watches[0], watches[1], "it goes on behind the bookmark");
    api.compact();
    assert!(poll(PATIENCE, || api.lists() == 2 && api.watches() == 3), "{:?}", api.requests());
    // The same when the server says so to who comes back.
    api.cut();
    api.misbehave(Trouble::Status(410));
    assert!(poll(PATIENCE, || api.watches() >= 4), "{:?}", api.requests());
    api.misbehave(Trouble::None);
    api.put(pod("web-1", "shop", "uid-web", &[("app", "c")]));
    let mut log = log(&node, "web-1", "uid-web");
    log.write_cri("stdout", "F", "line");
    assert!(is_enriched(&record(&node, "line")));
}
