//! The Kubernetes API, for lists and watches: kube's client over the TLS and the connections of every other client.
//!
//! ```text
//! ApiClient ── kube::Client ── [a kubeconfig's credentials] ── ApiService ── hyper's pool ── Connector
//!                                                              base URL, token read anew, time-out of the head
//! ```
//! It is never reached through a proxy. A list is cut into its objects as it comes: its size costs no memory.

mod cutter;
mod place;
mod service;

pub use place::{ApiOptions, Place};

use super::error::NetError;
use cutter::ListCutter;
use futures_util::Stream;
use http_body_util::{BodyExt, Limited};
use kube::core::Request;
use kube::core::params::{ListParams, WatchParams};
use serde_json::Value;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::timeout;

pub use kube::core::WatchEvent;

/// Between two parts of a list.
const PART_TIMEOUT: Duration = Duration::from_secs(30);
/// Of an answer that is no list.
const ERROR_BYTES_MAX: usize = 64 << 10;
/// Of one object: what etcd takes of one is less.
const OBJECT_BYTES_MAX: usize = 4 << 20;

/// Events of a watch.
pub type Events = Pin<Box<dyn Stream<Item = Result<WatchEvent<Value>, kube::Error>> + Send>>;

/// Why the API did not give what was asked for.
#[derive(Debug, Clone)]
pub enum ApiError {
    /// It said no.
    Refused {
        /// 401, 403, 410, 500, …
        status: u16,
        /// What it says.
        message: String,
    },
    /// There was no answer.
    Net(NetError),
    /// The answer was not understood, or came too slowly.
    Answer(String),
}

impl ApiError {
    /// The remedy, where one is known. `rights`: what the service account must have, as in "to list and to watch pods".
    pub fn hint(&self, rights: &str) -> Option<String> {
        match self {
            Self::Refused { status: 401, .. } => Some("is the token right? see `kube_token_file`".into()),
            Self::Refused { status: 403, .. } => Some(format!("the service account needs the rights {rights}")),
            Self::Refused { status: 404, .. } => Some("is `kube_url` the address of a Kubernetes API?".into()),
            Self::Net(error) => error.hint().map(str::to_owned),
            _ => None,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, message } => write!(f, "the Kubernetes API answered {status}: {message}"),
            Self::Net(error) => write!(f, "{error}"),
            Self::Answer(what) => f.write_str(what),
        }
    }
}

impl Error for ApiError {}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused { status: status.code, message: status.message },
            kube::Error::Service(error) => match error.downcast::<NetError>() {
                Ok(error) => Self::Net(*error),
                Err(error) => Self::Answer(error.to_string()),
            },
            other => Self::Answer(other.to_string()),
        }
    }
}

/// Asks one API server.
#[derive(Clone)]
pub struct ApiClient {
    client: kube::Client,
}

impl ApiClient {
    /// Connects nowhere yet.
    ///
    /// # Errors
    /// Files that cannot be read, a kubeconfig that cannot be used.
    pub async fn new(options: &ApiOptions) -> Result<Self, ApiError> {
        service::client(options).await.map(|client| Self { client })
    }

    /// Lists what `path` holds, from the API server's cache, and hands out each object as it comes; returns the version of the list.
    ///
    /// # Errors
    /// Some objects may have been handed out before.
    pub async fn list(
        &self,
        path: &str,
        fields: Option<&str>,
        mut take: impl FnMut(Value),
    ) -> Result<String, ApiError> {
        let params = ListParams { field_selector: fields.map(str::to_owned), ..ListParams::default().match_any() };
        let request = Request::new(path).list(&params).map_err(|e| ApiError::Answer(e.to_string()))?;
        let answer = self.client.send(request.map(kube::client::Body::from)).await?;
        let (head, mut body) = answer.into_parts();
        if !head.status.is_success() {
            return Err(refusal(head.status.as_u16(), body).await);
        }
        let mut cutter = ListCutter::default();
        let mut unreadable = None;
        loop {
            let late = |_| ApiError::Answer(format!("a list of {path} came to a halt for {PART_TIMEOUT:?}"));
            let Some(frame) = timeout(PART_TIMEOUT, body.frame()).await.map_err(late)? else { break };
            let broken = |e| ApiError::Answer(format!("a list of {path} broke off: {e}"));
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                cutter.push(&data, |object| match serde_json::from_slice(object) {
                    Ok(object) => take(object),
                    Err(error) => unreadable = Some(error),
                })?;
            }
        }
        // Else it would count as deleted.
        if let Some(error) = unreadable {
            return Err(ApiError::Answer(format!("a list of {path} has an object that is not understood: {error}")));
        }
        cutter.version()
    }

    /// One object.
    ///
    /// # Errors
    /// The API does not answer, or refuses.
    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        let request = http::Request::get(path).body(kube::client::Body::empty());
        let answer = self.client.send(request.map_err(|e| ApiError::Answer(e.to_string()))?).await?;
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            return Err(refusal(head.status.as_u16(), body).await);
        }
        let late = |_| ApiError::Answer(format!("{path} came to a halt for {PART_TIMEOUT:?}"));
        let broken = |e| ApiError::Answer(format!("{path} broke off: {e}"));
        let body = Limited::new(body, OBJECT_BYTES_MAX).collect();
        let object = timeout(PART_TIMEOUT, body).await.map_err(late)?.map_err(broken)?;
        serde_json::from_slice(&object.to_bytes()).map_err(|e| ApiError::Answer(format!("{path} is no JSON: {e}")))
    }

    /// Watches what `path` holds, from a version on; the server ends it after so long.
    ///
    /// # Errors
    /// It did not begin. What goes wrong later is among the events.
    pub async fn watch(
        &self,
        path: &str,
        fields: Option<&str>,
        version: &str,
        length: Duration,
    ) -> Result<Events, ApiError> {
        let params = WatchParams {
            field_selector: fields.map(str::to_owned),
            timeout: u32::try_from(length.as_secs()).ok(),
            ..WatchParams::default()
        };
        let request = Request::new(path).watch(&params, version).map_err(|e| ApiError::Answer(e.to_string()))?;
        Ok(Box::pin(self.client.request_events::<Value>(request).await?))
    }
}

/// What an API says when it says no: a `Status`, or anything.
async fn refusal(status: u16, mut body: kube::client::Body) -> ApiError {
    let mut text = Vec::new();
    while text.len() < ERROR_BYTES_MAX
        && let Ok(Some(Ok(frame))) = timeout(PART_TIMEOUT, body.frame()).await
    {
        text.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    let said = serde_json::from_slice::<Value>(&text).unwrap_or_default();
    let message = said["message"].as_str().or(said["reason"].as_str()).map(str::to_owned);
    ApiError::Refused { status, message: message.unwrap_or_else(|| "without a word".into()) }
}
