//! Every path and variable that our files use must exist, and every mount must have a reader.

use std::ops::Range;

use xtask_host::finding::Finding;
use xtask_host::source::{Place, Source};
use xtask_pins::contract::PathKind;
use xtask_pins::yaml::Node;

use super::programs;
use super::service::{File, Health, Mount, MountKind, Service, canonical, is_below};

/// The directory in which c-icap 0.6.4, built with the prefix /usr, looks for modules without a directory.
const C_ICAP_MODULES: &str = "/usr/lib/c_icap";

/// Paths that Docker and the kernel add to each container.
const PROVIDED: [&str; 6] = [
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
];

/// The first segments of paths. Other text with a leading slash is a pattern, part of a URL or an argument.
const TOP: [&str; 20] = [
    "bin", "boot", "data", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc",
    "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var",
];

/// A path that one of our files uses.
struct Named {
    path: String,
    place: Place,
}

/// Judges the paths, mounts and variables of a service. `manual` describes manual steps in its container.
pub(super) fn check(service: &Service<'_>, manual: &[(String, Source)]) -> Vec<Finding> {
    let named = named(service);
    let mut findings = Vec::new();
    let mut known: Vec<(&str, &Place)> = Vec::new();
    for Named { path, place } in &named {
        // A word may be found twice: alone, and inside another word.
        if !exists(service, path) && !known.contains(&(path, place)) {
            known.push((path, place));
            let name = service.name;
            let message = format!(
                "`{path}` does not exist in `{name}`: it is not in the image, and nothing is mounted there"
            );
            findings.push(
                Finding::error("contract-path", place.clone(), message)
                    .help(missing(service, path)),
            );
        }
    }
    findings.extend(service.files.iter().flat_map(|file| modules(service, file)));
    findings.extend(unread(service, &named, manual));
    findings.extend(unwritable(service));
    findings.extend(environment(service));
    findings
}

/// The paths in our files in the container, and in the command lines and variables of the service.
fn named(service: &Service<'_>) -> Vec<Named> {
    let mut named = Vec::new();
    for file in &service.files {
        let texts = match &file.script {
            Some((_, script)) => script.words.clone(),
            None => without_comments(&file.source.text),
        };
        for (text, at) in texts {
            // The text of a quoted word begins after its quote.
            let quote = at.len().saturating_sub(text.len()) / 2;
            for span in paths_in(&text) {
                let start = at.start + quote + span.start;
                named.push(Named {
                    path: text[span.clone()].to_owned(),
                    place: file.source.place(start..start + span.len()),
                });
            }
        }
    }
    let mut words = service.words("entrypoint").unwrap_or_default();
    words.extend(service.words("command").unwrap_or_default());
    match service.health() {
        Some(Health::Words(more)) => words.extend(more),
        Some(Health::Shell(text, node)) => words.push((text, node)),
        None => {}
    }
    words.extend(variables(service).into_iter().filter_map(|(_, value)| {
        let value = value?;
        Some((value.text()?.to_owned(), value))
    }));
    for (text, node) in words {
        for span in paths_in(&text) {
            let path = text[span].to_owned();
            named.push(Named {
                place: service.place(node, &path),
                path,
            });
        }
    }
    named
}

/// Whether the container has `path`, or may create it.
fn exists(service: &Service<'_>, path: &str) -> bool {
    let path = canonical(path);
    let mounted = service.mounts.iter().any(|mount| {
        let target = canonical(&mount.target);
        let is_directory = mount.kind != MountKind::Secret;
        target == path || (is_directory && is_below(&path, &target)) || is_below(&target, &path)
    });
    let shipped = service.contract.paths.iter().any(|fact| {
        let known = canonical(&fact.value.path);
        let made = match fact.value.kind {
            PathKind::Writable => true,
            PathKind::File => !service.is_read_only(),
            PathKind::Module | PathKind::Config => false,
        };
        fact.value.kind.is_shipped()
            && (is_below(&known, &path) || (made && is_below(&path, &known)))
    });
    mounted
        || shipped
        || PROVIDED.iter().any(|provided| is_below(&path, provided))
        || service.contract.has_program(&path)
}

/// The help for a missing path.
fn missing(service: &Service<'_>, path: &str) -> String {
    let file = &service.contract.source.path;
    let name = path.rsplit('/').next().unwrap_or(path);
    let same = service
        .contract
        .paths
        .iter()
        .find(|fact| fact.value.path.ends_with(&format!("/{name}")));
    match same {
        Some(fact) if fact.value.kind.is_shipped() => format!("{file} has `{}`", fact.value.path),
        Some(fact) if fact.value.path == path => "mount it: the image need not have one".to_owned(),
        _ => format!("mount it, or add it to {file} under its source"),
    }
}

