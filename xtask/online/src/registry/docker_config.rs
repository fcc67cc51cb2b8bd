//! The credentials that `docker login` stored: `config.json`, and the credential helpers that it names.
//!
//! As in Docker's client, a helper for the host takes precedence over the store for all hosts, and both over the
//! credentials in the file. A helper gets the host on standard input and returns the secret on standard output, so
//! neither is ever an argument.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use xtask_host::process::Run;

use super::credentials::{Credentials, Login};
use crate::error::{NetError, excerpt};

/// The environment variable with the directory of `config.json`.
pub const DIRECTORY: &str = "DOCKER_CONFIG";

/// Docker Hub's name in image references, and the key under which its credentials are stored.
const HUB: (&str, &str) = ("docker.io", "https://index.docker.io/v1/");
/// The message of a helper without an entry for a host; part of the helper protocol.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user name that marks an identity token; part of the helper protocol.
const IDENTITY: &str = "<token>";
/// The time limit for a helper. Some prompt the user.
const HELPER_LIMIT: Duration = Duration::from_secs(60);
/// The additional variables that helpers need: for the desktop's keyring, GnuPG and `pass`, and for the logins of cloud
/// providers.
const HELPER_NEEDS: [&str; 11] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "GNUPGHOME",
    "GPG_TTY",
    "PASSWORD_STORE_*",
    "AWS_*",
    "AZURE_*",
    "ACR_*",
    "GOOGLE_*",
    "CLOUDSDK_*",
];

/// The credentials in Docker's configuration.
#[derive(Clone)]
pub struct DockerConfig {
    path: String,
    file: File,
}

/// Other fields are ignored.
#[derive(Clone, Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credsStore")]
    store: String,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

#[derive(Deserialize)]
struct Helped {
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: String,
}

impl DockerConfig {
    /// Reads `config.json` from the directory in `DOCKER_CONFIG`, or else from `~/.docker`. `None` if it does not
    /// exist.
    ///
    /// # Errors
    /// If it exists but cannot be read.
    pub fn from_env() -> Result<Option<Self>, NetError> {
        let named = env::var_os(DIRECTORY).filter(|dir| !dir.is_empty());
        let home = || env::home_dir().map(|home| home.join(".docker"));
        let Some(dir) = named.map(PathBuf::from).or_else(home) else {
            return Ok(None);
        };
        let path = dir.join("config.json");
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path.display().to_string(), &text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(NetError::unauthorised(path.display(), error.to_string())),
        }
    }

    /// Parses `text`, the content of the file at `path`.
    ///
    /// # Errors
    /// If it is malformed. The message has line and column, but no content.
    pub fn parse(path: &str, text: &str) -> Result<Self, NetError> {
        let file = serde_json::from_str(text).map_err(|error| {
            // serde's message may quote a value.
            let reason = format!(
                "line {}, column {}: not a Docker configuration",
                error.line(),
                error.column()
            );
            NetError::unauthorised(path, reason)
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// The login for `host`, if one is configured. May run a helper and wait for it.
    ///
    /// # Errors
    /// If a helper fails, or a stored value is malformed.
    pub(super) fn login(&self, host: &str) -> Result<Option<Login>, NetError> {
        let File {
            auths,
            store,
            helpers,
        } = &self.file;
        let helper = lookup(helpers, host).or(Some(store).filter(|store| !store.is_empty()));
        match (helper, lookup(auths, host)) {
            (Some(helper), _) => ask_helper(helper, host),
            (None, Some(entry)) => self.stored(entry, host),
            (None, None) => Ok(None),
        }
    }

    fn stored(&self, entry: &Entry, host: &str) -> Result<Option<Login>, NetError> {
        if !entry.registrytoken.is_empty() {
            return Ok(Some(Login::Bearer(entry.registrytoken.clone())));
        }
        if !entry.identitytoken.is_empty() {
            return Ok(Some(Login::Identity(entry.identitytoken.clone())));
        }
        if entry.auth.is_empty() {
            let given = !entry.username.is_empty();
            let login = || login(&entry.username, &entry.password);
            return Ok(given.then(login));
        }
        let bytes = STANDARD.decode(entry.auth.trim()).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = text.as_deref().and_then(|text| text.split_once(':'));
        let Some((user, secret)) = pair.filter(|(user, _)| !user.is_empty()) else {
            let reason = format!("`auth` of `{host}` is not the base64 of `user:password`");
            return Err(NetError::unauthorised(&self.path, reason));
        };
        // Docker once padded the text with NUL.
        Ok(Some(login(user, secret.trim_end_matches('\0'))))
    }
}

impl fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.file.auths.keys().chain(self.file.helpers.keys());
        f.debug_list().entries(hosts).finish()
    }
}

/// A configuration with `login` for `host`.
pub(super) fn write(host: &str, login: &Login) -> String {
    let basic = |user: &str, secret: &str| STANDARD.encode(format!("{user}:{secret}"));
    let entry = match login {
        Login::Anonymous => return json!({"auths": {}}).to_string(),
        Login::Basic(login) => json!({"auth": basic(&login.user, login.secret.reveal())}),
        Login::Identity(token) => json!({"auth": basic(IDENTITY, ""), "identitytoken": token}),
        Login::Bearer(token) => json!({"registrytoken": token}),
    };
    json!({"auths": {stored_name(host): entry}}).to_string()
}

fn login(user: &str, secret: &str) -> Login {
    match user {
        IDENTITY => Login::Identity(secret.to_owned()),
        _ => Login::Basic(Credentials::new(user, secret)),
    }
}

