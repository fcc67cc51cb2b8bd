//! `polis sync DIR --watch`: continuously sends local changes, and reports changes in the workspace without applying them.
//!
//! Runs git itself once a second: its index finds changes without reading unchanged files, and knows which files are ignored. A file
//! watcher of the system would also watch ignored files, and has a limit on directories.

use std::time::{Duration, Instant};

use polis_base::shown::shown;

use super::sync::{BASE, Sync};
use crate::args::SyncArgs;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::output::{self, Done};
use crate::{platform, process};

/// The interval between polls of this machine. A state is complete, and sent, once two polls agree.
const GLANCE: Duration = Duration::from_secs(1);
/// The interval between queries for changes in the workspace.
const LOOK_THERE: Duration = Duration::from_secs(5);
/// How many consecutive polls may fail: a file may disappear while it is read.
const MISSES: usize = 5;
/// The maximum number of names shown.
const NAMES: usize = 20;

/// Syncs until the user interrupts it or the reader of its output closes the pipe.
///
/// # Errors
/// When something could not be synced, and when the user stops it.
pub(crate) fn run(context: &Context, args: &SyncArgs) -> Result<Done> {
    super::ssh::must_be_set_up(context)?;
    if context.output.is_json() {
        let what = "`--json` prints one document, but a watch has no end";
        return Err(Error::new(Kind::Usage, what).next("polis sync DIR --json, repeatedly"));
    }
    let sync = {
        let _lock = context.store.lock()?;
        let sync = Sync::new(context, &args.dir)?;
        sync.bring_in()?;
        sync
    };
    tell(&format!(
        "Synced to workspace:/home/polis/{}; watching until Ctrl-C\n",
        sync.name
    ))?;
    let mut watch = Watch {
        sent: sync.git(&["rev-parse", &format!("{BASE}^{{tree}}")])?,
        sync,
        seen: String::new(),
        there: 0,
        asked: Instant::now(),
        misses: 0,
    };
    while !platform::stdout_is_closed() {
        process::pause(GLANCE).map_err(|_| ended())?;
        // Another run, such as `sync --diff` in another terminal, goes first.
        let _lock = match context.store.lock() {
            Err(error) if error.kind == Kind::Busy => continue,
            lock => lock?,
        };
        match watch.look() {
            Err(error) if error.kind == Kind::Interrupted => return Err(ended()),
            text => tell(&text?)?,
        }
    }
    Ok(Done::without_report())
}

fn ended() -> Box<Error> {
    Error::new(Kind::Interrupted, "the watch was interrupted")
        .next("polis sync DIR   (sends the rest)")
}

fn tell(text: &str) -> Result<()> {
    output::print(shown(text).as_bytes())
}

struct Watch {
    sync: Sync,
    /// The tree that was sent last.
    sent: String,
    /// The tree at the last poll.
    seen: String,
    /// How many files had changed in the workspace at the last check.
    there: usize,
    asked: Instant,
    misses: usize,
}

impl Watch {
    /// Polls once, syncs what has settled, and returns the text to print.
    fn look(&mut self) -> Result<String> {
        let tree = match self.sync.tree() {
            Err(error) if error.kind != Kind::Interrupted && self.misses < MISSES => {
                self.misses += 1;
                return Ok(String::new());
            }
            tree => tree?,
        };
        self.misses = 0;
        let settled = tree == self.seen;
        self.seen.clone_from(&tree);
        if tree != self.sent && settled {
            let text = self.send(&tree)?;
            self.sent = tree;
            return Ok(text);
        }
        if tree != self.sent || self.asked.elapsed() < LOOK_THERE {
            return Ok(String::new());
        }
        self.look_there()
    }

    fn send(&mut self, tree: &str) -> Result<String> {
        let base = format!("{BASE}^{{tree}}");
        let changed = self
            .sync
            .git(&["diff", "--no-renames", "--name-only", "-z", &base, tree])?;
        let kept = self.sync.merge_in(tree)?;
        let count = changed
            .split_terminator('\0')
            .filter(|name| !kept.contains(&(*name).to_owned()));
        // The merge itself may change the count.
        self.there = usize::MAX;
        Ok(format!("Sent {}\n{}", files(count.count()), refused(&kept)))
    }

    fn look_there(&mut self) -> Result<String> {
        self.asked = Instant::now();
        let count = self.sync.ask("changed", "")?;
        let count = count.trim().parse().unwrap_or_default();
        let before = std::mem::replace(&mut self.there, count);
        Ok(match count {
            0 => String::new(),
            _ if count == before => String::new(),
            _ => format!(
                "{} changed in the workspace; to see them: polis sync {} --diff\n",
                files(count),
                self.sync.name
            ),
        })
    }
}

fn files(count: usize) -> String {
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}

/// The lines about files that have changed on both sides.
fn refused(names: &[String]) -> String {
    let line = |name: &String| {
        let name = name.replace('\n', " ");
        format!("Not sent, because it has also changed in the workspace: {name}\n")
    };
    let mut text: String = names.iter().take(NAMES).map(line).collect();
    if names.len() > NAMES {
        text.push_str(&format!("and {} more\n", names.len() - NAMES));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_start_a_line_and_long_lists_are_cut() {
        assert_eq!(refused(&[]), "");
        let names: Vec<String> = (0..25).map(|number| format!("a\n{number}")).collect();
        let text = refused(&names);
        assert_eq!(text.lines().count(), NAMES + 1);
        assert!(
            text.lines()
                .take(NAMES)
                .all(|line| line.starts_with("Not sent"))
        );
        assert!(text.ends_with("and 5 more\n"), "{text}");
    }
}
