//! Every line of the provisioning script matters, and a test says so: each function is run by bash under stand-ins for
//! the commands that change a machine, and then again with each line broken in turn, which some case must notice.
//!
//! A case takes milliseconds, so all lines can be tried, and things that a whole machine does not show: each option of a
//! command, the last attempt of five. That the commands do what the script takes them to do is what the proofs on
//! machines are for.

mod leaks;
mod mutants;
mod sandbox;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use cloud_init_proof::run::on_path;
use cloud_init_proof::runner;

use mutants::Mutant;
use sandbox::Sandbox;

/// What the cases need on this machine.
const NEEDED: [&str; 6] = ["bash", "jq", "setpriv", "flock", "pgrep", "timeout"];

/// Whether the cases can run here; where they must, that they cannot is a failure.
fn can_run() -> bool {
    let missing = NEEDED.iter().find(|program| !on_path(program));
    let root = sandbox::is_root();
    let reason = match missing {
        Some(program) => format!("{program} is not installed"),
        None if !root => "the script is for root, and so are its tests".to_owned(),
        None => return true,
    };
    runner::skip(&reason);
    false
}

#[test]
fn each_function_does_its_part() {
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
fn each_function_keeps_its_variables_to_itself() {
    assert_eq!(leaks::leaks(&sandbox::script()), Vec::<String>::new());
}

#[test]
fn each_broken_line_is_noticed() {
    if !can_run() {
        return;
    }
    let script = sandbox::script();
    let callers = callers(&script);
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
                    if !is_noticed(mutant, &callers) {
                        let mut survivors = survivors.lock().expect("no worker has panicked");
                        survivors.insert(mutant.to_string());
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().expect("no worker has panicked");
    println!("{} lines broken, each in its turn", mutants.len());
    assert!(
        survivors.is_empty(),
        "no case notices that these are broken: {survivors:#?}"
    );
}

/// The names of the cases that run each function, the quickest first; all cases for what stands outside of functions.
fn callers(script: &str) -> BTreeMap<String, Vec<String>> {
    let mut callers: BTreeMap<String, Vec<(std::time::Duration, String)>> = BTreeMap::new();
    for case in sandbox::cases() {
        let start = std::time::Instant::now();
        let called = Sandbox::new(script).traced(&case);
        for function in called.into_iter().chain(named(script, &case)) {
            let entry = callers.entry(function).or_default();
            entry.push((start.elapsed(), case.clone()));
        }
    }
    let sorted = |mut cases: Vec<(std::time::Duration, String)>| {
        cases.sort();
        cases.into_iter().map(|(_, case)| case).collect()
    };
    callers
        .into_iter()
        .map(|(function, cases)| (function, sorted(cases)))
        .collect()
}

/// The functions that a case is called after: it may run them in a bash of its own, where nothing is traced.
fn named(script: &str, case: &str) -> BTreeSet<String> {
    let functions = script.lines().filter_map(|line| line.strip_suffix("() {"));
    functions
        .filter(|function| case.starts_with(*function))
        .map(str::to_owned)
        .collect()
}

fn is_noticed(mutant: &Mutant, callers: &BTreeMap<String, Vec<String>>) -> bool {
    if !leaks::leaks(&mutant.text).is_empty() {
        return true;
    }
    let cases = callers.get(&mutant.function).cloned().unwrap_or_default();
    cases
        .iter()
        .any(|case| Sandbox::new(&mutant.text).run(case).is_err())
}
