//! `agent.yaml`: everything that an agent may request. Every value is checked when it is parsed, so a [`Manifest`] is valid.
//!
//! Agents must not be able to weaken the sandbox. No key grants a privilege, a mount of the VM, a network or an image; a new key
//! needs a line in the sandbox table (`xtask/check/src/sandbox/table.rs`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::text::{
    Account, Command, Inside, Key, Line, Memory, Name, Percent, Place, Port, Seconds, Value, Volume,
};

pub(crate) const FILE: &str = "agent.yaml";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Manifest {
    #[serde(rename = "apiVersion")]
    _api_version: ApiVersion,
    #[serde(rename = "kind")]
    _kind: ManifestKind,
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum ApiVersion {
    #[serde(rename = "polis.dev/v1")]
    V1,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum ManifestKind {
    AgentPlugin,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) name: Name,
    pub(crate) display_name: Line,
    pub(crate) version: Line,
    pub(crate) description: Line,
    #[serde(rename = "author")]
    _author: Option<Line>,
    #[serde(rename = "license")]
    _license: Option<Line>,
    #[serde(rename = "provider")]
    _provider: Option<Line>,
    #[serde(rename = "capabilities", default)]
    _capabilities: Vec<Line>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(rename = "packaging")]
    _packaging: Packaging,
    /// Runs as root whenever the workspace starts, before the agent.
    pub(crate) install: Option<Inside>,
    pub(crate) runtime: Runtime,
    /// Runs as root whenever the agent starts.
    pub(crate) init: Option<Inside>,
    pub(crate) health: Option<Health>,
    #[serde(default)]
    pub(crate) security: Security,
    #[serde(default)]
    pub(crate) ports: Vec<Exposed>,
    #[serde(default)]
    pub(crate) resources: Resources,
    #[serde(default)]
    pub(crate) requirements: Requirements,
    #[serde(default)]
    pub(crate) persistence: Vec<Kept>,
    #[serde(rename = "capabilities", default)]
    _capabilities: Capabilities,
    #[serde(default)]
    pub(crate) onboarding: Vec<Onboarding>,
    /// A script with the agent's own commands.
    pub(crate) commands: Option<Inside>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Packaging {
    Script,
}

/// The process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Runtime {
    pub(crate) command: Command,
    pub(crate) workdir: Option<Place>,
    #[serde(default)]
    pub(crate) user: Account,
    pub(crate) env_file: Option<Place>,
    #[serde(default)]
    pub(crate) env: BTreeMap<Key, Value>,
}

/// How the agent's health is checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Health {
    /// A command line of `sh`.
    pub(crate) command: Line,
    #[serde(default = "Seconds::thirty")]
    pub(crate) interval: Seconds,
    #[serde(default = "Seconds::thirty")]
    pub(crate) timeout: Seconds,
    #[serde(default = "three")]
    pub(crate) retries: u8,
    /// How long failures are ignored after the start.
    #[serde(default = "Seconds::thirty")]
    pub(crate) start_period: Seconds,
}

fn three() -> u8 {
    3
}

/// Restrictions by systemd.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Security {
    pub(crate) protect_system: Option<ProtectSystem>,
    pub(crate) protect_home: Option<ProtectHome>,
    #[serde(default)]
    pub(crate) read_write_paths: Vec<Place>,
    pub(crate) no_new_privileges: Option<bool>,
    pub(crate) private_tmp: Option<bool>,
    pub(crate) memory_max: Option<Memory>,
    pub(crate) cpu_quota: Option<Percent>,
}

/// The values of systemd's `ProtectSystem=`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProtectSystem {
    Strict,
    Full,
    True,
    False,
}

impl ProtectSystem {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Full => "full",
            Self::True => "true",
            Self::False => "false",
        }
    }
}

/// The values of systemd's `ProtectHome=`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProtectHome {
    ReadOnly,
    Tmpfs,
    True,
    False,
}

impl ProtectHome {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Tmpfs => "tmpfs",
            Self::True => "true",
            Self::False => "false",
        }
    }
}

/// A port on which the agent listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Exposed {
    /// The port in the workspace.
    pub(crate) container: Port,
    /// Upstream's variable for another port of the VM; ignored.
    #[serde(rename = "hostEnv")]
    _host_env: Option<Key>,
    /// The port at the VM's address; `container` if not given.
    pub(crate) default: Option<Port>,
}

impl Exposed {
    /// The port at the VM's address.
    pub(crate) fn outside(&self) -> Port {
        self.default.unwrap_or(self.container)
    }
}

/// The memory that the workspace needs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Resources {
    pub(crate) memory_limit: Option<Memory>,
    pub(crate) memory_reservation: Option<Memory>,
}

