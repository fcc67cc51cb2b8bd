//! Translates paths of the guest in its input, and back in its output.
//!
//! A command of the guest names `/opt/polis`, which on this machine is a folder of the sandbox. Paths are replaced in the
//! command line on the way in, and in the output on the way out, so neither side ever sees the other's.

use std::path::Path;

/// The folders that the guest has itself. The rest (`/usr/bin`, `/proc`, `/dev`) is this machine's.
const MAPPED: &str = "/etc/apt /etc/audit /etc/docker /etc/polis /etc/sysctl.d /etc/systemd /home/polis /home/ubuntu \
    /opt/polis /root /run/polis /tmp /usr/local/bin /usr/local/lib/polis /usr/local/share/ca-certificates /var/lib/cloud /var/lib/docker /var/lib/polis \
    /var/log /var/tmp";

/// `text` with each of the guest's paths replaced by its local path.
pub(super) fn to_host(text: &str, root: &Path) -> String {
    let root = root.to_string_lossy();
    let mut out = String::with_capacity(text.len());
    let mapped: Vec<&str> = MAPPED.split_whitespace().collect();
    let mut before = None;
    for (at, letter) in text.char_indices() {
        let begins = letter == '/' && starts_path(before);
        if begins && mapped.iter().any(|path| is_below(&text[at..], path)) {
            out.push_str(&root);
        }
        out.push(letter);
        before = Some(letter);
    }
    out
}

/// Whether a `/` after this character starts a path, rather than separating two names.
fn starts_path(before: Option<char>) -> bool {
    before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '/' | '.' | '_' | '-' | '}' | '~'))
}

/// Whether `text` starts with `path`, and not just with a longer name.
fn is_below(text: &str, path: &str) -> bool {
    text.strip_prefix(path).is_some_and(|rest| {
        !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
    })
}

/// Replaces local paths by the guest's in a stream that arrives in pieces.
#[derive(Debug)]
pub(super) struct ToGuest {
    root: Vec<u8>,
    held: Vec<u8>,
    /// Whether it is an SSH connection, which contains no paths and must not be delayed.
    ssh: bool,
}

impl ToGuest {
    /// A translator for the guest in `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_string_lossy().into_owned().into_bytes(),
            held: Vec::new(),
            ssh: false,
        }
    }

    /// Translates the next piece. Holds back what could be the start of a path.
    pub(super) fn piece(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.ssh |= bytes.starts_with(b"SSH-2.0-");
        if self.ssh {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            if rest.starts_with(&self.root) {
                at += self.root.len();
            } else if self.root.starts_with(rest) {
                break;
            } else {
                out.push(rest[0]);
                at += 1;
            }
        }
        self.held.drain(..at);
        out
    }

    /// The rest that is still held back at the end.
    pub(super) fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

/// `text` with each local path replaced by the guest's.
pub(crate) fn to_guest(text: &str, root: &Path) -> String {
    text.replace(&*root.to_string_lossy(), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_paths_are_found_wherever_they_start() {
        let root = Path::new("/w/guest");
        for (text, expected) in [
            ("/opt/polis/.ready", "/w/guest/opt/polis/.ready"),
            ("cat </opt/polis/x", "cat </w/guest/opt/polis/x"),
            ("A=/var/log/a:/tmp/b", "A=/w/guest/var/log/a:/w/guest/tmp/b"),
            ("'/opt/polis'", "'/w/guest/opt/polis'"),
            ("/opt/polisher", "/opt/polisher"),
            (
                "$ROOT/opt/polis ${X}/tmp ./tmp",
                "$ROOT/opt/polis ${X}/tmp ./tmp",
            ),
            ("/usr/bin/env /dev/null", "/usr/bin/env /dev/null"),
        ] {
            assert_eq!(to_host(text, root), expected);
        }
    }

    #[test]
    fn output_has_only_guest_paths_wherever_it_is_split() {
        let text = b"a /w/guest/opt/polis /w/guess /w";
        for cut in 0..text.len() {
            let mut stream = ToGuest::new(Path::new("/w/guest"));
            let mut out = stream.piece(&text[..cut]);
            out.extend(stream.piece(&text[cut..]));
            out.extend(stream.end());
            assert_eq!(String::from_utf8_lossy(&out), "a /opt/polis /w/guess /w");
        }
    }
}
