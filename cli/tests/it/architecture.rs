//! `polis start` refuses a VM whose architecture the service images are not published for, and changes nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use expect_test::expect;

use crate::faults::start;
use crate::support::{running, seen};

#[test]
fn an_arm64_vm_is_refused() {
    let sandbox = running();
    let uname = "/usr/local/bin/uname";
    sandbox.write_guest(uname, "#!/bin/sh\n[ \"$*\" = -m ] && echo aarch64\n");
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(sandbox.guest().path(uname), mode).expect("an executable");
    let ran = start(&sandbox);
    expect![[r#"
        exit 15
        --- stderr
        error: the stack cannot run on this machine
          caused by: the service images are not published for arm64, only for: amd64
          tried: multipass list --format json --no-ipv4
          hint: use a machine with one of these processors: a VM has the same processor as its host
          hint: polis doctor
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(sandbox.mutations(), [""; 0]);
}
