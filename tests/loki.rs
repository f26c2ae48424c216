//! Output loki, by the real binary, against a Loki that keeps to its limits.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use support::loki::{Entry, Limits, Loki, Pairs};
use support::sink::{Act, Sink};
use support::site::{Running, Site};

/// 2024-03-01T10:00:00Z.
const AT: i64 = 1_709_287_200_000_000_000;

/// A Loki in the time of the logs.
fn loki_of_then(limits: Limits) -> Loki {
    Loki::start(Limits { now_ns: Some(AT), ..limits })
}

fn output(address: SocketAddr, options: &[&str]) -> String {
    let (host, port) = (address.ip(), address.port());
    let linger = if options.iter().any(|o| o.starts_with("linger")) { "" } else { "      linger: 100ms\n" };
    let options: String = options.iter().map(|option| format!("      {option}\n")).collect();
    format!("    - name: loki\n      match: '*'\n      host: {host}\n      port: {port}\n{linger}{options}")
}

/// A site whose files are containers' logs, with the pods that their names say.
fn pods() -> Site {
    Site::new().inputs(&[("kube.*", "logs/*.log", &["multiline.parser: cri", "path_key: file"])])
}

fn container(pod: &str) -> String {
    format!("{pod}_shop_main-{}.log", "ab12".repeat(16))
}

const KUBERNETES: &str = "  filters:\n    - name: kubernetes\n      match: 'kube.*'\n";

/// Starts with the kubernetes filter.
fn start_with_pods(site: Site, outputs: &[String]) -> Running {
    let config = site.config(outputs).replace("  outputs:\n", &format!("{KUBERNETES}  outputs:\n"));
    site.start_on(&config)
}

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const LABELS: [&str; 4] = [
    "labels: job=drave, namespace=$kubernetes['namespace_name'], container=$kubernetes['container_name'], $stream",
    "structured_metadata: pod=$kubernetes['pod_name']",
    "remove_keys: kubernetes, time, stream, _p, file",
    "drop_single_key: raw",
];

/// Lines of two pods, with every digit of their times.
fn write_pods(site: &Site) {
    for (pod, second) in [("web-1", 0), ("web-2", 30)] {
        let line = |n: i64| {
            let stream = if n % 3 == 0 { "stderr" } else { "stdout" };
            format!("2024-03-01T10:00:{:02}.{:09}Z {stream} F line {n} of \"{pod}\"\tä\n", second + n, 100 + n)
        };
        fs::write(site.path("logs").join(container(pod)), (0..9).map(line).collect::<String>()).unwrap();
    }
}

fn check_pods(entries: &[Entry]) {
    assert_eq!(entries.len(), 18);
    for (pod, second) in [("web-1", 0), ("web-2", 30)] {
        for n in 0..9 {
            let time_ns = AT + (second + n) * 1_000_000_000 + 100 + n;
            let stream = if n % 3 == 0 { "stderr" } else { "stdout" };
            let labels = [("job", "drave"), ("namespace", "shop"), ("container", "main"), ("stream", stream)];
            let line = format!("line {n} of \"{pod}\"\tä");
            let expect = Entry { labels: pairs(&labels), time_ns, line, metadata: pairs(&[("pod", pod)]) };
            assert!(entries.contains(&expect), "{expect:?} is missing in {entries:?}");
        }
    }
    in_order(entries);
}

/// Of each pod's stream, the later never before the earlier.
fn in_order(entries: &[Entry]) {
    let mut newest: BTreeMap<(&Pairs, &Pairs), i64> = BTreeMap::new();
    for entry in entries {
        let newest = newest.entry((&entry.labels, &entry.metadata)).or_default();
        assert!(entry.time_ns >= *newest, "{entry:?} is late");
        *newest = entry.time_ns;
    }
}

#[test]
fn streams_of_many_files_share_a_request_and_the_text_goes_alone() {
    for (compress, content_type) in [("snappy", "application/x-protobuf"), ("gzip", "application/json")] {
        let loki = loki_of_then(Limits::default());
        let site = pods();
        write_pods(&site);
        let compress = format!("compress: {compress}");
        let options: Vec<&str> = LABELS.into_iter().chain(["linger: 1s", &compress]).collect();
        let running = start_with_pods(site, &[output(loki.sink.address, &options)]);
        running.wait_delivered("loki.0", 18);
        check_pods(&loki.stored());
        let requests = loki.sink.requests();
        assert_eq!(requests.len(), 2, "both files; of two streams of long ago Loki would not tell");
        let header = |name| requests[0].head.header(name);
        assert_eq!((header("content-type"), header("x-scope-orgid")), (Some(content_type), None));
        assert_eq!(requests[0].head.target, "/loki/api/v1/push");
    }
}

