//! Everything that talks to other machines, once: the HTTP client with its TLS, pool, proxies and time-outs; gzip and Snappy; back-off.
//!
//! Only this folder builds clients. It knows nothing of records, and retries nothing: that is the delivery's work.
//!
//! ```text
//! Client ── hyper's pool ── Connector ── Resolver (address family) ── TCP ── [CONNECT through a proxy] ── [TLS] ── Socket
//! ```

mod backoff;
mod client;
mod chunks;
mod compress;
mod deflate;
mod huffman;
mod connect;
mod error;
pub mod kube;
mod options;
mod proxy;
mod snappy;
mod socket;
mod tls;
mod aws;
mod sign;
mod sha256;

pub use aws::{
    Aws, AwsError, AwsSettings, MetadataError, MetadataService, MetadataVersion, for_sdk, net_error, with_scheme,
};
pub use backoff::{Backoff, RETRY_AFTER_MAX, retry_after};
pub use chunks::Chunks;
pub use client::{ANSWER_BYTES_MAX, Client, Request, Response};
pub use compress::{gzip, gzip_pieces};
pub use connect::Connector;
pub use error::{Cause, NetError};
pub use options::{ClientOptions, SourceAddress, TlsVersion};
pub use proxy::{ProxyEnvironment, ProxyUrl};
pub use sha256::{Hash, LANES, Message, has_lanes, sha256, sha256_together};
pub use sign::{Signature, sign};
pub use snappy::{Snappy, snappy};
