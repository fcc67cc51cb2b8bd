//! `polis list`: lists the workspaces of this user, found by the names of their VMs. It runs nothing in the VMs, which would start them.

use serde_json::json;

use crate::context::Context;
use crate::error::{Kind, Result};
use crate::instance::{self, named};
use crate::multipass::list_call;
use crate::multipass::state::parse_all;
use crate::output::Done;

/// Runs `polis list`.
///
/// # Errors
/// When Multipass does not answer.
pub(crate) fn run(context: &Context) -> Result<Done> {
    let answer = context.multipass()?.call(&list_call(), Kind::Unexpected)?;
    let vms = parse_all(&answer)?;
    let mut found: Vec<(&str, &str, &str)> = vms
        .iter()
        .filter_map(|(vm, state)| Some((instance::of_vm(vm)?, vm.as_str(), state.word())))
        .collect();
    found.sort_unstable();
    let each = found.iter().map(|(name, vm, state)| {
        json!({"name": name, "vm": vm, "state": state, "current": *name == instance::name()})
    });
    let data = json!({"workspaces": each.collect::<Vec<_>>()});
    let width = found.iter().map(|(name, ..)| name.len()).max();
    let mut text: String = found
        .iter()
        .map(|(name, _, state)| {
            let mark = if *name == instance::name() { '*' } else { ' ' };
            format!(
                "{mark} {name:<width$}  {state}\n",
                width = width.unwrap_or(0)
            )
        })
        .collect();
    if found.is_empty() {
        text = format!("There is no workspace. Next: {}\n", named("polis start"));
    }
    Ok(Done::new(text, data))
}
