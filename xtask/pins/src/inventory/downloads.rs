//! What the machine downloads: files with their checksums, and a key with its fingerprint; and what its scripts run.

use super::collect::Collector;
use super::model::{Download, Key, Part, Use, What};
use super::scripts;
use crate::edit::At;
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
    let a_use = |part: Part, at: &At| Use {
        part,
        by: "cloud-init".to_owned(),
        at: at.clone(),
    };
    let key = What::Key(Key {
        url: pins.docker_key_url,
        fingerprint: pins.docker_key_fingerprint,
    });
    let places = &pins.key_at;
    into.pin(
        key,
        [
            a_use(Part::Url, &places.url),
            a_use(Part::Fingerprint, &places.fingerprint),
            // The packages themselves are signed by the key, so they have no checksum here.
            a_use(Part::Url, &places.repository),
        ],
    );
    for download in pins.downloads {
        let uses = [
            a_use(Part::Version, &download.at.version),
            a_use(Part::Url, &download.at.url),
            a_use(Part::Checksum, &download.at.sha256),
        ];
        let what = What::Download(Download {
            tool: download.tool,
            version: Some(download.version),
            architecture: Some(download.architecture.to_owned()),
            url: download.url,
            sha256: download.sha256,
        });
        into.pin(what, uses);
    }
}

/// The scripts that cloud-init writes and the commands that it runs: nothing of the network runs unseen.
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
