//! Where the API is, and with what it is asked: options, a pod's environment, or a kubeconfig.

use crate::config::Environment;
use http::Uri;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where kubelet puts what a pod may know of its API.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const SERVICE_ACCOUNT_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

/// Where the API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a URL, with the files of a pod's service account or others.
    Url(Uri),
    /// Where a kubeconfig says.
    Kubeconfig(PathBuf),
}

/// How an API is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiOptions {
    /// Where it is.
    pub place: Place,
    /// Certificates (PEM) of the authorities to trust. Where there is no such file, the system's.
    pub ca_file: String,
    /// A folder with such files.
    pub ca_path: Option<String>,
    /// Read anew for each request, since kubelet renews it. Where there is no such file, no token is sent.
    pub token_file: PathBuf,
    /// A command that prints the token, instead of the file.
    pub token_command: Option<String>,
    /// So long the token of a command is good.
    pub token_ttl: Duration,
    /// Verify the certificate.
    pub verify: bool,
    /// Verify that it is for the host.
    pub verify_hostname: bool,
    /// The name to verify, when it is not the host.
    pub vhost: Option<String>,
}

impl ApiOptions {
    /// As a pod asks, with the files of its service account.
    pub fn of_pod(place: Place) -> Self {
        Self {
            place,
            ca_file: SERVICE_ACCOUNT_CA.to_owned(),
            ca_path: None,
            token_file: SERVICE_ACCOUNT_TOKEN.into(),
            token_command: None,
            token_ttl: Duration::ZERO,
            verify: true,
            verify_hostname: true,
            vhost: None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{url}"),
            Self::Kubeconfig(file) => write!(f, "{}", file.display()),
        }
    }
}

impl Place {
    /// `url` where it is given; else the API of the cluster that this process runs in, else a kubeconfig: the one given, that of
    /// `KUBECONFIG`, or `~/.kube/config`. `None` where nothing says.
    pub fn find(url: Option<&Uri>, kubeconfig: Option<&Path>, environment: &Environment) -> Option<Self> {
        let given = kubeconfig.map(|file| Self::Kubeconfig(file.to_owned()));
        let url = url.cloned().map(Self::Url);
        url.or(given).or_else(|| in_cluster(environment)).or_else(|| {
            let named = environment.get("KUBECONFIG").filter(|f| !f.is_empty()).map(PathBuf::from);
            let file = named.or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".kube/config")))?;
            file.is_file().then_some(Self::Kubeconfig(file))
        })
    }
}

/// By address: a pod of the host's network may not be able to resolve `kubernetes.default.svc`.
fn in_cluster(environment: &Environment) -> Option<Place> {
    let host = environment.get("KUBERNETES_SERVICE_HOST").filter(|host| !host.is_empty());
    let port = environment.get("KUBERNETES_SERVICE_PORT").filter(|port| !port.is_empty()).unwrap_or("443");
    let url = match host {
        Some(host) if host.contains(':') && !host.starts_with('[') => format!("https://[{host}]:{port}"),
        Some(host) => format!("https://{host}:{port}"),
        None if Path::new(SERVICE_ACCOUNT_TOKEN).is_file() => "https://kubernetes.default.svc".to_owned(),
        None => return None,
    };
    url.parse().ok().map(Place::Url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_where_options_the_cluster_or_a_kubeconfig_say() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config");
        std::fs::write(&file, "").expect("a file");
        let name = file.display().to_string();
        let url = |text: &str| Some(Place::Url(text.parse().expect("a URL")));
        let cluster = [("KUBERNETES_SERVICE_HOST", "fd00::1"), ("KUBERNETES_SERVICE_PORT", "6443")];
        let of = |given: Option<&str>, variables: &[(&str, &str)]| {
            let given = given.map(|given| given.parse().expect("a URL"));
            Place::find(given.as_ref(), None, &Environment::of(variables.iter().copied()))
        };
        assert_eq!(of(Some("http://127.0.0.1:1"), &cluster), url("http://127.0.0.1:1"));
        assert_eq!(of(None, &cluster), url("https://[fd00::1]:6443"));
        assert_eq!(of(None, &[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]), url("https://10.0.0.1:443"));
        assert_eq!(of(None, &[("KUBECONFIG", &name)]), Some(Place::Kubeconfig(file.clone())));
        assert_eq!(of(None, &[("KUBECONFIG", "/nowhere")]), None);
        let environment = Environment::of(cluster);
        assert_eq!(Place::find(None, Some(&file), &environment), Some(Place::Kubeconfig(file.clone())));
    }
}