#[test]
fn what_is_tried_again_keeps_its_order_and_its_times() {
    let loki = loki_of_then(Limits::default());
    for act in [
        Act::status(503),
        Act::ResetMidAnswer,
        Act::status(429).with_header("retry-after", "1"),
        Act::Close,
        Act::status(500),
    ] {
        loki.sink.next(act);
    }
    let site = pods();
    write_pods(&site);
    let running = start_with_pods(site, &[output(loki.sink.address, &LABELS)]);
    running.wait_delivered("loki.0", 18);
    check_pods(&loki.stored());
    assert_eq!(loki.repeated(), 0);
    assert!(loki.sink.requests().len() >= 5);
}

fn refused(running: &Running, reason: &str, records: i64) {
    running.wait_for("the refusals", |m| {
        let of = |name: &str| m.sum(name, ("output", "loki.0"));
        of("drave_output_refused_records_total") == records && of("drave_output_pending_records") == 0
    });
    let metrics = running.metrics();
    assert_eq!(metrics.sum("drave_output_refused_records_total", ("reason", reason)), records, "{metrics:#?}");
}

#[test]
fn with_400_the_named_lines_are_refused_and_nothing_is_sent_again() {
    let loki = Loki::start(Limits { line_bytes: 1000, ..Limits::default() });
    let site = Site::new().service(&["flush: 100ms", "storage.dead_letter: dead.jsonl"]);
    site.write("a.log", 1, 0..10);
    let long = format!("{}\n", "long ".repeat(300));
    support::site::append(&site.path("logs/a.log"), long.as_bytes());
    site.write("a.log", 1, 10..20);
    let mut running = site.start(&[output(loki.sink.address, &["labels: job=test", "drop_single_key: raw"])]);
    refused(&running, "http_400", 1);
    assert_eq!(loki.stored().len(), 20);
    assert_eq!(loki.sink.requests().len(), 1, "nothing is tried again");
    let letter = fs::read_to_string(running.agent.folder().join("dead.jsonl")).unwrap();
    assert_eq!(letter.lines().count(), 1);
    let letter: serde_json::Value = serde_json::from_str(&letter).unwrap();
    let push: serde_json::Value = serde_json::from_str(letter["piece"].as_str().unwrap()).unwrap();
    assert_eq!(push["streams"][0]["stream"], json!({ "job": "test" }), "a push of its own");
    assert_eq!(push["streams"][0]["values"][0][1], long.trim_end_matches('\n'));
    assert!(running.agent.stderr().contains("max entry size"), "{}", running.agent.stderr());

    assert_eq!(running.agent.stop(), Some(0));
    let (other, folder) = (Loki::start(Limits::default()), running.agent.folder());
    let config = fs::read_to_string(folder.join("drave.yaml")).unwrap();
    let (port, other_port) = (loki.sink.address.port(), other.sink.address.port());
    fs::write(folder.join("other.yaml"), config.replace(&format!("port: {port}"), &format!("port: {other_port}")))
        .unwrap();
    let replay = ["replay", "dead.jsonl", "--output", "loki.0", "-c", "other.yaml"];
    let replayed = Command::new(env!("CARGO_BIN_EXE_drave")).args(replay).current_dir(folder).output().unwrap();
    assert!(replayed.status.success(), "{replayed:?}");
    let stored = other.stored();
    assert_eq!(stored.len(), 1);
    assert_eq!((&*stored[0].line, &stored[0].labels), (long.trim_end_matches('\n'), &pairs(&[("job", "test")])));
    assert_eq!(json!(stored[0].time_ns.to_string()), push["streams"][0]["values"][0][0]);
}

#[test]
fn lines_too_far_behind_are_counted_by_their_number() {
    let loki = loki_of_then(Limits::default());
    let site = pods();
    let line = |minute: i64| format!("2024-03-01T{:02}:{:02}:00Z stdout F at {minute}\n", 7 + minute / 60, minute % 60);
    // The newest first, then 30 that come more than an hour later, then 20 that do not.
    let lines: String = [170].into_iter().chain(80..130).map(line).collect();
    fs::write(site.path("logs").join(container("web-1")), lines).unwrap();
    let running = start_with_pods(site, &[output(loki.sink.address, &LABELS)]);
    refused(&running, "http_400", 30);
    assert_eq!((loki.stored().len(), loki.sink.requests().len()), (21, 1));
}

