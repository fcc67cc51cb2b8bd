//! Mutated inputs for every reader of the tree: none panics or hangs, and every finding renders.

use polis_base::{Digest, ImageRef};
use xtask_host::finding::Finding;
use xtask_host::source::Source;
use xtask_pins::compose::Compose;
use xtask_pins::contract::Contract;
use xtask_pins::inventory::{Files, Inventory, judge};
use xtask_pins::{dockerfile, pins_env, waivers, yaml};
use xtask_testkit::fuzz::fuzz;
use xtask_testkit::{Tree, repository};

/// Inputs that have broken parsers before, and inputs that are dense in syntax.
const CORPUS: &str = "xtask/tests/corpus";
/// Words that the readers look for.
const WORDS: [&str; 24] = [
    "FROM ",
    "COPY --from=",
    "RUN --mount=type=bind,from=",
    "ARG A=",
    "# syntax=",
    "# escape=`\n",
    "<<EOT\n",
    "\\\n",
    "uses: ",
    "image: ",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "---\n",
    "services:\n",
    "toolchain: ",
    "RUSTUP_TOOLCHAIN=",
    "cargo +",
    "docker run ",
    "curl -o x https://x/y | sh",
    "sha256:",
    "@sha256:",
    "docker-image://",
];

fn source(path: &str, bytes: &[u8]) -> Source {
    Source {
        path: path.to_owned(),
        text: String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn shown(findings: &[Finding]) {
    for finding in findings {
        let _ = (finding.render(true), finding.reported());
    }
}

/// The corpus, and the files of this tree whose names contain `part`.
fn corpus(part: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for dir in [
        CORPUS,
        ".github/workflows",
        "compose",
        "compose/images",
        "services/init",
        "cloud-init",
        ".",
    ] {
        for entry in std::fs::read_dir(repository().join(dir))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            let wanted = dir == CORPUS || name.contains(part);
            if wanted && entry.path().is_file() {
                found.extend(std::fs::read(entry.path()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn yaml_documents() {
    fuzz("yaml", &corpus(".y"), &WORDS, 3_000, |bytes| {
        let source = source("x.yml", bytes);
        let _ = yaml::beyond_plain(&source);
        match yaml::parse(&source) {
            Ok(root) => drop((
                root.to_json(),
                pins_env::read(&source, &root).map_err(|found| shown(&found)),
            )),
            Err(finding) => shown(&[*finding]),
        }
    });
}

#[test]
fn compose_files() {
    fuzz(
        "compose",
        &corpus("compose"),
        &WORDS,
        3_000,
        |bytes| match Compose::parse(source("compose/docker-compose.yml", bytes)) {
            Ok(compose) => {
                shown(&compose.references().1);
                let _ = (
                    compose.arguments(),
                    compose.context_names(),
                    compose.built(),
                );
            }
            Err(finding) => shown(&[*finding]),
        },
    );
}

#[test]
fn dockerfiles() {
    fuzz(
        "dockerfile",
        &corpus("Dockerfile"),
        &WORDS,
        20_000,
        |bytes| {
            let _ = dockerfile::parse(&source("x/Dockerfile", bytes));
        },
    );
}

#[test]
fn waivers_and_contracts() {
    let corpus = [corpus("waivers"), corpus(".yaml")].concat();
    fuzz("waivers", &corpus, &WORDS, 2_000, |bytes| {
        let waivers = waivers::parse(&source("compose/pin-waivers.yaml", bytes));
        let contract = Contract::parse(source("compose/images/x.yaml", bytes));
        shown(&waivers.err().unwrap_or_default());
        shown(&contract.err().unwrap_or_default());
    });
}

#[test]
fn references() {
    fuzz(
        "references",
        &corpus("references"),
        &["ghcr.io/", ":", "@sha256:"],
        100_000,
        |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Ok(image) = text.parse::<ImageRef>() {
                assert_eq!(image.to_string(), text);
                assert!(
                    !image.registry().contains(['/', '?', '#', '@', '\\', ' ']),
                    "{text:?}"
                );
            }
            let _ = text.parse::<Digest>();
        },
    );
}

/// Any file that can hold pins, as part of a tree.
#[test]
fn a_tree() {
    let tree = Tree::as_it_is();
    let files = Files::read(tree.root()).expect("a readable tree");
    let corpus = [corpus(".y"), corpus("Dockerfile"), corpus(".toml")].concat();
    let today = waivers::parse_date("2026-11-01").expect("a date");
    let next = std::cell::Cell::new(0);
    fuzz("tree", &corpus, &WORDS, 1_500, |bytes| {
        let mut files = files.clone();
        let at = next.replace(next.get() + 1) % (files.found.len() + 2);
        let last = files.found.len();
        let text = String::from_utf8_lossy(bytes).into_owned();
        match (files.found.get_mut(at), &mut files.toolchain) {
            (Some((_, source)), _) => source.text = text,
            (None, Some(toolchain)) if at == last => toolchain.text = text,
            (None, _) => files.cloud_init.text = text,
        }
        let inventory = Inventory::extract(&files);
        shown(&inventory.findings);
        shown(&judge(&inventory, today));
    });
}
