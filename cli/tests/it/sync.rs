//! `polis sync`, with real git at both ends of real OpenSSH.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use expect_test::expect;
use fake_multipass::{Ran, Running, Sandbox};

use crate::copy::{names, write};
use crate::ssh::{installed, openssh};
use crate::support::document;

/// A sandbox with a synced directory; `None` without OpenSSH or git.
fn synced() -> Option<Sandbox> {
    if !xtask_testkit::has_part("git") {
        return None;
    }
    let sandbox = installed()?;
    let dir = sandbox.home().join("project");
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
    let ran = sandbox.polis(&["sync", "project"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(ran.stdout, "Synced to workspace:/home/polis/project\n");
    Some(sandbox)
}

/// A git that commits the tree named in `~/evil`, whatever its arguments.
const SHIM: &str = r#"#!/bin/bash
case "$*" in
  *update-ref*) exec /usr/bin/git --git-dir="$(echo ~/.polis-sync/*.git)" update-ref refs/polis/work "$(cat ~/evil)" ;;
esac
exec /usr/bin/git "$@"
"#;

/// Runs a script as the agent, in the workspace's copy of the directory.
fn agent(sandbox: &Sandbox, script: &str) {
    let ran = openssh(
        sandbox,
        "ssh",
        &["polis", &format!("cd project && {script}")],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
}

fn here(sandbox: &Sandbox, name: &str) -> PathBuf {
    sandbox.home().join("project").join(name)
}

fn sync(sandbox: &Sandbox, option: &[&str]) -> Ran {
    sandbox.polis(&[&["sync", "project"], option].concat())
}

#[test]
fn a_directory_is_synced_and_its_changes_come_back_as_a_diff() {
    let Some(sandbox) = synced() else { return };
    let inside = sandbox.guest().path("/home/polis/project");
    let there = [".gitattributes", ".gitignore", "a.txt", "run.sh", "sub"];
    assert_eq!(names(&inside), there);
    assert_eq!(
        fs::read(inside.join("run.sh")).unwrap(),
        b"#!/bin/sh\r\n\0\xff"
    );
    let ran = sync(&sandbox, &["--diff"]);
    assert_eq!(
        ran.stdout,
        "Nothing has changed in the workspace.\n",
        "{}",
        ran.seen()
    );

    agent(
        &sandbox,
        "echo three >>a.txt && rm sub/gone && mkdir target n && echo z >target/z && cp run.sh n/ && printf '\\0new' >run.sh",
    );
    let ran = sync(&sandbox, &["--diff"]);
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
    assert_eq!(fs::read(here(&sandbox, "a.txt")).unwrap(), b"one\ntwo\n");

    // Another sync overwrites none of the changes, and nothing is applied without consent.
    fs::write(here(&sandbox, "mine"), "mine").unwrap();
    let ran = sync(&sandbox, &[]);
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert!(
        ran.stderr.contains("it has changes in the workspace"),
        "{}",
        ran.seen()
    );
    assert_eq!(sync(&sandbox, &["--apply"]).code, Some(2));
    assert_eq!(fs::read(here(&sandbox, "a.txt")).unwrap(), b"one\ntwo\n");

    let ran = sync(&sandbox, &["--apply", "--yes", "--json"]);
    assert_eq!(document(&ran)["result"]["changed"], true, "{}", ran.seen());
    assert_eq!(
        fs::read(here(&sandbox, "a.txt")).unwrap(),
        b"one\ntwo\nthree\n"
    );
    assert_eq!(fs::read(here(&sandbox, "run.sh")).unwrap(), b"\0new");
    assert_eq!(
        fs::read(here(&sandbox, "n/run.sh")).unwrap(),
        b"#!/bin/sh\r\n\0\xff"
    );
    let mode = fs::metadata(here(&sandbox, "n/run.sh"))
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
    assert_eq!(names(&sandbox.home().join("project")), left);
    assert_eq!(
        fs::read(here(&sandbox, ".git/config")).unwrap(),
        b"not git's\n"
    );
    assert_eq!(names(&here(&sandbox, "target")), ["built"]);

    // From here on, syncs work again.
    assert_eq!(sync(&sandbox, &[]).code, Some(0));
    assert_eq!(fs::read(inside.join("mine")).unwrap(), b"mine");
    assert_eq!(names(&inside.join("target")), ["z"]);
    let ran = sync(&sandbox, &["--diff"]);
    assert_eq!(
        ran.stdout,
        "Nothing has changed in the workspace.\n",
        "{}",
        ran.seen()
    );
}

#[test]
fn changes_that_point_outside_the_directory_are_refused() {
    let Some(sandbox) = synced() else { return };
    let before = names(&sandbox.home().join("project"));
    for script in [
        "ln -s /etc/passwd link",
        "ln -sf ../../x a.txt",
        "mkdir r && cd r && git init -q && git -c user.name=a -c user.email=a@a commit -q --allow-empty -m x",
    ] {
        agent(&sandbox, script);
        let ran = sync(&sandbox, &["--apply", "--yes"]);
        assert_eq!(ran.code, Some(10), "{script}: {}", ran.seen());
        assert!(
            ran.stderr.contains("is a link or a nested repository"),
            "{}",
            ran.seen()
        );
        agent(
            &sandbox,
            "rm -rf link r && printf 'one\\ntwo\\n' >new && rm a.txt && mv new a.txt",
        );
    }
    // Trees that no git creates: a file in `.git`, and one above the directory. The agent's own git answers with them.
    let home = sandbox.guest().path("/home/polis");
    write(&home.join("bin/git"), SHIM.as_bytes(), 0o755);
    for (dir, file) in [(".git", "config"), ("..", "evil")] {
        let make = format!(
            "g() {{ /usr/bin/git --git-dir=\"$(echo ~/.polis-sync/*.git)\" -c user.name=a -c user.email=a@a \"$@\"; }}; \
             blob=$(echo evil | g hash-object -w --stdin) && \
             inner=$(printf \"100644 blob $blob\\t{file}\\n\" | g mktree) && \
             tree=$(printf \"040000 tree $inner\\t{dir}\\n\" | g mktree) && g commit-tree -m x $tree >~/evil"
        );
        agent(&sandbox, &make);
        write(&home.join(".bashrc"), b"PATH=$HOME/bin:$PATH\n", 0o644);
        let ran = sync(&sandbox, &["--apply", "--yes"]);
        assert_eq!(ran.code, Some(10), "{dir}: {}", ran.seen());
        assert!(ran.stderr.contains("hasDot"), "{dir}: {}", ran.seen());
        fs::remove_file(home.join(".bashrc")).unwrap();
    }
    assert_eq!(names(&sandbox.home().join("project")), before);
    assert!(!sandbox.home().join("evil").exists());
    assert_eq!(
        fs::read(here(&sandbox, ".git/config")).unwrap(),
        b"not git's\n"
    );
}

#[test]
fn conflicting_changes_are_not_applied_at_all() {
    let Some(sandbox) = synced() else { return };
    agent(&sandbox, "echo there >a.txt && echo there >new");
    fs::write(here(&sandbox, "a.txt"), "here\n").unwrap();
    let ran = sync(&sandbox, &["--apply", "--yes"]);
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert!(
        ran.stderr.contains("patch does not apply"),
        "{}",
        ran.seen()
    );
    assert_eq!(fs::read(here(&sandbox, "a.txt")).unwrap(), b"here\n");
    assert!(!here(&sandbox, "new").exists());
    // Nor are changes applied through a link on this side.
    fs::write(here(&sandbox, "a.txt"), "one\ntwo\n").unwrap();
    agent(
        &sandbox,
        "printf 'one\\ntwo\\n' >a.txt && rm new && echo evil >sub/evil",
    );
    fs::remove_dir_all(here(&sandbox, "sub")).unwrap();
    fs::create_dir(sandbox.home().join("elsewhere")).unwrap();
    symlink("../elsewhere", here(&sandbox, "sub")).unwrap();
    let ran = sync(&sandbox, &["--apply", "--yes"]);
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert!(
        ran.stderr.contains("beyond a symbolic link"),
        "{}",
        ran.seen()
    );
    assert_eq!(names(&sandbox.home().join("elsewhere")), [""; 0]);
}

#[test]
fn an_existing_directory_in_the_workspace_is_not_overwritten() {
    let Some(sandbox) = installed() else { return };
    write(&sandbox.home().join("project/a"), b"a", 0o644);
    let ran = openssh(
        &sandbox,
        "ssh",
        &["polis", "mkdir project && echo theirs >project/a"],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let ran = sync(&sandbox, &[]);
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert!(ran.stderr.contains("was not synced\n"), "{}", ran.seen());
    let inside = sandbox.guest().path("/home/polis/project/a");
    assert_eq!(fs::read(inside).unwrap(), b"theirs\n");
    let ran = sync(&sandbox, &["--diff"]);
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
}

/// Waits until the watch has printed `text`.
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
fn a_watch_sends_local_changes_and_keeps_those_of_the_workspace() {
    let Some(sandbox) = synced() else { return };
    let inside = sandbox.guest().path("/home/polis/project");
    let watching = sandbox.start_polis(&["sync", "project", "--watch"]);
    said(&watching, "watching until Ctrl-C");

    fs::write(here(&sandbox, "a.txt"), "one\ntwo\nmine\n").unwrap();
    fs::write(here(&sandbox, "target/built"), "not sent").unwrap();
    fs::remove_file(here(&sandbox, "sub/gone")).unwrap();
    said(&watching, "Sent 2 files\n");
    assert_eq!(fs::read(inside.join("a.txt")).unwrap(), b"one\ntwo\nmine\n");
    assert!(!inside.join("sub/gone").exists() && !inside.join("target").exists());

    // Both sides change, each in a different file.
    agent(&sandbox, "echo theirs >theirs && echo x >run.sh");
    said(
        &watching,
        "2 files changed in the workspace; to see them: polis sync project --diff\n",
    );
    fs::write(here(&sandbox, "mine"), "mine").unwrap();
    said(&watching, "Sent 1 file\n");
    assert_eq!(fs::read(inside.join("mine")).unwrap(), b"mine");
    assert_eq!(fs::read(inside.join("theirs")).unwrap(), b"theirs\n");
    assert!(!here(&sandbox, "theirs").exists());

    // A file changed on both sides is refused and named; the other file is sent.
    fs::write(here(&sandbox, "run.sh"), "mine").unwrap();
    fs::write(here(&sandbox, "mine"), "more").unwrap();
    said(
        &watching,
        "Not sent, because it has also changed in the workspace: run.sh\n",
    );
    assert_eq!(fs::read(inside.join("mine")).unwrap(), b"more");
    assert_eq!(fs::read(inside.join("run.sh")).unwrap(), b"x\n");
    assert_eq!(fs::read(here(&sandbox, "run.sh")).unwrap(), b"mine");

    // Another terminal shows the workspace's changes; they are not applied over local ones.
    let ran = sync(&sandbox, &["--diff"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let files = ["a/run.sh b/run.sh", "a/theirs b/theirs"];
    let lines = ran.stdout.lines();
    let named: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("diff --git "))
        .collect();
    assert_eq!(named, files);
    let ran = sync(&sandbox, &["--apply", "--yes"]);
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    assert_eq!(fs::read(here(&sandbox, "run.sh")).unwrap(), b"mine");

    watching.interrupt();
    let ran = watching.wait();
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    // Once both sides agree, a single sync continues.
    agent(&sandbox, "printf mine >run.sh && rm theirs");
    let ran = sync(&sandbox, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(sync(&sandbox, &["--watch", "--json"]).code, Some(2));
    assert_eq!(sync(&sandbox, &["--watch", "--diff"]).code, Some(2));
}
