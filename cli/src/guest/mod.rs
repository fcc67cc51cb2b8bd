//! What happens inside the VM: the scripts that are sent there, and what they answer.
//!
//! Every script ends with 0 or 10 (or others where it says so), never with a code that Multipass gives
//! another meaning, and prints less than 4096 bytes, so that it works on Windows too.

pub(crate) mod agents;
pub(crate) mod copy;
pub(crate) mod disk;
pub(crate) mod facts;
pub(crate) mod ports;
pub(crate) mod probe;
pub(crate) mod provision;
pub(crate) mod run;
pub(crate) mod service;
pub(crate) mod ssh;
pub(crate) mod storage;
pub(crate) mod valkey;

use polis_base::Digest;

use crate::error::{Error, Kind};
use crate::instance::vm;
use crate::multipass::call::{Call, Payload, Times};

/// What the install script ends with when the archive is not what was sent.
pub(crate) const DAMAGED: i32 = 11;
/// The first line of what the read script answers.
pub(crate) const READ: &str = "polis-read 1";
/// How many bytes of a file one answer has, in base64: small enough for Windows.
pub(crate) const PART: usize = 3000;
/// The first lines of the answers of `agents-state.sh`, `ports.sh`, `outside.sh`, `volumes.sh` and `leftovers.sh`.
const AGENTS: &str = "polis-agents 1";
const PORTS: &str = "polis-ports 1";
const OUTSIDE: &str = "polis-outside 1";
const VOLUMES: &str = "polis-volumes 1";
const LEFTOVERS: &str = "polis-leftovers 1";
/// The user of the VM, whom the image brings and who may use Docker.
const USER: &str = "ubuntu";

/// Looks at the guest.
pub(crate) fn probe() -> Call {
    Call::guest("see how the VM is", include_str!("probe.sh"), &[])
}

/// Looks at the guest, measures its volumes and asks for more facts, in one call; `blocked` matches the keys of blocked
/// requests.
pub(crate) fn survey(blocked: &str) -> Call {
    // The probe ends early where there is no stack.
    let script = concat!(
        include_str!("facts.sh"),
        "\n",
        include_str!("probe.sh"),
        "\n",
        include_str!("volumes.sh")
    );
    Call::guest("see how the VM is", script, &[blocked])
}

/// How far the provisioning is, for the one who waits.
pub(crate) fn progress() -> Call {
    Call::guest("see how far the VM is", include_str!("progress.sh"), &[]).times(Times::Meanwhile)
}

/// Part of a file in the guest.
pub(crate) fn read(path: &str, offset: usize) -> Call {
    let (offset, part) = (offset.to_string(), PART.to_string());
    Call::guest(
        "read a file of the VM",
        include_str!("read.sh"),
        &[path, &offset, &part],
    )
}

/// Counts what killed runs have left in the VM; with `remove` removes it first.
pub(crate) fn leftovers(remove: bool) -> Call {
    let script = include_str!("leftovers.sh");
    let what: &[&str] = if remove { &["remove"] } else { &[] };
    Call::guest("see what killed runs have left", script, what)
}

/// The count in its answer; 0 where it says nothing.
pub(crate) fn left_over(text: &str) -> u32 {
    let mut lines = answer(text, LEFTOVERS).unwrap_or_default().lines();
    let count = lines.find_map(|line| line.strip_prefix("left ")?.trim_end().parse().ok());
    count.unwrap_or(0)
}

/// Makes the folder that archives are brought to, where the provisioning has not made it yet.
pub(crate) fn place() -> Call {
    Call::guest("make the folder of polis", include_str!("place.sh"), &[])
}

/// The two calls that bring an archive into the guest and put it in its place.
pub(crate) fn install(archive: Payload, agent: Option<&str>) -> [Call; 2] {
    let digest = Digest::of(&archive.bytes);
    // A name of its own for each content: a late end of an older transfer does no harm.
    let incoming = format!("/opt/polis/.incoming-{}.tar", short(&digest));
    let target = format!("{}:{incoming}", vm());
    let what = match agent {
        None => ("transfer the bundle", "put the bundle in its place"),
        Some(_) => ("transfer the agent", "put the agent in its place"),
    };
    let transfer = Call::new(what.0, &["transfer", "-", &target]).with(archive);
    let hex = digest.hex();
    let mut args = vec![incoming.as_str(), &hex];
    args.extend(agent);
    [
        transfer,
        Call::guest(what.1, include_str!("install.sh"), &args),
    ]
}

/// What the install script ends with when another agent has what this one claims.
pub(crate) const CLAIMED: i32 = 12;

