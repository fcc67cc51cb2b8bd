//! A run is interrupted at every request that writes; the next one then ends as if nothing had happened.

use std::time::Duration;

use serde_json::Value;
use xtask_loopback::{Hold, Trip};

use super::{BRANCH, Setup, done};
use crate::support::test_env::CLOUD_INIT;

/// The final state of GitHub: the pull requests, and the file on the branch.
fn end(setup: &Setup) -> (Vec<Value>, String) {
    let mut pulls = setup.pulls();
    for pull in &mut pulls {
        // The comment may exist twice, which is better than closing without one.
        let comments = pull["comments"].as_array_mut().unwrap();
        comments.dedup();
    }
    (pulls, setup.github.files(BRANCH)[CLOUD_INIT].1.clone())
}

type Act = fn(&mut Setup);

/// Setups before the interrupted run.
fn scenes() -> [(&'static str, Act); 3] {
    fn propose(setup: &mut Setup) {
        setup.publish_yq("v4.46.0");
    }
    fn change(setup: &mut Setup) {
        propose(setup);
        assert_eq!(setup.night(), done("create", 1));
        setup.publish_yq("v4.47.0");
    }
    fn withdraw(setup: &mut Setup) {
        propose(setup);
        assert_eq!(setup.night(), done("create", 1));
        setup.releases("mikefarah/yq", &["v4.44.6"]);
    }
    [("create", propose), ("update", change), ("close", withdraw)]
}

fn setup(act: Act) -> Setup {
    let mut setup = Setup::start();
    act(&mut setup);
    setup.journal.clear();
    setup
}

#[test]
fn the_next_run_completes_an_interrupted_one() {
    for (action, act) in scenes() {
        let mut setup = setup(act);
        let before = setup.files();
        assert_eq!(setup.night(), done(action, 1));
        let (expected, count) = (end(&setup), setup.journal.entries().len());
        assert!(count >= 2, "{action}");
        for number in 0..count {
            for trip in [
                Trip::RefuseBefore(500),
                Trip::AnswerAfter(500),
                Trip::CutAfter,
            ] {
                setup = setup.with_files(&before);
                setup.journal.trip(number, trip.clone());
                setup.run(&[]);
                assert!(setup.journal.entries().len() > number, "it was made");
                let again = setup.run(&[]);
                assert_eq!(
                    again.code,
                    0,
                    "{action} {number} {trip:?}: {}",
                    again.seen()
                );
                assert_eq!(end(&setup), expected, "{action} {number} {trip:?}");
                setup.quiet_night();
            }
        }
    }
}

/// A commit pushed to the branch after our observation is kept.
#[test]
fn a_concurrent_commit_is_not_lost() {
    let (_, act) = scenes()[1];
    let setup = setup(act);
    let hold = Hold::default();
    setup.journal.trip(1, Trip::Before(hold.clone()));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| setup.run(&[]));
        assert!(hold.wait(Duration::from_secs(60)), "the commit is made");
        let files = setup.github.files(BRANCH).into_iter();
        let files = files.map(|(path, (_, text))| (path, ("100644", text)));
        setup
            .github
            .push(BRANCH, "By hand", &files.collect())
            .unwrap();
        hold.release();
        let ran = running.join().unwrap();
        assert_eq!(ran.code, 1, "{}", ran.seen());
        assert!(
            ran.seen().contains("someone else moved `polis/pins`"),
            "{}",
            ran.seen()
        );
    });
    assert_eq!(setup.quiet_night(), done("foreign commit", 1));
}
