//! A request to create or change a release, read as GitHub reads it.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// The fields of a request to create or change a release.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) tag_name: Option<String>,
    pub(super) target_commitish: Option<String>,
    pub(super) name: Option<String>,
    pub(super) body: Option<String>,
    pub(super) draft: Option<bool>,
    pub(super) prerelease: Option<bool>,
    pub(super) make_latest: Option<MakeLatest>,
}

/// What `make_latest` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MakeLatest {
    Yes,
    No,
    /// GitHub decides, by the version.
    Legacy,
}

impl Change {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// With GitHub's status 400 when it is not JSON and 422 for a wrong field, or one that
    /// GitHub does not describe.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let json: Value = serde_json::from_slice(bytes).map_err(|_| Refusal::not_json())?;
        let Value::Object(fields) = json else {
            return Err(Refusal::invalid("the body is not an object"));
        };
        Self::read(fields)
    }

    fn read(fields: Map<String, Value>) -> Result<Self, Refusal> {
        let mut change = Self::default();
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("tag_name", Value::String(text)) => change.tag_name = Some(text),
                ("target_commitish", Value::String(text)) => change.target_commitish = Some(text),
                ("name", Value::String(text)) => change.name = Some(text),
                ("body", Value::String(text)) => change.body = Some(text),
                ("draft", Value::Bool(yes)) => change.draft = Some(yes),
                ("prerelease", Value::Bool(yes)) => change.prerelease = Some(yes),
                ("make_latest", Value::String(text)) if MakeLatest::parse(&text).is_some() => {
                    change.make_latest = MakeLatest::parse(&text);
                }
                (key, value) => {
                    let message = format!("For 'properties/{key}', {value} is not permitted.");
                    return Err(Refusal::invalid(&message));
                }
            }
        }
        Ok(change)
    }
}

impl MakeLatest {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "true" => Some(Self::Yes),
            "false" => Some(Self::No),
            "legacy" => Some(Self::Legacy),
            _ => None,
        }
    }
}
