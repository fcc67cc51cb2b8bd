//! `transfer`: modes, permissions, messages.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fake_multipass::{Effect, Fault};

use crate::{guest, launched, run};

#[test]
fn a_file_keeps_its_mode_and_a_stream_gets_0664() {
    let sandbox = launched();
    let file = sandbox.home().join("run.sh");
    fs::write(&file, "#!/bin/sh\n").expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o750)).expect("a mode");
    let file = file.display().to_string();
    assert_eq!(
        run(&sandbox, &["transfer", &file, "polis:/opt/polis/run.sh"]).seen(),
        "exit 0\n"
    );
    assert_eq!(
        run(&sandbox, &["transfer", &file, "polis:/opt/polis"]).seen(),
        "exit 0\n"
    );
    assert_eq!(
        sandbox
            .multipass(&["transfer", "-", "polis:stream"], b"a\nb\0")
            .seen(),
        "exit 0\n"
    );
    assert_eq!(
        guest(
            &sandbox,
            "stat -c %a /opt/polis/run.sh stream; od -An -c stream"
        ),
        "750\n664\n   a  \\n   b  \\0\n"
    );
    let stdin = sandbox
        .calls_of("transfer")
        .pop()
        .and_then(|call| call.end)
        .and_then(|end| end.stdin);
    let digest = polis_base::Digest::of(b"a\nb\0").to_string();
    assert_eq!(
        stdin.map(|stdin| (stdin.bytes, stdin.digest)),
        Some((4, digest))
    );
}

#[test]
fn files_are_copied_from_the_guest() {
    let sandbox = launched();
    sandbox.write_guest("/home/ubuntu/x", "from the guest");
    assert_eq!(
        run(&sandbox, &["transfer", "polis:x", "-"]).stdout,
        "from the guest"
    );
    let file = sandbox.home().join("y").display().to_string();
    assert_eq!(
        run(&sandbox, &["transfer", "polis:/home/ubuntu/x", &file]).code,
        Some(0)
    );
    assert_eq!(
        fs::read_to_string(file).ok().as_deref(),
        Some("from the guest")
    );
    let ran = run(&sandbox, &["transfer", "polis:/nothing", "-"]);
    assert!(
        ran.code == Some(2)
            && ran
                .stderr
                .starts_with("cannot open remote file /nothing: SFTP server: No such file"),
        "{}",
        ran.seen()
    );
    assert_eq!(sandbox.mutations(), Vec::<String>::new());
}

#[test]
fn it_writes_as_ubuntu() {
    let sandbox = launched();
    for path in ["/etc/polis/x", "/var/lib/polis/x", "/opt/x"] {
        let ran = sandbox.multipass(&["transfer", "-", &format!("polis:{path}")], b"x");
        assert!(
            ran.code == Some(2) && ran.stderr.contains("Permission denied"),
            "{path}: {}",
            ran.seen()
        );
    }
    let ran = sandbox.multipass(&["transfer", "-", "polis:/opt/polis/no/such/x"], b"x");
    assert!(
        ran.code == Some(2) && ran.stderr.contains("remote target does not exist"),
        "{}",
        ran.seen()
    );
    let ran = sandbox.multipass(&["transfer", "-p", "-", "polis:/opt/polis/no/such/x"], b"x");
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
}

#[test]
fn a_path_with_a_colon_is_in_an_instance_except_for_a_windows_drive() {
    let sandbox = launched();
    let ran = run(&sandbox, &["transfer", "/tmp/a:b", "polis:x"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            Some(1),
            "Cannot specify an instance name for both source and destination\n"
        )
    );
    sandbox.set(|state| state.windows = true);
    let ran = run(&sandbox, &["transfer", "C:\\a", "polis:x"]);
    assert!(
        ran.code == Some(2) && ran.stderr.contains("cannot open local file C:\\a"),
        "{}",
        ran.seen()
    );
}

#[test]
fn on_windows_a_stream_is_text() {
    let sandbox = launched();
    sandbox.set(|state| state.windows = true);
    sandbox.multipass(&["transfer", "-", "polis:x"], b"a\nb\n");
    assert_eq!(sandbox.read_guest("/home/ubuntu/x"), "a\r\nb\r\n");
}

#[test]
fn a_transfer_may_be_truncated_or_find_the_disk_full() {
    let sandbox = launched();
    sandbox.fault(Fault::of("transfer", Effect::Cut(3)));
    assert_eq!(
        sandbox
            .multipass(&["transfer", "-", "polis:x"], b"12345")
            .seen(),
        "exit 0\n"
    );
    assert_eq!(sandbox.read_guest("/home/ubuntu/x"), "123");
    sandbox.set(|state| state.disk_full = true);
    assert_eq!(
        sandbox
            .multipass(&["transfer", "-", "polis:x"], b"12345")
            .code,
        Some(2)
    );
}
