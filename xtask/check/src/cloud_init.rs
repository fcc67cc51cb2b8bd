//! Our rules on the cloud-init file, beyond the schema.

use std::collections::BTreeSet;

use xtask_host::finding::Finding;
use xtask_host::source::Source;
use xtask_pins::pins_env;
use xtask_pins::yaml::{self, Node, Value};

/// Keys that the schema rejects as unknown, with the reason.
const UNWANTED: [(&str, &str); 4] = [
    (
        "hostname",
        "on Hyper-V, Multipass reaches the guest as <instance>.mshome.net: another host name breaks every restart",
    ),
    (
        "fqdn",
        "on Hyper-V, Multipass reaches the guest as <instance>.mshome.net: another name breaks every restart",
    ),
    (
        "users",
        "keep the image's own user: the provisioning script adds it to the docker group",
    ),
    (
        "groups",
        "a group created before Docker's package would take the gid of the user ubuntu",
    ),
];

/// Judges the parsed cloud-init file.
pub fn check(source: &Source, root: &Node) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.text.lines().next() != Some("#cloud-config") {
        findings.push(
            Finding::error(
                "cloud-config-header",
                source.place(0..0),
                "the first line is not `#cloud-config`",
            )
            .help("cloud-init ignores user-data that does not start with it"),
        );
    }
    findings.extend(plain_text(source));
    findings.extend(plain_yaml(source));
    for (key, reason) in UNWANTED {
        if let Some((key_node, _)) = root.entry(key) {
            let place = source.place(key_node.span.clone());
            findings.push(
                Finding::error(
                    "unwanted-key",
                    place,
                    format!("`{key}` is not allowed in the cloud-init file"),
                )
                .help(reason),
            );
        }
    }
    findings.extend(packages(source, root));
    findings.extend(base_packages(source, root));
    for item in root.get("write_files").map_or(&[][..], Node::items) {
        findings.extend(permissions(source, item));
        findings.extend(daemon_json(source, item));
    }
    findings.extend(runcmd(source, root));
    if let Err(wrong) = pins_env::read(source, root) {
        findings.extend(wrong);
    }
    findings
}

/// cloud-init's parser reads YAML 1.1, which forbids most control characters even in comments.
fn plain_text(source: &Source) -> Option<Finding> {
    let mut bytes = source.text.bytes();
    let at = bytes.position(|byte| !matches!(byte, b'\n' | b' '..=b'~'))?;
    let found = source.text[at..].chars().next()?;
    let place = source.place(at..at + found.len_utf8());
    let message = format!("`{}` in the cloud-init file", found.escape_default());
    Some(
        Finding::error("plain-text", place, message).help(
            "write printable ASCII: cloud-init rejects some other characters even in comments",
        ),
    )
}

/// cloud-init rejects unknown tags, invalid merges and dots in anchors, which our parser accepts.
fn plain_yaml(source: &Source) -> Vec<Finding> {
    let finding = |(span, what)| {
        let message = format!("{what} in the cloud-init file");
        Finding::error("plain-yaml", source.place(span), message)
            .help("write plain maps, lists and scalars: Multipass and cloud-init disagree about other features")
    };
    yaml::beyond_plain(source)
        .into_iter()
        .map(finding)
        .collect()
}

/// Ubuntu's own Docker has a runc that fails with Sysbox's `/proc` (spec, P3).
fn packages(source: &Source, root: &Node) -> Vec<Finding> {
    let listed = root.get("packages").map_or(&[][..], Node::items).iter();
    let mut spans: Vec<_> = listed
        .filter(|item| item.text() == Some("docker.io"))
        .map(|item| item.span.clone())
        .collect();
    for item in root.get("write_files").map_or(&[][..], Node::items) {
        let Some(content) = item.get("content") else {
            continue;
        };
        let text = &source.text[content.span.clone()];
        spans.extend(text.match_indices("docker.io").filter_map(|(at, found)| {
            let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let before = &text[line_start..at];
            let is_word = before.ends_with([' ', '(', '"', '\''])
                && !text[at + found.len()..].starts_with(['/', '.']);
            let comment = before.trim_start().starts_with('#');
            (is_word && !comment)
                .then(|| content.span.start + at..content.span.start + at + found.len())
        }));
    }
    spans
        .into_iter()
        .map(|span| {
            Finding::error(
                "docker-io",
                source.place(span),
                "the package `docker.io` does not work with Sysbox",
            )
            .help("install Docker CE from Docker's own repository")
        })
        .collect()
}

