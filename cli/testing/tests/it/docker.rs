//! Docker and Compose in the guest.

use expect_test::expect;
use fake_multipass::{Fate, Pull, Service, World};

use crate::{guest, launched, run, sh};

const STACK: &str = "
x-service: &service
  restart: unless-stopped
  healthcheck: {test: [CMD, 'true']}
services:
  init: {image: 'init:1', restart: 'no', build: .}
  base:
    <<: *service
    image: base:1
    depends_on: {init: {condition: service_completed_successfully}}
    volumes:
      - {type: bind, source: ./ca.pem, target: /ca.pem, bind: {create_host_path: false}}
      - ./made:/made
    secrets: [word]
  top:
    <<: *service
    image: ${IMAGE:-top:1}
    depends_on: {base: {condition: service_healthy}}
secrets:
  word: {file: ./word.txt}
";
const PS: &str =
    "docker compose ps --all --format '{{.Service}} {{.State}} {{.Health}} {{.ExitCode}}'";

/// A machine with the stack and its files.
fn stack() -> World {
    let world = launched();
    world.write_guest("/opt/polis/docker-compose.yml", STACK);
    world.write_guest("/opt/polis/.env", "COMPOSE_PROJECT_NAME=ignored\n");
    world.write_guest("/opt/polis/ca.pem", "x");
    world.write_guest("/opt/polis/word.txt", "x");
    world
}

fn compose(world: &World, args: &str) -> (i32, String, String) {
    let ran = sh(world, &format!("cd /opt/polis && docker compose {args}"));
    (ran.code.unwrap_or(-1), ran.stdout, ran.stderr)
}

fn service(world: &World, name: &str, fate: Fate, after: u64) {
    let service = Service {
        fate,
        after,
        log: vec!["one".into(), "two".into()],
    };
    world.set(|state| state.services.insert(name.to_owned(), service));
}

#[test]
fn there_is_no_docker_before_it_is_installed() {
    let world = World::new();
    assert_eq!(run(&world, &["launch", "--name", "polis"]).code, Some(0));
    let ran = sh(&world, "docker info");
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(127), "bash: line 1: docker: command not found\n")
    );
}

#[test]
fn the_project_is_read() {
    let world = stack();
    assert_eq!(
        compose(&world, "config --images").1,
        "base:1\ninit:1\ntop:1\n"
    );
    assert_eq!(compose(&world, "config --services").1, "init\nbase\ntop\n");
    assert_eq!(
        compose(&world, "config --quiet"),
        (0, String::new(), String::new())
    );
    world.write_guest("/opt/polis/.env", "IMAGE=other:2\n");
    assert_eq!(
        compose(&world, "config --images").1,
        "base:1\ninit:1\nother:2\n"
    );
    world.write_guest(
        "/opt/polis/agents/a/compose.yml",
        "services: {agent: {image: 'agent:1', depends_on: [top]}}\n",
    );
    world.write_guest(
        "/opt/polis/.env",
        "COMPOSE_FILE=docker-compose.yml:agents/a/compose.yml\n",
    );
    assert_eq!(
        compose(&world, "config --services").1,
        "agent\ninit\nbase\ntop\n".replace("agent\n", "") + "agent\n"
    );
    world.write_guest("/opt/polis/.env", "");
    let merged = "-f docker-compose.yml -f agents/a/compose.yml config --images";
    assert_eq!(
        compose(&world, merged).1,
        "agent:1\nbase:1\ninit:1\ntop:1\n"
    );
    world.write_guest(
        "/opt/polis/docker-compose.yml",
        "services: {a: {image: x, depends_on: [b]}}",
    );
    let words = "service \"a\" depends on undefined service \"b\": invalid compose project\n";
    assert_eq!(compose(&world, "ps"), (1, String::new(), words.to_owned()));
    world.write_guest("/opt/polis/docker-compose.yml", "services: {a: [}");
    assert!(
        compose(&world, "ps")
            .2
            .contains("/opt/polis/docker-compose.yml: yaml: line 1")
    );
    let ran = sh(&world, "cd /tmp && docker compose ps");
    assert_eq!(ran.stderr, "no configuration file provided: not found\n");
}

#[test]
fn images_are_there_once_they_are_pulled() {
    let world = stack();
    let ran = sh(&world, "docker image inspect base:1 top:1");
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        (
            "[]\n",
            "Error response from daemon: no such image: base:1: No such image: base:1\n\
             Error response from daemon: no such image: top:1: No such image: top:1\n"
        )
    );
    let (code, _, err) = compose(&world, "up -d");
    assert_eq!(
        (code, err.as_str()),
        (1, "Error response from daemon: No such image: init:1\n")
    );
    let pulled = compose(&world, "pull").2;
    assert_eq!(
        pulled,
        " base Pulling \n base Pulled \n init Pulling \n init Pulled \n top Pulling \n top Pulled \n"
    );
    assert_eq!(
        sh(&world, "docker image inspect base:1 top:1 init:1").code,
        Some(0)
    );
    assert_eq!(
        compose(&world, "pull --quiet"),
        (0, String::new(), String::new())
    );
}

