//! Findings in each format that other programs read: GitHub, code scanning, Markdown.

use expect_test::{expect, expect_file};
use serde_json::{Value, json};
use xtask_testkit::{Ran, Tree, json_file};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
const COMPOSE: &str = "compose/docker-compose.yml";
const CI: &str = ".github/workflows/ci.yml";
const COMMIT: &str = "de0fac2e4500dabe0009e67214ff5f5447ce83dd";

/// A tree with one image, so that snapshots are short, and with one unpinned action.
fn broken() -> Tree {
    let tree = Tree::data();
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    tree.write(
        COMPOSE,
        &format!("services:\n  é:\n    {{image: ghcr.io/o/é:1}}\n  b:\n    image: ghcr.io/o/b:1@sha256:{digest}\n"),
    );
    tree.write("compose/pin-waivers.yaml", "version: 1\nwaivers: []\n");
    std::fs::remove_dir_all(tree.root().join(".github")).expect("the workflows");
    std::fs::create_dir_all(tree.root().join(".github/workflows")).expect("a directory");
    tree.write(
        CI,
        &format!(
            "jobs:\n  a:\n    steps:\n      - uses: actions/checkout@main # v6.0.2\n      - uses: actions/checkout@{COMMIT} # v6.0.2\n"
        ),
    );
    tree
}

fn run(tree: &Tree, format: &str, env: &[(&str, &str)]) -> Ran {
    let args = [
        "verify-pins",
        "--offline",
        "--today",
        "2026-11-01",
        "--format",
        format,
    ];
    tree.run_with(XTASK, &args, env)
}

