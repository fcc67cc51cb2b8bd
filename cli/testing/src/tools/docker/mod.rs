//! Docker and Compose in the guest, limited to what the scripts of `polis` and `stack.sh` use. Containers are entries in a file,
//! and the test decides what becomes of them.

mod engine;
mod project;
mod up;

use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;

use engine::{Engine, runs};
use polis_base::Digest;
use project::{Project, STORE, container, volume};

use super::tool::Tool;
use crate::call::wait_until;
use crate::guest::Guest;
use crate::process;
use crate::store::now;

/// The templates that the scripts use.
const HASH: &str = "{{index .Config.Labels \"com.docker.compose.config-hash\"}}";
const NETWORKS: &str = "{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}";

const MOUNTS: &str = "{{range .Mounts}}{{println .Source}}{{println .Destination}}{{end}}";

/// `docker ARGS`.
pub(super) fn run(tool: &mut Tool, words: &[&str]) -> io::Result<u8> {
    let state = tool.call.store.look()?;
    let instance = state.find(tool.guest.name());
    if !instance.is_some_and(|instance| instance.docker) {
        tool.call.err("bash: line 1: docker: command not found\n");
        return Ok(127);
    }
    match words {
        ["info"] => Ok(0),
        ["image", "inspect", "--format", "{{.Id}}", images @ ..] => images_inspect(tool, images),
        ["inspect", "--format", MOUNTS, ids @ ..] => {
            let engine = Engine::look(&tool.guest)?;
            let containers = ids.iter().filter_map(|id| engine.find(id));
            for [source, target] in containers.flat_map(|(_, found)| &found.mounts) {
                tool.call.out(&format!("{source}\n{target}\n"));
            }
            Ok(0)
        }
        ["inspect", "--format", template, id] => inspect(tool, template, id),
        ["inspect", "--size", "--format", "{{.SizeRw}}", id] => {
            let size = fs::metadata(tool.guest.path(&diff_of(id))).map_or(0, |meta| meta.len());
            tool.call.out(&format!("{size}\n"));
            Ok(0)
        }
        ["diff", id] => {
            let diff = tool.guest.get(&diff_of(id))?.unwrap_or_default();
            tool.call.out(&String::from_utf8_lossy(&diff));
            Ok(0)
        }
        ["ps", "--all", "--quiet", "--filter", named] => {
            let engine = Engine::look(&tool.guest)?;
            let wanted = named.trim_start_matches("name=^").trim_end_matches('$');
            let found = engine.containers.iter();
            for (_, found) in found.filter(|(name, _)| container(name) == wanted) {
                tool.call.out(&format!("{}\n", found.id));
            }
            Ok(0)
        }
        ["rm", "--force", id] => {
            Engine::update(tool, |engine| {
                engine.containers.retain(|_, found| found.id != *id)
            })?;
            Ok(0)
        }
        // It has none that a script would notice.
        ["network", "ls", "--quiet", "--filter", _] => Ok(0),
        ["volume", "ls", "--filter", _, "--format", template] => volumes(tool, template),
        ["volume", "inspect", name] => match tool.guest.path(&volume(name)).exists() {
            true => Ok(0),
            false => Ok(tool.fail(&format!(
                "Error response from daemon: get {name}: no such volume"
            ))),
        },
        ["volume", "rm", name] => {
            fs::remove_dir_all(tool.guest.path(&format!("{STORE}/volumes/{name}")))?;
            tool.call.end.changed_guest = true;
            Ok(0)
        }
        ["compose", words @ ..] => match Project::read(&tool.guest) {
            Ok(project) => compose(tool, &project, words),
            Err(message) => Ok(tool.fail(&message)),
        },
        _ => Ok(tool.refuse()),
    }
}

