//! The life of the pull request, night by night.

use serde_json::json;
use xtask_loopback::Fault;

use super::{BRANCH, Setup, done, lines};
use crate::support::prism;
use crate::support::test_env::{CLOUD_INIT, COMPOSE};

#[test]
fn one_pull_request_is_kept_up_to_date() {
    let mut setup = Setup::start();
    assert_eq!(setup.quiet_night(), done("nothing to propose", 0));
    setup.publish_yq("v4.46.0");
    assert_eq!(setup.night(), done("create", 1));
    let made = [
        "POST /git/trees",
        "POST /git/commits",
        "POST /git/refs",
        "POST /pulls",
    ];
    assert_eq!(lines(&setup.journal.entries()), made);
    assert_eq!(setup.proposed(), [CLOUD_INIT, "docs/pins.md"]);
    let pull = &setup.pulls()[0];
    assert_eq!(pull["title"], "Update yq");
    assert_eq!(
        pull["pull"],
        json!({"head": BRANCH, "base": "main", "merged": false})
    );
    let row = "| `yq amd64` | `v4.44.6` | `v4.46.0` | 2020-01-02 | [release](https://github.com/mikefarah/yq/releases/tag/v4.46.0) |";
    assert!(pull["body"].as_str().unwrap().contains(row), "{pull}");
    assert_eq!(setup.quiet_night(), done("unchanged", 1));

    // Changes to unrelated files do not cause a new commit.
    setup.test_env.tree.write("CHANGELOG.md", "# Changes\n");
    setup.push_tree();
    assert_eq!(setup.quiet_night(), done("unchanged", 1));
    let beside = format!("{}# more\n", setup.test_env.tree.read(CLOUD_INIT));
    setup.test_env.tree.write(CLOUD_INIT, &beside);
    setup.push_tree();
    assert_eq!(setup.night(), done("update", 1));
    assert_eq!(setup.pulls()[0], *pull, "it says the same");
    assert_eq!(setup.proposed(), [CLOUD_INIT, "docs/pins.md"]);

    setup.publish_yq("v4.47.0");
    assert_eq!(setup.night(), done("update", 1));
    let body = setup.pulls()[0]["body"].as_str().unwrap().to_owned();
    assert!(
        body.contains("v4.47.0") && !body.contains("v4.46.0"),
        "{body}"
    );
    assert_eq!(setup.quiet_night(), done("unchanged", 1));

    setup.releases("mikefarah/yq", &["v4.44.6"]);
    assert_eq!(setup.night(), done("close", 1));
    let pull = &setup.pulls()[0];
    assert_eq!(pull["open"], false);
    assert!(
        pull["comments"][0]
            .as_str()
            .unwrap()
            .contains("left to propose")
    );
    assert_eq!(setup.quiet_night(), done("nothing to propose", 0));
    setup.publish_yq("v4.47.0");
    assert_eq!(setup.night(), done("create", 2), "no person has closed it");
}

/// The proposal is the complete output of `update`: there are no further moves, every pin holds, and the page matches
/// the tree.
#[test]
fn a_proposal_passes_all_checks() {
    let mut setup = Setup::start();
    let gate = setup.test_env.image("gate").unpinned();
    setup
        .test_env
        .push(&gate.with_tag("v0.5.0").unwrap(), "new");
    setup.publish_yq("v4.46.0");
    setup.publish_checkout("v6.1.0");
    assert_eq!(setup.night(), done("create", 1));
    let proposed = setup.proposed();
    assert!(proposed.contains(&COMPOSE.to_owned()), "{proposed:?}");
    assert!(
        proposed.contains(&".github/workflows/ci.yml".to_owned()),
        "{proposed:?}"
    );
    let title = &setup.pulls()[0]["title"];
    assert_eq!(title, "Update yq, actions/checkout, polis-gate-oss");

    setup.merge_here();
    setup.push_tree();
    setup.test_env.others.list(&setup.test_env.tree);
    assert_eq!(setup.night(), done("close", 1), "merged otherwise");
    let api = [("api.github.com", setup.github.url())];
    let env = [("GITHUB_TOKEN", "s3cret")];
    for verb in [&["verify-pins"][..], &["update", "yq", "--check"]] {
        let ran = setup.test_env.run_at(verb, &env, &api);
        assert_eq!(ran.code, 0, "{verb:?}: {}", ran.seen());
    }
}

