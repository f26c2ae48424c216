//! Which server is asked, how it is asked, and what is said when that cannot work.

use super::output;
use super::support::bulk::Bulk;
use super::support::sink::{Setup, Sink};
use super::support::site::{SOON, Site, free_address};
use super::support::tls::Authority;

#[test]
fn servers_take_turns_and_the_dead_one_rests() {
    let (first, second, dead) = (Bulk::start(Sink::start()), Bulk::start(Sink::start()), free_address());
    let hosts = format!("hosts: [{}, '{dead}', '{}']", first.sink.address, second.sink.address);
    let site = Site::new();
    site.write("a.log", 1, 0..300);
    let running = site.start(&[output("es", dead, &[&hosts, "batch_bytes_max: 2k"])]);
    running.wait_delivered("es.0", 300);
    let (first, second) = (first.counts().distinct, second.counts().distinct);
    assert_eq!(first + second, 300);
    assert!(first > 0 && second > 0, "{first} {second}");
    let stderr = running.agent.stderr();
    assert!(!stderr.contains("cannot deliver"), "another server takes it at once: {stderr}");
}

#[test]
fn credentials_are_sent() {
    for (name, options, expect) in [
        ("opensearch", ["http_user: log", "http_passwd: secret"], "Basic bG9nOnNlY3JldA=="),
        ("es", ["cloud_auth: log:secret", "tls: off"], "Basic bG9nOnNlY3JldA=="),
        ("es", ["http_api_key: abc==", "tls: off"], "ApiKey abc=="),
    ] {
        let bulk = Bulk::start(Sink::start());
        let site = Site::new();
        site.write("a.log", 1, 0..1);
        let running = site.start(&[output(name, bulk.sink.address, &options)]);
        running.wait_delivered(&format!("{name}.0"), 1);
        assert_eq!(bulk.sink.requests()[0].head.header("authorization"), Some(expect));
    }
}

#[test]
fn tls_on_one_side_only_is_said() {
    let authority = Authority::new();
    let with_tls = || Sink::with(Setup { tls: Some(authority.server(&["127.0.0.1"])), ..Setup::default() });
    for (sink, options, expect) in
        [(Sink::start(), &["tls: on"][..], "does that port speak TLS"), (with_tls(), &[], "set `tls on`")]
    {
        let site = Site::new();
        site.write("a.log", 1, 0..1);
        let running = site.start(&[output("opensearch", sink.address, options)]);
        assert!(running.agent.wait_for_stderr(expect, SOON), "{}", running.agent.stderr());
    }
}
