//! TLS and proxies.

use crate::support::proxy::Proxy;
use crate::support::sink::{Setup, Sink};
use crate::support::site::{SOON, Site, http};
use crate::support::tls::Authority;
use crate::{assert_exactly, retries};

fn secure_sink(authority: &Authority) -> Sink {
    Sink::with(Setup { tls: Some(authority.server(&["127.0.0.1"])), ..Setup::default() })
}

#[test]
fn an_authority_of_one_s_own() {
    let authority = Authority::new();
    let sink = secure_sink(&authority);
    let site = Site::new();
    site.write("a.log", 1, 0..100);
    // Relative, as it would stand next to the configuration.
    std::fs::copy(authority.ca_file(), site.path("ca.pem")).unwrap();
    let running = site.start(&[http(sink.address, &["tls: on", "tls.ca_file: ca.pem"])]);
    running.wait_delivered("http.0", 100);
    assert_exactly(&sink, 100);
}

#[test]
fn another_authority_is_refused_and_the_data_kept() {
    let (authority, other) = (Authority::new(), Authority::new());
    let sink = secure_sink(&authority);
    let site = Site::new();
    site.write("a.log", 1, 0..100);
    let ca = format!("tls.ca_file: {}", other.ca_file());
    let running = site.start(&[http(sink.address, &["tls: on", &ca])]);
    assert!(running.agent.wait_for_stderr("hint: ", SOON));
    let stderr = running.agent.stderr();
    let line = stderr.lines().find(|line| line.contains("hint: ") && line.contains("ERROR")).unwrap();
    assert!(line.contains("the data is kept") && line.contains("`tls.ca_file`"), "{line}");
    let metrics = running.metrics();
    assert_eq!(retries(&metrics, "http.0", "tls"), 1);
    assert_eq!(metrics.sum("drave_output_pending_records", ("output", "http.0")), 100);
    assert_eq!(sink.requests().len(), 0, "nothing was sent to a stranger");
}

#[test]
fn a_ca_file_that_is_not_there_keeps_it_from_starting() {
    let site = Site::new();
    let address = Sink::start().address;
    let mut running = site.start(&[http(address, &["tls: on", "tls.ca_file: nowhere.pem"])]);
    assert_eq!(running.agent.wait(SOON).expect("it ends").code(), Some(64));
    let stderr = running.agent.stderr();
    assert!(stderr.contains("nowhere.pem") && stderr.contains("hint: "), "{stderr}");
}

#[test]
fn through_a_proxy() {
    let (proxy, sink) = (Proxy::start(), Sink::start());
    let site = Site::new();
    site.write("a.log", 1, 0..100);
    let option = format!("proxy: http://{}", proxy.address);
    let running = site.start(&[http(sink.address, &[&option, "uri: /in"])]);
    running.wait_delivered("http.0", 100);
    assert_exactly(&sink, 100);
    let expect = format!("POST http://{}/in", sink.address);
    assert!(proxy.asked().iter().all(|asked| *asked == expect), "{:?}", proxy.asked());
    assert!(!proxy.asked().is_empty());
}

#[test]
fn tls_through_a_proxy_that_wants_to_know_who_asks() {
    let authority = Authority::new();
    let (proxy, sink) = (Proxy::demanding("Basic dXNlcjpwYXNz"), secure_sink(&authority));
    let site = Site::new();
    site.write("a.log", 1, 0..100);
    let ca = format!("tls.ca_file: {}", authority.ca_file());
    let option = format!("proxy: http://user:pass@{}", proxy.address);
    let running = site.start(&[http(sink.address, &["tls: on", &ca, &option])]);
    running.wait_delivered("http.0", 100);
    assert_exactly(&sink, 100);
    assert_eq!(proxy.asked()[0], format!("CONNECT {}", sink.address));
    assert!(!running.agent.stderr().contains("pass"), "{}", running.agent.stderr());
}
