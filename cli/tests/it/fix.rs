//! `doctor --fix`. Each test creates a problem, fixes it, and checks that it is gone and that other files are untouched.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fake_multipass::{Power, Sandbox};
use serde_json::Value;

use crate::support::{document, running};

fn state(sandbox: &Sandbox) -> PathBuf {
    sandbox.home().join(".local/state/polis")
}

/// The problems that `doctor --fix` finds, each with whether it was fixed.
fn fixes(sandbox: &Sandbox, args: &[&str]) -> Vec<(String, bool)> {
    let ran = sandbox.polis(&[&["doctor", "--fix", "--json"], args].concat());
    let document = document(&ran);
    let fixes = document["result"]["fixes"].as_array();
    let fixes = fixes.unwrap_or_else(|| panic!("{}", ran.seen()));
    let one = |fix: &Value| {
        let what = fix["what"].as_str().unwrap_or_default();
        let what = what.replace(&sandbox.dir().display().to_string(), "[SANDBOX]");
        (what, fix["mended"] == true)
    };
    fixes.iter().map(one).collect()
}

/// Asserts that `expected` is in the only problem found, which is left alone without consent, and fixed with it.
fn fixes_with_consent(sandbox: &Sandbox, args: &[&str], expected: &str) {
    sandbox.polis(&["doctor"]);
    let unasked = fixes(sandbox, args);
    assert_eq!(unasked.len(), 1, "{unasked:?}");
    assert!(
        unasked[0].0.contains(expected) && !unasked[0].1,
        "{unasked:?}"
    );
    let yes = [args, &["--yes"]].concat();
    let fixed = fixes(sandbox, &yes);
    assert_eq!(fixed, [(unasked[0].0.clone(), true)]);
    assert_eq!(fixes(sandbox, &yes), []);
}

fn old(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file")).expect("a file");
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("a file");
    age(path);
}

