//! `polis cp` in both directions, with the real scripts and the real tar, on both of Multipass's routes.

mod failed;

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use fake_multipass::{Ran, Sandbox};

use crate::support::{document, running};

/// How Multipass receives its input, and whether it is Multipass for Windows.
const ROUTES: [(&str, bool); 2] = [("pipe", false), ("file", true)];

/// A sandbox in which Multipass receives files this way.
pub(crate) fn sandbox(windows: bool) -> Sandbox {
    let sandbox = running();
    sandbox.set(|state| state.windows = windows);
    sandbox
}

pub(crate) fn cp(sandbox: &Sandbox, route: &str, source: &str, destination: &str) -> Ran {
    let args = ["cp", source, destination];
    sandbox.polis_with(&args, &[("POLIS_DELIVERY", route)])
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path)
        .expect("a file")
        .permissions()
        .mode()
        & 0o7777
}

pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::create_dir_all(path.parent().expect("a file")).expect("a file");
    fs::write(path, bytes).expect("a file");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a file");
}

/// A tree with every kind of entry and mode that a copy preserves.
fn plant(top: &Path) {
    let binary: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    write(&top.join("bin ary"), &binary, 0o640);
    write(&top.join("sub/run.sh"), b"#!/bin/sh\r\n\0\xff", 0o755);
    write(&top.join("sub/.hidden"), b"", 0o600);
    write(&top.join("-rf"), b"x", 0o444);
    write(
        &top.join(Path::new(std::ffi::OsStr::from_bytes(b"\xff\n\x1b"))),
        b"y",
        0o644,
    );
    write(
        &top.join("l".repeat(200)).join("n".repeat(200)),
        b"z",
        0o644,
    );
    fs::create_dir_all(top.join("empty")).expect("a file");
    fs::set_permissions(top.join("empty"), Permissions::from_mode(0o555)).expect("a file");
    symlink("../bin ary", top.join("sub/up")).expect("a file");
    symlink("sub/nowhere", top.join("dangling")).expect("a file");
    symlink(".", top.join("self")).expect("a file");
    symlink(format!("{0}/{0}", "l".repeat(100)), top.join("longlink")).expect("a file");
    fs::set_permissions(top.join("sub"), Permissions::from_mode(0o710)).expect("a file");
    fs::set_permissions(top, Permissions::from_mode(0o555)).expect("a file");
}

/// Every path below `top`, with its kind, mode and content.
fn tree(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::new()];
    while let Some(below) = left.pop() {
        let path = top.join(&below);
        let data = fs::symlink_metadata(&path).expect("a file");
        let content = match () {
            () if data.is_symlink() => {
                format!("-> {}", fs::read_link(&path).expect("a file").display())
            }
            () if data.is_dir() => {
                let entries = fs::read_dir(&path).expect("a file");
                left.extend(entries.map(|entry| below.join(entry.expect("a file").file_name())));
                "directory".to_owned()
            }
            () => format!(
                "{:?}",
                polis_base::Digest::of(&fs::read(&path).expect("a file"))
            ),
        };
        found.push(format!(
            "{below:?} {:o} {content}",
            data.permissions().mode()
        ));
    }
    found.sort();
    found
}

/// The names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a file");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.expect("a file").file_name();
        name.to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

/// Asserts that a copy left nothing in the VM or in the state directory.
pub(crate) fn is_tidy(sandbox: &Sandbox) {
    let ubuntu = names(&sandbox.guest().path("/home/ubuntu"));
    let left = ubuntu.iter().find(|name| name.contains("polis-copy"));
    assert_eq!(left, None);
    assert_eq!(names(&sandbox.home().join(".local/state/polis")), ["lock"]);
    assert_eq!(sandbox.refused(), [""; 0]);
}

#[test]
fn a_tree_survives_the_round_trip() {
    for (route, windows) in ROUTES {
        let sandbox = sandbox(windows);
        let home = sandbox.home();
        plant(&home.join("tree"));
        let ran = cp(&sandbox, route, "tree", "workspace:");
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        assert_eq!(ran.stderr, "");
        let text = "Copied 10 files (781.3 KiB) to workspace:/home/polis/tree\n";
        assert_eq!(ran.stdout, text);
        let inside = sandbox.guest().path("/home/polis/tree");
        assert_eq!(tree(&inside), tree(&home.join("tree")));

        let ran = cp(&sandbox, route, "workspace:tree", "back");
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        assert_eq!(ran.stdout, "Copied 10 files (781.3 KiB) to back\n");
        assert_eq!(tree(&home.join("back")), tree(&home.join("tree")));
        assert_eq!(names(&home), [".local", "back", "tree"]);
        assert_eq!(names(&sandbox.guest().path("/home/polis")), ["tree"]);
        is_tidy(&sandbox);
    }
}

