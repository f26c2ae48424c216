//! The part of kube's client that is ours: connections, the base URL, the token, time-outs.

use super::{ApiError, ApiOptions, Place};
use crate::net::connect::Connector;
use crate::net::error::{NetError, peer};
use crate::net::options::ClientOptions;
use crate::net::proxy::ProxyEnvironment;
use crate::net::tls::Trust;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tower_service::Service;

/// From the request to the head of its answer. A list comes from the API server's memory.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

type Boxed = Box<dyn Error + Send + Sync>;

/// A client of kube's over our connections.
pub(super) async fn client(options: &ApiOptions) -> Result<kube::Client, ApiError> {
    match &options.place {
        Place::Url(url) => {
            let trust = Trust::default();
            let token = match &options.token_command {
                Some(command) => {
                    Token::Command { command: command.clone(), ttl: options.token_ttl, last: Mutex::default() }
                }
                None => Token::File(options.token_file.clone()),
            };
            let service = ApiService::new(url.clone(), options, trust, token)?;
            Ok(kube::Client::new(service, "default"))
        }
        Place::Kubeconfig(file) => of_kubeconfig(file, options).await,
    }
}

async fn of_kubeconfig(file: &Path, options: &ApiOptions) -> Result<kube::Client, ApiError> {
    let unusable = |why: String| ApiError::Answer(format!("the kubeconfig {} cannot be used: {why}", file.display()));
    let kubeconfig = Kubeconfig::read_from(file).map_err(|e| unusable(e.to_string()))?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|e| unusable(e.to_string()))?;
    let roots = config.root_cert.iter().flatten().map(|der| CertificateDer::from(der.clone())).collect();
    let identity = identity(&config.auth_info).map_err(unusable)?;
    let options = ApiOptions {
        verify: options.verify && !config.accept_invalid_certs,
        vhost: options.vhost.clone().or_else(|| config.tls_server_name.clone()),
        ca_file: String::new(),
        ..options.clone()
    };
    let service = ApiService::new(config.cluster_url.clone(), &options, Trust { roots, identity }, Token::None)?;
    let builder = ClientBuilder::new(service, config.default_namespace.clone());
    match config.auth_layer().map_err(|e| unusable(e.to_string()))? {
        Some(layer) => Ok(builder.with_layer(&layer).build()),
        None => Ok(builder.build()),
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The client's certificate and key, as a kubeconfig names or holds them.
fn identity(auth: &AuthInfo) -> Result<Option<Identity>, String> {
    let pem = |data: Option<&str>, file: Option<&str>| match (data, file) {
        (Some(data), _) => BASE64_STANDARD.decode(data.trim()).map(Some).map_err(|e| e.to_string()),
        (None, Some(file)) => std::fs::read(file).map(Some).map_err(|e| format!("{file}: {e}")),
        (None, None) => Ok(None),
    };
    let key_data = auth.client_key_data.as_ref().map(secrecy::ExposeSecret::expose_secret);
    let certificate = pem(auth.client_certificate_data.as_deref(), auth.client_certificate.as_deref())?;
    let (Some(chain), Some(key)) = (certificate, pem(key_data, auth.client_key.as_deref())?) else { return Ok(None) };
    let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    Ok(Some((chain, PrivateKeyDer::from_pem_slice(&key).map_err(|e| e.to_string())?)))
}

/// Who asks.
enum Token {
    /// What stands in front of the service knows.
    None,
    File(PathBuf),
    Command {
        command: String,
        ttl: Duration,
        last: Mutex<Option<(Instant, String)>>,
    },
}

impl Token {
    async fn header(self: Arc<Self>) -> Result<Option<HeaderValue>, String> {
        let token = match &*self {
            Self::None => return Ok(None),
            Self::File(file) => match std::fs::read_to_string(file) {
                Ok(token) => token,
                Err(_) if !file.exists() => return Ok(None),
                Err(error) => return Err(format!("cannot read {}: {error}", file.display())),
            },
            Self::Command { .. } => {
                let this = Arc::clone(&self);
                tokio::task::spawn_blocking(move || this.of_command()).await.map_err(|e| e.to_string())??
            }
        };
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|_| "the token has characters that no token has".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn of_command(&self) -> Result<String, String> {
        let Self::Command { command, ttl, last } = self else { return Ok(String::new()) };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, token)) = &*last
            && at.elapsed() < *ttl
        {
            return Ok(token.clone());
        }
        let output = Command::new("/bin/sh").args(["-c", command]).output();
        let output = output.map_err(|e| format!("`kube_token_command` cannot be run: {e}"))?;
        if !output.status.success() {
            return Err(format!("`kube_token_command` failed with {}", output.status));
        }
        let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        *last = Some((Instant::now(), token.clone()));
        Ok(token)
    }
}

