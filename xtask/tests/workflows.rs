//! Security rules for the workflows: nothing is compiled where a secret or a write permission is available, every build
//! uses `Cargo.lock`, and programs from other jobs are verified before they run.

mod command_lines;

use std::fs;

use clap::Args as _;
use serde_json::Value;
use xtask_host::source::Source;
use xtask_pins::yaml;
use xtask_testkit::repository;

/// Programs that execute third-party code: compilers, package managers, interpreters.
const BUILDERS: [&str; 16] = [
    "cargo", "rustup", "rustc", "cc", "gcc", "clang", "make", "cmake", "npm", "npx", "node", "pip",
    "pip3", "python", "python3", "docker",
];
/// Cargo commands that read `Cargo.lock` and accept `--locked`.
const LOCKED: [&str; 12] = [
    "build", "b", "check", "clippy", "test", "t", "run", "r", "doc", "tree", "metadata", "install",
];

/// The commands of a shell script, split into words.
fn commands(script: &str) -> Vec<Vec<&str>> {
    let starts = [
        "exec", "then", "else", "do", "if", "!", "time", "sudo", "env", "command",
    ];
    let parts = script.split(['\n', ';', '&', '|', '(', ')', '{', '}', '`']);
    let words = parts.map(|part| {
        let words = part.split_whitespace();
        let assigns = |word: &&str| word.contains('=') && !word.starts_with('-');
        words
            .skip_while(|word| starts.contains(word) || assigns(word))
            .collect()
    });
    words
        .filter(|words: &Vec<&str>| !words.is_empty())
        .collect()
}

fn builds(script: &str) -> bool {
    commands(script).iter().any(|words| {
        let program = words[0].rsplit('/').next().unwrap_or_default();
        BUILDERS.contains(&program.trim_matches('"'))
    })
}

fn mentions_secret(node: &Value) -> bool {
    let text = node.to_string();
    ["secrets.", "secrets[", "github.token"]
        .iter()
        .any(|word| text.contains(word))
}

/// The problems of a workflow.
fn problems(path: &str, text: &str) -> Vec<String> {
    let source = Source {
        path: path.to_owned(),
        text: text.replace("\\\n", " "),
    };
    let workflow = yaml::parse(&source).expect("YAML").to_json();
    let mut problems = Vec::new();
    if workflow["permissions"] != serde_json::json!({}) {
        problems.push(format!(
            "{path}: the workflow's own permissions are not empty"
        ));
    }
    for (name, job) in workflow["jobs"].as_object().expect("jobs") {
        let at = format!("{path}: {name}");
        problems.extend(
            of_job(job)
                .into_iter()
                .map(|problem| format!("{at}: {problem}")),
        );
    }
    problems
}

fn of_job(job: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let permissions = &job["permissions"];
    if !permissions.is_object() {
        problems.push("no permissions for the job".to_owned());
    }
    let Some(steps) = job["steps"].as_array() else {
        return problems;
    };
    if !job["timeout-minutes"].is_u64() {
        problems.push("no time limit".to_owned());
    }
    let writes = permissions
        .as_object()
        .is_none_or(|grants| grants.values().any(|grant| grant != "read"));
    let privileged =
        writes || !job["environment"].is_null() || job.to_string().contains("secrets.");
    let mut compared = false;
    for step in steps {
        let script = step["run"].as_str().unwrap_or_default();
        if builds(script) && (privileged || mentions_secret(step) || mentions_secret(&job["env"])) {
            problems.push(format!("builds beside secrets: {script}"));
        }
        for words in commands(script) {
            let cargo =
                words[0] == "cargo" && words.get(1).is_some_and(|verb| LOCKED.contains(verb));
            if cargo && !words.contains(&"--locked") {
                problems.push(format!("without --locked: {}", words.join(" ")));
            }
            if words[0].starts_with("target/tools/") && !compared {
                problems.push(format!("runs what was not compared: {}", words[0]));
            }
        }
        compared |= script.contains("sha256sum --check --strict <<<\"$TOOLS\"");
    }
    let tools = job["env"]["TOOLS"].as_str();
    if compared && !tools.is_some_and(|sums| sums.starts_with("${{ needs.")) {
        problems.push("TOOLS are not the sums of the job that built them".to_owned());
    }
    problems
}

#[test]
fn nothing_is_built_where_secrets_are_available() {
    let dir = repository().join(".github/workflows");
    let mut count = 0;
    for entry in fs::read_dir(dir).expect("the workflows") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a workflow");
        let found = problems(&path.display().to_string(), &text);
        assert!(found.is_empty(), "{found:#?}");
        count += 1;
    }
    assert!(count >= 4, "{count} workflows");
}

/// The only cargo command in the workflows without `--locked`: the alias adds it.
#[test]
fn the_alias_is_locked() {
    let config = fs::read_to_string(repository().join(".cargo/config.toml")).expect("the alias");
    let alias = "xtask = \"run --quiet --locked --package xtask --\"";
    assert!(config.contains(alias), "{config}");
}

