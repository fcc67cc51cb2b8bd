//! The command line as a person or a compose file meets it: help, version, and how bad requests
//! end.

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
    ] {
        assert!(
            ran.stdout.contains(line),
            "{line:?} is not in {}",
            ran.stdout
        );
    }
}

#[test]
fn version_is_the_package_s() {
    let ran = polis_init(&["--version"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(
        ran.stdout,
        format!("polis-init {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn bad_requests_end_with_2_a_reason_and_the_usage() {
    let cases: [(&[&str], &str); 20] = [
        (&[], "a command is missing"),
        (&["frobnicate"], "unknown command \"frobnicate\""),
        (&["--frobnicate"], "invalid option '--frobnicate'"),
        (&["chown"], "UID:GID is missing"),
        (&["chown", "-R", "65532:65532"], "a PATH is missing"),
        (&["chown", "65532", "/data"], "\"65532\" is not UID:GID"),
        (&["chown", "65532:", "/data"], "\"65532:\" is not UID:GID"),
        (
            &["chown", "root:root", "/data"],
            "\"root:root\" is not UID:GID",
        ),
        (&["chown", "4294967295:0", "/data"], "is not UID:GID"),
        (&["chown", "1:1", ""], "a PATH is empty"),
        (&["chown", "-L", "1:1", "/data"], "invalid option '-L'"),
        (&["bridge-accept"], "BRIDGE is missing"),
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
