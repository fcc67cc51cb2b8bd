//! The online verbs as users see them: the real program on a copy of the tree, against Docker's
//! registry and the embedded servers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use polis_base::Digest;
use xtask_online::embedded::{EmbeddedFiles, EmbeddedRegistry, Fault, Faults};
use xtask_testkit::{Ran, Tree};

use crate::support::docker::DockerRegistry;
use crate::support::{layout, names, real_part, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_xtask-online");
const COMPOSE: &str = "compose/docker-compose.yml";
const CLOUD_INIT: &str = "cloud-init/cloud-init.yaml";
/// The images that others publish.
const SERVICES: [&str; 8] = [
    "resolver",
    "certgen",
    "gate",
    "sentinel",
    "scanner",
    "workspace",
    "state",
    "toolbox",
];

/// The tree against a registry in the place of ghcr.io.
struct World<'a> {
    tree: &'a Tree,
    endpoint: String,
}

impl World<'_> {
    fn run(&self, args: &[&str]) -> Ran {
        self.tree.run(
            PROGRAM,
            &[args, &["--quiet", "--endpoint", &self.endpoint]].concat(),
        )
    }

    fn json(&self, args: &[&str]) -> Ran {
        self.run(&[args, &["--format", "json"]].concat())
    }
}

fn world<'a>(tree: &'a Tree, host: &str) -> World<'a> {
    World {
        tree,
        endpoint: format!("ghcr.io=http://{host}"),
    }
}

/// Pushes an image for a service by skopeo, which is not ours.
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

/// From an empty registry to pins that hold, then everything that can happen to them.
fn life_of_a_pin(tree: &Tree, skopeo: &Path, host: &str) {
    let world = world(tree, host);
    let original = tree.read(COMPOSE);
    nothing_is_published(&world);
    for service in SERVICES {
        publish(skopeo, host, service, service);
    }
    what_skopeo_pushed_is_pinned(&world);
    what_we_push_skopeo_reads(&world, skopeo, host);
    only_the_tag_that_moves_is_told(&world, skopeo, host);
    tree.write(COMPOSE, &original);
}