/// The keys that may be given to the agent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Requirements {
    /// At least one of these must be given.
    #[serde(default)]
    pub(crate) env_one_of: BTreeSet<Key>,
    #[serde(default)]
    pub(crate) env_optional: BTreeSet<Key>,
}

impl Requirements {
    /// All keys that the manifest declares.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.env_one_of
            .union(&self.env_optional)
            .map(|key| key.0.as_str())
    }
}

/// A directory on a volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Kept {
    pub(crate) name: Name,
    pub(crate) container_path: Volume,
}

/// What the agent claims to do; grants nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Capabilities {
    #[serde(rename = "network")]
    _network: Option<bool>,
    #[serde(rename = "filesystem", default)]
    _filesystem: Vec<Place>,
    #[serde(rename = "mcp")]
    _mcp: Option<bool>,
    #[serde(rename = "dockerInDocker")]
    _docker_in_docker: Option<bool>,
}

/// A step for the user, shown after a start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Onboarding {
    pub(crate) title: Line,
    pub(crate) command: Line,
}

/// An error in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestError {
    /// Line and column from 1; none for an error of the whole file.
    pub(crate) at: Option<(u64, u64)>,
    pub(crate) reason: String,
}

/// The maximum size of the file, and of the lists of ports and volumes.
const MOST_BYTES: usize = 64 << 10;
const MOST: usize = 8;

impl Manifest {
    /// # Errors
    /// The first error, with its position.
    pub(crate) fn parse(text: &str) -> Result<Self, ManifestError> {
        let whole = |reason: String| ManifestError { at: None, reason };
        if text.len() > MOST_BYTES {
            return Err(whole(format!("it is larger than {} KiB", MOST_BYTES >> 10)));
        }
        let manifest: Self = serde_saphyr::from_str(text).map_err(|error| wrong(&error))?;
        manifest.check().map_err(whole)?;
        Ok(manifest)
    }

    /// Checks that involve several values.
    fn check(&self) -> Result<(), String> {
        let spec = &self.spec;
        // The VM's output about an agent must stay short.
        if spec.ports.len() > MOST || spec.persistence.len() > MOST {
            return Err(format!(
                "an agent can have at most {MOST} ports and {MOST} volumes"
            ));
        }
        let kept = spec.persistence.iter();
        let ports = spec.ports.iter().map(|port| port.outside().0.to_string());
        unique(
            "spec.persistence",
            kept.clone().map(|kept| kept.name.0.clone()),
        )?;
        unique(
            "spec.persistence",
            kept.map(|kept| kept.container_path.0.clone()),
        )?;
        unique("spec.ports", ports)?;
        Ok(())
    }

    /// The files that it names, with their keys.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let spec = &self.spec;
        let named = [
            ("spec.install", &spec.install),
            ("spec.init", &spec.init),
            ("spec.commands", &spec.commands),
        ];
        named
            .into_iter()
            .filter_map(|(key, file)| Some((key, file.as_ref()?.0.as_str())))
    }
}

fn unique(key: &str, values: impl Iterator<Item = String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for value in values {
        if seen.contains(&value) {
            return Err(format!("{key}: `{value}` is listed twice"));
        }
        seen.insert(value);
    }
    Ok(())
}

/// Rewords an error of the parser.
fn wrong(error: &serde_saphyr::Error) -> ManifestError {
    let error = error.without_snippet();
    let at = error.location().map(|at| (at.line(), at.column()));
    let reason = match error {
        serde_saphyr::Error::SerdeUnknownField {
            field, expected, ..
        } => unknown("key", field, expected),
        serde_saphyr::Error::SerdeUnknownVariant {
            variant, expected, ..
        } => unknown("value", variant, expected),
        serde_saphyr::Error::SerdeMissingField { field, .. } => {
            format!("missing key `{field}`")
        }
        // Its text ends with the position, which is shown separately, and advice for programmers.
        other => {
            let text = other.to_string();
            let text = text.lines().next().unwrap_or_default();
            let ends = [" at line ", ", set "].map(|end| text.find(end));
            let cut = ends.into_iter().flatten().min().unwrap_or(text.len());
            text[..cut].to_owned()
        }
    };
    ManifestError { at, reason }
}

/// An unknown word, with a similar known one or all of them.
fn unknown(what: &str, found: &str, expected: &[&str]) -> String {
    let alike = |known: &&&str| strsim::jaro_winkler(known, found);
    let best = expected
        .iter()
        .map(|known| (alike(&known), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    match best {
        Some((_, known)) => format!("unknown {what} `{found}`; did you mean `{known}`?"),
        None => format!(
            "unknown {what} `{found}`; expected one of {}",
            expected.join(", ")
        ),
    }
}

#[cfg(test)]
pub(super) mod tests;
