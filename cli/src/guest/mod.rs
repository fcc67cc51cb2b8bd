//! The scripts that run inside the VM, and their answers.
//!
//! Every script exits with 0 or 10 (or with another code that it documents), never with a code that has a meaning for
//! Multipass, and prints less than 4096 bytes, so that it works on Windows too.

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

/// The exit code of the install script when the archive is damaged.
pub(crate) const DAMAGED: i32 = 11;
/// The first line of the read script's answer.
pub(crate) const READ: &str = "polis-read 1";
/// The bytes of a file in one answer, small enough for Windows when encoded in base64.
pub(crate) const PART: usize = 3000;
/// The first lines of the answers of `agents-state.sh`, `ports.sh`, `outside.sh`, `volumes.sh` and `leftovers.sh`.
const AGENTS: &str = "polis-agents 1";
const PORTS: &str = "polis-ports 1";
const OUTSIDE: &str = "polis-outside 1";
const VOLUMES: &str = "polis-volumes 1";
const LEFTOVERS: &str = "polis-leftovers 1";
/// The user of the VM's image, who may use Docker.
const USER: &str = "ubuntu";

/// Probes the guest.
pub(crate) fn probe() -> Call {
    Call::guest("probe the VM", include_str!("probe.sh"), &[])
}

/// Probes the guest, measures its volumes and collects more facts in one call. `blocked` is the pattern of the keys of
/// blocked requests.
pub(crate) fn survey(blocked: &str) -> Call {
    // Last, since the probe exits early if there is no stack.
    let script = concat!(
        include_str!("facts.sh"),
        "\n",
        include_str!("probe.sh"),
        "\n",
        include_str!("volumes.sh")
    );
    Call::guest("probe the VM", script, &[blocked])
}

/// The progress of the provisioning.
pub(crate) fn progress() -> Call {
    Call::guest(
        "read the progress of the provisioning",
        include_str!("progress.sh"),
        &[],
    )
    .times(Times::Meanwhile)
}

/// Reads a part of a file in the guest.
pub(crate) fn read(path: &str, offset: usize) -> Call {
    let (offset, part) = (offset.to_string(), PART.to_string());
    Call::guest(
        "read a file of the VM",
        include_str!("read.sh"),
        &[path, &offset, &part],
    )
}

/// Counts the files that killed runs have left in the VM; with `remove`, removes them first.
pub(crate) fn leftovers(remove: bool) -> Call {
    let script = include_str!("leftovers.sh");
    let what: &[&str] = if remove { &["remove"] } else { &[] };
    Call::guest("look for files of killed runs", script, what)
}

/// The count in the answer; 0 if there is none.
pub(crate) fn left_over(text: &str) -> u32 {
    let mut lines = answer(text, LEFTOVERS).unwrap_or_default().lines();
    let count = lines.find_map(|line| line.strip_prefix("left ")?.trim_end().parse().ok());
    count.unwrap_or(0)
}

/// Creates the directory for archives, if the provisioning has not done so yet.
pub(crate) fn place() -> Call {
    Call::guest(
        "create the directory of polis",
        include_str!("place.sh"),
        &[],
    )
}

