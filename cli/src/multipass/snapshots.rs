//! Multipass's list of snapshots (`list --snapshots`), and the names that it accepts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result, cut};
use crate::instance::{self, vm};
use crate::multipass::call::Call;

/// The maximum length of a name, as for an instance.
const LONGEST: usize = 70;

/// A snapshot of the workspace's VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Snapshot {
    /// Its name.
    pub(crate) name: String,
    /// The snapshot that was taken or restored before it.
    pub(crate) parent: Option<String>,
    /// The comment given to Multipass.
    pub(crate) comment: Option<String>,
}

impl Snapshot {
    /// As a line of a list.
    pub(crate) fn line(&self) -> String {
        let parent = self.parent.as_ref();
        let parent = parent.map_or(String::new(), |parent| format!("  after {parent}"));
        let comment = self.comment.as_ref();
        let comment = comment.map_or(String::new(), |comment| format!("  ({})", cut(comment)));
        format!("{}{parent}{comment}\n", self.name)
    }
}

#[derive(Deserialize)]
struct SnapshotList {
    info: BTreeMap<String, BTreeMap<String, SnapshotFacts>>,
}

#[derive(Deserialize)]
struct SnapshotFacts {
    parent: String,
    comment: String,
}

/// `multipass list --snapshots`.
pub(crate) fn list_call() -> Call {
    let args = ["list", "--snapshots", "--format", "json"];
    Call::new("list the snapshots", &args)
}

/// The snapshots of the workspace's VM in the answer, sorted by name.
///
/// # Errors
/// When the answer is not the document that Multipass prints.
pub(crate) fn parse(text: &str) -> Result<Vec<Snapshot>> {
    let document = &text[text.find('{').unwrap_or_default()..];
    let mut answer: SnapshotList = serde_json::from_str(document).map_err(|error| {
        let what = "could not read Multipass's list of snapshots";
        Error::new(Kind::Unexpected, what)
            .because(format!("{error}: `{}`", text.trim()))
            .next("multipass list --snapshots --format json")
    })?;
    let ours = answer.info.remove(vm()).unwrap_or_default();
    let non_empty = |text: String| Some(text).filter(|text| !text.is_empty());
    let each = ours.into_iter().map(|(name, facts)| Snapshot {
        name,
        parent: non_empty(facts.parent),
        comment: non_empty(facts.comment),
    });
    Ok(each.collect())
}

/// The first free name of the form that Multipass chooses.
pub(crate) fn free_name(known: &[Snapshot]) -> String {
    let taken = |name: &String| known.iter().any(|snapshot| snapshot.name == *name);
    let mut names = (1..).map(|number| format!("snapshot{number}"));
    names.find(|name| !taken(name)).unwrap_or_default()
}

/// Refuses a name that Multipass does not accept for a snapshot; the rules are those for an instance.
pub(crate) fn check(name: &str) -> std::result::Result<String, String> {
    match name.len() <= LONGEST && instance::is_valid(name) {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "invalid snapshot name `{name}`: expected at most {LONGEST} letters, digits and hyphens, starting with a letter and not ending with a hyphen"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_snapshots_count() {
        let text = r#"{"errors":[],"info":{
            "polis":{"b":{"comment":"","parent":"a"},"a":{"comment":"x\ny","parent":""}},
            "polis-two":{"snapshot1":{"comment":"","parent":""}}}}"#;
        let found = parse(text).unwrap();
        let lines: String = found.iter().map(Snapshot::line).collect();
        assert_eq!(lines, "a  (x y)\nb  after a\n");
        assert_eq!(free_name(&found), "snapshot1");
        assert_eq!(parse(r#"{"errors":[],"info":{}}"#).unwrap(), []);
        for broken in ["", "{}", r#"{"info":{"polis":{"a":{}}}}"#] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_free_name_is_found() {
        let taken = |names: &[&str]| -> Vec<Snapshot> {
            let each = names.iter().map(|name| Snapshot {
                name: (*name).to_owned(),
                parent: None,
                comment: None,
            });
            each.collect()
        };
        assert_eq!(free_name(&taken(&[])), "snapshot1");
        assert_eq!(free_name(&taken(&["snapshot1", "x"])), "snapshot2");
        for good in ["a", "before-update", "A1"] {
            assert!(check(good).is_ok());
        }
        for bad in ["", "1", "a.b", "a-", "-a", "a b", "ä", &"a".repeat(71)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
