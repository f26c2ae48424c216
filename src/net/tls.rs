//! TLS for every client: rustls on ring, with the system's roots unless the options name others.
//!
//! The configuration is made at the first `https` URL, since roots cost memory that a plain destination need not pay, and
//! the system's roots are read once for the whole process.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::NetError;
use super::options::{ClientOptions, TlsVersion};

/// Authorities and a client's certificate that stand in no file of the options; without them those of the options.
#[derive(Default)]
pub(super) struct Trust {
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) identity: Option<Identity>,
}

/// Opens TLS as the options say.
pub(super) struct Tls {
    options: ClientOptions,
    trust: Trust,
    config: OnceLock<Result<Arc<ClientConfig>, NetError>>,
}

impl Tls {
    pub(super) fn new(options: &ClientOptions, trust: Trust) -> Self {
        Self { options: options.clone(), trust, config: OnceLock::new() }
    }

    /// The configuration, made once.
    ///
    /// # Errors
    /// What is wrong with the options, the files that they name, or the system's roots.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, NetError> {
        self.config.get_or_init(|| client_config(&self.options, &self.trust).map(Arc::new)).clone()
    }

    /// The handshake over `tcp`; `host` and `to` (with its port) name the other side.
    pub(super) async fn connect(&self, host: &str, to: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, NetError> {
        let config = self.config()?;
        let name = self.options.tls_vhost.as_deref().unwrap_or(host.trim_start_matches('[').trim_end_matches(']'));
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            options_error(format!("`{name}` is not a host name"), "set `tls.vhost` to the certificate's name")
        })?;
        TlsConnector::from(config).connect(name, tcp).await.map_err(|error| handshake_error(&error, to))
    }
}

fn handshake_error(error: &io::Error, to: &str) -> NetError {
    match NetError::of_io(error, to.to_owned()) {
        NetError::Reset { to, why } => {
            let hint = Some("the other side hung up: does that port speak TLS, and does it want a client certificate?");
            NetError::Tls { to, why, hint }
        }
        error => error,
    }
}

fn client_config(options: &ClientOptions, trust: &Trust) -> Result<ClientConfig, NetError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(options)?)
        .map_err(|error| options_error(format!("TLS: {error}"), "check the options `tls.*`"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier(options, trust, provider)?);
    let identity = trust.identity.as_ref().map(|(chain, key)| (chain.clone(), key.clone_key()));
    let mut config = match identity.map_or_else(|| identity_of(options), |own| Ok(Some(own)))? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| options_error(format!("the client certificate cannot be used: {error}"), KEY_HINT))?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn versions(options: &ClientOptions) -> Result<Vec<&'static SupportedProtocolVersion>, NetError> {
    let least = options.tls_min_version.unwrap_or(TlsVersion::Older);
    let most = options.tls_max_version.unwrap_or(TlsVersion::V1_3);
    let known = [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)];
    let versions: Vec<_> = known.into_iter().filter(|(v, _)| (least..=most).contains(v)).map(|(_, v)| v).collect();
    if versions.is_empty() {
        let what = "`tls.min_version` and `tls.max_version` leave no version to speak".into();
        return Err(options_error(what, "drave speaks TLSv1.2 and TLSv1.3"));
    }
    Ok(versions)
}

fn verifier(
    options: &ClientOptions,
    trust: &Trust,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, NetError> {
    if !options.tls_verify {
        return Ok(Arc::new(AnyServer { provider }));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(options, trust)?, provider)
        .build()
        .map_err(|error| options_error(format!("TLS: {error}"), "check `tls.ca_file` and `tls.ca_path`"))?;
    if options.tls_verify_hostname { Ok(verifier) } else { Ok(Arc::new(AnyName { verifier })) }
}

fn roots(options: &ClientOptions, trust: &Trust) -> Result<Arc<RootCertStore>, NetError> {
    if let Some(roots) = store(trust.roots.clone()) {
        return Ok(roots);
    }
    let (file, folder) = (options.tls_ca_file.as_deref(), options.tls_ca_path.as_deref());
    if file.is_none() && folder.is_none() {
        return system_roots();
    }
    let found = rustls_native_certs::load_certs_from_paths(file.map(AsRef::as_ref), folder.map(AsRef::as_ref));
    let named = [file, folder].into_iter().flatten().collect::<Vec<_>>().join(" and ");
    store(found.certs).ok_or_else(|| {
        let why = found.errors.first().map_or_else(|| "no certificate in it".to_owned(), ToString::to_string);
        options_error(format!("no authority could be read from {named}: {why}"), "it must hold PEM certificates")
    })
}

fn system_roots() -> Result<Arc<RootCertStore>, NetError> {
    static ROOTS: OnceLock<Option<Arc<RootCertStore>>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| store(rustls_native_certs::load_native_certs().certs));
    roots.clone().ok_or_else(|| {
        let what = "this system has no certificates of authorities".into();
        options_error(what, "install the package ca-certificates, or set `tls.ca_file`")
    })
}

/// `None` without a usable certificate. Single broken ones are common in system stores and are left out.
fn store(certificates: Vec<CertificateDer<'static>>) -> Option<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates);
    (added > 0).then(|| Arc::new(roots))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity_of(options: &ClientOptions) -> Result<Option<Identity>, NetError> {
    let (chain, key) = match (&options.tls_crt_file, &options.tls_key_file) {
        (None, None) => return Ok(None),
        (Some(chain), Some(key)) => (chain, key),
        _ => {
            let what = "a client certificate needs `tls.crt_file` and `tls.key_file`".into();
            return Err(options_error(what, "set both, or none"));
        }
    };
    let unread = |file: &str, error| options_error(format!("cannot read {file}: {error}"), KEY_HINT);
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unread(chain, error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unread(key, error))?;
    Ok(Some((certificates, key)))
}

const KEY_HINT: &str =
    "both files must be PEM, the key PKCS#8, PKCS#1 or SEC1 and not encrypted, and they must belong together";

fn options_error(what: String, hint: &str) -> NetError {
    NetError::Options { what, hint: hint.to_owned() }
}

/// `tls.verify_hostname off`: the chain is verified, the name is not.
#[derive(Debug)]
struct AnyName {
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
        // The name is the last thing that this verifier looks at, so an error about it means that all else was right.
        match self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// `tls.verify off`: whoever holds the key of the certificate that was shown is believed.
#[derive(Debug)]
struct AnyServer {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
