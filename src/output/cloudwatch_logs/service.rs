//! The calls of CloudWatch Logs that are made: one attempt each, by the SDK over our client.

use super::answer::Failure;
use super::body::Put;
use super::settings::GroupSettings;
use crate::net::{Aws, Chunks, Hash};
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_cloudwatchlogs::config::{Builder, ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_cloudwatchlogs::types::{LogGroupClass, RejectedLogEventsInfo};
use aws_sigv4::http_request::SignableBody;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use std::fmt::Write as _;
use tokio::sync::OnceCell;

/// CloudWatch Logs, as one output reaches it.
#[derive(Debug)]
pub(super) struct Service {
    aws: Aws,
    /// What its calls go through; credentials have a client of their own.
    http: SharedHttpClient,
    /// A URL; without it that of the region.
    endpoint: Option<String>,
    user_agent: Option<String>,
    /// Messages are in the embedded metric format.
    emf: bool,
    client: OnceCell<Client>,
}

impl Service {
    pub(super) fn new(
        aws: Aws,
        http: SharedHttpClient,
        endpoint: Option<String>,
        user_agent: Option<String>,
        emf: bool,
    ) -> Self {
        Self { aws, http, endpoint, user_agent, emf, client: OnceCell::new() }
    }

    /// Sends a body that was written before: what the SDK would make of ten thousand events costs more than all else.
    pub(super) async fn put(
        &self,
        group: &str,
        stream: &str,
        put: &Put,
        hash: &Hash,
    ) -> Result<Option<RejectedLogEventsInfo>, Failure> {
        let call = self.client().await?.put_log_events().log_group_name(group).log_stream_name(stream);
        let (body, gzip, emf) = (put.body.iter().cloned().collect(), put.gzip, self.emf);
        let bytes = put.body.iter().map(Bytes::len).sum();
        let prepared = Prepared { body, bytes, hash: hex(hash), gzip, emf };
        let call = call.set_log_events(Some(Vec::new())).customize().interceptor(prepared);
        let answer = self.look(call.send().await.map_err(|error| Failure::of(&error))).await?;
        if let Some(why) = answer.rejected_entity_info() {
            tracing::debug!("{group}: the entity was not taken: {why:?}");
        }
        Ok(answer.rejected_log_events_info().cloned())
    }

    pub(super) async fn create_stream(&self, group: &str, stream: &str) -> Result<(), Failure> {
        let call = self.client().await?.create_log_stream().log_group_name(group).log_stream_name(stream);
        self.look(call.send().await.map(drop).map_err(|error| Failure::of(&error))).await
    }

    pub(super) async fn create_group(&self, group: &str, settings: &GroupSettings) -> Result<(), Failure> {
        let mut call = self.client().await?.create_log_group().log_group_name(group);
        if let Some(class) = settings.class {
            call = call.log_group_class(LogGroupClass::from(class.name()));
        }
        for (key, value) in &settings.tags {
            call = call.tags(key, value);
        }
        self.look(call.send().await.map(drop).map_err(|error| Failure::of(&error))).await
    }

    pub(super) async fn put_retention(&self, group: &str, days: u16) -> Result<(), Failure> {
        let call = self.client().await?.put_retention_policy().log_group_name(group).retention_in_days(days.into());
        self.look(call.send().await.map(drop).map_err(|error| Failure::of(&error))).await
    }

    /// Credentials that are not good any more are not used again.
    async fn look<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        if answer.as_ref().is_err_and(Failure::is_of_credentials) {
            self.aws.forget_credentials().await;
        }
        answer
    }

    async fn client(&self) -> Result<&Client, Failure> {
        // Asked for beforehand: what is missing is said in our words.
        self.aws.credentials().await.map_err(Failure::Aws)?;
        self.client.get_or_try_init(|| self.make()).await
    }

    async fn make(&self) -> Result<Client, Failure> {
        let mut config = Builder::from(self.aws.config().await.map_err(Failure::Aws)?).http_client(self.http.clone());
        if let Some(endpoint) = &self.endpoint {
            config = config.endpoint_url(endpoint);
        }
        if let Some(words) = &self.user_agent {
            config = config.interceptor(UserAgent(words.clone()));
        }
        Ok(Client::from_conf(config.build()))
    }
}

/// A body that is there already, in the place of what the SDK would write.
#[derive(Debug)]
struct Prepared {
    body: Chunks,
    bytes: usize,
    /// Of the body: told to the signer, which would hash it once more.
    hash: String,
    gzip: bool,
    emf: bool,
}

impl Intercept for Prepared {
    fn name(&self) -> &'static str {
        "PreparedBody"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.headers_mut().insert("content-length", self.bytes.to_string());
        if self.gzip {
            request.headers_mut().insert("content-encoding", "gzip");
        }
        if self.emf {
            request.headers_mut().insert("x-amzn-logs-format", "json/emf");
        }
        *request.body_mut() = SdkBody::from_body_1_x(self.body.clone());
        let mut signing = config.load::<SigV4OperationSigningConfig>().cloned().unwrap_or_default();
        signing.signing_options.payload_override = Some(SignableBody::Precomputed(self.hash.clone()));
        config.interceptor_state().store_put(signing);
        Ok(())
    }
}

fn hex(hash: &Hash) -> String {
    hash.iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing into a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// `extra_user_agent`.
#[derive(Debug)]
struct UserAgent(String);

impl Intercept for UserAgent {
    fn name(&self) -> &'static str {
        "ExtraUserAgent"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        let agent = format!("{} {}", headers.get("user-agent").unwrap_or_default(), self.0);
        headers.try_insert("user-agent", agent)?;
        Ok(())
    }
}
