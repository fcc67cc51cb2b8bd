//! Pins of the cloud-init file: downloads with their checksums, and Docker's signing key. Also checks its scripts.

use super::collect::Collector;
use super::model::{Dependency, Download, Field, Key, Occurrence};
use super::scripts;
use crate::edit::Location;
use crate::pins_env;
use crate::yaml::{self, Node};
use xtask_host::source::Source;

/// Collects the pins of the cloud-init file.
pub(super) fn extract(source: &Source, into: &mut Collector) {
    let root = match yaml::parse(source) {
        Ok(root) => root,
        Err(finding) => return into.findings.push(*finding),
    };
    run(source, &root, into);
    let pins = match pins_env::read(source, &root) {
        Ok(pins) => pins,
        Err(findings) => return into.findings.extend(findings),
    };
    let occurrence = |field: Field, at: &Location| Occurrence {
        field,
        by: "cloud-init".to_owned(),
        at: at.clone(),
    };
    let key = Dependency::Key(Key {
        url: pins.docker_key_url,
        fingerprint: pins.docker_key_fingerprint,
    });
    let places = &pins.key_at;
    into.pin(
        key,
        [
            occurrence(Field::Url, &places.url),
            occurrence(Field::Fingerprint, &places.fingerprint),
            // The key signs the packages, so they need no checksum.
            occurrence(Field::Url, &places.repository),
        ],
    );
    for download in pins.downloads {
        let occurrences = [
            occurrence(Field::Version, &download.at.version),
            occurrence(Field::Url, &download.at.url),
            occurrence(Field::Checksum, &download.at.sha256),
        ];
        let dependency = Dependency::Download(Download {
            tool: download.tool,
            version: Some(download.version),
            architecture: Some(download.architecture.to_owned()),
            url: download.url,
            sha256: download.sha256,
        });
        into.pin(dependency, occurrences);
    }
}

/// Judges the scripts that cloud-init writes and the commands that it runs.
fn run(source: &Source, root: &Node, into: &mut Collector) {
    let items = |key: &str| root.get(key).map_or(&[][..], Node::items);
    let files = items("write_files").iter();
    let files = files.filter_map(|file| file.get("content"));
    let files = files.filter(|content| content.text().is_some_and(|text| text.starts_with("#!")));
    let scripts = files.chain(items("bootcmd")).chain(items("runcmd"));
    for node in scripts {
        let words: Vec<_> = node
            .items()
            .iter()
            .map(|word| yaml::mapped(source, word))
            .collect();
        let script = if words.is_empty() {
            yaml::mapped(source, node)
        } else {
            scripts::quoted(&words)
        };
        scripts::machine(source, &script, into);
    }
}
