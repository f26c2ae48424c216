//! Opens connections: the name, the address family, the proxy, TLS; all within `net.connect_timeout`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::error::{DOING_CONNECT, NetError, peer};
use super::options::ClientOptions;
use super::proxy::{Proxies, ProxyEnvironment, tunnel};
use super::socket::Socket;
use super::tls::{Tls, Trust};

type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Opens connections as the options of one client say. Any hyper client can be built on it.
#[derive(Clone)]
pub struct Connector {
    tcp: HttpConnector<Resolver>,
    shared: Arc<Shared>,
}

struct Shared {
    proxies: Proxies,
    tls: Tls,
    connect_timeout: Duration,
    io_timeout: Duration,
}

impl Connector {
    /// Connects nowhere yet. With `tls on` the certificates are read now, else at the first `https` URL.
    ///
    /// # Errors
    /// Options that cannot work: files, a proxy of the environment, TLS versions.
    pub fn new(options: &ClientOptions, environment: &ProxyEnvironment) -> Result<Self, NetError> {
        Self::trusting(options, environment, Trust::default())
    }

    /// The same with authorities and a certificate of its own that stand in no file.
    pub(super) fn trusting(
        options: &ClientOptions,
        environment: &ProxyEnvironment,
        trust: Trust,
    ) -> Result<Self, NetError> {
        let none = ProxyEnvironment::default();
        let environment = if options.proxy_env_ignore { &none } else { environment };
        let shared = Shared {
            proxies: Proxies::new(options.proxy.as_ref(), environment)?,
            tls: Tls::new(options, trust),
            connect_timeout: options.connect_timeout.0,
            io_timeout: options.io_timeout.0,
        };
        if options.tls {
            shared.tls.config()?;
        }
        Ok(Self { tcp: tcp(options), shared: Arc::new(shared) })
    }

    /// The proxy that a request to `url` goes through.
    pub(super) fn proxy_of(&self, url: &Uri) -> Option<Intercept> {
        self.shared.proxies.of(url)
    }

    async fn open(mut self, to: Uri) -> Result<TokioIo<Socket>, NetError> {
        let limit = self.shared.connect_timeout;
        let late = |_| NetError::Timeout { to: peer(&to), doing: DOING_CONNECT, after: Some(limit) };
        timeout(limit, self.open_at_leisure(&to)).await.map_err(late)?.map(TokioIo::new)
    }

    async fn open_at_leisure(&mut self, to: &Uri) -> Result<Socket, NetError> {
        let proxy = self.proxy_of(to);
        let next = proxy.as_ref().map_or(to, Intercept::uri).clone();
        let mut tcp = self.open_tcp(next).await?;
        let shared = &self.shared;
        if to.scheme_str() != Some("https") {
            let socket = Socket::new(tcp, shared.io_timeout);
            return Ok(if proxy.is_some() { socket.of_proxy() } else { socket });
        }
        if let Some(proxy) = &proxy {
            tunnel(&mut tcp, to, proxy).await?;
        }
        let tls = shared.tls.connect(to.host().unwrap_or_default(), &peer(to), tcp).await?;
        Ok(Socket::new(tls, shared.io_timeout))
    }

    async fn open_tcp(&mut self, to: Uri) -> Result<TcpStream, NetError> {
        let connected = self.tcp.call(to.clone()).await;
        connected.map(TokioIo::into_inner).map_err(|error| NetError::of_connect(&error, &to))
    }
}

fn tcp(options: &ClientOptions) -> HttpConnector<Resolver> {
    let family = match (options.prefer_ipv4, options.prefer_ipv6) {
        (true, false) => Some(Family::V4),
        (false, true) => Some(Family::V6),
        _ => None,
    };
    let mut tcp = HttpConnector::new_with_resolver(Resolver { system: GaiResolver::new(), first: family });
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // Shared out among the addresses of a name, so that a dead first one leaves time for the others.
    tcp.set_connect_timeout(Some(options.connect_timeout.0));
    tcp.set_local_address(options.source_address.map(|address| address.0));
    // A peer that vanished is noticed while a request waits, and NAT tables (350 s on AWS) keep idle connections.
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp.set_keepalive_interval(Some(Duration::from_secs(10)));
    tcp.set_keepalive_retries(Some(3));
    tcp
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = NetError;
    type Future = Connecting<Self::Response, NetError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().open(to))
    }
}

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

/// The system's resolver, with one family first. Happy eyeballs then begins with that family.
#[derive(Clone)]
struct Resolver {
    system: GaiResolver,
    first: Option<Family>,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NetError;
    type Future = Connecting<Self::Response, NetError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.as_str().to_owned();
        let (found, first) = (self.system.call(name), self.first);
        Box::pin(async move {
            let failed = |error: io::Error| NetError::Dns { host, why: error.to_string() };
            let mut addresses: Vec<_> = found.await.map_err(failed)?.collect();
            order(&mut addresses, first);
            Ok(addresses.into_iter())
        })
    }
}

fn order(addresses: &mut [SocketAddr], first: Option<Family>) {
    match first {
        Some(Family::V4) => addresses.sort_by_key(SocketAddr::is_ipv6),
        Some(Family::V6) => addresses.sort_by_key(SocketAddr::is_ipv4),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Report, Syntax, load_text};

    #[test]
    fn a_preferred_family_comes_first_and_keeps_its_order() {
        let given: Vec<SocketAddr> =
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1"].map(|a| a.parse().unwrap()).into();
        let mut v4 = given.clone();
        order(&mut v4, Some(Family::V4));
        assert_eq!(v4, [given[1], given[3], given[0], given[2]]);
        let mut any = given.clone();
        order(&mut any, None);
        assert_eq!(any, given);
    }

    /// A watch may be silent for minutes: a peer that vanished must be noticed sooner.
    #[tokio::test]
    async fn silent_connections_are_looked_after() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to: Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let section = "pipeline: {outputs: [{name: http, match: '*'}]}";
        let (environment, mut report) = (Environment::default(), Report::default());
        let config = load_text(section, Syntax::Yaml, &environment, &mut report);
        let options = ClientOptions::from_section(&config.outputs[0], &mut report).unwrap();
        let mut connector = Connector::new(&options, &ProxyEnvironment::default()).unwrap();
        let tcp = connector.open_tcp(to).await.unwrap();
        let socket = socket2::SockRef::from(&tcp);
        assert!(socket.keepalive().unwrap());
        let (time, interval) = (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        let noticed = time + interval * socket.tcp_keepalive_retries().unwrap();
        assert!(noticed <= Duration::from_secs(90), "{noticed:?}");
    }
}
