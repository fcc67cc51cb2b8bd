//! Proxies and certificate authorities of a company, and the files that configure them in the VM. Pure, except that it reads
//! `ca-file`.
//!
//! The VM's programs read their usual files: the configuration of apt and systemd, variables for the provisioning and for
//! Docker, and certificates in the system's trust store. A new VM gets them from its user-data before it downloads
//! anything; `guest/proxies.sh` replaces them in an existing one. Downloads are verified as always.

mod ca;
pub(crate) mod curl;
pub(crate) mod url;

use std::path::PathBuf;

use polis_base::Digest;
use polis_base::archive::Files;
use serde_json::json;

use crate::error::{Error, Kind, Result};
use crate::multipass::call::Payload;
use crate::settings::{Settings, Sourced};

/// Hosts that are always reached directly.
const DIRECT: &str = "localhost,127.0.0.1,::1";
/// Makes Docker read the variables. Not `Environment=`, in which `%` is special.
const DOCKER: &str = "[Service]\nEnvironmentFile=-/etc/polis/proxy.env\n";
/// The file with the revision of the others, in the archive and in the VM; written last.
const REVISION: &str = "proxy.revision";

/// The files in the VM, by their names in the archive; `guest/proxies.sh` has the same list.
const PLACES: [(&str, &str); 4] = [
    ("proxy.env", "/etc/polis/proxy.env"),
    ("apt.conf", "/etc/apt/apt.conf.d/90polis-proxy"),
    (
        "docker.conf",
        "/etc/systemd/system/docker.service.d/polis-proxy.conf",
    ),
    (REVISION, "/etc/polis/proxy.revision"),
];

/// The proxies and certificate authorities that are set.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Proxies {
    pub(crate) http: Option<String>,
    pub(crate) https: Option<String>,
    /// Hosts that are reached directly, separated by commas.
    pub(crate) none: Option<String>,
    /// PEM certificates.
    pub(crate) authorities: Vec<String>,
    /// The file with these certificates.
    pub(crate) ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxies({})", self.revision().unwrap_or_default())
    }
}

impl Proxies {
    /// # Errors
    /// When `ca-file` does not contain certificates.
    pub(crate) fn read(settings: &Settings) -> Result<Self> {
        let text = |setting: &Option<Sourced<String>>| setting.as_ref().map(|it| it.value.clone());
        let path = settings.ca_file.as_ref().map(|path| path.value.clone());
        let authorities = path.as_deref().map(ca::read).transpose()?;
        Ok(Self {
            http: text(&settings.http_proxy),
            https: text(&settings.https_proxy),
            none: text(&settings.no_proxy),
            authorities: authorities.unwrap_or_default(),
            ca_file: path,
        })
    }

    /// Whether anything is set that a VM needs.
    pub(crate) fn are_set(&self) -> bool {
        self.http.is_some() || self.https.is_some() || !self.authorities.is_empty()
    }

    /// The proxies and the number of authorities as text; none when nothing is set.
    pub(crate) fn shown(&self) -> Option<String> {
        let url = |name: &str, url: &Option<String>| {
            url.as_ref()
                .map(|url| format!("{name} by {}", url::masked(url)))
        };
        let parts = [url("http", &self.http), url("https", &self.https)];
        let count = self.authorities.len();
        let authorities = (count > 0).then(|| format!("certificates in ca-file: {count}"));
        let parts: Vec<String> = parts.into_iter().chain([authorities]).flatten().collect();
        self.are_set().then(|| parts.join(", "))
    }

    /// Whether a URL contains a password.
    fn are_secret(&self) -> bool {
        let urls = [&self.http, &self.https];
        urls.into_iter().flatten().any(|it| url::is_secret(it))
    }

    /// Identifies these settings; none when nothing is set. It is shown and stored, so only 16 bits depend on a password:
    /// enough to notice a change, too few to test guesses against.
    pub(crate) fn revision(&self) -> Option<String> {
        let text = format!(
            "{}{}{}",
            self.variables(),
            self.apt(),
            self.authorities.concat()
        );
        let digest = |text: &str| Digest::of(text.as_bytes()).hex();
        let revision = format!(
            "{}-{}",
            &digest(&url::masked(&text))[..12],
            &digest(&text)[..4]
        );
        self.are_set().then_some(revision)
    }

