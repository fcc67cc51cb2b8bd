//! `ssh` and `scp` into the workspace's twin, with Debian's own OpenSSH at both ends and only `polis` between them.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use fake_multipass::Ran;
use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;

use crate::ensure;

/// Commands for the workspace: print who it is, check that it trusts gate's CA as with `exec`, and exit with a distinctive code.
const QUESTION: &str = "id -un; pwd; echo \"$NODE_EXTRA_CA_CERTS\"; exit 7";
const ANSWER: &str = "polis\n/home/polis\n/usr/local/share/ca-certificates/polis-ca.crt\n";

/// Runs a client with the configuration that `polis` has installed. OpenSSH looks up the user's home in the system, not in HOME.
fn openssh(bench: &Bench, program: &str, words: &[&str]) -> Ran {
    let config = bench
        .sandbox
        .home()
        .join(".ssh/config")
        .display()
        .to_string();
    let args = [&["-F", &config, "-o", "BatchMode=yes"][..], words].concat();
    bench
        .sandbox
        .run(&Path::new("/usr/bin").join(program), &args)
}

/// A login, and a copy in both directions, leave nothing running.
pub(crate) fn ssh(bench: &mut Bench) -> Result<()> {
    bench.polis("start, with nothing to do", &["start"])?;
    bench.polis("ssh-config", &["ssh-config", "--install"])?;
    let ran = openssh(bench, "ssh", &["polis", QUESTION]);
    let well = (ran.code, ran.stdout.as_str(), ran.stderr.as_str()) == (Some(7), ANSWER, "");
    ensure(well, || ran.seen())?;

    let bytes: Vec<u8> = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
    let (there, back) = (
        bench.sandbox.home().join("big"),
        bench.sandbox.home().join("back"),
    );
    fs::write(&there, &bytes).map_err(|error| error.to_string())?;
    for words in [["-q", "big", "polis:big"], ["-q", "polis:big", "back"]] {
        let ran = openssh(bench, "scp", &words);
        ensure(ran.code == Some(0), || ran.seen())?;
    }
    let came = fs::read(&back).map_err(|error| error.to_string())?;
    ensure(came == bytes, || format!("{} bytes came back", came.len()))?;

    synced(bench)?;
    let ran = openssh(bench, "ssh", &["-l", "root", "polis", "true"]);
    ensure(ran.code == Some(255), || format!("root: {}", ran.seen()))?;
    nothing_is_left(bench)
}

/// A directory is synced, and its change comes back through the workspace's own git.
fn synced(bench: &mut Bench) -> Result<()> {
    let dir = bench.sandbox.home().join("project");
    let failed = |error: std::io::Error| error.to_string();
    fs::create_dir(&dir).map_err(failed)?;
    fs::write(dir.join("a"), "one\n").map_err(failed)?;
    bench.polis("sync", &["sync", "project"])?;
    let ran = openssh(bench, "ssh", &["polis", "echo two >>project/a"]);
    ensure(ran.code == Some(0), || ran.seen())?;
    bench.polis("sync --apply", &["sync", "project", "--apply", "--yes"])?;
    let text = fs::read_to_string(dir.join("a")).map_err(failed)?;
    ensure(text == "one\ntwo\n", || text)
}

/// The servers end with their connections, and none is listening.
fn nothing_is_left(bench: &Bench) -> Result<()> {
    for _ in 0..50 {
        // Exits with 1 if nothing is found.
        let found = bench.inside("workspace", &["pgrep", "-a", "sshd"]).ran()?;
        if (found.code, found.stdout.as_str()) == (1, "") {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(200));
    }
    Err("an sshd is left in the workspace".to_owned())
}
