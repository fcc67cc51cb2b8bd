//! What becomes of the pull request, night by night.

use serde_json::json;
use xtask_loopback::Fault;

use super::{BRANCH, Scene, done, lines};
use crate::support::prism;
use crate::support::world::{CLOUD_INIT, COMPOSE};

#[test]
fn one_pull_request_is_kept_in_step() {
    let mut scene = Scene::start();
    assert_eq!(scene.quiet_night(), done("nothing to propose", 0));
    scene.publish_yq("v4.46.0");
    assert_eq!(scene.night(), done("create", 1));
    let made = [
        "POST /git/trees",
        "POST /git/commits",
        "POST /git/refs",
        "POST /pulls",
    ];
    assert_eq!(lines(&scene.journal.entries()), made);
    assert_eq!(scene.proposed(), [CLOUD_INIT, "docs/pins.md"]);
    let pull = &scene.pulls()[0];
    assert_eq!(pull["title"], "Move yq");
    assert_eq!(
        pull["pull"],
        json!({"head": BRANCH, "base": "main", "merged": false})
    );
    let row = "| `yq amd64` | `v4.44.6` | `v4.46.0` | 2020-01-02 | [release](https://github.com/mikefarah/yq/releases/tag/v4.46.0) |";
    assert!(pull["body"].as_str().unwrap().contains(row), "{pull}");
    assert_eq!(scene.quiet_night(), done("unchanged", 1));

    // What others do to files that are not touched is no reason to build it again.
    scene.world.tree.write("CHANGELOG.md", "# Changes\n");
    scene.push_tree();
    assert_eq!(scene.quiet_night(), done("unchanged", 1));
    let beside = format!("{}# more\n", scene.world.tree.read(CLOUD_INIT));
    scene.world.tree.write(CLOUD_INIT, &beside);
    scene.push_tree();
    assert_eq!(scene.night(), done("update", 1));
    assert_eq!(scene.pulls()[0], *pull, "it says the same");
    assert_eq!(scene.proposed(), [CLOUD_INIT, "docs/pins.md"]);

    scene.publish_yq("v4.47.0");
    assert_eq!(scene.night(), done("update", 1));
    let body = scene.pulls()[0]["body"].as_str().unwrap().to_owned();
    assert!(
        body.contains("v4.47.0") && !body.contains("v4.46.0"),
        "{body}"
    );
    assert_eq!(scene.quiet_night(), done("unchanged", 1));

    scene.releases("mikefarah/yq", &["v4.44.6"]);
    assert_eq!(scene.night(), done("close", 1));
    let pull = &scene.pulls()[0];
    assert_eq!(pull["open"], false);
    assert!(
        pull["comments"][0]
            .as_str()
            .unwrap()
            .contains("left to propose")
    );
    assert_eq!(scene.quiet_night(), done("nothing to propose", 0));
    scene.publish_yq("v4.47.0");
    assert_eq!(scene.night(), done("create", 2), "no person has closed it");
}

/// It is what `update` writes, whole: nothing is left to move, every pin holds, and the page is that of the tree.
#[test]
fn what_is_proposed_passes() {
    let mut scene = Scene::start();
    let gate = scene.world.image("gate").unpinned();
    scene.world.push(&gate.with_tag("v0.5.0").unwrap(), "new");
    scene.publish_yq("v4.46.0");
    scene.publish_checkout("v6.1.0");
    assert_eq!(scene.night(), done("create", 1));
    let proposed = scene.proposed();
    assert!(proposed.contains(&COMPOSE.to_owned()), "{proposed:?}");
    assert!(
        proposed.contains(&".github/workflows/ci.yml".to_owned()),
        "{proposed:?}"
    );
    let title = &scene.pulls()[0]["title"];
    assert_eq!(title, "Move yq, actions/checkout, polis-gate-oss");

    scene.merge_here();
    scene.push_tree();
    scene.world.others.list(&scene.world.tree);
    assert_eq!(scene.night(), done("close", 1), "merged otherwise");
    let api = [("api.github.com", scene.github.url())];
    let env = [("GITHUB_TOKEN", "s3cret")];
    for verb in [&["verify-pins"][..], &["update", "yq", "--check"]] {
        let ran = scene.world.run_at(verb, &env, &api);
        assert_eq!(ran.code, 0, "{verb:?}: {}", ran.seen());
    }
}

#[test]
fn what_a_person_has_turned_down_is_not_proposed_again() {
    let mut scene = Scene::start();
    scene.publish_yq("v4.46.0");
    assert_eq!(scene.night(), done("create", 1));
    let closed = scene.edit_pulls(|pulls| pulls[0]["open"] = json!(false));
    assert_eq!(closed.quiet_night(), done("turned down", 1));
    let mut merged = closed.edit_pulls(|pulls| pulls[0]["pull"]["merged"] = json!(true));
    assert_eq!(
        merged.quiet_night(),
        done("turned down", 1),
        "and taken back"
    );
    merged.publish_yq("v4.47.0");
    assert_eq!(merged.night(), done("create", 2));
}

