//! `verify-images` against Docker's registry: one image for each way to meet a contract, and one for each way to
//! violate it. The program reads them all in one run.

mod build;
mod cases;
mod stream;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use expect_test::expect;
use polis_base::Digest;
use serde_json::{Value, json};
use xtask_loopback::{EmbeddedProxy, Faults};
use xtask_testkit::{Ran, Tree};

use crate::support::docker::DockerRegistry;
use crate::support::external_tool;
use crate::support::test_env::{COMPOSE, PROGRAM};
use build::{Pushed, Pusher, stored, text};
use cases::{After, Case, bytes, fine, good, kept, promises};

/// All cases in one registry, and a tree that runs each image.
struct Site {
    tree: Tree,
    proxy: EmbeddedProxy,
    /// The faults of the proxy before the registry.
    faults: Faults,
    _registry: DockerRegistry,
    pushed: Vec<Pushed>,
}

impl Site {
    fn start(cases: &[Case]) -> Option<Self> {
        external_tool("zstd")?;
        let registry = DockerRegistry::open()?;
        let faults = Faults::none();
        let upstream = format!("http://{}", registry.host());
        let proxy = EmbeddedProxy::start(&upstream, Duration::ZERO, &faults).unwrap();
        let pusher = Pusher::new(registry.host());
        let tree = Tree::data();
        empty(&tree);
        let mut compose = "name: x\nservices:\n".to_owned();
        let mut pushed = Vec::new();
        for case in cases {
            let mut image = good();
            (case.change)(&mut image);
            if !matches!(case.after, After::Nothing) {
                // Make this layer unique, because the registry stores equal blobs only once.
                image.layers[0].entries.push(("case", text(case.name)));
                image.config["case"] = json!(case.name);
            }
            let repository = format!("o/{}", case.name);
            let found = pusher.push(&repository, &image);
            compose.push_str(&service(case, &found.root));
            tree.write(
                &format!("compose/images/{}.yaml", case.name),
                &contract(case.name),
            );
            if let After::Answer(fault) = &case.after {
                faults.add("GET", &format!("/v2/{repository}/"), 100, fault.clone());
            }
            spoil(registry.dir(), &case.after, &found);
            pushed.push(found);
        }
        tree.write(COMPOSE, &compose);
        tree.write("compose/start.sh", "#!/usr/bin/env -S zsh\n");
        Some(Self {
            tree,
            proxy,
            faults,
            _registry: registry,
            pushed,
        })
    }

    fn run(&self, args: &[&str]) -> Ran {
        let endpoint = format!("ghcr.io={}", self.proxy.url());
        let fixed = [
            "verify-images",
            "--quiet",
            "--endpoint",
            &endpoint,
            "--deadline",
            "100",
        ];
        self.tree.run(PROGRAM, &[&fixed[..], args].concat())
    }
}

/// Removes the tree's own contracts and waivers.
fn empty(tree: &Tree) {
    let dir = tree.root().join("compose/images");
    fs::remove_dir_all(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    tree.write("compose/pin-waivers.yaml", "version: 1\nwaivers: []\n");
}

/// The contract of the image `name`, with facts on known lines.
fn contract(name: &str) -> String {
    format!(
        "image: ghcr.io/o/{name}\n\
         sources: {{us: this test}}\n\
         platforms: {{us: [linux/amd64]}}\n\
         user: {{us: 65532}}\n\
         entrypoint: {{us: [/usr/bin/thing]}}\n\
         command: {{us: [--serve]}}\n\
         programs: {{us: [bash, /usr/bin/thing, tool, /bin/bash]}}\n\
         without: {{us: [curl]}}\n\
         paths:\n  us:\n    - {{path: /usr/lib/thing/mod.so, kind: module, read_by: tool}}\n    \
         - {{path: /var/lib/thing, kind: writable}}\n    \
         - {{path: /usr/share/thing, kind: file}}\n    \
         - {{path: /etc/thing.conf, kind: config, read_by: tool}}\n\
         users: {{us: {{thing: 65532}}}}\n"
    )
}

fn service(case: &Case, digest: &Digest) -> String {
    let Case { name, service, .. } = case;
    let user = if service.contains("user:") {
        ""
    } else {
        "    user: '65532:65532'\n"
    };
    format!(
        "  {name}:\n    image: ghcr.io/o/{name}:v1@{digest}\n{user}    cap_drop: [ALL]\n    {service}\n"
    )
}

fn spoil(dir: &Path, after: &After, pushed: &Pushed) {
    let edit = |digest: Digest, change: &dyn Fn(&mut Vec<u8>)| {
        let path = stored(dir, &digest);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        // Overwrite in place, so that the registry serves the new content.
        let mut file = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(path)
            .unwrap();
        file.write_all(&bytes).unwrap();
    };
    match after {
        After::Nothing | After::Answer(_) => {}
        After::Lose(which) => fs::remove_file(stored(dir, &which(pushed))).unwrap(),
        After::Flip(which) => edit(which(pushed), &|bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        }),
        After::Shorten(which) => edit(which(pushed), &|bytes| bytes.truncate(bytes.len() - 10)),
        After::Lengthen(which) => edit(which(pushed), &|bytes| bytes.extend(*b"more")),
    }
}

