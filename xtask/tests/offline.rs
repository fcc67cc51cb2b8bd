//! The offline verbs as users see them: the real program on a copy of the tree.

use expect_test::expect;
use xtask_testkit::{AFTER_WAIVERS, Ran, Tree, has_part, repository};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
const COMPOSE: &str = "compose/docker-compose.yml";
const CLOUD_INIT: &str = "cloud-init/cloud-init.yaml";

/// The crates of an offline verb, ours among them, at most. Each costs the first pin check on a machine its time.
const MOST_CRATES: usize = 60;

/// Other systems have other crates below clap and tempfile.
#[cfg(target_os = "linux")]
#[test]
fn an_offline_verb_compiles_few_crates() {
    let manifest = repository().join("Cargo.toml");
    let manifest = manifest.to_str().expect("a path in UTF-8");
    let line = format!(
        "tree --locked --manifest-path {manifest} --package xtask --edges normal,build --prefix none --format {{p}}"
    );
    let args: Vec<&str> = line.split(' ').collect();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let ran = Tree::empty().run(cargo, &args);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let names = ran.stdout.lines().map(|line| line.trim_end_matches(" (*)"));
    let crates: std::collections::BTreeSet<&str> = names.collect();
    assert!(crates.len() <= MOST_CRATES, "{crates:#?}");
    assert!(
        crates.len() + 5 > MOST_CRATES,
        "lower MOST_CRATES: {}",
        crates.len()
    );
}

fn verify_pins(tree: &Tree, more: &[&str]) -> Ran {
    let args = [&["verify-pins", "--offline", "--today", "2026-11-01"], more].concat();
    tree.run(XTASK, &args)
}

