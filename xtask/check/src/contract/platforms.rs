//! The platforms that all images have must match the pins, the targets of the CLI, and the documents.

use xtask_host::finding::Finding;
use xtask_host::source::Source;
use xtask_pins::contract::{Contract, offered};

/// The documents that list the platforms of a workspace.
pub const DOCUMENTS: [&str; 2] = ["docs/install.md", "docs/polis.md"];

/// The sentence that lists them.
const SENTENCE: &str = "The service images are published for ";

/// The parts of the tree that depend on platforms.
#[derive(Debug)]
pub struct Promises<'a> {
    /// The architectures, by their Debian names, for which every download of the VM is pinned.
    pub pinned: &'a [String],
    /// The Rust targets that the CLI is built for.
    pub targets: &'a [String],
    /// The documents.
    pub documents: &'a [Source],
}

/// Compares the promises with the platforms of all images.
pub(super) fn check(contracts: &[Contract], promises: &Promises<'_>) -> Vec<Finding> {
    let offered = offered(contracts);
    let mut findings = Vec::new();
    if offered.is_empty() {
        let message = "the images have no platform in common";
        findings.extend(contracts.last().map(|contract| {
            Finding::error(
                "contract-platform",
                contract.platforms[0].place.clone(),
                message,
            )
        }));
    }
    for platform in &offered {
        let facts = contracts.iter().flat_map(|contract| &contract.platforms);
        let place = facts
            .filter(|fact| fact.value == *platform)
            .map(|fact| fact.place.clone())
            .next_back();
        let mut wrong = |message: String, help: &str| {
            findings.extend(
                place
                    .clone()
                    .map(|place| Finding::error("contract-platform", place, message).help(help)),
            );
        };
        let Some(architecture) = platform.strip_prefix("linux/") else {
            wrong(
                format!("all images are for `{platform}`, but a VM runs Linux"),
                "correct the contracts",
            );
            continue;
        };
        if !promises.pinned.iter().any(|pinned| pinned == architecture) {
            let message = format!(
                "all images are for `{platform}`, but no download of the VM is pinned for it"
            );
            wrong(
                message,
                "pin Sysbox and yq for it in cloud-init/cloud-init.yaml",
            );
        }
        let machine = machine(architecture);
        if !promises
            .targets
            .iter()
            .any(|target| target.starts_with(&format!("{machine}-")))
        {
            let message =
                format!("all images are for `{platform}`, but the CLI is not built for {machine}");
            wrong(message, "add a target to .github/workflows/build.yml");
        }
    }
    findings.extend(
        promises
            .documents
            .iter()
            .filter_map(|document| misprint(document, &offered)),
    );
    findings
}

/// The finding on a document that does not list exactly the offered platforms.
fn misprint(document: &Source, offered: &[String]) -> Option<Finding> {
    let expected = offered.iter().map(|platform| format!("`{platform}`"));
    let expected = format!("{SENTENCE}{}", expected.collect::<Vec<_>>().join(", "));
    let at = document.text.find(SENTENCE);
    let rest = at.map_or("", |at| &document.text[at..]);
    let end = rest
        .char_indices()
        .find(|(_, c)| matches!(c, '.' | ':' | ';' | '\n'));
    let said = end.map_or(rest, |(end, _)| &rest[..end]);
    if said == expected {
        return None;
    }
    let place = document.place(at.map_or(0..0, |at| at..at + said.len()));
    let message = "the document does not list the platforms of the service images";
    Some(Finding::error("contract-platform", place, message).help(format!("write `{expected}`")))
}

/// The machine of a Rust target, for the Debian name of an architecture.
fn machine(architecture: &str) -> &str {
    match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(platforms: &str) -> Contract {
        let text =
            format!("image: v.example/a\nsources: {{x: y}}\nplatforms: {{x: [{platforms}]}}\n");
        let path = "compose/images/a.yaml".to_owned();
        Contract::parse(Source { path, text }).expect("a contract")
    }

    fn judged(platforms: [&str; 2], document: &str) -> Vec<String> {
        let contracts = platforms.map(contract);
        let path = "docs/x.md".to_owned();
        let text = document.to_owned();
        let promises = Promises {
            pinned: &["amd64".to_owned()],
            targets: &["x86_64-unknown-linux-musl".to_owned()],
            documents: &[Source { path, text }],
        };
        let findings = check(&contracts, &promises).into_iter();
        findings.map(|finding| finding.message).collect()
    }

    #[test]
    fn promises_must_match_the_platforms_of_all_images() {
        let both = "linux/arm64, linux/amd64";
        let said = "The service images are published for `linux/amd64`. More.";
        assert!(judged([both, "linux/amd64"], said).is_empty());
        let found = judged([both, both], said);
        let expected = [
            "all images are for `linux/arm64`, but no download of the VM is pinned for it",
            "all images are for `linux/arm64`, but the CLI is not built for aarch64",
            "the document does not list the platforms of the service images",
        ];
        assert_eq!(found, expected);
        let found = judged(["linux/arm64", "linux/amd64"], said);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            judged(["windows/amd64"; 2], "")[0],
            "all images are for `windows/amd64`, but a VM runs Linux"
        );
    }
}
