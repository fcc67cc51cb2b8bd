//! Everything that prevents a release is reported before anything changes: a refused release sends no request that
//! changes something.

use std::fs;
use std::time::Duration;

use expect_test::expect;
use xtask_loopback::{Hold, Trip};
use xtask_online::github::{ReleaseFields, Upload};
use xtask_pins::compose::Compose;
use xtask_testkit::{Canary, Ran};

use crate::support::layout;

use super::fixture::{TARGETS, archive, fixture, git};
use super::release_env::{ReleaseEnv, finish};

fn fields(body: &str) -> ReleaseFields {
    ReleaseFields {
        tag: "v0.5.0".to_owned(),
        commit: "main".to_owned(),
        name: "Polis".to_owned(),
        body: body.to_owned(),
        prerelease: false,
    }
}

const MARKED: &str = "<!-- cargo xtask release v0.5.0 -->";

/// Releases into `test_env`, which must refuse with `code` and `words` and change nothing.
fn refuses(test_env: &ReleaseEnv, code: i32, words: &[&str]) -> Ran {
    refuses_with(test_env, &[], code, words)
}

fn refuses_with(test_env: &ReleaseEnv, more: &[&str], code: i32, words: &[&str]) -> Ran {
    let before = test_env.end();
    let ran = test_env.release_with(more);
    assert_eq!(ran.code, code, "{}", ran.seen());
    for word in words {
        assert!(ran.seen().contains(word), "`{word}`: {}", ran.seen());
    }
    assert_eq!(test_env.journal.entries(), [], "a refusal changes nothing");
    assert_eq!(test_env.end(), before);
    ran
}

#[test]
fn the_tag_must_be_on_github_and_name_the_commit() {
    let test_env = ReleaseEnv::new("0.5.0");
    test_env.github.untag("v0.5.0").unwrap();
    refuses(
        &test_env,
        1,
        &[
            "`v0.5.0` does not exist on GitHub",
            "git push origin v0.5.0",
        ],
    );
    test_env.github.tag("v0.5.0", &"9".repeat(40)).unwrap();
    refuses(&test_env, 1, &["on GitHub names a different commit"]);
    git(&test_env.root(), &["tag", "--delete", "v0.5.0"]);
    refuses(&test_env, 1, &["there is no tag `v0.5.0`"]);
    git(
        &test_env.root(),
        &["commit", "--quiet", "--allow-empty", "--message", "x"],
    );
    git(&test_env.root(), &["tag", "v0.5.0", "HEAD~1"]);
    refuses(&test_env, 1, &["names a different commit than HEAD"]);
}

#[test]
fn an_incomplete_image_of_the_stack_stops_the_release() {
    let test_env = ReleaseEnv::new("0.5.0");
    let compose = Compose::load(&test_env.root()).unwrap();
    let pulled = compose.readable_images().unwrap().into_iter();
    let mut pulled = pulled
        .filter(|used| used.build.is_none())
        .map(|used| used.image.unwrap());
    let image = pulled.next().unwrap();
    let layer = layout::stored_layer(&test_env.dir.path().join("registry"), &image);
    fs::remove_file(layer).unwrap();
    let name = image.unpinned().to_string();
    refuses(
        &test_env,
        2,
        &[
            "missing blob: layer sha256:",
            &name,
            "compose/docker-compose.yml:",
        ],
    );
}

#[test]
fn a_tag_that_moves_during_the_release_stops_it() {
    let test_env = ReleaseEnv::new("0.5.0");
    let hold = Hold::default();
    test_env.journal.trip(20, Trip::After(hold.clone()));
    let hosts = (test_env.github.url(), test_env.registry.url());
    let running = test_env.start("0.5.0", &hosts, &[], &[]);
    assert!(hold.wait(Duration::from_secs(120)));
    test_env.github.tag("v0.5.0", &"9".repeat(40)).unwrap();
    hold.release();
    let ran = finish(running);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    let releases = test_env.by_hand(async |github| github.releases().await.unwrap());
    assert!(releases.iter().all(|release| release.draft), "{releases:?}");
    assert!(!test_env.tags().contains_key("latest"));
}

#[test]
fn the_tree_must_be_ready() {
    let test_env = ReleaseEnv::new("0.5.0");
    let root = test_env.root();
    let commit = |message: &str| {
        git(&root, &["commit", "--quiet", "--all", "--message", message]);
        git(&root, &["tag", "--force", "v0.5.0"]);
        let head = git(&root, &["rev-parse", "HEAD"]);
        test_env.github.tag("v0.5.0", &head).unwrap();
    };
    fs::write(root.join("new"), "x").unwrap();
    refuses(&test_env, 1, &["uncommitted changes"]);
    fs::remove_file(root.join("new")).unwrap();
    let changelog = fs::read_to_string(root.join("CHANGELOG.md")).unwrap();
    let unreleased = changelog.replacen("## 0.5.0", "## 0.5.0 (unreleased)", 1);
    fs::write(root.join("CHANGELOG.md"), unreleased).unwrap();
    commit("unreleased");
    refuses(
        &test_env,
        1,
        &["marks 0.5.0 as unreleased", "cargo xtask prepare"],
    );
    fs::write(root.join("CHANGELOG.md"), changelog).unwrap();
    fs::remove_file(root.join("LICENSE")).unwrap();
    commit("no licence");
    refuses(&test_env, 1, &["LICENSE` is missing"]);
}

