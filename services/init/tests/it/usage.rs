//! The command line as a user or a compose file sees it: help, version, and usage errors.

use crate::common::{POLIS_INIT, Ran, command, run};

fn polis_init(arguments: &[&str]) -> Ran {
    run(command(POLIS_INIT).args(arguments))
}

#[test]
fn help_goes_to_standard_output_and_names_the_exit_codes() {
    let ran = polis_init(&["--help"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for line in [
        "  0  done",
        "  1  failed",
        "  2  the command line",
        "chown [-R] UID:GID PATH...",
        "bridge-accept [--wait",
        "forward --check PORT",
    ] {
        assert!(
            ran.stdout.contains(line),
            "{line:?} is not in {}",
            ran.stdout
        );
    }
}

#[test]
fn version_is_that_of_the_package() {
    let ran = polis_init(&["--version"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(
        ran.stdout,
        format!("polis-init {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn usage_errors_exit_with_2_a_reason_and_the_usage() {
    let cases: [(&[&str], &str); 30] = [
        (&[], "missing command"),
        (&["frobnicate"], "unknown command \"frobnicate\""),
        (&["--frobnicate"], "invalid option '--frobnicate'"),
        (&["chown"], "missing UID:GID"),
        (&["chown", "-R", "65532:65532"], "missing PATH"),
        (&["chown", "65532", "/data"], "\"65532\" is not UID:GID"),
        (&["chown", "65532:", "/data"], "\"65532:\" is not UID:GID"),
        (
            &["chown", "root:root", "/data"],
            "\"root:root\" is not UID:GID",
        ),
        (&["chown", "4294967295:0", "/data"], "is not UID:GID"),
        (&["chown", "1:1", ""], "empty PATH"),
        (&["chown", "-L", "1:1", "/data"], "invalid option '-L'"),
        (&["bridge-accept"], "missing BRIDGE"),
        (
            &["bridge-accept", "br+"],
            "\"br+\" is not an interface name",
        ),
        (
            &["bridge-accept", "sixteen--letters"],
            "is not an interface name",
        ),
        (
            &["bridge-accept", "br0", "br1"],
            "unexpected argument \"br1\"",
        ),
        (
            &["bridge-accept", "br0", "--egress"],
            "missing argument for option '--egress'",
        ),
        (
            &["bridge-accept", "br0", "--egress", "br+"],
            "\"br+\" is not an interface name",
        ),
        (
            &["bridge-accept", "--egress=br0", "br0"],
            "br0 cannot be both BRIDGE and --egress",
        ),
        (
            &["bridge-accept", "--ingress=br1", "--egress=br1", "br0"],
            "br1 cannot be both --egress and --ingress",
        ),
        (&["forward"], "missing PORT"),
        (&["forward", "--within=10.0.0.0/8", "80"], "missing --to"),
        (&["forward", "--to=host", "80"], "missing --within"),
        (
            &["forward", "--to", "a b", "80"],
            "\"a b\" is neither a host's name",
        ),
        (
            &["forward", "--within=10.0.0.1/8", "80"],
            "is not an IPv4 network",
        ),
        (&["forward", "0"], "\"0\" is not PORT or PORT:PORT"),
        (&["forward", "80:"], "\"80:\" is not PORT or PORT:PORT"),
        (&["forward", "80", "80:81"], "port 80 is given twice"),
        (
            &["forward", "--idle=0", "80"],
            "--idle takes whole seconds from 1 to 86400",
        ),
        (
            &["bridge-accept", "--wait", "soon", "br0"],
            "--wait takes whole seconds",
        ),
        (
            &["bridge-accept", "--wait=3601", "br0"],
            "--wait takes whole seconds",
        ),
    ];
    for (arguments, reason) in cases {
        let ran = polis_init(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(reason), "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("\nUsage:\n"),
            "{arguments:?}: {}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}
