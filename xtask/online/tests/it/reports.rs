//! The states of pins in the formats that GitHub reads: drift is a finding with its own exit code, at the location of
//! the pin.

use expect_test::expect;

use crate::support::test_env::TestEnv;

#[test]
fn drift_is_annotated_at_its_pin_and_keeps_its_exit_code() {
    let test_env = TestEnv::start();
    let old = test_env.image("gate");
    let new = test_env.push(&old, "somebody moved the tag");
    let digests = [old.digest().expect("a digest").to_string(), new.to_string()];
    let place = test_env.line_of("gate");
    let line = place.rsplit(':').next().expect("a line");
    let told = |text: &str| {
        let text = text.replace(&digests[0], "OLD").replace(&digests[1], "NEW");
        let text = text.replace(&format!("yml:{line}"), "yml:LINE");
        text.replace(&format!("line={line},"), "line=LINE,")
    };

    let sarif = test_env.run(&["verify-pins", "--format", "sarif"]);
    assert_eq!(sarif.code, 2, "{}", sarif.seen());
    let run = &sarif.sarif()["runs"][0];
    assert_eq!(run["invocations"][0]["exitCode"], 2);
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 1, "{}", sarif.seen());
    assert_eq!(results[0]["ruleId"], "pin-drifted");

    test_env.tree.write("summary.md", "");
    let summary = test_env.tree.root().join("summary.md");
    let summary = summary.to_str().expect("a path in UTF-8");
    let args = ["verify-pins", "--format", "github"];
    let github = test_env.run_with(&args, &[("GITHUB_STEP_SUMMARY", summary)]);
    assert_eq!(github.code, 2, "{}", github.seen());
    let first = github.stdout.lines().next().expect("an annotation");
    expect!["::error file=compose/docker-compose.yml,line=LINE,col=12,endColumn=124,title=pin-drifted::`ghcr.io/odralabshq/polis-gate-oss:v0.4.0` is now NEW, but OLD is pinned%0Afind out who moved it and why; then run `cargo xtask pin` for an image, `cargo xtask update` for anything else"].assert_eq(&told(first));
    let summary = told(&test_env.tree.read("summary.md"));
    let lines = summary
        .lines()
        .filter(|line| line.starts_with("##") || line.contains("polis-gate-oss"));
    expect![[r#"
        ## `cargo xtask verify-pins`: drift
        | error | `pin-drifted` | `compose/docker-compose.yml:LINE:12` | `ghcr.io/odralabshq/polis-gate-oss:v0.4.0` is now NEW, but OLD is pinned<br>find out who moved it and why; then run `cargo xtask pin` for an image, `cargo xtask update` for anything else |
        | image | `ghcr.io/odralabshq/polis-gate-oss:v0.4.0` | `OLD` | `compose/docker-compose.yml:LINE` | drifted<br>`NEW` |
    "#]].assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());
}
