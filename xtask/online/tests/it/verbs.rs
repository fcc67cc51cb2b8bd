//! The online verbs as users see them: the real program on a copy of the tree, against Docker's registry and the
//! embedded servers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use polis_base::Digest;
use xtask_loopback::{EmbeddedRegistry, Fault, Faults};
use xtask_testkit::{Ran, Tree};

use crate::support::docker::DockerRegistry;
use crate::support::test_env::{COMPOSE, Others, PROGRAM, SERVICES};
use crate::support::{external_tool, layout, names, run};
use expect_test::expect;

const WAIVERS: &str = "compose/pin-waivers.yaml";

/// The tree with a registry in place of ghcr.io, and stand-ins for all other servers.
struct Setup<'a> {
    tree: &'a Tree,
    registry: String,
    others: Others,
}

impl Setup<'_> {
    fn run(&self, args: &[&str]) -> Ran {
        let mut others = self.others.clone();
        others.list(self.tree);
        let (_server, mut endpoints) = others.serve(&Faults::none());
        endpoints.push(self.registry.clone());
        let mut args = [args, &["--quiet"]].concat();
        for endpoint in &endpoints {
            args.extend(["--endpoint", endpoint]);
        }
        self.tree.run(PROGRAM, &args)
    }

    fn json(&self, args: &[&str]) -> Ran {
        self.run(&[args, &["--format", "json"]].concat())
    }
}

fn setup<'a>(tree: &'a Tree, host: &str) -> Setup<'a> {
    Setup {
        tree,
        registry: format!("ghcr.io=http://{host}"),
        others: Others::of(tree),
    }
}

/// Pushes an image for a service by skopeo, an external client.
fn publish(skopeo: &Path, host: &str, service: &str, text: &str) -> Digest {
    let dir = tempfile::tempdir().unwrap();
    let digest = layout::index(dir.path(), text);
    let from = format!("oci:{}", dir.path().display());
    let to = format!("docker://{host}/odralabshq/polis-{service}-oss:v0.4.0");
    run(
        skopeo,
        [
            "--insecure-policy",
            "copy",
            "--all",
            "--preserve-digests",
            "--dest-tls-verify=false",
            &from,
            &to,
        ],
    );
    digest
}

/// From an empty registry to valid pins, and then everything that can happen to them.
fn life_of_a_pin(tree: &Tree, skopeo: &Path, host: &str) {
    let setup = setup(tree, host);
    let original = [COMPOSE, WAIVERS].map(|path| tree.read(path));
    nothing_is_published(&setup);
    for service in SERVICES {
        publish(skopeo, host, service, service);
    }
    images_pushed_by_skopeo_are_pinned(&setup);
    skopeo_reads_our_images(&setup, skopeo, host);
    only_a_moved_tag_is_reported(&setup, skopeo, host);
    for (path, text) in [COMPOSE, WAIVERS].iter().zip(&original) {
        tree.write(path, text);
    }
}

fn nothing_is_published(setup: &Setup<'_>) {
    let tree = setup.tree;
    let original = tree.read(COMPOSE);
    // Nothing is published: every image is named, and the file is unchanged.
    let failed = setup.run(&["pin"]);
    assert_eq!(failed.code, 2, "{}", failed.seen());
    for service in SERVICES {
        assert!(
            failed
                .stderr
                .contains(&format!("polis-{service}-oss:v0.4.0")),
            "{}",
            failed.seen()
        );
    }
    assert_eq!(tree.read(COMPOSE), original);
}