/// Transfers an archive into the guest and installs it.
pub(crate) fn install(archive: Payload, agent: Option<&str>) -> [Call; 2] {
    let digest = Digest::of(&archive.bytes);
    // The name depends on the content, so that an older transfer that ends late does no harm.
    let incoming = format!("/opt/polis/.incoming-{}.tar", short(&digest));
    let target = format!("{}:{incoming}", vm());
    let what = match agent {
        None => ("transfer the bundle", "install the bundle"),
        Some(_) => ("transfer the agent", "install the agent"),
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

/// The exit code of the install script when another agent already has a port or a path of this one.
pub(crate) const CLAIMED: i32 = 12;

/// Installs an agent's keys: creates a file that only root can read, fills it, and moves it into place.
pub(crate) fn give_keys(agent: &str, keys: Payload) -> [Call; 3] {
    let incoming = format!("/opt/polis/.incoming-{agent}.keys");
    let target = format!("{}:{incoming}", vm());
    [
        Call::guest(
            "create the file for the keys",
            include_str!("keys-place.sh"),
            &[&incoming],
        ),
        Call::new("transfer the keys", &["transfer", "-", &target]).with(keys),
        Call::guest(
            "install the keys",
            include_str!("keys.sh"),
            &[&incoming, agent],
        ),
    ]
}

/// Replaces the proxies and certificate authorities of the VM: creates a private file, fills it, and installs its contents.
pub(crate) fn set_proxies(archive: Payload) -> [Call; 3] {
    let incoming = format!("/home/{USER}/.polis-proxies.tar");
    let target = format!("{}:{incoming}", vm());
    [
        Call::guest(
            "create the file for the proxies",
            include_str!("keys-place.sh"),
            &[&incoming],
        ),
        Call::new("transfer the proxies", &["transfer", "-", &target]).with(archive),
        Call::guest(
            "install the proxies",
            include_str!("proxies.sh"),
            &[&incoming],
        ),
    ]
}

/// Adds all installed agents to the stack, or none.
pub(crate) fn layer(all: bool) -> Call {
    let which = if all { "all" } else { "none" };
    agents_script("choose the agents to start", &["layer", which])
}

/// Removes an agent, with its data if `purge`.
pub(crate) fn remove_agent(name: &str, purge: bool) -> Call {
    let words = ["remove", name, "purge"];
    agents_script("remove the agent", &words[..if purge { 3 } else { 2 }])
}

/// Restarts an agent in the workspace.
pub(crate) fn restart_agent(name: &str) -> Call {
    agents_script("restart the agent", &["ask", "restart", name])
}

fn agents_script(purpose: &'static str, words: &[&str]) -> Call {
    Call::guest(purpose, include_str!("agents.sh"), words)
}

/// Reads the ports, keys and states of the agents.
pub(crate) fn agents() -> Call {
    Call::guest(
        "read the state of the agents",
        include_str!("agents-state.sh"),
        &[],
    )
}

/// The exit code of `ports.sh` when a port cannot be opened.
pub(crate) const NOT_OPENED: i32 = 12;

fn ports_script(purpose: &'static str, words: &[&str]) -> Call {
    Call::guest(purpose, include_str!("ports.sh"), words)
}

/// The ports at the VM's address.
pub(crate) fn ports() -> Call {
    ports_script("list the open ports", &["list"])
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

/// Updates the forwarder to the requested ports and the VM's current address.
pub(crate) fn apply_ports() -> Call {
    ports_script("open the ports", &["apply"])
}

/// Creates certificates and secrets.
pub(crate) fn secrets() -> Call {
    Call::guest(
        "create certificates and secrets",
        include_str!("secrets.sh"),
        &[],
    )
}

/// A long command in the guest.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) start: Call,
    /// Asks for its state.
    pub(crate) poll: Call,
}

/// Repeats a provisioning that did not finish.
pub(crate) fn reprovision() -> Call {
    Call::guest(
        "provision the VM again",
        include_str!("reprovision.sh"),
        &[],
    )
}

const PULL: [&str; 2] = ["scripts/stack.sh", "pull"];

/// Pulls the images of the stack with this digest.
pub(crate) fn pull_job(digest: &Digest) -> Job {
    job(&pull_name(digest), "pull the images", &PULL)
}

/// Starts the same job before Docker is installed.
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

/// Starts the stack with this digest.
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

/// Records that the stack has started completely.
pub(crate) fn ready(stack: &str) -> Call {
    Call::guest(
        "record that the stack is complete",
        include_str!("ready.sh"),
        &[stack],
    )
}

/// Writes the log of an unhealthy service to a file of the guest.
pub(crate) fn service_log(service: &str, file: &str) -> Call {
    Call::guest(
        "read the log of a service",
        include_str!("service-log.sh"),
        &[service, file],
    )
}

/// Lists what the workspace would lose if its container were recreated.
pub(crate) fn outside() -> Call {
    Call::guest(
        "list the workspace's files outside its volumes",
        include_str!("outside.sh"),
        &[],
    )
}

/// The error about an answer that did not come from our scripts.
pub(crate) fn unreadable(what: impl Into<String>, why: impl Into<String>) -> Box<Error> {
    Error::new(Kind::Unexpected, what)
        .because(why)
        .next("polis stop, then: polis start   (restarts the VM)")
        .next("polis delete --purge, then: polis start   (to start over; everything in it is lost)")
}

/// Whether `name` can name a service, a volume or an agent. It is shown at the start of a line.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// The answer of a script after its first line, `header`; a spinner may precede it.
pub(crate) fn answer<'a>(text: &'a str, header: &str) -> Option<&'a str> {
    let begin = text.find(header)? + header.len();
    let rest = &text[begin..];
    rest.strip_prefix("\r\n").or(rest.strip_prefix('\n'))
}

/// The part of a digest that is used in names.
fn short(digest: &Digest) -> String {
    digest.hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_script_exits_with_a_code_that_multipass_interprets() {
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
            run::CommandRun::new().signal(&["TERM"]),
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
    fn the_archive_is_verified_with_the_digest_that_was_sent() {
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
