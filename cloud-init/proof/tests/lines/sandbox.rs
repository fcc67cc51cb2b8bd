//! A scratch directory with the provisioning script. The script's paths point into the directory, and the last line, which
//! calls `main`, is removed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use cloud_init_proof::run::Run;

/// The directories of the guest that the script touches.
const PATHS: [&str; 5] = ["/etc/", "/var/", "/opt/", "/run/", "/usr/local/"];
/// Seconds until a case is stopped: a mutant may wait forever.
const LIMIT: &str = "20";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The script as written in the guest, without the call of `main`.
pub(crate) fn script() -> String {
    let document = include_str!("../../../cloud-init.yaml");
    let lines: Vec<&str> = document
        .lines()
        .skip_while(|line| *line != "      #!/bin/bash")
        .take_while(|line| *line != "      main \"$@\"")
        .map(|line| line.strip_prefix("      ").unwrap_or_default())
        .collect();
    assert!(lines.len() > 400, "the script ends early");
    lines.join("\n") + "\n"
}

pub(crate) fn cases() -> Vec<String> {
    let files = [
        include_str!("telling.sh"),
        include_str!("tools.sh"),
        include_str!("pins.sh"),
        include_str!("steps.sh"),
    ];
    let lines = files.iter().flat_map(|file| file.lines());
    lines
        .filter_map(|line| line.strip_prefix("case_")?.strip_suffix("() {"))
        .map(str::to_owned)
        .collect()
}

pub(crate) fn is_root() -> bool {
    let id = Run::new(&["id", "--user"]).output();
    id.is_ok_and(|id| id == "0")
}

/// Whether bash can parse `script`.
pub(crate) fn is_script(script: &str) -> bool {
    let ran = Run::new(&["bash", "-n"]).input(script.as_bytes()).ran();
    ran.is_ok_and(|ran| ran.code == 0)
}

/// The lines of the script that a case executes.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) functions: BTreeSet<String>,
    /// The indices of the lines.
    pub(crate) lines: BTreeSet<usize>,
}

/// A directory with the script, removed when dropped.
pub(crate) struct Sandbox(PathBuf);

impl Sandbox {
    pub(crate) fn new(script: &str) -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lines-{}-{count}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).expect("a directory");
        let mut text = script.to_owned();
        for path in PATHS {
            text = text.replace(path, &format!("{}{path}", dir.display()));
        }
        fs::write(dir.join("script"), text).expect("the script is written");
        Self(dir)
    }

    /// Runs a case.
    ///
    /// # Errors
    /// The output of a case that failed.
    pub(crate) fn run(&self, case: &str) -> Result<(), String> {
        self.bash(&[], case)
    }

    /// Runs a case that must pass; returns the lines of the script that it executed.
    pub(crate) fn traced(&self, case: &str) -> Trace {
        let trace = self.0.join("trace");
        let redirected = format!(
            "exec 7>{}; BASH_XTRACEFD=7; PS4='+ ${{BASH_SOURCE[0]}} ${{LINENO}} ${{FUNCNAME[0]:-}} '; set -x",
            trace.display()
        );
        let passed = self.bash(&[("TRACE", &redirected)], case);
        assert_eq!(passed, Ok(()), "{case}");
        let trace = fs::read_to_string(trace).expect("a trace");
        let script = self.0.join("script").display().to_string();
        let mut executed = Trace::default();
        for line in trace.lines().filter(|line| line.starts_with('+')) {
            let mut words = line.trim_start_matches('+').split(' ').skip(1);
            if words.next() != Some(&script) {
                continue;
            }
            let line = words.next().and_then(|number| number.parse::<usize>().ok());
            executed
                .lines
                .extend(line.and_then(|line| line.checked_sub(1)));
            executed.functions.extend(words.next().map(str::to_owned));
        }
        executed
    }

    fn bash(&self, env: &[(&str, &str)], case: &str) -> Result<(), String> {
        let harness = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lines/harness.sh");
        let dir = self.0.display().to_string();
        let mut run = Run::new(&[
            "timeout",
            "--kill-after=1",
            LIMIT,
            "bash",
            harness,
            &dir,
            case,
        ]);
        for (name, value) in env {
            run = run.env(name, value);
        }
        run.output().map(drop)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
