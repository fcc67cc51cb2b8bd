//! The CLI as users see it.

use expect_test::expect;
use xtask_testkit::{Ran, Tree};

fn polis(args: &[&str]) -> Ran {
    Tree::data().run(env!("CARGO_BIN_EXE_polis"), args)
}

/// The digests change with the files; what is around them does not.
fn without_digests(text: &str) -> String {
    let words = text.split_inclusive([' ', '\n', ')', '\'']);
    let mut shown = String::new();
    for word in words {
        let hex = word
            .trim_start_matches("sha256:")
            .chars()
            .take_while(char::is_ascii_hexdigit)
            .count();
        if hex == 64 {
            let end: String = word
                .chars()
                .rev()
                .take_while(|c| !c.is_ascii_hexdigit())
                .collect();
            shown.push_str("[DIGEST]");
            shown.extend(end.chars().rev());
        } else {
            shown.push_str(word);
        }
    }
    shown
}

fn without_sizes(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| match (line.find(" ("), line.find(" bytes")) {
            (Some(from), Some(to)) => format!("{} ([SIZE]{}", &line[..from], &line[to..]),
            _ => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_version_names_what_the_program_carries() {
    let ran = polis(&["version"]);
    expect![[r#"
        exit 0
        --- stdout
        polis 0.5.0-dev
        cloud-init [DIGEST]
        bundle [DIGEST]
    "#]]
    .assert_eq(&without_digests(&ran.seen()));
}

#[test]
fn a_dry_run_prints_the_commands_and_runs_none() {
    // No Multipass stands on this PATH: a call would fail.
    let tree = Tree::data();
    let ran = tree.run_with(
        env!("CARGO_BIN_EXE_polis"),
        &["start", "--dry-run", "--memory", "16G"],
        &[("PATH", "")],
    );
    expect![[r#"
        exit 0
        --- stdout
        # launch the VM and provision it
        multipass launch 24.04 --name polis --cpus 4 --memory 16G --disk 40G --timeout 900 --cloud-init -  < the embedded cloud-init user-data ([SIZE] bytes, [DIGEST])
        # check that provisioning succeeded
        multipass exec -n polis -- bash -c '(test -f /var/lib/polis/provisioned.json) || exit 10'
        # transfer the bundle
        multipass transfer - polis:/opt/polis/.incoming.tar  < the embedded bundle ([SIZE] bytes, [DIGEST])
        # unpack the bundle
        multipass exec -n polis -- bash -c '(echo '\''[DIGEST]  /opt/polis/.incoming.tar'\'' | sha256sum --check --quiet && tar -xf /opt/polis/.incoming.tar -C /opt/polis && rm /opt/polis/.incoming.tar) || exit 10'
        # make certificates and secrets, once
        multipass exec -n polis -- bash -c '(cd /opt/polis && scripts/generate-secrets.sh) || exit 10'
        # pull the images
        multipass exec -n polis -- bash -c '(cd /opt/polis && docker compose pull) || exit 10'
        # start the services and wait until they are healthy
        multipass exec -n polis -- bash -c '(cd /opt/polis && docker compose up -d --no-build --wait) || exit 10'"#]].assert_eq(&without_sizes(&without_digests(&ran.seen())));
}

#[test]
fn a_start_that_would_do_nothing_is_refused() {
    let ran = polis(&["start"]);
    assert_eq!(ran.code, 2, "{}", ran.seen());
    assert!(ran.stderr.contains("--dry-run"), "{}", ran.seen());
}