    /// Hosts that are reached directly, including this machine.
    pub(crate) fn direct(&self) -> String {
        match &self.none {
            Some(none) => format!("{DIRECT},{none}"),
            None => DIRECT.to_owned(),
        }
    }

    /// The variables for curl, apt and Docker. In lower case, the only spelling of `http_proxy` that curl reads.
    fn variables(&self) -> String {
        let line =
            |name, value: &Option<String>| value.as_ref().map(|value| format!("{name}={value}\n"));
        let lines = [
            line("http_proxy", &self.http),
            line("https_proxy", &self.https),
        ];
        let lines: String = lines.into_iter().flatten().collect();
        match lines.is_empty() {
            true => lines,
            false => format!("{lines}no_proxy={}\n", self.direct()),
        }
    }

    /// apt's configuration, which can except hosts, but not domains or networks.
    fn apt(&self) -> String {
        let mut text = String::new();
        for (scheme, proxy) in [("http", &self.http), ("https", &self.https)] {
            let Some(proxy) = proxy else { continue };
            text.push_str(&format!("Acquire::{scheme}::Proxy \"{proxy}\";\n"));
            for host in self.none.iter().flat_map(|none| none.split(',')) {
                if url::is_name(host) {
                    text.push_str(&format!("Acquire::{scheme}::Proxy::{host} \"DIRECT\";\n"));
                }
            }
        }
        text
    }

    /// The files for the VM by their names in the archive, without the certificates.
    fn files(&self) -> Vec<(&'static str, String)> {
        let Some(revision) = self.revision() else {
            return Vec::new();
        };
        let variables = self.variables();
        let mut files = Vec::new();
        if !variables.is_empty() {
            files.push(("docker.conf", DOCKER.to_owned()));
            files.push(("apt.conf", self.apt()));
            files.push(("proxy.env", variables));
        }
        files.push((REVISION, format!("{revision}\n")));
        files
    }

    /// The archive that replaces the files in a VM; an empty one removes them.
    pub(crate) fn archive(&self) -> Payload {
        let mut files = Files::new();
        for (name, text) in self.files() {
            files.add(name, 0o600, text.into_bytes());
        }
        for (number, pem) in self.authorities.iter().enumerate() {
            let name = format!("polis-{number}.crt");
            files.add(&name, 0o644, pem.clone().into_bytes());
        }
        let bytes = files.to_tar().unwrap_or_default();
        match self.are_secret() {
            true => Payload::secret("proxies.tar", bytes),
            false => Payload::new("proxies.tar", bytes),
        }
    }

