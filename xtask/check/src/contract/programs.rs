//! Every program that a service runs must be in its image.

use xtask_host::finding::Finding;
use xtask_host::source::Place;

use super::script;
use super::service::{Health, Service, Words, place_in};

/// A program that one of our files runs in a container.
struct Need {
    program: String,
    place: Place,
    by: String,
}

/// Reports the programs that the contract does not list.
pub(super) fn check(service: &Service<'_>) -> Vec<Finding> {
    let missing = needs(service)
        .into_iter()
        .filter(|need| !has(service, &need.program));
    missing.map(|need| finding(service, need)).collect()
}

/// The programs that the container starts, where the compose file sets the entry point. The image's own entry point may
/// start any.
pub(super) fn started(service: &Service<'_>) -> Option<Vec<String>> {
    service.node.get("entrypoint")?;
    let needs = needs(service).into_iter().filter(|need| need.by != HEALTH);
    Some(
        needs
            .map(|need| script::base(&need.program).to_owned())
            .collect(),
    )
}

const HEALTH: &str = "its health check";

fn needs(service: &Service<'_>) -> Vec<Need> {
    let mut needs = Vec::new();
    match service.health() {
        Some(Health::Words(words)) => line(service, &words, HEALTH, &mut needs),
        Some(Health::Shell(text, node)) => {
            let shell = [("sh".to_owned(), node)].to_vec();
            line(service, &shell, HEALTH, &mut needs);
            for call in script::read(&text, "sh").calls {
                needs.push(Need {
                    place: service.place(node, &call.program),
                    program: call.program,
                    by: HEALTH.to_owned(),
                });
            }
        }
        None => {}
    }
    let entrypoint = service.words("entrypoint");
    let own = service.contract.entrypoint.as_ref();
    let command = service.words("command").unwrap_or_default();
    let started = match &entrypoint {
        Some(entrypoint) if !entrypoint.is_empty() => [entrypoint.clone(), command].concat(),
        // The command's words are arguments of the image's entry point, unless it has none.
        None if own.is_some_and(|own| !own.value.is_empty()) => Vec::new(),
        _ => command,
    };
    line(service, &started, "the compose file", &mut needs);
    for file in &service.files {
        let Some((interpreter, script)) = &file.script else {
            continue;
        };
        let by = format!("`{}`", file.source.path);
        let words: Vec<&str> = interpreter.iter().map(String::as_str).collect();
        for call in script::command_line(&words) {
            let end = file.source.text.find('\n').unwrap_or_default();
            let place = file.source.place(0..end);
            needs.push(Need {
                program: call.program,
                place,
                by: by.clone(),
            });
        }
        for call in &script.calls {
            let place = place_in(file, &call.at);
            needs.push(Need {
                program: call.program.clone(),
                place,
                by: by.clone(),
            });
        }
    }
    needs
}

fn line(service: &Service<'_>, words: &Words<'_>, by: &str, needs: &mut Vec<Need>) {
    let texts: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
    for call in script::command_line(&texts) {
        needs.push(Need {
            place: service.place(words[call.at.start].1, &call.program),
            program: call.program,
            by: by.to_owned(),
        });
    }
}

fn has(service: &Service<'_>, program: &str) -> bool {
    service.contract.has_program(program)
        || service
            .files
            .iter()
            .any(|file| file.target == program && file.script.is_some())
}

fn finding(service: &Service<'_>, need: Need) -> Finding {
    let Need { program, place, by } = need;
    let message = format!(
        "the image of `{}` has no `{program}`, which {by} runs",
        service.name
    );
    let contract = service.contract;
    let help = match contract.lacks(&program) {
        Some(fact) => {
            let source = contract.describe(&fact.from).unwrap_or(&fact.from);
            format!(
                "{} lists it as missing, according to {source}",
                contract.source.path
            )
        }
        None => format!(
            "use a program of {}, or add this one there under its source",
            contract.source.path
        ),
    };
    Finding::error("contract-program", place, message).help(help)
}
