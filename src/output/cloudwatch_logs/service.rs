//! The calls of CloudWatch Logs that are made: one attempt each, by the SDK over our client.

use super::answer::Failure;
use super::body::Put;
use super::settings::GroupSettings;
use crate::net::Aws;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_cloudwatchlogs::config::{Builder, ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_cloudwatchlogs::types::{LogGroupClass, RejectedLogEventsInfo};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use tokio::sync::OnceCell;

/// CloudWatch Logs, as one output reaches it.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) aws: Aws,
    /// A URL; without it that of the region.
    pub(super) endpoint: Option<String>,
    pub(super) user_agent: Option<String>,
    /// Messages are in the embedded metric format.
    pub(super) emf: bool,
    client: OnceCell<Client>,
}

impl Service {
    pub(super) fn new(aws: Aws, endpoint: Option<String>, user_agent: Option<String>, emf: bool) -> Self {
        Self { aws, endpoint, user_agent, emf, client: OnceCell::new() }
    }

    /// Sends a body that was written before: what the SDK would make of ten thousand events costs more than all else.
    pub(super) async fn put(
        &self,
        group: &str,
        stream: &str,
        put: &Put,
    ) -> Result<Option<RejectedLogEventsInfo>, Failure> {
        let (body, gzip, emf) = (put.body.clone(), put.gzip, self.emf);
        let call = self.client().await?.put_log_events().log_group_name(group).log_stream_name(stream);
        let put_in = move |request: &mut HttpRequest| {
            request.headers_mut().insert("content-length", body.len().to_string());
            if gzip {
                request.headers_mut().insert("content-encoding", "gzip");
            }
            if emf {
                request.headers_mut().insert("x-amzn-logs-format", "json/emf");
            }
            *request.body_mut() = SdkBody::from(body.clone());
        };
        let call = call.set_log_events(Some(Vec::new())).customize().mutate_request(put_in);
        let answer = call.send().await.map_err(|error| Failure::of(&error))?;
        if let Some(why) = answer.rejected_entity_info() {
            tracing::debug!("{group}: the entity was not taken: {why:?}");
        }
        Ok(answer.rejected_log_events_info().cloned())
    }

    pub(super) async fn create_stream(&self, group: &str, stream: &str) -> Result<(), Failure> {
        let call = self.client().await?.create_log_stream().log_group_name(group).log_stream_name(stream);
        call.send().await.map(drop).map_err(|error| Failure::of(&error))
    }

    pub(super) async fn create_group(&self, group: &str, settings: &GroupSettings) -> Result<(), Failure> {
        let mut call = self.client().await?.create_log_group().log_group_name(group);
        if let Some(class) = settings.class {
            call = call.log_group_class(LogGroupClass::from(class.name()));
        }
        for (key, value) in &settings.tags {
            call = call.tags(key, value);
        }
        call.send().await.map(drop).map_err(|error| Failure::of(&error))
    }

    pub(super) async fn put_retention(&self, group: &str, days: u16) -> Result<(), Failure> {
        let call = self.client().await?.put_retention_policy().log_group_name(group).retention_in_days(days.into());
        call.send().await.map(drop).map_err(|error| Failure::of(&error))
    }

    async fn client(&self) -> Result<&Client, Failure> {
        // Asked for beforehand: what is missing is said in our words.
        self.aws.credentials().await.map_err(Failure::Aws)?;
        self.client.get_or_try_init(|| self.make()).await
    }

    async fn make(&self) -> Result<Client, Failure> {
        let mut config = Builder::from(self.aws.config().await.map_err(Failure::Aws)?);
        if let Some(endpoint) = &self.endpoint {
            config = config.endpoint_url(endpoint);
        }
        if let Some(words) = &self.user_agent {
            config = config.interceptor(UserAgent(words.clone()));
        }
        Ok(Client::from_conf(config.build()))
    }
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
