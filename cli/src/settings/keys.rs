//! The table of settings: the name, the meaning, the default and the valid values of each.

use crate::instance;
use crate::multipass::size;
use crate::proxy::url;
use crate::release::url as release_url;

/// Something that can be set.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// For people.
    pub(super) meaning: &'static str,
    pub(super) default: Option<&'static str>,
    pub(super) check: fn(&str) -> std::result::Result<String, String>,
}

/// Every setting.
pub(super) const KEYS: [Key; 20] = [
    // First: it says which table of the configuration file counts.
    Key {
        name: "name",
        meaning: "the workspace, as `--name`",
        default: Some(instance::DEFAULT),
        check: instance::check,
    },
    Key {
        name: "cpus",
        meaning: "CPUs of a new VM",
        default: Some("4"),
        check: size::cpus,
    },
    Key {
        name: "memory",
        meaning: "memory of a new VM",
        default: Some("8G"),
        check: memory,
    },
    Key {
        name: "disk",
        meaning: "disk of a new VM",
        default: Some("40G"),
        check: disk,
    },
    Key {
        name: "timeout",
        meaning: "seconds for launch and provisioning together",
        default: Some("900"),
        check: seconds,
    },
    Key {
        name: "pull-timeout",
        meaning: "seconds for pulling the images",
        default: Some("1800"),
        check: seconds,
    },
    Key {
        name: "health-timeout",
        meaning: "seconds until every service is healthy",
        default: Some("900"),
        check: seconds,
    },
    Key {
        name: "call-timeout",
        meaning: "seconds for one short call of Multipass",
        // Calls wait for one another in the daemon, which blocks for 300 s when a VM ignores its power button.
        default: Some("360"),
        check: seconds,
    },
    Key {
        name: "copy-size",
        meaning: "how large a copy may be",
        default: Some("4G"),
        check: bytes,
    },
    Key {
        name: "copy-entries",
        meaning: "how many files, directories and links a copy may have",
        default: Some("200000"),
        check: count,
    },
    Key {
        name: "copy-timeout",
        meaning: "seconds for each of packing, transferring and unpacking a copy",
        default: Some("3600"),
        check: seconds,
    },
    Key {
        name: "delivery",
        meaning: "how Multipass gets what it reads: auto, pipe or file",
        default: Some("auto"),
        check: delivery,
    },
    Key {
        name: "release-url",
        meaning: "where `polis update` looks for releases",
        default: Some(concat!(env!("CARGO_PKG_REPOSITORY"), "/releases")),
        check: release_url::check,
    },
    Key {
        name: "update-timeout",
        meaning: "seconds for each file that `polis update` downloads",
        default: Some("900"),
        check: seconds,
    },
    Key {
        name: "http-proxy",
        meaning: "the proxy for http://",
        default: None,
        check: url::check,
    },
    Key {
        name: "https-proxy",
        meaning: "the proxy for https://",
        default: None,
        check: url::check,
    },
    Key {
        name: "no-proxy",
        meaning: "hosts that are reached without a proxy",
        default: None,
        check: url::check_list,
    },
    Key {
        name: "ca-file",
        meaning: "certificate authorities that are trusted beside the usual ones",
        default: None,
        check: path,
    },
    Key {
        name: "cloud-init",
        meaning: "a file with user-data of your own, for a new VM",
        default: None,
        check: path,
    },
    Key {
        name: "agent",
        meaning: "the directory of an agent, as `polis start --agent`",
        default: None,
        check: path,
    },
];

fn memory(text: &str) -> std::result::Result<String, String> {
    size::at_least(text, size::LEAST_MEMORY)
}

fn disk(text: &str) -> std::result::Result<String, String> {
    size::at_least(text, size::LEAST_DISK)
}

fn seconds(text: &str) -> std::result::Result<String, String> {
    match text.parse::<u32>() {
        Ok(count) if count > 0 => Ok(count.to_string()),
        _ => Err(format!(
            "invalid number of seconds `{text}`: expected 1 or more"
        )),
    }
}

fn bytes(text: &str) -> std::result::Result<String, String> {
    size::bytes(text).map(|_| text.to_owned())
}

fn count(text: &str) -> std::result::Result<String, String> {
    match text.parse::<u32>() {
        Ok(count) if count > 0 => Ok(count.to_string()),
        _ => Err(format!("invalid number `{text}`: expected 1 or more")),
    }
}

fn delivery(text: &str) -> std::result::Result<String, String> {
    match text {
        "auto" | "pipe" | "file" => Ok(text.to_owned()),
        _ => Err(format!(
            "invalid value `{text}`: expected auto, pipe or file"
        )),
    }
}

fn path(text: &str) -> std::result::Result<String, String> {
    if text.is_empty() {
        return Err("it is empty; expected a path".to_owned());
    }
    Ok(text.to_owned())
}
