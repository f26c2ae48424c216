//! What went wrong on the way to another machine, with a remedy and with a label for metrics.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// The label of a failure in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The options cannot work, whatever the network does.
    Options,
    /// The host has no address.
    Dns,
    /// No connection: refused, unreachable, or the proxy said no.
    Connect,
    /// The handshake failed, or a certificate was not accepted.
    Tls,
    /// It took too long.
    Timeout,
    /// The connection ended before the answer did.
    Reset,
    /// The answer is not HTTP.
    Protocol,
}

impl Cause {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Options => "options",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
        }
    }
}

/// A request that got no answer, or a client that could not be built. Never holds credentials: peers are named by host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetError {
    /// An option that cannot work, as a file that is not there.
    Options {
        /// What is wrong.
        what: String,
        /// The remedy.
        hint: String,
    },
    /// The name was not resolved.
    Dns {
        /// The name.
        host: String,
        /// The resolver's word.
        why: String,
    },
    /// No TCP connection.
    Connect {
        /// Host and port.
        to: String,
        /// The system's word.
        why: String,
        /// Somebody answered: nothing listens there.
        refused: bool,
    },
    /// The proxy did not open the tunnel.
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// Its answer.
        status: u16,
    },
    /// The TLS handshake, or an alert after it.
    Tls {
        /// Host and port.
        to: String,
        /// What rustls says.
        why: String,
        /// The remedy, where one is known.
        hint: Option<&'static str>,
    },
    /// Too slow.
    Timeout {
        /// Host and port.
        to: String,
        /// What was being done: `connecting`, `waiting for the answer`, …
        doing: &'static str,
        /// The limit, where it was one of ours.
        after: Option<Duration>,
    },
    /// The connection ended early.
    Reset {
        /// Host and port.
        to: String,
        /// What the system or hyper says.
        why: String,
    },
    /// Not HTTP.
    Protocol {
        /// Host and port.
        to: String,
        /// What hyper says.
        why: String,
        /// No TLS was spoken, so that a TLS port would explain it.
        plain: bool,
    },
}

impl NetError {
    /// The label for metrics.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Options { .. } => Cause::Options,
            Self::Dns { .. } => Cause::Dns,
            Self::Connect { .. } | Self::Proxy { .. } => Cause::Connect,
            Self::Tls { .. } => Cause::Tls,
            Self::Timeout { .. } => Cause::Timeout,
            Self::Reset { .. } => Cause::Reset,
            Self::Protocol { .. } => Cause::Protocol,
        }
    }

    /// The remedy, where one is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Options { hint, .. } => Some(hint),
            Self::Dns { .. } => Some("is the host name right, and can this machine or pod resolve it?"),
            Self::Connect { refused: true, .. } => Some("nothing listens there: is it running, and is the port right?"),
            Self::Connect { .. } => Some("is there a route, and does a firewall or network policy allow it?"),
            Self::Proxy { status: 407, .. } => {
                Some("give the credentials in the proxy's address: http://user:password@host:port")
            }
            Self::Proxy { .. } => {
                Some("the proxy does not let this host through: allow it there, or name it in NO_PROXY")
            }
            Self::Tls { hint, .. } => *hint,
            Self::Timeout { doing: DOING_CONNECT, .. } => {
                Some("a firewall may drop the packets silently; `net.connect_timeout` is the limit")
            }
            Self::Timeout { .. } => Some("the other side is slow or hangs; `http.response_timeout` is the limit"),
            Self::Protocol { plain: true, .. } => Some("if that port speaks TLS, set `tls on`"),
            Self::Reset { .. } | Self::Protocol { .. } => None,
        }
    }

    /// Finds in hyper's chain of errors what really happened.
    pub(super) fn of_exchange(error: &(dyn Error + 'static), to: &http::Uri) -> Self {
        let plain = to.scheme_str() != Some("https");
        let peer = peer(to);
        let mut next = Some(error);
        let mut last = None;
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<Self>() {
                return error.clone();
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Self::of_io(error, peer);
            }
            if let Some(error) = error.downcast_ref::<hyper::Error>()
                && error.is_parse()
            {
                return Self::Protocol { to: peer, why: error.to_string(), plain };
            }
            last = Some(error);
            next = error.source();
        }
        let why = last.map(ToString::to_string).unwrap_or_default();
        Self::Reset { to: peer, why }
    }

    /// An error of an open connection.
    pub(super) fn of_io(error: &io::Error, to: String) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::Tls { to, why: tls.to_string(), hint: tls_hint(tls) };
        }
        match error.kind() {
            ErrorKind::TimedOut => Self::Timeout { to, doing: "waiting for the network", after: None },
            _ => Self::Reset { to, why: error.to_string() },
        }
    }

    /// A failed attempt to connect: `HttpConnector` wraps the resolver's and the system's errors.
    pub(super) fn of_connect(error: &(dyn Error + 'static), to: &http::Uri) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<Self>() {
                return error.clone();
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                if error.kind() == ErrorKind::TimedOut {
                    return Self::Timeout { to: peer(to), doing: DOING_CONNECT, after: None };
                }
                let refused = error.kind() == ErrorKind::ConnectionRefused;
                return Self::Connect { to: peer(to), why: error.to_string(), refused };
            }
            next = error.source();
        }
        Self::Connect { to: peer(to), why: error.to_string(), refused: false }
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options { what, .. } => f.write_str(what),
            Self::Dns { host, why } => write!(f, "cannot resolve {host}: {why}"),
            Self::Connect { to, why, .. } => write!(f, "cannot connect to {to}: {why}"),
            Self::Proxy { proxy, status } => write!(f, "the proxy {proxy} refused with status {status}"),
            Self::Tls { to, why, .. } => write!(f, "TLS with {to} failed: {why}"),
            Self::Timeout { to, doing, after: Some(after) } => write!(f, "{to}: gave up {doing} after {after:?}"),
            Self::Timeout { to, doing, after: None } => write!(f, "{to}: gave up {doing}"),
            Self::Reset { to, why } => write!(f, "{to} ended the connection: {why}"),
            Self::Protocol { to, why, .. } => write!(f, "{to} does not answer in HTTP: {why}"),
        }
    }
}

impl Error for NetError {}

/// What [`NetError::Timeout`] says of a connection that did not come about.
pub(super) const DOING_CONNECT: &str = "connecting";

/// Host and port of a URL, and nothing of its user info, path or query, which may hold secrets.
pub(super) fn peer(url: &http::Uri) -> String {
    let host = url.host().unwrap_or("?");
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    format!("{host}:{port}")
}

fn tls_hint(error: &rustls::Error) -> Option<&'static str> {
    use rustls::CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
    };
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    match error {
        // A bad signature is an authority that was made anew under its old name.
        InvalidCertificate(UnknownIssuer | BadSignature) => {
            Some("the authority that signed the certificate is not known here: set `tls.ca_file` to its certificate")
        }
        InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            Some("the certificate is for another name: set `tls.vhost` to that name, or `tls.verify_hostname off`")
        }
        InvalidCertificate(Expired | ExpiredContext { .. }) => {
            Some("renew the certificate, or correct the clock of this machine")
        }
        InvalidMessage(_) => Some("that port does not seem to speak TLS: set `tls off`, or use its TLS port"),
        AlertReceived(_) => {
            Some("the other side refused: does it want a client certificate (`tls.crt_file`, `tls.key_file`)?")
        }
        _ => None,
    }
}
