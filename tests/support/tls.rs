//! An authority that nobody knows, and the certificates that it signs.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

/// A self-signed authority; its files go when it is dropped.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    /// The authority's certificate, for `tls.ca_file`.
    pub fn ca_file(&self) -> String {
        self.path("ca.pem")
    }

    /// A folder with that file, for `tls.ca_path`.
    pub fn ca_path(&self) -> String {
        let folder = self.folder.path().join("certs");
        std::fs::create_dir_all(&folder).unwrap();
        // OpenSSL's layout: the hash of the subject is the name, and nothing else is read from such a folder.
        std::fs::write(folder.join("0a1b2c3d.0"), self.issuer.pem()).unwrap();
        folder.display().to_string()
    }

    /// A server whose certificate is for these names or addresses.
    pub fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let (chain, key) = self.sign(names);
        let config = builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        Arc::new(config)
    }

    /// Such a server that lets in only clients with a certificate of this authority.
    pub fn server_for_known_clients(&self, names: &[&str]) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let (chain, key) = self.sign(names);
        Arc::new(builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap())
    }

    /// A client's certificate and key, for `tls.crt_file` and `tls.key_file`.
    pub fn client_files(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["client".to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path("client.pem"), certificate.pem()).unwrap();
        std::fs::write(self.path("client.key"), key.serialize_pem()).unwrap();
        (self.path("client.pem"), self.path("client.key"))
    }

    fn sign(&self, names: &[&str]) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn path(&self, name: &str) -> String {
        PathBuf::from(self.folder.path()).join(name).display().to_string()
    }
}

fn builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
}