#[test]
fn declined_moves_are_not_proposed_again() {
    let mut setup = Setup::start();
    setup.publish_yq("v4.46.0");
    assert_eq!(setup.night(), done("create", 1));
    let closed = setup.edit_pulls(|pulls| pulls[0]["open"] = json!(false));
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
    let mut setup = Setup::start();
    setup.publish_yq("v4.46.0");
    assert_eq!(setup.night(), done("create", 1));
    let mut files = setup.github.files(BRANCH);
    files.get_mut(CLOUD_INIT).unwrap().1.push_str("# by hand\n");
    let files = files
        .into_iter()
        .map(|(path, (_, text))| (path, ("100644", text)));
    let theirs = setup
        .github
        .push(BRANCH, "By hand", &files.collect())
        .unwrap();
    setup.publish_yq("v4.47.0");
    assert_eq!(setup.quiet_night(), done("foreign commit", 1));
    let finding = &setup.run(&[]).report()["findings"][0];
    assert_eq!(finding["rule"], "proposal-foreign-commit");
    assert!(finding["message"].as_str().unwrap().contains(&theirs));
    setup.releases("mikefarah/yq", &["v4.44.6"]);
    assert_eq!(setup.quiet_night(), done("foreign commit", 1), "nor closed");
}

#[test]
fn a_dry_run_writes_nothing_and_needs_no_token() {
    let mut setup = Setup::start();
    setup.publish_yq("v4.46.0");
    let before = setup.test_env.tree.read(CLOUD_INIT);
    let ran = setup.run_at(&setup.github.url(), &["--dry-run"], &[]);
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
    assert_eq!(setup.journal.entries(), []);
    assert_eq!(setup.test_env.tree.read(CLOUD_INIT), before);
    let ran = setup.run_at(&setup.github.url(), &[], &[]);
    assert_eq!(ran.code, 3, "{}", ran.seen());
    assert!(ran.seen().contains("GITHUB_TOKEN"), "{}", ran.seen());
}

#[test]
fn a_version_must_have_the_minimum_age() {
    let mut setup = Setup::start();
    setup.publish_yq("v4.46.0");
    let ran = setup.run(&["--dry-run", "--min-age", "3650"]);
    let reason = ran.report()["data"]["pull_request"]["reason"].clone();
    assert_eq!(reason, "nothing to propose", "{}", ran.seen());
    let usage = setup.test_env.run(&["drift", "--min-age", "1"]);
    assert_eq!(usage.code, 4, "{}", usage.seen());
}

/// GitHub allows no `GITHUB_TOKEN` to change workflows. The rest is proposed, and a warning lists the actions.
#[test]
fn actions_need_a_token_that_may_change_workflows() {
    let mut setup = Setup::with_token("ghs_s3cret");
    setup.github.set_workflows(false).unwrap();
    setup.publish_checkout("v6.1.0");
    setup.publish_yq("v4.46.0");
    let ran = setup.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert_eq!(ran.report()["findings"][0]["rule"], "proposal-workflows");
    assert_eq!(setup.proposed(), [CLOUD_INIT, "docs/pins.md"]);
    let env = [
        ("GITHUB_TOKEN", ""),
        ("POLIS_PULL_REQUEST_TOKEN", setup.token),
    ];
    let refused = setup.run_at(&setup.github.url(), &[], &env);
    assert_eq!(refused.code, 3, "{}", refused.seen());
    setup.github.set_workflows(true).unwrap();
    let ran = setup.run_at(&setup.github.url(), &[], &env);
    assert_eq!(
        ran.report()["data"]["pull_request"]["action"],
        "update",
        "{}",
        ran.seen()
    );
    assert_eq!(setup.pulls()[0]["title"], "Update yq, actions/checkout");
}

#[test]
fn a_token_without_write_access_gets_a_hint() {
    let mut setup = Setup::start();
    setup.publish_yq("v4.46.0");
    let pulls = "/repos/odralabshq/polis/pulls";
    setup.faults.add("POST", pulls, 1, Fault::Status(403));
    let ran = setup.run(&[]);
    assert_eq!(ran.code, 3, "{}", ran.seen());
    assert!(
        ran.seen()
            .contains("allow GitHub Actions to create pull requests"),
        "{}",
        ran.seen()
    );
    assert_eq!(
        setup.night(),
        done("create", 1),
        "the branch already exists"
    );
}

#[test]
fn every_request_follows_githubs_description() {
    let mut setup = Setup::start();
    let Some(prism) = prism::start(&setup.github.url()) else {
        return;
    };
    let night = |setup: &Setup| {
        let env = [("GITHUB_TOKEN", setup.token)];
        let ran = setup.run_at(&prism.url(), &[], &env);
        assert_eq!(ran.code, 0, "{}\n{:#?}", ran.seen(), prism.violations());
        ran.report()["data"]["pull_request"]["action"].clone()
    };
    setup.publish_yq("v4.46.0");
    assert_eq!(night(&setup), "create");
    setup.publish_yq("v4.47.0");
    assert_eq!(night(&setup), "update");
    setup.releases("mikefarah/yq", &["v4.44.6"]);
    assert_eq!(night(&setup), "close");
    assert_eq!(prism.violations(), [""; 0]);
}
