//! The rehearsal, whole, twice: in two directories, with two cargo homes.

use std::path::Path;

use serde_json::Value;
use xtask_testkit::Tree;

use crate::support::{real_part, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_xtask-online");

fn rehearse(tree: &Tree, env: &[(&str, &str)]) -> Value {
    let before = tree.read("compose/docker-compose.yml");
    let ran = tree.run_with(PROGRAM, &["release", "--rehearse", "--format", "json"], env);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert_eq!(
        tree.read("compose/docker-compose.yml"),
        before,
        "the tree itself is not touched"
    );
    ran.report()["data"].clone()
}

/// The assets that must be the same each time: all but what the key made for one rehearsal signs.
fn reproducible(data: &Value) -> Vec<String> {
    let assets = data["assets"].as_array().unwrap();
    let assets = assets.iter().map(|asset| {
        format!(
            "{} {}",
            asset["sha256"].as_str().unwrap(),
            asset["name"].as_str().unwrap()
        )
    });
    assets.filter(|asset| !asset.contains("minisig")).collect()
}

#[test]
fn a_rehearsal_releases_the_same_bytes_from_anywhere() {
    let (one, other) = (Tree::whole(), Tree::whole());
    let first = rehearse(&one, &[]);
    let home = other.root().join("another-cargo-home");
    let registry = std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::home_dir().unwrap().join(".cargo"),
        std::path::PathBuf::from,
    );
    std::fs::create_dir(&home).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(registry.join("registry"), home.join("registry")).unwrap();
    let second = rehearse(&other, &[("CARGO_HOME", home.to_str().unwrap())]);
    assert_eq!(first["images"], second["images"]);
    assert_eq!(reproducible(&first), reproducible(&second));
    assert_eq!(reproducible(&first).len(), 5, "{first:#}");

    let dist = one.root().join("dist");
    nothing_can_be_mistaken(&one, &dist);
    users_can_verify(&dist);
}

fn nothing_can_be_mistaken(tree: &Tree, dist: &Path) {
    let compose = std::fs::read_to_string(dist.join("docker-compose.yml")).unwrap();
    let images: Vec<&str> = compose
        .lines()
        .filter(|line| line.trim_start().starts_with("image:"))
        .collect();
    assert_eq!(images.len(), 11);
    assert!(
        images
            .iter()
            .all(|image| image.contains("rehearsal.invalid/") && image.contains("@sha256:")),
        "{images:#?}"
    );
    let archive = std::fs::read_dir(dist)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ext| ext == "gz"))
        .unwrap();
    assert!(archive.to_string_lossy().contains("-rehearsal-"));
    run(
        "tar",
        [
            "-xzf",
            archive.to_str().unwrap(),
            "-C",
            tree.root().to_str().unwrap(),
        ],
    );
    let dir = archive
        .file_name()
        .unwrap()
        .to_string_lossy()
        .replace(".tar.gz", "");
    let program = tree.root().join(dir).join("polis");
    let version = String::from_utf8(run(program, ["version"])).unwrap();
    assert!(version.starts_with("polis 0.5.0-rehearsal\n"), "{version}");
}

fn users_can_verify(dist: &Path) {
    let dir = dist.to_str().unwrap();
    run(
        "sh",
        [
            "-c",
            &format!("cd '{dir}' && sha256sum -c --strict SHA256SUMS"),
        ],
    );
    let Some(minisign) = real_part("minisign") else {
        return;
    };
    let (sums, key) = (dist.join("SHA256SUMS"), dist.join("minisign.pub"));
    let verify = [
        "-V",
        "-p",
        key.to_str().unwrap(),
        "-m",
        sums.to_str().unwrap(),
    ];
    let said = String::from_utf8(run(&minisign, verify)).unwrap();
    assert!(said.contains("REHEARSAL, not a release"), "{said}");
    std::fs::write(
        &sums,
        std::fs::read_to_string(&sums).unwrap().replace('a', "b"),
    )
    .unwrap();
    let refused = crate::support::command(&minisign)
        .args(verify)
        .output()
        .unwrap();
    assert!(
        !refused.status.success(),
        "a changed list of checksums must not verify"
    );
}
