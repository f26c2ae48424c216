//! Any HTTP server that takes JSON.
//!
//! ```yaml
//! outputs:
//!   - name: http
//!     match: '*'
//!     host: logs.example.com
//!     port: 8080
//!     uri: /in
//!     format: json_lines      # json (an array), json_stream
//!     compress: gzip
//!     header: X-Team shop
//! ```
//! With `body_key` and `headers_key` each record is a request of its own, with the body and the headers that it holds.
//! Any 2xx is success. 413 splits the request; 408, 425, 429, 5xx and broken connections are tried again; every other answer
//! keeps the data, is said loudly and tried seldom.

mod own;

use super::authorization::AuthorizationOptions;
use super::date::{DateOptions, JsonRecord};
use super::endpoint::{self, Address, Head};
use super::msgpack;
use super::stdout::frame_array;
use super::{Limits, Needs, Outcome, Output, OutputPlugin, Pieces, Request, Start};
use crate::config::{Duration, Report, Section, Size};
use crate::net::{Client, ClientOptions, gzip, snappy};
use crate::record::{Batch, SourceDraft};
use futures_util::future::BoxFuture;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use own::Own;
use std::sync::Arc;

pub(super) const PLUGIN: OutputPlugin = OutputPlugin {
    name: "http",
    about: "Sends records as JSON to an HTTP server.",
    options: &[HttpOptions::OPTIONS, DateOptions::OPTIONS, ClientOptions::OPTIONS, AuthorizationOptions::OPTIONS],
    deviations: &[HttpOptions::DEVIATIONS, DateOptions::DEVIATIONS, ClientOptions::DEVIATIONS],
    configure,
};

crate::option_enum! {
    /// How records are put into a body.
    pub enum Format {
        /// One array.
        Json = "json",
        /// One object a line.
        JsonLines = "json_lines",
        /// Objects one after the other.
        JsonStream = "json_stream",
        /// Fluent Bit's events in MessagePack.
        Msgpack = "msgpack",
    }
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::JsonLines => "application/x-ndjson",
            Self::Msgpack => "application/msgpack",
            Self::Json | Self::JsonStream => "application/json",
        }
    }
}

crate::option_enum! {
    /// How a body is compressed.
    pub enum Compress {
        /// Not at all.
        None = "none" | "off" | "false",
        /// gzip.
        Gzip = "gzip",
        /// Snappy, one block.
        Snappy = "snappy",
    }
}

crate::option_enum! {
    /// The request's method.
    pub enum HttpMethod {
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
    }
}

crate::options! {
    /// What is special to the output.
    pub struct HttpOptions {
        /// The server.
        host: String, "host", default "127.0.0.1";
        /// Its port; without it 80, with `tls on` 443.
        port: u16, "port", optional;
        /// The path, with a query if there is one.
        uri: String, "uri", default "/";
        /// POST or PUT.
        http_method: HttpMethod, "http_method", default "POST";
        /// `gzip`, `snappy` or none.
        compress: Compress, "compress", default "none";
        /// 1 (quick) to 9 (small).
        compress_level: u16, "compress_level", default "1";
        /// A header, as in `header X-Team shop`; may be given several times.
        header: String, "header", repeated;
        /// The header that carries the tag.
        header_tag: String, "header_tag", optional;
        /// Off: of headers with the same name only the last is sent.
        allow_duplicated_headers: bool, "allow_duplicated_headers", default "true";
        /// A record accessor: the text to send as a body, a request for each record. Needs `headers_key`.
        body_key: String, "body_key", optional;
        /// A record accessor: the map of headers of such a request.
        headers_key: String, "headers_key", optional;
        /// The user of basic authentication.
        http_user: String, "http_user", optional;
        /// Their password.
        http_passwd: String, "http_passwd", default "";
        /// A bearer token.
        bearer_token: String, "bearer_token", optional;
        /// Encoded bytes in one request, before compression.
        batch_bytes_max: Size, "batch_bytes_max", default "1M";
        /// How long a request waits for more records; the service's `flush` without it.
        linger: Duration, "linger", optional;
        /// Requests under way at once.
        in_flight_max: u16, "in_flight_max", default "4";
    }
    no_effect {
        "log_response_payload": "what a server answers is in the log only when it refuses";
        "gelf_timestamp_key": "it counts with `format gelf` only, which is not there";
        "gelf_host_key": "it counts with `format gelf` only, which is not there";
        "gelf_short_message_key": "it counts with `format gelf` only, which is not there";
        "gelf_full_message_key": "it counts with `format gelf` only, which is not there";
        "gelf_level_key": "it counts with `format gelf` only, which is not there";
    }
    deviations {
        "400": "makes requests smaller until the record to blame stands alone, which is counted as refused (`storage.dead_letter` keeps it); where nothing at all is taken everything is kept";
        "401, 403 and the like": "keep the data and are tried again, seldom: the cause can be mended, the records could not be had again";
        "413": "splits the request until it is taken";
        "`Retry-After`": "is obeyed";
        "requests": "are closed by size (`batch_bytes_max`) and time (`linger`, else the service's `flush`), not one for each chunk and tag";
    }
}