#[test]
fn a_commit_of_a_person_is_left_alone() {
    let mut scene = Scene::start();
    scene.publish_yq("v4.46.0");
    assert_eq!(scene.night(), done("create", 1));
    let mut files = scene.github.files(BRANCH);
    files.get_mut(CLOUD_INIT).unwrap().1.push_str("# by hand\n");
    let files = files
        .into_iter()
        .map(|(path, (_, text))| (path, ("100644", text)));
    let theirs = scene
        .github
        .push(BRANCH, "By hand", &files.collect())
        .unwrap();
    scene.publish_yq("v4.47.0");
    assert_eq!(scene.quiet_night(), done("foreign commit", 1));
    let finding = &scene.run(&[]).report()["findings"][0];
    assert_eq!(finding["rule"], "proposal-foreign-commit");
    assert!(finding["message"].as_str().unwrap().contains(&theirs));
    scene.releases("mikefarah/yq", &["v4.44.6"]);
    assert_eq!(scene.quiet_night(), done("foreign commit", 1), "nor closed");
}

#[test]
fn a_dry_run_writes_nothing_and_needs_no_token() {
    let mut scene = Scene::start();
    scene.publish_yq("v4.46.0");
    let before = scene.world.tree.read(CLOUD_INIT);
    let ran = scene.run_at(&scene.github.url(), &["--dry-run"], &[]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let data = &ran.report()["data"];
    let pull = json!({"action": "create", "reason": null, "branch": BRANCH, "number": null, "url": null, "done": false});
    assert_eq!(data["pull_request"], pull);
    assert!(
        data["diff"]
            .as_str()
            .unwrap()
            .contains("+      YQ_VERSION=v4.46.0"),
        "{data:#}"
    );
    assert_eq!(data["updates"].as_array().map(Vec::len), Some(2));
    assert_eq!(scene.journal.entries(), []);
    assert_eq!(scene.world.tree.read(CLOUD_INIT), before);
    let ran = scene.run_at(&scene.github.url(), &[], &[]);
    assert_eq!(ran.code, 3, "{}", ran.seen());
    assert!(ran.seen().contains("GITHUB_TOKEN"), "{}", ran.seen());
}

#[test]
fn a_version_must_have_been_out_as_long_as_is_asked() {
    let mut scene = Scene::start();
    scene.publish_yq("v4.46.0");
    let ran = scene.run(&["--dry-run", "--min-age", "3650"]);
    let reason = ran.report()["data"]["pull_request"]["reason"].clone();
    assert_eq!(reason, "nothing to propose", "{}", ran.seen());
    let usage = scene.world.run(&["drift", "--min-age", "1"]);
    assert_eq!(usage.code, 4, "{}", usage.seen());
}

/// GitHub lets no `GITHUB_TOKEN` change workflows: the rest is proposed, and the actions are told of.
#[test]
fn actions_need_a_token_that_may_change_workflows() {
    let mut scene = Scene::with_token("ghs_s3cret");
    scene.github.set_workflows(false).unwrap();
    scene.publish_checkout("v6.1.0");
    scene.publish_yq("v4.46.0");
    let ran = scene.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert_eq!(ran.report()["findings"][0]["rule"], "proposal-workflows");
    assert_eq!(scene.proposed(), [CLOUD_INIT, "docs/pins.md"]);
    let env = [
        ("GITHUB_TOKEN", ""),
        ("POLIS_PULL_REQUEST_TOKEN", scene.token),
    ];
    let refused = scene.run_at(&scene.github.url(), &[], &env);
    assert_eq!(refused.code, 3, "{}", refused.seen());
    scene.github.set_workflows(true).unwrap();
    let ran = scene.run_at(&scene.github.url(), &[], &env);
    assert_eq!(
        ran.report()["data"]["pull_request"]["action"],
        "update",
        "{}",
        ran.seen()
    );
    assert_eq!(scene.pulls()[0]["title"], "Move yq, actions/checkout");
}

#[test]
fn who_may_not_write_is_told_what_it_takes() {
    let mut scene = Scene::start();
    scene.publish_yq("v4.46.0");
    let pulls = "/repos/odralabshq/polis/pulls";
    scene.faults.add("POST", pulls, 1, Fault::Status(403));
    let ran = scene.run(&[]);
    assert_eq!(ran.code, 3, "{}", ran.seen());
    assert!(
        ran.seen()
            .contains("let GitHub Actions create pull requests"),
        "{}",
        ran.seen()
    );
    assert_eq!(
        scene.night(),
        done("create", 1),
        "the branch is there already"
    );
}

#[test]
fn github_describes_what_is_asked() {
    let mut scene = Scene::start();
    let Some(prism) = prism::start(&scene.github.url()) else {
        return;
    };
    let night = |scene: &Scene| {
        let env = [("GITHUB_TOKEN", scene.token)];
        let ran = scene.run_at(&prism.url(), &[], &env);
        assert_eq!(ran.code, 0, "{}\n{:#?}", ran.seen(), prism.violations());
        ran.report()["data"]["pull_request"]["action"].clone()
    };
    scene.publish_yq("v4.46.0");
    assert_eq!(night(&scene), "create");
    scene.publish_yq("v4.47.0");
    assert_eq!(night(&scene), "update");
    scene.releases("mikefarah/yq", &["v4.44.6"]);
    assert_eq!(night(&scene), "close");
    assert_eq!(prism.violations(), [""; 0]);
}
