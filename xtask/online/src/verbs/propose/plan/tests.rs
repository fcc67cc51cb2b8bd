use super::*;
use xtask_pins::edit::Edit;

const TREE: &str = "1111111111111111111111111111111111111111";
const COMMIT: &str = "2222222222222222222222222222222222222222";

fn moved(kind: &'static str, name: &str, to: &str, at: usize) -> Move {
    Move {
        kind,
        name: name.to_owned(),
        from: Some("v1".to_owned()),
        to: to.to_owned(),
        published: Some("2026-01-02T03:04:05Z".to_owned()),
        notes: Some(format!("https://github.com/o/r/releases/tag/{to}")),
        edits: vec![Edit {
            path: "a".to_owned(),
            span: at..at + 2,
            text: to.to_owned(),
        }],
    }
}

fn change(before: &str, after: &str) -> Change {
    Change {
        path: "a".to_owned(),
        before: before.to_owned(),
        after: after.to_owned(),
    }
}

/// The proposal of `to`, in a file that also has a line `rest`.
fn proposal(to: &str, rest: &str) -> Proposal {
    let changes = [change(&format!("v1\n{rest}"), &format!("{to}\n{rest}"))];
    Proposal::new(&[moved("download", "yq amd64", to, 0)], &changes)
}

fn branch(message: String) -> Branch {
    Branch {
        commit: COMMIT.to_owned(),
        tree: TREE.to_owned(),
        message,
    }
}

fn pull(number: u64, state: &str, body: &str) -> Pull {
    let html_url = format!("https://github.com/o/r/pull/{number}");
    let fields = json!({"number": number, "html_url": html_url, "body": body, "state": state,
                        "head": {"label": "o:polis/pins"}});
    serde_json::from_value(fields).unwrap()
}

fn steps(
    proposal: Option<&Proposal>,
    branch: Option<Branch>,
    pulls: Vec<Pull>,
) -> Result<Vec<Step>, &'static str> {
    let seen = RemoteState { branch, pulls };
    plan(proposal, &seen).steps.map_err(|left| left.word())
}

#[test]
fn every_state_of_github_has_its_steps() {
    let (old, new) = (proposal("v2", ""), proposal("v3", ""));
    let on = |proposal: &Proposal| Some(branch(proposal.message(TREE)));
    let open = |proposal: &Proposal| pull(7, "open", &proposal.body);
    let closed = |proposal: &Proposal| pull(6, "closed", &proposal.body);
    let gone = |proposal: &Proposal| pull(6, "closed", &withdrawn(&closed(proposal)));
    let from = Some(COMMIT.to_owned());
    let make = || Step::Branch { from: None };
    let go = || Step::Branch { from: from.clone() };
    let foreign = || Some(branch(format!("{}more", new.message(TREE))));
    let theirs = || pull(5, "open", "typed by a person");
    for (case, wanted, branch, pulls, expected) in [
        (
            "nothing at all",
            None,
            None,
            vec![],
            Err("nothing to propose"),
        ),
        (
            "new",
            Some(&new),
            None,
            vec![],
            Ok(vec![make(), Step::Open]),
        ),
        (
            "broken off",
            Some(&new),
            on(&new),
            vec![],
            Ok(vec![Step::Open]),
        ),
        (
            "same",
            Some(&new),
            on(&new),
            vec![open(&new)],
            Err("unchanged"),
        ),
        (
            "changed",
            Some(&new),
            on(&old),
            vec![open(&old)],
            Ok(vec![go(), Step::Rewrite(7)]),
        ),
        (
            "half changed",
            Some(&new),
            on(&new),
            vec![open(&old)],
            Ok(vec![Step::Rewrite(7)]),
        ),
        (
            "branch deleted",
            Some(&new),
            None,
            vec![open(&new)],
            Ok(vec![make()]),
        ),
        (
            "turned down",
            Some(&new),
            on(&new),
            vec![closed(&new)],
            Err("turned down"),
        ),
        (
            "without branch",
            Some(&new),
            None,
            vec![closed(&new)],
            Err("turned down"),
        ),
        (
            "long ago",
            Some(&new),
            on(&old),
            vec![closed(&old), closed(&new)],
            Err("turned down"),
        ),
        (
            "another",
            Some(&new),
            on(&old),
            vec![closed(&old)],
            Ok(vec![go(), Step::Open]),
        ),
        (
            "by us",
            Some(&new),
            on(&new),
            vec![gone(&new)],
            Ok(vec![Step::Open]),
        ),
        (
            "left over",
            None,
            on(&new),
            vec![open(&new)],
            Ok(vec![Step::Withdraw(7)]),
        ),
        (
            "closed before",
            None,
            on(&new),
            vec![gone(&new)],
            Err("nothing to propose"),
        ),
        (
            "foreign",
            Some(&new),
            foreign(),
            vec![open(&old)],
            Err("foreign commit"),
        ),
        (
            "foreign alone",
            Some(&new),
            foreign(),
            vec![],
            Err("foreign commit"),
        ),
        (
            "worked on",
            None,
            foreign(),
            vec![open(&new)],
            Err("foreign commit"),
        ),
        (
            "a branch of theirs",
            None,
            foreign(),
            vec![],
            Err("nothing to propose"),
        ),
        (
            "theirs",
            Some(&new),
            on(&old),
            vec![theirs()],
            Ok(vec![go()]),
        ),
        (
            "theirs, left over",
            None,
            on(&new),
            vec![theirs()],
            Err("nothing to propose"),
        ),
    ] {
        assert_eq!(steps(wanted, branch, pulls), expected, "{case}");
    }
}

