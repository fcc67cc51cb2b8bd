//! The table of settings: the type, the default, the parser and the meaning of each.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::layers::{Layers, Shown, Sourced};
use crate::error::Result;
use crate::instance;
use crate::multipass::size::{self, Size};
use crate::proxy::url;
use crate::release::url as release_url;

/// A row of the table, for `--help`, the man page and the configuration file.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    pub(super) default: Option<&'static str>,
    /// Whether it is a path, which the configuration file gives relative to itself.
    pub(super) is_path: bool,
}

/// Generates [`Settings`], [`KEYS`] and the code that reads and shows them from one table.
macro_rules! settings {
    (
        with_default { $($field:ident $name:literal: $type:ty = $default:expr, $parse:expr, $meaning:literal;)* }
        optional { $($may:ident $may_name:literal: $may_type:ty, $may_parse:expr, $may_meaning:literal;)* }
        paths { $($path:ident $path_name:literal: $path_meaning:literal;)* }
    ) => {
        /// All settings, each with its origin.
        #[derive(Clone, PartialEq, Eq)]
        pub(crate) struct Settings {
            $(pub(crate) $field: Sourced<$type>,)*
            $(pub(crate) $may: Option<Sourced<$may_type>>,)*
            $(pub(crate) $path: Option<Sourced<PathBuf>>,)*
            /// The workspace that applies where neither the environment nor a flag names one.
            pub(super) usual_name: String,
        }

        /// Every setting.
        pub(super) const KEYS: &[Key] = &[
            $(Key { name: $name, meaning: $meaning, default: Some($default), is_path: false },)*
            $(Key { name: $may_name, meaning: $may_meaning, default: None, is_path: false },)*
            $(Key { name: $path_name, meaning: $path_meaning, default: None, is_path: true },)*
        ];

        impl Settings {
            /// Parses every setting from its layers.
            pub(super) fn parse(layers: &Layers<'_>, usual_name: String) -> Result<Self> {
                Ok(Self {
                    $($field: layers.get_or($name, $default, $parse)?,)*
                    $($may: layers.get($may_name, $may_parse)?,)*
                    $($path: layers.get($path_name, path)?,)*
                    usual_name,
                })
            }

            /// The settings that have a value, by name.
            pub(super) fn shown(&self) -> Vec<Shown> {
                let mut all = vec![
                    $(Some(Shown::new($name, &self.$field.value, self.$field.origin)),)*
                    $(self.$may.as_ref().map(|it| Shown::new($may_name, &it.value, it.origin)),)*
                    $(self.$path.as_ref().map(|it| Shown::new($path_name, &it.value.display(), it.origin)),)*
                ];
                all.sort_by_key(|setting| setting.as_ref().map(|setting| setting.name));
                all.into_iter().flatten().collect()
            }
        }
    };
}

settings! {
    with_default {
        name "name": String = instance::DEFAULT, instance::check, "the workspace, as `--name`";
        cpus "cpus": u16 = "4", size::cpus, "CPUs of a new VM";
        memory "memory": Size = "8G", Size::memory, "memory of a new VM";
        disk "disk": Size = "40G", Size::disk, "disk of a new VM";
        timeout "timeout": Seconds = "900", seconds, "seconds for launch and provisioning together";
        pull_timeout "pull-timeout": Seconds = "1800", seconds, "seconds for pulling the images";
        health_timeout "health-timeout": Seconds = "900", seconds, "seconds until every service is healthy";
        // Calls wait for one another in the daemon, which blocks for 300 s when a VM ignores its power button.
        call_timeout "call-timeout": Seconds = "360", seconds, "seconds for one short call of Multipass";
        copy_size "copy-size": Size = "4G", Size::parse, "the maximum size of a copy";
        copy_entries "copy-entries": u32 = "200000", count, "the maximum number of files, directories and links in a copy";
        copy_timeout "copy-timeout": Seconds = "3600", seconds,
            "seconds for each of packing, transferring and unpacking a copy";
        delivery "delivery": Delivery = "auto", Delivery::parse,
            "how Multipass gets its input: auto, pipe or file";
        release_url "release-url": String = concat!(env!("CARGO_PKG_REPOSITORY"), "/releases"), release_url::check,
            "where `polis update` looks for releases";
        update_timeout "update-timeout": Seconds = "900", seconds,
            "seconds for each file that `polis update` downloads";
    }
    optional {
        http_proxy "http-proxy": String, url::check, "the proxy for http://";
        https_proxy "https-proxy": String, url::check, "the proxy for https://";
        no_proxy "no-proxy": String, url::check_list, "hosts that are reached without a proxy";
    }
    paths {
        ca_file "ca-file": "a file with additional certificate authorities to trust";
        cloud_init "cloud-init": "a file with custom user-data for a new VM";
        agent "agent": "the directory of an agent, as `polis start --agent`";
    }
}

/// A whole number of seconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(u32);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Sourced<Seconds> {
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.value.0.into())
    }
}

/// How Multipass gets the user-data and the files for the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Through a pipe if the system's Multipass reads one unchanged.
    Auto,
    Pipe,
    File,
}

impl Delivery {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "pipe" => Ok(Self::Pipe),
            "file" => Ok(Self::File),
            _ => Err(format!(
                "invalid value `{text}`: expected auto, pipe or file"
            )),
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Pipe => "pipe",
            Self::File => "file",
        })
    }
}

fn positive(text: &str) -> Option<u32> {
    text.parse().ok().filter(|count| *count > 0)
}

fn seconds(text: &str) -> std::result::Result<Seconds, String> {
    positive(text)
        .map(Seconds)
        .ok_or_else(|| format!("invalid number of seconds `{text}`: expected 1 or more"))
}

fn count(text: &str) -> std::result::Result<u32, String> {
    positive(text).ok_or_else(|| format!("invalid number `{text}`: expected 1 or more"))
}

fn path(text: &str) -> std::result::Result<PathBuf, String> {
    if text.is_empty() {
        return Err("it is empty; expected a path".to_owned());
    }
    Ok(PathBuf::from(text))
}
