//! Compares the pins with the digests listed in the release of the images.

use polis_base::Digest;
use serde_json::{Map, Value, json};
use xtask_loopback::Fault;

use crate::support::test_env::{DIGESTS, SERVICES, TestEnv};

const GATE: &str = "ghcr.io/odralabshq/polis-gate-oss:v0.4.0";

/// The list in the release.
fn list(test_env: &TestEnv) -> Map<String, Value> {
    serde_json::from_slice(&test_env.others.files[DIGESTS]).unwrap()
}

fn replace(test_env: &mut TestEnv, text: impl Into<Vec<u8>>) {
    test_env
        .others
        .files
        .insert(DIGESTS.to_owned(), text.into());
}

#[test]
fn a_contradicted_pin_is_a_finding_with_both_digests() {
    let mut test_env = TestEnv::start();
    let mut listed = list(&test_env);
    assert_eq!(listed.len(), 8);
    let other = Digest::of(b"what the publisher has built").to_string();
    listed[GATE] = json!(other);
    replace(&mut test_env, json!(listed).to_string());
    assert_eq!(test_env.states(), (1, vec![format!("contradicted {GATE}")]));
    let ran = test_env.run(&["verify-pins", "--format", "json"]);
    let expected = format!("pin-contradicted {}", test_env.line_of("gate"));
    assert_eq!(ran.findings(), [expected]);
    let pins = ran.report()["data"]["pins"].clone();
    let gate = pins
        .as_array()
        .unwrap()
        .iter()
        .find(|pin| pin["name"] == GATE);
    assert_eq!(gate.unwrap()["found"], other.as_str());
    let pinned = test_env.image("gate").digest().unwrap();
    let said = format!(
        "`{GATE}`: its publisher lists {other}, but {pinned} is pinned: listed in https://github.com{DIGESTS}"
    );
    assert!(ran.stdout.contains(&said), "{}", ran.seen());
    // A moved tag does not hide the problem.
    test_env.push(&test_env.image("gate"), "somebody moved the tag");
    assert_eq!(test_env.states(), (1, vec![format!("contradicted {GATE}")]));
}

#[test]
fn an_image_that_the_release_does_not_list_is_unconfirmed() {
    let mut test_env = TestEnv::start();
    let mut listed = list(&test_env);
    listed.remove(GATE);
    replace(&mut test_env, json!(listed).to_string());
    assert_eq!(test_env.states(), (1, vec![format!("unconfirmed {GATE}")]));
    // Under another tag, it is another image.
    listed.insert(
        GATE.replace("v0.4.0", "v0.4.1"),
        json!(test_env.image("gate").digest().unwrap().to_string()),
    );
    replace(&mut test_env, json!(listed).to_string());
    assert_eq!(test_env.states().0, 1);
    test_env.others.files.remove(DIGESTS);
    let (code, states) = test_env.states();
    assert_eq!((code, states.len()), (1, 8), "{states:?}");
    assert!(states.iter().all(|state| state.starts_with("unconfirmed ")));
}

#[test]
fn a_malformed_list_confirms_nothing_and_is_located() {
    let mut test_env = TestEnv::start();
    let whole = json!(list(&test_env)).to_string();
    let digest = test_env.image("gate").digest().unwrap().to_string();
    let entry = format!("\"{GATE}\":\"{digest}\"");
    assert!(whole.contains(&entry), "{whole}");
    for (text, said) in [
        (
            whole.replace(&entry, &format!("{entry},\n{entry}")),
            "is listed twice at line 2 column",
        ),
        (whole.replace(&digest, "sha256:0"), "`: "),
        (
            whole.replace(&format!("\"{digest}\""), "null"),
            "invalid type: null, expected a string at line 1",
        ),
        (
            "[]".to_owned(),
            "expected an object of digests by reference at line 1",
        ),
        (whole[..whole.len() - 1].to_owned(), "EOF while parsing"),
        (format!("{whole} x"), "trailing characters"),
        (
            format!("{whole}{}", " ".repeat(2 << 20)),
            "more than 1048576 bytes",
        ),
        (
            whole
                .replace(GATE, "\u{1b}]52;c;eA==\u{7}")
                .replace(&digest, "x"),
            "",
        ),
    ] {
        replace(&mut test_env, text);
        let ran = test_env.run(&["verify-pins"]);
        assert_eq!(ran.code, 1, "{}", ran.seen());
        let unconfirmed = ran.stdout.matches("unconfirmed       image ").count();
        assert_eq!(unconfirmed, 8, "{}", ran.seen());
        assert!(
            ran.stderr
                .contains(&format!("https://github.com{DIGESTS}: ")),
            "{}",
            ran.seen()
        );
        assert!(ran.stderr.contains(said), "{said}: {}", ran.seen());
        assert!(!ran.seen().contains('\u{1b}'), "{}", ran.seen());
    }
}

#[test]
fn the_list_is_downloaded_once_and_a_failure_is_a_network_error() {
    let test_env = TestEnv::start();
    test_env
        .other_faults
        .add("GET", DIGESTS, 1, Fault::Status(503));
    assert_eq!(test_env.states(), (0, vec![]), "it is tried again");
    assert_eq!(test_env.other_faults.left(), 0);
    // Four attempts at one list, however many images wait for it.
    test_env
        .other_faults
        .add("GET", DIGESTS, 100, Fault::Status(503));
    let (code, states) = test_env.states();
    assert_eq!((code, states.len()), (3, 8), "{states:?}");
    assert!(states.iter().all(|state| state.starts_with("unreachable ")));
    assert_eq!(test_env.other_faults.left(), 96);
}

#[test]
fn images_without_a_list_in_the_contract_are_not_looked_up() {
    let mut test_env = TestEnv::start();
    test_env.others.files.remove(DIGESTS);
    for service in SERVICES {
        let path = format!("compose/images/{service}.yaml");
        let text = test_env.tree.read(&path);
        let section =
            "digests:\n  release: {repository: odralabshq/polis, asset: image-digests.json}\n";
        assert!(text.contains(section), "{path}");
        test_env.tree.write(&path, &text.replace(section, ""));
    }
    assert_eq!(test_env.states(), (0, vec![]));
}
