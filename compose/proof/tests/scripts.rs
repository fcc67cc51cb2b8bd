//! Runs the stack's own scripts with fake programs around them: no engine, no image.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cloud_init_proof::run::{Ran, Run};
use cloud_init_proof::runner;

/// A directory that is removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("polis-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("bin")).expect("a directory");
        Self(dir)
    }

    /// Adds a fake program that shadows the real one.
    fn program(&self, name: &str, script: &str) {
        self.file(&format!("bin/{name}"), &format!("#!/bin/bash\n{script}\n"));
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    fn copy(&self, from: &str, to: &str) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        self.file(
            to,
            &fs::read_to_string(root.join(from)).expect("a file of the stack"),
        );
    }

    /// Runs `script` in the directory, with its programs first on the PATH.
    fn run(&self, script: &str) -> Ran {
        let path = self.0.join("bin");
        let script = format!(
            "cd '{}' && export PATH='{}':$PATH && {script}",
            self.0.display(),
            path.display()
        );
        Run::new(&["bash", "-c", &script]).ran().expect("bash")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A stack's folder for creating secrets, as a user who needs sudo for root's files.
fn stack(name: &str) -> Option<Scratch> {
    let is_root = Run::new(&["id", "-u"]).output().expect("id").trim() == "0";
    if !is_root {
        runner::skip("only root can create the files of the containers");
        return None;
    }
    let scratch = Scratch::new(name);
    scratch.copy("scripts/generate-secrets.sh", "scripts/generate-secrets.sh");
    scratch.file("docker-compose.yml", "services: {}\n");
    scratch.program("id", "echo 1000");
    scratch.program(
        "sudo",
        "echo 'sudo: unable to resolve host polis: Name or service not known' >&2\n\
         while [[ $1 == -* ]]; do shift; done\nexec \"$@\"",
    );
    Some(scratch)
}

#[test]
fn a_warning_from_sudo_is_not_an_error() {
    let Some(scratch) = stack("sudo") else { return };
    for words in ["", "--check"] {
        let ran = scratch.run(&format!("scripts/generate-secrets.sh {words}"));
        assert_eq!(ran.code, 0, "{words}: {ran:?}");
    }
}

#[test]
fn a_key_that_does_not_match_its_certificate_is_reported() {
    let Some(scratch) = stack("key") else { return };
    let made = scratch.run("scripts/generate-secrets.sh");
    assert_eq!(made.code, 0, "{made:?}");
    let ran = scratch.run(
        "cp certs/valkey/server.key certs/valkey/client.key; scripts/generate-secrets.sh --check",
    );
    assert_ne!(ran.code, 0);
    assert!(
        ran.stderr.contains("client.key is not the key of"),
        "{ran:?}"
    );
}

/// A `docker` that records its calls. The workspace is on two networks, one of which Compose wants to recreate together with one
/// that the workspace is not on. Like the real one, it refuses as long as the workspace is on it.
const NETWORKS: &str = r#"echo "$*" >>calls
case "$*" in
  "compose ps --all --quiet workspace") echo id ;;
  "inspect --format {{range "*) cat joined ;;
  "compose --dry-run up "*)
    for name in internal foreign; do echo " DRY-RUN MODE -  Network polis_$name  Removed"; done ;;
  "compose config --services") printf '%s\n' gate workspace ;;
  "network disconnect --force "*) sed -i "/^$4$/d" joined ;;
  "network connect --alias workspace "*) ! grep --quiet "^$5$" joined && echo "$5" >>joined ;;
  "compose up --no-start "*) [[ ! -e cut ]] && ! grep --quiet polis_internal joined ;;
esac"#;

#[test]
fn the_workspace_leaves_a_changed_network_and_rejoins_it() {
    let scratch = Scratch::new("networks");
    for script in ["scripts/stack.sh", "scripts/agents.sh"] {
        scratch.copy(script, script);
    }
    scratch.program("systemctl", "echo inactive");
    scratch.program("docker", NETWORKS);
    scratch.file("joined", "polis_internal\npolis_other\n");
    // Interrupted while the workspace is off its network.
    let ran = scratch.run("touch cut; scripts/stack.sh up");
    assert_ne!(ran.code, 0, "{ran:?}");
    assert_eq!(scratch.run("cat joined").stdout, "polis_other\n");
    // The next run resumes, even if another network was recorded but not left.
    let ran = scratch.run("rm cut; echo polis_other >>.left-networks; scripts/stack.sh up");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        scratch.run("cat joined").stdout,
        "polis_other\npolis_internal\n"
    );
    assert_eq!(
        scratch.run("grep network calls; ls -A").stdout,
        "network disconnect --force polis_internal id\n\
         network connect --alias workspace polis_internal id\n\
         bin\ncalls\njoined\nscripts\n"
    );
}

#[test]
fn if_c_icap_exits_with_0_the_container_keeps_running_and_reports_it() {
    let scratch = Scratch::new("c-icap");
    scratch.copy("config/sentinel/start.sh", "start.sh");
    // Like c-icap with an invalid configuration.
    scratch.program("c-icap", "echo 'Fatal error while parsing config file'");
    let ran = scratch.run("timeout --preserve-status -s TERM 2 ./start.sh");
    // It kept running until SIGTERM, and said why.
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("exited with 0"), "{ran:?}");
}

#[test]
fn c_icap_stops_with_its_container_and_a_crash_stops_the_container() {
    let scratch = Scratch::new("c-icap-ends");
    scratch.copy("config/sentinel/start.sh", "start.sh");
    scratch.program(
        "c-icap",
        "trap 'echo got SIGTERM; exit 0' TERM; while :; do sleep 0.1; done",
    );
    let ran = scratch.run("timeout --preserve-status -s TERM 1 ./start.sh");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("got SIGTERM"), "{ran:?}");
    scratch.program("c-icap", "exit 3");
    let ran = scratch.run("./start.sh");
    assert_eq!(ran.code, 3, "{ran:?}");
}

/// A stack's folder in which the `nth` attempt of `docker compose pull` succeeds; `engine` prints Docker's process ID.
fn pulled(name: &str, nth: u32, engine: &str) -> Ran {
    let scratch = Scratch::new(name);
    scratch.copy("scripts/stack.sh", "scripts/stack.sh");
    scratch.program("systemctl", engine);
    scratch.program("sleep", "echo \"$1\" >>slept");
    scratch.program(
        "docker",
        &format!(
            "case \"$*\" in\n\
             info) test \"$(cat pulls 2>/dev/null | wc -l)\" -lt 1 || {{ echo >>asked; test \"$(wc -l <asked)\" -gt 2; }} ;;\n\
             *pull) echo >>pulls; test \"$(wc -l <pulls)\" -ge {nth} ;;\n\
             esac"
        ),
    );
    scratch.run("scripts/stack.sh pull; code=$?; echo \"pulls $(wc -l <pulls) slept $(echo $(cat slept))\"; exit $code")
}

#[test]
fn a_pull_resumes_as_soon_as_docker_answers_after_a_restart() {
    let ran = pulled("restart", 2, "wc -l <pulls 2>/dev/null || echo 0");
    assert_eq!(ran.code, 0, "{ran:?}");
    // One second for each unanswered attempt.
    assert!(ran.stdout.ends_with("pulls 2 slept 1 1\n"), "{ran:?}");
}

#[test]
fn a_pull_waits_after_a_refusal_of_the_registry() {
    let ran = pulled("refusal", 3, "echo 7");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.ends_with("pulls 3 slept 5 1 1 15\n"), "{ran:?}");
}
