//! The inside of a container: its layer and its volumes, both of them folders of the guest, and `docker compose exec`.
//!
//! A command of a container is a process of this machine, as every other command of the guest is. Paths in its arguments
//! are redirected to the layer and the volumes, so that a test can see what becomes of them.

use std::fs;
use std::io;

use super::super::tool::Tool;
use super::super::{Guest, paths};
use super::container::{Container, Status};
use super::engine::{self, Engine};
use super::flags::{Flags, Parsed};
use super::project::Project;
use super::statuses;
use crate::process;

pub(super) const FLAGS: Flags = Flags {
    valued: &["user", "u", "workdir", "w", "env", "e", "index"],
    bare: &[
        "no-tty",
        "no-TTY",
        "T",
        "i",
        "t",
        "interactive",
        "tty",
        "detach",
        "d",
        "privileged",
    ],
    stops: true,
};

/// The folders that an image brings, in which a command may write.
pub(super) const FOLDERS: [&str; 8] = [
    "/home",
    "/home/polis",
    "/opt",
    "/root",
    "/srv",
    "/usr/local",
    "/usr/local/bin",
    "/var/lib",
];

/// The users that an image knows: name, number, home.
const USERS: [(&str, &str, &str); 2] = [("root", "0", "/root"), ("polis", "1000", "/home/polis")];

/// Makes the folders of a new container; a volume that is empty starts from the image's content.
pub(super) fn make(guest: &Guest, container: &Container) -> io::Result<()> {
    let layer = engine::layer(container);
    for folder in FOLDERS {
        fs::create_dir_all(guest.path(&format!("{layer}{folder}")))?;
    }
    for (volume, target) in &container.volumes {
        let content = engine::volume(volume);
        fs::create_dir_all(guest.path(&content))?;
        for below in FOLDERS.iter().filter_map(|path| path.strip_prefix(target)) {
            fs::create_dir_all(guest.path(&format!("{content}{below}")))?;
        }
    }
    Ok(())
}

/// Where the paths of a container are: the innermost mount first, then its layer.
fn places(guest: &Guest, container: &Container) -> Vec<(String, String)> {
    let at = |path: String| guest.path(&path).display().to_string();
    let volumes = container.volumes.iter();
    let mut places: Vec<(String, String)> = volumes
        .map(|(volume, target)| (target.clone(), at(engine::volume(volume))))
        .collect();
    let layer = engine::layer(container);
    let hidden = |path: &&&str| {
        let mut volumes = container.volumes.iter();
        volumes.any(|(_, target)| path.strip_prefix(target.as_str()).is_some())
    };
    let folders = FOLDERS.iter().filter(|path| !hidden(path));
    places.extend(folders.map(|path| ((*path).to_owned(), at(format!("{layer}{path}")))));
    places.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    places
}

/// `docker compose exec`.
pub(super) fn exec(tool: &mut Tool, project: &Project, parsed: &Parsed) -> io::Result<u8> {
    let [service, program, args @ ..] = parsed.words.as_slice() else {
        return Ok(tool.refuse(1, "requires at least 2 arg(s), only received 1\n"));
    };
    let state = tool.guest.store.look()?;
    let engine = Engine::look(&tool.guest)?;
    let running = statuses(&engine, project, &state)
        .get(service)
        .is_some_and(Status::runs);
    let container = engine.of(project).find(|found| found.service == *service);
    let Some(container) = container.filter(|_| running) else {
        tool.call
            .err(&format!("service \"{service}\" is not running\n"));
        return Ok(1);
    };
    let wanted = parsed.value(&["user", "u"]).unwrap_or("root");
    let known = USERS
        .iter()
        .find(|(name, number, _)| [name, number].contains(&&wanted));
    let Some((_, _, home)) = known else {
        tool.call.err(&format!(
            "unable to find user {wanted}: no matching entries in passwd file\n"
        ));
        return Ok(126);
    };
    let places = places(&tool.guest, container);
    // The arguments were already redirected into the guest.
    let inside = |text: &str| {
        let text = paths::to_guest(text, tool.guest.root());
        paths::redirected(&text, &places)
    };
    let mut command = process::command(program);
    command.args(args.iter().map(|arg| inside(arg)));
    command.env_remove("USER").env_remove("LOGNAME");
    command.env("HOME", inside(home));
    let settings = parsed.all(&["env", "e"]);
    command.envs(
        settings
            .filter_map(|setting| setting.split_once('='))
            .map(|(name, value)| (name, inside(value))),
    );
    if let Some(directory) = parsed.value(&["workdir", "w"]) {
        let place = inside(directory);
        if !fs::exists(&place)? {
            tool.call.err(&format!(
                "OCI runtime exec failed: exec failed: unable to start container process: chdir to cwd (\"{directory}\") \
                 set in config.json failed: no such file or directory: unknown\n"
            ));
            return Ok(126);
        }
        command.current_dir(place);
    }
    let Ok(status) = command.status() else {
        tool.call.err(&format!(
            "OCI runtime exec failed: exec failed: unable to start container process: exec: \"{program}\": \
             executable file not found in $PATH\n"
        ));
        return Ok(127);
    };
    tool.call.end.changed_guest = true;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(137))
}