/// Only image values change, and only once.
fn images_pushed_by_skopeo_are_pinned(setup: &Setup<'_>) {
    let tree = setup.tree;
    let original = tree.read(COMPOSE);
    let would = setup.json(&["pin", "--check"]);
    let data = would.report()["data"].clone();
    assert_eq!((would.code, &data["files"][0]), (2, &COMPOSE.into()));
    let diff = data["diff"].as_str().unwrap();
    let added = diff.lines().filter(|line| line.starts_with("+    image: "));
    let named = original
        .lines()
        .filter(|line| line.starts_with("    image: "));
    assert_eq!(added.count(), named.count(), "{diff}");
    assert_eq!(tree.read(COMPOSE), original);
    let pinned = setup.json(&["pin"]);
    assert_eq!(
        (pinned.code, pinned.report()["data"]["written"].as_bool()),
        (0, Some(true)),
        "{}",
        pinned.seen()
    );
    let text = tree.read(COMPOSE);
    let unpinned: String = text
        .split_inclusive('\n')
        .map(|line| match line.split_once("@sha256:") {
            Some((image, _)) if line.trim_start().starts_with("image:") => format!("{image}\n"),
            _ => line.to_owned(),
        })
        .collect();
    assert_eq!(unpinned, original);
    assert_eq!(tree.read(WAIVERS), "version: 1\nwaivers: []\n");
    assert_eq!(
        setup.json(&["pin"]).report()["data"]["files"],
        serde_json::json!([])
    );
    assert_eq!(tree.read(COMPOSE), text);
}

fn skopeo_reads_our_images(setup: &Setup<'_>, skopeo: &Path, host: &str) {
    let push = setup.json(&["images", "push", "--partial"]);
    assert_eq!(push.code, 0, "{}", push.seen());
    let digest = push.report()["data"]["images"][0]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let remote = format!("docker://{host}/odralabshq/polis-init-oss:v0.5.0");
    let raw = run(skopeo, ["inspect", "--tls-verify=false", "--raw", &remote]);
    assert_eq!(Digest::of(&raw).to_string(), digest);
    let copy = tempfile::tempdir().unwrap();
    let to = format!("oci:{}:v1", copy.path().join("copy").display());
    run(
        skopeo,
        [
            "--insecure-policy",
            "copy",
            "--all",
            "--src-tls-verify=false",
            &remote,
            &to,
        ],
    );
}

/// The states that are not fine. Images built on this machine may lack a platform.
fn not_fine(ran: &Ran) -> Vec<(String, String)> {
    let report = ran.report();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let pins = report["data"]["pins"].as_array().unwrap().iter();
    let others = pins.filter(|pin| pin["built"] == false && pin["state"] != "ok");
    others
        .map(|pin| (text(&pin["state"]), text(&pin["found"])))
        .collect()
}

fn only_a_moved_tag_is_reported(setup: &Setup<'_>, skopeo: &Path, host: &str) {
    assert_eq!(not_fine(&setup.json(&["verify-pins"])), []);
    let moved = publish(skopeo, host, "gate", "somebody moved the tag");
    let drift = setup.json(&["verify-pins"]);
    let expected = ("drifted".to_owned(), moved.to_string());
    assert_eq!(not_fine(&drift), [expected], "{}", drift.seen());
}

#[test]
fn pins_work_with_dockers_registry_and_with_ours() {
    let Some(skopeo) = external_tool("skopeo") else {
        return;
    };
    let tree = Tree::quick_to_build();
    let storage = tempfile::tempdir().unwrap();
    let ours = EmbeddedRegistry::start(storage.path()).unwrap();
    life_of_a_pin(&tree, &skopeo, &ours.host());
    let Some(docker) = DockerRegistry::open() else {
        return;
    };
    life_of_a_pin(&tree, &skopeo, docker.host());
    a_full_disk_keeps_the_old_file(&tree, &ours.host());
}