#[test]
fn a_blocked_tenant_is_a_loss_that_is_said() {
    let loki = Loki::start(Limits::default());
    loki.sink.answer_with(|_| Act::status(260).with_body("ingestion blocked for user fake until 'later'"));
    let site = Site::new();
    site.write("a.log", 1, 0..10);
    let running = site.start(&[output(loki.sink.address, &[])]);
    refused(&running, "http_260", 10);
    assert_eq!(loki.sink.requests().len(), 1);
    let said = running.agent.stderr();
    assert!(said.contains("ERROR") && said.contains("ingestion blocked") && said.contains("hint: "), "{said}");
}

#[test]
fn too_large_a_push_is_split() {
    let loki = Loki::start(Limits { body_bytes: 1500, ..Limits::default() });
    let site = Site::new();
    site.write("a.log", 1, 0..500);
    let running = site.start(&[output(loki.sink.address, &["labels: job=test", "compress: none"])]);
    running.wait_delivered("loki.0", 500);
    assert_eq!((loki.stored().len(), loki.repeated()), (500, 0));
}

/// A site whose files are a stream each, with lines of the present.
fn streams(options: &[&str], address: SocketAddr) -> (Site, String) {
    let site = Site::new().inputs(&[("app", "logs/*.log", &["path_key: file"])]);
    let options: Vec<&str> =
        ["labels: job=test, file=$file", "drop_single_key: raw"].iter().chain(options).copied().collect();
    let output = output(address, &options);
    (site, output)
}

#[test]
fn streams_of_the_present_share_a_request() {
    let loki = Loki::start(Limits::default());
    let (site, output) = streams(&["linger: 1s"], loki.sink.address);
    ["a.log", "b.log", "c.log"].into_iter().for_each(|name| site.write(name, 1, 0..10));
    site.start(&[output]).wait_delivered("loki.0", 30);
    assert_eq!((loki.stored().len(), loki.sink.requests().len()), (30, 1));
}

#[test]
fn streams_over_their_limit_lose_nothing_behind_each_other() {
    let loki = Loki::start(Limits { stream_bytes: (60e3, 20e3), ..Limits::default() });
    let (site, output) = streams(&["batch_bytes_max: 8k"], loki.sink.address);
    let files = ["a.log", "b.log", "c.log", "d.log"];
    for (number, name) in (0..).zip(files) {
        site.write(name, number, 0..800);
    }
    let running = site.start(&[output]);
    // More than a stream may take at once, and then all at once.
    running.wait_delivered("loki.0", 3200);
    assert_eq!((loki.stored().len(), loki.hidden()), (3200, 0));
}

#[test]
fn of_streams_too_many_none_is_lost_behind_another() {
    let loki = Loki::start(Limits { streams: 2, ..Limits::default() });
    let (site, output) = streams(&["linger: 1s"], loki.sink.address);
    ["a.log", "b.log", "c.log", "d.log"].into_iter().for_each(|name| site.write(name, 1, 0..10));
    let running = site.start(&[output]);
    let settled = |records| {
        move |m: &support::scrape::Metrics| {
            let of = |name: &str| m.sum(name, ("output", "loki.0"));
            of("drave_output_delivered_records_total") == records && of("drave_output_pending_records") == 40 - records
        }
    };
    running.wait_for("what fits", settled(20));
    let there: Vec<&str> = ["a.log", "b.log", "c.log", "d.log"]
        .into_iter()
        .filter(|name| loki.stored().iter().any(|entry| entry.labels["file"].ends_with(name)))
        .collect();
    running.write(there[0], 1, 10..30);
    running.wait_for("who is there goes on", |m| {
        m.sum("drave_output_delivered_records_total", ("output", "loki.0")) == 40
    });
    assert_eq!(loki.stored().len(), 40);
}

#[test]
fn late_entries_of_several_streams_are_all_counted() {
    let loki = loki_of_then(Limits::default());
    let site = pods();
    for pod in ["web-1", "web-2", "web-3"] {
        let line =
            |minute: i64| format!("2024-03-01T{:02}:{:02}:00Z stdout F {pod} {minute}\n", 7 + minute / 60, minute % 60);
        fs::write(site.path("logs").join(container(pod)), [170, 10, 20, 150].into_iter().map(line).collect::<String>())
            .unwrap();
    }
    let options: Vec<String> =
        LABELS.iter().map(|option| option.replace("$stream", "pod=$kubernetes['pod_name']")).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).chain(["linger: 1s"]).collect();
    let running = start_with_pods(site, &[output(loki.sink.address, &options)]);
    refused(&running, "http_400", 6);
    assert_eq!((loki.stored().len(), loki.hidden()), (6, 0));
}

