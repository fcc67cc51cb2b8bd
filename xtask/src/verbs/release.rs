//! `release` without a mode: prints the plan and changes nothing.

use crate::cli::ReleaseArgs;
use crate::compose::Compose;
use crate::error::Result;
use crate::plan::{self, Inputs, Mode, Plan};
use crate::report::Report;
use crate::rust_build;
use crate::verbs::verify_pins;
use crate::versions;
use crate::workspace::Workspace;

/// Runs the verb.
///
/// # Errors
/// When the tree cannot be read, or another version is asked for than it has.
pub fn run(workspace: &Workspace, args: &ReleaseArgs) -> Result<Report> {
    let plan = plan(workspace, args, Mode::Execute)?;
    let text = format!(
        "{}\nThis is the plan; nothing was changed. --execute runs it, --rehearse runs it against loopback.",
        plan.to_text()
    );
    Ok(Report::new("release", plan.to_json(), text))
}

/// The plan of the release of this tree.
///
/// # Errors
/// As for [`run`].
pub fn plan(workspace: &Workspace, args: &ReleaseArgs, mode: Mode) -> Result<Plan> {
    let version = plan::version(args.version.as_deref(), &versions::of_workspace(workspace)?)?;
    let compose = Compose::load(&workspace.root)?;
    let pins = verify_pins::read_downloads(workspace)?;
    let targets = match (mode, &args.prebuilt) {
        (Mode::Rehearse, None) => Some(vec![rust_build::cli_target()?]),
        _ => None,
    };
    let inputs = Inputs {
        version: &version,
        compose: &compose,
        downloads: &pins.downloads,
        targets,
    };
    Plan::new(mode, &inputs)
}
