//! `polis ssh-config`, `connect` and `_ssh-proxy`: real OpenSSH at both ends, with the fake Multipass between them.

mod config;

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::thread;
use std::time::Duration;

use expect_test::expect;
use fake_multipass::{Ran, World};

use crate::copy::{names, write};
use crate::support::{running, seen};

/// Stands for the container, whose user `polis` this machine does not have: real sshd, where that user is one.
const SSHD: &str = r#"#!/bin/bash
# Arguments: what the script of polis gives sshd.
world=WORLD
export world
exec unshare --mount bash -c '
  mount --bind "$world/passwd" /etc/passwd && mount --bind "$world/guest/home" /home && exec /usr/sbin/sshd "$@"' sshd "$@"
"#;

/// A world whose workspace has OpenSSH; none where this machine has not, or we are not root.
pub(crate) fn with_sshd() -> Option<World> {
    if !xtask_testkit::has_part("/usr/sbin/sshd") {
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: sshd needs root");
        return None;
    }
    // Each connection is some calls of Multipass, and one sync some connections.
    let world = running().with_limit(Duration::from_secs(300));
    let dir = world.dir().display().to_string();
    let program = "/usr/local/bin/sshd";
    world.write_guest(program, &SSHD.replace("WORLD", &dir));
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(world.guest().path(program), mode).expect("an executable");
    // The first one of a number is the one.
    let polis = "polis:*:1000:1000::/home/polis:/bin/bash\n";
    let users = polis.to_owned() + &fs::read_to_string("/etc/passwd").expect("users");
    fs::write(world.dir().join("passwd"), users).expect("users");
    let home = world.guest().path("/home/polis");
    chown(&home, Some(1000), Some(1000)).expect("root may");
    Some(world)
}

