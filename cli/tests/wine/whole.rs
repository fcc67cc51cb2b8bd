//! A workspace from nothing, by files and captured output, as Multipass on Windows needs it.

use std::fs;

use crate::machine::Machine;

#[test]
fn a_workspace_starts_from_nothing_and_takes_and_gives_files() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let ran = machine.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(machine.world.refused(), [""; 0]);
    // Nothing that Multipass has read is left in the directory, which is not hidden.
    let left: Vec<_> = fs::read_dir(machine.profile().join("Polis"))
        .expect("the state directory")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["lock"]);
    // The second start has nothing to do, whatever ends the lines of what Multipass says.
    let ran = machine.polis(&["start", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert!(ran.stdout.contains(r#""did": []"#), "{}", ran.seen());

    let here = machine.path(r"C:\users\a b");
    fs::create_dir_all(here.join("project")).expect("a directory");
    let bytes = b"lines\r\nand\nbytes \x00\xff\x1a".as_slice();
    fs::write(here.join("project/data"), bytes).expect("a file");
    let ran = machine.polis(&["cp", r"C:\users\a b\project", "workspace:"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let ran = machine.polis(&["cp", "workspace:project", r"C:\users\a b\back"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let back = fs::read(here.join("back/data")).expect("the copy");
    assert_eq!(back, bytes);
}
