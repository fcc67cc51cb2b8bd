//! `polis list`: lists the workspaces of this user, found by the names of their VMs. It runs nothing in the VMs, which would start them.

use crate::context::Context;
use crate::error::{Kind, Result};
use crate::instance::{self, named};
use crate::multipass::list_call;
use crate::multipass::state::parse_all;
use crate::output::Done;
use crate::reports::machine::{List, Workspace};

/// Runs `polis list`.
///
/// # Errors
/// When Multipass does not answer.
pub(crate) fn run(context: &Context) -> Result<Done> {
    let answer = context.multipass()?.call(&list_call(), Kind::Unexpected)?;
    let vms = parse_all(&answer)?;
    let each = vms.iter().filter_map(|(vm, state)| {
        let name = instance::of_vm(vm)?;
        Some(Workspace {
            name,
            vm,
            state: state.word(),
            current: name == instance::name(),
        })
    });
    let mut workspaces: Vec<Workspace<'_>> = each.collect();
    workspaces.sort_unstable();
    let text = to_text(&workspaces);
    Ok(Done::new(text, List { workspaces }))
}

/// The workspaces, one per line.
fn to_text(workspaces: &[Workspace<'_>]) -> String {
    if workspaces.is_empty() {
        return format!("There is no workspace. Next: {}\n", named("polis start"));
    }
    let width = workspaces.iter().map(|it| it.name.len()).max();
    let width = width.unwrap_or(0);
    let line = |it: &Workspace<'_>| {
        let mark = if it.current { '*' } else { ' ' };
        format!("{mark} {:<width$}  {}\n", it.name, it.state)
    };
    workspaces.iter().map(line).collect()
}
