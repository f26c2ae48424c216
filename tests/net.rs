//! The HTTP client against servers that behave, and that do not.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use drave::config::OptionValue;
use drave::net::{Cause, Client, ClientOptions, NetError, ProxyEnvironment, ProxyUrl, Request, Response, TlsVersion};
use http::{HeaderMap, Method, Uri};
use support::net::client_options;
use support::proxy::Proxy;
use support::sink::{Act, Setup, Sink};
use support::tls::Authority;

async fn post(client: &Client, url: &Uri, body: impl Into<Bytes>) -> Result<Response, NetError> {
    let headers = HeaderMap::new();
    client.send(Request { method: Method::POST, url, headers: &headers, body: body.into() }).await
}

/// One request by a new client without a proxy.
async fn post_once(options: &ClientOptions, url: &Uri) -> Result<Response, NetError> {
    post(&client(options), url, "body").await
}

fn client(options: &ClientOptions) -> Client {
    Client::new(options, &ProxyEnvironment::default()).unwrap()
}

fn millis(n: u64) -> drave::config::Duration {
    drave::config::Duration(Duration::from_millis(n))
}

/// The error of a request that must fail for this cause.
async fn failure(options: &ClientOptions, url: &Uri, cause: Cause) -> NetError {
    let error = post_once(options, url).await.err().expect("the request must fail");
    assert_eq!(error.cause(), cause, "{error}");
    error
}

fn hint(error: &NetError) -> &str {
    error.hint().unwrap_or_else(|| panic!("no hint for {error}"))
}

#[tokio::test]
async fn a_request_arrives_and_its_answer_comes_back() {
    let sink = Sink::start();
    sink.next(Act::status(429).with_header("Retry-After", "7"));
    let mut headers = HeaderMap::new();
    headers.insert("content-encoding", "gzip".parse().unwrap());
    let mut body = Vec::new();
    drave::net::gzip(1, b"seq=0001-00000000; hello", &mut body);
    let url = sink.url("/path?query=1");
    let request = Request { method: Method::PUT, url: &url, headers: &headers, body: Bytes::from(body) };
    let answer = client(&client_options()).send(request).await.unwrap();
    assert_eq!((answer.status, answer.headers["retry-after"].to_str().unwrap()), (429, "7"));
    let got = &sink.requests()[0];
    assert_eq!((got.head.method.as_str(), got.head.target.as_str()), ("PUT", "/path?query=1"));
    assert_eq!(got.head.header("host"), Some(sink.address.to_string().as_str()));
    assert_eq!(got.body, b"seq=0001-00000000; hello");
}

