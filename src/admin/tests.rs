use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::sync::oneshot;

use super::*;

/// A server on a runtime of its own; it stops when dropped.
struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(address: Option<IpAddr>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(async { bind(Listen { address, port: 0 }).unwrap() });
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let routes: Routes = Arc::new(|path, query| Answer {
            status: if path == "/" { 200 } else { 404 },
            content_type: "text/plain",
            body: format!("path {path} query {query}").into(),
        });
        let thread =
            std::thread::spawn(move || runtime.block_on(serve(listener, routes, async { drop(stopped.await) })));
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.address.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Everything that comes back until the server closes.
    fn ask(&self, request: &str) -> String {
        talk(self.connect(), request)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn talk(mut stream: TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn pages_are_served_and_only_read() {
    let server = Server::start(None);
    for (request, begins, ends) in [
        ("GET /?a=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 200 OK", "path / query a=1"),
        ("GET /else HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 404 ", "path /else query "),
        ("HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 200 OK", "\r\n\r\n"),
        (
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx",
            "HTTP/1.1 405 ",
            "GET and HEAD\n",
        ),
        ("nonsense\r\n\r\n", "HTTP/1.1 400 ", ""),
    ] {
        let answer = server.ask(request);
        assert!(answer.starts_with(begins) && answer.ends_with(ends), "{request:?}: {answer:?}");
    }
}

#[test]
fn a_body_that_never_comes_is_not_waited_for() {
    let server = Server::start(None);
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n").unwrap();
    let mut begin = [0; 15];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
}

#[test]
fn clients_that_say_nothing_do_not_keep_others_out() {
    let server = Server::start(None);
    let mut silent: Vec<_> = (0..CONNECTIONS_MAX + 10).map(|_| server.connect()).collect();
    let answer = server.ask("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let closed = silent[0].read(&mut [0; 1]).unwrap_or(0);
    assert_eq!(closed, 0, "the oldest connection is cut");
}

#[test]
fn both_address_families_are_served() {
    let server = Server::start(None);
    if server.address.is_ipv4() {
        return println!("skipped: no IPv6 on this machine");
    }
    let v6 = TcpStream::connect((Ipv6Addr::LOCALHOST, server.address.port())).unwrap();
    let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(talk(v6, request).starts_with("HTTP/1.1 200 OK"));
    assert!(server.ask(request).starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn a_port_that_is_taken_is_an_error_with_a_hint() {
    let server = Server::start(Some(Ipv4Addr::LOCALHOST.into()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listen = Listen { address: Some(Ipv4Addr::LOCALHOST.into()), port: server.address.port() };
    let error = runtime.block_on(async { bind(listen).unwrap_err() });
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
    assert!(error.hint().unwrap_or_default().contains("http_port"), "{error}");
}
