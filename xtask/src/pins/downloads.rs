//! What the machine downloads: files with their checksums, and a key with its fingerprint.

use super::collect::Collector;
use super::model::{At, Download, Key, Part, Use, What};
use crate::pins_env;
use crate::source::Source;
use crate::yaml;

/// Collects the pins of the cloud-init file.
pub(super) fn extract(source: &Source, into: &mut Collector) {
    let pins = yaml::parse(source)
        .map_err(|finding| vec![*finding])
        .and_then(|root| pins_env::read(source, &root));
    let pins = match pins {
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
            tool: download.tool.to_owned(),
            version: Some(download.version),
            architecture: Some(download.architecture.to_owned()),
            url: download.url,
            sha256: download.sha256,
        });
        into.pin(what, uses);
    }
}
