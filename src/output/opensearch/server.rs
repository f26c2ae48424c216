//! Where requests go, and with which headers.

use super::options::{Compress, LoginOptions, SearchOptions};
use crate::config::{Report, Section};
use crate::net::ClientOptions;
use crate::output::endpoint::basic;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Uri};
use std::fmt::Write;

const PORT: u16 = 9200;
const CLOUD_PORT: u16 = 443;
/// Keeps answers small: of each document its status, and what was wrong. Escaped as signatures want it:
/// `errors,took,items.*.status,items.*.error`.
const FILTER_PATH: &str = "filter_path=errors%2Ctook%2Citems.%2A.status%2Citems.%2A.error";

/// Where requests go.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) urls: Vec<Uri>,
    /// No TLS is spoken.
    pub(super) is_plain: bool,
}

impl Server {
    /// A deployment in the cloud turns TLS on.
    pub(super) fn read(
        section: &Section,
        (options, login): (&SearchOptions, &LoginOptions),
        client: &mut ClientOptions,
        report: &mut Report,
    ) -> Option<Self> {
        let port = options.port.unwrap_or(PORT);
        let hosts = match (&login.cloud_id, &options.hosts) {
            (Some(id), _) => {
                client.tls |= section.get("tls").is_none();
                vec![cloud_host(id).or_else(|| wrong(section, "cloud_id", CLOUD_HINT, report))?]
            }
            (None, Some(hosts)) if !hosts.0.is_empty() => hosts.0.iter().map(|host| with_port(host, port)).collect(),
            (None, _) => vec![with_port(&options.host, port)],
        };
        let key = if options.hosts.is_some() { "hosts" } else { "host" };
        let path = target(&section.name, options);
        let url = |host: &String| format!("{}://{host}{path}", client.scheme()).parse::<Uri>().ok();
        let urls: Option<Vec<Uri>> = hosts.iter().map(url).collect();
        let urls = urls.or_else(|| wrong(section, key, "write the host alone, as in search.example.com", report))?;
        Some(Self { urls, is_plain: !client.tls })
    }
}

const CLOUD_HINT: &str = "copy it from the page of the deployment: NAME:BASE64";

fn wrong<T>(section: &Section, key: &str, hint: &str, report: &mut Report) -> Option<T> {
    let entry = section.get(key);
    let shown = entry.map(crate::config::Entry::shown_value).unwrap_or_default();
    let what = format!("option `{key}` of {} cannot be {shown}", section.title());
    report.error(entry.map(|e| &e.value_at), what, Some(hint.into()));
    None
}

