//! The rules on compose files by other authors, with their spellings and names.

use std::collections::BTreeSet;

use xtask_check::stack;
use xtask_host::source::Source;
use xtask_pins::compose::{self, Compose};

/// A service that keeps running, and breaks no rule except those of the sandbox.
const STAYS: &str = "image: e.example/x:1, cap_drop: [ALL], security_opt: ['no-new-privileges:true'], read_only: true, \
     logging: {driver: json-file, options: {max-size: 1m}}, networks: [n]";

/// The findings of all rules except those of the sandbox: `rule LINE`.
fn findings(text: &str, there: &[&str]) -> Vec<String> {
    let compose = Compose::parse(Source {
        path: compose::PATH.to_owned(),
        text: text.to_owned(),
    });
    let compose = compose.unwrap_or_else(|wrong| panic!("{text}: {}", wrong.message));
    let found = stack::check(&compose, &|path| there.contains(&path)).into_iter();
    let found = found.filter(|finding| !finding.rule.starts_with("sandbox"));
    let line = |place: Option<xtask_host::source::Place>| place.map_or(0, |place| place.line);
    found
        .map(|finding| format!("{} {}", finding.rule, line(finding.place)))
        .collect()
}

fn service(more: &str) -> String {
    format!("services:\n  a: {{{STAYS}, {more}}}\n")
}

#[test]
fn a_limit_counts_in_both_spellings_and_only_when_it_limits() {
    let rest = "restart: unless-stopped, healthcheck: {test: [CMD, x]}";
    for (limits, expected) in [
        ("mem_limit: 64m, pids_limit: 16", &[][..]),
        (
            "deploy: {resources: {limits: {memory: 64m, pids: 16}}}",
            &[],
        ),
        (
            "mem_limit: '${MEMORY:-1g}', deploy: {resources: {limits: {pids: 16}}}",
            &[],
        ),
        ("mem_limit: 0.5g, pids_limit: '16'", &[]),
        (
            "deploy: {resources: {reservations: {memory: 64m}}}",
            &["memory-limit 2", "pids-limit 2"],
        ),
        (
            "mem_limit: 0, pids_limit: -1",
            &["memory-limit 2", "pids-limit 2"],
        ),
        (
            "mem_limit: 0b, pids_limit: '-1'",
            &["memory-limit 2", "pids-limit 2"],
        ),
        (
            "mem_limit: '', pids_limit: ~",
            &["memory-limit 2", "pids-limit 2"],
        ),
    ] {
        assert_eq!(
            findings(&service(&format!("{rest}, {limits}")), &[]),
            expected,
            "{limits}"
        );
    }
}

#[test]
fn an_init_container_is_one_that_ends_wherever_it_is_built() {
    let limits = "mem_limit: 64m, pids_limit: 16";
    let health = "healthcheck: {test: [CMD, x]}";
    let file = |more: &str, condition: &str| {
        format!(
            "services:\n  a: {{{STAYS}, {limits}, {more}}}\n  b: {{{STAYS}, {limits}, {health}, restart: unless-stopped, \
             depends_on: {{a: {{condition: {condition}}}}}}}\n"
        )
    };
    let done = "service_completed_successfully";
    for (more, condition, expected) in [
        // Other services wait for its completion, or it declares that it ends.
        ("restart: 'no'", done, &[][..]),
        ("restart: 'no'", "service_started", &[]),
        ("stdin_open: false", done, &[]),
        ("restart: always", done, &["restart 2"]),
        // Built here, but keeps running.
        (
            "build: ../x, restart: unless-stopped",
            "service_started",
            &["healthcheck 2"],
        ),
        (
            "build: ../x",
            "service_started",
            &["restart 2", "healthcheck 2"],
        ),
        (
            "restart: unless-stopped, healthcheck: {disable: true}",
            "service_started",
            &["healthcheck 2"],
        ),
        (
            "restart: unless-stopped, healthcheck: {test: [NONE]}",
            "service_started",
            &["healthcheck 2"],
        ),
    ] {
        let there = ["x", "x/Dockerfile"];
        assert_eq!(findings(&file(more, condition), &there), expected, "{more}");
    }
}

