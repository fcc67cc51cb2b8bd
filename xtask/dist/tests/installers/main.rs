//! The installers of a release, read by the programs that will read them: shells, shellcheck, Ruby, a PowerShell
//! grammar, a YAML parser. `xtask/online/tests/it/installers.rs` tests what the scripts do, because servers are
//! available there.

mod packages;

use std::collections::BTreeMap;
use std::time::Duration;

use expect_test::expect;
use polis_base::Digest;
use polis_base::pages::{self, PAGES};
use semver::Version;
use serde_json::{Value, json};
use xtask_dist::RELEASE_TARGETS;
use xtask_dist::installers::{Archive, Facts, TAKEN, render};
use xtask_host::process::Run;
use xtask_testkit::has_part;

/// A valid key that signed nothing, generated for this test.
const KEY: &str = "untrusted comment: minisign public key 5DA7FC593219BECF\n\
                   RWTPvhkyWfynXWrd2mG4VJRnV1nGqNF6gpoJdd18uGuaW6yZgBuNkP7J\n";
const REPOSITORY: &str = "https://github.com/odralabshq/polis";

fn name(label: &str, triple: &str) -> String {
    let end = if triple.contains("windows") {
        "zip"
    } else {
        "tar.gz"
    };
    format!("polis-{label}-{triple}.{end}")
}

/// Renders release 0.5.0 with archives for `targets`.
fn rendered(targets: &[&str]) -> BTreeMap<String, String> {
    let names: Vec<String> = targets.iter().map(|triple| name("0.5.0", triple)).collect();
    let digests: Vec<Digest> = names
        .iter()
        .map(|name| Digest::of(name.as_bytes()))
        .collect();
    let archives: Vec<Archive<'_>> = (0..targets.len())
        .map(|at| Archive {
            triple: targets[at],
            name: &names[at],
            sha256: &digests[at],
        })
        .collect();
    let version = Version::new(0, 5, 0);
    let facts = Facts {
        archives: &archives,
        ..facts(&version)
    };
    let files = render(&facts).expect("facts of a release");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    files
        .into_iter()
        .map(|(name, bytes)| (name, text(bytes)))
        .collect()
}

/// The facts of release 0.5.0 without archives.
fn facts(version: &Version) -> Facts<'_> {
    Facts {
        version,
        label: "0.5.0",
        tag: "v0.5.0",
        repository: REPOSITORY,
        public_key: KEY,
        archives: &[],
    }
}

/// Runs `program` with `input`. Returns whether it succeeded, and its output.
fn ask(program: &str, args: &[&str], input: &str) -> (bool, String) {
    let run = Run::new(program).args(args);
    let answer = run.converse(input, Duration::from_secs(60)).expect(program);
    (answer.success, answer.stdout + &answer.stderr)
}

#[test]
fn a_release_has_installers_for_its_targets() {
    let names = |targets: &[&str]| rendered(targets).into_keys().collect::<Vec<_>>();
    let all = [
        "install.ps1",
        "install.sh",
        "odralabshq.polis.installer.yaml",
        "odralabshq.polis.locale.en-US.yaml",
        "odralabshq.polis.yaml",
        "polis.rb",
    ];
    assert_eq!(names(&RELEASE_TARGETS), all);
    assert_eq!(
        names(&["x86_64-unknown-linux-musl"]),
        ["install.ps1", "install.sh", "polis.rb"]
    );
    assert_eq!(names(&["x86_64-pc-windows-msvc"]), all[..5]);
}

#[test]
fn no_placeholder_or_control_character_is_left() {
    for (name, text) in rendered(&RELEASE_TARGETS) {
        assert!(!text.contains("@@"), "{name}");
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{name}");
        let odd = text.chars().find(|c| !matches!(c, '\n' | ' '..='~'));
        assert_eq!(odd, None, "{name}");
    }
}

#[test]
fn the_installers_extract_the_listed_files() {
    let files = rendered(&RELEASE_TARGETS);
    for path in TAKEN {
        assert!(
            files["install.sh"].contains(&format!("\"$top/{path}\"")),
            "{path}"
        );
        assert!(
            files["polis.rb"].contains(&format!("install \"{path}\"")),
            "{path}"
        );
    }
    let places = |name: &str, sign: &str| files[name].matches(sign).count();
    // Plus one for the man pages.
    assert_eq!(places("install.sh", "\"$top/"), TAKEN.len() + 1);
    assert_eq!(places("polis.rb", ".install "), TAKEN.len() + 1);
    let pages = files["install.sh"]
        .lines()
        .find_map(|line| line.strip_prefix("pages="));
    let pages = pages.expect("the man pages").trim_matches('\'');
    assert_eq!(pages, PAGES.map(pages::file).join(" "));
}

