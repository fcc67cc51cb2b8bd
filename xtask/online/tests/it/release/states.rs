//! A release succeeds from every state that a crash, a colleague or GitHub may leave.

use std::time::Duration;

use xtask_loopback::{Hold, Trip};
use xtask_online::github::{Release, ReleaseFields, Upload};
use xtask_testkit::Ran;

use super::fixture::head;
use super::release_env::{ReleaseEnv, finish};

fn stale(tag: &str) -> ReleaseFields {
    ReleaseFields {
        tag: tag.to_owned(),
        commit: "main".to_owned(),
        name: "Something else".to_owned(),
        body: "Written by hand.".to_owned(),
        prerelease: true,
    }
}

/// A draft of our tag, as an earlier run left it.
fn ours() -> ReleaseFields {
    ReleaseFields {
        body: "x <!-- cargo xtask release v0.5.0 -->".to_owned(),
        ..stale("v0.5.0")
    }
}

fn releases(test_env: &ReleaseEnv) -> Vec<Release> {
    test_env.by_hand(async |github| github.releases().await.unwrap())
}

fn released(test_env: &ReleaseEnv) -> Ran {
    let ran = test_env.release();
    assert_eq!(ran.code, 0, "{}", ran.seen());
    ran
}

#[test]
fn a_reused_draft_gets_the_fields_of_the_release() {
    let test_env = ReleaseEnv::new("0.5.0");
    let draft =
        test_env.by_hand(async |github| github.create_draft(&stale("v0.5.0")).await.unwrap());
    released(&test_env);
    let [release] = &releases(&test_env)[..] else {
        panic!("one release");
    };
    assert_eq!(release.id, draft.id);
    assert_eq!(
        (
            release.name.as_str(),
            release.commit.as_str(),
            release.prerelease
        ),
        ("Polis 0.5.0", head(&test_env.root()).as_str(), false)
    );
    assert!(!release.body.contains("by hand"), "{}", release.body);
    let kept = test_env
        .root()
        .join(format!("target/replaced/draft-{}.md", draft.id));
    let kept = std::fs::read_to_string(kept).unwrap();
    assert!(
        kept.contains("Something else") && kept.contains("Written by hand."),
        "{kept}"
    );
}

#[test]
fn of_two_drafts_the_one_with_our_marker_is_used() {
    let test_env = ReleaseEnv::new("0.5.0");
    let (by_hand, marked) = test_env.by_hand(async |github| {
        let by_hand = github.create_draft(&stale("v0.5.0")).await.unwrap();
        (by_hand, github.create_draft(&ours()).await.unwrap())
    });
    released(&test_env);
    let releases = releases(&test_env);
    let of = |id: u64| releases.iter().find(|release| release.id == id).unwrap();
    assert!(!of(marked.id).draft && of(by_hand.id).draft);
    assert_eq!(of(by_hand.id).body, "Written by hand.");
}

#[test]
fn an_interrupted_upload_is_replaced_and_a_valid_signature_kept() {
    let test_env = ReleaseEnv::new("0.5.0");
    // Kill the release when it is about to publish, after all uploads.
    let whole = ReleaseEnv::new("0.5.0");
    released(&whole);
    let entries = whole.journal.entries();
    let publish = entries
        .iter()
        .position(|entry| entry.method == "PATCH")
        .unwrap();
    let hold = Hold::default();
    test_env.journal.trip(publish, Trip::Before(hold.clone()));
    let hosts = (test_env.github.url(), test_env.registry.url());
    let (mut child, files) = test_env.start("0.5.0", &hosts, &[], &[]);
    assert!(hold.wait(Duration::from_secs(120)));
    child.kill().unwrap();
    finish((child, files));
    let (draft, before) = test_env.by_hand(async |github| {
        let draft = github.releases().await.unwrap().remove(0);
        let assets = github.assets(draft.id).await.unwrap();
        (draft, assets)
    });
    assert!(draft.draft);
    // Turn one of its files into an interrupted upload.
    let broken = before
        .iter()
        .find(|asset| asset.name == "cloud-init.yaml")
        .unwrap();
    test_env.delete(&format!(
        "/repos/odralabshq/polis/releases/assets/{}",
        broken.id
    ));
    test_env
        .github
        .plant_asset(draft.id, "cloud-init.yaml", b"", "starter")
        .unwrap();
    test_env.journal.clear();
    released(&test_env);
    let deletions = test_env
        .journal
        .entries()
        .into_iter()
        .filter(|entry| entry.method == "DELETE");
    assert_eq!(deletions.count(), 1, "only the broken one");
    let after = test_env.by_hand(async |github| github.assets(draft.id).await.unwrap());
    for old in before.iter().filter(|old| old.name != "cloud-init.yaml") {
        assert!(after.contains(old), "{old:?} is another file now");
    }
}

