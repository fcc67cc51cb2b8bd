//! `doctor --fix`: each disorder is made first, then mended, then gone; what is not ours or not old stays.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fake_multipass::{Power, World};
use serde_json::Value;

use crate::support::{document, running};

fn state(world: &World) -> PathBuf {
    world.home().join(".local/state/polis")
}

/// What `doctor --fix` finds, and whether it mends it.
fn fixes(world: &World, args: &[&str]) -> Vec<(String, bool)> {
    let ran = world.polis(&[&["doctor", "--fix", "--json"], args].concat());
    let document = document(&ran);
    let fixes = document["result"]["fixes"].as_array();
    let fixes = fixes.unwrap_or_else(|| panic!("{}", ran.seen()));
    let one = |fix: &Value| {
        let what = fix["what"].as_str().unwrap_or_default();
        let what = what.replace(&world.dir().display().to_string(), "[WORLD]");
        (what, fix["mended"] == true)
    };
    fixes.iter().map(one).collect()
}

/// The only disorder is what `expected` is in; it is left alone until somebody agrees, then mended, then gone.
fn mends(world: &World, args: &[&str], expected: &str) {
    world.polis(&["doctor"]);
    let unasked = fixes(world, args);
    assert_eq!(unasked.len(), 1, "{unasked:?}");
    assert!(
        unasked[0].0.contains(expected) && !unasked[0].1,
        "{unasked:?}"
    );
    let yes = [args, &["--yes"]].concat();
    let mended = fixes(world, &yes);
    assert_eq!(mended, [(unasked[0].0.clone(), true)]);
    assert_eq!(fixes(world, &yes), []);
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
fn where_all_is_well_nothing_is_mended() {
    let world = running();
    assert_eq!(fixes(&world, &["--yes"]), []);
    assert_eq!(world.mutations(), [""; 0]);
    let ran = world.polis(&["doctor", "--fix"]);
    assert!(
        ran.stdout.ends_with("There is nothing to fix.\n"),
        "{}",
        ran.seen()
    );
    // Without the option there is nothing about it.
    let ran = world.polis(&["doctor", "--json"]);
    assert_eq!(document(&ran)["result"]["fixes"], Value::Null);
    assert_eq!(world.polis(&["doctor", "--yes"]).code, Some(2));
}

#[test]
fn what_others_can_open_is_closed() {
    let world = running();
    let dir = state(&world);
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    mends(
        &world,
        &[],
        "[WORLD]/home/.local/state/polis`: their access is removed",
    );
    assert_eq!(mode(&dir), 0o700);
    let key = dir.join("ssh_key");
    fs::write(&key, "secret").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    // Not ours: what a link leads to.
    let other = world.home().join("other");
    fs::write(&other, "x").unwrap();
    symlink(&other, dir.join("link")).unwrap();
    mends(&world, &[], "polis/ssh_key`");
    assert_eq!(
        (mode(&key), fs::read(&key).unwrap()),
        (0o600, b"secret".to_vec())
    );
    assert_ne!(mode(&other) & 0o077, 0);
    // A workspace's own directory.
    let two = dir.join("workspaces/two");
    fs::create_dir_all(&two).unwrap();
    for open in [dir.join("workspaces"), two.clone()] {
        fs::set_permissions(open, Permissions::from_mode(0o700)).unwrap();
    }
    fs::set_permissions(&two, Permissions::from_mode(0o750)).unwrap();
    assert_eq!(fixes(&world, &["--yes"]), []);
    mends(&world, &["--name", "two"], "workspaces/two`");
}

#[test]
fn what_killed_runs_have_left_is_removed_once_it_is_old() {
    let world = running();
    let dir = state(&world);
    for name in [
        "copy-1234",
        "agent keys",
        "bundle.tar",
        "ssh_config.polis-new",
        "ssh_key_new",
    ] {
        old(&dir.join(name), "left");
        mends(&world, &[], &format!("polis/{name}`: it is removed"));
        assert!(!dir.join(name).exists());
    }
    // One on its way, the user's own, what is kept, and a folder.
    for name in ["copy-9", "ssh_key", "notes", "sync-x.git/config"] {
        old(&dir.join(name), "kept");
    }
    let now = SystemTime::now();
    File::open(dir.join("copy-9"))
        .unwrap()
        .set_modified(now)
        .unwrap();
    age(&dir.join("sync-x.git"));
    assert_eq!(fixes(&world, &["--yes"]), []);
    for name in ["copy-9", "ssh_key", "notes", "sync-x.git/config"] {
        assert_eq!(fs::read(dir.join(name)).unwrap(), b"kept", "{name}");
    }
}

#[test]
fn the_line_for_openssh_is_put_right() {
    let world = running();
    let (dir, config) = (state(&world), world.home().join(".ssh/config"));
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
        mends(&world, &[], "it is corrected");
        assert_eq!(fs::read_to_string(&config).unwrap(), expected);
    }
    // Who has not asked for the line does not get it.
    fs::write(&config, "Host a\n").unwrap();
    assert_eq!(fixes(&world, &["--yes"]), []);
    // Without any workspace it reads nothing.
    fs::remove_file(dir.join("ssh_config")).unwrap();
    fs::write(&config, format!("{line}Host a\n")).unwrap();
    mends(&world, &[], "it is removed");
    assert_eq!(fs::read_to_string(&config).unwrap(), "Host a\n");
}

