//! Several filters, processors and new tags: one watch for all of them, and nobody waits who cannot.

use super::support::kubernetes::{Setup, Trouble, pod};
use super::*;
use serde_json::json;

/// What each of several sections of a filter has.
fn common(api: &KubeApi, node: &Node) -> String {
    let prefix = node.path("containers").display().to_string().trim_matches('/').replace('/', ".");
    format!("kube_url: 'http://{}', {FOR_GOOD}, kube_tag_prefix: 'kube.{prefix}.'", api.address)
}

#[test]
fn filters_that_ask_one_api_share_its_watch_and_the_cache() {
    let api = KubeApi::start();
    api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
    api.put_namespace("shop", json!({ "team": "a" }));
    let node = Node::new().admin();
    let common = common(&api, &node);
    // None of them wants all: an output's has labels, the last one shows namespaces alone.
    let output = format!("      processors: {{logs: [{{name: kubernetes, {common}, annotations: off}}]}}\n");
    let filters = format!(
        "    - {{name: kubernetes, match: other, {common}, labels: off}}\n    \
         - {{name: kubernetes, match: '*', {common}, namespace_labels: on, namespace_metadata_only: on}}\n"
    );
    let text = node.config() + &output + "  filters:\n" + &filters;
    let mut log = log(&node, "web-1", "uid-1");
    log.write_cri("stdout", "F", "one");
    let run = || {
        let agent = Agent::start_with(&text, &[("NODE_NAME", "node-1")]);
        assert!(agent.wait_for_stderr("following files=", PATIENCE), "{}", agent.stderr());
        agent
    };
    let mut agent = run();
    let shows = |record: &Value| {
        let (pod, namespace) = (&record["kubernetes"], &record["kubernetes_namespace"]);
        assert_eq!((&pod["labels"]["app"], &pod["annotations"]), (&json!("web-1"), &Value::Null), "{record}");
        assert_eq!(namespace["labels"], json!({ "team": "a" }), "{record}");
    };
    // Of an output's own processor a source does not wait for.
    let mut number = 0;
    let done = poll(PATIENCE, || {
        number += 1;
        log.write_cri("stdout", "F", &format!("again {number}"));
        std::thread::park_timeout(Duration::from_millis(50));
        node.sink.records().last().is_some_and(|record| record["kubernetes"]["labels"].is_object())
    });
    assert!(done, "{:?}", node.sink.records().last());
    shows(node.sink.records().last().unwrap());
    assert!(poll(PATIENCE, || (api.lists(), api.watches()) == (2, 2)), "{:?}", api.requests());
    let metrics = agent.page("/metrics");
    assert_eq!(metrics.matches("drave_filter_kubernetes_pods{").count(), 3, "{metrics}");
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    assert_eq!((api.lists(), api.watches()), (2, 2), "{:?}", api.requests());
    // All of it is in the cache, whoever wanted it.
    drop(api);
    log.write_cri("stdout", "F", "after");
    let _agent = run();
    shows(&record(&node, "after"));
}

/// Metadata comes late to records that cannot wait for it, and comes.
#[test]
fn what_cannot_wait_is_enriched_once_its_pod_is_known() {
    let rewrite = "    - {name: rewrite_tag, match: 'kube.*', rule: '$log . app.$TAG false'}\n";
    for is_output in [false, true] {
        let api = KubeApi::with(Setup { trouble: Trouble::Hang, ..Setup::default() });
        api.put(pod("web-1", "shop", "uid-1", &[("app", "c")]));
        let node = Node::new();
        let kubernetes = format!("name: kubernetes, {}", common(&api, &node));
        let more = match is_output {
            true => format!("      processors: {{logs: [{{{kubernetes}}}, {{name: redact, kinds: email}}]}}\n"),
            false => {
                let kubernetes = kubernetes.replace("'kube.", "'app.kube.");
                format!("  filters:\n{rewrite}    - {{{kubernetes}, match: 'app.*'}}\n")
            }
        };
        let mut log = log(&node, "web-1", "uid-1");
        log.write_cri("stdout", "F", "from ada@example.org");
        let agent = Agent::start_with(&(node.config() + &more), &[("NODE_NAME", "node-1")]);
        assert!(agent.wait_for_stderr("following files=", PATIENCE), "{}", agent.stderr());
        let text = if is_output { "from [REDACTED:email]" } else { "from ada@example.org" };
        assert!(!is_enriched(&record(&node, text)), "the API has not said anything");
        api.misbehave(Trouble::None);
        until_enriched(&node, &mut log);
    }
}
