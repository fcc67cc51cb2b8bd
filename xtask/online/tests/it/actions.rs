//! The states of actions, named in a workflow or in the lock file.

use xtask_loopback::Fault;

use crate::support::test_env::TestEnv;

#[test]
fn the_tag_of_an_action_still_names_its_commit() {
    let mut test_env = TestEnv::start();
    let checkout = "actions/checkout v6.0.2";
    test_env
        .others
        .tag("actions/checkout", "v6.0.2", &"b".repeat(40));
    assert_eq!(test_env.states(), (2, vec![format!("drifted {checkout}")]));
    test_env
        .others
        .files
        .retain(|path, _| !path.starts_with("/repos/actions/checkout/"));
    assert_eq!(test_env.states(), (2, vec![format!("gone {checkout}")]));
    test_env.other_faults.add(
        "GET",
        "/repos/actions/checkout/",
        1,
        Fault::Busy(403, "3600"),
    );
    assert_eq!(
        test_env.states(),
        (3, vec![format!("rate limited {checkout}")])
    );
}

/// Tags in the lock file are resolved like those of commits in workflows, even if an action uses another one.
#[test]
fn the_tags_in_the_lock_file_still_name_their_commits() {
    let mut test_env = TestEnv::start();
    let [commit, inner] = ["a", "c"].map(|digit| digit.repeat(40));
    test_env.tree.write(
        ".github/workflows/locked.yml",
        "on: push\npermissions: {}\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - uses: o/r@v1.2.3\n",
    );
    let entry = |name: &str, commit: &str, uses: &str| {
        let tag = name.split('@').next_back().unwrap_or_default();
        format!(
            "    {name}:\n        ref: {tag}\n        commit: sha1-{commit}\n        owner_id: 1\n        repo_id: 2\n{uses}"
        )
    };
    test_env.tree.write(
        ".github/workflows/actions.lock",
        &format!(
            "version: 'v0.0.2'\nworkflows:\n    .github/workflows/locked.yml:\n        - o/r@v1.2.3\ndependencies:\n{}{}",
            entry("o/r@v1.2.3", &commit, "        uses: [p/q@v2.0.0]\n"),
            entry("p/q@v2.0.0", &inner, ""),
        ),
    );
    test_env.others.tag("o/r", "v1.2.3", &commit);
    test_env.others.tag("p/q", "v2.0.0", &inner);
    assert_eq!(test_env.states(), (0, vec![]));
    test_env.others.tag("p/q", "v2.0.0", &"d".repeat(40));
    assert_eq!(
        test_env.states(),
        (2, vec!["drifted p/q v2.0.0".to_owned()])
    );
    test_env.others.tag("o/r", "v1.2.3", &"d".repeat(40));
    let both = ["drifted o/r v1.2.3", "drifted p/q v2.0.0"].map(str::to_owned);
    assert_eq!(test_env.states(), (2, both.to_vec()));
}
