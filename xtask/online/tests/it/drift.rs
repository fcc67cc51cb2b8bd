//! The nightly check and its issue, against the embedded GitHub.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use xtask_loopback::{EmbeddedGitHub, Fault, Faults};
use xtask_pins::inventory::{Dependency, Inventory};
use xtask_testkit::Ran;

use crate::support::test_env::TestEnv;
use crate::support::{layout, prism};

const ISSUES: &str = "/repos/odralabshq/polis/issues";

/// An environment with a GitHub that stores issues.
struct Nights {
    test_env: TestEnv,
    dir: TempDir,
    faults: Faults,
    github: EmbeddedGitHub,
}

impl Nights {
    fn start() -> Self {
        let test_env = TestEnv::start();
        let (dir, faults) = (tempfile::tempdir().unwrap(), Faults::none());
        let inventory = Inventory::read(test_env.tree.root()).unwrap();
        let tags = inventory
            .pins
            .iter()
            .filter_map(|pin| match &pin.dependency {
                Dependency::Action(action) => {
                    let name = format!("{} {}", action.repository, action.tag.as_ref()?);
                    Some((name, action.reference.clone()))
                }
                _ => None,
            });
        let tags: BTreeMap<String, String> = tags.collect();
        fs::write(dir.path().join("tags.json"), json!(tags).to_string()).unwrap();
        let github =
            EmbeddedGitHub::start_with(dir.path(), "odralabshq", "polis", "s3cret", &faults);
        Self {
            test_env,
            dir,
            faults,
            github: github.unwrap(),
        }
    }

    fn run(&self, args: &[&str], token: &str) -> Ran {
        self.run_at(&self.github.url(), args, token)
    }

    /// Runs the check with GitHub's API at `url`.
    fn run_at(&self, url: &str, args: &[&str], token: &str) -> Ran {
        let api = [("api.github.com", url.to_owned())];
        let args = [&["drift", "--format", "json"], args].concat();
        let ran = self
            .test_env
            .run_at(&args, &[("GITHUB_TOKEN", token)], &api);
        assert!(!ran.seen().contains("s3cret"), "{}", ran.seen());
        ran
    }

    /// The exit code of a run, and what it did to which issue.
    fn night(&self) -> (i32, String, u64) {
        let ran = self.run(&[], "s3cret");
        let issue = &ran.report()["data"]["issue"];
        let action = issue["action"].as_str().unwrap().to_owned();
        (ran.code, action, issue["number"].as_u64().unwrap_or(0))
    }

    fn issues(&self) -> Vec<Value> {
        match fs::read_to_string(self.dir.path().join("issues.json")) {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(_) => Vec::new(),
        }
    }

    fn earlier(&self, ends: &[&str]) {
        fs::write(self.dir.path().join("runs.json"), json!(ends).to_string()).unwrap();
    }
}

#[test]
fn every_request_of_the_check_follows_githubs_description() {
    let nights = Nights::start();
    let Some(prism) = prism::start(&nights.github.url()) else {
        return;
    };
    let gate = nights.test_env.image("gate");
    nights.test_env.push(&gate, "moved");
    let actions = ["create", "update", "close"];
    let contents = ["moved again", &gate.unpinned().to_string(), ""];
    for (action, next) in actions.into_iter().zip(contents) {
        let ran = nights.run_at(&prism.url(), &[], "s3cret");
        let report = ran.report();
        assert_eq!(report["data"]["issue"]["action"], action, "{}", ran.seen());
        nights.test_env.push(&gate, next);
    }
    nights.earlier(&["failure", "failure", "success"]);
    let down = Fault::Status(503);
    nights
        .test_env
        .registry_faults
        .add("GET", "/v2/", 1000, down);
    let ran = nights.run_at(&prism.url(), &[], "s3cret");
    assert_eq!(ran.code, 3, "{}", ran.seen());
    let log = prism.log();
    assert!(
        log.contains("/actions/workflows/") && log.contains("/git/ref/tags/"),
        "{log}"
    );
    assert_eq!(prism.violations(), [""; 0]);
}

fn done(code: i32, action: &str, number: u64) -> (i32, String, u64) {
    (code, action.to_owned(), number)
}

#[test]
fn one_issue_is_open_as_long_as_there_is_drift() {
    let nights = Nights::start();
    assert_eq!(nights.night(), done(0, "none", 0), "all is well");
    let gate = nights.test_env.image("gate");
    let (old, new) = (gate.digest().unwrap(), nights.test_env.push(&gate, "moved"));
    assert_eq!(nights.night(), done(2, "create", 1));
    assert_eq!(
        nights.night(),
        done(2, "none", 1),
        "two nights are one issue"
    );
    let issue = &nights.issues()[0];
    let body = issue["body"].as_str().unwrap();
    assert_eq!(issue["labels"], json!(["pin-drift"]));
    assert!(body.starts_with("<!-- polis: pin-drift -->\n"), "{body}");
    assert!(
        body.contains(&new.to_string()) && body.contains(&old.to_string()),
        "{body}"
    );
    let line = format!("`{}`", nights.test_env.line_of("gate"));
    assert!(body.contains(&line), "{body}");
    assert!(
        body.contains("| drifted<br>") && body.contains("| ok |"),
        "{body}"
    );

    nights.test_env.push(&gate, "moved again");
    assert_eq!(nights.night(), done(2, "update", 1));
    nights.test_env.push(&gate, &gate.unpinned().to_string());
    assert_eq!(nights.night(), done(0, "close", 1));
    let issue = &nights.issues()[0];
    assert_eq!(
        (&issue["open"], &issue["comments"]),
        (&json!(false), &json!(["All pins are fine again."]))
    );
    assert_eq!(nights.night(), done(0, "none", 0));
    // A closed issue stays closed, because somebody may have decided that.
    nights.test_env.push(&gate, "moved once more");
    assert_eq!(nights.night(), done(2, "create", 2));
    assert_eq!(nights.issues().len(), 2);
}

