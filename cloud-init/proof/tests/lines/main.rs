//! Mutation tests of the provisioning script: cases run each function in bash, with stand-ins for the commands that
//! change a machine. Then each line is broken in turn, and at least one case must fail.
//!
//! A case takes milliseconds, so these tests reach every line, every option and the last of five attempts. The tests on
//! real machines prove that the commands do what the script expects of them.

mod leaks;
mod mutants;
mod sandbox;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cloud_init_proof::run::on_path;
use cloud_init_proof::runner;

use mutants::Mutant;
use sandbox::{Sandbox, Trace};

/// Programs that the cases run.
const NEEDED: [&str; 6] = ["bash", "jq", "setpriv", "flock", "pgrep", "timeout"];

/// Whether the cases can run on this machine. Otherwise reports the test as skipped, which fails where skipping is not
/// allowed.
fn can_run() -> bool {
    let missing = NEEDED.iter().find(|program| !on_path(program));
    let root = sandbox::is_root();
    let reason = match missing {
        Some(program) => format!("{program} is not installed"),
        None if !root => "the script must run as root".to_owned(),
        None => return true,
    };
    runner::skip(&reason);
    false
}

#[test]
fn each_case_passes() {
    if !can_run() {
        return;
    }
    let script = sandbox::script();
    let cases = sandbox::cases();
    assert!(cases.len() > 50, "{cases:?}");
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            Some(format!(
                "{case}: {}",
                Sandbox::new(&script).run(case).err()?
            ))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn no_function_leaks_a_variable() {
    assert_eq!(leaks::leaks(&sandbox::script()), Vec::<String>::new());
}

#[test]
fn every_broken_line_is_detected() {
    if !can_run() {
        return;
    }
    let script = sandbox::script();
    let cases = traced(&script);
    let mutants = mutants::all(&script);
    assert!(mutants.len() > 250, "only {} lines", mutants.len());
    let next = Mutex::new(mutants.iter());
    let survivors = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let mutant = next.lock().expect("no worker has panicked").next();
                    let Some(mutant) = mutant else { break };
                    if !is_noticed(&script, mutant, &cases) {
                        let mut survivors = survivors.lock().expect("no worker has panicked");
                        survivors.insert(mutant.to_string());
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().expect("no worker has panicked");
    println!("{} mutants tested", mutants.len());
    assert!(
        survivors.is_empty(),
        "no case detects that these are broken: {survivors:#?}"
    );
}

/// A case that passes, and what it executes of the script.
struct Case {
    name: String,
    took: Duration,
    trace: Trace,
}

/// All cases, the fastest first.
fn traced(script: &str) -> Vec<Case> {
    let traced = |name: String| {
        let start = Instant::now();
        let mut trace = Sandbox::new(script).traced(&name);
        trace.functions.extend(named(script, &name));
        Case {
            name,
            took: start.elapsed(),
            trace,
        }
    };
    let mut cases: Vec<Case> = sandbox::cases().into_iter().map(traced).collect();
    cases.sort_by_key(|case| case.took);
    cases
}

/// The functions that the name of a case starts with. The case may run them in another bash, which is not traced.
fn named(script: &str, case: &str) -> BTreeSet<String> {
    let functions = script.lines().filter_map(|line| line.strip_suffix("() {"));
    functions
        .filter(|function| case.starts_with(*function))
        .map(str::to_owned)
        .collect()
}

/// The cases that can detect that a line of `mutant` is broken, the most likely first.
///
/// For a line in a function, these are the cases that call it: first those that execute the line or, if bash reports another line
/// of the same command, the last one before it. For a line outside functions, these are all cases: first those that execute a line
/// with the name that it sets.
fn candidates<'a>(script: &str, mutant: &Mutant, cases: &'a [Case]) -> Vec<&'a Case> {
    let lines: Vec<&str> = script.lines().collect();
    let executes = |case: &Case, lines: &dyn Fn(usize) -> bool| {
        case.trace.lines.iter().any(|line| lines(*line))
    };
    if mutant.function.is_empty() {
        let set = lines[..=mutant.at]
            .iter()
            .rev()
            .find_map(|line| constant(line));
        let mentions = |at: usize| set.is_some_and(|name| lines[at].contains(name));
        let mut found: Vec<&Case> = cases.iter().collect();
        found.sort_by_key(|case| (!executes(case, &mentions), case.name != "constants"));
        return found;
    }
    let mut found: Vec<&Case> = cases
        .iter()
        .filter(|case| case.trace.functions.contains(&mutant.function))
        .collect();
    let reached = |at: &usize| found.iter().any(|case| case.trace.lines.contains(at));
    let nearest = (0..=mutant.at).rev().find(reached);
    found.sort_by_key(|case| !executes(case, &|line| Some(line) == nearest));
    found
}

/// The upper-case name that a line outside functions starts to set.
fn constant(line: &str) -> Option<&str> {
    let mut words = line.split([' ', '=', '(']);
    let name = words
        .find(|word| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_'))?;
    line.contains(&format!("{name}=")).then_some(name)
}

fn is_noticed(script: &str, mutant: &Mutant, cases: &[Case]) -> bool {
    if !leaks::leaks(&mutant.text).is_empty() {
        return true;
    }
    candidates(script, mutant, cases)
        .iter()
        .any(|case| Sandbox::new(&mutant.text).run(&case.name).is_err())
}