fn configure(section: &Section, report: &mut Report) -> Option<Start> {
    let options = HttpOptions::from_section(section, report);
    let date = DateOptions::from_section(section, report);
    let client = ClientOptions::from_section(section, report);
    let (options, date, mut client) = (options?, date?, client?);
    let (format, own) = (read_format(section, &date, report), Own::read(section, &options, report));
    let headers = headers(section, &options, report);
    let port = options.port.unwrap_or(if client.tls { 443 } else { 80 });
    let url = Address { host: &options.host, port, uri: &options.uri }.url(section, &client, report);
    let tag_header = tag_header(section, &options, report);
    let (format, own, mut headers, url, tag_header) = (format?, own?, headers?, url?, tag_header?);
    let tag_header = tag_header.filter(|name| !headers.contains_key(name));
    if own.is_none() {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(format.content_type()));
    }
    endpoint::resolve_files(section, &mut client);
    Some(Box::new(move |context| {
        let client = endpoint::client("http", &client, context)?;
        Ok(Arc::new(Http { json: JsonRecord::new(&date), format, own, options, client, headers, tag_header, url }))
    }))
}

fn read_format(section: &Section, date: &DateOptions, report: &mut Report) -> Option<Format> {
    use crate::config::OptionValue;
    let text = date.format.as_deref().unwrap_or("json");
    match Format::parse(text) {
        Ok(format) => Some(format),
        Err(hint) => {
            let gelf = text.eq_ignore_ascii_case("gelf");
            let hint = if gelf { "GELF is not there yet; use json_lines".to_owned() } else { hint };
            let at = section.get("format").map(|e| &e.value_at);
            report.error(at, format!("option `format` of output http cannot be `{text}`"), Some(hint));
            None
        }
    }
}

/// The header for the tag, if there is to be one; `None` when its name cannot be (reported).
#[allow(clippy::option_option, reason = "as everywhere here the outer one says whether it is right")]
fn tag_header(section: &Section, options: &HttpOptions, report: &mut Report) -> Option<Option<HeaderName>> {
    let Some(name) = &options.header_tag else { return Some(None) };
    let header = HeaderName::try_from(name);
    if header.is_err() {
        let at = section.get("header_tag").map(|e| &e.value_at);
        let hint = "a header's name has letters, digits and dashes, as X-Tag".to_owned();
        report.error(at, "option `header_tag` of output http is no header name", Some(hint));
    }
    header.ok().map(Some)
}

/// The headers of all requests, without the content type.
fn headers(section: &Section, options: &HttpOptions, report: &mut Report) -> Option<HeaderMap> {
    let head = Head {
        headers: &options.header,
        allow_duplicates: options.allow_duplicated_headers,
        user: options.http_user.as_deref(),
        password: &options.http_passwd,
        token: options.bearer_token.as_deref(),
    };
    let mut headers = head.headers(section, report)?;
    if options.compress != Compress::None {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(options.compress.name()));
    }
    Some(headers)
}

struct Http {
    json: JsonRecord,
    format: Format,
    own: Option<Own>,
    options: HttpOptions,
    client: Client,
    headers: HeaderMap,
    tag_header: Option<HeaderName>,
    url: Uri,
}

impl Output for Http {
    fn limits(&self) -> Limits {
        Limits {
            bytes_max: self.options.batch_bytes_max.0.clamp(1, 64 << 20) as usize,
            records_max: if self.own.is_some() { 1 } else { usize::MAX },
            linger: self.options.linger.map(|l| l.0),
            in_flight: usize::from(self.options.in_flight_max.max(1)),
            ordered: false,
        }
    }

    fn needs(&self) -> Needs {
        Needs { text: true }
    }

    fn key(&self, source: &SourceDraft, key: &mut String) {
        if self.tag_header.is_some() {
            key.push_str(&source.tag);
        }
    }

    fn keys_records(&self) -> bool {
        self.own.is_some()
    }