#[test]
fn every_relative_path_must_exist() {
    let paths = "\
services:
  a:
    build: ../built
    volumes:
      - ./data/short:/x
      - ../beside:/y:ro
      - {type: bind, source: data/long, target: /z}
      - {type: volume, source: named, target: /v}
      - named:/w
      - /absolute:/a
      - ~/home:/h
      - ./${VARIABLE}:/u
      - ./certs/made.pem:/c
      - {type: bind, source: ./secrets/made.txt, target: /s}
    env_file:
      - one.env
      - {path: ./two.env}
      - {path: ./optional.env, required: false}
    label_file: labels
    security_opt: [seccomp=./profile.json, 'seccomp:other.json', seccomp=unconfined]
    credential_spec: {file: credential.json}
    extends: {file: base.yml, service: a}
    develop: {watch: [{path: ./watched, action: sync, target: /x}]}
  b:
    build:
      context: context
      dockerfile: Other
      additional_contexts: {more: ./more, image: 'docker-image://x', git: 'https://g.example/r.git', of: 'service:a'}
    env_file: three.env
  c:
    build: https://g.example/r.git
configs:
  c: {file: config.txt}
  made: {file: ./certs/made.pem}
secrets:
  s: {file: ./keys/secret.txt}
  made: {file: secrets/made.txt}
include: [other.yml, {path: [third.yml], env_file: four.env, project_directory: ./project}]
";
    let compose = Compose::parse(Source {
        path: compose::PATH.to_owned(),
        text: paths.to_owned(),
    });
    let compose = compose.expect("YAML");
    let asked = std::cell::RefCell::new(BTreeSet::new());
    let found = stack::check(&compose, &|path| {
        asked.borrow_mut().insert(path.to_owned());
        false
    });
    let missing: Vec<String> = found
        .into_iter()
        .filter(|finding| finding.rule == "mount-missing")
        .map(|finding| {
            let line = finding.place.map_or(0, |place| place.line);
            format!("{line}: {}", finding.message)
        })
        .collect();
    expect_test::expect![[r#"
        33: `compose/config.txt` does not exist, but `c` of `configs` names it
        36: `compose/keys/secret.txt` does not exist, but `s` of `secrets` names it
        38: `compose/other.yml` does not exist, but `include` names it
        38: `compose/third.yml` does not exist, but `include` names it
        38: `compose/four.env` does not exist, but `include` names it
        38: `compose/project` does not exist, but `include` names it
        5: `compose/data/short` does not exist, but service `a` names it
        6: `beside` does not exist, but service `a` names it
        7: `compose/data/long` does not exist, but service `a` names it
        16: `compose/one.env` does not exist, but service `a` names it
        17: `compose/two.env` does not exist, but service `a` names it
        19: `compose/labels` does not exist, but service `a` names it
        20: `compose/profile.json` does not exist, but service `a` names it
        20: `compose/other.json` does not exist, but service `a` names it
        21: `compose/credential.json` does not exist, but service `a` names it
        22: `compose/base.yml` does not exist, but service `a` names it
        23: `compose/watched` does not exist, but service `a` names it
        3: `built` does not exist, but service `a` names it
        3: `built/Dockerfile` does not exist, but service `a` names it
        29: `compose/three.env` does not exist, but service `b` names it
        26: `compose/context` does not exist, but service `b` names it
        27: `compose/context/Other` does not exist, but service `b` names it
        28: `compose/more` does not exist, but service `b` names it"#]]
    .assert_eq(&missing.join("\n"));
    assert_eq!(
        asked.into_inner().len(),
        missing.len(),
        "each path is requested once"
    );
}

/// One unreadable image once turned every init container into a service that keeps running.
#[test]
fn a_variable_in_an_image_changes_nothing_else() {
    let limits = "mem_limit: 64m, pids_limit: 16";
    let text = format!(
        "services:\n  a: {{{STAYS}, {limits}, build: ../a, restart: 'no'}}\n  b: {{{STAYS}, {limits}, restart: 'no'}}\n"
    );
    let there = ["a", "a/Dockerfile"];
    assert_eq!(findings(&text, &there), [""; 0]);
    for image in [
        "'${IMAGE}'",
        "'x:${TAG:-1}'",
        "'${IMAGE:-x:1}'",
        "'${IMAGE:?say which}'",
    ] {
        let changed = text.replacen("e.example/x:1", image, 2);
        assert_eq!(findings(&changed, &there), [""; 0], "{image}");
    }
}
