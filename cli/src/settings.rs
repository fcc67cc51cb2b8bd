//! What can be set, and where each value came from: a default, the configuration file, the
//! environment, a flag; the later wins.
//!
//! One table says what there is. Everything is checked as it is read, so a typing error names its
//! file or variable and costs nothing.

mod file;
mod keys;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Serialize, Serializer};

use self::file::from_file;
use self::keys::{KEYS, Key};
use crate::error::{Error, Kind, Result};
use crate::instance::{self, Instance};
use crate::multipass::size;
use crate::platform;
use crate::proxy::url::{self, Masked};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    Default,
    File,
    Environment,
    Flag,
}

impl Origin {
    /// Where the value of the setting `name` came from, for people.
    pub(crate) fn words(&self, name: &str) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File => "config.toml".to_owned(),
            Self::Environment => variable(name),
            Self::Flag => format!("--{name}"),
        }
    }
}

/// A value with where it came from. It is shown without the password that a URL may hold.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    #[serde(serialize_with = "masked")]
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({:?})", Masked(&self.value), self.origin)
    }
}

fn masked<S: Serializer>(value: &str, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&url::masked(value))
}

/// The variables that are no settings of ours.
const OTHERS: [(&str, &str); 3] = [
    (
        "NO_COLOR",
        "if set, no colours, and plain lines in place of moving ones",
    ),
    ("CI", "if set, plain lines in place of moving ones"),
    ("TERM", "`dumb`: plain lines in place of moving ones"),
];

/// Every variable of the environment that counts, with what it means and its default.
pub(crate) fn variables() -> Vec<(String, &'static str, Option<&'static str>)> {
    let ours = KEYS.iter();
    let ours = ours.map(|key| (variable(key.name), key.meaning, key.default));
    let others = OTHERS.map(|(name, meaning)| (name.to_owned(), meaning, None));
    ours.chain(others).collect()
}

/// All settings, each valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Settings {
    all: BTreeMap<&'static str, Setting>,
    /// The name of the workspace that is meant where neither the environment nor a flag says another.
    #[serde(skip)]
    usual_name: String,
}

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
        let check = |key: &Key, value: &str, origin, place: &str| {
            let value = (key.check)(value).map_err(|reason| wrong(key.name, place, &reason))?;
            Ok::<_, Box<Error>>(Setting { value, origin })
        };
        let file_says = file.map(from_file).transpose()?.unwrap_or_default();
        let mut from_file = file_says.all;
        let usual_name = from_file
            .get("name")
            .map_or(instance::DEFAULT, String::as_str);
        let usual_name = usual_name.to_owned();
        let path = file
            .map(|file| file.display().to_string())
            .unwrap_or_default();
        for key in &KEYS {
            let variable = variable(key.name);
            let flag = flags.iter().find(|(name, _)| *name == key.name);
            let flag = flag.and_then(|(_, value)| value.clone());
            // Each is checked, whichever wins.
            let layers = [
                (
                    key.default.map(str::to_owned),
                    Origin::Default,
                    "the defaults".to_owned(),
                ),
                (from_file.get(key.name).cloned(), Origin::File, path.clone()),
                (env(&variable), Origin::Environment, variable),
                (flag, Origin::Flag, format!("--{}", key.name)),
            ];
            for (value, origin, place) in layers {
                if let Some(value) = value {
                    settings.insert(key.name, check(key, &value, origin, &place)?);
                }
            }
            if key.name == "name"
                && let Some(name) = settings.get(key.name)
                && let Some(own) = file_says.each.get(&name.value)
            {
                from_file.extend(own.clone());
            }
        }
        Ok(Self {
            all: settings,
            usual_name,
        })
    }

    /// The settings that are not at their default, by name.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (&'static str, &Setting)> {
        let all = self.all.iter().map(|(name, setting)| (*name, setting));
        all.filter(|(_, setting)| setting.origin != Origin::Default)
    }

    /// A setting that has a default.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.all.get(name).map_or("", |setting| &setting.value)
    }

    /// The workspace. Commands have to name it unless it is the one that is meant where nothing is said.
    pub(crate) fn instance(&self) -> Instance {
        let name = self.text("name");
        Instance::new(name, name != self.usual_name)
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
        self.all
            .get(name)
            .map(|setting| PathBuf::from(&setting.value))
    }
}

