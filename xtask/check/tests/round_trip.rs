//! Our user-data after Multipass has parsed and printed it: every script is unchanged, byte for byte, and cloud-init's
//! own validator accepts the result.

mod official;

use official::{Multipass, Official, Verdict};
use serde_json::{Value as Json, json};
use xtask_host::source::Source;
use xtask_pins::yaml::{self, Node};

const CLOUD_INIT: &str = "cloud-init/cloud-init.yaml";
/// The package that Multipass adds.
const POLLINATE: &str = "pollinate";

fn ours() -> String {
    let path = xtask_testkit::repository().join(CLOUD_INIT);
    std::fs::read_to_string(path).expect("our user-data")
}

fn source(text: &str) -> Source {
    Source {
        path: CLOUD_INIT.to_owned(),
        text: text.to_owned(),
    }
}

fn parse(source: &Source) -> Node {
    yaml::parse(source).unwrap_or_else(|finding| panic!("{}", finding.render(false)))
}

/// Each file with its mode as spelled.
fn files(source: &Source) -> Vec<(String, String, Option<String>)> {
    let text = |node: Option<&Node>| node.and_then(Node::text).expect("a string").to_owned();
    let root = parse(source);
    let items = root.get("write_files").expect("files").items();
    items
        .iter()
        .map(|item| {
            let mode = item.get("permissions");
            (
                text(item.get("path")),
                text(item.get("content")),
                mode.map(|mode| source.text[mode.span.clone()].trim().to_owned()),
            )
        })
        .collect()
}

fn pass_one(multipass: &Multipass, mode: &str, document: &str) -> String {
    let mut arrived = multipass.pass(mode, &[document.to_owned()]);
    arrived.remove(0).expect("Multipass accepts the document")
}

fn judge(official: &Official, document: &str) -> Verdict {
    official.judge(&[document.to_owned()], true).remove(0)
}

#[test]
fn our_user_data_arrives_unchanged() {
    let Some(multipass) = Multipass::build() else {
        return;
    };
    let before = ours();
    let after = pass_one(&multipass, "launch", &before);
    assert!(after.starts_with("#cloud-config\n"), "{after}");
    assert_ne!(before, after, "the trip was made");

    let (written, arrived) = (source(&before), source(&after));
    let (expected, found) = (files(&written), files(&arrived));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found == expected, "{} changed on the way", expected.0);
    }
    assert!(
        found
            .iter()
            .any(|(.., mode)| mode.as_deref() == Some("0o755")),
        "a script is executable, and its mode kept its spelling"
    );

    // Everything else is unchanged, too, except for the package that Multipass adds.
    let mut expected = parse(&written).to_json();
    push(&mut expected["packages"]);
    assert_eq!(parse(&arrived).to_json(), expected);

    assert_eq!(
        pass_one(&multipass, "again", &after),
        after,
        "a second trip changes something"
    );
}

#[test]
fn cloud_init_accepts_the_result() {
    let (Some(multipass), Some(official)) = (Multipass::build(), Official::find()) else {
        return;
    };
    let before = ours();
    let after = pass_one(&multipass, "launch", &before);
    let [written, arrived] = [&before, &after].map(|document| judge(&official, document));
    assert_eq!(written.refused, None);
    assert_eq!(
        arrived.refused, None,
        "refused by cloud-init {}",
        official.version
    );

    // cloud-init reads YAML 1.1, and must read the same from the result as from our file.
    let mut expected = written.reading;
    push(&mut expected["packages"]);
    assert_eq!(arrived.reading, expected);
    let contents = |document: &Json| -> Vec<Json> {
        let files = document["write_files"].as_array().expect("files");
        files.iter().map(|file| file["content"].clone()).collect()
    };
    assert_eq!(
        contents(&arrived.reading),
        contents(&parse(&source(&before)).to_json())
    );
    let modes: Vec<&Json> = arrived.reading["write_files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| &file["permissions"])
        .filter(|mode| !mode.is_null())
        .collect();
    assert_eq!(modes, [&json!("0o755")]);

    official_program_agrees(&official, &after);
}

/// The oracle calls the validator's function; the program itself must agree.
fn official_program_agrees(official: &Official, accepted: &str) {
    let ran = official.program(accepted);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert!(ran.stdout.contains("Valid schema"), "{}", ran.seen());
    let refused = accepted.replacen("runcmd:", "runcmds:", 1);
    assert!(judge(official, &refused).refused.is_some());
    assert_ne!(official.program(&refused).code, 0);
}

#[test]
fn quoted_permissions_arrive_as_a_number_and_are_rejected() {
    let (Some(multipass), Some(official)) = (Multipass::build(), Official::find()) else {
        return;
    };
    let broken = ours().replacen("permissions: 0o755", "permissions: '0644'", 1);
    assert_eq!(
        judge(&official, &broken).refused,
        None,
        "fine before the trip"
    );

    let after = pass_one(&multipass, "launch", &broken);
    assert!(after.contains("permissions: 0644\n"), "{after}");
    let arrived = judge(&official, &after);
    let modes = arrived.reading["write_files"].as_array().expect("files");
    assert!(
        modes.iter().any(|file| file["permissions"] == json!(0o644)),
        "the guest reads the number 420"
    );
    let why = arrived.refused.expect("refused after the trip");
    assert!(why.contains("420 is not of type 'string'"), "{why}");
    assert_ne!(official.program(&after).code, 0);
}

fn push(packages: &mut Json) {
    packages
        .as_array_mut()
        .expect("a list of packages")
        .push(json!(POLLINATE));
}
