//! A night is broken off at every request that writes; the next one then ends as if nothing had been.

use std::time::Duration;

use serde_json::Value;
use xtask_loopback::{Hold, Trip};

use super::{BRANCH, Scene, done};
use crate::support::world::CLOUD_INIT;

/// What is left on GitHub: the pull requests, and what the branch makes of the file.
fn end(scene: &Scene) -> (Vec<Value>, String) {
    let mut pulls = scene.pulls();
    for pull in &mut pulls {
        // The comment may be there twice: closing without one would be worse.
        let comments = pull["comments"].as_array_mut().unwrap();
        comments.dedup();
    }
    (pulls, scene.github.files(BRANCH)[CLOUD_INIT].1.clone())
}

type Act = fn(&mut Scene);

/// What a scene looks like before the night that is broken off.
fn scenes() -> [(&'static str, Act); 3] {
    fn propose(scene: &mut Scene) {
        scene.publish_yq("v4.46.0");
    }
    fn change(scene: &mut Scene) {
        propose(scene);
        assert_eq!(scene.night(), done("create", 1));
        scene.publish_yq("v4.47.0");
    }
    fn withdraw(scene: &mut Scene) {
        propose(scene);
        assert_eq!(scene.night(), done("create", 1));
        scene.releases("mikefarah/yq", &["v4.44.6"]);
    }
    [("create", propose), ("update", change), ("close", withdraw)]
}

fn scene(act: Act) -> Scene {
    let mut scene = Scene::start();
    act(&mut scene);
    scene.journal.clear();
    scene
}

#[test]
fn a_night_that_is_broken_off_anywhere_is_made_good_by_the_next() {
    for (action, act) in scenes() {
        let mut scene = scene(act);
        let before = scene.files();
        assert_eq!(scene.night(), done(action, 1));
        let (expected, count) = (end(&scene), scene.journal.entries().len());
        assert!(count >= 2, "{action}");
        for number in 0..count {
            for trip in [
                Trip::RefuseBefore(500),
                Trip::AnswerAfter(500),
                Trip::CutAfter,
            ] {
                scene = scene.with_files(&before);
                scene.journal.trip(number, trip.clone());
                scene.run(&[]);
                assert!(scene.journal.entries().len() > number, "it was made");
                let again = scene.run(&[]);
                assert_eq!(
                    again.code,
                    0,
                    "{action} {number} {trip:?}: {}",
                    again.seen()
                );
                assert_eq!(end(&scene), expected, "{action} {number} {trip:?}");
                scene.quiet_night();
            }
        }
    }
}

/// Somebody commits on the branch after we have looked: that commit stays.
#[test]
fn a_commit_that_comes_meanwhile_is_not_lost() {
    let (_, act) = scenes()[1];
    let scene = scene(act);
    let hold = Hold::default();
    scene.journal.trip(1, Trip::Before(hold.clone()));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| scene.run(&[]));
        assert!(hold.wait(Duration::from_secs(60)), "the commit is made");
        let files = scene.github.files(BRANCH).into_iter();
        let files = files.map(|(path, (_, text))| (path, ("100644", text)));
        scene
            .github
            .push(BRANCH, "By hand", &files.collect())
            .unwrap();
        hold.release();
        let ran = running.join().unwrap();
        assert_eq!(ran.code, 1, "{}", ran.seen());
        assert!(
            ran.seen().contains("somebody else has moved `polis/pins`"),
            "{}",
            ran.seen()
        );
    });
    assert_eq!(scene.quiet_night(), done("foreign commit", 1));
}