#[test]
fn all_problems_are_reported_together() {
    let test_env = ReleaseEnv::new("0.5.0");
    test_env.github.untag("v0.5.0").unwrap();
    test_env.github.set_push(false).unwrap();
    test_env.push_image("latest", None);
    fs::write(test_env.root().join("new"), "x").unwrap();
    let ran = refuses(
        &test_env,
        1,
        &[
            "uncommitted changes",
            "does not exist on GitHub",
            "the token may not write",
            "without a version",
        ],
    );
    assert_eq!(
        ran.report()["error"]["message"],
        "the release cannot start; nothing was changed"
    );
}

#[test]
fn each_archive_is_opened_before_anything_is_changed() {
    let test_env = ReleaseEnv::new("0.5.0");
    let dir = test_env.dir.path().join("assembled");
    let fine = || {
        fs::create_dir_all(&dir).unwrap();
        for entry in fs::read_dir(fixture("0.5.0").assembled()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
        }
    };
    let file = |triple: &str| dir.join(xtask_dist::archive_name("0.5.0", triple));
    let more = ["--assembled", dir.to_str().unwrap()];
    fine();
    for triple in TARGETS {
        fs::write(file(triple), "five text files were published once\n").unwrap();
    }
    let ran = refuses_with(&test_env, &more, 1, &[]);
    for triple in TARGETS {
        assert!(ran.seen().contains(triple), "{}", ran.seen());
    }
    fine();
    fs::remove_file(file(TARGETS[0])).unwrap();
    refuses_with(&test_env, &more, 1, &[TARGETS[0]]);
    fine();
    let workspace = xtask_host::workspace::Workspace {
        root: test_env.root(),
        target: test_env.root().join("target"),
    };
    let mut facts =
        xtask_dist::facts(&workspace, xtask_dist::ReleaseKind::Release, "0.5.0").unwrap();
    facts.compose = polis_base::Digest::of(b"another compose file");
    fs::write(
        file(TARGETS[1]),
        archive(&facts, TARGETS[1], &test_env.root()),
    )
    .unwrap();
    refuses_with(&test_env, &more, 1, &["the compose file in the program is"]);
    fine();
    let sbom = dir.join("polis-0.5.0.cdx.json");
    fs::write(&sbom, "{}").unwrap();
    let words = [
        "does not match what this tree releases",
        "polis-0.5.0.cdx.json",
    ];
    refuses_with(&test_env, &more, 2, &words);
}

#[test]
fn drafts_without_our_marker_are_shown_and_left_alone() {
    let test_env = ReleaseEnv::new("0.5.0");
    test_env.by_hand(async |github| {
        github.create_draft(&fields("one")).await.unwrap();
        github.create_draft(&fields("two")).await.unwrap();
    });
    refuses(
        &test_env,
        2,
        &["there are 2 drafts of v0.5.0", "id 1", "id 2"],
    );
}

#[test]
fn foreign_files_are_named_and_kept() {
    let test_env = ReleaseEnv::new("0.5.0");
    let draft = test_env.by_hand(async |github| {
        let draft = github.create_draft(&fields(MARKED)).await.unwrap();
        github
            .upload(draft.id, "notes.pdf", b"x".to_vec())
            .await
            .unwrap();
        draft
    });
    refuses(
        &test_env,
        2,
        &["files that do not belong to it", "notes.pdf"],
    );
    let other = ReleaseEnv::new("0.5.0");
    other.by_hand(async |github| {
        let draft = github.create_draft(&fields(MARKED)).await.unwrap();
        let there = github
            .upload(draft.id, "cloud-init.yaml", b"other".to_vec())
            .await;
        assert!(matches!(there.unwrap(), Upload::There(_)));
    });
    refuses(
        &other,
        2,
        &["has a different `cloud-init.yaml`", "nothing was changed"],
    );
    assert_eq!(draft.tag, "v0.5.0");
}

#[test]
fn a_public_release_is_never_touched() {
    let test_env = ReleaseEnv::new("0.5.0");
    let first = test_env.release();
    assert_eq!(first.code, 0, "{}", first.seen());
    test_env.journal.clear();
    // Somebody moves the version tag of the public release.
    test_env.push_image("v0.5.0", Some("0.5.0"));
    refuses(&test_env, 2, &["belongs to a public release"]);

    let by_hand = ReleaseEnv::new("0.5.0");
    by_hand.github.set_immutable(false).unwrap();
    by_hand.by_hand(async |github| {
        let draft = github.create_draft(&fields("by hand")).await.unwrap();
        github
            .publish(draft.id, &fields("by hand"), true)
            .await
            .unwrap();
    });
    refuses(
        &by_hand,
        2,
        &["has only a part of it", "release the next version"],
    );
}

