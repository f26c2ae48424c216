//! Who this process is for AWS, and where: credentials, region and the SDK's configuration, over our one HTTP client.
//!
//! ```text
//! environment ─▶ profile ─▶ web identity (IRSA) ─▶ container (EKS Pod Identity) ─▶ instance (IMDSv2)     the first that has any
//!                                      └─▶ assume-role, with its external id, on top if there is a `role_arn`
//! ```
//! `aws-config` reads its own variables: `AWS_REGION`, `AWS_PROFILE`, `AWS_ENDPOINT_URL…`, `AWS_USE_FIPS_ENDPOINT`,
//! `AWS_USE_DUALSTACK_ENDPOINT` and those of the chain. Nothing is asked before the first request needs it.

mod connector;
mod credentials;
mod metadata;

use std::fmt;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::retry::ReconnectMode;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use super::client::Client;
use connector::Connections;
pub use connector::net_error;
use credentials::Kept;
pub use metadata::{MetadataError, MetadataService, MetadataVersion};

/// What the options of an output say, each in its own words.
#[derive(Debug, Clone, Default)]
pub struct AwsSettings {
    /// The region; without it as the environment or the profile says.
    pub region: Option<String>,
    /// A profile of the files `~/.aws/config` and `~/.aws/credentials`.
    pub profile: Option<String>,
    /// A role to assume with what the chain finds.
    pub role_arn: Option<String>,
    /// The external id that the role asks for.
    pub external_id: Option<String>,
    /// Where that role is assumed: a host or a URL; without it the STS of the region.
    pub sts_endpoint: Option<String>,
}

/// Credentials and region of one output. Clones share nothing: keep one.
pub struct Aws {
    settings: AwsSettings,
    http: SharedHttpClient,
    loaded: OnceCell<Loaded>,
}

struct Loaded {
    config: SdkConfig,
    credentials: Kept,
}

impl Aws {
    /// Asks nobody yet. Credentials are asked for through `client`: its TLS, its proxies, its time-outs.
    pub fn new(settings: AwsSettings, client: Client) -> Self {
        Self { settings, http: for_sdk(client), loaded: OnceCell::new() }
    }

    /// What a client of the SDK is made with: one attempt per call, and credentials that are fetched anew before they expire.
    ///
    /// # Errors
    /// No region is known.
    pub async fn config(&self) -> Result<&SdkConfig, AwsError> {
        Ok(&self.loaded().await?.config)
    }

    /// The region.
    ///
    /// # Errors
    /// None is known.
    pub async fn region(&self) -> Result<&str, AwsError> {
        Ok(self.config().await?.region().map_or("", Region::as_ref))
    }

    /// Credentials that hold now, for those who sign themselves.
    ///
    /// # Errors
    /// No region is known, or nobody has credentials for this process.
    pub async fn credentials(&self) -> Result<Credentials, AwsError> {
        let provided = self.loaded().await?.credentials.provide_credentials().await;
        provided.map_err(|error| AwsError::of_credentials(&error))
    }

    /// The destination says that the credentials are not good any more: the next request asks for others.
    pub async fn forget_credentials(&self) {
        if let Some(loaded) = self.loaded.get() {
            loaded.credentials.forget().await;
        }
    }

    async fn loaded(&self) -> Result<&Loaded, AwsError> {
        self.loaded.get_or_try_init(|| self.load()).await
    }

    async fn load(&self) -> Result<Loaded, AwsError> {
        let (settings, http) = (self.settings.clone(), self.http.clone());
        let config = load_config(&settings, &http).await;
        if config.region().is_none() {
            return Err(AwsError::no_region());
        }
        let provider = provider_of(&settings, &config).await.ok_or_else(AwsError::no_region)?;
        let again = move || -> BoxFuture<'static, _> {
            let (settings, http) = (settings.clone(), http.clone());
            Box::pin(async move { provider_of(&settings, &load_config(&settings, &http).await).await })
        };
        let credentials = Kept::new(provider, Box::new(again));
        let config = config
            .into_builder()
            .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
            .identity_cache(IdentityCache::no_cache())
            .build();
        Ok(Loaded { config, credentials })
    }
}

async fn load_config(settings: &AwsSettings, http: &SharedHttpClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region_chain(settings))
        .http_client(http.clone())
        // Which connections are kept is the pool's to say; the SDK would complain that it cannot.
        .retry_config(RetryConfig::disabled().with_reconnect_mode(ReconnectMode::ReuseAllConnections))
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Ok(name) = AppName::new("drave") {
        loader = loader.app_name(name);
    }
    loader.load().await
}

/// The instance is not asked: pods often cannot reach it, and would wait for nothing.
fn region_chain(settings: &AwsSettings) -> RegionProviderChain {
    let mut profile = ProfileFileRegionProvider::builder();
    if let Some(name) = &settings.profile {
        profile = profile.profile_name(name);
    }
    RegionProviderChain::first_try(settings.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
}

/// What the chain finds, or the role on top of it.
async fn provider_of(settings: &AwsSettings, config: &SdkConfig) -> Option<SharedCredentialsProvider> {
    let Some(role) = &settings.role_arn else { return config.credentials_provider() };
    let mut config = config.clone().into_builder();
    if let Some(endpoint) = &settings.sts_endpoint {
        config.set_endpoint_url(Some(with_scheme(endpoint)));
    }
    let mut provider = AssumeRoleProvider::builder(role).session_name("drave").configure(&config.build());
    if let Some(id) = &settings.external_id {
        provider = provider.external_id(id);
    }
    Some(SharedCredentialsProvider::new(provider.build().await))
}

/// Our client, for a client of the SDK.
pub fn for_sdk(client: Client) -> SharedHttpClient {
    SharedHttpClient::new(Connections(client))
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// An endpoint as a URL: a host alone is reached over TLS.
pub fn with_scheme(endpoint: &str) -> String {
    if endpoint.contains("://") { endpoint.to_owned() } else { format!("https://{endpoint}") }
}

/// Why nothing can be signed.
#[derive(Debug, Clone)]
pub struct AwsError {
    /// What is missing.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

impl AwsError {
    fn no_region() -> Self {
        Self { message: "no AWS region is known".into(), hint: "set `region`, or the variable AWS_REGION" }
    }

    fn of_credentials(error: &aws_credential_types::provider::error::CredentialsError) -> Self {
        Self {
            message: format!("no AWS credentials: {}", DisplayErrorContext(error)),
            hint: "on EKS give the service account a role (IRSA or Pod Identity); elsewhere set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `profile`",
        }
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; hint: {}", self.message, self.hint)
    }
}

impl std::error::Error for AwsError {}