#[test]
fn an_incomplete_image_opens_the_issue() {
    let nights = Nights::start();
    let gate = nights.test_env.image("gate");
    let layer = layout::stored_layer(nights.test_env.storage(), &gate);
    let bytes = fs::read(&layer).unwrap();
    fs::remove_file(&layer).unwrap();
    assert_eq!(nights.night(), done(2, "create", 1));
    let issue = &nights.issues()[0];
    let body = issue["body"].as_str().unwrap();
    assert!(body.contains("missing blob: layer sha256:"), "{body}");
    assert!(body.contains("| verified |"), "{body}");
    fs::write(&layer, bytes).unwrap();
    assert_eq!(nights.night(), done(0, "close", 1));
}

#[test]
fn an_issue_is_identified_by_its_marker_and_label() {
    let nights = Nights::start();
    nights
        .test_env
        .push(&nights.test_env.image("gate"), "moved");
    let issue = |number: u32, title: &str, body: &str, label: &str| {
        json!({"number": number, "title": title, "body": body, "open": true,
               "labels": [label], "comments": []})
    };
    let marker = "<!-- polis: pin-drift -->";
    let others = json!([
        issue(1, "Pins have drifted", "typed by a person", "pin-drift"),
        issue(2, "Pins have drifted", marker, "question"),
        issue(3, "renamed by a person", marker, "pin-drift"),
    ]);
    fs::write(nights.dir.path().join("issues.json"), others.to_string()).unwrap();
    let nights = Nights {
        github: serve(&nights),
        ..nights
    };
    assert_eq!(nights.night(), done(2, "update", 3));
    assert_eq!(nights.issues()[2]["title"], "renamed by a person");
}

fn serve(nights: &Nights) -> EmbeddedGitHub {
    let (root, faults) = (nights.dir.path(), &nights.faults);
    EmbeddedGitHub::start_with(root, "odralabshq", "polis", "s3cret", faults).unwrap()
}

#[test]
fn the_labels_of_an_issue_may_be_plain_names() {
    let nights = Nights::start();
    nights.github.set_plain_labels(true).unwrap();
    nights
        .test_env
        .push(&nights.test_env.image("gate"), "moved");
    assert_eq!(nights.night(), done(2, "create", 1));
    assert_eq!(nights.night(), done(2, "none", 1));
}

#[test]
fn an_unreachable_network_opens_an_issue_on_the_third_night() {
    let nights = Nights::start();
    nights
        .test_env
        .registry_faults
        .add("GET", "/v2/", 1000, Fault::Status(503));
    for (earlier, action) in [
        (&[][..], "none"),
        (&["failure", "success", "failure"], "none"),
        (&["cancelled", "failure", "success"], "none"),
    ] {
        nights.earlier(earlier);
        assert_eq!(nights.night(), done(3, action, 0), "{earlier:?}");
    }
    nights.earlier(&["failure", "timed_out", "success"]);
    assert_eq!(nights.night(), done(3, "create", 1));
    assert_eq!(nights.night(), done(3, "none", 1));
    assert_eq!(nights.issues().len(), 1);
}

#[test]
fn a_dry_run_touches_nothing_and_needs_no_token() {
    let nights = Nights::start();
    nights
        .test_env
        .push(&nights.test_env.image("gate"), "moved");
    let ran = nights.run(&["--dry-run"], "");
    assert_eq!(ran.code, 2, "{}", ran.seen());
    let expected = json!({"action": "create", "number": null, "url": null, "done": false});
    assert_eq!(ran.report()["data"]["issue"], expected);
    assert_eq!(nights.issues(), [json!(null); 0]);
    let ran = nights.run(&[], "");
    assert_eq!(ran.code, 3, "{}", ran.seen());
    assert!(ran.seen().contains("GITHUB_TOKEN"), "{}", ran.seen());
}

#[test]
fn a_token_without_write_access_is_reported_with_the_drift() {
    let nights = Nights::start();
    nights
        .test_env
        .push(&nights.test_env.image("gate"), "moved");
    nights.faults.add("POST", ISSUES, 1, Fault::Status(403));
    let ran = nights.run(&[], "s3cret");
    assert_eq!(ran.code, 2, "{}", ran.seen());
    assert_eq!(
        ran.findings(),
        [format!("pin-drifted {}", nights.test_env.line_of("gate"))]
    );
    assert!(
        ran.seen().contains("the job must grant `issues: write`"),
        "{}",
        ran.seen()
    );
    assert_eq!(nights.issues(), [json!(null); 0]);
    // A GitHub that does not respond hides no finding either.
    nights.faults.add("GET", ISSUES, 100, Fault::Status(502));
    let ran = nights.run(&[], "s3cret");
    assert_eq!(ran.code, 2, "{}", ran.seen());
    assert!(ran.seen().contains("status 502"), "{}", ran.seen());
}
