//! The options of an HTTP client, in Fluent Bit's words.
//!
//! One name differs in its default: Fluent Bit leaves `tls.verify_hostname` off, so that any certificate of a known
//! authority is good for any host. Here the name is always verified together with the certificate, unless the option is `off`.

use std::net::IpAddr;

use super::proxy::ProxyUrl;
use crate::config::{Duration, OptionValue};

/// How long a connection is kept that nobody uses.
const IDLE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

crate::options! {
    /// How an output reaches its destination.
    pub struct ClientOptions {
        /// Speak TLS.
        tls: bool, "tls", default "off";
        /// Verify the server's certificate.
        tls_verify: bool, "tls.verify", default "on";
        /// Verify that the certificate is for the host (or for `tls.vhost`); needs `tls.verify on`. Off in Fluent Bit.
        tls_verify_hostname: bool, "tls.verify_hostname", default "on";
        /// Certificates (PEM) of the authorities to trust, instead of the system's.
        tls_ca_file: String, "tls.ca_file", optional;
        /// A folder with such files, in OpenSSL's layout or not.
        tls_ca_path: String, "tls.ca_path", optional;
        /// The client's certificate (PEM, with its chain).
        tls_crt_file: String, "tls.crt_file", optional;
        /// The client's key (PEM, not encrypted).
        tls_key_file: String, "tls.key_file", optional;
        /// The name to ask for (SNI) and to verify, when it is not the host.
        tls_vhost: String, "tls.vhost", optional;
        /// `TLSv1.2` or `TLSv1.3`; older words mean 1.2, the oldest that drave speaks.
        tls_min_version: TlsVersion, "tls.min_version", optional;
        /// `TLSv1.2` or `TLSv1.3`.
        tls_max_version: TlsVersion, "tls.max_version", optional;
        /// `http://[user:password@]host:port`. Instead of HTTP_PROXY and HTTPS_PROXY, and NO_PROXY does not hold for it.
        proxy: ProxyUrl, "proxy", optional;
        /// From the open connection to the end of the answer.
        response_timeout: Duration, "http.response_timeout", default "60s";
        /// For the name, the connection, the proxy and the TLS handshake together.
        connect_timeout: Duration, "net.connect_timeout", default "10s";
        /// Keep connections for the next request.
        keepalive: bool, "net.keepalive", default "on";
        /// Close a connection that was not used for so long.
        keepalive_idle_timeout: Duration, "net.keepalive_idle_timeout", default "30s";
        /// Give a connection up when no byte moved for so long; 0 is never.
        io_timeout: Duration, "net.io_timeout", default "0";
        /// The address of this machine to connect from.
        source_address: SourceAddress, "net.source_address", optional;
        /// Ignore HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
        proxy_env_ignore: bool, "net.proxy_env_ignore", default "off";
        /// Try IPv4 addresses first.
        prefer_ipv4: bool, "net.dns.prefer_ipv4", default "off";
        /// Try IPv6 addresses first.
        prefer_ipv6: bool, "net.dns.prefer_ipv6", default "off";
    }
    no_effect {
        "tls.verify_client_cert": "only a server verifies the certificate of a client";
        "tls.debug": "what went wrong with TLS is always in the log";
        "tls.proxy.ca_file": "no TLS is spoken with a proxy itself";
        "tls.proxy.ca_path": "no TLS is spoken with a proxy itself";
        "tls.proxy.verify": "no TLS is spoken with a proxy itself";
        "tls.proxy.verify_hostname": "no TLS is spoken with a proxy itself";
        "http.read_idle_timeout": "`http.response_timeout` bounds the whole answer, `net.io_timeout` the time without a byte";
        "net.dns.mode": "names are resolved by the system";
        "net.dns.resolver": "names are resolved by the system";
        "net.tcp_keepalive": "connections are always probed, each 60 s";
        "net.tcp_keepalive_time": "connections are always probed, each 60 s";
        "net.tcp_keepalive_interval": "connections are always probed, each 60 s";
        "net.tcp_keepalive_probes": "connections are always probed, each 60 s";
        "net.connect_timeout_log_error": "what went wrong is always in the log";
        "net.keepalive_max_recycle": "a connection is kept until it was idle for `net.keepalive_idle_timeout`";
        "net.max_worker_connections": "there is one connection for each request under way";
    }
    refused {
        "tls.key_passwd": "encrypted keys cannot be read: decrypt it (openssl pkey -in KEY -out FILE) and name that file in `tls.key_file`";
        "tls.ciphers": "the suites cannot be chosen: TLS 1.2 and 1.3 are spoken with strong ones only; `tls.min_version` chooses the version";
    }
    deviations {
        "`tls.verify_hostname`": "is on: without it any certificate of a known authority is good for any host";
        "`tls.min_version`": "is TLS 1.2, whatever older version it names";
        "`net.tcp_keepalive`": "is always on, each 60 s: a peer that vanished is noticed, and address translation keeps idle connections";
    }
}

impl ClientOptions {
    /// Of a client that no section describes: through no proxy, with so much time to connect and for the answer.
    pub(super) fn direct(connect: std::time::Duration, answer: std::time::Duration) -> Self {
        Self {
            tls: false,
            tls_verify: true,
            tls_verify_hostname: true,
            tls_ca_file: None,
            tls_ca_path: None,
            tls_crt_file: None,
            tls_key_file: None,
            tls_vhost: None,
            tls_min_version: None,
            tls_max_version: None,
            proxy: None,
            response_timeout: Duration(answer),
            connect_timeout: Duration(connect),
            keepalive: true,
            keepalive_idle_timeout: Duration(IDLE_TIMEOUT),
            io_timeout: Duration(std::time::Duration::ZERO),
            source_address: None,
            proxy_env_ignore: true,
            prefer_ipv4: false,
            prefer_ipv6: false,
        }
    }

    /// `https` with `tls on`, else `http`.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The same for servers that are needed beside the destination, as those that give credentials: what the options say of TLS they say
    /// of the destination alone.
    #[must_use]
    pub fn of_others(&self) -> Self {
        Self {
            tls_verify: true,
            tls_verify_hostname: true,
            tls_ca_file: None,
            tls_ca_path: None,
            tls_crt_file: None,
            tls_key_file: None,
            tls_vhost: None,
            ..self.clone()
        }
    }
}

/// A version of TLS, as options write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.1 and what came before: understood, never spoken.
    Older,
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl OptionValue for TlsVersion {
    const KIND: &'static str = "TLSv1.2|TLSv1.3";
    const WORDS: &'static [&'static str] = &["TLSv1.2", "TLSv1.3", "TLSv1.1", "TLSv1.0", "TLSv1", "SSLv3", "SSLv2"];
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "sslv2" | "sslv3" | "tlsv1" | "tlsv1.0" | "tlsv1.1" => Ok(Self::Older),
            "tlsv1.2" => Ok(Self::V1_2),
            "tlsv1.3" => Ok(Self::V1_3),
            _ => Err("expected TLSv1.2 or TLSv1.3".into()),
        }
    }
}

/// An address of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceAddress(pub IpAddr);

impl OptionValue for SourceAddress {
    const KIND: &'static str = "address";
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "expected an IPv4 or IPv6 address".into())
    }
}
