//! `polis sync`, with real git at both ends of real OpenSSH.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use expect_test::expect;
use fake_multipass::{Ran, Running, World};

use crate::copy::{names, write};
use crate::ssh::{installed, openssh};
use crate::support::document;

/// A world with a directory that is in the workspace; none without OpenSSH or git.
fn synced() -> Option<World> {
    if !xtask_testkit::has_part("git") {
        return None;
    }
    let world = installed()?;
    let dir = world.home().join("project");
    write(&dir.join("a.txt"), b"one\ntwo\n", 0o644);
    write(&dir.join("run.sh"), b"#!/bin/sh\r\n\0\xff", 0o755);
    write(&dir.join("sub/gone"), b"x\n", 0o644);
    write(&dir.join(".gitignore"), b"/target\n", 0o644);
    write(
        &dir.join(".gitattributes"),
        b"* text eol=crlf filter=x\n",
        0o644,
    );
    write(&dir.join("target/built"), b"y", 0o644);
    write(&dir.join(".git/config"), b"not git's\n", 0o644);
    let ran = world.polis(&["sync", "project"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(ran.stdout, "Synced to workspace:/home/polis/project\n");
    Some(world)
}

/// A git that records what `~/evil` names, whatever is asked.
const SHIM: &str = r#"#!/bin/bash
case "$*" in
  *update-ref*) exec /usr/bin/git --git-dir="$(echo ~/.polis-sync/*.git)" update-ref refs/polis/work "$(cat ~/evil)" ;;
esac
exec /usr/bin/git "$@"
"#;

/// What the agent does.
fn agent(world: &World, script: &str) {
    let ran = openssh(world, "ssh", &["polis", &format!("cd project && {script}")]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
}

fn here(world: &World, name: &str) -> PathBuf {
    world.home().join("project").join(name)
}

fn sync(world: &World, option: &[&str]) -> Ran {
    world.polis(&[&["sync", "project"], option].concat())
}

#[test]
fn a_directory_goes_in_and_its_changes_come_back_as_a_diff() {
    let Some(world) = synced() else { return };
    let inside = world.guest().path("/home/polis/project");
    let there = [".gitattributes", ".gitignore", "a.txt", "run.sh", "sub"];
    assert_eq!(names(&inside), there);
    assert_eq!(
        fs::read(inside.join("run.sh")).unwrap(),
        b"#!/bin/sh\r\n\0\xff"
    );
    let ran = sync(&world, &["--diff"]);
    assert_eq!(
        ran.stdout,
        "Nothing has changed in the workspace.\n",
        "{}",
        ran.seen()
    );

    agent(
        &world,
        "echo three >>a.txt && rm sub/gone && mkdir target n && echo z >target/z && cp run.sh n/ && printf '\\0new' >run.sh",
    );
    let ran = sync(&world, &["--diff"]);
    expect![[r#"
        exit 0
        --- stdout
        diff --git a/a.txt b/a.txt
        index 814f4a4..4cb29ea 100644
        --- a/a.txt
        +++ b/a.txt
        @@ -1,2 +1,3 @@
         one
         two
        +three
        diff --git a/n/run.sh b/n/run.sh
        new file mode 100755
        index 0000000..98d274a
        Binary files /dev/null and b/n/run.sh differ
        diff --git a/run.sh b/run.sh
        index 98d274a..f9e371f 100755
        Binary files a/run.sh and b/run.sh differ
        diff --git a/sub/gone b/sub/gone
        deleted file mode 100644
        index 587be6b..0000000
        --- a/sub/gone
        +++ /dev/null
        @@ -1 +0,0 @@
        -x
    "#]]
    .assert_eq(&ran.seen());
    assert_eq!(fs::read(here(&world, "a.txt")).unwrap(), b"one\ntwo\n");

    // Nothing of it is lost by another sync, and nothing is applied unasked.
    fs::write(here(&world, "mine"), "mine").unwrap();
    let ran = sync(&world, &[]);
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert!(
        ran.stderr.contains("it has changes in the workspace"),
        "{}",
        ran.seen()
    );
    assert_eq!(sync(&world, &["--apply"]).code, Some(2));
    assert_eq!(fs::read(here(&world, "a.txt")).unwrap(), b"one\ntwo\n");

    let ran = sync(&world, &["--apply", "--yes", "--json"]);
    assert_eq!(document(&ran)["result"]["changed"], true, "{}", ran.seen());
    assert_eq!(
        fs::read(here(&world, "a.txt")).unwrap(),
        b"one\ntwo\nthree\n"
    );
    assert_eq!(fs::read(here(&world, "run.sh")).unwrap(), b"\0new");
    assert_eq!(
        fs::read(here(&world, "n/run.sh")).unwrap(),
        b"#!/bin/sh\r\n\0\xff"
    );
    let mode = fs::metadata(here(&world, "n/run.sh"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    let left = [
        ".git",
        ".gitattributes",
        ".gitignore",
        "a.txt",
        "mine",
        "n",
        "run.sh",
        "target",
    ];
    assert_eq!(names(&world.home().join("project")), left);
    assert_eq!(
        fs::read(here(&world, ".git/config")).unwrap(),
        b"not git's\n"
    );
    assert_eq!(names(&here(&world, "target")), ["built"]);

    // From here on it goes on.
    assert_eq!(sync(&world, &[]).code, Some(0));
    assert_eq!(fs::read(inside.join("mine")).unwrap(), b"mine");
    assert_eq!(names(&inside.join("target")), ["z"]);
    let ran = sync(&world, &["--diff"]);
    assert_eq!(
        ran.stdout,
        "Nothing has changed in the workspace.\n",
        "{}",
        ran.seen()
    );
}

#[test]
fn nothing_that_leads_out_is_applied() {
    let Some(world) = synced() else { return };
    let before = names(&world.home().join("project"));
    for script in [
        "ln -s /etc/passwd link",
        "ln -sf ../../x a.txt",
        "mkdir r && cd r && git init -q && git -c user.name=a -c user.email=a@a commit -q --allow-empty -m x",
    ] {
        agent(&world, script);
        let ran = sync(&world, &["--apply", "--yes"]);
        assert_eq!(ran.code, Some(10), "{script}: {}", ran.seen());
        assert!(
            ran.stderr.contains("is a link or a repository"),
            "{}",
            ran.seen()
        );
        agent(
            &world,
            "rm -rf link r && printf 'one\\ntwo\\n' >new && rm a.txt && mv new a.txt",
        );
    }
    // Trees that no git makes: a file of `.git`, and one above the directory. The agent's own git answers with them.
    let home = world.guest().path("/home/polis");
    write(&home.join("bin/git"), SHIM.as_bytes(), 0o755);
    for (dir, file) in [(".git", "config"), ("..", "evil")] {
        let make = format!(
            "g() {{ /usr/bin/git --git-dir=\"$(echo ~/.polis-sync/*.git)\" -c user.name=a -c user.email=a@a \"$@\"; }}; \
             blob=$(echo evil | g hash-object -w --stdin) && \
             inner=$(printf \"100644 blob $blob\\t{file}\\n\" | g mktree) && \
             tree=$(printf \"040000 tree $inner\\t{dir}\\n\" | g mktree) && g commit-tree -m x $tree >~/evil"
        );
        agent(&world, &make);
        write(&home.join(".bashrc"), b"PATH=$HOME/bin:$PATH\n", 0o644);
        let ran = sync(&world, &["--apply", "--yes"]);
        assert_eq!(ran.code, Some(10), "{dir}: {}", ran.seen());
        assert!(ran.stderr.contains("hasDot"), "{dir}: {}", ran.seen());
        fs::remove_file(home.join(".bashrc")).unwrap();
    }
    assert_eq!(names(&world.home().join("project")), before);
    assert!(!world.home().join("evil").exists());
    assert_eq!(
        fs::read(here(&world, ".git/config")).unwrap(),
        b"not git's\n"
    );
}

#[test]
fn changes_that_do_not_fit_are_applied_not_at_all() {
    let Some(world) = synced() else { return };
    agent(&world, "echo there >a.txt && echo there >new");
    fs::write(here(&world, "a.txt"), "here\n").unwrap();
    let ran = sync(&world, &["--apply", "--yes"]);
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert!(
        ran.stderr.contains("patch does not apply"),
        "{}",
        ran.seen()
    );
    assert_eq!(fs::read(here(&world, "a.txt")).unwrap(), b"here\n");
    assert!(!here(&world, "new").exists());
    // Nor does anything go through a link that is here.
    fs::write(here(&world, "a.txt"), "one\ntwo\n").unwrap();
    agent(
        &world,
        "printf 'one\\ntwo\\n' >a.txt && rm new && echo evil >sub/evil",
    );
    fs::remove_dir_all(here(&world, "sub")).unwrap();
    fs::create_dir(world.home().join("elsewhere")).unwrap();
    symlink("../elsewhere", here(&world, "sub")).unwrap();
    let ran = sync(&world, &["--apply", "--yes"]);
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert!(
        ran.stderr.contains("beyond a symbolic link"),
        "{}",
        ran.seen()
    );
    assert_eq!(names(&world.home().join("elsewhere")), [""; 0]);
}

#[test]
fn what_is_in_the_workspace_already_is_not_taken_over() {
    let Some(world) = installed() else { return };
    write(&world.home().join("project/a"), b"a", 0o644);
    let ran = openssh(
        &world,
        "ssh",
        &["polis", "mkdir project && echo theirs >project/a"],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let ran = sync(&world, &[]);
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert!(ran.stderr.contains("was not synced\n"), "{}", ran.seen());
    let inside = world.guest().path("/home/polis/project/a");
    assert_eq!(fs::read(inside).unwrap(), b"theirs\n");
    let ran = sync(&world, &["--diff"]);
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
}

/// Waits until the watch has said `text`.
fn said(watching: &Running, text: &str) {
    let since = Instant::now();
    while !watching.stdout().contains(text) {
        let so_far = format!("{}{}", watching.stdout(), watching.stderr());
        assert!(
            since.elapsed() < Duration::from_secs(240),
            "{text}: {so_far}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_watch_sends_what_changes_here_and_touches_nothing_that_changes_there() {
    let Some(world) = synced() else { return };
    let inside = world.guest().path("/home/polis/project");
    let watching = world.start_polis(&["sync", "project", "--watch"]);
    said(&watching, "watching until Ctrl-C");

    fs::write(here(&world, "a.txt"), "one\ntwo\nmine\n").unwrap();
    fs::write(here(&world, "target/built"), "not sent").unwrap();
    fs::remove_file(here(&world, "sub/gone")).unwrap();
    said(&watching, "Sent 2 files\n");
    assert_eq!(fs::read(inside.join("a.txt")).unwrap(), b"one\ntwo\nmine\n");
    assert!(!inside.join("sub/gone").exists() && !inside.join("target").exists());

    // Both sides go on, each with a file of its own.
    agent(&world, "echo theirs >theirs && echo x >run.sh");
    said(
        &watching,
        "2 files changed in the workspace; to see them: polis sync project --diff\n",
    );
    fs::write(here(&world, "mine"), "mine").unwrap();
    said(&watching, "Sent 1 file\n");
    assert_eq!(fs::read(inside.join("mine")).unwrap(), b"mine");
    assert_eq!(fs::read(inside.join("theirs")).unwrap(), b"theirs\n");
    assert!(!here(&world, "theirs").exists());

    // A file of both is refused, and named; the other one goes.
    fs::write(here(&world, "run.sh"), "mine").unwrap();
    fs::write(here(&world, "mine"), "more").unwrap();
    said(
        &watching,
        "Not sent, since it has also changed in the workspace: run.sh\n",
    );
    assert_eq!(fs::read(inside.join("mine")).unwrap(), b"more");
    assert_eq!(fs::read(inside.join("run.sh")).unwrap(), b"x\n");
    assert_eq!(fs::read(here(&world, "run.sh")).unwrap(), b"mine");

    // Another terminal shows what is there; nothing is applied over what is here.
    let ran = sync(&world, &["--diff"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let files = ["a/run.sh b/run.sh", "a/theirs b/theirs"];
    let lines = ran.stdout.lines();
    let named: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("diff --git "))
        .collect();
    assert_eq!(named, files);
    let ran = sync(&world, &["--apply", "--yes"]);
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert_eq!(fs::read(here(&world, "run.sh")).unwrap(), b"mine");

    watching.interrupt();
    let ran = watching.wait();
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    // Once they agree, one sync goes on.
    agent(&world, "printf mine >run.sh && rm theirs");
    let ran = sync(&world, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(sync(&world, &["--watch", "--json"]).code, Some(2));
    assert_eq!(sync(&world, &["--watch", "--diff"]).code, Some(2));
}
