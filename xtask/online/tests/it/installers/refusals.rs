//! Everything that `install.sh` refuses. Each case ends with an error that says what is wrong,
//! with the older program in its place and no file left behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use xtask_dist::sign::SigningKey;
use xtask_online::embedded::Fault;

use super::machine::{Machine, script, script_for, tar, target};
use super::{BASH, BUSYBOX, DASH, Tools, ZSH, machines};
use crate::support::{command, real_part};

/// A name, what is wrong, and what the error says.
type Case = (&'static str, fn(&mut Machine), &'static str);

const INVALID: &str = "the signature of SHA256SUMS is not valid";
const ONE: &str = "SHA256SUMS does not have exactly one checksum for";

/// What a network, a server or an attacker who holds one can do.
const SERVED: [Case; 24] = [
    (
        "another key",
        |m| {
            let stranger = SigningKey::for_rehearsal().unwrap();
            let own = std::mem::replace(&mut m.key, stranger);
            let sums = m.sums();
            m.sign(&sums, "Polis 0.5.0");
            m.key = own;
        },
        INVALID,
    ),
    (
        "another key with the number of ours",
        |m| {
            let stranger = SigningKey::for_rehearsal().unwrap();
            let [ours, theirs] =
                [&m.key, &stranger].map(|key| decoded(&key.public_key_file().unwrap()));
            let mixed = STANDARD.encode([&ours[..10], &theirs[10..]].concat());
            let file = format!("untrusted comment: x\n{mixed}\n");
            m.script = script_for(&file, b"", target().unwrap());
        },
        INVALID,
    ),
    (
        "changed checksums",
        |m| {
            let sums = m.sums().replace("cloud-init.yaml", "cloud-init.yamm");
            m.files.insert("SHA256SUMS".into(), sums.into());
        },
        INVALID,
    ),
    (
        "checksums with one more line",
        |m| {
            let sums = m.sums() + "\n";
            m.files.insert("SHA256SUMS".into(), sums.into());
        },
        INVALID,
    ),
    (
        "a changed signature",
        |m| m.change_signature(1, |line| turned(line, 40)),
        INVALID,
    ),
    (
        "a changed signature of the comment",
        |m| m.change_signature(3, |line| turned(line, 40)),
        INVALID,
    ),
    (
        "the signature of an older release",
        |m| {
            let sums = m.sums();
            m.sign(&sums, "Polis 0.4.0");
        },
        "it is for `Polis 0.4.0`, expected `Polis 0.5.0`",
    ),
    (
        "a rehearsal",
        |m| {
            let sums = m.sums();
            m.sign(&sums, "Polis 0.5.0: REHEARSAL, not a release");
        },
        "expected `Polis 0.5.0`",
    ),
    (
        "an older release under the comment of this one",
        |m| {
            let sums = m.sums();
            m.sign(&sums, "Polis 0.4.0");
            m.change_signature(2, |line| line.replace("0.4.0", "0.5.0"));
        },
        INVALID,
    ),
    (
        "a comment with more after it",
        |m| m.change_signature(2, |line| format!("{line} ")),
        INVALID,
    ),
    (
        "control characters in the comment",
        |m| {
            let sums = m.sums();
            m.sign(&sums, "Polis\u{1b}[31m 0.5.0");
        },
        "it is for `Polis[31m 0.5.0`",
    ),
    (
        "the other algorithm of minisign",
        |m| m.change_signature(1, |line| line.replacen("RU", "RW", 1)),
        INVALID,
    ),
    (
        "a signature of three lines",
        |m| {
            let text = String::from_utf8(m.files["SHA256SUMS.minisig"].clone()).unwrap();
            let lines: Vec<&str> = text.lines().take(3).collect();
            m.files
                .insert("SHA256SUMS.minisig".into(), lines.join("\n").into());
        },
        INVALID,
    ),
    (
        "a signature of five lines",
        |m| m.change_signature(3, |line| format!("{line}\nx")),
        INVALID,
    ),
    (
        "no signature",
        |m| {
            m.files.remove("SHA256SUMS.minisig");
        },
        "/dl/SHA256SUMS.minisig",
    ),
    (
        "an empty signature",
        |m| {
            m.files.insert("SHA256SUMS.minisig".into(), Vec::new());
        },
        INVALID,
    ),
    (
        "no checksums",
        |m| {
            m.files.remove("SHA256SUMS");
        },
        "/dl/SHA256SUMS",
    ),
    (
        "checksums without the archive",
        |m| {
            let sums = m.sums().replace(".tar.gz\n", ".tar.xz\n");
            m.sign(&sums, "Polis 0.5.0");
        },
        ONE,
    ),
    (
        "two checksums of the archive",
        |m| {
            let sums = m.sums() + &m.sums();
            m.sign(&sums, "Polis 0.5.0");
        },
        ONE,
    ),
    (
        "a checksum in another form",
        |m| {
            let sums = m
                .sums()
                .to_uppercase()
                .replace(&Machine::archive().to_uppercase(), &Machine::archive());
            m.sign(&sums, "Polis 0.5.0");
        },
        ONE,
    ),
    (
        "no archive",
        |m| {
            m.files.remove(&Machine::archive());
        },
        "cannot download",
    ),
    (
        "an archive that was cut on its way",
        |m| {
            m.faults.add("GET", "/dl/polis-", 20, Fault::Cut(100));
        },
        "cannot download",
    ),
    (
        "a short archive",
        |m| {
            let archive = m.files.get_mut(&Machine::archive()).unwrap();
            archive.truncate(100);
        },
        "is not the file that was released",
    ),
    (
        "a changed archive",
        |m| {
            let archive = m.files.get_mut(&Machine::archive()).unwrap();
            archive[100] ^= 1;
        },
        "is not the file that was released",
    ),
];

