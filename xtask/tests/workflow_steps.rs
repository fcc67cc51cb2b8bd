//! The scripts of the build workflow that pass checksums between jobs, run as a runner runs them: a job accepts exactly
//! what another one has output.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use polis_base::Digest;
use serde_json::Value;
use xtask_host::source::Source;
use xtask_pins::yaml;
use xtask_testkit::{Ran, Tree, has_part};

const BUILD: &str = ".github/workflows/build.yml";

/// A runner: its working tree, and the outputs of steps.
struct Runner {
    tree: Tree,
    workflow: Value,
}

impl Runner {
    fn new() -> Self {
        let tree = Tree::data();
        let source = Source {
            path: BUILD.to_owned(),
            text: tree.read(BUILD),
        };
        let workflow = yaml::parse(&source).expect("YAML").to_json();
        Self { tree, workflow }
    }

    /// Runs the only step of `job` whose script contains `part`, as `shell: bash` does.
    fn step(&self, job: &str, part: &str, env: &[(&str, &str)]) -> Ran {
        let steps = self.workflow["jobs"][job]["steps"]
            .as_array()
            .expect("steps");
        let has = |step: &&Value| step["run"].as_str().is_some_and(|run| run.contains(part));
        let steps: Vec<&Value> = steps.iter().filter(has).collect();
        assert_eq!(steps.len(), 1, "{job}: {part}");
        let dir = steps[0]["working-directory"].as_str().unwrap_or(".");
        let script = steps[0]["run"].as_str().expect("a script");
        let script = format!("cd '{dir}'\n{script}");
        let output = self.tree.root().join("output");
        fs::write(&output, "").expect("a file");
        let output = output.display().to_string();
        let env = [&[("GITHUB_OUTPUT", output.as_str())], env].concat();
        let bash = [
            "--noprofile",
            "--norc",
            "-e",
            "-o",
            "pipefail",
            "-c",
            &script,
        ];
        self.tree.run_with("bash", &bash, &env)
    }

    /// The output `name` of the last step: `name=value`, or `name<<end` and lines up to `end`.
    fn output(&self, name: &str) -> String {
        let text = self.tree.read("output");
        let mut lines = text.lines().skip_while(|line| !line.starts_with(name));
        let first = lines.next().expect("the output").strip_prefix(name);
        match first.and_then(|rest| rest.split_at_checked(1)) {
            Some(("=", value)) => value.to_owned(),
            Some(("<", _)) => lines
                .take_while(|&line| line != "end")
                .collect::<Vec<_>>()
                .join("\n"),
            other => panic!("{other:?} in {text}"),
        }
    }

    fn write(&self, path: &str, text: &str) {
        let dir = self.tree.root().join(path);
        fs::create_dir_all(dir.parent().unwrap_or(Path::new("."))).expect("a directory");
        self.tree.write(path, text);
    }
}

#[test]
fn programs_run_only_if_unchanged_since_the_build() {
    let runner = Runner::new();
    for program in ["xtask", "xtask-dist", "xtask-online"] {
        runner.write(&format!("target/debug/{program}"), program);
        runner.write(&format!("target/tools/{program}"), program);
    }
    let ran = runner.step("tools", "sha256sum", &[]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let sums = runner.output("sums");
    assert_eq!(sums.lines().count(), 3, "{sums}");
    runner.write("target/dist/SHA256SUMS", "what was assembled");
    let dist = format!("{}  SHA256SUMS", Digest::of(b"what was assembled").hex());
    let check = |job: &str, tools: &str, dist: &str| {
        let env = [("TOOLS", tools), ("SUMS", dist)];
        runner.step(job, "<<<\"$TOOLS\"", &env).code
    };
    for job in ["images", "push"] {
        assert_eq!(check(job, &sums, &dist), 0, "{job}");
        assert_ne!(check(job, "", &dist), 0, "{job}: no sums at all");
    }
    assert_ne!(check("push", &sums, ""), 0, "no sums of the files");
    runner.write("target/tools/xtask-online", "another");
    for job in ["images", "push"] {
        assert_ne!(check(job, &sums, &dist), 0, "{job}: another program");
    }
    runner.write("target/tools/xtask-online", "xtask-online");
    runner.write("target/dist/SHA256SUMS", "another list");
    assert_ne!(check("push", &sums, &dist), 0, "another list of files");
}

#[test]
fn archives_are_assembled_only_if_unchanged_since_the_build() {
    let runner = Runner::new();
    for program in ["xtask", "xtask-dist", "xtask-online"] {
        runner.write(&format!("target/debug/{program}"), program);
        runner.write(&format!("target/tools/{program}"), program);
    }
    assert_eq!(runner.step("tools", "sha256sum", &[]).code, 0);
    let tools = runner.output("sums");
    let mut archives = Vec::new();
    for target in ["one", "other"] {
        runner.write(
            &format!("target/prebuilt/polis-1.2.3-{target}.tar.gz"),
            target,
        );
        let ran = runner.step("cli", "GITHUB_OUTPUT", &[("TARGET", target)]);
        assert_eq!(ran.code, 0, "{}", ran.seen());
        archives.push(runner.output(target));
        // Each target has its own runner.
        fs::remove_dir_all(runner.tree.root().join("target/prebuilt")).expect("a directory");
    }
    runner.write("target/prebuilt/polis-1.2.3-one.tar.gz", "one");
    runner.write("target/prebuilt/polis-1.2.3-other.tar.gz", "other");
    let assemble = |archives: &str| {
        let env = [("TOOLS", tools.as_str()), ("ARCHIVES", archives)];
        runner.step("assemble", "<<<\"$ARCHIVES\"", &env).code
    };
    let archives = archives.join("\n");
    assert_eq!(assemble(&archives), 0);
    assert_ne!(assemble(""), 0);
    runner.write("target/prebuilt/polis-1.2.3-other.tar.gz", "another");
    assert_ne!(assemble(&archives), 0);
}

#[test]
fn the_attested_image_is_the_built_image() {
    if !has_part("jq") {
        return;
    }
    let runner = Runner::new();
    let image = r#"{"image": "ghcr.io:443/o/polis-init-oss:v1.2.3-rc.1", "digest": "sha256:ab"}"#;
    let build = |images: &str| {
        runner.write(
            "target/images.json",
            &format!("{{\"data\": {{\"images\": [{images}]}}}}"),
        );
        runner.step("images", "jq", &[])
    };
    let ran = build(image);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert_eq!(runner.output("name"), "ghcr.io:443/o/polis-init-oss");
    assert_eq!(runner.output("digest"), "sha256:ab");
    assert_ne!(build("").code, 0, "nothing to attest");
    assert_ne!(
        build(&format!("{image}, {image}")).code,
        0,
        "only one is attested"
    );
}

#[test]
fn the_packed_program_is_started() {
    let runner = Runner::new();
    let pack = |script: &str| {
        runner.write("polis-1-T/polis", script);
        let tar = "chmod +x polis-1-T/polis && rm -rf target && mkdir -p target/prebuilt && \
                   tar -czf target/prebuilt/polis-1-T.tar.gz polis-1-T";
        assert_eq!(runner.tree.run("sh", &["-c", tar]).code, 0);
        runner.step("cli", "unpacked", &[("TARGET", "T")])
    };
    let ran = pack("#!/bin/sh\necho \"$1\"\n");
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "version\n"),
        "{}",
        ran.seen()
    );
    assert_eq!(pack("#!/bin/sh\nexit 9\n").code, 9);
}
