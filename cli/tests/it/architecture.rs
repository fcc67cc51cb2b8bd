//! A VM whose processor the service images are not published for: refused with that reason, and nothing is touched.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use expect_test::expect;

use crate::faults::start;
use crate::support::{running, seen};

#[test]
fn an_arm64_vm_is_refused_with_the_reason() {
    let world = running();
    let uname = "/usr/local/bin/uname";
    world.write_guest(uname, "#!/bin/sh\n[ \"$*\" = -m ] && echo aarch64\n");
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(world.guest().path(uname), mode).expect("an executable");
    let ran = start(&world);
    expect![[r#"
        exit 15
        --- stderr
        error: the stack cannot run on this machine
          cause: the service images have no arm64 yet; they are published for: amd64
          tried: multipass list --format json --no-ipv4
          next: use a machine with one of those processors: a VM has the processor of its host
          next: polis doctor
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(world.mutations(), [""; 0]);
}
