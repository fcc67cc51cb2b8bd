//! A rehearsal that builds everything that a release publishes. Programs have been through the linker, link-time
//! optimization and `strip`, and external tools read them.
//!
//! It builds in this repository, so that a second run reuses the artifacts.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;
use xtask_testkit::{Tree, cargo_home, has_part, prepared, repository};

const DIST: &str = env!("CARGO_BIN_EXE_xtask-dist");
const MUSL: [&str; 2] = ["aarch64-unknown-linux-musl", "x86_64-unknown-linux-musl"];

/// The output of the verb, built once per test run.
struct Built {
    dist: PathBuf,
    targets: Vec<String>,
}

static BUILT: LazyLock<Option<Built>> = LazyLock::new(build);

fn build() -> Option<Built> {
    let tree = Tree::data();
    let rustc = |args: &[&str]| tree.run("rustc", args).stdout.trim().to_owned();
    let installed = |triple: &&str| {
        let libdir = rustc(&["--print", "target-libdir", "--target", triple]);
        Path::new(&libdir).exists()
    };
    let targets: Vec<String> = MUSL
        .iter()
        .filter(|triple| installed(triple))
        .map(|triple| (*triple).to_owned())
        .collect();
    if targets.len() < MUSL.len() {
        eprintln!("skipped: one of {MUSL:?} is not installed (rustup target add)");
    }
    if targets.is_empty() {
        return None;
    }
    let dist = prepared("dist", |dir| {
        let out = dir.join("out");
        let out = out.to_str().expect("a path in UTF-8");
        let ran = dist_on_repository(&tree, &targets, &["--output", out]);
        assert_eq!(ran.code, 0, "{}", ran.seen());
    });
    Some(Built {
        dist: dist.join("out"),
        targets,
    })
}

fn dist_on_repository(tree: &Tree, targets: &[String], args: &[&str]) -> xtask_testkit::Ran {
    let root = repository();
    let targets = targets.join(",");
    let all = ["dist", "--rehearsal", "--target", &targets, "--root"];
    let root = root.to_str().expect("a path in UTF-8");
    tree.run(DIST, &[&all[..], &[root], args].concat())
}