/// Hands over an agent's keys: a file for root alone, its content, and its place.
pub(crate) fn give_keys(agent: &str, keys: Payload) -> [Call; 3] {
    let incoming = format!("/opt/polis/.incoming-{agent}.keys");
    let target = format!("{}:{incoming}", vm());
    [
        Call::guest(
            "make room for keys",
            include_str!("keys-place.sh"),
            &[&incoming],
        ),
        Call::new("transfer the keys", &["transfer", "-", &target]).with(keys),
        Call::guest(
            "put the keys in their place",
            include_str!("keys.sh"),
            &[&incoming, agent],
        ),
    ]
}

/// Replaces the proxies and certificate authorities of the VM by those in an archive: a file for this user alone, its
/// content, and its places.
pub(crate) fn set_proxies(archive: Payload) -> [Call; 3] {
    let incoming = format!("/home/{USER}/.polis-proxies.tar");
    let target = format!("{}:{incoming}", vm());
    [
        Call::guest(
            "make room for the proxies",
            include_str!("keys-place.sh"),
            &[&incoming],
        ),
        Call::new("transfer the proxies", &["transfer", "-", &target]).with(archive),
        Call::guest(
            "put the proxies in their places",
            include_str!("proxies.sh"),
            &[&incoming],
        ),
    ]
}

/// Makes all agents that are installed a part of the stack, or none.
pub(crate) fn layer(all: bool) -> Call {
    let which = if all { "all" } else { "none" };
    agents_script("choose the agents to start", &["layer", which])
}

/// Removes an agent, with its data if `purge`.
pub(crate) fn remove_agent(name: &str, purge: bool) -> Call {
    let words = ["remove", name, "purge"];
    agents_script("remove the agent", &words[..if purge { 3 } else { 2 }])
}

/// Has the workspace restart an agent.
pub(crate) fn restart_agent(name: &str) -> Call {
    agents_script("restart the agent", &["ask", "restart", name])
}

fn agents_script(purpose: &'static str, words: &[&str]) -> Call {
    Call::guest(purpose, include_str!("agents.sh"), words)
}

/// What the agents have, and how they are, as the workspace says.
pub(crate) fn agents() -> Call {
    Call::guest(
        "see how the agents are",
        include_str!("agents-state.sh"),
        &[],
    )
}

/// What `ports.sh` ends with when a port cannot be opened.
pub(crate) const NOT_OPENED: i32 = 12;

fn ports_script(purpose: &'static str, words: &[&str]) -> Call {
    Call::guest(purpose, include_str!("ports.sh"), words)
}

/// The ports at the VM's address.
pub(crate) fn ports() -> Call {
    ports_script("see which ports are open", &["list"])
}

/// Opens a port that leads to `target` in the workspace.
pub(crate) fn add_port(port: u16, target: u16) -> Call {
    let (port, target) = (port.to_string(), target.to_string());
    ports_script("open the port", &["add", &port, &target])
}

/// Closes a port that the user has opened.
pub(crate) fn remove_port(port: u16) -> Call {
    ports_script("close the port", &["remove", &port.to_string()])
}

/// Has the forwarder become what is wanted, at the address that the VM has now.
pub(crate) fn apply_ports() -> Call {
    ports_script("open the ports", &["apply"])
}

/// Makes certificates and secrets.
pub(crate) fn secrets() -> Call {
    Call::guest(
        "make certificates and secrets",
        include_str!("secrets.sh"),
        &[],
    )
}

/// Starts a long command, and asks how it is.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Starts it.
    pub(crate) start: Call,
    /// Asks how it is.
    pub(crate) poll: Call,
}

/// Provisions again what was not provisioned to the end.
pub(crate) fn reprovision() -> Call {
    Call::guest(
        "provision the VM again",
        include_str!("reprovision.sh"),
        &[],
    )
}

const PULL: [&str; 2] = ["scripts/stack.sh", "pull"];

/// Pulls the images of the stack that is `digest`.
pub(crate) fn pull_job(digest: &Digest) -> Job {
    job(&pull_name(digest), "pull the images", &PULL)
}

/// Starts the same job before Docker is there.
pub(crate) fn pull_ahead(digest: &Digest) -> Call {
    let name = pull_name(digest);
    let args = [&[name.as_str(), USER][..], &PULL].concat();
    Call::guest("pull the images ahead", include_str!("job-ahead.sh"), &args)
}

fn pull_name(digest: &Digest) -> String {
    format!("pull-{}", short(digest))
}

