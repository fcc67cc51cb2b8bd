//! Decides from its name, its kind and the entries before it whether an archive's entry may become a file. Pure.
//!
//! The workspace is hostile, and so is every archive from it. Archives to it follow the same rules, so that copies behave
//! alike in both directions.

use std::collections::HashMap;

use crate::multipass::size;
use crate::platform::System;

/// The longest name of an entry, and the longest target of a link, in bytes: PATH_MAX of Linux.
pub(crate) const LONGEST: usize = 4096;
/// The maximum depth of directories.
const MOST_LEVELS: usize = 256;

/// Device names of Windows, reserved with any extension. `COM` and `LPT` are followed by a digit, which may be superscript.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
const PORTS: [&str; 2] = ["COM", "LPT"];
const DIGITS: &str = "0123456789\u{b9}\u{b2}\u{b3}";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Directory,
    File,
    Link,
}

/// The limits of a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The total size of all files, in bytes.
    pub(crate) bytes: u64,
    /// The number of files, directories and links.
    pub(crate) entries: u64,
}

impl Bounds {
    /// The maximum size of an archive within these limits: each entry has a header and padding, and some have a long name.
    pub(crate) fn archive(self) -> u64 {
        let headers = self.entries.saturating_mul(2048);
        self.bytes.saturating_add(headers).saturating_add(1 << 20)
    }

    /// The reason when there are more bytes.
    pub(crate) fn too_large(self) -> String {
        let most = size::words(self.bytes);
        format!("it is larger than {most}, the limit set by `copy-size`")
    }
}

/// Checks the entries of one archive in order.
#[derive(Debug)]
pub(crate) struct Judge {
    /// The system on which they become files.
    system: System,
    bounds: Bounds,
    /// The first component of every name.
    root: Vec<u8>,
    /// The admitted entries, by their path below the root in the form in which the system compares names.
    seen: HashMap<Vec<u8>, EntryKind>,
    bytes: u64,
}

impl Judge {
    /// A judge of an archive that is unpacked on `system`.
    pub(crate) fn new(system: System, bounds: Bounds) -> Self {
        Self {
            system,
            bounds,
            root: Vec::new(),
            seen: HashMap::new(),
            bytes: 0,
        }
    }

    /// Admits an entry of `size` bytes; `target` is that of a link. Returns its path below the copy's root, which is empty for
    /// the root itself.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn admit(
        &mut self,
        name: &[u8],
        kind: EntryKind,
        size: u64,
        target: &[u8],
    ) -> Result<Vec<u8>, String> {
        self.count(size)?;
        let parts = parts(name, kind)?;
        let (root, below) = parts.split_first().ok_or("it has no name")?;
        match self.seen.is_empty() {
            true if kind == EntryKind::Link || !below.is_empty() => {
                return Err("the first entry is neither a file nor a directory".to_owned());
            }
            true => self.root = root.to_vec(),
            false if *root != self.root => return Err("it is outside the copy".to_owned()),
            false => {}
        }
        if self.system == System::Windows {
            for part in &parts {
                check_for_windows(part)?;
            }
        }
        if let Some((_, above)) = below.split_last() {
            self.is_directory(above)?;
        }
        if kind == EntryKind::Link {
            self.stays(below.len().saturating_sub(1), target)?;
        }
        if self.seen.insert(self.key(below), kind).is_some() {
            return Err(match self.system {
                System::Linux => "another entry has the same name".to_owned(),
                _ => "another entry has the same name except for case".to_owned(),
            });
        }
        Ok(below.join(&b'/'))
    }

    fn count(&mut self, size: u64) -> Result<(), String> {
        if self.seen.len() as u64 >= self.bounds.entries {
            let most = self.bounds.entries;
            return Err(format!(
                "there are more than {most} entries, the limit set by `copy-entries`"
            ));
        }
        self.bytes = self.bytes.saturating_add(size);
        match self.bytes > self.bounds.bytes {
            true => Err(self.bounds.too_large()),
            false => Ok(()),
        }
    }

    fn is_directory(&self, above: &[&[u8]]) -> Result<(), String> {
        match self.seen.get(&self.key(above)) {
            Some(EntryKind::Directory) => Ok(()),
            Some(EntryKind::Link) => Err("it is below a link".to_owned()),
            Some(EntryKind::File) => Err("it is below a file".to_owned()),
            None => Err("its directory does not precede it".to_owned()),
        }
    }

    /// Checks that a link `depth` directories below the root points inside. Refuses a `..` after a name too: the name may be another
    /// link, and then the text does not show where `..` leads.
    fn stays(&self, depth: usize, target: &[u8]) -> Result<(), String> {
        if self.system == System::Windows {
            return Err("it is a link, which only some users may create on Windows".to_owned());
        }
        let out = || {
            let shown = String::from_utf8_lossy(target);
            format!("it is a link that points outside the copy, to `{shown}`")
        };
        if target.is_empty() || target.len() > LONGEST || target[0] == b'/' || target.contains(&0) {
            return Err(out());
        }
        let (mut ups, mut named) = (0, false);
        for part in target.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." if named || ups == depth => return Err(out()),
                b".." => ups += 1,
                _ => named = true,
            }
        }
        Ok(())
    }

    /// The form in which paths are compared: bytes on Linux, without case elsewhere. If macOS treats other names as equal, it refuses
    /// the second one itself.
    fn key(&self, below: &[&[u8]]) -> Vec<u8> {
        let path = below.join(&b'/');
        match self.system {
            System::Linux => path,
            _ => String::from_utf8_lossy(&path).to_lowercase().into_bytes(),
        }
    }
}

