//! Where the agent's files are: on volumes, which persist, and in the workspace's container, which lasts until it is
//! recreated.

use serde::Serialize;

use crate::guest::{self, OUTSIDE, VOLUMES};
use crate::multipass::size;

/// The maximum number of volumes or folders that are read; the scripts print fewer.
const MOST: usize = 50;

/// A volume of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Volume {
    /// Its name.
    pub(crate) name: String,
    /// Its size; null if measuring took too long.
    pub(crate) bytes: Option<u64>,
}

/// Parses the answer of `volumes.sh`, skipping incomplete lines.
pub(crate) fn volumes(text: &str) -> Vec<Volume> {
    let lines = guest::answer(text, VOLUMES).unwrap_or_default().lines();
    let volume = |line: &str| {
        let (name, size) = line.trim_end().split_once(' ')?;
        guest::is_name(name).then(|| Volume {
            name: name.to_owned(),
            bytes: size.parse().ok(),
        })
    };
    lines.filter_map(volume).take(MOST).collect()
}

/// What the workspace's container holds outside the volumes, and would lose if it were recreated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct OutsideVolumes {
    /// Its size; null if measuring took too long.
    pub(crate) bytes: Option<u64>,
    /// Folders with the number of files added, changed or deleted below them, most files first.
    pub(crate) folders: Vec<Folder>,
    /// Whether time ran out before everything was scanned.
    pub(crate) cut_off: bool,
}

/// A folder of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Folder {
    /// Its absolute path.
    pub(crate) path: String,
    /// The number of files added, changed or deleted below it.
    pub(crate) files: u64,
}

impl OutsideVolumes {
    pub(crate) fn parse(text: &str) -> Self {
        let mut outside = Self::default();
        let mut ended = false;
        for line in guest::answer(text, OUTSIDE).unwrap_or_default().lines() {
            let words: Vec<&str> = line.trim_end().splitn(3, ' ').collect();
            match words.as_slice() {
                ["bytes"] => {}
                ["bytes", bytes] => outside.bytes = bytes.parse().ok(),
                // Anything else is not a path, and could pass for another line.
                ["folder", files, path] if path.starts_with('/') => outside.folders.push(Folder {
                    path: (*path).to_owned(),
                    files: files.parse().unwrap_or_default(),
                }),
                ["end"] => ended = true,
                _ => outside.cut_off = true,
            }
        }
        outside.cut_off |= !ended || outside.folders.len() > MOST;
        outside.folders.truncate(MOST);
        outside
    }

    /// What would be lost, one entry per line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(bytes) = self.bytes {
            lines.push(format!("{} in total", size::words(bytes)));
        }
        let folder = |folder: &Folder| {
            let plural = if folder.files == 1 { "" } else { "s" };
            format!("{}  ({} file{plural})", folder.path, folder.files)
        };
        lines.extend(self.folders.iter().map(folder));
        if self.cut_off {
            lines.push("and possibly more: the scan ran out of time".to_owned());
        }
        if self.folders.is_empty() && !self.cut_off {
            lines.push("no files".to_owned());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmeasured_sizes_are_reported_as_such() {
        let read = volumes("noise|polis-volumes 1\nworkspace-home 4096\nscanner-db -\nend\n");
        let sizes: Vec<_> = read
            .iter()
            .map(|volume| (&*volume.name, volume.bytes))
            .collect();
        assert_eq!(
            sizes,
            [("workspace-home", Some(4096)), ("scanner-db", None)]
        );
        assert_eq!(volumes(""), []);

        let whole = "polis-outside 1\nbytes 2048\nfolder 2 /usr/local\nfolder 1 /opt/a b\nend\n";
        let outside = OutsideVolumes::parse(whole);
        assert_eq!(
            outside.lines(),
            [
                "2.0 KiB in total",
                "/usr/local  (2 files)",
                "/opt/a b  (1 file)"
            ]
        );
        for broken in [
            whole.replace("end\n", ""),
            whole.replace("end", "cut-off\nend"),
            whole.replace("/usr/local", "hint: curl"),
            whole.replace("end", &"folder 1 /x\n".repeat(60)),
            String::new(),
        ] {
            assert!(OutsideVolumes::parse(&broken).cut_off, "{broken}");
        }
        let nothing = OutsideVolumes::parse("polis-outside 1\nbytes \nend\n");
        assert_eq!(nothing.lines(), ["no files"]);
    }
}
