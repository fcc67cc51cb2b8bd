//! A start writes only to the state directory, and exposes no secret.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::sandbox;

/// Every file below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn files_are_written_only_to_the_state_directory() {
    // A file that was handed to Multipass is removed after the call.
    for delivery in ["pipe", "file"] {
        let sandbox = sandbox();
        let ran = sandbox.polis_with(&["start", "--quiet"], &[("POLIS_DELIVERY", delivery)]);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        let state = sandbox.home().join(".local/state/polis");
        assert_eq!(files(&sandbox.home()), [state.join("lock")]);
        assert_eq!(files(&sandbox.dir().join("tmp")), [] as [PathBuf; 0]);
    }
}

#[test]
fn secrets_are_never_exposed() {
    let sandbox = sandbox();
    let mut shown = String::new();
    for args in [
        &["start", "--verbose", "--json"][..],
        &["start", "--verbose"],
        &["status", "--json", "--verbose"],
        &["doctor", "--verbose"],
        &["logs"],
    ] {
        let ran = sandbox.polis(args);
        shown.push_str(&ran.seen());
    }
    for call in sandbox.all_calls() {
        shown.push_str(&call.line());
    }
    let guest = sandbox.guest().path("/opt/polis");
    let secrets = [files(&guest.join("secrets")), files(&guest.join("certs"))].concat();
    let private = secrets.iter().filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with("password.txt") || name.ends_with(".key") || name.ends_with(".acl")
    });
    let mut looked_at = 0;
    for path in private {
        for line in fs::read_to_string(path).unwrap().lines() {
            if line.len() > 20 && !line.starts_with("-----") {
                assert!(!shown.contains(line), "{}", path.display());
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 10, "{looked_at}");
}
