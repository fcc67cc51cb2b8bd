//! The configuration of OpenSSH's client for the workspace, as text. Pure.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::guest::ssh::PublicKey;
use crate::store;

/// A quoted path that ssh_config(5) and the user's shell interpret alike, since neither expands a character of it.
fn quoted(path: &Path) -> Result<String> {
    let bad = |c: char| c.is_control() || "\"\\$`*?[{!".contains(c);
    match path.to_str().filter(|text| !text.contains(bad)) {
        Some(text) => Ok(format!("\"{text}\"")),
        None => Err(Error::new(
            Kind::Usage,
            format!("OpenSSH cannot use the path `{}`", path.display()),
        )
        .because("it is not UTF-8, or OpenSSH or a shell would expand a character of it")
        .next("move it, or set XDG_STATE_HOME, and run this again")),
    }
}

/// A quoted path where OpenSSH expands `%`.
fn expanded(path: &Path) -> Result<String> {
    Ok(quoted(path)?.replace('%', "%%"))
}

/// The line of the user's configuration that includes the blocks of all workspaces: `file` in the state directory and in the
/// directories of the others, [`store::OTHERS`].
///
/// # Errors
/// When the path cannot be quoted.
pub(crate) fn include(state: &Path, file: &str) -> Result<String> {
    let one = quoted(&state.join(file))?;
    let others = quoted(&state.join(store::OTHERS))?;
    let others = others.trim_end_matches('"');
    Ok(format!("Include {one} {others}/*/{file}\""))
}

/// The line that releases with a single workspace wrote.
///
/// # Errors
/// When the path cannot be quoted.
pub(crate) fn old_include(state: &Path, file: &str) -> Result<String> {
    Ok(format!("Include {}", quoted(&state.join(file))?))
}

/// The line of known_hosts that pins the workspace's key.
pub(crate) fn known_host(host: &str, key: &PublicKey) -> String {
    format!("{host} {key}\n")
}

/// The `Host` block of the workspace `name`, whose VM is `host`. Later lines cannot override it. The workspace is not trusted:
/// it gets neither the user's agent nor a display, is offered no other key, and cannot ask for a password.
///
/// # Errors
/// When a path cannot be quoted.
pub(crate) fn block(
    polis: &Path,
    (name, host): (&str, &str),
    key: &PublicKey,
    identity: &Path,
    known_hosts: &Path,
) -> Result<String> {
    Ok(format!(
        "\
# Written by polis.
Host {host}
    HostName {host}
    HostKeyAlias {host}
    User polis
    ProxyCommand {} --name {name} _ssh-proxy {key}
    IdentityFile {}
    IdentitiesOnly yes
    IdentityAgent none
    AddKeysToAgent no
    UserKnownHostsFile {}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
    PreferredAuthentications publickey
    ForwardAgent no
    ForwardX11 no
    PermitLocalCommand no
",
        expanded(polis)?,
        expanded(identity)?,
        expanded(known_hosts)?,
    ))
}

/// `text` with `line` only at its top, before any `Host`.
pub(crate) fn with_line(text: &str, line: &str) -> String {
    format!("{line}\n{}", without_line(text, line))
}

/// `text` without `line`.
pub(crate) fn without_line(text: &str, line: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines.filter(|found| found.trim() != line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_unchanged_or_refused() {
        let named = |path: &str| expanded(Path::new(path)).ok();
        assert_eq!(named("/a b/100%").as_deref(), Some("\"/a b/100%%\""));
        for path in ["/a\"b", "/a$b", "/a`b", "/a\\b", "/a\nb", "/a*", "/a!b"] {
            assert_eq!(named(path), None, "{path}");
        }
    }

    #[test]
    fn the_line_is_at_the_top_once_and_is_removed_completely() {
        let line = "Include \"/x\"";
        for text in ["", "Host a\n  User b\n", "# no end"] {
            let with = with_line(text, line);
            assert!(with.starts_with("Include \"/x\"\n"));
            assert_eq!(with_line(&with, line), with);
            assert_eq!(without_line(&with, line), text);
        }
        assert_eq!(
            with_line("Host a\r\nInclude \"/x\"\r\n", line),
            "Include \"/x\"\nHost a\r\n"
        );
    }
}