#[test]
fn what_can_be_built_is_left_out_on_demand() {
    let world = stack();
    compose(&world, "pull --quiet --ignore-buildable");
    assert_eq!(sh(&world, "docker image inspect init:1").code, Some(1));
}

#[test]
fn pulls_fail_as_often_as_told() {
    let world = stack();
    let message = "toomanyrequests: You have reached your pull rate limit".to_owned();
    world.set(|state| {
        state.pulls.push(Pull {
            image: "top".into(),
            message,
            left: Some(1),
        })
    });
    let (code, _, err) = compose(&world, "pull");
    assert_eq!(code, 1);
    assert!(
        err.ends_with(
            "Error response from daemon: toomanyrequests: You have reached your pull rate limit\n"
        ),
        "{err}"
    );
    assert_eq!(
        sh(&world, "docker image inspect base:1").code,
        Some(0),
        "what came before stays"
    );
    assert_eq!(compose(&world, "pull --quiet").0, 0);
    world.set(|state| state.disk_full = true);
    assert!(
        compose(&world, "pull")
            .2
            .contains("no space left on device")
    );
}

#[test]
fn up_starts_in_order_and_again_changes_nothing() {
    let world = stack();
    service(&world, "base", Fate::Well, 200);
    compose(&world, "pull --quiet");
    let (code, _, err) = compose(&world, "up --detach --no-build");
    assert_eq!(code, 0, "{err}");
    let started: Vec<&str> = err
        .lines()
        .filter(|line| line.ends_with("Started"))
        .collect();
    for line in ["init-1  Exited", "base-1  Waiting", "base-1  Healthy"] {
        assert!(err.contains(&format!(" Container polis-{line}\n")), "{err}");
    }
    assert_eq!(started.len(), 3);
    assert!(
        started[0].contains("init") && started[2].contains("top"),
        "{err}"
    );
    expect![[r#"
        base running healthy 0
        init exited  0
        top running healthy 0
    "#]]
    .assert_eq(&compose(&world, &PS["docker compose ".len()..]).1);
    assert!(world.guest_has("/opt/polis/made"), "a short mount is made");
    world.forget_calls();
    let err = compose(&world, "up --detach").2;
    assert!(err.contains("Container polis-base-1  Running"), "{err}");
    let json = compose(&world, "ps --format json top").1;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&json["Service"], &json["Health"], &json["ExitCode"]),
        (&"top".into(), &"healthy".into(), &0.into())
    );
}

#[test]
fn mounted_files_must_be_there() {
    for file in ["ca.pem", "word.txt"] {
        let world = stack();
        compose(&world, "pull --quiet");
        guest(&world, &format!("rm /opt/polis/{file}"));
        let (code, _, err) = compose(&world, "up -d");
        let words = format!(
            "Error response from daemon: invalid mount config for type \"bind\": bind source path does not exist: /opt/polis/{file}\n"
        );
        assert!(code == 1 && err.ends_with(&words), "{err}");
        assert_eq!(compose(&world, "ps -a --format '{{.Service}}'").1, "init\n");
    }
}

#[test]
fn a_dependency_that_never_gets_well_fails_the_rest() {
    for (name, fate, words) in [
        (
            "base",
            Fate::Unhealthy,
            "dependency failed to start: container polis-base-1 is unhealthy\n",
        ),
        (
            "base",
            Fate::Exits(3),
            "dependency failed to start: container polis-base-1 is unhealthy\n",
        ),
        (
            "init",
            Fate::Exits(1),
            "service \"init\" didn't complete successfully: exit 1\n",
        ),
    ] {
        let world = stack();
        service(&world, name, fate, 0);
        compose(&world, "pull --quiet");
        let (code, _, err) = compose(&world, "up -d");
        assert!(code == 1 && err.ends_with(words), "{err}");
        assert!(guest(&world, &format!("cd /opt/polis && {PS}")).contains("top created  0\n"));
    }
}

#[test]
fn health_can_change_later_and_logs_tell() {
    let world = stack();
    compose(&world, "pull --quiet");
    assert_eq!(compose(&world, "up -d --wait").0, 0);
    service(&world, "top", Fate::Unhealthy, 0);
    assert!(
        compose(&world, &PS["docker compose ".len()..])
            .1
            .contains("top running unhealthy 0\n")
    );
    let (code, _, err) = compose(&world, "up -d --wait");
    assert!(
        code == 1 && err.ends_with("container polis-top-1 is unhealthy\n"),
        "{err}"
    );
    assert_eq!(
        compose(&world, "logs --no-color --tail 1 top").1,
        "top-1  | two\n"
    );
    assert_eq!(compose(&world, "logs --no-log-prefix top").1, "one\ntwo\n");
    assert_eq!(compose(&world, "logs frob").2, "no such service: frob\n");
    service(&world, "top", Fate::Exits(2), 0);
    assert!(
        compose(&world, &PS["docker compose ".len()..])
            .1
            .contains("top restarting  0\n")
    );
}

