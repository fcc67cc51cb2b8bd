//! What is in a guest, to see whether a command changed anything.

use std::io;

use super::Guest;
use crate::process;

/// What changes by itself, as patterns of `find`.
const ALIVE: [&str; 5] = [
    "./run/commands",
    "./run/units",
    "./var/lib/cloud",
    "./var/lib/polis/provision.json",
    "./var/log",
];

impl Guest {
    /// The kind and the mode of everything there is, with size and time of what is no folder; but for what changes by
    /// itself.
    pub(crate) fn snapshot(&self) -> io::Result<String> {
        let mut find = process::command("find");
        find.current_dir(&self.root).arg(".");
        for path in ALIVE {
            find.args(["-path", path, "-prune", "-o"]);
        }
        let (folder, other) = ("%p %m\n", "%p %m %y %s %T@\n");
        find.args(["-type", "d", "-printf", folder, "-o", "-printf", other]);
        // A failure is a file that went away meanwhile.
        let output = find.output()?;
        let mut lines: Vec<&str> = std::str::from_utf8(&output.stdout)
            .unwrap_or_default()
            .lines()
            .collect();
        lines.sort_unstable();
        Ok(lines.join("\n"))
    }
}
