//! `polis doctor --fix`: what polis itself has left in disorder, and what mends it without losing anything. Nothing that is
//! not ours is touched: no VM is started or stopped, and no file that no run of polis has left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::ssh;
use crate::args::DoctorArgs;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest;
use crate::instance::named;
use crate::multipass::Multipass;
use crate::multipass::state::VmState;
use crate::release::place::Installation;
use crate::store::Store;

/// Something that can be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fix {
    /// Others may read, or more, what is for this user alone.
    Close(PathBuf),
    /// A killed run has left it.
    Remove(PathBuf),
    /// A killed update has left it beside the program.
    RemoveUpdate(PathBuf),
    /// The line of the user's configuration of OpenSSH.
    Include(&'static str),
    /// So many things in the VM that killed runs have left.
    Guest(u32),
}

impl Fix {
    /// What is wrong, and what is done about it.
    fn words(&self) -> String {
        match self {
            Self::Close(path) => format!(
                "other users can open `{}`: it is taken from them",
                path.display()
            ),
            Self::Remove(path) | Self::RemoveUpdate(path) => {
                format!(
                    "a killed polis has left `{}`: it is removed",
                    path.display()
                )
            }
            Self::Include(words) => (*words).to_owned(),
            Self::Guest(count) => format!(
                "killed runs of polis have left {count} files or folders in the VM: they are removed"
            ),
        }
    }

    /// Mends it, unless that is done already; looks again at what it removes.
    fn mend(&self, context: &Context, multipass: Option<&Multipass>) -> Result<()> {
        let done = match self {
            Self::Close(path) => close(path),
            Self::Remove(path) => match context.store.left_over().contains(path) {
                true => removed(path),
                false => Ok(()),
            },
            Self::RemoveUpdate(path) => removed(path),
            Self::Include(_) => return ssh::mend_include(context),
            Self::Guest(_) => {
                let Some(multipass) = multipass else {
                    return Ok(());
                };
                let call = guest::leftovers(true);
                return multipass.call(&call, Kind::Unexpected).map(drop);
            }
        };
        done.map_err(|error| {
            Error::new(Kind::Unexpected, "this could not be mended")
                .because(self.words())
                .because(error.to_string())
        })
    }
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Takes a file or a directory of this user from everybody else.
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

/// Below a user's profile Windows lets nobody else in.
#[cfg(not(unix))]
fn close(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Shows what can be mended, mends what is agreed to, and returns it for the report: as text and as JSON.
///
/// # Errors
/// When something cannot be mended, or another polis is at work.
pub(super) fn run(context: &Context, args: &DoctorArgs) -> Result<(String, Value)> {
    let multipass = context.multipass().ok();
    let found = found(context, multipass.as_ref());
    let mut agreed = Vec::new();
    for fix in &found {
        context.output.ask(&fix.words());
        let yes = args.yes || (super::can_ask(context) && super::asked("Mend it?")?);
        agreed.push(yes);
    }
    if agreed.contains(&true) {
        // Of this workspace, and of updates of the program.
        let _own = context.store.lock()?;
        let all = Store::new(context.store.state().to_owned());
        let _all = match context.store.is_default() {
            true => None,
            false => Some(all.lock()?),
        };
        for (fix, _) in found.iter().zip(&agreed).filter(|(_, agreed)| **agreed) {
            fix.mend(context, multipass.as_ref())?;
        }
    }
    Ok(report(&found, &agreed, super::can_ask(context)))
}

fn report(found: &[Fix], agreed: &[bool], asked: bool) -> (String, Value) {
    let mut text = String::new();
    for (fix, agreed) in found.iter().zip(agreed) {
        let word = if *agreed { "fixed" } else { "left" };
        text.push_str(&format!("{word:<5} {}\n", fix.words()));
    }
    if found.is_empty() {
        text.push_str("Nothing of polis's own has to be mended.\n");
    } else if !asked && agreed.contains(&false) {
        let next = named("polis doctor --fix --yes");
        text.push_str(&format!(
            "It can be asked only on a terminal. Next: {next}\n"
        ));
    }
    let each = found.iter().zip(agreed);
    let each = each.map(|(fix, agreed)| json!({"what": fix.words(), "mended": agreed}));
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
        // What cannot be seen is not mended; the checks say why.
        let answer = multipass.call(&guest::leftovers(false), Kind::Unexpected);
        let count = answer.map_or(0, |answer| guest::left_over(&answer));
        found.extend((count > 0).then_some(Fix::Guest(count)));
    }
    found
}