fn compose(tool: &mut Tool, project: &Project, words: &[&str]) -> io::Result<u8> {
    let services = project.services.iter();
    match words {
        ["config", "--images"] => {
            services.for_each(|(_, service)| tool.call.out(&format!("{}\n", service.image)));
            Ok(0)
        }
        ["config", "--services"] => {
            services.for_each(|(name, _)| tool.call.out(&format!("{name}\n")));
            Ok(0)
        }
        ["config", "--hash", name] if project.services.contains_key(*name) => {
            let hash = &project.services[*name].definition;
            tool.call.out(&format!("{name} {hash}\n"));
            Ok(0)
        }
        ["ps", "--all", "--quiet", name] => ps(tool, Some(name), true, "{{.ID}}"),
        ["ps", "--all", "--quiet"] => ps(tool, None, true, "{{.ID}}"),
        ["ps", "--quiet", name] => ps(tool, Some(name), false, "{{.ID}}"),
        ["ps", "--all", "--format", template] => ps(tool, None, true, template),
        ["logs", words @ ..] => logs(tool, project, words),
        ["exec", words @ ..] => exec(tool, words),
        ["pull", ..] => pull(tool, project),
        ["restart", name] => {
            Engine::update(tool, |engine| {
                if let Some(container) = engine.containers.get_mut(*name) {
                    container.started = Some(now());
                }
            })?;
            Ok(0)
        }
        // This affects only changed networks, which the fake guest does not have.
        ["--dry-run", "up", ..] => Ok(0),
        ["up", words @ ..] => up::run(tool, project, words),
        ["down"] => {
            Engine::update(tool, |engine| engine.containers.clear())?;
            Ok(0)
        }
        _ => Ok(tool.refuse()),
    }
}

/// What Docker and the stack's unit do at boot: restart the containers that ran before.
pub(crate) fn boot(guest: &Guest) -> io::Result<()> {
    Engine::change(guest, |engine| {
        let started = engine.containers.values_mut();
        for container in started.filter(|container| container.started.is_some()) {
            container.started = Some(now());
        }
    })
    .map(drop)
}

/// The ID of the image behind a reference.
fn image_id(image: &str) -> String {
    Digest::of(image.as_bytes()).to_string()
}

/// The file in which a test can write the output of `docker diff` for a container.
fn diff_of(id: &str) -> String {
    format!("{STORE}/{id}.diff")
}

fn images_inspect(tool: &mut Tool, images: &[&str]) -> io::Result<u8> {
    let engine = Engine::look(&tool.guest)?;
    let mut code = 0;
    for image in images {
        if engine.images.contains(*image) {
            tool.call.out(&format!("{}\n", image_id(image)));
        } else {
            code = tool.fail(&format!(
                "Error response from daemon: No such image: {image}"
            ));
        }
    }
    Ok(code)
}

fn inspect(tool: &mut Tool, template: &str, id: &str) -> io::Result<u8> {
    let engine = Engine::look(&tool.guest)?;
    let Some((_, container)) = engine.find(id) else {
        return Ok(tool.fail(&format!("Error response from daemon: No such object: {id}")));
    };
    let answer = match template {
        "{{.Image}}" => image_id(&container.image),
        "{{.Config.Image}}" => container.image.clone(),
        HASH => container.definition.clone(),
        NETWORKS => String::new(),
        _ => return Ok(tool.refuse()),
    };
    tool.call.out(&format!("{answer}\n"));
    Ok(0)
}

fn volumes(tool: &mut Tool, template: &str) -> io::Result<u8> {
    let project = Project::read(&tool.guest).unwrap_or_default();
    for (name, docker) in &project.volumes {
        let place = tool.guest.path(&volume(docker));
        let line = template
            .replace("{{.Label \"com.docker.compose.volume\"}}", name)
            .replace("{{.Mountpoint}}", &place.display().to_string());
        tool.call.out(&format!("{line}\n"));
    }
    Ok(0)
}

/// Prints containers, one per line: all, or only running ones.
fn ps(tool: &mut Tool, only: Option<&str>, all: bool, template: &str) -> io::Result<u8> {
    let state = tool.call.store.look()?;
    for (name, container) in Engine::look(&tool.guest)?.containers {
        let status = container.status(&state, &name);
        if only.is_some_and(|only| only != name) || !(all || runs(status)) {
            continue;
        }
        let line = template
            .replace("{{.ID}}", &container.id)
            .replace("{{.Service}}", &name)
            .replace("{{.State}}", status.0)
            .replace("{{.Health}}", status.1)
            .replace("{{.ExitCode}}", &status.2.to_string());
        if line.contains("{{") {
            return Ok(tool.refuse());
        }
        tool.call.out(&format!("{line}\n"));
    }
    Ok(0)
}

