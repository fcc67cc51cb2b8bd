//! What `docker` itself reports about containers and volumes: `inspect`, `diff`, `volume ls`.

use std::fs;
use std::io;
use std::path::Path;

use super::super::tool::Tool;
use super::engine::{self, Engine};
use super::flags::Flags;
use super::inside;

/// The template that names a container's networks, a line each.
const NETWORKS: &str = "{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}";

/// `docker inspect [--size] --format TEMPLATE CONTAINER`.
pub(super) fn inspect(tool: &mut Tool, args: &[String]) -> io::Result<u8> {
    const FLAGS: Flags = Flags {
        valued: &["format", "f", "type"],
        bare: &["size", "s"],
        stops: false,
    };
    let parsed = match FLAGS.parse(args) {
        Ok(parsed) => parsed,
        Err(text) => return Ok(tool.refuse(125, &text)),
    };
    let (Some(template), [named]) = (parsed.value(&["format", "f"]), parsed.words.as_slice())
    else {
        return Ok(tool.refuse(1, "docker inspect: not played with these arguments\n"));
    };
    let engine = Engine::look(&tool.guest)?;
    let Some((name, found)) = engine.find(named) else {
        let text = format!("Error response from daemon: No such object: {named}\n");
        tool.call.err(&text);
        return Ok(1);
    };
    let layer = tool.guest.path(&engine::layer(found));
    let label = |label: &str| format!("{{{{index .Config.Labels \"{label}\"}}}}");
    let networks = found.networks.iter().map(|name| format!("{name}\n"));
    let mut line = template
        .replace(NETWORKS, &networks.collect::<String>())
        .replace("{{.Name}}", &format!("/{name}"))
        .replace("{{.Id}}", &found.id)
        .replace("{{.Image}}", &super::image_id(&found.image))
        .replace("{{.Config.Image}}", &found.image)
        .replace(&label("com.docker.compose.config-hash"), &found.config);
    if parsed.has(&["size", "s"]) {
        line = line.replace("{{.SizeRw}}", &size(&layer)?.to_string());
    }
    if line.contains("{{") {
        return Ok(tool.refuse(1, &format!("docker inspect: not played: {line}\n")));
    }
    tool.call.out(&format!("{line}\n"));
    Ok(0)
}

/// The bytes of all files below.
fn size(dir: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        total += if meta.is_dir() {
            size(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(total)
}

/// `docker diff CONTAINER`: what its layer adds to the image, and the image's folders that hold it.
pub(super) fn diff(tool: &mut Tool, args: &[String]) -> io::Result<u8> {
    let [named] = args else {
        let text = "docker: 'docker diff' requires 1 argument\n";
        return Ok(tool.refuse(1, text));
    };
    let engine = Engine::look(&tool.guest)?;
    let Some((_, found)) = engine.find(named) else {
        let text = format!("Error response from daemon: No such container: {named}\n");
        tool.call.err(&text);
        return Ok(1);
    };
    let (mut changed, mut brought) = (Vec::new(), Vec::new());
    let layer = tool.guest.path(&engine::layer(found));
    added(&layer, "", &mut |path, is_dir| {
        let above = format!("{path}/");
        let of_image = |folder: &&str| *folder == path || folder.starts_with(&above);
        match is_dir && inside::FOLDERS.iter().any(of_image) {
            true => brought.push(path.to_owned()),
            false => changed.push(path.to_owned()),
        }
    })?;
    brought.retain(|folder| {
        let below = format!("{folder}/");
        changed.iter().any(|path| path.starts_with(&below))
    });
    let mut lines: Vec<(String, char)> = brought.into_iter().map(|path| (path, 'C')).collect();
    lines.extend(changed.iter().map(|path| (path.clone(), 'A')));
    lines.sort();
    for (path, kind) in lines {
        tool.call.out(&format!("{kind} {path}\n"));
    }
    Ok(0)
}

/// Names everything below `dir`, which the container knows as `at`.
fn added(dir: &Path, at: &str, name: &mut dyn FnMut(&str, bool)) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = format!("{at}/{}", entry.file_name().to_string_lossy());
        let is_dir = entry.file_type()?.is_dir();
        name(&path, is_dir);
        if is_dir {
            added(&entry.path(), &path, name)?;
        }
    }
    Ok(())
}

/// `docker volume ls --filter label=com.docker.compose.project=NAME --format TEMPLATE`.
pub(super) fn volumes(tool: &mut Tool, args: &[String]) -> io::Result<u8> {
    const FLAGS: Flags = Flags {
        valued: &["filter", "f", "format"],
        bare: &[],
        stops: false,
    };
    let parsed = match FLAGS.parse(args) {
        Ok(parsed) => parsed,
        Err(text) => return Ok(tool.refuse(125, &text)),
    };
    let of = parsed
        .value(&["filter", "f"])
        .and_then(|filter| filter.strip_prefix("label=com.docker.compose.project="));
    let (Some(project), Some(template)) = (of, parsed.value(&["format"])) else {
        return Ok(tool.refuse(1, "docker volume ls: not played with these arguments\n"));
    };
    let place = |name: &str| tool.guest.path(&engine::volume(name)).display().to_string();
    for name in &Engine::look(&tool.guest)?.volumes {
        let Some(short) = name.strip_prefix(&format!("{project}_")) else {
            continue;
        };
        let line = template
            .replace("{{.Name}}", name)
            .replace("{{.Label \"com.docker.compose.volume\"}}", short)
            .replace("{{.Mountpoint}}", &place(name));
        tool.call.out(&format!("{line}\n"));
    }
    Ok(0)
}