    /// The embedded `user_data` with these files added; unchanged when nothing is set.
    ///
    /// # Errors
    /// When `user_data` has no list of files.
    pub(crate) fn merged_into(&self, user_data: Payload) -> Result<Payload> {
        if !self.are_set() {
            return Ok(user_data);
        }
        const LIST: &str = "\nwrite_files:\n";
        let text = String::from_utf8_lossy(&user_data.bytes);
        let (before, after) = text.split_once(LIST).ok_or_else(|| {
            Error::new(
                Kind::Unexpected,
                "the user-data of this program has no list of files",
            )
        })?;
        let place = |name| PLACES.iter().find(|(known, _)| *known == name);
        // JSON strings are valid YAML. Modes are not quoted: see cloud-init.yaml.
        let entries = self.files().into_iter().filter_map(|(name, text)| {
            let (_, path) = place(name)?;
            let mode = if name == REVISION { "0o644" } else { "0o600" };
            let (path, text) = (json!(path), json!(text));
            Some(format!(
                "  - path: {path}\n    permissions: {mode}\n    content: {text}\n"
            ))
        });
        let entries: String = entries.collect();
        let mut text = format!("{before}{LIST}{entries}{after}");
        if !self.authorities.is_empty() {
            let trusted = json!({"trusted": self.authorities});
            text.push_str(&format!("\nca_certs: {trusted}\n"));
        }
        Ok(match self.are_secret() {
            true => Payload::secret(user_data.name, text.into_bytes()),
            false => Payload::new(user_data.name, text.into_bytes()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded;

    fn proxies() -> Proxies {
        Proxies {
            http: Some("http://proxy:3128".into()),
            https: Some("http://me:p%40ss@proxy:3128".into()),
            none: Some("mirror.example.org,.example.org,10.0.0.0/8".into()),
            authorities: vec![
                "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".into(),
            ],
            ca_file: None,
        }
    }

    /// The document as cloud-init reads it.
    fn read(payload: &Payload) -> serde_json::Value {
        let text = String::from_utf8(payload.bytes.to_vec()).unwrap();
        assert!(text.starts_with("#cloud-config\n"));
        serde_saphyr::from_str(&text).unwrap()
    }

    #[test]
    fn the_user_data_is_only_extended_by_the_proxies() {
        let (ours, merged) = (
            embedded::user_data(),
            proxies().merged_into(embedded::user_data()).unwrap(),
        );
        assert_eq!(merged.facts(), None, "it contains a password");
        let (ours, mut merged) = (read(&ours), read(&merged));
        let authorities = merged.as_object_mut().unwrap().remove("ca_certs").unwrap();
        assert_eq!(authorities, json!({"trusted": proxies().authorities}));
        let files = merged["write_files"].as_array_mut().unwrap();
        let added: Vec<_> = files.drain(..PLACES.len()).collect();
        assert_eq!(merged, ours);
        let content = |path: &str| {
            let file = added.iter().find(|file| file["path"] == path).unwrap();
            file["content"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            content("/etc/polis/proxy.env"),
            "http_proxy=http://proxy:3128\n\
             https_proxy=http://me:p%40ss@proxy:3128\n\
             no_proxy=localhost,127.0.0.1,::1,mirror.example.org,.example.org,10.0.0.0/8\n"
        );
        assert_eq!(
            content("/etc/apt/apt.conf.d/90polis-proxy"),
            "Acquire::http::Proxy \"http://proxy:3128\";\n\
             Acquire::http::Proxy::mirror.example.org \"DIRECT\";\n\
             Acquire::https::Proxy \"http://me:p%40ss@proxy:3128\";\n\
             Acquire::https::Proxy::mirror.example.org \"DIRECT\";\n"
        );
        let revision = proxies().revision().unwrap() + "\n";
        assert_eq!(content("/etc/polis/proxy.revision"), revision);
        for file in added {
            // Neither a number nor a string that needs quotes.
            let open = file["path"] == "/etc/polis/proxy.revision";
            let mode = &file["permissions"];
            let mode = mode
                .as_u64()
                .map_or(mode.to_string(), |it| format!("{it:o}"));
            assert!(mode.contains(if open { "644" } else { "600" }), "{mode}");
        }
    }

    #[test]
    fn without_a_setting_nothing_changes() {
        let ours = embedded::user_data();
        let merged = Proxies::default().merged_into(ours.clone()).unwrap();
        assert_eq!(merged.bytes, ours.bytes);
        assert_eq!(Proxies::default().revision(), None);
        assert!(Proxies::default().files().is_empty());
        // Exceptions are meaningless without a proxy.
        let none = Proxies {
            none: Some("x".into()),
            ..Proxies::default()
        };
        assert_eq!(none.merged_into(ours.clone()).unwrap().bytes, ours.bytes);
    }

    #[test]
    fn a_revision_depends_on_all_settings_and_reveals_little_of_a_password() {
        let other = |change: fn(&mut Proxies)| {
            let mut other = proxies();
            change(&mut other);
            other.revision().unwrap()
        };
        let changed = [
            other(|_| {}),
            other(|it| it.http = None),
            other(|it| it.none = None),
            other(|it| it.authorities.clear()),
        ];
        let unique: std::collections::BTreeSet<_> = changed.iter().collect();
        assert_eq!(unique.len(), changed.len());
        let password = other(|it| it.https = Some("http://me:other@proxy:3128".into()));
        assert_ne!(password, changed[0]);
        assert_eq!(password[..12], changed[0][..12]);
        assert_eq!(password.len(), 17);
    }

    #[test]
    fn the_script_and_the_user_data_use_the_same_paths() {
        let script = include_str!("../guest/proxies.sh");
        for (name, path) in PLACES {
            assert!(script.contains(&format!("put {name} {path} 06")), "{name}");
        }
        assert!(include_str!("../guest/probe.sh").contains(PLACES[3].1));
    }
}
