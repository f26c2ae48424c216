//! The output `cloudwatch_logs`, by the real binary against a CloudWatch that forgives nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod credentials;
mod moto;
mod puts;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::cloudwatch::{CloudWatch, KEYS, refusal};
use support::scrape::Metrics;
use support::sink::Act;
use support::site::{Running, SOON, Site};

const OUTPUT: (&str, &str) = ("output", "cloudwatch_logs.0");

fn output(cloud: &CloudWatch, options: &[&str]) -> String {
    let mut section = "    - name: cloudwatch_logs\n      match: '*'\n      region: eu-central-1\n".to_owned();
    let defaults = ["log_group_name: /test/app", "log_stream_prefix: n1-", "auto_create_group: on", "linger: 200ms"];
    let endpoint = format!("endpoint: {}", cloud.endpoint());
    let key = |option: &str| option.split(':').next().unwrap().to_owned();
    let is_given = |default: &&&str| !options.iter().any(|option| key(option) == key(default));
    for option in defaults.iter().filter(is_given).chain(options).chain([&endpoint.as_str()]) {
        section += &format!("      {option}\n");
    }
    section
}

/// Three sources with tags of their own.
fn site() -> Site {
    Site::new().inputs(&[("a", "logs/a.log", &[]), ("b", "logs/b.log", &[]), ("c", "logs/c.log", &[])])
}

fn start(site: Site, cloud: &CloudWatch, options: &[&str]) -> Running {
    site.start_with(&[output(cloud, options)], &KEYS)
}

/// A source whose lines are JSON, with their time.
fn json_site() -> Site {
    let site = Site::new();
    let parser = "[PARSER]\n    Name json\n    Format json\n    Time_Key time\n    Time_Format %s\n";
    fs::write(site.path("parsers.conf"), parser).unwrap();
    site.service(&["flush: 100ms", "parsers_file: parsers.conf", "storage.dead_letter: dead.jsonl"]).inputs(&[(
        "app",
        "logs/*.log",
        &["parser: json"],
    )])
}

fn refused(metrics: &Metrics) -> i64 {
    metrics.sum("drave_output_refused_records_total", OUTPUT)
}

fn retries(metrics: &Metrics) -> std::collections::BTreeSet<String> {
    metrics.values_of("cause")
}

fn assert_all(cloud: &CloudWatch, records: u64) {
    let counts = cloud.counts();
    assert_eq!((counts.distinct, counts.gaps.len()), (records, 0), "{counts:?}");
    cloud.check();
}

#[test]
fn everything_arrives_once_in_streams_that_are_made_once() {
    let cloud = CloudWatch::start();
    cloud.delay(Duration::from_millis(30));
    let site = site();
    ["a", "b", "c"].iter().zip(0..).for_each(|(name, number)| site.write(&format!("{name}.log"), number, 0..4000));
    let options = ["log_retention_days: 30", "log_group_class: INFREQUENT_ACCESS", "extra_user_agent: of-the-test"];
    let running = start(site, &cloud, &options);
    running.wait_delivered(OUTPUT.1, 12_000);
    assert_all(&cloud, 12_000);
    assert_eq!(cloud.counts().duplicates, 0);
    let groups = cloud.groups();
    let group = &groups["/test/app"];
    assert_eq!((group.retention, group.class.as_deref()), (Some(30), Some("INFREQUENT_ACCESS")));
    assert_eq!(group.streams.keys().collect::<Vec<_>>(), ["n1-a", "n1-b", "n1-c"]);
    let counts = cloud.call_counts();
    assert_eq!((counts["CreateLogGroup"], counts["PutRetentionPolicy"]), (1, 1), "{counts:?}");
    let agent = &cloud.calls("PutLogEvents")[0].user_agent;
    assert!(agent.contains("app/drave") && agent.ends_with(" of-the-test"), "{agent}");
}

