//! What is not proposed, and untrusted responses.

use xtask_loopback::{Fault, Faults};

use super::{Setup, done};
use crate::support::test_env::COMPOSE;

const REPOSITORY: &str = "/repos/odralabshq/polis";

#[test]
fn a_tree_other_than_the_default_branch_is_rejected() {
    let mut setup = Setup::start();
    setup.publish_yq("v4.46.0");
    let text = setup.test_env.tree.read(COMPOSE);
    setup
        .test_env
        .tree
        .write(COMPOSE, &format!("{text}# mine\n"));
    let ran = setup.run(&[]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    let said = format!("`{COMPOSE}` differs from `main` on GitHub");
    assert!(ran.seen().contains(&said), "{}", ran.seen());
    assert_eq!(setup.journal.entries(), []);
}

#[test]
fn changes_that_fail_the_check_are_not_proposed() {
    let mut setup = Setup::start();
    setup.publish_yq("v4.46.0");
    let gate = setup.test_env.image("gate");
    setup
        .test_env
        .tree
        .replace(COMPOSE, &gate.to_string(), &gate.unpinned().to_string());
    setup.push_tree();
    let ran = setup.run(&[]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    let found = ran.findings();
    assert!(found[0].starts_with("unpinned-image compose/"), "{found:?}");
    assert!(
        ran.seen().contains("nothing was proposed"),
        "{}",
        ran.seen()
    );
    assert_eq!(setup.journal.entries(), []);
}

/// An unresponsive source of versions must not remove its moves from the proposal.
#[test]
fn an_unresponsive_server_changes_nothing() {
    let mut setup = Setup::start();
    setup.publish_yq("v4.46.0");
    assert_eq!(setup.night(), done("create", 1));
    setup.journal.clear();
    let down = Fault::Status(503);
    setup
        .test_env
        .registry_faults
        .add("GET", "/v2/", 1000, down);
    let ran = setup.run(&["--deadline", "10"]);
    assert_eq!(ran.code, 3, "{}", ran.seen());
    assert_eq!(setup.journal.entries(), []);
}

#[test]
fn text_from_github_is_shown_and_not_interpreted() {
    let mut setup = Setup::start();
    setup.publish_yq("v4.46.0");
    let release = ["v4.46.0", "2020\u{1b}[2J|<b>"];
    setup.releases_of("mikefarah/yq", &[release]);
    assert_eq!(setup.night(), done("create", 1));
    let body = setup.pulls()[0]["body"].as_str().unwrap().to_owned();
    assert!(body.contains("| not known | [release]"), "{body}");
}

#[test]
fn malformed_responses_change_nothing() {
    let mut setup = Setup::start();
    setup.publish_yq("v4.46.0");
    for (path, fault, said) in [
        (
            REPOSITORY.to_owned(),
            Fault::Redirect("/nowhere".to_owned()),
            "",
        ),
        (format!("{REPOSITORY}/git/trees/"), Fault::Cut(200), ""),
        (
            format!("{REPOSITORY}/git/ref/heads/main"),
            Fault::Status(404),
            "no branch `main`",
        ),
        (format!("{REPOSITORY}/pulls"), Fault::Corrupt, ""),
    ] {
        setup.faults.add("GET", &path, 1000, fault);
        let ran = setup.run(&["--deadline", "5"]);
        assert_ne!(ran.code, 0, "{path}: {}", ran.seen());
        assert!(ran.seen().contains(said), "{path}: {}", ran.seen());
        assert_eq!(setup.journal.entries(), [], "{path}");
        setup = setup.with_faults(Faults::none());
    }
}
