//! `polis doctor --fix`: cleans up after killed runs of polis without losing anything. It does not start or stop the VM, and touches
//! only files that polis has written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ssh;
use crate::args::DoctorArgs;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest;
use crate::instance::named;
use crate::multipass::Multipass;
use crate::multipass::state::VmState;
use crate::release::place::Installation;
use crate::reports::doctor::Repair;
use crate::store::Store;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fix {
    /// A private file that other users can open.
    Close(PathBuf),
    /// A file that a killed run has left.
    Remove(PathBuf),
    /// A file that a killed update has left beside the program.
    RemoveUpdate(PathBuf),
    /// The `Include` line in the user's configuration of OpenSSH.
    Include(&'static str),
    /// Files in the VM that killed runs have left: their number.
    Guest(u32),
}

impl Fix {
    /// The problem and its repair.
    fn words(&self) -> String {
        match self {
            Self::Close(path) => format!(
                "other users can open `{}`: remove their access",
                path.display()
            ),
            Self::Remove(path) | Self::RemoveUpdate(path) => {
                format!("a killed run of polis left `{}`: remove it", path.display())
            }
            Self::Include(words) => (*words).to_owned(),
            Self::Guest(count) => {
                format!("killed runs of polis left {count} files or folders in the VM: remove them")
            }
        }
    }

    /// Applies the fix, unless that has already happened.
    fn apply(&self, context: &Context, multipass: Option<&Multipass>) -> Result<()> {
        let done = match self {
            Self::Close(path) => close(path),
            Self::Remove(path) => match context.store.left_over().contains(path) {
                true => removed(path),
                false => Ok(()),
            },
            Self::RemoveUpdate(path) => removed(path),
            Self::Include(_) => return ssh::fix_include(context),
            Self::Guest(_) => {
                let Some(multipass) = multipass else {
                    return Ok(());
                };
                let call = guest::leftovers(true);
                return multipass.call(&call, Kind::Unexpected).map(drop);
            }
        };
        done.map_err(|error| {
            Error::new(Kind::Unexpected, "could not fix this")
                .because(self.words())
                .caused_by(&error)
        })
    }
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the access of other users to a file or directory.
#[cfg(unix)]
fn close(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() {
        return Ok(());
    }
    let mode = found.permissions().mode() & 0o700;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// On Windows, other users cannot access a user's profile.
#[cfg(not(unix))]
fn close(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Shows the fixes, applies those that are confirmed, and returns them as text and for the report.
///
/// # Errors
/// When a fix fails, or another polis is running.
pub(super) fn run(context: &Context, args: &DoctorArgs) -> Result<(String, Vec<Repair>)> {
    let multipass = context.multipass().ok();
    let found = found(context, multipass.as_ref());
    let mut agreed = Vec::new();
    for fix in &found {
        context.output.ask(&fix.words());
        let yes = args.yes || (super::can_ask(context) && super::asked("Fix it?")?);
        agreed.push(yes);
    }
    if agreed.contains(&true) {
        // The lock of this workspace, and that of updates.
        let _own = context.store.lock()?;
        let all = Store::new(context.store.state().to_owned());
        let _all = match context.store.is_default() {
            true => None,
            false => Some(all.lock()?),
        };
        for (fix, _) in found.iter().zip(&agreed).filter(|(_, agreed)| **agreed) {
            fix.apply(context, multipass.as_ref())?;
        }
    }
    Ok(report(&found, &agreed, super::can_ask(context)))
}

fn report(found: &[Fix], agreed: &[bool], asked: bool) -> (String, Vec<Repair>) {
    let mut text = String::new();
    for (fix, agreed) in found.iter().zip(agreed) {
        let word = if *agreed { "fixed" } else { "left" };
        text.push_str(&format!("{word:<5} {}\n", fix.words()));
    }
    if found.is_empty() {
        text.push_str("There is nothing to fix.\n");
    } else if !asked && agreed.contains(&false) {
        let next = named("polis doctor --fix --yes");
        text.push_str(&format!("polis asks only on a terminal. Next: {next}\n"));
    }
    let each = found.iter().zip(agreed).map(|(fix, agreed)| Repair {
        what: fix.words(),
        mended: *agreed,
    });
    (text, each.collect())
}

fn found(context: &Context, multipass: Option<&Multipass>) -> Vec<Fix> {
    let store = &context.store;
    let mut found: Vec<Fix> = store.open_to_others().into_iter().map(Fix::Close).collect();
    found.extend(store.left_over().into_iter().map(Fix::Remove));
    let updates = Installation::find().map_or(Vec::new(), |place| place.left_over());
    found.extend(updates.into_iter().map(Fix::RemoveUpdate));
    found.extend(ssh::wrong_include(context).map(Fix::Include));
    let runs = |multipass: &&Multipass| matches!(multipass.state(), Ok(Some(VmState::Running)));
    if let Some(multipass) = multipass.filter(runs) {
        // A VM that does not answer is left alone; the checks report it.
        let answer = multipass.call(&guest::leftovers(false), Kind::Unexpected);
        let count = answer.map_or(0, |answer| guest::left_over(&answer));
        found.extend((count > 0).then_some(Fix::Guest(count)));
    }
    found
}
