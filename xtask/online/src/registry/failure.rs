//! Translates the errors of registries into ours.

use std::fmt;

use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};
use polis_base::ImageRef;
use reqwest::Response;

use crate::client::small_body;
use crate::error::{NetError, chain, excerpt};

/// The limit on how much of an error response is read.
const LARGEST: usize = 64 * 1024;

/// The error for the unsuccessful `response` about `subject`.
pub(super) async fn of_response(subject: impl fmt::Display, response: Response) -> NetError {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let said = said(response).await;
    NetError::status(subject, status, &said).after(&headers)
}

/// The errors that `response` lists as the protocol specifies, or else the beginning of its text.
pub(super) async fn said(response: Response) -> String {
    // The status alone is still an error.
    let body = small_body(response, "", LARGEST).await.unwrap_or_default();
    let text = match serde_json::from_slice::<OciEnvelope>(&body) {
        Ok(envelope) => sentence(&envelope),
        Err(_) => String::from_utf8_lossy(&body).into_owned(),
    };
    excerpt(&text)
}

/// Translates an oci-client error of a push to `image`.
pub(super) fn translate(image: &ImageRef, error: OciDistributionError) -> NetError {
    use OciDistributionError as Oci;
    match error {
        Oci::RequestError(error) => NetError::reqwest(image, error),
        Oci::UnauthorizedError { .. } => NetError::unauthorised(image, "status 401"),
        Oci::AuthenticationFailure(said) => {
            let said = excerpt(&said);
            NetError::unauthorised(image, format!("the login was rejected: {said}"))
        }
        Oci::RegistryError { envelope, .. } => refused(image, &envelope),
        Oci::ServerError { code, message, .. } => {
            let said = match serde_json::from_str::<OciEnvelope>(&message) {
                Ok(envelope) => sentence(&envelope),
                Err(_) => message,
            };
            NetError::status(image, code, &said)
        }
        other => NetError::protocol(image, chain(&other)),
    }
}

/// The error for a 4xx with a valid body, for which the library does not keep the status.
fn refused(image: &ImageRef, envelope: &OciEnvelope) -> NetError {
    use OciErrorCode as Code;
    let said = excerpt(&sentence(envelope));
    match envelope.errors.first().map(|error| &error.code) {
        Some(Code::ManifestUnknown | Code::NameUnknown | Code::BlobUnknown | Code::NotFound) => {
            NetError::not_found(image, said)
        }
        Some(Code::Unauthorized | Code::Denied) => NetError::unauthorised(image, said),
        Some(Code::Toomanyrequests) => NetError::rate_limited(image, said),
        _ => NetError::protocol(image, said),
    }
}

/// `CODE: message` of every error in the response.
fn sentence(envelope: &OciEnvelope) -> String {
    let parts = envelope.errors.iter().map(|error| {
        let code = serde_json::to_value(&error.code);
        let code = code
            .as_ref()
            .ok()
            .and_then(|code| code.as_str())
            .unwrap_or("unknown error");
        match error.message.is_empty() {
            true => code.to_owned(),
            false => format!("{code}: {}", error.message),
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}
