//! `polis.exe` without a VM.

use std::fs;

use crate::machine::Machine;

#[test]
fn version_lists_the_embedded_files() {
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

#[test]
fn settings_are_read_from_the_roaming_profile() {
    let Some(machine) = Machine::new() else {
        return;
    };
    // Windows creates the profile when a program first runs.
    assert_eq!(machine.polis(&["version"]).code, Some(0));
    let dir = machine.profile().join(r"AppData/Roaming/polis");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("config.toml"), "cpus = 3\r\ndisk = \"41G\"\r\n").expect("a file");
    let ran = machine.polis(&["start", "--dry-run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert!(ran.stdout.contains("--cpus 3"), "{}", ran.seen());
    assert!(ran.stdout.contains("--disk 41G"), "{}", ran.seen());
    fs::write(dir.join("config.toml"), "cpu = 3\r\n").expect("a file");
    let ran = machine.polis(&["status"]);
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    let named = r"AppData\Roaming\polis\config.toml";
    assert!(ran.stderr.contains(named), "{}", ran.seen());
}

#[test]
fn multipass_is_found_on_the_path_or_reported_as_missing() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let ran = machine.polis(&["doctor"]);
    let installed = r"installed       C:\Program Files\Polis und Ähnliches\multipass.exe";
    assert!(ran.stdout.contains(installed), "{}", ran.seen());
    assert!(
        ran.stdout.contains("version         1.16.3"),
        "{}",
        ran.seen()
    );
    // Windows would also start `multipass` and `multipass.bat`, which are not Multipass.
    let installed = machine
        .path(machine.program())
        .with_file_name("multipass.exe");
    fs::rename(&installed, installed.with_extension("bat")).expect("renamed");
    let ran = machine.polis(&["status"]);
    assert_eq!(ran.code, Some(3), "{}", ran.seen());
    assert!(
        ran.stderr.contains("winget install Canonical.Multipass"),
        "{}",
        ran.seen()
    );
}
