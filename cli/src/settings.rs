//! What can be set, and where each value came from: a default, the configuration file, the
//! environment, a flag; the later wins.
//!
//! One table says what there is. Everything is checked as it is read, so a typing error names its
//! file or variable and costs nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::multipass::size;
use crate::platform;
use crate::release::fetch;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    Default,
    File,
    Environment,
    Flag,
}

/// A value with where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// Something that can be set.
struct Key {
    name: &'static str,
    default: Option<&'static str>,
    check: fn(&str) -> std::result::Result<String, String>,
}

const KEYS: [Key; 15] = [
    Key {
        name: "cpus",
        default: Some("4"),
        check: size::cpus,
    },
    Key {
        name: "memory",
        default: Some("8G"),
        check: memory,
    },
    Key {
        name: "disk",
        default: Some("40G"),
        check: disk,
    },
    Key {
        name: "timeout",
        default: Some("900"),
        check: seconds,
    },
    Key {
        name: "pull-timeout",
        default: Some("1800"),
        check: seconds,
    },
    Key {
        name: "health-timeout",
        default: Some("900"),
        check: seconds,
    },
    Key {
        name: "call-timeout",
        // Calls wait for one another in the daemon, which blocks for 300 s when a VM ignores its power button.
        default: Some("360"),
        check: seconds,
    },
    Key {
        name: "copy-size",
        default: Some("4G"),
        check: bytes,
    },
    Key {
        name: "copy-entries",
        default: Some("200000"),
        check: count,
    },
    Key {
        name: "copy-timeout",
        default: Some("3600"),
        check: seconds,
    },
    Key {
        name: "delivery",
        default: Some("auto"),
        check: delivery,
    },
    Key {
        name: "release-url",
        default: Some(concat!(env!("CARGO_PKG_REPOSITORY"), "/releases")),
        check: fetch::url,
    },
    Key {
        name: "update-timeout",
        default: Some("900"),
        check: seconds,
    },
    Key {
        name: "cloud-init",
        default: None,
        check: path,
    },
    Key {
        name: "agent",
        default: None,
        check: path,
    },
];

/// All settings, each valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Settings(BTreeMap<&'static str, Setting>);

impl Settings {
    /// Reads all layers. `file` is the configuration file, which need not exist; `env` looks up a
    /// variable; `flags` holds what was given on the command line.
    ///
    /// # Errors
    /// Of kind `Usage`, naming the file and line, the variable or the flag.
    pub(crate) fn read(
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
        flags: &[(&'static str, Option<String>)],
    ) -> Result<Self> {
        let mut settings = BTreeMap::new();
        let mut set = |key: &Key, value: &str, origin, place: &str| -> Result<()> {
            let value = (key.check)(value).map_err(|reason| wrong(key.name, place, &reason))?;
            settings.insert(key.name, Setting { value, origin });
            Ok(())
        };
        let from_file = file.map(from_file).transpose()?.unwrap_or_default();
        for key in &KEYS {
            if let Some(value) = key.default {
                set(key, value, Origin::Default, "the defaults")?;
            }
            if let (Some(value), Some(file)) = (from_file.get(key.name), file) {
                set(key, value, Origin::File, &file.display().to_string())?;
            }
            let variable = variable(key.name);
            if let Some(value) = env(&variable) {
                set(key, &value, Origin::Environment, &variable)?;
            }
            let flag = flags.iter().find(|(name, _)| *name == key.name);
            if let Some((_, Some(value))) = flag {
                set(key, value, Origin::Flag, &format!("--{}", key.name))?;
            }
        }
        Ok(Self(settings))
    }

    /// A setting that has a default.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |setting| &setting.value)
    }

    /// A number of seconds that has a default.
    pub(crate) fn time(&self, name: &str) -> Duration {
        Duration::from_secs(self.text(name).parse().unwrap_or_default())
    }

    /// A number of bytes that has a default.
    pub(crate) fn size(&self, name: &str) -> u64 {
        size::bytes(self.text(name)).unwrap_or_default()
    }

    /// A number that has a default.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// Whether Multipass is handed what it reads through a pipe, not as a file.
    pub(crate) fn pipes(&self) -> bool {
        match self.text("delivery") {
            "pipe" => true,
            "file" => false,
            _ => platform::PIPES_WORK,
        }
    }

    /// A path that need not be set.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.0
            .get(name)
            .map(|setting| PathBuf::from(&setting.value))
    }
}

