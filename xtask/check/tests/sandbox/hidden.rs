//! Settings that a reader of the file may not notice: in anchors, extension fields, tags, and in the merge of several
//! files.

use xtask_check::{sandbox, stack};
use xtask_host::finding::Finding;
use xtask_host::source::Source;
use xtask_pins::compose::{self, Compose};
use xtask_testkit::{Tree, has_part};

use crate::edits::shipped;

fn parse(text: &str) -> Compose {
    let source = Source {
        path: compose::PATH.to_owned(),
        text: text.to_owned(),
    };
    Compose::parse(source).expect("YAML")
}

/// The shipped file with the first `from` replaced.
fn changed(from: &str, to: &str) -> String {
    let text = shipped().source.text;
    assert!(text.contains(from), "`{from}` is not in the compose file");
    text.replacen(from, to, 1)
}

/// The messages at the line that contains `excerpt`.
fn at(findings: &[Finding], excerpt: &str) -> Vec<String> {
    let there = findings.iter().filter(|finding| {
        finding
            .place
            .as_ref()
            .is_some_and(|place| place.excerpt.contains(excerpt))
    });
    there.map(|finding| finding.message.clone()).collect()
}

#[test]
fn a_key_in_an_anchor_is_checked_for_each_service_that_merges_it() {
    let text = changed(
        "x-service: &service\n",
        "x-service: &service\n  cap_add: [ALL]\n",
    );
    let compose = parse(&text);
    let takers = compose
        .services()
        .iter()
        .filter(|(_, service)| service.get("cap_add").is_some())
        .count();
    let found = at(&stack::check(&compose, &|_| true), "cap_add: [ALL]");
    // Gate has its own list, and the init containers use another anchor.
    assert!(found.len() >= 7 && found.len() < takers, "{found:#?}");
    assert!(
        found.contains(&"service `workspace` may not have `cap_add`".to_owned()),
        "{found:#?}"
    );
}

#[test]
fn an_extension_field_is_checked_only_where_it_is_used() {
    let hidden = "x-more: &more {privileged: true, volumes: [\"/:/vm\"]}\nservices:\n";
    let unused = changed("services:\n", hidden);
    assert!(stack::check(&parse(&unused), &|_| true).is_empty());
    for (from, to) in [
        (
            "  workspace:\n    <<: *service\n",
            "  workspace:\n    <<: [*service, *more]\n",
        ),
        (
            "  host-init:\n    <<: *init\n",
            "  host-init:\n    <<: [*more, *init]\n",
        ),
    ] {
        assert!(unused.contains(from), "`{from}` is not in the compose file");
        let found = at(
            &stack::check(&parse(&unused.replacen(from, to, 1)), &|_| true),
            "x-more",
        );
        let name = from.trim().split(':').next().unwrap_or_default();
        assert!(
            found.contains(&format!("service `{name}` may not have `privileged`")),
            "{found:#?}"
        );
    }
    // The same as a value of a key, and as an item of a list.
    let text = unused
        .replacen(
            "x-more: &more {",
            "x-root: &root \"/:/vm\"\nx-more: &more {",
            1,
        )
        .replacen("    volumes:\n", "    volumes:\n      - *root\n", 1);
    let found = at(&stack::check(&parse(&text), &|_| true), "x-root");
    assert_eq!(
        found,
        ["service `resolver` may not have `volumes: rw / /vm`"]
    );
}

/// `!reset` removes the value that it tags, even in the same file, so a reader sees what Compose does not.
#[test]
fn yaml_tags_that_compose_follows_are_rejected() {
    for (from, to) in [
        ("cap_drop: [ALL]", "cap_drop: !reset [ALL]"),
        ("internal: true", "internal: !reset true"),
        ("runtime: sysbox-runc", "runtime: !reset sysbox-runc"),
        ("services:\n", "services: !override\n"),
    ] {
        let found = stack::check(&parse(&changed(from, to)), &|_| true);
        let rules: Vec<&str> = found.iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, ["yaml-tag"], "{to}");
    }
    if !has_part("docker-compose") {
        return;
    }
    let tree = Tree::data();
    assert!(merged(&tree, &[]).contains("cap_drop"));
    tree.write(
        compose::PATH,
        &tree
            .read(compose::PATH)
            .replace("cap_drop: [ALL]", "cap_drop: !reset [ALL]"),
    );
    assert!(
        !merged(&tree, &[]).contains("cap_drop"),
        "Compose no longer obeys the tag"
    );
}

