//! Which requests go through which proxy, and the tunnel through it.
//!
//! An explicit `proxy` wins over the environment. What NO_PROXY names is direct, and so are the link-local addresses where
//! clouds serve credentials: a proxy could not reach them.

use std::fmt;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::error::{NetError, peer};
use crate::config::{Environment, OptionValue};

/// Instance metadata and EKS Pod Identity, over IPv4 and IPv6.
const ALWAYS_DIRECT: &str = "169.254.0.0/16,fd00:ec2::/32";

/// A proxy's answer to CONNECT is a few lines; more is not an answer.
const ANSWER_HEAD_BYTES_MAX: usize = 8 * 1024;

/// The proxy variables as `config` found them; of each the first that is set of the upper and the lower case name.
#[derive(Clone, Default)]
pub struct ProxyEnvironment {
    /// `HTTP_PROXY`: for `http://`.
    pub http: Option<String>,
    /// `HTTPS_PROXY`: for `https://`.
    pub https: Option<String>,
    /// `ALL_PROXY`: where the other two are not set.
    pub all: Option<String>,
    /// `NO_PROXY`: hosts, domains, addresses and networks, separated by commas; the caller adds the API server.
    pub no: Option<String>,
}

impl ProxyEnvironment {
    /// What the variables of the process say.
    pub fn of(environment: &Environment) -> Self {
        let get = |names: [&str; 2]| names.into_iter().find_map(|name| environment.get(name)).map(str::to_owned);
        Self {
            http: get(["HTTP_PROXY", "http_proxy"]),
            https: get(["HTTPS_PROXY", "https_proxy"]),
            all: get(["ALL_PROXY", "all_proxy"]),
            no: get(["NO_PROXY", "no_proxy"]),
        }
    }
}

/// `http://[user:password@]host:port`. Its `Debug` leaves the credentials out.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(String);

impl OptionValue for ProxyUrl {
    const KIND: &'static str = "http://[user:password@]host:port";
    fn parse(text: &str) -> Result<Self, String> {
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url: Uri = text.parse().map_err(|_| PROXY_HINT.to_owned())?;
        match (url.scheme_str(), url.host()) {
            (Some("http"), Some(_)) => Ok(Self(text)),
            _ => Err(PROXY_HINT.into()),
        }
    }
}

const PROXY_HINT: &str = "expected http://[user:password@]host:port, special characters of the password as %40 (proxies over https or socks are not supported)";

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.rsplit('@').next().unwrap_or_default())
    }
}

/// The rules of one client.
pub(super) struct Proxies(Matcher);

impl Proxies {
    /// # Errors
    /// A variable of the environment that is not the address of an HTTP proxy.
    pub(super) fn new(explicit: Option<&ProxyUrl>, environment: &ProxyEnvironment) -> Result<Self, NetError> {
        if let Some(proxy) = explicit {
            return Ok(Self(Matcher::builder().all(proxy.0.clone()).no(ALWAYS_DIRECT).build()));
        }
        let all = environment.all.as_ref();
        let builder = Matcher::builder()
            .http(checked("HTTP_PROXY", environment.http.as_ref().or(all))?)
            .https(checked("HTTPS_PROXY", environment.https.as_ref().or(all))?)
            .no(no_proxy(environment.no.as_deref().unwrap_or_default()));
        Ok(Self(builder.build()))
    }

    /// The proxy for a URL; `None` is direct.
    pub(super) fn of(&self, url: &Uri) -> Option<Intercept> {
        self.0.intercept(url)
    }
}

fn checked(name: &str, value: Option<&String>) -> Result<String, NetError> {
    match value.map(|v| v.trim()) {
        None | Some("") => Ok(String::new()),
        Some(text) => match ProxyUrl::parse(text) {
            Ok(url) => Ok(url.0),
            Err(hint) => Err(NetError::Options { what: format!("the environment's {name} is not a proxy"), hint }),
        },
    }
}

/// Go writes `*.example.com` and `host:port` too, and NO_PROXY is shared with programs in Go.
fn no_proxy(text: &str) -> String {
    let entries = text.split(',').map(|entry| {
        let entry = entry.trim();
        let entry = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
        match entry.split_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            _ => entry.trim_start_matches('[').trim_end_matches(']'),
        }
    });
    entries.chain([ALWAYS_DIRECT]).collect::<Vec<_>>().join(",")
}