/// The compose file on a full file system: the old content is kept.
fn a_full_disk_keeps_the_old_file(tree: &Tree, host: &str) {
    let dir = tree.root().join("compose");
    let saved = tempfile::tempdir().unwrap();
    let (mount_point, saved) = (
        dir.display().to_string(),
        saved.path().display().to_string(),
    );
    run("cp", ["-a", &format!("{mount_point}/."), &saved]);
    let mounted = tree.run(
        "mount",
        &["-t", "tmpfs", "-o", "size=4m", "none", &mount_point],
    );
    if mounted.code != 0 {
        println!(
            "skipped: a file system cannot be mounted here: {}",
            mounted.stderr
        );
        return;
    }
    run("cp", ["-a", &format!("{saved}/."), &mount_point]);
    let filler = dir.join("filler");
    let full = (0..)
        .map(|size| fs::write(&filler, vec![0; size * 4096]))
        .find_map(Result::err);
    assert!(full.is_some());
    let before = tree.read(COMPOSE);
    let listed = names(&dir);
    let ran = setup(tree, host).run(&["pin"]);
    let after = (tree.read(COMPOSE), names(&dir));
    run("umount", [mount_point]);
    assert_eq!(ran.code, 5, "{}", ran.seen());
    assert!(
        ran.stderr.contains("No space left on device") && ran.stderr.contains("free some space"),
        "{}",
        ran.seen()
    );
    assert_eq!(after, (before, listed));
}

/// A fully pinned tree, made without querying any server.
fn pinned_tree(digest: Digest) -> Tree {
    let tree = Tree::data();
    let text = tree.read(COMPOSE);
    let lines = text
        .lines()
        .map(|line| match line.trim_start().starts_with("image:") {
            true => format!("{line}@{digest}\n"),
            false => format!("{line}\n"),
        });
    tree.write(COMPOSE, &lines.collect::<String>());
    tree.write("compose/pin-waivers.yaml", "version: 1\nwaivers: []\n");
    tree
}

#[test]
fn an_unreachable_registry_is_not_drift() {
    let tree = pinned_tree(Digest::of(b""));
    let ran = setup(&tree, "127.0.0.1:9").json(&["verify-pins"]);
    assert_eq!(ran.code, 3, "{}", ran.seen());
    let states = not_fine(&ran);
    assert_eq!(states.len(), SERVICES.len());
    assert!(states.iter().all(|(state, _)| state == "unreachable"));
}

/// The environment can redirect commands without changing their arguments, and a note reminds users who forgot.
#[test]
fn endpoints_of_the_environment_are_used_and_reported() {
    let tree = Tree::data();
    let (_server, endpoints) = Others::of(&tree).serve(&Faults::none());
    let set = endpoints.join(",");
    let args = ["verify-checksums", "--quiet"];
    let verify = |args: &[&str], set: &str| {
        let ran = tree.run_with(PROGRAM, args, &[("POLIS_ENDPOINTS", set)]);
        (ran.code, ran.stderr)
    };
    let told = format!(
        "POLIS_ENDPOINTS redirects hosts: {}\n",
        endpoints.join(", ")
    );
    assert_eq!(verify(&args, &set), (0, told));
    let (code, said) = verify(&args, "github.com=http://192.0.2.1");
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("invalid POLIS_ENDPOINTS"), "{said}");
    // The command line takes precedence.
    let given = endpoints.iter().flat_map(|one| ["--endpoint", one]);
    let args: Vec<&str> = args.into_iter().chain(given).collect();
    let closed = "github.com=http://127.0.0.1:9";
    assert_eq!(verify(&args, closed), (0, String::new()));
}