#[derive(Clone)]
struct ApiService {
    pool: legacy::Client<Connector, Body>,
    base: Uri,
    token: Arc<Token>,
}

impl ApiService {
    fn new(base: Uri, options: &ApiOptions, trust: Trust, token: Token) -> Result<Self, ApiError> {
        let connector = Connector::trusting(&client_options(options), &ProxyEnvironment::default(), trust);
        let mut pool = legacy::Client::builder(TokioExecutor::new());
        pool.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT).pool_max_idle_per_host(1);
        Ok(Self { pool: pool.build(connector.map_err(ApiError::Net)?), base, token: Arc::new(token) })
    }

    async fn send(self, request: Request<Body>) -> Result<Response<Incoming>, Boxed> {
        let (mut head, body) = request.into_parts();
        head.uri = below(&self.base, &head.uri)?;
        // Audit logs and flow schemas tell clients by it.
        let agent = HeaderValue::from_static(concat!("drave/", env!("CARGO_PKG_VERSION")));
        head.headers.entry(USER_AGENT).or_insert(agent);
        if let Some(token) = Arc::clone(&self.token).header().await? {
            head.headers.insert(AUTHORIZATION, token);
        }
        let late =
            |_| NetError::Timeout { to: peer(&self.base), doing: "waiting for the answer", after: Some(HEAD_TIMEOUT) };
        let answer = timeout(HEAD_TIMEOUT, self.pool.request(Request::from_parts(head, body))).await.map_err(late)?;
        answer.map_err(|error| NetError::of_exchange(&error, &self.base).into())
    }
}

impl Service<Request<Body>> for ApiService {
    type Response = Response<Incoming>;
    type Error = Boxed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Boxed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Boxed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// The path and query of a request behind those of the base: an API may stand below a path of a gateway.
fn below(base: &Uri, of: &Uri) -> Result<Uri, http::Error> {
    let path = of.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    Uri::builder()
        .scheme(base.scheme_str().unwrap_or("https"))
        .authority(base.authority().map_or("", http::uri::Authority::as_str))
        .path_and_query(format!("{}{path}", base.path().trim_end_matches('/')))
        .build()
}

fn client_options(options: &ApiOptions) -> ClientOptions {
    let ca_file = Some(options.ca_file.clone()).filter(|file| Path::new(file).is_file());
    ClientOptions {
        tls_verify: options.verify,
        tls_verify_hostname: options.verify_hostname,
        tls_ca_file: ca_file,
        tls_ca_path: options.ca_path.clone(),
        tls_vhost: options.vhost.clone(),
        ..ClientOptions::direct(CONNECT_TIMEOUT, HEAD_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stand_below_that_of_the_base() {
        for (base, expect) in [
            ("https://[fd00::1]:443", "https://[fd00::1]:443/api/v1/pods?a=b"),
            ("http://gateway/k8s/c-1/", "http://gateway/k8s/c-1/api/v1/pods?a=b"),
        ] {
            let of = below(&base.parse().expect("a URL"), &"/api/v1/pods?a=b".parse().expect("a URL"));
            assert_eq!(of.expect("a URL").to_string(), expect);
        }
    }

    #[tokio::test]
    async fn a_token_is_read_anew_and_that_of_a_command_kept_for_a_while() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        let token = Arc::new(Token::File(file.clone()));
        assert_eq!(Arc::clone(&token).header().await, Ok(None));
        for text in ["first\n", "second"] {
            std::fs::write(&file, text).expect("written");
            let header = Arc::clone(&token).header().await.expect("read").expect("a header");
            assert_eq!(header, format!("Bearer {}", text.trim()).as_str());
        }
        let command = format!("echo -n x >> {0}; cat {0}", file.display());
        let token = Arc::new(Token::Command { command, ttl: Duration::from_secs(60), last: Mutex::default() });
        for _ in 0..2 {
            assert_eq!(Arc::clone(&token).header().await.expect("run").expect("a header"), "Bearer secondx");
        }
        let token = Token::Command { command: "exit 3".into(), ttl: Duration::ZERO, last: Mutex::default() };
        assert!(Arc::new(token).header().await.is_err());
    }
}
