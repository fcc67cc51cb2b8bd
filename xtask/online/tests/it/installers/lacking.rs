//! What a user's machine may lack, and the resulting errors.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::machine::{Machine, script, target};
use super::refusals::{Case, all_refused};
use super::{BASH, BUSYBOX, DASH, ZSH, machines};
use crate::support::{command, external_tool};

/// What a machine may lack.
const LOCAL: [Case; 18] = [
    (
        "an unknown system",
        |m| m.pretend("uname", "#!/bin/sh\necho Plan9\n"),
        "no build of Polis for Plan9 on Plan9",
    ),
    (
        "Windows",
        |m| m.pretend("uname", "#!/bin/sh\necho MINGW64_NT-10.0\n"),
        "install.ps1",
    ),
    (
        "a release without this target",
        |m| m.script = script(&m.key, b"", other_target()),
        "was not released for",
    ),
    (
        "a full disk for temporary files",
        |m| {
            m.pretend(
                "tar",
                "#!/bin/sh\necho tar: no space left on device >&2\nexit 2\n",
            );
        },
        "caused by: tar: no space left on device",
    ),
    (
        "a curl that writes elsewhere",
        |m| {
            m.pretend("curl", "#!/bin/sh\n");
            m.pretend("wget", "#!/bin/sh\n");
        },
        "wrote no file into [ROOT]/tmp",
    ),
    (
        "no temporary directory",
        |m| {
            m.env.insert("TMPDIR".into(), "/nowhere".into());
        },
        "cannot create a temporary directory in /nowhere",
    ),
    (
        "no home",
        |m| {
            // Empty instead of unset, because zsh would then use the home of the user who runs the tests.
            m.env.insert("HOME".into(), String::new());
        },
        "HOME is not set",
    ),
    (
        "a relative directory",
        |m| {
            m.env.insert("POLIS_INSTALL_DIR".into(), "bin".into());
        },
        "not an absolute path: bin",
    ),
    (
        "a file in place of the directory",
        |m| {
            m.env.insert(
                "POLIS_INSTALL_DIR".into(),
                m.path("install.sh").to_string_lossy().into(),
            );
        },
        "cannot create the directory",
    ),
    (
        "a directory in place of the program",
        |m| {
            fs::create_dir_all(m.path("dir/polis")).unwrap();
            m.env.insert(
                "POLIS_INSTALL_DIR".into(),
                m.path("dir").to_string_lossy().into(),
            );
        },
        "dir/polis is a directory",
    ),
    (
        "a mirror in the clear",
        |m| mirror(m, "http://example.com/dl"),
        NOT_ACCEPTABLE,
    ),
    (
        "a mirror that looks like this machine",
        |m| mirror(m, "http://127.0.0.1@example.com/dl"),
        NOT_ACCEPTABLE,
    ),
    (
        "a mirror with this machine for a password",
        |m| mirror(m, "http://localhost:1@example.com/dl"),
        NOT_ACCEPTABLE,
    ),
    (
        "a mirror whose name begins as this machine's",
        |m| mirror(m, "http://localhost.example.com/"),
        NOT_ACCEPTABLE,
    ),
    (
        "a mirror with a port that is none",
        |m| mirror(m, "http://localhost:80.example.com/dl"),
        NOT_ACCEPTABLE,
    ),
    (
        "a mirror by another protocol",
        |m| mirror(m, "file:///etc"),
        NOT_ACCEPTABLE,
    ),
    (
        "a mirror with a user name",
        |m| mirror(m, "https://me:secret@example.com/dl"),
        NOT_ACCEPTABLE,
    ),
    (
        "a mirror that is no address",
        |m| mirror(m, "https:// example.com/$(id)"),
        NOT_ACCEPTABLE,
    ),
];

const NOT_ACCEPTABLE: &str = "invalid POLIS_INSTALL_URL";

fn mirror(machine: &mut Machine, url: &str) {
    machine.env.insert("POLIS_INSTALL_URL".into(), url.into());
}

/// A target that is not this machine's.
fn other_target() -> &'static str {
    match target() {
        Some("x86_64-unknown-linux-musl") => "aarch64-unknown-linux-musl",
        _ => "x86_64-unknown-linux-musl",
    }
}

/// The verifier's own output must contain the comment. The text in the file does not suffice.
#[test]
fn a_minisign_that_verified_another_comment_is_rejected() {
    for machine in machines(&[DASH]) {
        machine.pretend("minisign", "#!/bin/sh\necho Polis 0.4.0\n");
        let seen = machine.seen(&machine.install());
        assert!(
            seen.starts_with("exit 1\n") && seen.contains("a different trusted comment"),
            "{seen}"
        );
        machine.assert_unchanged("another comment");
    }
}

#[test]
fn missing_requirements_are_reported() {
    all_refused(DASH, &LOCAL);
    // Not for busybox, whose shell runs its own uname and tar regardless of PATH.
    all_refused(BASH, &LOCAL);
    all_refused(ZSH, &LOCAL);
}