#[test]
fn a_destination_is_a_directory_or_a_new_name() {
    let sandbox = sandbox(false);
    let home = sandbox.home();
    write(&home.join("file"), b"new", 0o644);
    write(&home.join("dir/x"), b"x", 0o644);
    let guest = |path: &str| sandbox.guest().path("/home/polis").join(path);
    fs::create_dir_all(guest("there")).unwrap();
    write(&guest("old"), b"old", 0o600);
    symlink("old", guest("link")).unwrap();
    // Source, destination, exit code, and the resulting path.
    for (source, to, code, at) in [
        ("file", "there", 0, "there/file"),
        ("file", "there/", 0, "there/file"),
        ("file", "/home/polis/there/name", 0, "there/name"),
        ("file", "old", 0, "old"),
        ("file", "missing/", 2, ""),
        ("file", "missing/name", 2, ""),
        ("file", "link", 2, ""),
        ("dir", "there", 0, "there/dir"),
        ("dir/", "made/", 0, "made"),
        ("dir", "old", 2, ""),
        ("dir", "there", 2, ""),
        ("dir", "link", 2, ""),
        ("nothing", "there", 2, ""),
        ("..", "there", 2, ""),
    ] {
        let ran = cp(&sandbox, "pipe", source, &format!("workspace:{to}"));
        assert_eq!(ran.code, Some(code), "{source} {to}: {}", ran.seen());
        if code == 0 {
            let said = format!(" to workspace:/home/polis/{at}\n");
            assert!(ran.stdout.ends_with(&said), "{}", ran.seen());
            let at = guest(at);
            let file = if at.is_dir() { at.join("x") } else { at };
            assert!(file.is_file(), "{}", file.display());
        }
    }
    assert_eq!(fs::read(guest("old")).unwrap(), b"new");
    assert_eq!(fs::read_link(guest("link")).unwrap(), Path::new("old"));
    assert_eq!(names(&guest("there")), ["dir", "file", "name"]);
    assert_eq!(names(&guest("")), ["link", "made", "old", "there"]);
    is_tidy(&sandbox);
}

#[test]
fn a_local_destination_is_a_directory_or_a_new_name() {
    let sandbox = sandbox(false);
    let home = sandbox.home();
    let guest = |path: &str| sandbox.guest().path("/home/polis").join(path);
    write(&guest("file"), b"new", 0o751);
    write(&guest("dir/x"), b"x", 0o644);
    symlink("dir", guest("link")).unwrap();
    fs::create_dir(home.join("there")).unwrap();
    write(&home.join("old"), b"old", 0o600);
    symlink("old", home.join("link")).unwrap();
    for (source, to, code, at) in [
        ("file", "there", 0, "there/file"),
        ("file", "there/", 0, "there/file"),
        ("/home/polis/file", "there/name", 0, "there/name"),
        ("file", "old", 0, "old"),
        ("file", "missing/", 2, ""),
        ("file", "missing/name", 2, ""),
        ("file", "link", 2, ""),
        ("dir", "there", 0, "there/dir"),
        ("dir/", "made/", 0, "made"),
        ("link", "followed", 0, "followed"),
        ("dir", "old", 2, ""),
        ("dir", "there", 2, ""),
        ("nothing", "there", 2, ""),
        ("dir/..", "there", 2, ""),
        ("/", "there", 2, ""),
    ] {
        let ran = cp(&sandbox, "pipe", &format!("workspace:{source}"), to);
        assert_eq!(ran.code, Some(code), "{source} {to}: {}", ran.seen());
        if code == 0 {
            assert!(
                ran.stdout.ends_with(&format!(" to {at}\n")),
                "{}",
                ran.seen()
            );
            let at = home.join(at);
            let file = if at.is_dir() { at.join("x") } else { at };
            assert!(file.is_file(), "{}", file.display());
        }
    }
    assert_eq!(
        (fs::read(home.join("old")).unwrap(), mode(&home.join("old"))),
        (b"new".to_vec(), 0o751)
    );
    assert_eq!(names(&home.join("there")), ["dir", "file", "name"]);
    assert_eq!(
        names(&home),
        [".local", "followed", "link", "made", "old", "there"]
    );
    is_tidy(&sandbox);
}

type Make = fn(&Path);

