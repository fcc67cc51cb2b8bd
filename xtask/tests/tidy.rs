//! Properties of the project itself that nobody should have to remember.

use std::collections::BTreeSet;

use xtask_testkit::{Tree, repository};

/// The names of all crates that building `package` compiles.
fn crates(package: &str) -> BTreeSet<String> {
    let manifest = repository().join("Cargo.toml");
    let manifest = manifest.to_str().expect("a path in UTF-8");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let args = [
        "tree",
        "--locked",
        "--manifest-path",
        manifest,
        "--package",
        package,
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--target",
        "all",
    ];
    let ran = Tree::data().run(cargo, &args);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    ran.stdout
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

fn absent(package: &str, unwanted: &[&str]) {
    let crates = crates(package);
    assert!(crates.len() > 3, "{crates:?}");
    for name in unwanted {
        assert!(!crates.contains(*name), "{package} compiles {name}");
    }
}

#[test]
fn offline_verbs_compile_no_http_stack_and_no_schema_validator() {
    absent(
        "xtask",
        &[
            "reqwest",
            "tokio",
            "octocrab",
            "oci-client",
            "hyper",
            "rustls",
            "jsonschema",
        ],
    );
    absent(
        "xtask-check",
        &[
            "reqwest",
            "tokio",
            "octocrab",
            "oci-client",
            "hyper",
            "rustls",
        ],
    );
}

#[test]
fn there_is_one_tls_and_one_crypto_backend() {
    let crates = crates("xtask-online");
    assert!(
        crates.contains("rustls") && crates.contains("ring"),
        "{crates:?}"
    );
    absent(
        "xtask-online",
        &[
            "aws-lc-rs",
            "aws-lc-sys",
            "openssl",
            "openssl-sys",
            "native-tls",
        ],
    );
}

#[test]
fn the_cli_never_depends_on_the_release_tools() {
    absent(
        "polis",
        &["xtask", "xtask-check", "xtask-online", "tokio", "reqwest"],
    );
    absent("polis-init", &["xtask", "polis", "clap", "tokio"]);
}

/// Every action is pinned by a commit, with its version beside it.
#[test]
fn workflows_use_actions_by_commit() {
    let dir = repository().join(".github/workflows");
    let mut uses = 0;
    for entry in std::fs::read_dir(dir).expect("workflows") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a workflow");
        for line in text
            .lines()
            .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: "))
        {
            let (action, comment) = line.split_once(" # ").unwrap_or((line, ""));
            let commit = action.split_once('@').map_or("", |(_, commit)| commit);
            let hex = commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
            assert!(
                hex && comment.starts_with('v'),
                "{}: {line}",
                path.display()
            );
            uses += 1;
        }
    }
    assert!(uses > 5);
}

/// RELEASE_TARGETS and the matrix of the release workflow name the same targets.
#[test]
fn the_release_workflow_builds_every_target() {
    let workflow = repository().join(".github/workflows/release.yml");
    let workflow = std::fs::read_to_string(workflow).expect("the release workflow");
    let built: BTreeSet<&str> = workflow
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- target: "))
        .collect();
    assert_eq!(built, BTreeSet::from(xtask::dist::RELEASE_TARGETS));
}

/// The library crates use this module; the pin of the toolchain and the minimum version agree.
#[test]
fn the_toolchain_is_the_one_that_the_manifest_names() {
    let toolchain = std::fs::read_to_string(repository().join("rust-toolchain.toml"))
        .expect("the toolchain file");
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).expect("the manifest");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .expect("a rust-version");
    let version = version.trim_matches('"');
    assert!(
        toolchain.contains(&format!("channel = \"{version}.")),
        "{toolchain}"
    );
}
