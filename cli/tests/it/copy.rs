//! `polis cp`: both ways through the real scripts and the real tar, on both routes that Multipass has.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use expect_test::expect;
use fake_multipass::{Effect, Fault, Power, Ran, World};

use crate::killed::wait_until;
use crate::support::{document, running, seen};

/// How Multipass is handed what it reads, and whether it is the one of Windows.
const ROUTES: [(&str, bool); 2] = [("pipe", false), ("file", true)];

/// A world in which Multipass is handed files this way.
fn world(windows: bool) -> World {
    let world = running();
    world.set(|state| state.windows = windows);
    world
}

fn cp(world: &World, route: &str, source: &str, destination: &str) -> Ran {
    let args = ["cp", source, destination];
    world.polis_with(&args, &[("POLIS_DELIVERY", route)])
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A tree with all that a copy keeps.
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
    fs::create_dir_all(top.join("empty")).unwrap();
    fs::set_permissions(top.join("empty"), Permissions::from_mode(0o555)).unwrap();
    symlink("../bin ary", top.join("sub/up")).unwrap();
    symlink("sub/nowhere", top.join("dangling")).unwrap();
    symlink(".", top.join("self")).unwrap();
    symlink(format!("{0}/{0}", "l".repeat(100)), top.join("longlink")).unwrap();
    fs::set_permissions(top.join("sub"), Permissions::from_mode(0o710)).unwrap();
    fs::set_permissions(top, Permissions::from_mode(0o555)).unwrap();
}

/// Every name below `top` with kind, mode and content.
fn tree(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::new()];
    while let Some(below) = left.pop() {
        let path = top.join(&below);
        let data = fs::symlink_metadata(&path).unwrap();
        let content = match () {
            () if data.is_symlink() => format!("-> {}", fs::read_link(&path).unwrap().display()),
            () if data.is_dir() => {
                let entries = fs::read_dir(&path).unwrap();
                left.extend(entries.map(|entry| below.join(entry.unwrap().file_name())));
                "directory".to_owned()
            }
            () => format!("{:?}", polis_base::Digest::of(&fs::read(&path).unwrap())),
        };
        found.push(format!(
            "{below:?} {:o} {content}",
            data.permissions().mode()
        ));
    }
    found.sort();
    found
}

/// What is in a directory; nothing of ours may be left beside what was copied.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

/// Nothing of a copy is left in the VM or in the state directory.
fn is_tidy(world: &World) {
    let ubuntu = names(&world.guest().path("/home/ubuntu"));
    let left = ubuntu.iter().find(|name| name.contains("polis-copy"));
    assert_eq!(left, None);
    assert_eq!(names(&world.home().join(".local/state/polis")), ["lock"]);
    assert_eq!(world.refused(), [""; 0]);
}

#[test]
fn a_tree_comes_back_as_it_went() {
    for (route, windows) in ROUTES {
        let world = world(windows);
        let home = world.home();
        plant(&home.join("tree"));
        let ran = cp(&world, route, "tree", "workspace:");
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        assert_eq!(ran.stderr, "");
        let text = "Copied 10 files (781.3 KiB) to workspace:/home/polis/tree\n";
        assert_eq!(ran.stdout, text);
        let inside = world.guest().path("/home/polis/tree");
        assert_eq!(tree(&inside), tree(&home.join("tree")));

        let ran = cp(&world, route, "workspace:tree", "back");
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        assert_eq!(ran.stdout, "Copied 10 files (781.3 KiB) to back\n");
        assert_eq!(tree(&home.join("back")), tree(&home.join("tree")));
        assert_eq!(names(&home), [".local", "back", "tree"]);
        assert_eq!(names(&world.guest().path("/home/polis")), ["tree"]);
        is_tidy(&world);
    }
}

#[test]
fn a_destination_is_a_directory_or_a_new_name() {
    let world = world(false);
    let home = world.home();
    write(&home.join("file"), b"new", 0o644);
    write(&home.join("dir/x"), b"x", 0o644);
    let guest = |path: &str| world.guest().path("/home/polis").join(path);
    fs::create_dir_all(guest("there")).unwrap();
    write(&guest("old"), b"old", 0o600);
    symlink("old", guest("link")).unwrap();
    // Source, destination, exit code, where it is then.
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
        let ran = cp(&world, "pipe", source, &format!("workspace:{to}"));
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
    is_tidy(&world);
}