/// What `stack.sh up` does to containers that already exist.
#[derive(Debug, Clone, Default)]
pub(crate) struct UpOptions {
    /// Recreate all but the workspace.
    pub(crate) recreate: bool,
    /// Recreate the workspace, if it differs from its definition.
    pub(crate) recreate_workspace: bool,
    /// Services to restart.
    pub(crate) restart: Vec<String>,
}

/// Brings the stack that is `digest` up.
pub(crate) fn up_job(digest: &Digest, up: &UpOptions) -> Job {
    let name = format!("up-{}", short(digest));
    let mut command = vec!["scripts/stack.sh", "up"];
    command.extend(up.recreate.then_some("--recreate"));
    command.extend(up.recreate_workspace.then_some("--recreate-workspace"));
    command.extend(up.restart.iter().map(String::as_str));
    job(&name, "start the services", &command)
}

fn job(name: &str, purpose: &'static str, command: &[&str]) -> Job {
    let args = [&[name, USER][..], command].concat();
    Job {
        start: Call::guest(purpose, include_str!("job.sh"), &args),
        poll: Call::guest(purpose, include_str!("job-poll.sh"), &[name])
            .times(Times::Until("it has ended")),
    }
}

/// Records that the stack was brought up whole.
pub(crate) fn ready(stack: &str) -> Call {
    Call::guest(
        "record that the stack is complete",
        include_str!("ready.sh"),
        &[stack],
    )
}

/// Writes the log lines that tell why a service is not well to a file of the guest.
pub(crate) fn service_log(service: &str, file: &str) -> Call {
    Call::guest(
        "read the log of a service",
        include_str!("service-log.sh"),
        &[service, file],
    )
}

/// What the workspace would lose if its container were recreated.
pub(crate) fn outside() -> Call {
    Call::guest(
        "list what the workspace has outside its volumes",
        include_str!("outside.sh"),
        &[],
    )
}

/// The error about an answer of the VM that is none of our scripts'.
pub(crate) fn unreadable(what: impl Into<String>, why: impl Into<String>) -> Box<Error> {
    Error::new(Kind::Unexpected, what)
        .because(why)
        .next("polis stop, then: polis start   (restarts the VM)")
        .next("polis delete --purge, then: polis start   (to start over; everything in it is lost)")
}

/// Whether `name` can be one of a service, a volume or an agent: it is shown at the start of a line.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// What a script answers after its first line, `header`: a spinner may have left something before it.
pub(crate) fn answer<'a>(text: &'a str, header: &str) -> Option<&'a str> {
    let begin = text.find(header)? + header.len();
    let rest = &text[begin..];
    rest.strip_prefix("\r\n").or(rest.strip_prefix('\n'))
}

/// Enough of a digest to tell contents apart in a name.
fn short(digest: &Digest) -> String {
    digest.hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_script_ends_with_a_code_that_multipass_reads_otherwise() {
        let digest = Digest::of(b"x");
        let archive = Payload::new("x.tar", b"x".as_slice());
        let [_, install] = install(archive.clone(), Some("a"));
        let pull = pull_job(&digest);
        let [_, _, set_proxies] = set_proxies(archive.clone());
        let [place_keys, _, put_keys] = give_keys("a", archive);
        let calls = [
            probe(),
            place(),
            install,
            pull_ahead(&digest),
            secrets(),
            reprovision(),
            pull.start,
            pull.poll,
            ready("x"),
            read("/x", 0),
            service_log("x", "/x/y"),
            outside(),
            survey("x"),
            run::Run::new().signal(&["TERM"]),
            copy::unpack("/x", &digest, "/y", false, false),
            copy::pack("/x", 1, "/y", true),
            copy::forget("/x"),
            valkey::call(1, "/x", &[]),
            agents(),
            ports(),
            layer(true),
            place_keys,
            put_keys,
            set_proxies,
            ssh::host_key(),
            leftovers(true),
        ];
        for call in calls {
            assert_eq!(call.args[..4], ["exec", "-n", vm(), "--"]);
            let script = &call.args[6];
            assert!(script.contains("exit 10' EXIT"), "{script}");
            assert!(
                script.len() < 8000,
                "{} is too long for Windows",
                script.len()
            );
        }
        assert!(progress().args[6].ends_with("exit 0"));
    }

    #[test]
    fn the_archive_is_checked_by_the_digest_of_what_was_sent() {
        let archive = Payload::new("x.tar", b"x".as_slice());
        let [transfer, install] = install(archive, None);
        let hex = Digest::of(b"x").hex();
        assert_eq!(transfer.args[..2], ["transfer", "-"]);
        assert_eq!(
            install.args[8..],
            [format!("/opt/polis/.incoming-{}.tar", &hex[..12]), hex]
        );
    }
}