    fn record_key(&self, batch: &Batch, record: usize, key: &mut String) {
        if let Some(own) = &self.own {
            own.push_key(batch, record, key);
        }
    }

    fn encode(&self, batch: &Batch, record: usize, out: &mut Vec<u8>) {
        if let Some(own) = &self.own {
            return own.push_body(batch, record, out);
        }
        if self.format == Format::Msgpack {
            return msgpack::push_record(out, batch, record);
        }
        self.json.push(out, batch, record);
        match self.format {
            Format::Json => out.push(b','),
            Format::JsonLines => out.push(b'\n'),
            Format::JsonStream | Format::Msgpack => {}
        }
    }

    fn body(&self, _key: &str, pieces: &Pieces, body: &mut Vec<u8>) {
        let is_array = self.format == Format::Json && self.own.is_none();
        if is_array && self.options.compress == Compress::None {
            return frame_array(&pieces.bytes, body);
        }
        let mut framed = Vec::new();
        let plain = if is_array {
            frame_array(&pieces.bytes, &mut framed);
            &framed
        } else {
            &pieces.bytes
        };
        match self.options.compress {
            Compress::None => body.extend_from_slice(plain),
            Compress::Gzip => gzip(u32::from(self.options.compress_level), plain, body),
            Compress::Snappy => snappy(plain, body),
        }
    }

    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let (tag, own) = if self.own.is_some() { own::split_key(&request.key) } else { (&*request.key, None) };
            let tagged = self.tag_header.as_ref().map(|name| {
                let mut headers = self.headers.clone();
                if let Ok(tag) = HeaderValue::from_bytes(tag.as_bytes()) {
                    headers.insert(name, tag);
                }
                headers
            });
            let tagged = match own.map(|own| own::headers(own, tagged.as_ref().unwrap_or(&self.headers))) {
                Some(Err(refused)) => return refused,
                Some(Ok(headers)) => Some(headers),
                None => tagged,
            };
            let method = match self.options.http_method {
                HttpMethod::Post => Method::POST,
                HttpMethod::Put => Method::PUT,
            };
            let headers = tagged.as_ref().unwrap_or(&self.headers);
            let attempt = crate::net::Request { method, url: &self.url, headers, body: request.body.clone() };
            match self.client.send(attempt).await {
                Ok(answer) => judge(answer.status, &answer.headers, &answer.body),
                Err(error) => endpoint::failed(&error),
            }
        })
    }
}

/// What an answer means.
fn judge(status: u16, headers: &HeaderMap, body: &[u8]) -> Outcome {
    let (hint, lasting) = match status {
        200..=299 => return Outcome::Delivered,
        413 => return Outcome::TooLarge,
        408 | 425 | 429 | 500..=599 => ("", false),
        401 | 403 => ("; hint: check the credentials and what they are allowed to do", true),
        404 | 405 => ("; hint: check `uri` and `http_method`", true),
        300..=399 => ("; hint: redirects are not followed, put the final address into `host` and `uri`", true),
        _ => ("; hint: the server does not take this, its answer says why", true),
    };
    let (cause, message) = (format!("http_{status}"), format!("{}{hint}", endpoint::answered(status, body)));
    match status {
        // What is wrong is in the request: maybe one record of it.
        400 | 422 => Outcome::Refused { cause, message },
        _ => Outcome::Again { after: endpoint::asked_wait(headers), cause, message, lasting },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::RETRY_AFTER;

    #[test]
    fn answers() {
        let retry = |status, after: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(after) = after {
                headers.insert(RETRY_AFTER, HeaderValue::from_str(after).expect("a header"));
            }
            judge(status, &headers, b"why\n\x1b[31m")
        };
        assert!(matches!(retry(200, None), Outcome::Delivered));
        assert!(matches!(retry(204, None), Outcome::Delivered));
        assert!(matches!(retry(413, None), Outcome::TooLarge));
        for (status, expect_lasting) in [(503, false), (429, false), (401, true), (409, true), (301, true)] {
            let Outcome::Again { lasting, message, cause, .. } = retry(status, None) else { panic!("{status}") };
            assert_eq!(lasting, expect_lasting, "{status}");
            assert_eq!(cause, format!("http_{status}"));
            assert!(message.contains("why") && !message.contains('\x1b'), "{message}");
        }
        let Outcome::Again { after, .. } = retry(429, Some("7")) else { panic!("429") };
        assert_eq!(after, Some(std::time::Duration::from_secs(7)));
    }
}
