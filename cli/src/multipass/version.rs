//! The version of Multipass, and whether it is supported.

use semver::Version;
use serde::Deserialize;

use crate::error::{Error, Kind, Result};

/// The oldest supported version.
const OLDEST: Version = Version::new(1, 16, 0);
/// The version that fixes two vulnerabilities.
const SAFE: Version = Version::new(1, 16, 3);

/// The answer of `multipass version --format json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Versions {
    /// The version of the client.
    pub(crate) multipass: String,
    /// The version of the daemon; none when it cannot be reached or refuses the user.
    pub(crate) multipassd: Option<String>,
}

impl Versions {
    ///
    /// # Errors
    /// When it is not the JSON document that Multipass has printed since 1.0.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        // A spinner may precede the document.
        let document = &text[text.find('{').unwrap_or_default()..];
        serde_json::from_str(document).map_err(|error| {
            Error::new(Kind::Unexpected, "could not read the version of Multipass")
                .because(format!("{error}: `{}`", text.trim()))
                .next("multipass version")
        })
    }

    /// Refuses a client or a daemon before 1.16.0; returns a warning before 1.16.3.
    ///
    /// # Errors
    /// Of kind `MultipassTooOld`, or `Unexpected` for an invalid version.
    pub(crate) fn judge(&self) -> Result<Option<String>> {
        let mut warning = None;
        let parts = [
            ("client", Some(&self.multipass)),
            ("daemon", self.multipassd.as_ref()),
        ];
        for (part, text) in parts {
            let Some(text) = text else { continue };
            let version = Version::parse(text).map_err(|error| {
                Error::new(
                    Kind::Unexpected,
                    format!("invalid version `{text}`: {error}"),
                )
                .next("multipass version")
            })?;
            if version < OLDEST {
                return Err(Error::new(
                    Kind::MultipassTooOld,
                    format!("Multipass's {part} is version {text}; {OLDEST} or newer is needed"),
                )
                .next(crate::platform::UPDATE_MULTIPASS));
            }
            if version < SAFE {
                warning = Some(format!(
                    "Multipass's {part} is version {text}; {SAFE} fixes two vulnerabilities: {}",
                    crate::platform::UPDATE_MULTIPASS
                ));
            }
        }
        Ok(warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(client: &str, daemon: Option<&str>) -> (Option<Kind>, bool) {
        let versions = Versions {
            multipass: client.into(),
            multipassd: daemon.map(Into::into),
        };
        match versions.judge() {
            Ok(warning) => (None, warning.is_some()),
            Err(error) => (Some(error.kind), false),
        }
    }

    #[test]
    fn versions_before_1_16_0_fail_and_before_1_16_3_warn() {
        assert_eq!(judged("1.16.3", Some("1.16.3")), (None, false));
        assert_eq!(
            judged("1.16.3+mac", Some("1.17.0-dev.12.pr3+g1")),
            (None, false)
        );
        assert_eq!(judged("1.16.0", Some("1.16.0")), (None, true));
        assert_eq!(judged("1.16.3", Some("1.16.1")), (None, true));
        assert_eq!(judged("1.16.3", None), (None, false));
        assert_eq!(judged("1.15.1", None), (Some(Kind::MultipassTooOld), false));
        assert_eq!(
            judged("1.16.3", Some("1.15.1")),
            (Some(Kind::MultipassTooOld), false)
        );
        assert_eq!(judged("one", None), (Some(Kind::Unexpected), false));
    }

    #[test]
    fn an_answer_that_is_not_json_is_an_error() {
        assert!(Versions::parse("multipass 1.16.3").is_err());
        let versions = Versions::parse(r#"{"multipass":"1.16.1+mac","update":{}}"#).unwrap();
        assert_eq!(versions.multipassd, None);
    }
}
