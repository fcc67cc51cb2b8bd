//! A release is interrupted at each request that changes something, in every possible way; the next one then ends as if
//! nothing had happened.
//!
//! The requests come from a recorded release, so new ones are covered automatically.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use xtask_loopback::{Entry, Hold, Trip};

use super::release_env::{End, ReleaseEnv, finish};

/// How a request is interrupted.
#[derive(Debug, Clone, Copy)]
enum Break {
    /// The program is killed before the request is applied.
    KilledBefore,
    /// The program is killed after the request was applied.
    KilledAfter,
    /// It fails with 500 and is not applied.
    Refused,
    /// It is applied, but the response is 500.
    Lied,
    /// It is applied, but the response is truncated.
    Cut,
}

const BREAKS: [Break; 5] = [
    Break::KilledBefore,
    Break::KilledAfter,
    Break::Refused,
    Break::Lied,
    Break::Cut,
];

/// The result of a complete release, and its requests.
fn whole() -> (End, Vec<Entry>) {
    let test_env = ReleaseEnv::new("0.5.0");
    let ran = test_env.release();
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let entries = test_env.journal.entries();
    assert!(entries.len() > 20, "{entries:#?}");
    let end = test_env.end();
    assert_eq!(end.releases.len(), 1, "{end:#?}");
    test_env.journal.clear();
    let again = test_env.release();
    assert_eq!(again.code, 0, "{}", again.seen());
    assert_eq!(
        test_env.journal.entries(),
        [],
        "a run after success changes nothing"
    );
    assert_eq!(test_env.end(), end);
    (end, entries)
}

/// Interrupts the release at the request `number`; returns the problem with the result of the next one, if any.
fn problem(number: usize, how: Break, whole: &End) -> Option<String> {
    let test_env = ReleaseEnv::new("0.5.0");
    let hold = Hold::default();
    test_env.journal.trip(
        number,
        match how {
            Break::KilledBefore => Trip::Before(hold.clone()),
            Break::KilledAfter => Trip::After(hold.clone()),
            Break::Refused => Trip::RefuseBefore(500),
            Break::Lied => Trip::AnswerAfter(500),
            Break::Cut => Trip::CutAfter,
        },
    );
    let hosts = (test_env.github.url(), test_env.registry.url());
    let (mut child, files) = test_env.start("0.5.0", &hosts, &[], &[]);
    match how {
        Break::KilledBefore | Break::KilledAfter => {
            if !hold.wait(Duration::from_secs(120)) {
                return Some("the request was never made".to_owned());
            }
            child.kill().unwrap();
            finish((child, files));
        }
        _ => drop(finish((child, files))),
    }
    let ran = test_env.release();
    let entries = test_env.journal.entries();
    let deleted: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.method == "DELETE")
        .collect();
    match () {
        () if ran.code != 0 => Some(ran.seen()),
        () if !deleted.is_empty() => Some(format!("deleted {deleted:?}")),
        () if test_env.end() != *whole => {
            Some(format!("{:#?}\nexpected {whole:#?}", test_env.end()))
        }
        () => None,
    }
}

#[test]
fn a_release_interrupted_at_any_request_can_be_completed() {
    let (end, entries) = whole();
    let cases = entries.len() * BREAKS.len();
    let (next, problems) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= cases {
                        return;
                    }
                    let (number, how) = (case / BREAKS.len(), BREAKS[case % BREAKS.len()]);
                    if let Some(problem) = problem(number, how, &end) {
                        let which = format!("request {number}, {how:?}: {problem}");
                        problems.lock().unwrap().push(which);
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap();
    assert!(
        problems.is_empty(),
        "{} of {cases}:\n{}",
        problems.len(),
        problems.join("\n")
    );
    println!(
        "{} requests, each broken off in {} ways",
        entries.len(),
        BREAKS.len()
    );
}
