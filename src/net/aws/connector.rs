//! The SDK's seam for HTTP, filled by our client.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;

use super::super::chunks::Chunks;
use super::super::client::{Client, Request, Response};
use super::super::error::{Cause, NetError};

/// Gives out connectors that share one pool.
pub(super) struct Connections(pub(super) Client);

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

impl HttpClient for Connections {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let client = self.0.clone().with_limits(settings.connect_timeout(), settings.read_timeout());
        SharedHttpConnector::new(OneAttempt(client))
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("hyper", Some(Cow::Borrowed("1.x"))))
    }
}

struct OneAttempt(Client);

impl fmt::Debug for OneAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneAttempt")
    }
}

impl HttpConnector for OneAttempt {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move { send(&client, request).await })
    }
}

async fn send(client: &Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (head, mut body) = request.into_parts();
    // A body in memory comes out as it went in, without a copy.
    let mut chunks = Chunks::default();
    while let Some(frame) = body.frame().await {
        chunks.extend(frame.map_err(ConnectorError::user)?.into_data());
    }
    let mut headers = head.headers;
    // Both are the client's own.
    headers.remove(http::header::HOST);
    headers.remove(http::header::CONTENT_LENGTH);
    let attempt = Request { method: head.method, url: &head.uri, headers: &headers, body: chunks };
    answer(client.send(attempt).await.map_err(connector_error)?)
}

fn answer(response: Response) -> Result<HttpResponse, ConnectorError> {
    let mut answer = http::Response::new(SdkBody::from(response.body));
    *answer.status_mut() = http::StatusCode::from_u16(response.status).map_err(|e| ConnectorError::user(e.into()))?;
    *answer.headers_mut() = response.headers;
    HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
}

fn connector_error(error: NetError) -> ConnectorError {
    match error.cause() {
        Cause::Timeout => ConnectorError::timeout(error.into()),
        Cause::Options => ConnectorError::user(error.into()),
        Cause::Dns | Cause::Connect | Cause::Tls | Cause::Reset | Cause::Protocol => ConnectorError::io(error.into()),
    }
}

/// What our client said, in the middle of an error of the SDK's.
pub fn net_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a NetError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<NetError>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