#[test]
fn an_unreadable_latest_stops_the_release() {
    let test_env = ReleaseEnv::new("0.5.0");
    let digest = test_env.push_image("latest", None).to_string();
    refuses(&test_env, 2, &["names an image without a version", &digest]);
    let nightly = ReleaseEnv::new("0.5.0");
    nightly.github.set_immutable(false).unwrap();
    nightly.github.tag("nightly", &"9".repeat(40)).unwrap();
    nightly.by_hand(async |github| {
        let nightly = ReleaseFields {
            tag: "nightly".into(),
            ..fields("x")
        };
        let draft = github.create_draft(&nightly).await.unwrap();
        github.publish(draft.id, &nightly, true).await.unwrap();
    });
    refuses(&nightly, 2, &["GitHub's latest release is `nightly`"]);
}

#[test]
fn a_burnt_tag_requires_the_next_version() {
    let test_env = ReleaseEnv::new("0.5.0");
    let first = test_env.release();
    assert_eq!(first.code, 0, "{}", first.seen());
    let release = test_env.by_hand(async |github| github.releases().await.unwrap().remove(0));
    test_env.delete(&format!("/repos/odralabshq/polis/releases/{}", release.id));
    let ran = test_env.release();
    assert_eq!(ran.code, 1, "{}", ran.seen());
    let seen = ran.seen();
    assert!(seen.contains("was used by an immutable release"), "{seen}");
    assert!(seen.contains("release the next version"), "{seen}");
    assert!(!seen.contains("proxy"), "{seen}");
}

#[test]
fn one_release_at_a_time_in_a_checkout() {
    let test_env = ReleaseEnv::new("0.5.0");
    let hold = Hold::default();
    test_env.journal.trip(0, Trip::Before(hold.clone()));
    let hosts = (test_env.github.url(), test_env.registry.url());
    let running = test_env.start("0.5.0", &hosts, &[], &[]);
    assert!(hold.wait(Duration::from_secs(120)));
    let second = test_env.release();
    assert_eq!(second.code, 5, "{}", second.seen());
    assert!(
        second
            .seen()
            .contains("another release is running in this checkout"),
        "{}",
        second.seen()
    );
    hold.release();
    let first = finish(running);
    assert_eq!(first.code, 0, "{}", first.seen());
}

#[test]
fn a_needless_password_and_a_missing_key_are_errors() {
    let test_env = ReleaseEnv::new("0.5.0");
    let ran = test_env.release_env(&[], &[("POLIS_MINISIGN_PASSWORD", "p")]);
    assert_eq!(ran.code, 3, "{}", ran.seen());
    let ran = test_env.release_env(&[], &[("POLIS_MINISIGN_SECRET_KEY", "")]);
    assert_eq!(ran.code, 3, "{}", ran.seen());
    assert_eq!(test_env.journal.entries(), []);
}

/// Throughout a release, no secret of the environment reaches git or cargo.
#[cfg(target_os = "linux")]
#[test]
fn no_child_of_a_release_sees_a_secret() {
    let test_env = ReleaseEnv::new("0.5.0");
    let secrets = xtask_host::secrets::READ
        .into_iter()
        .chain(xtask_host::secrets::UNUSED);
    let canary = Canary::new(secrets).watching(&["git", "cargo", "rustc"]);
    let (ran, canary) = test_env.release_watched(canary);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    canary.assert_unseen(&ran, &["git "]);
}

#[test]
fn a_dry_run_shows_what_a_release_would_do() {
    let test_env = ReleaseEnv::new("0.5.0");
    let text = |test_env: &ReleaseEnv| {
        let ran = test_env.plan();
        assert_eq!(test_env.journal.entries(), [], "a dry run changes nothing");
        ran.seen().replace(&test_env.image("0.5.0"), "[DIGEST]")
    };
    expect![[r#"
        exit 0
        --- stdout
        Release 0.5.0 of Polis

        build
          images, and the CLI for aarch64-unknown-linux-musl, x86_64-unknown-linux-musl
          skipped: aarch64-apple-darwin, x86_64-apple-darwin, x86_64-pc-windows-msvc

        push
          create   ghcr.io/odralabshq/polis-init-oss:v0.5.0: [DIGEST]

        draft
          create   draft v0.5.0: does not exist yet

        publish
          create   v0.5.0: and GitHub's latest

        promote
          create   ghcr.io/odralabshq/polis-init-oss:latest: 0.5.0

        note: cannot tell whether releases are immutable: the token may not read that setting

        The release would be refused, before anything is changed:
          - `POLIS_MINISIGN_SECRET_KEY` is not set

        This is the plan; nothing was changed. --execute runs it, --rehearse runs it against loopback.
    "#]].assert_eq(&text(&test_env));
    let first = test_env.release();
    assert_eq!(first.code, 0, "{}", first.seen());
    test_env.journal.clear();
    test_env.push_image("v0.5.0", Some("0.5.0"));
    let after = text(&test_env);
    assert!(
        after.contains("refuse   ghcr.io/odralabshq/polis-init-oss:v0.5.0"),
        "{after}"
    );
    assert!(after.contains("skip     draft v0.5.0"), "{after}");
}
