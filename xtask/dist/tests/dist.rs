//! The verb `dist` as users see it: the real program on a copy of the tree, refusing before it builds anything.

use expect_test::expect;
use xtask_dist::ReleaseKind;
use xtask_testkit::{Ran, Tree};

const DIST: &str = env!("CARGO_BIN_EXE_xtask-dist");
const SECRET: &str = "POLIS_MINISIGN_SECRET_KEY";

/// A copy of the tree, committed, with its licence.
fn committed() -> Tree {
    let tree = Tree::data();
    tree.write("LICENSE", "some licence\n");
    commit(&tree);
    tree
}

fn commit(tree: &Tree) {
    let who = ["-c", "user.name=x", "-c", "user.email=x@example.org"];
    let git = |args: &[&str]| {
        let ran = tree.run("git", &[&who[..], args].concat());
        assert_eq!(ran.code, 0, "{}", ran.seen());
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "x"]);
}

fn dist(tree: &Tree, args: &[&str], env: &[(&str, &str)]) -> Ran {
    tree.run_with(DIST, &[&["dist"], args].concat(), env)
}

/// An arbitrary key: the text of its secret and of its public file.
fn key() -> (String, String) {
    let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key");
    let secret = pair.sk.to_box(None).expect("its file").into_string();
    (secret, pair.pk.to_box().expect("its file").into_string())
}

