use super::*;

#[test]
fn a_failure_quotes_the_command_and_its_output() {
    let run = Run::new("sh").args(["-c", "echo out; echo no such luck >&2; exit 7"]);
    let error = run.output().expect_err("it exits 7").to_string();
    assert!(error.contains("sh -c echo out"), "{error}");
    assert!(error.contains("no such luck"), "{error}");
    assert!(error.contains('7'), "{error}");
}

#[test]
fn a_missing_program_has_its_own_error() {
    let error = Run::new("no-such-program-here")
        .output()
        .expect_err("missing");
    assert!(
        error.to_string().contains("install `no-such-program-here`"),
        "{error}"
    );
}

#[test]
fn converse_returns_the_answer_and_stops_in_time() {
    let limit = Duration::from_secs(20);
    let run = Run::new("sh").args(["-c", "cat; echo problem >&2; exit 1"]);
    let answer = run.converse("question", limit).unwrap();
    assert!(!answer.success);
    assert_eq!(
        (answer.stdout, answer.stderr),
        ("question".to_owned(), "problem\n".to_owned())
    );
    let slow = Run::new("sleep").arg("100");
    let error = slow
        .converse("", Duration::from_millis(20))
        .err()
        .expect("too slow");
    assert!(
        error.to_string().contains("no response within 0 s"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn a_grandchild_that_holds_the_pipes_does_not_outlive_the_limit() {
    let limit = Duration::from_secs(2);
    let begun = Instant::now();
    let run = Run::new("sh").args(["-c", "sleep 60 & echo $!; echo said >&2"]);
    let answer = run.converse("", limit);
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    let error = answer.err().expect("the pipe was never closed").to_string();
    assert!(error.contains("no response within 2 s"), "{error}");
    // A child that never reads its input must not block us either.
    let deaf = Run::new("sleep").arg("60");
    let error = deaf
        .converse(&"x".repeat(1 << 20), limit)
        .err()
        .expect("deaf");
    assert!(begun.elapsed() < Duration::from_secs(30), "{error}");
}

#[cfg(unix)]
#[test]
fn a_child_that_prints_too_much_is_killed() {
    let run = Run::new("cat").arg("/dev/zero");
    let error = run
        .converse("", Duration::from_secs(60))
        .err()
        .expect("it never ends");
    assert!(error.to_string().contains("more than"), "{error}");
}

#[test]
fn the_exit_code_of_a_child_is_returned() {
    assert_eq!(Run::new("true").inherit_code().unwrap(), 0);
    assert_eq!(
        Run::new("sh")
            .args(["-c", "exit 3"])
            .inherit_code()
            .unwrap(),
        3
    );
}