#[test]
fn a_destination_here_is_a_directory_or_a_new_name() {
    let world = world(false);
    let home = world.home();
    let guest = |path: &str| world.guest().path("/home/polis").join(path);
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
        let ran = cp(&world, "pipe", &format!("workspace:{source}"), to);
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
    is_tidy(&world);
}

#[test]
fn what_is_no_part_of_a_copy_is_refused_both_ways() {
    let world = world(false);
    let home = world.home();
    let odd: [(&str, fn(&Path)); 5] = [
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
        let inside = world
            .guest()
            .path("/home/polis")
            .join(format!("from-{name}"));
        for dir in [home.join(name), inside] {
            fs::create_dir_all(dir.join("s")).unwrap();
            make(&dir);
        }
        let ran = cp(&world, "pipe", name, "workspace:");
        assert_eq!(ran.code, Some(2), "{name}: {}", ran.seen());
        assert!(
            ran.stderr.contains(&format!("{name}/x` cannot be copied")),
            "{}",
            ran.seen()
        );
        assert!(!world.guest_has(&format!("/home/polis/{name}")));
        let ran = cp(&world, "pipe", &format!("workspace:from-{name}"), "here");
        assert!(matches!(ran.code, Some(2 | 10)), "{name}: {}", ran.seen());
        assert!(
            ran.stderr.contains(&format!("from-{name}/x")),
            "{}",
            ran.seen()
        );
    }
    assert!(!home.join("here").exists());
    is_tidy(&world);
}

#[test]
fn nothing_runs_as_somebody_else_after_a_copy() {
    let world = world(false);
    let home = world.home();
    write(&home.join("in"), b"x", 0o6755);
    write(&world.guest().path("/home/polis/out"), b"x", 0o7777);
    for (source, to) in [("in", "workspace:"), ("workspace:out", ".")] {
        assert_eq!(cp(&world, "pipe", source, to).code, Some(0));
    }
    let ran = world.polis(&["cp", "--root", "in", "workspace:as-root"]);
    let said = "Copied 1 file (1 B) to workspace:/root/as-root\n";
    assert_eq!(ran.stdout, said, "{}", ran.seen());
    assert_eq!(mode(&world.guest().path("/root/as-root")), 0o755);
    let users = world.all_calls().into_iter().map(|call| call.line());
    let users = users.filter(|line| line.starts_with("docker compose exec -T --user "));
    let users: Vec<String> = users
        .map(|line| line.split(' ').nth(5).unwrap().to_owned())
        .collect();
    assert_eq!(users, ["polis", "polis", "root"]);
    assert_eq!(mode(&world.guest().path("/home/polis/in")), 0o755);
    assert_eq!(mode(&home.join("out")), 0o777);
}

#[test]
fn ten_thousand_files_go_both_ways() {
    let world = world(false);
    let home = world.home();
    for number in 0..10_000 {
        write(
            &home.join(format!("many/{}/{number}", number % 100)),
            number.to_string().as_bytes(),
            0o644,
        );
    }
    let result =
        |source, to| document(&world.polis(&["cp", "--json", source, to]))["result"].clone();
    let went = result("many", "workspace:there");
    let expected = serde_json::json!({"files": 10_000, "bytes": 38_890, "destination": "workspace:/home/polis/there"});
    assert_eq!(went, expected);
    let came = result("workspace:there", "back");
    assert_eq!(
        (&came["files"], &came["destination"]),
        (&10_000.into(), &"back".into())
    );
    assert_eq!(tree(&home.join("back")), tree(&home.join("many")));
    let ran = world.polis_with(
        &["cp", "workspace:there", "more"],
        &[("POLIS_COPY_ENTRIES", "10000")],
    );
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert!(ran.stderr.contains("`copy-entries`"), "{}", ran.seen());
    let ran = world.polis_with(
        &["cp", "many", "workspace:more"],
        &[("POLIS_COPY_SIZE", "37K")],
    );
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    assert!(ran.stderr.contains("`copy-size`"), "{}", ran.seen());
    let small = [("POLIS_COPY_SIZE", "1K"), ("POLIS_COPY_ENTRIES", "10")];
    let ran = world.polis_with(&["cp", "workspace:there", "more"], &small);
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert!(
        ran.stderr.contains("it is larger than 1.0 KiB"),
        "{}",
        ran.seen()
    );
    assert!(!home.join("more").exists() && !world.guest_has("/home/polis/more"));
    is_tidy(&world);
}

