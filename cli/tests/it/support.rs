//! Shared by the tests: sandboxes, and how to judge the output of `polis`.

use std::fs;
use std::path::Path;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use fake_multipass::{Ran, Sandbox};
use serde_json::Value;

/// A fresh sandbox with the `polis` under test.
pub(crate) fn sandbox() -> Sandbox {
    Sandbox::of(env!("CARGO_BIN_EXE_polis"))
}

/// The files of a sandbox that a start changes.
const STARTED: [&str; 3] = ["state.json", "home", "guest"];

/// How long a started sandbox is copied. It is short, because the times in it must not surprise a test.
const FRESH: Duration = Duration::from_secs(3600);

/// A sandbox with a running workspace. Only the first one is started, and kept for an hour for each build of the programs, since
/// cargo-nextest runs every test in its own process. The others are copies of it.
pub(crate) fn running() -> Sandbox {
    static STARTED_ONCE: OnceLock<Vec<u8>> = OnceLock::new();
    let archive = STARTED_ONCE.get_or_init(|| kept().expect("a started sandbox"));
    let sandbox = sandbox();
    let mut archive = tar::Archive::new(archive.as_slice());
    archive.set_preserve_permissions(true);
    archive.unpack(sandbox.dir()).expect("a sandbox");
    sandbox
}

fn kept() -> std::io::Result<Vec<u8>> {
    let sandbox = sandbox();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("started.tar");
    let lock = fs::File::create(path.with_extension("lock"))?;
    lock.lock()?;
    let programs = [
        env!("CARGO_BIN_EXE_polis").into(),
        sandbox.dir().join("bin/multipass"),
    ];
    let built = programs.iter().map(|path| fs::metadata(path)?.modified());
    let built = built.collect::<std::io::Result<Vec<_>>>()?;
    let made = fs::metadata(&path).and_then(|meta| meta.modified());
    if let Ok(made) = made
        && built.iter().all(|built| *built < made)
        && made.elapsed().is_ok_and(|age| age < FRESH)
    {
        return fs::read(&path);
    }
    let ran = sandbox.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let archive = packed(&sandbox)?;
    let new = path.with_extension("new");
    fs::write(&new, &archive)?;
    fs::rename(new, path)?;
    Ok(archive)
}

fn packed(sandbox: &Sandbox) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    for name in STARTED {
        let path = sandbox.dir().join(name);
        match path.is_dir() {
            true => archive.append_dir_all(name, path)?,
            false => archive.append_path_with_name(path, name)?,
        }
    }
    archive.into_inner()
}

/// The only document on standard output, which must match the schema.
pub(crate) fn document(ran: &Ran) -> Value {
    let document: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{}", ran.seen()));
    static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        let schema = include_str!("../../../schemas/polis.schema.json");
        let schema: Value = serde_json::from_str(schema).expect("the schema is JSON");
        jsonschema::validator_for(&schema).expect("the schema is valid")
    });
    let errors: Vec<String> = VALIDATOR
        .iter_errors(&document)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{document:#}");
    document
}

/// The `multipass` subcommands that were called, such as `launch` or `exec`.
pub(crate) fn commands(sandbox: &Sandbox) -> Vec<String> {
    let calls = sandbox.calls().into_iter();
    calls
        .filter_map(|call| call.args.first().cloned())
        .collect()
}

/// The number of launches that reached the daemon and created a VM.
pub(crate) fn launches(sandbox: &Sandbox) -> usize {
    let calls = sandbox.calls_of("launch").into_iter();
    calls
        .filter(|call| call.end.as_ref().is_none_or(|end| end.changed_vm))
        .count()
}

/// The output that the user sees, without digests, sizes and times.
pub(crate) fn seen(ran: &Ran) -> String {
    let seen = ran.seen();
    let words = seen
        .split_inclusive([' ', '\n', '.', '-'])
        .collect::<Vec<_>>();
    let mut text = String::new();
    for (at, word) in words.iter().enumerate() {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let next = words.get(at + 1).copied().unwrap_or_default();
        let hex = bare.trim_start_matches("sha256:");
        let is_hex =
            matches!(hex.len(), 12 | 64) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_time = bare.len() > 9 && bare.bytes().all(|byte| byte.is_ascii_digit());
        let counts = is_time || ["s.", "bytes,"].iter().any(|unit| next.trim_end() == *unit);
        let is_count = counts && bare.bytes().all(|byte| byte.is_ascii_digit());
        match (is_hex, is_count) {
            (true, _) => text.push_str(&word.replace(bare, "[DIGEST]")),
            (_, true) => text.push_str(&word.replace(bare, "[N]")),
            _ => text.push_str(word),
        }
    }
    text
}

/// Runs a command that must succeed; returns the steps that it did.
pub(crate) fn did(sandbox: &Sandbox, args: &[&str]) -> Vec<String> {
    let ran = sandbox.polis(&[args, &["--json"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let document = document(&ran);
    let did = document["result"]["did"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let name = |step: &Value| step["step"].as_str().unwrap_or_default().to_owned();
    did.iter().map(name).collect()
}

/// The calls of a plan in order, each with its step. Leaves out calls that run during a launch.
pub(crate) fn planned(plan: &Value) -> Vec<(String, Value)> {
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut calls: Vec<(String, Value)> = Vec::new();
    for call in array(&plan["result"]["looked"]) {
        calls.push(("look".to_owned(), call));
    }
    for step in array(&plan["result"]["plan"]) {
        let name = step["step"].as_str().unwrap_or_default();
        calls.extend(
            array(&step["calls"])
                .into_iter()
                .map(|call| (name.to_owned(), call)),
        );
    }
    calls.retain(|(_, call)| call["times"] != "meanwhile" && call["times"] != "ahead");
    assert!(!calls.is_empty(), "{plan:#}");
    calls
}

/// The arguments of a planned call.
pub(crate) fn args(call: &Value) -> Vec<String> {
    let args = call["args"].as_array().cloned().unwrap_or_default();
    let text = |arg: &Value| arg.as_str().unwrap_or_default().to_owned();
    args.iter().map(text).collect()
}
