//! What outputs share that speak HTTP: the URL of `host`, `port` and `uri`, headers and credentials, the client, and what a broken
//! attempt means.

use super::{Outcome, OutputContext, OutputError};
use crate::config::{Report, Section};
use crate::net::{Cause, Client, ClientOptions, NetError, ProxyEnvironment, retry_after};
use http::header::{AUTHORIZATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use std::time::{Duration, SystemTime};

/// Bytes of an answer that are worth telling.
const SAID_BYTES_MAX: usize = 300;

/// Where requests go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    /// The path, with a query if there is one.
    pub(super) uri: &'a str,
}

impl Address<'_> {
    pub(super) fn url(self, section: &Section, client: &ClientOptions, report: &mut Report) -> Option<Uri> {
        let Self { host, port, uri } = self;
        let host = host.trim_matches(['[', ']']);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let slash = if uri.starts_with('/') { "" } else { "/" };
        match format!("{}://{host}:{port}{slash}{uri}", client.scheme()).parse() {
            Ok(url) => Some(url),
            Err(error) => {
                let at = section.get("uri").or(section.get("host")).map(|e| &e.value_at);
                let hint = "`host` is a name or an address, `uri` a path such as /in".to_owned();
                let what = format!("host, port and uri of {} make no URL: {error}", section.title());
                report.error(at, what, Some(hint));
                None
            }
        }
    }
}

/// What stands in the head of every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    /// `header X-Team shop`.
    pub(super) headers: &'a [String],
    /// Off: of headers with the same name only the last is sent.
    pub(super) allow_duplicates: bool,
    pub(super) user: Option<&'a str>,
    pub(super) password: &'a str,
    pub(super) token: Option<&'a str>,
}

impl Head<'_> {
    /// What the user writes takes the place of drave's own.
    pub(super) fn headers(self, section: &Section, report: &mut Report) -> Option<HeaderMap> {
        let mut headers = self.own(section, report)?;
        let agent = HeaderValue::from_static(concat!("drave/", env!("CARGO_PKG_VERSION")));
        headers.entry(USER_AGENT).or_insert(agent);
        let authorization = match (self.user, self.token) {
            (Some(user), _) => Some(basic(user, self.password)),
            (None, Some(token)) => Some(format!("Bearer {token}")),
            (None, None) => None,
        };
        match authorization.map(HeaderValue::try_from) {
            Some(Ok(mut value)) => {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            Some(Err(_)) => {
                let at = section.get("bearer_token").map(|e| &e.value_at);
                let hint =
                    "it holds a line end or another control character: was it read from a file with all its lines?";
                let what = format!("the bearer token of {} cannot stand in a header", section.title());
                report.error(at, what, Some(hint.to_owned()));
                return None;
            }
            None => {}
        }
        Some(headers)
    }

    fn own(self, section: &Section, report: &mut Report) -> Option<HeaderMap> {
        let (mut headers, mut good) = (HeaderMap::new(), true);
        for (entry, header) in section.all("header").zip(self.headers) {
            let (name, value) = header.split_once(char::is_whitespace).unwrap_or((header, ""));
            match (HeaderName::try_from(name), HeaderValue::try_from(value.trim())) {
                (Ok(name), Ok(value)) if self.allow_duplicates => _ = headers.append(name, value),
                (Ok(name), Ok(value)) => _ = headers.insert(name, value),
                _ => {
                    let hint = "write the name, a blank and the value: header X-Team shop".to_owned();
                    let what = format!("option `header` of {} is no header", section.title());
                    report.error(Some(&entry.value_at), what, Some(hint));
                    good = false;
                }
            }
        }
        good.then_some(headers)
    }
}

/// `Basic …` of RFC 7617.
pub(super) fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// Makes the files that the client's options name absolute: relative ones begin at the configuration's folder.
pub(super) fn resolve_files(section: &Section, client: &mut ClientOptions) {
    let files = [&mut client.tls_ca_file, &mut client.tls_ca_path, &mut client.tls_crt_file, &mut client.tls_key_file];
    for file in files.into_iter().flatten() {
        *file = section.resolve(file).to_string_lossy().into_owned();
    }
}

/// The client of an output of this name.
pub(super) fn client(name: &str, options: &ClientOptions, context: &OutputContext<'_>) -> Result<Client, OutputError> {
    Client::new(options, &ProxyEnvironment::of(context.environment)).map_err(|e| OutputError {
        message: format!("output {name} cannot start: {e}"),
        hint: e.hint().map(str::to_owned),
    })
}

/// There was no answer.
pub(super) fn failed(error: &NetError) -> Outcome {
    let hint = error.hint().map(|h| format!("; hint: {h}")).unwrap_or_default();
    let lasting = matches!(error.cause(), Cause::Tls | Cause::Options);
    Outcome::Again { after: None, cause: error.cause().as_str().into(), message: format!("{error}{hint}"), lasting }
}

/// `Retry-After`.
pub(super) fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok().and_then(|text| retry_after(text, SystemTime::now()))
}

/// `the server answered 503: why`, in one line.
pub(super) fn answered(status: u16, body: &[u8]) -> String {
    let said = String::from_utf8_lossy(&body[..body.len().min(SAID_BYTES_MAX)]);
    let said = said.trim().replace(char::is_control, " ");
    let said = if said.is_empty() { said } else { format!(": {said}") };
    format!("the server answered {status}{said}")
}