/// Asks the proxy at the other end of `tcp` for a tunnel to `to`.
///
/// # Errors
/// The proxy's refusal, or what an I/O error says.
pub(super) async fn tunnel(tcp: &mut TcpStream, to: &Uri, proxy: &Intercept) -> Result<(), NetError> {
    let ask = ask(&peer(to), proxy.basic_auth());
    let failed = |error: std::io::Error| NetError::of_io(&error, peer(proxy.uri()));
    tcp.write_all(&ask).await.map_err(failed)?;
    let head = read_head(tcp).await.map_err(failed)?;
    match status(&head) {
        Some(200..=299) => Ok(()),
        Some(status) => Err(NetError::Proxy { proxy: peer(proxy.uri()), status }),
        None => Err(NetError::Protocol { to: peer(proxy.uri()), why: "no answer to CONNECT".into(), plain: false }),
    }
}

fn ask(to: &str, auth: Option<&HeaderValue>) -> Vec<u8> {
    let mut ask = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
    if let Some(auth) = auth {
        ask.extend_from_slice(b"Proxy-Authorization: ");
        ask.extend_from_slice(auth.as_bytes());
        ask.extend_from_slice(b"\r\n");
    }
    ask.extend_from_slice(b"\r\n");
    ask
}

/// Reads up to the empty line. Nothing can follow it before we have spoken TLS.
async fn read_head(tcp: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") && head.len() < ANSWER_HEAD_BYTES_MAX {
        if tcp.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.get(..12)?).ok()?;
    line.strip_prefix("HTTP/1.")?.get(2..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy_of(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of(&url.parse().unwrap()).map(|proxy| peer(proxy.uri()))
    }

    #[test]
    fn the_environment_says_which_requests_are_direct() {
        let environment = ProxyEnvironment {
            http: Some("one:3128".into()),
            all: Some("http://two:3129".into()),
            no: Some("*.inner.example, 10.0.0.0/8,api:443, [::1] ,exact.example".into()),
            ..ProxyEnvironment::default()
        };
        let proxies = Proxies::new(None, &environment).unwrap();
        for (url, expect) in [
            ("http://example.com/", Some("one:3128")),
            ("https://example.com/", Some("two:3129")),
            ("http://a.inner.example/", None),
            ("http://10.1.2.3/", None),
            ("http://11.1.2.3/", Some("one:3128")),
            ("https://api/", None),
            ("http://[::1]:80/", None),
            ("https://sub.exact.example/", None),
            ("http://169.254.170.23/v1/credentials", None),
            ("http://[fd00:ec2::23]/v1/credentials", None),
        ] {
            assert_eq!(proxy_of(&proxies, url).as_deref(), expect, "{url}");
        }
    }

    #[test]
    fn an_explicit_proxy_takes_all_but_the_credentials_of_the_cloud() {
        let environment = ProxyEnvironment { no: Some("*".into()), ..ProxyEnvironment::default() };
        let proxies = Proxies::new(Some(&ProxyUrl::parse("http://p:1").unwrap()), &environment).unwrap();
        assert_eq!(proxy_of(&proxies, "https://example.com").as_deref(), Some("p:1"));
        assert_eq!(proxy_of(&proxies, "http://169.254.169.254/"), None);
    }

    #[test]
    fn credentials_are_never_shown() {
        let url = ProxyUrl::parse("http://user:s3cret@proxy:3128").unwrap();
        assert_eq!(format!("{url:?}"), "proxy:3128");
        let environment =
            ProxyEnvironment { http: Some("socks5://user:s3cret@p".into()), ..ProxyEnvironment::default() };
        let error = Proxies::new(None, &environment).err().unwrap();
        assert!(!format!("{error:?} {error} {:?}", error.hint()).contains("s3cret"));
    }

    #[test]
    fn the_status_of_an_answer_to_connect() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407 Who\r\n\r\n"), Some(407));
        assert_eq!(status(b"SSH-2.0-OpenSSH\r\n"), None);
        assert_eq!(status(b""), None);
    }
}