#[test]
fn metadata_without_a_name_does_not_hold_up_the_others() {
    let loki = Loki::start(Limits::default());
    let site = json_site();
    let maps = [json!({"": 1}), json!({"日本": "x", "a": "b"}), json!({"-": "y"}), json!({"a": "c"})];
    let lines: String = maps.iter().map(|map| format!("{}\n", json!({ "log": "x", "map": map }))).collect();
    fs::write(site.path("logs/a.log"), lines).unwrap();
    let options = ["labels: job=test", "structured_metadata_map_keys: $map", "drop_single_key: raw"];
    site.start(&[output(loki.sink.address, &options)]).wait_delivered("loki.0", 4);
    let metadata: Vec<Pairs> = loki.stored().into_iter().map(|entry| entry.metadata).collect();
    assert_eq!(metadata[..2], [pairs(&[("key_", "1")]), pairs(&[("key______", "x"), ("a", "b")])]);
}

#[test]
fn a_request_beyond_what_a_tenant_may_send_at_once_is_split() {
    let loki = Loki::start(Limits { burst_bytes: 5000, ..Limits::default() });
    let site = Site::new();
    site.write("a.log", 1, 0..500);
    let running = site.start(&[output(loki.sink.address, &["labels: job=test", "drop_single_key: raw"])]);
    running.wait_delivered("loki.0", 500);
    assert_eq!((loki.stored().len(), loki.repeated()), (500, 0));
}

#[test]
fn a_label_that_was_no_text_is_one() {
    let loki = Loki::start(Limits::default());
    let site = json_site();
    let lines = b"{\"log\":\"x\",\"user\":\"a\xFFb\"}\n{\"log\":\"y\",\"user\":\"c\"}\n";
    fs::write(site.path("logs/a.log"), lines).unwrap();
    let running = site.start(&[output(loki.sink.address, &["labels: user=$user"])]);
    running.wait_delivered("loki.0", 2);
    let users: Vec<String> = loki.stored().into_iter().map(|entry| entry.labels["user"].clone()).collect();
    assert_eq!(users.len(), 2);
    assert!(users.iter().any(|user| user == "c") && users.iter().any(|user| user.starts_with("a?")), "{users:?}");
}

/// A site whose lines are parsed as JSON.
fn json_site() -> Site {
    let site = Site::new();
    fs::write(site.path("parsers.conf"), "[PARSER]\n    Name json\n    Format json\n").unwrap();
    site.service(&["flush: 100ms", "parsers_file: parsers.conf"]).inputs(&[("app", "logs/*.log", &["parser: json"])])
}

#[test]
fn tenants_share_no_request() {
    let loki = Loki::start(Limits::default());
    let site = json_site();
    let teams = ["shop", "ops", "shop", "", "ops"];
    let line = |(n, team): (usize, &&str)| format!("{}\n", json!({ "n": n, "team": team }));
    let lines: String = teams.iter().enumerate().map(line).collect();
    let odd = "{\"n\":5,\"team\":6}\n{\"n\":6}\n{\"n\":7,\"team\":\"a\\nb\"}\n{\"n\":8,\"team\":\"a/b\"}\n";
    fs::write(site.path("logs/a.log"), lines + odd).unwrap();
    let options = ["tenant_id: base", "tenant_id_key: $team", "remove_keys: team", "line_format: key_value"];
    let running = site.start(&[output(loki.sink.address, &options)]);
    refused(&running, "tenant", 2);
    running.wait_delivered("loki.0", 7);
    let mut got: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for push in loki.pushes().into_iter().filter(|push| push.tenant.as_deref() != Some("a/b")) {
        got.entry(push.tenant.unwrap()).or_default().extend(push.entries.into_iter().map(|entry| entry.line));
    }
    let expect = [("base", vec!["n=3", "n=5", "n=6"]), ("ops", vec!["n=1", "n=4"]), ("shop", vec!["n=0", "n=2"])];
    let expect = expect.map(|(tenant, lines)| (tenant.to_owned(), lines.into_iter().map(str::to_owned).collect()));
    assert_eq!(got, expect.into());
}

