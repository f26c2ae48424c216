//! What pods ask for with annotations, and take back while they run.

use super::support::kubernetes::pod;
use super::support::node::closed_while;
use super::*;
use rustix::process::Signal;
use std::sync::atomic::Ordering;

const TRACE: [&str; 3] = [
    "Exception in thread \"main\" java.lang.IllegalStateException: order 17",
    "\tat com.shop.A.b(A.java:1)",
    "\tat com.shop.C.d(C.java:2)",
];

/// A pod with an annotation, or none.
fn annotated(name: &str, annotation: Option<(&str, &str)>) -> Value {
    let mut object = pod(name, "shop", &format!("uid-{name}"), &[("app", "c")]);
    let annotations: serde_json::Map<String, Value> =
        annotation.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    object["metadata"]["annotations"] = annotations.into();
    object
}

fn write(log: &mut ContainerLog, lines: &[&str]) {
    lines.iter().for_each(|line| log.write_cri("stderr", "F", line));
}

/// Waits for a change, and shows what came instead.
#[track_caller]
fn until(node: &Node, change: impl FnMut() -> bool) {
    assert!(poll(PATIENCE, change), "{:?}", node.texts());
}

#[test]
fn a_pod_chooses_what_joins_its_lines() {
    let api = KubeApi::start();
    api.put(annotated("joined", Some(("drave.io/multiline", "java"))));
    api.put(annotated("plain", Some(("drave.io/multiline", "cobol"))));
    let node = node(&api, &[FOR_GOOD]).admin();
    let (mut joined, mut plain) = (log(&node, "joined", "uid-joined"), log(&node, "plain", "uid-plain"));
    write(&mut joined, &TRACE);
    write(&mut joined, &["end"]);
    write(&mut plain, &TRACE);
    let agent = start(&node);
    let trace = TRACE.join("\n");
    until(&node, || node.texts().len() == 5);
    let of = |pod: &str| -> Vec<String> {
        let records = node.sink.records();
        let own = records.iter().filter(|record| record["kubernetes"]["pod_name"] == pod);
        own.map(|record| record["log"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((of("joined"), of("plain")), (vec![trace.clone(), "end".into()], TRACE.map(str::to_owned).to_vec()));
    assert!(agent.stderr().contains("annotation drave.io/multiline: `cobol` is not understood"), "{}", agent.stderr());
    assert_eq!(agent.stderr().matches("`cobol`").count(), 1, "{}", agent.stderr());
    assert!(agent.page("/metrics").contains("bad_annotations_total{filter=\"kubernetes.0\"} 1"));
    // Later lines are joined as is asked for then. What is open was begun before that.
    write(&mut plain, &TRACE[..1]);
    until(&node, || of("plain").len() == 4);
    api.put(annotated("plain", Some(("drave.io/multiline-app", "java"))));
    until(&node, || {
        write(&mut plain, &TRACE);
        write(&mut plain, &["end"]);
        of("plain").contains(&trace)
    });
    api.put(annotated("joined", None));
    let (before, mut written) = (of("joined").len(), 1);
    until(&node, || {
        written += 1;
        write(&mut joined, &TRACE);
        write(&mut joined, &["end"]);
        of("joined")[before..].iter().any(|text| text == TRACE[1])
    });
    // No line is lost at the change, and none sent twice.
    until(&node, || {
        let texts = of("joined").join("\n");
        TRACE.iter().chain(&["end"]).all(|line| texts.split('\n').filter(|found| found == line).count() == written)
    });
}

/// Its fields are there before all filters, also before those in front of the one that knows the pod.
#[test]
fn filters_in_front_see_the_fields_that_a_pods_multiline_parser_makes() {
    let api = KubeApi::start();
    api.put(annotated("web-1", Some(("drave.io/multiline", "steps"))));
    // Lines of Docker would have fields anyway.
    let node = node(&api, &[FOR_GOOD]).tail("multiline.parser", "cri");
    let mut log = log(&node, "web-1", "uid-web-1");
    write(&mut log, &[r#"{"log":"begin","level":"info"}"#, r#"{"log":" go on","level":"info"}"#, "end"]);
    let config = node.config().replace("  filters:\n", "  filters:\n    - {name: modify, match: '*', remove: level}\n");
    let rules =
        "[{state: start_state, regex: /^begin/, next_state: more}, {state: more, regex: /^ /, next_state: more}]";
    let steps = format!("{{name: steps, type: regex, parser: json, key_content: log, rules: {rules}}}");
    let _agent = Agent::start_with(&format!("multiline_parsers: [{steps}]\n{config}"), &[("NODE_NAME", "node-1")]);
    until(&node, || node.sink.records().len() == 2);
    let first = node.sink.records().swap_remove(0);
    assert_eq!(first["log"].as_str().unwrap().split_whitespace().collect::<String>(), "begingoon", "{first}");
    assert_eq!(first.get("level"), None, "{first}");
}

/// What was open at the stop waits for the pod, which says what joins it.
#[test]
fn an_open_trace_is_read_again_when_its_pod_is_known() {
    let api = KubeApi::start();
    let node = node(&api, &[FOR_GOOD]).service("grace", "5");
    let mut log = log(&node, "web-1", "uid-web-1");
    write(&mut log, &["up"]);
    write(&mut log, &TRACE[..1]);
    // The first run joins by its configuration and knows nothing of pods.
    let first = node.config().replace("docker, cri", "docker, cri, java");
    let first = first.split("  filters:").next().unwrap().to_owned();
    let mut agent = Agent::start(&first);
    node.expect_texts(&["up"]);
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    let mut agent = start(&node);
    // Its row outlives a kill while the pod is not known.
    std::thread::sleep(Duration::from_millis(1500));
    agent.signal(Signal::KILL);
    agent.wait(PATIENCE);
    assert_eq!(node.texts(), ["up"]);
    let _agent = start(&node);
    api.put(annotated("web-1", Some(("drave.io/multiline", "java"))));
    write(&mut log, &TRACE[1..]);
    write(&mut log, &["end"]);
    node.expect_texts(&["up", &TRACE.join("\n"), "end"]);
}

/// Excludes the pod while a record of it cannot be delivered.
fn excluded(node: &Node, api: &KubeApi, log: &mut ContainerLog) -> Agent {
    write(log, &["before"]);
    let agent = start(node);
    let is_pending = || agent.page("/metrics").contains("drave_output_pending_records{output=\"http.0\"} 1");
    assert!(poll(PATIENCE, is_pending), "{}", agent.page("/metrics"));
    api.put(annotated("web-1", Some(("drave.io/exclude", "true"))));
    let is_left_out = poll(PATIENCE, || {
        write(log, &["a line at about that time"]);
        skipped(&agent) > 0
    });
    assert!(is_left_out, "{}", agent.page("/metrics"));
    agent
}

fn skipped(agent: &Agent) -> u64 {
    let metrics = agent.page("/metrics");
    let value =
        metrics.lines().find_map(|line| line.strip_prefix("drave_input_skipped_bytes_total{input=\"tail.0\"} "));
    value.map_or(0, |value| value.parse::<f64>().unwrap() as u64)
}

fn excluding(api: &KubeApi) -> Node {
    node(api, &[FOR_GOOD, "k8s-logging.exclude: on"]).tail("refresh_interval", "1").admin()
}

#[test]
fn what_was_read_before_a_pod_was_excluded_is_delivered() {
    for is_killed in [true, false] {
        let api = KubeApi::start();
        api.put(annotated("web-1", None));
        let node = excluding(&api);
        let mut log = log(&node, "web-1", "uid-web-1");
        let closed = closed_while(&node.sink);
        let mut agent = excluded(&node, &api, &mut log);
        if is_killed {
            // It may be wanted again before that: the row must not pass what is not delivered.
            api.put(annotated("web-1", None));
            std::thread::sleep(Duration::from_millis(2500));
            agent.signal(Signal::KILL);
            agent.wait(PATIENCE);
            closed.store(false, Ordering::Release);
            let _agent = start(&node);
            record(&node, "before");
        } else {
            closed.store(false, Ordering::Release);
            assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
            assert!(node.texts().iter().any(|text| text == "before"), "{:?}", node.texts());
        }
    }
}

#[test]
fn who_is_wanted_again_goes_on_behind_what_nobody_wanted() {
    let api = KubeApi::start();
    api.put(annotated("web-1", None));
    let node = excluding(&api);
    let closed = closed_while(&node.sink);
    let mut log = log(&node, "web-1", "uid-web-1");
    let agent = excluded(&node, &api, &mut log);
    closed.store(false, Ordering::Release);
    record(&node, "before");
    let before = skipped(&agent);
    write(&mut log, &["nobody wants this"]);
    assert!(poll(PATIENCE, || skipped(&agent) > before), "each scan counts what is passed over");
    api.put(annotated("web-1", None));
    let mut number = 0;
    until(&node, || {
        number += 1;
        write(&mut log, &[&format!("wanted again {number}")]);
        std::thread::park_timeout(Duration::from_millis(50));
        node.texts().iter().any(|text| text.starts_with("wanted again"))
    });
    assert!(!node.texts().iter().any(|text| text == "nobody wants this"), "{:?}", node.texts());
}
