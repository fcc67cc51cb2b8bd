//! `update` as maintainers see it: the real program on a copy of the tree, against servers with newer versions.

use expect_test::expect;
use polis_base::{Digest, ImageRef};
use serde_json::json;
use xtask_pins::inventory::{Dependency, Inventory};

use crate::support::test_env::{CLOUD_INIT, COMPOSE, TestEnv};

const CI: &str = ".github/workflows/ci.yml";
const RELEASE: &str = ".github/workflows/release.yml";

/// Publishes the releases `tags` of `repository`; the last two are a prerelease and a draft.
fn releases(test_env: &mut TestEnv, repository: &str, tags: &[&str]) {
    let release = |tag: &str, draft: bool, prerelease: bool| json!({"tag_name": tag, "draft": draft, "prerelease": prerelease, "published_at": "2020-01-01T00:00:00Z"});
    let mut list: Vec<_> = tags.iter().map(|tag| release(tag, false, false)).collect();
    list.push(release("v98.0.0", false, true));
    list.push(release("v99.0.0", true, false));
    let path = format!("/repos/{repository}/releases");
    let bytes = serde_json::Value::from(list).to_string().into_bytes();
    test_env.others.files.insert(path, bytes);
}

/// The actions of the tree except checkout, each with its tag.
fn other_actions(test_env: &TestEnv) -> Vec<(String, String)> {
    let inventory = Inventory::read(test_env.tree.root()).expect("pins");
    let actions = inventory
        .pins
        .iter()
        .filter_map(|pin| match &pin.dependency {
            Dependency::Action(action) if action.repository != "actions/checkout" => {
                Some((action.repository.clone(), action.tag.clone()?))
            }
            _ => None,
        });
    actions.collect()
}

/// Serves the files of a version of yq.
fn yq(test_env: &mut TestEnv, version: &str) -> [Digest; 2] {
    ["amd64", "arm64"].map(|arch| {
        let path = format!("/mikefarah/yq/releases/download/{version}/yq_linux_{arch}");
        let bytes = format!("yq {version} {arch}").into_bytes();
        let digest = Digest::of(&bytes);
        test_env.others.files.insert(path, bytes);
        digest
    })
}