#[tokio::test]
async fn connections_are_kept_unless_told_otherwise() {
    for (keepalive, connections) in [(true, 1), (false, 3)] {
        let sink = Sink::start();
        let client = client(&ClientOptions { keepalive, ..client_options() });
        for _ in 0..3 {
            assert_eq!(post(&client, &sink.url("/"), "x").await.unwrap().status, 200);
        }
        assert_eq!(sink.connections(), connections, "keepalive {keepalive}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_costs_no_request() {
    let sink = Sink::start();
    let client = client(&client_options());
    assert_eq!(post(&client, &sink.url("/"), "x").await.unwrap().status, 200);
    let address = sink.address;
    drop(sink);
    let sink = Sink::with(Setup { address: Some(address), ..Setup::default() });
    // The system must have told the client of the end; a request sent before that is lost with its connection.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(post(&client, &sink.url("/"), "x").await.unwrap().status, 200);
}

#[tokio::test]
async fn an_idle_connection_is_let_go() {
    let sink = Sink::start();
    let client = client(&ClientOptions { keepalive_idle_timeout: millis(50), ..client_options() });
    post(&client, &sink.url("/"), "x").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    post(&client, &sink.url("/"), "x").await.unwrap();
    assert_eq!(sink.connections(), 2);
}

#[tokio::test]
async fn chunked_answers_are_read() {
    let sink = Sink::start();
    sink.next(Act::chunked(vec![b'x'; 100_000]));
    let answer = post_once(&client_options(), &sink.url("/")).await.unwrap();
    assert_eq!((answer.body.len(), answer.cut), (100_000, false));
}

#[tokio::test]
async fn of_a_long_answer_only_the_beginning_is_kept() {
    let sink = Sink::start();
    for (act, bytes_max, expect) in [
        (Act::body(vec![b'x'; 5 << 20]), 1 << 20, (1 << 20, true)),
        (Act::chunked(vec![b'x'; 5 << 20]), 1 << 20, (1 << 20, true)),
        (Act::body(vec![b'x'; 1000]), 1000, (1000, false)),
        (Act::body(vec![b'x'; 1001]), 1000, (1000, true)),
        (Act::body(vec![b'x'; 5 << 20]), 8 << 20, (5 << 20, false)),
    ] {
        sink.next(act);
        let client = client(&client_options()).with_answer_bytes_max(bytes_max);
        let answer = post(&client, &sink.url("/"), "x").await.unwrap();
        assert_eq!((answer.body.len(), answer.cut), expect);
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let sink = Sink::start();
    sink.next(Act::status(302).with_header("location", "/elsewhere"));
    assert_eq!(post_once(&client_options(), &sink.url("/")).await.unwrap().status, 302);
    assert_eq!(sink.requests().len(), 1);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let options = ClientOptions { response_timeout: millis(150), ..client_options() };
    for act in [Act::Hang, Act::HangMidBody, Act::status(200).after(Duration::from_secs(5))] {
        let sink = Sink::start();
        sink.next(act);
        let client = client(&options);
        // Larger than what the system buffers, so that writing waits too.
        let error = post(&client, &sink.url("/"), vec![b'x'; 32 << 20]).await.err().unwrap();
        assert_eq!(error.cause(), Cause::Timeout, "{error}");
        assert!(hint(&error).contains("http.response_timeout"), "{error}");
    }
}

#[tokio::test]
async fn a_connection_without_progress_is_given_up() {
    let sink = Sink::start();
    sink.next(Act::Hang);
    let error =
        failure(&ClientOptions { io_timeout: millis(100), ..client_options() }, &sink.url("/"), Cause::Timeout).await;
    assert!(error.to_string().contains("waiting for the network"), "{error}");
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap()).parse().unwrap();
    let options = ClientOptions { connect_timeout: millis(100), tls_verify: false, ..client_options() };
    let error = failure(&options, &url, Cause::Timeout).await;
    assert!(hint(&error).contains("net.connect_timeout"), "{error}");
}

#[tokio::test]
async fn connections_that_end_early_are_resets() {
    for act in [Act::ResetMidBody, Act::ResetMidAnswer, Act::Close] {
        let sink = Sink::start();
        let shown = format!("{act:?}");
        sink.next(act);
        let body = vec![b'x'; 4 << 20];
        let error = post(&client(&client_options()), &sink.url("/"), body).await.err().unwrap();
        assert_eq!(error.cause(), Cause::Reset, "{shown}: {error}");
        assert_eq!(post_once(&client_options(), &sink.url("/")).await.unwrap().status, 200);
    }
    let sink = Sink::with(Setup { close_first: 1, ..Setup::default() });
    failure(&client_options(), &sink.url("/"), Cause::Reset).await;
}

#[tokio::test]
async fn a_server_that_is_slow_to_accept_is_waited_for() {
    let sink = Sink::with(Setup { accept_after: Duration::from_millis(100), ..Setup::default() });
    assert_eq!(post_once(&client_options(), &sink.url("/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_answer_that_is_not_http_says_so() {
    let sink = Sink::start();
    sink.next(Act::Garbage);
    let error = failure(&client_options(), &sink.url("/"), Cause::Protocol).await;
    assert!(hint(&error).contains("tls on"), "{error}");
}

#[tokio::test]
async fn nothing_listens_and_no_such_name() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = failure(&client_options(), &format!("http://{free}/").parse().unwrap(), Cause::Connect).await;
    assert!(hint(&error).contains("nothing listens"), "{error}");
    let error = failure(&client_options(), &"http://no-such-host.invalid/".parse().unwrap(), Cause::Dns).await;
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
}

#[tokio::test]
async fn hosts_may_be_ipv6_and_the_source_address_ours() {
    let Ok(probe) = TcpListener::bind("[::1]:0") else { return println!("skipped: no IPv6 on this machine") };
    drop(probe);
    let sink = Sink::with(Setup { address: Some("[::1]:0".parse().unwrap()), ..Setup::default() });
    assert_eq!(post_once(&client_options(), &sink.url("/")).await.unwrap().status, 200);
    assert_eq!(sink.requests()[0].head.header("host"), Some(sink.address.to_string().as_str()));

    let authority = Authority::new();
    let setup =
        Setup { address: Some("[::1]:0".parse().unwrap()), tls: Some(authority.server(&["::1"])), ..Setup::default() };
    let secure = Sink::with(setup);
    assert_eq!(post_once(&trusting(&authority), &secure.url("/")).await.unwrap().status, 200);

    let wrong = ClientOptions { source_address: OptionValue::parse("192.0.2.1").ok(), ..client_options() };
    let sink = Sink::start();
    failure(&wrong, &sink.url("/"), Cause::Connect).await;
}

#[tokio::test]
async fn a_url_without_a_scheme_is_an_error_of_the_options() {
    failure(&client_options(), &"localhost:80".parse().unwrap(), Cause::Options).await;
}

// TLS

fn trusting(authority: &Authority) -> ClientOptions {
    ClientOptions { tls: true, tls_ca_file: Some(authority.ca_file()), ..client_options() }
}

fn secure_sink(authority: &Authority, names: &[&str]) -> Sink {
    Sink::with(Setup { tls: Some(authority.server(names)), ..Setup::default() })
}

#[tokio::test]
async fn a_known_authority_is_trusted_and_connections_are_kept() {
    let authority = Authority::new();
    let sink = secure_sink(&authority, &["127.0.0.1"]);
    let client = client(&trusting(&authority));
    for _ in 0..3 {
        assert_eq!(post(&client, &sink.url("/"), vec![b'x'; 1 << 20]).await.unwrap().status, 200);
    }
    assert_eq!(sink.connections(), 1);
    let from_folder =
        ClientOptions { tls_ca_file: None, tls_ca_path: Some(authority.ca_path()), ..trusting(&authority) };
    assert_eq!(post_once(&from_folder, &sink.url("/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_unknown_authority_is_refused_unless_verify_is_off() {
    let (authority, other) = (Authority::new(), Authority::new());
    let sink = secure_sink(&authority, &["127.0.0.1"]);
    let error = failure(&trusting(&other), &sink.url("/"), Cause::Tls).await;
    assert!(hint(&error).contains("tls.ca_file"), "{error}");
    let lax = ClientOptions { tls_verify_hostname: false, ..trusting(&other) };
    failure(&lax, &sink.url("/"), Cause::Tls).await;
    let blind = ClientOptions { tls_verify: false, ..client_options() };
    assert_eq!(post_once(&blind, &sink.url("/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_name_is_verified_unless_told_otherwise() {
    let authority = Authority::new();
    let sink = secure_sink(&authority, &["logs.example"]);
    let error = failure(&trusting(&authority), &sink.url("/"), Cause::Tls).await;
    assert!(hint(&error).contains("tls.vhost"), "{error}");
    let lax = ClientOptions { tls_verify_hostname: false, ..trusting(&authority) };
    assert_eq!(post_once(&lax, &sink.url("/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn vhost_is_asked_for_and_verified() {
    let authority = Authority::new();
    let sink = secure_sink(&authority, &["logs.example"]);
    let with = |name: &str| ClientOptions { tls_vhost: Some(name.to_owned()), ..trusting(&authority) };
    assert_eq!(post_once(&with("logs.example"), &sink.url("/")).await.unwrap().status, 200);
    assert_eq!(sink.requests()[0].sni.as_deref(), Some("logs.example"));
    failure(&with("other.example"), &sink.url("/"), Cause::Tls).await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_there_is_one() {
    let authority = Authority::new();
    let tls = Some(authority.server_for_known_clients(&["127.0.0.1"]));
    let sink = Sink::with(Setup { tls, ..Setup::default() });
    let (certificate, key) = authority.client_files();
    let known = ClientOptions { tls_crt_file: Some(certificate), tls_key_file: Some(key), ..trusting(&authority) };
    assert_eq!(post_once(&known, &sink.url("/")).await.unwrap().status, 200);
    let error = failure(&trusting(&authority), &sink.url("/"), Cause::Tls).await;
    assert!(hint(&error).contains("tls.crt_file"), "{error}");
}

#[tokio::test]
async fn tls_to_a_plain_port_and_plain_to_a_tls_port_are_told_apart() {
    let plain = Sink::start();
    let url = format!("https://{}/", plain.address).parse().unwrap();
    plain.next(Act::Garbage);
    let error = failure(&ClientOptions { tls_verify: false, ..client_options() }, &url, Cause::Tls).await;
    assert!(hint(&error).contains("speak TLS"), "{error}");

    let secure = secure_sink(&Authority::new(), &["127.0.0.1"]);
    let url = format!("http://{}/", secure.address).parse().unwrap();
    let error = post_once(&client_options(), &url).await.err().unwrap();
    assert!(hint(&error).contains("tls on"), "{error}");
}

#[test]
fn options_that_cannot_work_are_refused_at_once() {
    let authority = Authority::new();
    let (certificate, _) = authority.client_files();
    let broken = [
        ClientOptions { tls_ca_file: Some("/no/such/file".into()), ..trusting(&authority) },
        ClientOptions { tls_ca_file: Some("/dev/null".into()), ..trusting(&authority) },
        ClientOptions { tls_crt_file: Some(certificate.clone()), ..trusting(&authority) },
        ClientOptions {
            tls_crt_file: Some(certificate.clone()),
            tls_key_file: Some(certificate),
            ..trusting(&authority)
        },
        ClientOptions { tls_max_version: Some(TlsVersion::Older), ..trusting(&authority) },
    ];
    for options in broken {
        let error = Client::new(&options, &ProxyEnvironment::default()).err().expect("must be refused");
        assert_eq!(error.cause(), Cause::Options);
        assert!(!hint(&error).is_empty());
    }
}

// Proxies

/// `user:s3cret`.
const CREDENTIALS: &str = "Basic dXNlcjpzM2NyZXQ=";

fn through(proxy: &Proxy, credentials: &str) -> ClientOptions {
    let url = ProxyUrl::parse(&format!("http://{credentials}{}", proxy.address)).unwrap();
    ClientOptions { proxy: Some(url), ..client_options() }
}

#[tokio::test]
async fn a_proxy_is_used_for_plain_and_for_tls() {
    let (proxy, authority) = (Proxy::demanding(CREDENTIALS), Authority::new());
    let (plain, secure) = (Sink::start(), secure_sink(&authority, &["127.0.0.1"]));
    let options = ClientOptions { tls_ca_file: Some(authority.ca_file()), ..through(&proxy, "user:s3cret@") };
    assert_eq!(post_once(&options, &plain.url("/p")).await.unwrap().status, 200);
    assert_eq!(post_once(&options, &secure.url("/s")).await.unwrap().status, 200);
    assert_eq!(proxy.asked(), [format!("POST {}", plain.url("/p")), format!("CONNECT {}", secure.address)]);
    for sink in [plain, secure] {
        assert_eq!(sink.requests()[0].head.header("proxy-authorization"), None);
        assert_eq!(sink.requests()[0].body, b"body");
    }
}

#[tokio::test]
async fn a_proxy_that_says_no_is_named() {
    let sink = secure_sink(&Authority::new(), &["127.0.0.1"]);
    let proxy = Proxy::demanding(CREDENTIALS);
    let error = failure(&through(&proxy, "user:wr0ng@"), &sink.url("/"), Cause::Connect).await;
    assert!(error.to_string().contains(&proxy.address.to_string()), "{error}");
    assert!(hint(&error).contains("credentials"), "{error}");
    assert!(!format!("{error:?} {error}").contains("wr0ng"));
    let error = failure(&through(&Proxy::refusing(403), ""), &sink.url("/"), Cause::Connect).await;
    assert!(hint(&error).contains("NO_PROXY"), "{error}");
}

#[tokio::test]
async fn the_environment_holds_unless_it_is_ignored() {
    let (proxy, sink) = (Proxy::start(), Sink::start());
    let environment = |no: &str| ProxyEnvironment {
        http: Some(format!("http://{}", proxy.address)),
        no: Some(no.to_owned()),
        ..ProxyEnvironment::default()
    };
    for (no, proxy_env_ignore, asked) in [("", false, 1), ("127.0.0.0/8", false, 1), ("", true, 1), ("", false, 2)] {
        let options = ClientOptions { proxy_env_ignore, ..client_options() };
        let client = Client::new(&options, &environment(no)).unwrap();
        assert_eq!(post(&client, &sink.url("/"), "x").await.unwrap().status, 200);
        assert_eq!(proxy.asked().len(), asked, "NO_PROXY={no}, ignored: {proxy_env_ignore}");
    }
}
