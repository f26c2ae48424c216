//! The one HTTP client: HTTP/1.1, a pool, and limits on everything that another machine decides.
//!
//! One request is one attempt. It follows no redirect and decodes no answer. What is repeated, and when, the delivery decides;
//! only a request that a kept connection closed on before anything was sent goes out again on a new one.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::PROXY_AUTHORIZATION;
use http::{HeaderMap, Method, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{sleep, timeout};

use super::chunks::Chunks;
use super::connect::Connector;
use super::error::{DOING_CONNECT, NetError, peer};
use super::options::ClientOptions;
use super::proxy::ProxyEnvironment;

/// How much of an answer is kept, unless [`Client::with_answer_bytes_max`] says otherwise.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Connections that are kept for later, per host. More requests than that may run at once.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// One attempt.
pub struct Request<'a, B = Bytes> {
    /// Mostly POST.
    pub method: Method,
    /// With scheme and host; user info in it is an error of the caller's.
    pub url: &'a Uri,
    /// All but `host` and `content-length`.
    pub headers: &'a HeaderMap,
    /// Shared between attempts, never copied.
    pub body: B,
}

/// What came back, whatever its status.
pub struct Response {
    /// 200, 429, …
    pub status: u16,
    /// As they came.
    pub headers: HeaderMap,
    /// As it came, or its beginning.
    pub body: Bytes,
    /// The body was longer than what is kept of it.
    pub cut: bool,
}

/// Sends requests. Clones share the pool.
#[derive(Clone)]
pub struct Client {
    pool: legacy::Client<Connector, Chunks>,
    connector: Connector,
    /// Sooner than the connector would give up; for those who ask a machine that may not be there.
    connect_limit: Option<Duration>,
    response_timeout: Duration,
    answer_bytes_max: usize,
}

impl Client {
    /// Connects nowhere yet.
    ///
    /// # Errors
    /// Options that cannot work: files, a proxy of the environment, TLS versions.
    pub fn new(options: &ClientOptions, environment: &ProxyEnvironment) -> Result<Self, NetError> {
        let connector = Connector::new(options, environment)?;
        let mut pool = legacy::Client::builder(TokioExecutor::new());
        pool.pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.keepalive_idle_timeout.0)
            .pool_max_idle_per_host(if options.keepalive { IDLE_CONNECTIONS_MAX } else { 0 });
        Ok(Self {
            pool: pool.build(connector.clone()),
            connector,
            connect_limit: None,
            response_timeout: options.response_timeout.0,
            answer_bytes_max: ANSWER_BYTES_MAX,
        })
    }

    /// Keeps up to so much of an answer, for a destination whose answers list every record.
    #[must_use]
    pub fn with_answer_bytes_max(self, bytes_max: usize) -> Self {
        Self { answer_bytes_max: bytes_max, ..self }
    }

    /// Gives up sooner than the options say: on connecting, and on the answer.
    pub(super) fn with_limits(self, connect: Option<Duration>, answer: Option<Duration>) -> Self {
        let response_timeout = answer.map_or(self.response_timeout, |limit| limit.min(self.response_timeout));
        Self { connect_limit: connect, response_timeout, ..self }
    }

    /// One attempt: at most `net.connect_timeout` to connect and `http.response_timeout` for all that follows.
    ///
    /// # Errors
    /// There was no whole answer head and body. Whether the other side took the request is then unknown.
    pub async fn send(&self, request: Request<'_, impl Into<Chunks>>) -> Result<Response, NetError> {
        let url = request.url.clone();
        let mut request = self.prepare(request)?;
        let connected = capture_connection(&mut request);
        tokio::select! {
            answer = self.exchange(request, &url) => answer,
            (doing, limit) = self.too_late(connected) => {
                Err(NetError::Timeout { to: peer(&url), doing, after: Some(limit) })
            }
        }
    }

    /// Ends when a limit is reached, and says which.
    async fn too_late(&self, mut connected: CaptureConnection) -> (&'static str, Duration) {
        let connecting = connected.wait_for_connection_metadata();
        let limit = self.connect_limit.unwrap_or(Duration::MAX);
        if timeout(limit, connecting).await.is_err() {
            return (DOING_CONNECT, limit);
        }
        sleep(self.response_timeout).await;
        ("waiting for the answer", self.response_timeout)
    }

    fn prepare(&self, request: Request<'_, impl Into<Chunks>>) -> Result<http::Request<Chunks>, NetError> {
        let mut prepared = http::Request::new(request.body.into());
        prepared.headers_mut().clone_from(request.headers);
        *prepared.method_mut() = request.method;
        if !matches!(request.url.scheme_str(), Some("http" | "https")) {
            let what = format!("{} is reached neither over http nor over https", peer(request.url));
            return Err(NetError::Options { what, hint: "write http:// or https:// before the host".into() });
        }
        // Through a tunnel the proxy never sees these headers, and the destination must not.
        if request.url.scheme_str() == Some("http") {
            let proxy = self.connector.proxy_of(request.url);
            if let Some(auth) = proxy.as_ref().and_then(|proxy| proxy.basic_auth()) {
                prepared.headers_mut().insert(PROXY_AUTHORIZATION, auth.clone());
            }
        }
        *prepared.uri_mut() = request.url.clone();
        Ok(prepared)
    }

    async fn exchange(&self, request: http::Request<Chunks>, url: &Uri) -> Result<Response, NetError> {
        let answer = self.pool.request(request).await.map_err(|error| NetError::of_exchange(&error, url))?;
        let (head, body) = answer.into_parts();
        let (body, cut) =
            read(body, self.answer_bytes_max).await.map_err(|error| NetError::of_exchange(&error, url))?;
        Ok(Response { status: head.status.as_u16(), headers: head.headers, body, cut })
    }
}

/// Up to `bytes_max` of a body, and whether there was more; the connection is not kept then.
async fn read(mut body: Incoming, bytes_max: usize) -> Result<(Bytes, bool), hyper::Error> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(bytes_max);
    let mut kept = BytesMut::with_capacity(expected.min(bytes_max));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = bytes_max - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((kept.freeze(), true));
        }
    }
    Ok((kept.freeze(), false))
}