#[test]
fn a_restart_makes_no_stream_again() {
    let cloud = CloudWatch::start();
    let site = site();
    site.write("a.log", 0, 0..10);
    let mut running = start(site, &cloud, &[]);
    running.wait_delivered(OUTPUT.1, 10);
    assert_eq!(running.agent.stop(), Some(0));
    cloud.forget_calls();
    let running = running.restart(|_| {});
    running.write("a.log", 0, 10..20);
    running.wait_delivered(OUTPUT.1, 10);
    assert_all(&cloud, 20);
    assert_eq!(cloud.call_counts().keys().collect::<Vec<_>>(), ["PutLogEvents"]);
}

#[test]
fn a_stream_that_was_deleted_is_made_again() {
    let cloud = CloudWatch::start();
    let site = site();
    site.write("a.log", 0, 0..10);
    let running = start(site, &cloud, &[]);
    running.wait_delivered(OUTPUT.1, 10);
    cloud.delete("/test/app", "n1-a");
    running.write("a.log", 0, 10..20);
    running.wait_delivered(OUTPUT.1, 20);
    assert_all(&cloud, 20);
}

#[test]
fn a_creation_that_is_throttled_holds_its_stream_only() {
    let cloud = CloudWatch::start();
    cloud.make("/test/app", "n1-a");
    let until = Instant::now() + Duration::from_secs(5);
    cloud.answer("CreateLogStream", move |call| {
        let throttled = call.stream == "n1-b" && Instant::now() < until;
        throttled.then(|| refusal(400, "ThrottlingException", "Rate exceeded"))
    });
    let site = site();
    site.write("b.log", 1, 0..10);
    let running = start(site, &cloud, &["in_flight_max: 1"]);
    running.wait_for("the throttled creation", |m| retries(m).contains("ThrottlingException"));
    running.write("a.log", 0, 0..10);
    running.wait_for("the other stream", |m| m.sum("drave_output_delivered_records_total", OUTPUT) >= 10);
    assert!(Instant::now() < until, "it did not have to wait");
    assert!(!cloud.groups()["/test/app"].streams.contains_key("n1-b"));
    running.wait_delivered(OUTPUT.1, 20);
    assert_all(&cloud, 20);
}

#[test]
fn events_that_are_refused_are_counted_by_reason_and_kept() {
    let cloud = CloudWatch::start();
    let site = json_site();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let lines: String = [now - 15 * 86_400, now, now + 3 * 3600, now - 60, now - 20 * 86_400]
        .iter()
        .enumerate()
        .map(|(number, time)| format!("{{\"time\":\"{time}\",\"log\":\"seq=0000-{number:08};\"}}\n"))
        .collect();
    fs::write(site.path("logs/a.log"), lines).unwrap();
    let running = start(site, &cloud, &["log_key: log"]);
    let metrics =
        running.wait_for("all five", |m| m.sum("drave_output_pending_records", OUTPUT) == 0 && refused(m) == 3);
    assert_eq!(metrics.sum("drave_output_delivered_records_total", OUTPUT), 2);
    let reasons = metrics.values_of("reason");
    assert!(reasons.contains("too_old") && reasons.contains("too_new"), "{reasons:?}");
    let letters = fs::read_to_string(running.agent.folder().join("dead.jsonl")).unwrap();
    assert_eq!(letters.lines().count(), 3);
    assert!(letters.contains("\"key\":\"/test/app\\u0000n1-app\""), "{letters}");
    cloud.check();
}

#[test]
fn blank_lines_are_left_out_and_no_failure() {
    let cloud = CloudWatch::start();
    let site = json_site();
    let lines = ["seq=0000-00000000;", "", "seq=0000-00000001;", "", ""];
    let lines: String = lines.iter().map(|log| format!("{{\"log\":\"{log}\"}}\n")).collect();
    fs::write(site.path("logs/a.log"), lines + "{\"other\":1}\n").unwrap();
    let running = start(site, &cloud, &["log_key: log"]);
    let metrics = running.wait_delivered(OUTPUT.1, 2);
    assert_eq!(metrics.sum("drave_output_dropped_records_total", ("reason", "empty_line")), 3);
    assert_eq!(metrics.sum("drave_output_refused_records_total", ("reason", "no_message")), 1);
    let said = running.agent.stderr();
    assert_eq!(said.matches("refused").count(), 1, "{said}");
    assert_all(&cloud, 2);
}

