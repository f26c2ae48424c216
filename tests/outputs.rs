//! What the outputs make of records, by the real binary: files by record, requests that records bring themselves, and the
//! counts of Fluent Bit's pages against what arrived.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;

use serde_json::Value;
use support::scrape::get;
use support::sink::{Act, Sink};
use support::site::{Running, SOON, Site, http};

/// A site whose lines are parsed as JSON.
fn json_site() -> Site {
    let site = Site::new();
    fs::write(site.path("parsers.conf"), "[PARSER]\n    Name json\n    Format json\n").unwrap();
    site.service(&["flush: 100ms", "parsers_file: parsers.conf"]).inputs(&[(
        "app.shop",
        "logs/*.log",
        &["parser: json"],
    )])
}

fn file_output(options: &[&str]) -> String {
    let options: String = options.iter().map(|option| format!("      {option}\n")).collect();
    format!("    - name: file\n      match: '*'\n{options}")
}

#[test]
fn records_name_their_files_and_those_without_are_counted() {
    let site = json_site();
    let out = site.path("out");
    let lines = concat!(
        "{\"pod\":{\"name\":\"web-1\"},\"n\":1}\n",
        "{\"pod\":{\"name\":\"../evil\"},\"n\":2}\n",
        "{\"n\":3}\n",
        "{\"pod\":{\"name\":\"web-2\"},\"n\":4}\n",
        "{\"pod\":{\"name\":\"web-1\"},\"n\":5}\n",
    );
    fs::write(site.path("logs/a.log"), lines).unwrap();
    let options = [&format!("path: {}/$TAG[1]", out.display()), "file: $pod['name'].log", "mkdir: on", "format: plain"];
    let running = site.start(&[file_output(&options)]);
    running.wait_delivered("file.0", 3);
    let of = ("output", "file.0");
    let refused = running.wait_for("the refusals", |m| m.sum("drave_output_refused_records_total", of) == 2);
    assert!(refused.values_of("reason").contains("missing_field"), "{refused:?}");
    let read = |name: &str| fs::read_to_string(out.join("shop").join(name)).unwrap();
    assert_eq!(read("web-1.log"), "{\"pod\":{\"name\":\"web-1\"},\"n\":1}\n{\"pod\":{\"name\":\"web-1\"},\"n\":5}\n");
    assert_eq!(read("web-2.log"), "{\"pod\":{\"name\":\"web-2\"},\"n\":4}\n");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "nothing beside the folder of the tag");
}

#[test]
fn a_file_that_was_rotated_away_is_made_anew() {
    let site = json_site();
    let (out, away) = (site.path("out.log"), site.path("out.log.1"));
    let running = site.start(&[file_output(&["file: out.log", "format: csv", "csv_column_names: on"])]);
    running.write_raw("a.log", b"{\"n\":1}\n");
    running.wait_delivered("file.0", 1);
    fs::rename(&out, &away).unwrap();
    running.write_raw("a.log", b"{\"n\":2}\n");
    running.wait_delivered("file.0", 2);
    for (file, number) in [(away, "1"), (out, "2")] {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (2, "timestamp,\"n\""), "{text}");
        assert!(lines[1].ends_with(&format!(",{number}")), "{text}");
    }
}

#[test]
fn a_folder_that_is_missing_is_said_with_the_remedy_and_nothing_is_lost() {
    let site = json_site();
    fs::write(site.path("logs/a.log"), "{\"n\":1}\n").unwrap();
    let running = site.start(&[file_output(&["path: nowhere", "file: out.log"])]);
    assert!(running.agent.wait_for_stderr("set `mkdir on`", SOON), "{}", running.agent.stderr());
    assert_eq!(running.metrics().sum("drave_output_pending_records", ("output", "file.0")), 1);
}

