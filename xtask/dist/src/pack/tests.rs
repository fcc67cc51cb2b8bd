//! The archives as other programs read them.

use xtask_testkit::{Tree, has_part};

use super::*;

const NAME: &str = "polis-1.2.3-x86_64-pc-windows-msvc.zip";

fn entry(path: &str, mode: u32) -> Entry {
    Entry {
        path: path.to_owned(),
        kind: EntryKind::File,
        mode,
        bytes: format!("content of {path}\n").repeat(100).into_bytes(),
    }
}

fn sample() -> Vec<Entry> {
    vec![
        entry("d/polis.exe", 0o755),
        entry("d/LICENSE", 0o644),
        entry("d/completions/_polis", 0o644),
    ]
}

#[test]
fn packing_ignores_the_order_and_round_trips() {
    for name in [NAME, "polis.tar.gz"] {
        let mut entries = sample();
        let one = pack(name, &entries).unwrap();
        entries.reverse();
        assert!(one == pack(name, &entries).unwrap(), "{name}");
        let unpacked = unpack(name, &one).unwrap();
        let files = unpacked
            .iter()
            .filter(|entry| entry.kind == EntryKind::File);
        let mut expected = sample();
        expected.sort_by(|one, other| one.path.cmp(&other.path));
        assert!(files.eq(&expected), "{unpacked:?}");
        let dirs = unpacked
            .iter()
            .filter(|entry| entry.kind == EntryKind::Directory);
        let dirs: Vec<&str> = dirs.map(|entry| entry.path.as_str()).collect();
        assert_eq!(dirs, ["d", "d/completions"]);
    }
}

/// The fields that a host would fill with its own clock, system and modes.
#[test]
fn unzip_sees_fixed_times_and_modes() {
    if !has_part("unzip") {
        return;
    }
    let tree = Tree::data();
    std::fs::write(tree.root().join(NAME), pack(NAME, &sample()).unwrap()).unwrap();
    let ran = tree.run("unzip", &["-Z", "-T", NAME]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let lines = ran.stdout.lines().filter(|line| line.contains(" unx "));
    let seen: Vec<(&str, &str, &str)> = lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let mode = words.next()?;
            let (path, time) = (words.next_back()?, words.next_back()?);
            Some((mode, time, path))
        })
        .collect();
    let time = "19800101.000000";
    assert_eq!(
        seen,
        [
            ("drwxr-xr-x", time, "d/"),
            ("-rw-r--r--", time, "d/LICENSE"),
            ("drwxr-xr-x", time, "d/completions/"),
            ("-rw-r--r--", time, "d/completions/_polis"),
            ("-rwxr-xr-x", time, "d/polis.exe"),
        ]
    );
    let ran = tree.run("unzip", &["-q", NAME]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert_eq!(tree.read("d/LICENSE").as_bytes(), sample()[1].bytes);
}
