//! What the health pages say of destinations that refuse or are away.

use crate::support::agent::poll;
use crate::support::scrape::get;
use crate::support::sink::{Act, Sink};
use crate::support::site::{SOON, Site, http};

#[test]
fn the_verdict_is_in_the_body_and_liveness_does_not_depend_on_it() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(503));
    let service = ["flush: 100ms", "health_check: on", "hc_retry_failure_count: 0", "hc_period: 60"];
    let site = Site::new().service(&service);
    site.write("a.log", 1, 0..10);
    let running = site.start(&[http(sink.address, &["retry_limit: no_retries"])]);
    running.wait_for("the drop", |m| m.sum("drave_output_dropped_records_total", ("reason", "retry_limit")) == 10);
    let page = |path: &str| get(running.admin, path).map(|page| (page.status, page.body)).unwrap();
    let complaint = "error: more than 0 requests given up within 60 s (hc_retry_failure_count)\n";
    assert_eq!(page("/api/v1/health"), (200, complaint.into()));
    assert_eq!(page("/healthz"), (200, "ok\n".into()));
    assert_eq!(page("/readyz"), (200, "ok\n".into()));
    assert_eq!(page("/readyz?outputs=1"), (503, complaint.into()));
}

#[test]
fn an_output_that_is_stalled_is_not_ready() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(503));
    let site = Site::new().service(&["flush: 100ms", "health.stall: 1s"]);
    site.write("a.log", 1, 0..10);
    let running = site.start(&[http(sink.address, &["alias: shop"])]);
    running.wait_for("the stall", |m| m.sum("drave_output_stalled", ("output", "shop")) == 1);
    let page = |path: &str| get(running.admin, path).map(|page| (page.status, page.body)).unwrap();
    assert_eq!(page("/readyz?outputs=1"), (503, "stalled: shop\n".into()));
    assert_eq!((page("/readyz").0, page("/api/v1/health").0), (200, 200));
    assert!(running.metrics().sum("drave_output_oldest_pending_seconds", ("output", "shop")) >= 1);
    sink.answer_with(|_| Act::status(200));
    running.wait_delivered("shop", 10);
    assert!(poll(SOON, || page("/readyz?outputs=1").0 == 200));
    assert_eq!(running.metrics().sum("drave_output_oldest_pending_seconds", ("output", "shop")), 0);
}
