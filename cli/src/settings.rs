//! The settings and the origin of each value: a default, the configuration file, the environment or a flag. Later layers take
//! precedence.
//!
//! One table ([`keys`]) lists them. Every layer is parsed, even if another takes precedence, so that a typing error names its file
//! or variable before anything is started.

mod file;
mod keys;
mod layers;
#[cfg(test)]
mod schema;

use std::fmt;
use std::path::Path;

use serde::{Serialize, Serializer};

use self::file::from_file;
pub(crate) use self::keys::Settings;
use self::keys::{Delivery, KEYS};
use self::layers::{Layers, Origin, variable};
pub(crate) use self::layers::{Shown, Sourced};
use crate::error::Result;
use crate::instance::{self, Instance};
use crate::platform;

/// Environment variables that affect `polis` but are not settings.
const OTHERS: [(&str, &str); 3] = [
    (
        "NO_COLOR",
        "if set, no colours, and plain output instead of progress lines",
    ),
    ("CI", "if set, plain output instead of progress lines"),
    ("TERM", "`dumb`: plain output instead of progress lines"),
];

/// The environment variables that `polis` reads, each with its meaning and its default.
pub(crate) fn variables() -> Vec<(String, &'static str, Option<&'static str>)> {
    let ours = KEYS.iter();
    let ours = ours.map(|key| (variable(key.name), key.meaning, key.default));
    let others = OTHERS.map(|(name, meaning)| (name.to_owned(), meaning, None));
    ours.chain(others).collect()
}

impl Settings {
    /// Reads all layers. `file` is the configuration file, which need not exist; `env` looks up a
    /// variable; `flags` holds the values from the command line.
    ///
    /// # Errors
    /// Of kind `Usage`, naming the file and line, the variable or the flag.
    pub(crate) fn read(
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
        flags: &[(&'static str, Option<String>)],
    ) -> Result<Self> {
        let file_says = file.map(from_file).transpose()?.unwrap_or_default();
        let usual_name = file_says.all.get("name");
        let usual_name = usual_name.map_or(instance::DEFAULT, String::as_str);
        let usual_name = usual_name.to_owned();
        let mut layers = Layers {
            file: file_says.all,
            path: file.map_or_else(String::new, |file| file.display().to_string()),
            env: &env,
            flags,
        };
        // The name determines which table of the configuration file applies.
        let name = layers.get_or("name", instance::DEFAULT, instance::check)?;
        if let Some(own) = file_says.each.get(&name.value) {
            layers.file.extend(own.clone());
        }
        Self::parse(&layers, usual_name)
    }

    /// The settings that are not at their default.
    pub(crate) fn changed(&self) -> impl Iterator<Item = Shown> {
        let all = self.shown().into_iter();
        all.filter(|setting| setting.origin != Origin::Default)
    }

    /// The workspace. Commands must name it unless it is the default.
    pub(crate) fn instance(&self) -> Instance {
        let name = &self.name.value;
        Instance::new(name, *name != self.usual_name)
    }

    /// Whether Multipass gets its input through a pipe, not as a file.
    pub(crate) fn pipes(&self) -> bool {
        match self.delivery.value {
            Delivery::Pipe => true,
            Delivery::File => false,
            Delivery::Auto => platform::PIPES_WORK,
        }
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.shown().iter().map(|setting| (setting.name, setting)))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.shown()).finish()
    }
}

/// The environment variable of the setting that the option `--name` sets; none if it sets no setting.
pub(crate) fn variable_of(name: &str) -> Option<String> {
    let key = KEYS.iter().find(|key| key.name == name)?;
    Some(variable(key.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

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
    fn later_layers_take_precedence_and_are_named() {
        let settings = read(
            Some("cpus = 2\nmemory = \"4G\"\ndisk = \"20G\""),
            &[("POLIS_MEMORY", "6G"), ("POLIS_DISK", "30G")],
            &[("disk", "50G")],
        )
        .unwrap();
        let of = |name| {
            let mut shown = settings.shown().into_iter();
            let setting = shown.find(|setting| setting.name == name).unwrap();
            (setting.value, setting.origin)
        };
        assert_eq!(of("timeout"), ("900".to_owned(), Origin::Default));
        assert_eq!(of("cpus"), ("2".to_owned(), Origin::File));
        assert_eq!(of("memory"), ("6G".to_owned(), Origin::Environment));
        assert_eq!(of("disk"), ("50G".to_owned(), Origin::Flag));
        assert_eq!(settings.timeout.duration().as_secs(), 900);
        assert_eq!(settings.disk.value.bytes(), 50 << 30);
        assert!(settings.agent.is_none());
    }

    #[test]
    fn a_table_of_the_file_applies_to_its_workspace() {
        let file =
            "cpus = 2\nmemory = \"4G\"\n[workspace.two]\ncpus = 8\n[workspace.default]\ncpus = 3\n";
        let of = |name, env: &[(&str, &str)]| {
            let settings = read(Some(file), env, &[("name", name)]).unwrap();
            (settings.cpus.value, settings.memory.value.to_string())
        };
        assert_eq!(of("two", &[]), (8, "4G".to_owned()));
        assert_eq!(of("two", &[("POLIS_CPUS", "6")]), (6, "4G".to_owned()));
        assert_eq!(of("three", &[]), (2, "4G".to_owned()));
        assert_eq!(of("default", &[]), (3, "4G".to_owned()));
        let settings = read(Some(&format!("name = \"two\"\n{file}")), &[], &[]).unwrap();
        assert_eq!(settings.cpus.value, 8);
    }

    #[test]
    fn paths_in_the_file_are_relative_to_it() {
        let settings = read(Some("agent = \"a/b\""), &[], &[]).unwrap();
        assert!(settings.agent.unwrap().value.is_absolute());
        let settings = read(None, &[], &[("agent", "a/b")]).unwrap();
        assert_eq!(settings.agent.unwrap().value, Path::new("a/b"));
    }

    #[test]
    fn errors_name_their_origin() {
        for (file, env, part) in [
            (Some("cpus = 0"), vec![], "config.toml"),
            (Some("cpu = 2"), vec![], "`cpu` is not a setting"),
            (Some("cpus = true"), vec![], "expected a string or a number"),
            (Some("cpus = \n"), vec![], "line 1"),
            (Some("workspace = 1"), vec![], "not a table of workspaces"),
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
            (
                Some("no-proxy = \"a b\""),
                vec![],
                "invalid host, domain or network `a b`",
            ),
        ] {
            let error = read(file, &env, &[]).unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.to_text().contains(part), "{}", error.to_text());
        }
    }

    #[test]
    fn passwords_of_proxies_are_hidden() {
        let settings = read(
            Some("http-proxy = \"http://me:very-secret@proxy:3128\""),
            &[],
            &[],
        )
        .unwrap();
        let proxy = settings.http_proxy.as_ref().unwrap();
        assert_eq!(proxy.value, "http://me:very-secret@proxy:3128");
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