#[test]
fn a_tool_moves_to_its_newest_version_in_place() {
    let mut test_env = TestEnv::start();
    releases(
        &mut test_env,
        "mikefarah/yq",
        &["v4.45.1", "v4.46.0", "v4.9.9", "v3.0"],
    );
    let [amd64, arm64] = yq(&mut test_env, "v4.46.0");
    let before = test_env.tree.read(CLOUD_INIT);

    let check = test_env.run(&["update", "yq", "--check"]);
    assert_eq!(check.code, 2, "{}", check.seen());
    assert_eq!(test_env.tree.read(CLOUD_INIT), before);
    let (said, page) = check
        .stdout
        .split_once("--- a/docs/pins.md")
        .expect("a page");
    assert!(
        page.ends_with("would change; run `cargo xtask update yq`\n"),
        "{page}"
    );
    let shown = |line: &&str| !line.starts_with(['-', '+', '@']) && !line.trim().is_empty();
    let lines = said.lines().filter(shown);
    expect![[r#"
        yq amd64: v4.44.6 -> v4.46.0
        yq arm64: v4.44.6 -> v4.46.0
               # yq (mikefarah): a single static binary.
    "#]]
    .assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());

    let ran = test_env.run(&["update", "yq", "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let data = ran.report()["data"].clone();
    assert_eq!(data["files"], json!([CLOUD_INIT, "docs/pins.md"]));
    assert_eq!(data["updates"][1]["to"], "v4.46.0");
    let after = test_env.tree.read(CLOUD_INIT);
    let changed: Vec<&str> = after
        .lines()
        .zip(before.lines())
        .filter(|(new, old)| new != old)
        .map(|(new, _)| new.trim())
        .collect();
    let url = "https://github.com/mikefarah/yq/releases/download/v4.46.0/yq_linux";
    let expected = [
        "YQ_VERSION=v4.46.0".to_owned(),
        format!("YQ_URL_AMD64={url}_amd64"),
        format!("YQ_SHA256_AMD64={}", amd64.hex()),
        format!("YQ_URL_ARM64={url}_arm64"),
        format!("YQ_SHA256_ARM64={}", arm64.hex()),
    ];
    assert_eq!(changed, expected);
    assert_eq!(test_env.run(&["verify-pins"]).code, 0);

    // A second run changes nothing, and never downgrades without being told to.
    assert_eq!(test_env.run(&["update", "yq", "--check"]).code, 0);
    releases(&mut test_env, "mikefarah/yq", &["v4.45.1"]);
    let older = test_env.run(&["update", "yq", "--check"]);
    assert_eq!(older.code, 0, "{}", older.seen());
    yq(&mut test_env, "v4.45.1");
    let named = test_env.run(&["update", "yq", "4.45.1"]);
    assert_eq!(named.code, 0, "{}", named.seen());
    assert!(
        test_env
            .tree
            .read(CLOUD_INIT)
            .contains("YQ_VERSION=v4.45.1\n")
    );
}

#[test]
fn an_incomplete_update_changes_nothing() {
    let mut test_env = TestEnv::start();
    let before = test_env.tree.read(CLOUD_INIT);
    yq(&mut test_env, "v4.46.0");
    let arm64 = "/mikefarah/yq/releases/download/v4.46.0/yq_linux_arm64";
    test_env.others.files.remove(arm64);
    let ran = test_env.run(&["update", "yq", "v4.46.0"]);
    assert_eq!(ran.code, 2, "{}", ran.seen());
    assert!(ran.stderr.contains(arm64), "{}", ran.seen());
    for (version, code) in [("v4.46.0-rc.1", 4), ("newest", 4)] {
        let ran = test_env.run(&["update", "yq", version]);
        assert_eq!(ran.code, code, "{}", ran.seen());
    }
    // The pinned version, with different bytes.
    yq(&mut test_env, "v4.44.6");
    let ran = test_env.run(&["update", "yq", "v4.44.6"]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    assert!(
        ran.stderr.contains("does not match its pin"),
        "{}",
        ran.seen()
    );
    assert_eq!(test_env.tree.read(CLOUD_INIT), before);
}

#[test]
fn actions_move_with_their_comments_in_every_file() {
    let mut test_env = TestEnv::start();
    let new = "0123456789abcdef0123456789abcdef01234567";
    test_env.others.tag("actions/checkout", "v6.1.0", new);
    releases(
        &mut test_env,
        "actions/checkout",
        &["v6", "v6.0.2", "v6.1.0", "v5.9.9"],
    );
    let others = other_actions(&test_env);
    let [first, second, ..] = others.as_slice() else {
        panic!("two more actions: {others:?}");
    };
    for (name, tag) in &others {
        releases(&mut test_env, name, &[tag.as_str()]);
    }
    // No regular release, so tags are used: with no release at all, and with other kinds.
    releases(&mut test_env, &first.0, &[]);
    let path = format!("/repos/{}/tags", first.0);
    let tags = json!([{"name": first.1}, {"name": "v4"}]).to_string();
    test_env.others.files.insert(path, tags.into_bytes());
    let path = format!("/repos/{}/", second.0);
    let none = b"[]".to_vec();
    test_env
        .others
        .files
        .insert(format!("{path}releases"), none);
    let tags = json!([{"name": second.1}]).to_string();
    test_env
        .others
        .files
        .insert(format!("{path}tags"), tags.into_bytes());

    let (ci, release) = (test_env.tree.read(CI), test_env.tree.read(RELEASE));
    let ran = test_env.run(&["update", "actions"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let old = "de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2";
    let moved = |text: &str| text.replace(old, &format!("{new} # v6.1.0"));
    assert_eq!(test_env.tree.read(CI), moved(&ci));
    assert_eq!(test_env.tree.read(RELEASE), moved(&release));
    assert_eq!(test_env.run(&["verify-pins"]).code, 0);

    let none = test_env.run(&["update", "actions", "--only", "actions/nothing"]);
    assert_eq!(none.code, 4, "{}", none.seen());
    // If one fails, none is changed.
    let path = format!("/repos/{}/releases", first.0);
    test_env.others.files.remove(&path);
    test_env.others.tag("actions/checkout", "v6.2.0", new);
    releases(&mut test_env, "actions/checkout", &["v6.2.0"]);
    let failed = test_env.run(&["update", "actions"]);
    assert_eq!(failed.code, 2, "{}", failed.seen());
    assert_eq!(test_env.tree.read(CI), moved(&ci));
    let one = test_env.run(&["update", "actions", "--only", "actions/checkout"]);
    assert_eq!(one.code, 0, "{}", one.seen());
    assert!(test_env.tree.read(CI).contains("# v6.2.0\n"));
}

#[test]
fn images_move_to_the_newest_tag_and_its_digest() {
    let test_env = TestEnv::start();
    let gate: ImageRef = test_env.image("gate").unpinned();
    let mut digests = Vec::new();
    for tag in ["v0.4.1", "v0.10.0", "v0.11.0-rc.1", "v1", "latest"] {
        let image = gate.with_tag(tag).expect("a tag");
        digests.push(test_env.push(&image, tag));
    }
    let before = test_env.tree.read(COMPOSE);
    let old = test_env.image("gate").to_string();
    let ran = test_env.run(&["update", "images"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let new = gate.with_tag("v0.10.0").expect("a tag").pinned(digests[1]);
    let expected = before.replace(&old, &new.to_string());
    assert_eq!(test_env.tree.read(COMPOSE), expected);

    let name = gate.name();
    let only = ["update", "images", "v0.4.1", "--only", &name];
    assert_eq!(test_env.run(&only).code, 0);
    let new = gate.with_tag("v0.4.1").expect("a tag").pinned(digests[0]);
    assert_eq!(
        test_env.tree.read(COMPOSE),
        before.replace(&old, &new.to_string())
    );
    // The other images have no such tag.
    let all = test_env.run(&["update", "images", "v0.4.1"]);
    assert_eq!(all.code, 2, "{}", all.seen());
    assert!(all.stderr.contains("nothing was changed"), "{}", all.seen());
}

/// A version of today is ignored for a week, unless the user names it or sets the minimum age to 0.
#[test]
fn a_version_must_be_some_days_old() {
    let mut test_env = TestEnv::start();
    let release = |tag: &str, date: &str| json!({"tag_name": tag, "draft": false, "prerelease": false, "published_at": date});
    let list = json!([
        release("v4.47.0", "9999-01-01T00:00:00Z"),
        release("v4.46.0", "2020-01-01T00:00:00Z"),
    ]);
    let path = "/repos/mikefarah/yq/releases".to_owned();
    test_env
        .others
        .files
        .insert(path, list.to_string().into_bytes());
    yq(&mut test_env, "v4.46.0");
    yq(&mut test_env, "v4.47.0");
    let to = |test_env: &TestEnv, more: &[&str]| {
        let ran = test_env.run(&[&["update", "yq", "--check", "--format", "json"], more].concat());
        ran.report()["data"]["updates"][0]["to"].clone()
    };
    assert_eq!(to(&test_env, &[]), "v4.46.0");
    assert_eq!(
        to(&test_env, &["--min-age", "0"]),
        "v4.46.0",
        "of the future"
    );
    assert_eq!(to(&test_env, &["v4.47.0"]), "v4.47.0");
    let images = test_env.run(&["update", "images", "--min-age", "1"]);
    assert_eq!(images.code, 4, "{}", images.seen());
}