/// Modules without a directory that are not in c-icap's own directory.
fn modules(service: &Service<'_>, file: &File) -> Vec<Finding> {
    let paths = &service.contract.paths;
    if file.script.is_some() || !paths.iter().any(|fact| fact.value.kind == PathKind::Module) {
        return Vec::new();
    }
    let services = without_comments(&file.source.text)
        .into_iter()
        .filter_map(|(line, at)| {
            let mut words = line.split_whitespace();
            let module = (words.next() == Some("Service")).then(|| words.nth(1))??;
            let start = at.start + line.find(module)?;
            let own = service.contract.path(&format!("{C_ICAP_MODULES}/{module}"));
            let wrong = !module.starts_with('/') && own.is_none();
            wrong.then(|| (module.to_owned(), start..start + module.len()))
        });
    let finding = |(module, at): (String, Range<usize>)| {
        let message = format!(
            "c-icap looks for `{module}` in {C_ICAP_MODULES}, where `{}` has none",
            service.name
        );
        let elsewhere = paths
            .iter()
            .find(|fact| fact.value.path.ends_with(&format!("/{module}")));
        let help = match elsewhere {
            Some(fact) => format!("name it by its path, {}", fact.value.path),
            None => format!(
                "{} has the modules of the image",
                service.contract.source.path
            ),
        };
        Finding::error("contract-module", file.source.place(at), message).help(help)
    };
    services.map(finding).collect()
}

/// Mounts without a reader.
fn unread(service: &Service<'_>, named: &[Named], manual: &[(String, Source)]) -> Vec<Finding> {
    let by_hand: Vec<String> = manual
        .iter()
        .flat_map(|(_, source)| {
            paths_in(&source.text)
                .into_iter()
                .map(|span| source.text[span].to_owned())
        })
        .collect();
    let unread = service.mounts.iter().filter(|mount| {
        let target = canonical(&mount.target);
        let contract = service.contract.paths.iter().any(|fact| {
            fact.value.kind != PathKind::Module && canonical(&fact.value.path) == target
        });
        let ours = named
            .iter()
            .any(|named| is_about(&canonical(&named.path), &target));
        let hand = mount.kind == MountKind::Secret && by_hand.contains(&mount.target);
        // Programs installed in a writable file system are in no contract.
        let open = mount.kind == MountKind::Volume && !service.is_read_only();
        mount.kind != MountKind::Tmpfs && !contract && !ours && !hand && !open
    });
    let finding = |mount: &Mount<'_>| {
        let place = service.place(mount.node, &mount.target);
        let message = format!(
            "no program of `{}` reads the mount `{}`",
            service.name, mount.target
        );
        let file = &service.contract.source.path;
        let help =
            format!("mount it at a path of {file} or of a mounted file, or remove the mount");
        Finding::error("contract-mount", place, message).help(help)
    };
    unread.map(finding).collect()
}

/// Whether a reader of `path` reads the mount at `target`: the mount, something in it, or its directory.
fn is_about(path: &str, target: &str) -> bool {
    let is_deep = path.matches('/').count() > 1;
    is_below(path, target) || (is_deep && is_below(target, path))
}

/// Directories that a program must write to but cannot.
fn unwritable(service: &Service<'_>) -> Vec<Finding> {
    if !service.is_read_only() {
        return Vec::new();
    }
    let started = programs::started(service);
    let needed = service.contract.paths.iter().filter(|fact| {
        let by = fact.value.read_by.as_deref().map(super::script::base);
        let runs = match (&started, by) {
            (Some(started), Some(by)) => started.iter().any(|program| program == by),
            _ => true,
        };
        let path = canonical(&fact.value.path);
        let covered = service
            .mounts
            .iter()
            .any(|mount| !mount.read_only && is_below(&path, &canonical(&mount.target)));
        fact.value.kind == PathKind::Writable && runs && !covered
    });
    let finding = |path: &str| {
        let key = service.compose.services().iter().map(|(key, _)| key);
        let key = key
            .into_iter()
            .find(|key| key.text() == Some(service.name))
            .unwrap_or(service.node);
        let place = service.compose.place(key.span.clone());
        let message = format!(
            "`{}` must write to `{path}`, which is read-only",
            service.name
        );
        let help = "the root file system is read-only: mount a tmpfs or a volume there";
        Finding::error("contract-writable", place, message).help(help)
    };
    needed.map(|fact| finding(&fact.value.path)).collect()
}

