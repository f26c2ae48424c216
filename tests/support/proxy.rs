//! A forward proxy on loopback: CONNECT, and plain HTTP with whole URLs.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::http::{Head, read_body, read_head};

/// Stops when dropped.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The whole value of `proxy-authorization` that is let in.
    demands: Option<String>,
    /// Answers everything with this status.
    refuses: Option<u16>,
    asked: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

impl Proxy {
    /// Lets everything through.
    pub fn start() -> Self {
        Self::with(Shared::default())
    }

    /// Wants `Basic …` credentials.
    pub fn demanding(authorization: &str) -> Self {
        Self::with(Shared { demands: Some(authorization.to_owned()), ..Shared::default() })
    }

    /// Lets nothing through.
    pub fn refusing(status: u16) -> Self {
        Self::with(Shared { refuses: Some(status), ..Shared::default() })
    }

    fn with(shared: Shared) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(shared);
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, shared }
    }

    /// What clients asked for: `CONNECT host:port`, `POST http://host/path`.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if shared.stopped.load(Ordering::Relaxed) {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || shared.converse(&stream).ok());
    }
}

impl Shared {
    /// One request a connection.
    fn converse(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let Some(head) = read_head(&mut reader)? else { return Ok(()) };
        self.asked.lock().unwrap().push(format!("{} {}", head.method, head.target));
        if let Some(status) = self.refusal(&head) {
            return write!(&*client, "HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
        if head.method == "CONNECT" {
            let server = TcpStream::connect(&head.target)?;
            (&*client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            return relay(client, &server);
        }
        let body = read_body(&mut reader, &head)?;
        forward(client, &head, &body)
    }

    fn refusal(&self, head: &Head) -> Option<u16> {
        let given = head.header("proxy-authorization");
        self.refuses.or_else(|| (self.demands.is_some() && self.demands.as_deref() != given).then_some(407))
    }
}

fn forward(mut client: &TcpStream, head: &Head, body: &[u8]) -> io::Result<()> {
    let url: ::http::Uri = head.target.parse().map_err(io::Error::other)?;
    let authority = url.authority().ok_or_else(|| io::Error::other("a proxy needs whole URLs"))?;
    let mut server = TcpStream::connect(authority.as_str())?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    write!(server, "{} {path} HTTP/1.1\r\n", head.method)?;
    for (name, value) in head.headers.iter().filter(|(name, _)| !name.starts_with("proxy-")) {
        write!(server, "{name}: {value}\r\n")?;
    }
    server.write_all(b"\r\n")?;
    server.write_all(body)?;
    io::copy(&mut server, &mut client).map(drop)
}

fn relay(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    let (mut upstream_from, mut upstream_to) = (client.try_clone()?, server.try_clone()?);
    let upstream = thread::spawn(move || {
        let _ = io::copy(&mut upstream_from, &mut upstream_to);
        let _ = upstream_to.shutdown(Shutdown::Write);
    });
    let _ = io::copy(&mut &*server, &mut &*client);
    let _ = client.shutdown(Shutdown::Both);
    upstream.join().map_err(|_| io::Error::other("the relay panicked"))
}