/// Compose's merge of our file and `overlays`, as if in the stack's directory in the VM.
fn merged(tree: &Tree, overlays: &[&str]) -> String {
    let files = ["docker-compose.yml"].iter().chain(overlays);
    let files = files.flat_map(|file| ["-f".to_owned(), format!("compose/{file}")]);
    let args: Vec<String> = files.chain(["config".to_owned()]).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ran = tree.run("docker-compose", &args);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let beside = sandbox::HOME
        .rsplit_once('/')
        .map_or("", |(beside, _)| beside);
    let at_home = ran.stdout.replace("[TREE]/compose", sandbox::HOME);
    at_home.replace("[TREE]", beside)
}

/// The same table applies to the output of Compose, with and without an overlay.
#[test]
fn the_output_of_compose_is_checked_alike() {
    if !has_part("docker-compose") {
        return;
    }
    let tree = Tree::data();
    let judge = |text: &str| {
        let offences = sandbox::judge(&parse(text).root, sandbox::HOME);
        offences
            .into_iter()
            .map(|offence| offence.message)
            .collect::<Vec<_>>()
    };
    assert_eq!(judge(&merged(&tree, &[])), [""; 0]);
    let overlay = "services:\n  workspace:\n    volumes: [./certs/ca/ca.key:/ca.key]\n    networks: {external-bridge: {}}\n";
    tree.write("compose/overlay.yml", overlay);
    assert_eq!(
        judge(&merged(&tree, &["overlay.yml"])),
        [
            "service `workspace` may not have `networks: external-bridge`",
            "service `workspace` may not have `volumes: rw ./certs/ca/ca.key /ca.key`",
        ]
    );
}

/// Everything that `polis` can generate from an agent's manifest is allowed by the table; the tests of `polis` keep the
/// file up to date.
#[test]
fn everything_that_an_agent_adds_is_allowed() {
    if !has_part("docker-compose") {
        return;
    }
    let tree = Tree::data();
    let overlay = include_str!("../../../../cli/src/agent/manifest/openclaw.compose.json");
    let judge = |overlay: &str| {
        tree.write("compose/agent.json", overlay);
        let merged = merged(&tree, &["agent.json"]);
        let offences = sandbox::judge(&parse(&merged).root, sandbox::HOME).into_iter();
        (
            merged,
            offences.map(|offence| offence.message).collect::<Vec<_>>(),
        )
    };
    let (merged, offences) = judge(overlay);
    assert_eq!(offences, [""; 0], "{merged}");
    for part in [
        "memory: \"6442450944\"",
        "source: /opt/polis/agents/openclaw\n",
        "target: /home/polis/.openclaw\n",
        "name: polis-agent-openclaw-data\n",
    ] {
        assert!(merged.contains(part), "{part}: {merged}");
    }
    for (from, to, offence) in [
        (
            "\"./agents/openclaw\"",
            "\"/\"",
            "service `workspace` may not have `volumes: ro / /opt/agents/openclaw`",
        ),
        (
            "\"name\": \"polis-agent-openclaw-data\"",
            "\"name\": \"polis_state-data\"",
            "volume `polis-agent-*` may not have `name: polis_state-data`",
        ),
    ] {
        assert!(overlay.contains(from), "{from}: {overlay}");
        assert_eq!(judge(&overlay.replace(from, to)).1, [offence]);
    }
}