#[test]
fn what_goes_wrong_is_said_and_leaves_nothing() {
    let world = world(false);
    let home = world.home();
    write(&home.join("file"), b"content", 0o644);
    write(&world.guest().path("/home/polis/out"), b"content", 0o644);
    expect![[r#"
        exit 2
        --- stderr
        error: neither side is in the workspace
          cause: expected `workspace:PATH` for exactly one of the two
          next: polis cp FILE workspace:   (into its home)
          next: polis cp workspace:FILE .   (out of its home)
    "#]]
    .assert_eq(&seen(&cp(&world, "pipe", "file", "other")));
    expect![[r#"
        exit 2
        --- stderr
        error: `workspace:/home/polis/none` was not copied
          cause: there is no /home/polis/none
    "#]]
    .assert_eq(&seen(&cp(&world, "pipe", "workspace:none", ".")));
    expect![[r#"
        exit 2
        --- stderr
        error: `none` cannot be copied
          cause: No such file or directory (os error 2)
    "#]]
    .assert_eq(&seen(&cp(&world, "pipe", "none", "workspace:")));
    expect![[r#"
        exit 2
        --- stderr
        error: `workspace:/home/polis/no/file` was not copied
          cause: there is no directory /home/polis/no
    "#]]
    .assert_eq(&seen(&cp(&world, "pipe", "file", "workspace:no/file")));
    expect![[r#"
        exit 2
        --- stderr
        error: `no/out` cannot be written
          cause: there is no directory `no`
    "#]]
    .assert_eq(&seen(&cp(&world, "pipe", "workspace:out", "no/out")));

    // What was cut on its way.
    for (to, part) in [("workspace:", "transfer")] {
        world.fault(Fault::of(part, Effect::Cut(700)));
        let ran = cp(&world, "pipe", "file", to);
        assert_eq!(ran.code, Some(10), "{}", ran.seen());
        assert!(
            ran.stderr.contains("did not arrive whole"),
            "{}",
            ran.seen()
        );
    }
    // A full disk of the VM, and a transfer that fails.
    world.set(|state| state.disk_full = true);
    let ran = cp(&world, "pipe", "file", "workspace:");
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    world.set(|state| state.disk_full = false);
    for route in ["pipe", "file"] {
        for (source, to) in [("file", "workspace:"), ("workspace:out", "here")] {
            let stderr = "transfer failed: no\n".to_owned();
            world.fault(Fault::of("transfer", Effect::Exit { code: 2, stderr }));
            let ran = cp(&world, route, source, to);
            assert_eq!(ran.code, Some(10), "{}", ran.seen());
        }
    }
    assert_eq!(names(&home), [".local", "file"]);
    assert_eq!(names(&world.guest().path("/home/polis")), ["out"]);
    is_tidy(&world);

    world.set_instance(|instance| instance.power = Power::Stopped);
    let ran = cp(&world, "pipe", "file", "workspace:");
    assert_eq!(ran.code, Some(13), "{}", ran.seen());
    assert_eq!(world.power(), Some(Power::Stopped));
}

/// Whatever is told to end, and when, the destination is not there, and nothing is left beside it.
#[test]
fn a_copy_that_is_ended_in_the_middle_leaves_nothing() {
    for (route, windows) in ROUTES {
        let world = world(windows);
        let home = world.home();
        let config = home.join(".config/polis/config.toml");
        write(&config, format!("delivery = \"{route}\"").as_bytes(), 0o644);
        write(&home.join("file"), &vec![1; 1 << 20], 0o644);
        write(
            &world.guest().path("/home/polis/out"),
            &vec![1; 1 << 20],
            0o644,
        );
        for (source, to) in [("file", "workspace:in"), ("workspace:out", "here")] {
            for call in ["transfer", "exec"] {
                for killed in [false, true] {
                    world.fault(Fault::of(call, Effect::Hang));
                    let calls = world.calls_of(call).len();
                    let running = world.start_polis(&["cp", source, to]);
                    wait_until(|| world.calls_of(call).len() > calls);
                    match killed {
                        true => running.kill(),
                        false => running.terminate(),
                    }
                    let ran = running.wait();
                    let expected = if killed { None } else { Some(130) };
                    assert_eq!(ran.code, expected, "{call}: {}", ran.seen());
                    assert_eq!(names(&home), [".config", ".local", "file"]);
                    assert_eq!(names(&world.guest().path("/home/polis")), ["out"]);
                    let state = names(&home.join(".local/state/polis"));
                    // Multipass of Windows opens files by their names, so a kill leaves one, which a later copy removes.
                    assert!(state == ["lock"] || windows && killed, "{state:?}");
                    for name in state.iter().filter(|name| *name != "lock") {
                        fs::remove_file(home.join(".local/state/polis").join(name)).unwrap();
                    }
                }
            }
        }
    }
}

/// An entry of an archive as it is written by hand: nothing of it is checked.
fn entry(kind: u8, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    old.linkflag = [kind];
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A header that promises another size than what follows.
fn lying(kind: u8, name: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkflag = [kind];
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Archives of a hostile workspace, each with a part of the reason for which it is refused.
fn hostile() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let dir = || entry(b'5', "x/", "", b"");
    let file = |name: &str| entry(b'0', name, "", b"evil");
    let link = |name: &str, to: &str| entry(b'2', name, to, b"");
    let long = |kind, text: &[u8]| entry(kind, "././@LongLink", "", text);
    let mut broken = file("x/a");
    broken[0] = b'y';
    vec![
        ("absolute", vec![file("/tmp/evil")]),
        ("absolute", vec![dir(), file("/x/evil")]),
        ("`..`", vec![file("../evil")]),
        ("`..`", vec![dir(), file("x/../evil")]),
        ("`..`", vec![dir(), file("x/a/../../../evil")]),
        ("`..`", vec![entry(b'5', "../", "", b"")]),
        ("`..`", vec![entry(b'5', "..", "", b"")]),
        ("`.`", vec![entry(b'5', "./", "", b"")]),
        ("empty", vec![dir(), file("x//evil")]),
        ("empty", vec![dir(), file("x/evil/")]),
        ("outside the copy", vec![dir(), file("evil")]),
        ("outside the copy", vec![file("x"), file("evil")]),
        ("does not come before", vec![dir(), file("x/a/evil")]),
        ("below a file", vec![file("x"), file("x/evil")]),
        ("another entry", vec![dir(), file("x/a"), file("x/a")]),
        ("another entry", vec![dir(), link("x/a", "b"), file("x/a")]),
        ("another entry", vec![file("x"), file("x")]),
        (
            "below a link",
            vec![dir(), link("x/a", "b"), file("x/a/evil")],
        ),
        (
            "leads out",
            vec![dir(), link("x/a", "/tmp"), file("x/a/evil")],
        ),
        ("leads out", vec![dir(), link("x/a", "../..")]),
        ("leads out", vec![dir(), link("x/a", "b/../../..")]),
        ("leads out", vec![dir(), link("x/a", "")]),
        (
            "leads out",
            vec![dir(), long(b'K', b"../../../../tmp\0"), link("x/a", "b")],
        ),
        (
            "no file and no directory",
            vec![link("x", "/tmp"), file("x/evil")],
        ),
        (
            "hard link",
            vec![dir(), entry(b'1', "x/a", "/etc/passwd", b"")],
        ),
        (
            "hard link",
            vec![dir(), file("x/a"), entry(b'1', "x/b", "x/a", b"")],
        ),
        ("neither a file", vec![dir(), entry(b'3', "x/tty", "", b"")]),
        ("neither a file", vec![dir(), entry(b'4', "x/sda", "", b"")]),
        (
            "neither a file",
            vec![dir(), entry(b'6', "x/pipe", "", b"")],
        ),
        (
            "neither a file",
            vec![dir(), entry(b'7', "x/contiguous", "", b"")],
        ),
        ("neither a file", vec![dir(), lying(b'S', "x/sparse", 0)]),
        (
            "neither a file",
            vec![
                dir(),
                entry(b'x', "x/a", "", b"20 path=/tmp/evil12\n"),
                file("x/a"),
            ],
        ),
        (
            "neither a file",
            vec![entry(b'g', "x", "", b"20 path=/tmp/evil12\n"), dir()],
        ),
        ("neither a file", vec![dir(), entry(b'Z', "x/a", "", b"")]),
        (
            "`..`",
            vec![dir(), long(b'L', b"x/../../evil\0"), file("x/a")],
        ),
        ("NUL", vec![dir(), long(b'L', b"x/a\0b\0"), file("x/a")]),
        (
            "longer than",
            vec![dir(), long(b'L', &[b'a'; 5000]), file("x/a")],
        ),
        (
            "there are two",
            vec![long(b'L', b"x\0"), long(b'L', b"x\0"), dir()],
        ),
        ("ends too early", vec![dir(), long(b'L', b"x/a\0")]),
        ("has a content", vec![entry(b'5', "x/", "", b"content")]),
        (
            "has a content",
            vec![dir(), entry(b'2', "x/a", "b", b"content")],
        ),
        ("middle of a file", vec![dir(), lying(b'0', "x/a", 1 << 20)]),
        (
            "middle of a file",
            vec![dir(), lying(b'0', "x/a", u64::MAX >> 1)],
        ),
        ("no archive", vec![dir(), broken]),
        ("no archive", vec![b"not a tar archive at all".to_vec()]),
        ("ends too early", vec![vec![0; 1024]]),
        ("ends too early", vec![]),
        ("deep", vec![long(b'L', &b"x/".repeat(300)), dir()]),
    ]
}

#[test]
fn a_hostile_archive_is_refused_and_leaves_nothing() {
    let world = world(false);
    let home = world.home();
    let tar = world.guest().path("/usr/local/bin/tar");
    write(&tar, b"#!/bin/sh\nexec cat \"$HOME/x/archive\"\n", 0o755);
    fs::create_dir(home.join("dir")).unwrap();
    for (number, (reason, entries)) in hostile().into_iter().enumerate() {
        let mut archive = entries.concat();
        if archive.len() % 512 == 0 && !archive.is_empty() {
            archive.extend([0; 1024]);
        }
        write(
            &world.guest().path("/home/polis/x/archive"),
            &archive,
            0o644,
        );
        let ran = cp(&world, "pipe", "workspace:x", "dir");
        assert_eq!(ran.code, Some(10), "{number} {reason}: {}", ran.seen());
        assert!(
            ran.stderr.contains(reason),
            "{number} {reason}: {}",
            ran.seen()
        );
        assert_eq!(names(&home.join("dir")), [""; 0], "{number} {reason}");
    }
    assert_eq!(names(&home), [".local", "dir"]);
    assert!(!Path::new("/tmp/evil").exists());
    is_tidy(&world);
}

/// A workspace that prints without end is cut off, in the archive and in its words; one that ends with odd codes says nothing.
#[test]
fn a_workspace_that_misbehaves_is_bounded() {
    let world = world(true);
    let home = world.home();
    write(&world.guest().path("/home/polis/x"), b"x", 0o644);
    write(&home.join("file"), b"x", 0o644);
    let tar = world.guest().path("/usr/local/bin/tar");
    let small = [
        ("POLIS_COPY_SIZE", "1M"),
        ("POLIS_COPY_ENTRIES", "1"),
        ("POLIS_DELIVERY", "file"),
    ];
    let lines = "yes 'evil\x1b[2Jevil' | head -c 300000 >&2";
    for (script, reason) in [
        ("cat /dev/zero".to_owned(), "it is larger than 1.0 MiB"),
        (format!("{lines}; exit 2"), "evil"),
        (format!("{lines}; exit 4"), "evil"),
        ("kill -9 $$".to_owned(), "was not copied"),
    ] {
        write(&tar, format!("#!/bin/bash\n{script}\n").as_bytes(), 0o755);
        for (source, to) in [("workspace:x", "here"), ("file", "workspace:in")] {
            let endless = script.starts_with("cat") && source == "file";
            if endless {
                continue;
            }
            let ran = world.polis_with(&["cp", source, to], &small);
            assert_eq!(ran.code, Some(10), "{script}: {}", ran.seen());
            assert!(
                ran.stderr.contains(reason) && ran.stderr.len() < 4000,
                "{script}: {}",
                ran.seen()
            );
            assert!(!ran.stderr.contains('\x1b'));
        }
    }
    assert_eq!(names(&home), [".local", "file"]);
    assert_eq!(names(&world.guest().path("/home/polis")), ["x"]);
    is_tidy(&world);
}
