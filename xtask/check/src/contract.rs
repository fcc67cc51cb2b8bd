//! Holds the compose file, and everything that its services mount, to the contracts of the images.
//!
//! The images are not here: what their contracts promise is all that can be relied on. A program, a path or a variable
//! that a contract does not promise is a finding, since nobody would see that it is missing before a stack starts.

mod paths;
mod platforms;
mod programs;
mod script;
mod service;

use xtask::compose::Compose;
use xtask::contract::{Contract, of_image};
use xtask::finding::Finding;
use xtask::source::Source;

use service::Service;

pub use platforms::{DOCUMENTS, Promises};

/// What people do by hand in a container: it may read a secret that nothing else there does.
const MANUAL: &str = "compose/README.md";

/// The texts at and below a path of the tree, each with its path below that one: a file has one, with no path.
pub type Texts<'a> = dyn Fn(&str) -> Vec<(String, Source)> + 'a;

/// Judges the compose file by the contracts; `texts` reads what it mounts.
pub fn check(compose: &Compose, contracts: &[Contract], texts: &Texts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = Vec::new();
    let manual = texts(MANUAL);
    for (name, node) in compose.services() {
        let name = name.text().unwrap_or_default();
        let Some((image, at)) = image_of(compose, name) else {
            // Another rule reports an image that cannot be read.
            continue;
        };
        let Some(contract) = of_image(contracts, &image) else {
            let place = compose.place(at);
            let message =
                format!("nothing says what `{image}` holds, so `{name}` cannot be checked");
            let help = "write its contract in compose/images; schemas/image-contract.schema.json describes it";
            findings.push(Finding::error("contract-missing", place, message).help(help));
            continue;
        };
        used.push(image);
        let service = Service::new(compose, name, node, contract, texts);
        findings.extend(service.scripts_that_fail());
        findings.extend(programs::check(&service));
        findings.extend(paths::check(&service, &manual));
    }
    for contract in contracts
        .iter()
        .filter(|contract| !used.contains(&contract.image))
    {
        let message = format!("no service of the compose file runs `{}`", contract.image);
        let finding = Finding::error("contract-unused", contract.place.clone(), message);
        findings.push(finding.help("delete the contract, or correct its `image`"));
    }
    findings
}

/// Judges what the images' platforms demand of the rest of the tree.
pub fn check_platforms(contracts: &[Contract], promises: &Promises<'_>) -> Vec<Finding> {
    platforms::check(contracts, promises)
}

fn image_of(compose: &Compose, service: &str) -> Option<(String, std::ops::Range<usize>)> {
    let by = format!("service {service}");
    let uses = compose.references().0.into_iter();
    uses.filter(|found| found.by == by)
        .find_map(|found| Some((found.image.ok()?.name(), found.span)))
}