/// The script retries packages that the module failed to install, so both lists must be the same.
fn base_packages(source: &Source, root: &Node) -> Option<Finding> {
    let (key, listed) = root.entry("packages")?;
    let listed = listed.items().iter().filter_map(Node::text).collect();
    let differ = differ(listed, script_list(source, "BASE_PACKAGES")?)?;
    let message = format!("`packages` and the script's BASE_PACKAGES differ: {differ}");
    Some(
        Finding::error("packages-differ", source.place(key.span.clone()), message)
            .help("list the same packages in both: the script retries those that the module failed to install"),
    )
}

/// The words of the script's array `name`.
fn script_list<'a>(source: &'a Source, name: &str) -> Option<Vec<&'a str>> {
    let (_, list) = source.text.split_once(&format!("readonly {name}=("))?;
    Some(list.split_once(')')?.0.split_whitespace().collect())
}

/// The words that are in only one of the lists.
fn differ(one: Vec<&str>, other: Vec<&str>) -> Option<String> {
    let [here, there] = [&one, &other].map(|list| list.iter().copied().collect::<BTreeSet<_>>());
    let differ: Vec<&str> = here.symmetric_difference(&there).copied().collect();
    (!differ.is_empty()).then(|| differ.join(", "))
}

/// Multipass re-emits user-data with yaml-cpp, which drops the quotes of `'0644'`: it arrives as the integer 420. An
/// octal literal is unchanged.
fn permissions(source: &Source, item: &Node) -> Option<Finding> {
    let node = item.get("permissions")?;
    let text = source.text[node.span.clone()].trim();
    let digits = text.strip_prefix("0o").unwrap_or_default();
    let literal = (3..=4).contains(&digits.len()) && digits.chars().all(|c| c.is_digit(8));
    if literal {
        return None;
    }
    let finding = Finding::error(
        "permissions",
        source.place(node.span.clone()),
        format!("`{text}` is not an octal literal such as `0o755`"),
    );
    Some(finding.help("write an octal literal, or omit the key for 0644: Multipass drops the quotes, and cloud-init then reads another number"))
}

/// With `live-restore`, Docker reattaches to network namespaces that Sysbox has replaced.
fn daemon_json(source: &Source, item: &Node) -> Option<Finding> {
    if item.get("path").and_then(Node::text) != Some("/etc/docker/daemon.json") {
        return None;
    }
    let content = item.get("content")?;
    let at = |needle: &str| {
        let from = source.text[content.span.clone()].find(needle).unwrap_or(0);
        source.place(content.span.start + from..content.span.start + from + needle.len())
    };
    match serde_json::from_str::<serde_json::Value>(content.text().unwrap_or_default()) {
        Err(error) => Some(Finding::error(
            "daemon-json",
            at(""),
            format!("daemon.json is not valid JSON: {error}"),
        )),
        Ok(daemon) if daemon.get("live-restore").is_some() => Some(
            Finding::error(
                "live-restore",
                at("live-restore"),
                "daemon.json sets `live-restore`",
            )
            .help("remove it: reattaching to old network namespaces fails with Sysbox"),
        ),
        Ok(_) => None,
    }
}

/// Requires a single entry that runs an executable script of `write_files`: cloud-init joins several entries into a
/// shell script without `-e`, which ignores failures.
fn runcmd(source: &Source, root: &Node) -> Option<Finding> {
    let place = |node: &Node| source.place(node.span.clone());
    let Some((key, list)) = root.entry("runcmd") else {
        return Some(Finding::error(
            "runcmd",
            source.place(root.span.start..root.span.start),
            "`runcmd` is missing: nothing runs the provisioning script",
        ));
    };
    let [entry] = list.items() else {
        return Some(
            Finding::error("runcmd", place(key), "`runcmd` does not have exactly one entry")
                .help("keep one entry: cloud-init joins the entries into a script without `-e`, in which only the last failure counts"),
        );
    };
    let program = match &entry.value {
        Value::Text(text) => Some(text.as_str()),
        Value::Seq(words) => words.first().and_then(Node::text),
        _ => None,
    };
    let written = root
        .get("write_files")
        .map_or(&[][..], Node::items)
        .iter()
        .find(|item| program.is_some() && item.get("path").and_then(Node::text) == program);
    let executable = written
        .and_then(|item| item.get("permissions"))
        .map(|mode| &mode.value);
    match executable {
        Some(Value::Int(mode)) if mode & 0o111 == 0o111 => None,
        _ => Some(
            Finding::error(
                "runcmd",
                place(entry),
                "`runcmd` does not run an executable script of `write_files`",
            )
            .help("write the script with `permissions: 0o755`"),
        ),
    }
}
