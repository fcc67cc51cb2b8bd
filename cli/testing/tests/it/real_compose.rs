//! The double's Compose beside the real one, in everything that the real one does without an engine.

use std::fs;

use fake_multipass::World;
use xtask_testkit::{Tree, has_part};

use crate::{launched, sh};

/// Files of a project.
type Files = &'static [(&'static str, &'static str)];

const OURS: Files = &[(
    "docker-compose.yml",
    include_str!("../../../../compose/docker-compose.yml"),
)];
const LAYERED: Files = &[
    (
        ".env",
        "COMPOSE_FILE=docker-compose.yml:agents/a/compose.yaml\nTAG=7\n",
    ),
    (
        "docker-compose.yml",
        "name: p\nservices:\n  b: {image: 'b:${TAG:-1}', depends_on: [a]}\n  a: {image: 'a:${NONE:-1}'}\n",
    ),
    (
        "agents/a/compose.yaml",
        "services:\n  b: {image: 'c:$TAG'}\n  d: {build: ., depends_on: {b: {condition: service_started}}}\n",
    ),
];
const UNDEFINED: Files = &[("compose.yaml", "services: {a: {image: x, depends_on: [b]}}")];
const CIRCLE: Files = &[(
    "compose.yaml",
    "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}",
)];
const NO_IMAGE: Files = &[("compose.yaml", "services: {a: {restart: always}}")];
const NO_SECRET: Files = &[("compose.yaml", "services: {a: {image: x, secrets: [s]}}")];
const NO_YAML: Files = &[("compose.yaml", "services: {a: [}")];
const NONE: Files = &[];

/// A command line, what it runs on, and how much of the answer is the same.
const CASES: [(&str, Files, Same); 26] = [
    ("config --images", OURS, Same::Lines),
    ("config --services", OURS, Same::Lines),
    ("config --quiet", OURS, Same::All),
    ("config --hash none", OURS, Same::All),
    ("config --hash workspace", OURS, Same::Code),
    ("exec --user polis workspace", OURS, Same::Code),
    ("config --images", LAYERED, Same::Lines),
    ("config --services", LAYERED, Same::All),
    (
        "--project-directory . config --services",
        LAYERED,
        Same::All,
    ),
    (
        "-f docker-compose.yml config --services",
        LAYERED,
        Same::All,
    ),
    ("-f none.yml config --quiet", LAYERED, Same::All),
    ("config --quiet", UNDEFINED, Same::All),
    ("config --quiet", CIRCLE, Same::All),
    ("config --quiet", NO_IMAGE, Same::All),
    ("config --quiet", NO_SECRET, Same::All),
    ("config --quiet", NO_YAML, Same::Code),
    ("config --quiet", NONE, Same::All),
    ("ps", NONE, Same::All),
    ("ps none", OURS, Same::All),
    ("logs none", OURS, Same::All),
    ("pull none", OURS, Same::All),
    ("up --detach none", OURS, Same::All),
    ("up --frob", OURS, Same::All),
    ("pull -x", OURS, Same::All),
    ("frob", OURS, Same::Errors),
    ("ps --format", OURS, Same::All),
];

/// What of two answers must be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Same {
    /// Code and both streams.
    All,
    /// Code and the lines of standard output in any order.
    Lines,
    /// Code and standard error.
    Errors,
    /// The code.
    Code,
}

#[test]
fn the_double_s_compose_answers_as_the_real_one() {
    if !has_part("docker-compose") {
        return;
    }
    let world = launched();
    let mut different = Vec::new();
    for (at, (args, files, same)) in CASES.iter().enumerate() {
        let folder = format!("/opt/polis/{at}/p");
        fs::create_dir_all(world.guest().path(&folder)).expect("a folder");
        for (path, text) in *files {
            world.write_guest(&format!("{folder}/{path}"), text);
        }
        let (real, ours) = (real(&world, &folder, args), double(&world, &folder, args));
        let (real, ours) = (part(real, *same), part(ours, *same));
        if real != ours {
            different.push(format!("{args}\n  real   {real:?}\n  double {ours:?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

type Answer = (i32, String, String);

fn real(world: &World, folder: &str, args: &str) -> Answer {
    let root = world.guest().root().display().to_string();
    let dir = format!("{root}{folder}");
    let script = format!("cd '{dir}' && exec docker-compose {args}");
    let ran = Tree::data().run("bash", &["-c", &script]);
    let guest_s = |text: &str| text.replace(&root, "");
    (ran.code, guest_s(&ran.stdout), guest_s(&ran.stderr))
}

fn double(world: &World, folder: &str, args: &str) -> Answer {
    let ran = sh(world, &format!("cd {folder} && docker compose {args}"));
    (ran.code.unwrap_or(-1), ran.stdout, ran.stderr)
}

fn part((code, stdout, stderr): Answer, same: Same) -> Answer {
    match same {
        Same::All => (code, stdout, stderr),
        Same::Errors => (code, String::new(), stderr),
        Same::Code => (code, String::new(), String::new()),
        Same::Lines => {
            let mut lines: Vec<&str> = stdout.lines().collect();
            lines.sort_unstable();
            (code, lines.join("\n"), String::new())
        }
    }
}