/// In every state of the tree: some images may be waived, all of them pinned, anything updated.
#[test]
fn pins_of_the_tree_are_complete_or_waived() {
    let ran = verify_pins(&Tree::as_it_is(), &["--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let data = &ran.report()["data"];
    let pins = data["pins"].as_array().into_iter().flatten();
    let kinds = pins.map(|pin| pin["kind"].as_str().expect("a kind"));
    let kinds: std::collections::BTreeSet<&str> = kinds.collect();
    let expected = ["action", "download", "image", "key", "toolchain"];
    assert_eq!(kinds, expected.into());
}

#[test]
fn the_summary_counts_images_that_cannot_be_read() {
    let tree = Tree::data();
    let text = tree.read(COMPOSE);
    let ends = |at: usize| at + text[at..].find('\n').unwrap_or_default();
    let at = text
        .find("image: ghcr.io/odralabshq/polis-gate-oss")
        .expect("an image");
    let line = &text[at..ends(at)];
    tree.replace(COMPOSE, line, "image: ${GATE:-}");
    let ran = verify_pins(&tree, &[]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    assert!(
        ran.stdout
            .contains("; unreadable images: 1\nnot looked up: "),
        "{}",
        ran.seen()
    );
    assert!(
        !verify_pins(&Tree::data(), &[])
            .stdout
            .contains("unreadable")
    );
}

#[test]
fn an_expired_waiver_fails() {
    let tree = Tree::data();
    let args = [
        "verify-pins",
        "--offline",
        "--today",
        AFTER_WAIVERS,
        "--format",
        "json",
    ];
    let ran = tree.run(XTASK, &args);
    assert_eq!(ran.code, 1);
    let waivers = tree
        .read("compose/pin-waivers.yaml")
        .matches("- image: ")
        .count();
    assert_eq!((waivers > 0, ran.findings().len()), (true, waivers));
}

#[test]
fn a_digest_of_the_wrong_length_is_shown_in_its_line() {
    let tree = Tree::data();
    tree.replace(
        COMPOSE,
        "polis-gate-oss:v0.4.0",
        "polis-gate-oss:v0.4.0@sha256:12ab",
    );
    let ran = verify_pins(&tree, &[]);
    assert_eq!(ran.code, 1);
    let error = ran
        .stderr
        .split("\n\n")
        .find(|part| part.starts_with("error"))
        .unwrap_or_default()
        .to_owned();
    expect![[r#"
        error[image-reference]: the image of service gate: a SHA-256 has 64 hex digits, this one has 4
           --> compose/docker-compose.yml:103:12
            |
        103 |     image: ghcr.io/odralabshq/polis-gate-oss:v0.4.0@sha256:12ab
            |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            |
            = help: a digest is `sha256:` and 64 hex digits; delete it and run `cargo xtask pin`, which looks it up"#]]
    .assert_eq(&error);
}

#[test]
fn malformed_files_are_errors_with_a_location() {
    let tree = Tree::data();
    tree.replace(COMPOSE, "name: polis\n", "name: polis\n\tx: 1\n");
    let ran = verify_pins(&tree, &[]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    expect![[r#"
        error[yaml-tab]: a tab in a YAML file
         --> compose/docker-compose.yml:8:1
          |
        8 |     x: 1
          | ^^^^
          |
          = help: indent with spaces: the parsers of cloud-init and Multipass reject tabs"#]]
    .assert_eq(ran.stderr.trim_end());

    let tree = Tree::data();
    tree.replace(
        "compose/pin-waivers.yaml",
        "version: 1",
        "version: 1\nversoin: 1",
    );
    let ran = verify_pins(&tree, &[]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    assert!(
        ran.stderr
            .contains("expected `version: 1` and a list `waivers:`"),
        "{}",
        ran.seen()
    );

    let tree = Tree::data();
    tree.replace(
        "cloud-init/cloud-init.yaml",
        "YQ_VERSION=v4.44.6",
        "YQ_VERSION=v4.44.7",
    );
    let ran = verify_pins(&tree, &["--format", "json"]);
    assert_eq!(ran.findings().len(), 1, "{}", ran.seen());
}

/// A checkout with Windows line ends and no final newline reads like any other.
#[test]
fn crlf_and_a_missing_final_newline_change_nothing() {
    let tree = Tree::data();
    let expected = verify_pins(&tree, &["--format", "json"]).report()["data"].clone();
    for path in [COMPOSE, "compose/pin-waivers.yaml"] {
        let text = tree.read(path).replace('\n', "\r\n");
        tree.write(path, text.trim_end());
    }
    let ran = verify_pins(&tree, &["--format", "json"]);
    assert_eq!(ran.report()["data"], expected, "{}", ran.seen());
}

#[test]
fn the_list_of_images_comes_from_the_compose_file() {
    expect![[r#"
        exit 0
        --- stdout
        built   ghcr.io/odralabshq/polis-init-oss:v0.5.0  from services/init/Dockerfile
        pulled  ghcr.io/odralabshq/polis-resolver-oss:v0.4.0
        pulled  ghcr.io/odralabshq/polis-certgen-oss:v0.4.0
        pulled  ghcr.io/odralabshq/polis-gate-oss:v0.4.0
        pulled  ghcr.io/odralabshq/polis-sentinel-oss:v0.4.0
        pulled  ghcr.io/odralabshq/polis-scanner-oss:v0.4.0
        pulled  ghcr.io/odralabshq/polis-workspace-oss:v0.4.0
        pulled  ghcr.io/odralabshq/polis-state-oss:v0.4.0
        pulled  ghcr.io/odralabshq/polis-toolbox-oss:v0.4.0
    "#]]
    .assert_eq(&Tree::data().run(XTASK, &["images", "list"]).seen());
    let report = Tree::data()
        .run(XTASK, &["images", "list", "--format", "json"])
        .report();
    assert_eq!(report["data"]["built"].as_array().map(Vec::len), Some(1));
}

#[test]
fn usage_errors_have_their_exit_code() {
    let tree = Tree::data();
    for args in [&["publish"][..], &["verify-pins", "--oflline"], &[]] {
        let ran = tree.run(XTASK, args);
        assert_eq!(ran.code, 4, "{}", ran.seen());
        assert!(ran.stdout.is_empty(), "{}", ran.seen());
    }
    assert_eq!(tree.run(XTASK, &["--help"]).code, 0);
    let elsewhere = tree.run(XTASK, &["images", "list", "--root", "/"]);
    expect![[r#"
        exit 4
        --- stderr
        error: `/` is not a checkout of Polis
          caused by: it has no `compose/docker-compose.yml`
          hint: name one with --root DIR
    "#]]
    .assert_eq(&elsewhere.seen());
}

/// Compose v2 itself accepts the file that users get.
#[test]
fn compose_accepts_the_compose_file() {
    let repository = repository();
    let tree = Tree::data();
    let file = repository.join(COMPOSE);
    let file = file.to_str().expect("a path in UTF-8");
    let plugin = tree.run("docker", &["compose", "version", "--short"]);
    let ran = if plugin.code == 0 && plugin.stdout.starts_with(['2', 'v', '5']) {
        tree.run(
            "docker",
            &["compose", "--file", file, "config", "--format", "json"],
        )
    } else if has_part("docker-compose") {
        tree.run(
            "docker-compose",
            &["--file", file, "config", "--format", "json"],
        )
    } else {
        return;
    };
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let config: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        config["services"].as_object().map(serde_json::Map::len),
        Some(12)
    );
    for (name, service) in config["services"].as_object().into_iter().flatten() {
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
    }
}

/// The documentation lists the pins of this tree.
#[test]
fn the_page_of_pins_is_up_to_date() {
    let tree = Tree::as_it_is();
    let ran = tree.run(XTASK, &["docs", "--check", "--format", "json"]);
    assert_eq!(ran.code, 0, "run `cargo xtask docs`: {}", ran.seen());
    ran.report();
    // An additional line in a file changes no pin; another pin does.
    tree.replace(CLOUD_INIT, "#cloud-config\n", "#cloud-config\n\n");
    assert_eq!(tree.run(XTASK, &["docs", "--check"]).code, 0);
    tree.replace("rust-toolchain.toml", "channel = \"", "channel = \"9");
    let stale = tree.run(XTASK, &["docs", "--check"]);
    assert_eq!(stale.code, 1, "{}", stale.seen());
    let diff = &stale.stdout;
    assert!(diff.contains("--- a/docs/pins.md\n"), "{diff}");
    assert!(
        diff.ends_with("would change; run `cargo xtask docs`\n"),
        "{diff}"
    );
    assert_eq!(tree.run(XTASK, &["docs"]).code, 0);
    assert_eq!(tree.run(XTASK, &["docs", "--check"]).code, 0);
}

/// Files with pins are read anywhere in the tree, except in build directories.
#[test]
fn pins_are_found_in_every_directory() {
    let tree = Tree::data();
    for dir in [".devcontainer", "tools/dist", "target/x", "dist"] {
        std::fs::create_dir_all(tree.root().join(dir)).expect("a directory");
        tree.write(&format!("{dir}/Dockerfile"), "FROM v.example/a:v1\n");
    }
    tree.write("tools/action.yml", "runs:\n  steps:\n    - uses: o/r@v1\n");
    tree.write("tools/clippy.toml", "msrv = \"1.94.0\"\n");
    let ran = verify_pins(&tree, &["--format", "json"]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    let mut found = ran.findings();
    found.sort();
    let expected = [
        "action-tag tools/action.yml:3",
        "pins-disagree tools/clippy.toml:1",
        "unpinned-action tools/action.yml:3",
        "unpinned-image .devcontainer/Dockerfile:1",
        "unpinned-image tools/dist/Dockerfile:1",
    ];
    assert_eq!(found, expected);
}
