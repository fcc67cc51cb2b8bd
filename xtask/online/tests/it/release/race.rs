//! Two concurrent releases, one request at a time, in an order that the test controls.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use xtask_loopback::{EmbeddedFiles, Hold, Journal, Trip};

use super::release_env::{ReleaseEnv, finish};

/// The limit on the time between two requests of a program.
const PATIENCE: Duration = Duration::from_secs(120);
/// More requests than a release sends.
const MOST: usize = 80;

/// A release that pauses before each request that changes something.
struct Stepped {
    running: Option<(Child, EmbeddedFiles)>,
    holds: Vec<Hold>,
    /// The request before which it is paused.
    at: usize,
    ran: Option<xtask_testkit::Ran>,
}

impl Stepped {
    /// Starts a release of `version` in `root` through its own ports, lets it send its first `free` requests, and
    /// pauses it.
    fn start(test_env: &ReleaseEnv, root: &Path, version: &'static str, free: usize) -> Self {
        let journal = Journal::default();
        let holds: Vec<Hold> = (0..MOST).map(|_| Hold::default()).collect();
        for (number, hold) in holds.iter().enumerate() {
            if number < free {
                hold.release();
            }
            journal.trip(number, Trip::Before(hold.clone()));
        }
        let github = test_env.github.door(&journal).unwrap();
        let registry = test_env.registry.door(&journal).unwrap();
        let hosts = (github.url(), registry.url());
        let running = test_env.start_in(root, version, &hosts, &[], &[]);
        // The ports must stay open until the test's process ends, because the release outlives this function.
        std::mem::forget((github, registry));
        let mut stepped = Self {
            running: Some(running),
            holds,
            at: free,
            ran: None,
        };
        stepped.stand();
        stepped
    }

    /// Waits until it is paused before the request `at`, or has ended.
    fn stand(&mut self) {
        let until = Instant::now() + PATIENCE;
        while let Some((child, _)) = &mut self.running {
            if self
                .holds
                .get(self.at)
                .is_none_or(|hold| hold.wait(Duration::from_millis(20)))
            {
                return;
            }
            if child.try_wait().unwrap().is_some() {
                self.ran = self.running.take().map(finish);
            }
            assert!(Instant::now() < until, "it neither asks nor ends");
        }
    }

    /// Lets it send one request, and pauses before the next one.
    fn step(&mut self) {
        if self.running.is_some() {
            self.holds[self.at].release();
            self.at += 1;
            self.stand();
        }
    }

    /// Lets it run to the end.
    fn run(mut self) -> xtask_testkit::Ran {
        for hold in &self.holds {
            hold.release();
        }
        let running = self.running.take().map(finish);
        self.ran.or(running).unwrap()
    }
}

/// Runs `case` for each number below `count`, some of them in parallel; returns the problems.
fn all(count: usize, case: impl Fn(usize) -> Option<String> + Sync) -> Vec<String> {
    let (next, problems) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    if let Some(problem) = case(number) {
                        problems
                            .lock()
                            .unwrap()
                            .push(format!("case {number}: {problem}"));
                    }
                }
            });
        }
    });
    problems.into_inner().unwrap()
}

/// How many requests a release sends, and which of them publishes.
fn requests() -> (usize, usize) {
    let test_env = ReleaseEnv::new("0.5.0");
    let ran = test_env.release();
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let entries = test_env.journal.entries();
    let publish = entries
        .iter()
        .position(|entry| entry.method == "PATCH")
        .unwrap();
    (entries.len(), publish)
}

/// All interleavings of `each` steps of two releases; `true` is a step of the first.
fn orders(each: usize) -> Vec<Vec<bool>> {
    let all = 0..1_usize << (2 * each);
    let fair = all.filter(|order| order.count_ones() as usize == each);
    fair.map(|order| (0..2 * each).map(|bit| order >> bit & 1 == 1).collect())
        .collect()
}

#[test]
fn latest_is_the_newer_version_in_every_order_of_two_releases() {
    let (_, publish) = requests();
    let orders = orders(3);
    let problems = all(orders.len(), |number| {
        let test_env = ReleaseEnv::new("0.5.0");
        test_env.check_out("1.0.0");
        let newer = test_env.check_out("1.0.0");
        // Both are complete and about to publish.
        let mut older = Stepped::start(&test_env, &test_env.root(), "0.5.0", publish);
        let mut newer = Stepped::start(&test_env, &newer, "1.0.0", publish);
        for first in &orders[number] {
            match first {
                true => older.step(),
                false => newer.step(),
            }
        }
        let (older, newer) = (older.run(), newer.run());
        let latest = test_env.by_hand(async |github| github.latest().await.unwrap().unwrap());
        match () {
            () if older.code != 0 => Some(older.seen()),
            () if newer.code != 0 => Some(newer.seen()),
            () if latest.tag != "v1.0.0" => Some(format!("GitHub's latest is {}", latest.tag)),
            () if test_env.tags()["latest"] != test_env.image("1.0.0") => {
                Some("the registry's latest is the older one".to_owned())
            }
            () => None,
        }
    });
    assert!(
        problems.is_empty(),
        "{} of {}:\n{}",
        problems.len(),
        orders.len(),
        problems.join("\n")
    );
}

/// A second copy of the checkout, because two releases never share one.
fn second_checkout(test_env: &ReleaseEnv) -> PathBuf {
    let second = test_env.dir.path().join("second");
    crate::support::run(
        "cp",
        [
            "-r",
            test_env.root().to_str().unwrap(),
            second.to_str().unwrap(),
        ],
    );
    second
}

#[test]
fn two_runs_for_one_version_give_one_release() {
    let (count, _) = requests();
    let whole = ReleaseEnv::new("0.5.0");
    assert_eq!(whole.release().code, 0);
    let end = whole.end();
    // Pause one before each of its requests in turn while the other runs to completion; then run both step by step.
    let problems = all(count + 1, |number| {
        let test_env = ReleaseEnv::new("0.5.0");
        let second = second_checkout(&test_env);
        let together = number == count;
        let free = if together { 0 } else { number };
        let mut one = Stepped::start(&test_env, &test_env.root(), "0.5.0", free);
        let mut other =
            Stepped::start(&test_env, &second, "0.5.0", if together { 0 } else { MOST });
        for _ in 0..if together { count } else { 0 } {
            one.step();
            other.step();
        }
        let (other, one) = (other.run(), one.run());
        match () {
            () if one.code != 0 => Some(one.seen()),
            () if other.code != 0 => Some(other.seen()),
            () if test_env.end() != end => {
                Some(format!("{:#?}\nexpected {end:#?}", test_env.end()))
            }
            () => None,
        }
    });
    assert!(
        problems.is_empty(),
        "{} of {}:\n{}",
        problems.len(),
        count + 1,
        problems.join("\n")
    );
}
