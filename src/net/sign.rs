//! AWS's signature version 4, for those who speak HTTP with AWS themselves.
//!
//! Signed are the method, path and query, the host, the content type, the body, and the headers that come with the signature: `x-amz-date`,
//! `x-amz-security-token`, where it is asked for `x-amz-content-sha256`.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningParams, SigningSettings};
use aws_sigv4::sign::v4;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use std::error::Error;
use std::time::SystemTime;

/// Who signs, for whom, and when.
#[derive(Debug)]
pub struct Signature<'a> {
    /// `es`, `aoss`, …
    pub service: &'a str,
    /// `eu-west-1`, …
    pub region: &'a str,
    /// Of the one who signs.
    pub credentials: &'a Credentials,
    /// Not far from the other side's clock.
    pub time: SystemTime,
    /// Send the hash of the body in a header, as `aoss` wants it.
    pub with_body_hash: bool,
}

/// Adds the headers of a signature. The host is that of the URL, as the client sends it.
///
/// # Errors
/// Nothing that a URL and headers of ours could cause.
pub fn sign(
    signature: &Signature<'_>,
    method: &Method,
    url: &Uri,
    headers: &mut HeaderMap,
    body: &[u8],
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut settings = SigningSettings::default();
    if signature.with_body_hash {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let identity = signature.credentials.clone().into();
    let params: SigningParams<'_> = v4::SigningParams::builder()
        .identity(&identity)
        .region(signature.region)
        .name(signature.service)
        .time(signature.time)
        .settings(settings)
        .build()?
        .into();
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let signed = content_type.map(|value| (CONTENT_TYPE.as_str(), value)).into_iter();
    let request = SignableRequest::new(method.as_str(), url.to_string(), signed, SignableBody::Bytes(body))?;
    let (instructions, _) = aws_sigv4::http_request::sign(request, &params)?.into_parts();
    for header in instructions.into_parts().0 {
        if let Ok(mut value) = HeaderValue::from_str(header.value()) {
            value.set_sensitive(header.sensitive() || header.name() == AUTHORIZATION.as_str());
            headers.insert(HeaderName::from_static(header.name()), value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// The other implementation in `tests/opensearch.rs` says whether a signature is right; this, what is signed.
    #[test]
    fn what_is_signed() {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("token".into()), None, "test");
        let time = UNIX_EPOCH + Duration::from_secs(1_709_287_200);
        for (service, with_body_hash, signed) in [
            ("es", false, "content-type;host;x-amz-date;x-amz-security-token"),
            ("aoss", true, "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token"),
        ] {
            let signature = Signature { service, region: "eu-west-1", credentials: &credentials, time, with_body_hash };
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
            let url = Uri::from_static("https://search.example.com:443/_bulk?a=b");
            sign(&signature, &Method::POST, &url, &mut headers, b"{}").expect("signed");
            let text = headers["authorization"].to_str().expect("text");
            let scope = format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20240301/eu-west-1/{service}/aws4_request, ");
            assert!(text.starts_with(&scope) && text.contains(&format!("SignedHeaders={signed},")), "{text}");
            assert_eq!(headers["x-amz-date"], "20240301T100000Z");
            assert_eq!(headers["x-amz-security-token"], "token");
            assert!(headers["authorization"].is_sensitive());
        }
    }
}