#[test]
fn special_files_are_refused_in_both_directions() {
    let sandbox = sandbox(false);
    let home = sandbox.home();
    let odd: [(&str, Make); 5] = [
        ("absolute", |dir| {
            symlink("/etc/passwd", dir.join("x")).unwrap()
        }),
        ("out", |dir| symlink("../../x", dir.join("x")).unwrap()),
        ("round", |dir| symlink("s/../../x", dir.join("x")).unwrap()),
        ("socket", |dir| {
            drop(std::os::unix::net::UnixListener::bind(dir.join("x")).unwrap());
        }),
        ("pipe", |dir| {
            let mode = rustix::fs::Mode::from_raw_mode(0o644);
            rustix::fs::mknodat(
                rustix::fs::CWD,
                dir.join("x"),
                rustix::fs::FileType::Fifo,
                mode,
                0,
            )
            .unwrap();
        }),
    ];
    for (name, make) in odd {
        let inside = sandbox
            .guest()
            .path("/home/polis")
            .join(format!("from-{name}"));
        for dir in [home.join(name), inside] {
            fs::create_dir_all(dir.join("s")).unwrap();
            make(&dir);
        }
        let ran = cp(&sandbox, "pipe", name, "workspace:");
        assert_eq!(ran.code, Some(2), "{name}: {}", ran.seen());
        assert!(
            ran.stderr.contains(&format!("{name}/x` cannot be copied")),
            "{}",
            ran.seen()
        );
        assert!(!sandbox.guest_has(&format!("/home/polis/{name}")));
        let ran = cp(&sandbox, "pipe", &format!("workspace:from-{name}"), "here");
        assert!(matches!(ran.code, Some(2 | 10)), "{name}: {}", ran.seen());
        assert!(
            ran.stderr.contains(&format!("from-{name}/x")),
            "{}",
            ran.seen()
        );
    }
    assert!(!home.join("here").exists());
    is_tidy(&sandbox);
}

#[test]
fn a_copy_drops_setuid_bits_and_owners() {
    let sandbox = sandbox(false);
    let home = sandbox.home();
    write(&home.join("in"), b"x", 0o6755);
    write(&sandbox.guest().path("/home/polis/out"), b"x", 0o7777);
    for (source, to) in [("in", "workspace:"), ("workspace:out", ".")] {
        assert_eq!(cp(&sandbox, "pipe", source, to).code, Some(0));
    }
    let ran = sandbox.polis(&["cp", "--root", "in", "workspace:as-root"]);
    let said = "Copied 1 file (1 B) to workspace:/root/as-root\n";
    assert_eq!(ran.stdout, said, "{}", ran.seen());
    assert_eq!(mode(&sandbox.guest().path("/root/as-root")), 0o755);
    let users = sandbox.all_calls().into_iter().map(|call| call.line());
    let users = users.filter(|line| line.starts_with("docker compose exec -T --user "));
    let users: Vec<String> = users
        .map(|line| line.split(' ').nth(5).unwrap().to_owned())
        .collect();
    assert_eq!(users, ["polis", "polis", "root"]);
    let ran = sandbox.polis_on_xterm(&["cp", "in", "workspace:shown"]);
    let text = "Copied 1 file (1 B) to workspace:/home/polis/shown";
    assert!(ran.stdout.contains(text), "{}", ran.seen());
    assert!(ran.stdout.contains("Copying"), "{}", ran.seen());
    assert_eq!(mode(&sandbox.guest().path("/home/polis/in")), 0o755);
    assert_eq!(mode(&home.join("out")), 0o777);
}

#[test]
fn ten_thousand_files_are_copied_in_both_directions() {
    let sandbox = sandbox(false);
    let home = sandbox.home();
    for number in 0..10_000 {
        write(
            &home.join(format!("many/{}/{number}", number % 100)),
            number.to_string().as_bytes(),
            0o644,
        );
    }
    let result =
        |source, to| document(&sandbox.polis(&["cp", "--json", source, to]))["result"].clone();
    let went = result("many", "workspace:there");
    let expected = serde_json::json!({"files": 10_000, "bytes": 38_890, "destination": "workspace:/home/polis/there"});
    assert_eq!(went, expected);
    let came = result("workspace:there", "back");
    assert_eq!(
        (&came["files"], &came["destination"]),
        (&10_000.into(), &"back".into())
    );
    assert_eq!(tree(&home.join("back")), tree(&home.join("many")));
    let ran = sandbox.polis_with(
        &["cp", "workspace:there", "more"],
        &[("POLIS_COPY_ENTRIES", "10000")],
    );
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert!(ran.stderr.contains("`copy-entries`"), "{}", ran.seen());
    let ran = sandbox.polis_with(
        &["cp", "many", "workspace:more"],
        &[("POLIS_COPY_SIZE", "37K")],
    );
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    assert!(ran.stderr.contains("`copy-size`"), "{}", ran.seen());
    let small = [("POLIS_COPY_SIZE", "1K"), ("POLIS_COPY_ENTRIES", "10")];
    let ran = sandbox.polis_with(&["cp", "workspace:there", "more"], &small);
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert!(
        ran.stderr.contains("it is larger than 1.0 KiB"),
        "{}",
        ran.seen()
    );
    assert!(!home.join("more").exists() && !sandbox.guest_has("/home/polis/more"));
    is_tidy(&sandbox);
}