#[test]
fn a_release_needs_its_key() {
    let tree = committed();
    expect![[r#"
        exit 3
        --- stderr
        error: `POLIS_MINISIGN_SECRET_KEY` is not set
          caused by: every release must be signed
          hint: put the text of the minisign secret key file into `POLIS_MINISIGN_SECRET_KEY` and its password into `POLIS_MINISIGN_PASSWORD`
    "#]].assert_eq(&dist(&tree, &[], &[]).seen());
    let secret = "untrusted comment: x\nbm90IGEga2V5";
    let ran = dist(&tree, &["--format", "json"], &[(SECRET, secret)]);
    assert_eq!(ran.code, 3);
    ran.report();
    assert!(!ran.seen().contains("bm90IGEga2V5"), "{}", ran.seen());
}

#[test]
fn a_release_needs_a_commit_with_the_public_key() {
    let tree = committed();
    assert!(!tree.root().join("minisign.pub").exists());
    tree.write("notes.txt", "x");
    expect![[r#"
        exit 1
        --- stderr
        error: the working tree has uncommitted changes
          caused by: ?? notes.txt
          hint: commit or revert them: a release is made from a commit
          hint: to try it with these changes: `cargo xtask dist --rehearsal`
    "#]]
    .assert_eq(&dist(&tree, &["--archive-only"], &[]).seen());
    commit(&tree);
    let (secret, public) = key();
    let signed = [(SECRET, secret.as_str())];
    expect![[r#"
        exit 1
        --- stderr
        error: `[TREE]/minisign.pub` is missing
          hint: run this from a complete checkout, or name one with --root DIR
          hint: commit the public half of the signing key there: users verify releases with it
    "#]]
    .assert_eq(&dist(&tree, &[], &signed).seen());
    expect![[r#"
        exit 1
        --- stderr
        error: `[TREE]/minisign.pub` is missing
          hint: run this from a complete checkout, or name one with --root DIR
          hint: commit the public half of the signing key there: users verify releases with it
    "#]]
    .assert_eq(&dist(&tree, &["--unsigned"], &[]).seen());
    tree.write("minisign.pub", &key().1);
    commit(&tree);
    expect![[r#"
        exit 3
        --- stderr
        error: the signing key does not match `[TREE]/minisign.pub`
          hint: sign with the key whose public half is committed, or commit the new one and announce it
    "#]].assert_eq(&dist(&tree, &[], &signed).seen());
    tree.write("minisign.pub", &public);
    commit(&tree);
    // Then what the tree itself lacks, before anything is built.
    tree.replace(
        "compose/docker-compose.yml",
        "    image: ",
        "    image: r.example/not/pinned:v1 #",
    );
    commit(&tree);
    let ran = dist(&tree, &[], &signed);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    assert!(
        ran.stderr
            .contains("`r.example/not/pinned:v1` is not pinned"),
        "{}",
        ran.seen()
    );
    assert!(!tree.root().join("dist").exists());
}

#[test]
fn a_tree_without_a_licence_is_rejected() {
    let tree = committed();
    std::fs::remove_file(tree.root().join("LICENSE")).unwrap();
    expect![[r#"
        exit 1
        --- stderr
        error: `[TREE]/LICENSE` is missing
          hint: run this from a complete checkout, or name one with --root DIR
          hint: restore it from git: a release includes its licence
    "#]]
    .assert_eq(&dist(&tree, &["--rehearsal", "--archive-only"], &[]).seen());
    tree.write("LICENSE", "\n");
    let ran = dist(&tree, &["--rehearsal", "--prebuilt", "nowhere"], &[]);
    assert!(ran.stderr.contains("LICENSE` is empty"), "{}", ran.seen());
}

/// A release was once built from five text files with the names of archives.
#[test]
fn the_problems_of_all_archives_are_reported_together() {
    let tree = committed();
    let dir = tree.root().join("prebuilt");
    std::fs::create_dir(&dir).unwrap();
    let prebuilt = ["--rehearsal", "--prebuilt", "prebuilt"];
    let manifest = tree.read("Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = \""));
    let version = version.expect("a version").trim_end_matches('"');
    let named = |triple: &str| xtask_dist::archive_name(&format!("{version}-rehearsal"), triple);
    for triple in &xtask_dist::RELEASE_TARGETS[1..] {
        tree.write(&format!("prebuilt/{}", named(triple)), "a text\n");
    }
    let ran = dist(&tree, &prebuilt, &[]);
    let seen = ran.seen().replace(version, "VERSION");
    expect![[r#"
        exit 1
        --- stderr
        assemble the release ...
        error: the CLI archives cannot be released
          caused by: polis-VERSION-rehearsal-aarch64-apple-darwin.tar.gz: `prebuilt/polis-VERSION-rehearsal-aarch64-apple-darwin.tar.gz` is missing
          caused by: polis-VERSION-rehearsal-aarch64-unknown-linux-musl.tar.gz: it is not complete gzip: unexpected end of file
          caused by: polis-VERSION-rehearsal-x86_64-apple-darwin.tar.gz: it is not complete gzip: unexpected end of file
          caused by: polis-VERSION-rehearsal-x86_64-pc-windows-msvc.zip: it is not a complete zip: invalid Zip archive: Could not find EOCD
          caused by: polis-VERSION-rehearsal-x86_64-unknown-linux-musl.tar.gz: it is not complete gzip: unexpected end of file
          hint: build each from the commit being released with `cargo xtask dist --archive-only --target TRIPLE`
    "#]].assert_eq(&seen);
    // Fewer targets, fewer problems.
    let few = ["--target", "x86_64-unknown-linux-musl,x86_64-apple-darwin"];
    let ran = dist(&tree, &[&prebuilt[..], &few].concat(), &[]);
    assert_eq!(
        ran.stderr.matches("caused by:").count(),
        2,
        "{}",
        ran.seen()
    );
    assert!(!tree.root().join("dist").exists());
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_children_of_dist() {
    let arguments = ["dist", "--rehearsal", "--archive-only"];
    for signal in ["INT", "TERM", "HUP"] {
        let ended = committed().interrupt(DIST, &arguments, signal);
        assert_eq!(ended, (Some(130), Vec::new()), "{signal}");
    }
}

/// The directory that a release is assembled from can contain any type of file.
#[cfg(unix)]
#[test]
fn special_files_are_reported_and_not_read() {
    let tree = committed();
    let named = xtask_dist::archive_name("0.0.0-rehearsal", xtask_dist::RELEASE_TARGETS[0]);
    std::fs::create_dir(tree.root().join("prebuilt")).unwrap();
    let version = tree.read("Cargo.toml");
    let version = version
        .lines()
        .find_map(|line| line.strip_prefix("version = \""));
    let version = version.expect("a version").trim_end_matches('"');
    let named = format!("prebuilt/{}", named.replace("0.0.0", version));
    for (path, arguments) in [
        ("LICENSE", &["--rehearsal", "--archive-only"][..]),
        (&named, &["--rehearsal", "--prebuilt", "prebuilt"]),
    ] {
        let _ = std::fs::remove_file(tree.root().join(path));
        assert_eq!(tree.run("mkfifo", &[path]).code, 0);
        let command = [&["20", DIST, "dist"], arguments].concat();
        let ran = tree.run("timeout", &command);
        assert_eq!(ran.code, 1, "{}", ran.seen());
        let said = format!(
            "{}` is not a regular file",
            path.trim_start_matches("prebuilt/")
        );
        assert!(ran.stderr.contains(&said), "{}", ran.seen());
        std::fs::remove_file(tree.root().join(path)).unwrap();
        tree.write("LICENSE", "some licence\n");
    }
}

/// Installed programs verify releases by the key of their tree. A rehearsal's key is discarded, so its programs have
/// none.
#[test]
fn only_the_program_of_a_release_has_the_key() {
    let tree = Tree::data();
    let workspace = xtask_host::workspace::Workspace {
        root: tree.root().to_owned(),
        target: tree.root().join("target"),
    };
    let key_of = |kind| xtask_dist::facts(&workspace, kind, "1.2.3").map(|facts| facts.key);
    let none = polis_base::facts::NO_KEY;
    assert_eq!(
        key_of(ReleaseKind::Release).unwrap(),
        none,
        "the tree has none"
    );
    let (_, public) = key();
    tree.write("minisign.pub", &public);
    let line = public.lines().nth(1).unwrap();
    assert_eq!(key_of(ReleaseKind::Release).unwrap(), line);
    assert_eq!(key_of(ReleaseKind::Rehearsal).unwrap(), none);
    tree.write("minisign.pub", "untrusted comment: somebody's\nRWQ=\n");
    let error = key_of(ReleaseKind::Release).unwrap_err().to_string();
    assert!(error.contains("not a minisign public key file"), "{error}");
    assert_eq!(key_of(ReleaseKind::Rehearsal).unwrap(), none);
}