/// Variables that no program of the image reads.
fn environment(service: &Service<'_>) -> Vec<Finding> {
    let contract = service.contract;
    let unread = variables(service).into_iter().filter_map(|(node, _)| {
        let name = node.text()?.split('=').next()?;
        let known = contract
            .environment
            .iter()
            .any(|fact| fact.value.name == name);
        let ours = service.files.iter().any(|file| {
            let text = &file.source.text;
            file.script.is_some()
                && [format!("${name}"), format!("${{{name}")]
                    .iter()
                    .any(|use_of| text.contains(use_of))
        });
        (!known && !ours).then_some((node, name))
    });
    let finding = |(node, name): (&Node, &str)| {
        let place = service.place(node, name);
        let message = format!(
            "no program of `{}` reads the variable `{name}`",
            service.name
        );
        let file = &contract.source.path;
        let help = format!("correct the name, or add it to {file} with the program that reads it");
        Finding::error("contract-environment", place, message).help(help)
    };
    unread.map(finding).collect()
}

/// The entries of `environment`: the node with the name, and the node with the value, which may be the same.
fn variables<'a>(service: &Service<'a>) -> Vec<(&'a Node, Option<&'a Node>)> {
    let Some(node) = service.node.get("environment") else {
        return Vec::new();
    };
    let mapped = node
        .entries()
        .iter()
        .map(|(name, value)| (name, Some(value)));
    mapped
        .chain(node.items().iter().map(|item| (item, Some(item))))
        .collect()
}

/// The lines of a configuration without comments, with their bytes.
fn without_comments(text: &str) -> Vec<(String, Range<usize>)> {
    let mut start = 0;
    let lines = text.split_inclusive('\n').map(|line| {
        let begins = |(at, _): &(usize, &str)| {
            line[..*at]
                .chars()
                .next_back()
                .is_none_or(char::is_whitespace)
        };
        let end = line
            .match_indices('#')
            .find(begins)
            .map_or(line.len(), |(at, _)| at);
        let at = start..start + end;
        start += line.len();
        (line[..end].to_owned(), at)
    });
    lines.collect()
}

/// The bytes of the absolute paths in `text`.
fn paths_in(text: &str) -> Vec<Range<usize>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(from) = text[at..].find(is_part) {
        let start = at + from;
        let length = text[start..]
            .find(|c| !is_part(c))
            .unwrap_or(text.len() - start);
        at = start + length;
        // Next to an expansion, it is only part of a path.
        let before = text[..start].chars().next_back();
        let after = text[at..].chars().next();
        let is_whole = !before.is_some_and(|c| "$})`*~".contains(c))
            && !after.is_some_and(|c| "$*?[{`".contains(c));
        let path = text[start..at].trim_end_matches(['.', '/']);
        let top = path
            .strip_prefix('/')
            .and_then(|rest| rest.split('/').next());
        let is_root = path.matches('/').count() == 1 && path.contains('.');
        if is_whole
            && (is_root || top.is_some_and(|top| TOP.contains(&top)))
            && path.starts_with('/')
        {
            found.push(start..start + path.len());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_distinguished_from_similar_text() {
        for (text, expected) in [
            ("dir /data", "/data"),
            (
                "hash:/etc/c-icap/blocklist.txt \"x\"",
                "/etc/c-icap/blocklist.txt",
            ),
            ("</run/secrets/p.txt", "/run/secrets/p.txt"),
            ("A=/etc/x.conf.", "/etc/x.conf"),
            ("/init.sh /health.sh", "/init.sh /health.sh"),
            ("icap://10.30.1.5:1344/etc/x https://usr/x", ""),
            ("10.0.0.0/8 - 1/usr", ""),
            ("$D/etc/x ${D}/etc/x $(d)/etc/x", ""),
            ("/etc/x* /etc/$x /etc/{a,b}", ""),
            (
                "^((api|uploads)\\.)?github\\.com(:443)?$ [A-Za-z0-9/+]{40}",
                "",
            ),
            ("s/etc/x/ /x/d", ""),
        ] {
            let found: Vec<&str> = paths_in(text).into_iter().map(|span| &text[span]).collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn comments_are_cut_where_they_begin() {
        let lines = without_comments("a # b\n# c\nd#e\n");
        let lines: Vec<(&str, usize)> = lines
            .iter()
            .map(|(line, at)| (line.as_str(), at.start))
            .collect();
        assert_eq!(lines, [("a ", 0), ("", 6), ("d#e\n", 10)]);
    }
}