/// The components of an entry's name.
fn parts(name: &[u8], kind: EntryKind) -> Result<Vec<&[u8]>, String> {
    let name = match kind {
        EntryKind::Directory => name.strip_suffix(b"/").unwrap_or(name),
        EntryKind::File | EntryKind::Link => name,
    };
    if name.len() > LONGEST {
        return Err(format!("its name is longer than {LONGEST} bytes"));
    }
    if name.first() == Some(&b'/') {
        return Err("its name is absolute".to_owned());
    }
    let parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').collect();
    if parts.len() > MOST_LEVELS {
        return Err(format!("it is more than {MOST_LEVELS} directories deep"));
    }
    for part in &parts {
        plain(part)?;
    }
    Ok(parts)
}

/// Checks that `part` is a plain file name on every system.
pub(crate) fn plain(part: &[u8]) -> Result<(), String> {
    match part {
        b"" => Err("its name has an empty component".to_owned()),
        b"." | b".." => {
            let part = String::from_utf8_lossy(part);
            Err(format!("its name contains `{part}`"))
        }
        _ if part.contains(&0) => Err("its name contains a NUL".to_owned()),
        _ => Ok(()),
    }
}

/// Checks that Windows creates a file of exactly this name.
pub(crate) fn check_for_windows(part: &[u8]) -> Result<(), String> {
    let name = std::str::from_utf8(part).map_err(|_| "its name is not UTF-8".to_owned())?;
    let reserved = |c: char| c.is_control() || "<>:\"/\\|?*".contains(c);
    if let Some(found) = name.chars().find(|c| reserved(*c)) {
        return Err(format!("Windows does not allow `{found}` in a name"));
    }
    if name.ends_with(['.', ' ']) {
        return Err("Windows removes a dot or blank at the end of a name".to_owned());
    }
    // Ignore everything after the first dot, and blanks before it.
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    let stem = stem.to_uppercase();
    let port = PORTS.iter().any(|port| {
        let mut rest = stem.strip_prefix(port).unwrap_or_default().chars();
        rest.next().is_some_and(|c| DIGITS.contains(c)) && rest.next().is_none()
    });
    match port || DEVICES.contains(&&*stem) {
        true => Err("its name is a device name on Windows".to_owned()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        bytes: 1000,
        entries: 10,
    };

    fn judge(system: System) -> Judge {
        let mut judge = Judge::new(system, BOUNDS);
        judge.admit(b"r/", EntryKind::Directory, 0, b"").unwrap();
        judge.admit(b"r/d/", EntryKind::Directory, 0, b"").unwrap();
        judge
    }

    fn file(system: System, name: &str) -> Result<Vec<u8>, String> {
        judge(system).admit(name.as_bytes(), EntryKind::File, 1, b"")
    }

    #[test]
    fn a_name_stays_in_the_copy() {
        assert_eq!(file(System::Linux, "r/d/x").unwrap(), b"d/x");
        for (name, reason) in [
            ("/r/x", "absolute"),
            ("r/../x", "`..`"),
            ("r/d/..", "`..`"),
            ("..", "`..`"),
            ("r/./x", "`.`"),
            ("r//x", "empty"),
            ("r/x/", "empty"),
            ("", "empty"),
            ("s/x", "outside"),
            ("x", "outside"),
            ("r", "another entry"),
            ("r/d", "another entry"),
            ("r/e/x", "does not precede"),
            ("r/x\0y", "NUL"),
        ] {
            for system in [System::Linux, System::MacOs, System::Windows] {
                let error = file(system, name).unwrap_err();
                assert!(error.contains(reason), "{name:?}: {error}");
            }
        }
        let deep = format!("r/{}", "d/".repeat(MOST_LEVELS));
        let error = judge(System::Linux).admit(deep.as_bytes(), EntryKind::Directory, 0, b"");
        assert!(error.unwrap_err().contains("deep"));
        let long = format!("r/{}", "x".repeat(LONGEST));
        assert!(file(System::Linux, &long).unwrap_err().contains("longer"));
    }

    #[test]
    fn the_first_entry_is_what_is_copied() {
        let first =
            |name: &[u8], kind| Judge::new(System::Linux, BOUNDS).admit(name, kind, 0, b"x");
        assert_eq!(first(b"r", EntryKind::File), Ok(Vec::new()));
        assert_eq!(first(b"r/", EntryKind::Directory), Ok(Vec::new()));
        assert!(first(b"r", EntryKind::Link).is_err());
        assert!(first(b"r/x", EntryKind::File).is_err());
        let mut judge = Judge::new(System::Linux, BOUNDS);
        judge.admit(b"r", EntryKind::File, 0, b"").unwrap();
        let error = judge.admit(b"r/x", EntryKind::File, 0, b"").unwrap_err();
        assert_eq!(error, "it is below a file");
    }

    #[test]
    fn a_link_must_point_inside() {
        let link = |name: &str, target: &str| {
            let mut judge = judge(System::Linux);
            judge.admit(name.as_bytes(), EntryKind::Link, 0, target.as_bytes())
        };
        for (name, target) in [
            ("r/l", "d/x"),
            ("r/l", "."),
            ("r/l", "./d//x/"),
            ("r/d/l", ".."),
            ("r/d/l", "../d/x"),
        ] {
            assert!(link(name, target).is_ok(), "{name} -> {target}");
        }
        for (name, target) in [
            ("r/l", ".."),
            ("r/l", "../s"),
            ("r/l", "./../s"),
            ("r/l", "/etc/passwd"),
            ("r/l", ""),
            ("r/l", "d/../x"),
            ("r/d/l", "../../x"),
            ("r/d/l", "../d/../../x"),
            ("r/l", "x\0y"),
        ] {
            let error = link(name, target).unwrap_err();
            assert!(
                error.contains("points outside"),
                "{name} -> {target}: {error}"
            );
        }
        let mut judge = judge(System::Linux);
        judge.admit(b"r/l", EntryKind::Link, 0, b"d").unwrap();
        let error = judge.admit(b"r/l/x", EntryKind::File, 0, b"").unwrap_err();
        assert_eq!(error, "it is below a link");
    }

    #[test]
    fn case_matters_only_on_linux() {
        for (system, taken) in [
            (System::Linux, true),
            (System::MacOs, false),
            (System::Windows, false),
        ] {
            let mut judge = judge(system);
            judge
                .admit("r/Äx".as_bytes(), EntryKind::File, 0, b"")
                .unwrap();
            let second = judge.admit("r/äX".as_bytes(), EntryKind::File, 0, b"");
            assert_eq!(second.is_ok(), taken, "{system:?}");
        }
    }

    #[test]
    fn windows_reserves_names() {
        for name in [
            "con",
            "NUL",
            "aux.c",
            "Com1.txt",
            "LPT9",
            "COM\u{b9}",
            "CONIN$",
            "nul .txt",
            "a:b",
            "C:",
            "a\\b",
            "..\\x",
            "a.",
            "a ",
            "a?",
            "a*",
            "a\u{1}b",
            "a|b",
            "a<b",
            "\"",
            "...",
        ] {
            let name = format!("r/{name}");
            assert!(file(System::Windows, &name).is_err(), "{name}");
            assert!(file(System::Linux, &name).is_ok(), "{name}");
        }
        for name in ["console", "COM", "COM10", "comx", "x.con", ".git", "ä b"] {
            assert_eq!(check_for_windows(name.as_bytes()), Ok(()), "{name}");
        }
        let mut windows = judge(System::Windows);
        assert!(windows.admit(b"r/\xff", EntryKind::File, 0, b"").is_err());
        assert!(windows.admit(b"r/l", EntryKind::Link, 0, b"d").is_err());
        assert!(
            judge(System::Linux)
                .admit(b"r/\xff", EntryKind::File, 0, b"")
                .is_ok()
        );
    }

    #[test]
    fn a_copy_is_bounded() {
        let mut judge = judge(System::Linux);
        judge.admit(b"r/a", EntryKind::File, 1000, b"").unwrap();
        let error = judge.admit(b"r/b", EntryKind::File, 1, b"").unwrap_err();
        assert!(error.contains("`copy-size`"), "{error}");
        let mut judge = super::Judge::new(System::Linux, BOUNDS);
        judge.admit(b"r/", EntryKind::Directory, 0, b"").unwrap();
        for number in 1..BOUNDS.entries {
            let name = format!("r/{number}");
            judge
                .admit(name.as_bytes(), EntryKind::File, 0, b"")
                .unwrap();
        }
        let error = judge.admit(b"r/x", EntryKind::File, 0, b"").unwrap_err();
        assert!(error.contains("`copy-entries`"), "{error}");
        let overflow =
            Judge::new(System::Linux, BOUNDS).admit(b"r", EntryKind::File, u64::MAX, b"");
        assert!(overflow.is_err());
    }
}