impl Built {
    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dist.join(name)).expect(name)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).expect(name)
    }

    /// The version of the tree, as a rehearsal shows it.
    fn label(&self) -> String {
        let version = &self.json("release-manifest.json")["version"];
        format!("{}-rehearsal", version.as_str().expect("a version"))
    }

    /// Unpacks the archive of `triple` with the system's own tar.
    fn unpack(&self, triple: &str) -> (Tree, PathBuf) {
        let tree = Tree::data();
        let archive = self
            .dist
            .join(xtask_dist::archive_name(&self.label(), triple));
        let ran = tree.run("tar", &["-xzf", archive.to_str().expect("a path in UTF-8")]);
        assert_eq!(ran.code, 0, "{}", ran.seen());
        let dir = tree.root().join(format!("polis-{}-{triple}", self.label()));
        (tree, dir)
    }
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let Some(built) = &*BUILT else { return };
    let again = Tree::data();
    let output = again.root().join("again");
    let output = output.to_str().expect("a path in UTF-8");
    for triple in &built.targets {
        // A job for one target makes the same archive as a machine that builds all of them.
        let one = [triple.clone()];
        let ran = dist_on_repository(
            &again,
            &one,
            &["--archive-only", "--output", output, "--format", "json"],
        );
        assert_eq!(ran.code, 0, "{}", ran.seen());
        let report = ran.report();
        assert_eq!(report["data"]["kind"], "rehearsal");
        assert_eq!(report["data"]["signed"], false);
        let name = xtask_dist::archive_name(&built.label(), triple);
        let bytes = std::fs::read(Path::new(output).join(&name)).expect("the archive");
        assert!(bytes == built.bytes(&name), "{name}");
    }
    let all = again.root().join("all");
    let ran = dist_on_repository(
        &again,
        &built.targets,
        &[
            "--unsigned",
            "--prebuilt",
            output,
            "--output",
            all.to_str().expect("a path in UTF-8"),
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert!(built.dist.join("SHA256SUMS.minisig").exists());
    assert!(!all.join("SHA256SUMS.minisig").exists());
    for entry in std::fs::read_dir(&all).expect("the files") {
        let name = entry
            .expect("a file")
            .file_name()
            .into_string()
            .expect("a name");
        // Each rehearsal generates its own key; the scripts and the checksums contain its public half.
        let of_key = [
            "install.ps1",
            "install.sh",
            "minisign.pub",
            "SHA256SUMS",
            "SHA256SUMS.minisig",
        ];
        if !of_key.contains(&name.as_str()) {
            let bytes = std::fs::read(all.join(&name)).expect("the file");
            assert!(bytes == built.bytes(&name), "{name}");
        }
    }
}

#[test]
fn published_files_verify_and_state_their_version() {
    let Some(built) = &*BUILT else { return };
    let tree = Tree::data();
    let dist = built.dist.to_str().expect("a path in UTF-8");
    let sums = tree.run(
        "sh",
        &[
            "-c",
            "cd \"$0\" && sha256sum --strict --check SHA256SUMS && ls",
            dist,
        ],
    );
    assert_eq!(sums.code, 0, "{}", sums.seen());
    let listed = String::from_utf8(built.bytes("SHA256SUMS")).expect("text");
    for entry in std::fs::read_dir(&built.dist).expect("the files") {
        let name = entry
            .expect("a file")
            .file_name()
            .into_string()
            .expect("a name");
        let covered = listed.contains(&format!("  {name}\n"));
        assert!(covered || name.starts_with("SHA256SUMS"), "{name}");
    }
    if has_part("minisign") {
        let verify = "cd \"$0\" && minisign -Vm SHA256SUMS -p minisign.pub";
        let ran = tree.run("sh", &["-c", verify, dist]);
        assert_eq!(ran.code, 0, "{}", ran.seen());
        assert!(ran.stdout.contains("REHEARSAL"), "{}", ran.seen());
    }
    let manifest = built.json("release-manifest.json");
    assert_eq!(manifest["kind"], "rehearsal");
    let archives = manifest["archives"].as_array().expect("archives");
    assert_eq!(archives.len(), built.targets.len());
    for archive in archives {
        let name = archive["name"].as_str().expect("a name");
        let bytes = built.bytes(name);
        assert_eq!(archive["size"], bytes.len());
        let sha256 = polis_base::Digest::of(&bytes).hex();
        assert_eq!(archive["sha256"], sha256.as_str());
    }
}

/// A release build contains the marker exactly once, and it matches the program's own output.
#[test]
fn the_packed_program_matches_the_manifest() {
    let Some(built) = &*BUILT else { return };
    let embeds = &built.json("release-manifest.json")["embeds"];
    let host = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    for triple in &built.targets {
        let (tree, dir) = built.unpack(triple);
        let program = std::fs::read(dir.join("polis")).expect("the program");
        assert!(program.len() < 4_000_000, "{}", program.len());
        for path in [cargo_home(), repository()] {
            let path = path.to_str().expect("a path in UTF-8");
            let mut parts = program.windows(path.len());
            let found = parts.any(|part| part == path.as_bytes());
            assert!(!found, "{triple}: the program contains `{path}`");
        }
        let facts = polis_base::facts::Facts::find(&program).expect("the marker");
        assert_eq!(facts.label, built.label());
        assert_eq!(embeds["compose"], facts.compose.hex().as_str());
        assert_eq!(embeds["cloud_init"], facts.cloud_init.hex().as_str());
        assert_eq!(embeds["bundle"], facts.bundle.hex().as_str());
        let emulator = "qemu-aarch64-static";
        let program = dir.join("polis");
        let ran = if *triple == host {
            tree.run(&program, &["version", "--json"])
        } else if has_part(emulator) {
            tree.run(
                emulator,
                &[
                    program.to_str().expect("a path in UTF-8"),
                    "version",
                    "--json",
                ],
            )
        } else {
            continue;
        };
        assert_eq!(ran.code, 0, "{}", ran.seen());
        let said: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(said["version"], facts.label.as_str());
        assert_eq!(
            said["result"]["compose"],
            facts.compose.to_string().as_str()
        );
        assert_eq!(said["result"]["bundle"], facts.bundle.to_string().as_str());
    }
}

#[test]
fn the_notices_are_complete_and_name_no_machine() {
    let Some(built) = &*BUILT else { return };
    let components = built.json(&xtask_dist::sbom_name("polis", &built.label()));
    let components = components["components"]
        .as_array()
        .expect("components")
        .clone();
    let notices_of = |triple: &String| {
        let (_tree, dir) = built.unpack(triple);
        std::fs::read_to_string(dir.join("THIRD-PARTY-NOTICES")).expect("the notices")
    };
    let all: String = built.targets.iter().map(notices_of).collect();
    for triple in &built.targets {
        let (_tree, dir) = built.unpack(triple);
        let text = |name: &str| std::fs::read_to_string(dir.join(name)).expect(name);
        let notices = text("THIRD-PARTY-NOTICES");
        let linked = components
            .iter()
            .filter(|component| component["scope"] == "required");
        let mut count = 0;
        for component in linked.filter(|component| component.get("purl").is_some()) {
            let of = |key: &str| component[key].as_str().unwrap_or_default().to_owned();
            let line = format!("\n{} {}\n    ", of("name"), of("version"));
            // Some crates are used on one target only.
            assert!(all.contains(&line), "{line}");
            count += usize::from(notices.contains(&line));
        }
        assert!(count > 40, "{count}");
        for part in [
            "The Rust Standard Library is dual-licensed",
            "Upstream-Name: musl",
            "Copyright",
        ] {
            assert!(notices.contains(part), "{part}");
        }
        let shown = text("README.md");
        let commands = shown
            .lines()
            .filter_map(|line| line.strip_prefix("    polis "));
        let commands: Vec<&str> = commands.filter_map(|line| line.split(' ').next()).collect();
        assert!(commands.len() > 4, "{commands:?}");
        for command in commands {
            let page = text(&format!("man/polis-{command}.1"));
            let title = format!(".TH POLIS-{} 1 ", command.to_uppercase());
            assert!(page.starts_with(&title), "{command}");
        }
        let home = std::env::home_dir().expect("a home").display().to_string();
        let here = repository().display().to_string();
        for name in [
            "THIRD-PARTY-NOTICES",
            "man/polis-start.1",
            "README.md",
            "completions/polis.bash",
        ] {
            let text = text(name);
            assert!(!text.contains(&home) && !text.contains(&here), "{name}");
        }
    }
}

/// CycloneDX's own schema validates the SBOMs.
#[test]
fn the_sboms_are_cyclonedx() {
    let Some(built) = &*BUILT else { return };
    // From the specification's repository, as PyPI's cyclonedx-python-lib 11.12.0 ships them.
    let mut schema: Value =
        serde_json::from_str(include_str!("cyclonedx/bom-1.6.SNAPSHOT.schema.json")).expect("JSON");
    for (name, text) in [
        ("spdx", include_str!("cyclonedx/spdx.SNAPSHOT.schema.json")),
        (
            "jsf-0.82",
            include_str!("cyclonedx/jsf-0.82.SNAPSHOT.schema.json"),
        ),
    ] {
        // They are found by their `$id`, as the specification refers to them.
        schema["definitions"][name] = serde_json::from_str(text).expect("JSON");
    }
    let text = schema
        .to_string()
        .replace(".SNAPSHOT.schema.json", ".schema.json");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for program in ["polis", "polis-init"] {
        let sbom = built.json(&xtask_dist::sbom_name(program, &built.label()));
        let errors: Vec<String> = validator
            .iter_errors(&sbom)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(errors, [] as [String; 0], "{program}");
        assert_eq!(sbom["metadata"]["component"]["name"], program);
        let known: Vec<&Value> = sbom["components"]
            .as_array()
            .expect("components")
            .iter()
            .chain([&sbom["metadata"]["component"]])
            .map(|component| &component["bom-ref"])
            .collect();
        let dependencies = sbom["dependencies"].as_array().expect("dependencies");
        assert_eq!(dependencies.len(), known.len());
        for dependency in dependencies {
            let on = dependency["dependsOn"].as_array().expect("a list").iter();
            for reference in on.chain([&dependency["ref"]]) {
                assert!(known.contains(&reference), "{reference}");
            }
        }
        // The schema rejects a broken document.
        let mut broken = sbom.clone();
        broken["components"][0]["licenses"][0]["expression"] = Value::from(1);
        assert!(!validator.is_valid(&broken));
        let mut broken = sbom;
        broken["components"][0]["hashes"][0]["content"] = Value::from("abc");
        assert!(!validator.is_valid(&broken));
    }
}
