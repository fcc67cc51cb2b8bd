//! What is not proposed, and answers that nobody vouches for.

use xtask_loopback::{Fault, Faults};

use super::{Scene, done};
use crate::support::world::COMPOSE;

const REPOSITORY: &str = "/repos/odralabshq/polis";

#[test]
fn a_tree_that_is_not_the_default_branch_is_not_proposed_from() {
    let mut scene = Scene::start();
    scene.publish_yq("v4.46.0");
    let text = scene.world.tree.read(COMPOSE);
    scene.world.tree.write(COMPOSE, &format!("{text}# mine\n"));
    let ran = scene.run(&[]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    let said = format!("`{COMPOSE}` is not what `main` holds on GitHub");
    assert!(ran.seen().contains(&said), "{}", ran.seen());
    assert_eq!(scene.journal.entries(), []);
}

#[test]
fn what_would_not_pass_is_not_proposed() {
    let mut scene = Scene::start();
    scene.publish_yq("v4.46.0");
    let gate = scene.world.image("gate");
    scene
        .world
        .tree
        .replace(COMPOSE, &gate.to_string(), &gate.unpinned().to_string());
    scene.push_tree();
    let ran = scene.run(&[]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    let found = ran.findings();
    assert!(found[0].starts_with("unpinned-image compose/"), "{found:?}");
    assert!(ran.seen().contains("nothing is proposed"), "{}", ran.seen());
    assert_eq!(scene.journal.entries(), []);
}

/// One source of versions that is silent is no reason to take its moves out of the proposal.
#[test]
fn who_does_not_answer_changes_nothing() {
    let mut scene = Scene::start();
    scene.publish_yq("v4.46.0");
    assert_eq!(scene.night(), done("create", 1));
    scene.journal.clear();
    let down = Fault::Status(503);
    scene.world.registry_faults.add("GET", "/v2/", 1000, down);
    let ran = scene.run(&["--deadline", "10"]);
    assert_eq!(ran.code, 3, "{}", ran.seen());
    assert_eq!(scene.journal.entries(), []);
}

#[test]
fn what_github_tells_is_shown_and_not_obeyed() {
    let mut scene = Scene::start();
    scene.publish_yq("v4.46.0");
    let release = ["v4.46.0", "2020\u{1b}[2J|<b>"];
    scene.releases_of("mikefarah/yq", &[release]);
    assert_eq!(scene.night(), done("create", 1));
    let body = scene.pulls()[0]["body"].as_str().unwrap().to_owned();
    assert!(body.contains("| not known | [release]"), "{body}");
}

#[test]
fn answers_that_are_not_what_they_should_be_change_nothing() {
    let mut scene = Scene::start();
    scene.publish_yq("v4.46.0");
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
        scene.faults.add("GET", &path, 1000, fault);
        let ran = scene.run(&["--deadline", "5"]);
        assert_ne!(ran.code, 0, "{path}: {}", ran.seen());
        assert!(ran.seen().contains(said), "{path}: {}", ran.seen());
        assert_eq!(scene.journal.entries(), [], "{path}");
        scene = scene.with_faults(Faults::none());
    }
}
