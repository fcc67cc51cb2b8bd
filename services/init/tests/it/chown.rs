//! `chown` on real trees, with the capabilities that the compose file grants.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{POLIS_INIT, Ran, command, have, have_program, run};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

const OWNER: &str = "65532:65532";
const OURS: (u32, u32) = (65532, 65532);

/// Changing owners requires root.
fn root() -> bool {
    have("root", rustix::process::geteuid().is_root())
}

/// A scratch directory, with `tree` to be changed and `outside` that must never be.
fn fixture() -> (TempDir, PathBuf, PathBuf) {
    let fixture = tempfile::tempdir().expect("a temporary directory");
    let (tree, outside) = (fixture.path().join("tree"), fixture.path().join("outside"));
    for file in [&tree, &outside].map(|directory| directory.join("file")) {
        fs::create_dir(file.parent().expect("a parent")).expect("mkdir");
        fs::write(file, "x").expect("write");
    }
    (fixture, tree, outside)
}

fn owner(path: &Path) -> (u32, u32) {
    let metadata =
        fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (metadata.uid(), metadata.gid())
}

fn chown_all(path: &Path) -> Ran {
    run(command(POLIS_INIT).args(["chown", "-R", OWNER]).arg(path))
}

/// Runs as root with only the capabilities of this `setpriv` list, as an init container does.
fn chown_with(capabilities: &str, path: &Path) -> Ran {
    let mut setpriv = command("setpriv");
    setpriv
        .arg(format!("--bounding-set={capabilities}"))
        .arg(format!("--inh-caps={capabilities}"));
    run(setpriv.args([POLIS_INIT, "chown", "-R", OWNER]).arg(path))
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

#[test]
fn a_tree_is_changed_completely_and_only_once() {
    if !root() {
        return;
    }
    let (_dir, tree, outside) = fixture();
    fs::create_dir_all(tree.join("a/b/c")).expect("mkdir");
    fs::write(tree.join("a/b/c/deep"), "x").expect("write");
    fs::write(tree.join("a/line\nbreak"), "x").expect("write");

    let first = chown_all(&tree);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(
        first.stdout,
        "polis-init: chown 65532:65532: 7 set, 0 already right\n"
    );
    for path in [
        "",
        "file",
        "a",
        "a/b",
        "a/b/c",
        "a/b/c/deep",
        "a/line\nbreak",
    ] {
        assert_eq!(owner(&tree.join(path)), OURS, "{path:?}");
    }
    assert_eq!(owner(&outside), (0, 0));

    let changed_at = |path: &str| {
        fs::metadata(tree.join(path))
            .map(|m| (m.ctime(), m.ctime_nsec()))
            .expect("stat")
    };
    let before = (changed_at(""), changed_at("a/b/c/deep"));
    let second = chown_all(&tree);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(
        second.stdout,
        "polis-init: chown 65532:65532: 0 set, 7 already right\n"
    );
    assert_eq!(
        (changed_at(""), changed_at("a/b/c/deep")),
        before,
        "a second run writes nothing"
    );
}

#[test]
fn a_wide_tree_is_changed_completely() {
    if !root() {
        return;
    }
    // More subdirectories than the walk records at a time, and more files than it reads at a time and gives to one thread.
    let (_dir, tree, _outside) = fixture();
    let mut paths = vec![tree.clone(), tree.join("file")];
    for number in 0..100 {
        let directory = tree.join(format!("directory-{number}"));
        fs::create_dir(&directory).expect("mkdir");
        fs::write(directory.join("file"), "x").expect("write");
        paths.extend([directory.join("file"), directory]);
    }
    for number in 0..5000 {
        let file = tree.join(format!("file-{number}"));
        fs::write(&file, "x").expect("write");
        paths.push(file);
    }

    let ran = chown_all(&tree);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "polis-init: chown 65532:65532: 5202 set, 0 already right\n"
    );
    // Wrong owners scattered among right ones: every 40th, then every third.
    for (step, other) in [(40, 1), (3, 2)] {
        for path in paths.iter().step_by(step) {
            lchown(path, Some(other), Some(other)).expect("chown");
        }
        let ran = chown_all(&tree);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for path in &paths {
            assert_eq!(owner(path), OURS, "{path:?}");
        }
    }
    let last = chown_all(&tree);
    assert_eq!(
        last.stdout,
        "polis-init: chown 65532:65532: 0 set, 5202 already right\n"
    );
}

#[test]
fn a_directory_too_deep_to_open_is_reported_and_the_rest_is_changed() {
    if !root() {
        return;
    }
    let (_dir, tree, _outside) = fixture();
    let bottom = tree.join("d/".repeat(30));
    fs::create_dir_all(&bottom).expect("mkdir");

    // The walk holds one open file per level.
    let mut shell = command("sh");
    shell.args(["-c", "ulimit -n 16 && exec \"$0\" \"$@\"", POLIS_INIT]);
    let ran = run(shell.args(["chown", "-R", OWNER]).arg(&tree));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let (named, _) = ran.stderr.split_once('\n').expect("a line");
    assert!(
        named.starts_with(&format!("polis-init: \"{}/d/", tree.display()))
            && named.contains("\": open directory: ")
            && named.ends_with("(os error 24)"),
        "{named}"
    );
    assert!(ran.stderr.contains(": 1 failed, "), "{}", ran.stderr);
    for changed in ["", "file", "d"] {
        assert_eq!(owner(&tree.join(changed)), OURS, "{changed:?}");
    }
    assert_eq!(owner(&bottom), (0, 0));
}

