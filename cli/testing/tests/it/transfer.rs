//! `transfer`: modes, rights, words.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fake_multipass::{Effect, Fault};

use crate::{guest, launched, run};

#[test]
fn a_file_keeps_its_mode_and_a_stream_gets_0664() {
    let world = launched();
    let file = world.home().join("run.sh");
    fs::write(&file, "#!/bin/sh\n").expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o750)).expect("a mode");
    let file = file.display().to_string();
    assert_eq!(
        run(&world, &["transfer", &file, "polis:/opt/polis/run.sh"]).seen(),
        "exit 0\n"
    );
    assert_eq!(
        run(&world, &["transfer", &file, "polis:/opt/polis"]).seen(),
        "exit 0\n"
    );
    assert_eq!(
        world
            .multipass(&["transfer", "-", "polis:stream"], b"a\nb\0")
            .seen(),
        "exit 0\n"
    );
    assert_eq!(
        guest(
            &world,
            "stat -c %a /opt/polis/run.sh stream; od -An -c stream"
        ),
        "750\n664\n   a  \\n   b  \\0\n"
    );
    let stdin = world
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
fn files_come_back() {
    let world = launched();
    world.write_guest("/home/ubuntu/x", "from the guest");
    assert_eq!(
        run(&world, &["transfer", "polis:x", "-"]).stdout,
        "from the guest"
    );
    let file = world.home().join("y").display().to_string();
    assert_eq!(
        run(&world, &["transfer", "polis:/home/ubuntu/x", &file]).code,
        Some(0)
    );
    assert_eq!(
        fs::read_to_string(file).ok().as_deref(),
        Some("from the guest")
    );
    let ran = run(&world, &["transfer", "polis:/nothing", "-"]);
    assert!(
        ran.code == Some(2)
            && ran
                .stderr
                .starts_with("cannot open remote file /nothing: SFTP server: No such file"),
        "{}",
        ran.seen()
    );
    assert_eq!(world.mutations(), Vec::<String>::new());
}

#[test]
fn it_writes_as_ubuntu() {
    let world = launched();
    for path in ["/etc/polis/x", "/var/lib/polis/x", "/opt/x"] {
        let ran = world.multipass(&["transfer", "-", &format!("polis:{path}")], b"x");
        assert!(
            ran.code == Some(2) && ran.stderr.contains("Permission denied"),
            "{path}: {}",
            ran.seen()
        );
    }
    let ran = world.multipass(&["transfer", "-", "polis:/opt/polis/no/such/x"], b"x");
    assert!(
        ran.code == Some(2) && ran.stderr.contains("remote target does not exist"),
        "{}",
        ran.seen()
    );
    let ran = world.multipass(&["transfer", "-p", "-", "polis:/opt/polis/no/such/x"], b"x");
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
}

#[test]
fn any_path_with_a_colon_is_an_instance_s_but_for_a_drive_on_windows() {
    let world = launched();
    let ran = run(&world, &["transfer", "/tmp/a:b", "polis:x"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            Some(1),
            "Cannot specify an instance name for both source and destination\n"
        )
    );
    world.set(|state| state.windows = true);
    let ran = run(&world, &["transfer", "C:\\a", "polis:x"]);
    assert!(
        ran.code == Some(2) && ran.stderr.contains("cannot open local file C:\\a"),
        "{}",
        ran.seen()
    );
}

#[test]
fn on_windows_a_stream_is_text() {
    let world = launched();
    world.set(|state| state.windows = true);
    world.multipass(&["transfer", "-", "polis:x"], b"a\nb\n");
    assert_eq!(world.read_guest("/home/ubuntu/x"), "a\r\nb\r\n");
}

#[test]
fn it_can_be_cut_short_or_find_no_room() {
    let world = launched();
    world.fault(Fault::of("transfer", Effect::Cut(3)));
    assert_eq!(
        world
            .multipass(&["transfer", "-", "polis:x"], b"12345")
            .seen(),
        "exit 0\n"
    );
    assert_eq!(world.read_guest("/home/ubuntu/x"), "123");
    world.set(|state| state.disk_full = true);
    assert_eq!(
        world
            .multipass(&["transfer", "-", "polis:x"], b"12345")
            .code,
        Some(2)
    );
}
