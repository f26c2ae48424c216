//! Requests with the signature of AWS: `aws_auth on`.

use super::options::{AwsOptions, AwsService};
use crate::net::{Aws, AwsSettings, Client, ClientOptions, NetError, ProxyEnvironment, Signature, sign};
use crate::output::Outcome;
use http::{HeaderMap, Method, Uri};
use std::time::SystemTime;

/// Signs for one domain or collection.
#[derive(Debug)]
pub(super) struct Signer {
    aws: Aws,
    service: AwsService,
}

impl Signer {
    /// `None`: nothing is signed.
    pub(super) fn new(
        options: &AwsOptions,
        client: &ClientOptions,
        proxies: &ProxyEnvironment,
    ) -> Result<Option<Self>, NetError> {
        if !options.aws_auth {
            return Ok(None);
        }
        let settings = AwsSettings {
            region: options.aws_region.clone(),
            profile: options.aws_profile.clone(),
            role_arn: options.aws_role_arn.clone(),
            external_id: options.aws_external_id.clone(),
            sts_endpoint: options.aws_sts_endpoint.clone(),
        };
        let aws = Aws::new(settings, Client::new(&client.of_others(), proxies)?);
        Ok(Some(Self { aws, service: options.aws_service_name }))
    }

    /// The headers with a signature for this body.
    pub(super) async fn headers(&self, url: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<HeaderMap, Outcome> {
        let credentials = self.aws.credentials().await;
        let (region, credentials) = match (self.aws.region().await, credentials) {
            (Ok(region), Ok(credentials)) => (region, credentials),
            (Err(error), _) | (_, Err(error)) => return Err(unsigned(error.to_string())),
        };
        let signature = Signature {
            service: self.service.name(),
            region,
            credentials: &credentials,
            time: SystemTime::now(),
            with_body_hash: self.service == AwsService::Aoss,
        };
        let mut headers = headers.clone();
        sign(&signature, &Method::POST, url, &mut headers, body).map_err(|error| unsigned(error.to_string()))?;
        Ok(headers)
    }

    /// The server did not take what was signed: the credentials may be over.
    pub(super) async fn refused(&self) {
        self.aws.forget_credentials().await;
    }
}

fn unsigned(why: String) -> Outcome {
    Outcome::Again { after: None, cause: "credentials".into(), message: format!("cannot sign: {why}"), lasting: true }
}
