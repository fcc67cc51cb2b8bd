//! Keys for an agent, from the environment, a file or a terminal. Only keys that its manifest declares are accepted. Values
//! are transferred on standard input only, and never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::manifest::Manifest;
use crate::error::{Error, Kind, Result};
use crate::multipass::call::Payload;

/// The maximum size of a file of keys, and of a value.
const MOST_BYTES: u64 = 64 << 10;
const MOST_VALUE: usize = 4096;

/// Keys with their values.
#[derive(Clone, Default)]
pub(crate) struct Keys(BTreeMap<String, String>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Keys {
    /// The keys `names` from the environment (through `env`), and those in `file`.
    ///
    /// # Errors
    /// Of kind `Usage`, if a name contains a value, is not declared by the manifest, or is not set.
    pub(crate) fn gather(
        names: &[String],
        file: Option<&Path>,
        manifest: Option<&Manifest>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let mut keys = Self::default();
        if let Some(path) = file {
            for (line, key, value) in parse_file(path)? {
                keys.declared(&key, manifest)
                    .and_then(|()| keys.add(&key, value))
                    .map_err(|error| {
                        error.because(format!("it is in {}:{line}", path.display()))
                    })?;
            }
        }
        for name in names {
            if let Some((name, _)) = name.split_once('=') {
                return Err(Error::new(
                    Kind::Usage,
                    format!("the value of `{name}` is on the command line"),
                )
                .because("every user of this machine can read it there")
                .next(format!(
                    "set {name} in the environment, and pass: -e {name}"
                )));
            }
            keys.declared(name, manifest)?;
            let value = env(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                Error::new(
                    Kind::Usage,
                    format!("the environment variable {name} is not set"),
                )
                .next(format!("set {name}, and run this again"))
            })?;
            keys.add(name, value)?;
        }
        Ok(keys)
    }

    fn declared(&self, key: &str, manifest: Option<&Manifest>) -> Result<()> {
        let known: Vec<&str> =
            manifest.map_or_else(Vec::new, |it| it.spec.requirements.keys().collect());
        if known.contains(&key) {
            return Ok(());
        }
        let error = Error::new(
            Kind::Usage,
            format!("the agent does not declare the key `{}`", cut(key)),
        );
        Err(match known.is_empty() {
            true => error.because("it declares none"),
            false => error.because(format!("it declares: {}", known.join(", "))),
        })
    }

    /// Adds a key.
    ///
    /// # Errors
    /// Of kind `Usage`, when the value is empty, too long or more than a line.
    pub(crate) fn add(&mut self, key: &str, value: String) -> Result<()> {
        let wrong = |reason: &str| {
            Err(Error::new(
                Kind::Usage,
                format!("the value of {key} {reason}"),
            ))
        };
        match value {
            value if value.is_empty() => wrong("is empty"),
            value if value.len() > MOST_VALUE => wrong("is longer than 4096 bytes"),
            value if value.chars().any(char::is_control) => {
                wrong("contains a control character; expected one line")
            }
            value => {
                self.0.insert(key.to_owned(), value);
                Ok(())
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys of which `manifest` needs at least one, if neither these nor the `stored` ones contain any.
    pub(crate) fn missing<'a>(&self, manifest: &'a Manifest, stored: &[String]) -> Vec<&'a str> {
        let one_of = &manifest.spec.requirements.env_one_of;
        let has = one_of
            .iter()
            .any(|key| self.0.contains_key(&key.0) || stored.contains(&key.0));
        match has {
            true => Vec::new(),
            false => one_of.iter().map(|key| key.0.as_str()).collect(),
        }
    }

    /// The environment file of the agent's unit. Values are quoted only if they contain characters that are special to systemd, since
    /// agents' scripts read the file too.
    pub(crate) fn payload(&self) -> Payload {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=@,~".contains(c);
        let lines = self
            .0
            .iter()
            .map(|(key, value)| match value.chars().all(plain) {
                true => format!("{key}={value}\n"),
                false => {
                    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                    format!("{key}=\"{value}\"\n")
                }
            });
        Payload::secret("agent keys", lines.collect::<String>().into_bytes())
    }
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

/// The lines `KEY=VALUE` of a file with their numbers, without comments, blank lines and quotes around a value.
fn parse_file(path: &Path) -> Result<Vec<(usize, String, String)>> {
    use std::io::Read as _;
    let refused = |reason: String| {
        Error::new(
            Kind::Usage,
            format!("`{}` is not a valid file of keys", path.display()),
        )
        .because(reason)
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| refused(error.to_string()))?;
    file.take(MOST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| refused(error.to_string()))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(refused("it is larger than 64 KiB".to_owned()));
    }
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        // The line may contain a secret, so it is not shown.
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| refused(format!("line {} is not KEY=VALUE", at + 1)))?;
        let value = value.trim();
        let bare = ['"', '\'']
            .iter()
            .find_map(|mark| value.strip_prefix(*mark)?.strip_suffix(*mark));
        found.push((
            at + 1,
            key.trim().to_owned(),
            bare.unwrap_or(value).to_owned(),
        ));
    }
    Ok(found)
}