#[test]
fn inconsistent_facts_are_rejected() {
    let digest = Digest::of(b"x");
    let version = Version::new(0, 5, 0);
    let linux = "x86_64-unknown-linux-musl";
    let file = name("0.5.0", linux);
    let good = [Archive {
        triple: linux,
        name: &file,
        sha256: &digest,
    }];
    let with = |archives| Facts {
        archives,
        ..facts(&version)
    };
    assert!(render(&with(&good)).is_ok());
    let windows = [Archive {
        triple: "x86_64-pc-windows-msvc",
        name: "polis-0.5.0-x86_64-pc-windows-msvc.tar.gz",
        sha256: &digest,
    }];
    let other = [Archive {
        triple: "sparc-sun-solaris",
        ..good[0]
    }];
    let moved = [Archive {
        name: "polis-0.4.0-x86_64-unknown-linux-musl.tar.gz",
        ..good[0]
    }];
    let twice = [good[0], good[0]];
    let short = KEY.replace("P7J", "P7");
    let cases = [
        (
            Facts {
                label: "0.5.1",
                ..with(&good)
            },
            "label `0.5.1`: expected that of version 0.5.0",
        ),
        (
            Facts {
                tag: "v0.5.0'; rm -rf ~; '",
                ..with(&good)
            },
            "tag `v0.5.0'",
        ),
        (
            Facts {
                tag: "",
                ..with(&good)
            },
            "tag ``",
        ),
        (
            Facts {
                repository: "http://github.com/o/p",
                ..with(&good)
            },
            "repository",
        ),
        (
            Facts {
                repository: "https://github.com/o",
                ..with(&good)
            },
            "repository",
        ),
        (
            Facts {
                repository: "https://github.com/o/p q",
                ..with(&good)
            },
            "repository",
        ),
        (
            Facts {
                public_key: "",
                ..with(&good)
            },
            "expected two lines",
        ),
        (
            Facts {
                public_key: "RWQ\nRWQ\n",
                ..with(&good)
            },
            "untrusted comment",
        ),
        (
            Facts {
                public_key: &short,
                ..with(&good)
            },
            "public key",
        ),
        (with(&[]), "expected at least one"),
        (
            with(&windows),
            "expected `polis-0.5.0-x86_64-pc-windows-msvc.zip`",
        ),
        (with(&other), "target `sparc-sun-solaris`"),
        (
            with(&moved),
            "expected `polis-0.5.0-x86_64-unknown-linux-musl.tar.gz`",
        ),
        (with(&twice), "one archive for it, not two"),
    ];
    for (facts, message) in cases {
        let error = render(&facts).expect_err(message).to_string();
        assert!(error.contains(message), "{message}: {error}");
    }
}

#[test]
fn a_rehearsal_requires_the_signature_of_a_rehearsal() {
    let digest = Digest::of(b"x");
    let version = Version::new(0, 5, 0);
    let file = name("0.5.0-rehearsal", RELEASE_TARGETS[0]);
    let archives = [Archive {
        triple: RELEASE_TARGETS[0],
        name: &file,
        sha256: &digest,
    }];
    let facts = Facts {
        label: "0.5.0-rehearsal",
        archives: &archives,
        ..facts(&version)
    };
    let files = render(&facts).expect("facts of a rehearsal");
    for (name, bytes) in &files[..2] {
        let text = String::from_utf8_lossy(bytes);
        assert!(
            text.contains("'Polis 0.5.0: REHEARSAL, not a release'"),
            "{name}"
        );
    }
}

#[test]
fn shells_and_shellcheck_read_install_sh() {
    let script = &rendered(&RELEASE_TARGETS)["install.sh"];
    for (shell, args) in [
        ("dash", &["-n"][..]),
        ("bash", &["--posix", "-n"]),
        ("busybox", &["sh", "-n"]),
        ("zsh", &["-n"]),
    ] {
        if has_part(shell) {
            assert_eq!(ask(shell, args, script), (true, String::new()), "{shell}");
        }
    }
    if has_part("shellcheck") {
        let checked = ask("shellcheck", &["-"], script);
        assert_eq!(checked, (true, String::new()));
    }
}

#[test]
fn a_grammar_of_powershell_reads_install_ps1() {
    let mut parser = tree_sitter::Parser::new();
    parser
        .set_language(&tree_sitter_powershell::LANGUAGE.into())
        .expect("a grammar");
    let script = &rendered(&RELEASE_TARGETS)["install.ps1"];
    let mut wrong = |text: &str| {
        let tree = parser.parse(text, None).expect("no limit was set");
        tree.root_node().has_error()
    };
    assert!(!wrong(script));
    // The parser can reject: it detects each truncation and each of these mutations.
    for damage in [
        script.replacen("try {", "try", 1),
        script.replacen("'Stop'", "'Stop", 1),
        script.replacen("-join", "-join (", 1),
    ] {
        assert_ne!(&damage, script);
        assert!(wrong(&damage));
    }
}

/// Counts the variables in a syntax tree by name, in lower case.
fn variables(node: tree_sitter::Node<'_>, text: &str, names: &mut BTreeMap<String, usize>) {
    if node.kind() == "variable" {
        let name = text[node.byte_range()].trim_matches(['$', '{', '}']);
        *names.entry(name.to_lowercase()).or_default() += 1;
    }
    for at in 0..node.child_count() {
        let child = node.child(u32::try_from(at).expect("a small script"));
        variables(child.expect("a child"), text, names);
    }
}

/// In strict mode, reading an unset variable ends the script, and no test runs it. A name that occurs only once is
/// therefore misspelt or useless.
#[test]
fn every_variable_of_install_ps1_is_set_and_used() {
    let mut parser = tree_sitter::Parser::new();
    let grammar = tree_sitter_powershell::LANGUAGE.into();
    parser.set_language(&grammar).expect("a grammar");
    let script = &rendered(&RELEASE_TARGETS)["install.ps1"];
    let tree = parser.parse(script, None).expect("no limit was set");
    let mut names = BTreeMap::new();
    variables(tree.root_node(), script, &mut names);
    assert!(names["staged"] > 3, "{names:?}");
    let alone: Vec<&str> = names
        .iter()
        .filter(|(_, times)| **times == 1)
        .map(|(name, _)| name.as_str())
        .filter(|name| !name.starts_with("env:") && !["true", "false"].contains(name))
        .collect();
    // Variables that PowerShell itself reads or sets.
    let own = [
        "erroractionpreference",
        "progresspreference",
        "psnativecommanduseerroractionpreference",
    ];
    assert_eq!(alone, own);
}
