//! What an answer of CloudWatch Logs means for the data.
//!
//! ```text
//! throttled, 5xx, time-outs, expired credentials, skew   try again
//! ResourceNotFoundException                              make the stream, and the group where that is allowed
//! InvalidParameterException                              some event is to blame: the delivery finds it
//! AccessDenied…, UnrecognizedClient…, LimitExceeded…      keep, try seldom, say which permission is missing
//! ResourceAlreadyExists…, DataAlreadyAccepted…           it is done
//! ```

use super::super::Outcome;
use crate::net::{AwsError, Cause, NetError, net_error};
use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::display::DisplayErrorContext;
use std::error::Error;
use std::time::Duration;

/// Until a permission that is missing, or a group, is asked for again.
pub(super) const SELDOM: Duration = Duration::from_secs(30);
/// Until a creation that was throttled, or crossed another one, is tried again.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// Why a call brought nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no answer.
    Net(NetError),
    /// Nothing could be signed.
    Aws(AwsError),
    /// CloudWatch said no.
    Service { status: u16, code: String, message: String },
}

/// What it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Too much at once.
    Throttled,
    /// It will pass.
    Trouble,
    /// New credentials are needed.
    Expired,
    /// The group or the stream is not there.
    Missing,
    /// Somebody else makes the same at this moment.
    Crossed,
    /// It was done before.
    Done,
    /// An event, or a name, is not as it has to be.
    Invalid,
    /// A permission is missing, or a quota is used up.
    Denied,
    /// The body is too large.
    TooLarge,
    /// Only people can help.
    Other,
}

impl Failure {
    pub(super) fn of<E: ProvideErrorMetadata + Error + Send + Sync + 'static>(
        error: &SdkError<E, HttpResponse>,
    ) -> Self {
        if let Some(error) = net_error(error) {
            return Self::Net(error.clone());
        }
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let code = error.code().unwrap_or_default().to_owned();
        let message = match error.message() {
            Some(message) => message.to_owned(),
            None => DisplayErrorContext(error).to_string(),
        };
        Self::Service { status, code, message }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Net(_) => Kind::Trouble,
            Self::Aws(_) => Kind::Other,
            Self::Service { status, code, .. } => kind_of(*status, code),
        }
    }

    /// May other credentials be what helps?
    pub(super) fn is_of_credentials(&self) -> bool {
        let is_unknown =
            |code: &str| code.starts_with("UnrecognizedClient") || code.starts_with("InvalidClientTokenId");
        matches!(self, Self::Service { status, code, .. } if is_unknown(code) || kind_of(*status, code) == Kind::Expired)
    }

    /// What becomes of a request whose call of `action` on `resource` failed so.
    pub(super) fn outcome(&self, action: &str, resource: &str) -> Outcome {
        match self {
            Self::Net(error) => {
                let hint = error.hint().map(|hint| format!("; hint: {hint}")).unwrap_or_default();
                let lasting = matches!(error.cause(), Cause::Tls | Cause::Options);
                again(error.cause().as_str(), format!("{error}{hint}"), lasting)
            }
            Self::Aws(error) => again("credentials", error.to_string(), true),
            Self::Service { status, code, message } => {
                let cause = if code.is_empty() { format!("http_{status}") } else { code.clone() };
                let said = format!("{action} on {resource}: {cause}: {}", printable(message));
                self.outcome_of_answer(action, resource, cause, said)
            }
        }
    }

    fn outcome_of_answer(&self, action: &str, resource: &str, cause: String, said: String) -> Outcome {
        match self.kind() {
            Kind::Done => Outcome::Delivered,
            Kind::TooLarge => Outcome::TooLarge,
            Kind::Invalid => Outcome::Refused { cause, message: said },
            Kind::Throttled | Kind::Trouble | Kind::Expired => again(&cause, said, false),
            Kind::Crossed | Kind::Missing => Outcome::Held { after: SOON, cause, message: said, lasting: false },
            Kind::Denied => {
                let hint = if cause.starts_with("LimitExceeded") {
                    "a quota of the account is used up: raise it, or make fewer log groups and streams".to_owned()
                } else {
                    format!("allow {action} on {resource} in the IAM policy of drave's role")
                };
                Outcome::Held { after: SELDOM, cause, message: format!("{said}; hint: {hint}"), lasting: true }
            }
            Kind::Other => again(&cause, said, true),
        }
    }
}