#[test]
fn records_bring_their_own_bodies_and_headers() {
    let sink = Sink::start();
    let site = json_site();
    let lines = concat!(
        "{\"payload\":\"<a/>\",\"headers\":{\"Content-Type\":\"application/xml\",\"X-N\":\"1\"}}\n",
        "{\"payload\":{\"a\":1},\"headers\":{}}\n",
        "{\"payload\":\"no headers\"}\n",
        "{\"payload\":\"plain \\\"words\\\"\",\"headers\":{\"X-N\":\"2\"}}\n",
    );
    fs::write(site.path("logs/a.log"), lines).unwrap();
    let options = ["body_key: $payload", "headers_key: $headers", "header_tag: X-Tag", "header: X-N 0", "format: json"];
    let running = site.start(&[http(sink.address, &options)]);
    running.wait_delivered("http.0", 2);
    running.wait_for("the refusals", |m| m.sum("drave_output_refused_records_total", ("output", "http.0")) == 2);
    let mut got: Vec<_> = sink
        .requests()
        .iter()
        .map(|request| {
            let header = |name: &str| request.head.header(name).unwrap_or_default().to_owned();
            (header("x-n"), header("content-type"), header("x-tag"), String::from_utf8(request.body.clone()).unwrap())
        })
        .collect();
    got.sort();
    let expect = [("1", "application/xml", "<a/>"), ("2", "", "plain \"words\"")];
    let expect = expect.map(|(n, kind, body)| (n.to_owned(), kind.to_owned(), "app.shop".to_owned(), body.to_owned()));
    assert_eq!(got, expect);
}

fn counts(running: &Running) -> Value {
    serde_json::from_str(&get(running.admin, "/api/v1/metrics").unwrap().body).unwrap()
}

#[test]
fn the_counts_of_fluent_bits_pages_are_what_arrived() {
    let sink = Sink::start();
    (0..2).for_each(|_| sink.next(Act::status(503)));
    let site = Site::new();
    site.write("a.log", 1, 0..100);
    let bytes = fs::metadata(site.path("logs/a.log")).unwrap().len();
    let running = site.start(&[http(sink.address, &["alias: shop"])]);
    running.wait_delivered("shop", 100);
    assert_eq!(sink.counts().distinct, 100);
    let page = counts(&running);
    let files = [("files_opened", 1), ("files_closed", 0), ("files_rotated", 0)];
    for (counter, expect) in files.into_iter().chain([("records", 100), ("bytes", bytes)]) {
        assert_eq!(page["input"]["tail.0"][counter], expect, "{counter} in {page}");
    }
    let shop = &page["output"]["shop"];
    for (counter, expect) in [
        ("proc_records", 100),
        ("proc_bytes", bytes),
        ("errors", 0),
        ("retries", 2),
        ("retries_failed", 0),
        ("dropped_records", 0),
    ] {
        assert_eq!(shop[counter], expect, "{counter} in {page}");
    }
    for path in ["/api/v1/metrics/prometheus", "/api/v2/metrics/prometheus"] {
        let page = get(running.admin, path).unwrap();
        assert_eq!((page.status, page.content_type.as_str()), (200, "text/plain; version=0.0.4"), "{path}");
        for sample in [
            "fluentbit_input_records_total{name=\"tail.0\"} 100",
            "fluentbit_output_proc_records_total{name=\"shop\"} 100",
            "fluentbit_output_retries_total{name=\"shop\"} 2",
        ] {
            assert!(page.body.contains(sample), "{sample} is missing in\n{}", page.body);
        }
    }
    for path in ["/api/v1/uptime", "/api/v1/storage"] {
        assert!(serde_json::from_str::<Value>(&get(running.admin, path).unwrap().body).is_ok(), "{path}");
    }
}

#[test]
fn what_is_given_up_is_counted_as_dropped() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(503));
    let site = Site::new();
    site.write("a.log", 1, 0..10);
    let running = site.start(&[http(sink.address, &["retry_limit: no_retries"])]);
    running.wait_for("the end", |m| m.sum("drave_output_dropped_records_total", ("output", "http.0")) == 10);
    let output = counts(&running)["output"]["http.0"].clone();
    assert_eq!(output["dropped_records"], 10, "{output}");
    assert_eq!((&output["proc_records"], &output["retries_failed"]), (&0.into(), &1.into()), "{output}");
}