#[test]
fn a_record_that_is_to_blame_is_found() {
    let cloud = CloudWatch::start();
    cloud.answer("PutLogEvents", |call| {
        call.body.to_string().contains("poison").then(|| refusal(400, "InvalidParameterException", "bad event"))
    });
    let site = site();
    site.write("a.log", 0, 0..20);
    support::site::append(&site.path("logs/a.log"), b"poison\n");
    site.write("a.log", 0, 20..40);
    let running = start(site, &cloud, &[]);
    running.wait_for("the refusal", |m| refused(m) == 1 && m.sum("drave_output_pending_records", OUTPUT) == 0);
    assert_all(&cloud, 40);
}

#[test]
fn trouble_of_every_kind_costs_no_record() {
    let cloud = CloudWatch::start();
    for act in [
        refusal(400, "ThrottlingException", "Rate exceeded"),
        refusal(503, "ServiceUnavailableException", "later"),
        refusal(400, "ExpiredTokenException", "The security token included in the request is expired"),
        Act::status(500),
        Act::ResetMidAnswer,
        Act::Hang,
        Act::Garbage,
        Act::Close,
    ] {
        cloud.next("PutLogEvents", act);
    }
    let site = site();
    ["a", "b", "c"].iter().zip(0..).for_each(|(name, number)| site.write(&format!("{name}.log"), number, 0..300));
    let running = start(site, &cloud, &["http.response_timeout: 1s"]);
    running.wait_delivered(OUTPUT.1, 900);
    assert_all(&cloud, 900);
    let said = running.agent.stderr();
    assert!(!said.contains("underlying HTTP connector"), "{said}");
    let causes = retries(&running.metrics());
    for cause in ["ThrottlingException", "ServiceUnavailableException", "ExpiredTokenException", "timeout"] {
        assert!(causes.contains(cause), "{cause}: {causes:?}");
    }
}

#[test]
fn what_waited_in_the_spool_arrives_one_put_of_a_stream_at_a_time() {
    let cloud = CloudWatch::start();
    let until = Instant::now() + Duration::from_secs(9);
    cloud.answer("PutLogEvents", move |_| {
        (Instant::now() < until).then(|| refusal(503, "ServiceUnavailableException", "later"))
    });
    cloud.delay(Duration::from_millis(20));
    let options: &[&str] = &["storage.type: filesystem"];
    let inputs = [("a", "logs/a.log", options), ("b", "logs/b.log", options)];
    let site = Site::new().service(&["flush: 100ms", "storage.path: spool"]).inputs(&inputs);
    let running = start(site, &cloud, &[]);
    for batch in 0..10 {
        running.write("a.log", 0, batch * 50..batch * 50 + 50);
        running.write("b.log", 1, batch * 50..batch * 50 + 50);
        std::thread::sleep(Duration::from_millis(300));
    }
    running.wait_for("the spool", |m| m.sum("drave_output_spool_records", OUTPUT) > 0);
    running.wait_delivered(OUTPUT.1, 1000);
    assert_all(&cloud, 1000);
}

#[test]
fn a_permission_that_is_missing_is_named_and_nothing_is_lost() {
    let cloud = CloudWatch::start();
    cloud.next("CreateLogStream", refusal(400, "AccessDeniedException", "User: x is not authorized"));
    let site = site();
    site.write("a.log", 0, 0..10);
    let running = start(site, &cloud, &[]);
    let hint = "allow logs:CreateLogStream on log group `/test/app` in the IAM policy";
    assert!(running.agent.wait_for_stderr(hint, SOON), "{}", running.agent.stderr());
    assert_eq!(running.metrics().sum("drave_output_pending_records", OUTPUT), 10);
}

#[test]
fn a_group_that_may_not_be_made_is_waited_for() {
    let cloud = CloudWatch::start();
    let site = site();
    site.write("a.log", 0, 0..10);
    let running = start(site, &cloud, &["auto_create_group: off"]);
    assert!(running.agent.wait_for_stderr("set `auto_create_group on`", SOON), "{}", running.agent.stderr());
    assert!(cloud.calls("CreateLogGroup").is_empty());
}

