//! Upgrades, and starts that fail: what the agent has made is still there afterwards.

use std::fs;

use polis_stack_proof::bench::Bench;
use polis_stack_proof::variant::Variant;
use polis_stack_proof::{Result, registry, variant};

use crate::ensure;
use crate::probe::shell;
use crate::start::all_are_well;

/// Files on the volumes, and one that lasts as long as the workspace's container.
const KEPT: [&str; 3] = ["/home/polis/kept", "/root/kept", "/var/lib/docker/kept"];
const IN_CONTAINER: &str = "/usr/local/kept";
const IN_MACHINE: &str = "/var/lib/docker/volumes/polis_state-data/_data/kept";

/// Writes everywhere.
fn write(bench: &Bench) -> Result<()> {
    let paths: Vec<&str> = KEPT.into_iter().chain([IN_CONTAINER]).collect();
    shell(
        bench,
        &format!(
            "for path in {}; do echo work >$path; done; chown polis /home/polis/kept",
            paths.join(" ")
        ),
    )?;
    bench
        .guest
        .output(&format!("echo work >{IN_MACHINE}"))
        .map(drop)
}

/// Everything is still there; `container`: what no volume holds, too.
fn is_kept(bench: &Bench, container: bool) -> Result<()> {
    let mut paths = KEPT.to_vec();
    paths.extend(container.then_some(IN_CONTAINER));
    for path in paths {
        let found = shell(bench, &format!("cat {path}"))
            .map_err(|error| format!("the agent's work is lost: {error}"))?;
        ensure(found == "work", || format!("{path}: {found}"))?;
    }
    let found = bench.guest.output(&format!("cat {IN_MACHINE}"))?;
    ensure(found == "work", || format!("{IN_MACHINE}: {found}"))
}

fn workspace_id(bench: &Bench) -> Result<String> {
    bench
        .guest
        .output("docker inspect --format '{{.Id}}' polis-workspace")
}

/// Another image for a repository, in the registry.
fn publish(bench: &Bench, name: &str, text: &str) -> Result<Variant> {
    let twin = bench.twins.get(name)?;
    let made = variant::of(twin, text, &bench.dir)?;
    registry::fill(&bench.dir, std::slice::from_ref(&made.twin))?;
    Ok(made)
}

/// Puts one more byte at the end of a file of the registry, and returns what was there.
fn alter(bench: &Bench, digest: &str) -> Result<Vec<u8>> {
    let path = bench.registry.blob(digest);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let before = fs::read(&path).map_err(failed)?;
    let mut after = before.clone();
    // The same length, so that only the content tells.
    if let Some(last) = after
        .iter_mut()
        .rev()
        .find(|byte| **byte == b'w' || **byte == b'}')
    {
        *last ^= 1;
    }
    fs::write(&path, after).map_err(failed)?;
    Ok(before)
}

/// An image whose layer was altered in the registry is not pulled: the start fails and says so, what runs goes on, and
/// nothing is lost. Neither is one whose manifest is not that of the digest.
pub(crate) fn a_tampered_image_is_refused(bench: &mut Bench) -> Result<()> {
    write(bench)?;
    let made = publish(bench, "toolbox", "work of somebody else: www")?;
    let before = alter(bench, &made.layer)?;
    bench.pin(std::slice::from_ref(&made.twin))?;
    let id = workspace_id(bench)?;
    let ran = bench.world.polis(&["start"]);
    let restore = |digest: &str, bytes: &[u8]| {
        fs::write(bench.registry.blob(digest), bytes).map_err(|error| error.to_string())
    };
    restore(&made.layer, &before)?;
    ensure(ran.code != Some(0), || {
        format!("it was started: {}", ran.seen())
    })?;
    ensure(ran.stderr.contains("toolbox"), || {
        format!("nothing says which image it is: {}", ran.seen())
    })?;
    let used = bench
        .guest
        .output("docker inspect --format '{{.Config.Image}}' polis-toolbox")?;
    ensure(!used.ends_with(&made.twin.digest), || {
        format!("toolbox runs {used}")
    })?;
    ensure(workspace_id(bench)? == id, || {
        "the workspace was recreated by a start that failed".to_owned()
    })?;
    is_kept(bench, true)?;
    let manifest = alter(bench, &made.twin.digest)?;
    let reference = format!("{}@{}", made.twin.image, made.twin.digest);
    let ran = bench
        .guest
        .ran(&format!("docker pull --quiet {reference}"))?;
    let restored = fs::write(bench.registry.blob(&made.twin.digest), manifest);
    restored.map_err(|error| error.to_string())?;
    ensure(ran.code != 0, || {
        format!("{reference} was pulled with another manifest")
    })
}

