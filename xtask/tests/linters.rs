//! External linters on the files of this repository. Each test also breaks a file, to show that the linter reads it.
//! There are no exceptions in this file; the configuration of each linter is at the top of the tree.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use xtask_host::source::Source;
use xtask_pins::yaml;
use xtask_testkit::{Ran, Tree, has_part, repository};

const BUILD: &str = ".github/workflows/build.yml";

fn zizmor(tree: &Tree) -> Ran {
    let args = [
        "--offline",
        "--no-progress",
        "--persona",
        "auditor",
        ".github",
    ];
    tree.run("zizmor", &args)
}

/// The paths of the workflows, relative to the root of the tree.
fn workflows() -> Vec<String> {
    let dir = repository().join(".github/workflows");
    let entries = fs::read_dir(dir).expect("the workflows").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .map(|name| format!(".github/workflows/{name}"))
        .collect()
}

/// actionlint also checks the scripts if shellcheck is on `PATH`.
fn actionlint(tree: &Tree) -> Ran {
    let paths = workflows();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    tree.run("actionlint", &paths)
}

#[test]
fn zizmor_finds_nothing_in_the_workflows() {
    if !has_part("zizmor") {
        return;
    }
    let tree = Tree::data();
    let ran = zizmor(&tree);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    tree.replace(
        BUILD,
        "persist-credentials: false",
        "persist-credentials: true",
    );
    tree.replace(
        BUILD,
        "cargo build",
        "echo ${{ github.event.issue.title }}; cargo build",
    );
    let ran = zizmor(&tree);
    assert_ne!(ran.code, 0, "{}", ran.seen());
    for rule in ["artipacked", "template-injection"] {
        assert!(ran.stdout.contains(rule), "{}", ran.seen());
    }
}

#[test]
fn actionlint_finds_nothing_in_the_workflows() {
    if !has_part("actionlint") {
        return;
    }
    let tree = Tree::data();
    let ran = actionlint(&tree);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    tree.replace(
        BUILD,
        "needs.assemble.outputs.sums",
        "needs.assemble.outputs.sum",
    );
    let ran = actionlint(&tree);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    assert!(
        ran.stdout.contains("\"sum\" is not defined"),
        "{}",
        ran.seen()
    );
}

#[test]
fn typos_finds_nothing_in_the_tree() {
    if !has_part("typos") {
        return;
    }
    let tree = Tree::whole();
    let ran = tree.run("typos", &["--format", "brief", "."]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    // Split, because this file is checked, too.
    tree.write(".github/misspelt.md", &format!("t{}\n", "eh cat"));
    let ran = tree.run("typos", &["--format", "brief", "."]);
    assert_eq!(ran.code, 2, "{}", ran.seen());
    assert!(ran.stdout.contains("`the`"), "{}", ran.seen());
}

fn cargo_deny(config: &str) -> Ran {
    let manifest = repository().join("Cargo.toml");
    let args = [
        "--locked",
        "--manifest-path",
        manifest.to_str().expect("a path in UTF-8"),
        "--config",
        config,
        "check",
        "bans",
        "licenses",
        "sources",
    ];
    Tree::empty().run("cargo-deny", &args)
}

#[test]
fn the_dependencies_are_those_that_deny_toml_allows() {
    if !has_part("cargo-deny") {
        return;
    }
    let config = repository().join("deny.toml");
    let ran = cargo_deny(config.to_str().expect("a path in UTF-8"));
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let tree = Tree::empty();
    let text = fs::read_to_string(config).expect("the configuration");
    for (from, to, rule) in [
        ("\"oci-client\", \"octocrab\", ", "", "banned"),
        ("  \"Unicode-3.0\",\n", "", "rejected"),
    ] {
        assert!(text.contains(from), "{from}");
        tree.write("deny.toml", &text.replace(from, to));
        let changed = tree.root().join("deny.toml");
        let ran = cargo_deny(changed.to_str().expect("a path in UTF-8"));
        assert_ne!(ran.code, 0, "{}", ran.seen());
        assert!(ran.stderr.contains(rule), "{}", ran.seen());
    }
}

/// A JSON Schema among the test tools, which are on `PATH`.
fn schema(name: &str) -> jsonschema::Validator {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&path).map(|dir| dir.join(name));
    let path: PathBuf = paths.find(|path| path.is_file()).expect("the schema");
    let text = fs::read_to_string(path).expect("text");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
}

fn document(path: &str) -> Value {
    let text = fs::read_to_string(repository().join(path)).expect(path);
    let path = path.to_owned();
    yaml::parse(&Source { path, text }).expect("YAML").to_json()
}

#[test]
fn the_configuration_of_github_follows_its_schemas() {
    let (workflow, dependabot) = ("github-workflows.json", "dependabot.json");
    if ![workflow, dependabot].into_iter().all(has_part) {
        return;
    }
    let schemas = [schema(workflow), schema(dependabot)];
    let mut checked: Vec<(String, &jsonschema::Validator)> = workflows()
        .into_iter()
        .map(|path| (path, &schemas[0]))
        .collect();
    checked.push((".github/dependabot.yml".to_owned(), &schemas[1]));
    for (path, schema) in checked {
        let mut document = document(&path);
        let errors: Vec<String> = schema
            .iter_errors(&document)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{path}: {errors:#?}");
        document["unknown"] = Value::Bool(true);
        assert!(!schema.is_valid(&document), "{path}");
    }
}

#[test]
fn our_schemas_are_valid_themselves() {
    let mut count = 0;
    for entry in fs::read_dir(repository().join("schemas")).expect("the schemas") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        let schema: Value = serde_json::from_str(&text).expect("JSON");
        let result = jsonschema::meta::validate(&schema);
        assert!(result.is_ok(), "{}: {result:?}", path.display());
        count += 1;
    }
    assert!(count >= 3, "{count} schemas");
}
