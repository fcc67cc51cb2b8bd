//! `polis ssh-config`, `connect` and `_ssh-proxy`, with real OpenSSH at both ends and the fake Multipass between them.

mod config;

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::thread;
use std::time::Duration;

use expect_test::expect;
use fake_multipass::{Ran, Sandbox};

use crate::copy::{names, write};
use crate::support::{running, seen};

/// Emulates the container: runs the real sshd where the user `polis` exists, which this machine lacks.
const SSHD: &str = r#"#!/bin/bash
# Arguments: what the script of polis gives sshd.
sandbox=SANDBOX
export sandbox
exec unshare --mount bash -c '
  mount --bind "$sandbox/passwd" /etc/passwd && mount --bind "$sandbox/guest/home" /home && exec /usr/sbin/sshd "$@"' sshd "$@"
"#;

/// A sandbox whose workspace has OpenSSH; `None` if this machine lacks it or we are not root.
pub(crate) fn with_sshd() -> Option<Sandbox> {
    if !xtask_testkit::has_part("/usr/sbin/sshd") {
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: sshd needs root");
        return None;
    }
    // Each connection makes several calls of Multipass, and a sync makes several connections.
    let sandbox = running().with_limit(Duration::from_secs(300));
    let dir = sandbox.dir().display().to_string();
    let program = "/usr/local/bin/sshd";
    sandbox.write_guest(program, &SSHD.replace("SANDBOX", &dir));
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(sandbox.guest().path(program), mode).expect("an executable");
    // Of several with the same number, the first one counts.
    let polis = "polis:*:1000:1000::/home/polis:/bin/bash\n";
    let users = polis.to_owned() + &fs::read_to_string("/etc/passwd").expect("users");
    fs::write(sandbox.dir().join("passwd"), users).expect("users");
    let home = sandbox.guest().path("/home/polis");
    chown(&home, Some(1000), Some(1000)).expect("root may");
    Some(sandbox)
}

