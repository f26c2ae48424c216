//! Which records go where.

use crate::assert_exactly;
use crate::support::sink::Sink;
use crate::support::site::{Site, http};

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
    let metrics = running.wait_for("the unrouted inputs", |m| {
        m.sum("drave_input_dropped_records_total", ("reason", "no_route")) == 200
    });
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
