//! How the compose file runs an image: as which user, what it starts in it, what it mounts over it.

use std::collections::BTreeMap;
use std::path::Path;

use polis_base::ImageRef;
use xtask_host::source::Place;
use xtask_host::tree;
use xtask_pins::compose::Compose;
use xtask_pins::yaml::Node;

/// One service that runs an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUse {
    /// The service.
    pub service: String,
    /// Its `user`; `None` if the image decides.
    pub user: Option<String>,
    /// Whether root in it bypasses file permissions because it keeps CAP_DAC_OVERRIDE.
    pub overrides: bool,
    /// The programs of the image that it starts.
    pub starts: Vec<Start>,
    /// The absolute paths that it mounts over.
    pub mounts: Vec<String>,
}

/// A program that a service starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// A bare name or an absolute path.
    pub program: String,
    /// What starts it.
    pub by: String,
    /// Where the compose file says so.
    pub place: Place,
}

/// How the services of `compose`, the compose file of the tree at `root`, run their images.
pub fn uses_in(root: &Path, compose: &Compose) -> BTreeMap<ImageRef, Vec<ImageUse>> {
    let dir = Path::new(&compose.source.path).with_file_name("");
    let full = |path: &str| dir.join(path).to_string_lossy().into_owned();
    uses(compose, |path| tree::text(root, &full(path)).ok())
}

/// How the services of `compose` run their images. `read` returns the text of a file by its path relative to
/// the compose file.
fn uses(
    compose: &Compose,
    read: impl Fn(&str) -> Option<String>,
) -> BTreeMap<ImageRef, Vec<ImageUse>> {
    let mut uses: BTreeMap<ImageRef, Vec<ImageUse>> = BTreeMap::new();
    let (references, _) = compose.references();
    for (name, service) in compose.services() {
        let name = name.text().unwrap_or_default();
        let by = format!("service {name}");
        let reference = references.iter().find(|reference| reference.by == by);
        if let Some(Ok(image)) = reference.map(|reference| &reference.image) {
            let found = of_service(compose, name, service, &read);
            uses.entry(image.clone()).or_default().push(found);
        }
    }
    uses
}

fn of_service(
    compose: &Compose,
    name: &str,
    service: &Node,
    read: impl Fn(&str) -> Option<String>,
) -> ImageUse {
    let mounts = mounts(service);
    let mut starts = Vec::new();
    for (by, node) in started(service) {
        let place = compose.place(node.span.clone());
        let Some(program) = programs(by, node) else {
            continue;
        };
        let script = mounts.iter().find(|(_, target)| *target == program);
        let Some((source, _)) = script else {
            let by = by.to_owned();
            starts.push(Start { program, by, place });
            continue;
        };
        // A mounted script needs the programs that its first line names.
        let text = source.as_deref().and_then(&read).unwrap_or_default();
        for interpreter in interpreters(&text) {
            let (by, place) = (format!("{by} {program}"), place.clone());
            starts.push(Start {
                program: interpreter,
                by,
                place,
            });
        }
    }
    ImageUse {
        service: name.to_owned(),
        user: service
            .get("user")
            .map(scalar)
            .filter(|user| !user.is_empty()),
        overrides: overrides(service),
        starts,
        mounts: mounts.into_iter().map(|(_, target)| target).collect(),
    }
}

/// The keys of a service that name programs, with what to call them.
fn started(service: &Node) -> Vec<(&'static str, &Node)> {
    let check = service
        .get("healthcheck")
        .and_then(|check| check.get("test"));
    let entry = service.get("entrypoint");
    let entry = entry.map(|node| ("the entry point", node));
    check
        .map(|node| ("the health check", node))
        .into_iter()
        .chain(entry)
        .collect()
}

/// The program that `node` starts: as a health check, or as words.
fn programs(by: &str, node: &Node) -> Option<String> {
    let words: Vec<&str> = node.items().iter().filter_map(Node::text).collect();
    if by != "the health check" {
        let text = node.text().and_then(|text| text.split_whitespace().next());
        return words.first().copied().or(text).map(str::to_owned);
    }
    match (node.text(), words.as_slice()) {
        (Some("NONE"), _) | (_, ["NONE", ..]) => None,
        (Some(_), _) | (_, ["CMD-SHELL", ..]) => Some("/bin/sh".to_owned()),
        (_, ["CMD", program, ..]) => Some((*program).to_owned()),
        _ => None,
    }
}

/// The programs that the first line of a script names.
fn interpreters(text: &str) -> Vec<String> {
    let first = text.lines().next().unwrap_or_default();
    let mut words = first
        .strip_prefix("#!")
        .unwrap_or_default()
        .split_whitespace();
    let Some(program) = words.next() else {
        return Vec::new();
    };
    let mut found = vec![program.to_owned()];
    if program.ends_with("/env") {
        let behind = words.find(|word| !word.starts_with('-') && !word.contains('='));
        found.extend(behind.map(str::to_owned));
    }
    found
}

/// The source, if there is one, and the target of each mount of a service.
fn mounts(service: &Node) -> Vec<(Option<String>, String)> {
    let mut found = Vec::new();
    for volume in service.get("volumes").map_or(&[][..], Node::items) {
        if let Some(text) = volume.text() {
            let mut parts = text.split(':');
            match (parts.next(), parts.next()) {
                (Some(source), Some(target)) => {
                    found.push((Some(source.to_owned()), target.to_owned()));
                }
                (Some(target), None) => found.push((None, target.to_owned())),
                _ => {}
            }
        } else if let Some(target) = volume.get("target").and_then(Node::text) {
            let source = volume.get("source").and_then(Node::text);
            found.push((source.map(str::to_owned), target.to_owned()));
        }
    }
    let tmpfs = service.get("tmpfs");
    let listed = tmpfs.map_or(&[][..], Node::items).iter();
    for text in listed.chain(tmpfs).filter_map(Node::text) {
        let target = text.split(':').next().unwrap_or(text);
        found.push((None, target.to_owned()));
    }
    found
}

/// Whether root in the service bypasses file permissions.
fn overrides(service: &Node) -> bool {
    let names = |key: &str, names: &[&str]| {
        let items = service.get(key).map_or(&[][..], Node::items).iter();
        items
            .filter_map(Node::text)
            .any(|item| names.contains(&item.trim_start_matches("CAP_")))
    };
    // Sysbox gives root all capabilities in its own user namespace.
    let sysbox = service.get("runtime").and_then(Node::text) == Some("sysbox-runc");
    let dropped = names("cap_drop", &["ALL", "DAC_OVERRIDE"]);
    sysbox || !dropped || names("cap_add", &["ALL", "DAC_OVERRIDE"])
}

/// The text of a scalar, as `0:0` or `65532`.
fn scalar(node: &Node) -> String {
    match node.to_json() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}
