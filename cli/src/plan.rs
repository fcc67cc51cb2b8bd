//! The calls that take a user from nothing to a running workspace, decided purely.
//!
//! Multipass's contract is followed here: `launch` only waits for the end of cloud-init, so our
//! own marker in the guest decides; user-data and bundle go through standard input, since the
//! snap cannot read the host's `/tmp`; `exec` always has `-n`, so it never maps a directory.

use polis_base::Digest;

use crate::embedded;

/// The name of the VM: no digits, which Hyper-V's name resolution trips over.
const NAME: &str = "polis";
/// The image: 24.04 follows its point releases.
const IMAGE: &str = "24.04";
/// Seconds that Multipass may take, the download of the image included.
const TIMEOUT: &str = "900";
/// Where the bundle is put before it is unpacked.
const INCOMING: &str = "/opt/polis/.incoming.tar";

/// The resources of the VM, in Multipass's notation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resources {
    pub(crate) cpus: String,
    pub(crate) memory: String,
    pub(crate) disk: String,
}

/// One call of Multipass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Why it is made.
    pub(crate) purpose: &'static str,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// What it reads.
    pub(crate) stdin: Option<Stdin>,
}

/// What a call reads from standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stdin {
    pub(crate) name: &'static str,
    pub(crate) size: usize,
    pub(crate) digest: Digest,
}

/// The calls of a first start.
pub(crate) fn first_start(resources: &Resources) -> Vec<Call> {
    let user_data = Stdin {
        name: "the embedded cloud-init user-data",
        size: embedded::CLOUD_INIT.len(),
        digest: embedded::cloud_init_digest(),
    };
    let bundle = Stdin {
        name: "the embedded bundle",
        size: embedded::BUNDLE.len(),
        digest: embedded::bundle_digest(),
    };
    vec![
        launch(resources, user_data),
        guest(
            "check that provisioning succeeded",
            "test -f /var/lib/polis/provisioned.json",
        ),
        transfer(bundle),
        guest("unpack the bundle", &unpack(bundle.digest)),
        guest(
            "make certificates and secrets, once",
            "cd /opt/polis && scripts/generate-secrets.sh",
        ),
        guest("pull the images", "cd /opt/polis && docker compose pull"),
        guest(
            "start the services and wait until they are healthy",
            "cd /opt/polis && docker compose up -d --no-build --wait",
        ),
    ]
}

fn launch(resources: &Resources, user_data: Stdin) -> Call {
    let Resources { cpus, memory, disk } = resources;
    let args = [
        "launch",
        IMAGE,
        "--name",
        NAME,
        "--cpus",
        cpus,
        "--memory",
        memory,
        "--disk",
        disk,
        "--timeout",
        TIMEOUT,
        "--cloud-init",
        "-",
    ];
    Call {
        purpose: "launch the VM and provision it",
        args: owned(&args),
        stdin: Some(user_data),
    }
}

fn transfer(bundle: Stdin) -> Call {
    let target = format!("{NAME}:{INCOMING}");
    Call {
        purpose: "transfer the bundle",
        args: owned(&["transfer", "-", &target]),
        stdin: Some(bundle),
    }
}

/// A command in the guest. Its exit code is folded to 0 or 10: Multipass re-runs a guest
/// command that ends with 4, and uses 1 and 2 for its own failures.
fn guest(purpose: &'static str, command: &str) -> Call {
    let script = format!("({command}) || exit 10");
    Call {
        purpose,
        args: owned(&["exec", "-n", NAME, "--", "bash", "-c", &script]),
        stdin: None,
    }
}

fn unpack(digest: Digest) -> String {
    let hex = digest.hex();
    format!(
        "echo '{hex}  {INCOMING}' | sha256sum --check --quiet && tar -xf {INCOMING} -C /opt/polis && rm {INCOMING}"
    )
}

fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

/// The calls as one would type them, with what they read.
pub(crate) fn to_text(calls: &[Call]) -> String {
    let mut text = String::new();
    for call in calls {
        let words: Vec<String> = call.args.iter().map(|arg| quoted(arg)).collect();
        text.push_str(&format!(
            "# {}\nmultipass {}",
            call.purpose,
            words.join(" ")
        ));
        if let Some(stdin) = &call.stdin {
            text.push_str(&format!(
                "  < {} ({} bytes, {})",
                stdin.name, stdin.size, stdin.digest
            ));
        }
        text.push('\n');
    }
    text
}

/// An argument as a POSIX shell reads it back.
fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        arg.to_owned()
    } else {
        format!("'{}'", arg.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_read_back_as_they_were() {
        assert_eq!(quoted("--cloud-init"), "--cloud-init");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_guest_command_never_ends_with_multipass_own_codes() {
        let calls = first_start(&Resources {
            cpus: "4".into(),
            memory: "8G".into(),
            disk: "40G".into(),
        });
        for call in calls.iter().filter(|call| call.args[0] == "exec") {
            assert_eq!(call.args[1..4], ["-n", NAME, "--"]);
            assert!(call.args[6].ends_with("|| exit 10"), "{call:?}");
        }
    }
}