/// Runs `ssh`, `scp` or `sftp` with the installed configuration. OpenSSH takes the user's home from the system, not from HOME,
/// so it gets the path of the configuration.
pub(crate) fn openssh(sandbox: &Sandbox, program: &str, words: &[&str]) -> Ran {
    let config = sandbox.home().join(".ssh/config").display().to_string();
    let args = [&["-F", &config, "-o", "BatchMode=yes"][..], words].concat();
    sandbox.run(&Path::new("/usr/bin").join(program), &args)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

pub(crate) fn installed() -> Option<Sandbox> {
    let sandbox = with_sshd()?;
    let ran = sandbox.polis(&["ssh-config", "--install"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(
        ran.stdout,
        "OpenSSH is set up for the workspace. Next: ssh polis\n"
    );
    Some(sandbox)
}

#[test]
fn ssh_logs_in_and_scp_copies() {
    let Some(sandbox) = installed() else { return };
    let ran = openssh(&sandbox, "ssh", &["polis", "whoami; pwd; cat; exit 7"]);
    let text = "polis\n/home/polis\n";
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(7), text),
        "{}",
        ran.seen()
    );
    assert_eq!(ran.stderr, "");

    // All bytes pass in both directions.
    let bytes: Vec<u8> = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
    write(&sandbox.home().join("big"), &bytes, 0o644);
    for words in [["-q", "big", "polis:there"], ["-q", "polis:there", "back"]] {
        let ran = openssh(&sandbox, "scp", &words);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
    }
    assert_eq!(fs::read(sandbox.home().join("back")).unwrap(), bytes);
    let ran = openssh(
        &sandbox,
        "ssh",
        &["-tt", "polis", "test -t 0 && echo a terminal"],
    );
    assert_eq!(ran.stdout, "a terminal\r\n", "{}", ran.seen());
    // What editors need: forwarding from here to a port in the workspace.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    let serve = thread::spawn(move || listener.accept().unwrap().0.write_all(b"served"));
    let ran = openssh(&sandbox, "ssh", &["-W", &port, "polis"]);
    assert_eq!(ran.stdout, "served", "{}", ran.seen());
    serve.join().unwrap().unwrap();
    // Ended connections leave nothing in the VM.
    let runs = sandbox.guest().path("/home/ubuntu/.polis-runs");
    assert_eq!(fs::read_dir(runs).map_or(0, Iterator::count), 0);
    assert_eq!(names(&sandbox.guest().path("/home/polis")), ["there"]);
    assert_eq!(sandbox.refused(), [""; 0]);
}

#[test]
fn only_our_key_is_accepted_and_nothing_is_forwarded_back() {
    let Some(sandbox) = installed() else { return };
    let ssh = |words: &[&str]| openssh(&sandbox, "ssh", words);
    // Another key is refused, even one that the agent has authorized.
    let file = sandbox.home().join("other").display().to_string();
    let words = ["-q", "-t", "ed25519", "-N", "", "-f", &file];
    assert_eq!(
        sandbox.run(Path::new("/usr/bin/ssh-keygen"), &words).code,
        Some(0)
    );
    let public = fs::read(sandbox.home().join("other.pub")).unwrap();
    let authorized = sandbox.guest().path("/home/polis/.ssh/authorized_keys");
    write(&authorized, &public, 0o600);
    for path in [authorized.parent().unwrap(), &authorized] {
        chown(path, Some(1000), Some(1000)).unwrap();
    }
    let config = fs::read_to_string(sandbox.home().join(".local/state/polis/ssh_config")).unwrap();
    let other = config.replace("/.local/state/polis/ssh_key\"", "/other\"");
    assert_ne!(config, other);
    write(
        &sandbox.home().join("other_config"),
        other.as_bytes(),
        0o600,
    );
    let args = ["-F", "other_config", "-o", "BatchMode=yes", "polis", "true"];
    let ran = sandbox.run(Path::new("/usr/bin/ssh"), &args);
    assert_eq!(ran.code, Some(255), "{}", ran.seen());
    assert!(
        ran.stderr.contains("Permission denied (publickey)"),
        "{}",
        ran.seen()
    );
    // Root is refused too.
    assert_eq!(ssh(&["-l", "root", "polis", "true"]).code, Some(255));

    // The user's SSH agent is not forwarded even on request, and no port leads from the workspace to this machine.
    let ran = ssh(&["-A", "polis", "echo \"${SSH_AUTH_SOCK:-none}\""]);
    assert_eq!(ran.stdout, "none\n", "{}", ran.seen());
    let args = [
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        "0:127.0.0.1:1",
        "polis",
        "true",
    ];
    let ran = ssh(&args);
    assert_eq!(ran.code, Some(255), "{}", ran.seen());
    assert!(
        ran.stderr.contains("remote port forwarding failed"),
        "{}",
        ran.seen()
    );
    assert_eq!(sandbox.refused(), [""; 0]);
}

#[test]
fn a_changed_host_key_is_refused_until_it_is_pinned_again() {
    let Some(sandbox) = installed() else { return };
    let key = sandbox.guest().path("/root/.polis-ssh/host_key");
    assert_eq!(mode(&key), 0o600);
    fs::remove_file(&key).unwrap();
    let ran = openssh(&sandbox, "ssh", &["polis", "true"]);
    assert_eq!(ran.code, Some(255), "{}", ran.seen());
    assert!(
        ran.stderr.contains("hint: polis ssh-config"),
        "{}",
        ran.seen()
    );
    let file = key.display().to_string();
    let words = ["-q", "-t", "ed25519", "-N", "", "-f", &file];
    assert_eq!(
        sandbox.run(Path::new("/usr/bin/ssh-keygen"), &words).code,
        Some(0)
    );
    let ran = openssh(&sandbox, "ssh", &["polis", "true"]);
    assert_eq!(ran.code, Some(255), "{}", ran.seen());
    assert!(ran.stderr.contains("verification failed"), "{}", ran.seen());
    assert_eq!(sandbox.polis(&["ssh-config"]).code, Some(0));
    let ran = openssh(&sandbox, "ssh", &["polis", "true"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    // A stopped VM is not started silently.
    assert_eq!(sandbox.polis(&["stop"]).code, Some(0));
    let ran = openssh(&sandbox, "ssh", &["polis", "true"]);
    assert_eq!(ran.code, Some(255), "{}", ran.seen());
    assert!(ran.stderr.contains("hint: polis start"), "{}", ran.seen());
}

#[test]
fn connect_starts_the_client_or_explains_what_is_missing() {
    let Some(sandbox) = with_sshd() else { return };
    for client in ["ssh", "code"] {
        let ran = sandbox.polis(&["connect", client]);
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
        assert!(
            ran.stderr.contains("hint: polis ssh-config --install"),
            "{}",
            ran.seen()
        );
    }
    assert_eq!(sandbox.polis(&["ssh-config"]).code, Some(0));
    let ran = sandbox.shell("echo 'whoami; exit 3' | polis connect");
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(3), "polis\n"),
        "{}",
        ran.seen()
    );
    assert_eq!(sandbox.polis(&["connect", "cursor"]).code, Some(2));
    assert_eq!(sandbox.polis(&["ssh-config", "--install"]).code, Some(0));
    expect![[r#"
        exit 2
        --- stderr
        note: an editor trusts the machine that it connects to: a hostile workspace can act on this machine through it
        error: could not run `cursor`
          caused by: No such file or directory (os error 2)
          hint: put it on the PATH, or connect it to the host `polis`
          hint: polis connect ssh
    "#]].assert_eq(&seen(&sandbox.polis(&["connect", "cursor"])));
    write(
        &sandbox.dir().join("bin/code"),
        b"#!/bin/sh\necho \"$@\"\nexit 4\n",
        0o755,
    );
    let ran = sandbox.polis(&["connect", "code"]);
    let words = "--remote ssh-remote+polis /home/polis\n";
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(4), words),
        "{}",
        ran.seen()
    );
}

#[test]
fn ssh_is_refused_where_multipass_cannot_pipe() {
    let sandbox = running();
    for args in [
        &["ssh-config", "--install"][..],
        &["connect"],
        &["_ssh-proxy", "ssh-ed25519", "AAAA"],
    ] {
        let ran = sandbox.polis_with(args, &[("POLIS_DELIVERY", "file")]);
        assert!(matches!(ran.code, Some(2 | 125)), "{}", ran.seen());
        assert!(ran.stderr.contains("buffers piped data"), "{}", ran.seen());
        assert!(ran.stderr.contains("hint: polis shell"), "{}", ran.seen());
    }
    assert_eq!(names(&sandbox.home()), [".local"]);
}
