use std::collections::BTreeMap;

use expect_test::expect;
use polis_base::Digest;
use xtask_dist::SIGNATURE;
use xtask_online::github::TagRef;

use super::*;
use crate::release::decide::{marker, newest};

const TAG: &str = "v0.5.0";
const COMMIT: &str = "1111111111111111111111111111111111111111";

fn fields() -> ReleaseFields {
    ReleaseFields {
        tag: TAG.to_owned(),
        commit: COMMIT.to_owned(),
        name: "Polis 0.5.0".to_owned(),
        body: format!("- New.\n\n{}", marker(TAG)),
        prerelease: false,
    }
}

/// A release, or a draft.
fn release(id: u64, tag: &str, draft: bool) -> Release {
    Release {
        id,
        tag: tag.to_owned(),
        commit: COMMIT.to_owned(),
        name: format!("Polis {}", &tag[1..]),
        body: "by hand".to_owned(),
        draft,
        prerelease: tag.contains('-'),
        immutable: false,
        page: format!("https://github.com/o/r/releases/{id}"),
        assets: Vec::new(),
    }
}

fn ours(id: u64) -> Release {
    Release {
        body: fields().body,
        ..release(id, TAG, true)
    }
}

fn asset(name: &str, bytes: &[u8]) -> ReleaseFile {
    ReleaseFile {
        name: name.to_owned(),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    }
}

fn there(name: &str, bytes: &[u8], uploaded: bool) -> github::Asset {
    github::Asset {
        id: 7,
        name: name.to_owned(),
        uploaded,
        size: bytes.len() as u64,
        digest: uploaded.then(|| Digest::of(bytes)),
        download: format!("https://github.com/o/r/{name}"),
    }
}

fn image() -> ImageRef {
    let image: ImageRef = "ghcr.io/o/init:v0.5.0".parse().unwrap();
    image.pinned(Digest::of(b"now"))
}

fn observed() -> Observed {
    Observed {
        may_write: None,
        immutable: Setting::On,
        tag: Some(TagRef {
            object: "2".repeat(40),
            commit: COMMIT.to_owned(),
        }),
        releases: Vec::new(),
        assets: BTreeMap::new(),
        latest: None,
        images: BTreeMap::new(),
    }
}

fn wanted() -> Wanted {
    Wanted {
        version: Version::new(0, 5, 0),
        fields: fields(),
        images: vec![image()],
        assets: Some(vec![asset("a.tar.gz", b"a"), asset(SIGNATURE, b"s")]),
    }
}

fn chosen(releases: &[Release]) -> (Draft, Vec<String>) {
    draft(releases, TAG).unwrap()
}

#[test]
fn a_single_draft_or_the_oldest_of_ours_is_reused() {
    assert_eq!(chosen(&[release(1, "v0.4.0", false)]).0, Draft::Create);
    assert_eq!(
        chosen(&[release(3, TAG, true)]).0,
        Draft::TakeUp(release(3, TAG, true))
    );
    let (draft, notes) = chosen(&[ours(9), release(4, TAG, true), ours(6)]);
    assert_eq!(draft, Draft::TakeUp(ours(6)));
    assert_eq!(notes.len(), 2, "{notes:?}");
    let (draft, notes) = chosen(&[ours(9), release(4, TAG, false)]);
    assert_eq!(draft, Draft::Public(release(4, TAG, false)));
    assert!(notes[0].contains("id 9"), "{notes:?}");
}

