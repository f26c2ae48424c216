//! Records that bring their own body and headers: `body_key $payload`, `headers_key $headers`.
//!
//! ```text
//! {"payload":"<a/>","headers":{"Content-Type":"application/xml"}}   →   one request with that body and that header
//! ```
//! A record without a text under the one or a map under the other is refused and counted.

use super::super::Outcome;
use super::HttpOptions;
use crate::config::{Report, Section};
use crate::record::{Accessor, Batch, Found};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// Where body and headers stand in a record.
#[derive(Debug)]
pub(super) struct Own {
    body: Accessor,
    headers: Accessor,
}

/// Stands between the tag and the headers in a request's key, and alone for a record that has none.
const BORDER: char = '\0';

impl Own {
    /// The inner `None`: not asked for. The outer one: wrong, and reported.
    #[allow(clippy::option_option, reason = "as everywhere here the outer one says whether it is right")]
    pub(super) fn read(section: &Section, options: &HttpOptions, report: &mut Report) -> Option<Option<Self>> {
        let (body, headers) = match (&options.body_key, &options.headers_key) {
            (None, None) => return Some(None),
            (Some(body), Some(headers)) => (body, headers),
            _ => {
                let at = section.get("body_key").or(section.get("headers_key")).map(|e| &e.key_at);
                let hint = "give both, or none".to_owned();
                report.error(at, "output http needs `body_key` and `headers_key` together", Some(hint));
                return None;
            }
        };
        let body = accessor(section, "body_key", body, report);
        let headers = accessor(section, "headers_key", headers, report);
        Some(Some(Self { body: body?, headers: headers? }))
    }

    /// Appends the headers as JSON behind the tag, or nothing but two borders when the record has not what it takes.
    pub(super) fn push_key(&self, batch: &Batch, record: usize, key: &mut String) {
        key.push(BORDER);
        let body = self.body.find(batch, record).filter(|found| found.is_string());
        match (body, self.headers.find(batch, record)) {
            (Some(_), Some(headers @ Found::Json([b'{', ..]))) => headers.push_text(key),
            _ => key.push(BORDER),
        }
    }

    pub(super) fn push_body(&self, batch: &Batch, record: usize, out: &mut Vec<u8>) {
        let mut body = String::new();
        if let Some(found) = self.body.find(batch, record) {
            found.push_text(&mut body);
        }
        out.extend_from_slice(body.as_bytes());
    }
}

fn accessor(section: &Section, key: &str, text: &str, report: &mut Report) -> Option<Accessor> {
    match Accessor::parse(text) {
        Ok(accessor) => Some(accessor),
        Err(error) => {
            let at = section.get(key).map(|e| &e.value_at);
            report.error(at, format!("option `{key}` of output http: {error}"), Some(error.hint().into()));
            None
        }
    }
}

/// The tag, and the headers of the record.
pub(super) fn split_key(key: &str) -> (&str, Option<&str>) {
    key.split_once(BORDER).map_or((key, None), |(tag, own)| (tag, Some(own)))
}

/// All headers of a request: what the record says takes the place of what the configuration says.
pub(super) fn headers(own: &str, configured: &HeaderMap) -> Result<HeaderMap, Outcome> {
    let refused = |what: String| Outcome::Unfit { reason: "no_body_or_headers", message: what };
    let own: Map<String, Value> = serde_json::from_str(own)
        .map_err(|_| refused("a record has no text under `body_key`, or no map under `headers_key`".into()))?;
    let mut headers = configured.clone();
    for (name, value) in own.iter().filter_map(|(name, value)| Some((name, value.as_str()?))) {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => _ = headers.insert(name, value),
            _ => return Err(refused(format!("a record's header `{}` cannot be sent", name.escape_debug()))),
        }
    }
    // The length is that of the body, and the host that of the URL, whatever a record says.
    headers.remove(http::header::CONTENT_LENGTH);
    headers.remove(http::header::TRANSFER_ENCODING);
    headers.remove(http::header::HOST);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_records() {
        let mut configured = HeaderMap::new();
        configured.insert("x-team", HeaderValue::from_static("shop"));
        let read = |own: &str| headers(own, &configured).ok();
        let own = read(r#"{"X-Team":"cart","Content-Type":"text/plain","n":1,"Content-Length":"9"}"#).expect("headers");
        assert_eq!(
            (own.len(), &own["x-team"], &own["content-type"]),
            (2, &"cart".parse().expect("a value"), &"text/plain".parse().expect("a value"))
        );
        assert_eq!(read("{}"), Some(configured.clone()));
        for wrong in ["\0", "", r#"{"a b":"c"}"#, r#"{"a":"b\nc"}"#] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
        assert_eq!(split_key("tag\0{}"), ("tag", Some("{}")));
        assert_eq!(split_key("\0\0"), ("", Some("\0")));
    }
}