/// The environment variable of the setting that the option `--name` sets; none if it sets no setting.
pub(crate) fn variable_of(name: &str) -> Option<String> {
    let key = KEYS.iter().find(|key| key.name == name)?;
    Some(variable(key.name))
}

/// The environment variable of a setting.
fn variable(name: &str) -> String {
    format!("POLIS_{}", name.to_ascii_uppercase().replace('-', "_"))
}

fn wrong(name: &str, place: &str, reason: &str) -> Box<Error> {
    Error::new(
        Kind::Usage,
        format!("the setting {name} is wrong: {reason}"),
    )
    .because(format!("it is set by {place}"))
    .next("polis start --help")
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
            let setting = &settings.all[name];
            (setting.value.as_str(), setting.origin.clone())
        };
        assert_eq!(of("timeout"), ("900", Origin::Default));
        assert_eq!(of("cpus"), ("2", Origin::File));
        assert_eq!(of("memory"), ("6G", Origin::Environment));
        assert_eq!(of("disk"), ("50G", Origin::Flag));
        assert_eq!(settings.path("agent"), None);
    }

    #[test]
    fn a_table_of_the_file_counts_for_its_workspace() {
        let file =
            "cpus = 2\nmemory = \"4G\"\n[workspace.two]\ncpus = 8\n[workspace.default]\ncpus = 3\n";
        let of = |name, env: &[(&str, &str)]| {
            let settings = read(Some(file), env, &[("name", name)]).unwrap();
            [settings.text("cpus"), settings.text("memory")].map(str::to_owned)
        };
        assert_eq!(of("two", &[]), ["8", "4G"]);
        assert_eq!(of("two", &[("POLIS_CPUS", "6")]), ["6", "4G"]);
        assert_eq!(of("three", &[]), ["2", "4G"]);
        assert_eq!(of("default", &[]), ["3", "4G"]);
        let settings = read(Some(&format!("name = \"two\"\n{file}")), &[], &[]).unwrap();
        assert_eq!(settings.text("cpus"), "8");
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
            (Some("workspace = 1"), vec![], "no table of workspaces"),
            (Some("[workspace.Two]"), vec![], "invalid name `Two`"),
            (
                Some("[workspace.two]\nname = 1"),
                vec![],
                "cannot set `name`",
            ),
            (
                Some("[workspace.two]\ncpu = 1"),
                vec![],
                "`cpu` is not a setting",
            ),
            (None, vec![("POLIS_NAME", "../x")], "POLIS_NAME"),
            (None, vec![("POLIS_DISK", "1X")], "POLIS_DISK"),
            (
                None,
                vec![("POLIS_PULL_TIMEOUT", "soon")],
                "POLIS_PULL_TIMEOUT",
            ),
            (None, vec![("POLIS_AGENT", "")], "expected a path"),
            (
                None,
                vec![("POLIS_HTTPS_PROXY", "proxy:3128")],
                "expected http://HOST:PORT",
            ),
            (Some("no-proxy = \"a b\""), vec![], "`a b` is no host"),
        ] {
            let error = read(file, &env, &[]).unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.to_text().contains(part), "{}", error.to_text());
        }
    }

    #[test]
    fn no_password_of_a_proxy_is_shown() {
        let settings = read(
            Some("http-proxy = \"http://me:very-secret@proxy:3128\""),
            &[],
            &[],
        )
        .unwrap();
        assert_eq!(
            settings.text("http-proxy"),
            "http://me:very-secret@proxy:3128"
        );
        let json = serde_json::to_string(&settings).unwrap();
        assert!(json.contains("http://***@proxy:3128"), "{json}");
        for shown in [json, format!("{settings:?}")] {
            assert!(!shown.contains("very-secret"), "{shown}");
        }
        for file in [
            "http-proxy = \"http://me:very-secret@proxy:3128",
            "http-proxy = \"http://me:very-secret@proxy\"",
            "cpus = 2\nhttp-proxy = http://me:very-secret@proxy:3128",
        ] {
            let error = read(Some(file), &[], &[]).unwrap_err().to_text();
            assert!(error.contains("config.toml"), "{error}");
            assert!(!error.contains("very-secret"), "{error}");
        }
    }
}