/// Runs `ssh`, `scp` or `sftp` with the configuration that was installed. OpenSSH asks the system for the user's home, not
/// HOME, so it is told where that is.
pub(crate) fn openssh(world: &World, program: &str, words: &[&str]) -> Ran {
    let config = world.home().join(".ssh/config").display().to_string();
    let args = [&["-F", &config, "-o", "BatchMode=yes"][..], words].concat();
    world.run(&Path::new("/usr/bin").join(program), &args)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

pub(crate) fn installed() -> Option<World> {
    let world = with_sshd()?;
    let ran = world.polis(&["ssh-config", "--install"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(
        ran.stdout,
        "OpenSSH is set up for the workspace. Next: ssh polis\n"
    );
    Some(world)
}

#[test]
fn ssh_logs_in_and_scp_copies() {
    let Some(world) = installed() else { return };
    let ran = openssh(&world, "ssh", &["polis", "whoami; pwd; cat; exit 7"]);
    let text = "polis\n/home/polis\n";
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(7), text),
        "{}",
        ran.seen()
    );
    assert_eq!(ran.stderr, "");

    // Every byte passes, in both directions.
    let bytes: Vec<u8> = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
    write(&world.home().join("big"), &bytes, 0o644);
    for words in [["-q", "big", "polis:there"], ["-q", "polis:there", "back"]] {
        let ran = openssh(&world, "scp", &words);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
    }
    assert_eq!(fs::read(world.home().join("back")).unwrap(), bytes);
    let ran = openssh(
        &world,
        "ssh",
        &["-tt", "polis", "test -t 0 && echo a terminal"],
    );
    assert_eq!(ran.stdout, "a terminal\r\n", "{}", ran.seen());
    // What editors need: from here to a port in there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    let serve = thread::spawn(move || listener.accept().unwrap().0.write_all(b"served"));
    let ran = openssh(&world, "ssh", &["-W", &port, "polis"]);
    assert_eq!(ran.stdout, "served", "{}", ran.seen());
    serve.join().unwrap().unwrap();
    // Nothing stays in the VM of connections that have ended.
    let runs = world.guest().path("/home/ubuntu/.polis-runs");
    assert_eq!(fs::read_dir(runs).map_or(0, Iterator::count), 0);
    assert_eq!(names(&world.guest().path("/home/polis")), ["there"]);
    assert_eq!(world.refused(), [""; 0]);
}

#[test]
fn only_our_key_gets_in_and_nothing_gets_out() {
    let Some(world) = installed() else { return };
    let ssh = |words: &[&str]| openssh(&world, "ssh", words);
    // Another key does not get in, even one that the agent has let in.
    let file = world.home().join("other").display().to_string();
    let words = ["-q", "-t", "ed25519", "-N", "", "-f", &file];
    assert_eq!(
        world.run(Path::new("/usr/bin/ssh-keygen"), &words).code,
        Some(0)
    );
    let public = fs::read(world.home().join("other.pub")).unwrap();
    let authorized = world.guest().path("/home/polis/.ssh/authorized_keys");
    write(&authorized, &public, 0o600);
    for path in [authorized.parent().unwrap(), &authorized] {
        chown(path, Some(1000), Some(1000)).unwrap();
    }
    let config = fs::read_to_string(world.home().join(".local/state/polis/ssh_config")).unwrap();
    let other = config.replace("/.local/state/polis/ssh_key\"", "/other\"");
    assert_ne!(config, other);
    write(&world.home().join("other_config"), other.as_bytes(), 0o600);
    let args = ["-F", "other_config", "-o", "BatchMode=yes", "polis", "true"];
    let ran = world.run(Path::new("/usr/bin/ssh"), &args);
    assert_eq!(ran.code, Some(255), "{}", ran.seen());
    assert!(
        ran.stderr.contains("Permission denied (publickey)"),
        "{}",
        ran.seen()
    );
    // Nor does root.
    assert_eq!(ssh(&["-l", "root", "polis", "true"]).code, Some(255));

    // The user's agent stays here, also when asked for, and no port leads from there to here.
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
    assert_eq!(world.refused(), [""; 0]);
}

#[test]
fn another_host_key_is_refused_until_it_is_pinned_anew() {
    let Some(world) = installed() else { return };
    let key = world.guest().path("/root/.polis-ssh/host_key");
    assert_eq!(mode(&key), 0o600);
    fs::remove_file(&key).unwrap();
    let ran = openssh(&world, "ssh", &["polis", "true"]);
    assert_eq!(ran.code, Some(255), "{}", ran.seen());
    assert!(
        ran.stderr.contains("hint: polis ssh-config"),
        "{}",
        ran.seen()
    );
    let file = key.display().to_string();
    let words = ["-q", "-t", "ed25519", "-N", "", "-f", &file];
    assert_eq!(
        world.run(Path::new("/usr/bin/ssh-keygen"), &words).code,
        Some(0)
    );
    let ran = openssh(&world, "ssh", &["polis", "true"]);
    assert_eq!(ran.code, Some(255), "{}", ran.seen());
    assert!(ran.stderr.contains("verification failed"), "{}", ran.seen());
    assert_eq!(world.polis(&["ssh-config"]).code, Some(0));
    let ran = openssh(&world, "ssh", &["polis", "true"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    // A VM that is stopped is not started without a word.
    assert_eq!(world.polis(&["stop"]).code, Some(0));
    let ran = openssh(&world, "ssh", &["polis", "true"]);
    assert_eq!(ran.code, Some(255), "{}", ran.seen());
    assert!(ran.stderr.contains("hint: polis start"), "{}", ran.seen());
}

#[test]
fn connect_starts_the_client_or_says_what_is_missing() {
    let Some(world) = with_sshd() else { return };
    for client in ["ssh", "code"] {
        let ran = world.polis(&["connect", client]);
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
        assert!(
            ran.stderr.contains("hint: polis ssh-config --install"),
            "{}",
            ran.seen()
        );
    }
    assert_eq!(world.polis(&["ssh-config"]).code, Some(0));
    let ran = world.shell("echo 'whoami; exit 3' | polis connect");
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(3), "polis\n"),
        "{}",
        ran.seen()
    );
    assert_eq!(world.polis(&["connect", "cursor"]).code, Some(2));
    assert_eq!(world.polis(&["ssh-config", "--install"]).code, Some(0));
    expect![[r#"
        exit 2
        --- stderr
        note: an editor trusts the machine that it connects to: a hostile workspace can act on this machine through it
        error: could not run `cursor`
          caused by: No such file or directory (os error 2)
          hint: put it on the PATH, or connect it to the host `polis`
          hint: polis connect ssh
    "#]].assert_eq(&seen(&world.polis(&["connect", "cursor"])));
    write(
        &world.dir().join("bin/code"),
        b"#!/bin/sh\necho \"$@\"\nexit 4\n",
        0o755,
    );
    let ran = world.polis(&["connect", "code"]);
    let words = "--remote ssh-remote+polis /home/polis\n";
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(4), words),
        "{}",
        ran.seen()
    );
}

#[test]
fn where_multipass_cannot_pipe_ssh_is_refused_and_said_why() {
    let world = running();
    for args in [
        &["ssh-config", "--install"][..],
        &["connect"],
        &["_ssh-proxy", "ssh-ed25519", "AAAA"],
    ] {
        let ran = world.polis_with(args, &[("POLIS_DELIVERY", "file")]);
        assert!(matches!(ran.code, Some(2 | 125)), "{}", ran.seen());
        assert!(ran.stderr.contains("buffers piped data"), "{}", ran.seen());
        assert!(ran.stderr.contains("hint: polis shell"), "{}", ran.seen());
    }
    assert_eq!(names(&world.home()), [".local"]);
}