/// What a release that was made wrong can hold, rightly signed.
const PACKED: [Case; 8] = [
    (
        "no tar",
        |m| m.publish(b"not an archive".to_vec()),
        "cannot unpack",
    ),
    ("no program", |m| m.release(&[]), "cannot unpack"),
    (
        "no manual",
        |m| {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join(Machine::top())).unwrap();
            fs::write(dir.path().join(Machine::top()).join("polis"), "x").unwrap();
            m.publish(tar(dir.path()));
        },
        "cannot unpack",
    ),
    (
        "a link in place of the program",
        |m| {
            let archive = odd_program(m, |path| symlink("/bin/true", path).unwrap());
            m.publish(archive);
        },
        "is not a file",
    ),
    (
        "a directory in place of the program",
        |m| {
            let archive = odd_program(m, |path| fs::create_dir(path).unwrap());
            m.publish(archive);
        },
        "is not a file",
    ),
    (
        "another version",
        |m| m.release(&[("polis", "#!/bin/sh\necho polis 0.4.0\n")]),
        "because: it calls itself `polis 0.4.0`, expected `polis 0.5.0`",
    ),
    (
        "a program that fails",
        |m| m.release(&[("polis", "#!/bin/sh\necho no such luck >&2\nexit 3\n")]),
        "because: polis --version ended with exit code 3: no such luck",
    ),
    (
        "a program for another machine",
        |m| m.release(&[("polis", "\u{7f}ELF\u{2}\u{1}\u{1}\0")]),
        "the program does not run on this machine",
    ),
];

/// What a machine can lack.
const LOCAL: [Case; 16] = [
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
        "because: tar: no space left on device",
    ),
    (
        "no temporary directory",
        |m| {
            m.env.insert("TMPDIR".into(), "/nowhere".into());
        },
        "cannot make a temporary directory in /nowhere",
    ),
    (
        "no home",
        |m| {
            // Not unset: zsh then takes the home of the user who runs the tests.
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
        "cannot make the directory",
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
const NOT_ACCEPTABLE: &str = "POLIS_INSTALL_URL is not acceptable";

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

/// The bytes of a public key file.
fn decoded(file: &str) -> Vec<u8> {
    STANDARD.decode(file.lines().nth(1).unwrap()).unwrap()
}

/// The line with another letter of Base64 at `at`.
fn turned(line: &str, at: usize) -> String {
    let other = if &line[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &line[..at], &line[at + 1..])
}

/// An archive in which `make` makes what stands where the program should.
fn odd_program(machine: &Machine, make: impl Fn(&std::path::Path)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let packed = dir.path().join("packed");
    fs::write(&packed, machine.pack(&[])).unwrap();
    let args = [
        "-xzf",
        &packed.to_string_lossy(),
        "-C",
        &dir.path().to_string_lossy(),
    ]
    .map(str::to_owned);
    crate::support::run(real_part("tar").unwrap(), args);
    make(&dir.path().join(Machine::top()).join("polis"));
    tar(dir.path())
}

fn all_refused(tools: Tools, cases: &[Case]) {
    for (name, spoil, message) in cases {
        for mut machine in machines(&[tools]) {
            spoil(&mut machine);
            let output = machine.install();
            let seen = machine.seen(&output);
            assert_eq!(output.status.code(), Some(1), "{name}: {seen}");
            assert!(
                seen.contains("error: ") && seen.contains(message),
                "{name}: {seen}"
            );
            assert!(
                seen.ends_with("note: nothing was installed or changed\n"),
                "{name}: {seen}"
            );
            machine.assert_unchanged(name);
        }
    }
}

#[test]
fn what_is_served_wrong_is_refused_with_minisign() {
    all_refused(DASH, &SERVED);
}

#[test]
fn what_is_served_wrong_is_refused_with_openssl() {
    all_refused(BASH, &SERVED);
}

#[test]
fn what_is_served_wrong_is_refused_with_busybox() {
    all_refused(BUSYBOX, &SERVED);
}

#[test]
fn what_is_served_wrong_is_refused_with_zsh_and_wget() {
    all_refused(ZSH, &SERVED);
}

#[test]
fn what_is_packed_wrong_is_refused() {
    all_refused(DASH, &PACKED);
    all_refused(BUSYBOX, &PACKED);
}

#[test]
fn what_the_machine_lacks_is_said() {
    all_refused(DASH, &LOCAL);
    // Not in busybox: its shell runs its own uname and tar, whatever PATH holds.
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
        (DASH, "sha256sum", "no program here computes SHA-256"),
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
    // Programs of the name that cannot do it: macOS, an older system, one in FIPS mode.
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
fn a_word_that_it_does_not_know_is_a_matter_of_usage() {
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

/// As another user where we are root, whom no mode stops.
#[test]
fn a_directory_that_is_not_ours_is_refused() {
    for machine in machines(&[DASH, BUSYBOX]) {
        let root = fs::metadata("/proc/self")
            .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        fs::set_permissions(machine.path("tmp"), fs::Permissions::from_mode(0o777)).unwrap();
        fs::set_permissions(
            machine.path("home/.local/bin"),
            fs::Permissions::from_mode(0o555),
        )
        .unwrap();
        let server = machine.serve();
        let own = machine.command(&server);
        let output = if root {
            let Some(setpriv) = real_part("setpriv") else {
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

/// A file system of 64 KiB that holds the old program and has no room for the new one.
#[test]
fn a_full_disk_leaves_the_old_program() {
    let Some(unshare) = real_part("unshare") else {
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
