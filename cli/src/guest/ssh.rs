//! SSH into the workspace: its host key, and a server on the streams of `exec`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::run;
use crate::guest;
use crate::instance::named;
use crate::multipass::call::Call;

/// The exit code of the script when there is no stack.
pub(crate) const NO_STACK: i32 = 24;
/// The first line of its answer.
const HEADER: &str = "polis-ssh 1";
const KIND: &str = "ssh-ed25519";

/// An Ed25519 key as OpenSSH writes it: two words without characters that are special in a shell or a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey(String);

impl PublicKey {
    /// Parses a line that OpenSSH printed, without its comment.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (kind, key) = (words.next()?, words.next()?);
        let bytes = STANDARD.decode(key).ok()?;
        // RFC 8709: the name and 32 bytes, each preceded by its length.
        let rest = bytes.strip_prefix(&[0, 0, 0, 11])?;
        let rest = rest.strip_prefix(KIND.as_bytes())?;
        let valid = kind == KIND && rest.len() == 36 && rest.starts_with(&[0, 0, 0, 32]);
        valid.then(|| Self(key.to_owned()))
    }

    /// Parses the workspace's answer, which may contain warnings of Compose.
    pub(crate) fn answered(text: &str) -> Option<Self> {
        guest::answer(text, HEADER)?.lines().find_map(Self::parse)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND} {}", self.0)
    }
}

/// Reads the workspace's host key, which is created if there is none.
pub(crate) fn host_key() -> Call {
    let inside = ["bash", "-c", include_str!("ssh-key.sh")];
    let args = [&run::in_workspace(true, &[])[..], &inside].concat();
    let purpose = "read the host key of the workspace";
    Call::guest(purpose, include_str!("ssh-call.sh"), &args)
}

/// The command that serves one SSH connection in the workspace, as root, for this key.
pub(crate) fn server(key: &PublicKey) -> Vec<String> {
    let (script, next) = (include_str!("sshd.sh"), named("polis ssh-config"));
    let words = ["bash", "-c", script, "sshd", KIND, &key.0, &next];
    words.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIBnLzyKUBnrVVlrATg5WGw4v3GJ3hJFpT0ioUCHOkVSJ";

    #[test]
    fn only_an_ed25519_key_is_accepted() {
        let parsed = |line: &str| PublicKey::parse(line).map(|key| key.to_string());
        let whole = format!("ssh-ed25519 {KEY}");
        assert_eq!(parsed(&format!("{whole} a comment\n")), Some(whole.clone()));
        for line in [
            "",
            "ssh-ed25519",
            &format!("ssh-rsa {KEY}"),
            &format!("ssh-ed25519 {}", &KEY[4..]),
            &format!("ssh-ed25519 {}", KEY.replace("IBn", "IRn")),
            "ssh-ed25519 $(id)",
        ] {
            assert_eq!(parsed(line), None, "{line}");
        }
        let answer = format!("polis-ssh 1\nWARN x\n{whole} polis\n");
        assert_eq!(PublicKey::answered(&answer), PublicKey::parse(&whole));
        assert_eq!(PublicKey::answered(&whole), None);
    }
}
