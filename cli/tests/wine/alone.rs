//! What `polis.exe` does by itself.

use crate::machine::Machine;

#[test]
fn it_starts_and_names_what_it_carries() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let ran = machine.polis(&["version"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let version = format!("polis {}-dev\n", env!("CARGO_PKG_VERSION"));
    assert!(ran.stdout.starts_with(&version), "{}", ran.seen());
    assert_eq!(ran.stdout.matches("sha256:").count(), 3, "{}", ran.seen());
    assert_eq!(ran.stderr, "");
}