/// The entry for `host`, stored under its name or under a URL of it.
fn lookup<'a, T>(map: &'a BTreeMap<String, T>, host: &str) -> Option<&'a T> {
    map.get(stored_name(host))
        .or_else(|| map.get(host))
        .or_else(|| {
            let mut entries = map.iter();
            entries.find_map(|(key, value)| (host_of(key) == host).then_some(value))
        })
}

/// The key under which credentials for `host` are stored.
fn stored_name(host: &str) -> &str {
    if host == HUB.0 { HUB.1 } else { host }
}

/// The host of a key, which may be a URL (`https://ghcr.io/v1/`).
fn host_of(key: &str) -> &str {
    let bare = key.strip_prefix("https://").or(key.strip_prefix("http://"));
    let bare = bare.unwrap_or(key);
    bare.split_once('/').map_or(bare, |(host, _)| host)
}

/// Runs `docker-credential-NAME get` for `host`.
fn ask_helper(name: &str, host: &str) -> Result<Option<Login>, NetError> {
    let program = format!("docker-credential-{name}");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(plain) {
        let reason = format!("`{program}` is not the name of a credential helper");
        return Err(NetError::unauthorised(host, reason));
    }
    let run = Run::new(&program).arg("get").passing(&HELPER_NEEDS);
    let answer = run
        .converse(stored_name(host), HELPER_LIMIT)
        .map_err(|error| {
            let reason = error.causes.join(": ");
            NetError::unauthorised(host, format!("`{program}` did not respond: {reason}"))
        })?;
    if !answer.success {
        // By the helper protocol, error messages are on standard output.
        if answer.stdout.trim() == NOT_FOUND {
            return Ok(None);
        }
        let said = match answer.stderr.trim() {
            "" if !answer.stdout.trim_start().starts_with('{') => &answer.stdout,
            said => said,
        };
        let reason = format!("`{program}` failed: {}", excerpt(said));
        return Err(NetError::unauthorised(host, reason));
    }
    let helped: Option<Helped> = serde_json::from_str(&answer.stdout).ok();
    match helped.filter(|helped| !helped.user.is_empty() && !helped.secret.is_empty()) {
        Some(Helped { user, secret }) => Ok(Some(login(&user, &secret))),
        None => {
            let reason = format!("`{program}` returned neither credentials nor an error");
            Err(NetError::unauthorised(host, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, host: &str) -> Result<Option<Login>, NetError> {
        DockerConfig::parse("config.json", text)
            .unwrap()
            .login(host)
    }

    fn basic(user: &str, secret: &str) -> Result<Option<Login>, NetError> {
        Ok(Some(Login::Basic(Credentials::new(user, secret))))
    }

    #[test]
    fn an_entry_is_found_by_host_and_read_in_every_form() {
        // me:s3:cret
        let auth = r#"{"auth": "bWU6czM6Y3JldA=="}"#;
        let entry = |key: &str, value: &str| format!(r#"{{"auths": {{"{key}": {value}}}}}"#);
        for key in ["ghcr.io", "https://ghcr.io", "https://ghcr.io/v1/"] {
            assert_eq!(at(&entry(key, auth), "ghcr.io"), basic("me", "s3:cret"));
            assert_eq!(at(&entry(key, auth), "ghcr.io.evil"), Ok(None), "{key}");
        }
        for key in ["https://index.docker.io/v1/", "docker.io"] {
            assert_eq!(at(&entry(key, auth), "docker.io"), basic("me", "s3:cret"));
        }
        let login = |value| at(&entry("a.b", value), "a.b");
        assert_eq!(
            login(r#"{"username": "u", "password": "p"}"#),
            basic("u", "p")
        );
        let identity = Ok(Some(Login::Identity("t".into())));
        assert_eq!(login(r#"{"auth": "bWU6", "identitytoken": "t"}"#), identity);
        assert_eq!(
            login(r#"{"username": "<token>", "password": "t"}"#),
            identity
        );
        let bearer = Ok(Some(Login::Bearer("t".into())));
        assert_eq!(login(r#"{"registrytoken": "t"}"#), bearer);
        assert_eq!(login("{}"), Ok(None));
        assert_eq!(at("{}", "a.b"), Ok(None));
    }

    #[test]
    fn a_login_is_written_as_it_is_read() {
        for login in [
            Login::Basic(Credentials::new("me", "s3:cret")),
            Login::Identity("t".into()),
            Login::Bearer("t".into()),
        ] {
            for host in ["ghcr.io", "docker.io", "127.0.0.1:5000"] {
                let text = write(host, &login);
                assert_eq!(at(&text, host), Ok(Some(login.clone())), "{text}");
                assert_eq!(at(&text, "a.b"), Ok(None), "{text}");
            }
        }
        assert_eq!(
            at(&write("ghcr.io", &Login::Anonymous), "ghcr.io"),
            Ok(None)
        );
    }

    #[test]
    fn the_error_for_a_malformed_file_shows_none_of_it() {
        for (auth, host) in [
            ("czNjcmV0", "a.b"),
            ("s3cret!", "a.b"),
            ("OnMzY3JldA==", "a.b"),
        ] {
            let text = format!(r#"{{"auths": {{"a.b": {{"auth": "{auth}"}}}}}}"#);
            let error = at(&text, host).unwrap_err().to_string();
            assert_eq!(
                error,
                "config.json: access denied: `auth` of `a.b` is not the base64 of `user:password`"
            );
        }
        let error = DockerConfig::parse("config.json", "{\"auths\": \"s3cret\"}").unwrap_err();
        let said = "config.json: access denied: line 1, column 18: not a Docker configuration";
        assert_eq!(error.to_string(), said);
        let error = at(r#"{"credsStore": "../sh"}"#, "a.b").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("is not the name of a credential helper"),
            "{error}"
        );
    }
}