#[test]
fn without_r_only_the_named_path_changes() {
    if !root() {
        return;
    }
    let (_dir, tree, _outside) = fixture();
    let ran = run(command(POLIS_INIT).args(["chown", OWNER]).arg(&tree));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((owner(&tree), owner(&tree.join("file"))), (OURS, (0, 0)));
}

#[test]
fn links_are_changed_but_never_followed() {
    if !root() {
        return;
    }
    let (fixture, tree, outside) = fixture();
    symlink(&outside, tree.join("to-directory")).expect("symlink");
    symlink(outside.join("file"), tree.join("to-file")).expect("symlink");
    symlink("nowhere", tree.join("dangling")).expect("symlink");

    let ran = chown_all(&tree);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for link in ["to-directory", "to-file", "dangling"] {
        assert_eq!(owner(&tree.join(link)), OURS, "{link}");
    }
    assert_eq!(
        (owner(&outside), owner(&outside.join("file"))),
        ((0, 0), (0, 0))
    );

    // Given on the command line, also with a trailing slash, which would make the kernel follow it.
    for (name, suffix) in [("plain", ""), ("slash", "/")] {
        let link = fixture.path().join(name);
        symlink(&outside, &link).expect("symlink");
        let ran = chown_all(Path::new(&format!("{}{suffix}", link.display())));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(owner(&link), OURS, "{name}");
    }
    assert_eq!(
        (owner(&outside), owner(&outside.join("file"))),
        ((0, 0), (0, 0))
    );
}

#[test]
fn a_link_swapped_in_during_the_walk_leads_nowhere() {
    if !root() {
        return;
    }
    let (fixture, tree, outside) = fixture();
    let (inside, link) = (tree.join("swapped"), fixture.path().join("link"));
    fs::create_dir(&inside).expect("mkdir");
    fs::write(inside.join("file"), "x").expect("write");
    symlink(&outside, &link).expect("symlink");

    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, &inside, CWD, &link, RenameFlags::EXCHANGE).expect("exchange");
            }
        });
        for _ in 0..300 {
            let ran = chown_all(&tree);
            let trespassed = owner(&outside) != (0, 0) || owner(&outside.join("file")) != (0, 0);
            if ran.code != Some(0) || trespassed {
                done.store(true, Ordering::Relaxed);
            }
            assert_eq!(ran.code, Some(0), "{ran:?}");
            assert!(!trespassed, "the walk left its tree");
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn every_failing_path_is_reported_and_the_rest_is_changed() {
    if !root() || !have_program("setpriv", "util-linux") {
        return;
    }
    let (_dir, tree, _outside) = fixture();
    fs::create_dir(tree.join("a")).expect("mkdir");
    fs::write(tree.join("a/one"), "x").expect("write");
    fs::write(tree.join("a/two"), "x").expect("write");
    lchown(tree.join("a/one"), Some(65532), Some(65532)).expect("chown");

    let ran = chown_with("-chown", &tree);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let mut lines: Vec<&str> = ran.stderr.lines().collect();
    let end = lines.split_off(4);
    lines.sort_unstable();
    let mut expected: Vec<String> = ["a/two", "a", "file", ""]
        .map(|path| {
            format!(
                "polis-init: {:?}: chown: Operation not permitted (os error 1)",
                tree.join(path)
            )
        })
        .map(|line| line.replace("/\":", "\":"))
        .into();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(
        end,
        [
            "polis-init: chown 65532:65532: 4 failed, 0 set, 1 already right",
            "polis-init: likely cause: this container lacks the capability CHOWN (compose: cap_add)",
        ]
    );
}

#[test]
fn a_missing_path_does_not_stop_the_next_one() {
    if !root() {
        return;
    }
    let (_dir, tree, _outside) = fixture();
    let ran = run(command(POLIS_INIT)
        .args(["chown", "-R", OWNER, "/nowhere/at/all"])
        .arg(&tree));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr
            .contains("\"/nowhere/at/all\": open: No such file or directory"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("1 failed, 2 set"), "{}", ran.stderr);
    assert_eq!(owner(&tree.join("file")), OURS);
}

#[test]
fn a_private_tree_of_root_needs_only_the_chown_capability() {
    if !root() || !have_program("setpriv", "util-linux") {
        return;
    }
    let (_dir, tree, _outside) = fixture();
    fs::create_dir_all(tree.join("a/b")).expect("mkdir");
    for path in ["a/b", "a", ""] {
        set_mode(&tree.join(path), 0o700);
    }
    // The parent directory must stay accessible to root without capabilities.
    let ran = chown_with("-all,+chown", &tree);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "polis-init: chown 65532:65532: 4 set, 0 already right\n"
    );
}

#[test]
fn an_unreadable_directory_is_reported_with_the_missing_capability() {
    if !root() || !have_program("setpriv", "util-linux") {
        return;
    }
    let (_dir, tree, _outside) = fixture();
    let private = tree.join("private");
    fs::create_dir(&private).expect("mkdir");
    set_mode(&private, 0o700);
    lchown(&private, Some(65532), Some(65532)).expect("chown");

    let ran = chown_with("-all,+chown", &tree);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let named =
        format!("polis-init: {private:?}: open directory: Permission denied (os error 13)\n");
    assert!(ran.stderr.starts_with(&named), "{}", ran.stderr);
    assert!(
        ran.stderr
            .ends_with("this container lacks the capability DAC_OVERRIDE (compose: cap_add)\n"),
        "{}",
        ran.stderr
    );
    assert_eq!(owner(&tree.join("file")), OURS);

    let ran = chown_with("-all,+chown,+dac_override", &tree);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}
