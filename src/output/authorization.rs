//! Ways of proving to an HTTP server who is asking that are not there yet: OAuth 2.0, and the signatures of AWS.
//!
//! Without them no request would be taken. So the switch is an error, and what goes with it has no effect alone.

crate::options! {
    /// Fluent Bit's words for them.
    pub struct AuthorizationOptions {}
    no_effect {
        "oauth2.token_url": "it counts with `oauth2.enable on` only";
        "oauth2.client_id": "it counts with `oauth2.enable on` only";
        "oauth2.client_secret": "it counts with `oauth2.enable on` only";
        "oauth2.user_agent": "it counts with `oauth2.enable on` only";
        "oauth2.scope": "it counts with `oauth2.enable on` only";
        "oauth2.audience": "it counts with `oauth2.enable on` only";
        "oauth2.resource": "it counts with `oauth2.enable on` only";
        "oauth2.auth_method": "it counts with `oauth2.enable on` only";
        "oauth2.jwt_key_file": "it counts with `oauth2.enable on` only";
        "oauth2.jwt_cert_file": "it counts with `oauth2.enable on` only";
        "oauth2.jwt_aud": "it counts with `oauth2.enable on` only";
        "oauth2.jwt_header": "it counts with `oauth2.enable on` only";
        "oauth2.jwt_ttl_seconds": "it counts with `oauth2.enable on` only";
        "oauth2.refresh_skew_seconds": "it counts with `oauth2.enable on` only";
        "oauth2.timeout": "it counts with `oauth2.enable on` only";
        "oauth2.connect_timeout": "it counts with `oauth2.enable on` only";
        "aws_service": "it counts with `aws_auth on` only";
        "aws_region": "it counts with `aws_auth on` only";
        "aws_sts_endpoint": "it counts with `aws_auth on` only";
        "aws_role_arn": "it counts with `aws_auth on` only";
        "aws_external_id": "it counts with `aws_auth on` only";
        "aws_profile": "it counts with `aws_auth on` only";
    }
    refused {
        "oauth2.enable" unless "off": "tokens are not fetched: give one that is there already as `bearer_token`";
        "aws_auth" unless "off": "requests are not signed: send to a proxy that signs them";
    }
}