#[test]
fn two_drafts_of_other_people_are_both_shown() {
    let error = super::draft(&[release(4, TAG, true), release(3, TAG, true)], TAG)
        .expect_err("an unreadable version");
    expect![[r#"
        error: there are 2 drafts of v0.5.0, none of them made by a release
          caused by: id 3, "Polis 0.5.0", 0 files, https://github.com/o/r/releases/3
          caused by: id 4, "Polis 0.5.0", 0 files, https://github.com/o/r/releases/4
          hint: inspect them and delete those that are not needed; then run the same command again"#]]
    .assert_eq(&error.to_string());
}

#[test]
fn a_draft_with_other_fields_is_corrected() {
    assert!(ours(1).says(&fields()));
    let as_a_browser_writes = Release {
        body: fields().body.replace('\n', "\r\n") + "\r\n",
        ..ours(1)
    };
    assert!(as_a_browser_writes.says(&fields()));
    for stale in [
        Release {
            name: "Polis 0.4.9".into(),
            ..ours(1)
        },
        Release {
            body: "old".into(),
            ..ours(1)
        },
        Release {
            prerelease: true,
            ..ours(1)
        },
        Release {
            commit: "main".into(),
            ..ours(1)
        },
    ] {
        assert!(!stale.says(&fields()), "{stale:?}");
    }
}

#[test]
fn a_version_tag_changes_only_before_its_release_is_public() {
    let (now, other) = (Digest::of(b"now"), Digest::of(b"other"));
    assert_eq!(push(&image(), None, false).unwrap(), Push::Create);
    assert_eq!(push(&image(), None, true).unwrap(), Push::Create);
    assert_eq!(push(&image(), Some(now), true).unwrap(), Push::Skip);
    assert_eq!(
        push(&image(), Some(other), false).unwrap(),
        Push::Replace(other)
    );
    let error = push(&image(), Some(other), true).expect_err("public");
    assert_eq!(error.outcome, Outcome::Drift);
}

#[test]
fn existing_bytes_are_never_replaced() {
    let file = asset("a.tar.gz", b"a");
    assert_eq!(put(&file, &[]).unwrap(), Put::Create);
    assert_eq!(
        put(&file, &[there("a.tar.gz", b"a", true)]).unwrap(),
        Put::Skip
    );
    let broken = there("a.tar.gz", b"", false);
    assert_eq!(
        put(&file, std::slice::from_ref(&broken)).unwrap(),
        Put::Finish(broken)
    );
    let error = put(&file, &[there("a.tar.gz", b"b", true)]).expect_err("other bytes");
    assert!(error.to_string().contains("nothing was changed"), "{error}");
    let signature = there(SIGNATURE, b"another", true);
    assert_eq!(
        put(&asset(SIGNATURE, b"s"), std::slice::from_ref(&signature)).unwrap(),
        Put::Keep(signature)
    );
    let foreign = [
        there("a.tar.gz", b"a", true),
        there("notes.pdf", b"x", true),
    ];
    let error = no_foreign(&[file], &foreign, TAG).expect_err("foreign");
    assert!(
        error.to_string().contains("caused by: notes.pdf"),
        "{error}"
    );
}

#[test]
fn latest_only_moves_forward() {
    let version = Version::new(0, 5, 0);
    let digest = Some(Digest::of(b"now"));
    let at = |bytes: &[u8], version: Option<Version>| LatestTag::At(Digest::of(bytes), version);
    let decide = |latest: &LatestTag| promote(&image(), &version, digest, latest);
    assert_eq!(decide(&LatestTag::Missing).unwrap(), Promotion::Move(None));
    let older = Version::new(0, 4, 9);
    assert_eq!(
        decide(&at(b"x", Some(older.clone()))).unwrap(),
        Promotion::Move(Some(older))
    );
    assert!(matches!(
        decide(&at(b"x", Some(Version::new(1, 0, 0)))).unwrap(),
        Promotion::Stay(_)
    ));
    assert!(matches!(
        decide(&at(b"now", None)).unwrap(),
        Promotion::Stay(_)
    ));
    let error = decide(&at(b"x", None)).expect_err("unreadable").to_string();
    assert!(error.contains(&Digest::of(b"x").to_string()), "{error}");
}

#[test]
fn the_newest_public_version_is_githubs_latest() {
    let releases = [
        release(1, "v0.4.0", false),
        release(2, "v1.0.0-rc.1", false),
        release(3, "v2.0.0", true),
        release(4, "nightly", false),
    ];
    assert_eq!(newest(&releases).map(|(_, release)| release.id), Some(1));
    assert!(is_latest(&Version::new(0, 5, 0), &releases));
    assert!(!is_latest(&Version::new(0, 3, 9), &releases));
    assert!(!is_latest(&"0.6.0-rc.1".parse().unwrap(), &releases));
    let error = readable_latest(Some(&releases[3])).expect_err("no version");
    assert!(error.to_string().contains("`nightly`"), "{error}");
    assert!(readable_latest(Some(&releases[0])).is_ok() && readable_latest(None).is_ok());
}

#[test]
fn pushing_images_needs_no_write_access_to_releases() {
    let observed = Observed {
        may_write: Some(false),
        ..observed()
    };
    let refusals = |until| Plan::new(&observed, &wanted(), until).refusals.len();
    assert_eq!(refusals(Until::Pushed), 0);
    assert_eq!(refusals(Until::Published), 1);
}

fn shown(plan: &Plan) -> String {
    let refusals = plan
        .refusals
        .iter()
        .map(|refusal| format!("refusal: {}\n", refusal.message));
    plan.to_text() + &refusals.collect::<String>()
}

#[test]
fn the_plan_of_a_new_release_creates_everything() {
    expect![[r#"

        push
          create   ghcr.io/o/init:v0.5.0: sha256:ed5eb9a37e2d8231af3388319b941995f6dc8755c56043d0cc52b5fe405a87de

        draft
          create   draft v0.5.0: does not exist yet

        upload
          create   a.tar.gz: 1 bytes
          create   SHA256SUMS.minisig: 1 bytes

        publish
          create   v0.5.0: and GitHub's latest

        promote
          create   ghcr.io/o/init:latest: 0.5.0
    "#]]
    .assert_eq(&shown(&Plan::new(&observed(), &wanted(), Until::Published)));
}

#[test]
fn everything_that_prevents_a_release_is_reported_together() {
    let public = release(5, TAG, false);
    let held = PublishedImage {
        version: Some(Digest::of(b"was")),
        latest: LatestTag::At(Digest::of(b"?"), None),
    };
    let observed = Observed {
        may_write: Some(false),
        immutable: Setting::Off,
        tag: None,
        assets: BTreeMap::from([(
            5,
            vec![there("a.tar.gz", b"b", true), there("x", b"x", true)],
        )]),
        releases: vec![public],
        latest: Some(release(6, "nightly", false)),
        images: BTreeMap::from([(image().unpinned(), held)]),
    };
    expect![[r#"

        push
          refuse   ghcr.io/o/init:v0.5.0: belongs to a public release

        draft
          skip     draft v0.5.0: already public: https://github.com/o/r/releases/5

        upload
          refuse   a.tar.gz: see below
          refuse   SHA256SUMS.minisig: see below

        publish
          skip     v0.5.0: already public

        promote
          refuse   ghcr.io/o/init:latest: its version cannot be read

        note: releases of this repository are not immutable: published files can still be changed (RELEASING.md)
        refusal: the tag `v0.5.0` does not exist on GitHub
        refusal: the token may not write to the repository
        refusal: GitHub's latest release is `nightly`, which is not a version
        refusal: `ghcr.io/o/init:v0.5.0` belongs to a public release and has different content
        refusal: the release v0.5.0 has files that do not belong to it
        refusal: the release already has a different `a.tar.gz`
        refusal: the public release v0.5.0 lacks `SHA256SUMS.minisig`, or has only a part of it
        refusal: `ghcr.io/o/init:latest` names an image without a version
    "#]].assert_eq(&shown(&Plan::new(&observed, &wanted(), Until::Published)));
}

#[test]
fn the_plan_after_success_skips_everything() {
    let public = Release {
        body: fields().body,
        ..release(5, TAG, false)
    };
    let digest = image().digest().unwrap();
    let held = PublishedImage {
        version: Some(digest),
        latest: LatestTag::At(digest, Some(Version::new(0, 5, 0))),
    };
    let observed = Observed {
        assets: BTreeMap::from([(
            5,
            vec![there("a.tar.gz", b"a", true), there(SIGNATURE, b"t", true)],
        )]),
        latest: Some(public.clone()),
        releases: vec![public],
        images: BTreeMap::from([(image().unpinned(), held)]),
        ..observed()
    };
    let plan = Plan::new(&observed, &wanted(), Until::Published);
    assert!(plan.refusals.is_empty(), "{}", shown(&plan));
    assert!(
        plan.lines.iter().all(|line| line.action == Action::Skip),
        "{}",
        shown(&plan)
    );
}
