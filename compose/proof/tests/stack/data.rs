//! The agent's work survives upgrades and failed starts.

use std::fs;

use polis_stack_proof::bench::Bench;
use polis_stack_proof::health::all_are_well;
use polis_stack_proof::variant::Variant;
use polis_stack_proof::{Result, registry, variant};

use crate::ensure;
use crate::probe::shell;

/// Files on the volumes, and one with the lifetime of the workspace's container.
const KEPT: [&str; 3] = ["/home/polis/kept", "/root/kept", "/var/lib/docker/kept"];
const IN_CONTAINER: &str = "/usr/local/kept";
const IN_MACHINE: &str = "/var/lib/docker/volumes/polis_state-data/_data/kept";

/// Writes the files that must survive.
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

/// Checks that everything is still there; with `container`, also the file that is not on a volume.
fn is_kept(bench: &Bench, container: bool) -> Result<()> {
    let mut paths = KEPT.to_vec();
    paths.extend(container.then_some(IN_CONTAINER));
    for path in paths {
        let found = shell(bench, &format!("cat {path}"))
            .map_err(|error| format!("the agent's work was lost: {error}"))?;
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

/// Publishes another image for a repository in the registry.
fn publish(bench: &Bench, name: &str, text: &str) -> Result<Variant> {
    let twin = bench.twins.get(name)?;
    let made = variant::of(twin, text, &bench.dir)?;
    registry::fill(&bench.dir, std::slice::from_ref(&made.twin))?;
    Ok(made)
}

/// Changes the byte before the last `mark` in a blob of the registry; returns the original blob.
fn alter(bench: &Bench, digest: &str, mark: &[u8]) -> Result<Vec<u8>> {
    let path = bench.registry.blob(digest);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let before = fs::read(&path).map_err(failed)?;
    let found = before.windows(mark.len()).rposition(|found| found == mark);
    let at = found
        .and_then(|at| at.checked_sub(1))
        .ok_or_else(|| format!("{}: nothing to alter", path.display()))?;
    let mut after = before.clone();
    // The length stays the same: only the digest reveals the change.
    after[at] ^= 1;
    fs::write(&path, after).map_err(failed)?;
    Ok(before)
}

/// Writes back what [`alter`] returned.
fn restore(bench: &Bench, digest: &str, bytes: &[u8]) -> Result<()> {
    let path = bench.registry.blob(digest);
    fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// An image whose layer was altered in the registry is not pulled: the start fails and names it, running services keep running,
/// and nothing is lost. Nor is an image whose manifest was altered.
pub(crate) fn a_tampered_image_is_refused(bench: &mut Bench) -> Result<()> {
    write(bench)?;
    let made = publish(bench, "toolbox", "the work of an attacker: www")?;
    let layer = alter(bench, &made.layer, b"ww")?;
    bench.pin(std::slice::from_ref(&made.twin))?;
    let id = workspace_id(bench)?;
    let ran = bench.sandbox.polis(&["start"]);
    restore(bench, &made.layer, &layer)?;
    ensure(ran.code != Some(0), || {
        format!("the altered image was started: {}", ran.seen())
    })?;
    ensure(ran.stderr.contains("toolbox"), || {
        format!("the error does not name the image: {}", ran.seen())
    })?;
    let used = bench
        .guest
        .output("docker inspect --format '{{.Config.Image}}' polis-toolbox")?;
    ensure(!used.ends_with(&made.twin.digest), || {
        format!("toolbox runs {used}")
    })?;
    ensure(workspace_id(bench)? == id, || {
        "the workspace was recreated by a failed start".to_owned()
    })?;
    is_kept(bench, true)?;
    // Another size for the last layer: valid JSON, which the registry serves; only the digest reveals the change.
    let manifest = alter(bench, &made.twin.digest, b"}]")?;
    let reference = format!("{}@{}", made.twin.image, made.twin.digest);
    let pull = format!("docker pull --quiet {reference}");
    let ran = bench.guest.ran(&pull)?;
    restore(bench, &made.twin.digest, &manifest)?;
    ensure(ran.code != 0, || {
        format!("{reference} was pulled with an altered manifest")
    })?;
    // Only the manifest had prevented the pull.
    bench.guest.output(&pull).map(drop)
}

/// An upgrade of other services leaves the workspace's container alone.
pub(crate) fn an_upgrade_keeps_the_workspace(bench: &mut Bench) -> Result<()> {
    write(bench)?;
    let made = publish(bench, "toolbox", "the next toolbox")?;
    bench.pin(std::slice::from_ref(&made.twin))?;
    let id = workspace_id(bench)?;
    bench.polis("polis start, another toolbox", &["start"])?;
    all_are_well(&bench.guest)?;
    let used = bench
        .guest
        .output("docker inspect --format '{{.Config.Image}}' polis-toolbox")?;
    ensure(used.ends_with(&made.twin.digest), || {
        format!("toolbox still runs {used}")
    })?;
    ensure(workspace_id(bench)? == id, || {
        "the workspace was recreated although only toolbox changed".to_owned()
    })?;
    is_kept(bench, true)
}

/// A new workspace image needs a new container: `polis start` asks for a decision, and the volumes are kept.
pub(crate) fn another_workspace_keeps_the_volumes(bench: &mut Bench) -> Result<()> {
    write(bench)?;
    let made = publish(bench, "workspace", "the next workspace")?;
    bench.pin(std::slice::from_ref(&made.twin))?;
    let id = workspace_id(bench)?;
    let ran = bench.sandbox.polis(&["start"]);
    ensure(ran.stderr.contains("--recreate-workspace"), || {
        format!(
            "polis start does not ask for --recreate-workspace: {}",
            ran.seen()
        )
    })?;
    ensure(workspace_id(bench)? == id, || {
        "the workspace was recreated without --recreate-workspace".to_owned()
    })?;
    is_kept(bench, true)?;
    bench.polis(
        "polis start --recreate-workspace",
        &["start", "--recreate-workspace"],
    )?;
    all_are_well(&bench.guest)?;
    let used = bench
        .guest
        .output("docker inspect --format '{{.Config.Image}}' polis-workspace")?;
    ensure(used.ends_with(&made.twin.digest), || {
        format!("workspace still runs {used}")
    })?;
    is_kept(bench, false)
}

/// An agent layers its compose file on the stack: the workspace gets a new container, but only on request, and keeps its volumes.
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
    let ran = bench.polis(
        "polis start --agent",
        &["start", "--agent", &agent, "--trust-compose"],
    )?;
    let told = ran.stderr.contains("--recreate-workspace");
    ensure(told && workspace_id(bench)? == id, || {
        format!(
            "the workspace was recreated without --recreate-workspace: {}",
            ran.seen()
        )
    })?;
    is_kept(bench, true)?;
    let words = [
        "start",
        "--agent",
        &agent,
        "--trust-compose",
        "--recreate-workspace",
    ];
    bench.polis("polis start --agent --recreate-workspace", &words)?;
    all_are_well(&bench.guest)?;
    let found = shell(bench, "echo $STACK_PROOF_AGENT")?;
    ensure(found == "here", || {
        format!("the agent's variable is `{found}`")
    })?;
    is_kept(bench, false)
}