#[test]
fn a_commit_is_ours_only_with_the_tree_that_it_names() {
    let message = proposal("v2", "").message(TREE);
    assert!(content_of(&branch(message.clone())).is_some());
    // Amending keeps the message, but changes the tree.
    let mut amended = branch(message.clone());
    amended.tree = COMMIT.to_owned();
    for other in [
        amended,
        branch(format!("{message}\nSigned-off-by: x")),
        branch("Merge branch 'main' into polis/pins".to_owned()),
        branch(String::new()),
        branch(format!("{TRAILER}x")),
    ] {
        assert_eq!(content_of(&other), None, "{other:?}");
    }
}

/// A change elsewhere in the file needs a new commit, but a person who has declined the moves is not asked again.
#[test]
fn moves_do_not_depend_on_the_rest_of_the_file() {
    let (one, other) = (proposal("v2", ""), proposal("v2", "more\n"));
    assert_eq!(one.moves, other.moves);
    assert_ne!(one.content, other.content);
    let seen = RemoteState {
        branch: Some(branch(one.message(TREE))),
        pulls: vec![pull(7, "open", &one.body)],
    };
    let from = Some(COMMIT.to_owned());
    let steps = plan(Some(&other), &seen).steps;
    assert_eq!(steps, Ok(vec![Step::Branch { from }]));
    let moved_down = [moved("download", "yq amd64", "v2", 9)];
    assert_eq!(Proposal::new(&moved_down, &[]).moves, one.moves);
    assert_ne!(proposal("v3", "").moves, one.moves);
}

#[test]
fn the_title_names_a_few_and_counts_the_rest() {
    let moves = [
        moved("download", "yq amd64", "v2", 0),
        moved("download", "yq arm64", "v2", 0),
        moved("action", "actions/checkout", "v2", 0),
        moved("image", "ghcr.io/o/polis-gate-oss", "v2", 0),
        moved("action", "actions/attest", "v2", 0),
    ];
    assert_eq!(title(&moves[..1]), "Update yq");
    assert_eq!(
        title(&moves[..4]),
        "Update yq, actions/checkout, polis-gate-oss"
    );
    assert_eq!(
        title(&moves),
        "Update yq, actions/checkout, polis-gate-oss and 1 more"
    );
}

#[test]
fn an_invalid_date_is_shown_as_unknown() {
    let day = |text: &str| {
        let published = Some(text.to_owned());
        let one = moved("action", "actions/checkout", "v2", 0);
        super::published(&Move { published, ..one })
    };
    assert_eq!(day("2026-01-02T03:04:05Z"), "2026-01-02");
    for text in ["", "2026", "<b>|`x`\u{1b}[2J", "2026-01-0é"] {
        assert_eq!(day(text), "not known", "{text}");
    }
}