fn nothing_is_published(world: &World<'_>) {
    let tree = world.tree;
    let original = tree.read(COMPOSE);
    // Nothing is published: every image is named, and the file is what it was.
    let failed = world.run(&["pin"]);
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
fn what_skopeo_pushed_is_pinned(world: &World<'_>) {
    let tree = world.tree;
    let original = tree.read(COMPOSE);
    let would = world.json(&["pin", "--check"]);
    let data = would.report()["data"].clone();
    assert_eq!((would.code, &data["files"][0]), (2, &COMPOSE.into()));
    let diff = data["diff"].as_str().unwrap();
    let added = diff.lines().filter(|line| line.starts_with("+    image: "));
    assert_eq!(added.count(), 11, "{diff}");
    assert_eq!(tree.read(COMPOSE), original);
    let pinned = world.json(&["pin"]);
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
    assert_eq!(
        world.json(&["pin"]).report()["data"]["files"],
        serde_json::json!([])
    );
    assert_eq!(tree.read(COMPOSE), text);
}

fn what_we_push_skopeo_reads(world: &World<'_>, skopeo: &Path, host: &str) {
    let push = world.json(&["images", "push", "--partial"]);
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

fn only_the_tag_that_moves_is_told(world: &World<'_>, skopeo: &Path, host: &str) {
    assert_eq!(world.run(&["verify-pins"]).code, 0);
    let moved = publish(skopeo, host, "gate", "somebody moved the tag");
    let drift = world.json(&["verify-pins"]);
    assert_eq!(drift.code, 2, "{}", drift.seen());
    let report = drift.report();
    let served = report["data"]["served"].as_array().unwrap();
    let states: Vec<_> = served.iter().filter(|pin| pin["state"] != "ok").collect();
    assert_eq!(states.len(), 1);
    assert_eq!(
        states[0]["served"].as_str(),
        Some(moved.to_string().as_str())
    );
}

#[test]
fn pins_live_with_dockers_registry_and_with_ours() {
    let Some(skopeo) = real_part("skopeo") else {
        return;
    };
    let tree = Tree::whole();
    let storage = tempfile::tempdir().unwrap();
    let ours = EmbeddedRegistry::start(storage.path()).unwrap();
    life_of_a_pin(&tree, &skopeo, &ours.host());
    let Some(docker) = DockerRegistry::open() else {
        return;
    };
    life_of_a_pin(&tree, &skopeo, docker.host());
    a_full_disk_costs_nothing(&tree, &ours.host());
}

/// The compose file on a file system that is full: the old one stays, whole.
fn a_full_disk_costs_nothing(tree: &Tree, host: &str) {
    let dir = tree.root().join("compose");
    let saved = tempfile::tempdir().unwrap();
    let (mount_point, saved) = (
        dir.display().to_string(),
        saved.path().display().to_string(),
    );
    run("cp", ["-a", &format!("{mount_point}/."), &saved]);
    let mounted = tree.run(
        "mount",
        &["-t", "tmpfs", "-o", "size=512k", "none", &mount_point],
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
    let ran = world(tree, host).run(&["pin"]);
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

/// A tree that is wholly pinned, without having asked anybody.
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
fn a_registry_that_misbehaves_is_never_taken_for_fine() {
    let cases: [(Fault, i32, &str); 3] = [
        (Fault::Status(401), 3, "status 401"),
        (Fault::Status(404), 2, "gone"),
        (Fault::Status(500), 3, "unreachable"),
    ];
    std::thread::scope(|scope| {
        for (fault, code, said) in cases {
            scope.spawn(move || {
                let storage = tempfile::tempdir().unwrap();
                let faults = Faults::none();
                faults.add(
                    "GET",
                    "/v2/odralabshq/polis-gate-oss/manifests",
                    100,
                    fault.clone(),
                );
                let registry = EmbeddedRegistry::start_with(storage.path(), &faults).unwrap();
                let tree = pinned_tree(Digest::of(b""));
                let before = tree.read(COMPOSE);
                let ran = world(&tree, &registry.host()).run(&["verify-pins"]);
                // The other images are not there at all, which is drift; the fault is told apart.
                assert_eq!(
                    ran.code,
                    if code == 3 { 2 } else { code },
                    "{fault:?}: {}",
                    ran.seen()
                );
                let lines: Vec<&str> = ran.stdout.lines().collect();
                let at = lines
                    .iter()
                    .position(|line| line.contains("polis-gate-oss"))
                    .unwrap();
                let told = format!("{}\n{}", lines[at], lines.get(at + 1).unwrap_or(&""));
                assert!(told.contains(said), "{fault:?}: {told}\n{}", ran.seen());
                assert_eq!(tree.read(COMPOSE), before);
            });
        }
    });
}

#[test]
fn a_registry_that_is_down_is_no_drift() {
    let tree = pinned_tree(Digest::of(b""));
    let ran = world(&tree, "127.0.0.1:9").json(&["verify-pins"]);
    assert_eq!(ran.code, 3, "{}", ran.seen());
    let report = ran.report();
    assert!(
        report["data"]["served"]
            .as_array()
            .unwrap()
            .iter()
            .all(|pin| pin["state"] == "unreachable")
    );
}

/// The files of `pins.env` as a server on loopback has them, and a tree that pins those.
fn downloads() -> (Tree, Vec<(String, Vec<u8>)>) {
    let tree = Tree::data();
    let text = tree.read(CLOUD_INIT);
    let mut files = Vec::new();
    for line in text.lines().map(str::trim) {
        let Some((name, url)) = line.split_once("=https://github.com") else {
            continue;
        };
        if !name.contains("_URL_") {
            continue;
        }
        let bytes = format!("the bytes of {name}").into_bytes();
        let pin = name.replace("_URL_", "_SHA256_");
        let old = text
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with(&format!("{pin}=")))
            .unwrap();
        tree.replace(
            CLOUD_INIT,
            old,
            &format!("{pin}={}", Digest::of(&bytes).hex()),
        );
        files.push((url.to_owned(), bytes));
    }
    assert_eq!(files.len(), 4);
    (tree, files)
}

fn checksums(tree: &Tree, server: &EmbeddedFiles) -> Ran {
    let endpoint = format!("github.com={}", server.url());
    tree.run(
        PROGRAM,
        &[
            "verify-checksums",
            "--quiet",
            "--format",
            "json",
            "--endpoint",
            &endpoint,
        ],
    )
}

#[test]
fn checksums_hold_or_both_values_are_shown() {
    let (tree, files) = downloads();
    let listed = names(tree.root());
    let server = EmbeddedFiles::start(files.clone()).unwrap();
    let ran = checksums(&tree, &server);
    assert_eq!(ran.code, 0, "{}", ran.seen());

    let mut other = files.clone();
    other[2].1 = b"something else".to_vec();
    let server = EmbeddedFiles::start(other).unwrap();
    let ran = checksums(&tree, &server);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    assert_eq!(ran.findings().len(), 1);
    let message = ran.report()["findings"][0]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains(&Digest::of(&files[2].1).hex())
            && message.contains(&Digest::of(b"something else").hex()),
        "{message}"
    );
    assert_eq!(names(tree.root()), listed, "no file is left");
}

#[test]
fn a_download_that_fails_is_not_a_checksum_that_differs() {
    for (fault, code) in [(Fault::Status(404), 2), (Fault::Cut(5), 3)] {
        let (tree, files) = downloads();
        let faults = Faults::none();
        faults.add("GET", "/mikefarah", 100, fault);
        let server = EmbeddedFiles::start_with(files, &faults).unwrap();
        let ran = checksums(&tree, &server);
        assert_eq!(ran.code, code, "{}", ran.seen());
        assert_eq!(ran.findings(), [""; 0]);
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_verb_at_once_and_leaves_nothing() {
    let (tree, files) = downloads();
    let listed = names(tree.root());
    let faults = Faults::none();
    faults.add("GET", "/", 100, Fault::Stall);
    let server = EmbeddedFiles::start_with(files, &faults).unwrap();
    let endpoint = format!("github.com={}", server.url());
    let child = tree.start(
        PROGRAM,
        &[
            "verify-checksums",
            "--format",
            "json",
            "--endpoint",
            &endpoint,
        ],
        &[],
    );
    while faults.left() == 100 {
        std::thread::sleep(Duration::from_millis(5));
    }
    run("kill", ["-INT", &child.id().to_string()]);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"outcome\": \"interrupted\""));
    assert_eq!(names(tree.root()), listed);
}

#[test]
fn a_release_that_cannot_start_says_everything_at_once() {
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
    assert_eq!(names(tree.root()), before);
    let alone = tree.run(PROGRAM, &["release", "--execute"]);
    assert_eq!(alone.code, 4, "{}", alone.seen());
}