#[test]
fn exec_needs_a_running_service() {
    let world = stack();
    assert_eq!(
        compose(&world, "exec -T top true").2,
        "service \"top\" is not running\n"
    );
    compose(&world, "pull --quiet");
    compose(&world, "up -d");
    assert_eq!(
        compose(&world, "exec -T top bash -c 'echo in; exit 3'"),
        (3, "in\n".into(), String::new())
    );
}

#[test]
fn stopped_containers_stay_so_and_others_come_back_after_a_boot() {
    let world = stack();
    compose(&world, "pull --quiet");
    compose(&world, "up -d");
    compose(&world, "stop top");
    run(&world, &["stop", "polis"]);
    run(&world, &["start", "polis"]);
    assert_eq!(compose(&world, "ps --format '{{.Service}}'").1, "base\n");
    compose(&world, "down");
    assert_eq!(compose(&world, "ps -a --format '{{.Service}}'").1, "");
}

#[test]
fn orphans_are_told_of_or_removed() {
    let world = stack();
    compose(&world, "pull --quiet");
    compose(&world, "up -d");
    world.write_guest(
        "/opt/polis/docker-compose.yml",
        "services: {init: {image: 'init:1'}}",
    );
    assert!(
        compose(&world, "up -d")
            .2
            .starts_with("Found orphan containers ([polis-base-1 polis-top-1])")
    );
    compose(&world, "up -d --remove-orphans");
    assert_eq!(compose(&world, "ps -a --format '{{.Service}}'").1, "init\n");
}

#[test]
fn unknown_words_are_refused_as_docker_does() {
    let world = stack();
    compose(&world, "pull --quiet");
    compose(&world, "up -d");
    for (args, words) in [
        ("up --frob", "unknown flag: --frob\n"),
        ("pull -x", "unknown shorthand flag: 'x' in -x\n"),
        ("frob", "unknown docker command: \"compose frob\"\n"),
        ("exec top", "requires at least 2 arg(s), only received 1\n"),
        (
            "ps --format {{.Foo}}",
            "template parsing error: template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type \
             *formatter.ContainerContext\n",
        ),
    ] {
        world.forget_calls();
        assert_eq!(compose(&world, args), (1, String::new(), words.to_owned()));
        assert_eq!(world.refused(), [format!("docker compose {args}")]);
    }
    assert_eq!(sh(&world, "docker frob").code, Some(1));
    assert_eq!(sh(&world, "docker info --frob").code, Some(125));
}

#[test]
fn a_container_s_layer_goes_with_it_and_its_volumes_stay() {
    let world = launched();
    let stack = |value: &str| {
        let text = format!(
            "services: {{a: {{image: 'a:1', restart: always, environment: {{X: '{value}'}}, volumes: ['data:/home']}}}}\nvolumes: {{data: {{}}}}\n"
        );
        world.write_guest("/opt/polis/docker-compose.yml", &text);
    };
    let id = || compose(&world, "ps --all --quiet a").1;
    let hash = || compose(&world, "config --hash a").1;
    stack("1");
    compose(&world, "pull --quiet");
    compose(&world, "up -d");
    let made = (id(), hash());
    let write = "exec -T --user polis a bash -c 'echo 1 >/usr/local/x; echo 1 >/home/polis/x'";
    assert_eq!(compose(&world, write).0, 0);
    let diff = format!("docker diff {}", id().trim());
    assert_eq!(
        sh(&world, &diff).stdout,
        "C /usr\nC /usr/local\nA /usr/local/x\n"
    );

    stack("2");
    assert_ne!(hash(), made.1);
    compose(&world, "up -d --no-recreate");
    assert_eq!(id(), made.0);
    let label = "{{index .Config.Labels \"com.docker.compose.config-hash\"}}";
    let label = sh(
        &world,
        &format!("docker inspect --format '{label}' {}", id().trim()),
    );
    assert_eq!(format!("a {}", label.stdout), made.1);
    compose(&world, "up -d");
    assert_ne!(id(), made.0);
    let read = |path: &str| compose(&world, &format!("exec -T a cat {path}")).0;
    assert_eq!((read("/home/polis/x"), read("/usr/local/x")), (0, 1));
    assert_eq!(
        compose(&world, "exec -T --user nobody a true"),
        (
            126,
            String::new(),
            "unable to find user nobody: no matching entries in passwd file\n".into()
        )
    );
    assert_eq!(world.refused(), [] as [String; 0]);
}