/// An upgrade of other services leaves the workspace's container alone.
pub(crate) fn an_upgrade_keeps_the_workspace(bench: &mut Bench) -> Result<()> {
    write(bench)?;
    let made = publish(bench, "toolbox", "the next toolbox")?;
    bench.pin(std::slice::from_ref(&made.twin))?;
    let id = workspace_id(bench)?;
    bench.polis("polis start, another toolbox", &["start"])?;
    all_are_well(bench)?;
    let used = bench
        .guest
        .output("docker inspect --format '{{.Config.Image}}' polis-toolbox")?;
    ensure(used.ends_with(&made.twin.digest), || {
        format!("toolbox still runs {used}")
    })?;
    ensure(workspace_id(bench)? == id, || {
        "the workspace was recreated, which nothing asked for".to_owned()
    })?;
    is_kept(bench, true)
}

/// Another workspace image needs another container: `polis start` wants to be told, and the volumes stay.
pub(crate) fn another_workspace_keeps_the_volumes(bench: &mut Bench) -> Result<()> {
    write(bench)?;
    let made = publish(bench, "workspace", "the next workspace")?;
    bench.pin(std::slice::from_ref(&made.twin))?;
    let id = workspace_id(bench)?;
    let ran = bench.world.polis(&["start"]);
    ensure(ran.stderr.contains("--recreate-workspace"), || {
        format!("it does not say what is to be decided: {}", ran.seen())
    })?;
    ensure(workspace_id(bench)? == id, || {
        "the workspace was recreated without a word".to_owned()
    })?;
    is_kept(bench, true)?;
    bench.polis(
        "polis start --recreate-workspace",
        &["start", "--recreate-workspace"],
    )?;
    all_are_well(bench)?;
    let used = bench
        .guest
        .output("docker inspect --format '{{.Config.Image}}' polis-workspace")?;
    ensure(used.ends_with(&made.twin.digest), || {
        format!("workspace still runs {used}")
    })?;
    is_kept(bench, false)
}

/// An agent layers its compose file on the stack: another container of the workspace, which is made when it is asked for,
/// and the same volumes.
pub(crate) fn another_agent_keeps_the_volumes(bench: &mut Bench) -> Result<()> {
    write(bench)?;
    let agent = bench.dir.join("proof-agent");
    let file = agent.join("compose.yaml");
    let text = "services:\n  workspace:\n    environment: {STACK_PROOF_AGENT: here}\n";
    fs::create_dir_all(&agent)
        .and_then(|()| fs::write(&file, text))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let agent = agent.display().to_string();
    let id = workspace_id(bench)?;
    let ran = bench.polis("polis start --agent", &["start", "--agent", &agent])?;
    let told = ran.stderr.contains("--recreate-workspace");
    ensure(told && workspace_id(bench)? == id, || {
        format!("the workspace was recreated without a word: {}", ran.seen())
    })?;
    is_kept(bench, true)?;
    let words = ["start", "--agent", &agent, "--recreate-workspace"];
    bench.polis("polis start --agent --recreate-workspace", &words)?;
    all_are_well(bench)?;
    let found = shell(bench, "echo $STACK_PROOF_AGENT")?;
    ensure(found == "here", || {
        format!("the agent's variable is `{found}`")
    })?;
    is_kept(bench, false)
}
