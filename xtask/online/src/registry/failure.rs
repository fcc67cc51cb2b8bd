//! Translates the library's errors into our kinds.

use oci_client::errors::{DigestError, OciDistributionError, OciEnvelope, OciErrorCode};
use polis_base::{Digest, ImageRef};

use crate::error::{NetError, chain, excerpt};

/// The error `error`, told about `image`.
pub(super) fn translate(image: &ImageRef, error: OciDistributionError) -> NetError {
    use OciDistributionError as Oci;
    match error {
        Oci::RequestError(error) => NetError::reqwest(image, error),
        Oci::UnauthorizedError { .. } => NetError::unauthorised(image, "status 401"),
        Oci::AuthenticationFailure(said) => {
            let said = excerpt(&said);
            NetError::unauthorised(image, format!("the login was refused: {said}"))
        }
        Oci::RegistryError { envelope, .. } => refused(image, &envelope),
        Oci::ServerError { code, message, .. } => {
            let said = match serde_json::from_str::<OciEnvelope>(&message) {
                Ok(envelope) => sentence(&envelope),
                Err(_) => message,
            };
            NetError::status(image, code, &said)
        }
        Oci::DigestError(error) => digest(image, error),
        other => NetError::protocol(image, chain(&other)),
    }
}

fn digest(image: &ImageRef, error: DigestError) -> NetError {
    match error {
        DigestError::VerificationError { expected, actual }
            if expected.parse::<Digest>().is_ok() =>
        {
            NetError::mismatch(image, expected, actual)
        }
        DigestError::VerificationError { expected, .. } => NetError::protocol(
            image,
            format!("`{expected}` in Docker-Content-Digest is no SHA-256 digest"),
        ),
        other => NetError::protocol(image, format!("Docker-Content-Digest: {}", chain(&other))),
    }
}

/// The kind of a 4xx whose body the registry filled in; the library keeps no status beside it.
fn refused(image: &ImageRef, envelope: &OciEnvelope) -> NetError {
    use OciErrorCode as Code;
    let said = excerpt(&sentence(envelope));
    match envelope.errors.first().map(|error| &error.code) {
        Some(Code::ManifestUnknown | Code::NameUnknown | Code::BlobUnknown | Code::NotFound) => {
            NetError::not_found(image, said)
        }
        Some(Code::Unauthorized | Code::Denied) => NetError::unauthorised(image, said),
        Some(Code::Toomanyrequests) => NetError::unreachable(image, said),
        _ => NetError::protocol(image, said),
    }
}

/// `CODE: message` of every error in the answer.
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