#[test]
fn sarif_follows_the_standard_and_github() {
    let ran = run(&broken(), "sarif", &[]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    let log = ran.sarif();
    let run = &log["runs"][0];
    assert_eq!(run["automationDetails"]["id"], "verify-pins/");
    assert_eq!(run["invocations"][0]["exitCode"], 1);
    let rules: Vec<&Value> = run["tool"]["driver"]["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|rule| &rule["id"])
        .collect();
    let results = run["results"].as_array().expect("results");
    let mut fingerprints = std::collections::BTreeSet::new();
    for result in results {
        let index = result["ruleIndex"].as_u64().expect("an index");
        assert_eq!(
            rules[usize::try_from(index).expect("an index")],
            &result["ruleId"]
        );
        let location = &result["locations"][0]["physicalLocation"];
        assert_eq!(location["artifactLocation"]["uriBaseId"], "%SRCROOT%");
        let fingerprint = &result["partialFingerprints"]["primaryLocationLineHash"];
        assert!(
            fingerprints.insert(fingerprint.to_string()),
            "{fingerprint} twice"
        );
    }
    // Columns count characters, so the `é` before it counts once.
    let image = &results[0];
    assert_eq!(image["ruleId"], "image-reference");
    assert_eq!(image["level"], "error");
    let location = &image["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"]["uri"], COMPOSE);
    assert_eq!(
        location["region"],
        json!({
            "startLine": 3, "startColumn": 13, "endLine": 3, "endColumn": 26,
            "snippet": {"text": "    {image: ghcr.io/o/é:1}"},
        })
    );
}

/// An alert stays the same when lines are inserted above it. Another line is another alert.
#[test]
fn a_fingerprint_survives_moved_lines() {
    let tree = broken();
    let fingerprints = |tree: &Tree| -> Vec<Value> {
        let log = run(tree, "sarif", &[]).sarif();
        let results = log["runs"][0]["results"].as_array().cloned();
        let results = results.expect("results").into_iter();
        results
            .map(|result| result["partialFingerprints"].clone())
            .collect()
    };
    let before = fingerprints(&tree);
    tree.replace(COMPOSE, "services:", "# one\n# two\nservices:");
    assert_eq!(fingerprints(&tree), before);
    tree.replace(COMPOSE, "o/é:1", "o/é:2");
    let after = fingerprints(&tree);
    assert_ne!(after[0], before[0]);
    assert_eq!(after[1..], before[1..]);
}

#[test]
fn a_failed_verb_is_a_sarif_log_too() {
    let tree = Tree::data();
    let args = [
        "verify-pins",
        "--offline",
        "--today",
        "tomorrow",
        "--format",
        "sarif",
    ];
    let ran = tree.run(XTASK, &args);
    assert_eq!(ran.code, 4, "{}", ran.seen());
    let invocation = &ran.sarif()["runs"][0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    assert_eq!(
        invocation["toolExecutionNotifications"][0]["message"]["text"],
        "invalid value `tomorrow` for `--today`: expected YYYY-MM-DD"
    );
}

#[test]
fn github_gets_annotations_and_a_summary() {
    let tree = broken();
    tree.write("summary.md", "before\n");
    let summary = tree.root().join("summary.md");
    let summary = summary.to_str().expect("a path in UTF-8");
    let ran = run(&tree, "github", &[("GITHUB_STEP_SUMMARY", summary)]);
    expect![[r#"
        exit 1
        --- stdout
        ::error file=compose/docker-compose.yml,line=3,col=13,endColumn=26,title=image-reference::the image of service é: `o/é` is not a repository name%0Awrite `registry/owner/name:version`; `cargo xtask pin` adds the digest
        ::error file=.github/workflows/ci.yml,line=4,col=32,endColumn=36,title=unpinned-action::`actions/checkout` is not pinned by commit: `main` is a branch or a tag, which can be moved%0Awrite the 40 digits of the commit, followed by its tag as a comment
        images: 1 pinned; downloads: 4 pinned; keys: 1 pinned; actions: 1 pinned, 1 unpinned; toolchains: 1 pinned; unreadable images: 1
        not looked up: `cargo xtask verify-pins` without `--offline` compares the pins with the servers
    "#]].assert_eq(&ran.seen());
    expect![[r#"
        before
        ## `cargo xtask verify-pins`: findings

        images: 1 pinned; downloads: 4 pinned; keys: 1 pinned; actions: 1 pinned, 1 unpinned; toolchains: 1 pinned; unreadable images: 1

        |  | rule | place | what |
        | --- | --- | --- | --- |
        | error | `image-reference` | `compose/docker-compose.yml:3:13` | the image of service é: `o/é` is not a repository name<br>write `registry/owner/name:version`; `cargo xtask pin` adds the digest |
        | error | `unpinned-action` | `.github/workflows/ci.yml:4:32` | `actions/checkout` is not pinned by commit: `main` is a branch or a tag, which can be moved<br>write the 40 digits of the commit, followed by its tag as a comment |

        | kind | pin | pinned to | places | state |
        | --- | --- | --- | --- | --- |
        | image | `ghcr.io/o/b:1` | `sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855` | `compose/docker-compose.yml:5` | not looked up |
        | key | `https://download.docker.com/linux/ubuntu/gpg` | `9DC858229FC7DD38854AE2D88D81803C0EBFCD88` | `cloud-init/cloud-init.yaml:47` `:48` `:49` | not looked up |
        | download | `sysbox 0.7.1 amd64` | `sha256:9d6d5484f980d0a17f86c492c1262015c2afb66280bdb97215b79fde6a0261c5` | `cloud-init/cloud-init.yaml:54` `:55` `:56` | not looked up |
        | download | `sysbox 0.7.1 arm64` | `sha256:04ca894ae0b53f0fa54eaacc173ce40363c9a95ea5450f773716a84ef650a69b` | `cloud-init/cloud-init.yaml:54` `:57` `:58` | not looked up |
        | download | `yq v4.44.6 amd64` | `sha256:0c2b24e645b57d8e7c0566d18643a6d4f5580feeea3878127354a46f2a1e4598` | `cloud-init/cloud-init.yaml:61` `:62` `:63` | not looked up |
        | download | `yq v4.44.6 arm64` | `sha256:9477ac3cc447b6c083986129e35af8122eb2b938fe55c9c3e40436fb966e5813` | `cloud-init/cloud-init.yaml:61` `:64` `:65` | not looked up |
        | action | `actions/checkout v6.0.2` |  | `.github/workflows/ci.yml:4` | unpinned |
        | action | `actions/checkout v6.0.2` | `de0fac2e4500dabe0009e67214ff5f5447ce83dd` | `.github/workflows/ci.yml:5` | not looked up |
        | toolchain | `rust` | `1.95.0` | `rust-toolchain.toml:3` `Cargo.toml:10` | not looked up |

    "#]].assert_eq(&tree.read("summary.md"));
}

#[test]
fn only_verbs_that_check_something_print_findings() {
    let tree = Tree::data();
    for format in ["sarif", "github", "markdown"] {
        let ran = tree.run(XTASK, &["images", "list", "--format", format]);
        assert_eq!(ran.code, 4, "{}", ran.seen());
    }
    let ran = tree.run(XTASK, &["images", "list", "--format", "sarif"]);
    expect![[r#"
        exit 4
        --- stderr
        error: `images list` checks nothing, so it has no findings to print
          hint: use `--format human` or `--format json`
    "#]]
    .assert_eq(&ran.seen());
}

/// `UPDATE_EXPECT=1 cargo test --package xtask --test reports` writes it.
#[test]
fn the_schema_of_reports_is_that_of_their_types() {
    let schema = json_file(xtask_host::reports::schema::of_reports());
    // An absolute path: other tests run this one in other directories.
    expect_file![concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../schemas/report.schema.json"
    )]
    .assert_eq(&schema);
}