/// The environment variable of a setting.
fn variable(name: &str) -> String {
    format!("POLIS_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// The values of the configuration file; paths in it are relative to it.
fn from_file(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => {
            return Err(
                Error::new(Kind::Usage, format!("`{}` cannot be read", path.display()))
                    .because(error.to_string()),
            );
        }
    };
    let broken = |reason: String| {
        Error::new(
            Kind::Usage,
            format!("`{}` is no configuration of polis", path.display()),
        )
        .because(reason)
        .next(format!("it may set: {}", names()))
    };
    let table: toml::Table = toml::from_str(&text).map_err(|error| broken(error.to_string()))?;
    let mut values = BTreeMap::new();
    for (name, value) in table {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            return Err(broken(format!("`{name}` is not a setting")));
        };
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            other => {
                let found = other.type_str();
                return Err(broken(format!(
                    "`{name}` is a {found}; expected a string or a number"
                )));
            }
        };
        let relative =
            matches!(key.name, "cloud-init" | "agent") && Path::new(&value).is_relative();
        let value = match path.parent() {
            Some(dir) if relative => dir.join(value).display().to_string(),
            _ => value,
        };
        values.insert(name, value);
    }
    Ok(values)
}

fn names() -> String {
    KEYS.map(|key| key.name).join(", ")
}

fn wrong(name: &str, place: &str, reason: &str) -> Box<Error> {
    Error::new(Kind::Usage, format!("{name} is wrong: {reason}"))
        .because(format!("it is set by {place}"))
        .next("polis start --help")
}

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
            "`{text}` is no number of seconds; expected 1 or more"
        )),
    }
}

fn bytes(text: &str) -> std::result::Result<String, String> {
    size::bytes(text).map(|_| text.to_owned())
}

fn count(text: &str) -> std::result::Result<String, String> {
    match text.parse::<u32>() {
        Ok(count) if count > 0 => Ok(count.to_string()),
        _ => Err(format!("`{text}` is no number; expected 1 or more")),
    }
}

fn delivery(text: &str) -> std::result::Result<String, String> {
    match text {
        "auto" | "pipe" | "file" => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is none of auto, pipe and file")),
    }
}

fn path(text: &str) -> std::result::Result<String, String> {
    if text.is_empty() {
        return Err("it is empty; expected a path".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        file: Option<&str>,
        env: &[(&str, &str)],
        flags: &[(&'static str, &str)],
    ) -> Result<Settings> {
        let dir = std::env::temp_dir().join(format!(
            "polis-settings-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("config.toml");
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
        }
        let lookup = |name: &str| {
            let found = env.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let flags: Vec<_> = flags
            .iter()
            .map(|(name, value)| (*name, Some((*value).to_owned())))
            .collect();
        let settings = Settings::read(Some(&path), lookup, &flags);
        std::fs::remove_dir_all(dir).unwrap();
        settings
    }

    #[test]
    fn the_later_layer_wins_and_is_named() {
        let settings = read(
            Some("cpus = 2\nmemory = \"4G\"\ndisk = \"20G\""),
            &[("POLIS_MEMORY", "6G"), ("POLIS_DISK", "30G")],
            &[("disk", "50G")],
        )
        .unwrap();
        let of = |name| {
            let setting = &settings.0[name];
            (setting.value.as_str(), setting.origin.clone())
        };
        assert_eq!(of("timeout"), ("900", Origin::Default));
        assert_eq!(of("cpus"), ("2", Origin::File));
        assert_eq!(of("memory"), ("6G", Origin::Environment));
        assert_eq!(of("disk"), ("50G", Origin::Flag));
        assert_eq!(settings.path("agent"), None);
    }

    #[test]
    fn paths_of_the_file_are_relative_to_it() {
        let settings = read(Some("agent = \"a/b\""), &[], &[]).unwrap();
        assert!(settings.path("agent").unwrap().is_absolute());
        let settings = read(None, &[], &[("agent", "a/b")]).unwrap();
        assert_eq!(settings.path("agent").unwrap(), Path::new("a/b"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (file, env, part) in [
            (Some("cpus = 0"), vec![], "config.toml"),
            (Some("cpu = 2"), vec![], "`cpu` is not a setting"),
            (Some("cpus = true"), vec![], "expected a string or a number"),
            (Some("cpus = \n"), vec![], "line 1"),
            (None, vec![("POLIS_DISK", "1X")], "POLIS_DISK"),
            (
                None,
                vec![("POLIS_PULL_TIMEOUT", "soon")],
                "POLIS_PULL_TIMEOUT",
            ),
            (None, vec![("POLIS_AGENT", "")], "expected a path"),
        ] {
            let error = read(file, &env, &[]).unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.to_text().contains(part), "{}", error.to_text());
        }
    }
}