/// Prints the last log lines of all services, or of the given one.
fn logs(tool: &mut Tool, project: &Project, words: &[&str]) -> io::Result<u8> {
    let (plain, tail, words) = match words {
        ["--no-color", "--no-log-prefix", "--tail", tail, words @ ..] => (true, tail, words),
        ["--tail", tail, words @ ..] => (false, tail, words),
        _ => return Ok(tool.refuse()),
    };
    let (follows, only) = match words {
        ["--follow", words @ ..] => (true, words.first()),
        words => (false, words.first()),
    };
    if let Some(unknown) = only.filter(|name| !project.services.contains_key(**name)) {
        return Ok(tool.fail(&format!("no such service: {unknown}")));
    }
    let state = tool.call.store.look()?;
    let tail = tail.parse().unwrap_or(usize::MAX);
    for name in Engine::look(&tool.guest)?.containers.keys() {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let mut lines = state.service(name).log;
        if lines.is_empty() {
            lines.push(format!("{name} started"));
        }
        for line in &lines[lines.len().saturating_sub(tail)..] {
            match plain {
                true => tool.call.out(&format!("{line}\n")),
                false => tool.call.out(&format!("{name}-1  | {line}\n")),
            }
        }
    }
    if follows {
        process::hang(tool.call.store.dir());
    }
    Ok(0)
}

/// Runs a command in a container: a process of the guest with the environment and folder that the call names.
fn exec(tool: &mut Tool, words: &[&str]) -> io::Result<u8> {
    let words = words.strip_prefix(&["-T"]).unwrap_or(words);
    let (directory, words) = match words {
        ["--user", _, "--workdir", directory, words @ ..] => (*directory, words),
        ["state", "sh", ..] => ("/", words),
        _ => return Ok(tool.refuse()),
    };
    let settings = words.chunks(2).take_while(|pair| pair[0] == "--env");
    let settings = settings.filter_map(|pair| pair.get(1)?.split_once('='));
    let settings: Vec<(&str, &str)> = settings.collect();
    let [service, program, args @ ..] = &words[settings.len() * 2..] else {
        return Ok(tool.refuse());
    };
    let state = tool.call.store.look()?;
    let engine = Engine::look(&tool.guest)?;
    let found = engine.containers.get(*service);
    if !found.is_some_and(|container| runs(container.status(&state, service))) {
        return Ok(tool.fail(&format!("service \"{service}\" is not running")));
    }
    // Only the command that counts Valkey's keys is known to change nothing.
    tool.call.end.changed_guest = !args.iter().any(|arg| arg.contains(" --scan "));
    let mut command = process::command(program);
    let args = args.iter().map(|arg| mounted(tool, arg));
    command.args(args).envs(settings).current_dir(directory);
    if io::stdin().is_terminal() {
        process::leave_interrupts()?;
    }
    let Ok(status) = command.status() else {
        tool.fail(&format!(
            "OCI runtime exec failed: exec: \"{program}\": not found"
        ));
        return Ok(127);
    };
    let signal = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(signal).unwrap_or_default();
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

/// `text` with the paths of `state`'s secrets replaced by those in the guest.
fn mounted(tool: &Tool, text: &str) -> String {
    let guest = |path: &str| tool.guest.path(path).display().to_string();
    text.replace(
        "/run/secrets/valkey_mcp_admin_password",
        &guest("/opt/polis/secrets/valkey_mcp_admin_password.txt"),
    )
    .replace("/etc/valkey/tls", &guest("/opt/polis/certs/valkey"))
}

/// Pulls the images of all services, unless the registry refuses.
fn pull(tool: &mut Tool, project: &Project) -> io::Result<u8> {
    for name in project.services.keys() {
        tool.call.err(&format!(" {name} Pulling \n"));
    }
    for (layer, (name, service)) in project.services.iter().enumerate() {
        let image = &service.image;
        let (takes, refusal) = tool.call.store.update(|state| {
            let mut pulls = state.pulls.iter_mut();
            let refusal = pulls.find(|pull| image.contains(&pull.image) && pull.left != Some(0));
            let refusal = refusal.map(|pull| {
                pull.left = pull.left.map(|left| left - 1);
                pull.message.clone()
            });
            (state.timing.pull, refusal)
        })?;
        // A layer of 4 MB, half of which has arrived after half the time.
        let half = now() + takes / 2;
        if takes > 0 {
            tool.call.err(&format!(" {layer:012x} Pulling fs layer \n"));
            wait_until(half);
            let part = "[=========================>                         ]      2MB/4MB";
            tool.call
                .err(&format!(" {layer:012x} Downloading {part}\n"));
        }
        wait_until(half + takes / 2);
        if takes > 0 {
            tool.call
                .err(&format!(" {layer:012x} Download complete \n"));
        }
        if let Some(message) = refusal {
            tool.call.err(&format!(" {name} Error {message}\n"));
            return Ok(tool.fail(&format!("Error response from daemon: {message}")));
        }
        Engine::update(tool, |engine| engine.images.extend([image.clone()]))?;
        tool.call.err(&format!(" {name} Pulled \n"));
    }
    Ok(0)
}
