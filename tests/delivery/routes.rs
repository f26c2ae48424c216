//! Which records go where.

use crate::support::sink::Sink;
use crate::support::site::{Site, http};
use crate::{assert_balanced, assert_exactly};

#[test]
fn each_output_gets_what_it_matches_and_the_rest_is_counted() {
    let (shop, both) = (Sink::start(), Sink::start());
    let site = Site::new().inputs(&[
        ("shop.web", "logs/a.log", &[]),
        ("bank.web", "logs/b.log", &[]),
        ("other", "logs/c.log", &[]),
        ("shop.off", "logs/d.log", &["routable: off"]),
    ]);
    for (name, file) in [("a.log", 0), ("b.log", 1), ("c.log", 2), ("d.log", 3)] {
        site.write(name, file, 0..100);
    }
    let running =
        site.start(&[http(shop.address, &["match: shop.*"]), http(both.address, &["match_regex: (shop|bank)\\."])]);
    running.wait_delivered("http.0", 100);
    running.wait_delivered("http.1", 200);
    assert_exactly(&shop, 100);
    assert_exactly(&both, 200);
    let metrics = running
        .wait_for("the unrouted inputs", |m| m.sum("drave_input_dropped_records_total", ("reason", "no_route")) == 200);
    for input in ["tail.2", "tail.3"] {
        let bytes = metrics.sum("drave_input_dropped_bytes_total", ("input", input));
        assert_eq!(bytes, metrics.sum("drave_input_read_bytes_total", ("input", input)), "{input}");
        assert_eq!(metrics.sum("drave_input_routed_records_total", ("input", input)), 0, "{input}");
    }
}

#[test]
fn a_header_for_the_tag_keeps_tags_apart() {
    let sink = Sink::start();
    let site = Site::new().inputs(&[("first", "logs/a.log", &[]), ("second", "logs/b.log", &[])]);
    site.write("a.log", 1, 0..100);
    site.write("b.log", 2, 0..100);
    let running = site.start(&[http(sink.address, &["header_tag: X-Tag"])]);
    running.wait_delivered("http.0", 200);
    assert_exactly(&sink, 200);
    for request in sink.requests() {
        let body = String::from_utf8(request.body).unwrap();
        let other = match request.head.header("x-tag") {
            Some("first") => "seq=0002",
            Some("second") => "seq=0001",
            tag => panic!("tag {tag:?}"),
        };
        assert!(!body.contains(other), "{other} came under the other tag");
    }
}

/// Another tag, a processor of an output, a filter that takes records out: in every scrape each record is somewhere, once.
#[test]
fn what_steps_take_elsewhere_is_accounted_for() {
    let (all, sevens, odd) = (Sink::start(), Sink::start(), Sink::start());
    let steps =
        "processors: {logs: [{name: grep, exclude: 'log 3;'}, {name: rewrite_tag, rule: '$log 7; sevens true'}]}";
    let site = Site::new().inputs(&[("app", "logs/*.log", &[steps])]);
    site.write("a.log", 0, 0..5_000);
    let odd_only = "processors: {logs: [{name: grep, regex: 'log [13579];'}]}";
    let running = site.start(&[
        http(all.address, &["match: app"]),
        http(sevens.address, &["match: sevens"]),
        http(odd.address, &["match: app", odd_only]),
    ]);
    let metrics = running.wait_for("all of it", |metrics| {
        let input = |word: &str| metrics.sum(&format!("drave_input_{word}_records_total"), ("input", "tail.0"));
        let open = metrics.sum("drave_input_open_records", ("input", "tail.0"));
        assert_eq!(input("read") + input("made"), input("routed") + input("joined") + input("dropped") + open);
        (0..3).for_each(|output| assert_balanced(metrics, &format!("http.{output}")));
        let delivered = |output: &str| metrics.sum("drave_output_delivered_records_total", ("output", output));
        (delivered("http.0"), delivered("http.1"), delivered("http.2")) == (4_500, 500, 2_000)
    });
    assert_eq!(metrics.sum("drave_input_made_records_total", ("input", "tail.0")), 500);
    assert_eq!(metrics.sum("drave_output_dropped_records_total", ("output", "http.2")), 2_500);
    let counts = [&all, &sevens, &odd].map(|sink| (sink.counts().distinct, sink.counts().duplicates));
    assert_eq!(counts, [(4_500, 0), (500, 0), (2_000, 0)]);
}
