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
            "tracing",
        ],
    );
    absent(
        "xtask-dist",
        &[
            "reqwest",
            "tokio",
            "octocrab",
            "oci-client",
            "hyper",
            "rustls",
            "jsonschema",
            "tracing",
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
            "tracing",
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
        &[
            "xtask",
            "xtask-check",
            "xtask-dist",
            "xtask-online",
            "tokio",
            "reqwest",
        ],
    );
    // Nor any TLS or anything in C: its targets are built without a C compiler, and `polis update` asks curl.
    absent(
        "polis",
        &["cc", "ring", "rustls", "openssl-sys", "native-tls"],
    );
    absent("polis-init", &["xtask", "polis", "clap", "tokio"]);
}