fn age(path: &Path) {
    let then = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    File::open(path)
        .expect("a file")
        .set_modified(then)
        .expect("a file");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn without_problems_nothing_is_fixed() {
    let sandbox = running();
    assert_eq!(fixes(&sandbox, &["--yes"]), []);
    assert_eq!(sandbox.mutations(), [""; 0]);
    let ran = sandbox.polis(&["doctor", "--fix"]);
    assert!(
        ran.stdout.ends_with("There is nothing to fix.\n"),
        "{}",
        ran.seen()
    );
    // Without `--fix`, the report does not mention fixes.
    let ran = sandbox.polis(&["doctor", "--json"]);
    assert_eq!(document(&ran)["result"]["fixes"], Value::Null);
    assert_eq!(sandbox.polis(&["doctor", "--yes"]).code, Some(2));
}

#[test]
fn files_that_others_can_read_are_made_private() {
    let sandbox = running();
    let dir = state(&sandbox);
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    fixes_with_consent(
        &sandbox,
        &[],
        "[SANDBOX]/home/.local/state/polis`: remove their access",
    );
    assert_eq!(mode(&dir), 0o700);
    let key = dir.join("ssh_key");
    fs::write(&key, "secret").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    // The target of a link is not polis's file.
    let other = sandbox.home().join("other");
    fs::write(&other, "x").unwrap();
    symlink(&other, dir.join("link")).unwrap();
    fixes_with_consent(&sandbox, &[], "polis/ssh_key`");
    assert_eq!(
        (mode(&key), fs::read(&key).unwrap()),
        (0o600, b"secret".to_vec())
    );
    assert_ne!(mode(&other) & 0o077, 0);
    // The directory of another workspace.
    let two = dir.join("workspaces/two");
    fs::create_dir_all(&two).unwrap();
    for open in [dir.join("workspaces"), two.clone()] {
        fs::set_permissions(open, Permissions::from_mode(0o700)).unwrap();
    }
    fs::set_permissions(&two, Permissions::from_mode(0o750)).unwrap();
    assert_eq!(fixes(&sandbox, &["--yes"]), []);
    fixes_with_consent(&sandbox, &["--name", "two"], "workspaces/two`");
}

#[test]
fn old_leftovers_of_killed_runs_are_removed() {
    let sandbox = running();
    let dir = state(&sandbox);
    for name in [
        "copy-1234",
        "agent keys",
        "bundle.tar",
        "ssh_config.polis-new",
        "ssh_key_new",
    ] {
        old(&dir.join(name), "left");
        fixes_with_consent(&sandbox, &[], &format!("polis/{name}`: remove it"));
        assert!(!dir.join(name).exists());
    }
    // A recent temporary file, the user's own file, a file to keep, and a folder.
    for name in ["copy-9", "ssh_key", "notes", "sync-x.git/config"] {
        old(&dir.join(name), "kept");
    }
    let now = SystemTime::now();
    File::open(dir.join("copy-9"))
        .unwrap()
        .set_modified(now)
        .unwrap();
    age(&dir.join("sync-x.git"));
    assert_eq!(fixes(&sandbox, &["--yes"]), []);
    for name in ["copy-9", "ssh_key", "notes", "sync-x.git/config"] {
        assert_eq!(fs::read(dir.join(name)).unwrap(), b"kept", "{name}");
    }
}

#[test]
fn the_include_line_for_openssh_is_corrected() {
    let sandbox = running();
    let (dir, config) = (state(&sandbox), sandbox.home().join(".ssh/config"));
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    let path = dir.display();
    let old_line = format!("Include \"{path}/ssh_config\"\n");
    let line = format!("Include \"{path}/ssh_config\" \"{path}/workspaces/*/ssh_config\"\n");
    old(&dir.join("ssh_config"), "Host polis\n");
    for (text, expected) in [
        (
            format!("Host a\n  User b\n{line}"),
            format!("{line}Host a\n  User b\n"),
        ),
        (format!("{old_line}Host a\n"), format!("{line}Host a\n")),
        (format!("{line}Host a\n{line}"), format!("{line}Host a\n")),
    ] {
        fs::write(&config, text).unwrap();
        fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
        fixes_with_consent(&sandbox, &[], "correct it");
        assert_eq!(fs::read_to_string(&config).unwrap(), expected);
    }
    // The line is not added for a user who did not install it.
    fs::write(&config, "Host a\n").unwrap();
    assert_eq!(fixes(&sandbox, &["--yes"]), []);
    // Without any workspace, the line includes nothing.
    fs::remove_file(dir.join("ssh_config")).unwrap();
    fs::write(&config, format!("{line}Host a\n")).unwrap();
    fixes_with_consent(&sandbox, &[], "remove it");
    assert_eq!(fs::read_to_string(&config).unwrap(), "Host a\n");
}

#[test]
fn leftovers_of_killed_runs_in_the_vm_are_removed() {
    let sandbox = running();
    let left = [
        "/home/ubuntu/.polis-runs/polis-1-2/stdout",
        "/home/ubuntu/.polis-copy-1.tar",
        "/opt/polis/.incoming-echo.keys",
    ];
    let kept = [
        "/home/ubuntu/.polis-copy-2.tar",
        "/home/ubuntu/mine",
        "/opt/polis/.pull.log",
    ];
    for path in left.iter().chain(&kept) {
        old(&sandbox.guest().path(path), "x");
    }
    age(&sandbox.guest().path("/home/ubuntu/.polis-runs/polis-1-2"));
    let fresh = File::open(sandbox.guest().path(kept[0])).unwrap();
    fresh.set_modified(SystemTime::now()).unwrap();
    fixes_with_consent(&sandbox, &[], "left 3 files or folders in the VM");
    for path in left {
        assert!(!sandbox.guest_has(path), "{path}");
    }
    for path in kept {
        assert!(sandbox.guest_has(path), "{path}");
    }
    // polis does not enter a stopped VM, which would start it.
    old(&sandbox.guest().path(left[1]), "x");
    sandbox.set_instance(|instance| instance.power = Power::Stopped);
    sandbox.forget_calls();
    assert_eq!(fixes(&sandbox, &["--yes"]), []);
    assert!(sandbox.calls_of("exec").is_empty());
    assert_eq!(sandbox.power(), Some(Power::Stopped));
}

#[test]
fn each_fix_needs_confirmation() {
    if !Path::new("/usr/bin/script").exists() {
        return;
    }
    let sandbox = running();
    let dir = state(&sandbox);
    old(&dir.join("copy-1"), "left");
    old(&dir.join("copy-2"), "left");
    let ran = sandbox.polis_on_terminal(&["doctor", "--fix"], "n\ny\n");
    assert!(ran.stdout.contains("Fix it? [y/N]"), "{}", ran.seen());
    assert!(
        dir.join("copy-1").exists() && !dir.join("copy-2").exists(),
        "{}",
        ran.seen()
    );
    let ran = sandbox.polis(&["doctor", "--fix"]);
    assert!(
        ran.stdout.ends_with("Next: polis doctor --fix --yes\n"),
        "{}",
        ran.seen()
    );
    assert!(dir.join("copy-1").exists());
}

#[test]
fn a_running_polis_is_not_disturbed() {
    let sandbox = running();
    let dir = state(&sandbox);
    old(&dir.join("copy-1"), "left");
    let lock = File::options().write(true).open(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let ran = sandbox.polis(&["doctor", "--fix", "--yes"]);
    assert_eq!(ran.code, Some(14), "{}", ran.seen());
    assert!(dir.join("copy-1").exists());
}

#[test]
fn leftovers_of_a_killed_update_are_removed() {
    // Its own copy of the program, so that the directory holds nothing else.
    let sandbox = running();
    let program = sandbox.home().join("bin/polis");
    fs::create_dir(sandbox.home().join("bin")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_polis"), &program).unwrap();
    let left = program.with_file_name(".polis-update-new");
    let kept = program.with_file_name(".polis-update-mine");
    for path in [&left, &kept] {
        fs::write(path, "x").unwrap();
    }
    for (args, removed) in [
        (&["doctor", "--fix"][..], false),
        (&["doctor", "--fix", "--yes"], true),
    ] {
        let ran = sandbox.run(&program, args);
        assert!(
            ran.stdout.contains(".polis-update-new`: remove it"),
            "{}",
            ran.seen()
        );
        assert_eq!(left.exists(), !removed, "{}", ran.seen());
    }
    assert!(kept.exists());
    let ran = sandbox.run(&program, &["doctor", "--fix", "--yes"]);
    assert!(
        ran.stdout.contains("There is nothing to fix"),
        "{}",
        ran.seen()
    );
}
