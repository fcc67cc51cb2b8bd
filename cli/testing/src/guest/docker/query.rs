//! What Docker and Compose only tell: `config`, `ps`, `logs`, `image inspect`, `info`, `version`.

use std::io;

use serde_json::json;

use super::super::report;
use super::super::tool::Tool;
use super::container::{self, Container, Status};
use super::engine::Engine;
use super::flags::{Flags, Parsed};
use super::project::Project;
use crate::process;
use crate::world::now;

pub(super) const CONFIG: Flags = Flags {
    valued: &["hash"],
    bare: &["images", "services", "quiet", "q"],
    stops: false,
};
pub(super) const PS: Flags = Flags {
    valued: &["format"],
    bare: &["all", "a", "quiet", "q", "services", "no-trunc"],
    stops: false,
};
pub(super) const LOGS: Flags = Flags {
    valued: &["tail", "n", "since", "until"],
    bare: &[
        "no-color",
        "no-log-prefix",
        "follow",
        "f",
        "timestamps",
        "t",
    ],
    stops: false,
};

pub(super) fn config(tool: &mut Tool, project: &Project, parsed: &Parsed) -> io::Result<u8> {
    if parsed.has(&["images"]) {
        for spec in project.services.values() {
            tool.call.out(&format!("{}\n", spec.image));
        }
    } else if let Some(names) = parsed.value(&["hash"]) {
        return hashes(tool, project, names);
    } else if parsed.has(&["services"]) {
        match project.in_order(&[]) {
            Ok(order) => tool.call.out(&format!("{}\n", order.join("\n"))),
            Err(message) => {
                tool.call.err(&format!("{message}\n"));
                return Ok(1);
            }
        }
    } else if !parsed.has(&["quiet", "q"]) {
        return Ok(tool.refuse(
            1,
            "config: not played without --hash, --images, --services or --quiet\n",
        ));
    }
    Ok(0)
}

/// `config --hash NAMES`: the names with commas between them, or `*`.
fn hashes(tool: &Tool, project: &Project, names: &str) -> io::Result<u8> {
    let wanted: Vec<&str> = match names {
        "*" => project.services.keys().map(String::as_str).collect(),
        names => names.split(',').collect(),
    };
    if let Some(unknown) = wanted
        .iter()
        .find(|name| !project.services.contains_key(**name))
    {
        tool.call
            .err(&format!("no such service: {unknown}: not found\n"));
        return Ok(1);
    }
    for (name, spec) in &project.services {
        if wanted.contains(&name.as_str()) {
            tool.call.out(&format!("{name} {}\n", spec.digest));
        }
    }
    Ok(0)
}

pub(super) fn ps(tool: &mut Tool, project: &Project, parsed: &Parsed) -> io::Result<u8> {
    if let Some(unknown) = no_such_service(project, &parsed.words) {
        tool.call.err(&unknown);
        return Ok(1);
    }
    let state = tool.guest.store.look()?;
    let engine = Engine::look(&tool.guest)?;
    let quiet = parsed.has(&["quiet", "q"]);
    let format = parsed.value(&["format"]).unwrap_or("table").to_owned();
    if format == "table" && !quiet {
        tool.call.out("NAME  IMAGE  SERVICE  STATUS\n");
    }
    for container in engine.of(project) {
        let status = container.status(&state, now());
        let named = parsed.words.is_empty() || parsed.words.contains(&container.service);
        if !named || !(status.runs() || parsed.has(&["all", "a"])) {
            continue;
        }
        let line = match format.as_str() {
            _ if quiet => container.id.clone(),
            "json" => {
                let fields = fields(container, &status).into_iter();
                let fields = fields.map(|(name, value)| (name.to_owned(), value));
                serde_json::Value::Object(fields.collect()).to_string()
            }
            "table" => format!(
                "{}  {}  {}  {}",
                container::name(&project.name, &container.service),
                container.image,
                container.service,
                shown(&status)
            ),
            template => match filled(template, container, &status) {
                Ok(line) => line,
                Err(text) => return Ok(tool.refuse(1, &text)),
            },
        };
        tool.call.out(&format!("{line}\n"));
    }
    Ok(0)
}

/// The fields of a container that `ps` knows.
fn fields(container: &Container, status: &Status) -> Vec<(&'static str, serde_json::Value)> {
    let name = container::name(&container.project, &container.service);
    let id = &container.id[..12];
    vec![
        ("ExitCode", json!(status.code)),
        ("Health", json!(status.health)),
        ("ID", json!(id)),
        ("Image", json!(container.image)),
        ("Name", json!(name)),
        ("Project", json!(container.project)),
        ("Service", json!(container.service)),
        ("State", json!(status.state)),
        ("Status", json!(shown(status))),
    ]
}

