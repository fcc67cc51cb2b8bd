//! Compares the compose file, and the files that its services mount, with the contracts of the images.
//!
//! The images are not available offline. A program, a path or a variable that no contract lists is a finding, because
//! otherwise it would be missed only when the stack starts.

mod paths;
mod platforms;
mod programs;
mod script;
mod service;

use std::collections::HashMap;
use std::ops::Range;

use xtask_host::finding::Finding;
use xtask_pins::compose::Compose;
use xtask_pins::contract::{Contract, of_image};

use service::Service;

pub use platforms::{DOCUMENTS, Promises};
pub use service::Texts;

/// Describes manual steps in containers, which may read a secret that no program reads.
const MANUAL: &str = "compose/README.md";

/// Compares the compose file with the contracts. `texts` reads the mounted files.
pub fn check(compose: &Compose, contracts: &[Contract], texts: &Texts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = Vec::new();
    let manual = texts(MANUAL);
    let mut images = images(compose);
    let mut unread = false;
    for (name, node) in compose.services() {
        let name = name.text().unwrap_or_default();
        let Some((image, at)) = images.remove(&format!("service {name}")) else {
            // Another rule reports an image that cannot be read.
            unread = true;
            continue;
        };
        let Some(contract) = of_image(contracts, &image) else {
            let place = compose.place(at);
            let message =
                format!("`{image}` has no contract, so service `{name}` cannot be checked");
            let help = "write a contract in compose/images, as schemas/image-contract.schema.json describes it";
            findings.push(Finding::error("contract-missing", place, message).help(help));
            continue;
        };
        used.push(image);
        let service = Service::new(compose, name, node, contract, texts);
        findings.extend(service.scripts_that_fail());
        findings.extend(programs::check(&service));
        findings.extend(paths::check(&service, &manual));
    }
    // An unreadable image may be the one with the contract.
    let unused = contracts
        .iter()
        .filter(|contract| !unread && !used.contains(&contract.image));
    for contract in unused {
        let message = format!("no service of the compose file runs `{}`", contract.image);
        let finding = Finding::error("contract-unused", contract.place.clone(), message);
        findings.push(finding.help("delete the contract, or correct its `image`"));
    }
    findings
}

/// Compares the platforms of the images with the rest of the tree.
pub fn check_platforms(contracts: &[Contract], promises: &Promises<'_>) -> Vec<Finding> {
    platforms::check(contracts, promises)
}

/// The name and the bytes of each image, by its user.
fn images(compose: &Compose) -> HashMap<String, (String, Range<usize>)> {
    let mut images = HashMap::new();
    for found in compose.references().0 {
        if let Ok(image) = found.image {
            images.entry(found.by).or_insert((image.name(), found.span));
        }
    }
    images
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use xtask_host::source::Source;

    use super::*;

    /// Searching all references for each service took minutes.
    #[test]
    fn running_time_is_linear_in_the_number_of_services() {
        let services: String = (0..4000)
            .map(|at| format!("  s{at}: {{image: ghcr.io/o/i{at}:v1}}\n"))
            .collect();
        let source = Source {
            path: xtask_pins::compose::PATH.to_owned(),
            text: format!("services:\n{services}"),
        };
        let compose = Compose::parse(source).unwrap();
        let begun = Instant::now();
        let findings = check(&compose, &[], &|_| Vec::new());
        assert_eq!(findings.len(), 4000);
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{:?}",
            begun.elapsed()
        );
    }
}
