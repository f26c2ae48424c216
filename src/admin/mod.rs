//! drave's own HTTP server: metrics, health and the like, read only.
//!
//! It knows no page; `routes` does. It must answer a liveness probe whatever other clients do, so each connection is short
//! lived, slow ones are cut, and when too many are open the oldest goes.

mod classic;
mod metrics;
mod pages;

pub use classic::{Classic, Counters};
pub use metrics::{Gauge, Snapshot};
pub use pages::{STUCK, Subject, page};

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// A scraper and the probes need three.
const CONNECTIONS_MAX: usize = 64;

/// From the open connection, or the last answer, to the end of the request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Then no further request is read on a connection.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);

/// For the answer that is being written then.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A pause when the system has no more file descriptors, or accepting fails otherwise.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// `None` is every address, IPv4 and IPv6.
    pub address: Option<IpAddr>,
    /// 0 lets the system choose.
    pub port: u16,
}

impl Default for Listen {
    /// Fluent Bit's port.
    fn default() -> Self {
        Self { address: None, port: 2020 }
    }
}

/// A page.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 200, 404, …
    pub status: u16,
    /// As `text/plain; charset=utf-8`.
    pub content_type: &'static str,
    /// What is shown; left out for HEAD.
    pub body: Bytes,
}

/// Answers a path and a query (without its `?`). Runs on the async threads, so it must be quick and must not wait.
pub type Routes = Arc<dyn Fn(&str, &str) -> Answer + Send + Sync>;

/// The server cannot listen.
#[derive(Debug)]
pub struct ListenError {
    /// Where.
    pub at: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

impl ListenError {
    /// The remedy, where one is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => Some(
                "another program, or another drave, listens there: set `http_port` to another port, or `http_server off`",
            ),
            io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need the right to bind them: set `http_port` higher")
            }
            io::ErrorKind::AddrNotAvailable => Some("this machine has no such address: check `http_listen`"),
            _ => None,
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the HTTP server cannot listen on {}: {}", self.at, self.source)
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Begins to listen. Must run inside a tokio runtime.
///
/// # Errors
/// The address is taken, not allowed, or not of this machine.
pub fn bind(listen: Listen) -> Result<TcpListener, ListenError> {
    match listen.address {
        Some(address) => bind_to(SocketAddr::new(address, listen.port)),
        None => bind_to(SocketAddr::from((Ipv6Addr::UNSPECIFIED, listen.port))).or_else(|error| {
            // Only a machine without IPv6 falls back: a port that is taken is taken.
            if error.source.kind() == io::ErrorKind::AddrInUse {
                return Err(error);
            }
            bind_to(SocketAddr::from((Ipv4Addr::UNSPECIFIED, listen.port)))
        }),
    }
}

fn bind_to(at: SocketAddr) -> Result<TcpListener, ListenError> {
    let listener = || {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        if at.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // A restart must not wait for the old connections to time out.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        socket.listen(128)?;
        TcpListener::from_std(socket.into())
    };
    listener().map_err(|source| ListenError { at, source })
}

/// Serves until `shutdown` is done; then open connections are cut.
pub async fn serve(listener: TcpListener, routes: Routes, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let mut open = Connections::default();
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => open.add(tokio::spawn(converse(stream, Arc::clone(&routes)))),
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// The open connections, oldest first; cut when dropped.
#[derive(Default)]
struct Connections(VecDeque<JoinHandle<()>>);

impl Connections {
    fn add(&mut self, connection: JoinHandle<()>) {
        self.0.retain(|other| !other.is_finished());
        if self.0.len() == CONNECTIONS_MAX
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
        self.0.push_back(connection);
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Errors of a connection are its client's affair.
async fn converse(stream: TcpStream, routes: Routes) {
    let service = service_fn(move |request| {
        let answer = answer(&request, &routes);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    if timeout(CONNECTION_AGE_MAX, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_ANSWER_TIMEOUT, connection).await;
    }
}

/// hyper leaves the body out for HEAD, and does not wait for a body that nobody reads.
fn answer(request: &http::Request<Incoming>, routes: &Routes) -> http::Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = http::Response::new(Full::new(Bytes::from_static(b"only GET and HEAD\n")));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let answer = routes(request.uri().path(), request.uri().query().unwrap_or_default());
    let mut response = http::Response::new(Full::new(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    response
}

#[cfg(test)]
mod tests;