/// The forwarder that `scripts/ports.sh` creates is allowed by the table; the tests of `polis` keep the file up to
/// date.
#[test]
fn the_forwarder_is_allowed() {
    if !has_part("docker-compose") {
        return;
    }
    let tree = Tree::data();
    let made = include_str!("../../../../cli/tests/it/ports.forward.json");
    let judge = |overlay: &str| {
        tree.write("compose/forward.json", overlay);
        let merged = merged(&tree, &["forward.json"]);
        let offences = sandbox::judge(&parse(&merged).root, sandbox::HOME).into_iter();
        offences.map(|offence| offence.message).collect::<Vec<_>>()
    };
    assert_eq!(judge(made), [""; 0]);
    for (from, to, offence) in [
        (
            "\"host_ip\": \"10.87.112.23\", ",
            "",
            "service `forward` may not have `ports: everywhere mode=ingress target=8099 published=8099 protocol=tcp`",
        ),
        (
            "\"host_ip\": \"10.87.112.23\"",
            "\"host_ip\": \"0.0.0.0\"",
            "service `forward` may not have `ports: everywhere mode=ingress host_ip=0.0.0.0 target=8099 published=8099 protocol=tcp`",
        ),
        (
            "\"--within\", \"10.10.1.128/25\"",
            "\"--within\", \"0.0.0.0/0\"",
            "service `forward` may not have `command: forward --to workspace --within 0.0.0.0/0 8099:3000 9000:80`",
        ),
        (
            "\"forward-bridge\": {}}",
            "\"external-bridge\": {}}",
            "service `forward` may not have `networks: external-bridge`",
        ),
        (
            "enable_ip_masquerade\": \"false\"",
            "enable_ip_masquerade\": \"true\"",
            "network `forward-bridge` may not have `driver_opts: com.docker.network.bridge.enable_ip_masquerade=true`",
        ),
    ] {
        assert!(made.contains(from), "{from}: {made}");
        assert_eq!(judge(&made.replacen(from, to, 1)), [offence]);
    }
}

/// Whatever Compose reads as `privileged` must be found by our YAML reader, or rejected for its tag.
#[test]
fn merges_and_spellings_hide_nothing() {
    if !has_part("docker-compose") {
        return;
    }
    let top = "name: polis\nx-a: &a {privileged: true, user: '5'}\nx-b: &b {user: '6'}\nx-n: &n {<<: *a}\n\
               services:\n  toolbox:\n    image: i\n";
    let spellings = [
        "<<: *a",
        "<<: [*b, *a]",
        "<<: *n",
        "<<: {<<: *a}",
        "!!merge <<: *a",
        "? <<\n    : *a",
        "privileged: yes",
        "privileged: On",
        "privileged: 'true'",
        "\"privileged\": true",
        "\"p\\x72ivileged\": true",
        "? privileged\n    : true",
        "!!str privileged: !!bool 'true'",
        "privileged: &p true",
        "privileged: ${X:-true}",
        // Compose rejects these, or they are harmless.
        "'<<': *a",
        "<<: *a\n    <<: *b",
        "<<: [[*a]]",
        "Privileged: true",
        "privileged: false\n    privileged: true",
        "<<: *a\n    privileged: ~",
    ];
    let tree = Tree::data();
    let mut obeyed = 0;
    for spelling in spellings {
        let text = format!("{top}    {spelling}\n");
        tree.write(compose::PATH, &text);
        let ran = tree.run(
            "docker-compose",
            &["-f", compose::PATH, "config", "--no-normalize"],
        );
        // The extension field contains it in any case.
        let services = ran.stdout.split("\nservices:").nth(1).unwrap_or_default();
        let services = services.split("\nx-").next().unwrap_or_default();
        if ran.code != 0 || !services.contains("privileged: true") {
            continue;
        }
        obeyed += 1;
        let found = stack::check(&parse(&text), &|_| true);
        let is_told = found
            .iter()
            .any(|finding| finding.rule == "yaml-tag" || finding.message.contains("`privileged`"));
        assert!(is_told, "{spelling}: {found:#?}");
    }
    assert_eq!(obeyed, 15);
}