#[test]
fn what_killed_runs_have_left_in_the_vm_is_removed() {
    let world = running();
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
        old(&world.guest().path(path), "x");
    }
    age(&world.guest().path("/home/ubuntu/.polis-runs/polis-1-2"));
    let fresh = File::open(world.guest().path(kept[0])).unwrap();
    fresh.set_modified(SystemTime::now()).unwrap();
    mends(&world, &[], "have left 3 files or folders in the VM");
    for path in left {
        assert!(!world.guest_has(path), "{path}");
    }
    for path in kept {
        assert!(world.guest_has(path), "{path}");
    }
    // A VM that does not run is not entered.
    old(&world.guest().path(left[1]), "x");
    world.set_instance(|instance| instance.power = Power::Stopped);
    world.forget_calls();
    assert_eq!(fixes(&world, &["--yes"]), []);
    assert!(world.calls_of("exec").is_empty());
    assert_eq!(world.power(), Some(Power::Stopped));
}

#[test]
fn each_fix_is_asked_for() {
    if !Path::new("/usr/bin/script").exists() {
        return;
    }
    let world = running();
    let dir = state(&world);
    old(&dir.join("copy-1"), "left");
    old(&dir.join("copy-2"), "left");
    let ran = world.polis_on_terminal(&["doctor", "--fix"], "n\ny\n");
    assert!(ran.stdout.contains("Fix it? [y/N]"), "{}", ran.seen());
    assert!(
        dir.join("copy-1").exists() && !dir.join("copy-2").exists(),
        "{}",
        ran.seen()
    );
    let ran = world.polis(&["doctor", "--fix"]);
    assert!(
        ran.stdout.ends_with("Next: polis doctor --fix --yes\n"),
        "{}",
        ran.seen()
    );
    assert!(dir.join("copy-1").exists());
}

#[test]
fn another_polis_at_work_is_not_disturbed() {
    let world = running();
    let dir = state(&world);
    old(&dir.join("copy-1"), "left");
    let lock = File::options().write(true).open(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let ran = world.polis(&["doctor", "--fix", "--yes"]);
    assert_eq!(ran.code, Some(14), "{}", ran.seen());
    assert!(dir.join("copy-1").exists());
}

#[test]
fn what_a_killed_update_has_left_is_removed() {
    // A program of its own, beside which something may lie.
    let world = running();
    let program = world.home().join("bin/polis");
    fs::create_dir(world.home().join("bin")).unwrap();
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
        let ran = world.run(&program, args);
        assert!(
            ran.stdout.contains(".polis-update-new`: it is removed"),
            "{}",
            ran.seen()
        );
        assert_eq!(left.exists(), !removed, "{}", ran.seen());
    }
    assert!(kept.exists());
    let ran = world.run(&program, &["doctor", "--fix", "--yes"]);
    assert!(
        ran.stdout.contains("There is nothing to fix"),
        "{}",
        ran.seen()
    );
}