/// Path and query.
fn target(plugin: &str, options: &SearchOptions) -> String {
    let path = options.path.as_deref().unwrap_or_default().trim_end_matches('/');
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    let Some(pipeline) = options.pipeline.as_deref().filter(|pipeline| !pipeline.is_empty()) else {
        return format!("{slash}{path}/_bulk?{FILTER_PATH}");
    };
    // As Fluent Bit writes it, where a proxy looks at paths.
    let bulk = if plugin.eq_ignore_ascii_case("es") { "/_bulk" } else { "/_bulk/" };
    format!("{slash}{path}{bulk}?pipeline={}&{FILTER_PATH}", escaped(pipeline))
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            // Writing into a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// `NAME:BASE64` of `DOMAIN$DEPLOYMENT$KIBANA`, each maybe with a port.
fn cloud_host(id: &str) -> Option<String> {
    let (_, coded) = id.rsplit_once(':')?;
    let decoded = String::from_utf8(STANDARD.decode(coded.trim()).ok()?).ok()?;
    let mut parts = decoded.split('$');
    let (domain, deployment) = (parts.next()?, parts.next().filter(|part| !part.is_empty())?);
    let split = |text: &str| match text.split_once(':') {
        Some((name, port)) => (name.to_owned(), port.parse().ok()),
        None => (text.to_owned(), None::<u16>),
    };
    let ((domain, port), (deployment, own)) = (split(domain), split(deployment));
    Some(format!("{deployment}.{domain}:{}", own.or(port).unwrap_or(CLOUD_PORT)))
}

/// `search`, `search:9201`, `::1`, `[::1]`, `[::1]:9201`.
fn with_port(host: &str, port: u16) -> String {
    let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
    let has_port =
        !is_address && host.rsplit_once(':').is_some_and(|(name, _)| !name.contains(':') || name.ends_with(']'));
    match (is_address, has_port) {
        (true, _) => format!("[{host}]:{port}"),
        (false, true) => host.to_owned(),
        (false, false) => format!("{host}:{port}"),
    }
}

/// The headers of all requests.
pub(super) fn headers(
    section: &Section,
    (options, login): (&SearchOptions, &LoginOptions),
    report: &mut Report,
) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("drave/", env!("CARGO_PKG_VERSION"))));
    if options.compress == Compress::Gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let (key, authorization) = match (&login.http_api_key, &login.http_user, &login.cloud_auth) {
        (Some(key), _, _) => ("http_api_key", format!("ApiKey {key}")),
        (None, Some(user), _) => ("http_user", basic(user, &login.http_passwd)),
        (None, None, Some(both)) => {
            let (user, password) =
                both.split_once(':').or_else(|| wrong(section, "cloud_auth", "write USER:PASSWORD", report))?;
            ("cloud_auth", basic(user, password))
        }
        (None, None, None) => return Some(headers),
    };
    match HeaderValue::try_from(authorization) {
        Ok(mut value) => {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
            Some(headers)
        }
        Err(_) => wrong(section, key, "it holds a line end: was it read from a file with all its lines?", report),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_ports() {
        for (host, expect) in [
            ("search", "search:9200"),
            ("search:9201", "search:9201"),
            ("10.0.0.1", "10.0.0.1:9200"),
            ("::1", "[::1]:9200"),
            ("[::1]", "[::1]:9200"),
            ("[::1]:9201", "[::1]:9201"),
        ] {
            assert_eq!(with_port(host, PORT), expect);
        }
    }

    fn urls(plugin: &str, options: &str) -> Vec<String> {
        use crate::config::{Environment, Syntax, load_text};
        let mut report = Report::default();
        let text = format!("pipeline: {{outputs: [{{name: {plugin}, match: '*', {options}}}]}}");
        let config = load_text(&text, Syntax::Yaml, &Environment::default(), &mut report);
        let section = &config.outputs[0];
        let options =
            SearchOptions::from_section(section, &mut report).zip(LoginOptions::from_section(section, &mut report));
        let mut client = ClientOptions::from_section(section, &mut report).expect("options");
        let server = options.and_then(|(o, l)| Server::read(section, (&o, &l), &mut client, &mut report));
        let server = server.unwrap_or_else(|| panic!("{report}"));
        let urls: Vec<String> = server.urls.iter().map(|url| url.to_string().replace(FILTER_PATH, "…")).collect();
        assert!(urls.iter().all(|url| url.starts_with("http:") == server.is_plain), "{urls:?}");
        urls
    }

    #[test]
    fn requests_go_there() {
        let cloud = format!("cloud_id: 'logs:{}'", STANDARD.encode("eu.example.com$abc"));
        for (plugin, options, expect) in [
            ("opensearch", "port: 1", "http://127.0.0.1:1/_bulk?…"),
            ("es", "host: h, tls: on, path: p/", "https://h:9200/p/_bulk?…"),
            ("es", "pipeline: a b", "http://127.0.0.1:9200/_bulk?pipeline=a%20b&…"),
            ("opensearch", "pipeline: x, path: /p", "http://127.0.0.1:9200/p/_bulk/?pipeline=x&…"),
            ("es", &cloud, "https://abc.eu.example.com:443/_bulk?…"),
            ("es", &format!("{cloud}, tls: off"), "http://abc.eu.example.com:443/_bulk?…"),
            ("es", "hosts: 'a, b:1', port: 2", "http://a:2/_bulk?… http://b:1/_bulk?…"),
        ] {
            assert_eq!(urls(plugin, options).join(" "), expect, "{options}");
        }
    }

    #[test]
    fn cloud_ids_name_hosts() {
        let id = |text: &str| format!("my-logs:{}", STANDARD.encode(text));
        for (text, expect) in [
            ("eu.example.com$abc$kib", Some("abc.eu.example.com:443")),
            ("eu.example.com:9243$abc", Some("abc.eu.example.com:9243")),
            ("eu.example.com:9243$abc:9244$", Some("abc.eu.example.com:9244")),
            ("eu.example.com", None),
            ("eu.example.com$", None),
        ] {
            assert_eq!(cloud_host(&id(text)).as_deref(), expect, "{text}");
        }
        assert_eq!((cloud_host("no base64:?"), cloud_host("nothing")), (None, None));
        assert_eq!(escaped("a b/ü"), "a%20b%2F%C3%BC");
    }
}