#[test]
fn puts_are_as_full_as_can_be_and_long_records_are_split() {
    let cloud = CloudWatch::start();
    let site = Site::new();
    // Quotes cost a byte more where they are written, and none where they are counted.
    let text = "\"k\":\"v\",".repeat(40);
    let lines: String = (0..12_000).map(|n| format!("seq=0000-{n:08}; {text}\n")).collect();
    fs::write(site.path("logs/a.log"), &lines).unwrap();
    let running = start(site, &cloud, &["linger: 20s", "log_key: log"]);
    let counted = lines.len() + 12_000 * (26 - 1);
    let full = counted / 1_048_576;
    assert!(cloud.sink.wait_for_requests(full + 2, SOON), "{:?}", cloud.call_counts());
    let long = format!("seq=0001-00000000; {}", "ü".repeat(450_000));
    running.write_raw("a.log", format!("{long}\n").as_bytes());
    let mut running = running;
    assert_eq!(running.agent.stop(), Some(0));
    cloud.check();
    let puts = cloud.calls("PutLogEvents");
    assert!(puts.len() <= full + 2, "{} puts, where {} would do", puts.len(), full + 1);
    assert_eq!(cloud.counts().distinct, 12_001);
    let stored = &cloud.groups()["/test/app"].streams["n1-app"];
    assert!(stored.iter().any(|(_, message)| *message == long), "it fits into one event");
}

#[test]
fn templates_make_streams_up_to_a_bound_and_bodies_are_compressed() {
    let cloud = CloudWatch::start();
    let site = json_site();
    let lines: String =
        (0..40).map(|n| format!("{{\"log\":\"seq=0000-{n:08};\",\"who\":\"u:{}\"}}\n", n % 8)).collect();
    fs::write(site.path("logs/a.log"), lines).unwrap();
    let options = [
        "log_group_template: /test/$TAG",
        "log_stream_template: $who",
        "distinct_names_max: 5",
        "compress: gzip",
        "log_format: json/emf",
    ];
    let running = start(site, &cloud, &options);
    let metrics = running.wait_delivered(OUTPUT.1, 40);
    assert_all(&cloud, 40);
    assert_eq!(metrics.sum("drave_output_changed_records_total", ("reason", "distinct_names_max")), 15);
    let groups = cloud.groups();
    assert_eq!(groups["/test/app"].streams.len(), 6, "{:?}", groups["/test/app"].streams.keys());
    assert!(groups["/test/app"].streams.contains_key("u_0") && groups["/test/app"].streams.contains_key("n1-app"));
    assert!(cloud.calls("PutLogEvents").iter().all(|call| call.format.as_deref() == Some("json/emf")));
}

#[test]
fn the_older_plugin_is_understood() {
    let cloud = CloudWatch::start();
    let site = json_site();
    let lines = "{\"log\":\"seq=0000-00000000;\",\"k\":{\"ns\":\"shop\"}}\n{\"log\":\"seq=0000-00000001;\"}\n";
    fs::write(site.path("logs/a.log"), lines).unwrap();
    let section = format!(
        "    - name: cloudwatch\n      match: '*'\n      region: eu-central-1\n      log_group_name: /eks/$(k['ns'])\n      \
         log_stream_name: s-$(tag[0])\n      default_log_group_name: /eks/other\n      auto_create_group: true\n      \
         new_log_group_tags: team=shop,stage=prod\n      linger: 200ms\n      endpoint: {}\n",
        cloud.endpoint()
    );
    let running = site.start_with(&[section], &KEYS);
    running.wait_delivered("cloudwatch.0", 2);
    assert_all(&cloud, 2);
    let groups = cloud.groups();
    assert_eq!(groups.keys().collect::<Vec<_>>(), ["/eks/other", "/eks/shop"]);
    assert!(groups["/eks/shop"].streams.contains_key("s-app"));
    assert_eq!(groups["/eks/shop"].tags, Some(serde_json::json!({ "team": "shop", "stage": "prod" })));
}
