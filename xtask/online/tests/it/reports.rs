//! What the world says, in the formats that GitHub reads: drift is a finding with its own exit
//! code, at the pin's place.

use expect_test::expect;

use crate::support::world::World;

#[test]
fn drift_is_annotated_at_its_pin_and_keeps_its_exit_code() {
    let world = World::start();
    let old = world.image("gate");
    let new = world.push(&old, "somebody moved the tag");
    let digests = [old.digest().expect("a digest").to_string(), new.to_string()];
    let place = world.line_of("gate");
    let line = place.rsplit(':').next().expect("a line");
    let told = |text: &str| {
        let text = text.replace(&digests[0], "OLD").replace(&digests[1], "NEW");
        let text = text.replace(&format!("yml:{line}"), "yml:LINE");
        text.replace(&format!("line={line},"), "line=LINE,")
    };

    let sarif = world.run(&["verify-pins", "--format", "sarif"]);
    assert_eq!(sarif.code, 2, "{}", sarif.seen());
    let run = &sarif.sarif()["runs"][0];
    assert_eq!(run["invocations"][0]["exitCode"], 2);
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 1, "{}", sarif.seen());
    assert_eq!(results[0]["ruleId"], "pin-drifted");

    world.tree.write("summary.md", "");
    let summary = world.tree.root().join("summary.md");
    let summary = summary.to_str().expect("a path in UTF-8");
    let args = ["verify-pins", "--format", "github"];
    let github = world.run_with(&args, &[("GITHUB_STEP_SUMMARY", summary)]);
    assert_eq!(github.code, 2, "{}", github.seen());
    let first = github.stdout.lines().next().expect("an annotation");
    expect!["::error file=compose/docker-compose.yml,line=LINE,col=12,endColumn=124,title=pin-drifted::`ghcr.io/odralabshq/polis-gate-oss:v0.4.0` is NEW now, pinned is OLD%0Afind out who moved it and why; then `cargo xtask pin` takes over images, `cargo xtask update` the rest"].assert_eq(&told(first));
    let summary = told(&world.tree.read("summary.md"));
    let lines = summary
        .lines()
        .filter(|line| line.starts_with("##") || line.contains("polis-gate-oss"));
    expect![[r#"
        ## `cargo xtask verify-pins`: drift
        | error | `pin-drifted` | `compose/docker-compose.yml:LINE:12` | `ghcr.io/odralabshq/polis-gate-oss:v0.4.0` is NEW now, pinned is OLD<br>find out who moved it and why; then `cargo xtask pin` takes over images, `cargo xtask update` the rest |
        | image | `ghcr.io/odralabshq/polis-gate-oss:v0.4.0` | `OLD` | `compose/docker-compose.yml:LINE` | drifted<br>`NEW` |
    "#]].assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());
}