/// Starts a verb that waits for a server, from `sh` after `before`, and sends it `signals`.
#[cfg(unix)]
fn signalled(before: &str, signals: &[&str]) {
    let tree = Tree::data();
    let faults = Faults::none();
    faults.add("GET", "/", 100, Fault::Stall);
    let (_server, endpoints) = Others::of(&tree).serve(&faults);
    let listed = names(tree.root());
    let script = format!("{before} exec \"$0\" \"$@\"");
    // The tests may run with ignored signals, as under `nohup`; GNU's `env` resets them.
    let mut args = match cfg!(target_os = "linux") {
        true => vec!["--default-signal", "sh"],
        false => vec!["sh"],
    };
    args.extend(["-c", &script, PROGRAM, "verify-checksums"]);
    args.extend(["--format", "json"]);
    for endpoint in &endpoints {
        args.extend(["--endpoint", endpoint]);
    }
    let child = tree.start("env", &args, &[]);
    while faults.left() == 100 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let status = format!("/proc/{}/status", child.id());
    if let (false, Ok(status)) = (before.is_empty(), std::fs::read_to_string(status)) {
        // The last digit is for the signals 1 to 4: SIGHUP is 1, SIGINT 2.
        let ignored = status.lines().find(|line| line.starts_with("SigIgn:"));
        assert!(ignored.is_some_and(|mask| mask.ends_with('3')), "{status}");
    }
    for signal in signals {
        run("kill", [*signal, &child.id().to_string()]);
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{signals:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"outcome\": \"interrupted\""));
    assert_eq!(names(tree.root()), listed);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_verb_at_once_and_leaves_nothing() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        signalled("", &[signal]);
    }
}

/// As under `nohup`, or in the background of a shell.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_the_parent_ignores_stays_ignored() {
    signalled("trap '' HUP INT;", &["-HUP", "-INT", "-TERM"]);
}

#[test]
fn a_release_that_cannot_start_reports_all_problems() {
    let tree = Tree::data();
    let before = names(tree.root());
    let ran = tree.run(
        PROGRAM,
        &[
            "release",
            "--execute",
            "--prebuilt",
            "nowhere",
            "--format",
            "json",
        ],
    );
    let report = ran.report();
    let causes = report["error"]["causes"].to_string();
    for cause in [
        "git status --porcelain",
        "9 images are not pinned",
        "POLIS_MINISIGN_SECRET_KEY",
        "GITHUB_TOKEN",
    ] {
        assert!(causes.contains(cause), "{cause}: {}", ran.seen());
    }
    assert_eq!(ran.code, 5);
    let mut after = names(tree.root());
    // The release lock is in there.
    after.retain(|name| name != "target");
    assert_eq!(after, before);
    let alone = tree.run(PROGRAM, &["release", "--execute"]);
    assert_eq!(alone.code, 4, "{}", alone.seen());
}

#[test]
fn a_release_is_only_planned_unless_told_otherwise() {
    let tree = Tree::data();
    let before = tree.read(COMPOSE);
    // No server listens there.
    let nowhere = ["api.github.com", "ghcr.io"].map(|host| format!("{host}=http://127.0.0.1:9"));
    let mut args = vec!["release", "v0.5.0"];
    for endpoint in &nowhere {
        args.extend(["--endpoint", endpoint]);
    }
    let ran = tree.run(PROGRAM, &args);
    // If the tree is not a repository, the rest is still reported.
    assert_eq!(ran.code, 5, "{}", ran.seen());
    for words in [
        "unknown  ghcr.io/odralabshq/polis-init-oss:v0.5.0: not checked",
        "note: GitHub and the registry could not be read",
        "not a git repository",
        "9 images are not pinned",
        "The release would be refused, before anything is changed:\n",
        "  - 9 images are not pinned\n",
        "minisign.pub",
        "  - `POLIS_MINISIGN_SECRET_KEY` is not set\n",
        "  - `GITHUB_TOKEN` is not set\n",
        "This is the plan; nothing was changed.",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.seen());
    }
    assert_eq!(tree.read(COMPOSE), before);
    assert!(!tree.root().join("target").exists());
    args.extend(["--format", "json"]);
    let report = tree.run(PROGRAM, &args).report();
    assert_eq!(report["data"]["refusals"].as_array().map(Vec::len), Some(2));
    let blockers = report["data"]["blockers"].as_array().map(Vec::len);
    assert_eq!(blockers, Some(6), "{report}");
    expect![[r#"
        exit 4
        --- stderr
        error: this tree is version 0.5.0, not 9.9.9
          hint: set the version in Cargo.toml and write a section `## 9.9.9` into CHANGELOG.md
    "#]]
    .assert_eq(&tree.run(PROGRAM, &["release", "9.9.9"]).seen());
}
