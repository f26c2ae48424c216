//! The metadata service of an EC2 instance (IMDS).
//!
//! ```text
//! PUT /latest/api/token ─▶ token ─▶ GET /latest/meta-data/…      version 2
//!                                   GET /latest/meta-data/…      version 1
//! ```
//! Its address is that of the AWS SDKs: `AWS_EC2_METADATA_SERVICE_ENDPOINT`, else by `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE` the
//! link-local one of IPv4 or IPv6. It is never reached through a proxy. From a pod the token does not come where the instance's hop
//! limit is 1: every request has a second.

use crate::config::Environment;
use crate::net::client::{Client, Request, Response};
use crate::net::error::NetError;
use crate::net::options::ClientOptions;
use crate::net::proxy::ProxyEnvironment;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
use std::fmt;
use std::time::Duration;

const IPV4: &str = "http://169.254.169.254";
const IPV6: &str = "http://[fd00:ec2::254]";
const TIMEOUT: Duration = Duration::from_secs(1);
/// Longer than fetching everything takes.
const TOKEN_SECONDS: &str = "300";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
const TOKEN_SECONDS_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";

crate::option_enum! {
    /// How the service is asked.
    pub enum MetadataVersion {
        /// With a token.
        V2 = "v2",
        /// Without one.
        V1 = "v1",
    }
}

/// Why the service did not give what was asked for.
#[derive(Debug)]
pub enum MetadataError {
    /// The environment says that it must not be asked.
    Disabled,
    /// There was no answer.
    Net(NetError),
    /// It said no.
    Refused {
        /// 401, 403, 500, …
        status: u16,
        /// What was asked for.
        path: String,
    },
    /// Something that cannot be used.
    Answer(String),
}

impl MetadataError {
    /// The remedy, where one is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Net(NetError::Timeout { .. }) => Some(
                "in a pod the hop limit of the instance's metadata service must be 2 (aws ec2 modify-instance-metadata-options \
                 --http-put-response-hop-limit 2), or the pod be of the host's network",
            ),
            Self::Refused { status: 401, .. } => Some("it wants a token: set `imds_version v2`"),
            Self::Refused { status: 403, .. } => Some("the metadata service of the instance is switched off"),
            _ => None,
        }
    }
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("AWS_EC2_METADATA_DISABLED says that the metadata service must not be asked"),
            Self::Net(error) => write!(f, "the metadata service cannot be reached: {error}"),
            Self::Refused { status, path } => write!(f, "the metadata service answered {status} to {path}"),
            Self::Answer(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for MetadataError {}

/// Asks the service.
pub struct MetadataService {
    client: Client,
    endpoint: String,
    version: MetadataVersion,
    token: Option<HeaderValue>,
}

impl MetadataService {
    /// Connects nowhere yet.
    ///
    /// # Errors
    /// It must not be asked.
    pub fn new(version: MetadataVersion, environment: &Environment) -> Result<Self, MetadataError> {
        let set = |name| environment.get(name).map(str::trim).filter(|value| !value.is_empty());
        if set("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(MetadataError::Disabled);
        }
        let is_v6 = set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let endpoint = set("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(if is_v6 { IPV6 } else { IPV4 });
        let client = Client::new(&ClientOptions::direct(TIMEOUT, TIMEOUT), &ProxyEnvironment::default());
        let client = client.map_err(MetadataError::Net)?;
        Ok(Self { client, endpoint: endpoint.trim_end_matches('/').to_owned(), version, token: None })
    }

    /// What stands at a path such as `meta-data/instance-id`; `None` where there is nothing.
    ///
    /// # Errors
    /// The service cannot be reached, or refuses.
    pub async fn get(&mut self, path: &str) -> Result<Option<String>, MetadataError> {
        let mut response = self.ask(path).await?;
        // A token that is no good any more, or that a restart of the service has forgotten.
        if response.status == 401 && self.token.take().is_some() {
            response = self.ask(path).await?;
        }
        match response.status {
            200 => Ok(Some(text(&response.body, path)?)),
            404 => Ok(None),
            status => Err(MetadataError::Refused { status, path: path.to_owned() }),
        }
    }

    async fn ask(&mut self, path: &str) -> Result<Response, MetadataError> {
        let mut headers = HeaderMap::new();
        if self.version == MetadataVersion::V2 {
            headers.insert(TOKEN_HEADER, self.token().await?);
        }
        self.send(Method::GET, path, &headers).await
    }

    async fn token(&mut self) -> Result<HeaderValue, MetadataError> {
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        let path = "api/token";
        let headers = [(TOKEN_SECONDS_HEADER, TOKEN_SECONDS)]
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        let response = self.send(Method::PUT, path, &headers.into_iter().collect()).await?;
        if response.status != 200 {
            return Err(MetadataError::Refused { status: response.status, path: path.to_owned() });
        }
        let mut token = HeaderValue::from_str(text(&response.body, path)?.trim())
            .map_err(|_| MetadataError::Answer("the token of the metadata service is none".into()))?;
        token.set_sensitive(true);
        self.token = Some(token.clone());
        Ok(token)
    }

    async fn send(&self, method: Method, path: &str, headers: &HeaderMap) -> Result<Response, MetadataError> {
        let url = format!("{}/latest/{path}", self.endpoint);
        let unusable =
            |_| MetadataError::Answer(format!("{url} is no URL; hint: see AWS_EC2_METADATA_SERVICE_ENDPOINT"));
        let url: Uri = url.parse().map_err(unusable)?;
        let request = Request { method, url: &url, headers, body: Bytes::new() };
        self.client.send(request).await.map_err(MetadataError::Net)
    }
}

fn text(body: &[u8], path: &str) -> Result<String, MetadataError> {
    let unusable = |_| MetadataError::Answer(format!("the answer of the metadata service to {path} is no text"));
    std::str::from_utf8(body).map(str::to_owned).map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_of_the_sdks() {
        for (variables, expect) in [
            (vec![], Some(IPV4)),
            (vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6")], Some(IPV6)),
            (vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1/")], Some("http://127.0.0.1:1")),
            (vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", " ")], Some(IPV4)),
            (vec![("AWS_EC2_METADATA_DISABLED", "True")], None),
        ] {
            let environment = Environment::of(variables.clone());
            let service = MetadataService::new(MetadataVersion::V2, &environment);
            assert_eq!(service.ok().map(|service| service.endpoint).as_deref(), expect, "{variables:?}");
        }
    }
}