fn shown(status: &Status) -> String {
    match (status.state, status.health) {
        ("exited", _) => format!("Exited ({}) 1 second ago", status.code),
        ("restarting", _) => "Restarting (1) 1 second ago".to_owned(),
        ("created", _) => "Created".to_owned(),
        (_, "") => "Up 1 second".to_owned(),
        (_, "starting") => "Up 1 second (health: starting)".to_owned(),
        (_, health) => format!("Up 1 second ({health})"),
    }
}

/// A template of Docker's with its fields filled in.
fn filled(template: &str, container: &Container, status: &Status) -> Result<String, String> {
    let fields = fields(container, status);
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (field, after) = after
            .split_once("}}")
            .ok_or("template parsing error: unclosed action\n")?;
        let field = field.trim();
        let found = fields
            .iter()
            .find(|(name, _)| field.strip_prefix('.') == Some(name));
        let Some((_, value)) = found else {
            return Err(format!(
                "template parsing error: template: :1:2: executing \"\" at <{field}>: can't evaluate field {} in type \
                 *formatter.ContainerContext\n",
                field.trim_start_matches('.')
            ));
        };
        out.push_str(&value.as_str().map_or(value.to_string(), str::to_owned));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

pub(super) fn logs(tool: &mut Tool, project: &Project, parsed: &Parsed) -> io::Result<u8> {
    if let Some(unknown) = no_such_service(project, &parsed.words) {
        tool.call.err(&unknown);
        return Ok(1);
    }
    let tail = parsed.value(&["tail", "n"]).unwrap_or("all");
    // Whatever is no number means everything.
    let tail = tail.parse().unwrap_or(usize::MAX);
    let state = tool.guest.store.look()?;
    let engine = Engine::look(&tool.guest)?;
    for container in engine.of(project) {
        let service = &container.service;
        let named = parsed.words.is_empty() || parsed.words.contains(service);
        if !named || container.started.is_none() {
            continue;
        }
        let mut lines = state.service(service).log;
        if lines.is_empty() {
            lines.push(format!("{service} started"));
        }
        let prefix = if parsed.has(&["no-log-prefix"]) {
            String::new()
        } else {
            format!("{service}-1  | ")
        };
        for line in &lines[lines.len().saturating_sub(tail)..] {
            tool.call.out(&format!("{prefix}{line}\n"));
        }
    }
    if parsed.has(&["follow", "f"]) {
        process::hang(tool.guest.store.dir());
    }
    Ok(0)
}

fn no_such_service(project: &Project, words: &[String]) -> Option<String> {
    let unknown = words
        .iter()
        .find(|word| !project.services.contains_key(*word));
    unknown.map(|word| format!("no such service: {word}\n"))
}

/// `docker image inspect REF...`.
pub(super) fn image_inspect(tool: &mut Tool, args: &[String]) -> io::Result<u8> {
    const FLAGS: Flags = Flags {
        valued: &["format", "f", "platform"],
        bare: &[],
        stops: false,
    };
    let parsed = match FLAGS.parse(args) {
        Ok(parsed) => parsed,
        Err(text) => return Ok(tool.refuse(125, &text)),
    };
    if parsed.words.is_empty() {
        let text = "docker: 'docker image inspect' requires at least 1 argument\n";
        return Ok(tool.refuse(1, text));
    }
    let images = Engine::look(&tool.guest)?.images;
    let id = super::image_id;
    let (found, missing): (Vec<&String>, Vec<&String>) = parsed
        .words
        .iter()
        .partition(|image| images.contains(*image));
    match parsed.value(&["format", "f"]) {
        None => {
            let entries: Vec<_> = found
                .iter()
                .map(|image| json!({ "Id": id(image), "RepoTags": [image] }))
                .collect();
            tool.call.out(&format!("{:#}\n", json!(entries)));
        }
        Some(template) => {
            for image in found {
                let line = template.replace("{{.Id}}", &id(image));
                tool.call.out(&format!("{line}\n"));
            }
        }
    }
    for image in &missing {
        tool.call.err(&format!(
            "Error response from daemon: no such image: {image}: No such image: {image}\n"
        ));
    }
    Ok(u8::from(!missing.is_empty()))
}

/// `docker info`.
pub(super) fn info(tool: &mut Tool) -> io::Result<u8> {
    let engine = Engine::look(&tool.guest)?;
    tool.call.out(&format!(
        "Client: Docker Engine - Community\n\nServer:\n Containers: {}\n Images: {}\n Server Version: {}\n \
         Runtimes: runc sysbox-runc io.containerd.runc.v2\n",
        engine.containers.len(),
        engine.images.len(),
        report::DOCKER
    ));
    Ok(0)
}

/// `docker version`, with or without the one template that asks for the server's.
pub(super) fn version(tool: &mut Tool, args: &[String]) -> io::Result<u8> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--format", "{{.Server.Version}}"] => tool.call.out(&format!("{}\n", report::DOCKER)),
        [] => tool
            .call
            .out(&format!("Docker version {}\n", report::DOCKER)),
        _ => return Ok(tool.refuse(125, "docker version: not played with these arguments\n")),
    }
    Ok(0)
}