/// The state of each image in a report, and its first problem.
fn states(ran: &Ran) -> Vec<(String, String, String)> {
    let report = ran.report();
    let images = report["data"]["images"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |image: &Value| {
        let name = text(&image["services"][0]);
        (
            name,
            text(&image["state"]),
            text(&image["problems"][0]["about"]),
        )
    };
    images.iter().map(row).collect()
}

#[test]
fn every_contract_violation_is_found_and_no_other() {
    let cases: Vec<Case> = kept()
        .into_iter()
        .chain(promises())
        .chain(bytes())
        .collect();
    let Some(site) = Site::start(&cases) else {
        return;
    };
    let ran = site.run(&["--format", "json"]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    let found = states(&ran);
    let mut wrong = Vec::new();
    for (case, (name, state, about)) in cases.iter().zip(&found) {
        assert_eq!(case.name, name);
        if case.state != state || !about.contains(case.about) {
            wrong.push(format!(
                "{name}: expected {}: {}\n  got {state}: {about}",
                case.state, case.about
            ));
        }
    }
    assert_eq!(found.len(), cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Every image that is not verified is a finding, whatever else is reported.
    let report = ran.report();
    let findings = report["findings"].as_array().unwrap();
    for case in cases.iter().filter(|case| case.state != "verified") {
        let rule = format!("image-{}", case.state.replace(' ', "-"));
        let named = format!("`ghcr.io/o/{}:v1`", case.name);
        let said = findings.iter().any(|finding| {
            finding["rule"] == rule.as_str()
                && finding["message"].as_str().unwrap().starts_with(&named)
        });
        assert!(said, "{rule} of {}", case.name);
    }
}

#[test]
fn the_exit_code_is_that_of_the_state() {
    let chosen = ["gzip", "has-curl", "lost-layer", "down"];
    let all = kept().into_iter().chain(promises()).chain(bytes());
    let cases: Vec<Case> = all.filter(|case| chosen.contains(&case.name)).collect();
    let Some(site) = Site::start(&cases) else {
        return;
    };
    for (name, code) in [("gzip", 0), ("has-curl", 1), ("lost-layer", 2), ("down", 3)] {
        let ran = site.run(&[name]);
        assert_eq!(ran.code, code, "{}", ran.seen());
    }
    assert_eq!(site.run(&["gzip", "down"]).code, 3);
    let ran = site.run(&["--", "gate"]);
    expect![[r#"
        exit 4
        --- stderr
        error: unknown image `gate`: compose/images has no such contract
          hint: known images: down, gzip, has-curl, lost-layer
    "#]]
    .assert_eq(&ran.seen());
    let ran = site.run(&["gzip", "has-curl"]);
    let sizes = |text: &str| {
        let digits = |c: char| c.is_ascii_digit();
        let (before, rest) = text.split_once(" layers, ").unwrap();
        let (_, rest) = rest.split_once(" bytes").unwrap();
        assert!(before.ends_with(digits));
        format!("{before} layers, [N] bytes{rest}")
    };
    let seen: Vec<String> = ran
        .seen()
        .lines()
        .map(|line| match line.contains(" layers, ") {
            true => sizes(line),
            false => line.to_owned(),
        })
        .collect();
    let seen = seen
        .join("\n")
        .replace(&site.pushed[0].root.to_string(), "[GZIP]");
    expect![[r#"
        exit 1
        --- stdout
        verified            image ghcr.io/o/gzip:v1 linux/amd64 (1 layers, [N] bytes)
        unexpected program  image ghcr.io/o/has-curl:v1 linux/amd64 (2 layers, [N] bytes)
        --- stderr
        error[image-unexpected-program]: `ghcr.io/o/has-curl:v1` (linux/amd64): unexpected program: found `curl` at /usr/sbin/curl
         --> compose/images/has-curl.yaml:8:16
          |
        8 | without: {us: [curl]}
          |                ^^^^
          |
          = help: pin an image that meets its contract; or correct the contract, and whatever `cargo xtask check` then reports"#]].assert_eq(&seen.replace(&site.pushed[1].root.to_string(), "[CURL]"));
}

#[test]
fn unpinned_unpublished_and_images_without_a_contract_are_reported() {
    let Some(site) = Site::start(&[fine("gzip", |_| {})]) else {
        return;
    };
    let Site { tree, pushed, .. } = &site;
    let (known, unknown) = (pushed[0].root, Digest::of(b"not published"));
    let image = |name: &str, image: &str| {
        format!("  {name}: {{image: '{image}', user: '65532', cap_drop: [ALL]}}\n")
    };
    let compose = [
        "services:\n".to_owned(),
        image("waived", "ghcr.io/o/waived:v1"),
        image("unpinned", "ghcr.io/o/unpinned:v1"),
        image("stranger", &format!("ghcr.io/o/stranger:v1@{known}")),
        format!("  ours:\n    image: ghcr.io/o/gzip:v1@{unknown}\n    build: .\n"),
    ];
    tree.write(COMPOSE, &compose.concat());
    let waiver = "version: 1\nwaivers:\n  - {image: 'ghcr.io/o/waived:v1', reason: not yet, expires: 2026-12-01}\n";
    tree.write("compose/pin-waivers.yaml", waiver);
    let ran = site.run(&["--today", "2026-11-26", "--format", "json"]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    let states = states(&ran)
        .into_iter()
        .map(|(name, state, _)| format!("{name}: {state}"));
    let expected = [
        "waived: waived",
        "unpinned: unpinned",
        "stranger: no contract",
        "ours: not published",
    ];
    assert_eq!(states.collect::<Vec<_>>(), expected);
    let errors = [
        "unpinned-image compose/docker-compose.yml:3",
        "image-no-contract compose/docker-compose.yml:4",
    ];
    assert_eq!(ran.findings(), errors);
    // Waived and unpublished images are fine until the waiver expires.
    let lines = compose.concat();
    tree.write(
        COMPOSE,
        &lines
            .lines()
            .filter(|line| !line.contains("unpinned") && !line.contains("stranger"))
            .fold(String::new(), |text, line| text + line + "\n"),
    );
    assert_eq!(site.run(&["--today", "2026-11-26"]).code, 0);
    assert_eq!(site.run(&["--today", "2026-12-02"]).code, 1);
}