#[test]
fn every_rule_can_fail() {
    let job =
        |job: &str| format!("permissions: {{}}\njobs:\n  a:\n    timeout-minutes: 1\n    {job}");
    let reads = "permissions: {contents: read}";
    for (text, said) in [
        (
            job(&format!("{reads}\n    steps: [{{run: cargo fmt}}]")),
            "",
        ),
        (
            "jobs: {a: {permissions: {}, timeout-minutes: 1, steps: []}}".to_owned(),
            "own permissions are not empty",
        ),
        (job("steps: []"), "no permissions for the job"),
        (job("uses: $/x.yml"), "no permissions for the job"),
        (
            job(
                "permissions: {id-token: write}\n    steps: [{run: 'true && cargo build --locked'}]",
            ),
            "builds beside secrets",
        ),
        (
            job("permissions: {}\n    environment: e\n    steps: [{run: \"x=$(rustc -vV)\"}]"),
            "builds beside secrets",
        ),
        (
            job(&format!(
                "{reads}\n    steps: [{{run: cargo xtask drift, env: {{T: '${{{{ github.token }}}}'}}}}]"
            )),
            "builds beside secrets",
        ),
        (
            job(&format!(
                "{reads}\n    env: {{K: '${{{{ secrets.K }}}}'}}\n    steps: [{{run: make}}]"
            )),
            "builds beside secrets",
        ),
        (
            job(&format!("{reads}\n    steps: [{{run: cargo test -p x}}]")),
            "without --locked",
        ),
        (
            job(&format!(
                "{reads}\n    steps: [{{run: exec target/tools/x}}]"
            )),
            "runs what was not compared",
        ),
        (
            job(&format!(
                "{reads}\n    env: {{TOOLS: x}}\n    steps: [{{run: 'sha256sum --check --strict <<<\"$TOOLS\"'}}]"
            )),
            "TOOLS are not the sums",
        ),
    ] {
        let found = problems("x", &text).join("\n");
        assert!(
            found.contains(said) && found.is_empty() == said.is_empty(),
            "{text}\n{found}"
        );
    }
}

#[test]
fn every_command_of_ours_parses() {
    let dir = repository().join(".github/workflows");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for entry in fs::read_dir(dir).expect("the workflows") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a workflow");
        for script in scripts(&text.replace("\\\n", " ")) {
            for words in commands(&script) {
                let args = match words[..] {
                    ["cargo", "xtask", ref args @ ..] => args,
                    [program, ref args @ ..] if program.contains("/xtask") => args,
                    _ => continue,
                };
                // Redirections belong to the shell; a variable stands for one word.
                let args = args.iter().take_while(|word| !word.starts_with('>'));
                let line: Vec<&str> = ["xtask"].into_iter().chain(args.copied()).collect();
                if let Err(error) = command_lines::parse(&line) {
                    wrong.push(format!("{}: {error}", words.join(" ")));
                }
                count += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 8, "{count} commands");
}

/// The scripts of all steps of a workflow; those of a job with a matrix once for each of its combinations.
fn scripts(text: &str) -> Vec<String> {
    let source = Source {
        path: "workflow".to_owned(),
        text: text.to_owned(),
    };
    let workflow = yaml::parse(&source).expect("YAML").to_json();
    let jobs = workflow["jobs"].as_object().expect("jobs");
    let of_job = |job: &Value| {
        let matrix = &job["strategy"]["matrix"]["include"];
        let combinations = matrix.as_array().cloned().unwrap_or(vec![Value::Null]);
        let steps = job["steps"].as_array().cloned().unwrap_or_default();
        let of_steps = combinations.into_iter().flat_map(move |combination| {
            let scripts = steps.iter().map(|step| script(step, &combination));
            scripts.collect::<Vec<String>>()
        });
        of_steps.collect::<Vec<String>>()
    };
    jobs.values().flat_map(of_job).collect()
}

/// The script of a step, with its variables that come from the matrix.
fn script(step: &Value, combination: &Value) -> String {
    let run = step["run"].as_str().unwrap_or_default().to_owned();
    let variables = step["env"].as_object().into_iter().flatten();
    variables.fold(run, |run, (name, value)| {
        let value = value.as_str().unwrap_or_default();
        let value = value.strip_prefix("${{ matrix.");
        let value = value.and_then(|value| value.strip_suffix(" }}"));
        match value.and_then(|name| combination[name].as_str()) {
            Some(value) => run.replace(&format!("\"${name}\""), value),
            None => run,
        }
    })
}

/// The machines of CI together run what `cargo xtask ci` runs on one.
#[test]
fn every_step_of_ci_is_run_once() {
    let path = repository().join(".github/workflows/tests.yml");
    let text = fs::read_to_string(path).expect("the workflow");
    let scripts = scripts(&text);
    let only = scripts
        .iter()
        .filter_map(|script| script.split_once(" ci --only "));
    let named = only.flat_map(|(_, steps)| steps.trim().split(','));
    // Each machine builds what it runs.
    let mut named: Vec<&str> = named.filter(|step| !step.starts_with("build")).collect();
    named.sort_unstable();
    let verb = xtask_dev::verbs::ci::CiArgs::augment_args(clap::Command::new("ci"));
    let only = verb.get_arguments().find(|arg| arg.get_id() == "only");
    let steps = only.expect("`--only`").get_possible_values();
    let mut steps: Vec<&str> = steps
        .iter()
        .map(clap::builder::PossibleValue::get_name)
        .collect();
    steps.retain(|step| !step.starts_with("build"));
    steps.sort_unstable();
    assert_eq!(named, steps);
}
