//! Runs probes inside the workspace with `probe.py`, and reads the answers.

use std::collections::BTreeMap;

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;

/// Needs only Python, which the workspace has.
const PROGRAM: &str = include_str!("probe.py");

/// The answers, by question.
pub(crate) type Answers = BTreeMap<String, String>;

/// Runs probes as root in the workspace; every question gets an answer.
///
/// # Errors
/// When the program cannot run there.
pub(crate) fn ask<S: AsRef<str>>(bench: &Bench, questions: &[S]) -> Result<Answers> {
    read(questions, |words| python(bench, PROGRAM, &[words]))
}

/// Runs probes as root in the network of a service, with the machine's Python.
///
/// # Errors
/// When the program cannot run there.
pub(crate) fn ask_from(bench: &Bench, service: &str, questions: &[String]) -> Result<Answers> {
    read(questions, |words| {
        let run = bench.in_network_of(service, &["python3", "-", words])?;
        run.input(PROGRAM.as_bytes()).output()
    })
}

fn read<S: AsRef<str>>(
    questions: &[S],
    run: impl FnOnce(&str) -> Result<String>,
) -> Result<Answers> {
    let words: Vec<&str> = questions.iter().map(AsRef::as_ref).collect();
    let said = run(&serde_json::json!(words).to_string())?;
    let answers: Answers =
        serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
    match words.iter().find(|word| !answers.contains_key(**word)) {
        Some(word) => Err(format!("no answer to `{word}` in {said}")),
        None => Ok(answers),
    }
}

/// Runs a Python program as root in the workspace.
///
/// # Errors
/// When it fails.
pub(crate) fn python(bench: &Bench, program: &str, words: &[&str]) -> Result<String> {
    bench
        .inside("workspace", &[&["python3", "-"][..], words].concat())
        .input(program.as_bytes())
        .output()
}

/// Runs a shell script as root in the workspace.
///
/// # Errors
/// When it fails.
pub(crate) fn shell(bench: &Bench, script: &str) -> Result<String> {
    bench.inside("workspace", &["bash", "-ec", script]).output()
}

/// A request for a page of `host`.
pub(crate) fn request(host: &str) -> String {
    format!("GET /reach HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n")
}