#[test]
fn an_image_of_an_unreleased_attempt_is_replaced_and_reported() {
    let test_env = ReleaseEnv::new("0.5.0");
    let was = test_env.push_image("v0.5.0", Some("0.5.0"));
    let ran = test_env.release_with(&["--until", "pushed"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert!(releases(&test_env).is_empty(), "before any release exists");
    let now = test_env.image("0.5.0");
    assert_eq!(test_env.tags()["v0.5.0"], now);
    assert_ne!(was.to_string(), now);
}

#[test]
fn latest_never_moves_backwards() {
    let test_env = ReleaseEnv::new("0.5.0");
    test_env.check_out("1.0.0");
    let hosts = (test_env.github.url(), test_env.registry.url());
    let newer = finish(test_env.start("1.0.0", &hosts, &[], &[]));
    assert_eq!(newer.code, 0, "{}", newer.seen());
    released(&test_env);
    let latest = test_env.by_hand(async |github| github.latest().await.unwrap().unwrap());
    assert_eq!(latest.tag, "v1.0.0");
    assert_eq!(test_env.tags()["latest"], test_env.image("1.0.0"));
    assert_eq!(test_env.tags()["v0.5.0"], test_env.image("0.5.0"));
}

#[test]
fn a_mutable_release_causes_a_warning() {
    let test_env = ReleaseEnv::new("0.5.0");
    test_env.github.set_immutable(false).unwrap();
    let ran = released(&test_env);
    let warnings = ran.report()["data"]["warnings"].to_string();
    assert!(warnings.contains("NOT immutable"), "{warnings}");
    let frozen = ReleaseEnv::new("0.5.0");
    let data = released(&frozen).report()["data"].clone();
    assert_eq!(data["warnings"], serde_json::json!([]));
    assert_eq!(data["signing_key_protected"], false);
}

#[test]
fn the_attestation_is_awaited_for_a_limited_time() {
    let late = ReleaseEnv::new("0.5.0");
    late.github.set_attestation_lag(1).unwrap();
    assert_eq!(
        released(&late).report()["data"]["warnings"],
        serde_json::json!([])
    );
    let never = ReleaseEnv::new("0.5.0");
    never.github.set_attestation_lag(1000).unwrap();
    let warnings = released(&never).report()["data"]["warnings"].to_string();
    assert!(warnings.contains("no attestation"), "{warnings}");
}

#[test]
fn responses_that_octocrab_would_reject_are_accepted() {
    let test_env = ReleaseEnv::new("0.5.0");
    test_env.github.set_gravatar(false).unwrap();
    released(&test_env);
}

#[test]
fn a_file_that_a_colleague_deletes_is_uploaded() {
    let test_env = ReleaseEnv::new("0.5.0");
    let draft = test_env.by_hand(async |github| {
        let draft = github.create_draft(&ours()).await.unwrap();
        let there = github
            .upload(draft.id, "notes.pdf", b"x".to_vec())
            .await
            .unwrap();
        assert!(matches!(there, Upload::There(_)));
        draft
    });
    let ran = test_env.release();
    assert_eq!(ran.code, 2, "{}", ran.seen());
    let assets = test_env.by_hand(async |github| github.assets(draft.id).await.unwrap());
    test_env.delete(&format!(
        "/repos/odralabshq/polis/releases/assets/{}",
        assets[0].id
    ));
    released(&test_env);
}