#[test]
fn missing_programs_are_named() {
    for (tools, lacking, message) in [
        (DASH, "curl", "neither curl nor wget is installed"),
        (
            DASH,
            "minisign",
            "neither minisign nor OpenSSL 3 is installed",
        ),
        (
            BASH,
            "openssl",
            "neither minisign nor OpenSSL 3 is installed",
        ),
        (DASH, "sha256sum", "no program for SHA-256 is installed"),
        (DASH, "tar", "tar is not installed"),
    ] {
        for machine in machines(&[tools]) {
            machine.lacks(lacking);
            let seen = machine.seen(&machine.install());
            assert!(
                seen.starts_with("exit 1\n") && seen.contains(message),
                "{seen}"
            );
            machine.assert_unchanged(lacking);
        }
    }
    // An `openssl` without Ed25519: macOS's, an older version, one in FIPS mode.
    for openssl in [
        "LibreSSL 3.3.6",
        "OpenSSL 1.1.1w  11 Sep 2023",
        "OpenSSL 3.0.9-FIPS\nexit 1",
    ] {
        for machine in machines(&[BASH]) {
            let script = format!(
                "#!/bin/sh\nif [ \"$1\" = version ]; then echo {}; fi\nexit 1\n",
                openssl.replace('\n', "; ")
            );
            machine.pretend("openssl", &script);
            let seen = machine.seen(&machine.install());
            assert!(
                seen.contains("neither minisign nor OpenSSL 3"),
                "{openssl}: {seen}"
            );
            machine.assert_unchanged(openssl);
        }
    }
}

#[test]
fn an_unknown_argument_is_a_usage_error() {
    for machine in machines(&[DASH]) {
        let output = machine
            .command(&machine.serve())
            .arg("--force")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        machine.assert_unchanged("usage");
    }
}

/// As another user if we are root, because root ignores modes.
#[test]
fn a_directory_of_another_user_is_rejected() {
    for machine in machines(&[DASH, BUSYBOX]) {
        let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        fs::set_permissions(machine.path("tmp"), fs::Permissions::from_mode(0o777)).unwrap();
        fs::set_permissions(
            machine.path("home/.local/bin"),
            fs::Permissions::from_mode(0o555),
        )
        .unwrap();
        let server = machine.serve();
        let own = machine.command(&server);
        let output = if root {
            let Some(setpriv) = external_tool("setpriv") else {
                return;
            };
            let mut other = command(setpriv);
            other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            other.arg(own.get_program()).args(own.get_args());
            other.envs(
                own.get_envs()
                    .filter_map(|(name, value)| value.map(|value| (name, value))),
            );
            other.current_dir("/").output().unwrap()
        } else {
            machine.install()
        };
        let seen = machine.seen(&output);
        fs::set_permissions(
            machine.path("home/.local/bin"),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        assert!(
            seen.starts_with("exit 1\n") && seen.contains("cannot write to [ROOT]/home/.local/bin"),
            "{seen}"
        );
        machine.assert_unchanged("a directory that is not ours");
    }
}

/// A file system of 64 KiB with the old program and no space for the new one.
#[test]
fn a_full_disk_leaves_the_old_program() {
    let Some(unshare) = external_tool("unshare") else {
        return;
    };
    if !command(&unshare)
        .args(["-m", "true"])
        .output()
        .unwrap()
        .status
        .success()
    {
        eprintln!("skipped: no root, so no file system of our own");
        return;
    }
    for mut machine in machines(&[DASH, BUSYBOX]) {
        let padding = "# padding\n".repeat(20_000);
        machine.release(&[(
            "polis",
            &format!("#!/bin/sh\necho polis 0.5.0\nexit\n{padding}"),
        )]);
        let server = machine.serve();
        let own = machine.command(&server);
        let script = "PATH=/usr/sbin:/usr/bin:/sbin:/bin; mount -t tmpfs -o size=64k none \"$HOME/.local/bin\"; \
             echo old >\"$HOME/.local/bin/polis\"; PATH=$1; shift; \"$@\"; code=$?; \
             PATH=/usr/bin:/bin; ls -A \"$HOME/.local/bin\"; cat \"$HOME/.local/bin/polis\"; exit $code";
        let mut other = command(&unshare);
        other
            .args(["-m", "/bin/sh", "-c", script, "sh"])
            .arg(machine.path("bin"));
        other.arg(own.get_program()).args(own.get_args());
        other.envs(
            own.get_envs()
                .filter_map(|(name, value)| value.map(|value| (name, value))),
        );
        other.env("PATH", "/usr/bin:/bin");
        let seen = machine.seen(&other.output().unwrap());
        assert!(
            seen.starts_with("exit 1\n--- stdout\npolis\nold\n--- stderr\n"),
            "{seen}"
        );
        assert!(
            seen.contains("error: cannot write to [ROOT]/home/.local/bin\n"),
            "{seen}"
        );
        machine.assert_unchanged("below the file system");
    }
}