#[test]
fn a_throttled_tenant_holds_its_own_entries_only() {
    let sink = Sink::start();
    sink.answer_with(|request| match request.head.header("x-scope-orgid") {
        Some("loud") => Act::status(429).with_header("retry-after", "60").with_body("ingestion rate limit exceeded"),
        Some("locked") => Act::status(401).with_body("no org id"),
        _ => Act::status(204),
    });
    let site = json_site();
    let lines = |round: u32| {
        let line = |tenant: &str| format!("{}\n", json!({ "round": round, "tenant": tenant }));
        ["loud", "locked", "quiet"].map(line).concat()
    };
    fs::write(site.path("logs/a.log"), lines(0)).unwrap();
    let running = site.start(&[output(sink.address, &["tenant_id_key: $tenant", "in_flight_max: 1"])]);
    for round in 1..5 {
        running.wait_for("the quiet tenant", |m| {
            m.sum("drave_output_delivered_records_total", ("output", "loki.0")) == i64::from(round)
        });
        running.write_raw("a.log", lines(round).as_bytes());
    }
    let asked = |tenant| sink.requests().iter().filter(|r| r.head.header("x-scope-orgid") == Some(tenant)).count();
    assert!(asked("loud") > 0 && asked("locked") > 0);
}

#[test]
fn more_streams_than_wanted_become_metadata() {
    let loki = Loki::start(Limits { streams: 4, ..Limits::default() });
    let site = json_site();
    let lines: String = (0..20).map(|n| format!("{}\n", json!({ "request": n.to_string(), "log": "x" }))).collect();
    fs::write(site.path("logs/a.log"), lines).unwrap();
    let options = ["labels: job=test, request=$request", "streams_max: 3", "drop_single_key: raw"];
    let running = site.start(&[output(loki.sink.address, &options)]);
    let metrics = running.wait_delivered("loki.0", 20);
    assert_eq!(metrics.sum("drave_output_changed_records_total", ("reason", "streams_max")), 17);
    let entries = loki.stored();
    let labelled = entries.iter().filter(|entry| entry.labels.contains_key("request")).count();
    let moved = entries.iter().filter(|entry| entry.metadata.contains_key("request") && entry.line == "x").count();
    assert_eq!((labelled, moved), (3, 17), "{entries:?}");
    let said = running.agent.stderr();
    assert_eq!(said.matches("more than 3 streams").count(), 1, "{said}");
}

#[test]
fn labels_that_loki_would_not_take_are_made_valid_or_become_metadata() {
    let loki = Loki::start(Limits::default());
    let site = Site::new();
    site.write("a.log", 1, 0..5);
    let many: Vec<String> = (0..17).map(|n| format!("l.{n}=v{n}")).collect();
    let labels = format!("labels: {}", many.join(", "));
    let running = site.start(&[output(loki.sink.address, &[&labels])]);
    let metrics = running.wait_delivered("loki.0", 5);
    assert_eq!(metrics.sum("drave_output_changed_records_total", ("reason", "labels_max")), 5);
    let entry = &loki.stored()[0];
    assert_eq!((entry.labels.len(), entry.labels["l_14"].as_str()), (15, "v14"));
    assert_eq!(entry.metadata, pairs(&[("l_15", "v15"), ("l_16", "v16")]));
    assert_eq!(running.agent.stderr().matches("labels over 15").count(), 1);
}

#[test]
fn what_is_configured_wrongly_is_said() {
    let site = Site::new();
    let wrong = [
        "labels: job, app=$x[",
        "label_keys: $a b",
        "remove_keys: $k['x'",
        "drop_single_key: perhaps",
        "compress: zstd",
        "header: 'a b: c'",
    ];
    let config = site.config(&[output(([127, 0, 0, 1], 1).into(), &wrong)]);
    fs::write(site.path("drave.yaml"), config).unwrap();
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_drave"))
        .args(["check", "drave.yaml"])
        .current_dir(site.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(64), "{said}");
    for part in [
        "`job` is no name with a value",
        "`app=$x[`",
        "`label_keys`",
        "`remove_keys`",
        "`drop_single_key`",
        "`compress`",
    ] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
}

#[test]
fn a_label_map_that_is_none_stops_the_start() {
    let site = Site::new();
    fs::write(site.path("map.json"), "{\"k\":1}").unwrap();
    let mut running = site.start(&[output(([127, 0, 0, 1], 1).into(), &["label_map_path: map.json"])]);
    let ended = running.agent.wait(Duration::from_secs(30)).expect("it ends");
    assert!(!ended.success());
    let said = running.agent.stderr();
    assert!(said.contains("map.json") && said.contains("hint: "), "{said}");
}