fn again(cause: &str, message: String, lasting: bool) -> Outcome {
    Outcome::Again { after: None, cause: cause.to_owned(), message, lasting }
}

fn printable(message: &str) -> String {
    message.chars().take(500).map(|sign| if sign.is_control() { ' ' } else { sign }).collect()
}

fn kind_of(status: u16, code: &str) -> Kind {
    let begins = |words: &[&str]| words.iter().any(|word| code.starts_with(word));
    match code {
        "ResourceNotFoundException" => Kind::Missing,
        "OperationAbortedException" => Kind::Crossed,
        "ResourceAlreadyExistsException" | "DataAlreadyAcceptedException" => Kind::Done,
        "InvalidParameterException" | "ValidationException" | "SerializationException" => Kind::Invalid,
        _ if begins(&["Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown"]) => Kind::Throttled,
        _ if begins(&["ExpiredToken", "RequestExpired"]) => Kind::Expired,
        _ if begins(&["InvalidSignature", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidSequenceToken"]) => {
            Kind::Trouble
        }
        _ if begins(&["ServiceUnavailable", "InternalFailure", "InternalServer", "RequestTimeout"]) => Kind::Trouble,
        _ if begins(&[
            "AccessDenied",
            "UnrecognizedClient",
            "LimitExceeded",
            "InvalidClientTokenId",
            "NotAuthorized",
        ]) =>
        {
            Kind::Denied
        }
        _ if begins(&["RequestEntityTooLarge", "RequestTooLarge"]) => Kind::TooLarge,
        _ => match status {
            429 => Kind::Throttled,
            413 => Kind::TooLarge,
            // An answer that could not be read, too.
            0 | 200..=299 | 408 | 500.. => Kind::Trouble,
            403 => Kind::Denied,
            _ => Kind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, code: &str) -> String {
        let failure = Failure::Service { status, code: code.into(), message: "why\n\u{1b}".into() };
        let outcome = failure.outcome("logs:PutLogEvents", "log group `g`, stream `s`");
        match outcome {
            Outcome::Again { lasting, message, .. } => {
                assert!(message.contains("why") && !message.contains('\u{1b}'), "{message}");
                format!("again{}", if lasting { ", seldom" } else { "" })
            }
            Outcome::Held { lasting, message, .. } => {
                assert!(!lasting || message.contains("hint: "), "{message}");
                format!("held{}", if lasting { ", seldom" } else { "" })
            }
            Outcome::Refused { .. } => "refused".into(),
            Outcome::TooLarge => "too large".into(),
            Outcome::Delivered => "delivered".into(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn answers() {
        for (status, code, expect) in [
            (400, "ThrottlingException", "again"),
            (400, "Throttling", "again"),
            (429, "", "again"),
            (500, "InternalFailure", "again"),
            (503, "ServiceUnavailableException", "again"),
            (400, "RequestTimeout", "again"),
            (400, "RequestExpired", "again"),
            (400, "ExpiredTokenException", "again"),
            (403, "InvalidSignatureException", "again"),
            (400, "OperationAbortedException", "held"),
            (400, "ResourceNotFoundException", "held"),
            (400, "InvalidParameterException", "refused"),
            (400, "AccessDeniedException", "held, seldom"),
            (400, "UnrecognizedClientException", "held, seldom"),
            (400, "LimitExceededException", "held, seldom"),
            (400, "DataAlreadyAcceptedException", "delivered"),
            (413, "", "too large"),
            (400, "SomethingNew", "again, seldom"),
            (502, "", "again"),
        ] {
            assert_eq!(outcome(status, code), expect, "{status} {code}");
        }
    }

    #[test]
    fn a_missing_permission_is_named() {
        let failure = Failure::Service { status: 400, code: "AccessDeniedException".into(), message: "no".into() };
        let Outcome::Held { message, .. } = failure.outcome("logs:CreateLogStream", "log group `/eks/a`") else {
            panic!("{failure:?}")
        };
        assert!(message.contains("allow logs:CreateLogStream on log group `/eks/a` in the IAM policy"), "{message}");
    }
}
